"""Sends record batches that were encoded before, at a given rate, and keeps when the broker appended each probe."""

from __future__ import annotations

import asyncio
import random
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from aiokafka.client import AIOKafkaClient
from aiokafka.protocol.produce import ProduceRequest

from benchmarks.pulses import BASE, SPREAD, Pulse, batch_of, value_of
from streams.core.units import NS, format_time

SLOT_SECONDS: Final = 0.005
REQUESTS_IN_FLIGHT: Final = 8
REQUEST_MS: Final = 30_000
SLOTS_PER_PROBE: Final = 4  # 50 probes a second
VARIANTS: Final = 12  # different batches of each partition, sent in turn


@dataclass(frozen=True, slots=True)
class Probe:
    """A trade that must make a signal."""

    instrument: str
    partition: int
    time_ns: int
    cents: int

    @property
    def time(self) -> str:
        """Return its time as text, as the signal repeats it."""
        return format_time(self.time_ns)


@dataclass(frozen=True, slots=True)
class Load:
    """What was sent.

    Attributes:
        records: How many.
        asked: Records a second that were wanted.
        achieved: Records a second that the broker took.
        cpu_seconds: What the generator itself needed.
        wall_seconds: How long it took.
        appended: The broker's stamp on each probe, seconds, by instrument and time.
    """

    records: int
    asked: float
    achieved: float
    cpu_seconds: float
    wall_seconds: float
    appended: dict[tuple[str, str], float]


def probes(instruments: Sequence[tuple[str, int]], open_ns: int, session: int) -> list[Probe]:
    """Return two probes for every instrument: above every session so far, and below; one after the other."""
    found: list[Probe] = []
    for side in (1, -1):
        for number, (name, partition) in enumerate(instruments):
            at = open_ns + 7200 * NS + (len(found) + 1) * 1_000 + 1
            assert number < NS, "expected fewer instruments than nanoseconds"
            found.append(Probe(name, partition, at, BASE + side * (SPREAD + 1 + session)))
    return found


class Generator:
    """A client that appends ready batches to one topic."""

    def __init__(self, bootstrap: str, topic: str, partitions: int) -> None:
        self._bootstrap = bootstrap
        self._topic = topic
        self._partitions = partitions
        self._client: Any = None
        self._node = 0

    async def start(self) -> None:
        """Connect."""
        self._client = AIOKafkaClient(bootstrap_servers=self._bootstrap)
        await self._client.bootstrap()
        self._client.add_topic(self._topic)
        await self._client.force_metadata_update()
        # One broker leads everything here.
        self._node = next(iter(self._client.cluster.brokers())).nodeId

    async def stop(self) -> None:
        """Disconnect."""
        await self._client.close()

    async def append(self, batches: dict[int, bytes]) -> dict[int, float]:
        """Append one batch to each of some partitions, and return the broker's stamp of each in seconds."""
        request = ProduceRequest(None, 1, REQUEST_MS, [(self._topic, list(batches.items()))])
        response = await self._client.send(self._node, request)
        stamps: dict[int, float] = {}
        for _, answers in response.topics:
            for partition, code, _offset, stamp_ms, *_ in answers:
                if code != 0:
                    raise RuntimeError(f"expected partition {partition} to take a batch, found error {code}")
                stamps[partition] = stamp_ms / 1000
        return stamps

    async def open_session(self, instruments: Sequence[tuple[str, int]], open_ns: int) -> None:
        """Let every instrument trade once, in the middle of its year."""
        by_partition: dict[int, list[tuple[bytes, bytes]]] = {}
        for name, partition in instruments:
            by_partition.setdefault(partition, []).append((name.encode(), value_of(name, open_ns + 60 * NS, BASE)))
        await self.append({partition: batch_of(records) for partition, records in by_partition.items()})

    async def run(
        self,
        quiet: dict[int, list[str]],
        open_ns: int,
        pending: Sequence[Probe],
        records_per_second: float,
        *,
        seconds: float = 0.0,
        done: asyncio.Event | None = None,
    ) -> Load:
        """Send background trades at a rate, and with them the probes, spread at random over the time they take.

        Args:
            quiet: Instruments of the background trades, by partition.
            open_ns: Open of their session.
            pending: The probes.
            records_per_second: The rate of all.
            seconds: How long to send at least, where the probes alone take less.
            done: Sending leaves off when it is set.
        """
        random_ = random.Random(52)
        each = max(1, round(records_per_second * SLOT_SECONDS / self._partitions))
        pulses = {
            partition: [Pulse(names, each, open_ns, random_) for _ in range(VARIANTS)]
            for partition, names in quiet.items()
        }
        order = list(pending)
        random_.shuffle(order)
        slots = {
            number * SLOTS_PER_PROBE + random_.randrange(SLOTS_PER_PROBE): probe for number, probe in enumerate(order)
        }
        slot_seconds = each * self._partitions / records_per_second  # exactly: batches hold whole records
        count = max(len(order) * SLOTS_PER_PROBE, round(seconds / slot_seconds))
        appended: dict[tuple[str, str], float] = {}
        flying: set[asyncio.Task[None]] = set()
        started, cpu = time.monotonic(), time.process_time()
        for slot in range(count):
            if done is not None and done.is_set():
                count = slot
                break
            await _until(started + slot * slot_seconds)
            probe = slots.get(slot)
            batches = {partition: some[slot % VARIANTS].quiet() for partition, some in pulses.items()}
            if probe is not None:
                pulse = pulses[probe.partition][slot % VARIANTS]
                batches[probe.partition] = pulse.probing(probe.instrument, probe.time_ns, probe.cents)
            if len(flying) >= REQUESTS_IN_FLIGHT:
                await asyncio.wait(flying, return_when=asyncio.FIRST_COMPLETED)
            task = asyncio.create_task(self._send(batches, probe, appended))
            flying.add(task)
            task.add_done_callback(flying.discard)
        await asyncio.gather(*flying)
        wall = time.monotonic() - started
        sent = count * each * self._partitions
        return Load(sent, records_per_second, sent / wall, time.process_time() - cpu, wall, appended)

    async def fill(self, quiet: dict[int, list[str]], open_ns: int, records: int) -> int:
        """Append about so many background trades as fast as they are taken; return how many in each partition."""
        random_ = random.Random(7)
        each = 4_000
        pulses = {partition: Pulse(names, each, open_ns, random_) for partition, names in quiet.items()}
        times = max(1, records // (each * len(pulses)))
        for _ in range(times):
            await self.append({partition: pulse.quiet() for partition, pulse in pulses.items()})
        return times * each

    async def _send(
        self, batches: dict[int, bytes], probe: Probe | None, appended: dict[tuple[str, str], float]
    ) -> None:
        stamps = await self.append(batches)
        if probe is not None:
            appended[probe.instrument, probe.time] = stamps[probe.partition]


async def _until(moment: float) -> None:
    remaining = moment - time.monotonic()
    if remaining > 0:
        await asyncio.sleep(remaining)
