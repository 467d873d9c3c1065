"""A snapshot as records of a compacted topic: keys, frames, the manifest, and why one is refused.

A snapshot is a set of named pieces (see `snapshot_pieces`), each in one or more parts of at most half a megabyte, a
part a record. The manifest, written last, lists every part with its checksum and the number of the snapshot that wrote
it: a part that did not change stays in the topic as it is, from an earlier snapshot. Compaction keeps the newest record
of a key, so a set from which a transaction is missing is known by parts whose checksum or number is not the listed one.
Such a set is refused as a whole: what is believed is exactly what one manifest lists.

The checksum of a part covers its key, so that parts cannot change places.
"""

from __future__ import annotations

import re
import struct
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields
from typing import Any, Final, Literal, NamedTuple, TypeVar

import msgspec
from crc32c import crc32c

from streams.core.join import JoinRules
from streams.core.join_state import JoinState
from streams.core.rules import Rules
from streams.core.sessions import Sessions
from streams.core.snapshot import LAYOUT_NUMBER, EngineState
from streams.wire.snapshot_pieces import Pieces, engine_state, join_state, layout_name, sessions_of

LATEST: Final = "latest"
MANIFEST: Final = "manifest"
PART_BYTES_MAX: Final = 512 * 1024
"""Half of what brokers take by default, so that a batch of one part never needs a setting."""

MANIFEST_BYTES_MAX: Final = 1_000_000
"""About 30,000 parts: some 400,000 instruments in one partition, which take 6 GB."""

FRAME: Final = struct.Struct("<4sIiqqq")
MAGIC: Final = b"52wk"
_CHECKED_FROM: Final = 8  # The checksum covers what follows it.
_KEY: Final = re.compile(r"([A-Za-z0-9._-]+)/(\d+)/([a-z0-9-]+)/([A-Za-z0-9/-]+)")
_SERIES: Final = re.compile(r"[a-z0-9-]{1,40}")

Reason = Literal[
    "damaged",
    "foreign",
    "missing",
    "other_application",
    "other_layout",
    "other_partition_count",
    "other_rules",
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


class Manifest(msgspec.Struct, frozen=True, kw_only=True):
    """What a snapshot is made of, and under which terms its state came about.

    Attributes:
        layout: Name of the layout of everything stored.
        layout_number: The same as a number kept by hand.
        snapshot: Number of the snapshot, counted up over restarts.
        engine: Version of the program that wrote it.
        rules_version: Version of the rules that the program knew.
        rules: The rules in force.
        join_rules: The rules of the join in force.
        calendar: Name and version of the calendar in force.
        mics: Its markets; their sessions are pieces.
        news_mode: Clock mode that the news log has shown, empty before its first clock.
        rows: How many instruments have a row.
        partition_row: What concerns the whole engine, by name.
        join: What concerns the whole join, by name.
        counts: Running totals of the join.
        pieces: The parts of every piece, by the piece's name.
    """

    layout: str
    layout_number: int
    application: str
    partition: int
    partitions: int
    series: str
    snapshot: int
    engine: str
    positions: Positions
    rules_version: str
    rules: dict[str, Any]
    join_rules: dict[str, Any]
    calendar: str
    mics: tuple[str, ...]
    news_mode: str
    rows: int
    partition_row: dict[str, int]
    join: dict[str, int]
    counts: dict[str, int]
    pieces: dict[str, list[Part]]


# The part of a manifest that keeps its form in every layout.
class _Head(msgspec.Struct, frozen=True):
    layout: str
    layout_number: int
    application: str
    partition: int
    partitions: int


@dataclass(frozen=True, slots=True)
class Snapshot:
    """The state of a partition as it was read, complete and checked. The states may be taken over.

    Attributes:
        rules: The rules under which the state came about.
        join_rules: Those of the join.
        sessions: The calendars under which it came about.
        orphans: Keys of records of this series that the manifest does not list.
    """

    identity: Identity
    manifest: Manifest
    rules: Rules
    join_rules: JoinRules
    sessions: tuple[Sessions, ...]
    engine: EngineState
    join: JoinState
    orphans: tuple[bytes, ...]


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


def read_snapshot(records: Mapping[bytes, bytes], identity: Identity, *, series: str = LATEST) -> Snapshot | None:
    """Read the snapshot of a partition from what the topic holds, or return None where it holds none.

    Args:
        records: Newest values by key (see `collect`); other partitions', applications' and series' are passed over.
        identity: Whose snapshot is wanted.
        series: Which of its snapshots.

    Raises:
        SnapshotRefused: There is one, and it must not be believed.
    """
    own = series_keys(records, identity).get(series, [])
    if not own:
        _refuse_others(records, identity)
        return None
    manifest = _manifest(records, identity, series)
    pieces: Pieces = {}
    listed = {identity.key(series, MANIFEST)}
    for name, parts in manifest.pieces.items():
        keys = [identity.key(series, f"{name}/{number}") for number in range(len(parts))]
        listed.update(keys)
        payloads = [_part(records, key, part, manifest) for key, part in zip(keys, parts, strict=True)]
        pieces[name] = payloads[0] if len(payloads) == 1 else memoryview(b"".join(payloads))
    rules = _options(Rules, "rules", manifest.rules)
    join_rules = _options(JoinRules, "join_rules", manifest.join_rules)
    try:
        engine = engine_state(pieces, manifest.rows, manifest.partition_row)
        join = join_state(pieces, manifest.join, manifest.counts)
        sessions = sessions_of(pieces, manifest.mics)
    except (KeyError, TypeError, ValueError, msgspec.MsgspecError) as error:
        raise SnapshotRefused(
            "damaged",
            f"expected the pieces of {_named(identity, series)} to fit together, found {type(error).__name__}: {error}"
            "; report this as a bug, and let the partition start from the log",
        ) from error
    orphans = tuple(key for key in own if key not in listed)
    return Snapshot(identity, manifest, rules, join_rules, sessions, engine, join, orphans)


# Two applications may share a topic; one that finds only the other's should hear of it.
def _refuse_others(records: Iterable[bytes], identity: Identity) -> None:
    keys = [key for key in map(parse_key, records) if key is not None]
    others = sorted({key.application for key in keys if key.partition == identity.partition} - {identity.application})
    if others and not any(key.application == identity.application for key in keys):
        raise SnapshotRefused(
            "other_application",
            f"expected a snapshot of application {identity.application!r}, found only those of {', '.join(others)}; "
            "set kafka.application_id to the one that ran here, or let the partition start from the log",
        )


def _manifest(records: Mapping[bytes, bytes], identity: Identity, series: str) -> Manifest:
    key = identity.key(series, MANIFEST)
    value = records.get(key)
    named = _named(identity, series)
    if value is None:
        raise SnapshotRefused(
            "missing", f"expected the manifest of {named}, found only other records; start the partition from the log"
        )
    _, number = _checked(key, value)
    if number != LAYOUT_NUMBER:
        raise _other_layout(named, f"layout {number}")
    try:
        head = msgspec.json.decode(memoryview(value)[FRAME.size :], type=_Head)
        if (head.layout_number, head.layout) != (LAYOUT_NUMBER, layout_name()):
            raise _other_layout(named, f"layout {head.layout_number} ({head.layout})")
        manifest = msgspec.json.decode(memoryview(value)[FRAME.size :], type=Manifest)
    except msgspec.MsgspecError as error:
        raise _other_layout(named, f"a manifest of another form ({error})") from error
    if (manifest.application, manifest.partition) != (identity.application, identity.partition):
        raise SnapshotRefused(
            "other_application",
            f"expected {named}, found partition {manifest.partition} of application {manifest.application!r} under its "
            "key; let nothing but workers write this topic",
        )
    if manifest.partitions != identity.partitions:
        raise SnapshotRefused(
            "other_partition_count",
            f"expected {named} with {identity.partitions} partitions, found one of {manifest.partitions}: its "
            "instruments lie elsewhere now; set kafka.partitions back, or use another kafka.prefix with new topics",
        )
    return manifest


def _part(records: Mapping[bytes, bytes], key: bytes, part: Part, manifest: Manifest) -> memoryview:
    value = records.get(key)
    if value is None:
        raise SnapshotRefused(
            "missing",
            f"expected record {key.decode()} of snapshot {part.snapshot}, found none; "
            "check that the topic's cleanup.policy is compact alone, and let the partition start from the log",
        )
    checksum, _ = _checked(key, value)
    snapshot = FRAME.unpack_from(value)[3]
    if (checksum, snapshot, len(value)) != part:
        raise SnapshotRefused(
            "torn",
            f"expected record {key.decode()} of snapshot {part.snapshot}, as snapshot {manifest.snapshot} lists it; "
            f"found that of snapshot {snapshot} (checksum {checksum:08x} instead of {part.checksum:08x}): a "
            "transaction is missing; let the partition start from an older snapshot or the log",
        )
    return memoryview(value)[FRAME.size :]


# The checksum and the layout number of a value that is whole.
def _checked(key: bytes, value: bytes) -> tuple[int, int]:
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


def _other_layout(named: str, found: str) -> SnapshotRefused:
    return SnapshotRefused(
        "other_layout",
        f"expected {named} in layout {LAYOUT_NUMBER} ({layout_name()}), found {found}; "
        "run the version that wrote it, or let the partition start from the log",
    )


_Options = TypeVar("_Options", Rules, JoinRules)


# An option that is missing has the default with which it came, an unknown one comes from a later version.
def _options(kind: type[_Options], name: str, values: dict[str, Any]) -> _Options:
    try:
        if unknown := sorted(set(values) - {field.name for field in fields(kind)}):
            raise ValueError(f"unknown option {unknown[0]!r}")
        return msgspec.convert(values, kind)
    except (ValueError, msgspec.ValidationError) as error:
        raise SnapshotRefused(
            "other_rules",
            f"expected {name} that this version knows, found: {error}; "
            "run the version that wrote the snapshot, or let the partition start from the log",
        ) from error


def _named(identity: Identity, series: str) -> str:
    return f"snapshot {series!r} of partition {identity.partition} of application {identity.application!r}"
