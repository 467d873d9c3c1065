"""What is done to workers and broker, each until everything goes on again."""

from __future__ import annotations

import asyncio
import signal
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from dataclasses import dataclass, field
from random import Random
from typing import Final

from streams.kafka.probe import AFTER_COMMIT, DURING_REPLAY, DURING_RESTORE
from tests.chaos.cluster import Application, Cluster
from tests.chaos.eyes import Stuck
from tests.chaos.processes import WorkerProcess
from tests.chaos.proxy import APIS, KINDS, Fault, Kind, Side

POINT_SECONDS_MAX: Final = 45.0
"""How long a worker may take to start and reach a point."""

UNSEEN_COMMITS: Final = 20
"""Enough that some are of a partition with state: routers have none."""

HIT_SECONDS_MAX: Final = 30.0
"""How long a frame of some kind may be waited for."""

WORKER_APIS: Final = tuple(name for name in APIS if name != "OffsetCommit")
"""What an exactly-once worker asks for: positions travel in transactions. Only the third worker leaves its group: the
other two have lasting names."""

MISSED_SHARE_MAX: Final = 0.1
"""Of what is planned: a point or a frame may not come while it is waited for, but a plan that mostly does not happen
proves nothing."""

AT_START: Final = frozenset(
    {
        "Metadata",
        "FindCoordinator",
        "JoinGroup",
        "SyncGroup",
        "OffsetFetch",
        "ListOffsets",
        "InitProducerId",
    }
)
"""Asked for when a worker starts, or its partitions change hands, and hardly ever in between."""

HOLD_SECONDS: Final = 6.0
"""Longer than a transaction may take: a held frame is delivered after its sender has given up."""

DELAY_SECONDS: Final = 1.0

PATIENT_WORKER: Final = "b"

Say = Callable[[str], None]


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


def all_frames(random: Random) -> list[tuple[str, Side, Kind]]:
    """Return every API with every kind of fault, on a side that chance decides where both make sense.

    An answer that is held is an answer that is delayed: what follows it on its connection waits too.
    """
    return [
        (api, "request" if kind in ("hold", "duplicate") else random.choice(("request", "response")), kind)
        for api in WORKER_APIS
        for kind in KINDS
    ]


class Breaker:
    """Does it, one thing after the other.

    Args:
        cluster: Broker and network.
        application: Whose workers are broken.
        random: Decides which, when and where.
        say: Told what is done.
        check: Raises when the feeding has ended: what follows would prove nothing.
    """

    def __init__(
        self, cluster: Cluster, application: Application, random: Random, say: Say, check: Callable[[], None]
    ) -> None:
        self._cluster = cluster
        self._application = application
        self._check = check
        self._random = random
        self._say = say
        self.done: Counter[str] = Counter()
        """What happened, by kind."""
        self.missed: list[str] = []
        """What was planned and did not happen, because nothing of the kind came."""
        self.unclean: list[str] = []
        """Workers that ended although nothing ended them."""
        self.planned = 0
        self.left_off = ""
        """Where it was told to leave off before all was done, empty where it was not."""

    @property
    def wrong(self) -> list[str]:
        """Return why what was done proves less than it was to prove."""
        found = list(self.unclean)
        if len(self.missed) > self.planned * MISSED_SHARE_MAX:
            found.append(f"{len(self.missed)} of {self.planned} faults did not happen: {', '.join(self.missed)}")
        return found + [self.left_off] * bool(self.left_off)

    async def run(self, plan: Plan, *, minutes: float | None = None) -> None:
        """Do all that is planned, in an order that chance decides.

        Args:
            plan: What.
            minutes: When to leave off, done or not.

        Raises:
            Stuck: Something did not go on.
        """
        tasks: list[tuple[str, Callable[[], Awaitable[None]]]] = []
        tasks += [(f"crash {point}", self._bound(self.crash, point)) for point in plan.crashes]
        tasks += [("kill -9", self.kill)] * plan.kills
        tasks += [("zombie", self.zombie)] * plan.zombies
        tasks += [("broker kill -9", self.restart_broker)] * plan.broker_restarts
        tasks += [("rebalance", self.rebalance)] * plan.rebalances
        tasks += [(f"{kind} {api} {side}", self._bound(self.frame, api, side, kind)) for api, side, kind in plan.frames]
        self._random.shuffle(tasks)
        self.planned = len(tasks)
        begun = asyncio.get_running_loop().time()
        for number, (name, act) in enumerate(tasks, start=1):
            started = asyncio.get_running_loop().time()
            if minutes is not None and started > begun + minutes * 60:
                self.left_off = f"left off after {number - 1} of {len(tasks)}"
                return
            if number == len(tasks) - plan.patient + 1:
                await self.slow_down()
            await act()
            await self._recovered()
            self._check()
            seconds = asyncio.get_running_loop().time() - started
            self._say(f"{number:4}/{len(tasks)} {name}, on again after {seconds:.1f} s")

    async def start(self) -> None:
        """Start the workers that always run."""
        for worker in self._pair():
            worker.start()
        await self._recovered()

    async def slow_down(self) -> None:
        """Let one worker begin again with the default limits, and keep them."""
        self._say(f"     worker {PATIENT_WORKER} goes on with the default limits")
        self._cluster.slow_down(PATIENT_WORKER)
        worker = self._application.workers[PATIENT_WORKER]
        await worker.stop()
        worker.start()
        await self._recovered()

    async def crash(self, point: str) -> None:
        """Let a worker die at a point."""
        worker = self._random.choice(self._pair())
        self._note_end(worker)
        self.done["kill"] += worker.is_running
        worker.kill()
        count = self._random.randrange(1, 4)
        if point == DURING_REPLAY:
            # What is replayed lies between snapshot and positions: a life that leaves some there comes before.
            worker.start(AFTER_COMMIT, UNSEEN_COMMITS, snapshots=False)
            await worker.ended(POINT_SECONDS_MAX)
            worker.kill()
        if point in (DURING_RESTORE, DURING_REPLAY):
            # A worker may own one partition, and replay it in one go.
            count = 1
        worker.start(point, count)
        if await worker.ended(POINT_SECONDS_MAX) and worker.reached() == point:
            self.done["crash"] += 1
        else:
            self.missed.append(f"crash {point}")
        worker.kill()
        worker.start()

    async def kill(self) -> None:
        """Kill a worker from outside, at any moment."""
        worker = self._random.choice(self._pair())
        await asyncio.sleep(self._random.random() * 2)
        self._note_end(worker)
        worker.kill()
        self.done["kill"] += 1
        worker.start()

    async def zombie(self) -> None:
        """Stop a worker until its partitions have moved on, and wake it."""
        worker = self._random.choice(self._pair())
        self._ensure_running(worker)
        await self._application.eyes.recovered()
        worker.send(signal.SIGSTOP)
        try:
            # The other worker gets everything: only then all inputs are committed.
            await asyncio.sleep(1.0)
            await self._application.eyes.recovered()
        finally:
            worker.send(signal.SIGCONT)
        self.done["zombie"] += 1
        await asyncio.sleep(2.0)
        self._ensure_running(worker)

    async def restart_broker(self) -> None:
        """Kill the broker, and start it on what it had written."""
        await asyncio.to_thread(self._cluster.broker.kill)
        await asyncio.sleep(self._random.random() * 3)
        await asyncio.to_thread(self._cluster.broker.start)
        self.done["broker restart"] += 1
        await self._application.eyes.recovered()
        for worker in self._pair():
            self._ensure_running(worker)

    async def rebalance(self) -> None:
        """Let a third worker come, and go in order."""
        third = self._application.workers["c"]
        if not await self._join(third):
            self.missed.append("rebalance: the third worker was given nothing")
        await asyncio.sleep(self._random.random())
        await self._application.eyes.recovered()
        if not await third.stop():
            self.unclean.append(f"worker c ended with {third.exit_code} when told to end")
        self.done["rebalance"] += 1

    async def frame(self, api: str, side: Side, kind: Kind) -> None:
        """Spoil one frame between a worker and the broker."""
        if api == "LeaveGroup":
            await self._leave(side, kind)
            return
        name = self._random.choice("ab")
        worker, proxy = self._application.workers[name], self._cluster.proxies[name]
        if api in AT_START:
            await worker.stop()
        else:
            self._ensure_running(worker)
        fault = proxy.arm(_fault(api, side, kind))
        if not worker.is_running:
            worker.start()
        try:
            await asyncio.wait_for(fault.hit.wait(), HIT_SECONDS_MAX)
            self.done["frame"] += 1
        except TimeoutError:
            self.missed.append(f"{kind} {api} {side}")
        proxy.disarm()
        if kind == "hold":
            await asyncio.sleep(HOLD_SECONDS)
        self._ensure_running(worker)

    # The third worker's farewell is spoilt: the group must do without it, and then without the worker.
    async def _leave(self, side: Side, kind: Kind) -> None:
        third, proxy = self._application.workers["c"], self._cluster.proxies["c"]
        await self._join(third)
        fault = proxy.arm(_fault("LeaveGroup", side, kind))
        await third.stop()
        if fault.hit.is_set():
            self.done["frame"] += 1
        else:
            self.missed.append(f"{kind} LeaveGroup {side}")
        proxy.disarm()
        if kind == "hold":
            await asyncio.sleep(HOLD_SECONDS)

    @staticmethod
    async def _join(worker: WorkerProcess) -> bool:
        worker.start()
        deadline = asyncio.get_running_loop().time() + POINT_SECONDS_MAX
        while not worker.said("partition_live") and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.1)
        return worker.said("partition_live")

    # What was fed by now may all have been committed before a worker ended. And one that still starts when its broker
    # is taken away gives up, as it should.
    async def _recovered(self) -> None:
        deadline = asyncio.get_running_loop().time() + POINT_SECONDS_MAX
        for worker in self._pair():
            while worker.is_running and not worker.said("worker_started"):
                if asyncio.get_running_loop().time() > deadline:
                    raise Stuck(f"expected worker {worker.name} to start within {POINT_SECONDS_MAX:g} s, it did not")
                await asyncio.sleep(0.1)
        await self._application.eyes.recovered()

    # Nothing that is done here may end a worker: it is started again, and told at the end.
    def _ensure_running(self, worker: WorkerProcess) -> None:
        self._note_end(worker)
        if not worker.is_running:
            worker.start()

    def _note_end(self, worker: WorkerProcess) -> None:
        if not worker.is_running and worker.exit_code is not None:
            self.unclean.append(f"worker {worker.name} ended with {worker.exit_code}: {worker.last_words()}")

    def _pair(self) -> list[WorkerProcess]:
        return [self._application.workers["a"], self._application.workers["b"]]

    @staticmethod
    def _bound(act: Callable[..., Awaitable[None]], *arguments: str) -> Callable[[], Awaitable[None]]:
        return lambda: act(*arguments)


def _fault(api: str, side: Side, kind: Kind) -> Fault:
    return Fault(api, kind, side, HOLD_SECONDS if kind == "hold" else DELAY_SECONDS)
