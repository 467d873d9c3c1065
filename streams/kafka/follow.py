"""Reading topics as a user does: every partition, no consumer group, committed records only.

Nothing is committed and nobody is pushed out of a group, so following never disturbs a worker.
"""

from __future__ import annotations

import asyncio
import difflib
from collections.abc import AsyncGenerator, AsyncIterator, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.errors import KafkaError

from streams.config import Kafka
from streams.kafka.resting import rest_after_empty
from streams.kafka.security import client_settings
from streams.kafka.topics import BrokersUnreachable, connect

POLL_MS: Final = 200
FETCH_BYTES: Final = 1 << 20


class TopicMissing(LookupError):
    """A topic that is to be read is not there; the text says what to do."""


class RecordMissing(LookupError):
    """A record that is to be read is not there; the text says which are."""


@dataclass(frozen=True, slots=True)
class Followed:
    """One record of a topic, as it is in Kafka."""

    topic: str
    partition: int
    offset: int
    timestamp_ms: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes | None], ...]

    def header(self, name: str) -> str | None:
        """Return the last header of a name as text, or None where there is none."""
        for known, value in reversed(self.headers):
            if known == name and value is not None:
                return value.decode("utf-8", "replace")
        return None


async def follow(
    kafka: Kafka,
    topics: Sequence[str],
    *,
    from_beginning: bool = False,
    until_end: bool = False,
    passed: dict[TopicPartition, int] | None = None,
) -> AsyncGenerator[Followed, None]:
    """Yield the records of topics as they come, each partition in its order.

    Args:
        kafka: Where Kafka is.
        topics: Full names, prefix included.
        from_beginning: Start with the oldest records rather than with the next ones.
        until_end: Stop where the topics ended when this was called.
        passed: Kept up to date: of each partition, the offset before which all has been yielded. It passes the markers
            of transactions, which no record tells of.

    Raises:
        BrokersUnreachable: No broker answered.
        TopicMissing: A topic is not there.
    """
    async with _consumer(kafka, topics) as (consumer, partitions):
        ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions) if until_end else {}
        if from_beginning:
            await consumer.seek_to_beginning(*partitions)
        else:
            await consumer.seek_to_end(*partitions)
        while not until_end or [each for each in partitions if await consumer.position(each) < ends[each]]:
            batches = await consumer.getmany(timeout_ms=POLL_MS)
            for partition, records in batches.items():
                for record in records:
                    if not until_end or record.offset < ends[partition]:
                        yield _followed(record)
            if passed is not None:
                passed.update({each: await consumer.position(each) for each in partitions})


@dataclass(frozen=True, slots=True)
class Batch:
    """Some records of one partition, in its order.

    Attributes:
        partition: Which.
        first_offset: Of the first record.
        values: Of each record.
        appended_ms: The broker's stamp of each.
        records_total: About how many records all partitions held when the reading began.
    """

    partition: int
    first_offset: int
    values: tuple[bytes | None, ...]
    appended_ms: tuple[int, ...]
    records_total: int


async def read_batches_of(
    kafka: Kafka, topic: str, *, starts: Mapping[int, int] | None = None, last: int | None = None
) -> AsyncGenerator[Batch, None]:
    """Yield all that a topic holds now, some thousand records at a time.

    Args:
        kafka: Where Kafka is.
        topic: Its full name, prefix included.
        starts: Where to begin, by partition; where the log begins later, and of other partitions, with the oldest.
        last: Of each partition, only about so many records before its end.

    Raises:
        BrokersUnreachable: No broker answered.
        TopicMissing: The topic is not there.
    """
    async with _consumer(kafka, [topic]) as (consumer, partitions):
        first: dict[TopicPartition, int] = await consumer.beginning_offsets(partitions)
        ends: dict[TopicPartition, int] = await consumer.end_offsets(partitions)
        for each in partitions:
            tail = 0 if last is None else ends[each] - last
            first[each] = min(max(first[each], (starts or {}).get(each.partition, 0), tail), ends[each])
            consumer.seek(each, first[each])
        total = sum(ends[each] - first[each] for each in partitions)
        while [each for each in partitions if await consumer.position(each) < ends[each]]:
            for partition, records in (await consumer.getmany(timeout_ms=POLL_MS)).items():
                if wanted := [record for record in records if record.offset < ends[partition]]:
                    values = tuple(record.value for record in wanted)
                    stamps = tuple(record.timestamp for record in wanted)
                    yield Batch(partition.partition, wanted[0].offset, values, stamps, total)


async def read_one(kafka: Kafka, topic: str, partition: int, offset: int) -> Followed:
    """Return one record.

    Raises:
        BrokersUnreachable: No broker answered.
        TopicMissing: The topic is not there.
        RecordMissing: It has no such partition or offset, or no longer.
    """
    async with _consumer(kafka, [topic]) as (consumer, partitions):
        wanted = TopicPartition(topic, partition)
        if wanted not in partitions:
            raise RecordMissing(f"expected a partition from 0 to {len(partitions) - 1} of {topic}, found {partition}")
        first = (await consumer.beginning_offsets([wanted]))[wanted]
        end = (await consumer.end_offsets([wanted]))[wanted]
        if not first <= offset < end:
            held = f"it holds {first} to {end - 1}" if end > first else "it holds none"
            raise RecordMissing(f"expected an offset in partition {partition} of {topic}, found {offset}: {held}")
        consumer.seek(wanted, offset)
        consumer.pause(*(each for each in partitions if each != wanted))
        while await consumer.position(wanted) < end:
            for record in (await consumer.getmany(wanted, timeout_ms=POLL_MS, max_records=1)).get(wanted, []):
                if record.offset == offset:
                    return _followed(record)
                # The offset belongs to a transaction's marker, or to a record that was compacted away.
                raise RecordMissing(f"expected a record at offset {offset} of {topic}, found one at {record.offset}")
    raise RecordMissing(f"expected a record at offset {offset} of {topic}, found none from there to the end")


async def partitions_of(kafka: Kafka, topics: Sequence[str]) -> dict[str, int]:
    """Return how many partitions topics have.

    Raises:
        BrokersUnreachable: No broker answered.
        TopicMissing: A topic is not there.
    """
    async with connect(kafka) as admin:
        counts = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics(None)}
    for topic in topics:
        if topic not in counts:
            near = difflib.get_close_matches(topic, counts, n=1, cutoff=0.7)
            hint = f"there is {near[0]}; check --prefix" if near else "run `fiftytwo topics apply`, or check --prefix"
            raise TopicMissing(f"expected the topic {topic} at {kafka.bootstrap_servers}, found none: {hint}")
    return {topic: counts[topic] for topic in topics}


@asynccontextmanager
async def _consumer(kafka: Kafka, topics: Sequence[str]) -> AsyncIterator[tuple[Any, list[TopicPartition]]]:
    counts = await partitions_of(kafka, topics)
    consumer: Any = AIOKafkaConsumer(
        client_id="fiftytwo-follow",
        group_id=None,
        enable_auto_commit=False,
        isolation_level="read_committed",
        auto_offset_reset="earliest",
        max_partition_fetch_bytes=FETCH_BYTES,
        **client_settings(kafka),
    )
    try:
        try:
            await consumer.start()
        except (KafkaError, OSError) as error:
            raise BrokersUnreachable(f"expected a broker at {kafka.bootstrap_servers}, found: {error}") from error
        rest_after_empty(consumer._fetcher)
        partitions = [TopicPartition(topic, index) for topic in topics for index in range(counts[topic])]
        consumer.assign(partitions)
        # aiokafka has just made tasks that it waits for when it stops; one that never began would take us with it.
        await asyncio.sleep(0)
        yield consumer, partitions
    finally:
        await consumer.stop()


def _followed(record: Any) -> Followed:
    return Followed(
        topic=record.topic,
        partition=record.partition,
        offset=record.offset,
        timestamp_ms=record.timestamp,
        key=record.key,
        value=record.value,
        headers=tuple(record.headers),
    )
