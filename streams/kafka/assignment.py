"""The partitions that the group has given to this worker: taking them over, running them, handing them on.

Every rebalance takes all partitions and gives some back. State is a fold of the log, so a state whose positions equal
the committed ones is the right one whoever committed them: what comes back is kept, and only what is new is rebuilt.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Iterable, Mapping
from dataclasses import dataclass
from typing import Protocol

from faust.types import TP

from streams.kafka.effects import Place
from streams.kafka.fetched import Fetched
from streams.kafka.logs import note
from streams.kafka.partition import Builder, Runtime
from streams.kafka.producer import Committer
from streams.kafka.runner import PartitionRunner
from streams.kafka.topics import Topics
from streams.web.metrics import Metrics
from streams.web.server import Health

log = logging.getLogger(__name__)


class AssignmentRefused(RuntimeError):
    """The assignment, or what the group has committed, does not fit the topics."""


class Consumer(Protocol):
    """What is asked of the consumer."""

    def hold(self, tp: TP) -> None:
        """Bring no more of a partition until `release`."""

    def release(self, tp: TP) -> None:
        """Bring more of a partition."""

    async def seek_all(self, positions: Mapping[TP, int]) -> None:
        """Go on from these offsets."""

    async def committed(self, partitions: Iterable[TP]) -> dict[TP, int | None]:
        """Return the group's committed offset of each partition, None where it has none."""

    async def bounds(self, partitions: Iterable[TP]) -> dict[TP, tuple[int, int]]:
        """Return each partition's oldest offset and the offset after its newest record."""


@dataclass(frozen=True, slots=True)
class Builders:
    """Make the runtimes of a partition of the state and of a partition of the articles topic."""

    state: Builder
    router: Builder


class Assignment:
    """All partitions of this worker.

    Args:
        topics: The topics' names.
        builders: Make runtimes.
        metrics: What is counted and measured.
        health: Is told how partitions stand.
        on_failure: Called with what ended a partition; the worker ends with it.
    """

    def __init__(
        self,
        topics: Topics,
        builders: Builders,
        *,
        metrics: Metrics,
        health: Health,
        on_failure: Callable[[BaseException], None],
    ) -> None:
        self._topics = topics
        self._builders = builders
        self._metrics = metrics
        self._health = health
        self._on_failure = on_failure
        self._by_place: dict[Place, PartitionRunner] = {}
        self._tasks: dict[asyncio.Task[None], PartitionRunner] = {}
        self._kept: dict[Place, Runtime] = {}
        self._changing = asyncio.Lock()
        self._seeks: set[asyncio.Task[None]] = set()
        self._consumer: Consumer | None = None
        self._committer: Committer | None = None

    def connect(self, consumer: Consumer, committer: Committer) -> None:
        """Name the consumer and the committer, which are made after the app that needs this."""
        self._consumer, self._committer = consumer, committer

    def offer(self, fetched: Fetched) -> None:
        """Hand on what was fetched; what belongs to nobody any more is read by its new owner."""
        runner = self._by_place.get((fetched.topic, fetched.partition))
        if runner is not None:
            runner.offer(fetched)

    async def assign(self, assigned: frozenset[TP]) -> Mapping[TP, int]:
        """Take over partitions and return the offset to read each from.

        Raises:
            AssignmentRefused: Topics of one partition are with different workers, or a committed position is past the
                end of its topic.
        """
        async with self._changing:
            try:
                return await self._assign(assigned)
            except AssignmentRefused as error:
                self._on_failure(error)
                raise

    async def revoke(self) -> None:
        """Stop all partitions and commit what they have read. Their states are kept until the next assignment."""
        async with self._changing:
            await self._revoke()

    def hold(self, topic: str, partition: int) -> None:
        """Bring no more of a topic's partition until `release`."""
        self._connected()[0].hold(TP(topic, partition))

    def release(self, topic: str, partition: int) -> None:
        """Bring more of a topic's partition."""
        self._connected()[0].release(TP(topic, partition))

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Go on from this offset, soon."""
        task = asyncio.create_task(self._connected()[0].seek_all({TP(topic, partition): offset}))
        self._seeks.add(task)
        task.add_done_callback(self._sought)

    async def _assign(self, assigned: frozenset[TP]) -> Mapping[TP, int]:
        await self._revoke()
        before, self._kept = self._kept, {}
        numbers = self._check_together(assigned)
        articles = sorted(tp.partition for tp in assigned if tp.topic == self._topics.articles)
        consumer, _ = self._connected()
        committed, bounds = await consumer.committed(assigned), await consumer.bounds(assigned)
        goals = {tp: _goal(tp, committed[tp], *bounds[tp]) for tp in assigned}
        self._health.assigned(numbers)
        for number in numbers:
            self._start(number, self._builders.state, (self._topics.news, self._topics.ticks), goals, bounds, before)
        for number in articles:
            self._start(number, self._builders.router, (self._topics.articles,), goals, bounds, before)
        for topic, number in before:
            # Left over: another worker has it now.
            if topic == self._topics.articles:
                self._metrics.lag_measured(topic, number, records=0, seconds=0.0)
            else:
                self._metrics.partition_revoked(number, (self._topics.news, self._topics.ticks))
        self._count()
        note(log, logging.INFO, "partitions_assigned", partitions=numbers, articles=articles)
        return {tp: self._by_place[tp].runtime.position(tp.topic) for tp in assigned}

    async def _revoke(self) -> None:
        tasks, self._tasks = self._tasks, {}
        self._by_place.clear()
        if not tasks:
            return
        await asyncio.gather(*(runner.stop() for runner in tasks.values()))
        await asyncio.wait(tasks)
        for runner in tasks.values():
            # What was dropped stays known by name, so that what was measured of it is taken back.
            self._kept[runner.runtime.topics[0], runner.runtime.partition] = runner.runtime
        clean = sum(runner.is_clean for runner in tasks.values())
        note(log, logging.INFO, "partitions_revoked", count=len(tasks), clean=clean)

    # Faust's assignor keeps topics of equal partition counts together; the join depends on it, so it is checked.
    def _check_together(self, assigned: frozenset[TP]) -> list[int]:
        ticks = {tp.partition for tp in assigned if tp.topic == self._topics.ticks}
        news = {tp.partition for tp in assigned if tp.topic == self._topics.news}
        if ticks != news:
            raise AssignmentRefused(
                f"expected the same partitions of {self._topics.ticks} and {self._topics.news}, found {sorted(ticks)} "
                f"and {sorted(news)}: all workers of the group must run the same version, and both topics must have "
                "the same number of partitions"
            )
        return sorted(ticks)

    def _start(
        self,
        number: int,
        builder: Builder,
        topics: tuple[str, ...],
        goals: Mapping[TP, int],
        bounds: Mapping[TP, tuple[int, int]],
        before: dict[Place, Runtime],
    ) -> None:
        consumer, committer = self._connected()
        goal = {topic: goals[TP(topic, number)] for topic in topics}
        # What never was live or was not committed is at other positions than these.
        runtime = before.pop((topics[0], number), None)
        if runtime is None or not runtime.is_live or any(runtime.position(topic) != goal[topic] for topic in topics):
            runtime = builder(number, {topic: bounds[TP(topic, number)][0] for topic in topics}, goal)
        runner = PartitionRunner(
            runtime,
            ends={topic: bounds[TP(topic, number)][1] for topic in topics},
            reader=self,
            committer=committer,
            metrics=self._metrics,
            on_live=self._became_live,
        )
        for topic in topics:
            self._by_place[topic, number] = runner
            consumer.release(TP(topic, number))
        task = asyncio.create_task(runner.run(), name=f"partition {number} of {topics[0]}")
        self._tasks[task] = runner
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            error = task.exception()
            assert error is not None
            self._on_failure(error)

    def _sought(self, task: asyncio.Task[None]) -> None:
        self._seeks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            # The partition was taken away meanwhile.
            note(log, logging.INFO, "seek_dropped", error=repr(task.exception()))

    def _became_live(self, runner: PartitionRunner) -> None:
        if self._topics.ticks not in runner.runtime.topics:
            return
        self._health.became_live(runner.runtime.partition)
        self._count()
        positions = {topic: runner.runtime.position(topic) for topic in runner.runtime.topics}
        note(log, logging.INFO, "partition_live", partition=runner.runtime.partition, positions=positions)

    def _count(self) -> None:
        self._metrics.partitions_counted(live=self._health.live, replaying=self._health.replaying)

    def _connected(self) -> tuple[Consumer, Committer]:
        assert self._consumer is not None
        assert self._committer is not None
        return self._consumer, self._committer


# The offset up to which outputs were written before.
def _goal(tp: TP, committed: int | None, first: int, end: int) -> int:
    if committed is None:
        return first
    if committed > end:
        raise AssignmentRefused(
            f"expected {tp.topic} partition {tp.partition} to reach the group's committed offset {committed}, found "
            f"its end at {end}: the topic was made again or lost records; use another kafka.application_id, or reset "
            "the group's offsets"
        )
    if committed < first:
        fields = {"topic": tp.topic, "partition": tp.partition, "committed": committed, "oldest": first}
        note(log, logging.ERROR, "input_lost_to_retention", records=first - committed, **fields)
        return first
    return committed
