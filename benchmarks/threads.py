"""Whether one process with a thread for each partition does more than one process each: `python -m benchmarks.threads`.

Compiled code runs without Python's lock, so two engines could fold in two threads. Each way decodes and folds the same
fetches of a session, once an engine; the ways take turns, and the median of their rates is printed.
"""

from __future__ import annotations

import argparse
import multiprocessing
import os
import statistics
import sys
import threading
import time
from collections.abc import Callable, Sequence
from multiprocessing.synchronize import Barrier
from typing import Any, Final

from benchmarks.progress import other_work
from benchmarks.stages import log_of, session_fetches
from benchmarks.workload import MIC, Workload, bars
from streams.calendars import load_markets
from streams.core.engine import Engine
from streams.core.rules import Rules
from streams.wire.batches import read_batches
from streams.wire.ticks import TickDecoder

ENGINES: Final = 2
WAIT_SECONDS_MAX: Final = 600.0


class Folding:
    """One engine that has read the history, and the fetches of the session that it is about to read."""

    def __init__(self, workload: Workload) -> None:
        markets = load_markets([MIC])
        self._engine = Engine(markets, Rules())
        self._decoder = TickDecoder(self._engine.instruments)
        for chunk in bars(workload, markets):
            self._feed(log_of(list(zip(chunk.keys, chunk.values, strict=True))))
        self._fetches = list(session_fetches(workload, markets))

    def run(self) -> None:
        """Read the session."""
        for fetch in self._fetches:
            self._feed(fetch)

    def _feed(self, data: bytes) -> None:
        decoded = self._decoder.decode(read_batches(data))
        self._engine.fold(decoded.records, decoded.bars, decoded.buffer, decoded.details)


def one_engine(workload: Workload) -> float:
    """Return the wall seconds of one engine in one thread."""
    return _timed([Folding(workload).run])


def threads(workload: Workload) -> float:
    """Return the wall seconds of an engine a thread, all in this process."""
    return _timed([Folding(workload).run for _ in range(ENGINES)])


def processes(workload: Workload) -> float:
    """Return the wall seconds of an engine a process."""
    context = multiprocessing.get_context("spawn")
    barrier = context.Barrier(ENGINES + 1)
    started = [context.Process(target=_one_process, args=(workload, barrier)) for _ in range(ENGINES)]
    for process in started:
        process.start()
    barrier.wait(WAIT_SECONDS_MAX)
    begun = time.perf_counter()
    barrier.wait(WAIT_SECONDS_MAX)
    seconds = time.perf_counter() - begun
    for process in started:
        process.join()
    return seconds


def main() -> int:
    """Let the three ways take turns."""
    options = _options()
    workload = Workload(instruments=options.instruments, ticks=options.ticks, history_sessions=options.sessions)
    ways: Sequence[tuple[str, int, Callable[[Workload], float]]] = (
        ("one engine", 1, one_engine),
        ("two threads, an engine each", ENGINES, threads),
        ("two processes, an engine each", ENGINES, processes),
    )
    print(f"{os.cpu_count()} cores{other_work()}; decoding and folding {options.ticks:,} ticks an engine", flush=True)
    rates: dict[str, list[float]] = {name: [] for name, _, _ in ways}
    for _ in range(options.rounds):
        for name, engines, way in ways:
            rates[name].append(engines * options.ticks / way(workload))
    first = statistics.median(rates["one engine"])
    for name, some in rates.items():
        median = statistics.median(some)
        print(f"  {name:<32} {median:>12,.0f} ticks/s together, {median / first:.2f} times one engine")
    return 0


def _timed(work: Sequence[Callable[[], Any]]) -> float:
    running = [threading.Thread(target=one) for one in work]
    begun = time.perf_counter()
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()
    return time.perf_counter() - begun


def _one_process(workload: Workload, barrier: Barrier) -> None:
    folding = Folding(workload)
    barrier.wait(WAIT_SECONDS_MAX)
    folding.run()
    barrier.wait(WAIT_SECONDS_MAX)


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.threads", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--ticks", type=int, default=1_000_000)
    parser.add_argument("--instruments", type=int, default=2_000)
    parser.add_argument("--sessions", type=int, default=20, help="daily bars of each instrument")
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
