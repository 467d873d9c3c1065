"""Feeds the story in while everything breaks; what is acknowledged stays written, and the log is what counts."""

from __future__ import annotations

import asyncio
import itertools
import time
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError

from streams.config import Config
from tests.chaos.story import Story
from tests.integration.feeding import Input

RETRY_SECONDS: Final = 0.5
STOP_SECONDS_MAX: Final = 30.0


class Feeder:
    """Feeds at a steady rate until it is stopped. Use it as an async context.

    Args:
        config: Where it goes; the broker's own address, so that no proxy is in the way.
        story: What is fed.
        rate: Records a second.
    """

    def __init__(self, config: Config, story: Story, *, rate: float) -> None:
        self._bootstrap = config.kafka.bootstrap_servers
        self._story = story
        self._moments = iter(story)
        self.rate = rate
        self.sent = 0
        self._producer: Any = None
        self._task: asyncio.Task[None] | None = None
        self._stopping = False

    async def __aenter__(self) -> Feeder:
        await self._connect()
        await self._write(self._story.history())
        self._task = asyncio.create_task(self._feed())
        return self

    async def __aexit__(self, *_: object) -> None:
        await self.stop()

    def check(self) -> None:
        """Raise what ended the feeding."""
        if self._task is not None and self._task.done():
            self._task.result()
            raise RuntimeError("expected an endless story, found its end: make it longer, or the run shorter")

    async def stop(self) -> None:
        """Finish the moment that is being fed, and stop."""
        task, self._task = self._task, None
        if task is not None:
            self._stopping = True
            await asyncio.wait({task}, timeout=STOP_SECONDS_MAX)
            task.cancel()
            await asyncio.gather(task, return_exceptions=True)
        producer, self._producer = self._producer, None
        if producer is not None:
            await producer.stop()

    async def _feed(self) -> None:
        for records in self._moments:
            if self._stopping:
                return
            started = time.monotonic()
            await self._write(records)
            await asyncio.sleep(max(0.0, len(records) / self.rate - (time.monotonic() - started)))

    # In order: a record goes when the one before it in its partition is acknowledged. A record that is written twice
    # because its acknowledgement was lost is one more record of the log.
    async def _write(self, records: list[Input]) -> None:
        left = list(records)
        while left:
            try:
                sent = [
                    await self._producer.send(record.topic, record.value, record.key, partition=record.partition)
                    for record in left
                ]
                await asyncio.gather(*sent)
                self.sent += len(left)
                return
            except (KafkaError, OSError):
                await asyncio.sleep(RETRY_SECONDS)

    async def _connect(self) -> None:
        self._producer = AIOKafkaProducer(
            bootstrap_servers=self._bootstrap, acks="all", enable_idempotence=True, request_timeout_ms=60_000
        )
        await self._producer.start()


async def feed_all(config: Config, story: Story, *, moments: int) -> None:
    """Feed a year of history and so many moments, as fast as they are taken; each moment is a batch of its own."""
    producer = AIOKafkaProducer(bootstrap_servers=config.kafka.bootstrap_servers, acks="all", enable_idempotence=True)
    await producer.start()
    try:
        for records in itertools.chain([story.history()], itertools.islice(story, moments)):
            sent = [await producer.send(each.topic, each.value, each.key, partition=each.partition) for each in records]
            await asyncio.gather(*sent)
    finally:
        await producer.stop()
