"""What a worker does while something beside it does not work: a topic that takes nothing, a Prometheus that hangs."""

from __future__ import annotations

import asyncio
import json
import socket
from collections.abc import Coroutine
from contextlib import ExitStack
from dataclasses import replace
from typing import Any

import aiohttp
import psutil
import pytest
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType

from streams.config import Commits, Config
from streams.core.units import format_time
from streams.kafka.restarts import RestartedTooOften
from streams.kafka.topics import connect
from streams.kafka.worker import Worker
from streams.web.server import WebServer
from tests.chaos.proxy import Fault
from tests.chaos.refusals import full_disk, group_fails_once
from tests.integration.apache import ApacheBroker
from tests.integration.feeding import (
    Day,
    Input,
    caught_up,
    committed,
    config_for,
    ends,
    eventually,
    make_topics,
    read,
    write,
)
from tests.integration.test_exactly_once import expected, ids, running
from tests.integration.test_late_end import proxied

INSTRUMENTS = ("XNYS:AAA", "XNYS:BBB", "XNYS:CCC", "XNYS:DDD")
RUN_SECONDS_MAX = 240.0
SCRAPERS = 50
BULKY_RECORDS = 5_000
BULKY_BYTES = 20_000
MEMORY_BYTES_MAX = 48 << 20
"""What a worker may grow by while it waits: less than what waits for it in its inputs."""


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine, for a bounded time."""
    asyncio.run(asyncio.wait_for(work, RUN_SECONDS_MAX))


def bulky(day: Day) -> list[Input]:
    """Return trades of the last session that change nothing and take a hundred megabytes; blanks are legal in JSON."""
    time_ns = int(day.sessions[-1]["close_ns"]) - 1
    fields = {"instrument": INSTRUMENTS[0], "time": format_time(time_ns), "price": "95", "size": "1"}
    value = json.dumps(fields).encode() + b" " * BULKY_BYTES
    record = replace(day.tick(INSTRUMENTS[0], time_ns, 9500), value=value)
    return [record] * BULKY_RECORDS


def restarts(worker: Worker, reason: str) -> float:
    """Return how often partitions of a worker have begun again for a reason."""
    return worker.registry.get_sample_value("fiftytwo_partition_restarts_total", {"reason": reason}) or 0.0


async def are_once(config: Config, records: list[Input]) -> None:
    """Check that every signal of some records is there once, as from a worker that was never disturbed."""
    topics = await make_topics(config)
    found = await read(config, [topics.breakouts, topics.momentum])
    assert all(count == 1 for count in ids(found).values())
    mine = [(r.topic.removeprefix(config.kafka.prefix), r.partition, r.key, r.value, r.headers) for r in found]
    assert mine == await expected(config, records)


def test_output_topic_on_a_full_disk_is_waited_for() -> None:
    """The worker passes no input whose signals it could not write, stays small, says so, and goes on by itself."""

    async def work() -> None:
        async with proxied() as (config, proxy):
            topics = await make_topics(config)
            day = Day(config, INSTRUMENTS)
            days = day.days()
            records = day.bars() + days[:100]
            behind = replace(
                config,
                kafka=replace(config.kafka, bootstrap_servers=f"127.0.0.1:{proxy.port}"),
                # Doubt comes soon, so that the partition begins again more often than any other fault may make it.
                commits=Commits(timeout_s=3),
            )
            async with running(behind) as worker:
                await write(config, records)
                await caught_up(config)
                proxy.refusal = full_disk(topics.breakouts)
                await write(config, [*days[100:], *bulky(day)])
                await eventually(lambda: restarts(worker, "in_doubt") >= 2)
                before = psutil.Process().memory_info().rss

                await eventually(lambda: restarts(worker, "in_doubt") > config.commits.restarts_max + 1)
                await eventually(lambda: any("broker" in reason for reason in worker.health.not_ready()))
                await eventually(lambda: worker.registry.get_sample_value("fiftytwo_waiting") == 1)
                done, there = await committed(config), await ends(config)
                assert done[topics.ticks, 0] < there[topics.ticks, 0] - BULKY_RECORDS
                assert not worker.health.failures()
                assert psutil.Process().memory_info().rss - before < MEMORY_BYTES_MAX
                proxy.refusal = lambda request: None
                await caught_up(config)
                await eventually(lambda: worker.is_ready)

            await are_once(config, records + days[100:])

    run(work())


def test_output_topic_whose_policy_refuses_signals_ends_the_worker(apache: ApacheBroker, prefix: str) -> None:
    """What asking again does not mend is said; nothing is passed, and once it is mended nothing is missing."""

    async def limit(config: Config, topic: str, size: int) -> None:
        configs = {"max.message.bytes": str(size), "message.timestamp.type": "LogAppendTime"}
        async with connect(config.kafka) as admin:
            await admin.alter_configs([ConfigResource(ConfigResourceType.TOPIC, topic, configs=configs)])

    async def work() -> None:
        config = config_for(apache.bootstrap, prefix)
        topics = await make_topics(config)
        day = Day(config, INSTRUMENTS)
        days = day.days()

        async def refused() -> None:
            async with running(config) as worker:
                await write(config, day.bars() + days[:100])
                await caught_up(config)
                await limit(config, topics.breakouts, 100)
                await write(config, days[100:])
                await worker.wait()

        with pytest.raises(RestartedTooOften, match=r"begun again 3 times .*MessageSizeTooLarge.* goes on from there"):
            await refused()
        assert await committed(config) != await ends(config)

        await limit(config, topics.breakouts, 1 << 20)
        async with running(config):
            await caught_up(config)
        await are_once(config, day.bars() + days)

    run(work())


@pytest.mark.parametrize("fault", ["Metadata", "InitProducerId", "the group"])
def test_worker_starts_although_an_answer_is_lost_or_wrong(fault: str) -> None:
    """One request that is lost at the start, or a group that fails once, is asked again and ends nothing."""

    async def work() -> None:
        async with proxied() as (config, proxy):
            if fault == "the group":
                proxy.refusal = group_fails_once()
            else:
                proxy.arm(Fault(fault, "drop"))
            behind = replace(config, kafka=replace(config.kafka, bootstrap_servers=f"127.0.0.1:{proxy.port}"))
            async with running(behind):
                await write(config, Day(config, INSTRUMENTS).bars())
                await caught_up(config)

    run(work())


def test_prometheus_that_hangs_or_stays_away_holds_nothing_up(apache: ApacheBroker, prefix: str) -> None:
    """Scrapers that ask and never take the answer cost the worker neither signals nor the next scrape."""

    async def work() -> None:
        config = config_for(apache.bootstrap, prefix)
        await make_topics(config)
        day = Day(config, INSTRUMENTS)
        records = day.bars() + day.days()
        async with running(config) as worker:
            server = WebServer(worker.registry, worker.health, host="127.0.0.1", port=0)
            await server.start()
            before = psutil.Process().memory_info().rss
            with ExitStack() as stack:
                for _ in range(SCRAPERS):
                    hanging = stack.enter_context(socket.create_connection(("127.0.0.1", server.port)))
                    hanging.sendall(b"GET /metrics HTTP/1.1\r\nHost: worker\r\n\r\n" * 3)
                await write(config, records)
                await caught_up(config)
                async with aiohttp.ClientSession(server.url) as session:
                    async with session.get("/metrics") as answer:
                        assert "fiftytwo_records_consumed_total" in await answer.text()
                    async with session.get("/health/ready") as answer:
                        assert answer.status == 200
                assert psutil.Process().memory_info().rss - before < MEMORY_BYTES_MAX
            await server.stop()
        await are_once(config, records)

    run(work())
