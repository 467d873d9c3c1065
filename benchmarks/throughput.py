"""How many ticks one worker takes on one core, with the whole job: a year of history, every family, signals out.

`python -m benchmarks.throughput` measures decoding, the fold and encoding alone, in this process.
`python -m benchmarks.throughput --kafka` fills a topic of a real Apache Kafka, starts one worker pinned to one core,
and measures it from the first tick of the session to the last.
"""

from __future__ import annotations

import argparse
import os
import platform
import sys
import time
from typing import Final

from benchmarks.running import Run, measure_worker
from benchmarks.stages import Stages, WorkerCost, measure_stages, profile, profile_text
from benchmarks.workload import MIC, Workload
from streams.calendars import load_markets

CORE_TICKS: Final = 1_000_000


def main() -> int:
    """Run the measurement that the command line asks for and print it."""
    options = _options()
    workload = Workload(
        instruments=options.instruments,
        ticks=options.ticks or (4_000_000 if options.kafka else CORE_TICKS),
        full=options.full,
        seed=options.seed,
    )
    markets = load_markets([MIC])
    print(f"{platform.platform()}, Python {platform.python_version()}, {os.cpu_count()} cores")
    print(
        f"{workload.instruments:,} instruments, {workload.history_sessions} sessions before, {workload.ticks:,} ticks"
    )
    run = None
    if options.kafka:
        from benchmarks.broker import measured_broker

        with measured_broker() as broker:
            run = measure_worker(
                broker.bootstrap,
                workload,
                markets,
                _progress,
                partitions=options.partitions,
                cores={options.core},
                compression=options.compression,
            )
        _print_run(run)
    cost = None
    if run is not None:
        cost = WorkerCost((run.cpu_seconds - run.fold_cpu_seconds) / run.records, run.fold_cpu_seconds / run.records)
    print_stages(measure_stages(workload, markets, _progress), cost)
    return 0


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        prog="python -m benchmarks.throughput", description=__doc__.splitlines()[0] if __doc__ else ""
    )
    parser.add_argument(
        "--kafka", action="store_true", help="measure a worker on a real Apache Kafka (Java 17 and Maven)"
    )
    parser.add_argument(
        "--ticks", type=int, default=0, help="trades in the session (4,000,000 with Kafka, else 1,000,000)"
    )
    parser.add_argument("--instruments", type=int, default=2_000)
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument(
        "--core", type=int, default=(os.cpu_count() or 1) - 1, help="the core that the worker is pinned to"
    )
    parser.add_argument("--compression", choices=("gzip", "snappy", "lz4", "zstd"), default=None)
    parser.add_argument("--full", action="store_true", help="trades carry conditions, tape, venue and trade id")
    parser.add_argument("--seed", type=int, default=42)
    return parser.parse_args()


def _print_run(run: Run) -> None:
    print()
    print("One worker on one core, when every partition is past its bars and a tenth of its trades")
    _line("records", f"{run.records:,}")
    _line("wall time", f"{run.wall_seconds:.2f} s")
    _line("CPU time", f"{run.cpu_seconds:.2f} s")
    _line("ticks a second", f"{run.records / run.wall_seconds:,.0f}")
    _line("ticks a CPU second", f"{run.records / run.cpu_seconds:,.0f}")
    _line("peak memory", f"{run.memory_bytes_max / 1e6:,.0f} MB")
    _line("signals out", f"{run.signals:,}")
    waited = run.after["fiftytwo_commit_seconds_sum"] - run.before["fiftytwo_commit_seconds_sum"]
    _line("in commits (wall)", f"{waited:.2f} s, all partitions together")
    _line("first record", f"{run.first_seconds:.1f} s after its process began")
    _line("history", f"{run.history_records:,} bars in {run.history_seconds:.1f} s")


def print_stages(stages: Stages, worker: WorkerCost | None) -> None:
    """Print what each stage costs, and with the cost of a worker what is around them."""
    print()
    around = "; fetch, commits and shell in a worker" if worker is not None else ""
    print(f"The stages by themselves, in CPU time of one process without a broker{around}")
    print(profile_text(profile(stages, worker)))
    _line(
        "bytes a record",
        f"{stages.value_bytes / stages.records:.0f} of JSON, {stages.log_bytes / stages.records:.0f} in the log",
    )
    _line(
        "signals",
        f"{stages.signals:,}, {stages.seconds['encode'] / max(stages.signals, 1) * 1e6:.0f} us each to encode",
    )
    _line("history", f"{stages.bars:,} bars, {stages.history_seconds / stages.bars * 1e6:.1f} us each")
    _line("rejected", f"{stages.rejected:,}")


def _line(label: str, value: str) -> None:
    print(f"  {label:<28} {value}")


_last_progress = 0.0


def _progress(text: str) -> None:
    global _last_progress  # noqa: PLW0603  one line on the terminal is what this module draws on
    if sys.stderr.isatty() or time.monotonic() - _last_progress > 5:
        _last_progress = time.monotonic()
        print(f"\r{text:<70}", end="" if sys.stderr.isatty() else "\n", file=sys.stderr, flush=True)


if __name__ == "__main__":
    sys.exit(main())
