"""Publishes a workload into Kafka in full batches, so that filling the topic takes seconds."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Collection, Iterable
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.partitioner import murmur2

from benchmarks.workload import Chunk, Workload, bars, clocks, ticks
from streams.core.sessions import Markets

BATCH_BYTES: Final = 1_000_000
BATCHES_IN_FLIGHT: Final = 16
HELD_MS_MAX: Final = 600_000
BARS: Final = "bars"
TRADES: Final = "trades"
CLOCKS: Final = "clocks"
PARTS: Final = (BARS, TRADES, CLOCKS)


@dataclass(frozen=True, slots=True)
class Published:
    """How many records of each kind stand in each partition; the history comes first."""

    history: list[int]
    session: list[int]

    @property
    def records(self) -> int:
        """Return how many records there are."""
        return sum(self.history) + sum(self.session)


class Loader:
    """Appends records to the partitions of one topic, each batch as large as the broker takes it."""

    def __init__(
        self, producer: AIOKafkaProducer, topic: str, partitions: int, *, batch_records: int | None = None
    ) -> None:
        self._batch_records = batch_records
        self._producer = producer
        self._topic = topic
        self._builders = [producer.create_batch() for _ in range(partitions)]
        self._partition: dict[bytes, int] = {}
        self._sent: list[asyncio.Future[Any]] = []
        self.records = [0] * partitions

    async def append(self, key: bytes | None, value: bytes) -> None:
        """Append one record: to the partition of its key, or to every partition without one."""
        if key is None:
            for partition in range(len(self._builders)):
                await self._append(partition, None, value)
            return
        partition = self._partition.get(key, -1)
        if partition < 0:
            partition = (murmur2(key) & 0x7FFFFFFF) % len(self._builders)
            self._partition[key] = partition
        await self._append(partition, key, value)

    async def flush(self) -> None:
        """Send what is left and wait until the broker has all of it."""
        for partition, builder in enumerate(self._builders):
            if builder.record_count():
                await self._send(partition)
        await asyncio.gather(*self._sent)
        self._sent.clear()

    async def _append(self, partition: int, key: bytes | None, value: bytes) -> None:
        self.records[partition] += 1
        builder = self._builders[partition]
        is_full = self._batch_records is not None and builder.record_count() >= self._batch_records
        if is_full or builder.append(timestamp=None, key=key, value=value) is None:
            await self._send(partition)
            self._builders[partition].append(timestamp=None, key=key, value=value)

    async def _send(self, partition: int) -> None:
        builder, self._builders[partition] = self._builders[partition], self._producer.create_batch()
        builder.close()
        self._sent.append(await self._producer.send_batch(builder, self._topic, partition=partition))
        if len(self._sent) >= BATCHES_IN_FLIGHT:
            await asyncio.gather(*self._sent)
            self._sent.clear()


async def publish(
    bootstrap: str,
    topic: str,
    partitions: int,
    workload: Workload,
    markets: Markets,
    progress: Callable[[str], None],
    *,
    compression: str | None = None,
    parts: Collection[str] = PARTS,
    observe: Callable[[bytes], None] | None = None,
) -> Published:
    """Publish the history and the session.

    Args:
        bootstrap: Address of the broker.
        topic: Where to.
        partitions: How many the topic has.
        workload: What to publish.
        markets: Hours of the market.
        progress: Told what is being done.
        compression: Codec of the batches.
        parts: Which of bars, trades and clocks to publish.
        observe: Given the value of every bar and trade, in order.
    """
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap, max_batch_size=BATCH_BYTES, acks=1, compression_type=compression
    )
    await producer.start()
    try:
        loader = Loader(producer, topic, partitions)
        if BARS in parts:
            progress(f"publishing {workload.bars:,} bars")
            await _append_all(loader, bars(workload, markets), observe)
        history = loader.records
        loader = Loader(producer, topic, partitions)
        if TRADES in parts:
            pending = clocks(workload, markets) if CLOCKS in parts else []
            await _append_session(loader, workload, markets, pending, progress, observe)
    finally:
        await producer.stop()
    return Published(history, loader.records)


class HeldSession:
    """A session in the topic that a committed reader does not see before it is released: all of it at once."""

    def __init__(self, producer: AIOKafkaProducer, records: list[int]) -> None:
        self._producer = producer
        self.records = records
        """How many of trades and clocks each partition has."""

    async def release(self) -> None:
        """Let it be read."""
        await self._producer.commit_transaction()

    async def close(self) -> None:
        """End the producer, and with it what is still held."""
        await self._producer.stop()


async def hold_session(
    bootstrap: str,
    topic: str,
    partitions: int,
    workload: Workload,
    markets: Markets,
    progress: Callable[[str], None],
    *,
    compression: str | None = None,
    batch_records: int | None = None,
    observe: Callable[[bytes], None] | None = None,
) -> HeldSession:
    """Publish trades and clocks in one transaction that is left open; `batch_records` at most in a batch."""
    producer = AIOKafkaProducer(
        bootstrap_servers=bootstrap,
        max_batch_size=BATCH_BYTES,
        compression_type=compression,
        transactional_id=f"{topic}-session",
        transaction_timeout_ms=HELD_MS_MAX,
    )
    await producer.start()
    await producer.begin_transaction()
    loader = Loader(producer, topic, partitions, batch_records=batch_records)
    await _append_session(loader, workload, markets, clocks(workload, markets), progress, observe)
    return HeldSession(producer, loader.records)


async def _append_session(
    loader: Loader,
    workload: Workload,
    markets: Markets,
    pending: list[tuple[int, bytes]],
    progress: Callable[[str], None],
    observe: Callable[[bytes], None] | None,
) -> None:
    count = workload.first or workload.ticks
    progress(f"publishing {count:,} ticks")
    fed = 0
    for chunk in ticks(workload, markets):
        for key, value, said in zip(chunk.keys, chunk.values, chunk.said or chunk.values, strict=True):
            while pending and pending[0][0] <= fed:
                await loader.append(None, pending.pop(0)[1])
            await loader.append(key, value)
            fed += 1
            if observe is not None:
                observe(said)
        progress(f"published {fed:,} of {count:,} ticks")
    for _, value in pending:
        await loader.append(None, value)
    await loader.flush()


async def _append_all(loader: Loader, chunks: Iterable[Chunk], observe: Callable[[bytes], None] | None) -> None:
    for chunk in chunks:
        for key, value in zip(chunk.keys, chunk.values, strict=True):
            await loader.append(key, value)
            if observe is not None:
                observe(value)
    await loader.flush()
