"""Instrument ids and the rows they stand for: rows are given in order of first appearance and never taken back.

The table is a dictionary for Python and, for compiled code, an open-addressing hash table over the four words of an id.
An id fits 32 bytes, so that comparing it is four integer comparisons. Equality with an id in the table also proves that
the text, unless it ends in a zero byte, is a well-formed id without quotes or escapes: the reader looks for neither.
"""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final

import numpy as np
import numpy.typing as npt

from streams.core.compiled import inlined, njit
from streams.core.words import words_of

ID_BYTES: Final = 32
ID_WORDS: Final = 4
ROWS_MAX: Final = 1_000_000  # More than every listed security of the world; a producer gone wild stops here.
_ROWS_AT_FIRST: Final = 1024
_SLOTS_PER_ROW: Final = 4  # A table at most a quarter full: nearly every look-up ends at its first slot.

_INSTRUMENT = re.compile(r"([A-Z0-9]{4}):[A-Z0-9][A-Z0-9.\-/]{0,26}")


class InvalidInstrument(ValueError):
    """The text is not an instrument id."""


class UnknownMarket(ValueError):
    """The instrument's market is not one of those configured."""


class Instruments:
    """The instruments of one partition: id to row and back, append-only.

    Attributes:
        mics: The markets that instruments may be listed on; an instrument's market is an index into them.
        slots: The hash table of rows, -1 where free; its size is a power of two.
        keys: Four little-endian words a row, its id padded with zero bytes; longer than the table.
        markets: The index of the market of every row; longer than the table.
    """

    def __init__(self, mics: Sequence[str], *, rows_max: int = ROWS_MAX) -> None:
        self.mics = tuple(mics)
        self._market_index = {mic: index for index, mic in enumerate(self.mics)}
        self._rows: dict[str, int] = {}
        self._ids: list[str] = []
        self._rows_max = rows_max
        self._order = np.zeros(0, np.int32)
        self.keys = np.zeros(_ROWS_AT_FIRST * ID_WORDS, np.int64)
        self.markets = np.zeros(_ROWS_AT_FIRST, np.int16)
        self.slots = np.full(_ROWS_AT_FIRST * _SLOTS_PER_ROW, -1, np.int32)

    def __len__(self) -> int:
        """Return how many instruments have a row."""
        return len(self._ids)

    def row(self, instrument: str) -> int:
        """Return the row of an instrument, and give it one at its first appearance.

        Raises:
            InvalidInstrument: The id does not have the form MIC:SYMBOL, or the partition's limit is reached.
            UnknownMarket: Its market is not configured.
        """
        found = self._rows.get(instrument)
        return self._add(instrument, self.market_of(instrument)) if found is None else found

    def find(self, instrument: str) -> int | None:
        """Return the row of an instrument that has one, else None."""
        return self._rows.get(instrument)

    def market_of(self, instrument: str) -> int:
        """Return the index of the market of an instrument without giving it a row.

        Raises:
            InvalidInstrument: The id does not have the form MIC:SYMBOL, or it is new and the limit is reached.
            UnknownMarket: Its market is not configured.
        """
        found = self._rows.get(instrument)
        if found is not None:
            return int(self.markets[found])
        match = _INSTRUMENT.fullmatch(instrument)
        if match is None:
            raise InvalidInstrument(
                f"expected an instrument id like XNYS:BABA (market code, colon, symbol of A-Z 0-9 . - /, "
                f"at most {ID_BYTES} bytes), found {instrument[:60]!r}; send the exchange's symbol in capitals"
            )
        market = self._market_index.get(match[1])
        if market is None:
            raise UnknownMarket(
                f"expected an instrument of {', '.join(self.mics)}, found {instrument!r}; "
                f"add {match[1]} to the configured markets or stop sending it here"
            )
        if len(self._ids) >= self._rows_max:
            raise InvalidInstrument(
                f"expected at most {self._rows_max} instruments in a partition, found one more, {instrument!r}; "
                "use more partitions, or check the producer"
            )
        return market

    def id(self, row: int) -> str:
        """Return the id of a row."""
        return self._ids[row]

    @property
    def market(self) -> npt.NDArray[np.int16]:
        """The index of the market of every row."""
        return self.markets[: len(self._ids)]

    @property
    def order(self) -> npt.NDArray[np.int32]:
        """The rows sorted by the bytes of their ids."""
        if len(self._order) != len(self._ids):
            ids = self.keys[: len(self._ids) * ID_WORDS].view(f"S{ID_BYTES}")
            self._order = np.argsort(ids, kind="stable").astype(np.int32)
        return self._order

    def _add(self, instrument: str, market: int) -> int:
        row = len(self._ids)
        if row == len(self.markets):
            self._grow()
        self._ids.append(instrument)
        self._rows[instrument] = row
        self.markets[row] = market
        self.keys[row * ID_WORDS : (row + 1) * ID_WORDS] = words_of(instrument.encode("ascii"), ID_WORDS)
        insert_rows(self.slots, self.keys, row, row + 1)
        return row

    def _grow(self) -> None:
        rows = len(self.markets)
        self.keys = np.concatenate([self.keys, np.zeros_like(self.keys)])
        self.markets = np.concatenate([self.markets, np.zeros_like(self.markets)])
        self.slots = np.full(2 * rows * _SLOTS_PER_ROW, -1, np.int32)
        insert_rows(self.slots, self.keys, 0, rows)


@inlined
def find_row(
    slots: npt.NDArray[np.int32],
    mask: int,
    keys: npt.NDArray[np.int64],
    first: int,
    second: int,
    third: int,
    fourth: int,
) -> int:
    """Return the row whose id has these four words, or -1. Called once a tick.

    Args:
        slots: Pointer to the hash table.
        mask: The table's size less one.
        keys: Pointer to the words of the rows' ids.
        first: The id's first eight bytes.
        second: Its next eight; zero bytes past its end.
        third: Its next eight.
        fourth: Its last eight.
    """
    slot = first_slot(mask, first, second, third, fourth)
    while True:
        row = int(slots[slot])
        if row < 0:
            return -1
        key = row * ID_WORDS
        if keys[key] == first and keys[key + 1] == second and keys[key + 2] == third and keys[key + 3] == fourth:
            return row
        slot = (slot + 1) & mask


@inlined
def first_slot(mask: int, first: int, second: int, third: int, fourth: int) -> int:
    """Return where `find_row` begins to look for an id."""
    return _hash(first, second, third, fourth) & mask


@njit
def insert_rows(slots: npt.NDArray[np.int32], keys: npt.NDArray[np.int64], start: int, stop: int) -> None:
    """Enter the rows from start to stop into the hash table, which has free slots for them."""
    mask = slots.size - 1
    for row in range(start, stop):
        key = row * ID_WORDS
        slot = first_slot(mask, int(keys[key]), int(keys[key + 1]), int(keys[key + 2]), int(keys[key + 3]))
        while slots[slot] >= 0:
            slot = (slot + 1) & mask
        slots[slot] = row


# Every product of 32 and 31 bits stays below 2**63: compiled integers would wrap, uncompiled ones would not.
@inlined
def _hash(first: int, second: int, third: int, fourth: int) -> int:
    mixed = (
        ((first ^ (first >> 32)) & 0xFFFF_FFFF) * 0x5E37_79B1
        ^ ((second ^ (second >> 32)) & 0xFFFF_FFFF) * 0x45EB_CA77
        ^ ((third ^ (third >> 32)) & 0xFFFF_FFFF) * 0x42B2_AE3D
        ^ ((fourth ^ (fourth >> 32)) & 0xFFFF_FFFF) * 0x27D4_EB2F
    )
    return mixed ^ (mixed >> 31)
