"""A partition small enough to look at, its snapshot, and the file that keeps one of each layout ever released.

Run as `python -m tests.snapshot_example` to write the file of the present layout. A released file is never written
again: what changes the layout raises its number and brings a migration.
"""

from __future__ import annotations

import struct
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

from streams.core.engine import Engine
from streams.core.join import Join, JoinRules
from streams.core.processor import Processor
from streams.core.rules import Rules
from streams.core.signals import Signal
from streams.core.snapshot import LAYOUT_NUMBER
from streams.wire.snapshot_writer import SnapshotWriter
from streams.wire.snapshots import LATEST, MANIFEST, Identity, Positions, Snapshot, collect, read_snapshot
from tests.news_examples import HOUR_NS, ExampleSignal, article_copy
from tests.property.test_band import LOOKBACK, markets, stream

IDENTITY: Final = Identity("example", 1, 4)
POSITIONS: Final = Positions(600, 7)
RULES: Final = Rules(lookback=LOOKBACK, max_triggers=2)
JOIN_RULES: Final = JoinRules(articles_max=3)
RECORDS: Final = 600
FOLDER: Final = Path(__file__).parent / "data"

_LENGTHS: Final = struct.Struct("<II")


def key(name: str) -> bytes:
    return IDENTITY.key(LATEST, name)


MANIFEST_KEY: Final = key(MANIFEST)


class Partition:
    """Engine and join of one partition, and what they said since they were made."""

    def __init__(self, rules: Rules = RULES, join_rules: JoinRules = JOIN_RULES) -> None:
        self.processor = Processor(markets(), rules)
        self.join = Join(join_rules)

    @property
    def engine(self) -> Engine:
        return self.processor.engine

    @classmethod
    def restored(cls, snapshot: Snapshot) -> Partition:
        partition = cls(snapshot.rules, snapshot.join_rules)
        partition.engine.restore(snapshot.engine)
        partition.join.restore(snapshot.join)
        return partition

    def said(self) -> list[Signal]:
        return self.processor.signals()


def example(records: int = RECORDS) -> Partition:
    """Two weeks of bars, some sessions of ticks, a signal with two articles and one that is final."""
    partition = Partition()
    partition.processor.records(stream(1, markets())[:records])
    signal = ExampleSignal(instrument="XNYS:BABA")
    join = partition.join
    join.news_clock(signal.event_ns - 100 * HOUR_NS)
    join.open(ExampleSignal(signal_id="past", event_ns=signal.event_ns - 90 * HOUR_NS), b'{"signal_id":"past"}')
    join.news_clock(signal.event_ns - HOUR_NS)
    join.tick_clock(signal.event_ns)
    join.article(article_copy(article_id="1"))
    join.open(signal, b'{"signal_id":"now"}')
    join.article(article_copy(article_id="2", novelty=0.25, url="https://example.com/2"))
    return partition


def written(
    partition: Partition, writer: SnapshotWriter | None = None, topic: Mapping[bytes, bytes] | None = None
) -> dict[bytes, bytes]:
    """Write a snapshot over what the topic holds, and return what it holds then."""
    writer = writer or SnapshotWriter(IDENTITY)
    snapshot = writer.write(partition.engine, partition.join, positions=POSITIONS, news_mode="replay")
    return collect([*(topic or {}).items(), *snapshot.records])


def snapshot_of(topic: Mapping[bytes, bytes], **changes: Any) -> Snapshot:
    snapshot = read_snapshot(topic, changes.pop("identity", IDENTITY), **changes)
    assert snapshot is not None
    return snapshot


def layout_file(number: int) -> Path:
    return FOLDER / f"snapshot-layout-{number}.bin"


def dumped(topic: Mapping[bytes, bytes]) -> bytes:
    """Return records as one file: two lengths, key, value, and so on."""
    return b"".join(_LENGTHS.pack(len(key), len(value)) + key + value for key, value in topic.items())


def loaded(data: bytes) -> dict[bytes, bytes]:
    """Return the records of a file."""
    topic: dict[bytes, bytes] = {}
    at = 0
    while at < len(data):
        key_length, value_length = _LENGTHS.unpack_from(data, at)
        at += _LENGTHS.size
        key = data[at : at + key_length]
        at += key_length
        topic[key] = data[at : at + value_length]
        at += value_length
    return topic


if __name__ == "__main__":
    layout_file(LAYOUT_NUMBER).write_bytes(dumped(written(example())))
