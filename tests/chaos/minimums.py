"""What must have happened at the least for a run to prove what it says, whatever was planned."""

from __future__ import annotations

import itertools
import math
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from dataclasses import dataclass, field, replace
from typing import Final

from streams.kafka.probe import AFTER_OFFSETS, AFTER_OUTPUTS, AFTER_SNAPSHOT, DURING_COMMIT, POINTS
from tests.chaos.carried import WITHIN_SNAPSHOT, planned
from tests.chaos.plan import WORKER_APIS, Plan
from tests.chaos.proxy import KINDS, Kind

DIRECT: Final = "direct"
PROCESSES: Final = "processes"

Cell = tuple[str, Kind]
"""An API and what was done to a frame of it."""


@dataclass(slots=True)
class Happened:
    """What happened. What was planned and did not is not in it.

    Attributes:
        crashes: Workers' processes that died at a point, by point.
        direct: Partitions without Faust that did.
        snapshots: Crashes of both whose commit carried a snapshot, by point.
        refused: Snapshots that were refused when a partition began: torn ones.
        kills: Running workers that were killed from outside.
        zombies: Workers that slept until another had their partitions, and woke.
        broker_restarts: Brokers that were killed and started again.
        rebalances: Workers that came, were given partitions, and went.
        frames: What the proxy did to a frame.
    """

    crashes: Counter[str] = field(default_factory=Counter)
    direct: Counter[str] = field(default_factory=Counter)
    snapshots: Counter[str] = field(default_factory=Counter)
    refused: int = 0
    kills: int = 0
    zombies: int = 0
    broker_restarts: int = 0
    rebalances: int = 0
    frames: Counter[Cell] = field(default_factory=Counter)

    @property
    def of_processes(self) -> int:
        """Return how much happened to workers' processes, their broker and their network."""
        others = self.kills + self.zombies + self.broker_restarts + self.rebalances
        return self.crashes.total() + others + self.frames.total()

    def __str__(self) -> str:
        points = self.crashes.total() + self.direct.total()
        return (
            f"crash points {points} ({self.direct.total()} direct), "
            f"{self.snapshots.total()} of them with a snapshot under way ({_by_point(self.snapshots)}), "
            f"snapshots refused {self.refused}, kill -9 {self.kills}, zombies {self.zombies}, "
            f"broker restarts {self.broker_restarts}, rebalances {self.rebalances}, "
            f"frames {self.frames.total()} in {len(self.frames)} ways"
        )


@dataclass(frozen=True, slots=True)
class Minimums:
    """The least of each thing that must have happened.

    Attributes:
        crashes: Crash points.
        direct_max: How many of them may be of partitions without Faust.
        points: Each of these once.
        snapshots: Crashes whose commit carried a snapshot, by point.
        refused: Torn snapshots that were refused.
        frames: Each of these once.
    """

    crashes: int = 0
    direct_max: int = 0
    points: frozenset[str] = frozenset()
    snapshots: Mapping[str, int] = field(default_factory=dict)
    refused: int = 0
    kills: int = 0
    zombies: int = 0
    broker_restarts: int = 0
    rebalances: int = 0
    frames: frozenset[Cell] = frozenset()

    def of(self, phases: Collection[str]) -> Minimums:
        """Return what must have happened in a run of these phases alone."""
        if DIRECT in phases and PROCESSES in phases:
            return self
        if PROCESSES in phases:
            return replace(
                self, crashes=self.crashes - self.direct_max, direct_max=0, points=frozenset(), snapshots={}, refused=0
            )
        if DIRECT in phases:
            return replace(
                Minimums(),
                crashes=self.direct_max,
                direct_max=self.direct_max,
                points=self.points,
                snapshots=self.snapshots,
            )
        return Minimums()

    def wrong(self, happened: Happened) -> list[str]:
        """Return every minimum that does not hold, with what was found."""
        direct = happened.direct.total()
        crashes = happened.crashes.total() + min(direct, self.direct_max)
        pairs = {
            f"crash points, up to {self.direct_max} of them direct": (self.crashes, crashes),
            **{
                f"crashes at {point} with a snapshot under way": (least, happened.snapshots[point])
                for point, least in self.snapshots.items()
            },
            "torn snapshots that were refused": (self.refused, happened.refused),
            "kill -9": (self.kills, happened.kills),
            "zombies": (self.zombies, happened.zombies),
            "broker restarts": (self.broker_restarts, happened.broker_restarts),
            "rebalances that moved partitions": (self.rebalances, happened.rebalances),
        }
        told = [f"expected at least {least} {what}, found {found}" for what, (least, found) in pairs.items()]
        wrong = [text for text, (least, found) in zip(told, pairs.values(), strict=True) if found < least]
        points = sorted(self.points - happened.crashes.keys() - happened.direct.keys())
        if points:
            wrong.append(f"expected every crash point at least once, found none of {', '.join(points)}")
        frames = sorted(self.frames - (+happened.frames).keys())
        if frames:
            missing = ", ".join(f"{kind} {api}" for api, kind in frames)
            wrong.append(f"expected each of {len(self.frames)} frame faults at least once, found none of {missing}")
        return wrong


def _by_point(counter: Counter[str]) -> str:
    return ", ".join(f"{point} {count}" for point, count in sorted(counter.items()) if count) or "none"


SNAPSHOTS: Final = {AFTER_SNAPSHOT: 9, AFTER_OUTPUTS: 5, AFTER_OFFSETS: 5, DURING_COMMIT: 5, WITHIN_SNAPSHOT: 8}
"""More than a third of the crashes after a snapshot's records, and some of each beside it."""

FULL: Final = Minimums(
    crashes=200,
    direct_max=160,
    points=frozenset(POINTS),
    snapshots=SNAPSHOTS,
    kills=30,
    zombies=10,
    broker_restarts=5,
    rebalances=8,
    frames=frozenset(itertools.product(WORKER_APIS, KINDS)),
)
"""Of a whole run. They stand by themselves: a plan that asks for less does not lower them."""


def short_minimums(plan: Plan) -> Minimums:
    """Return those of the short run, whose frame faults chance decides."""
    return Minimums(
        crashes=10,
        direct_max=9,
        points=frozenset(POINTS),
        snapshots={AFTER_SNAPSHOT: 1, WITHIN_SNAPSHOT: 1},
        kills=1,
        zombies=1,
        broker_restarts=1,
        rebalances=1,
        frames=frozenset((api, kind) for api, _, kind in plan.frames),
    )


def repeating_minimums(plan: Plan) -> Minimums:
    """Return those of workers of at-least-once delivery: all that is planned, and that what was torn was noticed."""
    return replace(_repeating_minimums(plan.crashes), direct_max=0, kills=plan.kills)


def direct_repeating_minimums(points: Sequence[str]) -> Minimums:
    """Return those of its partitions without Faust: the same."""
    return replace(_repeating_minimums(points), direct_max=len(points))


# Half of what is torn: a life may end before it has looked at the state of a partition.
def _repeating_minimums(points: Sequence[str]) -> Minimums:
    snapshots = Counter(point for point, carrying in planned(points) if carrying)
    return Minimums(crashes=len(points), snapshots=snapshots, refused=math.ceil(snapshots[WITHIN_SNAPSHOT] / 2))
