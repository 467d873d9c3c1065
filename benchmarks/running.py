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

from benchmarks.loader import Published, publish
from benchmarks.workload import Workload
from streams.core.sessions import Markets
from streams.kafka.embedded import find_free_port

SAMPLE_SECONDS: Final = 0.1  # a scrape takes the worker some milliseconds
RELEASE_SECONDS: Final = 0.02
OPENING_SHARE: Final = 0.1
STALL_SECONDS_MAX: Final = 120.0
STOP_SECONDS_MAX: Final = 60.0  # in good order it writes a snapshot of everything
TICKS_TOPIC: Final = "market.ticks.v1"
SIGNALS_TOPIC: Final = "signals.breakouts.v1"
COMMAND: Final = (str(Path(sys.executable).parent / "fiftytwo"),)


@dataclass(frozen=True, slots=True)
class Sample:
    """What the worker had done at one moment."""

    wall: float
    cpu: float
    fold_cpu: float
    """Of it, the thread that folds; the rest is the one that fetches."""
    positions: tuple[float, ...]
    """How many records of each partition were read."""
    metrics: dict[str, float]

    @property
    def records(self) -> float:
        """Return how many records were read."""
        return sum(self.positions)


@dataclass(frozen=True, slots=True)
class Run:
    """What one worker did in the session, once every partition was past its history and a tenth of its trades.

    One partition may read trades while another still reads bars, which cost far more.
    """

    records: int
    wall_seconds: float
    cpu_seconds: float
    fold_cpu_seconds: float
    """Of it, the thread that decodes, folds and commits; the rest is the one that fetches."""
    first_seconds: float
    """From the start of its process to the first record that was seen read, within a tenth of a second."""
    history_records: int
    history_seconds: float
    memory_bytes_max: int
    before: dict[str, float]
    after: dict[str, float]
    signals: int
    """In the whole session."""
    rejected: int
    port: int
    """Where it says how far it is, for as long as it runs."""


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
    published = asyncio.run(
        publish(bootstrap, TICKS_TOPIC, partitions, workload, markets, progress, compression=compression)
    )
    progress("starting the worker")
    with worker_run(environment, published, progress, cores=cores) as run:
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
    environment: dict[str, str],
    published: Published,
    progress: Callable[[str], None],
    *,
    cores: set[int],
    release: Callable[[], None] | None = None,
) -> Iterator[Run]:
    """Run a worker until it has read everything; it goes on running inside the `with` block.

    Args:
        environment: Of the worker.
        published: What it is to read.
        progress: Told how far it is.
        cores: What it may use.
        release: Called when the worker has taken every partition over, to let it read a session that is held.
    """
    begun = time.monotonic()
    with _reading(environment, cores) as (process, port):
        if release is not None:
            lags = [f"fiftytwo_lag_records/{_topic(environment)}/{number}" for number in range(len(published.session))]
            _wait(process, port, lambda metrics: all(lag in metrics for lag in lags))
            release()
            _wait(process, port, lambda metrics: all(metrics.get(lag, 0.0) > 0 for lag in lags))
        samples = list(_samples(process, port, _topic(environment), published, progress))
        yield _summary(samples, published, begun, _peak_memory(process, samples), port)


def read_history(
    environment: dict[str, str], published: Published, progress: Callable[[str], None], *, cores: set[int]
) -> None:
    """Let a worker read what was published and end in good order: the next one starts from its snapshots."""
    with _reading(environment, cores) as (process, port):
        for _ in _samples(process, port, _topic(environment), published, progress):
            pass


def consumed(port: int, topic: str) -> float:
    """Return how many records of a topic a running worker has read since it is live, 0 where it does not answer."""
    return (_scrape(port) or {}).get(f"fiftytwo_records_consumed_total/{topic}", 0.0)


def _topic(environment: dict[str, str]) -> str:
    return environment.get("FIFTYTWO_KAFKA_PREFIX", "") + TICKS_TOPIC


@contextmanager
def _reading(environment: dict[str, str], cores: set[int]) -> Iterator[tuple[psutil.Process, int]]:
    port = find_free_port()
    with _worker([*COMMAND, "worker"], os.environ | environment | {"FIFTYTWO_WEB_PORT": str(port)}, cores) as process:
        yield process, port


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


def _wait(process: psutil.Process, port: int, is_met: Callable[[dict[str, float]], bool]) -> None:
    deadline = time.monotonic() + STALL_SECONDS_MAX
    while not is_met(_scrape(port) or {}):
        if time.monotonic() > deadline or not process.is_running():
            raise RuntimeError("expected the worker to take its partitions over and read, found that it did not")
        time.sleep(RELEASE_SECONDS)


def _samples(
    process: psutil.Process, port: int, topic: str, published: Published, progress: Callable[[str], None]
) -> Iterator[Sample]:
    moved = time.monotonic()
    last = 0.0
    while True:
        if not process.is_running() or process.status() == psutil.STATUS_ZOMBIE:
            raise RuntimeError("expected the worker to read to the end, found that it ended: its last words are above")
        metrics = _scrape(port)
        if metrics is not None:
            spent = process.cpu_times()
            positions = _positions(metrics, topic, published)
            folding = next(thread for thread in process.threads() if thread.id == process.pid)
            fold_cpu = folding.user_time + folding.system_time
            sample = Sample(time.monotonic(), spent.user + spent.system, fold_cpu, positions, metrics)
            yield sample
            if sample.records > last:
                moved, last = time.monotonic(), sample.records
                progress(f"worker: {last:,.0f} of {published.records:,} records")
            if last >= published.records:
                return
        if time.monotonic() - moved > STALL_SECONDS_MAX:
            raise RuntimeError(
                f"expected {published.records} records, found {last:.0f} and no progress in {STALL_SECONDS_MAX:g} s"
            )
        time.sleep(SAMPLE_SECONDS)


# A partition that the worker has not taken over yet has no lag.
def _positions(metrics: dict[str, float], topic: str, published: Published) -> tuple[float, ...]:
    ends = [before + after for before, after in zip(published.history, published.session, strict=True)]
    name = f"fiftytwo_lag_records/{topic}"
    return tuple(end - metrics.get(f"{name}/{partition}", end) for partition, end in enumerate(ends))


# Samples by name, added up over labels; also by topic, and by topic and partition.
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
        place = dict(re.findall(r'(topic|partition)="([^"]*)"', labels))
        if len(place) == 2:
            found[f"{name}/{place['topic']}/{place['partition']}"] = float(value)
    return found


def _peak_memory(process: psutil.Process, samples: list[Sample]) -> int:
    status = Path(f"/proc/{process.pid}/status")
    if status.exists():
        match = re.search(r"VmHWM:\s+(\d+) kB", status.read_text())
        if match:
            return int(match[1]) * 1024
    return int(max(sample.metrics.get("process_resident_memory_bytes", 0.0) for sample in samples))


def _summary(samples: list[Sample], published: Published, begun_at: float, memory: int, port: int) -> Run:
    started = next(sample for sample in samples if sample.records > 0)
    begun = next(sample for sample in samples if _is_past(sample, published, 0.0))
    first = next(sample for sample in samples if _is_past(sample, published, OPENING_SHARE))
    # The last sample came some time after the last record, so the one before it ends the measurement.
    last = samples[-2] if samples[-2].records > first.records else samples[-1]
    return Run(
        records=int(last.records - first.records),
        wall_seconds=last.wall - first.wall,
        cpu_seconds=last.cpu - first.cpu,
        fold_cpu_seconds=last.fold_cpu - first.fold_cpu,
        first_seconds=started.wall - begun_at,
        history_records=sum(published.history),
        history_seconds=begun.wall - started.wall,
        memory_bytes_max=memory,
        before=first.metrics,
        after=last.metrics,
        signals=int(_signals(samples[-1])),
        rejected=int(samples[-1].metrics.get("fiftytwo_records_rejected_total", 0.0)),
        port=port,
    )


def _is_past(sample: Sample, published: Published, share: float) -> bool:
    starts = (before + after * share for before, after in zip(published.history, published.session, strict=True))
    return all(position >= start for position, start in zip(sample.positions, starts, strict=True))


def _signals(sample: Sample) -> float:
    return sample.metrics.get("fiftytwo_signals_total", 0.0)


def warm_up() -> None:
    """Compile what the worker needs, once: on a busy machine that takes longer than a measurement waits."""
    subprocess.run([*COMMAND, "warm"], check=True, stdout=subprocess.DEVNULL)
