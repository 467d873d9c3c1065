"""Changing what a topic holds, as no worker would: to see that a check notices."""

from __future__ import annotations

import asyncio
import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from typing import Any

from aiokafka import AIOKafkaProducer
from aiokafka.admin import NewTopic

from streams.config import Config
from streams.kafka import topics as topic_admin
from streams.kafka.topics import connect
from tests.integration.feeding import eventually, read


@dataclass(frozen=True)
class Kept:
    """One record of a topic."""

    partition: int
    key: bytes | None
    value: bytes | None
    headers: tuple[tuple[str, bytes], ...]
    timestamp_ms: int


Change = Callable[[list[Kept]], list[Kept]]


async def rewrite(config: Config, topic: str, change: Change, *, keep_stamps: bool = False) -> list[Kept]:
    """Make a topic anew with changed records, and return the records that it held before.

    Args:
        config: Where Kafka is.
        topic: Which.
        change: What is done to its records.
        keep_stamps: Whether they keep the broker's stamps, as if they had always been written so; each is a batch then.
    """
    before = [
        Kept(record.partition, record.key, record.value, tuple(record.headers), record.timestamp)
        for record in await read(config, [topic])
    ]
    async with connect(config.kafka) as admin:
        await admin.delete_topics([topic])

        async def is_gone() -> bool:
            return topic not in {found["topic"] for found in await admin.describe_topics(None)}

        await eventually(is_gone)
        if keep_stamps:
            stamped = {"message.timestamp.type": "CreateTime", "cleanup.policy": "delete"}
            answer = await admin.create_topics([NewTopic(topic, config.kafka.partitions, 1, topic_configs=stamped)])
            assert [code for _, code, _ in answer.topic_errors] == [0]
    await topic_admin.apply(config)
    producer: Any = AIOKafkaProducer(
        bootstrap_servers=config.kafka.bootstrap_servers, max_request_size=4 << 20, enable_idempotence=True
    )
    await producer.start()
    try:
        sent = []
        for record in change(before):
            sent.append(
                await producer.send(
                    *(topic, record.value, record.key, record.partition),
                    timestamp_ms=record.timestamp_ms if keep_stamps else None,
                    headers=list(record.headers),
                )
            )
            if keep_stamps:
                await sent[-1]
        await asyncio.gather(*sent)
    finally:
        await producer.stop()
    return before


def removed(index: int) -> Change:
    """Leave one record out."""
    return lambda records: [record for at, record in enumerate(records) if at != index % len(records)]


def forged(records: list[Kept]) -> list[Kept]:
    """Add a copy of the last enriched signal under a name that nothing in the log explains."""
    last = records[-1]
    value = json.loads(last.value or b"{}")
    identity = "00000000-0000-5000-8000-000000000000"
    headers = tuple((name, identity.encode() if name == "ce_id" else text) for name, text in last.headers)
    return [*records, replace(last, value=json.dumps({**value, "signal_id": identity}).encode(), headers=headers)]


def doubled(index: int) -> Change:
    """Write one record twice."""
    return lambda records: [*records[: index + 1], records[index], *records[index + 1 :]]


def swapped(index: int) -> Change:
    """Change the order of one record and the next."""
    return lambda records: [*records[:index], records[index + 1], records[index], *records[index + 2 :]]


def one_byte_changed(index: int) -> Change:
    """Change one byte of one value."""

    def change(records: list[Kept]) -> list[Kept]:
        value = bytearray(records[index].value or b"")
        value[len(value) // 2] ^= 1
        changed = list(records)
        changed[index] = replace(records[index], value=bytes(value))
        return changed

    return change


def one_header_changed(index: int, name: str) -> Change:
    """Change one byte of one header."""

    def change(records: list[Kept]) -> list[Kept]:
        headers = tuple(
            (known, bytes([value[0] ^ 1]) + value[1:] if known == name else value)
            for known, value in records[index].headers
        )
        assert headers != records[index].headers
        return [*records[:index], replace(records[index], headers=headers), *records[index + 1 :]]

    return change
