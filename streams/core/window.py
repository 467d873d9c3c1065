"""The ring of daily bars of an instrument, and what is read from it: levels, coverage, bases, average true range.

A ring is a sorted array of `BAR`, the first `bar_count` entries in use. Everything here is read once a session and when
the past changes, so it is plain scans of at most `RING_BARS` entries: a cleverer structure could not take back a bar or
a split. Bars are raw; what they are worth in a later session's units is worked out by `actions`.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from streams.core.actions import adjusted_level, adjusted_price, factor_since
from streams.core.compiled import njit
from streams.core.layout import (
    BAR_BROKE_DOWN,
    BAR_BROKE_UP,
    BAR_TRADED,
    BAR_TRIGGERED_DOWN,
    BAR_TRIGGERED_UP,
    BAR_UNKNOWN_DOWN,
    BAR_UNKNOWN_UP,
    CLOSE_WINDOW,
    DOWN,
    FIRST_CLOSE,
    RING_BARS,
    UP,
    WINDOW_DEGRADED,
    WINDOW_FULL,
    WINDOW_PARTIAL,
)
from streams.core.own_trades import extreme_of_bar
from streams.core.world import Row, World

ATR_BARS: Final = 14
UNFIT: Final = -1  # A level that some bar of its window has no price for: too high or too low in today's units.


@njit
def ring_position(ring: np.ndarray, count: int, date: int) -> int:
    """Return the index of the first bar on or after a date, `count` when there is none."""
    low = 0
    high = count
    while low < high:
        middle = (low + high) // 2
        if ring[middle]["date"] < date:
            low = middle + 1
        else:
            high = middle
    return low


@njit
def ring_find(ring: np.ndarray, count: int, date: int) -> int:
    """Return the index of the bar of a date, or -1."""
    position = ring_position(ring, count, date)
    if position < count and ring[position]["date"] == date:
        return position
    return -1


@njit
def ring_insert(ring: np.ndarray, count: int, date: int) -> tuple[int, int]:
    """Make room for a date and return its index and the new count; -1 when the ring is full of later bars.

    A full ring forgets its oldest bar. The entry's fields other than its date are those of whatever stood there before.
    """
    position = ring_position(ring, count, date)
    if position < count and ring[position]["date"] == date:
        return position, count
    if count == RING_BARS:
        if position == 0:
            return -1, count
        for index in range(position - 1):
            ring[index] = ring[index + 1]
        position -= 1
    else:
        for index in range(count, position, -1):
            ring[index] = ring[index - 1]
        count += 1
    ring[position]["date"] = date
    ring[position]["flags"] = 0
    ring[position]["marks"] = 0
    return position, count


@njit
def window_first(world: World, row: Row, session: int, window: int) -> int:
    """Return the first session of the window of a number that ends before a session."""
    return np.int64(world.sessions[np.int64(row.market["first"]) + session]["windows_first"][window])


@njit
def window_coverage(world: World, row: Row, session: int, window: int) -> tuple[int, int, int]:
    """Return status, sessions present and sessions expected of the window that ends before a session.

    Full: a bar reaches back to the window's first session, at least the share of its sessions that the rules ask for
    is present and none of the most recent is missing. Degraded: it reaches back, but sessions are missing. Partial: it
    does not.
    """
    sessions = world.sessions
    first = np.int64(row.market["first"])
    ring = row.ring
    count = np.int64(row.warm["bar_count"])
    begins = window_first(world, row, session, window)
    expected = session - begins
    if expected <= 0:
        return np.int64(WINDOW_PARTIAL), np.int64(0), np.int64(0)
    start = np.int64(sessions[first + begins]["date"])
    end = np.int64(sessions[first + session]["date"])
    own = np.int64(row.warm["history_from"])
    oldest = ring_position(ring, count, own)
    low = max(ring_position(ring, count, start), oldest)
    high = max(ring_position(ring, count, end), low)
    present = high - low
    reaches_back = own <= start and (low > oldest or (low < count and ring[low]["date"] == start))
    if not reaches_back:
        return np.int64(WINDOW_PARTIAL), present, expected
    if present * 1_000_000 < np.int64(world.rules["coverage_ppm"]) * expected:
        return np.int64(WINDOW_DEGRADED), present, expected
    recent = max(session - np.int64(world.rules["recent_sessions"]), begins)
    if high - ring_position(ring, count, np.int64(sessions[first + recent]["date"])) < session - recent:
        return np.int64(WINDOW_DEGRADED), present, expected
    return np.int64(WINDOW_FULL), present, expected


@njit
def window_level(world: World, row: Row, start: int, end: int, machine: int) -> tuple[int, int, int, int, int, int]:
    """Return the level of a machine from the traded bars in [start, end), in the units of the session of date `end`.

    The level, its date, its raw price, the two parts of the factor since, and 1 where a bar's extreme is unknown; all 0
    without a bar, and a level of UNFIT where one of them is no price in today's units. Of equal extremes the latest
    session counts.
    """
    ring = row.ring
    side = machine & 1
    match = np.int64(world.rules["equality_match"])
    unknown_bit = BAR_UNKNOWN_UP if side == UP else BAR_UNKNOWN_DOWN
    level = np.int64(0)
    date = np.int64(0)
    raw = np.int64(0)
    numerator = np.int64(1)
    denominator = np.int64(1)
    unknown = np.int64(0)
    has_actions = row.cold["actions"] != 0
    by = np.int64(1)
    over = np.int64(1)
    start = max(start, np.int64(row.warm["history_from"]))
    count = np.int64(row.warm["bar_count"])
    for index in range(ring_position(ring, count, start), ring_position(ring, count, end)):
        bar = ring[index]
        if bar["flags"] & BAR_TRADED == 0:
            continue
        if machine >= FIRST_CLOSE:
            price = np.int64(bar["close"])
        else:
            price = extreme_of_bar(bar, side)
            unknown |= 1 if bar["flags"] & unknown_bit != 0 else 0
        here = price
        if has_actions:
            by, over = factor_since(row.cold, np.int64(bar["date"]), end)
            here = adjusted_level(price, by, over, side, match)
            if here == 0:
                return np.int64(UNFIT), np.int64(0), np.int64(0), np.int64(1), np.int64(1), np.int64(0)
        if level == 0 or (side == UP and here >= level) or (side == DOWN and here <= level):
            level = here
            date = np.int64(bar["date"])
            raw = price
            numerator = by
            denominator = over
    return level, date, raw, numerator, denominator, unknown


@njit
def base_close(world: World, row: Row, session: int, until: int) -> tuple[int, int]:
    """Return the close in force at the end of a session, in the units of a later date, and the date it was set on.

    0, 0 when it is not known. A session known to have had no trade keeps the close before it; one that is missing, or
    that is another instrument's, makes it unknown.
    """
    first = np.int64(row.market["first"])
    count = np.int64(row.warm["bar_count"])
    while session >= 0:
        date = np.int64(world.sessions[first + session]["date"])
        if date < row.warm["history_from"]:
            return np.int64(0), np.int64(0)
        index = ring_find(row.ring, count, date)
        if index < 0:
            return np.int64(0), np.int64(0)
        if row.ring[index]["flags"] & BAR_TRADED != 0:
            by, over = factor_since(row.cold, date, until)
            base = adjusted_price(np.int64(row.ring[index]["close"]), by, over)
            return base, date if base > 0 else np.int64(0)
        session -= 1
    return np.int64(0), np.int64(0)


@njit
def last_close(row: Row, end: int) -> tuple[int, int]:
    """Return the close of the newest traded bar before a date, in that date's units, and its own date; 0, 0 without."""
    ring = row.ring
    index = ring_position(ring, np.int64(row.warm["bar_count"]), end) - 1
    while index >= 0 and ring[index]["date"] >= row.warm["history_from"]:
        if ring[index]["flags"] & BAR_TRADED != 0:
            date = np.int64(ring[index]["date"])
            by, over = factor_since(row.cold, date, end)
            return adjusted_price(np.int64(ring[index]["close"]), by, over), date
        index -= 1
    return np.int64(0), np.int64(0)


@njit
def average_true_range(row: Row, end: int) -> float:
    """Return Wilder's average true range over the bars before `end`, in its units; 0 with fewer than 15 traded ones.

    And 0 where a price of one does not fit those units.

    TR = max(H - L, |H - C'|, |L - C'|) with C' the close before; the first average is the mean of 14 true ranges, then
    ATR = (13 ATR + TR) / 14. Source: J. W. Wilder, New Concepts in Technical Trading Systems, 1978.
    """
    ring = row.ring
    count = np.int64(row.warm["bar_count"])
    seen = 0
    total = np.int64(0)
    average = 0.0
    close = np.int64(0)
    for index in range(ring_position(ring, count, np.int64(row.warm["history_from"])), ring_position(ring, count, end)):
        bar = ring[index]
        if bar["flags"] & BAR_TRADED == 0:
            continue
        by, over = factor_since(row.cold, np.int64(bar["date"]), end)
        high = adjusted_price(extreme_of_bar(bar, np.int64(UP)), by, over)
        low = adjusted_price(extreme_of_bar(bar, np.int64(DOWN)), by, over)
        if high == 0 or low == 0:
            return 0.0
        if close > 0:
            high = max(high, close)
            low = min(low, close)
            seen += 1
            if seen <= ATR_BARS:
                total += high - low
                average = float(total) / ATR_BARS
            else:
                average = (average * (ATR_BARS - 1) + float(high - low)) / ATR_BARS
        close = adjusted_price(np.int64(bar["close"]), by, over)
    return average if seen >= ATR_BARS else 0.0


@njit
def triggered_bit(machine: int) -> int:
    """Return the bit of a bar that says that our machine triggered in its session.

    The machines of the 52-week window have theirs among the flags, those of other look-backs among the marks; those of
    the closes share the first.
    """
    if machine >= FIRST_CLOSE or machine < 2:
        return np.int64(BAR_TRIGGERED_UP) if machine & 1 == UP else np.int64(BAR_TRIGGERED_DOWN)
    return np.int64(1) << (4 * ((machine >> 1) - 1) + (machine & 1))


@njit
def broke_bit(machine: int) -> int:
    """Return the bit of a bar that says that its own extreme passed the level before it."""
    if machine >= FIRST_CLOSE or machine < 2:
        return np.int64(BAR_BROKE_UP) if machine & 1 == UP else np.int64(BAR_BROKE_DOWN)
    return np.int64(4) << (4 * ((machine >> 1) - 1) + (machine & 1))


@njit
def breakout_history(world: World, row: Row, session: int, machine: int) -> tuple[int, int]:
    """Return whether the sessions before one had no breakout of a machine (1 or 0), and how many in a row had one."""
    bits = triggered_bit(machine) | broke_bit(machine)
    is_marked = machine >= 2 and machine >> 1 != CLOSE_WINDOW
    first = np.int64(row.market["first"])
    count = np.int64(row.warm["bar_count"])
    fresh_sessions = np.int64(world.rules["fresh_sessions"])
    streak = np.int64(0)
    fresh = np.int64(1)
    running = True
    for back in range(1, session + 1):
        date = np.int64(world.sessions[first + session - back]["date"])
        index = ring_find(row.ring, count, date)
        broke = False
        if index >= 0 and date >= row.warm["history_from"]:
            word = np.int64(row.ring[index]["marks"]) if is_marked else np.int64(row.ring[index]["flags"])
            broke = word & bits != 0
        running = running and broke
        if running:
            streak += 1
        if broke and back <= fresh_sessions:
            fresh = np.int64(0)
        if not running and back >= fresh_sessions:
            break
    return fresh, streak
