"""The compiled loops over record batches (format v2): batch headers to a table, and records to frames.

Every bound is checked here, so that no frame reaches outside the buffer, whatever the bytes.
"""

from __future__ import annotations

from typing import Any, Final

import numpy as np
import numpy.typing as npt

from streams.core.compiled import inlined, njit
from streams.core.units import TIME_MAX_NS
from streams.core.words import Bytes, pointer_to

# Where one record lies in the buffer given with it. Lengths are -1 for null.
FRAME = np.dtype(
    [
        ("offset", "i8"),
        ("append_ns", "i8"),  # the newest timestamp of the record's batch: the broker's append time under LogAppendTime
        ("key_start", "i4"),
        ("key_length", "i4"),
        ("value_start", "i4"),
        ("value_length", "i4"),
        ("headers_start", "i4"),  # the varint that counts the headers
        ("headers_length", "i4"),
    ]
)
assert FRAME.itemsize == 40

# One batch of a fetch: its header, and where its payload lies.
BATCH = np.dtype(
    [
        ("base_offset", "i8"),
        ("next_offset", "i8"),
        ("append_ns", "i8"),
        ("producer_id", "i8"),
        ("start", "i8"),  # of what the CRC covers, up to the end
        ("payload", "i8"),
        ("end", "i8"),
        ("crc", "i8"),
        ("attributes", "i4"),
        ("count", "i4"),
    ]
)

_MILLISECOND: Final = 1_000_000
# What the compiled loops report; negative, so that it cannot be a position.
BAD_LENGTH: Final = -1
BAD_MAGIC: Final = -2
BAD_COUNT: Final = -3


@njit
def walk_batches(buffer: Bytes, batches: npt.NDArray[Any], count: int, at: int) -> tuple[int, int]:
    """Fill `batches` from position `at` on; return how many there are, or an error, and where it stopped."""
    size = buffer.size
    while at + 12 <= size and count < batches.size:
        length = read_integer(buffer, at + 8, np.int64(4))
        if length < 49:
            return BAD_LENGTH, at
        end = at + 12 + length
        if end > size and at + 17 > size:
            break
        if buffer[at + 16] != 2:
            return BAD_MAGIC, at
        if end > size:
            break
        base = read_integer(buffer, at, np.int64(8))
        last_delta = read_integer(buffer, at + 23, np.int64(4))
        records = read_integer(buffer, at + 57, np.int64(4))
        newest = read_integer(buffer, at + 35, np.int64(8))
        if records < 0 or last_delta < 0 or base < 0 or base > 2**62 or records > last_delta + 1:
            return BAD_COUNT, at
        batch = batches[count]
        batch["base_offset"] = base
        batch["next_offset"] = base + last_delta + 1
        # Under CreateTime a producer may write anything: no more than a time can be.
        batch["append_ns"] = min(max(newest, 0), TIME_MAX_NS // 1_000_000) * _MILLISECOND
        batch["producer_id"] = read_integer(buffer, at + 43, np.int64(8))
        batch["start"] = at + 21
        batch["payload"] = at + 61
        batch["end"] = end
        batch["crc"] = read_integer(buffer, at + 17, np.int64(4)) & 0xFFFF_FFFF
        batch["attributes"] = read_integer(buffer, at + 21, np.int64(2))
        batch["count"] = records
        count += 1
        at = end
    return count, at


@njit
def frame_records(buffer_array: Bytes, batches: npt.NDArray[Any], frames: npt.NDArray[Any]) -> int:
    """Fill `frames` with the records of all batches; return how many, or -1 minus the index of a broken batch."""
    buffer = pointer_to(buffer_array)
    written = 0
    broken = -1
    for index in range(batches.size):
        batch = batches[index]
        at = int(batch["payload"])
        end = int(batch["end"])
        base = int(batch["base_offset"])
        offset_max = int(batch["next_offset"]) - 1
        append_ns = int(batch["append_ns"])
        for _ in range(int(batch["count"])):
            frame = frames[written]
            at = _frame_record(buffer, at, end, base, frame)
            if at < 0 or frame["offset"] > offset_max:
                at = -1
                break
            frame["append_ns"] = append_ns
            written += 1
        if at != end:
            broken = index
            break
    return written if broken < 0 else -1 - broken


# One record: six varints and three spans. Every bound is checked here, so that no frame reaches outside the buffer.
@inlined
def _frame_record(buffer: Bytes, at: int, end: int, base: int, frame: Any) -> int:
    length, at = read_varint(buffer, at, end)
    if at < 0 or length < 0 or at + length > end:
        return -1
    end = at + length
    at = _skipread_varint(buffer, at + 1, end)  # the attributes, unused in this format, and the producer's timestamp
    delta, at = read_varint(buffer, at, end)
    if at < 0 or delta < 0:
        return -1
    frame["offset"] = base + delta
    length, at = read_varint(buffer, at, end)
    if at < 0 or length < -1 or at + length > end:
        return -1
    frame["key_start"] = at
    frame["key_length"] = length
    at += max(length, 0)
    length, at = read_varint(buffer, at, end)
    if at < 0 or length < -1 or at + length > end:
        return -1
    frame["value_start"] = at
    frame["value_length"] = length
    at += max(length, 0)
    frame["headers_start"] = at
    frame["headers_length"] = end - at
    if end - at == 1 and buffer[at] == 0:
        return end
    return _skip_headers(buffer, at, end)


@njit
def _skip_headers(buffer: Bytes, at: int, end: int) -> int:
    count, at = read_varint(buffer, at, end)
    if at < 0 or count < 0:
        return -1
    for _ in range(count):
        length, at = read_varint(buffer, at, end)
        if at < 0 or length < 0 or at + length > end:
            return -1
        length, at = read_varint(buffer, at + length, end)
        if at < 0 or length < -1 or at + length > end:
            return -1
        at += max(length, 0)
    return at if at == end else -1


@inlined
def read_varint(buffer: Bytes, at: int, end: int) -> tuple[int, int]:
    """Read a signed 32-bit number in zigzag form; the position after it is -1 where it does not end in time."""
    if 0 <= at < end and buffer[at] < 128:
        raw = int(buffer[at])
        return (raw >> 1) ^ -(raw & 1), at + 1
    raw = 0
    shift = 0
    while 0 <= at < end and shift <= 28:
        byte = int(buffer[at])
        at += 1
        raw |= (byte & 0x7F) << shift
        if byte < 128:
            return (raw >> 1) ^ -(raw & 1), at
        shift += 7
    return 0, -1


@inlined
def _skipread_varint(buffer: Bytes, at: int, end: int) -> int:
    for _ in range(10):
        if at < 0 or at >= end:
            return -1
        at += 1
        if buffer[at - 1] < 128:
            return at
    return -1


@njit
def read_integer(buffer: Bytes, at: int, count: int) -> int:
    """Read a big-endian signed integer of `count` bytes."""
    value = int(buffer[at])
    if value >= 128:
        value -= 256
    for index in range(1, count):
        value = value * 256 + int(buffer[at + index])
    return value
