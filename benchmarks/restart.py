"""How long a worker takes to be live again under load, and how much memory it holds, with a year of bars.

`python -m benchmarks.restart` writes the snapshots of a worker that has read a year of bars to a real Apache Kafka, and
sends trades at half load from then on. A worker reads them and takes its snapshots; it is killed, and another is
started. Measured is the time from the start of its process to the first live record processed: it reads the snapshot,
replays what was committed since, and goes on, while trades keep coming. Then the same after a clean stop.
"""

from __future__ import annotations

import argparse
import asyncio
import os
import re
import signal
import time
import urllib.request
from dataclasses import dataclass
from typing import Final

import numpy as np
import psutil

from benchmarks.generator import Generator
from benchmarks.pulses import BASE, SPREAD
from benchmarks.running import COMMAND, apply_topics, worker_environment
from benchmarks.workload import MIC, SESSION_DATE, Workload
from streams.calendars import load_markets
from streams.config import Config
from streams.config import load as load_config
from streams.core.engine import Engine
from streams.core.join import Join
from streams.core.layout import BAR, BAR_OFFICIAL, BAR_TRADED, KIND_BAR, RECORD
from streams.core.sessions import Markets
from streams.core.units import parse_date
from streams.kafka.app import terms_of_config, transactional_id
from streams.kafka.effects import Effects, Output
from streams.kafka.embedded import find_free_port
from streams.kafka.owner import Seat
from streams.kafka.probe import passed
from streams.kafka.producer import ExactlyOnce
from streams.kafka.terms import Terms
from streams.kafka.topics import Topics, expected_partition
from streams.wire.positions import STATE, committed_record
from streams.wire.snapshot_writer import SnapshotWriter
from streams.wire.snapshots import Identity, Positions

POLL_SECONDS: Final = 0.05
SNAPSHOTS: Final = 2
"""Of each partition before a worker is ended: the newest is the difference from one before, as in a long life."""
LIVE_SECONDS_MAX: Final = 600.0
LOAD_SECONDS_MAX: Final = 900.0
HALF_LOAD: Final = 1_250_000.0
"""Trades a second, where nobody has measured what half of the rate is that this machine holds."""
CONSUMED: Final = re.compile(r'^fiftytwo_records_consumed_total\{topic="market\.ticks\.v1"\} (\S+)$', re.MULTILINE)
SNAPSHOTTED: Final = re.compile(r"^fiftytwo_snapshot_seconds_count (\S+)$", re.MULTILINE)


@dataclass(frozen=True, slots=True)
class Restart:
    """One start of a worker.

    Attributes:
        seconds: From the start of the process to the first live record processed.
        cpu_seconds: Processor time until then: what it takes on a machine with nothing else to do.
        resident: Bytes of memory it then holds.
        peak: The most bytes it held until then.
    """

    seconds: float
    cpu_seconds: float
    resident: int
    peak: int


def main() -> int:
    """Run the measurement that the command line asks for and print it."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.restart")
    parser.add_argument("--instruments", type=int, default=10_000)
    parser.add_argument("--rate", type=float, default=HALF_LOAD, help="trades a second")
    parser.add_argument("--partitions", type=int, default=4)
    options = parser.parse_args()
    from benchmarks.broker import measured_broker

    with measured_broker() as broker:
        measure_restarts(
            broker.bootstrap, instruments=options.instruments, rate=options.rate, partitions=options.partitions
        )
    return 0


def measure_restarts(bootstrap: str, *, instruments: int, rate: float, partitions: int) -> dict[str, Restart]:
    """Measure both kinds of restart on a broker with nothing on it yet, print them and return them by name."""
    workload = Workload(instruments=instruments, ticks=0)
    markets = load_markets([MIC])
    environment = worker_environment(bootstrap, partitions)
    apply_topics(environment)
    size = asyncio.run(write_states(load_config(None, environment), workload, markets))
    print(f"{instruments:,} instruments, {size >> 20:,} MB of snapshots, {rate:,.0f} trades a second", flush=True)
    return asyncio.run(_under_load(bootstrap, environment, workload, markets, partitions, rate))


async def _under_load(
    bootstrap: str, environment: dict[str, str], workload: Workload, markets: Markets, partitions: int, rate: float
) -> dict[str, Restart]:
    session = markets.session_on(MIC, parse_date(SESSION_DATE))
    assert session is not None, "expected a session"
    open_ns = int(session["open_ns"])
    names = {number: [name for name in workload.names() if _place(name, partitions) == number]
             for number in range(partitions)}  # fmt: skip
    generator, done = Generator(bootstrap, Topics().ticks, partitions), asyncio.Event()
    await generator.start()
    load = asyncio.create_task(generator.run(names, open_ns, [], rate, seconds=LOAD_SECONDS_MAX, done=done))
    found: dict[str, Restart] = {}
    endings = (("", signal.SIGKILL), ("after a kill", signal.SIGTERM), ("after a clean stop", signal.SIGTERM))
    try:
        for name, ending in endings:
            restart = await asyncio.to_thread(measured, environment, ending, snapshots=SNAPSHOTS * partitions)
            if name:
                found[name] = restart
                tell(name, restart)
            if load.done():
                raise RuntimeError(f"expected trades for {LOAD_SECONDS_MAX:g} s, found their end before the restarts'")
    finally:
        done.set()
        sent = await load
        print(f"{sent.achieved:,.0f} trades a second were taken, of {rate:,.0f}", flush=True)
        await generator.stop()
    return found


def _place(name: str, partitions: int) -> int:
    return expected_partition(name.encode(), partitions)


async def write_states(config: Config, workload: Workload, markets: Markets) -> int:
    """Write the snapshots of a worker that has read a year of bars, and no trade yet."""
    terms = terms_of_config(config)
    topics = Topics(config.kafka.prefix)
    size = 0
    for number in range(config.kafka.partitions):
        identity = Identity(config.kafka.application_id, number, config.kafka.partitions)
        engine = engine_of(number, config, terms, workload, markets)
        written = SnapshotWriter(identity).write(engine, Join(terms.join_rules), positions=Positions(0, 0))
        size += written.size
        positions = {topics.ticks: 0, topics.news: 0}
        record = committed_record(identity, STATE, positions, delivery=config.kafka.delivery)
        state = [Output(topics.state, number, *one, []) for one in (*written.records, record)]
        name = transactional_id(config.kafka.application_id, Seat(STATE, number, ()))
        committer = ExactlyOnce(config.kafka, name, timeout_seconds=60, probe=passed)
        await committer.start()
        await committer.commit(Effects([], {(topic, number): 0 for topic in positions}, state=state))
        await committer.close(finished=True)
    return size


def engine_of(number: int, config: Config, terms: Terms, workload: Workload, markets: Markets) -> Engine:
    """Return an engine that has read the history of a partition's instruments."""
    engine = Engine(terms.markets, terms.rules)
    names = [name for name in workload.names() if expected_partition(name.encode(), config.kafka.partitions) == number]
    rows = np.array([engine.instruments.row(name) for name in names], np.int64)
    dates = markets.sessions_of(MIC)["date"]
    end = int(np.searchsorted(dates, parse_date(SESSION_DATE)))
    for date in dates[end - workload.history_sessions : end].tolist():
        records, bars = np.zeros(len(rows), RECORD), np.zeros(len(rows), BAR)
        records["kind"], records["row"], records["extra"] = KIND_BAR, rows, np.arange(len(rows))
        records["append_ns"] = 2**61
        bars["date"], bars["flags"] = date, BAR_OFFICIAL | BAR_TRADED
        for column, cents in (("open", BASE), ("high", BASE + SPREAD), ("low", BASE - SPREAD), ("close", BASE)):
            bars[column] = cents * 1_000_000
        engine.fold(records, bars, np.zeros(1, np.uint8))
    return engine


def tell(name: str, restart: Restart) -> None:
    """Print a start."""
    memory = f"{restart.resident >> 20:,} MB, at most {restart.peak >> 20:,} MB"
    print(f"{name + ':':28} {restart.seconds:6.1f} s, {restart.cpu_seconds:.1f} s of processor time, {memory}")


def measured(environment: dict[str, str], ending: signal.Signals, *, snapshots: int) -> Restart:
    """Start a worker, wait for its first live record, let it take so many snapshots, and end it."""
    port = find_free_port()
    begun = time.monotonic()
    process = psutil.Popen([*COMMAND, "worker"], env=os.environ | environment | {"FIFTYTWO_WEB_PORT": str(port)})

    def wait_for(counter: re.Pattern[str], least: float) -> None:
        while read(port, counter) < least:
            if time.monotonic() - begun > LIVE_SECONDS_MAX or process.poll() is not None:
                raise RuntimeError(f"expected a live worker within {LIVE_SECONDS_MAX:g} s, found none")
            time.sleep(POLL_SECONDS)

    try:
        wait_for(CONSUMED, 1)
        seconds = time.monotonic() - begun
        spent = process.cpu_times()
        resident, peak = process.memory_info().rss, peak_of(process)
        wait_for(SNAPSHOTTED, snapshots)
        process.send_signal(ending)
        process.wait(30)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    return Restart(seconds, spent.user + spent.system, resident, peak)


def read(port: int, counter: re.Pattern[str]) -> float:
    """Return what the samples of a worker's counter come to, 0 while it does not answer."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/metrics", timeout=5) as answer:
            return sum(float(value) for value in counter.findall(answer.read().decode()))
    except OSError:
        return 0.0


def peak_of(process: psutil.Process) -> int:
    """Return the most memory that a process ever held; the kernel knows."""
    with open(f"/proc/{process.pid}/status", encoding="ascii") as status:
        for line in status:
            if line.startswith("VmHWM:"):
                return int(line.split()[1]) * 1024
    return 0


if __name__ == "__main__":
    raise SystemExit(main())
