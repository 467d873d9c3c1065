"""The live clock: once a second, every partition is told what time it is.

Nothing else tells a partition that a session has closed when nobody trades. One clock is enough for a set-up; a
second one does no harm, because a clock that brings nothing new changes nothing.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable
from typing import Final

from streams.config import Config
from streams.core.units import NS
from streams.feeds.sender import FeedError, Sender
from streams.feeds.steps import clock_step

PERIOD_NS: Final = NS

RETRY_SECONDS: Final = 1.0
"""How long a clock waits after a failure; a broker that answers nothing takes longer by itself."""


async def run_clock(
    config: Config,
    *,
    now_ns: Callable[[], int] = time.time_ns,
    on_sent: Callable[[int], None] | None = None,
    on_failed: Callable[[FeedError], None] | None = None,
) -> None:
    """Write a live clock record into every partition at each full second, until cancelled.

    A cluster has one clock, so it outlives the brokers' pauses: what may pass is tried again with the time it is then.

    Args:
        config: Where Kafka is.
        now_ns: The time, nanoseconds since 1970.
        on_sent: Called with each time written, once the broker has it.
        on_failed: Called with each failure that may pass.

    Raises:
        FeedError: The broker refused a record for good, or a topic is missing.
    """
    async with Sender(config) as sender:
        while True:
            now = now_ns()
            second_ns = now - now % PERIOD_NS
            try:
                await sender.send(clock_step(second_ns, mode="live"))
                await sender.flush()
            except FeedError as error:
                if not error.may_pass:
                    raise
                if on_failed is not None:
                    on_failed(error)
                await asyncio.sleep(RETRY_SECONDS)
                continue
            if on_sent is not None:
                on_sent(second_ns)
            await asyncio.sleep((second_ns + PERIOD_NS - now_ns()) / NS if second_ns + PERIOD_NS > now_ns() else 0)
