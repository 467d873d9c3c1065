"""What one fetch brought for one partition: record batches as the broker sent them, and the offsets they cover.

A batch has a header of 61 bytes (format v2). Only offsets, the producer and two attribute bits are read here; what is
inside is decoded elsewhere.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from struct import Struct
from typing import Final

# base offset, length of what follows, leader epoch, magic, checksum, attributes, last offset delta
HEADER: Final = Struct(">qiibIhi")
PRODUCER: Final = Struct(">q")
PRODUCER_START: Final = 43
LENGTH_END: Final = 12  # The length field counts from here.
BATCH_BYTES_MIN: Final = 61
MAGIC: Final = 2
TRANSACTIONAL: Final = 0x10
CONTROL: Final = 0x20
# A control record after the header: length, attributes, two deltas and the key's length, one byte each; then version
# and type, two bytes each.
CONTROL_TYPE_START: Final = BATCH_BYTES_MIN + 1 + 1 + 1 + 1 + 1 + 2
ABORT: Final = b"\x00\x00"


class UnsupportedBatch(ValueError):
    """The log holds batches in a format older than v2 (Kafka 0.11)."""


@dataclass(frozen=True, slots=True)
class Fetched:
    """Complete record batches of one partition, from `position` on.

    The first batch may begin before `position`: a reader skips records below the offset it wants. Control batches are
    still inside.
    """

    topic: str
    partition: int
    position: int
    next_offset: int
    end_offset: int
    """The end of the partition's readable records when this was fetched."""
    data: bytes | memoryview


class RawRecords:
    """Keeps the bytes of a fetch response; takes the place of aiokafka's `MemoryRecords` in our fetcher."""

    __slots__ = ("data",)

    def __init__(self, data: bytes | memoryview | None) -> None:
        self.data = data if data is not None else b""

    def has_next(self) -> bool:
        """Return whether at least one batch is complete."""
        if len(self.data) < LENGTH_END:
            return False
        length = int.from_bytes(self.data[8:LENGTH_END], "big", signed=True)
        return len(self.data) >= LENGTH_END + length

    def size_in_bytes(self) -> int:
        """Return the number of bytes, complete or not."""
        return len(self.data)

    def take(self) -> bytes | memoryview:
        """Return the bytes and hold them no longer.

        aiokafka's object around this one is in a cycle, which the collector may find much later; a response of many MiB
        must not wait for that.
        """
        data, self.data = self.data, b""
        return data


def select_batches(
    data: bytes | memoryview, position: int, bytes_max: int, aborted: Sequence[tuple[int, int]] = ()
) -> list[tuple[bytes | memoryview, int]]:
    """Return the complete batches of a fetch response in sets of about `bytes_max`, each with the offset after it.

    A broker may cut the last batch short, and may send more than was asked for. Batches of aborted transactions are
    left out, as a reader of committed records must.

    Args:
        data: The bytes of a fetch response for one partition.
        position: The offset that was asked for.
        bytes_max: A set of more than one batch is not larger than this.
        aborted: (producer id, first offset) of aborted transactions, as the broker sent them.

    Returns:
        At least one set when there is a complete batch, else none.

    Raises:
        UnsupportedBatch: A batch is older than format v2.
    """
    waiting = sorted(aborted, key=lambda entry: entry[1])
    open_aborted: set[int] = set()
    sets: list[tuple[bytes | memoryview, int]] = []
    kept: list[tuple[int, int]] = []
    start, first, size, next_offset = 0, 0, len(data), position
    while start + BATCH_BYTES_MIN <= size:
        base, length, _, magic, _, attributes, delta = HEADER.unpack_from(data, start)
        end = start + LENGTH_END + length
        if end > size:
            break
        if magic != MAGIC:
            raise UnsupportedBatch(
                f"expected record batches of format {MAGIC}, found format {magic} at offset {base}: "
                "the topic was written by a broker or client older than Kafka 0.11; copy its records into a new topic"
            )
        if end - first > bytes_max and start > first:
            sets.append((join_spans(data, kept), next_offset))
            kept, first = [], start
        next_offset = base + delta + 1
        if not (aborted and is_aborted(data, start, base, attributes, waiting, open_aborted)):
            if kept and kept[-1][1] == start:
                kept[-1] = (kept[-1][0], end)
            else:
                kept.append((start, end))
        start = end
    if start > first:
        sets.append((join_spans(data, kept), next_offset))
    return sets


def is_aborted(
    data: bytes | memoryview,
    start: int,
    base: int,
    attributes: int,
    waiting: list[tuple[int, int]],
    open_aborted: set[int],
) -> bool:
    """Return whether a batch belongs to an aborted transaction, and keep track of which are open."""
    (producer,) = PRODUCER.unpack_from(data, start + PRODUCER_START)
    while waiting and waiting[0][1] <= base:
        open_aborted.add(waiting.pop(0)[0])
    if attributes & CONTROL:
        kind = start + CONTROL_TYPE_START
        if data[kind : kind + 2] == ABORT:
            open_aborted.discard(producer)
        return False
    return bool(attributes & TRANSACTIONAL) and producer in open_aborted


def join_spans(data: bytes | memoryview, spans: Sequence[tuple[int, int]]) -> bytes | memoryview:
    """Return the bytes of some spans; without a copy where there is one span, the usual case."""
    if len(spans) == 1:
        start, end = spans[0]
        return data if (start, end) == (0, len(data)) else memoryview(data)[start:end]
    return b"".join(data[start:end] for start, end in spans)
