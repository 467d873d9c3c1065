"""The side of what is there: how long a verification waits for what may be on its way."""

from __future__ import annotations

import asyncio
from collections.abc import Iterable

import pytest

from streams.audit import found
from streams.audit.found import MARKERS_SECONDS, Patience


class FakeSource:
    """Counts how often it is asked where partitions end."""

    def __init__(self) -> None:
        self.asked = 0

    async def bounds(self, places: Iterable[object]) -> dict[object, tuple[int, int]]:
        """Return no bounds."""
        self.asked += 1
        return {}


def test_patience_begins_with_the_first_wait(monkeypatch: pytest.MonkeyPatch) -> None:
    """However long a log takes to be read, what its last transactions wrote is looked for, and for a bounded time."""
    monkeypatch.setattr(found, "PAUSE_SECONDS", 0.0)
    source, now = FakeSource(), 0.0

    async def work() -> None:
        nonlocal now
        patience = Patience(source, clock=lambda: now)  # type: ignore[arg-type] # a source as far as it is used
        now = 100 * MARKERS_SECONDS

        assert await patience.extend([])
        now += 0.9 * MARKERS_SECONDS
        assert await patience.extend([])
        now += 0.2 * MARKERS_SECONDS
        assert not await patience.extend([])

    asyncio.run(work())

    assert source.asked == 2
