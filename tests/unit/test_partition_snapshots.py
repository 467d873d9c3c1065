"""What a partition writes to the state topic, and when."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from importlib import metadata

import pytest
from prometheus_client import CollectorRegistry

from streams.config import Snapshots
from streams.core.join import Join
from streams.kafka.effects import Output
from streams.kafka.pacing import SnapshotPace
from streams.kafka.partition import PartitionRuntime, PartitionSettings
from streams.kafka.restore import find_start
from streams.kafka.snapshots import PartitionSnapshots, SnapshotPorts
from streams.kafka.terms import Terms
from streams.kafka.topics import Topics
from streams.web.metrics import Metrics
from streams.wire.positions import STATE, read_committed
from streams.wire.snapshots import LATEST, MANIFEST, SnapshotRefused, collect, read_snapshot, series_keys
from tests.property.test_band import markets
from tests.snapshot_example import IDENTITY, JOIN_RULES, RULES, example

TOPICS = Topics()
TERMS = Terms(markets(), RULES, JOIN_RULES)
SETTINGS = PartitionSettings(topics=TOPICS, partitions=4, source="", skew_ns=0, letters={})


class Bench:
    """A partition with a state of its own, a clock that is set by hand, and a topic that is a dictionary."""

    def __init__(
        self,
        topic: Mapping[bytes, bytes] | None = None,
        settings: Snapshots | None = None,
        *,
        delivery: str = "exactly_once",
        ticks: int = 120,
    ) -> None:
        self.topic = dict(topic or {})
        self.now, self.today, self.oldest = 0.0, "20260105", 0
        self.example = example(ticks)
        logs = {TOPICS.ticks: (0, 10_000), TOPICS.news: (0, 100)}
        group = dict.fromkeys(logs)
        self.start = find_start(
            self.topic, IDENTITY, TOPICS, group=group, bounds=logs, configured=TERMS, exactly_once=True
        )
        self.runtime = PartitionRuntime(
            1,
            SETTINGS,
            engine=self.example.engine,
            join=Join(JOIN_RULES),
            terms=TERMS,
            positions=self.start.positions,
            waypoints=self.start.waypoints,
        )
        ports = SnapshotPorts(
            topics=TOPICS,
            settings=settings or Snapshots(interval_s=10.0, records=1_000),
            pace=SnapshotPace(1.0),
            metrics=Metrics(CollectorRegistry(), version=metadata.version("fiftytwo")),
            version="test",
            delivery=delivery,
            now=lambda: self.now,
            today=lambda: self.today,
        )
        self.snapshots = PartitionSnapshots(IDENTITY, self.start, self.runtime, ports, self._oldest)

    async def _oldest(self) -> Mapping[str, int]:
        return {TOPICS.ticks: self.oldest}

    def commit(self, *, final: bool = False) -> set[str]:
        """Commit, and return what was written: series by name."""
        asyncio.run(self.snapshots.prepare())
        outputs = self.snapshots.records(final=final)
        self.topic = collect([*self.topic.items(), *((one.key, one.value) for one in outputs)])
        self.snapshots.committed()
        return {_series(output) for output in outputs}

    def series(self) -> set[str]:
        """Return which series the topic holds."""
        return set(series_keys(self.topic, IDENTITY))


def _series(output: Output) -> str:
    assert output.key is not None
    assert (output.topic, output.partition) == (TOPICS.state, IDENTITY.partition)
    return output.key.decode().split("/")[2]


def test_positions_go_with_every_commit_and_terms_with_the_first() -> None:
    """What holds is recorded once, where it came to hold; how far the partition has come, every time."""
    bench = Bench()

    assert bench.commit() == {"rules-1", "committed"}
    assert bench.commit() == {"committed"}

    own = read_committed(bench.topic, IDENTITY, STATE)
    assert own is not None
    assert own.positions == {TOPICS.ticks: 0, TOPICS.news: 0}


def test_snapshot_is_due_after_its_interval_or_enough_records() -> None:
    """Time or records, whichever comes first; and both begin anew with each snapshot."""
    bench = Bench()
    bench.commit()

    bench.now = 9.9
    assert LATEST not in bench.commit()
    bench.now = 10.0
    assert LATEST in bench.commit()
    bench.snapshots.read(999)
    assert LATEST not in bench.commit()

    assert read_snapshot(bench.topic, IDENTITY) is not None


def test_base_of_the_day_is_whole_and_goes_when_its_log_is_gone() -> None:
    """One whole snapshot a day; those whose ticks have left the log are taken away, but never the newest."""
    bench = Bench(settings=Snapshots(interval_s=10.0, base=True))
    bench.now = 10.0
    bench.commit()
    assert "base-20260105" in bench.commit()
    assert "base-20260105" not in bench.commit()

    bench.today, bench.now = "20260106", 30.0
    bench.commit()
    assert {"base-20260105", "base-20260106"} <= bench.series()
    bench.today, bench.now, bench.oldest = "20260107", 50.0, 1
    bench.commit()

    assert {name for name in bench.series() if name.startswith("base-")} == {"base-20260106", "base-20260107"}
    assert read_snapshot(bench.topic, IDENTITY, series="base-20260107") is not None


def test_snapshot_that_an_owner_of_before_tore_is_whole_again_with_the_next_base() -> None:
    """Without transactions nothing fences who wakes up late; what it tears is not believed, and does not stay torn."""
    bench = Bench(delivery="at_least_once")
    for bench.now in (10.0, 10.1, 20.2):
        bench.runtime._positions[TOPICS.ticks] += 1
        bench.commit()
    late = Bench(delivery="at_least_once", ticks=60)
    late.topic, late.now = bench.topic, 10.0
    late.commit()
    bench.topic, bench.now = late.topic, 31.0
    bench.runtime._positions[TOPICS.ticks] += 1
    assert LATEST in bench.commit()
    with pytest.raises(SnapshotRefused) as caught:
        read_snapshot(bench.topic, IDENTITY)
    assert caught.value.reason in ("torn", "missing")

    bench.today, bench.now = "20260106", 42.0
    assert "base-20260106" in bench.commit()
    bench.runtime._positions[TOPICS.ticks] += 1
    assert LATEST in bench.commit()

    healed = read_snapshot(bench.topic, IDENTITY)
    assert healed is not None
    assert healed.manifest.positions.ticks == bench.runtime.position(TOPICS.ticks)


def test_last_commit_carries_a_snapshot_unless_nothing_has_changed() -> None:
    """A clean stop leaves a snapshot at the position where it stopped."""
    bench = Bench()

    assert LATEST in bench.commit(final=True)
    assert bench.commit(final=True) == {"committed"}


def test_restart_records_its_terms_only_when_they_changed() -> None:
    """Terms that hold on are not recorded again, and what was written is continued."""
    bench = Bench()
    bench.commit(final=True)

    again = Bench(bench.topic)

    assert again.start.snapshot is not None
    assert again.commit() == {"committed"}
    assert IDENTITY.key(LATEST, MANIFEST) in again.topic
