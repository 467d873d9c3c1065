"""How often may be committed and written: what all partitions of a worker share of its time."""

from __future__ import annotations

import asyncio
from collections import deque
from typing import Final

COMMIT_CPU_SECONDS: Final = 0.0024
"""What a transaction costs this process, measured with the positions in it; its wait for the broker costs nothing."""

_SECOND: Final = 1.0


class CommitPace:
    """Says whether a commit may begin at once, or should wait for company, and which partition reads.

    Folding a fetched set holds the loop for some milliseconds, a commit needs it twenty times for a moment.

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

    def may_begin(self, now: float) -> bool:
        """Tell whether commits took less than their share of the last second."""
        while self._begun and self._begun[0] <= now - _SECOND:
            self._begun.popleft()
        return len(self._begun) < self._commits_max

    def begun(self, now: float) -> None:
        """Note that a commit begins."""
        self._begun.append(now)


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
