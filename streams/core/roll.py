"""What ends and begins at a session's edges: the verdict, the daily bar, the new levels.

Order of a roll: per side the held extreme and the verdict, in the units of the old session; its bar; what expires with
it. The new session's levels wait for its first trade, so that history which arrives before it still counts.
"""

from __future__ import annotations

import numpy as np

from streams.core.breakout import arm, judge, reaches_level, send_held_extreme
from streams.core.compiled import njit
from streams.core.layout import (
    BAR_BROKE_DOWN,
    BAR_BROKE_UP,
    BAR_OFFICIAL,
    BAR_TRADED,
    BAR_TRIGGERED_DOWN,
    BAR_TRIGGERED_UP,
    CLOSE_CONSOLIDATED,
    CLOSE_NONE,
    CLOSE_OFFICIAL,
    DOWN,
    UP,
    WINDOW_FULL,
)
from streams.core.momentum import derive_bases, derive_measures, expire_measures
from streams.core.rows import BREAKOUT_OFF, NEVER_NS
from streams.core.window import (
    average_true_range,
    breakout_history,
    ring_find,
    ring_insert,
    window_coverage,
    window_level,
)


@njit
def close_session(
    outputs: np.ndarray,
    emitted: int,
    record: int,
    row: int,
    hot: np.void,
    warm: np.void,
    ring: np.ndarray,
    rules: np.void,
) -> int:
    """Give both sides' verdicts, once: on the official close where a bar brought it, else on the last trade."""
    if warm["closed"] != 0:
        return emitted
    warm["closed"] = 1
    hot["segment_close_ns"] = 0
    date = np.int64(hot["date"])
    close = np.int64(hot["last"]) if warm["last_seen"] != 0 else np.int64(0)
    source = np.int64(CLOSE_CONSOLIDATED) if warm["last_seen"] != 0 else np.int64(CLOSE_NONE)
    index = ring_find(ring, np.int64(warm["bar_count"]), date)
    if index >= 0 and ring[index]["flags"] & (BAR_OFFICIAL | BAR_TRADED) == BAR_OFFICIAL | BAR_TRADED:
        close = np.int64(ring[index]["close"])
        source = np.int64(CLOSE_OFFICIAL)
    for side in range(2):
        emitted = judge(outputs, emitted, record, row, date, warm, rules, side, close, source)
    return emitted


@njit
def roll(
    outputs: np.ndarray,
    emitted: int,
    record: int,
    row: int,
    hot: np.void,
    warm: np.void,
    ring: np.ndarray,
    sessions: np.ndarray,
    first: int,
    count: int,
    session: int,
    time_ns: int,
    clock_ns: int,
    rules: np.void,
) -> int:
    """End the row's session, if it has one, and enter another that has opened at `time_ns`."""
    new = sessions[first + session]
    if hot["date"] > 0:
        emitted = close_session(outputs, emitted, record, row, hot, warm, ring, rules)
        _store_bar(hot, warm, ring, clock_ns)
        old = sessions[first + np.int64(warm["session"])]
        emitted = expire_measures(
            outputs,
            emitted,
            record,
            row,
            warm,
            np.int64(new["open_ns"]),
            old["month_base"] != new["month_base"],
            old["year_base"] != new["year_base"],
        )
    hot["date"] = new["date"]
    hot["volume"] = 0
    hot["segment_open_ns"] = 0
    hot["segment_close_ns"] = 0
    warm["session"] = session
    warm["open_ns"] = new["open_ns"]
    warm["close_ns"] = new["close_ns"]
    warm["break_start_ns"] = new["break_start_ns"]
    warm["break_end_ns"] = new["break_end_ns"]
    warm["next_open_ns"] = sessions[first + session + 1]["open_ns"] if session + 1 < count else NEVER_NS
    warm["closed"] = 1 if clock_ns >= new["close_ns"] + rules["grace_ns"] else 0
    warm["from_start"] = 1 if time_ns < new["close_ns"] else 0
    warm["traded"] = 0
    warm["last_seen"] = 0
    for side in range(2):
        warm["state"][side] = BREAKOUT_OFF
        warm["ordinal"][side] = 0
        warm["pending"][side] = 0
    return emitted


@njit
def derive_session(
    outputs: np.ndarray,
    emitted: int,
    record: int,
    row: int,
    hot: np.void,
    warm: np.void,
    ring: np.ndarray,
    sessions: np.ndarray,
    first: int,
    rules: np.void,
) -> int:
    """Fix the session's levels, bases and thresholds from the bars known now: at its first trade, once."""
    session = np.int64(warm["session"])
    bars = np.int64(warm["bar_count"])
    status, present, expected = window_coverage(
        ring, bars, sessions, first, session, np.int64(rules["coverage_ppm"]), np.int64(rules["recent_sessions"])
    )
    window_first = np.int64(sessions[first + session]["window_first"])
    start = np.int64(sessions[first + window_first]["date"])
    end = np.int64(hot["date"])
    warm["window_status"] = status
    warm["sessions"] = present
    warm["sessions_expected"] = expected
    warm["window_start"] = start
    warm["window_end"] = sessions[first + max(session - 1, 0)]["date"]
    warm["atr"] = average_true_range(ring, bars, end)
    is_full = status == WINDOW_FULL
    previous_base = warm["base"].copy()
    previous_date = warm["base_date"].copy()
    for side in range(2):
        level, date = window_level(ring, bars, start, end, side)
        warm["level"][side] = level
        warm["level_date"][side] = date
        warm["level_age"][side] = _sessions_since(sessions, first, session, date)
        fresh, streak = breakout_history(ring, bars, sessions, first, session, side, np.int64(rules["fresh_sessions"]))
        warm["fresh"][side] = fresh
        warm["streak"][side] = streak
        arm(warm, rules, side, is_full)
    derive_bases(warm, ring, bars, sessions, first, session, is_full)
    return derive_measures(outputs, emitted, record, row, warm, rules, previous_base, previous_date)


@njit
def store_official_bar(
    warm: np.void, ring: np.ndarray, bar: np.void, sessions: np.ndarray, first: int, session: int, rules: np.void
) -> bool:
    """Put a bar record into the ring; returns False when it is older than all the ring holds.

    Whether the bar's own session broke out is judged by the bars before it as they are now known.
    """
    index, count = ring_insert(ring, np.int64(warm["bar_count"]), np.int64(bar["date"]))
    if index < 0:
        return False
    warm["bar_count"] = count
    triggered = np.int64(ring[index]["flags"]) & (BAR_TRIGGERED_UP | BAR_TRIGGERED_DOWN)
    ring[index] = bar
    flags = np.int64(bar["flags"]) | triggered
    if flags & BAR_TRADED != 0:
        status = window_coverage(
            ring, count, sessions, first, session, np.int64(rules["coverage_ppm"]), np.int64(rules["recent_sessions"])
        )[0]
        if status == WINDOW_FULL:
            window_first = np.int64(sessions[first + session]["window_first"])
            start = np.int64(sessions[first + window_first]["date"])
            end = np.int64(bar["date"])
            high = window_level(ring, count, start, end, np.int64(UP))[0]
            low = window_level(ring, count, start, end, np.int64(DOWN))[0]
            if high > 0 and reaches_level(rules, np.int64(bar["high"]), high, np.int64(UP)):
                flags |= BAR_BROKE_UP
            if low > 0 and reaches_level(rules, np.int64(bar["low"]), low, np.int64(DOWN)):
                flags |= BAR_BROKE_DOWN
    ring[index]["flags"] = flags
    return True


@njit
def set_deadline(hot: np.void, warm: np.void, rules: np.void) -> int:
    """Work out, store and return the first clock time at which the row has something to do."""
    deadline = np.int64(warm["next_open_ns"])
    if warm["closed"] == 0:
        deadline = min(deadline, np.int64(warm["close_ns"]) + np.int64(rules["grace_ns"]))
    for side in range(2):
        if warm["pending"][side] != 0:
            deadline = min(deadline, np.int64(warm["conflated_until_ns"][side]))
    hot["deadline_ns"] = deadline
    return deadline


@njit
def tell_clock(
    outputs: np.ndarray,
    emitted: int,
    record: int,
    row: int,
    hot: np.void,
    warm: np.void,
    ring: np.ndarray,
    sessions: np.ndarray,
    first: int,
    count: int,
    session: int,
    clock_ns: int,
    rules: np.void,
) -> int:
    """Let a clock pass over a row: held extremes, the verdict, the roll into `session`, each when its time has come.

    Running it again with the same clock changes nothing.
    """
    if hot["date"] > 0:
        date = np.int64(hot["date"])
        if warm["closed"] == 0 and clock_ns >= warm["close_ns"] + rules["grace_ns"]:
            emitted = close_session(outputs, emitted, record, row, hot, warm, ring, rules)
        for side in range(2):
            if warm["pending"][side] != 0 and clock_ns >= warm["conflated_until_ns"][side]:
                emitted = send_held_extreme(outputs, emitted, record, row, date, warm, rules, side)
    if session >= 0 and sessions[first + session]["date"] > hot["date"]:
        emitted = roll(
            outputs, emitted, record, row, hot, warm, ring, sessions, first, count, session, clock_ns, clock_ns, rules
        )
    return emitted


# The bar of the session that ends: from its trades, or as a session known to have had none.
@njit
def _store_bar(hot: np.void, warm: np.void, ring: np.ndarray, clock_ns: int) -> None:
    known_idle = warm["from_start"] != 0 and clock_ns >= warm["close_ns"]
    if warm["traded"] == 0 and not known_idle:
        return
    index, count = ring_insert(ring, np.int64(warm["bar_count"]), np.int64(hot["date"]))
    if index < 0:
        return
    warm["bar_count"] = count
    flags = np.int64(ring[index]["flags"])
    if flags & BAR_OFFICIAL == 0:
        flags = np.int64(0)
        bar = ring[index]
        bar["spare"] = 0
        bar["open"] = 0
        bar["high"] = 0
        bar["low"] = 0
        bar["close"] = 0
        bar["volume"] = 0
        if warm["traded"] != 0:
            flags = np.int64(BAR_TRADED)
            bar["open"] = warm["open"]
            bar["high"] = warm["high"]
            bar["low"] = warm["low"]
            bar["close"] = hot["last"] if warm["last_seen"] != 0 else warm["latest"]
            bar["volume"] = hot["volume"]
    if warm["ordinal"][UP] > 0:
        flags |= BAR_TRIGGERED_UP
    if warm["ordinal"][DOWN] > 0:
        flags |= BAR_TRIGGERED_DOWN
    ring[index]["flags"] = flags


@njit
def _sessions_since(sessions: np.ndarray, first: int, session: int, date: int) -> int:
    since = 0
    if date == 0:
        return 0
    while session - since > 0 and sessions[first + session - since]["date"] > date:
        since += 1
    return since
