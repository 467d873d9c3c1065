"""A snapshot as a whole: its manifest, reading it, and why one is refused.

A snapshot is a set of named pieces (see `snapshot_pieces`), each in one or more parts of at most half a megabyte, a
part a record. The manifest, written last, lists every part with its checksum and the number of the snapshot that wrote
it: a part that did not change stays in the topic as it is, from an earlier snapshot. Compaction keeps the newest record
of a key, so a set from which a transaction is missing is known by parts whose checksum or number is not the listed one.
Such a set is refused as a whole: what is believed is exactly what one manifest lists.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, fields, replace
from typing import Any, TypeVar

import msgspec

from streams.core.join import JoinRules
from streams.core.join_state import JoinState
from streams.core.rules import Rules
from streams.core.sessions import Sessions
from streams.core.snapshot import LAYOUT_NUMBER, EngineState
from streams.wire.layouts import MIGRATIONS, Description, Migration, layout_of, present
from streams.wire.snapshot_pieces import (
    Pieces,
    engine_state,
    extended_state,
    join_state,
    layout_name,
    sessions_of,
)
from streams.wire.snapshot_records import (
    CONTENT_BYTES_MAX,
    FRAME,
    LATEST,
    MANIFEST,
    MANIFEST_BYTES_MAX,
    PART_BYTES_MAX,
    Identity,
    Key,
    Part,
    Positions,
    Reason,
    SnapshotRecord,
    SnapshotRefused,
    check_series,
    collect,
    compress,
    content_of,
    frame,
    parse_key,
    series_keys,
    unframe,
)

__all__ = [
    "CONTENT_BYTES_MAX",
    "FRAME",
    "LATEST",
    "MANIFEST",
    "MANIFEST_BYTES_MAX",
    "PART_BYTES_MAX",
    "Identity",
    "Key",
    "Manifest",
    "Part",
    "Positions",
    "Reason",
    "Snapshot",
    "SnapshotRecord",
    "SnapshotRefused",
    "check_series",
    "collect",
    "compress",
    "content_of",
    "frame",
    "parse_key",
    "read_manifest",
    "read_snapshot",
    "series_keys",
]


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
        extended_row: The same of the extended scope, empty where it is not watched.
        join: What concerns the whole join, by name.
        counts: Running totals of the join.
        pieces: The parts of every piece, by the piece's name.
        described: The types of the layout, so that a later version can read it; what came later has a default.
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
    described: Description = {}
    extended_row: dict[str, int] = {}


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
        listed: Keys of those that it lists.
        is_migrated: Whether it was written in an older layout.
    """

    identity: Identity
    manifest: Manifest
    rules: Rules
    join_rules: JoinRules
    sessions: tuple[Sessions, ...]
    engine: EngineState
    join: JoinState
    orphans: tuple[bytes, ...]
    listed: tuple[bytes, ...] = ()
    is_migrated: bool = False


def read_snapshot(
    records: Mapping[bytes, bytes],
    identity: Identity,
    *,
    series: str = LATEST,
    migrations: Mapping[int, Migration] = MIGRATIONS,
) -> Snapshot | None:
    """Read the snapshot of a partition from what the topic holds, or return None where it holds none.

    Args:
        records: Newest values by key (see `collect`); other partitions', applications' and series' are passed over.
        identity: Whose snapshot is wanted.
        series: Which of its snapshots.
        migrations: Steps from older layouts to the present one.

    Raises:
        SnapshotRefused: There is one, and it must not be believed.
    """
    own = series_keys(records, identity).get(series, [])
    if not own:
        _refuse_others(records, identity)
        return None
    manifest = read_manifest(records, identity, series)
    layout = present()
    if manifest.layout_number != LAYOUT_NUMBER:
        try:
            layout = layout_of(manifest.layout_number, manifest.described)
            missing = [number for number in range(layout.number, LAYOUT_NUMBER) if number not in migrations]
            if missing:
                raise ValueError(f"there is no migration from layout {missing[0]}")
        except (KeyError, TypeError, ValueError) as error:
            raise _other_layout(_named(identity, series), f"layout {manifest.layout_number} ({error})") from error
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
        engine = engine_state(pieces, manifest.rows, manifest.partition_row, layout, migrations)
        extended = extended_state(pieces, manifest.rows, manifest.extended_row, layout, migrations)
        engine = replace(engine, extended=extended)
        join = join_state(pieces, manifest.join, manifest.counts)
        sessions = sessions_of(pieces, manifest.mics)
    except (KeyError, TypeError, ValueError, msgspec.MsgspecError) as error:
        raise SnapshotRefused(
            "damaged",
            f"expected the pieces of {_named(identity, series)} to fit together, found {type(error).__name__}: {error}"
            "; report this as a bug, and let the partition start from the log",
        ) from error
    return Snapshot(
        identity,
        manifest,
        rules,
        join_rules,
        sessions,
        engine,
        join,
        orphans=tuple(key for key in own if key not in listed),
        listed=tuple(sorted(listed)),
        is_migrated=layout.number != LAYOUT_NUMBER,
    )


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


def read_manifest(records: Mapping[bytes, bytes], identity: Identity, series: str = LATEST) -> Manifest:
    """Return the manifest of a series without its pieces: positions and rules are known from it alone.

    Raises:
        SnapshotRefused: There is none, or it must not be believed.
    """
    key = identity.key(series, MANIFEST)
    value = records.get(key)
    named = _named(identity, series)
    if value is None:
        raise SnapshotRefused(
            "missing", f"expected the manifest of {named}, found only other records; start the partition from the log"
        )
    _, number = unframe(key, value)
    if number > LAYOUT_NUMBER:
        raise _other_layout(named, f"layout {number}")
    try:
        head = msgspec.json.decode(memoryview(value)[FRAME.size :], type=_Head)
        if head.layout_number != number or (number == LAYOUT_NUMBER and head.layout != layout_name()):
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
    checksum, _ = unframe(key, value)
    snapshot = FRAME.unpack_from(value)[3]
    if (checksum, snapshot, len(value)) != part:
        raise SnapshotRefused(
            "torn",
            f"expected record {key.decode()} of snapshot {part.snapshot}, as snapshot {manifest.snapshot} lists it; "
            f"found that of snapshot {snapshot} (checksum {checksum:08x} instead of {part.checksum:08x}): a "
            "transaction is missing; let the partition start from an older snapshot or the log",
        )
    return content_of(key, value)


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
