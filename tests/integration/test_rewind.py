"""Positions set back: what followed is said again, byte for byte, and nothing else is."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.protocol.admin import DeleteGroupsRequest

from streams.kafka.rewind import RewindRefused, apply, plan, under
from streams.kafka.topics import Topics, connect
from streams.wire.snapshots import LATEST, MANIFEST, Identity
from tests.integration.apache import ApacheBroker
from tests.integration.feeding import Input, caught_up, committed, config_for, make_topics, read, write
from tests.integration.test_verify import check, story
from tests.integration.test_worker import running

YEAR_2100_MS = 4_102_444_800_000


def said(records: list[Any]) -> dict[int, list[bytes]]:
    """Return the values of each partition, in order."""
    values: dict[int, list[bytes]] = {0: [], 1: []}
    for record in records:
        values[record.partition].append(record.value)
    return values


def test_what_followed_is_said_again_and_nothing_else(apache: ApacheBroker, prefix: str) -> None:
    """Set back to the middle, a worker repeats the second half and goes on; a dry run changes nothing."""

    async def work() -> None:
        config = config_for(apache.bootstrap, prefix)
        topics = Topics(prefix)
        await make_topics(config)
        records = story(config)
        half = len(records) * 2 // 3
        async with running(config):
            await write(config, records[:half])
            await caught_up(config)
            first = said(await read(config, [topics.breakouts]))
            before = await committed(config)
            await write(config, records[half:])
            await caught_up(config)
            with pytest.raises(RewindRefused, match="end them first"):
                await plan(config, since_ms=None, patience_seconds=0.0)
        whole = said(await read(config, [topics.breakouts]))
        middle = min(
            record.timestamp
            for record in await read(config, list(topics.inputs))
            if record.offset >= before[record.topic, record.partition]
        )
        after = await committed(config)

        steps = await plan(config, since_ms=middle)

        assert await committed(config) == after
        assert sum(step.again for step in steps) > 0
        await apply(config, steps)
        assert await committed(config) == before
        async with running(config):
            await caught_up(config)
        again = said(await read(config, [topics.breakouts]))
        assert again == {number: whole[number] + whole[number][len(first[number]) :] for number in whole}
        assert whole != first

    asyncio.run(work())


def test_new_application_begins_at_a_moment_with_the_state_of_then(apache: ApacheBroker, prefix: str) -> None:
    """Another application is silent up to the moment, and says from there on what the first one said."""

    async def work() -> None:
        config = config_for(apache.bootstrap, prefix)
        topics = Topics(prefix)
        await make_topics(config)
        async with running(config):
            await write(config, story(config))
            await caught_up(config)
        whole = said(await read(config, [topics.breakouts]))
        second = under(config, f"{prefix}second")

        await apply(second, await plan(second, since_ms=None))
        async with running(second):
            await caught_up(second)

        again = said(await read(config, [topics.breakouts]))
        assert again == {number: values + values for number, values in whole.items()}
        assert (await check(config)).counts.unexpected == 0

    asyncio.run(work())


def test_forgotten_group_does_not_let_a_rewind_skip_anything(apache: ApacheBroker, prefix: str) -> None:
    """Positions are never moved past what the partition itself has committed; damage is said, and taken out."""

    async def work() -> None:
        config = config_for(apache.bootstrap, prefix)
        topics = Topics(prefix)
        await make_topics(config)
        records = story(config)
        # Every partition of every input has been read.
        half = 1 + max(at for at, record in enumerate(records) if record.value == b"{")
        async with running(config):
            await write(config, records[:half])
            await caught_up(config)
        at = await committed(config)
        await write(config, records[half:])
        await plan(config, since_ms=None)  # The group has no members any more.
        async with connect(config.kafka) as admin:
            node = await admin.find_coordinator(config.kafka.group)
            answer = await admin._send_request_to_node(node, DeleteGroupsRequest([config.kafka.group]))
        assert answer.results == [(config.kafka.group, 0)]
        identity = Identity(config.kafka.application_id, 1, config.kafka.partitions)
        await write(config, [Input(topics.state, 1, identity.key(LATEST, MANIFEST), b"no frame")])

        steps = await plan(config, since_ms=YEAR_2100_MS)

        known = {(topic, step.seat.number): target for step in steps for topic, target in step.target.items()}
        assert known == at
        assert all("the group says none" in note for note in (step.notes[0] for step in steps))
        notes = {f"{step.seat.kind} {step.seat.number}": step.notes[-1] for step in steps}
        assert notes["state 1"] == "snapshot latest is foreign and is taken out"
        await apply(config, steps)
        async with running(config):
            await caught_up(config)
        assert (await check(config)).is_well

    asyncio.run(work())
