"""A producer that can be given up: nothing of it goes on, and nothing is waited for that only a broker could answer.

aiokafka stops a producer by finishing what it has under way. With its connections closed that may never end: a record
whose connection breaks is sent again after the next metadata, and whoever fetches metadata has ended by then. So the
requests under way are ended here, and the routine that waits for them after them.
"""

from __future__ import annotations

import asyncio
from collections.abc import Iterable
from typing import Any, Final

from aiokafka import AIOKafkaProducer

ABANDON_SECONDS: Final = 2.0
"""How long requests under way may take to notice that they are ended."""


class DroppableProducer(AIOKafkaProducer):
    """A producer with an end for doubt, beside the one in order."""

    def __init__(self, **options: Any) -> None:
        super().__init__(**options)
        self._closed = False
        self._under_way: set[asyncio.Task[Any]] = set()
        self._plain_produce = self._sender._send_produce_req
        self._plain_transact = self._sender._maybe_do_transactional_request
        self._sender._send_produce_req = self._produce
        self._sender._maybe_do_transactional_request = self._transact

    async def abandon(self) -> None:
        """Stop without finishing anything: what is under way is for others to settle."""
        if self._closed:
            return
        self._closed = True
        task = self._sender.sender_task
        if task is not None:
            task.cancel()
        await self.client.close()
        # What fails with its connection would wait for metadata, which nobody fetches any more.
        ending = {*self._under_way} if task is None else {task, *self._under_way}
        for each in self._under_way:
            each.cancel()
        if ending:
            done, _ = await asyncio.wait(ending, timeout=ABANDON_SECONDS)
            look_at(done)
        # What failed was raised once; nobody will ask these again.
        batches = [batch for waiting in self._message_accumulator._batches.values() for batch in waiting]
        batches += self._message_accumulator._pending_batches
        look_at(future for batch in batches for future in (batch.future, batch._drain_waiter))

    async def _produce(self, node_id: Any, batches: Any) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._note(task)
        await self._plain_produce(node_id, batches)

    def _transact(self) -> asyncio.Task[Any] | None:
        task: asyncio.Task[Any] | None = self._plain_transact()
        if task is not None:
            self._note(task)
        return task

    def _note(self, task: asyncio.Task[Any]) -> None:
        self._under_way.add(task)
        task.add_done_callback(self._under_way.discard)


def look_at(futures: Iterable[asyncio.Future[Any] | None]) -> None:
    """Take note of what has failed, so that nothing says that nobody did."""
    for future in futures:
        if future is not None and future.done() and not future.cancelled():
            future.exception()
