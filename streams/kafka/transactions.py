"""A producer whose transactions are never in doubt: what is not known to have been carried out ends the producer.

aiokafka sends a request of a transaction again when its answer does not come. The first one may still be on its way: an
EndTxn that arrives late, after the next transaction has begun under the same epoch, commits half of that transaction.
So here the first request of a transaction that was sent and not answered raises `InDoubt`, and whoever owns the
partition begins anew with a fresh InitProducerId: the broker refuses everything from the epoch before. A request that
never left, because no broker could be connected to, is no doubt and is tried again.

One producer a partition, because aiokafka speaks the first version of these requests, without the group's generation:
only the transactional id can tell a partition's owner from the one before.
"""

from __future__ import annotations

import asyncio
import types
from typing import Any, Final

from aiokafka import AIOKafkaProducer
from aiokafka.client import AIOKafkaClient, ConnectionGroup, CoordinationType
from aiokafka.errors import KafkaError, NodeNotReadyError
from aiokafka.producer.message_accumulator import MessageAccumulator
from aiokafka.producer.sender import AddPartitionsToTxnHandler, Sender
from aiokafka.producer.transaction_manager import TransactionManager
from aiokafka.protocol.transaction import (
    AddOffsetsToTxnRequest,
    AddPartitionsToTxnRequest,
    EndTxnRequest,
    TxnOffsetCommitRequest,
)

from streams.kafka.droppable import DroppableProducer, look_at
from streams.kafka.transport import IncompatibleLibrary, missing_names

TRANSACTIONAL: Final = (AddPartitionsToTxnRequest, AddOffsetsToTxnRequest, TxnOffsetCommitRequest, EndTxnRequest)

UNREACHABLE_SECONDS: Final = 0.25
"""How long to wait before connecting again. The backoff below alone would ask an absent broker 500 times a second."""

RETRY_BACKOFF_MS: Final = 2
"""A transaction waits for the markers of the one before, which takes the broker a few milliseconds."""


class InDoubt(RuntimeError):
    """A request of a transaction was sent and not answered: it may be carried out at any time, or never."""


class StrictProducer(DroppableProducer):
    """A transactional producer that ends with the first request whose fate is not known."""

    def __init__(self, **options: Any) -> None:
        super().__init__(retry_backoff_ms=RETRY_BACKOFF_MS, **options)
        self.ending = asyncio.Event()
        """Set when the request to commit has been sent."""
        self._plain_send = self.client.send
        # Of this producer's client and sender alone, not of their classes: consumers of the process stay as they are.
        self.client.send = self._send
        self._sender._do_add_partitions_to_txn = types.MethodType(_add_partitions, self._sender)

    async def begin_transaction(self) -> None:
        """Begin a transaction. Nothing is sent before its first record."""
        self.ending.clear()
        await super().begin_transaction()

    @property
    def failure(self) -> BaseException | None:
        """Return what the transaction failed with, None while nothing is known to be wrong with it.

        Called after a part of it has failed. The first request that fails ends the transaction; whoever is about to
        send something more is only told that it is not the time.
        """
        waiter = self._txn_manager._transaction_waiter
        return waiter.exception() if waiter is not None and waiter.done() and not waiter.cancelled() else None

    async def abandon(self) -> None:
        """Stop without finishing anything: what is under way is for the next InitProducerId to settle."""
        await super().abandon()
        look_at([self._txn_manager._transaction_waiter, self._txn_manager._pid_waiter])

    async def _send(self, node_id: Any, request: Any, *, group: Any = ConnectionGroup.DEFAULT) -> Any:
        if isinstance(request, EndTxnRequest):
            # A connection that is there takes the request in this turn of the loop.
            asyncio.get_running_loop().call_soon(self.ending.set)
        try:
            return await self._plain_send(node_id, request, group=group)
        except NodeNotReadyError:
            await asyncio.sleep(UNREACHABLE_SECONDS)
            raise
        except (KafkaError, OSError, TimeoutError) as error:
            if isinstance(request, TRANSACTIONAL):
                raise InDoubt(f"{type(request).__name__} was sent and not answered: {error!r}") from error
            raise


class _QuickAddPartitions(AddPartitionsToTxnHandler):
    # The backoff of the first partitions of a transaction is a constant of the module, 20 ms; ours is the producer's.
    def handle_response(self, resp: Any) -> float | None:
        backoff = super().handle_response(resp)
        return None if backoff is None else min(backoff, self._default_backoff)


async def _add_partitions(sender: Sender, partitions: Any) -> Any:
    node_id = await sender._find_coordinator(CoordinationType.TRANSACTION, sender._txn_manager.transactional_id)
    return await _QuickAddPartitions(sender, partitions).do(node_id)


# What the code above uses beyond the documented interfaces: function -> names its code must mention.
USED: Final[tuple[tuple[Any, tuple[str, ...]], ...]] = (
    (AIOKafkaProducer.__init__, ("client", "_sender", "_txn_manager", "_closed", "_message_accumulator")),
    (TransactionManager.fatal_error, ("_transaction_waiter", "set_exception")),
    (MessageAccumulator.fail_all, ("_batches", "_pending_batches")),
    (Sender._sender_routine, ("_send_produce_req", "_maybe_do_transactional_request")),
    (AIOKafkaClient.close, ("_sync_task", "_conns")),
    (AIOKafkaProducer.start, ("_sender", "bootstrap")),
    (AIOKafkaClient.send, ("ready", "_conns")),
    (Sender._maybe_do_transactional_request, ("_do_add_partitions_to_txn", "_do_txn_commit")),
    (Sender._do_add_partitions_to_txn, ("_find_coordinator", "AddPartitionsToTxnHandler")),
    (AddPartitionsToTxnHandler.handle_response, ("BACKOFF_OVERRIDE", "_default_backoff")),
    (AddPartitionsToTxnHandler.do, ("client", "send", "KafkaError", "handle_response")),
)


def check_producers() -> None:
    """Check at start that aiokafka is the one whose internals are used.

    Raises:
        IncompatibleLibrary: Something used is no longer there.
    """
    for function, names in USED:
        missing = missing_names(function, names)
        if missing:
            raise IncompatibleLibrary(
                f"expected {function.__module__}.{function.__qualname__} to use {', '.join(names)}, found "
                f"{', '.join(missing)} missing: the installed library was changed; install the versions pinned in "
                "pyproject.toml again"
            )
