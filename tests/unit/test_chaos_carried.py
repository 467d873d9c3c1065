"""Which commits carry a snapshot, and how chaos tears one."""

from __future__ import annotations

import asyncio
from collections import Counter
from contextlib import suppress
from typing import Any

import pytest

from streams.kafka.effects import Effects, Output, Place
from streams.kafka.probe import AFTER_SNAPSHOT, BEFORE_BEGIN, POINTS
from streams.wire.positions import STATE, committed_record
from streams.wire.snapshots import LATEST, MANIFEST, Identity
from tests.chaos.carried import WITHIN_SNAPSHOT, Watched, dying, manifest_at, planned
from tests.chaos.direct import Crash

IDENTITY = Identity("worker", 0, 1)
TICKS: Place = ("ticks", 0)


def record(series: str, name: str) -> Output:
    """Return a record of the state topic."""
    return Output("state", 0, IDENTITY.key(series, name), b"value", [])


def positions() -> Output:
    """Return what every commit carries."""
    made = committed_record(IDENTITY, STATE, {"ticks": 1}, delivery="exactly_once")
    return Output("state", 0, made.key, made.value, [])


SNAPSHOT = [record(LATEST, "core/0"), record(LATEST, "core/1"), record(LATEST, MANIFEST), positions()]


class Plain:
    """A committer that keeps what it writes, and says how far it has come as the right ones do."""

    def __init__(self, probe: Any) -> None:
        self.probe = probe
        self.written: list[Output] = []

    async def commit(self, effects: Effects) -> None:
        """Write the state in a task of its own."""
        self.probe(BEFORE_BEGIN)
        await asyncio.gather(self._write_place(TICKS, effects.state))
        self.probe(AFTER_SNAPSHOT)

    async def _write_place(self, _: Place, records: list[Output]) -> int:
        self.written += records
        return len(self.written)


def commits(point: str, count: int, *sets: list[Output], carrying: bool = True) -> tuple[list[Output], bool]:
    """Return what was written of commits of the state, and whether they ended at a point."""

    def die() -> None:
        raise Crash(point)

    async def work() -> tuple[list[Output], bool]:
        probe = dying(point, count, die, carrying=carrying)
        plain = Plain(probe)
        committer = Watched(plain, probe, tears=point == WITHIN_SNAPSHOT)
        with suppress(Crash):
            for records in sets:
                await committer.commit(Effects(state=list(records)))
            return plain.written, False
        return plain.written, True

    return asyncio.run(work())


def test_manifest_of_a_state_is_a_snapshot_and_nothing_else_is() -> None:
    """Not positions, not parts alone, not recorded terms, not a manifest that is taken away."""
    assert manifest_at(SNAPSHOT) == 2
    assert manifest_at([record("base-20260131", MANIFEST)]) == 0
    for others in ([], [positions()], SNAPSHOT[:2], [record("rules-1", MANIFEST)]):
        assert manifest_at(others) is None
    assert manifest_at([SNAPSHOT[2]._replace(value=None)]) is None


def test_only_commits_that_carry_a_snapshot_count() -> None:
    """Positions alone pass the same point, and are not what is waited for; without that wish they are."""
    assert commits(AFTER_SNAPSHOT, 1, [positions()], [positions()]) == ([positions()] * 2, False)
    assert commits(AFTER_SNAPSHOT, 1, [positions()], SNAPSHOT, SNAPSHOT) == ([positions(), *SNAPSHOT], True)
    assert commits(AFTER_SNAPSHOT, 2, SNAPSHOT, [positions()], SNAPSHOT)[1]
    assert commits(AFTER_SNAPSHOT, 1, [positions()], SNAPSHOT, carrying=False) == ([positions()], True)


def test_torn_snapshot_has_a_part_and_no_manifest() -> None:
    """What was written before is whole, and nothing but the torn one is written in two goes."""
    written, died = commits(WITHIN_SNAPSHOT, 1, [positions()], SNAPSHOT, SNAPSHOT)

    assert died
    torn = written[1 + len(SNAPSHOT) :]
    assert written[: 1 + len(SNAPSHOT)] == [positions(), *SNAPSHOT]
    assert torn in (SNAPSHOT[:1], SNAPSHOT[:2])


def test_snapshot_without_parts_is_not_torn() -> None:
    """Before its only record there is nothing to be written; and what is new takes nothing's place."""
    assert commits(WITHIN_SNAPSHOT, 1, SNAPSHOT[2:], SNAPSHOT[2:]) == (SNAPSHOT[2:] * 2, False)
    new = [record(LATEST, "core/2"), *SNAPSHOT[1:]]
    written, died = commits(WITHIN_SNAPSHOT, 1, SNAPSHOT, new)
    assert died
    assert written == [*SNAPSHOT, *new[:2]]


@pytest.mark.parametrize("number", [9, 45, 160])
def test_half_of_the_crashes_after_a_snapshot_carry_one(number: int) -> None:
    """At least a third of them, some of the points beside it, all within one, and no others."""
    names = [POINTS[at % len(POINTS)] for at in range(number)] + [WITHIN_SNAPSHOT]
    found = planned(names)
    carrying = Counter(point for point, is_so in found if is_so)

    assert [point for point, _ in found] == names
    assert 3 * carrying[AFTER_SNAPSHOT] >= names.count(AFTER_SNAPSHOT)
    assert carrying[WITHIN_SNAPSHOT] == 1
    others = carrying.keys() - {AFTER_SNAPSHOT, WITHIN_SNAPSHOT}
    assert others == (set() if number == 9 else {"after_outputs", "after_offsets", "during_commit"})
