"""What is done to workers and broker, each until everything goes on again."""

from __future__ import annotations

import asyncio
import signal
from collections.abc import Callable
from functools import partial
from random import Random
from typing import Final

from streams.kafka.probe import AFTER_COMMIT, DURING_REPLAY, DURING_RESTORE
from tests.chaos.carried import planned
from tests.chaos.cluster import Application, Cluster
from tests.chaos.eyes import Stuck
from tests.chaos.minimums import Happened
from tests.chaos.plan import Agenda, Plan, Task
from tests.chaos.processes import ALL_SNAPSHOTS, NO_SNAPSHOTS, WorkerProcess
from tests.chaos.proxy import Fault, Kind, Side
from tests.chaos.requests import GIVEN, OF_PARTITIONS, is_of_partition

POINT_SECONDS_MAX: Final = 45.0
"""How long a worker may take to start and reach a point."""

UNSEEN_COMMITS: Final = 20
"""Enough that some are of a partition with state: routers have none."""

HIT_SECONDS_MAX: Final = 30.0
"""How long a frame of some kind may be waited for."""

DONE_SECONDS_MAX: Final = 5.0
"""How long what is done to a frame that has come may take past the time that it is kept back."""

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

LIVE: Final = "partition_live"
"""What a worker logs of a partition that it was given, when it has its state."""

Say = Callable[[str], None]


class Breaker:
    """Does it, one thing after the other.

    Args:
        cluster: Broker and network.
        application: Whose workers are broken.
        random: Decides which, when and where.
        happened: Is told what happened.
        say: Told what is done.
        check: Raises when the feeding has ended: what follows would prove nothing.
    """

    def __init__(
        self,
        cluster: Cluster,
        application: Application,
        random: Random,
        happened: Happened,
        say: Say,
        check: Callable[[], None],
    ) -> None:
        self._cluster = cluster
        self._application = application
        self._check = check
        self._random = random
        self._happened = happened
        self._say = say
        self.missed: list[str] = []
        """What was planned and did not happen, as often as it was tried, because nothing of the kind came."""
        self.unclean: list[str] = []
        """Workers that ended although nothing ended them."""
        self.left_off = ""
        """Where it was told to leave off before all was done, empty where it was not."""

    @property
    def wrong(self) -> list[str]:
        """Return why what was done proves less than it was to prove, whatever happened."""
        return self.unclean + [self.left_off] * bool(self.left_off)

    async def run(self, plan: Plan, *, minutes: float | None = None) -> None:
        """Do all that is planned, in an order that chance decides; what does not happen is tried again at the end.

        Args:
            plan: What.
            minutes: When to leave off, done or not.

        Raises:
            Stuck: Something did not go on.
        """
        tasks = self._tasks(plan)
        self._random.shuffle(tasks)
        agenda = Agenda(tasks)
        self.missed = agenda.missed
        begun = asyncio.get_running_loop().time()
        for number, task in enumerate(agenda, start=1):
            started = asyncio.get_running_loop().time()
            if minutes is not None and started > begun + minutes * 60:
                self.left_off = f"left off after {number - 1} of {agenda.planned}"
                return
            if plan.patient and number == agenda.planned - plan.patient + 1:
                await self.slow_down()
            did = "" if await task.act() else ", did not happen"
            await self._recovered()
            self._check()
            if did and agenda.miss(task):
                did += " and is planned again"
            seconds = asyncio.get_running_loop().time() - started
            self._say(f"{number:4}/{agenda.total} {task.name}{did}, on again after {seconds:.1f} s")

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

    async def crash(self, point: str, *, carrying: bool = False) -> bool:
        """Let a worker die at a point, of any commit or of one that carries a snapshot."""
        worker = self._random.choice(self._pair())
        self._kill(worker)
        count = self._random.randrange(1, 4)
        if point == DURING_REPLAY:
            # What is replayed lies between snapshot and positions: a life that leaves some there comes before.
            worker.start(AFTER_COMMIT, UNSEEN_COMMITS, changed=NO_SNAPSHOTS)
            await worker.ended(POINT_SECONDS_MAX)
            worker.kill()
        if point in (DURING_RESTORE, DURING_REPLAY):
            # A worker may own one partition, and replay it in one go.
            count = 1
        worker.start(point, count, changed=ALL_SNAPSHOTS if carrying else None, carrying=carrying)
        died = await worker.ended(POINT_SECONDS_MAX) and worker.reached() == point
        self._happened.crashes[point] += died
        self._happened.snapshots[point] += died and carrying
        worker.kill()
        worker.start()
        return died

    async def kill(self) -> bool:
        """Kill a worker from outside, at any moment."""
        worker = self._random.choice(self._pair())
        await asyncio.sleep(self._random.random() * 2)
        ran = self._kill(worker)
        worker.start()
        return ran

    async def zombie(self) -> bool:
        """Stop a worker until its partitions have moved on, and wake it."""
        worker, other = self._random.sample(self._pair(), 2)
        self._ensure_running(worker)
        await self._application.eyes.recovered()
        before = other.count(LIVE)
        worker.send(signal.SIGSTOP)
        try:
            # The other worker gets everything: only then all inputs are committed.
            await asyncio.sleep(1.0)
            await self._application.eyes.recovered()
            moved = other.count(LIVE) > before
        finally:
            worker.send(signal.SIGCONT)
        self._happened.zombies += moved
        await asyncio.sleep(2.0)
        self._ensure_running(worker)
        return moved

    async def restart_broker(self) -> bool:
        """Kill the broker, and start it on what it had written."""
        await asyncio.to_thread(self._cluster.broker.kill)
        await asyncio.sleep(self._random.random() * 3)
        await asyncio.to_thread(self._cluster.broker.start)
        await self._application.eyes.recovered()
        self._happened.broker_restarts += 1
        for worker in self._pair():
            self._ensure_running(worker)
        return True

    async def rebalance(self) -> bool:
        """Let a third worker come, be given partitions, and go in order."""
        third = self._application.workers["c"]
        moved = await self._join(third)
        await asyncio.sleep(self._random.random())
        await self._application.eyes.recovered()
        if not await third.stop():
            self.unclean.append(f"worker c ended with {third.exit_code} when told to end")
        self._happened.rebalances += moved
        return moved

    async def frame(self, api: str, side: Side, kind: Kind) -> bool:
        """Spoil one frame between a worker and the broker."""
        fault = _fault(api, side, kind)
        if api == "LeaveGroup":
            done = await self._leave(fault)
        else:
            done = await self._spoil(fault)
        if done:
            self._happened.frames[api, kind] += 1
        return done

    async def _spoil(self, fault: Fault) -> bool:
        name = self._random.choice("ab")
        worker, proxy = self._application.workers[name], self._cluster.proxies[name]
        if fault.api in AT_START:
            await worker.stop()
        else:
            self._ensure_running(worker)
        proxy.arm(fault)
        if not worker.is_running:
            worker.start()
        done = await _is_done(fault, HIT_SECONDS_MAX)
        proxy.disarm()
        self._ensure_running(worker)
        return done

    # The third worker's farewell is spoilt: the group must do without it, and then without the worker.
    async def _leave(self, fault: Fault) -> bool:
        third, proxy = self._application.workers["c"], self._cluster.proxies["c"]
        await self._join(third)
        proxy.arm(fault)
        await third.stop()
        done = await _is_done(fault, DONE_SECONDS_MAX)
        proxy.disarm()
        return done

    def _tasks(self, plan: Plan) -> list[Task]:
        tasks = [
            Task(f"crash {point}{', a snapshot under way' * carrying}", partial(self.crash, point, carrying=carrying))
            for point, carrying in planned(plan.crashes)
        ]
        tasks += [Task("kill -9", self.kill) for _ in range(plan.kills)]
        tasks += [Task("zombie", self.zombie) for _ in range(plan.zombies)]
        tasks += [Task("broker kill -9", self.restart_broker) for _ in range(plan.broker_restarts)]
        tasks += [Task("rebalance", self.rebalance) for _ in range(plan.rebalances)]
        for api, side, kind in plan.frames:
            tasks.append(Task(f"{kind} {api} {side}", partial(self.frame, api, side, kind)))
        return tasks

    # Returns whether there was something to kill.
    def _kill(self, worker: WorkerProcess) -> bool:
        self._note_end(worker)
        ran = worker.is_running
        worker.kill()
        self._happened.kills += ran
        return ran

    # Returns whether the group gave it partitions.
    @staticmethod
    async def _join(worker: WorkerProcess) -> bool:
        worker.start()
        deadline = asyncio.get_running_loop().time() + POINT_SECONDS_MAX
        while not worker.said(LIVE) and asyncio.get_running_loop().time() < deadline:
            await asyncio.sleep(0.1)
        return worker.said(LIVE)

    # What was fed by now may all have been committed before a worker ended. And what is done next is meant for workers
    # that run, not for one that still starts.
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


# What a worker's checks ask for at its start passes.
def _fault(api: str, side: Side, kind: Kind) -> Fault:
    fault = Fault(api, kind, side, HOLD_SECONDS if kind == "hold" else DELAY_SECONDS)
    if api in OF_PARTITIONS:
        fault.wanted, fault.after = is_of_partition, GIVEN
    return fault


# Whether the proxy did to a frame what it was told: one that has come may lose its connection before.
async def _is_done(fault: Fault, seconds: float) -> bool:
    try:
        await asyncio.wait_for(fault.hit.wait(), seconds)
        await asyncio.wait_for(fault.done.wait(), fault.seconds + DONE_SECONDS_MAX)
    except TimeoutError:
        return False
    return True
