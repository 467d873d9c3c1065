"""Restoring partitions from Kafka: the state topic is read, a start is found in it, and the state is built.

One partition at a time is read and built, because both take a multiple of a state's size for a moment.
"""

from __future__ import annotations

import asyncio
import logging
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.config import Kafka
from streams.core.engine import Engine
from streams.core.join import Join
from streams.kafka.effects import Output
from streams.kafka.logs import note
from streams.kafka.owner import Restored, Seat
from streams.kafka.partition import PartitionRuntime, PartitionSettings
from streams.kafka.restore import Bounds, Lost, PositionsRefused, Start, find_start, own_positions
from streams.kafka.router import RouterRuntime
from streams.kafka.security import client_settings
from streams.kafka.snapshots import Oldest, PartitionSnapshots, SnapshotPorts
from streams.kafka.terms import Terms
from streams.wire.positions import ROUTER, Committed, committed_record
from streams.wire.snapshots import Identity, parse_key

log = logging.getLogger(__name__)

FETCH_BYTES: Final = 8 << 20
POLL_MS: Final = 500

TAIL_RECORDS: Final = 4096
"""Offsets before the end of the state topic where the router's position is looked for first."""


class StateTopic:
    """Reads one partition of the state topic: what compaction would keep of the records that are committed.

    State and router of a partition write to it, each in transactions of its own, and a reader of committed records
    stops at the first transaction that is under way: what the other has committed since would be missing, its positions
    first of all. So the end is that of all records, and what is under way is waited for: it ends with its commit, with
    the next owner of its transactional id, or with its time-out.
    """

    def __init__(self, kafka: Kafka, topic: str) -> None:
        self.name = topic
        self._kafka = kafka

    async def read(self, partition: int, *, last: int | None = None) -> tuple[dict[bytes, bytes], int]:
        """Return the newest value of each key, and the offset where the partition ended.

        Values of other applications are left out, their keys are not.

        Args:
            partition: Which.
            last: How many offsets before its end are read; None reads all. What is found is the newest either way.
        """
        place = TopicPartition(self.name, partition)
        end = await self._end(place)
        consumer = self._consumer("read_committed")
        found: dict[bytes, bytes] = {}
        try:
            await consumer.start()
            consumer.assign([place])
            await consumer.seek_to_beginning(place)
            oldest = await consumer.position(place)
            if last is not None and end - last > oldest:
                consumer.seek(place, end - last)
            while await consumer.position(place) < end:
                for records in (await consumer.getmany(timeout_ms=POLL_MS)).values():
                    for record in records:
                        self._take(found, record.key, record.value)
        finally:
            await consumer.stop()
        return found, end

    async def _end(self, place: TopicPartition) -> int:
        consumer = self._consumer("read_uncommitted")
        try:
            await consumer.start()
            end: int = (await consumer.end_offsets([place]))[place]
            return end
        finally:
            await consumer.stop()

    def _consumer(self, isolation_level: str) -> Any:
        return AIOKafkaConsumer(
            group_id=None,
            client_id=f"fiftytwo-{self._kafka.application_id}-state",
            isolation_level=isolation_level,
            auto_offset_reset="earliest",
            enable_auto_commit=False,
            max_partition_fetch_bytes=FETCH_BYTES,
            # Each record carries a checksum of its own.
            check_crcs=False,
            **client_settings(self._kafka),
        )

    def _take(self, found: dict[bytes, bytes], key: bytes | None, value: bytes | None) -> None:
        if key is None:
            return
        found.pop(key, None)
        if value is not None:
            said = parse_key(key)
            mine = said is not None and said.application == self._kafka.application_id
            found[key] = value if mine else b""


@dataclass(frozen=True, slots=True)
class Build:
    """How states are built.

    Attributes:
        settings: What all partitions share.
        terms: The options and the calendar that are configured.
        snapshots: How their snapshots are taken.
        exactly_once: Whether snapshots and positions are written in one transaction.
    """

    settings: PartitionSettings
    terms: Terms
    snapshots: SnapshotPorts
    exactly_once: bool


class KafkaRestorer:
    """Restores the partitions of the state and of the router.

    Args:
        kafka: Where Kafka is, and the application's id.
        build: How states are built.
        bounds: Asks for the bounds of topics of a partition.
    """

    def __init__(self, kafka: Kafka, build: Build, bounds: Callable[[Seat], Oldest]) -> None:
        self.topic = build.settings.topics.state
        self._kafka = kafka
        self._build = build
        self._bounds = bounds
        self._state = StateTopic(kafka, self.topic)
        self._one_by_one = asyncio.Lock()

    async def restore(self, seat: Seat, group: Mapping[str, int | None], bounds: Bounds) -> Restored:
        """Rebuild a partition up to where reading begins.

        Raises:
            StateLost: Nothing reaches back.
            PositionsRefused: A committed position is past the end of its log.
            SnapshotRefused: The committed positions cannot be believed.
        """
        identity = Identity(self._kafka.application_id, seat.number, self._kafka.partitions)
        if seat.kind == ROUTER:
            return await self._router(seat, identity, group, bounds)
        async with self._one_by_one:
            records, end = await self._state.read(seat.number)
            start = await asyncio.to_thread(
                find_start,
                records,
                identity,
                self._build.settings.topics,
                group=group,
                bounds=bounds,
                configured=self._build.terms,
                exactly_once=self._build.exactly_once,
            )
            del records
            self._tell(seat, start)
            runtime = self._runtime(seat, start)
        state = PartitionSnapshots(identity, start, runtime, self._build.snapshots, self._bounds(seat))
        return Restored(runtime, state, end)

    async def _router(
        self, seat: Seat, identity: Identity, group: Mapping[str, int | None], bounds: Bounds
    ) -> Restored:
        (topic,) = seat.topics
        own = await self._own_of_router(identity)
        position = own.positions.get(topic) if own else group[topic]
        oldest, end = bounds[topic]
        if position is not None and position > end:
            raise PositionsRefused(
                f"expected {topic} partition {seat.number} to reach the committed offset {position}, found its end at "
                f"{end}: the topic was made again or lost records; use another kafka.application_id, or set the "
                "worker's position back"
            )
        if position is not None and position < oldest:
            self._tell_lost(seat, Lost(topic, position, oldest))
        runtime = RouterRuntime(
            seat.number, self._build.settings, position=oldest if position is None else max(position, oldest)
        )
        return Restored(runtime, RouterPositions(identity, runtime, self.topic, self._build.snapshots.delivery))

    # Written with every commit, so it is near the end, and the snapshots before it need not be read.
    async def _own_of_router(self, identity: Identity) -> Committed | None:
        for last in (TAIL_RECORDS, None):
            async with self._one_by_one:
                records, _ = await self._state.read(identity.partition, last=last)
            own = own_positions(records, identity, ROUTER)
            if own is not None:
                return own
        return None

    def _runtime(self, seat: Seat, start: Start) -> PartitionRuntime:
        terms, snapshot = start.terms, start.snapshot
        engine, join = Engine(terms.markets, terms.rules), Join(terms.join_rules)
        if snapshot is not None:
            engine.restore(snapshot.engine)
            join.restore(snapshot.join)
        return PartitionRuntime(
            seat.number,
            self._build.settings,
            engine=engine,
            join=join,
            terms=terms,
            positions=start.positions,
            waypoints=start.waypoints,
            news_mode="" if snapshot is None else snapshot.manifest.news_mode,
        )

    def _tell(self, seat: Seat, start: Start) -> None:
        metrics = self._build.snapshots.metrics
        for refused in start.refused:
            metrics.snapshot_refused(refused.reason)
            fields: dict[str, object] = {"partition": seat.number, "reason": refused.reason}
            note(log, logging.WARNING, "snapshot_refused", **fields, text=str(refused))
        for lost in start.lost:
            self._tell_lost(seat, lost)
        fields = {"positions": dict(start.positions), "committed": dict(start.committed)}
        snapshot = start.snapshot
        if snapshot is not None:
            fields |= {"series": snapshot.manifest.series, "snapshot": snapshot.manifest.snapshot}
            if (snapshot.manifest.engine, snapshot.is_migrated) != (self._build.snapshots.version, False):
                fields |= {"written_by": snapshot.manifest.engine, "migrated": snapshot.is_migrated}
        note(log, logging.INFO, "partition_restored", partition=seat.number, **fields)

    def _tell_lost(self, seat: Seat, lost: Lost) -> None:
        count = lost.oldest - lost.committed
        self._build.snapshots.metrics.offsets_lost(lost.topic, count)
        fields = {"topic": lost.topic, "partition": seat.number, "committed": lost.committed, "oldest": lost.oldest}
        note(log, logging.ERROR, "input_lost_to_retention", records=count, **fields)


class RouterPositions:
    """What a partition of the router writes to the state topic: its position, with every commit."""

    def __init__(self, identity: Identity, runtime: RouterRuntime, topic: str, delivery: str) -> None:
        self._identity = identity
        self._runtime = runtime
        self._topic = topic
        self._delivery = delivery

    def read(self, records: int) -> None:
        """Do nothing: there is no snapshot to be due."""

    async def prepare(self) -> None:
        """Do nothing, as `read`."""

    def records(self, *, final: bool) -> list[Output]:
        """Return the position."""
        (topic,) = self._runtime.topics
        positions = {topic: self._runtime.position(topic)}
        record = committed_record(self._identity, ROUTER, positions, delivery=self._delivery)
        return [Output(self._topic, self._identity.partition, record.key, record.value, [])]

    def committed(self) -> None:
        """Do nothing, as `read`."""
