"""How often may be committed and written: what all partitions of a worker share of its time."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

COMMIT_CPU_SECONDS: Final = 0.0024
"""What a transaction costs this process, measured with the positions in it; its wait for the broker costs nothing."""

_SECOND: Final = 1.0


LATE_SECONDS: Final = 0.25
"""A commit takes milliseconds of a loop that is free. One that takes this long waits for reading to leave off."""

REST_SHARE: Final = 0.25
REST_SECONDS_MIN: Final = 0.005
REST_SECONDS_MAX: Final = 0.1
"""A rest from reading is long enough for some answers of the brokers, and a fraction of what a read takes."""


class CommitPace:
    """Says whether a commit may begin at once, or should wait for company; and when reading should leave off for it.

    Folding a fetched set holds the loop for as long as it takes, a commit needs it twenty times for a moment. At full
    load the commit would take twenty sets of every partition, and with sets that take long be given up as in doubt.

    Args:
        share_max: The share of the worker's last second that commits may have taken.

    Attributes:
        turn: Held by the partition that reads. One reads in a turn of the loop: a commit takes a step a turn, and would
            wait for a read of every partition each time.
    """

    def __init__(self, share_max: float) -> None:
        self.turn = asyncio.Lock()
        self._commits_max = share_max * _SECOND / COMMIT_CPU_SECONDS
        self._begun: deque[float] = deque()
        self._in_flight: list[float] = []
        self._resting_until = 0.0

    def may_begin(self, now: float) -> bool:
        """Tell whether commits took less than their share of the last second."""
        while self._begun and self._begun[0] <= now - _SECOND:
            self._begun.popleft()
        return len(self._begun) < self._commits_max

    def begun(self, now: float) -> None:
        """Note that a commit begins."""
        self._begun.append(now)
        self._in_flight.append(now)

    def ended(self, begun: float) -> None:
        """Note that the commit that began then has ended, well or not."""
        if begun in self._in_flight:
            self._in_flight.remove(begun)

    def rest_seconds(self, now: float, read_seconds: float) -> float:
        """Return how long to wait before the next read, usually not at all.

        Args:
            now: Seconds of a clock that never goes back.
            read_seconds: How long the last read took.
        """
        if now < self._resting_until:
            return self._resting_until - now
        if not self._in_flight or now - self._in_flight[0] < LATE_SECONDS:
            return 0.0
        rest = min(max(read_seconds * REST_SHARE, REST_SECONDS_MIN), REST_SECONDS_MAX)
        self._resting_until = now + rest
        return rest


class SnapshotPace:
    """Says whether a snapshot may be taken: one that took long makes all partitions wait the longer.

    Args:
        share_max: The share of the worker's time that snapshots may take.
    """

    def __init__(self, share_max: float) -> None:
        self._rest = 1.0 / share_max - 1.0
        self._free_at = 0.0

    def is_free(self, now: float) -> bool:
        """Tell whether the last one has been paid for."""
        return now >= self._free_at

    def spent(self, now: float, seconds: float) -> None:
        """Note what one took that ended now."""
        self._free_at = now + seconds * self._rest
