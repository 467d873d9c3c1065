"""A worker as a process that ends itself at a point of the commit protocol: `python -m tests.chaos.worker POINT COUNT`.

It is the product's own worker, composed with a probe. POINT is `none` for one that runs until something else ends it.
"""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Callable

from streams.config import load
from streams.kafka.worker import run_worker

REACHED = "chaos: reached "
"""What it says on standard error as its last words; the line is whole, because nothing is written after it."""


def crashing(point: str, count: int) -> Callable[[str], None]:
    """Return a probe that kills this process when a point is reached for the so-many-th time."""
    left = count

    def probe(reached: str) -> None:
        nonlocal left
        if reached != point:
            return
        left -= 1
        if left == 0:
            os.write(2, f"{REACHED}{point}\n".encode())
            os.kill(os.getpid(), signal.SIGKILL)

    return probe


# What every task waits for, on standard error: a worker that does not go on is asked before it is killed.
def tell_tasks(*_: object) -> None:
    for task in asyncio.all_tasks():
        task.print_stack(file=sys.stderr)
    sys.stderr.flush()


if __name__ == "__main__":
    signal.signal(signal.SIGUSR1, tell_tasks)
    point, count = sys.argv[1], int(sys.argv[2])
    sys.exit(run_worker(load(None, os.environ), probe=crashing(point, count)))
