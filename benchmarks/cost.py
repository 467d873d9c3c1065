"""What exactly once costs, in one run: rate, latency and restart, beside at-least-once delivery.

`make bench-cost` measures, on one Apache Kafka and one after the other: the rate of the 52-week job with both ways of
delivery, in rounds that turn; from the broker's stamp on a trade to the receipt of its signal by a `read_committed`
consumer, at half of each one's full rate, with the signals in one partition and in four; and the time from the start of
a worker's process to its first live trade, with a year of 10,000 instruments. `--short` does the same with little.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import statistics
import sys
from collections.abc import Mapping, Sequence
from dataclasses import asdict
from pathlib import Path
from typing import Final

from benchmarks.bench import Field
from benchmarks.broker import measured_broker
from benchmarks.contestants import BREAKOUTS, CONTESTANTS
from benchmarks.latency import TABLE_HEAD, Market, Row, line, measure_ours
from benchmarks.progress import end_in_order, other_work, say
from benchmarks.restart import Restart, measure_restarts
from benchmarks.results import Result
from benchmarks.running import warm_up
from benchmarks.workload import MIC, Workload
from streams.calendars import load_markets
from tests.integration.apache import ApacheUnavailable

DELIVERIES: Final[Mapping[str, str]] = {"exactly_once": "Fiftytwo", "at_least_once": "Fiftytwo, at least once"}
"""The contestants of the benchmark by how they deliver."""

HALF: Final = [0.5]
COST_MAX: Final = 0.10
P99_MS_MAX: Final = {"exactly_once": 25.0, "at_least_once": 5.0}
RESTART_SECONDS_MAX: Final = 10.0
RESIDENT_BYTES_MAX: Final = 1 << 30


def main() -> int:
    """Measure, print and write what the command line asks for; targets are told, and fail nothing."""
    options = _options()
    end_in_order()
    machine = f"{platform.machine()}, {os.cpu_count()} cores shared by broker and worker{other_work()}"
    print(f"{platform.platform()}, Python {platform.python_version()}, {machine}", flush=True)
    warm_up()
    try:
        with measured_broker() as broker:
            rates = measure_rates(broker.bootstrap, options)
            rows = measure_latencies(broker.bootstrap, options)
        with measured_broker() as broker:
            restarts = measure_restarts(
                broker.bootstrap,
                instruments=options.restart_instruments,
                rate=next(row.asked for row in rows if row.contestant.endswith("exactly once")),
                partitions=options.partitions,
            )
    except ApacheUnavailable as missing:
        print(missing, file=sys.stderr)
        return 1
    lines = summary(rates, rows, restarts)
    print("\n".join(["", *TABLE_HEAD, *map(line, rows), "", *lines]))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    report = {
        "machine": machine,
        "rates": {delivery: [asdict(result) for result in found] for delivery, found in rates.items()},
        "rows": [asdict(row) for row in rows],
        "restarts": {name: asdict(restart) for name, restart in restarts.items()},
        "summary": lines,
    }
    options.json.write_text(json.dumps(report, indent=2, default=str) + "\n")
    correct = all(
        result.verdict is not None and result.verdict.is_correct for found in rates.values() for result in found
    )
    return 0 if correct and not any(row.missing for row in rows) else 1


def measure_rates(bootstrap: str, options: argparse.Namespace) -> dict[str, list[Result]]:
    """Measure the rate of the 52-week job with each delivery, in rounds that turn."""
    workload = Workload(instruments=options.instruments, ticks=options.ticks)
    field = Field(bootstrap, BREAKOUTS, workload, load_markets([MIC]), options.partitions)
    by_name = {contestant.name: contestant for contestant in CONTESTANTS if contestant.job == BREAKOUTS}
    rates: dict[str, list[Result]] = {delivery: [] for delivery in DELIVERIES}
    try:
        for number in range(options.rounds):
            order = list(DELIVERIES) if number % 2 == 0 else list(DELIVERIES)[::-1]
            for delivery in order:
                say(f"round {number + 1} of {options.rounds}: {delivery}")
                result = field.run(by_name[DELIVERIES[delivery]], number)
                rates[delivery].append(result)
                judged = f"all right: {result.verdict}" if result.verdict is not None else result.reason
                print(f"{delivery}: {result.rate:,.0f} ticks/s, {judged}", flush=True)
    finally:
        field.close()
    return rates


def measure_latencies(bootstrap: str, options: argparse.Namespace) -> list[Row]:
    """Measure latency at half load with each delivery."""
    market = Market(load_markets([MIC]), options.partitions, options.probes)
    given = argparse.Namespace(burst=options.burst, loads=HALF, rate=0.0, unpinned=False)
    return [row for delivery in DELIVERIES for row in asyncio.run(measure_ours(bootstrap, market, given, delivery))]


def summary(rates: Mapping[str, Sequence[Result]], rows: Sequence[Row], restarts: Mapping[str, Restart]) -> list[str]:
    """Return what it comes to, beside what it should be at most."""
    once, least = (statistics.median(result.rate for result in rates[delivery]) for delivery in DELIVERIES)
    cost = 1 - once / least if least else float("nan")
    lines = [
        f"rate: exactly once {once:,.0f} ticks/s, at least once {least:,.0f} ticks/s (medians)",
        f"exactly once costs {cost:.1%} of the rate{_beside(cost <= COST_MAX, f'{COST_MAX:.0%}')}",
    ]
    for row in rows:
        delivery = next(name for name in DELIVERIES if name.replace("_", " ") in row.contestant)
        is_judged = row.signals_in == "one partition"
        limit = P99_MS_MAX[delivery]
        beside = _beside(row.p99 <= limit, f"{limit:g} ms") if is_judged else ""
        lines.append(
            f"tick to signal, {delivery.replace('_', ' ')}, half load, signals in {row.signals_in}: "
            f"p50 {row.p50:.1f} ms, p99 {row.p99:.1f} ms{beside}"
        )
    for name, restart in restarts.items():
        lines.append(
            f"restart {name}: {restart.seconds:.1f} s{_beside(restart.seconds <= RESTART_SECONDS_MAX, '10 s')}, "
            f"{restart.resident >> 20:,} MB resident{_beside(restart.resident <= RESIDENT_BYTES_MAX, '1,024 MB')}"
        )
    return lines


def _beside(holds: bool, limit: str) -> str:
    return f" (at most {limit}: {'met' if holds else 'NOT met'})"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.cost", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--short", action="store_true", help="little of everything: does it work, not what it costs")
    parser.add_argument("--rounds", type=int, help="of the rate (2)")
    parser.add_argument("--ticks", type=int, help="of the rate (12,000,000)")
    parser.add_argument("--instruments", type=int, help="of the rate (2,000)")
    parser.add_argument("--probes", type=int, help="signals of each latency (1,000)")
    parser.add_argument("--burst", type=int, help="trades that the full rate is measured over before (3,000,000)")
    parser.add_argument("--restart-instruments", type=int, help="(10,000)")
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument("--json", type=Path, default=Path(".cache/bench/cost.json"))
    options = parser.parse_args()
    small = {
        "rounds": 1,
        "ticks": 1_000_000,
        "instruments": 500,
        "probes": 200,
        "burst": 1_500_000,
        "restart_instruments": 1_000,
    }
    whole = {
        "rounds": 2,
        "ticks": 12_000_000,
        "instruments": 2_000,
        "probes": 1_000,
        "burst": 3_000_000,
        "restart_instruments": 10_000,
    }
    for name, value in (small if options.short else whole).items():
        if getattr(options, name) is None:
            setattr(options, name, value)
    return options


if __name__ == "__main__":
    sys.exit(main())
