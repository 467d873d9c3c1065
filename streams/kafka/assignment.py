"""The partitions that the group has given to this worker: taking them over and handing them on.

Every rebalance takes all partitions and gives some back. Each has an owner, who restores and runs it in a task of its
own, so that the group hears of nothing that takes long. A state that was stopped cleanly is kept until the next
assignment: it is the right one as long as nobody has committed since.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping

from faust.types import TP

from streams.kafka.effects import Place
from streams.kafka.fetched import Fetched
from streams.kafka.logs import note
from streams.kafka.owner import Events, PartitionOwner, Ports, Restored, Seat
from streams.kafka.partition import Runtime
from streams.kafka.restarts import Restarts
from streams.kafka.topics import Topics
from streams.web.metrics import Metrics
from streams.web.server import Health
from streams.wire.positions import ROUTER, STATE

log = logging.getLogger(__name__)


class AssignmentRefused(RuntimeError):
    """The assignment does not fit the topics."""


class Assignment:
    """All partitions of this worker.

    Args:
        topics: The topics' names.
        metrics: What is counted and measured.
        health: Is told how partitions stand.
        on_failure: Called with what ended a partition; the worker ends with it.
    """

    def __init__(
        self, topics: Topics, *, metrics: Metrics, health: Health, on_failure: Callable[[BaseException], None]
    ) -> None:
        self._topics = topics
        self._metrics = metrics
        self._health = health
        self._on_failure = on_failure
        self._by_place: dict[Place, PartitionOwner] = {}
        self._tasks: dict[asyncio.Task[None], PartitionOwner] = {}
        self._kept: dict[Seat, Restored | None] = {}
        self._restarts: dict[Seat, Restarts] = {}
        self._changing = asyncio.Lock()
        self._ports: Ports | None = None
        self.events = Events(live=self._became_live, restarted=self._restarted, waiting=self._waiting)

    def connect(self, ports: Ports) -> None:
        """Name the ports, which are made after the app that needs this."""
        self._ports = ports

    def offer(self, fetched: Fetched) -> None:
        """Hand on what was fetched; what belongs to nobody any more is read by its new owner."""
        owner = self._by_place.get((fetched.topic, fetched.partition))
        if owner is not None:
            owner.offer(fetched)

    async def assign(self, assigned: frozenset[TP]) -> Mapping[TP, int]:
        """Take over partitions. Returns no offset to read from: each owner seeks when it has restored its state.

        Raises:
            AssignmentRefused: Topics of one partition are with different workers.
        """
        async with self._changing:
            try:
                await self._assign(assigned)
            except AssignmentRefused as error:
                self._on_failure(error)
                raise
        return {}

    async def revoke(self) -> None:
        """Stop all partitions and commit what they have read. Their states are kept until the next assignment."""
        async with self._changing:
            self._unassigned()
            await self._stop(self._connected().settings.revoke_ms / 1000)

    async def stop(self, seconds: float) -> None:
        """Stop all partitions for good: commit what they have read, with a snapshot, unless that takes too long."""
        async with self._changing:
            self._unassigned()
            await self._stop(seconds, final=True)
            self._kept.clear()

    async def _assign(self, assigned: frozenset[TP]) -> None:
        await self._stop(self._connected().settings.revoke_ms / 1000)
        before, self._kept = self._kept, {}
        numbers = self._check_together(assigned)
        articles = sorted(tp.partition for tp in assigned if tp.topic == self._topics.articles)
        seats = [
            *(Seat(STATE, number, (self._topics.news, self._topics.ticks)) for number in numbers),
            *(Seat(ROUTER, number, (self._topics.articles,)) for number in articles),
        ]
        self._health.assigned(numbers)
        for seat in seats:
            self._own(seat, before.pop(seat, None))
        for seat in before:
            # Left over: another worker has it now.
            if seat.kind == ROUTER:
                self._metrics.lag_measured(self._topics.articles, seat.number, records=0, seconds=0.0)
            else:
                self._metrics.partition_revoked(seat.number, seat.topics)
        self._count()
        note(log, logging.INFO, "partitions_assigned", partitions=numbers, articles=articles)

    async def _stop(self, seconds: float, *, final: bool = False) -> None:
        tasks, self._tasks = self._tasks, {}
        self._by_place.clear()
        if not tasks:
            return
        await asyncio.gather(*(owner.stop(seconds, final=final) for owner in tasks.values()))
        for owner in tasks.values():
            # What was dropped stays known by name, so that what was measured of it is taken back.
            self._kept[owner.seat] = owner.kept
        clean = sum(owner.kept is not None for owner in tasks.values())
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

    def _own(self, seat: Seat, kept: Restored | None) -> None:
        restarts = self._restarts.setdefault(seat, Restarts())
        owner = PartitionOwner(seat, self._connected(), kept=kept, restarts=restarts)
        for topic in seat.topics:
            self._by_place[topic, seat.number] = owner
        task = asyncio.create_task(owner.run(), name=f"partition {seat.number} of {seat.topics[0]}")
        self._tasks[task] = owner
        task.add_done_callback(self._ended)

    def _ended(self, task: asyncio.Task[None]) -> None:
        if not task.cancelled() and task.exception() is not None:
            error = task.exception()
            assert error is not None
            self._on_failure(error)

    def _became_live(self, seat: Seat, runtime: Runtime) -> None:
        if seat.kind != STATE:
            return
        self._health.became_live(seat.number)
        self._count()
        positions = {topic: runtime.position(topic) for topic in seat.topics}
        note(log, logging.INFO, "partition_live", partition=seat.number, positions=positions)

    def _restarted(self, seat: Seat, reason: str) -> None:
        if seat.kind == STATE:
            self._health.restarted(seat.number)
            self._count()

    def _waiting(self, seat: Seat, reason: str | None) -> None:
        name = f"partition {seat.number}" if seat.kind == STATE else f"partition {seat.number} of the router"
        self._health.waiting(name, None if reason is None else f"{name} {reason}")
        self._metrics.waiting_counted(self._health.waiting_count)

    # At once: what is stopping is no longer live, and what follows may take long or never come.
    def _unassigned(self) -> None:
        self._health.unassigned()
        self._count()

    def _count(self) -> None:
        self._metrics.partitions_counted(live=self._health.live, replaying=self._health.replaying)

    def _connected(self) -> Ports:
        assert self._ports is not None
        return self._ports
