"""Plain JSON objects, in compiled code: known keys, white space, and instruments that have a row already."""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from streams.core.compiled import inlined, njit
from streams.core.instruments import ID_BYTES, find_row
from streams.core.words import Bytes, first_bytes, word_at, words_of
from streams.wire.plain_values import Integers, string_length

QUOTE: Final = 0x22
_KEY_BYTES_MAX: Final = 12

# The known keys: those of a trade first, in the order of their bits, then those that only a bar has. Every one fits
# `_KEY_BYTES_MAX`.
TRADE_FIELDS: Final = ("instrument", "time", "price", "size", "conditions", "tape", "venue", "trade_id", "type")
BAR_FIELDS: Final = ("session_date", "open", "high", "low", "close", "volume")
FIELDS: Final = TRADE_FIELDS + BAR_FIELDS
_FIELD_WORDS: Final = np.array([words_of(name.encode(), 2) for name in FIELDS], np.int64)
_FIELD_LENGTHS: Final = np.array([len(name) for name in FIELDS], np.int64)


@njit
def skip_space(buffer: Bytes, at: int, end: int) -> int:
    """Return the position of the first byte that is no white space."""
    while at < end and (buffer[at] == 0x20 or buffer[at] == 0x0A or buffer[at] == 0x0D or buffer[at] == 0x09):
        at += 1
    return at


@njit
def read_key(buffer: Bytes, at: int, end: int) -> tuple[int, int]:
    """Read a known key and its colon: its index in `FIELDS`, and where its value begins; -1 for anything else."""
    if at >= end or buffer[at] != QUOTE:
        return 0, -1
    at += 1
    length = 0
    while length <= _KEY_BYTES_MAX and at + length < end and buffer[at + length] != QUOTE:
        length += 1
    if at + length >= end or length > _KEY_BYTES_MAX:
        return 0, -1
    first = word_at(buffer, at, end) & first_bytes(length)
    second = word_at(buffer, at + 8, end) & first_bytes(length - 8)
    field = _field(first, second, length)
    at = skip_space(buffer, at + length + 1, end)
    if field < 0 or at >= end or buffer[at] != 0x3A:
        return 0, -1
    at = skip_space(buffer, at + 1, end)
    return (field, at) if at < end else (0, -1)


@njit
def _field(first: int, second: int, length: int) -> int:
    for field in range(_FIELD_LENGTHS.size):
        if _FIELD_LENGTHS[field] == length and _FIELD_WORDS[field, 0] == first and _FIELD_WORDS[field, 1] == second:
            return field
    return -1


@inlined
def read_instrument(
    buffer: Bytes, at: int, end: int, key_length: int, slots: npt.NDArray[np.int32], mask: int, keys: Integers
) -> tuple[int, int]:
    """Read the instrument whose text begins at `at`: its row, -1 without one, and the position of the closing quote.

    The record's key nearly always is the id: its length says where to look for the closing quote. Equality with a known
    id proves the rest.
    """
    length = key_length
    if length < 1 or length > ID_BYTES or at + length >= end or buffer[at + length] != QUOTE:
        length = string_length(buffer, at, end)
        if length < 1 or length > ID_BYTES:
            return -1, -1
    stop = at + length
    if buffer[stop - 1] == 0:
        return -1, -1  # zero bytes pad the ids of the table
    first = word_at(buffer, at, stop)
    second = word_at(buffer, at + 8, stop)
    third = 0
    fourth = 0
    if length > 16:
        third = word_at(buffer, at + 16, stop)
        fourth = word_at(buffer, at + 24, stop)
    return find_row(slots, mask, keys, first, second, third, fourth), stop
