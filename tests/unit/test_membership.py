"""A worker's lasting name: given, or made of the machine's and a number that no other holds."""

from __future__ import annotations

from pathlib import Path

import pytest

from streams.config import Kafka
from streams.kafka.membership import DYNAMIC, Membership


@pytest.fixture(autouse=True)
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.setenv("FIFTYTWO_CACHE_DIR", str(tmp_path))
    return tmp_path


def test_two_workers_of_a_machine_have_two_names_and_a_restart_takes_its_own() -> None:
    """A number is held as long as its worker runs, and is the next one's then."""
    first, second = Membership(Kafka()), Membership(Kafka())
    name = first.name

    first.release()
    again = Membership(Kafka())

    assert name is not None
    assert name.endswith("-0")
    assert second.name == f"{name.removesuffix('-0')}-1"
    assert again.name == name
    again.release()
    second.release()


def test_applications_do_not_take_each_others_numbers() -> None:
    """Names are the group's: another application begins at zero again, other topics have another name."""
    first, other = Membership(Kafka()), Membership(Kafka(application_id="other"))

    prefixed = Membership(Kafka(prefix="paper."))

    assert first.name == other.name
    assert prefixed.name != first.name
    for member in (first, other, prefixed):
        member.release()


def test_a_given_name_is_taken_as_it_is() -> None:
    """Whoever names workers answers for the names; `dynamic` is no name."""
    assert Membership(Kafka(group_instance_id="one")).name == "one"
    assert Membership(Kafka(group_instance_id=DYNAMIC)).name is None


def test_without_a_place_for_locks_there_is_no_name(folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Two workers of one name would push each other out: where that cannot be excluded, none has one."""
    blocked = folder / "file"
    blocked.write_text("")
    monkeypatch.setenv("FIFTYTWO_CACHE_DIR", str(blocked))

    assert Membership(Kafka()).name is None
