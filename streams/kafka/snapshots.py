"""What one partition writes to the state topic: positions with every commit, snapshots now and then, terms once.

A snapshot is taken between two batches, when its records join a commit: state, outputs and positions are those of the
same instant. The series `latest` is written as the difference from the one before; a whole snapshot a day is kept for
who wants to begin there later.
"""

from __future__ import annotations

import time
from collections.abc import Awaitable, Callable, Mapping
from dataclasses import dataclass

from aiokafka.errors import KafkaError

from streams.config_delivery import Snapshots
from streams.core.engine import Engine
from streams.core.join import Join
from streams.kafka.effects import Output
from streams.kafka.pacing import SnapshotPace
from streams.kafka.partition import PartitionRuntime
from streams.kafka.restore import BASE, RULES, Start, rules_number
from streams.kafka.topics import Topics
from streams.web.metrics import Metrics
from streams.wire.positions import STATE, committed_record
from streams.wire.snapshot_writer import SnapshotWriter, Written
from streams.wire.snapshots import LATEST, Identity, Positions, SnapshotRecord

Oldest = Callable[[], Awaitable[Mapping[str, int]]]
"""Asks for the oldest offset of each topic."""


@dataclass(frozen=True, slots=True, kw_only=True)
class SnapshotPorts:
    """What the snapshots of all partitions share.

    Attributes:
        topics: Names of the topics.
        settings: When snapshots are due.
        pace: What all partitions share of the worker's time.
        metrics: What is counted and measured.
        version: Version of the program.
        delivery: How is committed.
        now: Seconds of a clock that never goes back.
        today: The date in UTC as eight digits, which names the base snapshot of the day.
    """

    topics: Topics
    settings: Snapshots
    pace: SnapshotPace
    metrics: Metrics
    version: str
    delivery: str
    now: Callable[[], float] = time.monotonic
    today: Callable[[], str] = lambda: time.strftime("%Y%m%d", time.gmtime())


class PartitionSnapshots:
    """Takes the snapshots of one partition for one stretch of ownership.

    Args:
        identity: Whose they are.
        start: How the partition began.
        runtime: Its state, just restored.
        ports: What all partitions share.
        oldest: Asks for the oldest offsets of both logs.
    """

    def __init__(
        self, identity: Identity, start: Start, runtime: PartitionRuntime, ports: SnapshotPorts, oldest: Oldest
    ) -> None:
        self._identity = identity
        self._runtime = runtime
        self._ports = ports
        self._oldest = oldest
        self._begun = start.positions
        self._keys = {name: list(keys) for name, keys in start.series.items()}
        self._positions_of = {name: dict(at) for name, at in start.positions_of.items()}
        self._recorded_terms = start.terms if self._rules_count() else None
        for waypoint in start.waypoints[:-1]:
            self._recorded_terms = waypoint.terms
        self._latest = SnapshotWriter(
            identity, engine_version=ports.version, orphans=() if _is_latest(start) else self._keys.get(LATEST, ())
        )
        if start.snapshot is not None and _is_latest(start):
            self._latest.resume(start.snapshot, runtime.engine, runtime.join)
        self._taken_at = ports.now()
        self._taken_positions: Mapping[str, int] | None = start.positions if _is_latest(start) else None
        self._records_since = 0
        self._was_taken = False
        self._pending: list[Written] = []
        self._gone: list[bytes] = []

    def read(self, records: int) -> None:
        """Note that so many records were read since the last call."""
        self._records_since += records

    async def prepare(self) -> None:
        """Find out what a base snapshot, where one is due, makes superfluous. Called before every commit."""
        if not self._is_base_due():
            return
        try:
            oldest = (await self._oldest())[self._ports.topics.ticks]
        except (KafkaError, OSError):
            return  # Another day will do.
        ticks = self._ports.topics.ticks
        bases = sorted(name for name in self._positions_of if name.startswith(BASE))
        for name in bases[:-1]:
            if self._positions_of[name][ticks] < oldest:
                self._gone += self._keys.pop(name, [])
                del self._positions_of[name]

    def records(self, *, final: bool = False) -> list[Output]:
        """Return what a commit of all that was read writes to the state topic. Called between two batches.

        Args:
            final: The worker stops: a snapshot is taken unless nothing has changed since the last.
        """
        runtime = self._runtime
        positions = {topic: runtime.position(topic) for topic in runtime.topics}
        found: list[SnapshotRecord] = []
        if runtime.terms is not self._recorded_terms:
            if self._recorded_terms is None or not runtime.terms.is_same(self._recorded_terms):
                found += self._terms()
            self._recorded_terms = runtime.terms
        is_base_due = not final and self._is_base_due()
        if not is_base_due and (final or self._is_due()):
            if positions != self._taken_positions:
                found += self._taken(self._latest, LATEST)
                self._taken_positions = positions
            self._taken_at, self._records_since, self._was_taken = self._ports.now(), 0, True
        elif is_base_due:
            series = f"{BASE}{self._ports.today()}"
            found += [SnapshotRecord(key, None) for key in self._gone]
            self._gone = []
            writer = SnapshotWriter(self._identity, engine_version=self._ports.version, series=series)
            found += self._taken(writer, series)
            if self._ports.delivery != "exactly_once":
                # Nothing fences an owner of before that wakes up late: what it has torn is whole again with the next.
                self._latest.forget()
        found.append(committed_record(self._identity, STATE, positions, delivery=self._ports.delivery))
        return [self._output(record) for record in found]

    def committed(self) -> None:
        """Note that the records returned last are in the topic."""
        pending, self._pending = self._pending, []
        for written in pending:
            self._ports.metrics.snapshot_written(self._identity.partition, written.size)

    def _is_due(self) -> bool:
        settings = self._ports.settings
        since = self._ports.now() - self._taken_at
        due = since >= settings.interval_s or self._records_since >= settings.records
        return due and self._ports.pace.is_free(self._ports.now())

    # Not before the first snapshot of this stretch: a start has enough to do.
    def _is_base_due(self) -> bool:
        if not self._ports.settings.base or not self._was_taken or f"{BASE}{self._ports.today()}" in self._positions_of:
            return False
        return self._ports.pace.is_free(self._ports.now())

    def _taken(self, writer: SnapshotWriter, series: str) -> list[SnapshotRecord]:
        runtime, begun = self._runtime, self._ports.now()
        positions = self._positions(runtime.position)
        written = writer.write(runtime.engine, runtime.join, positions=positions, news_mode=runtime.news_mode)
        ended = self._ports.now()
        self._ports.pace.spent(ended, ended - begun)
        self._ports.metrics.snapshot_taken(ended - begun)
        self._pending.append(written)
        self._note(series, written, positions)
        return written.records

    # Terms are recorded where they came to hold: at the end of what was said under those before.
    def _terms(self) -> list[SnapshotRecord]:
        runtime = self._runtime
        number = self._rules_count() + 1
        series = f"{RULES}{number}"
        terms = runtime.terms
        # The first are those of the whole state, which may have been built before terms were recorded.
        positions = self._positions((self._begun if number == 1 else runtime.live_from).__getitem__)
        writer = SnapshotWriter(self._identity, engine_version=self._ports.version, series=series)
        written = writer.write(Engine(terms.markets, terms.rules), Join(terms.join_rules), positions=positions)
        self._note(series, written, positions)
        return written.records

    def _note(self, series: str, written: Written, positions: Positions) -> None:
        if series != LATEST:
            self._keys[series] = [record.key for record in written.records]
            topics = self._ports.topics
            self._positions_of[series] = {topics.ticks: positions.ticks, topics.news: positions.news}

    def _positions(self, position: Callable[[str], int]) -> Positions:
        topics = self._ports.topics
        return Positions(position(topics.ticks), position(topics.news))

    def _rules_count(self) -> int:
        return max((rules_number(name) for name in self._positions_of if name.startswith(RULES)), default=0)

    def _output(self, record: SnapshotRecord) -> Output:
        return Output(self._ports.topics.state, self._identity.partition, record.key, record.value, [])


def _is_latest(start: Start) -> bool:
    return start.snapshot is not None and start.snapshot.manifest.series == LATEST
