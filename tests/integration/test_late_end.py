"""An EndTxn that is delivered late: it tears the next transaction, unless a new producer id was fetched in between.

And a producer that is given up over such a doubt, with what it leaves behind.
"""

from __future__ import annotations

import asyncio
import struct
from collections.abc import AsyncIterator, Mapping
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams.config import Config
from streams.kafka.effects import Effects, Output
from streams.kafka.embedded import find_free_port
from streams.kafka.probe import passed
from streams.kafka.producer import AtLeastOnce, ExactlyOnce
from streams.kafka.transactions import InDoubt, StrictProducer
from tests.chaos.proxy import Fault, FrameProxy, broker_settings
from tests.integration.apache import SETTINGS, ApacheBroker, ApacheUnavailable
from tests.integration.feeding import config_for, eventually, make_topics, read
from tests.needs import require

TRANSACTIONAL_ID = "late-end-0"
ENTERED, HALF = b"first", b"half"
REQUEST_SECONDS = 2.0
INVALID_PRODUCER_EPOCH = 47


@asynccontextmanager
async def proxied() -> AsyncIterator[tuple[Config, FrameProxy]]:
    """Run a broker behind a proxy, and make topics there."""
    inside, outside = find_free_port(), find_free_port()
    try:
        broker = ApacheBroker(settings=broker_settings(SETTINGS, {"PROXIED": (inside, outside)}))
    except ApacheUnavailable as error:
        require("REQUIRE_KAFKA", str(error))
    await asyncio.to_thread(broker.start)
    try:
        config = config_for(broker.bootstrap, "late.", partitions=1)
        await make_topics(config)
        async with FrameProxy(outside, inside) as proxy:
            yield config, proxy
    finally:
        await asyncio.to_thread(broker.close)


def options(proxy: FrameProxy) -> dict[str, Any]:
    """Return the settings of a producer that comes through the proxy."""
    return {
        "bootstrap_servers": f"127.0.0.1:{proxy.port}",
        "transactional_id": TRANSACTIONAL_ID,
        "request_timeout_ms": int(REQUEST_SECONDS * 1000),
    }


async def visible(config: Config, topic: str) -> list[bytes]:
    """Return what a reader of committed records sees."""
    return [record.value for record in await read(config, [topic])]


async def write(producer: Any, topic: str, value: bytes) -> None:
    """Write one record and wait for its acknowledgement."""
    await producer.send_and_wait(topic, value, partition=0)


def test_late_end_tears_the_next_transaction_without_the_rule() -> None:
    """The plain client sends EndTxn again, goes on, and the first one commits half of what came next."""

    async def work() -> None:
        async with proxied() as (config, proxy):
            topic = config.kafka.prefix + "signals.breakouts.v1"
            producer = AIOKafkaProducer(**options(proxy))
            await producer.start()
            try:
                await producer.begin_transaction()
                await write(producer, topic, ENTERED)
                late = proxy.arm(Fault("EndTxn", "hold", seconds=60.0))
                await producer.commit_transaction()
                await producer.begin_transaction()
                await write(producer, topic, HALF)
                assert await visible(config, topic) == [ENTERED]

                late.release()
                await late.answer

                await eventually(lambda: _sees(config, topic, [ENTERED, HALF]))
                with pytest.raises(KafkaError):
                    await write(producer, topic, b"other half")
            finally:
                await asyncio.wait_for(producer.stop(), 20)

    asyncio.run(asyncio.wait_for(work(), 120))


def test_late_end_is_refused_with_the_rule() -> None:
    """A producer whose EndTxn was not answered is given up; its successor's id makes the late one void."""

    async def work() -> None:
        async with proxied() as (config, proxy):
            topic = config.kafka.prefix + "signals.breakouts.v1"
            first = StrictProducer(**options(proxy))
            await first.start()
            await first.begin_transaction()
            await write(first, topic, ENTERED)
            late = proxy.arm(Fault("EndTxn", "hold", seconds=60.0))
            with pytest.raises(KafkaError) as given_up:
                await first.commit_transaction()
            assert isinstance(given_up.value.__cause__, InDoubt)
            await first.abandon()
            second = StrictProducer(**options(proxy))
            await second.start()
            await second.begin_transaction()
            await write(second, topic, HALF)

            late.release()
            answer = await late.answer
            await write(second, topic, b"other half")
            seen_before = await visible(config, topic)
            await second.commit_transaction()

            assert struct.unpack_from(">iih", answer)[2] == INVALID_PRODUCER_EPOCH
            assert seen_before == []
            assert await visible(config, topic) == [HALF, b"other half"]
            await second.stop()

    asyncio.run(asyncio.wait_for(work(), 120))


@pytest.mark.parametrize("kind", ["exactly_once", "at_least_once"])
def test_producer_that_is_given_up_leaves_nothing_behind(kind: str) -> None:
    """What it had under way ends with it, although only the brokers could answer, and nobody waits for them."""

    async def work() -> None:
        async with proxied() as (config, proxy):
            kafka = replace(config.kafka, bootstrap_servers=f"127.0.0.1:{proxy.port}")
            committer: Any = (
                ExactlyOnce(kafka, TRANSACTIONAL_ID, timeout_seconds=60.0, probe=passed)
                if kind == "exactly_once"
                else AtLeastOnce(kafka, no_positions, probe=passed)
            )
            await committer.start()
            lost = proxy.arm(Fault("Produce", "drop"))
            output = Output(config.kafka.prefix + "signals.breakouts.v1", 0, b"key", ENTERED, [])
            committing = asyncio.ensure_future(committer.commit(Effects([output])))
            await lost.hit.wait()
            committing.cancel()
            await asyncio.wait({committing})

            await committer.close(finished=False)

            assert running_in_clients() == []

    asyncio.run(asyncio.wait_for(work(), 120))


def running_in_clients() -> list[str]:
    """Return the tasks of producers that run, theirs and ours."""
    coroutines: list[Any] = [task.get_coro() for task in asyncio.all_tasks()]
    files = ("/aiokafka/", "/streams/kafka/")
    return [each.__qualname__ for each in coroutines if any(file in each.cr_code.co_filename for file in files)]


async def no_positions(positions: Mapping[Any, int]) -> None:
    """Commit for no group."""


async def _sees(config: Config, topic: str, values: list[bytes]) -> bool:
    return await visible(config, topic) == values
