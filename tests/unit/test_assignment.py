"""The worker's partitions, seen from outside: what health and metrics say while the group moves them."""

from __future__ import annotations

import asyncio
import contextlib
from collections.abc import Iterable, Mapping, Set
from dataclasses import replace
from importlib import metadata
from typing import Any, cast

import pytest
from faust.types import TP
from prometheus_client import CollectorRegistry

from streams.config import Commits, Config, Kafka
from streams.kafka.app import transactional_id
from streams.kafka.assignment import Assignment
from streams.kafka.cursors import RecordsMissing
from streams.kafka.effects import Effects, Place
from streams.kafka.fetched import Fetched
from streams.kafka.owner import Ports, Restored, Seat
from streams.kafka.pacing import CommitPace
from streams.kafka.restarts import RestartedTooOften
from streams.kafka.restore import Bounds
from streams.kafka.runner import State
from streams.kafka.topics import Topics
from streams.web.metrics import Metrics
from streams.web.server import Health
from streams.wire.positions import STATE

TOPICS = Topics()
SECONDS_MAX = 10.0
SEAT = Seat(STATE, 0, (TOPICS.news, TOPICS.ticks))
ASSIGNED = frozenset({TP(TOPICS.ticks, 0), TP(TOPICS.news, 0)})


class FakeConsumer:
    """Holds and releases nothing, and knows no offsets."""

    def hold(self, tp: Place) -> None:
        """Hold."""

    def release(self, tp: Place) -> None:
        """Release."""

    async def seek_all(self, positions: Mapping[Any, int]) -> None:
        """Seek."""

    async def committed(self, partitions: Iterable[Any]) -> dict[Any, int | None]:
        """Return no offset."""
        return dict.fromkeys(partitions)

    async def bounds(self, partitions: Iterable[Any]) -> dict[Any, tuple[int, int]]:
        """Return empty logs."""
        return dict.fromkeys(partitions, (0, 0))


class FakeCommitter:
    """Never begins: the brokers do not answer it."""

    state_end: int | None = None

    async def start(self) -> None:
        """Wait for ever."""
        await asyncio.Event().wait()

    async def commit(self, effects: Effects) -> None:
        """Commit."""

    async def close(self, *, finished: bool) -> None:
        """Close."""


class StartingCommitter(FakeCommitter):
    """Begins at once."""

    async def start(self) -> None:
        """Start."""


class FakeGap:
    """Finds a log that lacks what the state needs."""

    topic = TOPICS.state

    async def restore(self, seat: Seat, group: Mapping[str, int | None], bounds: Bounds) -> Restored:
        """Say so."""
        raise RecordsMissing("expected offset 5, found 8")


class FakeRestorer:
    """Is never asked, because the committer never begins."""

    topic = TOPICS.state

    async def restore(self, seat: Seat, group: Mapping[str, int | None], bounds: Bounds) -> Restored:
        """Restore nothing."""
        raise AssertionError("expected a committer first")


class DeafRestorer:
    """Takes the first cancellation for its own, as a client does that is being closed, and goes on."""

    topic = TOPICS.state

    def __init__(self, *, ends: bool) -> None:
        self._ends = ends
        self.begun = asyncio.Event()

    async def restore(self, seat: Seat, group: Mapping[str, int | None], bounds: Bounds) -> Restored:
        """Go on after the cancellation: to the end, or without one."""
        self.begun.set()
        with contextlib.suppress(asyncio.CancelledError):
            await asyncio.Event().wait()
        if not self._ends:
            await asyncio.Event().wait()
        return Restored(FakeRuntime(), cast(State, None))


class FakeRuntime:
    """Stands at the beginning, live."""

    partition = 0
    topics = SEAT.topics
    is_live = True

    def position(self, topic: str) -> int:
        """Return the beginning."""
        return 0

    def wants(self, topic: str) -> bool:
        """Want everything."""
        return True

    def choose(self, held: Set[str], behind: Set[str]) -> str | None:
        """Choose nothing."""
        return None

    def read(self, fetched: Fetched) -> Effects:
        """Read nothing."""
        return Effects()

    def totals(self) -> Mapping[str, int]:
        """Count nothing."""
        return {}

    windows = open_breakouts = totals


def test_revoked_partitions_are_neither_live_nor_ready() -> None:
    """From the revocation to the next assignment the worker reads nothing, and both pages say so."""
    registry, health = CollectorRegistry(), Health()
    said: list[tuple[float | None, list[str]]] = []

    def note() -> None:
        said.append((registry.get_sample_value("fiftytwo_partitions", {"state": "live"}), health.not_ready()))

    async def rebalance() -> None:
        metrics = Metrics(registry, version=metadata.version("fiftytwo"))
        assignment = Assignment(TOPICS, metrics=metrics, health=health, on_failure=lambda error: None)
        settings = Commits()
        ports = Ports(
            consumer=FakeConsumer(),
            committer=lambda seat: FakeCommitter(),
            restorer=FakeRestorer(),
            settings=settings,
            pace=CommitPace(settings.share_max),
            metrics=metrics,
        )
        assignment.connect(ports)
        await assignment.assign(ASSIGNED)
        assignment.events.live(SEAT, FakeRuntime())
        note()
        await assignment.revoke()
        note()
        await assignment.assign(ASSIGNED)
        assignment.events.live(SEAT, FakeRuntime())
        note()
        await assignment.stop(1.0)
        note()

    asyncio.run(rebalance())

    unassigned = ["the group has not assigned partitions yet"]
    assert said == [(1.0, []), (0.0, unassigned), (1.0, []), (0.0, unassigned)]


def test_restarts_are_counted_through_all_assignments() -> None:
    """Two workers that take a partition from each other have it assigned anew each time; that is too often as well."""

    async def take_turns() -> tuple[int, BaseException]:
        metrics = Metrics(CollectorRegistry(), version=metadata.version("fiftytwo"))
        failed: asyncio.Future[BaseException] = asyncio.get_running_loop().create_future()
        assignment = Assignment(TOPICS, metrics=metrics, health=Health(), on_failure=failed.set_result)
        begun: asyncio.Queue[str] = asyncio.Queue()
        settings = Commits()
        ports = Ports(
            consumer=FakeConsumer(),
            committer=lambda seat: StartingCommitter(),
            restorer=FakeGap(),
            settings=settings,
            pace=CommitPace(settings.share_max),
            metrics=metrics,
            events=replace(assignment.events, restarted=lambda seat, reason: begun.put_nowait(reason)),
        )
        assignment.connect(ports)
        rounds = 0
        async with asyncio.timeout(SECONDS_MAX):
            while not failed.done():
                await assignment.assign(ASSIGNED)
                assert await begun.get() == "records_missing"
                rounds += 1
                await asyncio.sleep(0)
                await assignment.revoke()
        return rounds, failed.result()

    rounds, error = asyncio.run(take_turns())

    assert rounds == Commits().restarts_max
    assert isinstance(error, RestartedTooOften)


def test_transactions_of_another_prefix_have_other_names() -> None:
    """Two set-ups on one Kafka must not fence each other."""
    live, replayed = Config(), Config(kafka=Kafka(prefix="replay."))

    assert transactional_id(live.kafka.group, SEAT) == "fiftytwo-state-0"
    assert transactional_id(replayed.kafka.group, SEAT) == "replay.fiftytwo-state-0"


@pytest.mark.parametrize("ends", [True, False])
def test_partition_that_is_taken_away_while_it_restores_always_ends(*, ends: bool) -> None:
    """A cancellation that is lost on the way is repeated, and what was restored after it is not run."""

    async def work() -> None:
        metrics = Metrics(CollectorRegistry(), version=metadata.version("fiftytwo"))
        assignment = Assignment(TOPICS, metrics=metrics, health=Health(), on_failure=lambda error: None)
        restorer = DeafRestorer(ends=ends)
        settings = Commits()
        ports = Ports(
            consumer=FakeConsumer(),
            committer=lambda seat: StartingCommitter(),
            restorer=restorer,
            settings=settings,
            pace=CommitPace(settings.share_max),
            metrics=metrics,
        )
        assignment.connect(ports)
        await assignment.assign(ASSIGNED)
        await restorer.begun.wait()

        await asyncio.wait_for(assignment.revoke(), SECONDS_MAX)

    asyncio.run(work())
