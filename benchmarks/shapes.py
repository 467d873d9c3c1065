"""How the cost of a tick grows: one direction at a time, the worker on a real Apache Kafka, held to one core.

A worker reads the history and ends in good order; the next one starts from its snapshots and reads the session alone.
The figure is CPU time of the worker a tick, because it holds on a busy machine too. It begins when every partition is
past a tenth of its trades: the first trade of an instrument works out its levels from a year of bars, which is paid
once a session.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, replace
from pathlib import Path
from typing import Final

from benchmarks.answers import Breakouts, judge
from benchmarks.broker import measured_broker
from benchmarks.chart import Group, bars_svg
from benchmarks.loader import BARS, Published, hold_session, publish
from benchmarks.outputs import read_answers, remove_topics
from benchmarks.progress import end_in_order, other_work, say
from benchmarks.running import (
    SIGNALS_TOPIC,
    TICKS_TOPIC,
    Run,
    apply_topics,
    read_history,
    warm_up,
    worker_environment,
    worker_run,
)
from benchmarks.workload import MIC, SESSION_DATE, Workload
from streams.calendars import load_markets
from streams.core.sessions import Markets
from tests.integration.apache import ApacheUnavailable

PREFIX: Final = "shapes."
BAR_WIDTH: Final = 30
INSTRUMENTS: Final = "instruments, mid-session"
MORE_MAX: Final = 0.10


@dataclass(frozen=True, slots=True)
class Shape:
    """One point of one curve."""

    direction: str
    label: str
    workload: Workload
    compression: str | None = None
    batch_records: int | None = None
    settings: tuple[tuple[str, str], ...] = ()

    @property
    def work(self) -> tuple[object, ...]:
        """What is measured: two directions may share a point."""
        return self.workload, self.compression, self.batch_records, self.settings


@dataclass(frozen=True, slots=True)
class Point:
    """What came out; nanoseconds of CPU time a tick."""

    direction: str
    label: str
    ticks: int
    measured: int
    """Of the ticks, those that the figures are about."""
    cpu_ns: float
    rate: int
    signals: int
    rejected: int
    correct: str
    """Whether its breakouts are the oracle's; another look-back than 52 weeks has none."""
    memory_bytes_max: int


def shapes(base: Workload, *, small_ticks: int, settled_ticks: int) -> list[Shape]:
    """Return every point that is measured; the first of a direction is the one that the others differ from."""
    settled = replace(base, settled=True, ticks=settled_ticks)
    counts = [base.instruments * factor for factor in (1, 5, 25)]
    points = [Shape(INSTRUMENTS, f"{count:,}", replace(settled, instruments=count)) for count in counts]
    points.append(Shape("window, mid-session", "52 weeks", settled))
    points += [
        Shape("window, mid-session", f"{sessions - 1} sessions", replace(settled, history_sessions=sessions),
              settings=(("RULES_LOOKBACK", lookback),))
        for sessions, lookback in ((127, "126s"), (21, "20s"))
    ]  # fmt: skip
    points += [Shape("instruments, from the open", f"{count:,}", replace(base, instruments=count)) for count in counts]
    points += [
        Shape("record", "JSON", base),
        Shape("record", "JSON with conditions and ids", replace(base, full=True)),
        Shape("record", "binary", replace(base, binary=True)),
        Shape("codec", "none", base),
        Shape("codec", "lz4", base, compression="lz4"),
        Shape("codec", "zstd", base, compression="zstd"),
    ]
    few = replace(base, ticks=small_ticks)
    points += [
        Shape("batch", "a megabyte", base),
        Shape("batch", "1,000 records", base, batch_records=1_000),
        Shape("batch", "a megabyte, fewer ticks", few),
        Shape("batch", "100 records", few, batch_records=100),
        Shape("batch", "10 records", few, batch_records=10),
    ]
    every = 100
    many = replace(few, instruments=max(base.instruments, small_ticks // every))
    return [
        *points,
        Shape("load", "even", base),
        Shape("load", "market open: 90 % on 5 %", replace(base, crowded=True)),
        Shape("load", f"even, {many.instruments:,} instruments, fewer ticks", many),
        # Such jumps would be held as bad prints, or withheld as splits that nobody announced.
        Shape("load", "the same with a breakout in every 100 ticks", replace(many, breakout_every=every),
              settings=(("RULES_BAD_PRINT_BAND", "0"), ("RULES_SPLIT_GUARD", "false"))),
    ]  # fmt: skip


def measure(bootstrap: str, shape: Shape, markets: Markets, partitions: int) -> Point:
    """Publish one shape, let a new worker read it, and remove it."""
    environment = worker_environment(bootstrap, partitions, KAFKA_PREFIX=PREFIX, **dict(shape.settings))
    apply_topics(environment)
    cores = {(os.cpu_count() or 1) - 1}
    place = (bootstrap, PREFIX + TICKS_TOPIC, partitions, shape.workload, markets, say)
    oracle = None if "RULES_LOOKBACK" in dict(shape.settings) else Breakouts(SESSION_DATE)
    observe = oracle.observe if oracle is not None else None
    try:
        with asyncio.Runner() as runner:
            history = runner.run(publish(*place, parts=[BARS], observe=observe))
            read_history(environment, history, say, cores=cores)
            held = runner.run(
                hold_session(*place, compression=shape.compression, batch_records=shape.batch_records, observe=observe)
            )
            published = Published(history.history, held.records)
            try:
                with worker_run(
                    environment, published, say, cores=cores, release=lambda: runner.run(held.release())
                ) as run:
                    return _point(shape, run, _verdict(bootstrap, oracle))
            finally:
                runner.run(held.close())
    finally:
        remove_topics(bootstrap, lambda name: name.startswith(PREFIX))


def line(point: Point, greatest: float) -> str:
    """Return one line of a curve."""
    if point.measured == 0:
        return f"  {point.label:<32} too few ticks to measure"
    bar = "█" * max(1, round(BAR_WIDTH * point.cpu_ns / greatest))
    rejected = f"  {point.rejected:,} REJECTED" if point.rejected else ""
    wrong = f"  correct: {point.correct}" if point.correct.startswith("no") else ""
    return (
        f"  {point.label:<32} {point.cpu_ns:7.0f} ns  {point.rate:>10,}/s "
        f"{point.signals:>9,} signals {point.memory_bytes_max / 1e6:6,.0f} MB  {bar}{rejected}{wrong}"
    )


def main() -> int:
    """Measure the directions that the command line asks for."""
    options = _options()
    end_in_order()
    markets = load_markets([MIC])
    base = Workload(instruments=options.instruments, ticks=options.ticks, history_sessions=options.sessions)
    small, settled = min(options.ticks, options.small_ticks), max(options.ticks, options.settled_ticks)
    chosen = [
        shape
        for shape in shapes(base, small_ticks=small, settled_ticks=settled)
        if not options.only or any(shape.direction.startswith(name) for name in options.only)
    ]
    machine = f"{platform.machine()}, {os.cpu_count()} cores shared by broker and worker{other_work()}"
    print(machine, flush=True)
    points: list[Point] = []
    known: dict[object, Point] = {}
    warm_up()
    try:
        with measured_broker() as broker:
            for shape in chosen:
                say(f"{shape.direction}: {shape.label}")
                if shape.work not in known:
                    known[shape.work] = measure(broker.bootstrap, shape, markets, options.partitions)
                points.append(replace(known[shape.work], direction=shape.direction, label=shape.label))
                print(f"{shape.direction}: {line(points[-1], points[-1].cpu_ns)}", flush=True)
    except ApacheUnavailable as missing:
        print(missing, file=sys.stderr)
        return 1
    print(_curves(points))
    _write(points, machine, options)
    print("\n".join(["", *targets(points)]))
    return 1 if any(point.rejected or point.correct.startswith("no") for point in points) else 0


def _verdict(bootstrap: str, oracle: Breakouts | None) -> str:
    if oracle is None:
        return "-"
    expected = oracle.expected
    return str(judge(expected, read_answers(bootstrap, [PREFIX + SIGNALS_TOPIC], oracle.read, at_least=len(expected))))


def _point(shape: Shape, run: Run, correct: str) -> Point:
    return Point(
        direction=shape.direction,
        label=shape.label,
        ticks=shape.workload.ticks,
        measured=run.records,
        cpu_ns=run.cpu_seconds / max(run.records, 1) * 1e9,
        rate=round(run.records / max(run.wall_seconds, 1e-9)),
        signals=run.signals,
        rejected=run.rejected,
        correct=correct,
        memory_bytes_max=run.memory_bytes_max,
    )


def by_direction(points: Sequence[Point]) -> dict[str, list[Point]]:
    """Return the points of every direction, in their order."""
    found: dict[str, list[Point]] = {}
    for point in points:
        found.setdefault(point.direction, []).append(point)
    return found


def targets(points: Sequence[Point]) -> list[str]:
    """Return how much more a tick costs with the most instruments than with the fewest, and the aim."""
    some = by_direction(points).get(INSTRUMENTS, [])
    if len(some) < 2 or not some[0].cpu_ns:
        return []
    more = some[-1].cpu_ns / some[0].cpu_ns - 1
    words = f"{some[-1].label} instruments cost {more:+.0%} a tick beside {some[0].label}"
    return [f"- {INSTRUMENTS}: {words} (at most +10%: {'met' if more <= MORE_MAX else 'NOT met'})"]


def _curves(points: Sequence[Point]) -> str:
    lines = ["", "CPU time of the worker a tick"]
    for direction, some in by_direction(points).items():
        lines += ["", direction]
        greatest = max(point.cpu_ns for point in some)
        lines += [line(point, greatest) for point in some]
    return "\n".join(lines)


def _write(points: Sequence[Point], machine: str, options: argparse.Namespace) -> None:
    groups = [
        Group(
            direction,
            "ns of CPU time a tick",
            [(point.label, point.cpu_ns, False) for point in some],
        )
        for direction, some in by_direction(points).items()
    ]
    for file in (options.json, options.chart):
        file.parent.mkdir(parents=True, exist_ok=True)
    report = {"machine": machine, "points": [asdict(point) for point in points]}
    options.json.write_text(json.dumps(report, indent=2) + "\n")
    options.chart.write_text(bars_svg(groups, f"one worker on one core; {options.ticks:,} ticks; {machine}"))
    print(f"\nwritten: {options.json}, {options.chart}")


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.shapes", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--ticks", type=int, default=6_000_000)
    parser.add_argument("--small-ticks", type=int, default=1_000_000, help="for small batches, which take long to fill")
    parser.add_argument("--settled-ticks", type=int, default=8_000_000, help="for the middle of a session, at least")
    parser.add_argument("--instruments", type=int, default=2_000)
    parser.add_argument("--sessions", type=int, default=262, help="daily bars of each instrument")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--only", nargs="*", default=[], help="instruments, window, record, codec, batch, load")
    parser.add_argument("--json", type=Path, default=Path(".cache/bench/shapes.json"))
    parser.add_argument("--chart", type=Path, default=Path(".cache/bench/shapes.svg"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
