"""What time it is under a prefix: the newest clock record at the ends of its logs.

Partitions take clocks of one mode only, and time that has passed does not come again: whoever plays the past asks here
before anything is written, since records of a past that is over are counted as late and make no signal.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from streams.config import Kafka
from streams.core.news import NewsClock
from streams.kafka.follow import read_batches_of
from streams.wire.articles import RecordRefused, decode_copy

TAIL_RECORDS: Final = 10_000
"""Of each partition. A clock comes at least once a second of event time, and to the news as well, where little else is
written: however busy the ticks are, one of the two ends shows it."""


async def newest_clock(kafka: Kafka, topics: Sequence[str], *, last: int | None = None) -> NewsClock | None:
    """Return the newest clock at the ends of these topics' partitions, a live one before any other.

    Args:
        kafka: Where Kafka is.
        topics: Full names, prefix included, of topics that clocks are written to.
        last: How many records before each partition's end are looked at; `TAIL_RECORDS` when absent.

    Returns:
        None where there is none.

    Raises:
        BrokersUnreachable: No broker answered.
        TopicMissing: A topic is not there.
    """
    found: list[NewsClock] = []
    for topic in topics:
        async for batch in read_batches_of(kafka, topic, last=last or TAIL_RECORDS):
            clocks = [_clock_of(value) for value in batch.values if value is not None and b'"clock"' in value]
            found.extend(clock for clock in clocks if clock is not None)
    return max(found, key=lambda clock: (clock.mode == "live", clock.time_ns), default=None)


# What a worker would put aside tells no time. Clocks are the same record on both logs.
def _clock_of(value: bytes) -> NewsClock | None:
    try:
        record = decode_copy(value)
    except RecordRefused:
        return None
    return record if isinstance(record, NewsClock) else None
