"""One line on standard error that says what is being done."""

from __future__ import annotations

import signal
import sys
import time
from typing import Final

import psutil

BUSY_SECONDS: Final = 2.0
BUSY_PERCENT: Final = 10
EVERY_SECONDS: Final = 5.0  # without a terminal

_last = 0.0


def end_in_order() -> None:
    """Let SIGTERM end this program as Ctrl-C does, so that brokers and contestants end with it."""
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(143))


def other_work() -> str:
    """Return what else the machine does before a measurement, as the end of a sentence about it; empty when idle."""
    busy = psutil.cpu_percent(interval=BUSY_SECONDS)
    return f", {busy:.0f} % busy with other work before the start" if busy > BUSY_PERCENT else ""


def say(text: str) -> None:
    """Show what is being done now: over the last line in a terminal, else a line now and then."""
    global _last  # noqa: PLW0603  there is one terminal
    if sys.stderr.isatty():
        print(f"\r{text:<90}", end="", file=sys.stderr, flush=True)
    elif time.monotonic() - _last > EVERY_SECONDS:
        print(text, file=sys.stderr, flush=True)
        _last = time.monotonic()
