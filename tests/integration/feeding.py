"""Records for the worker's tests: what is written to its inputs, and what is read from its outputs."""

from __future__ import annotations

import asyncio
import json
import time
from collections.abc import Awaitable, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Any

from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from streams.calendars import load_markets
from streams.config import Config, Kafka, Markets
from streams.core.units import format_date, format_time
from streams.kafka import topics as topic_admin
from streams.kafka.topics import Topics, expected_partition

SECONDS_MAX = 60.0
NS = 1_000_000_000


@dataclass(frozen=True)
class Input:
    """One record to be written."""

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None


def config_for(bootstrap: str, prefix: str, *, partitions: int = 2, **kafka: Any) -> Config:
    """Return a worker's configuration for one test."""
    group = kafka.pop("application_id", f"{prefix}worker")
    return Config(
        kafka=Kafka(bootstrap_servers=bootstrap, prefix=prefix, application_id=group, partitions=partitions, **kafka),
        markets=Markets(mics=("XNYS",)),
    )


async def make_topics(config: Config) -> Topics:
    """Create the topics of a test."""
    applied = await topic_admin.apply(config)
    assert not [problem for problem in applied.problems if problem.fatal], applied.problems
    return Topics(config.kafka.prefix)


class Day:
    """A story of a few instruments over some sessions: a year of flat bars, then days on which they break out."""

    def __init__(
        self, config: Config, instruments: Sequence[str], *, first: str = "2025-06-02", sessions: int = 3
    ) -> None:
        self.config = config
        self.topics = Topics(config.kafka.prefix)
        self.instruments = instruments
        markets = load_markets(["XNYS"])
        table = markets.sessions_of("XNYS")
        at = next(index for index, session in enumerate(table) if format_date(int(session["date"])) >= first)
        self.history = table[at - 260 : at]
        self.sessions = table[at : at + sessions]

    def bars(self) -> list[Input]:
        """Return a year of bars between 90 and 100."""
        return [
            self.tick_record(
                name,
                {
                    "type": "bar",
                    "instrument": name,
                    "session_date": format_date(int(session["date"])),
                    "open": "95",
                    "high": "100",
                    "low": "90",
                    "close": "95",
                    "volume": "1000",
                },
            )
            for session in self.history
            for name in self.instruments
        ]

    def days(self, *, ticks: int = 30) -> list[Input]:
        """Return sessions in which every instrument rises past its high, each day higher, with clocks to the close."""
        records: list[Input] = []
        for day, session in enumerate(self.sessions):
            open_ns, close_ns = int(session["open_ns"]), int(session["close_ns"])
            records += self.clock(open_ns)
            for step in range(ticks):
                at = open_ns + (step + 1) * 60 * NS
                records += self.clock(at)
                cents = 9500 + day * 700 + step * 1500 // ticks
                records += [self.tick(name, at, cents) for name in self.instruments]
            records += self.clock(close_ns)
            records += self.clock(close_ns + 900 * NS)
        return records

    def tick(self, name: str, time_ns: int, cents: int) -> Input:
        """Return one tick."""
        price = f"{cents // 100}.{cents % 100:02d}"
        return self.tick_record(name, {"instrument": name, "time": format_time(time_ns), "price": price, "size": "100"})

    def tick_record(self, name: str, value: dict[str, Any]) -> Input:
        """Return a record of the tick topic in its instrument's partition."""
        key = name.encode()
        partition = expected_partition(key, self.config.kafka.partitions)
        return Input(self.topics.ticks, partition, key, json.dumps(value, separators=(",", ":")).encode())

    def clock(self, time_ns: int) -> list[Input]:
        """Return clock records for every partition of both logs."""
        value = json.dumps({"type": "clock", "time": format_time(time_ns), "mode": "replay"}).encode()
        count = self.config.kafka.partitions
        return [Input(topic, p, None, value) for topic in (self.topics.ticks, self.topics.news) for p in range(count)]

    def article(self, number: int, time_ns: int, instruments: Sequence[str]) -> Input:
        """Return an article that names instruments."""
        value = {
            "article_id": f"article-{number}",
            "source": "wire",
            "title": f"Story {number}",
            "published_at": format_time(time_ns),
            "received_at": format_time(time_ns),
            "tags": ["Artificial Intelligence", "Cloud Computing"],
            "instruments": [{"instrument_id": name, "relevance": 1.0} for name in instruments],
        }
        key = f"article-{number}".encode()
        partition = expected_partition(key, self.config.kafka.partitions)
        return Input(self.topics.articles, partition, key, json.dumps(value).encode())


async def write(config: Config, records: Iterable[Input]) -> None:
    """Write records in order and wait for their acknowledgement."""
    producer = AIOKafkaProducer(bootstrap_servers=config.kafka.bootstrap_servers, max_request_size=4 << 20)
    await producer.start()
    try:
        sent = [
            await producer.send(record.topic, record.value, record.key, partition=record.partition)
            for record in records
        ]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()


async def read(config: Config, topics: Sequence[str]) -> list[Any]:
    """Return all records that topics hold now, in the order of topic, partition and offset."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=config.kafka.bootstrap_servers,
        group_id=None,
        auto_offset_reset="earliest",
        isolation_level="read_committed",
        max_partition_fetch_bytes=8 << 20,
    )
    await consumer.start()
    try:
        places = [TopicPartition(topic, p) for topic in topics for p in range(config.kafka.partitions)]
        consumer.assign(places)
        ends = await consumer.end_offsets(places)
        records: list[Any] = []
        deadline = time.monotonic() + SECONDS_MAX
        for place in places:
            consumer.seek(place, 0)
        while any([await consumer.position(place) < ends[place] for place in places]):
            assert time.monotonic() < deadline, "the topics could not be read in time"
            for fetched in (await consumer.getmany(timeout_ms=200)).values():
                records += fetched
        return sorted(records, key=lambda record: (record.topic, record.partition, record.offset))
    finally:
        await consumer.stop()


async def committed(config: Config) -> dict[tuple[str, int], int]:
    """Return what a worker's group has committed in its input topics."""
    consumer = AIOKafkaConsumer(
        bootstrap_servers=config.kafka.bootstrap_servers, group_id=config.kafka.group, enable_auto_commit=False
    )
    await consumer.start()
    try:
        names = Topics(config.kafka.prefix)
        places = [TopicPartition(topic, p) for topic in names.inputs for p in range(config.kafka.partitions)]
        return {(place.topic, place.partition): await consumer.committed(place) or 0 for place in places}
    finally:
        await consumer.stop()


async def ends(config: Config) -> dict[tuple[str, int], int]:
    """Return the ends of the input topics."""
    consumer = AIOKafkaConsumer(bootstrap_servers=config.kafka.bootstrap_servers, group_id=None)
    await consumer.start()
    try:
        names = Topics(config.kafka.prefix)
        places = [TopicPartition(topic, p) for topic in names.inputs for p in range(config.kafka.partitions)]
        return {(place.topic, place.partition): end for place, end in (await consumer.end_offsets(places)).items()}
    finally:
        await consumer.stop()


async def caught_up(config: Config) -> None:
    """Wait until a worker has committed everything that its inputs hold, twice the same: the router writes an input."""
    before: dict[tuple[str, int], int] = {}

    async def reached() -> bool:
        nonlocal before
        now = await ends(config)
        done = now == before and await committed(config) == now
        before = now
        return done

    await eventually(reached)


async def eventually(holds: Callable[[], Awaitable[bool] | bool], seconds: float = SECONDS_MAX) -> None:
    """Wait until a condition holds; fail when it does not in time."""
    deadline = time.monotonic() + seconds
    while True:
        found = holds()
        if found if isinstance(found, bool) else await found:
            return
        assert time.monotonic() < deadline, f"the condition did not hold within {seconds:g} s"
        await asyncio.sleep(0.05)
