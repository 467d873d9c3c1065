"""Reading single partitions as the broker sent them: record batches, committed only, with no group."""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence, Set
from contextlib import asynccontextmanager
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.consumer import fetcher as aiokafka_fetcher
from aiokafka.errors import KafkaError

from streams.config import Kafka
from streams.kafka.effects import Place
from streams.kafka.fetched import Fetched, select_batches
from streams.kafka.follow import TopicMissing
from streams.kafka.security import client_settings
from streams.kafka.topics import BrokersUnreachable, connect
from streams.kafka.transport import keep_raw_records

FETCH_BYTES: Final = 4 << 20
SILENCE_SECONDS_MAX: Final = 60.0
"""A partition that is not at its end and brings nothing for so long is not readable."""


class ReadingStalled(ConnectionError):
    """A partition brought nothing for a long time although it holds more."""


class Source:
    """Opens partitions of one cluster, and knows where they begin and end.

    Attributes:
        topics: The topics that are there.
    """

    def __init__(self, kafka: Kafka, consumer: Any, topics: Set[str]) -> None:
        self.topics = topics
        self._kafka = kafka
        self._consumer = consumer

    async def bounds(self, places: Iterable[Place]) -> dict[Place, tuple[int, int]]:
        """Return each partition's oldest offset and the end of its committed records."""
        wanted = [TopicPartition(*place) for place in places]
        first = await self._consumer.beginning_offsets(wanted)
        last = await self._consumer.end_offsets(wanted)
        return {(tp.topic, tp.partition): (first[tp], last[tp]) for tp in wanted}

    @asynccontextmanager
    async def stream(self, place: Place, start: int, end: int) -> AsyncIterator[Stream]:
        """Open one partition for reading from an offset to the end of what is wanted."""
        consumer = new_consumer(self._kafka)
        await consumer.start()
        try:
            keep_raw_records(consumer._fetcher)
            tp = TopicPartition(*place)
            consumer.assign([tp])
            # aiokafka has just made tasks that it waits for when it stops; one that never began would take us with it.
            await asyncio.sleep(0)
            consumer.seek(tp, start)
            yield Stream(consumer, place, start, end)
        finally:
            await consumer.stop()


class Stream:
    """One partition, read batch by batch.

    Attributes:
        position: Offset to go on from.
        end: Nothing at or past it is wanted; batches that begin before it are brought whole.
    """

    def __init__(
        self,
        consumer: Any,
        place: Place,
        start: int,
        end: int,
        *,
        set_bytes: int = FETCH_BYTES,
        silence_seconds: float = SILENCE_SECONDS_MAX,
    ) -> None:
        self._consumer = consumer
        self._set_bytes = set_bytes
        self._silence_seconds = silence_seconds
        self.place = place
        self.position = start
        self.end = end
        self.first_ns: int | None = None
        """The broker's stamp on the first record that was read."""
        self._sets: list[Fetched] = []

    @property
    def has_more(self) -> bool:
        """Tell whether the end has not been reached."""
        return self.position < self.end

    async def read(self) -> Fetched | None:
        """Return the next set of batches, None at the end.

        Raises:
            ReadingStalled: Nothing came for a long time.
            aiokafka.errors.KafkaError: The broker refused.
        """
        if not self.has_more:
            return None
        deadline = time.monotonic() + self._silence_seconds
        while not self._sets:
            if time.monotonic() > deadline:
                raise ReadingStalled(
                    f"expected records of {self.place[0]} partition {self.place[1]} from offset {self.position} to "
                    f"{self.end}, found none in {self._silence_seconds:g} s: check the brokers, then go on"
                )
            await self._fetch()
        fetched = self._sets.pop(0)
        self.position = fetched.next_offset
        return fetched

    def seek(self, offset: int) -> None:
        """Go on from an offset."""
        self._sets.clear()
        self._consumer.seek(TopicPartition(*self.place), offset)
        self.position = offset

    def put_back(self, fetched: Fetched) -> None:
        """Bring this set again, unless the reading has gone on from elsewhere."""
        if fetched.next_offset == self.position:
            self._sets.insert(0, fetched)
            self.position = fetched.position

    # Takes a fetch result whole, as the worker's transport does.
    async def _fetch(self) -> None:
        fetcher = self._consumer._fetcher
        tp = TopicPartition(*self.place)
        result = fetcher._records.pop(tp, None)
        if result is None:
            waiter = fetcher._create_fetch_waiter()
            await asyncio.wait([waiter], timeout=1.0)
            waiter.cancel()
            return
        fetcher._notify(fetcher._wait_consume_future)
        if type(result) is not aiokafka_fetcher.FetchResult:
            result.check_raise()
            return
        if not result.check_assignment(tp):
            return
        records = result._partition_records
        position = records.next_fetch_offset
        for data, next_offset in select_batches(
            records._records.data, position, self._set_bytes, records._aborted_transactions
        ):
            self._sets.append(Fetched(tp.topic, tp.partition, position, next_offset, next_offset, data))
            position = next_offset
        records.next_fetch_offset = position
        result._update_position()


def new_consumer(kafka: Kafka) -> Any:
    """Return a consumer without a group that reads committed records."""
    return AIOKafkaConsumer(
        client_id="fiftytwo-verify",
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="none",
        max_partition_fetch_bytes=FETCH_BYTES,
        **client_settings(kafka),
    )


@asynccontextmanager
async def open_source(kafka: Kafka, topics: Sequence[str]) -> AsyncIterator[Source]:
    """Connect to a cluster for the length of a block.

    Raises:
        BrokersUnreachable: No broker answered.
        TopicMissing: A topic is not there, or has another number of partitions than is configured.
    """
    async with connect(kafka) as admin:
        counts = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics(None)}
    for topic in topics:
        if counts.get(topic) != kafka.partitions:
            found = f"{counts[topic]} partitions" if topic in counts else "none"
            raise TopicMissing(
                f"expected the topic {topic} with {kafka.partitions} partitions at {kafka.bootstrap_servers}, found "
                f"{found}: check --prefix and kafka.partitions"
            )
    consumer = new_consumer(kafka)
    try:
        try:
            await consumer.start()
        except (KafkaError, OSError) as error:
            raise BrokersUnreachable(f"expected a broker at {kafka.bootstrap_servers}, found: {error}") from error
        yield Source(kafka, consumer, counts.keys())
    finally:
        await consumer.stop()


async def committed(kafka: Kafka, places: Iterable[Place]) -> Mapping[Place, int]:
    """Return what the worker's group has committed; partitions without a position are left out."""
    async with connect(kafka) as admin:
        offsets = await admin.list_consumer_group_offsets(kafka.group)
    found = {(tp.topic, tp.partition): entry.offset for tp, entry in offsets.items()}
    return {place: found[place] for place in places if found.get(place, -1) >= 0}
