"""Watching how far an application's group has come, through broker restarts."""

from __future__ import annotations

import asyncio
import contextlib
import itertools
import time
from collections.abc import Callable
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams.config import Config
from streams.kafka.effects import Place
from streams.kafka.topics import Topics

RECOVERY_SECONDS_MAX: Final = 240.0
"""Longer than any time-out on the way: a dropped frame is missed after 40 s, and a session lasts 15."""

SLOW_SECONDS: Final = 30.0
"""A recovery that takes longer is worth a look."""

ASK_SECONDS: Final = 10.0


class Stuck(AssertionError):
    """Workers did not go on although nothing was in their way any more."""


class Eyes:
    """Sees what an application has committed.

    Args:
        config: Whose inputs and whose group.
        on_slow: Called when a recovery is slow, and again when it is given up.
    """

    def __init__(self, config: Config, on_slow: Callable[[], None] = lambda: None) -> None:
        self._config = config
        self._on_slow = on_slow
        self._places = list(itertools.product(Topics(config.kafka.prefix).inputs, range(config.kafka.partitions)))
        self._clients: tuple[Any, Any] | None = None

    async def recovered(self, *, seconds: float = RECOVERY_SECONDS_MAX) -> None:
        """Wait until everything that the inputs hold now is committed.

        Raises:
            Stuck: It was not in time.
        """
        started = time.monotonic()
        goals: dict[Place, int] | None = None
        behind: dict[Place, tuple[int, int]] = {}
        told = False
        while time.monotonic() < started + seconds:
            try:
                goals = goals or await self.ends()
                done = await self.committed()
                behind = {place: (done.get(place, 0), end) for place, end in goals.items() if done.get(place, 0) < end}
                if not behind:
                    return
            except (TimeoutError, KafkaError, OSError):
                await self.close()
            if not told and time.monotonic() > started + SLOW_SECONDS:
                told = True
                self._on_slow()
            await asyncio.sleep(0.1)
        self._on_slow()
        await asyncio.sleep(2.0)
        raise Stuck(f"expected all inputs committed within {seconds:g} s, found (committed, end): {behind}")

    async def caught_up(self) -> None:
        """Wait until everything is committed, what the router writes meanwhile included."""
        await self.recovered()
        await self.recovered()

    async def ends(self) -> dict[Place, int]:
        """Return the ends of the input topics."""
        consumer, _ = await self._look()
        places = [TopicPartition(*place) for place in self._places]
        found = await asyncio.wait_for(consumer.end_offsets(places), ASK_SECONDS)
        return {(tp.topic, tp.partition): end for tp, end in found.items()}

    async def committed(self) -> dict[Place, int]:
        """Return what the group has committed."""
        _, admin = await self._look()
        group = self._config.kafka.group
        found = await asyncio.wait_for(admin.list_consumer_group_offsets(group), ASK_SECONDS)
        return {(tp.topic, tp.partition): entry.offset for tp, entry in found.items()}

    async def close(self) -> None:
        """Disconnect."""
        clients, self._clients = self._clients, None
        if clients is not None:
            for close in (clients[0].stop, clients[1].close):
                with contextlib.suppress(TimeoutError, KafkaError, OSError):
                    await asyncio.wait_for(close(), ASK_SECONDS)

    async def _look(self) -> tuple[Any, Any]:
        if self._clients is None:
            bootstrap = self._config.kafka.bootstrap_servers
            consumer = AIOKafkaConsumer(
                bootstrap_servers=bootstrap, isolation_level="read_committed", request_timeout_ms=5_000
            )
            admin = AIOKafkaAdminClient(bootstrap_servers=bootstrap, request_timeout_ms=5_000)
            self._clients = consumer, admin
            await asyncio.wait_for(consumer.start(), ASK_SECONDS)
            await asyncio.wait_for(admin.start(), ASK_SECONDS)
        return self._clients
