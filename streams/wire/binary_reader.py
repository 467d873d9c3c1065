"""The compiled reader of binary ticks: every field has its place (`binary_ticks.TICK`), so reading is checking.

What may have to be refused is left to the thorough way, which has the reasons.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from streams.core.compiled import inlined, njit
from streams.core.eligibility import PROFILE_CTA, PROFILE_UTP
from streams.core.instruments import ID_BYTES, find_row
from streams.core.layout import CONDITION_COUNT, TRADE_ID_BYTES, VENUE_CHARACTERS, VENUE_MASK
from streams.core.units import PRICE_MAX, SIZE_MAX, TIME_MAX_NS
from streams.core.words import Bytes, first_bytes, word_at
from streams.wire.binary_ticks import (
    LENGTH_FULL,
    LENGTH_MIDDLE,
    LENGTH_SHORT,
    MAGIC,
    SCHEMA_TICK,
    VENUE_BYTES,
    VERSION,
)
from streams.wire.plain_values import Integers
from streams.wire.tick_memory import (
    CODE_COUNT,
    CODES,
    KEY_LENGTH,
    PRICE_VALUE,
    PROFILE,
    ROW,
    SIZE_VALUE,
    SLOT_MASK,
    STATUS_OTHER,
    STATUS_PLAIN,
    STATUS_UNKNOWN,
    TIME,
    TRADE_ID_LENGTH,
    TRADE_ID_START,
    VENUE_NUMBER,
    clear,
)
from streams.wire.tick_values import INTEGER_TIME_MIN_NS

_BINARY_TICK: Final = MAGIC | SCHEMA_TICK << 8


@inlined
def read_binary(
    buffer: Bytes,
    at: int,
    length: int,
    key: int,
    slots: npt.NDArray[np.int32],
    keys: Integers,
    memory: Integers,
) -> int:
    """Read the tick at `at`, whose key begins at `key`, into the memory; return what became of it."""
    clear(memory)
    end = at + length
    head = word_at(buffer, at, end)
    known = length == LENGTH_SHORT or length == LENGTH_MIDDLE or length >= LENGTH_FULL
    if not known or head & 0xFFFF != _BINARY_TICK or (head >> 16) & 0xFF < VERSION or (head >> 24) & 0xFF != length:
        return STATUS_OTHER
    count = _character_count(buffer, at + 4, np.int64(CONDITION_COUNT))
    key_length = int(memory[KEY_LENGTH])
    time_ns = word_at(buffer, at + 8, end)
    price = word_at(buffer, at + 16, end)
    size = word_at(buffer, at + 24, end)
    if count < 0 or key_length < 1 or key_length > ID_BYTES or buffer[key + key_length - 1] == 0:
        return STATUS_OTHER
    if time_ns < INTEGER_TIME_MIN_NS or time_ns > TIME_MAX_NS or price <= 0 or price > PRICE_MAX:
        return STATUS_OTHER
    if size < 0 or size > SIZE_MAX:
        return STATUS_OTHER
    memory[CODE_COUNT] = count
    for position in range(CONDITION_COUNT):
        memory[CODES + position] = int(buffer[at + 4 + position])
    memory[TIME] = time_ns
    memory[PRICE_VALUE] = price
    memory[SIZE_VALUE] = size
    if length > LENGTH_SHORT and not _read_binary_labels(buffer, at, length, memory):
        return STATUS_OTHER
    row = _key_row(buffer, key, key_length, slots, int(memory[SLOT_MASK]), keys)
    memory[ROW] = row
    return STATUS_PLAIN if row >= 0 else STATUS_UNKNOWN


# The row of the instrument that the key is. The value follows the key and is longer than any id, so whole words
# are read and cut.
@inlined
def _key_row(buffer: Bytes, key: int, length: int, slots: npt.NDArray[np.int32], mask: int, keys: Integers) -> int:
    first = word_at(buffer, key, key + 8) & first_bytes(length)
    second = word_at(buffer, key + 8, key + 16) & first_bytes(length - 8)
    third = word_at(buffer, key + 16, key + 24) & first_bytes(length - 16)
    fourth = word_at(buffer, key + 24, key + 32) & first_bytes(length - 24)
    return find_row(slots, mask, keys, first, second, third, fourth)


# Tape, venue and trade id of a binary tick; whether they are plain.
@njit
def _read_binary_labels(buffer: Bytes, at: int, length: int, memory: Integers) -> bool:
    tape = int(buffer[at + LENGTH_SHORT + 1])
    if tape != 0:
        if tape < 0x41 or tape > 0x43:
            return False
        memory[PROFILE] = PROFILE_UTP if tape == 0x43 else PROFILE_CTA
    if _character_count(buffer, at + LENGTH_SHORT + 2, np.int64(VENUE_BYTES)) < 0:
        return False
    venue = at + LENGTH_SHORT + 2
    memory[VENUE_NUMBER] = word_at(buffer, venue, venue + VENUE_CHARACTERS) & VENUE_MASK
    id_length = int(buffer[at + LENGTH_SHORT])
    if id_length == 0:
        return True
    if id_length > TRADE_ID_BYTES or length < LENGTH_FULL:
        return False
    start = at + LENGTH_MIDDLE
    for position in range(id_length):
        if buffer[start + position] < 0x20 or buffer[start + position] > 0x7E:
            return False
    memory[TRADE_ID_START] = start
    memory[TRADE_ID_LENGTH] = id_length
    return True


# How many printable characters there are before zeros fill a field; -1 where it holds anything else.
@njit
def _character_count(buffer: Bytes, at: int, width: int) -> int:
    count = 0
    while count < width and 0x20 <= buffer[at + count] <= 0x7E:
        count += 1
    for position in range(count, width):
        if buffer[at + position] != 0:
            return -1
    return count
