"""The runner of a partition: contiguous reading, back-pressure, and commits at the right moment."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine, Mapping, Set
from importlib import metadata
from typing import Any

import pytest
from aiokafka.errors import CommitFailedError
from prometheus_client import CollectorRegistry

from streams.config import Commits
from streams.kafka.cursors import GAPS_MAX, RecordsMissing
from streams.kafka.effects import Effects, Output
from streams.kafka.fetched import Fetched
from streams.kafka.memory import OutputBudget
from streams.kafka.pacing import CommitPace
from streams.kafka.partition import Runtime
from streams.kafka.runner import SETS_MAX, PartitionRunner
from streams.web.metrics import Metrics

SECONDS_MAX = 10.0


class FakeRuntime:
    """Reads one topic; every record whose offset is a multiple of ten causes an output."""

    partition = 0
    topics: tuple[str, ...] = ("t",)
    is_live = True

    def __init__(self) -> None:
        self.at = 0

    def position(self, topic: str) -> int:
        """Return the next offset."""
        return self.at

    def wants(self, topic: str) -> bool:
        """Want everything."""
        return True

    def choose(self, held: Set[str], behind: Set[str]) -> str | None:
        """Choose the only topic."""
        return next(iter(held), None)

    def read(self, fetched: Fetched) -> Effects:
        """Note the offsets and write the tens."""
        offsets = range(self.at, fetched.next_offset)
        self.at = fetched.next_offset
        outputs = [Output("out", 0, None, b"%d" % offset, []) for offset in offsets if offset % 10 == 0]
        return Effects(outputs, {("t", 0): self.at}, records=len(offsets))

    def totals(self) -> Mapping[str, int]:
        """Count nothing."""
        return {}

    windows = open_breakouts = totals


class FakeReader:
    """Remembers what it was told."""

    def __init__(self) -> None:
        self.held: set[str] = set()
        self.sought: list[int] = []

    def hold(self, topic: str, partition: int) -> None:
        """Hold."""
        self.held.add(topic)

    def release(self, topic: str, partition: int) -> None:
        """Release."""
        self.held.discard(topic)

    def seek(self, topic: str, partition: int, offset: int) -> None:
        """Seek."""
        self.sought.append(offset)


class FakeCommitter:
    """Remembers what was committed; can be held back, and can fail."""

    state_end: int | None = None

    def __init__(self) -> None:
        self.commits: list[Effects] = []
        self.open = asyncio.Event()
        self.open.set()
        self.error: Exception | None = None

    async def commit(self, effects: Effects) -> None:
        """Commit when it is let."""
        await self.open.wait()
        if self.error is not None:
            raise self.error
        self.commits.append(effects)

    async def start(self) -> None:
        """Start."""

    async def close(self, *, finished: bool) -> None:
        """Close."""


class FakeState:
    """Writes one record a commit, another when it is the last."""

    def read(self, records: int) -> None:
        """Note nothing."""

    async def prepare(self) -> None:
        """Prepare nothing."""

    def records(self, *, final: bool) -> list[Output]:
        """Return the position's record."""
        return [Output("state", 0, b"final" if final else b"now", b"", [])]

    def committed(self) -> None:
        """Note nothing."""


class Bench:
    """A runner with fakes around it."""

    def __init__(
        self, settings: Commits | None = None, budget: OutputBudget | None = None, pace: CommitPace | None = None
    ) -> None:
        self.budget = budget or OutputBudget()
        self.pace = pace or CommitPace((settings or Commits()).share_max)
        self.runtime, self.reader, self.committer = FakeRuntime(), FakeReader(), FakeCommitter()
        self.live: list[Runtime] = []
        self.stalls: list[float | None] = []
        self.settings = settings or Commits()
        self.tasks: list[asyncio.Task[None]] = []
        self.runner = self.begun_at(0)

    @property
    def task(self) -> asyncio.Task[None]:
        """Return the newest runner's task."""
        return self.tasks[-1]

    def begun_at(self, offset: int) -> PartitionRunner:
        """Return a runner whose state knows what is before an offset, and run it."""
        for task in self.tasks:
            task.cancel()
        self.runtime.at = offset
        runner = PartitionRunner(
            self.runtime,
            ends={"t": offset},
            reader=self.reader,
            committer=self.committer,
            metrics=Metrics(CollectorRegistry(), version=metadata.version("fiftytwo")),
            settings=self.settings,
            pace=self.pace,
            budget=self.budget,
            state=FakeState(),
            on_live=self.live.append,
            on_stall=self.stalls.append,
        )
        self.tasks.append(asyncio.create_task(runner.run()))
        return runner

    def offer(self, first: int, last: int) -> None:
        """Offer the records from `first` to before `last`."""
        self.runner.offer(Fetched("t", 0, first, last, last, b""))

    async def has_read(self, offset: int) -> None:
        """Let the runner run until it has read up to an offset."""
        await self.until(lambda: self.runtime.at == offset)

    async def until(self, holds: Callable[[], bool]) -> None:
        """Let the runner run until a condition holds."""
        async with asyncio.timeout(SECONDS_MAX):
            while not holds():
                await asyncio.sleep(0.001)


def on_bench(work: Callable[[Bench], Coroutine[Any, Any, None]]) -> None:
    """Run a test's coroutine with a bench."""

    async def with_bench() -> None:
        bench = Bench()
        try:
            await work(bench)
        finally:
            bench.task.cancel()
            await asyncio.wait({bench.task})

    asyncio.run(with_bench())


def test_outputs_are_committed_at_once_and_positions_soon() -> None:
    """A commit carries what was read before it; positions without outputs follow within a second."""

    async def work(bench: Bench) -> None:
        bench.offer(0, 5)
        await bench.until(lambda: len(bench.committer.commits) == 1)
        bench.offer(5, 9)
        await bench.until(lambda: len(bench.committer.commits) == 2)

        first, second = bench.committer.commits
        assert [output.value for output in first.outputs] == [b"0"]
        assert first.positions == {("t", 0): 5}
        assert (second.outputs, second.positions) == ([], {("t", 0): 9})
        assert bench.live == [bench.runtime]
        assert [output.key for output in first.state] == [b"now"]

    on_bench(work)


def test_reading_goes_on_while_a_commit_is_in_flight() -> None:
    """One commit at a time; the next carries everything that was read meanwhile."""

    async def work(bench: Bench) -> None:
        bench.committer.open.clear()
        for first in range(0, 50, 10):
            bench.offer(first, first + 10)
            await bench.has_read(first + 10)
        assert bench.committer.commits == []

        bench.committer.open.set()
        await bench.until(lambda: len(bench.committer.commits) == 2)

        assert [len(commit.outputs) for commit in bench.committer.commits] == [1, 4]
        assert bench.committer.commits[-1].positions == {("t", 0): 50}

    on_bench(work)


def test_what_is_known_is_dropped_and_what_overlaps_is_used() -> None:
    """Offsets decide: a set that was fetched twice is read once."""

    async def work(bench: Bench) -> None:
        bench.offer(0, 10)
        bench.offer(12, 20)
        bench.offer(10, 15)
        bench.offer(10, 15)
        bench.offer(12, 20)
        await bench.until(lambda: bench.runtime.at == 20)

        assert bench.reader.sought == [10]

    on_bench(work)


def test_gap_sends_the_reader_back_and_ends_the_partition_when_it_stays() -> None:
    """Records that are missing are asked for again; when the log no longer has them, the worker says so and stops."""

    async def work(bench: Bench) -> None:
        bench.offer(0, 5)
        bench.offer(8, 12)
        assert bench.reader.sought == [5]
        bench.offer(5, 12)
        await bench.until(lambda: bench.runtime.at == 12)

        for _ in range(GAPS_MAX + 1):
            bench.offer(20, 30)
        with pytest.raises(RecordsMissing, match="to hold offset 12, found 20 as its oldest"):
            await asyncio.wait_for(asyncio.shield(bench.task), SECONDS_MAX)

    on_bench(work)


def test_log_that_is_read_again_from_before_is_a_doubt() -> None:
    """Brokers that lost a log reset its readers; new records at old offsets must not look like known ones."""

    async def work(bench: Bench) -> None:
        bench.offer(0, 12)
        await bench.has_read(12)

        bench.offer(0, 3)

        with pytest.raises(RecordsMissing, match="to go on from offset 12, found it read again from 0"):
            await asyncio.wait_for(asyncio.shield(bench.task), SECONDS_MAX)

    on_bench(work)


def test_log_that_has_outgrown_what_it_lost_is_a_doubt_too() -> None:
    """A set that reaches from before the expected offset past it is taken only while the reader is being sent."""

    async def work(bench: Bench) -> None:
        bench.offer(0, 12)
        await bench.has_read(12)

        bench.offer(0, 30)

        with pytest.raises(RecordsMissing, match="found it read again from 0, with its end at 30"):
            await asyncio.wait_for(asyncio.shield(bench.task), SECONDS_MAX)
        assert bench.runtime.at == 12

    on_bench(work)


def test_log_that_ends_before_the_position_is_asked_again_before_it_is_doubted() -> None:
    """At the beginning a set may still come that was fetched for the owner before: only a log that stays so counts."""

    async def work(bench: Bench) -> None:
        bench.runner = bench.begun_at(20)
        bench.offer(0, 5)
        bench.offer(5, 9)
        assert bench.reader.sought == [20]
        bench.offer(20, 30)
        await bench.has_read(30)

        bench.runner = bench.begun_at(40)
        for _ in range(GAPS_MAX + 1):
            bench.offer(0, 5)

        with pytest.raises(RecordsMissing, match="to go on from offset 40"):
            await asyncio.wait_for(asyncio.shield(bench.task), SECONDS_MAX)

    on_bench(work)


def test_topic_is_held_back_while_enough_is_at_hand() -> None:
    """Back-pressure is a topic of one partition that is not fetched, until there is room."""

    async def work(bench: Bench) -> None:
        for number in range(SETS_MAX):
            bench.offer(number, number + 1)
        assert bench.reader.held == {"t"}

        await bench.until(lambda: bench.runtime.at == SETS_MAX)
        assert bench.reader.held == set()

    on_bench(work)


def test_stop_commits_what_was_read() -> None:
    """A partition that is handed on leaves nothing behind, and takes nothing more."""

    async def work(bench: Bench) -> None:
        bench.committer.open.clear()
        bench.offer(0, 5)
        bench.offer(5, 11)
        await bench.until(lambda: bench.runtime.at == 11)
        bench.committer.open.set()

        await bench.runner.stop(SECONDS_MAX)
        bench.offer(11, 20)

        await asyncio.wait_for(bench.task, SECONDS_MAX)
        assert bench.runner.is_clean
        assert bench.committer.commits[-1].positions == {("t", 0): 11}
        assert bench.runtime.at == 11

    on_bench(work)


def test_commit_after_a_rebalance_drops_the_partition_quietly() -> None:
    """When the group has moved on, the worker lives; the partition is rebuilt from what was committed."""

    async def work(bench: Bench) -> None:
        bench.committer.error = CommitFailedError("rebalanced")
        bench.offer(0, 5)

        await asyncio.wait_for(bench.task, SECONDS_MAX)
        await bench.runner.stop(SECONDS_MAX)

        assert not bench.runner.is_clean

    on_bench(work)


def test_refused_output_ends_the_partition_loudly() -> None:
    """Any other failure of a commit is raised: nothing is passed that was not written."""

    async def work(bench: Bench) -> None:
        bench.committer.error = ValueError("refused")
        bench.offer(0, 5)

        with pytest.raises(ValueError, match="refused"):
            await asyncio.wait_for(asyncio.shield(bench.task), SECONDS_MAX)

    on_bench(work)


def test_outputs_wait_for_company_while_commits_have_had_their_share() -> None:
    """Without a share left, outputs wait while there is something to read, and no longer than their delay."""

    async def work() -> None:
        bench = Bench(Commits(share_max=0.0, delay_ms=10_000))
        try:
            bench.offer(0, 10)
            bench.offer(10, 20)
            await bench.until(lambda: len(bench.committer.commits) == 1)

            assert bench.committer.commits[0].positions == {("t", 0): 20}
            assert len(bench.committer.commits[0].outputs) == 2
        finally:
            bench.task.cancel()
            await asyncio.wait({bench.task})

    asyncio.run(work())


def test_last_commit_of_a_worker_carries_its_state_even_without_outputs() -> None:
    """A clean stop writes a snapshot where it ends; handing a partition on does not."""

    async def work(bench: Bench) -> None:
        bench.offer(0, 5)
        await bench.until(lambda: len(bench.committer.commits) == 1)

        await bench.runner.stop(SECONDS_MAX, final=True)
        await asyncio.wait_for(bench.task, SECONDS_MAX)

        assert [output.key for output in bench.committer.commits[-1].state] == [b"final"]
        assert bench.runner.is_clean

    on_bench(work)


def test_commit_that_does_not_end_is_told_and_dropped_when_the_partition_moves() -> None:
    """A stalled commit is worth a word; a partition that moves on does not wait for it."""

    async def work(bench: Bench) -> None:
        bench.committer.open.clear()
        bench.offer(0, 5)
        await bench.until(lambda: any(bench.stalls))

        await bench.runner.stop(0.05)
        await asyncio.wait_for(bench.task, SECONDS_MAX)

        assert not bench.runner.is_clean
        assert bench.committer.commits == []

    on_bench(work)


def test_partitions_share_what_outputs_may_hold() -> None:
    """One whose outputs wait stops reading when the budget is spent by others; one without outputs never does."""

    async def work() -> None:
        # An output is two or three bytes here: ten of one partition are all there is.
        budget = OutputBudget(20)
        greedy, modest = Bench(budget=budget), Bench(budget=budget)
        try:
            for bench in (greedy, modest):
                bench.committer.open.clear()
            greedy.offer(0, 110)
            await greedy.has_read(110)
            # What is under way counts, but whose outbox is empty reads on.
            modest.offer(0, 5)
            await modest.until(lambda: modest.runner._bytes_under_way > 0)
            modest.offer(5, 35)
            await modest.has_read(35)
            modest.offer(35, 40)
            await modest.until(lambda: not modest.runner._wake.is_set())
            assert modest.runtime.at == 35

            greedy.committer.open.set()
            modest.committer.open.set()
            await modest.has_read(40)
        finally:
            for bench in (greedy, modest):
                bench.task.cancel()
            await asyncio.wait({greedy.task, modest.task})

    asyncio.run(work())
