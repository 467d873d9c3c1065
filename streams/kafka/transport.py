"""Faust's Kafka transport, delivering one message per fetched set of record batches instead of one per record.

Stock Faust spends about 100 us a message; here a message is everything one fetch brought for one partition, as the
bytes the broker sent, so the cost of the shell does not depend on how many records there are. Nothing is patched in
place: Faust's classes are subclassed, and of aiokafka one method of one fetcher instance sees another `MemoryRecords`,
so that other consumers of the process stay as they are.

Offsets decide, not generations: a set says at which offset it begins and ends, and whoever reads a partition drops what
it already has and seeks back where something is missing. So it does not matter which records were in flight when a
rebalance came between.
"""

from __future__ import annotations

import asyncio
import logging
import types
from collections.abc import Coroutine, Iterable, Mapping
from importlib import metadata
from typing import Any, Final, Protocol, TypeVar, cast

import aiokafka
import faust.transport.consumer as faust_consumer
import faust.transport.drivers.aiokafka as faust_driver
from aiokafka.client import AIOKafkaClient
from aiokafka.conn import AIOKafkaConnection
from aiokafka.consumer import fetcher as aiokafka_fetcher
from aiokafka.consumer.group_coordinator import GroupCoordinator
from aiokafka.errors import (
    ConsumerStoppedError,
    GroupAuthorizationFailedError,
    KafkaError,
    TopicAuthorizationFailedError,
)
from aiokafka.structs import OffsetAndMetadata, TopicPartition
from faust.types import TP, ConsumerMessage

from streams.kafka.fetched import Fetched, RawRecords, select_batches
from streams.kafka.logs import note
from streams.kafka.rebinding import rebound
from streams.kafka.receiving import receive_in_place
from streams.kafka.resting import rest_after_empty

log = logging.getLogger(__name__)

Result = TypeVar("Result")

VERSIONS: Final = {"faust-streaming": "0.15.3", "aiokafka": "0.14.0"}
"""The versions whose private attributes are used below; pyproject.toml pins them."""

FETCH_SECONDS_MAX: Final = 0.5
"""How long one request to the consumer's thread waits for records; a stop is noticed this late at worst."""


GROUP_SECONDS: Final = 1.0
"""How often is asked whether the group has refused this member."""

GROUP_REFUSED: Final = (GroupAuthorizationFailedError, TopicAuthorizationFailedError)
"""What joining again does not change."""


class IncompatibleLibrary(RuntimeError):
    """An installed library is not the one this transport was written against."""


class BatchApp(Protocol):
    """What the transport asks of the app: how long a fetch may wait, and where reading goes on after an assignment."""

    fetch_wait_ms: int

    async def restart_positions(self, assigned: frozenset[TP]) -> Mapping[TP, int]:
        """Return the offset to read from for every assigned partition."""


class BatchConsumerThread(faust_driver.AIOKafkaConsumerThread):
    """The thread that runs aiokafka: takes whole fetch results instead of records."""

    consumer: BatchConsumer

    def _create_worker_consumer(self, transport: faust_driver.Transport) -> aiokafka.AIOKafkaConsumer:
        consumer = super()._create_worker_consumer(transport)
        # Faust hard-codes 1500 ms and derives the isolation level from its own transactions; start() reads both.
        consumer._fetch_max_wait_ms = cast(BatchApp, self.app).fetch_wait_ms
        consumer._isolation_level = "read_committed"
        receive_in_place(consumer._client)
        return consumer

    async def on_start(self) -> None:
        """Start the consumer and let its fetcher keep the bytes of what it fetches."""
        await super().on_start()
        fetcher = self._ensure_consumer()._fetcher
        keep_raw_records(fetcher)
        rest_after_empty(fetcher)
        self.add_future(self._watch_group())

    # aiokafka leaves off joining when a broker answers what it does not expect, until somebody has asked for the error:
    # a consumer that is polled the ordinary way does. Asking lets it join again.
    async def _watch_group(self) -> None:
        while not self.should_stop:
            await asyncio.sleep(GROUP_SECONDS)
            coordinator = self._consumer._coordinator if self._consumer is not None else None
            if coordinator is None:
                continue
            try:
                coordinator.check_errors()
            except KafkaError as error:
                if isinstance(error, GROUP_REFUSED) or coordinator._coordination_task.done():
                    raise
                note(log, logging.WARNING, "group_join_failed", error=repr(error))

    async def _fetch_records(
        self,
        consumer: aiokafka.AIOKafkaConsumer,
        active_partitions: set[TP],
        timeout: float | None = None,
        max_records: int | None = None,
    ) -> dict[TP, list[Fetched]]:
        if not self.consumer.flow_active:
            return {}
        fetcher = consumer._fetcher
        if consumer._closed or fetcher._closed:
            raise ConsumerStoppedError()
        subscriptions = fetcher._subscriptions
        with subscriptions.fetch_context():
            if subscriptions.reassignment_in_progress:
                await asyncio.wait([asyncio.ensure_future(subscriptions.wait_for_assignment())], timeout=timeout)
                return {}
            taken = self._take(fetcher, active_partitions)
            if taken or not timeout:
                return taken
            waiter = fetcher._create_fetch_waiter()
            done, _ = await asyncio.wait([waiter], timeout=timeout)
            if not done:
                waiter.cancel()
                return {}
            waiter.result()  # Raises what the coordinator could not get over.
            return self._take(fetcher, active_partitions)

    # Takes every complete fetch result of a partition that is wanted, and moves its position past it.
    def _take(self, fetcher: Any, active_partitions: set[TP]) -> dict[TP, list[Fetched]]:
        taken: dict[TP, list[Fetched]] = {}
        for tp in list(fetcher._records):
            if not fetcher._subscriptions.is_assigned(tp):
                del fetcher._records[tp]
                continue
            key = TP(tp.topic, tp.partition)
            if key not in active_partitions or key in self.consumer.held:
                continue
            result = fetcher._records[tp]
            if type(result) is not aiokafka_fetcher.FetchResult and taken:
                continue  # An error: raised by the next call, what was taken goes first.
            del fetcher._records[tp]
            fetcher._notify(fetcher._wait_consume_future)
            if type(result) is not aiokafka_fetcher.FetchResult:
                result.check_raise()
            elif result.check_assignment(tp):
                taken[key] = self._fetched(tp, result)
        return taken

    def _fetched(self, tp: TopicPartition, result: Any) -> list[Fetched]:
        records = result._partition_records
        position = records.next_fetch_offset
        bytes_max = self.app.conf.consumer_max_fetch_size
        sets = select_batches(records._records.take(), position, bytes_max, records._aborted_transactions)
        state = result._assignment.state_value(tp)
        # The last stable offset is the end of what a reader of committed records can reach.
        end = state.highwater if state.lso is None or state.lso < 0 else state.lso
        fetched: list[Fetched] = []
        for data, next_offset in sets:
            fetched.append(Fetched(tp.topic, tp.partition, position, next_offset, max(end or 0, next_offset), data))
            position = next_offset
        records.next_fetch_offset = position
        result._update_position()
        return fetched

    def wake(self) -> None:
        """Let a waiting fetch look again, because a partition is no longer held. Called from any thread."""
        self.thread_loop.call_soon_threadsafe(self._notify_waiters)

    def _notify_waiters(self) -> None:
        if self._consumer is not None and self._consumer._fetcher is not None:
            fetcher = self._consumer._fetcher
            for waiter in list(fetcher._fetch_waiters):
                fetcher._notify(waiter)

    def verify_event_path(self, now: float, tp: TP) -> None:
        """Do nothing: Faust judges progress by acknowledgements, which are not used. Lag is measured elsewhere."""


class BatchConsumer(faust_driver.Consumer):
    """Delivers fetched sets, holds partitions back one by one, and leaves positions to whoever owns the state."""

    _thread: BatchConsumerThread
    held: set[TP]

    def _new_consumer_thread(self) -> BatchConsumerThread:
        self.held = set()
        return BatchConsumerThread(self, loop=self.loop, beacon=self.beacon)

    async def _drain_messages(self, fetcher: Any) -> None:
        try:
            while not (self.should_stop or fetcher.should_stop):
                fetched, _ = await self._wait_next_records(FETCH_SECONDS_MAX)
                for tp, sets in (fetched or {}).items():
                    for one in sets:
                        await self._deliver(tp, one)
                await asyncio.sleep(0)
        except (ConsumerStoppedError, asyncio.CancelledError):
            if not self.app.should_stop:
                raise

    # A set that arrives while the flow is stopped waits: it may belong to the assignment that is being made.
    # One that is dropped by a later stop is read again, because every assignment seeks.
    async def _deliver(self, tp: TP, fetched: Fetched) -> None:
        if not self.flow_active:
            await self.wait(cast(Any, self.can_resume_flow))
        if self.should_stop:
            return
        await self.wait_first(self.callback(self._to_message(tp, fetched)), self.suspend_flow.wait())

    def _to_message(self, tp: TP, record: Any) -> ConsumerMessage:
        return ConsumerMessage(
            tp.topic,
            tp.partition,
            record.position,
            0.0,
            0,
            None,
            None,
            record,
            None,
            0,
            len(record.data),
            tp,
            generation_id=self.app.consumer_generation_id,
        )

    def on_buffer_full(self, tp: TP) -> None:
        """Do nothing: Faust would pause for most of a second; a held partition waits exactly as long as it must."""

    def on_buffer_drop(self, tp: TP) -> None:
        """Do nothing, as `on_buffer_full`."""

    def hold(self, tp: TP) -> None:
        """Leave a partition's records with the fetcher until `release`. Other partitions go on."""
        self.held.add(tp)

    def release(self, tp: TP) -> None:
        """Take a partition's records again."""
        if tp in self.held:
            self.held.discard(tp)
            self._thread.wake()

    async def perform_seek(self) -> None:
        """Seek every assigned partition to where the owner of its state wants to read on."""
        assigned = frozenset(self.assignment())
        positions = await cast(BatchApp, self.app).restart_positions(assigned)
        await self.seek_all(positions)

    async def seek_all(self, positions: Mapping[TP, int]) -> None:
        """Seek partitions to offsets."""
        consumer = self._thread._ensure_consumer()

        async def seek() -> None:
            for tp, offset in positions.items():
                consumer.seek(TopicPartition(*tp), offset)

        await self.in_thread(seek())

    async def committed(self, partitions: Iterable[TP]) -> dict[TP, int | None]:
        """Return the group's committed offset of each partition, None where it has none."""
        consumer = self._thread._ensure_consumer()

        async def ask() -> dict[TP, int | None]:
            wanted = list(partitions)
            offsets = await asyncio.gather(*(consumer.committed(TopicPartition(*tp)) for tp in wanted))
            return dict(zip(wanted, offsets, strict=True))

        return await self.in_thread(ask())

    async def bounds(self, partitions: Iterable[TP]) -> dict[TP, tuple[int, int]]:
        """Return each partition's oldest offset and the offset after its newest record."""
        consumer = self._thread._ensure_consumer()

        async def ask() -> dict[TP, tuple[int, int]]:
            wanted = [TopicPartition(*tp) for tp in partitions]
            if not wanted:
                return {}
            first, last = await asyncio.gather(consumer.beginning_offsets(wanted), consumer.end_offsets(wanted))
            return {TP(*tp): (first[tp], last[tp]) for tp in wanted}

        return await self.in_thread(ask())

    async def commit_positions(self, positions: Mapping[TP, int]) -> None:
        """Commit next offsets for the group.

        Raises:
            aiokafka.errors.CommitFailedError: The group has rebalanced; the partitions may be another member's.
        """
        consumer = self._thread._ensure_consumer()
        offsets = {TopicPartition(*tp): OffsetAndMetadata(offset, "") for tp, offset in positions.items()}
        await self.in_thread(consumer.commit(offsets))

    async def in_thread(self, work: Coroutine[Any, Any, Result]) -> Result:
        """Run a coroutine in the consumer's thread.

        Faust's own queue of calls has two workers, one of which waits for records.
        """
        return await asyncio.wrap_future(asyncio.run_coroutine_threadsafe(work, self._thread.thread_loop))


class BatchTransport(faust_driver.Transport):
    """Faust's Kafka transport with the batch consumer."""

    Consumer = BatchConsumer


def keep_raw_records(fetcher: Any) -> None:
    """Let one fetcher keep the bytes of what it fetches.

    `Fetcher._proc_fetch_request` reads `MemoryRecords` from its module. This instance gets the same code with one other
    global, so nothing changes for other consumers of the process.
    """
    fetcher._proc_fetch_request = rebound(
        fetcher, aiokafka_fetcher.Fetcher._proc_fetch_request, MemoryRecords=RawRecords
    )


# What the code above and the app use beyond the documented interfaces: function -> names its code must mention.
USED: Final[tuple[tuple[Any, tuple[str, ...]], ...]] = (
    (
        aiokafka_fetcher.Fetcher._proc_fetch_request,
        ("MemoryRecords", "PartitionRecords", "FetchResult", "has_next", "size_in_bytes"),
    ),
    (
        aiokafka_fetcher.Fetcher.__init__,
        ("_records", "_wait_consume_future", "_fetch_waiters", "_subscriptions", "_closed"),
    ),
    (aiokafka_fetcher.Fetcher._create_fetch_waiter, ("_fetch_waiters",)),
    (aiokafka_fetcher.Fetcher._notify, ("set_result",)),
    (aiokafka_fetcher.FetchResult.check_assignment, ("_partition_records", "next_fetch_offset", "_assignment")),
    (aiokafka_fetcher.FetchResult._update_position, ("consumed_to", "next_fetch_offset")),
    (aiokafka_fetcher.FetchError.check_raise, ("_error",)),
    (aiokafka_fetcher.PartitionRecords.__init__, ("_records", "_aborted_transactions", "next_fetch_offset")),
    (
        aiokafka.AIOKafkaConsumer.start,
        ("_fetch_max_wait_ms", "_isolation_level", "_fetcher", "_coordinator"),
    ),
    (GroupCoordinator.check_errors, ("_coordination_task", "_error_consumed_fut", "_pending_exception")),
    (AIOKafkaClient._get_conn, ("create_conn", "_conns")),
    (AIOKafkaConnection.connect, ("_protocol", "_create_reader_task", "StreamReader", "StreamWriter")),
    (AIOKafkaConnection._handle_frame, ("_requests", "parse_response_header", "RESPONSE_TYPE", "_last_action")),
    (faust_driver.AIOKafkaConsumerThread._create_worker_consumer, ("AIOKafkaConsumer", "assignor")),
    (faust_driver.AIOKafkaConsumerThread.getmany, ("_fetch_records", "call_thread")),
    (faust_driver.AIOKafkaConsumerThread._ensure_consumer, ("_consumer",)),
    (faust_driver.Consumer._new_consumer_thread, ("AIOKafkaConsumerThread",)),
    (faust_consumer.Consumer._wait_next_records, ("flow_active", "can_resume_flow", "_getmany")),
    (faust_consumer.Consumer.stop_flow, ("flow_active", "suspend_flow")),
    (faust_consumer.Fetcher.__dict__["_fetcher"].fun, ("_drain_messages",)),
)


def check_libraries() -> None:
    """Check at start that the libraries are the ones whose internals are used.

    Raises:
        IncompatibleLibrary: A version differs, or something used is no longer there.
    """
    for name, expected in VERSIONS.items():
        found = metadata.version(name)
        if found != expected:
            raise IncompatibleLibrary(
                f"expected {name} {expected}, found {found}: its internals are used and differ between versions; "
                f"run `pip install '{name}=={expected}'`"
            )
    for function, names in USED:
        missing = missing_names(function, names)
        if missing:
            raise IncompatibleLibrary(
                f"expected {function.__module__}.{function.__qualname__} to use {', '.join(names)}, found "
                f"{', '.join(missing)} missing: the installed library was changed; install the versions pinned in "
                "pyproject.toml again"
            )


def missing_names(function: Any, names: Iterable[str]) -> list[str]:
    """Return which names the code of a function does not mention."""
    known = set(function.__code__.co_names)
    for constant in function.__code__.co_consts:
        if isinstance(constant, types.CodeType):
            known.update(constant.co_names)
    return [name for name in names if name not in known]
