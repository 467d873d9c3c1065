"""Crashes while a snapshot is written: which commits carry one, and a death between two of its records.

Most commits carry positions alone. Who is to die while a snapshot is on its way must know which commit carries one, and
a probe is told the point alone: the committer says it to whatever runs within its commit.
"""

from __future__ import annotations

import dataclasses
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from contextvars import ContextVar
from random import Random
from typing import Any, Final

from streams.kafka.effects import Effects, Output, Place
from streams.kafka.owner import Ports
from streams.kafka.probe import AFTER_OFFSETS, AFTER_OUTPUTS, AFTER_SNAPSHOT, DURING_COMMIT, Probe
from streams.kafka.restore import RULES
from streams.wire.snapshots import MANIFEST, parse_key

WITHIN_SNAPSHOT: Final = "within_snapshot"
"""A point that chaos alone knows: some of a snapshot's records are acknowledged, its manifest is not sent. Its parts
take the place of those of the one before."""

SHARES: Final = {
    WITHIN_SNAPSHOT: (1, 0),
    AFTER_SNAPSHOT: (2, 0),
    AFTER_OUTPUTS: (3, 1),
    AFTER_OFFSETS: (3, 1),
    DURING_COMMIT: (3, 1),
}
"""Of crashes at a point, one in so many is of a commit that carries a snapshot, and which of these."""

_carries: ContextVar[bool] = ContextVar("carries", default=False)


def planned(points: Iterable[str]) -> list[tuple[str, bool]]:
    """Return each point, and whether the commit that dies there is to carry a snapshot."""
    seen: Counter[str] = Counter()
    found = []
    for point in points:
        every, which = SHARES.get(point, (1, -1))
        found.append((point, seen[point] % every == which))
        seen[point] += 1
    return found


def dying(point: str, count: int, die: Callable[[], None], *, carrying: bool) -> Probe:
    """Return a probe that ends a life when a point is reached for the so-many-th time.

    Args:
        point: Where.
        count: How often it is reached.
        die: Ends the life.
        carrying: Only commits count that carry a snapshot.
    """
    left = count

    def probe(reached: str) -> None:
        nonlocal left
        if reached != point or (carrying and not _carries.get()):
            return
        left -= 1
        if left == 0:
            die()

    return probe


def watch(ports: Ports, probe: Probe, *, tears: bool) -> Ports:
    """Return ports whose commits say whether they carry a snapshot.

    Args:
        ports: The right ones.
        probe: Is told `WITHIN_SNAPSHOT`.
        tears: The records of a snapshot that is written over another are written in two goes; in between the probe is
            told.
    """
    return dataclasses.replace(ports, committer=lambda seat: Watched(ports.committer(seat), probe, tears=tears))


class Watched:
    """A committer that says of each commit whether it carries a snapshot. See `watch`."""

    def __init__(self, committer: Any, probe: Probe, *, tears: bool) -> None:
        self._committer = committer
        self._probe = probe
        self._random = Random()
        if tears:
            self._written: set[bytes | None] = set()
            self._write_place = committer._write_place
            committer._write_place = self._write_torn

    def __getattr__(self, name: str) -> Any:
        return getattr(self._committer, name)

    async def commit(self, effects: Effects) -> None:
        """Commit, and say meanwhile whether a snapshot is among what is committed."""
        _carries.set(manifest_at(effects.state) is not None)
        await self._committer.commit(effects)

    # A crash leaves whatever batches were acknowledged; a broker takes each of them whole. Only a part that takes the
    # place of one tears a snapshot: the first of a series leaves parts that belong to none.
    async def _write_torn(self, place: Place, records: list[Output]) -> int:
        manifest = manifest_at(records) or 0
        again = [number for number, record in enumerate(records[:manifest]) if record.key in self._written]
        self._written.update(record.key for record in records)
        if not again:
            return int(await self._write_place(place, records))
        cut = self._random.randrange(again[0], manifest) + 1
        await self._write_place(place, records[:cut])
        self._probe(WITHIN_SNAPSHOT)
        return int(await self._write_place(place, records[cut:]))


def manifest_at(records: Sequence[Output]) -> int | None:
    """Return where among records the manifest of a state's snapshot is, None without one.

    Recorded terms are written like a snapshot and are none: they have no state.
    """
    for number, record in enumerate(records):
        said = parse_key(record.key or b"")
        if said and said.name == MANIFEST and record.value is not None and not said.series.startswith(RULES):
            return number
    return None
