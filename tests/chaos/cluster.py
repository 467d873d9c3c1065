"""A broker with a listener behind a proxy for each worker, the workers, and what the group has committed."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
from collections.abc import Sequence
from contextlib import AsyncExitStack
from pathlib import Path
from typing import Final

from streams.config import Commits, Config, Kafka, Markets, Snapshots
from streams.kafka import topics as topic_admin
from streams.kafka.embedded import find_free_port
from tests.chaos.eyes import Eyes
from tests.chaos.processes import WorkerProcess
from tests.chaos.proxy import FrameProxy, broker_settings
from tests.integration.apache import SETTINGS, ApacheBroker

APPLICATION: Final = "chaos"
# A transaction that died in one partition is waited for by who reads its state: by default the broker looks every ten
# seconds for those that have run out, which is as long as a life without Faust.
BROKER: Final = f"{SETTINGS}transaction.abort.timed.out.transaction.cleanup.interval.ms=500\n"

DYNAMIC_WORKER: Final = "c"
"""The worker that comes and goes: it has no lasting name, and commits and takes snapshots as by default."""


class Cluster:
    """Everything that runs. Use it as an async context.

    Args:
        workers: Names of the workers that may run.
        partitions: Of every topic.
    """

    def __init__(self, workers: Sequence[str], *, partitions: int = 6) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fiftytwo-chaos-"))
        self._stack = AsyncExitStack()
        self._ports = {name: (find_free_port(), find_free_port()) for name in workers}
        listeners = {f"WORKER{number}": ports for number, ports in enumerate(self._ports.values())}
        self.broker = ApacheBroker(settings=broker_settings(BROKER, listeners))
        self.config = self.config_of(APPLICATION, partitions=partitions)
        self.proxies: dict[str, FrameProxy] = {}
        self.workers: dict[str, WorkerProcess] = {}
        self.eyes = Eyes(self.config, self._ask_workers)

    def config_of(self, name: str, *, partitions: int, delivery: str = "exactly_once") -> Config:
        """Return the configuration of an application with topics of its own."""
        return Config(
            kafka=Kafka(
                bootstrap_servers=self.broker.bootstrap,
                prefix=f"{name}.",
                application_id=name,
                partitions=partitions,
                delivery=delivery,
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
        await self.eyes.close()
        for worker in self.workers.values():
            worker.kill()
        await self._stack.aclose()

    def remove_logs(self) -> None:
        """Remove the workers' logs."""
        shutil.rmtree(self.folder, ignore_errors=True)

    # What each waits for goes into their logs.
    def _ask_workers(self) -> None:
        for worker in self.workers.values():
            worker.send(signal.SIGUSR1)

    def _environment(self, name: str, port: int) -> dict[str, str]:
        config = self.config
        settings = {
            "FIFTYTWO_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{port}",
            "FIFTYTWO_KAFKA_APPLICATION_ID": config.kafka.application_id,
            "FIFTYTWO_KAFKA_PREFIX": config.kafka.prefix,
            "FIFTYTWO_KAFKA_PARTITIONS": str(config.kafka.partitions),
            "FIFTYTWO_MARKETS_MICS": "XNYS",
            "FIFTYTWO_WEB_PORT": "0",
        }
        if name == DYNAMIC_WORKER:
            return {**settings, "FIFTYTWO_KAFKA_GROUP_INSTANCE_ID": "dynamic"}
        return {
            **settings,
            "FIFTYTWO_KAFKA_GROUP_INSTANCE_ID": f"chaos-{name}",
            "FIFTYTWO_COMMITS_TIMEOUT_S": str(config.commits.timeout_s),
            "FIFTYTWO_COMMITS_POSITIONS_MS": str(config.commits.positions_ms),
            "FIFTYTWO_COMMITS_RESTARTS_MAX": str(config.commits.restarts_max),
            "FIFTYTWO_SNAPSHOTS_INTERVAL_S": str(config.snapshots.interval_s),
            "FIFTYTWO_SNAPSHOTS_SHARE_MAX": str(config.snapshots.share_max),
        }
