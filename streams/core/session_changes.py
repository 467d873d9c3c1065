"""Sessions that an exchange changes during the day: one that ends early, one that never was.

The calendar of a partition is changed by its log alone: each engine has a copy of the sessions, and the state keeps
what was changed, so that a restored engine knows it before it reads on.
"""

from __future__ import annotations

import numpy as np

from streams.core.breakout import forget_signals, is_live
from streams.core.compiled import njit
from streams.core.held import reject_held_prints
from streams.core.layout import FIRST_CLOSE, MACHINES, REASON_SESSION_CANCELLED, SESSION_CANCELLED
from streams.core.roll import begin_prints
from streams.core.rows import BREAKOUT_OFF, OVERRIDES_MAX
from streams.core.unsee import retract
from streams.core.world import Row, World


@njit
def change_session(session: np.void, close_ns: int) -> None:
    """End a session at another time, with its extended hours; at its open where it was cancelled."""
    is_cancelled = close_ns <= session["regular_open_ns"]
    session["close_ns"] = close_ns
    session["extended_close_ns"] = close_ns
    session["regular_close_ns"] = close_ns
    if is_cancelled:
        session["close_ns"] = session["open_ns"]
        session["extended_close_ns"] = session["extended_open_ns"]
        session["regular_close_ns"] = session["regular_open_ns"]
    if session["break_start_ns"] >= close_ns:
        session["break_start_ns"] = 0
        session["break_end_ns"] = 0
    elif session["break_end_ns"] > close_ns:
        session["break_end_ns"] = close_ns


@njit
def closes_at(session: np.void, code: int, close_ns: int) -> int:
    """Return when a changed session ends, or -1 where that changes nothing: it had ended by then, or not begun."""
    if session["regular_close_ns"] <= session["regular_open_ns"]:
        return np.int64(-1)
    if code == SESSION_CANCELLED:
        return np.int64(session["regular_open_ns"])
    if session["regular_open_ns"] < close_ns < session["regular_close_ns"]:
        return close_ns
    return np.int64(-1)


@njit
def keep_override(partition: np.void, overrides: np.ndarray, mic: int, date: int, close_ns: int) -> None:
    """Keep a changed session for engines that are restored; of too many the oldest is forgotten."""
    count = np.int64(partition["overrides"])
    for index in range(count):
        if overrides[index]["market"] == mic and overrides[index]["date"] == date:
            overrides[index]["close_ns"] = close_ns
            return
    if count == OVERRIDES_MAX:
        for index in range(OVERRIDES_MAX - 1):
            overrides[index] = overrides[index + 1]
        count -= 1
    overrides[count]["market"] = mic
    overrides[count]["date"] = date
    overrides[count]["close_ns"] = close_ns
    partition["overrides"] = count + 1


@njit
def change_row(world: World, row: Row, session: np.void) -> None:
    """Let a row that is in a changed session know. Running it again changes nothing."""
    hot = row.hot
    warm = row.warm
    if hot["date"] != session["date"] or warm["cancelled"] != 0:
        return
    if session["close_ns"] > session["open_ns"]:
        if warm["closed"] == 0:
            warm["close_ns"] = session["close_ns"]
            warm["break_start_ns"] = session["break_start_ns"]
            warm["break_end_ns"] = session["break_end_ns"]
            hot["segment_close_ns"] = min(np.int64(hot["segment_close_ns"]), np.int64(session["close_ns"]))
            if world.partition["clock_ns"] >= session["close_ns"] + world.rules["grace_ns"]:
                # The next clock gives the verdict; until then no trade is in time any more.
                hot["segment_close_ns"] = 0
        return
    reject_held_prints(world, row)
    for machine in range(MACHINES):
        if is_live(warm, np.int64(machine)):
            retract(world, row, np.int64(machine), np.int64(REASON_SESSION_CANCELLED))
    for machine in range(MACHINES):
        forget_signals(row, np.int64(machine))
    warm["cancelled"] = 1
    warm["closed"] = 1
    warm["from_start"] = 1
    warm["close_ns"] = session["close_ns"]
    warm["stated_close"] = 0
    hot["segment_close_ns"] = 0
    hot["volume"] = 0
    begin_prints(row)


assert FIRST_CLOSE < MACHINES
assert BREAKOUT_OFF == 0
