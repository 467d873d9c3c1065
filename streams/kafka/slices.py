"""Fetched sets in parts: one that takes long holds the loop, which commits of all partitions need in between."""

from __future__ import annotations

from dataclasses import replace
from typing import Final

from streams.kafka.fetched import Fetched, select_batches

SLICE_SECONDS: Final = 0.005
"""A set that takes much longer is read in parts. Trades of a full fetch take some milliseconds more, daily bars thirty
times as long."""


def slices(fetched: Fetched, byte_seconds: float) -> list[Fetched]:
    """Return a set in parts of whole batches, or whole where it is quickly read.

    Args:
        fetched: What was fetched.
        byte_seconds: How long a byte of it takes, 0 where that is not known.
    """
    if len(fetched.data) * byte_seconds <= 2 * SLICE_SECONDS:
        return [fetched]
    # Read as bytes are: nothing of it is copied.
    data: bytes = fetched.data  # type: ignore[assignment]  # a view serves as well
    parts = select_batches(data, fetched.position, max(1, int(SLICE_SECONDS / byte_seconds)))
    found: list[Fetched] = []
    position = fetched.position
    for part, next_offset in parts:
        found.append(replace(fetched, position=position, next_offset=next_offset, data=part))
        position = next_offset
    if not found:
        return [fetched]
    # What was aborted at the end is not among the bytes.
    found[-1] = replace(found[-1], next_offset=fetched.next_offset)
    return found
