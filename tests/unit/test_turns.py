"""Partitions of one worker share its loop: they take turns, and none waits for another's commit."""

from __future__ import annotations

import asyncio

from streams.kafka.effects import Effects
from streams.kafka.fetched import Fetched
from streams.kafka.pacing import CommitPace
from tests.unit.test_runner import Bench, FakeRuntime


def test_one_partition_reads_in_a_turn_of_the_loop() -> None:
    """However many have something to read, a commit of any of them gets its next step after one read."""

    async def work() -> None:
        turns, read_in = 0, list[int]()

        async def count() -> None:
            nonlocal turns
            while True:
                await asyncio.sleep(0)
                turns += 1

        class Noting(FakeRuntime):
            def read(self, fetched: Fetched) -> Effects:
                read_in.append(turns)
                return super().read(fetched)

        pace = CommitPace(0.1)
        benches = [Bench(pace=pace) for _ in range(3)]
        counting = asyncio.create_task(count())
        try:
            for bench in benches:
                bench.runtime.__class__ = Noting
                bench.offer(0, 5)
                bench.offer(5, 9)
            for bench in benches:
                await bench.has_read(9)
        finally:
            for task in (counting, *(bench.task for bench in benches)):
                task.cancel()
            await asyncio.wait({counting, *(bench.task for bench in benches)})

        assert len(set(read_in)) == len(read_in) == 6

    asyncio.run(work())


def test_commit_that_hangs_stops_no_other_partition() -> None:
    """One leader that is away holds up its own partition; the others read and commit on."""

    async def work() -> None:
        pace = CommitPace(0.1)
        hanging, other = Bench(pace=pace), Bench(pace=pace)
        hanging.committer.open.clear()
        hanging.offer(0, 5)
        await hanging.until(lambda: hanging.runner._commit is not None)
        began = asyncio.get_running_loop().time()
        at = 0
        # For longer than any commit takes that is well.
        while asyncio.get_running_loop().time() < began + 1.0:
            other.offer(at, at + 10)
            await other.has_read(at + 10)
            at += 10
        assert at > 200
        assert len(other.committer.commits) > 1
        assert hanging.committer.commits == []
        for bench in (hanging, other):
            bench.task.cancel()
        await asyncio.wait({hanging.task, other.task})

    asyncio.run(work())
