"""A broker with a listener behind a proxy for each worker, the workers, and what their groups have committed."""

from __future__ import annotations

import asyncio
import shutil
import signal
import tempfile
from collections.abc import Mapping, Sequence
from contextlib import AsyncExitStack
from dataclasses import dataclass, replace
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

TRIED: Final = Commits(timeout_s=3, positions_ms=200, restarts_max=1000)
"""Doubt comes soon; a worker takes more than it would at home."""

PATIENT: Final = Commits(restarts_max=TRIED.restarts_max)
"""As by default, but for what ends a worker: it is doubted far more often than three times in ten minutes."""


@dataclass(frozen=True, slots=True)
class Application:
    """Workers of one group.

    Attributes:
        config: Of all of them; the broker's address is its own, without a proxy.
        workers: By name.
        eyes: See how far the group has come.
    """

    config: Config
    workers: dict[str, WorkerProcess]
    eyes: Eyes

    def kill(self) -> None:
        """Kill all workers that run."""
        for worker in self.workers.values():
            worker.kill()

    async def stop(self) -> None:
        """End all workers that run in order."""
        await asyncio.gather(*(worker.stop() for worker in self.workers.values() if worker.is_running))


class Cluster:
    """Everything that runs. Use it as an async context.

    Args:
        workers: Names of the workers that may run.
        partitions: Of every topic.
    """

    def __init__(self, workers: Sequence[str], *, partitions: int = 6) -> None:
        self.folder = Path(tempfile.mkdtemp(prefix="fiftytwo-chaos-"))
        self._stack = AsyncExitStack()
        self._applications: list[Application] = []
        self._ports = {name: (find_free_port(), find_free_port()) for name in workers}
        listeners = {f"WORKER{number}": ports for number, ports in enumerate(self._ports.values())}
        self.broker = ApacheBroker(settings=broker_settings(BROKER, listeners))
        self.config = self.config_of(APPLICATION, partitions=partitions)
        self.proxies: dict[str, FrameProxy] = {}
        self.application = self._application(self.config, {name: port for name, (_, port) in self._ports.items()})

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
            commits=TRIED,
            snapshots=Snapshots(interval_s=1.0, share_max=1.0),
            markets=Markets(mics=("XNYS",)),
        )

    async def __aenter__(self) -> Cluster:
        await asyncio.to_thread(self.broker.start)
        self._stack.callback(self.broker.close)
        await topic_admin.apply(self.config)
        for name, (inside, outside) in self._ports.items():
            self.proxies[name] = await self._stack.enter_async_context(FrameProxy(outside, inside))
        return self

    async def __aexit__(self, *_: object) -> None:
        for application in self._applications:
            await application.eyes.close()
            application.kill()
        await self._stack.aclose()

    async def add(self, name: str, workers: Sequence[str], *, partitions: int, delivery: str) -> Application:
        """Make topics of another application and return it; its workers come to the broker without a proxy."""
        config = self.config_of(name, partitions=partitions, delivery=delivery)
        await topic_admin.apply(config)
        return self._application(config, dict.fromkeys(workers, self.broker.port))

    def slow_down(self, name: str) -> None:
        """Let a worker commit and take snapshots as by default when it is started next."""
        patient = replace(self.config, commits=PATIENT, snapshots=Snapshots())
        self.application.workers[name].settings = _settings(patient, self._ports[name][1], f"chaos-{name}")

    def remove_logs(self) -> None:
        """Remove the workers' logs."""
        shutil.rmtree(self.folder, ignore_errors=True)

    def _application(self, config: Config, ports: Mapping[str, int]) -> Application:
        folder = self.folder / config.kafka.application_id
        folder.mkdir()
        workers = {
            name: WorkerProcess(name, _settings(config, port, f"{config.kafka.application_id}-{name}"), folder)
            for name, port in ports.items()
        }
        if DYNAMIC_WORKER in workers:
            usual = replace(config, commits=Commits(), snapshots=Snapshots())
            workers[DYNAMIC_WORKER].settings = _settings(usual, ports[DYNAMIC_WORKER], "dynamic")

        # What each waits for goes into their logs.
        def ask() -> None:
            for worker in workers.values():
                worker.send(signal.SIGUSR1)

        self._applications.append(Application(config, workers, Eyes(config, ask)))
        return self._applications[-1]


def _settings(config: Config, port: int, instance: str) -> dict[str, str]:
    kafka, commits, snapshots = config.kafka, config.commits, config.snapshots
    return {
        "FIFTYTWO_KAFKA_BOOTSTRAP_SERVERS": f"127.0.0.1:{port}",
        "FIFTYTWO_KAFKA_APPLICATION_ID": kafka.application_id,
        "FIFTYTWO_KAFKA_PREFIX": kafka.prefix,
        "FIFTYTWO_KAFKA_PARTITIONS": str(kafka.partitions),
        "FIFTYTWO_KAFKA_DELIVERY": kafka.delivery,
        "FIFTYTWO_KAFKA_GROUP_INSTANCE_ID": instance,
        "FIFTYTWO_MARKETS_MICS": ",".join(config.markets.mics),
        "FIFTYTWO_WEB_PORT": "0",
        "FIFTYTWO_COMMITS_TIMEOUT_S": str(commits.timeout_s),
        "FIFTYTWO_COMMITS_POSITIONS_MS": str(commits.positions_ms),
        "FIFTYTWO_COMMITS_RESTARTS_MAX": str(commits.restarts_max),
        "FIFTYTWO_SNAPSHOTS_INTERVAL_S": str(snapshots.interval_s),
        "FIFTYTWO_SNAPSHOTS_SHARE_MAX": str(snapshots.share_max),
    }
