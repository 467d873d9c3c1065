"""`fiftytwo verify` while inputs are there that no worker has read yet: what is past the positions is judged, too."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer
from aiokafka.errors import GroupCoordinatorNotAvailableError

from streams.audit import verify as audit
from streams.audit.reading import committed
from streams.calendars import load_markets
from streams.kafka.topics import Topics
from tests.integration.apache import ApacheBroker
from tests.integration.feeding import Day, config_for, eventually, make_topics, write
from tests.integration.tampering import Kept, rewrite
from tests.integration.test_verify import INSTRUMENTS, check, left_behind


def revised(records: list[Kept]) -> list[Kept]:
    """Add a revision of the last enriched signal that the log does not give."""
    last = records[-1]
    value = json.loads(last.value or b"{}")
    revision = value["revision"] + 40
    named = {"ce_id": b"00000000-0000-5000-8000-000000000000", "ce_sequence": str(revision).encode()}
    headers = tuple((name, named.get(name, text)) for name, text in last.headers)
    return [*records, replace(last, value=json.dumps({**value, "revision": revision}).encode(), headers=headers)]


def test_forged_revision_is_told_while_inputs_are_unread(apache: ApacheBroker, prefix: str) -> None:
    """That the log has not been read to its end explains nothing that the log does not give."""

    async def work() -> None:
        async with left_behind(apache, prefix) as config:
            day = Day(config, INSTRUMENTS, sessions=3)
            await write(config, day.clock(int(day.sessions[2]["close_ns"])))
            untouched = await check(config)
            await rewrite(config, Topics(prefix).enriched, revised)

            report = await check(config)

        assert untouched.is_well, untouched
        defects = [defect for each in report.partitions for found in each.findings for defect in found.defects]
        assert [defect.kind for defect in defects] == ["different"], defects
        assert "which the log does not give" in defects[0].text

    asyncio.run(work())


def test_what_is_waited_for_is_said(apache: ApacheBroker, prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A transaction in the state topic that nobody ends makes no silence; once it has ended verification goes on."""
    monkeypatch.setattr(audit, "TOLD_SECONDS", 0.1)

    async def work() -> None:
        config = config_for(apache.bootstrap, prefix, partitions=1)
        topics = await make_topics(config)
        producer: Any = AIOKafkaProducer(bootstrap_servers=apache.bootstrap, transactional_id=f"{prefix}hanging")
        said, told = asyncio.Event(), list[str]()

        def on_wait(text: str) -> None:
            told.append(text)
            said.set()

        markets = load_markets(config.markets.mics, lookback=config.rules.lookback)

        async def has_groups() -> bool:
            try:
                await committed(config.kafka, [])
            except GroupCoordinatorNotAvailableError:
                return False
            return True

        # A broker that has just been started makes its topic of groups when it is first asked for one.
        await eventually(has_groups)
        await producer.start()
        try:
            await producer.begin_transaction()
            await producer.send_and_wait(topics.state, b"under way", b"key", partition=0)
            checking = asyncio.create_task(audit.verify(config, markets, on_wait=on_wait))
            await asyncio.wait_for(said.wait(), 60)
            await producer.abort_transaction()
            await asyncio.wait_for(checking, 60)
        finally:
            await producer.stop()

        assert f"{topics.state} partition 0" in told[0]

    asyncio.run(work())
