"""The partition runtime without Faust: owner, runner, committer and restorer as in a worker, dying at points.

A life begins as a worker's partition begins, reads the logs in small sets and ends where its probe raises: nothing is
closed, committed or aborted on the way, as after a crash. So a crash takes a second and not ten, and a hundred of them
fit where a worker's process would have a dozen.
"""

from __future__ import annotations

import asyncio
import dataclasses
import math
from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from contextlib import AsyncExitStack
from random import Random
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata
from prometheus_client import CollectorRegistry

from streams.audit.reading import Stream, committed, new_consumer
from streams.config import Config, Snapshots
from streams.kafka.app import build_ports, terms_of_config
from streams.kafka.effects import Place
from streams.kafka.owner import PartitionOwner, Ports, Seat
from streams.kafka.probe import AFTER_COMMIT, DURING_REPLAY, DURING_RESTORE
from streams.kafka.security import client_settings
from streams.kafka.topics import Topics
from streams.kafka.transport import keep_raw_records
from streams.web.metrics import Metrics
from streams.wire.positions import ROUTER, STATE
from tests.chaos.carried import WITHIN_SNAPSHOT, dying, planned, watch

SET_BYTES: Final = 2_048
"""About what one moment of the story writes to a partition: many small commits have many points to die at."""

PACE_SECONDS: Final = 0.03
"""Between two sets, so that a commit comes after every few: a story in one commit would have one point to die at."""

LIFE_SECONDS_MAX: Final = 20.0
"""It may wait for the time-out of a transaction that another seat's death has left open in its state."""

NO_SNAPSHOTS: Final = Snapshots(interval_s=86_400.0)
"""Longer than a life: what it commits is replayed by the next."""

ALL_SNAPSHOTS: Final = Snapshots(interval_s=0.01, share_max=1.0)
"""With every commit: what it commits is replayed by nobody."""

FAR: Final = 1 << 62


class Crash(BaseException):
    """The process is no more. No handler of exceptions may see it as one."""


class DirectConsumer:
    """What Faust's consumer is to a partition's owner, for one owner. Use it as an async context.

    Args:
        config: Where Kafka is.
        seat: Whose topics are read.
        pace_seconds: What lies between two sets.
    """

    def __init__(self, config: Config, seat: Seat, *, pace_seconds: float = PACE_SECONDS) -> None:
        self._config = config
        self._seat = seat
        self._pace_seconds = pace_seconds
        self._stack = AsyncExitStack()
        self._streams: dict[Place, Stream] = {}
        self._free: dict[Place, asyncio.Event] = {}
        self._tasks: list[asyncio.Task[None]] = []
        self._asking: Any = None
        self._committing: Any = None

    async def __aenter__(self) -> DirectConsumer:
        self._asking = await self._consumer()
        for topic in self._seat.topics:
            place = topic, self._seat.number
            consumer = await self._consumer()
            keep_raw_records(consumer._fetcher)
            consumer.assign([TopicPartition(*place)])
            await asyncio.sleep(0)
            # Until the owner knows better; a partition without a position is an error.
            consumer.seek(TopicPartition(*place), 0)
            self._streams[place] = Stream(consumer, place, 0, FAR, set_bytes=SET_BYTES, silence_seconds=math.inf)
            self._free[place] = asyncio.Event()
        return self

    async def __aexit__(self, *_: object) -> None:
        for task in self._tasks:
            task.cancel()
        await asyncio.gather(*self._tasks, return_exceptions=True)
        await self._stack.aclose()

    def bring_to(self, owner: PartitionOwner) -> list[asyncio.Task[None]]:
        """Bring what is not held to an owner, in tasks that do not end unless something is wrong."""
        self._tasks = [asyncio.create_task(self._bring(place, owner)) for place in self._streams]
        return self._tasks

    def hold(self, place: Place) -> None:
        """Bring no more of a partition until `release`."""
        self._free[place].clear()

    def release(self, place: Place) -> None:
        """Bring more of a partition."""
        self._free[place].set()

    async def seek_all(self, positions: Mapping[Place, int]) -> None:
        """Go on from these offsets."""
        for place, offset in positions.items():
            self._streams[place].seek(offset)

    async def commit(self, positions: Mapping[Any, int]) -> None:
        """Commit for the group: at-least-once delivery alone asks for it."""
        if self._committing is None:
            kafka = self._config.kafka
            consumer: Any = AIOKafkaConsumer(
                group_id=kafka.group, enable_auto_commit=False, auto_offset_reset="earliest", **client_settings(kafka)
            )
            self._stack.push_async_callback(consumer.stop)
            await consumer.start()
            consumer.assign([TopicPartition(topic, self._seat.number) for topic in self._seat.topics])
            self._committing = consumer
        places = {TopicPartition(*place): OffsetAndMetadata(at, "") for place, at in positions.items()}
        await self._committing.commit(places)

    async def committed(self, partitions: Iterable[Place]) -> Mapping[Place, int | None]:
        """Return the group's committed offset of each partition."""
        places = list(partitions)
        found = await committed(self._config.kafka, places)
        return {place: found.get(place) for place in places}

    async def bounds(self, partitions: Iterable[Place]) -> Mapping[Place, tuple[int, int]]:
        """Return each partition's oldest offset and the offset after its newest record."""
        wanted = [TopicPartition(*place) for place in partitions]
        first = await self._asking.beginning_offsets(wanted)
        last = await self._asking.end_offsets(wanted)
        return {(tp.topic, tp.partition): (first[tp], last[tp]) for tp in wanted}

    async def _bring(self, place: Place, owner: PartitionOwner) -> None:
        stream = self._streams[place]
        while True:
            await self._free[place].wait()
            fetched = await stream.read()
            if fetched is not None and self._free[place].is_set():
                owner.offer(fetched)
                await asyncio.sleep(self._pace_seconds)
            elif fetched is not None:
                stream.put_back(fetched)

    async def _consumer(self) -> Any:
        consumer = new_consumer(self._config.kafka)
        self._stack.push_async_callback(consumer.stop)
        await consumer.start()
        return consumer


Change = Callable[[Ports], Ports]
"""Puts something else in the place of a part: how a negative control is made."""


class Lives:
    """Lives of all partitions of one application, one after the other or several at once.

    Args:
        config: Where Kafka is, and what is configured.
        change: Applied to what every life is made of.
        name: For people.

    Attributes:
        crashes: What was planned and happened, by point.
        snapshots: Those of them whose commit carried a snapshot.
        refused: Snapshots that a life refused when it began.
    """

    def __init__(self, config: Config, *, change: Change = lambda ports: ports, name: str = "direct") -> None:
        self.name = name
        self._config = config
        self._change = change
        self._terms = terms_of_config(config)
        topics = Topics(config.kafka.prefix)
        numbers = range(config.kafka.partitions)
        self.seats = [
            *(Seat(STATE, number, (topics.news, topics.ticks)) for number in numbers),
            *(Seat(ROUTER, number, (topics.articles,)) for number in numbers),
        ]
        self.crashes: Counter[str] = Counter()
        self.snapshots: Counter[str] = Counter()
        self.refused = 0

    async def live(
        self,
        seat: Seat,
        point: str = "none",
        count: int = 1,
        *,
        carrying: bool = False,
        until: asyncio.Event | None = None,
        pace_seconds: float = PACE_SECONDS,
        snapshots: Snapshots | None = None,
    ) -> bool:
        """Live until a point is reached for the so-many-th time, and return whether it was.

        Args:
            seat: Which partition.
            point: Where to die; `none` lives on.
            count: How often the point is reached.
            carrying: Only commits count that carry a snapshot.
            until: Ends it in order.
            pace_seconds: What lies between two sets of records.
            snapshots: When it takes them, if not as configured; with `NO_SNAPSHOTS` not at its end either.
        """
        config = dataclasses.replace(self._config, snapshots=snapshots or self._config.snapshots)

        def die() -> None:
            raise Crash(point)

        probe = dying(point, count, die, carrying=carrying)
        registry = CollectorRegistry()
        async with DirectConsumer(self._config, seat, pace_seconds=pace_seconds) as consumer:
            metrics = Metrics(registry, version="chaos")
            ports = self._change(build_ports(config, self._terms, consumer, consumer.commit, metrics, probe))
            owner = PartitionOwner(seat, watch(ports, probe, tears=point == WITHIN_SNAPSHOT))
            bringing = consumer.bring_to(owner)
            life = asyncio.ensure_future(_survived(owner))
            told = asyncio.ensure_future((until or asyncio.Event()).wait())
            try:
                await asyncio.wait(
                    {life, told, *bringing},
                    timeout=None if until else LIFE_SECONDS_MAX,
                    return_when=asyncio.FIRST_COMPLETED,
                )
                for task in bringing:
                    if task.done():
                        task.result()
                if not life.done() and await _stopped(owner, life, final=snapshots is not NO_SNAPSHOTS):
                    return True
                await asyncio.wait({life})
                # Whoever is stopped while it restores is cancelled.
                died = not life.cancelled() and life.result()
            finally:
                told.cancel()
                self.refused += _refused(registry)
        return died

    async def die(self, random: Random, points: Sequence[str], say: Callable[[str], None]) -> None:
        """Die at each of these points, in an order and in partitions that chance decides."""
        plan = planned(points)
        random.shuffle(plan)
        number, attempts = len(plan), 0
        while plan and attempts < 2 * number:
            point, carrying = plan.pop(0)
            attempts += 1
            # A router has no state to restore or to take a snapshot of, and nothing to replay; it dies where it can.
            seat = random.choice(
                [seat for seat in self.seats if seat.kind == STATE or not (carrying or point == DURING_REPLAY)]
            )
            count = 1 if point in (DURING_RESTORE, DURING_REPLAY) else random.randrange(1, 4)
            if point == DURING_REPLAY:
                # What is replayed lies between snapshot and positions. A life that ended in order, or died with a fresh
                # snapshot, has left nothing there: one that dies with positions alone comes before.
                await self._live_beside(seat, AFTER_COMMIT, 1, snapshots=NO_SNAPSHOTS)
            if await self._live_beside(
                seat, point, count, carrying=carrying, snapshots=ALL_SNAPSHOTS if carrying else None
            ):
                self.crashes[point] += 1
                self.snapshots[point] += carrying
            else:
                # Nothing to say: another time.
                plan.append((point, carrying))
            if attempts % 20 == 0:
                say(f"{self.name}: {sum(self.crashes.values())} of {number} crashes")

    # A worker begins again with all its partitions. The other seat of this one must live too: what it left under way
    # when it died last is ended by its next life alone, and is waited for by whoever restores from their common topic.
    async def _live_beside(
        self, seat: Seat, point: str, count: int, *, carrying: bool = False, snapshots: Snapshots | None = None
    ) -> bool:
        until = asyncio.Event()
        other = next(other for other in self.seats if other.number == seat.number and other.kind != seat.kind)
        beside = asyncio.create_task(self.live(other, until=until))
        try:
            return await self.live(seat, point, count, carrying=carrying, snapshots=snapshots)
        finally:
            until.set()
            await beside

    async def finish(self, caught_up: Callable[[], Any]) -> None:
        """Let all partitions live until everything is committed."""
        until = asyncio.Event()
        lives = [asyncio.create_task(self.live(seat, until=until, pace_seconds=0.0)) for seat in self.seats]
        try:
            waiting = asyncio.ensure_future(caught_up())
            await asyncio.wait({waiting, *lives}, return_when=asyncio.FIRST_COMPLETED)
            if not waiting.done():
                waiting.cancel()
        finally:
            until.set()
            await asyncio.gather(*lives)
        await waiting


def replace_committer(ports: Ports, make: Callable[[Seat, Any], Any]) -> Ports:
    """Return ports whose committers are made from the right ones."""
    return dataclasses.replace(ports, committer=lambda seat: make(seat, ports.committer(seat)))


# Returns whether it died instead: its last commit came to the point, and nobody is left to end its life.
async def _stopped(owner: PartitionOwner, life: asyncio.Future[bool], *, final: bool) -> bool:
    try:
        await owner.stop(5.0, final=final)
    except Crash:
        life.cancel()
        await asyncio.wait({life})
        return True
    return False


# True when it died at its point. The commit runs in a task of its own, whose end the runner finds.
async def _survived(owner: PartitionOwner) -> bool:
    try:
        await owner.run()
    except Crash:
        return True
    return False


def _refused(registry: CollectorRegistry) -> int:
    samples = (sample for metric in registry.collect() for sample in metric.samples)
    return round(sum(each.value for each in samples if each.name == "fiftytwo_snapshots_refused_total"))
