"""The worker: everything that runs in one process, started and stopped in order.

`run_worker` is what the command line calls. `Worker` is the same inside a running event loop, for tests and the demo.
"""

from __future__ import annotations

import asyncio
import contextlib
import ctypes
import gc
import logging
import signal
import sys
import time
from collections.abc import Callable
from importlib import metadata
from typing import Any, Final, NoReturn

from aiokafka.errors import KafkaError
from prometheus_client import CollectorRegistry

from streams.calendar_tables import BadOverrides
from streams.calendars import UnknownCalendar
from streams.config import Config
from streams.kafka import topics as topic_checks
from streams.kafka.app import Assembled, assemble
from streams.kafka.assignment import AssignmentRefused
from streams.kafka.cursors import RecordsMissing
from streams.kafka.logs import configure, note, note_failure
from streams.kafka.membership import Membership
from streams.kafka.probe import Probe, passed
from streams.kafka.producer import check_transactions
from streams.kafka.reaching import wait_for_brokers
from streams.kafka.restarts import RestartedTooOften
from streams.kafka.restore import PositionsRefused, StateLost
from streams.kafka.topics import BrokersUnreachable, Problem
from streams.kafka.transactions import check_producers
from streams.kafka.transport import IncompatibleLibrary, check_libraries
from streams.web.metrics import Metrics
from streams.web.server import Health, WebServer, WebUnavailable
from streams.wire.snapshots import SnapshotRefused
from streams.wire.warm import warm

log = logging.getLogger(__name__)

WATCH_SECONDS: Final = 5.0
"""How often the brokers are asked for something, and how long they may take: an idle worker would not miss them."""

STOP_SECONDS: Final = 10.0
"""A clean stop takes well under a second; past this the process ends as it is, and reads a little twice next time."""

SNAPSHOT_SECONDS: Final = 6.0
"""How long the last commit of a clean stop may take, with its snapshot; Kubernetes gives thirty for everything."""

EXIT_FAILED: Final = 1

WAITING_TOLD_SECONDS: Final = 30.0
"""How often the log says that the brokers are waited for; `/health/ready` says it all the time."""

EXPECTED: Final = (
    AssignmentRefused,
    BadOverrides,
    BrokersUnreachable,
    KafkaError,
    PositionsRefused,
    RecordsMissing,
    RestartedTooOften,
    SnapshotRefused,
    StateLost,
    UnknownCalendar,
    WebUnavailable,
)

# glibc: M_TRIM_THRESHOLD, M_TOP_PAD, M_MMAP_THRESHOLD and M_ARENA_MAX. A fetch of some MiB otherwise comes from fresh
# pages each time, and their page faults cost as much as everything else that the fetch does; a heap of the fetching
# thread's own holds only three such fetches, and leaves the rest of itself unused.
_MALLOPT: Final = ((-1, 512 << 20), (-2, 64 << 20), (-3, 1 << 30), (-8, 1))

SWITCH_SECONDS: Final = 0.0005
"""How long the thread that fetches waits for the other's lock: ten times less than Python's own 5 ms. While signals are
encoded it then gets round twice as often, at no cost that could be measured."""


class WorkerRefused(RuntimeError):
    """The worker cannot start; the text says what was expected, what was found and what to do."""


class Worker:
    """One worker in the running event loop.

    Args:
        config: What is configured.
        registry: Where its metrics go; a registry of its own when not given.
        probe: Is told how far commits have come; for tests that end the process there.
    """

    def __init__(self, config: Config, *, registry: CollectorRegistry | None = None, probe: Probe = passed) -> None:
        self.config = config
        self.registry = registry if registry is not None else CollectorRegistry()
        self.metrics = Metrics(self.registry, version=metadata.version("fiftytwo"))
        self.health = Health()
        self._probe = probe
        self._assembled: Assembled | None = None
        self._membership: Membership | None = None
        self._failed: asyncio.Future[None] = asyncio.get_running_loop().create_future()

    @property
    def is_ready(self) -> bool:
        """Tell whether partitions are assigned and all of them are live."""
        return not self.health.not_ready()

    async def start(self) -> None:
        """Check what is there, and start. Partitions are assigned soon after it returns; `is_ready` tells when.

        Brokers that do not answer are waited for.

        Raises:
            WorkerRefused: Topics or libraries are not as they must be.
            BrokersUnreachable: A broker does not let us in.
        """
        try:
            check_libraries()
            check_producers()
        except IncompatibleLibrary as error:
            raise WorkerRefused(str(error)) from error
        await self._check_brokers()
        # Before the group is joined: compiling takes longer than a member may be silent.
        await asyncio.to_thread(warm)
        # It takes so long that brokers may have gone meanwhile, and whoever joins a group at that moment ends.
        await self._problems()
        membership = self._membership = Membership(self.config.kafka)
        assembled = assemble(
            self.config,
            metrics=self.metrics,
            health=self.health,
            on_failure=self._fail,
            member=membership.name,
            probe=self._probe,
        )
        names = topic_checks.Topics(self.config.kafka.prefix)
        dead_letters = [names.dlq(name) for name in names.inputs]
        self.metrics.topics_known(inputs=names.inputs, outputs=[*names.outputs, names.news, *dead_letters])
        self.metrics.watch_markets(assembled.markets)
        self._assembled = assembled
        self.health.unassigned()
        await self._started(assembled)
        # What exists now stays: collections of what comes later need not look at it.
        gc.collect()
        gc.freeze()
        note(
            log,
            logging.INFO,
            "worker_started",
            application_id=self.config.kafka.application_id,
            member=membership.name,
            delivery=self.config.kafka.delivery,
        )

    async def wait(self) -> NoReturn:
        """Wait until the worker fails.

        Raises:
            Exception: What it failed with.
        """
        assert self._assembled is not None
        crashed: asyncio.Future[Any] = asyncio.ensure_future(self._assembled.app.crashed_with())
        watching = asyncio.ensure_future(self._watch_brokers(self._assembled))
        try:
            await asyncio.wait([self._failed, crashed], return_when=asyncio.FIRST_COMPLETED)
            if self._failed.done():
                self._failed.result()
            raise crashed.result()
        finally:
            crashed.cancel()
            watching.cancel()

    async def stop(self) -> None:
        """Stop cleanly: commit what has been read, leave the group, close all connections. Safe to call at any time."""
        assembled, self._assembled = self._assembled, None
        if assembled is None:
            return
        with contextlib.suppress(Exception):
            await assembled.assignment.stop(SNAPSHOT_SECONDS)
        try:
            async with asyncio.timeout(STOP_SECONDS):
                await assembled.app.stop()
        except (Exception, asyncio.CancelledError) as error:
            if isinstance(error, asyncio.CancelledError) and (task := asyncio.current_task()) and task.cancelling():
                raise
            note(log, logging.WARNING, "stop_incomplete", error=repr(error))
        if self._membership is not None:
            self._membership.release()
        gc.unfreeze()
        if self._failed.done() and not self._failed.cancelled():
            self._failed.exception()
        note(log, logging.INFO, "worker_stopped")

    async def _check_brokers(self) -> None:
        problems = await self._problems()
        fatal = [problem for problem in problems if problem.fatal]
        # What it is refused for is said once, by the refusal.
        for problem in problems:
            if not problem.fatal:
                note(log, logging.WARNING, "topic_differs", problem=str(problem))
        if fatal:
            raise WorkerRefused(_describe(fatal))
        if self.config.kafka.delivery == "exactly_once":
            seconds = self.config.commits.timeout_s
            found = await check_transactions(self.config.kafka, timeout_seconds=seconds, tell=self._waiting())
            if found:
                raise WorkerRefused(
                    f"kafka.delivery = 'exactly_once': expected brokers with transactions, found {found}"
                )

    async def _problems(self) -> list[Problem]:
        return await wait_for_brokers(lambda: topic_checks.check(self.config), self.config.kafka, tell=self._waiting())

    # Returns what tells the health page, the metrics and now and then the log what a start waits for.
    def _waiting(self) -> Callable[[str | None], None]:
        told_at = -WAITING_TOLD_SECONDS

        def tell(reason: str | None) -> None:
            nonlocal told_at
            self.health.waiting("start", reason)
            self.metrics.waiting_counted(self.health.waiting_count)
            now = time.monotonic()
            if reason is not None and now - told_at >= WAITING_TOLD_SECONDS:
                told_at = now
                note(log, logging.WARNING, "waiting_for_brokers", reason=reason)

        return tell

    # A member that the group refuses would be waited for without end.
    async def _started(self, assembled: Assembled) -> None:
        starting: asyncio.Future[Any] = asyncio.ensure_future(assembled.app.start())
        crashed: asyncio.Future[Any] = asyncio.ensure_future(assembled.app.crashed_with())
        try:
            await asyncio.wait([starting, crashed, self._failed], return_when=asyncio.FIRST_COMPLETED)
            if starting.done():
                await starting
            elif self._failed.done():
                self._failed.result()
            else:
                raise crashed.result()
        finally:
            crashed.cancel()
            if not starting.done():
                starting.cancel()
                await asyncio.wait({starting}, timeout=STOP_SECONDS)

    # Commits say by themselves that they wait; a worker that has nothing to commit finds out here.
    async def _watch_brokers(self, assembled: Assembled) -> None:
        answered = time.monotonic()
        while True:
            await asyncio.sleep(WATCH_SECONDS)
            reason: str | None = None
            try:
                async with asyncio.timeout(WATCH_SECONDS):
                    await assembled.ask_brokers()
                answered = time.monotonic()
            except (KafkaError, OSError, TimeoutError):
                reason = f"the brokers have not answered for {time.monotonic() - answered:.0f} s"
            self.health.waiting("worker", reason)
            self.metrics.waiting_counted(self.health.waiting_count)

    def _fail(self, error: BaseException) -> None:
        if not self._failed.done():
            self.health.failed(str(error))
            self._failed.set_exception(error)


def run_worker(config: Config, *, probe: Probe = passed) -> int:
    """Run a worker until it is told to stop or fails. Blocks; configures logging for the process.

    Args:
        config: What is configured.
        probe: Is told how far commits have come; for tests that end the process there.

    Returns:
        0 after SIGTERM or SIGINT, 1 after a failure, with one line on standard error that says which.
    """
    configure(config.log.level, config.log.format)
    tune_allocator()
    sys.setswitchinterval(SWITCH_SECONDS)
    return asyncio.run(_run(config, probe))


async def _run(config: Config, probe: Probe) -> int:
    loop = asyncio.get_running_loop()
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, told.set)
    worker = Worker(config, probe=probe)
    server = WebServer(worker.registry, worker.health, host=config.web.host, port=config.web.port)
    serve: asyncio.Task[None] | None = None
    try:
        await server.start()
        note(log, logging.INFO, "web_started", url=server.url)
        serve = asyncio.create_task(_serve(worker))
        stopped = asyncio.create_task(told.wait())
        await asyncio.wait({serve, stopped}, return_when=asyncio.FIRST_COMPLETED)
        stopped.cancel()
        if serve.done():
            serve.result()
        note(log, logging.INFO, "worker_stopping")
        return 0
    except Exception as error:  # noqa: BLE001 - the process's boundary: logged, and told by the exit code
        # What is wrong around us is said in one line; a bug of ours keeps its trace.
        is_bug = not isinstance(error, (WorkerRefused, *EXPECTED))
        note_failure(log, "worker_failed", error, with_trace=is_bug)
        if config.log.format == "json":
            sys.stderr.write(f"fiftytwo: {error}\n")
        return EXIT_FAILED
    finally:
        if serve is not None and not serve.done():
            serve.cancel()
            await asyncio.wait({serve})
        await worker.stop()
        await server.stop()


async def _serve(worker: Worker) -> None:
    await worker.start()
    await worker.wait()


def tune_allocator() -> None:
    """Let the C library keep large blocks for the next fetch. Only glibc knows this; elsewhere it does nothing."""
    if not sys.platform.startswith("linux"):
        return
    with contextlib.suppress(OSError, AttributeError):
        library = ctypes.CDLL(None)
        for parameter, value in _MALLOPT:
            library.mallopt(parameter, value)


def _describe(problems: list[Problem]) -> str:
    told = [str(problem) for problem in problems if not problem.is_missing]
    missing = [problem for problem in problems if problem.is_missing]
    if len(missing) == 1:
        told.insert(0, str(missing[0]))
    elif missing:
        names = ", ".join(problem.topic for problem in missing)
        told.insert(0, f"expected all topics, found {len(missing)} of them missing: {missing[0].remedy} ({names})")
    return "; ".join(told)
