"""Levels, coverage, bases and ranges read from a ring of bars, held against hand-worked values."""

from __future__ import annotations

import numpy as np
import pytest

from streams.core.layout import (
    BAR,
    BAR_TRADED,
    DOWN,
    RING_BARS,
    UP,
    WINDOW_DEGRADED,
    WINDOW_FULL,
    WINDOW_PARTIAL,
)
from streams.core.rows import COLD, HOT, OUT, PARTITION, TAPE, TRADE, WARM
from streams.core.rules import Rules
from streams.core.sessions import Markets, Sessions
from streams.core.units import DAY_NS, SCALE
from streams.core.window import (
    average_true_range,
    base_close,
    ring_find,
    ring_insert,
    window_coverage,
    window_level,
)
from streams.core.world import Row, World


def ring_of(bars: dict[int, tuple[float, float, float]], idle: tuple[int, ...] = ()) -> tuple[np.ndarray, int]:
    """A ring with high, low and close by date; dates in `idle` are known to have had no trade."""
    ring = np.zeros(RING_BARS, BAR)
    count = 0
    for date in [*bars, *idle]:
        index, count = ring_insert(ring, count, date)
        if date in bars:
            high, low, close = (round(value * SCALE) for value in bars[date])
            ring[index] = (date, BAR_TRADED, 0, close, high, low, close, 1)
    return ring, count


def known(ring: np.ndarray, count: int, markets: Markets | None = None) -> tuple[World, Row]:
    """A row of those bars, and the world that it is in."""
    found = markets or daily_sessions(10, "5s")
    rules = Rules(lookback=found.lookback).array()[0]
    outputs = np.zeros(1, OUT)
    trades = np.zeros(2, TRADE)
    cursor = np.zeros(3, np.int64)
    world = World(outputs, cursor, np.zeros(1, PARTITION)[0], found.session, rules, trades[0], trades[1], outputs)
    warm = np.zeros(1, WARM)
    warm["bar_count"] = count
    cold, tape = np.zeros(1, COLD)[0], np.zeros(1, TAPE)[0]
    return world, Row(0, np.zeros(1, HOT)[0], warm[0], cold, tape, ring, found.market[0])


def daily_sessions(count: int, lookback: str) -> Markets:
    dates = np.arange(1000, 1000 + count, dtype=np.int32)
    starts = dates.astype(np.int64) * DAY_NS
    none = np.zeros(count, np.int64)
    return Markets([Sessions("XTST", dates, starts, starts + DAY_NS // 2, none, none)], lookback=lookback)


def test_wilders_range_has_the_worked_values() -> None:
    """With 14 bars of range 1 the seed is 1; a range of 15 then gives (13 x 1 + 15) / 14 = 2."""
    flat = {1000 + day: (11.0, 10.0, 10.5) for day in range(15)}
    ring, count = ring_of({**flat, 1015: (25.5, 10.5, 20.0)})

    row = known(ring, count)[1]
    before = average_true_range(row, 1015)
    after = average_true_range(row, 1016)

    assert (before / SCALE, after / SCALE) == (1.0, 2.0)
    assert average_true_range(row, 1014) == 0.0


def test_of_equal_highs_the_latest_session_is_the_levels() -> None:
    """Level ties go to the latest session; the current session and what precedes the window do not count."""
    ring, count = ring_of({1: (9.0, 1.0, 2.0), 2: (5.0, 3.0, 4.0), 3: (5.0, 2.5, 4.0), 4: (7.0, 1.0, 4.0)})

    world, row = known(ring, count)
    up = window_level(world, row, 2, 4, UP)
    down = window_level(world, row, 2, 4, DOWN)

    assert up == (5 * SCALE, 3, 5 * SCALE, 1, 1, 0)
    assert down == (5 * SCALE // 2, 3, 5 * SCALE // 2, 1, 1, 0)


def test_a_session_without_trade_keeps_the_close_before_it() -> None:
    """A base steps over sessions known to be idle, and is unknown where a session is missing."""
    ring, count = ring_of({1001: (2.0, 1.0, 1.5)}, idle=(1002, 1003))
    world, row = known(ring, count)

    assert base_close(world, row, 3, 1009) == (3 * SCALE // 2, 1001)
    assert base_close(world, row, 4, 1009) == (0, 0)


@pytest.mark.parametrize(
    ("present", "status"),
    [
        (range(100), WINDOW_FULL),
        (range(41, 100), WINDOW_PARTIAL),  # the window's first session is 40
        ([40, *range(44, 100)], WINDOW_FULL),  # 57 of 60 is exactly 95 %
        ([40, *range(45, 100)], WINDOW_DEGRADED),
        ([*range(99)], WINDOW_DEGRADED),  # the newest is missing
        ([*range(80), *range(81, 100)], WINDOW_DEGRADED),  # the oldest of the last 20
        ([*range(79), *range(80, 100)], WINDOW_FULL),
    ],
)
def test_a_window_is_full_only_with_reach_share_and_the_recent_sessions(present: list[int], status: int) -> None:
    """Full needs a bar at or before the window's start, 95 % of its sessions and none of the last 20 missing."""
    ring, count = ring_of({1000 + day: (2.0, 1.0, 1.5) for day in present})
    world, row = known(ring, count, daily_sessions(120, "60s"))

    assert window_coverage(world, row, 100, 0)[0] == status


def test_a_full_ring_forgets_its_oldest_bar_and_refuses_older_ones() -> None:
    """The ring keeps the newest bars by date, in order, wherever a bar is inserted."""
    ring, count = ring_of({2 * day: (2.0, 1.0, 1.5) for day in range(1, RING_BARS + 1)})

    index, count = ring_insert(ring, count, 101)
    refused, count_after = ring_insert(ring, count, 1)

    dates = ring["date"][:count].tolist()
    assert (count, count_after, refused) == (RING_BARS, RING_BARS, -1)
    assert dates == sorted(dates)
    assert (dates[0], dates[index]) == (4, 101)
    assert ring_find(ring, count, 2) == -1
