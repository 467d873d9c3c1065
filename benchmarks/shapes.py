"""How the cost of a tick grows: one direction at a time, the worker on a real Apache Kafka, held to one core.

The figure is CPU time of the worker a tick, because it holds on a busy machine too. It begins when every partition is
past its bars and a tenth of its trades: the first trade of an instrument works out its levels from a year of bars,
which is paid once a session.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field, replace
from pathlib import Path
from typing import Final

from benchmarks.broker import measured_broker
from benchmarks.chart import Group, bars_svg
from benchmarks.loader import publish
from benchmarks.outputs import remove_topics
from benchmarks.progress import end_in_order, other_work, say
from benchmarks.running import TICKS_TOPIC, Run, apply_topics, warm_up, worker_environment, worker_run
from benchmarks.workload import MIC, Workload
from streams.calendars import load_markets
from streams.core.sessions import Markets
from tests.integration.apache import ApacheUnavailable

PREFIX: Final = "shapes."
BAR_WIDTH: Final = 30


@dataclass(frozen=True, slots=True)
class Shape:
    """One point of one curve."""

    direction: str
    label: str
    workload: Workload
    compression: str | None = None
    batch_records: int | None = None
    settings: dict[str, str] = field(default_factory=dict)


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
    memory_bytes_max: int


def shapes(base: Workload, *, small_ticks: int) -> list[Shape]:
    """Return every point that is measured. The first is the one that all others differ from in one thing."""
    points = [Shape("instruments", f"{base.instruments:,}", base)]
    points += [
        Shape("instruments", f"{count:,}", replace(base, instruments=count))
        for count in (base.instruments * 5, base.instruments * 25)
    ]
    windows = ((21, "20s"), (127, "126s"))
    points += [
        Shape("window", f"{sessions - 1} sessions", replace(base, history_sessions=sessions),
              settings={"RULES_LOOKBACK": lookback})
        for sessions, lookback in windows
    ]  # fmt: skip
    points += [
        Shape("record", "JSON with conditions and ids", replace(base, full=True)),
        Shape("record", "binary", replace(base, binary=True)),
    ]
    points += [Shape("codec", codec, base, compression=codec) for codec in ("lz4", "zstd")]
    few = replace(base, ticks=small_ticks)
    points += [
        Shape("batch", "1,000 records", base, batch_records=1_000),
        Shape("batch", "100 records", few, batch_records=100),
        Shape("batch", "10 records", few, batch_records=10),
    ]
    every = 100
    busy = replace(few, breakout_every=every, instruments=max(base.instruments, small_ticks // every))
    points += [
        Shape("load", "market open: 90 % on 5 %", replace(base, crowded=True)),
        Shape("load", "a breakout in every 100 ticks", busy),
    ]
    return points


def measure(bootstrap: str, shape: Shape, markets: Markets, partitions: int) -> Point:
    """Publish one shape, let a new worker read it, and remove it."""
    environment = worker_environment(bootstrap, partitions, KAFKA_PREFIX=PREFIX, **shape.settings)
    apply_topics(environment)
    try:
        published = asyncio.run(
            publish(
                bootstrap,
                PREFIX + TICKS_TOPIC,
                partitions,
                shape.workload,
                markets,
                say,
                compression=shape.compression,
                batch_records=shape.batch_records,
            )
        )
        with worker_run(environment, published, say, cores={(os.cpu_count() or 1) - 1}) as run:
            return _point(shape, run)
    finally:
        remove_topics(bootstrap, lambda name: name.startswith(PREFIX))


def line(point: Point, greatest: float) -> str:
    """Return one line of a curve."""
    if point.measured == 0:
        return f"  {point.label:<32} too few ticks to measure"
    bar = "█" * max(1, round(BAR_WIDTH * point.cpu_ns / greatest))
    rejected = f"  {point.rejected:,} REJECTED" if point.rejected else ""
    return (
        f"  {point.label:<32} {point.cpu_ns:7.0f} ns  {point.rate:>10,}/s "
        f"{point.signals:>9,} signals {point.memory_bytes_max / 1e6:6,.0f} MB  {bar}{rejected}"
    )


def main() -> int:
    """Measure the directions that the command line asks for."""
    options = _options()
    end_in_order()
    markets = load_markets([MIC])
    base = Workload(instruments=options.instruments, ticks=options.ticks, history_sessions=options.sessions)
    chosen = shapes(base, small_ticks=min(options.ticks, options.small_ticks))
    if options.only:
        chosen = [chosen[0], *(shape for shape in chosen[1:] if shape.direction in options.only)]
    machine = f"{platform.machine()}, {os.cpu_count()} cores shared by broker and worker{other_work()}"
    print(machine, flush=True)
    points: list[Point] = []
    warm_up()
    try:
        with measured_broker() as broker:
            for shape in chosen:
                say(f"{shape.direction}: {shape.label}")
                points.append(measure(broker.bootstrap, shape, markets, options.partitions))
                print(f"{shape.direction}: {line(points[-1], points[-1].cpu_ns)}", flush=True)
    except ApacheUnavailable as missing:
        print(missing, file=sys.stderr)
        return 1
    print(_curves(points))
    _write(points, machine, options)
    return 1 if any(point.rejected for point in points) else 0


def _point(shape: Shape, run: Run) -> Point:
    rejected = run.after.get("fiftytwo_records_rejected_total", 0.0)
    return Point(
        direction=shape.direction,
        label=shape.label,
        ticks=shape.workload.ticks,
        measured=run.records,
        cpu_ns=run.cpu_seconds / max(run.records, 1) * 1e9,
        rate=round(run.records / max(run.wall_seconds, 1e-9)),
        signals=run.signals,
        rejected=int(rejected),
        memory_bytes_max=run.memory_bytes_max,
    )


def by_direction(points: Sequence[Point]) -> dict[str, list[Point]]:
    """Return the points of every direction, the base first in each."""
    base = points[0]
    found: dict[str, list[Point]] = {}
    for point in points:
        some = found.setdefault(point.direction, [] if point.direction == base.direction else [base])
        some.append(point)
    return found


def _curves(points: Sequence[Point]) -> str:
    lines = ["", "CPU time of the worker a tick"]
    base = points[0]
    for direction, some in by_direction(points).items():
        lines += ["", f"{direction} (the first line is the base: {base.label} instruments, plain JSON, large batches)"]
        greatest = max(point.cpu_ns for point in some)
        lines += [line(point, greatest) for point in some]
    return "\n".join(lines)


def _write(points: Sequence[Point], machine: str, options: argparse.Namespace) -> None:
    groups = [
        Group(
            direction,
            "ns of CPU time a tick",
            [(point.label if point is not points[0] else f"base: {point.label} instruments", point.cpu_ns, False)
             for point in some],
        )
        for direction, some in by_direction(points).items()
    ]  # fmt: skip
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
    parser.add_argument("--instruments", type=int, default=2_000)
    parser.add_argument("--sessions", type=int, default=262, help="daily bars of each instrument")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--only", nargs="*", default=[], help="instruments, window, record, codec, batch, load")
    parser.add_argument("--json", type=Path, default=Path(".cache/bench/shapes.json"))
    parser.add_argument("--chart", type=Path, default=Path(".cache/bench/shapes.svg"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
