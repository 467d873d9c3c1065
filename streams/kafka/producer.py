"""Writing: records in batches to explicit partitions, and the commit that passes them.

`create_batch`, `append` and `send_batch` cost 0.5 us a record; `topic.send` of Faust costs 76 us.

A committer belongs to one partition of the state or of the router, for one stretch of ownership. The two ways of
delivery are the same code but for the transaction around it.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Any, Final, Protocol

from aiokafka import TopicPartition
from aiokafka.errors import (
    IllegalOperation,
    IncompatibleBrokerVersion,
    InvalidTransactionTimeout,
    KafkaError,
    TransactionalIdAuthorizationFailed,
)

from streams.config import Kafka
from streams.kafka import probe as probes
from streams.kafka.droppable import DroppableProducer
from streams.kafka.effects import Effects, Output, Place, by_place
from streams.kafka.probe import Probe
from streams.kafka.security import client_settings
from streams.kafka.topics import DLQ_MARGIN_BYTES
from streams.kafka.transactions import InDoubt, StrictProducer

BATCH_BYTES: Final = 262_144
"""Below every limit of a topic; a record larger than this travels alone in its batch."""

REQUEST_SECONDS: Final = 40
"""Without transactions a request is sent again as often as it must: its records carry their sequence."""

CHECK_SECONDS: Final = 30.0
"""A new cluster makes its topic of transactions when it is first asked, which takes some seconds."""

ATTEMPT_SECONDS: Final = 10.0
CHECK_AGAIN_SECONDS: Final = 0.5

CommitPositions = Callable[[Mapping[Any, int]], Awaitable[None]]


class Committer(Protocol):
    """Makes effects final: outputs written, then positions passed."""

    state_end: int | None
    """The offset after what was written last to the state topic, None before the first commit."""

    async def start(self) -> None:
        """Connect, and end whatever the owner before has left open. Waits for as long as no broker answers."""

    async def commit(self, effects: Effects) -> None:
        """Write all outputs and the state, and commit the positions. When it returns, none can be lost."""

    async def close(self, *, finished: bool) -> None:
        """Disconnect.

        Args:
            finished: No commit is under way. Otherwise it is dropped, and the next owner settles it.
        """


class _Writer:
    # What both ways of delivery share. `_state` is the state topic, whose end is remembered.
    def __init__(self, producer: Any, probe: Probe) -> None:
        self._producer = producer
        self._probe = probe
        self.state_end: int | None = None

    async def write(self, outputs: list[Output], *, first: bool = False) -> None:
        """Write outputs and wait until the brokers have acknowledged all of them."""
        reached = not first

        async def write_place(place: Place, records: list[Output]) -> None:
            nonlocal reached
            await self._write_place(place, records)
            if not reached:
                reached = True
                self._probe(probes.AFTER_FIRST_OUTPUT)

        if outputs:
            await asyncio.gather(*(write_place(place, records) for place, records in by_place(outputs)))

    async def write_state(self, records: list[Output], marker: int) -> None:
        """Write records of the state topic, and note where it ends, a transaction's marker included."""
        for place, outputs in by_place(records):
            self.state_end = await self._write_place(place, outputs) + marker

    # Batches of a partition are handed over in order and acknowledged together. Returns the offset after the last one.
    async def _write_place(self, place: Place, records: list[Output]) -> int:
        topic, partition = place
        acknowledged: list[asyncio.Future[Any]] = []
        batch = self._producer.create_batch()

        async def send() -> None:
            acknowledgement = await self._producer.send_batch(batch, topic, partition=partition)
            # Of several that fail the first is raised; nobody will ask the others.
            acknowledgement.add_done_callback(_look_at)
            acknowledged.append(acknowledgement)

        for record in records:
            if not _append(batch, record):
                await send()
                batch = self._producer.create_batch()
                _append(batch, record)
        count: int = batch.record_count()
        await send()
        *_, last = await asyncio.gather(*acknowledged)
        offset: int = last.offset
        return offset + count


def _look_at(acknowledgement: asyncio.Future[Any]) -> None:
    if not acknowledgement.cancelled():
        acknowledgement.exception()


def _append(batch: Any, record: Output) -> bool:
    appended = batch.append(timestamp=record.timestamp_ms, key=record.key, value=record.value, headers=record.headers)
    return appended is not None


class ExactlyOnce(_Writer):
    """Commits of one partition, each one transaction: outputs, state and positions together, or nothing.

    Args:
        kafka: Where Kafka is.
        transactional_id: Names the partition; the newest producer of a name fences the others.
        timeout_seconds: How long a transaction may take, and each of its requests.
        probe: Is told how far a commit has come.
    """

    def __init__(self, kafka: Kafka, transactional_id: str, *, timeout_seconds: float, probe: Probe) -> None:
        producer = StrictProducer(
            transactional_id=transactional_id,
            transaction_timeout_ms=round(timeout_seconds * 1000),
            request_timeout_ms=round(timeout_seconds * 1000),
            **_options(kafka),
        )
        super().__init__(producer, probe)
        self._timeout_seconds = timeout_seconds
        self._group = kafka.group

    async def start(self) -> None:
        """Connect, and fence the owner before: the broker settles its transaction and refuses all that it sends."""
        await self._producer.start()

    async def commit(self, effects: Effects) -> None:
        """Write and commit in one transaction.

        Raises:
            InDoubt: It is not known whether the transaction was committed.
            aiokafka.errors.KafkaError: It was not: fenced, or refused.
        """
        try:
            async with asyncio.timeout(self._timeout_seconds):
                await self._commit(effects)
        except TimeoutError as error:
            raise InDoubt(f"the transaction did not end within {self._timeout_seconds:g} s") from error
        except (KafkaError, InDoubt, IllegalOperation, AssertionError) as error:
            # The parts of a transaction are under way together: the one that is raised first may only have found that
            # it is over. aiokafka then says that it is not the time, or asserts it.
            failure = self._producer.failure
            if failure is not None:
                raise failure from failure.__cause__
            if isinstance(error, IllegalOperation):
                raise InDoubt(f"the transaction ended before all of it was sent: {error}") from error
            raise

    async def close(self, *, finished: bool) -> None:
        """Disconnect, without a word to the broker about a transaction that is under way."""
        await self._producer.abandon()

    async def _commit(self, effects: Effects) -> None:
        self._probe(probes.BEFORE_BEGIN)
        await self._producer.begin_transaction()
        # All at once: within a transaction their order does not matter, and every wait for an answer is latency.
        parts = [
            asyncio.ensure_future(self.write(effects.outputs, first=True)),
            asyncio.ensure_future(self.write_state(effects.state, 1)),
            asyncio.ensure_future(self._send_positions(effects.positions)),
        ]
        try:
            points = (probes.AFTER_OUTPUTS, probes.AFTER_SNAPSHOT, probes.AFTER_OFFSETS)
            for part, point in zip(parts, points, strict=True):
                await part
                self._probe(point)
        finally:
            for part in parts:
                part.cancel()
                part.add_done_callback(_look_at)
        ending = asyncio.ensure_future(self._producer.commit_transaction())
        sent = asyncio.ensure_future(self._producer.ending.wait())
        try:
            await asyncio.wait({ending, sent}, return_when=asyncio.FIRST_COMPLETED)
            self._probe(probes.DURING_COMMIT)
            await ending
        finally:
            sent.cancel()
            ending.cancel()
        self._probe(probes.AFTER_COMMIT)

    async def _send_positions(self, positions: Mapping[Place, int]) -> None:
        if positions:
            offsets = {TopicPartition(*place): offset for place, offset in positions.items()}
            await self._producer.send_offsets_to_transaction(offsets, self._group)


class AtLeastOnce(_Writer):
    """Commits without transactions: outputs, and once they are acknowledged, state and positions.

    A crash in between writes the outputs again; their ids are made of their content, so who keeps the greatest
    revision of each sees the same.
    """

    def __init__(self, kafka: Kafka, commit_positions: CommitPositions, *, probe: Probe) -> None:
        producer = DroppableProducer(
            enable_idempotence=True, retry_backoff_ms=20, request_timeout_ms=REQUEST_SECONDS * 1000, **_options(kafka)
        )
        super().__init__(producer, probe)
        self._commit_positions = commit_positions

    async def start(self) -> None:
        """Connect."""
        await self._producer.start()

    async def commit(self, effects: Effects) -> None:
        """Write all outputs, wait for their acknowledgement, write the state and commit the positions."""
        self._probe(probes.BEFORE_BEGIN)
        await self.write(effects.outputs, first=True)
        self._probe(probes.AFTER_OUTPUTS)
        # Whichever of the two a crash leaves out, outputs are only repeated: a restart goes by the state.
        await asyncio.gather(self._write_state(effects), self._pass(effects))
        self._probe(probes.AFTER_COMMIT)

    async def _write_state(self, effects: Effects) -> None:
        await self.write_state(effects.state, 0)
        self._probe(probes.AFTER_SNAPSHOT)

    async def _pass(self, effects: Effects) -> None:
        self._probe(probes.DURING_COMMIT)
        if effects.positions:
            await self._commit_positions(effects.positions)
        self._probe(probes.AFTER_OFFSETS)

    async def close(self, *, finished: bool) -> None:
        """Disconnect. What was not acknowledged is given up: its position was not committed either."""
        if finished:
            await self._producer.stop()
        else:
            await self._producer.abandon()


def _options(kafka: Kafka) -> dict[str, Any]:
    return {
        "client_id": f"fiftytwo-{kafka.application_id}",
        "acks": "all",
        "max_batch_size": BATCH_BYTES,
        # Two margins: copies of articles may be larger than articles, dead letters larger than what they carry.
        "max_request_size": max(kafka.record_bytes_max + 3 * DLQ_MARGIN_BYTES, 2 << 20),
        "linger_ms": 0,
        **client_settings(kafka),
    }


async def check_transactions(kafka: Kafka, *, timeout_seconds: float, tell: Callable[[str | None], None]) -> str | None:
    """Return what was found in place of transactions, and what to do about it; None where one can begin.

    Called once, when a worker starts: a transactional producer is begun as each partition will begin its own. Brokers
    that cannot begin one yet are waited for: of a cluster that is coming up the first may be there alone.

    Args:
        kafka: Where Kafka is.
        timeout_seconds: How long a transaction may take.
        tell: Told what is waited for once that takes long, and None when it is waited for no longer.
    """
    patient_until = time.monotonic() + CHECK_SECONDS
    while True:
        found, is_final = await _tried(kafka, timeout_seconds)
        if found is None or is_final:
            tell(None)
            return found
        if time.monotonic() >= patient_until:
            tell(f"expected brokers with transactions, found {found}")
        await asyncio.sleep(CHECK_AGAIN_SECONDS)


# Returns why no transaction began, None when one did, and whether asking again would not change it.
async def _tried(kafka: Kafka, timeout_seconds: float) -> tuple[str | None, bool]:
    committer = ExactlyOnce(kafka, f"{kafka.group}-check", timeout_seconds=timeout_seconds, probe=probes.passed)
    remedy = (
        "Set kafka.delivery = 'at_least_once', or look at the brokers: a single one needs "
        "transaction.state.log.replication.factor=1, and a user with access control WRITE on transactional ids "
        f"that begin with {kafka.group!r}"
    )
    try:
        async with asyncio.timeout(ATTEMPT_SECONDS):
            await committer.start()
    except TimeoutError:
        return f"none that began within {ATTEMPT_SECONDS:g} s. {remedy}", False
    except InvalidTransactionTimeout:
        return (
            f"that they allow less time than commits.timeout_s = {timeout_seconds:g}. Set it to at most the brokers' "
            "transaction.max.timeout.ms, or raise that",
            True,
        )
    except IncompatibleBrokerVersion as error:
        return f"brokers without them ({error}). {remedy}", True
    except KafkaError as error:
        is_final = isinstance(error, TransactionalIdAuthorizationFailed)
        return f"{type(error).__name__}: {error}. {remedy}", is_final
    finally:
        await committer.close(finished=True)
    return None, False
