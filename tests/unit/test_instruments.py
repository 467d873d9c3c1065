"""Instruments get rows in order of first appearance, and compiled and Python look-ups agree."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from streams.core.compiled import njit
from streams.core.instruments import ID_BYTES, ID_WORDS, Instruments, InvalidInstrument, UnknownMarket, find_row
from streams.core.words import Bytes, pointer_to, word_at, words_of


def test_rows_follow_first_appearance() -> None:
    """A row is given at the first appearance and never again."""
    instruments = Instruments(["XNYS", "XHKG"])

    rows = [instruments.row(name) for name in ("XNYS:BABA", "XHKG:9988", "XNYS:BABA", "XNYS:BRK.B")]

    assert rows == [0, 1, 0, 2]
    assert len(instruments) == 3
    assert [instruments.id(row) for row in range(3)] == ["XNYS:BABA", "XHKG:9988", "XNYS:BRK.B"]
    assert instruments.market.tolist() == [0, 1, 0]
    assert instruments.find("XNYS:BABA") == 0
    assert instruments.find("XNYS:T") is None


def test_order_is_that_of_the_id_bytes() -> None:
    """Rows are ordered by the bytes of their ids, a shorter id before the longer one that it begins."""
    instruments = Instruments(["XNYS"])
    names = ["XNYS:T", "XNYS:BABA", "XNYS:A/B", "XNYS:A", "XNYS:A-B", "XNYS:A.B", "XNYS:0"]
    for name in names:
        instruments.row(name)

    assert [instruments.id(int(row)) for row in instruments.order] == sorted(names)

    instruments.row("XNYS:ZZ")
    assert [instruments.id(int(row)) for row in instruments.order] == sorted([*names, "XNYS:ZZ"])


def test_looking_at_a_market_gives_no_row() -> None:
    """Asking for an instrument's market leaves the table as it is."""
    instruments = Instruments(["XNYS", "XNAS"])

    assert instruments.market_of("XNAS:AAPL") == 1
    assert len(instruments) == 0


@pytest.mark.parametrize(
    "name",
    [
        "",
        "BABA",
        "XNYS:",
        "xnys:BABA",
        "XNYS:baba",
        "XNYS:BA BA",
        "XNYSX:BABA",
        "XNYS:.A",
        "XNYS:" + "A" * 28,
        "XNYS:É",
    ],
)
def test_malformed_id_is_refused(name: str) -> None:
    """An id that is not MIC:SYMBOL within 32 bytes is refused with the expected form."""
    with pytest.raises(InvalidInstrument, match="expected an instrument id like XNYS:BABA"):
        Instruments(["XNYS"]).row(name)


def test_unknown_market_is_refused_by_name() -> None:
    """An instrument of a market that is not configured is refused, and the text says which are."""
    with pytest.raises(UnknownMarket, match="expected an instrument of XNYS, XHKG, found 'XLON:VOD'"):
        Instruments(["XNYS", "XHKG"]).row("XLON:VOD")


def test_rows_have_a_limit() -> None:
    """A producer that invents instruments is stopped, while those that have a row go on."""
    instruments = Instruments(["XNYS"], rows_max=2)
    instruments.row("XNYS:A")
    instruments.row("XNYS:B")

    with pytest.raises(InvalidInstrument, match="at most 2 instruments"):
        instruments.row("XNYS:C")
    assert instruments.row("XNYS:A") == 0


@njit
def look_up(slots: Any, keys: Any, first: int, second: int, third: int, fourth: int) -> int:
    return find_row(pointer_to(slots), slots.size - 1, pointer_to(keys), first, second, third, fourth)


@njit
def word_within(buffer: Bytes, at: int, end: int) -> int:
    return word_at(pointer_to(buffer), at, end)


def test_compiled_lookup_agrees_through_growth() -> None:
    """Every id is found by its four words after the table has grown, and none that is missing."""
    instruments = Instruments(["XNYS"])
    names = [f"XNYS:S{number:05d}" for number in range(5000)] + ["XNYS:" + "A" * 27]
    for name in names:
        instruments.row(name)

    for row, name in enumerate(names):
        words = words_of(name.encode(), ID_WORDS)
        assert look_up(instruments.slots, instruments.keys, *words) == row
    missing = words_of(b"XNYS:S99999", ID_WORDS)
    assert look_up(instruments.slots, instruments.keys, *missing) == -1


def test_hash_spreads_neighbouring_symbols() -> None:
    """Numbered symbols, the worst that tests and exchanges produce, take hardly more than a slot each."""
    instruments = Instruments(["XNYS"])
    for number in range(10_000):
        instruments.row(f"XNYS:S{number:04d}")

    used = np.flatnonzero(instruments.slots >= 0)
    runs = np.diff(np.flatnonzero(np.diff(np.concatenate([[-2], used])) > 1))

    assert runs.max() < 40


def test_words_stop_at_the_end_of_the_text() -> None:
    """A word that reaches past the end reads zero bytes there, whatever the top byte's sign."""
    text = bytes(range(0x78, 0x78 + ID_BYTES))
    buffer = np.frombuffer(text + b"more", np.uint8)

    for end in range(8, len(text) + 1):
        for at in range(end + 3):
            assert word_within(buffer, at, end) == words_of(text[at : min(at + 8, end)], 1)[0]
