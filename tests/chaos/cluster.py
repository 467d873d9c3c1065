"""A broker with a listener behind a proxy for each worker, the workers, and what the group has committed."""

from __future__ import annotations

import asyncio
import itertools
import shutil
import signal
import tempfile
import time
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient
from aiokafka.errors import KafkaError

from streams.config import Commits, Config, Kafka, Markets, Snapshots
from streams.kafka import topics as topic_admin
from streams.kafka.embedded import find_free_port
from streams.kafka.topics import Topics
from tests.chaos.processes import WorkerProcess
from tests.chaos.proxy import FrameProxy, broker_settings
from tests.integration.apache import SETTINGS, ApacheBroker

RECOVERY_SECONDS_MAX: Final = 180.0
"""Longer than any time-out on the way: a dropped frame is missed after 40 s, and a session lasts 15."""

SLOW_SECONDS: Final = 25.0
"""A recovery that takes longer is worth a look: workers write what they wait for into their logs."""

PREFIX: Final = "chaos."
APPLICATION: Final = "chaos"


class Stuck(AssertionError):
    """Workers did not go on although nothing was in their way any more."""


class Cluster:
    """Everything that runs. Use it as an async context.

    Args:
        workers: Names of the workers that may run.
        partitions: Of every topic.
    """

    def __init__(self, workers: Sequence[str], *, partitions: int = 4) -> None:
        self.partitions = partitions
        self.folder = Path(tempfile.mkdtemp(prefix="fiftytwo-chaos-"))
        self._stack = AsyncExitStack()
        self._ports = {name: (find_free_port(), find_free_port()) for name in workers}
        listeners = {f"WORKER{number}": ports for number, ports in enumerate(self._ports.values())}
        self.broker = ApacheBroker(settings=broker_settings(SETTINGS, listeners))
        self.config = self.config_at(self.broker.bootstrap)
        self.topics = Topics(PREFIX)
        self.proxies: dict[str, FrameProxy] = {}
        self.workers: dict[str, WorkerProcess] = {}
        self._eyes: Any = None

    def config_at(self, bootstrap: str) -> Config:
        """Return the workers' configuration with the brokers at an address."""
        return Config(
            kafka=Kafka(
                bootstrap_servers=bootstrap, prefix=PREFIX, application_id=APPLICATION, partitions=self.partitions
            ),
            # Doubt comes soon, and snapshots often; a worker takes more than it would at home.
            commits=Commits(timeout_s=3, positions_ms=200, restarts_max=1000),
            snapshots=Snapshots(interval_s=1.0, share_max=1.0),
            markets=Markets(mics=("XNYS",)),
        )

    async def __aenter__(self) -> Cluster:
        await asyncio.to_thread(self.broker.start)
        self._stack.callback(self.broker.close)
        await topic_admin.apply(self.config)
        for name, (inside, outside) in self._ports.items():
            self.proxies[name] = await self._stack.enter_async_context(FrameProxy(outside, inside))
            self.workers[name] = WorkerProcess(name, self._environment(name, outside), self.folder)
            self._stack.callback(self.workers[name].kill)
        return self

    async def __aexit__(self, *_: object) -> None:
        await self._close_eyes()
        for worker in self.workers.values():
            worker.kill()
        await self._stack.aclose()

    def remove_logs(self) -> None:
        """Remove the workers' logs."""
        shutil.rmtree(self.folder, ignore_errors=True)

    async def recovered(self, *, seconds: float = RECOVERY_SECONDS_MAX) -> None:
        """Wait until everything that the inputs hold now is committed.

        Raises:
            Stuck: It was not in time.
        """
        deadline = time.monotonic() + seconds
        goals: dict[tuple[str, int], int] | None = None
        behind: dict[tuple[str, int], tuple[int, int]] = {}
        ask_at = time.monotonic() + SLOW_SECONDS
        while time.monotonic() < deadline:
            if time.monotonic() > ask_at:
                self._ask_workers()
                ask_at = deadline
            try:
                goals = goals or await self.ends()
                done = await self.committed()
                behind = {place: (done.get(place, 0), end) for place, end in goals.items() if done.get(place, 0) < end}
                if not behind:
                    return
            except (TimeoutError, KafkaError, OSError):
                await self._close_eyes()
            await asyncio.sleep(0.1)
        self._ask_workers()
        await asyncio.sleep(2.0)
        raise Stuck(f"expected all inputs committed within {seconds:g} s, found (committed, end): {behind}")

    # Into their logs.
    def _ask_workers(self) -> None:
        for worker in self.workers.values():
            worker.send(signal.SIGUSR1)

    async def caught_up(self) -> None:
        """Wait until everything is committed, what the router writes meanwhile included."""
        await self.recovered()
        await self.recovered()

    async def ends(self) -> dict[tuple[str, int], int]:
        """Return the ends of the input topics."""
        consumer, _ = await self._look()
        places = [TopicPartition(*place) for place in self._inputs()]
        found = await asyncio.wait_for(consumer.end_offsets(places), 10)
        return {(tp.topic, tp.partition): end for tp, end in found.items()}

    async def committed(self) -> dict[tuple[str, int], int]:
        """Return what the group has committed."""
        _, admin = await self._look()
        found = await asyncio.wait_for(admin.list_consumer_group_offsets(APPLICATION), 10)
        return {(tp.topic, tp.partition): entry.offset for tp, entry in found.items()}

    def _inputs(self) -> list[tuple[str, int]]:
        return list(itertools.product(self.topics.inputs, range(self.partitions)))

    async def _look(self) -> Any:
        if self._eyes is None:
            consumer = AIOKafkaConsumer(
                bootstrap_servers=self.broker.bootstrap, isolation_level="read_committed", request_timeout_ms=5_000
            )
            admin = AIOKafkaAdminClient(bootstrap_servers=self.broker.bootstrap, request_timeout_ms=5_000)
            self._eyes = consumer, admin
            await asyncio.wait_for(consumer.start(), 10)
            await asyncio.wait_for(admin.start(), 10)
        return self._eyes

    async def _close_eyes(self) -> None:
        eyes, self._eyes = self._eyes, None
        if eyes is None:
            return
        for each, close in ((eyes[0], eyes[0].stop), (eyes[1], eyes[1].close)):
            try:
                await asyncio.wait_for(close(), 5)
            except (TimeoutError, KafkaError, OSError):
                del each

    def _environment(self, name: str, port: int) -> dict[str, str]:
        config = self.config
        return {
            "FIFTYTWO_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{port}",
            "FIFTYTWO_KAFKA_APPLICATION_ID": config.kafka.application_id,
            "FIFTYTWO_KAFKA_PREFIX": config.kafka.prefix,
            "FIFTYTWO_KAFKA_PARTITIONS": str(config.kafka.partitions),
            "FIFTYTWO_KAFKA_GROUP_INSTANCE_ID": f"chaos-{name}",
            "FIFTYTWO_COMMITS_TIMEOUT_S": str(config.commits.timeout_s),
            "FIFTYTWO_COMMITS_POSITIONS_MS": str(config.commits.positions_ms),
            "FIFTYTWO_COMMITS_RESTARTS_MAX": str(config.commits.restarts_max),
            "FIFTYTWO_SNAPSHOTS_INTERVAL_S": str(config.snapshots.interval_s),
            "FIFTYTWO_SNAPSHOTS_SHARE_MAX": str(config.snapshots.share_max),
            "FIFTYTWO_MARKETS_MICS": "XNYS",
            "FIFTYTWO_WEB_PORT": "0",
        }
