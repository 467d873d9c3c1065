"""The ring of daily bars of an instrument, and what is read from it: levels, coverage, bases, average true range.

A ring is a sorted array of `BAR`, the first `count` entries in use. Everything here is read at most once a session, so
it is plain scans of at most `RING_BARS` entries: a cleverer structure could not take back a bar or a split.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from streams.core.compiled import njit
from streams.core.layout import (
    BAR_BROKE_DOWN,
    BAR_BROKE_UP,
    BAR_TRADED,
    BAR_TRIGGERED_DOWN,
    BAR_TRIGGERED_UP,
    DOWN,
    RING_BARS,
    UP,
    WINDOW_DEGRADED,
    WINDOW_FULL,
    WINDOW_PARTIAL,
)

ATR_BARS: Final = 14


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
    return position, count


@njit
def window_coverage(
    ring: np.ndarray,
    count: int,
    sessions: np.ndarray,
    first: int,
    session: int,
    coverage_ppm: int,
    recent_sessions: int,
) -> tuple[int, int, int]:
    """Return status, sessions present and sessions expected of the window that ends before a session.

    Full: a bar reaches back to the window's first session, at least `coverage_ppm` millionths of its sessions are
    present and none of the last `recent_sessions` is missing. Degraded: it reaches back, but sessions are missing.
    Partial: it does not.
    """
    window_first = np.int64(sessions[first + session]["window_first"])
    expected = session - window_first
    if expected <= 0:
        return WINDOW_PARTIAL, 0, 0
    start = np.int64(sessions[first + window_first]["date"])
    end = np.int64(sessions[first + session]["date"])
    low = ring_position(ring, count, start)
    high = ring_position(ring, count, end)
    present = high - low
    reaches_back = low > 0 or (low < count and ring[low]["date"] == start)
    if not reaches_back:
        return WINDOW_PARTIAL, present, expected
    if present * 1_000_000 < coverage_ppm * expected:
        return WINDOW_DEGRADED, present, expected
    recent = max(session - recent_sessions, window_first)
    if high - ring_position(ring, count, np.int64(sessions[first + recent]["date"])) < session - recent:
        return WINDOW_DEGRADED, present, expected
    return WINDOW_FULL, present, expected


@njit
def window_level(ring: np.ndarray, count: int, start: int, end: int, side: int) -> tuple[int, int]:
    """Return the highest high (up) or lowest low (down) of the traded bars in [start, end), and its date, or 0, 0.

    Of equal extremes the latest session counts.
    """
    level = 0
    level_date = 0
    for index in range(ring_position(ring, count, start), ring_position(ring, count, end)):
        bar = ring[index]
        if bar["flags"] & BAR_TRADED == 0:
            continue
        price = np.int64(bar["high"]) if side == UP else np.int64(bar["low"])
        if level == 0 or (side == UP and price >= level) or (side == DOWN and price <= level):
            level = price
            level_date = np.int64(bar["date"])
    return level, level_date


@njit
def base_close(ring: np.ndarray, count: int, sessions: np.ndarray, first: int, session: int) -> tuple[int, int]:
    """Return the close in force at the end of a session and the date it was set on; 0, 0 when it is not known.

    A session known to have had no trade keeps the close before it; a session that is missing makes it unknown.
    """
    while session >= 0:
        date = np.int64(sessions[first + session]["date"])
        index = ring_find(ring, count, date)
        if index < 0:
            return 0, 0
        if ring[index]["flags"] & BAR_TRADED != 0:
            return np.int64(ring[index]["close"]), date
        session -= 1
    return 0, 0


@njit
def average_true_range(ring: np.ndarray, count: int, end: int) -> float:
    """Return Wilder's average true range over the bars before `end`, in price units; 0 with fewer than 15 traded ones.

    TR = max(H - L, |H - C'|, |L - C'|) with C' the close before; the first average is the mean of 14 true ranges, then
    ATR = (13 ATR + TR) / 14. Source: J. W. Wilder, New Concepts in Technical Trading Systems, 1978.
    """
    seen = 0
    total = np.int64(0)
    average = 0.0
    close = np.int64(0)
    for index in range(ring_position(ring, count, end)):
        bar = ring[index]
        if bar["flags"] & BAR_TRADED == 0:
            continue
        if close > 0:
            high = max(np.int64(bar["high"]), close)
            low = min(np.int64(bar["low"]), close)
            seen += 1
            if seen <= ATR_BARS:
                total += high - low
                average = float(total) / ATR_BARS
            else:
                average = (average * (ATR_BARS - 1) + float(high - low)) / ATR_BARS
        close = np.int64(bar["close"])
    return average if seen >= ATR_BARS else 0.0


@njit
def broke_bits(side: int) -> int:
    """Return the flags of a bar whose session made a breakout of a side, traded by us or read from the bar."""
    if side == UP:
        return BAR_TRIGGERED_UP | BAR_BROKE_UP
    return BAR_TRIGGERED_DOWN | BAR_BROKE_DOWN


@njit
def breakout_history(
    ring: np.ndarray, count: int, sessions: np.ndarray, first: int, session: int, side: int, fresh_sessions: int
) -> tuple[int, int]:
    """Return whether the sessions before one had no breakout of a side (1 or 0), and how many in a row had one."""
    bits = broke_bits(side)
    streak = 0
    fresh = 1
    running = True
    for back in range(1, session + 1):
        index = ring_find(ring, count, np.int64(sessions[first + session - back]["date"]))
        broke = index >= 0 and ring[index]["flags"] & bits != 0
        running = running and broke
        if running:
            streak += 1
        if broke and back <= fresh_sessions:
            fresh = 0
        if not running and back >= fresh_sessions:
            break
    return fresh, streak
