"""The compiled reader of plain ticks: JSON bytes to columns, without an object, a copy or a float.

A feed writes every record alike: the same keys, the same order, the same spaces. So the reader remembers the shape of
the record before, as the literal bytes between the values, and compares eight of them at a time; only where they
differ does it read the object key by key, and remember anew. It accepts known keys in any order, plain strings, plain
decimals, RFC 3339 times and integer nanoseconds. Whatever else it meets (escapes, unknown or repeated keys, other types
of record, anything that may have to be refused) it leaves to the thorough way: it never refuses a record itself.

All integers are signed: compiled and uncompiled code differ on unsigned ones.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from streams.core.compiled import inlined, njit
from streams.core.eligibility import CODE_UNKNOWN, PROFILE_CTA, PROFILE_UTP, combine
from streams.core.instruments import ID_BYTES, ID_WORDS, first_slot
from streams.core.layout import CONDITION_COUNT, KIND_TICK, TRADE_ID_BYTES, VENUE_CHARACTERS, VENUE_MASK
from streams.core.units import PRICE_MAX, SIZE_MAX
from streams.core.words import Bytes, first_bytes, pointer_to, prefetch, word_at, words_of
from streams.wire.binary_reader import read_binary
from streams.wire.binary_ticks import LENGTH_SHORT, MAGIC
from streams.wire.plain_objects import QUOTE, read_instrument, read_key, skip_space
from streams.wire.plain_values import (
    Integers,
    read_conditions,
    read_decimal,
    read_integer_time,
    read_time,
    string_length,
)
from streams.wire.tick_memory import (
    CODE_COUNT,
    CODES,
    KEY_LENGTH,
    PRICE_VALUE,
    PROFILE,
    ROW,
    SEGMENTS,
    SIZE_VALUE,
    SLOT_MASK,
    STATUS_NULL,
    STATUS_OTHER,
    STATUS_PLAIN,
    STATUS_UNKNOWN,
    TIME,
    TRADE_ID_LENGTH,
    TRADE_ID_START,
    UNKNOWN_CODES,
    VALUES_END,
    VENUE_NUMBER,
    clear,
)

# What a value is. A string's quotes belong to the literal bytes around it.
_END: Final = 0
_INSTRUMENT: Final = 1
_TIME_TEXT: Final = 2
_TIME_INTEGER: Final = 3
_PRICE: Final = 4
_PRICE_NUMBER: Final = 5
_SIZE: Final = 6
_SIZE_NUMBER: Final = 7
_CONDITIONS: Final = 8
_TAPE: Final = 9
_VENUE: Final = 10
_TRADE_ID: Final = 11
_TYPE: Final = 12
_REQUIRED: Final = 0b1111  # instrument, time, price and size

# The shape of the record before, behind the values of the one being read.
_SHAPE: Final = VALUES_END
_SEGMENT_WORDS: Final = 5  # kind, length, three words
_LITERAL_BYTES_MAX: Final = 24
_SEGMENTS_MAX: Final = 10  # every known key once, and the end
MEMORY_WORDS: Final = _SHAPE + _SEGMENT_WORDS * _SEGMENTS_MAX

_FAR: Final = 16  # records between asking for a cache line and its use
_NEAR: Final = 8

WIDE: Final = 8_192  # slots of a hash table that, with its ids, does not stay in the processor's nearest caches

_RECORD_BYTES_MIN: Final = 8  # what `word_at` asks for; the shortest tick has more

# The kind of each field's value where it is a string, and where it is not; -1 where that is not plain. Fields past
# these are no trade's.
_KINDSQUOTED: Final = np.array([_INSTRUMENT, _TIME_TEXT, _PRICE, _SIZE, -1, _TAPE, _VENUE, _TRADE_ID, _TYPE], np.int64)
_KINDS_BARE: Final = np.array([-1, _TIME_INTEGER, _PRICE_NUMBER, _SIZE_NUMBER, _CONDITIONS, -1, -1, -1, -1], np.int64)
_TICK_WORD: Final = words_of(b'tick"', 1)[0]


@njit
def read_ticks(
    buffer: Bytes,
    frames: npt.NDArray[Any],
    records: npt.NDArray[Any],
    statuses: npt.NDArray[np.int8],
    start: int,
    slots_array: npt.NDArray[np.int32],
    keys_array: Integers,
    profiles: npt.NDArray[np.int8],
    markets: npt.NDArray[np.int16],
    table_array: npt.NDArray[np.int16],
    memory_array: Integers,
) -> int:
    """Read the records from `start` on; return the index of the first whose instrument has no row, or their number.

    Args:
        buffer: What the frames point into, read-only.
        frames: Where the values lie.
        records: Written where the status is plain.
        statuses: Written for every record that was looked at.
        start: The first record to read.
        slots_array: The instruments' hash table.
        keys_array: The instruments' ids.
        profiles: The profile of sale conditions of every market.
        markets: The market of every row.
        table_array: What every profile and code allows.
        memory_array: MEMORY_WORDS integers, zero at first; the shape and date of the record before.
    """
    source, memory = pointer_to(buffer), pointer_to(memory_array)
    slots, keys, table = pointer_to(slots_array), pointer_to(keys_array), pointer_to(table_array)
    memory[SLOT_MASK] = slots_array.size - 1
    is_wide = slots_array.size >= WIDE
    stopped = frames.size
    for index in range(start, frames.size):
        if is_wide:
            _ask_ahead(buffer, source, frames, index, slots_array, slots, keys_array)
        frame = frames[index]
        at = np.int64(frame["value_start"])
        length = np.int64(frame["value_length"])
        if length < 0:
            statuses[index] = STATUS_NULL
            continue
        end = at + length
        memory[KEY_LENGTH] = int(frame["key_length"])
        status = STATUS_OTHER
        if length >= LENGTH_SHORT and source[at] == MAGIC:
            status = read_binary(source, at, length, np.int64(frame["key_start"]), slots, keys, memory)
        elif length >= _RECORD_BYTES_MIN:
            status = _read_shape(source, at, end, slots, keys, memory)
            if status == STATUS_OTHER:
                status = _read_object(source, at, end, slots, keys, memory)
        statuses[index] = status
        if status == STATUS_UNKNOWN:
            stopped = index
            break
        if status == STATUS_PLAIN:
            row = int(memory[ROW])
            profile = int(memory[PROFILE])
            if profile < 0:
                profile = int(profiles[int(markets[row])])
            eligible = combine(table, np.int64(profile), memory, np.int64(CODES), np.int64(memory[CODE_COUNT]))
            if eligible & CODE_UNKNOWN:
                memory[UNKNOWN_CODES] += 1
            _write(records[index], frame, eligible & ~CODE_UNKNOWN, memory)
    return stopped


# Asks for the cache lines that finding the rows of records to come will touch: the slot of the hash table, and when it
# is there, the id it leads to. With ten thousand instruments they are seldom in the cache. The record's key nearly
# always is the instrument; where it is not, nothing but time is lost.
@inlined
def _ask_ahead(
    buffer: Bytes,
    source: Bytes,
    frames: npt.NDArray[Any],
    index: int,
    slots_array: npt.NDArray[np.int32],
    slots: npt.NDArray[np.int32],
    keys_array: Integers,
) -> None:
    last = frames.size - 1
    mask = slots_array.size - 1
    prefetch(slots_array, _slot_of_key(source, buffer.size, frames[min(index + _FAR, last)], mask), 0)
    row = int(slots[_slot_of_key(source, buffer.size, frames[min(index + _NEAR, last)], mask)])
    prefetch(keys_array, max(row, 0) * ID_WORDS, 0)


@inlined
def _slot_of_key(source: Bytes, size: int, frame: Any, mask: int) -> int:
    key = np.int64(frame["key_start"])
    length = np.int64(frame["key_length"])
    if length < 1 or length > ID_BYTES or key + ID_BYTES > size:
        return 0
    first = word_at(source, key, key + 8) & first_bytes(length)
    second = word_at(source, key + 8, key + 16) & first_bytes(length - 8)
    third = word_at(source, key + 16, key + 24) & first_bytes(length - 16)
    fourth = word_at(source, key + 24, key + 32) & first_bytes(length - 24)
    return first_slot(mask, first, second, third, fourth)


@inlined
def _write(record: Any, frame: Any, eligible: int, memory: Integers) -> None:
    count = int(memory[CODE_COUNT])
    record["kind"] = KIND_TICK
    record["eligible"] = eligible
    record["trade_id_length"] = int(memory[TRADE_ID_LENGTH])
    record["mode"] = 0
    record["row"] = int(memory[ROW])
    record["time_ns"] = int(memory[TIME])
    record["price"] = int(memory[PRICE_VALUE])
    record["size"] = int(memory[SIZE_VALUE])
    record["append_ns"] = frame["append_ns"]
    record["offset"] = frame["offset"]
    record["trade_id_start"] = int(memory[TRADE_ID_START])
    record["extra"] = int(memory[VENUE_NUMBER])
    for position in range(CONDITION_COUNT):
        record["conditions"][position] = memory[CODES + position] if position < count else 0
    for position in range(3):
        record["spare"][position] = 0


# The record as the shape of the one before has it: literal bytes and values in turn.
@inlined
def _read_shape(
    buffer: Bytes,
    at: int,
    end: int,
    slots: npt.NDArray[np.int32],
    keys: Integers,
    memory: Integers,
) -> int:
    clear(memory)
    segments = int(memory[SEGMENTS])
    base = _SHAPE
    for _ in range(segments):
        length = int(memory[base + 1])
        stop = at + length
        if stop > end or word_at(buffer, at, stop) != memory[base + 2]:
            return STATUS_OTHER
        if length > 8 and word_at(buffer, at + 8, stop) != memory[base + 3]:
            return STATUS_OTHER
        if length > 16 and word_at(buffer, at + 16, stop) != memory[base + 4]:
            return STATUS_OTHER
        at = stop
        kind = int(memory[base])
        if kind == _END:
            return STATUS_PLAIN if at == end else STATUS_OTHER
        at = _read_value(buffer, at, end, kind, slots, keys, memory)
        if at < 0:
            return STATUS_OTHER
        if kind == _INSTRUMENT and memory[ROW] < 0:
            return STATUS_UNKNOWN
        base += _SEGMENT_WORDS
    return STATUS_OTHER


# The record key by key; its shape is remembered when it was plain.
@njit
def _read_object(
    buffer: Bytes,
    at: int,
    end: int,
    slots: npt.NDArray[np.int32],
    keys: Integers,
    memory: Integers,
) -> int:
    clear(memory)
    memory[SEGMENTS] = 0
    literal = at
    segment = np.int64(0)
    seen = 0
    at = skip_space(buffer, at, end)
    if at >= end or buffer[at] != 0x7B:
        return STATUS_OTHER
    at += 1
    while True:
        at = skip_space(buffer, at, end)
        field, at = read_key(buffer, at, end)
        if at < 0 or field >= _KINDS_BARE.size or seen & (1 << field):
            return STATUS_OTHER
        seen |= 1 << field
        quoted = buffer[at] == QUOTE
        kind = int(_KINDSQUOTED[field]) if quoted else int(_KINDS_BARE[field])
        if kind < 0:
            return STATUS_OTHER
        at += 1 if quoted else 0
        segment = _remember(buffer, literal, at, kind, memory, segment)
        at = _read_value(buffer, at, end, kind, slots, keys, memory)
        if at < 0 or at >= end:
            return STATUS_OTHER
        if kind == _INSTRUMENT and memory[ROW] < 0:
            return STATUS_UNKNOWN
        literal = at
        if quoted:
            if buffer[at] != QUOTE:
                return STATUS_OTHER
            at += 1
        at = skip_space(buffer, at, end)
        if at >= end:
            return STATUS_OTHER
        at += 1
        if buffer[at - 1] == 0x7D:
            break
        if buffer[at - 1] != 0x2C:
            return STATUS_OTHER
    if seen & _REQUIRED != _REQUIRED or skip_space(buffer, at, end) != end:
        return STATUS_OTHER
    segment = _remember(buffer, literal, end, np.int64(_END), memory, segment)
    memory[SEGMENTS] = segment if segment > 0 else 0
    return STATUS_PLAIN


# One more segment of the shape; -1 from the first literal that is too long to be remembered.
@njit
def _remember(buffer: Bytes, start: int, stop: int, kind: int, memory: Integers, segment: int) -> int:
    length = stop - start
    if segment < 0 or length > _LITERAL_BYTES_MAX or segment >= _SEGMENTS_MAX:
        return -1
    base = _SHAPE + segment * _SEGMENT_WORDS
    memory[base] = kind
    memory[base + 1] = length
    for word in range(3):
        memory[base + 2 + word] = word_at(buffer, start + 8 * word, stop)
    return segment + 1


# One value into the memory; the position after it (before a string's closing quote), or -1 where it is not plain.
@inlined
def _read_value(
    buffer: Bytes,
    at: int,
    end: int,
    kind: int,
    slots: npt.NDArray[np.int32],
    keys: Integers,
    memory: Integers,
) -> int:
    if kind == _INSTRUMENT:
        memory[ROW], at = read_instrument(buffer, at, end, int(memory[KEY_LENGTH]), slots, int(memory[SLOT_MASK]), keys)
    elif kind == _TIME_TEXT:
        memory[TIME], at = read_time(buffer, at, end, memory)
    elif kind <= _SIZE_NUMBER:
        at = _read_number(buffer, at, end, kind, memory)
    elif kind == _CONDITIONS:
        memory[CODE_COUNT], at = read_conditions(buffer, at, end, memory, CODES)
    else:
        at = _read_label(buffer, at, end, kind, memory)
    return at


@inlined
def _read_number(buffer: Bytes, at: int, end: int, kind: int, memory: Integers) -> int:
    if kind == _TIME_INTEGER:
        memory[TIME], at = read_integer_time(buffer, at, end)
        return at
    bare = kind == _PRICE_NUMBER or kind == _SIZE_NUMBER
    if bare and at + 1 < end and buffer[at] == 0x30 and 0x30 <= buffer[at + 1] <= 0x39:
        return -1  # JSON has no number with a leading zero
    value, at = read_decimal(buffer, at, end)
    if kind == _PRICE or kind == _PRICE_NUMBER:
        memory[PRICE_VALUE] = value
        return at if 0 < value <= PRICE_MAX else -1
    memory[SIZE_VALUE] = value
    return at if value <= SIZE_MAX else -1


@inlined
def _read_label(buffer: Bytes, at: int, end: int, kind: int, memory: Integers) -> int:
    if kind == _TYPE:
        return at + 4 if at + 5 <= end and word_at(buffer, at, at + 5) == _TICK_WORD else -1
    length = string_length(buffer, at, end)
    if length < 0:
        return -1
    if kind == _TAPE:
        tape = int(buffer[at])
        if length != 1 or tape < 0x41 or tape > 0x43:
            return -1
        memory[PROFILE] = PROFILE_UTP if tape == 0x43 else PROFILE_CTA
    elif kind == _VENUE:
        memory[VENUE_NUMBER] = word_at(buffer, at, at + min(length, VENUE_CHARACTERS)) & VENUE_MASK
    elif kind == _TRADE_ID:
        if length > TRADE_ID_BYTES:
            return -1
        memory[TRADE_ID_START] = at if length > 0 else 0
        memory[TRADE_ID_LENGTH] = length
    return at + length
