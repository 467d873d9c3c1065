"""A transaction's end, as its owner hears of it: by its cause, whichever part of it fails first."""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest
from aiokafka.errors import IllegalOperation, ProducerFenced
from aiokafka.producer.transaction_manager import TransactionManager

from streams.config import Kafka
from streams.kafka.effects import Effects, Output
from streams.kafka.probe import passed
from streams.kafka.producer import ExactlyOnce
from streams.kafka.restarts import reason_of
from streams.kafka.transactions import InDoubt

EFFECTS = Effects(
    [Output("out", 0, b"key", b"value", [])], {("in", 0): 1}, state=[Output("state", 0, b"key", b"value", [])]
)


# A real producer between InitProducerId and its first records, without brokers. While the records wait for the topic's
# metadata, the answer to another part arrives.
def commit_while(arrives: Callable[[TransactionManager], None]) -> Exception:
    async def work() -> Exception:
        committer = ExactlyOnce(Kafka(), "name", timeout_seconds=10.0, probe=passed)
        producer: Any = committer._producer
        manager: TransactionManager = producer._txn_manager
        manager.set_pid_and_epoch(7, 0)
        waits_on_metadata: Callable[[str], Coroutine[Any, Any, None]] = metadata_after(manager, arrives)
        producer.client._wait_on_metadata = waits_on_metadata
        producer._partition = lambda topic, partition, *rest: partition
        try:
            with pytest.raises(Exception) as raised:
                await committer.commit(EFFECTS)
            return raised.value
        finally:
            await committer.close(finished=False)

    return asyncio.run(work())


def metadata_after(manager: TransactionManager, arrives: Callable[[TransactionManager], None]) -> Any:
    async def wait(topic: str) -> None:
        await asyncio.sleep(0)
        if manager.is_in_transaction():
            arrives(manager)

    return wait


def test_fence_that_is_heard_of_before_records_are_sent_is_a_fence() -> None:
    """Records that wait for metadata find the transaction over; the owner hears why, and begins again."""
    error = commit_while(lambda manager: manager.fatal_error(ProducerFenced()))

    assert isinstance(error, ProducerFenced)
    assert reason_of(error) == "fenced"


def test_doubt_that_is_heard_of_before_records_are_sent_keeps_its_cause() -> None:
    """A request that was not answered is told with what happened to it."""

    def unanswered(manager: TransactionManager) -> None:
        doubt = InDoubt("AddOffsetsToTxn was sent and not answered")
        doubt.__cause__ = TimeoutError()
        manager.fatal_error(doubt)

    error = commit_while(unanswered)

    assert str(error) == "AddOffsetsToTxn was sent and not answered"
    assert isinstance(error.__cause__, TimeoutError)


def test_transaction_that_ends_for_no_known_reason_is_in_doubt() -> None:
    """What aiokafka calls an illegal operation is never a reason to end the worker."""

    def ended(manager: TransactionManager) -> None:
        raise IllegalOperation("Can't send messages while not in transaction")

    assert reason_of(commit_while(ended)) == "in_doubt"


def test_bug_of_the_sender_is_raised_as_what_it_is() -> None:
    """What only a bug can cause is no doubt: it ends the worker."""
    error = commit_while(lambda manager: manager.fatal_error(TypeError("a bug")))

    assert isinstance(error, TypeError)
