"""How fast the path is, as ratios that hold on any machine: our work over fixed loops of the same process.

A machine that is slow, or busy with something else, slows a loop over the same bytes alike; an absolute time would say
more about the machine than about us. Compiled work is held against a compiled loop, Python against Python. Ours and the
loop take turns, and the median of many turns counts, so one disturbed turn does not.

The limits stand in `LIMITS`: half as much again as what was measured. Whoever makes the path faster lowers them.
"""

from __future__ import annotations

import statistics
import sys
import time
from collections.abc import Callable
from functools import partial
from typing import Final

import numpy as np

from benchmarks.stages import log_of, session_fetches
from benchmarks.workload import MIC, Workload, bars
from streams.calendars import load_markets
from streams.core.compiled import njit
from streams.core.engine import Engine, Folded
from streams.core.rules import Rules
from streams.core.signals import signals_of
from streams.wire.batches import read_batches
from streams.wire.signals import encode
from streams.wire.ticks import TickDecoder

LIMITS: Final = {"ticks": 1.4, "bars": 6.5, "signals": 3.2}
WORKLOAD: Final = Workload(instruments=500, ticks=300_000)
TURNS_LEFT_OUT: Final = 1  # the first fetch rolls every instrument into the session
REFERENCE_BYTES: Final = 2_000_000
REFERENCE_TEXTS: Final = 400


def measure() -> dict[str, float]:
    """Return the ratios by name: what a byte of ticks, a byte of bars and a signal cost, over the fixed loops."""
    markets = load_markets([MIC])
    engine = Engine(markets, Rules())
    decoder = TickDecoder(engine.instruments)
    source = np.random.default_rng(7).integers(0, 256, REFERENCE_BYTES, np.uint8)
    digest(source)

    def compiled_byte() -> float:
        return _seconds(lambda: digest(source)) / REFERENCE_BYTES

    def fold(data: bytes) -> float:
        def work() -> None:
            frames = read_batches(data)
            decoded = decoder.decode(frames)
            folded.append(engine.fold(decoded.records, decoded.bars, decoded.buffer))

        return _seconds(work) / len(data)

    folded: list[Folded] = []
    history = [log_of(list(zip(chunk.keys, chunk.values, strict=True))) for chunk in bars(WORKLOAD, markets)]
    of_bars = [fold(b"".join(history[start : start + 8])) / compiled_byte() for start in range(0, len(history), 8)]
    folded.clear()
    of_ticks: list[float] = []
    of_signals: list[float] = []
    for fetch in session_fetches(WORKLOAD, markets):
        of_ticks.append(fold(fetch) / compiled_byte())
        made = folded.pop()
        if len(made.signals):
            cost = _seconds(partial(_encode, made, engine)) / len(made.signals)
            of_signals.append(cost / (_seconds(texts) / REFERENCE_TEXTS))
    if not of_signals:
        raise RuntimeError("gate: expected signals in the workload, found none; its seed or its rules changed")
    return {
        "ticks": statistics.median(of_ticks[TURNS_LEFT_OUT:]),
        "bars": statistics.median(of_bars[TURNS_LEFT_OUT:]),
        "signals": statistics.median(of_signals[TURNS_LEFT_OUT:]),
    }


def too_slow(ratios: dict[str, float]) -> list[str]:
    """Return what is past its limit, in words."""
    return [
        f"{name}: expected at most {LIMITS[name]:g} times the fixed loop, found {ratio:.2f}; see docs/performance.md"
        for name, ratio in ratios.items()
        if ratio > LIMITS[name]
    ]


@njit
def digest(source: np.ndarray) -> int:
    """Return a digest of bytes, one dependent step a byte: the fixed loop that compiled work is held against."""
    value = np.int64(1469598103934665603)
    for index in range(source.size):
        value = (value ^ np.int64(source[index])) * np.int64(1099511628211)
    return int(value)


def texts() -> int:
    """Build and join small texts and dictionaries: the fixed loop that Python is held against."""
    total = 0
    for number in range(REFERENCE_TEXTS):
        fields = {f"name{position}": f"{number * position:09d}.{position}" for position in range(20)}
        total += len(",".join(f"{name}={value}" for name, value in fields.items()))
    return total


def _encode(folded: Folded, engine: Engine) -> None:
    for signal in signals_of(folded, engine):
        encode(signal, source="/fiftytwo/gate")


# Of this thread: what other processes and threads take does not count.
def _seconds(work: Callable[[], object]) -> float:
    started = time.thread_time()
    work()
    return time.thread_time() - started


def main() -> int:
    """Print the ratios, and end with 1 when one is past its limit."""
    ratios = measure()
    for name, ratio in ratios.items():
        print(f"gate: {name} {ratio:.2f} of the fixed loop, at most {LIMITS[name]:g}")
    failures = too_slow(ratios)
    for failure in failures:
        print(failure, file=sys.stderr)
    return 1 if failures else 0


if __name__ == "__main__":
    sys.exit(main())
