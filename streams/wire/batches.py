"""Kafka record batches (format v2) to frames: where the key, value and headers of each record lie.

Batches are walked and records are framed by compiled loops; Python touches a batch only to check its CRC and to
decompress it. No object is made per record. Nothing is copied unless a batch is compressed.

A fetch may end in the middle of a batch: what is incomplete is ignored, as every client must, and fetched again.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any, Final

import crc32c
import numpy as np
import numpy.typing as npt
from aiokafka import codec

from streams.core.words import Bytes
from streams.wire.framing import (
    BAD_COUNT,
    BAD_LENGTH,
    BAD_MAGIC,
    BATCH,
    FRAME,
    frame_records,
    read_integer,
    read_varint,
    walk_batches,
)

__all__ = ["FRAME", "CorruptBatch", "Frames", "frame_values", "read_batches"]

_BUFFER_MAX: Final = 2**31 - 1  # Spans are 32-bit; fetches are a few MiB.
_RECORD_BYTES_MIN: Final = 7  # six one-byte varints and the attributes
_CODEC_MASK: Final = 0x07
_TRANSACTIONAL: Final = 0x10
_CONTROL: Final = 0x20

_DECODERS: Final[dict[int, tuple[str, Callable[[], bool], Callable[[Any], bytes]]]] = {
    1: ("gzip", codec.has_gzip, codec.gzip_decode),
    2: ("snappy", codec.has_snappy, codec.snappy_decode),
    3: ("lz4", codec.has_lz4, codec.lz4_decode),
    4: ("zstd", codec.has_zstd, codec.zstd_decode),
}


class CorruptBatch(ValueError):
    """The bytes are not what a broker sends: a wrong CRC, an unknown format, or a length that does not add up."""


@dataclass(frozen=True, slots=True)
class Frames:
    """The records of one fetch.

    Attributes:
        frames: One FRAME per record, in offset order.
        buffer: The bytes that the spans point into, read-only.
        next_offset: The offset to read next; past batches without records too.
        append_ns: The newest append time of any batch, 0 without one.
    """

    frames: npt.NDArray[Any]
    buffer: Bytes
    next_offset: int
    append_ns: int

    def __len__(self) -> int:
        """Return how many records there are."""
        return len(self.frames)

    def key(self, index: int) -> bytes | None:
        """Return the key of a record."""
        return self._span(index, "key")

    def value(self, index: int) -> bytes | None:
        """Return the value of a record."""
        return self._span(index, "value")

    def headers(self, index: int) -> list[tuple[str, bytes | None]]:
        """Return the headers of a record."""
        frame = self.frames[index]
        at = int(frame["headers_start"])
        count, at = read_varint(self.buffer, at, at + int(frame["headers_length"]))
        headers: list[tuple[str, bytes | None]] = []
        for _ in range(count):
            length, at = read_varint(self.buffer, at, len(self.buffer))
            name = self.buffer[at : at + length].tobytes().decode("utf-8", "replace")
            at += length
            length, at = read_varint(self.buffer, at, len(self.buffer))
            headers.append((name, self.buffer[at : at + length].tobytes() if length >= 0 else None))
            at += max(length, 0)
        return headers

    def _span(self, index: int, part: str) -> bytes | None:
        frame = self.frames[index]
        start, length = int(frame[f"{part}_start"]), int(frame[f"{part}_length"])
        return None if length < 0 else self.buffer[start : start + length].tobytes()


def read_batches(
    data: bytes | bytearray | memoryview,
    *,
    skip_before: int = 0,
    check_crc: bool = True,
    aborted: Iterable[tuple[int, int]] = (),
) -> Frames:
    """Return the records of concatenated record batches.

    Called once a fetched partition. Control batches are skipped, and so are records before `skip_before`: a broker
    sends whole batches, also when the offset asked for lies within one.

    Args:
        data: What a fetch response holds for one partition.
        skip_before: The offset that was asked for.
        check_crc: Whether to hold every batch against its CRC.
        aborted: Producer id and first offset of each aborted transaction, as the fetch response names them.

    Raises:
        CorruptBatch: A complete batch is broken.
    """
    if len(data) > _BUFFER_MAX:
        raise CorruptBatch(f"expected a fetch of at most {_BUFFER_MAX} bytes, found {len(data)}; lower the fetch size")
    buffer = np.frombuffer(data, np.uint8)
    buffer.flags.writeable = False
    batches = _walk(buffer)
    if check_crc:
        _check_crcs(data, batches)
    next_offset = max(skip_before, int(batches["next_offset"][-1])) if len(batches) else skip_before
    append_ns = int(batches["append_ns"].max()) if len(batches) else 0
    kept = batches[_kept(buffer, batches, aborted) & (batches["next_offset"] > skip_before)]
    if (kept["attributes"] & _CODEC_MASK).any():
        buffer, kept = _decompress(buffer, kept)
    frames = _frame(buffer, kept)
    if len(frames) and int(frames["offset"][0]) < skip_before:
        frames = frames[np.searchsorted(frames["offset"], skip_before) :]
    return Frames(frames, buffer, next_offset, append_ns)


def frame_values(
    values: Sequence[bytes | None],
    *,
    keys: Sequence[bytes | None] | None = None,
    first_offset: int = 0,
    append_ns: int = 0,
) -> Frames:
    """Return values that never were in a log as if they had been: for notebooks, files and tests."""
    frames = np.zeros(len(values), FRAME)
    parts: list[bytes] = []
    at = 0
    for index, value in enumerate(values):
        key = keys[index] if keys is not None else None
        spans = []
        for part in (key, value, b"\0"):
            spans += [at, -1 if part is None else len(part)]
            parts.append(part or b"")
            at += len(part or b"")
        frames[index] = (first_offset + index, append_ns, *spans)
    if at > _BUFFER_MAX:
        raise ValueError(f"expected at most {_BUFFER_MAX} bytes at once, found {at}; hand them over in parts")
    return Frames(frames, np.frombuffer(b"".join(parts), np.uint8), first_offset + len(values), append_ns)


def _walk(buffer: Bytes) -> npt.NDArray[Any]:
    batches = np.zeros(16, BATCH)
    count, at = walk_batches(buffer, batches, 0, 0)
    while count == len(batches):
        batches = np.concatenate([batches, np.zeros_like(batches)])
        count, at = walk_batches(buffer, batches, count, at)
    if count < 0:
        found = int(buffer[at + 16]) if count == BAD_MAGIC else read_integer(buffer, at + 8, np.int64(4))
        text = {
            BAD_LENGTH: f"expected a batch length of at least 49 bytes, found {found}",
            BAD_MAGIC: f"expected record batch format 2, found {found}; the broker must be 0.11 or newer",
            BAD_COUNT: "expected a record count and offsets that fit the batch's length",
        }[count]
        raise CorruptBatch(f"byte {at} of the fetch: {text}")
    return batches[:count]


def _check_crcs(data: bytes | bytearray | memoryview, batches: npt.NDArray[Any]) -> None:
    view = memoryview(data)
    for start, end, expected in zip(
        batches["start"].tolist(), batches["end"].tolist(), batches["crc"].tolist(), strict=True
    ):
        found = crc32c.crc32c(view[start:end])
        if found != expected:
            raise CorruptBatch(
                f"expected a batch with CRC {expected:#010x} at byte {start}, found {found:#010x}; "
                "the bytes changed on disk or on the way: fetch again, then look at the broker's log"
            )


def _kept(buffer: Bytes, batches: npt.NDArray[Any], aborted: Iterable[tuple[int, int]]) -> npt.NDArray[np.bool_]:
    # Batches that carry data: neither markers nor of a transaction that was aborted.
    control = (batches["attributes"] & _CONTROL) != 0
    kept: npt.NDArray[np.bool_] = ~control & (batches["count"] > 0)
    waiting = sorted(aborted, key=lambda transaction: transaction[1], reverse=True)
    if not waiting:
        return kept
    aborting: set[int] = set()
    for index, batch in enumerate(batches):
        while waiting and waiting[-1][1] <= batch["base_offset"]:
            aborting.add(waiting.pop()[0])
        producer_id = int(batch["producer_id"])
        if control[index]:
            if _is_abort_marker(buffer, batch):
                aborting.discard(producer_id)
        elif batch["attributes"] & _TRANSACTIONAL and producer_id in aborting:
            kept[index] = False
    return kept


def _is_abort_marker(buffer: Bytes, batch: Any) -> bool:
    # A marker's key is its version and its type, two bytes each; type 0 aborts, 1 commits.
    marker = _frame(buffer, np.array([batch], BATCH))
    if len(marker) == 0 or marker["key_length"][0] < 4:
        raise CorruptBatch(
            f"expected a transaction marker at offset {batch['base_offset']}, found no key of four bytes"
        )
    return read_integer(buffer, int(marker["key_start"][0]) + 2, np.int64(2)) == 0


def _decompress(buffer: Bytes, batches: npt.NDArray[Any]) -> tuple[Bytes, npt.NDArray[Any]]:
    parts: list[bytes] = []
    batches = batches.copy()
    at = 0
    for batch in batches:
        payload = buffer[batch["payload"] : batch["end"]].tobytes()
        part = _decompressed(payload, int(batch["attributes"]) & _CODEC_MASK, int(batch["base_offset"]))
        batch["payload"], batch["end"] = at, at + len(part)
        at += len(part)
        parts.append(part)
    if at > _BUFFER_MAX:
        raise CorruptBatch(
            f"expected at most {_BUFFER_MAX} bytes after decompression, found {at}; lower the fetch size"
        )
    return np.frombuffer(b"".join(parts), np.uint8), batches


def _decompressed(payload: bytes, codec_id: int, offset: int) -> bytes:
    if codec_id == 0:
        return payload
    if codec_id not in _DECODERS:
        raise CorruptBatch(f"expected a compression codec from 0 to 4 at offset {offset}, found {codec_id}")
    name, installed, decode = _DECODERS[codec_id]
    if not installed():
        raise RuntimeError(f"the batch at offset {offset} is compressed with {name}; install cramjam to read it")
    try:
        return bytes(decode(payload))
    except Exception as error:
        raise CorruptBatch(f"expected {name} data in the batch at offset {offset}: {error}") from error


def _frame(buffer: Bytes, batches: npt.NDArray[Any]) -> npt.NDArray[Any]:
    count = int(batches["count"].sum(dtype=np.int64))
    if count * _RECORD_BYTES_MIN > len(buffer):
        raise CorruptBatch(f"expected records of at least {_RECORD_BYTES_MIN} bytes, found {count} in {len(buffer)}")
    frames = np.empty(count, FRAME)
    at = frame_records(buffer, batches, frames)
    if at < 0:
        offset = int(batches["base_offset"][-at - 1])
        raise CorruptBatch(f"expected records whose lengths add up to the batch at offset {offset}, found others")
    return frames
