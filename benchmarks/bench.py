"""Fiftytwo beside its peers: one Apache Kafka, the same ticks, one contestant after the other, every answer checked.

`make bench` runs both jobs, three rounds in turned order. `make bench-quick` runs the worker and Kafka Streams
(RocksDB, exactly_once_v2) on the 52-week job once. Each run prints a table and writes it as JSON and as a picture.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import platform
import sys
import tempfile
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from benchmarks import results
from benchmarks.answers import Breakouts, Oracle, RunningMaximum, judge
from benchmarks.broker import measured_broker
from benchmarks.contest import ContestantFailed, Timing, running
from benchmarks.contestants import BINARY, BREAKOUTS, CONTESTANTS, FULL, RUNNING_MAXIMUM, Contestant, Entry
from benchmarks.loader import PARTS, TRADES, publish
from benchmarks.outputs import make_topic, read_answers, remove_topics
from benchmarks.progress import end_in_order, other_work, say
from benchmarks.results import Result
from benchmarks.running import SIGNALS_TOPIC, TICKS_TOPIC, apply_topics, warm_up, worker_environment, worker_run
from benchmarks.stages import measure_stages, profile
from benchmarks.throughput import print_stages
from benchmarks.toolchain import Unavailable
from benchmarks.workload import MIC, SESSION_DATE, Workload
from streams.calendars import load_markets
from streams.core.sessions import Markets
from streams.core.units import format_time, parse_date
from tests.integration.apache import ApacheUnavailable

RATE_MIN: Final = 5_000  # records a second: who is slower is stopped
PREFIX: Final = "bench."
QUICK: Final = (("Fiftytwo", BREAKOUTS), ("Kafka Streams, RocksDB, exactly once", BREAKOUTS))


class Field:
    """The ticks of one job on one broker, and the right answers."""

    def __init__(self, bootstrap: str, job: str, workload: Workload, markets: Markets, partitions: int) -> None:
        self.job = job
        self.bootstrap = bootstrap
        self.partitions = partitions
        self.topic = PREFIX + TICKS_TOPIC if job == BREAKOUTS else f"{job}.{workload.first or workload.ticks}"
        self.oracle: Oracle = Breakouts(SESSION_DATE) if job == BREAKOUTS else RunningMaximum()
        self.session = _session(markets)
        self.environment = worker_environment(bootstrap, partitions, KAFKA_PREFIX=PREFIX)
        if job == BREAKOUTS:
            apply_topics(self.environment)
        else:
            make_topic(bootstrap, self.topic, partitions)
        self.published = asyncio.run(
            publish(
                bootstrap,
                self.topic,
                partitions,
                workload,
                markets,
                say,
                parts=PARTS if job == BREAKOUTS else [TRADES],
                observe=self.oracle.observe,
            )
        )

    def close(self) -> None:
        """Remove the topics."""
        remove_topics(self.bootstrap, lambda name: name == self.topic or name.startswith(PREFIX))

    def run(self, contestant: Contestant, number: int) -> Result:
        """Let one contestant run, and compare what it said with the oracle."""
        try:
            with self._started(contestant, f"{number}-{time.time_ns()}") as (timing, topics):
                expected = self.oracle.expected
                answers = read_answers(self.bootstrap, topics, self.oracle.read, at_least=len(expected))
            return results.measured(contestant, number, timing, judge(expected, answers))
        except Unavailable as missing:
            return results.not_run(contestant, number, str(missing), is_missing=True)
        except ContestantFailed as failed:
            return results.not_run(contestant, number, str(failed))

    @contextmanager
    def _started(self, contestant: Contestant, mark: str) -> Iterator[tuple[Timing, list[str]]]:
        cores = {(os.cpu_count() or 1) - 1} if contestant.one_core else None
        if contestant.command is None:
            with self._worker(contestant, mark, cores or set()) as timing:
                yield timing, [PREFIX + SIGNALS_TOPIC]
            return
        output = f"out.{mark}"
        make_topic(self.bootstrap, output, self.partitions)
        with tempfile.TemporaryDirectory(prefix="fiftytwo-bench-") as folder:
            entry = Entry(
                bootstrap=self.bootstrap,
                topic=self.topic,
                output=output,
                group=f"group-{mark}",
                folder=Path(folder),
                partitions=self.partitions,
                history=sum(self.published.history),
                records=self.published.records,
                session=self.session,
            )
            command, environment = contestant.command(entry)
            seconds_max = 120 + entry.records / RATE_MIN
            try:
                with running(command, environment, seconds_max=seconds_max, cores=cores) as timing:
                    yield timing, [output]
            finally:
                remove_topics(self.bootstrap, lambda name: mark in name)

    # Every run of the worker is a new application on empty output topics.
    @contextmanager
    def _worker(self, contestant: Contestant, mark: str, cores: set[int]) -> Iterator[Timing]:
        remove_topics(self.bootstrap, lambda name: name.startswith(PREFIX) and name != self.topic)
        apply_topics(self.environment)
        settings = dict(contestant.settings) | {"KAFKA_PREFIX": PREFIX, "KAFKA_APPLICATION_ID": f"bench-{mark}"}
        environment = worker_environment(self.bootstrap, self.partitions, **settings)
        started = time.monotonic()
        try:
            with worker_run(environment, self.published, say, cores=cores) as run:
                if run.records == 0:
                    raise RuntimeError("expected a session that takes a while, found its end at once: use more --ticks")
                startup = time.monotonic() - started - run.wall_seconds
                if run.rejected:
                    raise RuntimeError(f"expected every tick to be good, found {run.rejected:,} refused")
                spent = (run.wall_seconds, run.cpu_seconds, run.memory_bytes_max, startup, run.fold_cpu_seconds)
                yield Timing(run.records, *spent)
        except RuntimeError as failed:
            raise ContestantFailed(str(failed)) from failed


def main() -> int:
    """Run the comparison that the command line asks for."""
    options = _options()
    end_in_order()
    chosen = [contestant for contestant in CONTESTANTS if _is_chosen(contestant, options)]
    if not chosen:
        print("expected a contestant with such a name, found none; the names are:", file=sys.stderr)
        print("\n".join(sorted({contestant.name for contestant in CONTESTANTS})), file=sys.stderr)
        return 2
    markets = load_markets([MIC])
    machine = f"{platform.machine()}, {os.cpu_count()} cores shared by broker and contestant{other_work()}"
    print(f"{platform.platform()}, Python {platform.python_version()}, {machine}", flush=True)
    found = results.load(options.json, options.ticks, options.instruments) if options.resume else []

    def report_on(runs: Sequence[Result]) -> dict[str, Any]:
        return results.summary(runs, chosen, options.ticks, options.instruments, machine)

    warm_up()
    try:
        with measured_broker() as broker:
            for result in _compete(broker.bootstrap, chosen, options, markets, found):
                print(results.line(result), flush=True)
                # After every run, so that a run that is ended early can be resumed.
                found.append(result)
                results.write(report_on(found), options.json, options.chart)
    except ApacheUnavailable as missing:
        print(missing, file=sys.stderr)
        return 1
    report = report_on(found)
    print(results.table(report))
    if not options.quick and (cost := results.worker_cost(found)) is not None:
        workload = Workload(instruments=options.instruments, ticks=options.ticks, seed=options.seed)
        stages = measure_stages(workload, markets, say)
        print_stages(stages, cost)
        report["profile"] = profile(stages, cost)
        results.write(report, options.json, options.chart)
    print("\n".join(["", *results.targets(report)]))
    print(f"\nwritten: {options.json}, {options.chart}")
    if options.quick:
        print(results.closing_line(report))
    # What is not installed is said and excused, but for one of the two that a quick run compares.
    return 0 if all(row["correct"] or (row["is_missing"] and not options.quick) for row in report["rows"]) else 1


def _compete(
    bootstrap: str,
    chosen: Sequence[Contestant],
    options: argparse.Namespace,
    markets: Markets,
    found: Sequence[Result],
) -> Iterator[Result]:
    done = {(result.name, result.job, result.number) for result in found}
    for job in (BREAKOUTS, RUNNING_MAXIMUM):
        fields: dict[tuple[str, int], list[Contestant]] = {}
        for contestant in chosen:
            if contestant.job == job:
                ticks = min(contestant.ticks_max or options.ticks, options.ticks)
                fields.setdefault((contestant.shape, ticks), []).append(contestant)
        for (shape, ticks), group in fields.items():
            is_full, is_binary = shape == FULL, shape == BINARY
            workload = Workload(
                instruments=options.instruments,
                ticks=options.ticks,
                first=ticks if ticks < options.ticks else 0,
                full=is_full,
                binary=is_binary,
                seed=options.seed,
            )
            order = [entry for entry in _turned(group, options.rounds) if (entry[0].name, job, entry[1]) not in done]
            if not order:
                continue
            field = Field(bootstrap, job, workload, markets, options.partitions)
            try:
                for contestant, number in order:
                    say(f"round {number + 1} of {options.rounds}: {contestant.name}, {job}")
                    yield field.run(contestant, number)
            finally:
                field.close()


# Turned by one each round, so that nobody always runs first, on a broker that is still compiling.
def _turned(entries: Sequence[Contestant], rounds: int) -> Iterator[tuple[Contestant, int]]:
    for number in range(rounds):
        turn = number % len(entries)
        yield from ((contestant, number) for contestant in [*entries[turn:], *entries[:turn]])


def _is_chosen(contestant: Contestant, options: argparse.Namespace) -> bool:
    if options.quick:
        return (contestant.name, contestant.job) in QUICK
    names: Callable[[str], bool] = lambda name: name.lower() in contestant.name.lower()  # noqa: E731  used once
    return (not options.only or any(map(names, options.only))) and contestant.job in options.jobs


def _session(markets: Markets) -> tuple[str, str, str]:
    session = markets.session_on(MIC, parse_date(SESSION_DATE))
    assert session is not None, f"expected {SESSION_DATE} to be a session of {MIC}"
    return SESSION_DATE, format_time(int(session["open_ns"])), format_time(int(session["close_ns"]))


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.bench", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--quick", action="store_true", help="the worker and Kafka Streams exactly once, 52-week job")
    parser.add_argument("--rounds", type=int, default=0, help="3, or 1 with --quick")
    parser.add_argument("--ticks", type=int, default=12_000_000)
    parser.add_argument("--instruments", type=int, default=2_000)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--seed", type=int, default=42)
    parser.add_argument("--jobs", nargs="*", default=[BREAKOUTS, RUNNING_MAXIMUM], help="52-week, running-maximum")
    parser.add_argument("--only", nargs="*", default=[], metavar="NAME", help="contestants whose name contains this")
    parser.add_argument("--resume", action="store_true", help="keep the runs that --json holds, and do the rest")
    parser.add_argument("--json", type=Path, help=".cache/bench/bench.json, or quick.json with --quick")
    parser.add_argument("--chart", type=Path, help="beside it, .svg")
    options = parser.parse_args()
    # A comparison of two must not take the place of one of all.
    options.json = options.json or Path(".cache/bench", "quick.json" if options.quick else "bench.json")
    options.chart = options.chart or options.json.with_suffix(".svg")
    options.rounds = options.rounds or (1 if options.quick else 3)
    return options


if __name__ == "__main__":
    sys.exit(main())
