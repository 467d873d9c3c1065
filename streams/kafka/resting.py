"""A rest after an empty fetch that was answered at once.

A broker holds a fetch back until there is something to send or the longest wait is over; the embedded one answers every
fetch at once. Asking again without a rest, an idle consumer keeps a core busy, and the broker another.
"""

from __future__ import annotations

import asyncio
from typing import Any, Final

AT_ONCE_SECONDS: Final = 0.005
"""An empty answer that took longer than this was held back by the broker."""

REST_SECONDS: Final = 0.01
"""What a record waits at most for the next fetch; of a core, 100 fetches a second take some hundredths."""


def rest_after_empty(fetcher: Any) -> None:
    """Let one of aiokafka's fetchers rest when a broker has answered at once that there is nothing.

    Its other requests go on. Where brokers hold fetches back, nothing changes.
    """
    fetch = fetcher._proc_fetch_request

    async def fetch_and_rest(assignment: Any, node_id: int, request: Any) -> bool:
        clock = asyncio.get_running_loop().time
        began = clock()
        found = bool(await fetch(assignment, node_id, request))
        if not found and clock() - began < AT_ONCE_SECONDS:
            try:
                await asyncio.sleep(REST_SECONDS)
            except asyncio.CancelledError:
                # As the fetch itself does: whoever cancels it waits for its answer.
                return False
        return found

    fetcher._proc_fetch_request = fetch_and_rest
