"""The rate that is held: the highest at which broker, worker, generator and consumer keep up with each other.

What a worker does with a burst that was there before is more: nothing else runs then. Load is measured against the
rate that the whole machine holds, or half of it might already be a growing backlog.
"""

from __future__ import annotations

import asyncio
import math
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final

from benchmarks.generator import Generator

STEP_SECONDS: Final = 4.0
FIRST_RATE: Final = 400_000.0
GROWTH: Final = 1.5
HALVINGS: Final = 2  # of a half, on a scale of ratios: what is found is within a ninth of what is not held
ACHIEVED_MIN: Final = 0.97  # below this share of the rate asked for, the generator or the broker was the limit
DRAIN_SECONDS_MAX: Final = 0.25
"""What is left after a step is read in this time, or it was a backlog and would grow without end."""
DRAIN_SECONDS_TRIED: Final = 30.0
POLL_SECONDS: Final = 0.02


@dataclass(frozen=True, slots=True)
class Step:
    """One rate that was tried.

    Attributes:
        asked: Records a second that were wanted.
        achieved: Records a second that the broker took.
        drain_seconds: How long the worker read on after the broker had taken the last record.
    """

    asked: float
    achieved: float
    drain_seconds: float

    @property
    def is_held(self) -> bool:
        """Tell whether nobody fell behind."""
        return self.achieved >= ACHIEVED_MIN * self.asked and self.drain_seconds <= DRAIN_SECONDS_MAX


Attempt = Callable[[float], Awaitable[Step]]
"""Sends at a rate for some seconds, and tells what became of it."""


async def held_rate(
    generator: Generator,
    quiet: dict[int, list[str]],
    open_ns: int,
    consumed: Callable[[], float],
    tell: Callable[[Step], None],
) -> float:
    """Return the highest rate that was held for some seconds.

    Args:
        generator: Sends the background trades.
        quiet: Instruments of the background trades, by partition.
        open_ns: Open of their session.
        consumed: Asks the worker how many records it has read.
        tell: Told every step.

    Raises:
        RuntimeError: Not even the lowest rate is held.
    """
    return await highest_held(lambda rate: _tried(generator, quiet, open_ns, consumed, rate), tell)


async def highest_held(attempt: Attempt, tell: Callable[[Step], None]) -> float:
    """Return the highest rate that is held, from below: raised until one is not, then halved in between."""
    held, failed, rate = 0.0, math.inf, FIRST_RATE
    halvings = HALVINGS
    while True:
        # Twice before it counts: a pause of anybody's is no backlog.
        for _ in range(2):
            step = await attempt(rate)
            tell(step)
            if step.is_held:
                break
        if step.is_held:
            held = rate
        else:
            failed = rate
        if failed < math.inf:
            if not halvings:
                break
            halvings -= 1
        rate = held * GROWTH if failed == math.inf else math.sqrt((held or FIRST_RATE / 4) * failed)
    if not held:
        raise RuntimeError(
            f"expected {rate:,.0f} records a second to be held, found a backlog: the machine has other work"
        )
    return held


async def _tried(
    generator: Generator, quiet: dict[int, list[str]], open_ns: int, consumed: Callable[[], float], rate: float
) -> Step:
    before = await asyncio.to_thread(consumed)
    load = await generator.run(quiet, open_ns, [], rate, seconds=STEP_SECONDS)
    loop = asyncio.get_running_loop()
    ended = loop.time()
    while (await asyncio.to_thread(consumed)) < before + load.records:
        if loop.time() - ended > DRAIN_SECONDS_TRIED:
            raise RuntimeError(f"expected {load.records:,} records to be read, found the worker standing still")
        await asyncio.sleep(POLL_SECONDS)
    return Step(rate, load.achieved, loop.time() - ended)
