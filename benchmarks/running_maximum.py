"""Our own running maximum of each instrument: the product's transport and decoder, a compiled fold, exactly once.

It is what the product would be if this were its job. Fetched record batches reach a partition as bytes, become columns,
and a loop compiled by numba finds the new maxima. Outputs and position are committed in one transaction of the
partition. State is not stored: after a restart the log is read again from its beginning, and nothing is sent for what
was committed before.
"""

from __future__ import annotations

import argparse
import asyncio
import gc
import signal
import time
from collections import deque
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
from aiokafka import AIOKafkaProducer
from aiokafka.producer import sender
from aiokafka.structs import TopicPartition
from faust.types import TP

from benchmarks.peers.shared.report import Report, arguments
from streams.config import Config, Kafka
from streams.core.compiled import njit
from streams.core.instruments import Instruments
from streams.core.layout import KIND_TICK
from streams.core.units import format_decimal
from streams.kafka.app import StreamsApp, build_app
from streams.kafka.fetched import Fetched
from streams.kafka.transport import BatchConsumer, check_libraries
from streams.kafka.worker import tune_allocator
from streams.wire.batches import read_batches
from streams.wire.ticks import TickDecoder

SETS_MAX: Final = 2
COMMIT_SECONDS: Final = 0.1  # as Kafka Streams with exactly_once_v2
RETRY_MS: Final = 2  # a transaction waits this long where the markers of the one before are still being written


@njit
def new_maxima(records: np.ndarray, best: np.ndarray, found: np.ndarray) -> int:
    """Raise the maximum of every row, and return how many records did; `found` has their places."""
    count = 0
    for index in range(len(records)):
        record = records[index]
        if record["kind"] == KIND_TICK and record["price"] > best[record["row"]]:
            best[record["row"]] = record["price"]
            found[count] = index
            count += 1
    return count


@dataclass(slots=True)
class Partition:
    """State, position and outputs of one partition."""

    producer: Any
    instruments: Instruments
    decoder: TickDecoder
    position: int = 0
    committed: int = 0
    best: np.ndarray = field(default_factory=lambda: np.full(1024, -1, np.int64))
    sets: deque[Fetched] = field(default_factory=deque)
    outputs: list[tuple[bytes, bytes]] = field(default_factory=list)
    committing: asyncio.Task[None] | None = None
    committed_at: float = 0.0


class RunningMaximum:
    """Folds what is fetched, partition by partition."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._options = options
        self._report = Report(0, options.records)
        self._partitions: dict[int, Partition] = {}
        self._woken = asyncio.Event()
        self.consumer: BatchConsumer | None = None

    def offer(self, fetched: Fetched) -> None:
        """Take what was fetched, and hold the partition back when enough is at hand."""
        partition = self._partitions[fetched.partition]
        partition.sets.append(fetched)
        if len(partition.sets) >= SETS_MAX and self.consumer is not None:
            self.consumer.hold(TP(fetched.topic, fetched.partition))
        self._woken.set()

    async def assign(self, assigned: frozenset[TP]) -> Mapping[TP, int]:
        """Fence whoever had the partitions, and read them from the beginning."""
        assert self.consumer is not None, "expected a consumer"
        committed = await self.consumer.committed(assigned)
        for tp in sorted(assigned):
            producer = AIOKafkaProducer(
                bootstrap_servers=self._options.bootstrap,
                transactional_id=f"{self._options.group}-{tp.partition}",
                acks="all",
                max_batch_size=262_144,
                retry_backoff_ms=RETRY_MS,
            )
            await producer.start()
            instruments = Instruments(["XNYS"])
            self._partitions[tp.partition] = Partition(
                producer, instruments, TickDecoder(instruments), committed=committed[tp] or 0
            )
        return dict.fromkeys(assigned, 0)

    async def revoke(self) -> None:
        """Finish the running transactions."""
        for partition in self._partitions.values():
            if partition.committing is not None:
                await partition.committing
            await partition.producer.stop()
        self._partitions.clear()

    async def run(self) -> None:
        """Fold and commit, until cancelled."""
        while True:
            await self._wait()
            for number, partition in list(self._partitions.items()):
                if partition.sets:
                    fetched = partition.sets.popleft()
                    self._fold(partition, fetched)
                    if self.consumer is not None:
                        self.consumer.release(TP(fetched.topic, number))
                self._commit_when_due(number, partition)
            await asyncio.sleep(0)

    async def _wait(self) -> None:
        if any(partition.sets for partition in self._partitions.values()):
            return
        try:
            async with asyncio.timeout(COMMIT_SECONDS / 4):
                await self._woken.wait()
        except TimeoutError:
            pass
        self._woken.clear()

    def _fold(self, partition: Partition, fetched: Fetched) -> None:
        self._report.begin()
        decoded = partition.decoder.decode(read_batches(fetched.data))
        records = decoded.records
        rows = len(partition.instruments)
        while rows > len(partition.best):
            partition.best = np.concatenate([partition.best, np.full(len(partition.best), -1, np.int64)])
        found = np.empty(len(records), np.int64)
        count = new_maxima(records, partition.best, found)
        for record in records[found[:count]]:
            if record["offset"] >= partition.committed:
                name = partition.instruments.id(int(record["row"]))
                price = format_decimal(int(record["price"]))
                value = f'{{"instrument":"{name}","price":"{price}"}}'
                partition.outputs.append((name.encode(), value.encode()))
        partition.position = fetched.next_offset
        self._report.batch(len(records))

    def _commit_when_due(self, number: int, partition: Partition) -> None:
        if partition.committing is not None:
            if not partition.committing.done():
                return
            partition.committing.result()
            partition.committing = None
        now = time.monotonic()
        if partition.position > partition.committed and now - partition.committed_at >= COMMIT_SECONDS:
            partition.committed_at = now
            partition.committing = asyncio.create_task(self._commit(number, partition))

    async def _commit(self, number: int, partition: Partition) -> None:
        producer, outputs, position = partition.producer, partition.outputs, partition.position
        partition.outputs = []
        async with producer.transaction():
            batch = producer.create_batch()
            for key, value in outputs:
                if batch.append(timestamp=None, key=key, value=value) is None:
                    await producer.send_batch(batch, self._options.output, partition=number)
                    batch = producer.create_batch()
                    batch.append(timestamp=None, key=key, value=value)
            if batch.record_count():
                await producer.send_batch(batch, self._options.output, partition=number)
            place = TopicPartition(self._options.topic, number)
            await producer.send_offsets_to_transaction({place: position}, self._options.group)
        partition.committed = max(partition.committed, position)


async def run(options: argparse.Namespace) -> None:
    """Run the app until SIGTERM."""
    # The broker takes some milliseconds to end a transaction; the client waits 20 for it unless told otherwise.
    sender.BACKOFF_OVERRIDE = RETRY_MS / 1000
    told = asyncio.Event()
    for number in (signal.SIGTERM, signal.SIGINT):
        asyncio.get_running_loop().add_signal_handler(number, told.set)
    config = Config(kafka=Kafka(bootstrap_servers=options.bootstrap, application_id=options.group))
    maximum = RunningMaximum(options)
    app: StreamsApp = build_app(config, maximum, [("ticks", options.topic)])
    assert isinstance(app.consumer, BatchConsumer), "expected our consumer"
    maximum.consumer = app.consumer
    await app.start()
    gc.collect()
    gc.freeze()
    folding = asyncio.create_task(maximum.run())
    stopped = asyncio.create_task(told.wait())
    await asyncio.wait({folding, stopped}, return_when=asyncio.FIRST_COMPLETED)
    if folding.done():
        folding.result()
    folding.cancel()
    await maximum.revoke()
    await app.stop()


def main() -> None:
    """Warm what is compiled, and run."""
    options = arguments()
    check_libraries()
    tune_allocator()
    _warm()
    asyncio.run(run(options))


# Before the group is joined: compiling takes longer than a member may be silent.
def _warm() -> None:
    from streams.core.layout import RECORD
    from streams.wire.warm import warm

    warm()
    new_maxima(np.zeros(0, RECORD), np.zeros(0, np.int64), np.zeros(0, np.int64))


if __name__ == "__main__":
    main()
