"""How long a worker takes to be live again, and how much memory it holds: a year of bars of many instruments.

`python -m benchmarks.restart` makes the state of a worker that has read a year of bars, writes its snapshots to a real
Apache Kafka, and starts a worker with trades in the log: as many to be replayed after the snapshot as were read since,
and some that nobody has read. Measured is the time from the start of the process to the first of these processed.
Then the same after a clean stop.
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

import numpy as np
import psutil
from aiokafka import AIOKafkaConsumer, TopicPartition

from benchmarks.loader import publish
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
SETTLE_SECONDS: Final = 15.0
LIVE_SECONDS_MAX: Final = 1_800.0
CONSUMED: Final = re.compile(r'^fiftytwo_records_consumed_total\{topic="market\.ticks\.v1"\} (\S+)$', re.MULTILINE)


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
    parser.add_argument("--ticks", type=int, default=4_000_000, help="trades of the session")
    parser.add_argument("--partitions", type=int, default=4)
    options = parser.parse_args()
    from benchmarks.broker import measured_broker

    with measured_broker() as broker:
        measure_restarts(
            broker.bootstrap, instruments=options.instruments, ticks=options.ticks, partitions=options.partitions
        )
    return 0


def measure_restarts(bootstrap: str, *, instruments: int, ticks: int, partitions: int) -> dict[str, Restart]:
    """Measure both kinds of restart on a broker with nothing on it yet, print them and return them by name."""
    workload = Workload(instruments=instruments, ticks=ticks)
    markets = load_markets([MIC])
    environment = worker_environment(bootstrap, partitions)
    apply_topics(environment)
    topics = Topics()

    async def load() -> None:
        await publish(bootstrap, topics.ticks, partitions, workload, markets, _quiet, trades_only=True)

    asyncio.run(load())
    size = asyncio.run(write_states(load_config(None, environment), workload, markets))
    print(f"{instruments:,} instruments, {size >> 20:,} MB of snapshots, {ticks:,} trades to replay", flush=True)
    found: dict[str, Restart] = {}
    for name in ("after a kill", "after a clean stop"):
        asyncio.run(load())
        found[name] = measured(environment, lambda seen: seen > 0, signal.SIGTERM, settle_seconds=SETTLE_SECONDS)
        tell(name, found[name])
    return found


async def write_states(config: Config, workload: Workload, markets: Markets) -> int:
    """Write the snapshots of workers that have read a year of bars and, since then, every trade there is."""
    terms = terms_of_config(config)
    topics = Topics(config.kafka.prefix)
    size = 0
    for number in range(config.kafka.partitions):
        identity = Identity(config.kafka.application_id, number, config.kafka.partitions)
        engine = engine_of(number, config, terms, workload, markets)
        written = SnapshotWriter(identity).write(engine, Join(terms.join_rules), positions=Positions(0, 0))
        size += written.size
        end = await end_of(config, topics.ticks, number)
        positions = {topics.ticks: end, topics.news: 0}
        record = committed_record(identity, STATE, positions, delivery=config.kafka.delivery)
        state = [Output(topics.state, number, *one, []) for one in (*written.records, record)]
        name = transactional_id(config.kafka.application_id, Seat(STATE, number, ()))
        committer = ExactlyOnce(config.kafka, name, timeout_seconds=60, probe=passed)
        await committer.start()
        await committer.commit(Effects([], {(topics.ticks, number): end, (topics.news, number): 0}, state=state))
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
        for column, cents in (("open", 9500), ("high", 10_000), ("low", 9000), ("close", 9500)):
            bars[column] = cents * 1_000_000
        engine.fold(records, bars, np.zeros(1, np.uint8))
    return engine


async def end_of(config: Config, topic: str, partition: int) -> int:
    """Return the offset after a partition's newest record."""
    consumer = AIOKafkaConsumer(bootstrap_servers=config.kafka.bootstrap_servers)
    await consumer.start()
    try:
        place = TopicPartition(topic, partition)
        end: int = (await consumer.end_offsets([place]))[place]
        return end
    finally:
        await consumer.stop()


def tell(name: str, restart: Restart) -> None:
    """Print a start."""
    memory = f"{restart.resident >> 20:,} MB, at most {restart.peak >> 20:,} MB"
    print(f"{name + ':':28} {restart.seconds:6.1f} s, {restart.cpu_seconds:.1f} s of processor time, {memory}")


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
        spent = process.cpu_times()
        resident, peak = process.memory_info().rss, peak_of(process)
        time.sleep(settle_seconds)
        process.send_signal(ending)
        process.wait(30)
    finally:
        if process.poll() is None:
            process.kill()
            process.wait()
    return Restart(seconds, spent.user + spent.system, resident, peak)


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
