"""A worker as a process that ends itself at a point of the commit protocol: `python -m tests.chaos.worker POINT COUNT`.

It is the product's own worker, composed with a probe. POINT is `none` for one that runs until something else ends it.
With `carrying` as a third argument only commits count that carry a snapshot.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable
from typing import ParamSpec

from streams.config import load
from streams.kafka import app
from streams.kafka.owner import Ports
from streams.kafka.probe import Probe
from streams.kafka.worker import run_worker
from tests.chaos.carried import WITHIN_SNAPSHOT, dying, watch

P = ParamSpec("P")

REACHED = "chaos: reached "
"""What it says on standard error as its last words; the line is whole, because nothing is written after it."""


def crashing(point: str, count: int, *, carrying: bool) -> Probe:
    """Return a probe that kills this process when a point is reached for the so-many-th time."""

    def die() -> None:
        os.write(2, f"{REACHED}{point}\n".encode())
        os.kill(os.getpid(), signal.SIGKILL)

    return dying(point, count, die, carrying=carrying)


def watched(build: Callable[P, Ports], probe: Probe, *, tears: bool) -> Callable[P, Ports]:
    """Return what builds ports whose commits say whether they carry a snapshot. See `watch`."""

    def built(*arguments: P.args, **named: P.kwargs) -> Ports:
        return watch(build(*arguments, **named), probe, tears=tears)

    return built


# What every task waits for, on standard error: a worker that does not go on is asked before it is killed.
def tell_tasks(*_: object) -> None:
    for task in asyncio.all_tasks():
        task.print_stack(file=sys.stderr)
    sys.stderr.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, tell_tasks)
    point, count, *how = sys.argv[1:]
    probe = crashing(point, int(count), carrying="carrying" in how)
    app.build_ports = watched(app.build_ports, probe, tears=point == WITHIN_SNAPSHOT)
    sys.exit(run_worker(load(None, os.environ), probe=probe))
