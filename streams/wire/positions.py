"""The positions that a partition has committed, as a record of the state topic.

They are written with every commit, in the same transaction as its outputs, and sent to the consumer group too. The
group's are for people and their tools, and expire; these are what a restart goes by.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

import msgspec

from streams.wire.snapshot_records import FRAME, Identity, Positions, SnapshotRecord, SnapshotRefused, frame, unframe

COMMITTED: Final = "committed"
"""The series of these records."""

STATE: Final = "state"
ROUTER: Final = "router"


class Committed(msgspec.Struct, frozen=True, kw_only=True):
    """How far one partition has come.

    Attributes:
        positions: Offset of the first record that no output reflects yet, by topic.
        delivery: How it was committed.
    """

    positions: dict[str, int]
    delivery: str = ""


def committed_record(identity: Identity, kind: str, positions: Mapping[str, int], *, delivery: str) -> SnapshotRecord:
    """Return the record of committed positions.

    Args:
        identity: Whose they are.
        kind: `state` for ticks and news by instrument, `router` for articles.
        positions: By topic.
        delivery: `exactly_once` or `at_least_once`.
    """
    key = identity.key(COMMITTED, kind)
    payload = msgspec.json.encode(Committed(positions=dict(positions), delivery=delivery))
    return SnapshotRecord(key, frame(key, 0, Positions(0, 0), payload)[0])


def read_committed(records: Mapping[bytes, bytes], identity: Identity, kind: str) -> Committed | None:
    """Return the committed positions that the topic holds, or None where it holds none.

    Raises:
        SnapshotRefused: The record is damaged, or another's.
    """
    key = identity.key(COMMITTED, kind)
    value = records.get(key)
    if value is None:
        return None
    unframe(key, value)
    try:
        return msgspec.json.decode(memoryview(value)[FRAME.size :], type=Committed)
    except msgspec.MsgspecError as error:
        raise SnapshotRefused(
            "damaged",
            f"expected committed positions under {key.decode()}, found {error}; let nothing but workers write "
            "this topic, and set the positions again with the command that moves a worker's position",
        ) from error
