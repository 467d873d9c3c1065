"""What was written more than once where that is legal: it must be the same each time, by its id and to the byte."""

from __future__ import annotations

from streams.config import Config
from streams.kafka.topics import Topics
from tests.integration.feeding import read

COMPARED_HEADERS = "ce_"
"""Headers of traces name the commit that wrote a record, and differ."""


async def repeats(config: Config) -> tuple[int, list[str]]:
    """Return how many breakout and momentum signals are there again, and the ids of those that then differ."""
    topics = Topics(config.kafka.prefix)
    first: dict[str, tuple[object, ...]] = {}
    again, torn = 0, set[str]()
    for record in await read(config, [topics.breakouts, topics.momentum]):
        headers = [(name, value) for name, value in record.headers if name.startswith(COMPARED_HEADERS)]
        name = dict(headers)["ce_id"].decode()
        said = record.topic, record.partition, record.key, record.value, tuple(headers)
        again += name in first
        if first.setdefault(name, said) != said:
            torn.add(name)
    return again, sorted(torn)
