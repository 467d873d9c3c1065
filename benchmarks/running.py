"""One worker on one core over a topic that was filled before: what it does a second, and what that costs."""

from __future__ import annotations

import asyncio
import os
import re
import signal
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import psutil

from benchmarks.loader import publish
from benchmarks.workload import Workload
from streams.core.sessions import Markets
from streams.kafka.embedded import find_free_port

SAMPLE_SECONDS: Final = 0.1  # a scrape takes the worker some milliseconds
OPENING_SHARE: Final = 0.1
STALL_SECONDS_MAX: Final = 120.0
STOP_SECONDS_MAX: Final = 30.0
TICKS_TOPIC: Final = "market.ticks.v1"
COMMAND: Final = (str(Path(sys.executable).parent / "fiftytwo"),)


@dataclass(frozen=True, slots=True)
class Sample:
    """What the worker had done at one moment."""

    wall: float
    cpu: float
    records: float
    metrics: dict[str, float]


@dataclass(frozen=True, slots=True)
class Run:
    """What one worker did between the first and the last record of the session."""

    records: int
    wall_seconds: float
    cpu_seconds: float
    history_records: int
    history_seconds: float
    memory_bytes_max: int
    before: dict[str, float]
    after: dict[str, float]
    signals: int
    steady_records: int
    """Records after the first tenth of the session.

    By then no partition reads its history any more, and every instrument has had its first trade.
    """
    steady_wall_seconds: float
    steady_cpu_seconds: float


def measure_worker(
    bootstrap: str,
    workload: Workload,
    markets: Markets,
    progress: Callable[[str], None],
    *,
    partitions: int,
    cores: set[int],
    compression: str | None = None,
) -> Run:
    """Create the topics, fill the input, start a worker pinned to `cores`, and measure it from first to last record."""
    environment = worker_environment(bootstrap, partitions)
    apply_topics(environment)
    history, session = asyncio.run(
        publish(bootstrap, TICKS_TOPIC, partitions, workload, markets, progress, compression=compression)
    )
    progress("starting the worker")
    with worker_run(environment, history, session, progress, cores=cores) as run:
        return run


def worker_environment(bootstrap: str, partitions: int, **settings: str) -> dict[str, str]:
    """Return the environment of a worker: `KAFKA_PREFIX="a."` and so on are settings of its own."""
    return {
        "FIFTYTWO_KAFKA_BOOTSTRAP_SERVERS": bootstrap,
        "FIFTYTWO_KAFKA_PARTITIONS": str(partitions),
        "FIFTYTWO_MARKETS_MICS": "XNYS",
        "FIFTYTWO_LOG_LEVEL": "warning",
        **{f"FIFTYTWO_{name}": value for name, value in settings.items()},
    }


def apply_topics(environment: dict[str, str]) -> None:
    """Create the topics of a worker that are missing."""
    subprocess.run([*COMMAND, "topics", "apply"], env=os.environ | environment, check=True, stdout=subprocess.DEVNULL)


@contextmanager
def worker_run(
    environment: dict[str, str], history: int, session: int, progress: Callable[[str], None], *, cores: set[int]
) -> Iterator[Run]:
    """Run a worker until it has read everything; it goes on running inside the `with` block."""
    port = find_free_port()
    prefix = environment.get("FIFTYTWO_KAFKA_PREFIX", "")
    whole = os.environ | environment | {"FIFTYTWO_WEB_PORT": str(port)}
    with _worker([*COMMAND, "worker"], whole, cores) as process:
        samples = list(_samples(process, port, prefix + TICKS_TOPIC, history + session, progress))
        yield _summary(samples, history, _peak_memory(process, samples))


@contextmanager
def _worker(command: list[str], environment: dict[str, str], cores: set[int]) -> Iterator[psutil.Process]:
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(command, env=environment, stdout=said, stderr=subprocess.STDOUT)
        watched = psutil.Process(process.pid)
        if hasattr(watched, "cpu_affinity"):
            watched.cpu_affinity(sorted(cores))
        try:
            yield watched
        except BaseException:
            said.seek(0)
            sys.stderr.write(said.read().decode(errors="replace")[-4_000:])
            raise
        finally:
            process.send_signal(signal.SIGTERM)
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()


def _samples(
    process: psutil.Process, port: int, topic: str, expected: int, progress: Callable[[str], None]
) -> Iterator[Sample]:
    moved = time.monotonic()
    last = 0.0
    while True:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            raise RuntimeError("expected the worker to read to the end, found that it ended: its last words are above")
        metrics = _scrape(port)
        if metrics is not None:
            spent = process.cpu_times()
            records = metrics.get(f"fiftytwo_records_consumed_total/{topic}", 0.0)
            yield Sample(time.monotonic(), spent.user + spent.system, records, metrics)
            if records > last:
                moved, last = time.monotonic(), records
                progress(f"worker: {records:,.0f} of {expected:,} records")
            if records >= expected:
                return
        if time.monotonic() - moved > STALL_SECONDS_MAX:
            raise RuntimeError(
                f"expected {expected} records, found {last:.0f} and no progress in {STALL_SECONDS_MAX:g} s"
            )
        time.sleep(SAMPLE_SECONDS)


# Samples by name, added up over labels; records in also by topic.
def _scrape(port: int) -> dict[str, float] | None:
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            text = answer.read().decode()
    except OSError:
        return None
    found: dict[str, float] = {}
    for name, labels, value in re.findall(r"^(\w+)(?:\{([^}]*)\})? (\S+)$", text, re.MULTILINE):
        if name.endswith("_bucket"):
            continue
        found[name] = found.get(name, 0.0) + float(value)
        for _, label in re.findall(r'(topic|stage)="([^"]*)"', labels):
            found[f"{name}/{label}"] = found.get(f"{name}/{label}", 0.0) + float(value)
    return found


def _peak_memory(process: psutil.Process, samples: list[Sample]) -> int:
    status = Path(f"/proc/{process.pid}/status")
    if status.exists():
        match = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if match:
            return int(match[1]) * 1024
    return int(max(sample.metrics.get("process_resident_memory_bytes", 0.0) for sample in samples))


# History comes first in every partition, but one partition may be ahead of another by a fetch: the session is measured
# from the first sample at which as many records as the history has were read.
def _summary(samples: list[Sample], history: int, memory: int) -> Run:
    first = next(sample for sample in samples if sample.records >= history)
    started = next(sample for sample in samples if sample.records > 0)
    # The last sample came some time after the last record, so the one before it ends the measurement.
    last = samples[-2] if samples[-2].records > first.records else samples[-1]
    opened = history + (samples[-1].records - history) * OPENING_SHARE
    steady = next((sample for sample in samples if sample.records >= opened), first)
    steady = steady if steady.records < last.records else first
    return Run(
        records=int(last.records - first.records),
        wall_seconds=last.wall - first.wall,
        cpu_seconds=last.cpu - first.cpu,
        history_records=history,
        history_seconds=first.wall - started.wall,
        memory_bytes_max=memory,
        before=first.metrics,
        after=last.metrics,
        signals=int(_signals(samples[-1]) - _signals(first)),
        steady_records=int(last.records - steady.records),
        steady_wall_seconds=last.wall - steady.wall,
        steady_cpu_seconds=last.cpu - steady.cpu,
    )


def _signals(sample: Sample) -> float:
    return sample.metrics.get("fiftytwo_signals_total", 0.0)


def warm_up() -> None:
    """Compile what the worker needs, once: on a busy machine that takes longer than a measurement waits."""
    subprocess.run([*COMMAND, "warm"], check=True, stdout=subprocess.DEVNULL)
