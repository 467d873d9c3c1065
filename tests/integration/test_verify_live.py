"""`fiftytwo verify` while inputs are there that no worker has read yet: what is past the positions is judged, too."""

from __future__ import annotations

import asyncio
import json
from dataclasses import replace

from streams.kafka.topics import Topics
from tests.integration.apache import ApacheBroker
from tests.integration.feeding import Day, write
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
