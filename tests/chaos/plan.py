"""What is to happen to workers and broker, and how often it is tried."""

from __future__ import annotations

from collections import deque
from collections.abc import Awaitable, Callable, Iterator, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from streams.kafka.probe import AFTER_OUTPUTS, AFTER_SNAPSHOT, DURING_COMMIT, POINTS
from tests.chaos.carried import WITHIN_SNAPSHOT
from tests.chaos.proxy import APIS, KINDS, Kind, Side

WORKER_APIS: Final = tuple(name for name in APIS if name != "OffsetCommit")
"""What an exactly-once worker asks for: positions travel in transactions. Only the third worker leaves its group: the
other two have lasting names."""

TRIES_MAX: Final = 4
"""Of one thing: a point or a frame may not come while it is waited for."""

RETRIES_MAX: Final = 40
"""Of all things together, each up to a minute: a plan that mostly does not happen ends."""


@dataclass(slots=True)
class Plan:
    """How often each thing happens.

    Attributes:
        crashes: Points at which a worker's process dies; it is killed from outside before, so each is a kill -9 too.
        kills: Further kills from outside.
        frames: API, side and kind of each frame fault.
        patient: How many of all these, the last ones, one of the workers meets with the default limits.
    """

    crashes: Sequence[str]
    kills: int
    zombies: int = 0
    broker_restarts: int = 0
    rebalances: int = 0
    frames: list[tuple[str, Side, Kind]] = field(default_factory=list)
    patient: int = 0


def plan_of(*, short: bool, random: Random) -> Plan:
    """Return what is to happen to the workers' processes."""
    if not short:
        return Plan(
            crashes=[*points(45), *[WITHIN_SNAPSHOT] * 2],
            kills=5,
            zombies=10,
            broker_restarts=5,
            rebalances=8,
            frames=all_frames(random),
            patient=30,
        )
    frames = [frame for frame in all_frames(random) if frame[0] in ("EndTxn", "TxnOffsetCommit", "Produce")]
    return Plan(
        crashes=[DURING_COMMIT],
        kills=0,
        zombies=1,
        broker_restarts=1,
        rebalances=1,
        frames=[("EndTxn", "request", "hold"), *random.sample(frames, 2)],
    )


def repeating_plan(*, short: bool) -> Plan:
    """Return what is to happen to workers of at-least-once delivery: the broker and its network are not theirs."""
    # With all its outputs there, many are written again; a single revision may be passed over by a later one.
    return (
        Plan(crashes=[AFTER_OUTPUTS], kills=0)
        if short
        else Plan(crashes=[*POINTS, WITHIN_SNAPSHOT, WITHIN_SNAPSHOT], kills=6)
    )


def direct_points(*, short: bool) -> list[str]:
    """Return the points at which partitions without Faust die."""
    return [*points(9), WITHIN_SNAPSHOT] if short else [*points(160), *[WITHIN_SNAPSHOT] * 10]


def direct_repeating_points(*, short: bool) -> list[str]:
    """Return those of at-least-once delivery: what is torn there stays so."""
    return [*points(2), AFTER_SNAPSHOT, WITHIN_SNAPSHOT] if short else [*points(40), *[WITHIN_SNAPSHOT] * 10]


def points(number: int) -> list[str]:
    """Return so many points, each about as often as any other."""
    return [POINTS[at % len(POINTS)] for at in range(number)]


def all_frames(random: Random) -> list[tuple[str, Side, Kind]]:
    """Return every API with every kind of fault, on a side that chance decides where both make sense.

    An answer that is held is an answer that is delayed: what follows it on its connection waits too.
    """
    return [
        (api, "request" if kind in ("hold", "duplicate") else random.choice(("request", "response")), kind)
        for api in WORKER_APIS
        for kind in KINDS
    ]


@dataclass(eq=False, slots=True)
class Task:
    """One thing that is planned.

    Attributes:
        name: For people.
        act: Does it, and returns whether it happened.
        tries: How often it was tried and did not happen.
    """

    name: str
    act: Callable[[], Awaitable[bool]]
    tries: int = 0


class Agenda:
    """All that is planned, one after the other; what did not happen is planned again, at the end.

    Args:
        tasks: In the order in which they are tried first.
    """

    def __init__(self, tasks: Sequence[Task]) -> None:
        self._left = deque(tasks)
        self.planned = len(tasks)
        self.total = len(tasks)
        """How many are tried, with those that are tried again."""
        self.missed: list[str] = []
        """What was given up."""

    def __iter__(self) -> Iterator[Task]:
        while self._left:
            yield self._left.popleft()

    def miss(self, task: Task) -> bool:
        """Plan a task again that did not happen; return False when it is given up."""
        task.tries += 1
        if task.tries < TRIES_MAX and self.total < self.planned + RETRIES_MAX:
            self.total += 1
            self._left.append(task)
            return True
        self.missed.append(task.name)
        return False
