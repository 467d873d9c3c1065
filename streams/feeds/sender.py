"""Writes steps to Kafka in batches: ticks and bars by instrument, articles by their id, clocks to every partition.

The batches are built here rather than by `producer.send`: a clock goes to many partitions and must stay in front of
the tick that it announces, and a future for every record would cost more than the record.
"""

from __future__ import annotations

import asyncio
from collections import deque
from functools import lru_cache
from types import TracebackType
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.errors import KafkaError, KafkaTimeoutError

from streams.config import Config
from streams.feeds.steps import Step
from streams.kafka.security import client_settings
from streams.kafka.topics import BrokersUnreachable, Topics, apply_command, connect, expected_partition

BATCH_BYTES: Final = 262_144  # Some thousand records: the cost of a request vanishes, and every broker takes it.
IN_FLIGHT_MAX: Final = 32  # Batches sent and not yet acknowledged; bounds memory at 8 MiB.
KEYS_REMEMBERED: Final = 65_536  # More than any market has instruments; some ten megabytes at most.
REQUEST_MARGIN_BYTES: Final = 65_536  # Framing around a record of the largest size.


REQUEST_SECONDS: Final = 40.0  # How long a batch is tried again before it is given up.


class FeedError(RuntimeError):
    """Nothing more can be written; the text says why and what to do."""

    @property
    def may_pass(self) -> bool:
        """Tell whether the broker may take the same record later: it was silent, or asked to try again."""
        cause = self.__cause__
        return isinstance(cause, OSError | KafkaTimeoutError) or (isinstance(cause, KafkaError) and cause.retriable)


class Sender:
    """A producer for steps. Use it as an asynchronous context manager.

    Records of one partition keep their order. A record is safe once `flush` has returned: every in-sync replica has it.
    """

    def __init__(self, config: Config) -> None:
        self.topics = Topics(config.kafka.prefix)
        self.sent = 0
        self._config = config
        self._producer: Any = None
        self._partitions: dict[str, int] = {}
        self._batches: dict[tuple[str, int], Any] = {}
        self._in_flight: deque[asyncio.Future[Any]] = deque()

    async def __aenter__(self) -> Sender:
        kafka = self._config.kafka
        async with connect(kafka) as admin:
            found = {topic["topic"]: len(topic["partitions"]) for topic in await admin.describe_topics(None)}
        for name in self.topics.inputs:
            if name not in found:
                raise FeedError(
                    f"expected the topic {name}, found none: run `{apply_command(kafka.prefix)}`, or check kafka.prefix"
                )
            self._partitions[name] = found[name]
        self._producer = AIOKafkaProducer(
            client_id="fiftytwo-feed",
            acks="all",
            enable_idempotence=False,
            max_request_size=kafka.record_bytes_max + REQUEST_MARGIN_BYTES,
            max_batch_size=BATCH_BYTES,
            request_timeout_ms=int(REQUEST_SECONDS * 1000),
            **client_settings(kafka),
        )
        try:
            await self._producer.start()
        except (KafkaError, OSError) as error:
            await self._producer.stop()
            raise BrokersUnreachable(
                f"expected a broker at {kafka.bootstrap_servers}, found: {error}: "
                "start it, or set kafka.bootstrap_servers"
            ) from error
        return self

    async def __aexit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        await self._producer.stop()

    async def send(self, step: Step) -> None:
        """Write a step. It may wait in a batch until `flush`.

        Raises:
            FeedError: The broker refused an earlier batch.
        """
        if step.kind == "clock":
            for topic in (self.topics.ticks, self.topics.news):
                for partition in range(self._partitions[topic]):
                    await self._append(topic, partition, None, step.value)
        elif step.kind == "session":
            for partition in range(self._partitions[self.topics.ticks]):
                await self._append(self.topics.ticks, partition, None, step.value)
        else:
            topic = self.topics.articles if step.kind == "article" else self.topics.ticks
            await self._append(topic, _place(step.key, self._partitions[topic]), step.key.encode(), step.value)
        self.sent += 1

    async def flush(self) -> None:
        """Wait until everything sent so far is acknowledged.

        Raises:
            FeedError: The broker refused a batch. What was not acknowledged is forgotten; more may be sent.
        """
        try:
            for place in list(self._batches):
                await self._ship(place)
            while self._in_flight:
                await self._settle(self._in_flight.popleft())
        except FeedError:
            self._batches.clear()
            await asyncio.gather(*self._in_flight, return_exceptions=True)
            self._in_flight.clear()
            raise

    async def _append(self, topic: str, partition: int, key: bytes | None, value: bytes) -> None:
        place = (topic, partition)
        batch = self._batches.get(place)
        if batch is None or batch.append(timestamp=None, key=key, value=value) is None:
            if batch is not None:
                await self._ship(place)
            batch = self._batches[place] = self._producer.create_batch()
            batch.append(timestamp=None, key=key, value=value)

    async def _ship(self, place: tuple[str, int]) -> None:
        batch = self._batches.pop(place)
        topic, partition = place
        while len(self._in_flight) >= IN_FLIGHT_MAX:
            await self._settle(self._in_flight.popleft())
        try:
            future = await self._producer.send_batch(batch, topic, partition=partition)
            # The first failure is told; asyncio would print each of the others that nobody waits for.
            future.add_done_callback(_seen)
            self._in_flight.append(future)
        except (KafkaError, OSError) as error:
            raise _refusal(error) from error

    async def _settle(self, future: asyncio.Future[Any]) -> None:
        try:
            await future
        except (KafkaError, OSError) as error:
            raise _refusal(error) from error


def _seen(future: asyncio.Future[Any]) -> None:
    if not future.cancelled():
        future.exception()


# A feed names the same instruments again and again, and the hash is a loop in Python.
@lru_cache(maxsize=KEYS_REMEMBERED)
def _place(key: str, partitions: int) -> int:
    return expected_partition(key.encode(), partitions)


def _refusal(error: Exception) -> FeedError:
    return FeedError(
        f"expected the broker to take a batch of records, found {type(error).__name__}: {error}. "
        "What was acknowledged before stays written"
    )
