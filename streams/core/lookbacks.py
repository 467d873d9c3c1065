"""What becomes of the machines of configured look-backs when the configuration names others.

A machine is known by its place, and the places follow the order of the configuration. Under new rules each look-back
that stays takes its windows, signals and marks along to its new place, so that an open signal ends under the name it
began with. One that is gone ends without another word; one that is new begins at the next session.
"""

from __future__ import annotations

from collections.abc import Sequence

import numpy as np

from streams.core.layout import FIRST_CLOSE, FIRST_LOOKBACK, MACHINES, WINDOWS_MAX
from streams.core.rows import COLD, WARM
from streams.core.snapshot import EngineState

_MARK_BITS = 4  # of each look-back: two sides triggered, two broke
_MARKS = (1 << _MARK_BITS) - 1
_NOWHERE = -1


def move_lookbacks(state: EngineState, before: Sequence[str], after: Sequence[str]) -> None:
    """Change a state in place from rules with some look-backs of their own to rules with others."""
    if tuple(before) == tuple(after):
        return
    # The place that each window had; the first is that of the 52-week families.
    windows = [0, *(1 + before.index(name) if name in before else _NOWHERE for name in after)]
    windows += [_NOWHERE] * (WINDOWS_MAX - len(windows))
    machines = [_NOWHERE if at < 0 else 2 * at + side for at in windows for side in range(2)]
    machines += range(FIRST_CLOSE, MACHINES)
    for name in _fields(WARM, WINDOWS_MAX):
        _move(state.warm[name], windows)
    for name in _fields(WARM, MACHINES):
        _move(state.warm[name], machines)
    for name in ("first", "firsts", "firsts_full"):
        _move(state.cold[name], machines)
    _move_marks(state.rings["marks"], windows)
    _move_withheld(state, machines)


def _fields(dtype: np.dtype, length: int) -> list[str]:
    return [name for name in dtype.names or () if dtype[name].shape[:1] == (length,)]


def _move(array: np.ndarray, places: Sequence[int]) -> None:
    found = np.zeros_like(array)
    for place, source in enumerate(places):
        if source >= 0:
            found[:, place] = array[:, source]
    array[:] = found


def _move_marks(marks: np.ndarray, windows: Sequence[int]) -> None:
    found = np.zeros_like(marks)
    for place, source in enumerate(windows):
        if place > 0 and source > 0:
            found |= ((marks >> (_MARK_BITS * (source - 1))) & _MARKS) << (_MARK_BITS * (place - 1))
    marks[:] = found


# Transitions that wait under suspicion of a split carry their family, and with it their machine.
def _move_withheld(state: EngineState, machines: Sequence[int]) -> None:
    count = int(state.partition[0]["withheld"])
    kept = 0
    for entry in state.withheld[:count].copy():
        if entry["family"] >= FIRST_LOOKBACK:
            source = int(entry["family"]) - FIRST_LOOKBACK + 2
            if source not in machines:
                state.cold["withheld"][entry["row"]] -= 1
                continue
            entry["family"] = FIRST_LOOKBACK + machines.index(source) - 2
        state.withheld[kept] = entry
        kept += 1
    state.partition[0]["withheld"] = kept


assert not set(_fields(WARM, WINDOWS_MAX)) & set(_fields(WARM, MACHINES))
assert COLD["first"].shape[0] == MACHINES
