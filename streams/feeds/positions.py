"""How far a worker has come: the positions that its group has committed, held against what the topics hold.

A replay that must not run ahead (the demo's article has to be joined before the next session opens) waits here.
Committed positions are what the worker itself vouches for, and any Kafka tells them: no side channel is needed.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Iterable
from types import TracebackType
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams.config import Config
from streams.kafka.security import client_settings

POLL_SECONDS: Final = 0.05


class Positions:
    """Reads end and committed positions of topics. Use it as an asynchronous context manager."""

    def __init__(self, config: Config) -> None:
        self._group = config.kafka.group
        # Without a group of its own: it takes part in no assignment and commits nothing.
        self._consumer: Any = AIOKafkaConsumer(
            client_id="fiftytwo-positions", group_id=None, **client_settings(config.kafka)
        )
        self._admin: Any = AIOKafkaAdminClient(client_id="fiftytwo-positions", **client_settings(config.kafka))

    async def __aenter__(self) -> Positions:
        try:
            await self._consumer.start()
            await self._admin.start()
        except BaseException:
            await self._close()
            raise
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._close()

    async def _close(self) -> None:
        await self._admin.close()
        await self._consumer.stop()

    async def ends(self, topics: Iterable[str]) -> dict[TopicPartition, int]:
        """Return where each partition of these topics ends now."""
        partitions: list[TopicPartition] = []
        for topic in topics:
            found = self._consumer.partitions_for_topic(topic) or ()
            partitions.extend(TopicPartition(topic, partition) for partition in sorted(found))
        ends: dict[TopicPartition, int] = await self._consumer.end_offsets(partitions)
        return ends

    async def behind(self, ends: dict[TopicPartition, int]) -> int:
        """Return how many records the group has still to pass before it is at these ends."""
        try:
            committed = await self._admin.list_consumer_group_offsets(self._group)
        except KafkaError:
            # The group's coordinator is not known yet: nothing has been committed.
            committed = {}
        # A partition without a commit has the offset -1.
        positions = {partition: max(entry.offset, 0) for partition, entry in committed.items()}
        return sum(max(0, end - positions.get(partition, 0)) for partition, end in ends.items())

    async def wait_passed(self, topics: Iterable[str], *, seconds_max: float) -> bool:
        """Wait until the group has committed past everything that these topics hold now.

        Returns:
            Whether it did within `seconds_max`.
        """
        ends = await self.ends(topics)
        deadline = time.monotonic() + seconds_max
        # A broker tells nobody that a group has committed: asking again is all that a client can do.
        while await self.behind(ends) > 0:
            if time.monotonic() >= deadline:
                return False
            await asyncio.sleep(POLL_SECONDS)
        return True

    async def wait_news_passed(self, articles: str, news: str, *, seconds_max: float) -> bool:
        """Wait until every article written so far has been fanned out and every copy of it joined.

        The order matters: a copy exists for certain once the articles' position has passed the article, so the end of
        the copies is taken after that.
        """
        deadline = time.monotonic() + seconds_max
        if not await self.wait_passed([articles], seconds_max=seconds_max):
            return False
        return await self.wait_passed([news], seconds_max=deadline - time.monotonic())
