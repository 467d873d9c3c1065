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
from streams.core.instruments import ID_BYTES, find_row
from streams.core.layout import CONDITION_COUNT, KIND_TICK, TRADE_ID_BYTES, VENUE_CHARACTERS, VENUE_MASK
from streams.core.units import PRICE_MAX, SIZE_MAX
from streams.core.words import Bytes, first_bytes, pointer_to, word_at, words_of
from streams.wire.plain_values import (
    DATE_WORDS,
    Integers,
    read_conditions,
    read_decimal,
    read_integer_time,
    read_time,
    string_length,
)

# What became of a record.
STATUS_NULL: Final = 0
STATUS_PLAIN: Final = 1
STATUS_OTHER: Final = 2  # not plain: to be decoded the thorough way
STATUS_UNKNOWN: Final = 3  # plain so far, but its instrument has no row yet

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

# The reader's memory, after that of `read_time`: what it knows from the records before, and the values of the one being
# read. One array holds all of it, so that helpers take one pointer.
_SEGMENTS: Final = DATE_WORDS  # how many segments the remembered shape has; 0 without one
UNKNOWN_CODES: Final = DATE_WORDS + 1  # running count of trades with a sale condition that the table cannot judge
_SLOT_MASK: Final = DATE_WORDS + 2  # the size of the instruments' hash table less one
_KEY_LENGTH: Final = DATE_WORDS + 3
_ROW: Final = DATE_WORDS + 4
_TIME: Final = DATE_WORDS + 5
_PRICE_VALUE: Final = DATE_WORDS + 6
_SIZE_VALUE: Final = DATE_WORDS + 7
_PROFILE: Final = DATE_WORDS + 8  # by tape, -1 without one
_TRADE_ID_START: Final = DATE_WORDS + 9
_TRADE_ID_LENGTH: Final = DATE_WORDS + 10
_CODE_COUNT: Final = DATE_WORDS + 11
_VENUE_NUMBER: Final = DATE_WORDS + 12
_CODES: Final = DATE_WORDS + 13
_SHAPE: Final = _CODES + CONDITION_COUNT
_SEGMENT_WORDS: Final = 5  # kind, length, three words
_LITERAL_BYTES_MAX: Final = 24
_SEGMENTS_MAX: Final = 10  # every known key once, and the end
MEMORY_WORDS: Final = _SHAPE + _SEGMENT_WORDS * _SEGMENTS_MAX

_QUOTE: Final = 0x22
_KEY_BYTES_MAX: Final = 10
_RECORD_BYTES_MIN: Final = 8  # what `word_at` asks for; the shortest tick has more

# The known keys in the order of their bits, as words and lengths; every one fits ten bytes.
_FIELDS: Final = (b"instrument", b"time", b"price", b"size", b"conditions", b"tape", b"venue", b"trade_id", b"type")
_FIELD_WORDS: Final = np.array([words_of(name, 2) for name in _FIELDS], np.int64)
_FIELD_LENGTHS: Final = np.array([len(name) for name in _FIELDS], np.int64)
# The kind of each field's value where it is a string, and where it is not; -1 where that is not plain.
_KINDS_QUOTED: Final = np.array([_INSTRUMENT, _TIME_TEXT, _PRICE, _SIZE, -1, _TAPE, _VENUE, _TRADE_ID, _TYPE], np.int64)
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
    memory[_SLOT_MASK] = slots_array.size - 1
    stopped = frames.size
    for index in range(start, frames.size):
        frame = frames[index]
        at = np.int64(frame["value_start"])
        length = np.int64(frame["value_length"])
        if length < 0:
            statuses[index] = STATUS_NULL
            continue
        end = at + length
        memory[_KEY_LENGTH] = int(frame["key_length"])
        status = STATUS_OTHER
        if length >= _RECORD_BYTES_MIN:
            status = _read_shape(source, at, end, slots, keys, memory)
            if status == STATUS_OTHER:
                status = _read_object(source, at, end, slots, keys, memory)
        statuses[index] = status
        if status == STATUS_UNKNOWN:
            stopped = index
            break
        if status == STATUS_PLAIN:
            row = int(memory[_ROW])
            profile = int(memory[_PROFILE])
            if profile < 0:
                profile = int(profiles[int(markets[row])])
            eligible = combine(table, np.int64(profile), memory, np.int64(_CODES), np.int64(memory[_CODE_COUNT]))
            if eligible & CODE_UNKNOWN:
                memory[UNKNOWN_CODES] += 1
            _write(records[index], frame, eligible & ~CODE_UNKNOWN, memory)
    return stopped


@inlined
def _write(record: Any, frame: Any, eligible: int, memory: Integers) -> None:
    count = int(memory[_CODE_COUNT])
    record["kind"] = KIND_TICK
    record["eligible"] = eligible
    record["trade_id_length"] = int(memory[_TRADE_ID_LENGTH])
    record["mode"] = 0
    record["row"] = int(memory[_ROW])
    record["time_ns"] = int(memory[_TIME])
    record["price"] = int(memory[_PRICE_VALUE])
    record["size"] = int(memory[_SIZE_VALUE])
    record["append_ns"] = frame["append_ns"]
    record["offset"] = frame["offset"]
    record["trade_id_start"] = int(memory[_TRADE_ID_START])
    record["extra"] = int(memory[_VENUE_NUMBER])
    for position in range(CONDITION_COUNT):
        record["conditions"][position] = memory[_CODES + position] if position < count else 0
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
    _clear(memory)
    segments = int(memory[_SEGMENTS])
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
        if kind == _INSTRUMENT and memory[_ROW] < 0:
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
    _clear(memory)
    memory[_SEGMENTS] = 0
    literal = at
    segment = np.int64(0)
    seen = 0
    at = _skip_space(buffer, at, end)
    if at >= end or buffer[at] != 0x7B:
        return STATUS_OTHER
    at += 1
    while True:
        at = _skip_space(buffer, at, end)
        field, at = _read_key(buffer, at, end)
        if at < 0 or seen & (1 << field):
            return STATUS_OTHER
        seen |= 1 << field
        quoted = buffer[at] == _QUOTE
        kind = int(_KINDS_QUOTED[field]) if quoted else int(_KINDS_BARE[field])
        if kind < 0:
            return STATUS_OTHER
        at += 1 if quoted else 0
        segment = _remember(buffer, literal, at, kind, memory, segment)
        at = _read_value(buffer, at, end, kind, slots, keys, memory)
        if at < 0 or at >= end:
            return STATUS_OTHER
        if kind == _INSTRUMENT and memory[_ROW] < 0:
            return STATUS_UNKNOWN
        literal = at
        if quoted:
            if buffer[at] != _QUOTE:
                return STATUS_OTHER
            at += 1
        at = _skip_space(buffer, at, end)
        if at >= end:
            return STATUS_OTHER
        at += 1
        if buffer[at - 1] == 0x7D:
            break
        if buffer[at - 1] != 0x2C:
            return STATUS_OTHER
    if seen & _REQUIRED != _REQUIRED or _skip_space(buffer, at, end) != end:
        return STATUS_OTHER
    segment = _remember(buffer, literal, end, np.int64(_END), memory, segment)
    memory[_SEGMENTS] = segment if segment > 0 else 0
    return STATUS_PLAIN


# What an optional field leaves when it is absent.
@inlined
def _clear(memory: Integers) -> None:
    memory[_CODE_COUNT] = 0
    memory[_PROFILE] = -1
    memory[_VENUE_NUMBER] = 0
    memory[_TRADE_ID_START] = 0
    memory[_TRADE_ID_LENGTH] = 0


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


@njit
def _skip_space(buffer: Bytes, at: int, end: int) -> int:
    while at < end and (buffer[at] == 0x20 or buffer[at] == 0x0A or buffer[at] == 0x0D or buffer[at] == 0x09):
        at += 1
    return at


# A known key and its colon: the number of the field, and where its value begins; -1 for anything else.
@njit
def _read_key(buffer: Bytes, at: int, end: int) -> tuple[int, int]:
    if at >= end or buffer[at] != _QUOTE:
        return 0, -1
    at += 1
    length = 0
    while length <= _KEY_BYTES_MAX and at + length < end and buffer[at + length] != _QUOTE:
        length += 1
    if at + length >= end or length > _KEY_BYTES_MAX:
        return 0, -1
    first = word_at(buffer, at, end) & first_bytes(length)
    second = word_at(buffer, at + 8, end) & first_bytes(length - 8)
    field = _field(first, second, length)
    at = _skip_space(buffer, at + length + 1, end)
    if field < 0 or at >= end or buffer[at] != 0x3A:
        return 0, -1
    at = _skip_space(buffer, at + 1, end)
    return (field, at) if at < end else (0, -1)


@njit
def _field(first: int, second: int, length: int) -> int:
    for field in range(_FIELD_LENGTHS.size):
        if _FIELD_LENGTHS[field] == length and _FIELD_WORDS[field, 0] == first and _FIELD_WORDS[field, 1] == second:
            return field
    return -1


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
        memory[_ROW], at = _read_instrument(buffer, at, end, slots, keys, memory)
    elif kind == _TIME_TEXT:
        memory[_TIME], at = read_time(buffer, at, end, memory)
    elif kind <= _SIZE_NUMBER:
        at = _read_number(buffer, at, end, kind, memory)
    elif kind == _CONDITIONS:
        memory[_CODE_COUNT], at = read_conditions(buffer, at, end, memory, _CODES)
    else:
        at = _read_label(buffer, at, end, kind, memory)
    return at


# The row of an instrument, -1 without one. The record's key nearly always is the id: its length says where to look for
# the closing quote. Equality with a known id proves the rest.
@inlined
def _read_instrument(
    buffer: Bytes, at: int, end: int, slots: npt.NDArray[np.int32], keys: Integers, memory: Integers
) -> tuple[int, int]:
    length = int(memory[_KEY_LENGTH])
    if length < 1 or length > ID_BYTES or at + length >= end or buffer[at + length] != _QUOTE:
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
    return find_row(slots, int(memory[_SLOT_MASK]), keys, first, second, third, fourth), stop


@inlined
def _read_number(buffer: Bytes, at: int, end: int, kind: int, memory: Integers) -> int:
    if kind == _TIME_INTEGER:
        memory[_TIME], at = read_integer_time(buffer, at, end)
        return at
    bare = kind == _PRICE_NUMBER or kind == _SIZE_NUMBER
    if bare and at + 1 < end and buffer[at] == 0x30 and 0x30 <= buffer[at + 1] <= 0x39:
        return -1  # JSON has no number with a leading zero
    value, at = read_decimal(buffer, at, end)
    if kind == _PRICE or kind == _PRICE_NUMBER:
        memory[_PRICE_VALUE] = value
        return at if 0 < value <= PRICE_MAX else -1
    memory[_SIZE_VALUE] = value
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
        memory[_PROFILE] = PROFILE_UTP if tape == 0x43 else PROFILE_CTA
    elif kind == _VENUE:
        memory[_VENUE_NUMBER] = word_at(buffer, at, at + min(length, VENUE_CHARACTERS)) & VENUE_MASK
    elif kind == _TRADE_ID:
        if length > TRADE_ID_BYTES:
            return -1
        memory[_TRADE_ID_START] = at if length > 0 else 0
        memory[_TRADE_ID_LENGTH] = length
    return at + length
