"""Where a partition begins: from which snapshot, and how the log is replayed to what was committed.

The newest snapshot that can be believed, whose positions are not past the committed ones and still in the log, is the
start; else an older one; else the log, when it still has everything since the partition began. What cannot be used is
refused with its reason. Where nothing reaches back the partition does not start: a state with a hole in its past would
say wrong things for a year without a sign of it.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Final

from streams.kafka.terms import Terms, Waypoint, terms_of
from streams.kafka.topics import Topics
from streams.wire.positions import STATE, Committed, read_committed
from streams.wire.snapshots import (
    LATEST,
    Identity,
    Manifest,
    Snapshot,
    SnapshotRefused,
    read_manifest,
    read_snapshot,
    series_keys,
)

BASE: Final = "base-"
"""Series of whole snapshots, one a day: `base-20260131`."""

RULES: Final = "rules-"
"""Series of recorded terms, numbered from 1: `rules-1`."""

Bounds = Mapping[str, tuple[int, int]]
"""The oldest offset of a topic's partition and the offset after its newest record, by topic."""


class StateLost(RuntimeError):
    """Neither a snapshot nor the log reaches back far enough; the text says what to do."""


class PositionsRefused(RuntimeError):
    """What was committed does not fit the topics; the text says what to do."""


@dataclass(frozen=True, slots=True)
class Lost:
    """Records that retention removed before they were read."""

    topic: str
    committed: int
    oldest: int


@dataclass(frozen=True, slots=True, kw_only=True)
class Start:
    """How a partition comes to its committed positions.

    Attributes:
        positions: Where reading begins, by topic.
        committed: Where outputs that were written before end, by topic.
        terms: What holds when reading begins.
        waypoints: Where terms change on the way; the last one is at the committed positions.
        snapshot: Where the state comes from; None begins with nothing.
        refused: What could not be used, and why.
        lost: What the log no longer has and nobody has read.
        series: Keys of the partition's records in the topic, by series.
        positions_of: Positions of the base snapshots and recorded terms, by series.
    """

    positions: Mapping[str, int]
    committed: Mapping[str, int]
    terms: Terms
    waypoints: tuple[Waypoint, ...]
    snapshot: Snapshot | None = None
    refused: tuple[SnapshotRefused, ...] = ()
    lost: tuple[Lost, ...] = ()
    series: Mapping[str, list[bytes]] = field(default_factory=dict)
    positions_of: Mapping[str, Mapping[str, int]] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class _Recorded:
    positions: dict[str, int]
    terms: Terms


def find_start(
    records: Mapping[bytes, bytes],
    identity: Identity,
    topics: Topics,
    *,
    group: Mapping[str, int | None],
    bounds: Bounds,
    configured: Terms,
    exactly_once: bool,
) -> Start:
    """Find where a partition begins.

    Args:
        records: What the state topic holds for the partition: newest values by key.
        identity: Whose partition it is.
        topics: Names of the topics.
        group: The group's committed offsets, by topic; None where it has none.
        bounds: What the logs hold.
        configured: The terms that are to hold from the committed positions on.
        exactly_once: Whether snapshots and positions are written in one transaction.

    Raises:
        StateLost: Nothing reaches back.
        PositionsRefused: A committed position is past the end of its log.
        SnapshotRefused: The committed positions cannot be believed.
    """
    own = own_positions(records, identity, STATE)
    series = series_keys(records, identity)
    wanted = {topic: own.positions.get(topic) if own else group[topic] for topic in (topics.ticks, topics.news)}
    fresh = all(at is None for at in wanted.values())
    manifests, refused = _manifests(records, identity, series, fresh=fresh)
    positions_of = {name: _positions(manifest, topics) for name, manifest in manifests.items()}
    recorded = _recorded(records, identity, manifests, positions_of, refused)
    committed = {topic: bounds[topic][0] if at is None else at for topic, at in wanted.items()}
    for topic, offset in committed.items():
        if offset > bounds[topic][1]:
            raise _past_end(topic, identity.partition, offset, bounds[topic][1])

    def start(at: dict[str, int], terms: Terms, goal: dict[str, int], snapshot: Snapshot | None) -> Start:
        return Start(
            positions=at,
            committed=goal,
            terms=terms,
            waypoints=_waypoints(recorded, at, goal, configured),
            snapshot=snapshot,
            refused=tuple(refused),
            lost=_lost(goal, bounds),
            series=series,
            positions_of=positions_of,
        )

    for name in _newest_first(manifests, positions_of):
        found = _usable(records, identity, name, positions_of[name], committed, bounds, exactly_once, refused)
        if found is not None:
            at = positions_of[name]
            goal = {topic: max(position, committed[topic]) for topic, position in at.items()}
            return start({t: _resumed(at[t], goal[t], bounds[t]) for t in at}, terms_of(found), goal, found)
    oldest = {topic: first for topic, (first, _) in bounds.items() if topic in committed}
    begun = positions_of.get(f"{RULES}1")
    if begun is not None:
        reaches = all(oldest[topic] <= at for topic, at in begun.items())
    else:
        # Positions of the group alone are from before there were snapshots, or the state topic was lost: the log is all
        # there is, and has to have everything.
        reaches = not any(oldest.values())
    if not fresh and not reaches:
        raise _nothing_reaches(identity, committed, oldest, refused)
    at = dict(begun) if begun is not None and not fresh else oldest
    first = next((entry.terms for entry in recorded if entry.positions == at), configured)
    return start(at, first, {topic: max(at[topic], position) for topic, position in committed.items()}, None)


def own_positions(records: Mapping[bytes, bytes], identity: Identity, kind: str) -> Committed | None:
    """Return the committed positions that the state topic holds for a partition, None where it holds none.

    They go before the group's, which anyone may set, and which expire.

    Raises:
        SnapshotRefused: They cannot be believed; the text says what to do.
    """
    try:
        return read_committed(records, identity, kind)
    except SnapshotRefused as error:
        raise SnapshotRefused(
            error.reason,
            f"{error.message.partition(';')[0]}. These are the committed positions of partition {identity.partition} "
            f"({kind}), and nothing is guessed in their place: end the workers, see that nothing else writes the state "
            "topic, and set the positions with `fiftytwo rewind`, or use another kafka.application_id",
        ) from error


# The manifests of the partition's snapshots and recorded terms; what cannot be read is noted.
def _manifests(
    records: Mapping[bytes, bytes], identity: Identity, series: Mapping[str, list[bytes]], *, fresh: bool
) -> tuple[dict[str, Manifest], list[SnapshotRefused]]:
    found: dict[str, Manifest] = {}
    refused: list[SnapshotRefused] = []
    names = [name for name in series if name == LATEST or name.startswith((BASE, RULES))]
    for name in names:
        try:
            found[name] = read_manifest(records, identity, name)
        except SnapshotRefused as error:
            refused.append(error)
    if not names and not fresh:
        # Another application's snapshots are worth a word to one that should have its own.
        try:
            read_snapshot(records, identity)
        except SnapshotRefused as error:
            refused.append(error)
    return found, refused


def _positions(manifest: Manifest, topics: Topics) -> dict[str, int]:
    return {topics.ticks: manifest.positions.ticks, topics.news: manifest.positions.news}


# Terms in the order in which they came to hold.
def _recorded(
    records: Mapping[bytes, bytes],
    identity: Identity,
    manifests: Mapping[str, Manifest],
    positions_of: Mapping[str, dict[str, int]],
    refused: list[SnapshotRefused],
) -> list[_Recorded]:
    found: list[_Recorded] = []
    names = sorted((name for name in manifests if name.startswith(RULES)), key=rules_number)
    for name in names:
        try:
            snapshot = read_snapshot(records, identity, series=name)
        except SnapshotRefused as error:
            refused.append(error)
            continue
        if snapshot is not None:
            found.append(_Recorded(positions_of[name], terms_of(snapshot)))
    return found


def rules_number(series: str) -> int:
    """Return the number of a series of recorded terms, 0 where it has none."""
    text = series.removeprefix(RULES)
    return int(text) if text.isdigit() else 0


def _newest_first(manifests: Mapping[str, Manifest], positions_of: Mapping[str, Mapping[str, int]]) -> list[str]:
    names = [name for name in manifests if not name.startswith(RULES)]
    # Of equal positions the one that goes on all the time: what follows is written as its difference.
    return sorted(names, key=lambda name: (sum(positions_of[name].values()), name == LATEST), reverse=True)


# A snapshot that can be believed and continued, or None and its reason.
def _usable(
    records: Mapping[bytes, bytes],
    identity: Identity,
    name: str,
    at: Mapping[str, int],
    committed: Mapping[str, int],
    bounds: Bounds,
    exactly_once: bool,
    refused: list[SnapshotRefused],
) -> Snapshot | None:
    try:
        for topic, position in at.items():
            oldest, end = bounds[topic]
            if position > end or (exactly_once and position > committed[topic]):
                raise SnapshotRefused(
                    "ahead",
                    f"expected snapshot {name!r} of partition {identity.partition} at or before offset "
                    f"{min(end, committed[topic])} of {topic}, found it at {position}: the position was set back or "
                    "the topic was made again; an older snapshot or the log is used",
                )
            if position < min(oldest, committed[topic]):
                raise SnapshotRefused(
                    "out_of_reach",
                    f"expected {topic} to hold what follows snapshot {name!r} of partition {identity.partition}, from "
                    f"offset {position} on, found {oldest} as its oldest: give the topic a longer retention.ms",
                )
        return read_snapshot(records, identity, series=name)
    except SnapshotRefused as error:
        refused.append(error)
        return None


# A snapshot at the committed position needs nothing of the log before it, and goes on from what the log still has.
def _resumed(at: int, committed: int, bounds: tuple[int, int]) -> int:
    return max(at, bounds[0]) if at == committed else at


def _waypoints(
    recorded: list[_Recorded], at: Mapping[str, int], goal: Mapping[str, int], configured: Terms
) -> tuple[Waypoint, ...]:
    between = [
        Waypoint(entry.positions, entry.terms)
        for entry in recorded
        if any(entry.positions[topic] > at[topic] for topic in at)
        and all(entry.positions[topic] <= goal[topic] for topic in at)
    ]
    return (*between, Waypoint(goal, configured))


def _lost(committed: Mapping[str, int], bounds: Bounds) -> tuple[Lost, ...]:
    return tuple(Lost(topic, at, bounds[topic][0]) for topic, at in committed.items() if at < bounds[topic][0])


def _past_end(topic: str, partition: int, committed: int, end: int) -> PositionsRefused:
    return PositionsRefused(
        f"expected {topic} partition {partition} to reach the committed offset {committed}, found its end at {end}: "
        "the topic was made again or lost records; use another kafka.application_id, or set the worker's position back"
    )


def _nothing_reaches(
    identity: Identity, committed: Mapping[str, int], oldest: Mapping[str, int], refused: list[SnapshotRefused]
) -> StateLost:
    why = "; ".join(error.message for error in refused) or "the state topic holds no snapshot"
    return StateLost(
        f"expected a snapshot, or the log since the beginning, to rebuild partition {identity.partition} up to "
        f"{dict(committed)}, found neither: the logs begin at {dict(oldest)}, and {why}. Use another "
        "kafka.application_id, which begins at the oldest record, and publish the daily bars of the look-back again"
    )
