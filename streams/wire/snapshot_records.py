"""Records of the state topic: their keys, the frame around every value, and its checksum.

Keys are `<application>/<partition>/<series>/<name>`. A frame says which snapshot wrote a record and how far into both
logs its content has come. The checksum covers the key too, so that records cannot change places.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final, Literal, NamedTuple

import cramjam
from crc32c import crc32c

from streams.core.snapshot import LAYOUT_NUMBER

LATEST: Final = "latest"
MANIFEST: Final = "manifest"
PART_BYTES_MAX: Final = 512 * 1024
"""Half of what brokers take by default, so that a batch of one part never needs a setting."""

CONTENT_BYTES_MAX: Final = 512_000
"""What a part holds: with what LZ4 adds to bytes that it cannot shorten, the record stays below the limit above."""

COMPRESSED_FROM: Final = 2
"""Layouts from this number on write the content of a part as an LZ4 block behind its length."""

MANIFEST_BYTES_MAX: Final = 1_000_000
"""About 30,000 parts: some 400,000 instruments in one partition, which take 6 GB."""

FRAME: Final = struct.Struct("<4sIiqqq")
MAGIC: Final = b"52wk"
_LENGTH_BYTES: Final = 4
_CHECKED_FROM: Final = 8  # The checksum covers what follows it.
_KEY: Final = re.compile(r"([A-Za-z0-9._-]+)/(\d+)/([a-z0-9-]+)/([A-Za-z0-9/-]+)")
_SERIES: Final = re.compile(r"[a-z0-9-]{1,40}")

Reason = Literal[
    "ahead",
    "damaged",
    "foreign",
    "missing",
    "other_application",
    "other_layout",
    "other_partition_count",
    "other_rules",
    "out_of_reach",
    "torn",
]


class SnapshotRefused(ValueError):
    """A snapshot that must not be believed. `reason` is a label for metrics and logs, the text is for people."""

    def __init__(self, reason: Reason, message: str) -> None:
        super().__init__(message)
        self.reason: Final = reason
        self.message: Final = message


class SnapshotRecord(NamedTuple):
    """A record to be written; one without a value takes its key's record away."""

    key: bytes
    value: bytes | None


class Key(NamedTuple):
    """What the key of a record says; the name is a piece's with the number of its part, or that of the manifest."""

    application: str
    partition: int
    series: str
    name: str


@dataclass(frozen=True, slots=True)
class Identity:
    """Whose snapshot it is.

    Attributes:
        application: The application id.
        partition: The partition's number.
        partitions: How many partitions the topics have: with another number, keys lie elsewhere.
    """

    application: str
    partition: int
    partitions: int

    def key(self, series: str, name: str) -> bytes:
        """Return the key of a record."""
        return f"{self.application}/{self.partition}/{series}/{name}".encode()


class Positions(NamedTuple):
    """Offsets of the first records that a state does not know yet."""

    ticks: int
    news: int


class Part(NamedTuple):
    """One record of a piece, as the manifest lists it."""

    checksum: int
    snapshot: int
    size: int


def collect(records: Iterable[tuple[bytes | None, bytes | None]]) -> dict[bytes, bytes]:
    """Return what compaction would keep of records in their order: the newest value of each key."""
    kept: dict[bytes, bytes] = {}
    for key, value in records:
        if key is not None:
            kept.pop(key, None)
            if value is not None:
                kept[key] = value
    return kept


def parse_key(key: bytes) -> Key | None:
    """Return what a key says, or None where it is not one of ours."""
    match = _KEY.fullmatch(key.decode("ascii", "replace"))
    return None if match is None else Key(match[1], int(match[2]), match[3], match[4])


def series_keys(records: Iterable[bytes], identity: Identity) -> dict[str, list[bytes]]:
    """Return the keys of a partition's records by their series, those of other applications left out."""
    found: dict[str, list[bytes]] = {}
    for record in records:
        key = parse_key(record)
        if key and (key.application, key.partition) == (identity.application, identity.partition):
            found.setdefault(key.series, []).append(record)
    return found


def check_series(series: str) -> str:
    """Return the name of a series.

    Raises:
        ValueError: It cannot be part of a key.
    """
    if _SERIES.fullmatch(series) is None:
        raise ValueError(f"series: expected 1 to 40 of a-z 0-9 and -, found {series!r}")
    return series


def frame(key: bytes, snapshot: int, positions: Positions, payload: bytes | memoryview) -> tuple[bytes, int]:
    """Return the value of a record, and its checksum."""
    head = FRAME.pack(MAGIC, 0, LAYOUT_NUMBER, snapshot, *positions)[_CHECKED_FROM:]
    checksum = crc32c(payload, crc32c(head, crc32c(key)))
    return b"".join((MAGIC, checksum.to_bytes(4, "little"), head, payload)), checksum


def unframe(key: bytes, value: bytes) -> tuple[int, int]:
    """Return the checksum and the layout number of a value that is whole.

    Raises:
        SnapshotRefused: It is damaged, or no record of a snapshot.
    """
    if len(value) < FRAME.size or not value.startswith(MAGIC):
        raise SnapshotRefused(
            "foreign",
            f"expected a snapshot's record under key {key.decode()}, found {len(value)} bytes that begin with "
            f"{value[:8]!r}; let nothing but workers write this topic",
        )
    _, checksum, number, *_ = FRAME.unpack_from(value)
    found = crc32c(memoryview(value)[_CHECKED_FROM:], crc32c(key))
    if found != checksum:
        raise SnapshotRefused(
            "damaged",
            f"expected record {key.decode()} with checksum {checksum:08x}, found {found:08x}; "
            "let the partition start from an older snapshot or the log, and check the broker's disks",
        )
    return checksum, number


def compress(content: bytes | memoryview) -> bytes:
    """Return the content of a part as it is written.

    Rows and bars shrink to a tenth or less at some gigabytes a second: what brokers would have to store and a commit to
    wait for takes longer.
    """
    return bytes(cramjam.lz4.compress_block(content))


def content_of(key: bytes, value: bytes) -> memoryview:
    """Return the content of a part whose checksum holds.

    Raises:
        SnapshotRefused: It is not what the frame says it is.
    """
    payload = memoryview(value)[FRAME.size :]
    if FRAME.unpack_from(value)[2] < COMPRESSED_FROM:
        return payload
    length = int.from_bytes(payload[:_LENGTH_BYTES], "little")
    try:
        if length > CONTENT_BYTES_MAX:
            raise cramjam.DecompressionError(f"a length of {length}")
        content = memoryview(cramjam.lz4.decompress_block(payload))
        if len(content) != length:
            raise cramjam.DecompressionError(f"{len(content)} bytes instead of {length}")
        return content
    except cramjam.DecompressionError as error:
        raise SnapshotRefused(
            "damaged",
            f"expected an LZ4 block of at most {CONTENT_BYTES_MAX} bytes in record {key.decode()}, found: {error}; "
            "let the partition start from an older snapshot or the log",
        ) from error
