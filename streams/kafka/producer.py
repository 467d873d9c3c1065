"""Writing: records in batches to explicit partitions, and the commit that passes them.

`create_batch`, `append` and `send_batch` cost 0.5 us a record; `topic.send` of Faust costs 76 us.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

from aiokafka import AIOKafkaProducer

from streams.config import Kafka
from streams.kafka.effects import Effects, Output, Place, by_place
from streams.kafka.security import client_settings
from streams.kafka.topics import DLQ_MARGIN_BYTES

BATCH_BYTES: Final = 262_144
"""Below every limit of a topic; a record larger than this travels alone in its batch."""

REQUEST_SECONDS: Final = 40
"""A batch that is not acknowledged by then is given up, and the worker with it."""


class Committer(Protocol):
    """Makes effects final: outputs written, then positions passed."""

    async def commit(self, effects: Effects) -> None:
        """Write all outputs and commit the positions. When it returns, neither can be lost."""


class Producer:
    """An idempotent producer for outputs. One a worker; records of one partition keep their order."""

    def __init__(self, kafka: Kafka) -> None:
        self._producer: Any = AIOKafkaProducer(
            client_id=f"fiftytwo-{kafka.application_id}",
            acks="all",
            enable_idempotence=True,
            max_batch_size=BATCH_BYTES,
            # Two margins: copies of articles may be larger than articles, dead letters larger than what they carry.
            max_request_size=kafka.record_bytes_max + 3 * DLQ_MARGIN_BYTES,
            request_timeout_ms=REQUEST_SECONDS * 1000,
            retry_backoff_ms=20,
            linger_ms=0,
            **client_settings(kafka),
        )

    async def start(self) -> None:
        """Connect."""
        try:
            await self._producer.start()
        except BaseException:
            await self._producer.stop()
            raise

    async def stop(self) -> None:
        """Disconnect. What was not acknowledged is given up: its position was not committed either."""
        await self._producer.stop()

    async def write(self, outputs: list[Output]) -> None:
        """Write outputs and wait until the brokers have acknowledged all of them.

        Raises:
            aiokafka.errors.KafkaError: A batch was refused or not acknowledged in time.
        """
        if outputs:
            await asyncio.gather(*(self._write_place(place, records) for place, records in by_place(outputs)))

    # Batches of a partition are handed over in order and acknowledged together.
    async def _write_place(self, place: Place, records: list[Output]) -> None:
        topic, partition = place
        acknowledged: list[asyncio.Future[Any]] = []
        batch = self._producer.create_batch()
        for record in records:
            if not _append(batch, record):
                acknowledged.append(await self._producer.send_batch(batch, topic, partition=partition))
                batch = self._producer.create_batch()
                _append(batch, record)
        acknowledged.append(await self._producer.send_batch(batch, topic, partition=partition))
        await asyncio.gather(*acknowledged)


def _append(batch: Any, record: Output) -> bool:
    appended = batch.append(timestamp=record.timestamp_ms, key=record.key, value=record.value, headers=record.headers)
    return appended is not None


class AtLeastOnce:
    """Commits without transactions: outputs first, positions when they are acknowledged.

    A crash between the two writes the outputs again; their ids are made of their content, so who keeps the greatest
    revision of each sees the same.
    """

    def __init__(self, producer: Producer, commit_positions: Callable[[Mapping[Any, int]], Awaitable[None]]) -> None:
        self._producer = producer
        self._commit_positions = commit_positions

    async def commit(self, effects: Effects) -> None:
        """Write all outputs, wait for their acknowledgement, and commit the positions."""
        await self._producer.write(effects.outputs)
        if effects.positions:
            await self._commit_positions(effects.positions)
