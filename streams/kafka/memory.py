"""What a worker holds in memory between its inputs and its outputs: bounds of the process, however many partitions.

Outputs that wait for a commit share one budget. What is fetched is bounded by how much is fetched of a partition at a
time, which falls with the number of partitions: any of them may be this worker's.
"""

from __future__ import annotations

from typing import Final

from streams.config import Kafka

OUTPUT_BYTES_MAX: Final = 64 << 20
"""Of all outputs that wait or are under way: at a kilobyte each, what a worker writes in a second or two."""

FETCHED_BYTES_MAX: Final = 512 << 20
FETCHED_SETS: Final = 4
"""Of a topic's partition at worst: one is read, one waits for that, one is on its way, one is with the fetcher."""

STATE_TOPICS: Final = 2
"""Ticks and news by instrument; articles are few, and small beside them."""

FETCH_BYTES_MIN: Final = 64 << 10


def fetch_bytes(kafka: Kafka) -> int:
    """Return how many bytes of a partition are fetched at a time: as configured, or less where there are many.

    Example:
        >>> fetch_bytes(Kafka(partitions=6)) >> 10, fetch_bytes(Kafka(partitions=64)) >> 10
        (4096, 1024)
    """
    share = FETCHED_BYTES_MAX // (kafka.partitions * STATE_TOPICS * FETCHED_SETS)
    return min(kafka.fetch_bytes, max(share, FETCH_BYTES_MIN))


class OutputBudget:
    """What the outputs of all partitions may hold together.

    A partition that holds nothing may always read on, so that none waits for the others without end.

    Args:
        bytes_max: How much.
    """

    def __init__(self, bytes_max: int = OUTPUT_BYTES_MAX) -> None:
        self._bytes_max = bytes_max
        self._held: dict[object, int] = {}
        self._total = 0

    @property
    def is_spent(self) -> bool:
        """Tell whether who holds outputs should read no more until some are written."""
        return self._total >= self._bytes_max

    def hold(self, owner: object, count: int) -> None:
        """Note how many bytes one holder holds now; none forgets it."""
        self._total += count - self._held.pop(owner, 0)
        if count:
            self._held[owner] = count
