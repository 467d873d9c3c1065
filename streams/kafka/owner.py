"""The life of one partition on this worker: fence the owner before, restore, run; and again after any doubt.

Nothing here knows Faust: records are offered, and the ports below say where they come from and go to. A partition that
is fenced, whose transaction is in doubt, or whose log has a gap drops its state and begins again from what was
committed. What comes back too often ends the worker: something is wrong that beginning again does not mend.
"""

from __future__ import annotations

import asyncio
import gc
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable, Iterable, Mapping
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final, Protocol, TypeVar

from aiokafka.errors import (
    CommitFailedError,
    GroupAuthorizationFailedError,
    IllegalStateError,
    KafkaError,
    TopicAuthorizationFailedError,
    TransactionalIdAuthorizationFailed,
)

from streams.config_delivery import Commits
from streams.kafka.cursors import RecordsMissing
from streams.kafka.effects import Place
from streams.kafka.fetched import Fetched
from streams.kafka.logs import note
from streams.kafka.memory import OutputBudget
from streams.kafka.pacing import CommitPace
from streams.kafka.partition import Runtime
from streams.kafka.probe import DURING_RESTORE, Probe, passed
from streams.kafka.producer import Committer
from streams.kafka.restarts import Restarts, described, reason_of
from streams.kafka.restore import Bounds
from streams.kafka.runner import PartitionRunner, State
from streams.kafka.transactions import InDoubt
from streams.web.metrics import Metrics

log = logging.getLogger(__name__)

FENCED_SECONDS: Final = 3.0
"""Three heartbeats: a worker that slept while its partitions moved on hears of it before it would fence their owner."""

DOUBT_SECONDS: Final = 1.0
"""One heartbeat: the same worker may also find that its connections were closed while it slept."""

CANCEL_SECONDS: Final = 1.0
"""How long a restore may take to leave off before it is told again."""

RETRY_SECONDS: Final = 0.5
"""How long to wait before a broker that did not answer is asked again."""

PATIENCE_SECONDS: Final = 2.0
"""An answer that takes longer is worth a word in the health page."""

REFUSED: Final = (GroupAuthorizationFailedError, TopicAuthorizationFailedError, TransactionalIdAuthorizationFailed)
"""What asking again does not change."""

Result = TypeVar("Result")


class Consumer(Protocol):
    """What is asked of the consumer."""

    def hold(self, place: Place) -> None:
        """Bring no more of a partition until `release`."""

    def release(self, place: Place) -> None:
        """Bring more of a partition."""

    async def seek_all(self, positions: Mapping[Place, int]) -> None:
        """Go on from these offsets."""

    async def committed(self, partitions: Iterable[Place]) -> Mapping[Place, int | None]:
        """Return the group's committed offset of each partition, None where it has none."""

    async def bounds(self, partitions: Iterable[Place]) -> Mapping[Place, tuple[int, int]]:
        """Return each partition's oldest offset and the offset after its newest record."""


@dataclass(frozen=True, slots=True)
class Seat:
    """Which partition of which kind is owned.

    Attributes:
        kind: `state` or `router`; part of the transactional id.
        number: The partition's number.
        topics: The topics that it reads.
    """

    kind: str
    number: int
    topics: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Restored:
    """A partition ready to read on.

    Attributes:
        runtime: State and positions.
        state: What it writes to the state topic.
        state_end: Where the state topic ended when it was read, None where it was not read.
    """

    runtime: Runtime
    state: State
    state_end: int | None = None


class Restorer(Protocol):
    """Rebuilds the state of a partition.

    Attributes:
        topic: The state topic.
    """

    topic: str

    async def restore(self, seat: Seat, group: Mapping[str, int | None], bounds: Bounds) -> Restored:
        """Rebuild a partition up to where reading begins.

        Args:
            seat: Which.
            group: The group's committed offsets, by topic.
            bounds: What the logs hold, by topic.
        """


@dataclass(frozen=True, slots=True)
class Events:
    """Told how a partition stands. All do nothing when not given."""

    live: Callable[[Seat, Runtime], None] = lambda seat, runtime: None
    restarted: Callable[[Seat, str], None] = lambda seat, reason: None
    waiting: Callable[[Seat, str | None], None] = lambda seat, reason: None


@dataclass(frozen=True, slots=True, kw_only=True)
class Ports:
    """What all partitions of a worker share.

    Attributes:
        consumer: Where records come from.
        committer: Makes the committer of a partition; it is not started.
        restorer: Rebuilds states.
        settings: When is committed and when is given up.
        pace: What the commits of all partitions may take together.
        metrics: What is counted and measured.
        budget: What their outputs may hold together.
        events: Told how partitions stand.
        probe: Told how far each commit and replay has come.
    """

    consumer: Consumer
    committer: Callable[[Seat], Committer]
    restorer: Restorer
    settings: Commits
    pace: CommitPace
    metrics: Metrics
    budget: OutputBudget = field(default_factory=OutputBudget)
    events: Events = field(default_factory=Events)
    probe: Probe = passed


class PartitionOwner:
    """Owns one partition until it is stopped.

    Args:
        seat: Which partition.
        ports: What all partitions share.
        kept: A state that this worker had before; it is used when nobody has committed since.
        restarts: How often this worker has begun it again before.
    """

    def __init__(
        self, seat: Seat, ports: Ports, *, kept: Restored | None = None, restarts: Restarts | None = None
    ) -> None:
        self.seat = seat
        self._ports = ports
        self._kept = kept
        self._runner: PartitionRunner | None = None
        self._stopping = False
        self._restarts = restarts if restarts is not None else Restarts()
        self._task: asyncio.Task[None] | None = None
        self._seeks: set[asyncio.Task[None]] = set()

    @property
    def runtime(self) -> Runtime | None:
        """Return state and positions, None while they are being restored."""
        return None if self._runner is None else self._runner.runtime

    @property
    def kept(self) -> Restored | None:
        """Return the state once stopped, None where something of it was not committed."""
        return self._kept

    def offer(self, fetched: Fetched) -> None:
        """Take what was fetched; while the state is being restored nothing is taken."""
        if self._runner is not None:
            self._runner.offer(fetched)

    async def run(self) -> None:
        """Own the partition until it is stopped. Whatever it raises ends the worker."""
        self._task = asyncio.current_task()
        while not self._stopping:
            try:
                await self._own()
                return
            except (CommitFailedError, IllegalStateError) as error:
                # The group has moved on: the next assignment decides who goes on.
                note(log, logging.WARNING, "partition_lost", **self._named(), error=repr(error))
                return
            except (InDoubt, KafkaError, OSError, RecordsMissing) as error:
                await self._begin_again(error)
            # The trace of what went wrong holds the dropped state in a cycle: a row is 15 KB an instrument, and the
            # collector counts objects, not bytes. Before the next one is built it must be gone.
            gc.collect()

    async def stop(self, seconds: float, *, final: bool = False) -> None:
        """Stop: commit what has been read unless that takes too long, or leave off restoring."""
        self._stopping = True
        task = self._task
        if task is None:
            return
        if self._runner is not None:
            await self._runner.stop(seconds, final=final)
        # A client that is being closed takes a cancellation for its own, and whoever called it goes on.
        elif task.cancel():
            while not (await asyncio.wait({task}, timeout=CANCEL_SECONDS))[0]:
                task.cancel()
        await asyncio.wait({task})

    def hold(self, topic: str, partition: int) -> None:
        """Bring no more of a topic until `release`."""
        self._ports.consumer.hold((topic, partition))

    def release(self, topic: str, partition: int) -> None:
        """Bring more of a topic."""
        self._ports.consumer.release((topic, partition))

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Go on from this offset, soon."""
        task = asyncio.create_task(self._ports.consumer.seek_all({(topic, partition): offset}))
        self._seeks.add(task)
        task.add_done_callback(self._sought)

    async def _own(self) -> None:
        ports, seat = self._ports, self.seat
        for topic in seat.topics:
            self.hold(topic, seat.number)
        committer = ports.committer(seat)
        runner: PartitionRunner | None = None
        restored: Restored | None = None
        try:
            committer = await self._started(committer)
            bounds, restored = await self._restored()
            ports.probe(DURING_RESTORE)
            if self._stopping:
                return
            runtime = restored.runtime
            runner = PartitionRunner(
                runtime,
                ends={topic: bounds[topic][1] for topic in seat.topics},
                reader=self,
                committer=committer,
                metrics=ports.metrics,
                settings=ports.settings,
                pace=ports.pace,
                budget=ports.budget,
                state=restored.state,
                on_live=lambda live: ports.events.live(seat, live),
                on_stall=self._stalled,
                probe=ports.probe,
            )
            await ports.consumer.seek_all({(topic, seat.number): runtime.position(topic) for topic in seat.topics})
            # Not before: what was fetched until now may begin where the next set begins again.
            self._runner = runner
            for topic in seat.topics:
                self.release(topic, seat.number)
            await runner.run()
        finally:
            self._runner = None
            ports.events.waiting(seat, None)
            if runner is not None:
                await runner.drop()
            is_clean = runner is not None and runner.is_clean
            self._kept = None
            if is_clean and restored is not None and restored.runtime.is_live:
                end = committer.state_end if committer.state_end is not None else restored.state_end
                self._kept = Restored(restored.runtime, restored.state, end)
            await committer.close(finished=is_clean)

    async def _started(self, committer: Committer) -> Committer:
        while True:
            try:
                async with self._patience("reach the brokers and begin its transactions"):
                    await committer.start()
                    return committer
            except REFUSED:
                raise
            except (KafkaError, OSError) as error:
                note(log, logging.WARNING, "brokers_unreachable", **self._named(), error=repr(error))
                await committer.close(finished=False)
                await asyncio.sleep(RETRY_SECONDS)
                committer = self._ports.committer(self.seat)

    async def _restored(self) -> tuple[Bounds, Restored]:
        seat, consumer = self.seat, self._ports.consumer
        places = {topic: (topic, seat.number) for topic in seat.topics}

        async def ask() -> tuple[dict[str, int | None], dict[str, tuple[int, int]]]:
            group, bounds = await consumer.committed(places.values()), await consumer.bounds(places.values())
            return ({t: group[tp] for t, tp in places.items()}, {t: bounds[tp] for t, tp in places.items()})

        begun = time.monotonic()
        async with self._patience("read its snapshot"):
            group, bounds = await self._answered(ask)
            kept, self._kept = self._kept, None
            if kept is not None and await self._answered(lambda: self._is_current(kept, group)):
                return bounds, kept
            restored = await self._answered(lambda: self._ports.restorer.restore(seat, group, bounds))
        self._ports.metrics.partition_restored(time.monotonic() - begun)
        return bounds, restored

    # Nobody has written the partition's state since this worker did: it is what its committed positions say.
    async def _is_current(self, kept: Restored, group: Mapping[str, int | None]) -> bool:
        if any(kept.runtime.position(topic) != at for topic, at in group.items()):
            return False
        return kept.state_end is not None and kept.state_end == await self._state_end()

    async def _state_end(self) -> int:
        place = (self._ports.restorer.topic, self.seat.number)
        return (await self._ports.consumer.bounds([place]))[place][1]

    async def _answered(self, ask: Callable[[], Awaitable[Result]]) -> Result:
        while True:
            try:
                return await ask()
            except (IllegalStateError, *REFUSED):
                raise
            except (KafkaError, OSError) as error:
                note(log, logging.WARNING, "brokers_unreachable", **self._named(), error=repr(error))
                await asyncio.sleep(RETRY_SECONDS)

    async def _begin_again(self, error: Exception) -> None:
        if self._stopping:
            return
        reason = reason_of(error)
        note(log, logging.WARNING, "partition_restarted", **self._named(), reason=reason, error=described(error))
        self._ports.metrics.partition_restarted(reason)
        self._ports.events.restarted(self.seat, reason)
        name = f"partition {self.seat.number} ({self.seat.kind})"
        self._restarts.add(name, error, self._ports.settings, time.monotonic())
        await asyncio.sleep(FENCED_SECONDS if reason == "fenced" else DOUBT_SECONDS)

    @asynccontextmanager
    async def _patience(self, what: str) -> AsyncIterator[None]:
        loop = asyncio.get_running_loop()
        events, seat = self._ports.events, self.seat
        timer = loop.call_later(PATIENCE_SECONDS, lambda: events.waiting(seat, f"waits to {what}"))
        try:
            yield
        finally:
            timer.cancel()
            events.waiting(seat, None)

    def _stalled(self, seconds: float | None) -> None:
        reason = None if seconds is None else f"has waited {seconds:.0f} s for the brokers to take a commit"
        self._ports.events.waiting(self.seat, reason)

    def _sought(self, task: asyncio.Task[None]) -> None:
        self._seeks.discard(task)
        if not task.cancelled() and task.exception() is not None:
            # The partition was taken away meanwhile.
            note(log, logging.INFO, "seek_dropped", error=repr(task.exception()))

    def _named(self) -> dict[str, object]:
        return {"partition": self.seat.number, "kind": self.seat.kind}
