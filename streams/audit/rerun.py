"""The engine and the join once more over the same input, with no worker: what should have been written.

It is the partition's own runtime, live from the start, fed from the log up to a bound and from there to another. Which
of the two logs is read first follows the same rule as in a worker; the outputs that are compared do not depend on it.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from typing import Final

from streams.audit.reading import Stream
from streams.audit.start import AuditStart
from streams.config import Config
from streams.core.engine import Engine
from streams.core.join import Join
from streams.core.units import NS
from streams.kafka.dlq import DeadLetters
from streams.kafka.effects import Effects
from streams.kafka.partition import PartitionRuntime, PartitionSettings
from streams.kafka.router import RouterRuntime
from streams.kafka.terms import Terms, Waypoint
from streams.kafka.topics import Topics, specs
from streams.wire.batches import Frames, read_batches
from streams.wire.snapshot_writer import SnapshotWriter
from streams.wire.snapshots import Identity, Positions, SnapshotRecord

SERIES: Final = "verify"
"""Names the snapshots of an interrupted verification, which are in no topic."""

Progress = Callable[[str, int, int], None]
"""Told what is verified, and how many of how many input records have been read."""


@dataclass(slots=True)
class Log:
    """One input partition on its way through a rerun.

    Attributes:
        stream: Where its batches come from.
        position: How far the rerun has come.
        held: A set of which a part lies past the bound that was in force when it was read.
    """

    stream: Stream
    position: int
    held: Frames | None = None

    async def frames(self, bound: int) -> Frames | None:
        """Return the next records below a bound, None when there are none."""
        if self.position >= bound:
            return None
        if self.held is None:
            fetched = await self.stream.read()
            if fetched is None:
                return None
            self.held = read_batches(fetched.data, skip_before=self.position)
            self.held = replace(self.held, next_offset=max(self.held.next_offset, fetched.next_offset))
        held, self.held = self.held, None
        if held.next_offset <= bound:
            self.position = held.next_offset
            return held
        count = int(held.frames["offset"].searchsorted(bound))
        self.held = replace(held, frames=held.frames[count:])
        self.position = bound
        return replace(held, frames=held.frames[:count], next_offset=bound)


class PartitionRerun:
    """Engine and join of one partition over its two logs.

    Args:
        number: The partition.
        settings: What all partitions share.
        start: Where it begins, and under which terms.
        logs: The logs, by topic, at the start.
    """

    def __init__(self, number: int, settings: PartitionSettings, start: AuditStart, logs: Mapping[str, Log]) -> None:
        self._number = number
        self._settings = settings
        self._logs = logs
        self._waypoints = list(start.waypoints)
        engine, join = Engine(start.terms.markets, start.terms.rules), Join(start.terms.join_rules)
        mode = ""
        if start.snapshot is not None:
            engine.restore(start.snapshot.engine)
            join.restore(start.snapshot.join)
            mode = start.snapshot.manifest.news_mode
        self._runtime = self._live(engine, join, start.terms, mode, ())

    @property
    def positions(self) -> dict[str, int]:
        """Return how far it has come, by topic."""
        return {topic: log.position for topic, log in self._logs.items()}

    def extend(self, ends: Mapping[str, int]) -> None:
        """Let the logs be read as far as they are now."""
        for topic, log in self._logs.items():
            log.stream.end = max(log.stream.end, ends[topic])

    async def advance(self, bounds: Mapping[str, int]) -> Effects | None:
        """Read one set of records below the bounds, and return what follows; None at the bounds."""
        while True:
            self._adopt()
            here = bounds
            if self._waypoints:
                # Nothing past a point where terms change is read before both logs are there.
                here = {topic: min(bound, self._waypoints[0].positions[topic]) for topic, bound in bounds.items()}
            effects = await self._read(here)
            if effects is not None or not self._is_at_waypoint():
                return effects

    def snapshot(self, identity: Identity, topics: Topics) -> list[SnapshotRecord]:
        """Return the whole state where it is now, from which another rerun can go on."""
        runtime, at = self._runtime, self.positions
        positions = Positions(at[topics.ticks], at[topics.news])
        writer = SnapshotWriter(identity, series=SERIES)
        return writer.write(runtime.engine, runtime.join, positions=positions, news_mode=runtime.news_mode).records

    async def _read(self, bounds: Mapping[str, int]) -> Effects | None:
        left = {topic for topic, log in self._logs.items() if log.position < bounds[topic]}
        while left:
            topic = self._runtime.choose(left, frozenset())
            assert topic is not None
            frames = await self._logs[topic].frames(bounds[topic])
            if frames is None:
                left.discard(topic)
                continue
            return self._runtime.ticks(frames) if topic == self._runtime.topics[1] else self._runtime.news(frames)
        return None

    def _is_at_waypoint(self) -> bool:
        if not self._waypoints:
            return False
        return all(at >= self._waypoints[0].positions[topic] for topic, at in self.positions.items())

    # Both logs are where other terms come to hold: the same state goes on under them.
    def _adopt(self) -> None:
        while self._is_at_waypoint():
            waypoint = self._waypoints.pop(0)
            before = self._runtime
            self._runtime = self._live(before.engine, before.join, before.terms, before.news_mode, (waypoint,))

    def _live(
        self, engine: Engine, join: Join, terms: Terms, news_mode: str, waypoints: tuple[Waypoint, ...]
    ) -> PartitionRuntime:
        return PartitionRuntime(
            self._number,
            self._settings,
            engine=engine,
            join=join,
            terms=terms,
            positions=self.positions,
            waypoints=waypoints,
            news_mode=news_mode,
        )


class RouterRerun:
    """The fan-out of one partition of the articles topic."""

    def __init__(self, runtime: RouterRuntime, log: Log) -> None:
        self._runtime = runtime
        self._log = log

    @property
    def position(self) -> int:
        """Return how far it has come."""
        return self._log.position

    async def advance(self, bound: int) -> Effects | None:
        """Read one set of articles below the bound, and return what follows; None at the bound."""
        frames = await self._log.frames(bound)
        return None if frames is None else self._runtime.articles(frames)


def settings_of(config: Config) -> PartitionSettings:
    """Return what all partitions of a worker with this configuration share."""
    kafka = config.kafka
    topics = Topics(kafka.prefix)
    bytes_max = {spec.name: int(spec.configs["max.message.bytes"]) for spec in specs(config)}
    return PartitionSettings(
        topics=topics,
        partitions=kafka.partitions,
        source=f"/fiftytwo/{kafka.application_id}",
        skew_ns=config.rules.skew_s * NS,
        letters={topic: DeadLetters(topic, kafka.application_id, bytes_max[topic]) for topic in topics.inputs},
    )
