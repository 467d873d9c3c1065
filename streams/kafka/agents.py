"""The agents: one per input topic, each handing what was fetched to the partition that it belongs to.

An agent decides nothing and waits for nothing. A partition that cannot take more is held back at the consumer, so that
the others go on.
"""

from __future__ import annotations

from collections.abc import AsyncIterable, Awaitable, Callable
from typing import Any

import faust
from faust.types import AppT, Message

from streams.kafka.fetched import Fetched

Offer = Callable[[Fetched], None]


class FetchedSchema(faust.Schema):
    """Passes fetched sets through as they are: no codec of Faust's, pickle least of all, sees a byte from a topic."""

    def compile(self, app: AppT, **options: Any) -> Any:
        """Return the function that turns a message into an event."""

        async def decode(message: Message, *, propagate: bool = False) -> Any:
            return app.create_event(message.key, message.value, None, message)

        return decode


def add_agent(app: faust.App, name: str, topic: str, offer: Offer) -> None:
    """Register an agent that offers what is fetched from a topic. Called once per input topic before the app starts."""
    # Without acknowledgements Faust never has a position to commit: positions belong to the partitions.
    channel = app.topic(topic, schema=FetchedSchema(), acks=False)
    app.agent(channel, name=name, concurrency=1)(deliver_to(offer))


def deliver_to(offer: Offer) -> Callable[[Any], Awaitable[None]]:
    """Return an agent's function."""

    async def deliver(stream: AsyncIterable[Fetched]) -> None:
        async for fetched in stream:
            offer(fetched)

    return deliver
