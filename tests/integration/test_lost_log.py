"""Brokers that lose an input log under a running worker: its files are taken away between two runs of the broker."""

from __future__ import annotations

import asyncio

import pytest

from streams.kafka.restore import PositionsRefused
from streams.kafka.worker import Worker
from tests.integration.apache import ApacheBroker
from tests.integration.feeding import Day, caught_up, config_for, eventually, make_topics, write

RUN_SECONDS_MAX = 120.0


# The `apache` fixture is asked for its check that a broker can run here; this test needs one of its own.
def test_log_that_begins_again_is_refused_and_not_swallowed(apache: ApacheBroker, prefix: str) -> None:
    """New records at offsets that were read before are no known records: the worker says so and ends."""

    async def work() -> None:
        with ApacheBroker() as broker:
            config = config_for(broker.bootstrap, prefix, partitions=1)
            topics = await make_topics(config)
            day = Day(config, ("XNYS:AAA",), sessions=1)
            worker = Worker(config)
            try:
                await worker.start()
                failed = asyncio.ensure_future(worker.wait())
                await eventually(lambda: worker.is_ready)
                await write(config, day.bars())
                await caught_up(config)

                broker.kill()
                for file in (broker.folder / "data" / f"{topics.ticks}-0").iterdir():
                    if file.name != "partition.metadata":
                        file.unlink()
                broker.start()
                await write(config, day.clock(int(day.sessions[0]["open_ns"])))

                with pytest.raises(PositionsRefused, match="found its end at 1: the topic was made again or lost"):
                    await failed
            finally:
                await worker.stop()

    asyncio.run(asyncio.wait_for(work(), RUN_SECONDS_MAX))
