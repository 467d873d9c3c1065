"""The command `fiftytwo verify` on what a run left behind: it agrees, and names what is changed after that.

Workers have ended by then. What is changed is one topic of signals: one record is left out, one is written twice, and
one has a byte changed. The command must end with 1 and say what is wrong with each of the three, and nothing else.
"""

from __future__ import annotations

import asyncio
import json
import os
import sys
from dataclasses import dataclass
from random import Random
from typing import Any, Final

from streams.config import ENVIRONMENT_PREFIX, Config
from streams.kafka.topics import Topics
from tests.integration.tampering import Kept, doubled, one_byte_changed, removed, rewrite

VERIFY_SECONDS_MAX: Final = 900.0
CHANGES: Final = {"lost": removed, "doubled": doubled, "different": one_byte_changed}
"""By what the command must call them."""


class AuditFailed(AssertionError):
    """The command said what is not so, or did not say what is."""


@dataclass(frozen=True, slots=True)
class Said:
    """What the command ended with and said."""

    code: int
    document: dict[str, Any]

    @property
    def defects(self) -> list[tuple[str, str]]:
        """Return kind and text of every difference that it named."""
        topics = [topic for partition in self.document["partitions"] for topic in partition["topics"]]
        return [(defect["kind"], defect["text"]) for topic in topics for defect in topic["defects"]]


async def agree(config: Config) -> int:
    """Let the command verify an application, and return how many records it expected and found.

    Raises:
        AuditFailed: It did not end with 0, or found what lies past the committed positions, which are the ends by then.
    """
    said = await _verify(config)
    if ahead := said.document["ahead"]:
        raise AuditFailed(f"expected `fiftytwo verify` to find nothing past the committed positions, found {ahead}")
    if said.code != 0 or not said.document["well"]:
        raise AuditFailed(f"expected `fiftytwo verify` to agree, found exit code {said.code}: {said.defects[:5]}")
    return int(said.document["expected"])


async def name_changes(config: Config, random: Random) -> list[str]:
    """Change three records of a topic of signals, and return how the command named each.

    Raises:
        AuditFailed: It did not name one, or named another.
    """
    chosen: dict[str, str] = {}

    def change(records: list[Kept]) -> list[Kept]:
        if len(records) < len(CHANGES):
            raise AuditFailed(f"expected at least {len(CHANGES)} signals to change, found {len(records)}")
        # From the last to the first: what is changed later moves nothing that is changed before.
        places = sorted(random.sample(range(len(records)), len(CHANGES)), reverse=True)
        for (kind, make), at in zip(random.sample(sorted(CHANGES.items()), len(CHANGES)), places, strict=True):
            chosen[kind] = dict(records[at].headers)["ce_id"].decode()
            records = make(at)(records)
        return records

    await rewrite(config, Topics(config.kafka.prefix).breakouts, change)
    said = await _verify(config)
    found = sorted(said.defects)
    named = {kind: text for kind, text in found if chosen.get(kind, "-") in text}
    if said.code != 1 or named.keys() != chosen.keys() or len(found) != len(chosen):
        raise AuditFailed(
            f"expected `fiftytwo verify` to end with 1 and name {chosen}, found exit code {said.code} and {found[:9]}"
        )
    return [f"{kind}: {named[kind]}" for kind in sorted(named)]


async def _verify(config: Config) -> Said:
    kafka = config.kafka
    kept = {name: value for name, value in os.environ.items() if not name.startswith(ENVIRONMENT_PREFIX)}
    settings = {
        "FIFTYTWO_KAFKA_BOOTSTRAP_SERVERS": kafka.bootstrap_servers,
        "FIFTYTWO_KAFKA_APPLICATION_ID": kafka.application_id,
        "FIFTYTWO_KAFKA_PREFIX": kafka.prefix,
        "FIFTYTWO_KAFKA_PARTITIONS": str(kafka.partitions),
        "FIFTYTWO_MARKETS_MICS": ",".join(config.markets.mics),
    }
    if "FIFTYTWO_CACHE_DIR" in os.environ:
        settings["FIFTYTWO_CACHE_DIR"] = os.environ["FIFTYTWO_CACHE_DIR"]
    process = await asyncio.create_subprocess_exec(
        *(sys.executable, "-m", "streams.cli", "verify", "--json"),
        stdin=asyncio.subprocess.DEVNULL,
        stdout=asyncio.subprocess.PIPE,
        stderr=asyncio.subprocess.PIPE,
        env=kept | settings,
    )
    try:
        async with asyncio.timeout(VERIFY_SECONDS_MAX):
            told, complained = await process.communicate()
    except TimeoutError as error:
        process.kill()
        await process.wait()
        raise AuditFailed(f"expected `fiftytwo verify` to end within {VERIFY_SECONDS_MAX:g} s, it did not") from error
    assert process.returncode is not None
    if process.returncode not in (0, 1) or not told:
        text = complained.decode(errors="replace").strip()
        raise AuditFailed(
            f"expected a report of `fiftytwo verify`, found exit code {process.returncode}: {text[-500:]}"
        )
    return Said(process.returncode, json.loads(told))
