"""The installed libraries are the ones whose internals the transport uses."""

from __future__ import annotations

from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer
from aiokafka.consumer.fetcher import Fetcher

from streams.kafka import transport
from streams.kafka.fetched import RawRecords
from streams.kafka.transport import IncompatibleLibrary, check_libraries, keep_raw_records, missing_names


def test_installed_libraries_pass() -> None:
    """Every private attribute that is used is there in the versions that pyproject.toml pins."""
    check_libraries()


def test_other_version_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """A library of another version is refused by name, with what to install."""
    monkeypatch.setitem(transport.VERSIONS, "aiokafka", "0.13.9")

    with pytest.raises(IncompatibleLibrary, match=r"expected aiokafka 0\.13\.9, found 0\.14\.0.*pip install"):
        check_libraries()


def test_missing_attribute_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Something used that is no longer there is refused with its place and its name."""
    monkeypatch.setattr(transport, "USED", ((Fetcher.__init__, ("_records", "_renamed")),))

    with pytest.raises(IncompatibleLibrary, match=r"Fetcher\.__init__ .*found _renamed missing"):
        check_libraries()


def test_names_are_found_in_nested_code() -> None:
    """A name that only an inner function mentions counts as used."""

    def outer(given: Any) -> Any:
        def inner() -> Any:
            return given.deep

        return inner

    assert missing_names(outer, ["deep"]) == []
    assert missing_names(outer, ["deeper"]) == ["deeper"]


def test_only_our_fetcher_keeps_raw_records() -> None:
    """Other consumers of the process go on with aiokafka's own records."""

    class Ours:
        pass

    ours: Any = Ours()
    original = Fetcher._proc_fetch_request.__globals__["MemoryRecords"]

    keep_raw_records(ours)

    assert ours._proc_fetch_request.__func__.__globals__["MemoryRecords"] is RawRecords
    assert Fetcher._proc_fetch_request.__globals__["MemoryRecords"] is original
    assert AIOKafkaConsumer.start.__globals__["Fetcher"] is Fetcher
