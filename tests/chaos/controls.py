"""Negative controls: protocols with one rule taken out. Each must lose, double or change something, and be caught.

A check that never fails proves nothing. Each control runs the product's own parts with one of them replaced, through
the crash or the sleep that the rule is against; the same story under the right protocol must be well.
"""

from __future__ import annotations

import asyncio
import dataclasses
import uuid
from collections.abc import Callable, Mapping
from typing import Any, Final

from aiokafka import AIOKafkaProducer

from streams.audit.comparison import Counts
from streams.config import Config, Snapshots
from streams.kafka.app import transactional_id
from streams.kafka.effects import Effects
from streams.kafka.owner import Ports, Restored, Seat
from streams.kafka.partition import PartitionRuntime
from streams.kafka.probe import AFTER_COMMIT, passed
from streams.kafka.producer import ExactlyOnce
from streams.kafka.security import client_settings
from streams.wire.positions import STATE
from tests.chaos.direct import ALL_SNAPSHOTS, NO_SNAPSHOTS, Change, Crash, Lives

SLEEP_SECONDS_MAX: Final = 60.0


@dataclasses.dataclass(frozen=True)
class Life:
    """How long one life of a partition lasts.

    Attributes:
        commits: After how many it dies; None where its committer dies by itself.
        snapshots: When it takes them, if not as configured.
    """

    commits: int | None = None
    snapshots: Snapshots | None = None


@dataclasses.dataclass(frozen=True)
class Control:
    """One protocol.

    Attributes:
        name: Which rule is taken out; empty for the right protocol.
        change: What is replaced.
        kinds: One of these must be found, by the names of `Counts`; nothing else proves that the rule was missed.
        lives: The lives that it is tried with; none where it is tried with a sleeper.
    """

    name: str
    change: Callable[[Config], Change]
    kinds: tuple[str, ...] = ()
    lives: tuple[Life, ...] = ()

    def is_caught(self, counts: Counts) -> bool:
        """Tell whether what was found is what taking this rule out must lead to."""
        return any(getattr(counts, kind) > 0 for kind in self.kinds)

    @property
    def title(self) -> str:
        """Return what it is, for people."""
        return f"{self.name or 'the right protocol'}, {'crashes' if self.lives else 'a sleeper'}"


class Sleeper:
    """A committer that falls asleep before one commit, and goes on with it when its partition has moved on."""

    def __init__(self, committer: Any, asleep: asyncio.Event, awake: asyncio.Event, after: int) -> None:
        self._committer = committer
        self._asleep, self._awake = asleep, awake
        self._left = after

    def __getattr__(self, name: str) -> Any:
        return getattr(self._committer, name)

    async def commit(self, effects: Effects) -> None:
        """Sleep when it is time, and commit."""
        self._left -= bool(effects.outputs)
        if self._left == 0:
            self._asleep.set()
            await self._awake.wait()
        await self._committer.commit(effects)


class SplitCommitter:
    """Outputs and positions, each final on its own, with a crash between the two.

    Args:
        config: Where Kafka is.
        committer: Of the right kind; it commits what is not split off.
        outputs_first: Outputs outside the transaction, before it; else after it.
        dies_after: Commits with outputs until it dies between the two.
    """

    def __init__(self, config: Config, committer: Any, *, outputs_first: bool, dies_after: int) -> None:
        self._committer = committer
        self._outputs_first = outputs_first
        self._left = dies_after
        self._plain: Any = AIOKafkaProducer(enable_idempotence=True, **client_settings(config.kafka))

    def __getattr__(self, name: str) -> Any:
        return getattr(self._committer, name)

    async def start(self) -> None:
        """Connect both."""
        await self._plain.start()
        await self._committer.start()

    async def close(self, *, finished: bool) -> None:
        """Close both."""
        await self._plain.stop()
        await self._committer.close(finished=finished)

    async def commit(self, effects: Effects) -> None:
        """Commit in two steps."""
        outputs, effects.outputs = effects.outputs, []
        self._left -= bool(outputs)
        steps = [lambda: self._write(outputs), lambda: self._committer.commit(effects)]
        first, second = steps if self._outputs_first else reversed(steps)
        await first()
        if self._left == 0 and outputs:
            raise Crash("between outputs and positions")
        await second()

    async def _write(self, outputs: list[Any]) -> None:
        for output in outputs:
            await self._plain.send_and_wait(
                output.topic, output.value, output.key, partition=output.partition, headers=output.headers
            )


class Believing:
    """A restorer that takes a snapshot for the state at the committed positions, as if it carried none of its own."""

    def __init__(self, restorer: Any) -> None:
        self._restorer = restorer
        self.topic = restorer.topic

    async def restore(self, seat: Seat, group: Mapping[str, int | None], bounds: Any) -> Restored:
        """Restore, and forget what lies between the snapshot and the committed positions."""
        restored: Restored = await self._restorer.restore(seat, group, bounds)
        runtime = restored.runtime
        if isinstance(runtime, PartitionRuntime) and not runtime.is_live:
            runtime._positions = dict(runtime._waypoints[-1].positions)
            runtime._arrive()
        return restored


def right(_: Config) -> Change:
    """Change nothing."""
    return lambda ports: ports


def without_fencing(config: Config) -> Change:
    """One transactional id a worker rather than a partition: nobody is fenced."""

    def change(ports: Ports) -> Ports:
        def committer(seat: Seat) -> Any:
            name = f"{transactional_id(config.kafka.group, seat)}-{uuid.uuid4().hex[:8]}"
            return ExactlyOnce(config.kafka, name, timeout_seconds=config.commits.timeout_s, probe=passed)

        return dataclasses.replace(ports, committer=committer)

    return change


def split(*, outputs_first: bool) -> Callable[[Config], Change]:
    """Outputs outside the transaction; they are written before it, or after it."""

    def bind(config: Config) -> Change:
        def change(ports: Ports) -> Ports:
            def committer(seat: Seat) -> Any:
                inner = ports.committer(seat)
                if seat.kind != STATE:
                    return inner
                return SplitCommitter(config, inner, outputs_first=outputs_first, dies_after=4)

            return dataclasses.replace(ports, committer=committer)

        return change

    return bind


def believing(_: Config) -> Change:
    """A snapshot without its position."""
    return lambda ports: dataclasses.replace(ports, restorer=Believing(ports.restorer))


CRASHES: Final = (Life(5),) * 3
BETWEEN: Final = (Life(),) * 3

# The second life commits bars that are in no snapshot, the third believes that they are, and says so in its own: what
# comes after it is wrong to the end. Few commits, so that the history has not ended by then.
UNSEEN: Final = (Life(1, ALL_SNAPSHOTS), Life(3, NO_SNAPSHOTS), Life(5, ALL_SNAPSHOTS))

CONTROLS: Final = (
    Control("", right, lives=CRASHES),
    Control("", right),
    Control("no fencing", without_fencing, ("doubled",)),
    Control("outputs outside the transaction", split(outputs_first=True), ("doubled",), BETWEEN),
    Control("position committed before outputs", split(outputs_first=False), ("lost",), BETWEEN),
    # What lies between the snapshot and the positions is missing from the state: other signals follow, or none.
    Control("snapshot without position", believing, ("lost", "different"), UNSEEN),
)


async def run_control(control: Control, config: Config, caught_up: Callable[[], Any]) -> None:
    """Take one protocol through crashes, or through a sleeper that wakes, and then to the end of its inputs."""
    lives = Lives(config, change=control.change(config))
    seat = lives.seats[0]
    if not control.lives:
        await _sleep_through(config, control, lives, seat)
    for life in control.lives:
        point = "none" if life.commits is None else AFTER_COMMIT
        await lives.live(seat, point, life.commits or 1, snapshots=life.snapshots)
    # The end is reached with the right protocol: what is wrong by then stays wrong.
    await Lives(config).finish(caught_up)


async def _sleep_through(config: Config, control: Control, lives: Lives, seat: Seat) -> None:
    asleep, awake, told = asyncio.Event(), asyncio.Event(), asyncio.Event()
    change = control.change(config)

    def sleepy(ports: Ports) -> Ports:
        made = change(ports)
        return dataclasses.replace(made, committer=lambda seat: Sleeper(made.committer(seat), asleep, awake, after=5))

    sleeper = asyncio.create_task(Lives(config, change=sleepy).live(seat, until=told))
    falling = asyncio.create_task(asleep.wait())
    await asyncio.wait({sleeper, falling}, timeout=SLEEP_SECONDS_MAX, return_when=asyncio.FIRST_COMPLETED)
    if not asleep.is_set():
        falling.cancel()
        sleeper.cancel()
        await sleeper
    # Its partition moves on.
    await lives.live(seat, AFTER_COMMIT, 5)
    awake.set()
    await asyncio.sleep(1.0)
    told.set()
    await asyncio.gather(sleeper, return_exceptions=True)
