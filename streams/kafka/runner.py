"""Runs one partition: takes what is fetched for it, lets its runtime read in the right order, and commits what follows.

Reading and committing overlap: while one commit is in flight the next effects collect, up to a limit. A commit of
outputs begins at once when none is in flight and commits have not taken too much of the worker's time, else when there
is nothing to read or they have waited long enough; positions alone wait half a second.
"""

from __future__ import annotations

import asyncio
import logging
import time
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from aiokafka.errors import CommitFailedError, IllegalStateError, KafkaError

from streams.config_delivery import Commits
from streams.core.units import NS
from streams.kafka.cursors import Cursor, Found, RecordsMissing
from streams.kafka.effects import Effects, Outbox, Output
from streams.kafka.fetched import Fetched
from streams.kafka.logs import note
from streams.kafka.memory import OutputBudget
from streams.kafka.pacing import CommitPace
from streams.kafka.partition import Runtime
from streams.kafka.probe import DURING_REPLAY, Probe, passed
from streams.kafka.producer import Committer
from streams.kafka.slices import slices
from streams.kafka.transactions import InDoubt
from streams.kafka.written import count_written
from streams.web.metrics import Metrics

log = logging.getLogger(__name__)

SETS_MAX: Final = 2
"""Fetched sets of a topic at hand: one is read while the next is fetched."""

STALL_SECONDS: Final = 2.0
"""A commit takes milliseconds; one that takes this long waits for the brokers, and the worker says so."""

PATIENCE_SECONDS: Final = 0.5
"""How long the log whose clock is behind is waited for while the other holds records."""

MEASURE_SECONDS: Final = 1.0
"""How often running totals are handed over; that looks at every instrument."""


class Reader(Protocol):
    """Brings records of topics of one partition."""

    def hold(self, topic: str, partition: int) -> None:
        """Bring no more of this topic until `release`."""

    def release(self, topic: str, partition: int) -> None:
        """Bring more of this topic."""

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Go on from this offset."""


class State(Protocol):
    """What a partition writes to the state topic."""

    def read(self, records: int) -> None:
        """Note that so many live records were read."""

    async def prepare(self) -> None:
        """Get ready for `records`; called before every commit."""

    def records(self, *, final: bool) -> list[Output]:
        """Return what a commit of all that was read writes, the partition's positions at least."""

    def committed(self) -> None:
        """Note that what was returned last is in the topic."""


class PartitionRunner:
    """Drives one runtime until it is told to stop.

    Args:
        runtime: State, positions and order of reading.
        ends: The end of each topic's records when reading begins.
        reader: Where records come from.
        committer: Where effects go.
        metrics: What is counted and measured.
        settings: When is committed.
        pace: What the commits of all partitions may take together.
        budget: What the outputs of all partitions may hold together.
        state: Returns what a commit writes to the state topic.
        on_live: Called once, when the runtime is live.
        on_stall: Called with the seconds that a commit has waited for the brokers, and with None when that is over.
        probe: Is told what was replayed.
    """

    def __init__(
        self,
        runtime: Runtime,
        *,
        ends: Mapping[str, int],
        reader: Reader,
        committer: Committer,
        metrics: Metrics,
        settings: Commits,
        pace: CommitPace,
        budget: OutputBudget,
        state: State,
        on_live: Callable[[Runtime], None],
        on_stall: Callable[[float | None], None] = lambda seconds: None,
        probe: Probe = passed,
    ) -> None:
        self.runtime = runtime
        self._reader = reader
        self._committer = committer
        self._metrics = metrics
        self._settings = settings
        self._pace = pace
        self._budget = budget
        self._bytes_under_way = 0
        self._state = state
        self._on_live = on_live
        self._on_stall = on_stall
        self._probe = probe
        self._cursors = {topic: Cursor(runtime.position(topic), ends[topic]) for topic in runtime.topics}
        self._outbox = Outbox()
        self._commit: asyncio.Task[None] | None = None
        self._commit_begun: float | None = None
        self._output_at: float | None = None  # since when an output waits
        self._is_stalled = False
        self._missing: RecordsMissing | None = None
        self._committed_at = time.monotonic()
        self._measured_at = 0.0
        self._waiting_since: float | None = None
        self._wake = asyncio.Event()
        self._stopping = False
        self._stopped = asyncio.Event()
        self.is_clean = False
        """Whether everything that was read has been committed, once stopped."""

    def offer(self, fetched: Fetched) -> None:
        """Take what was fetched. What is known already is dropped; after a gap the reader is sent back."""
        if self._stopping:
            return
        cursor = self._cursors[fetched.topic]
        try:
            found = cursor.place(fetched)
        except RecordsMissing as error:
            self._missing = error
            self._wake.set()
            return
        if found is Found.ELSEWHERE:
            self._reader.seek(fetched.topic, fetched.partition, cursor.expected)
        if found is not Found.NEXT:
            return
        cursor.sets.extend(slices(fetched, cursor.byte_seconds))
        if len(cursor.sets) >= SETS_MAX or not self.runtime.wants(fetched.topic):
            self._reader.hold(fetched.topic, self.runtime.partition)
        self._wake.set()

    async def run(self) -> None:
        """Read and commit until stopped. Whatever it raises ends the worker."""
        for name in self.runtime.topics:
            self._measure_lag(name)
        self._announce(was_live=False)
        try:
            while not self._stopping:
                self._raise_failed_commit()
                topic = None if self._is_full() else self._choose()
                self._commit_when_due(is_free=topic is None)
                if topic is None:
                    await self._wait()
                else:
                    async with self._pace.turn:
                        if not self._stopping:
                            self._read(topic)
                        await asyncio.sleep(0)
                self._measure_when_due()
            # What owns this lets go of its connections when it returns.
            await self._stopped.wait()
        except (CommitFailedError, IllegalStateError) as error:
            # The group has moved on: the next assignment decides who goes on, from what was committed before.
            self._lost(error)

    async def stop(self, seconds: float, *, final: bool = False) -> None:
        """Stop reading, and commit what has been read unless that takes too long.

        Args:
            seconds: How long that may take; then it is dropped.
            final: The worker stops: the last commit carries a snapshot.
        """
        if self._stopping:
            return
        self._stopping = True
        self._wake.set()
        try:
            async with asyncio.timeout(seconds):
                if self._commit is not None:
                    await self._commit
                if not self._outbox.is_empty or (final and self.runtime.is_live):
                    await self._commit_now(final=final)
            self.is_clean = True
            self._measure()
        except (InDoubt, KafkaError, OSError, TimeoutError) as error:
            self._lost(error)
        finally:
            self._stopped.set()

    async def drop(self) -> None:
        """Stop at once, and leave what is under way to the next owner."""
        self._stopping = True
        self._wake.set()
        if self._commit is not None and not self._commit.done():
            self._commit.cancel()
            await asyncio.wait({self._commit})
        if self._commit is not None and not self._commit.cancelled():
            self._commit.exception()
        self._budget.hold(self, 0)

    # The partition's next owner begins with what was committed before, and reads the rest again.
    def _lost(self, error: Exception) -> None:
        self._stopping = True
        self._stopped.set()
        fields = {"partition": self.runtime.partition, "error": repr(error)}
        note(log, logging.WARNING, "partition_dropped_uncommitted", topics=self.runtime.topics, **fields)

    def _choose(self) -> str | None:
        held = {topic for topic, cursor in self._cursors.items() if cursor.sets}
        if not held:
            return None
        behind = {topic for topic, cursor in self._cursors.items() if not cursor.sets and cursor.expected < cursor.end}
        topic = self.runtime.choose(held, behind)
        if topic is not None:
            self._waiting_since = None
            return topic
        now = time.monotonic()
        if self._waiting_since is None:
            self._waiting_since = now
        if now - self._waiting_since < PATIENCE_SECONDS:
            return None
        return self.runtime.choose(held, frozenset())

    def _read(self, topic: str) -> None:
        cursor = self._cursors[topic]
        was_live = self.runtime.is_live
        fetched = cursor.sets[0]
        started = time.perf_counter()
        effects = self.runtime.read(fetched)
        seconds = time.perf_counter() - started
        if fetched.data:
            cursor.byte_seconds = seconds / len(fetched.data)
        self._metrics.batch_folded(effects.records, seconds)
        self._outbox.add(effects)
        self._budget.hold(self, self._outbox.bytes + self._bytes_under_way)
        if effects.outputs and self._output_at is None:
            self._output_at = time.monotonic()
        if was_live:
            self._state.read(effects.records)
        else:
            self._probe(DURING_REPLAY)
        cursor.append_ns = max(cursor.append_ns, effects.append_ns)
        if self.runtime.position(topic) >= fetched.next_offset:
            cursor.sets.popleft()
        self._count(topic, effects)
        self._announce(was_live=was_live)
        for name, other in self._cursors.items():
            if len(other.sets) < SETS_MAX and self.runtime.wants(name):
                self._reader.release(name, self.runtime.partition)

    def _announce(self, *, was_live: bool) -> None:
        if self.runtime.is_live and not was_live:
            self._metrics.engine_restored(self.runtime.partition, self.runtime.totals())
            self._on_live(self.runtime)

    async def _wait(self) -> None:
        due = MEASURE_SECONDS
        now = time.monotonic()
        if self._commit is None and self._output_at is not None:
            due = max(0.0, self._output_at + self._settings.delay_ms / 1000 - now)
        elif self._commit is None and not self._outbox.is_empty:
            due = max(0.0, self._committed_at + self._settings.positions_ms / 1000 - now)
        if self._waiting_since is not None:
            due = min(due, PATIENCE_SECONDS)
        try:
            async with asyncio.timeout(due):
                await self._wake.wait()
        except TimeoutError:
            pass
        self._wake.clear()

    def _is_full(self) -> bool:
        return len(self._outbox) >= self._settings.outputs_max or (len(self._outbox) > 0 and self._budget.is_spent)

    def _commit_when_due(self, *, is_free: bool) -> None:
        self._tell_stall()
        if self._commit is not None or self._stopping or self._outbox.is_empty:
            return
        now = time.monotonic()
        if self._output_at is not None:
            due = is_free or now - self._output_at >= self._settings.delay_ms / 1000 or self._pace.may_begin(now)
        else:
            due = now - self._committed_at >= self._settings.positions_ms / 1000
        if due:
            self._pace.begun(now)
            self._commit = asyncio.create_task(self._commit_now())
            self._commit.add_done_callback(lambda _: self._wake.set())

    def _tell_stall(self) -> None:
        waited = 0.0 if self._commit_begun is None else time.monotonic() - self._commit_begun
        if waited >= STALL_SECONDS or self._is_stalled:
            self._is_stalled = waited >= STALL_SECONDS
            self._on_stall(waited if self._is_stalled else None)

    def _raise_failed_commit(self) -> None:
        if self._missing is not None:
            raise self._missing
        if self._commit is not None and self._commit.done():
            done, self._commit = self._commit, None
            done.result()

    async def _commit_now(self, *, final: bool = False) -> None:
        self._commit_begun = time.monotonic()
        await self._state.prepare()
        # Nothing is read between these two: outputs, state and positions are of the same instant.
        self._bytes_under_way = self._outbox.bytes
        effects = self._outbox.take()
        effects.state = self._state.records(final=final)
        self._output_at = None
        started = time.perf_counter()
        await self._committer.commit(effects)
        self._committed_at = time.monotonic()
        self._commit_begun = None
        self._bytes_under_way = 0
        self._budget.hold(self, self._outbox.bytes)
        self._state.committed()
        self._metrics.commit_finished(time.perf_counter() - started)
        count_written(effects, self.runtime.partition, self._metrics)

    def _count(self, topic: str, effects: Effects) -> None:
        self._measure_lag(topic)
        if not self.runtime.is_live:
            return
        partition = self.runtime.partition
        self._metrics.records_consumed(topic, effects.records)
        if effects.nulls:
            self._metrics.nulls_skipped(topic, effects.nulls)
        if effects.misrouted:
            self._metrics.keys_misrouted(topic, len(effects.misrouted))
            fields = {"topic": topic, "partition": partition, "instruments": effects.misrouted[:5]}
            note(log, logging.WARNING, "keys_misrouted", count=len(effects.misrouted), **fields)

    def _measure_lag(self, topic: str) -> None:
        cursor = self._cursors[topic]
        lag = max(0, cursor.end - self.runtime.position(topic))
        age = max(0.0, time.time() - cursor.append_ns / NS) if lag and cursor.append_ns else 0.0
        self._metrics.lag_measured(topic, self.runtime.partition, records=lag, seconds=age)

    def _measure_when_due(self) -> None:
        if time.monotonic() - self._measured_at >= MEASURE_SECONDS:
            self._measure()

    def _measure(self) -> None:
        if not self.runtime.is_live:
            return
        self._measured_at = time.monotonic()
        totals = self.runtime.totals()
        if totals:
            partition = self.runtime.partition
            self._metrics.engine_counted(partition, totals)
            self._metrics.engine_measured(
                partition, windows=self.runtime.windows(), open_breakouts=self.runtime.open_breakouts()
            )
