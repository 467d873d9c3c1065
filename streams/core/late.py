"""What comes after its time: trades and cancels of a session whose verdict was given, or of the session before.

They amend a bar, never a verdict's signal: no machine runs, nothing triggers in retrospect. The session before can be
amended until the verdict of the present one; levels built on its bar are derived again.
"""

from __future__ import annotations

import numpy as np

from streams.core.closing import is_stated_by_market, judge_again, state_close
from streams.core.compiled import njit
from streams.core.extremes import is_beyond, is_kept, is_known
from streams.core.layout import (
    BAR_OFFICIAL,
    BAR_OWN,
    BAR_TRADED,
    BAR_UNKNOWN_DOWN,
    BAR_UNKNOWN_UP,
    DOWN,
    ELIGIBLE_CLOSE,
    ELIGIBLE_HIGH_LOW,
    ELIGIBLE_VOLUME,
    UP,
)
from streams.core.own_trades import drop_own, own_extreme, set_own, widen_own
from streams.core.recent import CANCEL_MARK, is_recent, remember_id
from streams.core.restate import restate
from streams.core.rows import KEPT_PRICES, VOLUME_MAX
from streams.core.trades import add_extremes, count_trade
from streams.core.window import ring_find
from streams.core.world import Row, World


@njit
def fold_late(world: World, row: Row, date: int) -> None:
    """Fold the world's trade, which belongs to a session of a date that is over for it."""
    hot = row.hot
    trade = world.trade
    key = np.int64(trade["key"])
    is_own = date == hot["date"]
    index = _amendable_bar(world, row, date)
    if not is_own and index < 0:
        world.partition["ticks_late"] += 1
        return
    if key != 0 and (is_recent(row.tape, key) or is_kept(row.warm, np.int64(trade["price"]), key)):
        world.partition["ticks_duplicate"] += 1
        return
    world.partition["ticks_late_amended"] += 1
    if is_own:
        count_trade(row, trade)
        if trade["eligible"] & ELIGIBLE_CLOSE != 0 and is_stated_by_market(row, trade):
            state_close(row, trade)
        if trade["eligible"] & ELIGIBLE_HIGH_LOW != 0:
            add_extremes(row, trade)
        judge_again(world, row)
        return
    if key != 0:
        remember_id(row.tape, key)
    _add_to_bar(world, row, trade, row.ring[index])
    restate(world, row)


@njit
def fold_late_corrected(world: World, row: Row, date: int) -> None:
    """Put the world's trade, a corrected one, into a session that is over. Its id may be that of the original."""
    key = np.int64(world.trade["key"])
    index = _amendable_bar(world, row, date)
    if index < 0:
        world.partition["ticks_late"] += 1
    else:
        if key != 0 and not is_recent(row.tape, key):
            remember_id(row.tape, key)
        _add_to_bar(world, row, world.trade, row.ring[index])
    restate(world, row)


@njit
def unsee_late(world: World, row: Row, date: int) -> bool:
    """Take the world's trade out of a session that is over; returns False where there was no such trade.

    Levels that hang on it are not derived again: a correction first puts another trade in its place.
    """
    trade = world.trade
    cold = row.cold
    key = np.int64(trade["key"])
    price = np.int64(trade["price"])
    sets_extremes = trade["eligible"] & ELIGIBLE_HIGH_LOW != 0
    index = _amendable_bar(world, row, date)
    if index < 0 or cold["before_date"] != date:
        world.partition["cancels_late"] += 1
        if sets_extremes:
            _doubt_bar(world, row, date, price)
        return False
    if key != 0 and is_recent(row.tape, key + np.int64(CANCEL_MARK)):
        world.partition["cancels_duplicate"] += 1
        return False
    if sets_extremes and not (_was_seen(cold, np.int64(UP), price) and _was_seen(cold, np.int64(DOWN), price)):
        world.partition["cancels_unknown"] += 1
        return False
    world.partition["cancels"] += 1
    if key != 0:
        remember_id(row.tape, key + np.int64(CANCEL_MARK))
    bar = row.ring[index]
    is_extended = world.rules["extended"] != 0
    if trade["eligible"] & ELIGIBLE_VOLUME != 0 and not is_extended:
        bar["volume"] = max(np.int64(bar["volume"]) - np.int64(trade["size"]), np.int64(0))
    if sets_extremes and bar["flags"] & BAR_TRADED != 0:
        _unsee(cold, bar, np.int64(UP), price)
        _unsee(cold, bar, np.int64(DOWN), price)
        _set_extremes(world, cold, bar)
    return True


# The place of the bar of the session before, while it may be amended and is ours; else -1.
@njit
def _amendable_bar(world: World, row: Row, date: int) -> int:
    warm = row.warm
    session = np.int64(warm["session"])
    if row.hot["date"] <= 0 or warm["closed"] != 0 or session == 0 or date >= row.hot["date"]:
        return np.int64(-1)
    if world.sessions[np.int64(row.market["first"]) + session - 1]["date"] != date:
        return np.int64(-1)
    index = np.int64(ring_find(row.ring, np.int64(warm["bar_count"]), date))
    if index < 0:
        return np.int64(-1)
    # A bar that came as a record is not ours to amend; in extended hours what the scope saw itself stands beside it.
    is_ours = row.ring[index]["flags"] & BAR_OFFICIAL == 0
    if world.rules["extended"] != 0:
        is_ours = row.cold["before_date"] == date
    return index if is_ours else np.int64(-1)


@njit
def _add_to_bar(world: World, row: Row, trade: np.void, bar: np.void) -> None:
    price = np.int64(trade["price"])
    is_extended = world.rules["extended"] != 0
    if trade["eligible"] & ELIGIBLE_VOLUME != 0 and not is_extended:
        bar["volume"] = min(np.int64(bar["volume"]) + np.int64(trade["size"]), np.int64(VOLUME_MAX))
    if trade["eligible"] & ELIGIBLE_HIGH_LOW == 0:
        return
    if is_extended:
        widen_own(bar, price)
    else:
        _widen(bar, price)
    if row.cold["before_date"] == bar["date"]:
        _see(row.cold, np.int64(UP), price)
        _see(row.cold, np.int64(DOWN), price)


@njit
def _widen(bar: np.void, price: int) -> None:
    if bar["flags"] & BAR_TRADED == 0:
        bar["flags"] |= BAR_TRADED
        bar["open"] = price
        bar["high"] = price
        bar["low"] = price
        bar["close"] = price
    bar["high"] = max(np.int64(bar["high"]), price)
    bar["low"] = min(np.int64(bar["low"]), price)


@njit
def _was_seen(cold: np.void, side: int, price: int) -> bool:
    count = np.int64(cold["before_count"][side])
    for at in range(count):
        if cold["before_best"][side, at] == price:
            return True
    worst = np.int64(cold["before_best"][side, KEPT_PRICES - 1])
    return not is_known(count, worst, np.int64(cold["before_floor"][side]), price, side)


@njit
def _see(cold: np.void, side: int, price: int) -> None:
    count = np.int64(cold["before_count"][side])
    at = np.int64(0)
    while at < count and is_beyond(np.int64(cold["before_best"][side, at]), price, side):
        at += 1
    if at < count and cold["before_best"][side, at] == price:
        cold["before_trades"][side, at] += 1
        return
    floor = np.int64(cold["before_floor"][side])
    if at == KEPT_PRICES or (floor != 0 and is_beyond(floor, price, side)):
        return
    for index in range(np.int64(min(count, KEPT_PRICES - 1)), at, -1):
        cold["before_best"][side, index] = cold["before_best"][side, index - 1]
        cold["before_trades"][side, index] = cold["before_trades"][side, index - 1]
    cold["before_best"][side, at] = price
    cold["before_trades"][side, at] = 1
    cold["before_count"][side] = min(count + 1, KEPT_PRICES)


@njit
def _unsee(cold: np.void, bar: np.void, side: int, price: int) -> None:
    count = np.int64(cold["before_count"][side])
    for at in range(count):
        if cold["before_best"][side, at] != price:
            continue
        cold["before_trades"][side, at] -= 1
        if cold["before_trades"][side, at] > 0:
            return
        if count == KEPT_PRICES:
            cold["before_floor"][side] = cold["before_best"][side, KEPT_PRICES - 1]
        for index in range(at, count - 1):
            cold["before_best"][side, index] = cold["before_best"][side, index + 1]
            cold["before_trades"][side, index] = cold["before_trades"][side, index + 1]
        cold["before_count"][side] = count - 1
        if count == 1 and cold["before_floor"][side] != 0:
            bar["flags"] |= BAR_UNKNOWN_UP if side == UP else BAR_UNKNOWN_DOWN
        return


@njit
def _set_extremes(world: World, cold: np.void, bar: np.void) -> None:
    high = np.int64(cold["before_best"][UP, 0]) if cold["before_count"][UP] > 0 else np.int64(cold["before_floor"][UP])
    low = np.int64(cold["before_best"][DOWN, 0])
    if cold["before_count"][DOWN] == 0:
        low = np.int64(cold["before_floor"][DOWN])
    if world.rules["extended"] != 0:
        if high == 0 or low == 0:
            drop_own(bar)
        else:
            set_own(bar, high, low, np.int64(bar["close"]))
        return
    if high == 0 or low == 0:
        bar["flags"] &= ~BAR_TRADED
        return
    bar["high"] = high
    bar["low"] = low


# Nothing is kept of a session this old: where the cancelled trade was its extreme, the extreme is unknown.
@njit
def _doubt_bar(world: World, row: Row, date: int, price: int) -> None:
    index = ring_find(row.ring, np.int64(row.warm["bar_count"]), date)
    if index < 0:
        return
    bar = row.ring[index]
    high = np.int64(bar["high"])
    low = np.int64(bar["low"])
    if world.rules["extended"] != 0:
        if bar["flags"] & BAR_OWN == 0:
            return
        high = own_extreme(bar, np.int64(UP))
        low = own_extreme(bar, np.int64(DOWN))
    elif bar["flags"] & (BAR_OFFICIAL | BAR_TRADED) != BAR_TRADED:
        return
    if price >= high:
        bar["flags"] |= BAR_UNKNOWN_UP
    if price <= low:
        bar["flags"] |= BAR_UNKNOWN_DOWN
