"""An idle consumer lets the machine be, whatever the broker does with a fetch that finds nothing."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from streams.config import Config, Kafka
from streams.kafka.embedded import EmbeddedBroker
from streams.kafka.resting import REST_SECONDS, rest_after_empty
from streams.kafka.topics import Topics, apply
from tests.integration.apache import ApacheBroker

IDLE_SECONDS = 0.5


@pytest.fixture
def config(broker: EmbeddedBroker | ApacheBroker, prefix: str) -> Config:
    made = Config(kafka=Kafka(bootstrap_servers=broker.bootstrap, prefix=prefix, partitions=1))
    asyncio.run(apply(made))
    return made


def test_an_idle_consumer_rests_between_fetches_and_still_hears(config: Config) -> None:
    """A broker that answers at once is asked a hundred times a second, not as often as it can answer."""
    asyncio.run(idle_and_hear(config))


async def idle_and_hear(config: Config) -> None:
    place = TopicPartition(Topics(config.kafka.prefix).ticks, 0)
    consumer: Any = AIOKafkaConsumer(bootstrap_servers=config.kafka.bootstrap_servers, group_id=None)
    await consumer.start()
    asked = count_fetches(consumer._fetcher)
    rest_after_empty(consumer._fetcher)
    try:
        consumer.assign([place])
        consumer.seek(place, 0)
        began = asyncio.get_running_loop().time()
        assert await consumer.getmany(timeout_ms=int(IDLE_SECONDS * 1000)) == {}
        idle = asyncio.get_running_loop().time() - began
        assert 1 <= len(asked) <= idle / REST_SECONDS + 2

        async with AIOKafkaProducer(bootstrap_servers=config.kafka.bootstrap_servers) as producer:
            await producer.send_and_wait(place.topic, b"heard", partition=0)
        assert (await asyncio.wait_for(consumer.getone(), 10)).value == b"heard"
    finally:
        # Ends a fetch that rests: one that let its cancellation through would fail this test.
        await consumer.stop()


def count_fetches(fetcher: Any) -> list[int]:
    asked: list[int] = []
    fetch = fetcher._proc_fetch_request

    async def counted(assignment: Any, node_id: int, request: Any) -> Any:
        asked.append(node_id)
        return await fetch(assignment, node_id, request)

    fetcher._proc_fetch_request = counted
    return asked
