"""How long a signal takes: from the broker's stamp on a trade to the receipt of its signal by a committed reader.

`make bench-latency` runs the worker exactly once and at least once at 1 %, 50 % and 90 % of its full rate, with the
signals in one partition and in all, and Kafka Streams with exactly_once_v2 at half of its own full rate. Trades are
encoded before they are sent. The broker's stamp is whole milliseconds, cut off: half a millisecond too much on average.
"""

from __future__ import annotations

import argparse
import asyncio
import json
import os
import platform
import sys
import tempfile
from collections import Counter
from collections.abc import AsyncIterator, Iterable, Sequence
from contextlib import asynccontextmanager
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

import numpy as np
from aiokafka import AIOKafkaProducer

from benchmarks.broker import measured_broker
from benchmarks.contest import running
from benchmarks.contestants import EXACTLY_ONCE, Entry, kafka_streams
from benchmarks.generator import Generator, probes
from benchmarks.held import Step, held_rate
from benchmarks.loader import BATCH_BYTES, Loader, Published
from benchmarks.outputs import make_topic, remove_topics
from benchmarks.progress import end_in_order, other_work, say
from benchmarks.pulses import bar_of, names
from benchmarks.receiver import Receiver, receiving
from benchmarks.running import (
    SIGNALS_TOPIC,
    TICKS_TOPIC,
    apply_topics,
    consumed,
    warm_up,
    worker_environment,
    worker_run,
)
from benchmarks.workload import MIC, SESSION_DATE
from streams.calendars import load_markets
from streams.core.sessions import Markets
from streams.core.units import format_date, format_time, parse_date
from tests.integration.apache import ApacheUnavailable

DELIVERIES: Final = ["exactly_once", "at_least_once"]
LOADS: Final = (0.01, 0.5, 0.9)
QUIET_INSTRUMENTS: Final = 1_000
SESSIONS: Final = 262
TAIL_SECONDS: Final = 60.0  # a backlog is waited for, so that it does not delay the next measurement
SETTLE_SECONDS: Final = 2.0
WARM_UP_LOAD: Final = 0.5
FLOOR: Final = 0.97  # below this share of the rate asked for, the generator or the broker was the limit
PREFIX: Final = "latency."
TABLE_HEAD: Final = (
    "| who | signals in | load | ticks/s | p50 ms | p99 ms | p99.9 ms | signals | generator, cores |",
    "|---|---|--:|--:|--:|--:|--:|--:|--:|",
)


@dataclass(frozen=True, slots=True)
class Row:
    """One line of the table; latencies in milliseconds."""

    contestant: str
    signals_in: str
    load: float
    asked: int
    achieved: int
    samples: int
    missing: int
    p50: float
    p99: float
    p999: float
    generator_cores: float


class Market:
    """Instruments and sessions of the measurement."""

    def __init__(self, markets: Markets, partitions: int, probe_count: int) -> None:
        self.partitions = partitions
        self._markets = markets
        dates = markets.sessions_of(MIC)["date"]
        self._first = int(np.searchsorted(dates, parse_date(SESSION_DATE)))
        self._dates = dates
        each = QUIET_INSTRUMENTS // partitions
        self.quiet = {number: names("B", number, partitions, each) for number in range(partitions)}
        half = probe_count // 2
        self.in_one = [(name, 0) for name in names("P", 0, partitions, half)]
        self.in_all = [
            (name, number)
            for number in range(partitions)
            for name in names("P", number, partitions, half // partitions)
        ]

    @property
    def instruments(self) -> list[tuple[str, int]]:
        """Return all instruments and their partitions."""
        quiet = [(name, number) for number, some in self.quiet.items() for name in some]
        return [*quiet, *dict.fromkeys([*self.in_one, *self.in_all])]

    def session(self, number: int) -> tuple[str, int, int]:
        """Return date, open and close of a session; each measurement has one of its own."""
        found = self._markets.session_on(MIC, int(self._dates[self._first + number]))
        assert found is not None, "expected a session"
        return format_date(int(found["date"])), int(found["open_ns"]), int(found["close_ns"])

    def bars(self) -> Iterable[tuple[bytes, bytes]]:
        """Yield a year of daily bars."""
        for date in self._dates[self._first - SESSIONS : self._first]:
            day = format_date(int(date))
            for name, _ in self.instruments:
                yield name.encode(), bar_of(name, day)


@asynccontextmanager
async def feeding(bootstrap: str, topic: str, market: Market, burst: int) -> AsyncIterator[tuple[Generator, Published]]:
    """Publish the history and a burst of trades; yield the generator and what was published."""
    producer = AIOKafkaProducer(bootstrap_servers=bootstrap, max_batch_size=BATCH_BYTES, acks=1)
    await producer.start()
    try:
        loader = Loader(producer, topic, market.partitions)
        say("publishing the history")
        for key, value in market.bars():
            await loader.append(key, value)
        await loader.flush()
    finally:
        await producer.stop()
    generator = Generator(bootstrap, topic, market.partitions)
    await generator.start()
    try:
        _, open_ns, _ = market.session(0)
        await generator.open_session(market.instruments, open_ns)
        filled = await generator.fill(market.quiet, open_ns, burst)
        opened = Counter(partition for _, partition in market.instruments)
        yield generator, Published(loader.records, [filled + opened[number] for number in range(market.partitions)])
    finally:
        await generator.stop()


async def measure_ours(bootstrap: str, market: Market, options: argparse.Namespace, delivery: str) -> list[Row]:
    """Measure the worker: its full rate over the burst first, then every load."""
    prefix = f"{PREFIX}{delivery}."
    environment = worker_environment(bootstrap, market.partitions, KAFKA_PREFIX=prefix, KAFKA_DELIVERY=delivery)
    apply_topics(environment)
    rows: list[Row] = []
    async with feeding(bootstrap, prefix + TICKS_TOPIC, market, options.burst) as (generator, published):
        # An empty set is all of them.
        cores = set() if options.unpinned else {(os.cpu_count() or 1) - 1}
        with worker_run(environment, published, say, cores=cores) as run:
            label = f"Fiftytwo, {delivery.replace('_', ' ')}"
            with receiving(bootstrap, prefix + SIGNALS_TOPIC, market.partitions) as receiver:
                rate = options.rate or await _held(generator, market, run.port, prefix + TICKS_TOPIC)
                print(f"{label}: full rate {rate:,.0f}/s, held", flush=True)
                # The broker has written no signal yet: its code for that is compiled while these are on their way.
                await _measure(generator, receiver, market, market.in_all, 0, rate * WARM_UP_LOAD)
                number = 1
                for where, instruments in (("one partition", market.in_one), ("all partitions", market.in_all)):
                    for load in options.loads:
                        row = await _measure(generator, receiver, market, instruments, number, rate * load)
                        number += 1
                        rows.append(Row(label, where, load, *row))
                        print(line(rows[-1]), flush=True)
    remove_topics(bootstrap, lambda name: name.startswith(prefix))
    return rows


async def _held(generator: Generator, market: Market, port: int, topic: str) -> float:
    def tell(step: Step) -> None:
        how = "held" if step.is_held else f"not held: {step.achieved:,.0f} taken, read {step.drain_seconds:.2f} s later"
        print(f"  {step.asked:,.0f} ticks/s {how}", flush=True)

    _, open_ns, _ = market.session(0)
    return await held_rate(generator, market.quiet, open_ns, lambda: consumed(port, topic), tell)


async def measure_kafka_streams(bootstrap: str, market: Market, options: argparse.Namespace) -> list[Row]:
    """Measure Kafka Streams with exactly_once_v2 at half of its own full rate."""
    topic, output = f"{PREFIX}streams.ticks", f"{PREFIX}streams.out"
    make_topic(bootstrap, topic, market.partitions)
    make_topic(bootstrap, output, market.partitions)
    date, open_ns, close_ns = market.session(0)
    async with feeding(bootstrap, topic, market, options.burst) as (generator, published):
        with tempfile.TemporaryDirectory(prefix="fiftytwo-bench-") as folder:
            entry = Entry(
                bootstrap=bootstrap,
                topic=topic,
                output=output,
                group=f"{PREFIX}streams",
                folder=Path(folder),
                partitions=market.partitions,
                history=sum(published.history),
                records=published.records,
                session=(date, format_time(open_ns), format_time(close_ns)),
            )
            command, environment = kafka_streams("Breakouts", "rocksdb", EXACTLY_ONCE)(entry)
            with running(command, environment, seconds_max=900) as timing:
                rate = timing.records / timing.wall_seconds
                label = "Kafka Streams, exactly once"
                print(f"{label}: full rate {rate:,.0f}/s over {timing.records:,} records", flush=True)
                with receiving(bootstrap, output, market.partitions) as receiver:
                    others = [probe for probe in market.in_one if probe not in market.in_all]
                    await _measure(generator, receiver, market, others, 0, rate * WARM_UP_LOAD, is_open=True)
                    row = await _measure(generator, receiver, market, market.in_all, 0, rate * 0.5, is_open=True)
    remove_topics(bootstrap, lambda name: name.startswith(f"{PREFIX}streams"))
    found = Row("Kafka Streams, exactly once", "all partitions", 0.5, *row)
    print(line(found), flush=True)
    return [found]


async def _measure(
    generator: Generator,
    receiver: Receiver,
    market: Market,
    instruments: Sequence[tuple[str, int]],
    number: int,
    rate: float,
    *,
    is_open: bool = False,
) -> tuple[int, int, int, int, float, float, float, float]:
    _, open_ns, _ = market.session(number)
    if number and not is_open:
        await generator.open_session(market.instruments, open_ns)
    await asyncio.sleep(SETTLE_SECONDS)
    receiver.drop()
    pending = probes(instruments, open_ns, number)
    say(f"{len(pending)} probes at {rate:,.0f} ticks/s")
    load = await generator.run(market.quiet, open_ns, pending, rate)
    arrivals = await asyncio.to_thread(receiver.take, len(pending), TAIL_SECONDS)
    waited = [
        (at - load.appended[instrument, moment]) * 1000
        for instrument, moment, at in arrivals
        if (instrument, moment) in load.appended
    ]
    p50, p99, p999 = np.percentile(waited, [50, 99, 99.9]) if waited else (np.nan,) * 3
    cores = load.cpu_seconds / load.wall_seconds
    numbers = (round(load.asked), round(load.achieved), len(waited), len(pending) - len(waited))
    return (*numbers, float(p50), float(p99), float(p999), cores)


def line(row: Row) -> str:
    """Return one line of the table, Markdown too."""
    reached = f"{row.achieved:,}" if row.achieved >= FLOOR * row.asked else f"{row.achieved:,} (of {row.asked:,} asked)"
    missing = f", {row.missing} missing" if row.missing else ""
    return (
        f"| {row.contestant} | {row.signals_in} | {row.load:.0%} | {reached} | {row.p50:.1f} | {row.p99:.1f} | "
        f"{row.p999:.1f} | {row.samples:,}{missing} | {row.generator_cores:.2f} |"
    )


def main() -> int:
    """Measure what the command line asks for."""
    options = _options()
    end_in_order()
    market = Market(load_markets([MIC]), options.partitions, options.probes)
    machine = f"{platform.machine()}, {os.cpu_count()} cores for broker, worker, generator and consumer{other_work()}"
    print(machine, flush=True)
    rows: list[Row] = []
    warm_up()
    try:
        with measured_broker() as broker:
            for delivery in options.delivery:
                rows += asyncio.run(measure_ours(broker.bootstrap, market, options, delivery))
            if not options.without_peer:
                rows += asyncio.run(measure_kafka_streams(broker.bootstrap, market, options))
    except ApacheUnavailable as missing:
        print(missing, file=sys.stderr)
        return 1
    print("\n".join(["", *TABLE_HEAD, *map(line, rows)]))
    options.json.parent.mkdir(parents=True, exist_ok=True)
    report: dict[str, Any] = {"machine": machine, "rows": [asdict(row) for row in rows]}
    options.json.write_text(json.dumps(report, indent=2) + "\n")
    return 0 if not any(row.missing for row in rows) else 1


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="python -m benchmarks.latency", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--probes", type=int, default=1_000, help="signals in each measurement, 50 a second")
    parser.add_argument("--burst", type=int, default=3_000_000, help="trades that the full rate is measured over")
    parser.add_argument("--rate", type=float, default=0.0, help="the full rate, instead of finding the one held")
    parser.add_argument("--loads", type=float, nargs="*", default=list(LOADS))
    parser.add_argument("--partitions", type=int, default=4)
    parser.add_argument(
        "--delivery", nargs="*", default=["exactly_once", "at_least_once"], help="exactly_once, at_least_once"
    )
    parser.add_argument("--unpinned", action="store_true", help="let the worker use every core, not one")
    parser.add_argument("--without-peer", action="store_true", help="leave Kafka Streams out")
    parser.add_argument("--json", type=Path, default=Path(".cache/bench/latency.json"))
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
