"""What ends and begins at a session's edges: the verdict, the daily bar, the new levels.

Order of a roll: held prints are rejected, per machine the held extreme and the verdict, in the units of the old
session; its bar; what expires with it. The new session's levels wait for its first trade, so that history which arrives
before it still counts.
"""

from __future__ import annotations

import numpy as np

from streams.core.actions import own_history_from, set_symbol
from streams.core.breakout import arm, first_price, forget_signals, judge, reaches, send_held_extreme
from streams.core.closing import close_of, judge_close
from streams.core.compiled import allocating, njit
from streams.core.extremes import extreme_of, forget_prices
from streams.core.held import reject_held_prints
from streams.core.layout import (
    BAR_OFFICIAL,
    BAR_OWN,
    BAR_TRADED,
    BAR_UNKNOWN_DOWN,
    BAR_UNKNOWN_UP,
    CLOSE_NONE,
    CLOSE_WINDOW,
    DOWN,
    FIRST_CLOSE,
    MACHINES,
    UP,
    WINDOW_FULL,
    WINDOW_PARTIAL,
)
from streams.core.momentum import derive_bases, derive_measures, expire_measures
from streams.core.own_trades import extreme_of_bar, own_extreme, set_own
from streams.core.rows import BREAKOUT_OFF, KEPT_PRICES, NEVER_NS
from streams.core.window import (
    UNFIT,
    average_true_range,
    breakout_history,
    broke_bit,
    ring_insert,
    triggered_bit,
    window_coverage,
    window_first,
    window_level,
)
from streams.core.world import Row, World


@njit
def close_session(world: World, row: Row) -> None:
    """Give the verdicts, once: on the official close where there is one, else on the last trade."""
    warm = row.warm
    if warm["closed"] != 0:
        return
    warm["closed"] = 1
    row.hot["segment_close_ns"] = 0
    reject_held_prints(world, row)
    close, source = close_of(world, row)
    warm["judged_close"] = close
    warm["judged_source"] = source
    for machine in range(FIRST_CLOSE):
        judge(world, row, np.int64(machine), close)
    for machine in range(FIRST_CLOSE, MACHINES):
        judge_close(world, row, np.int64(machine), close)


@njit
def roll(world: World, row: Row, session: int, time_ns: int, clock_ns: int) -> None:
    """End the row's session, if it has one, and enter another that has opened at `time_ns`."""
    hot = row.hot
    warm = row.warm
    first = np.int64(row.market["first"])
    new = world.sessions[first + session]
    if hot["date"] > 0:
        close_session(world, row)
        _store_bar(world, row, clock_ns)
        old = world.sessions[first + np.int64(warm["session"])]
        month_changes = old["month_base"] != new["month_base"]
        year_changes = old["year_base"] != new["year_base"]
        expire_measures(world, row, np.int64(new["open_ns"]), month_changes, year_changes)
    _keep_prices(row)
    hot["date"] = new["date"]
    hot["volume"] = 0
    hot["prints"] = 0
    hot["segment_open_ns"] = 0
    hot["segment_close_ns"] = 0
    is_cancelled = new["close_ns"] <= new["open_ns"]
    warm["session"] = session
    warm["open_ns"] = new["open_ns"]
    warm["close_ns"] = new["close_ns"]
    warm["break_start_ns"] = new["break_start_ns"]
    warm["break_end_ns"] = new["break_end_ns"]
    warm["next_open_ns"] = (
        world.sessions[first + session + 1]["open_ns"] if session + 1 < row.market["count"] else NEVER_NS
    )
    warm["closed"] = 1 if is_cancelled or clock_ns >= new["close_ns"] + world.rules["grace_ns"] else 0
    warm["from_start"] = 1 if is_cancelled or time_ns < new["close_ns"] else 0
    warm["cancelled"] = 1 if is_cancelled else 0
    begin_prints(row)
    warm["stated_close"] = 0
    warm["stated_source"] = CLOSE_NONE
    warm["judged_close"] = 0
    warm["judged_source"] = CLOSE_NONE
    set_symbol(row.cold, np.int64(hot["date"]))
    for machine in range(MACHINES):
        forget_signals(row, np.int64(machine))


@njit
def begin_prints(row: Row) -> None:
    """Begin a session, or one that never was, without a trade."""
    row.hot["prints"] = 0
    row.warm["prints_from"] = 0
    row.warm["traded"] = 0
    row.warm["latest"] = 0
    row.cold["held_prints"] = 0
    row.cold["held_ordinal"] = 0
    forget_prices(row.warm)


@allocating
def derive_session(world: World, row: Row) -> None:
    """Fix the session's levels, bases and thresholds from the bars known now: at its first trade, once."""
    warm = row.warm
    previous_base = warm["base"].copy()
    previous_date = warm["base_date"].copy()
    derive_levels(world, row)
    for machine in range(MACHINES):
        forget_signals(row, np.int64(machine))
        extreme = np.int64(0) if machine >= FIRST_CLOSE else extreme_of(warm, np.int64(machine & 1))
        arm(world, row, np.int64(machine), is_full(warm, np.int64(machine)), extreme)
    derive_bases(world, row, np.int64(warm["session"]), is_full(warm, np.int64(0)))
    derive_measures(world, row, previous_base, previous_date, np.int64(warm["open_ns"]), np.int64(0))


@njit
def is_full(warm: np.void, machine: int) -> bool:
    """Return whether a machine's window is full and its level known."""
    window = machine >> 1
    if window == CLOSE_WINDOW:
        window = np.int64(0)
    return warm["window_status"][window] == WINDOW_FULL and warm["level"][machine] > 0


@njit
def derive_levels(world: World, row: Row) -> None:
    """Work out what the session knows of its windows: coverage, levels, what they were made of, and the range."""
    warm = row.warm
    session = np.int64(warm["session"])
    first = np.int64(row.market["first"])
    end = np.int64(row.hot["date"])
    warm["history_from"] = own_history_from(row.cold, end)
    warm["atr"] = average_true_range(row, end)
    for window in range(np.int64(world.rules["windows"])):
        status, present, expected = window_coverage(world, row, session, np.int64(window))
        start = np.int64(world.sessions[first + window_first(world, row, session, np.int64(window))]["date"])
        warm["window_status"][window] = status
        warm["sessions"][window] = present
        warm["sessions_expected"][window] = expected
        warm["window_start"][window] = start
        warm["window_end"][window] = world.sessions[first + max(session - 1, 0)]["date"]
        for side in range(2):
            _derive_level(world, row, np.int64(2 * window + side), start, end)
            if warm["level"][2 * window + side] == UNFIT:
                warm["window_status"][window] = WINDOW_PARTIAL
            if window == 0 and world.rules["machine"][FIRST_CLOSE + side] != 0:
                _derive_level(world, row, np.int64(FIRST_CLOSE + side), start, end)


@njit
def store_official_bar(world: World, row: Row, bar: np.void, session: int) -> bool:
    """Put a bar record into the ring; returns False when it is older than all the ring holds.

    Whether the bar's own session broke out is judged by the bars before it as they are now known.
    """
    warm = row.warm
    index, count = ring_insert(row.ring, np.int64(warm["bar_count"]), np.int64(bar["date"]))
    if index < 0:
        return False
    warm["bar_count"] = count
    kept = row.ring[index]
    triggered = np.int64(kept["flags"]) & (triggered_bit(np.int64(UP)) | triggered_bit(np.int64(DOWN)))
    marks = np.int64(kept["marks"])
    flags = np.int64(kept["flags"])
    own_high = own_extreme(kept, np.int64(UP))
    own_low = own_extreme(kept, np.int64(DOWN))
    own_close = np.int64(kept["close"])
    row.ring[index] = bar
    if bar["flags"] & BAR_TRADED == 0:
        # Prices of a session without a trade are nobody's.
        kept["high"] = 0
        kept["low"] = 0
        kept["close"] = 0
    kept["flags"] = (np.int64(bar["flags"]) & (BAR_OFFICIAL | BAR_TRADED)) | triggered
    kept["marks"] = marks
    if flags & BAR_OWN != 0:
        kept["flags"] |= flags & (BAR_UNKNOWN_UP | BAR_UNKNOWN_DOWN)
        set_own(kept, own_high, own_low, own_close)
    judge_bar(world, row, index, session)
    return True


@njit
def judge_bar(world: World, row: Row, index: int, session: int) -> None:
    """Mark on which sides an official bar passed the levels before it."""
    warm = row.warm
    bar = row.ring[index]
    if bar["flags"] & BAR_OFFICIAL == 0:
        return
    date = np.int64(bar["date"])
    own = np.int64(warm["history_from"])
    warm["history_from"] = own_history_from(row.cold, date)
    flags = np.int64(bar["flags"])
    marks = np.int64(bar["marks"])
    for window in range(np.int64(world.rules["windows"])):
        is_judged = flags & BAR_TRADED != 0
        if is_judged:
            is_judged = window_coverage(world, row, session, np.int64(window))[0] == WINDOW_FULL
        begins = window_first(world, row, session, np.int64(window))
        start = np.int64(world.sessions[np.int64(row.market["first"]) + begins]["date"])
        highest = window_level(world, row, start, date, np.int64(2 * window + UP))[0] if is_judged else np.int64(0)
        lowest = window_level(world, row, start, date, np.int64(2 * window + DOWN))[0] if is_judged else np.int64(0)
        for side in range(2):
            machine = np.int64(2 * window + side)
            broke = False
            if highest > 0 and lowest > 0:
                level = highest if side == UP else lowest
                price = extreme_of_bar(bar, np.int64(side))
                broke = reaches(price, first_price(world.rules, level, np.int64(side)), np.int64(side))
            bit = broke_bit(machine)
            if window == 0:
                flags = flags | bit if broke else flags & ~bit
            else:
                marks = marks | bit if broke else marks & ~bit
    bar["flags"] = flags
    bar["marks"] = marks
    warm["history_from"] = own


@njit
def set_deadline(world: World, row: Row) -> None:
    """Work out and store the first clock time at which the row has something to do."""
    warm = row.warm
    deadline = np.int64(warm["next_open_ns"])
    if warm["closed"] == 0:
        deadline = min(deadline, np.int64(warm["close_ns"]) + np.int64(world.rules["grace_ns"]))
    for machine in range(FIRST_CLOSE):
        if warm["pending"][machine] != 0:
            deadline = min(deadline, np.int64(warm["conflated_until_ns"][machine]))
    row.hot["deadline_ns"] = deadline
    if deadline < world.partition["deadline_ns"]:
        world.partition["deadline_ns"] = deadline


@njit
def tell_clock(world: World, row: Row, session: int, clock_ns: int) -> None:
    """Let a clock pass over a row: held extremes, the verdict, the roll into `session`, each when its time has come.

    Running it again with the same clock changes nothing.
    """
    hot = row.hot
    warm = row.warm
    if hot["date"] > 0:
        if warm["closed"] == 0 and clock_ns >= warm["close_ns"] + world.rules["grace_ns"]:
            close_session(world, row)
        for machine in range(FIRST_CLOSE):
            if warm["pending"][machine] != 0 and clock_ns >= warm["conflated_until_ns"][machine]:
                send_held_extreme(world, row, np.int64(machine))
    if session >= 0 and world.sessions[np.int64(row.market["first"]) + session]["date"] > hot["date"]:
        roll(world, row, session, clock_ns, clock_ns)


@njit
def _derive_level(world: World, row: Row, machine: int, start: int, end: int) -> None:
    warm = row.warm
    level, date, raw, numerator, denominator, unknown = window_level(world, row, start, end, machine)
    warm["level"][machine] = level
    warm["level_date"][machine] = date
    warm["level_raw"][machine] = raw
    warm["level_numerator"][machine] = numerator
    warm["level_denominator"][machine] = denominator
    warm["level_unknown"][machine] = unknown
    session = np.int64(warm["session"])
    warm["level_age"][machine] = _sessions_since(world, row, session, date)
    fresh, streak = breakout_history(world, row, session, machine)
    warm["fresh"][machine] = fresh
    warm["streak"][machine] = streak


# The bar of the session that ends: from its trades, or as a session known to have had none.
@njit
def _store_bar(world: World, row: Row, clock_ns: int) -> None:
    warm = row.warm
    high = extreme_of(warm, np.int64(UP))
    low = extreme_of(warm, np.int64(DOWN))
    is_traded = high > 0 and low > 0
    known_idle = warm["from_start"] != 0 and clock_ns >= warm["close_ns"]
    if not is_traded and not known_idle:
        return
    index, count = ring_insert(row.ring, np.int64(warm["bar_count"]), np.int64(row.hot["date"]))
    if index < 0:
        return
    warm["bar_count"] = count
    bar = row.ring[index]
    flags = np.int64(bar["flags"])
    marks = np.int64(bar["marks"])
    if flags & BAR_OFFICIAL == 0:
        flags = np.int64(0)
        bar["open"] = 0
        bar["high"] = 0
        bar["low"] = 0
        bar["close"] = 0
        bar["volume"] = 0
        if is_traded and world.rules["extended"] == 0:
            flags = BAR_TRADED | _unknown_bits(warm)
            bar["open"] = warm["open"]
            bar["high"] = high
            bar["low"] = low
            bar["close"] = _close_to_keep(world, row, high, low)
            bar["volume"] = row.hot["volume"]
    for machine in range(FIRST_CLOSE):
        if warm["standing"][machine] > 0:
            if machine < 2:
                flags |= triggered_bit(np.int64(machine))
            else:
                marks |= triggered_bit(np.int64(machine))
    bar["flags"] = flags
    bar["marks"] = marks
    if is_traded and world.rules["extended"] != 0:
        bar["flags"] |= _unknown_bits(warm)
        set_own(bar, high, low, _close_to_keep(world, row, high, low))


@njit
def _unknown_bits(warm: np.void) -> int:
    bits = np.int64(BAR_UNKNOWN_UP) if warm["extreme_unknown"][UP] != 0 else np.int64(0)
    return bits | BAR_UNKNOWN_DOWN if warm["extreme_unknown"][DOWN] != 0 else bits


# A bar needs a close. Where no trade is left that may set one, it is the latest print that counted for extremes alone,
# as near to it as what is left of them: that print may have been cancelled too.
@njit
def _close_to_keep(world: World, row: Row, high: int, low: int) -> int:
    close = close_of(world, row)[0]
    if close > 0:
        return close
    latest = np.int64(row.warm["latest"])
    return high if latest == 0 else min(max(latest, low), high)


# The best prices of the session that ends, for what is cancelled or comes late.
@njit
def _keep_prices(row: Row) -> None:
    warm = row.warm
    cold = row.cold
    cold["before_date"] = row.hot["date"]
    for side in range(2):
        cold["before_count"][side] = warm["best_count"][side]
        cold["before_floor"][side] = warm["floor"][side]
        for at in range(KEPT_PRICES):
            cold["before_best"][side, at] = warm["best"][side, at]
            cold["before_trades"][side, at] = warm["best_trades"][side, at]


@njit
def _sessions_since(world: World, row: Row, session: int, date: int) -> int:
    since = np.int64(0)
    if date == 0:
        return since
    first = np.int64(row.market["first"])
    while session - since > 0 and world.sessions[first + session - since]["date"] > date:
        since += 1
    return since


assert BREAKOUT_OFF == 0
assert WINDOW_PARTIAL == 0
