"""Where a verification of a partition begins, and under which terms the log is read from there on.

It begins at the first record where the logs still have it, else at the oldest base snapshot whose positions they still
reach back to. The terms are those that the workers recorded: a signal was said under the options and the calendar that
held at its point of the log, whatever is configured now.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass

from streams.core.rules import RULES_VERSION
from streams.kafka.restore import BASE, RULES, rules_number
from streams.kafka.terms import Terms, Waypoint, terms_of
from streams.kafka.topics import Topics
from streams.wire.snapshots import Identity, Snapshot, SnapshotRefused, read_snapshot, series_keys


@dataclass(frozen=True, slots=True)
class AuditStart:
    """How a verification begins.

    Attributes:
        text: For people: where.
        positions: Where reading begins, by topic.
        terms: What holds there.
        waypoints: Where other terms come to hold, in order.
        snapshot: The state there; None where nothing was read before.
        other_version: The version of the rules of some stretch, where it is not this program's; else empty.
    """

    text: str
    positions: Mapping[str, int]
    terms: Terms
    waypoints: tuple[Waypoint, ...] = ()
    snapshot: Snapshot | None = None
    other_version: str = ""


def find_audit_start(
    records: Mapping[bytes, bytes],
    identity: Identity,
    topics: Topics,
    *,
    oldest: Mapping[str, int],
    configured: Terms,
) -> AuditStart | None:
    """Find where to begin, or return None where neither the log nor a base snapshot reaches back.

    Args:
        records: What the state topic holds for the partition: newest values by key.
        identity: Whose partition it is.
        topics: Names of the topics.
        oldest: Oldest offsets of both logs, by topic.
        configured: The terms where workers recorded none.
    """
    found = _snapshots(records, identity)
    recorded = [
        Waypoint(_positions(found[name], topics), terms_of(found[name]))
        for name in sorted((name for name in found if name.startswith(RULES)), key=rules_number)
    ]
    if not any(oldest.values()):
        first = recorded[0].terms if recorded else None
        return _start("offset 0", dict(oldest), first or configured, recorded)
    for name in sorted(name for name in found if name.startswith(BASE)):
        positions = _positions(found[name], topics)
        if all(position >= oldest[topic] for topic, position in positions.items()):
            return _start(f"base snapshot {name}", positions, terms_of(found[name]), recorded, found[name])
    return None


def _start(
    text: str,
    positions: Mapping[str, int],
    terms: Terms,
    recorded: list[Waypoint],
    snapshot: Snapshot | None = None,
) -> AuditStart:
    later = tuple(
        waypoint for waypoint in recorded if any(waypoint.positions[topic] > at for topic, at in positions.items())
    )
    versions = {each.terms.version for each in later if each.terms} | {terms.version}
    other = next(iter(sorted(versions - {RULES_VERSION})), "")
    return AuditStart(text, positions, terms, later, snapshot, other)


# Those that can be believed. One that cannot be is no start, and a worker's start tells of it.
def _snapshots(records: Mapping[bytes, bytes], identity: Identity) -> dict[str, Snapshot]:
    found: dict[str, Snapshot] = {}
    for name in series_keys(records, identity):
        if name.startswith((BASE, RULES)):
            try:
                snapshot = read_snapshot(records, identity, series=name)
            except SnapshotRefused:
                continue
            if snapshot is not None:
                found[name] = snapshot
    return found


def _positions(snapshot: Snapshot, topics: Topics) -> dict[str, int]:
    at = snapshot.manifest.positions
    return {topics.ticks: at.ticks, topics.news: at.news}
