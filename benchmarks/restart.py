"""How long a worker takes to be live again, and how much memory it holds: a year of bars of many instruments.

`python -m benchmarks.restart` fills a topic of a real Apache Kafka, lets a worker read it and write its snapshots,
kills it, and starts it again with trades waiting in the log: from the start of the process to the first of them
processed. Then the same after a clean stop.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import time
import urllib.request
from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import psutil

from benchmarks.loader import publish
from benchmarks.running import COMMAND, apply_topics, worker_environment
from benchmarks.workload import MIC, Workload
from streams.calendars import load_markets
from streams.kafka.embedded import find_free_port

POLL_SECONDS: Final = 0.05
LIVE_SECONDS_MAX: Final = 1_800.0
CONSUMED: Final = re.compile(r'^fiftytwo_records_consumed_total\{topic="market\.ticks\.v1"\} (\S+)$', re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Restart:
    """One start of a worker.

    Attributes:
        seconds: From the start of the process to the first live record processed.
        resident: Bytes of memory it then holds.
        peak: The most bytes it held until then.
    """

    seconds: float
    resident: int
    peak: int


def main() -> int:
    """Run the measurement that the command line asks for and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.restart")
    parser.add_argument("--instruments", type=int, default=10_000)
    parser.add_argument("--ticks", type=int, default=400_000, help="trades of the session")
    parser.add_argument("--partitions", type=int, default=4)
    options = parser.parse_args()
    from tests.integration.apache import ApacheBroker

    workload = Workload(instruments=options.instruments, ticks=options.ticks)
    markets = load_markets([MIC])
    with ApacheBroker(heap="1g") as broker:
        environment = worker_environment(broker.bootstrap, options.partitions)
        apply_topics(environment)
        topic = "market.ticks.v1"
        asyncio.run(publish(broker.bootstrap, topic, options.partitions, workload, markets, print))
        total = workload.bars + workload.ticks
        first = measured(environment, lambda seen: seen >= total, signal.SIGKILL, settle_seconds=25.0)
        tell("first start, from the log", first)
        for name in ("after a kill", "after a clean stop"):
            loading = publish(broker.bootstrap, topic, options.partitions, workload, markets, _quiet, trades_only=True)
            asyncio.run(loading)
            tell(name, measured(environment, lambda seen: seen > 0, signal.SIGTERM, settle_seconds=15.0))
    return 0


def tell(name: str, restart: Restart) -> None:
    """Print a start."""
    memory = f"{restart.resident >> 20:,} MB, at most {restart.peak >> 20:,} MB"
    print(f"{name + ':':28} {restart.seconds:6.1f} s, {memory}")


def measured(
    environment: dict[str, str], is_live: Callable[[float], bool], ending: signal.Signals, *, settle_seconds: float
) -> Restart:
    """Start a worker, wait until it has processed enough live records, and end it some seconds later."""
    port = find_free_port()
    begun = time.monotonic()
    process = psutil.Popen([*COMMAND, "worker"], env=os.environ | environment | {"FIFTYTWO_WEB_PORT": str(port)})
    try:
        while not is_live(consumed(port)):
            if time.monotonic() - begun > LIVE_SECONDS_MAX or process.poll() is not None:
                raise RuntimeError(f"expected live records within {LIVE_SECONDS_MAX:g} s, found none")
            time.sleep(POLL_SECONDS)
        seconds = time.monotonic() - begun
        resident, peak = process.memory_info().rss, peak_of(process)
        time.sleep(settle_seconds)
        process.send_signal(ending)
        process.wait(30)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    return Restart(seconds, resident, peak)


def consumed(port: int) -> float:
    """Return how many live records of the tick topic a worker has read."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            found = CONSUMED.search(answer.read().decode())
    except OSError:
        return 0.0
    return float(found[1]) if found else 0.0


def peak_of(process: psutil.Process) -> int:
    """Return the most memory that a process ever held; the kernel knows."""
    with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


def _quiet(_: str) -> None:
    return


if __name__ == "__main__":
    raise SystemExit(main())
