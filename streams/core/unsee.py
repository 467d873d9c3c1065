"""Taking a trade back: what was its extreme, its last price, its trigger or its failure has a successor or is gone.

A cancel is believed unless we know better: where everything is known of a price and no such trade is there, or its id
is not among the ids that were there, it speaks of a trade that never counted and is ignored.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from streams.core.breakout import is_live, reaches, send_held_extreme, take_nameless_trigger, take_trigger
from streams.core.compiled import njit
from streams.core.emission import emit_breakout
from streams.core.extremes import extreme_of, is_beyond, unsee_price, was_seen
from streams.core.guard import withdraw_suspect
from streams.core.held import copy_trade, reject_cancelled
from streams.core.layout import (
    DOWN,
    ELIGIBLE_CLOSE,
    ELIGIBLE_HIGH_LOW,
    ELIGIBLE_VOLUME,
    FIRST_CLOSE,
    REASON_CANCELLED,
    REASON_FAILURE_WITHDRAWN,
    REASON_LEVEL_RESTATED,
    REASON_TRIGGER_CHANGED,
    TRANSITION_AMENDED,
    TRANSITION_RETRACTED,
    UP,
)
from streams.core.recent import (
    CANCEL_MARK,
    find_print,
    is_recent,
    is_trade,
    move_triggers,
    oldest_print,
    remember_id,
    take_print,
)
from streams.core.rows import BREAKOUT_ACTIVE, BREAKOUT_ARMED, BREAKOUT_FAILED, PRINTS
from streams.core.world import Row, World

IGNORED: Final = -2
NO_PRINT: Final = -1
PAST: Final = -3


@njit
def unsee_trade(world: World, row: Row, is_corrected: bool) -> int:
    """Take the world's trade out of the row's session; its place among the prints stays open where it is corrected.

    Returns the number that it had among the prints, NO_PRINT where it was not the last price in living memory, IGNORED
    where there was no such trade.
    """
    hot = row.hot
    warm = row.warm
    trade = world.trade
    price = np.int64(trade["price"])
    key = np.int64(trade["key"])
    time_ns = np.int64(trade["time_ns"])
    if key != 0 and is_recent(row.tape, key + np.int64(CANCEL_MARK)):
        world.partition["cancels_duplicate"] += 1
        return np.int64(IGNORED)
    if reject_cancelled(world, row):
        _count(world, row)
        return np.int64(NO_PRINT)
    sets_extremes = trade["eligible"] & ELIGIBLE_HIGH_LOW != 0
    if sets_extremes and not (was_seen(warm, np.int64(UP), price, key) and was_seen(warm, np.int64(DOWN), price, key)):
        world.partition["cancels_unknown"] += 1
        return np.int64(IGNORED)
    _count(world, row)
    if sets_extremes:
        unsee_price(warm, np.int64(UP), price, key)
        unsee_price(warm, np.int64(DOWN), price, key)
    if trade["eligible"] & ELIGIBLE_CLOSE != 0 and warm["stated_close"] == price:
        warm["stated_close"] = 0
    number = find_print(hot, warm, row.tape, price, key, time_ns)
    if number >= 0:
        take_print(hot, warm, row.tape, number)
    moved = move_triggers(warm, number) if number >= 0 else np.int64(0)
    for machine in range(FIRST_CLOSE):
        if is_live(warm, np.int64(machine)):
            _unsee_signal(world, row, np.int64(machine))
    withdraw_suspect(world, row)
    if is_corrected:
        for machine in range(FIRST_CLOSE):
            warm["trigger_print"][machine] += (moved >> machine) & 1
    return number


@njit
def retract(world: World, row: Row, machine: int, reason: int) -> None:
    """Take a machine's signal back: the level stands again, with a new ordinal for whatever passes it next.

    A level that was restated is armed at today's extreme where that is beyond it: nothing triggers in retrospect.
    """
    warm = row.warm
    side = machine & 1
    warm["pending"][machine] = 0
    warm["conflated_until_ns"][machine] = 0
    warm["state"][machine] = BREAKOUT_ARMED
    warm["standing"][machine] -= 1
    threshold = np.int64(warm["reach"][machine])
    extreme = extreme_of(warm, side)
    if reason == REASON_LEVEL_RESTATED and extreme != 0 and reaches(extreme, threshold, side):
        threshold = extreme + 1 if side == UP else extreme - 1
    warm["threshold"][machine] = threshold
    row.cold["firsts"][machine] = 0
    row.cold["firsts_full"][machine] = 0
    emit_breakout(
        world, row, machine, np.int64(TRANSITION_RETRACTED), np.int64(warm["trigger_ns"][machine]), np.int64(0), reason
    )


@njit
def amend(world: World, row: Row, machine: int, reason: int) -> None:
    """Say what a machine's signal is now, after the extreme that waits to be told: not where that is the trigger."""
    warm = row.warm
    if row.cold["firsts"][machine] > 0 and warm["pending"][machine] != 0:
        trigger = row.cold["first"][machine, 0]
        price, key = np.int64(warm["pending_price"][machine]), np.int64(warm["pending_key"][machine])
        if is_trade(trigger, price, key, np.int64(warm["pending_ns"][machine])):
            warm["pending"][machine] = 0
    send_held_extreme(world, row, machine)
    emit_breakout(
        world,
        row,
        machine,
        np.int64(TRANSITION_AMENDED),
        np.int64(warm["trigger_ns"][machine]),
        np.int64(warm["trigger_price"][machine]),
        reason,
    )


@njit
def drop_first(row: Row, machine: int, at: int) -> None:
    """Forget one of the first trades beyond a signal's level."""
    cold = row.cold
    count = np.int64(cold["firsts"][machine])
    for index in range(at, count - 1):
        copy_trade(cold["first"][machine, index], cold["first"][machine, index + 1])
    cold["firsts"][machine] = count - 1


@njit
def next_trigger(row: Row, machine: int) -> bool:
    """Give a signal the trigger that is left: the earliest known trade beyond its level, or the extreme without a name.

    False where nothing is left of it.
    """
    warm = row.warm
    side = machine & 1
    if row.cold["firsts"][machine] > 0:
        take_trigger(warm, machine, row.cold["first"][machine, 0])
        return True
    if row.cold["firsts_full"][machine] == 0 or warm["best_count"][side] == 0:
        return False
    extreme = np.int64(warm["best"][side, 0])
    if not reaches(extreme, np.int64(warm["reach"][machine]), side):
        return False
    if warm["degraded"][machine] == 0 or is_beyond(np.int64(warm["trigger_price"][machine]), extreme, side):
        take_nameless_trigger(warm, machine, extreme)
    return True


@njit
def next_failure(row: Row, machine: int) -> bool:
    """Make another trade past the line the one that failed a signal; False where none is known."""
    warm = row.warm
    number = max(np.int64(warm["trigger_print"][machine]), oldest_print(row.hot, warm))
    while number < row.hot["prints"]:
        entry = row.tape["print"][number & (PRINTS - 1)]
        if reaches(-np.int64(entry["price"]), -np.int64(warm["fail_line"][machine]), machine & 1):
            warm["fail_ns"][machine] = entry["time_ns"]
            warm["fail_price"][machine] = entry["price"]
            warm["fail_key"][machine] = entry["key"]
            return True
        number += 1
    return False


@njit
def _count(world: World, row: Row) -> None:
    trade = world.trade
    world.partition["cancels"] += 1
    if trade["key"] != 0:
        remember_id(row.tape, np.int64(trade["key"]) + np.int64(CANCEL_MARK))
    if trade["eligible"] & ELIGIBLE_VOLUME != 0:
        row.hot["volume"] = max(np.int64(row.hot["volume"]) - np.int64(trade["size"]), np.int64(0))


@njit
def _unsee_signal(world: World, row: Row, machine: int) -> None:
    warm = row.warm
    trade = world.trade
    price = np.int64(trade["price"])
    key = np.int64(trade["key"])
    time_ns = np.int64(trade["time_ns"])
    is_pending = warm["pending"][machine] != 0 and warm["pending_price"][machine] == price
    if is_pending and _is_one(
        np.int64(warm["pending_key"][machine]), np.int64(warm["pending_ns"][machine]), key, time_ns
    ):
        warm["pending"][machine] = 0
    had_trigger_price = np.int64(warm["trigger_price"][machine])
    at = _find_first(row, machine, price, key, time_ns)
    if at >= 0:
        drop_first(row, machine, at)
    is_changed = at == 0
    if at == 0 or warm["degraded"][machine] != 0:
        if not next_trigger(row, machine):
            retract(world, row, machine, np.int64(REASON_CANCELLED))
            return
        is_changed = is_changed or warm["trigger_price"][machine] != had_trigger_price
    if is_changed:
        amend(world, row, machine, np.int64(REASON_TRIGGER_CHANGED))
    is_failure = warm["state"][machine] == BREAKOUT_FAILED and warm["fail_price"][machine] == price
    if is_failure and _is_one(np.int64(warm["fail_key"][machine]), np.int64(warm["fail_ns"][machine]), key, time_ns):
        _unsee_failure(world, row, machine)


@njit
def _unsee_failure(world: World, row: Row, machine: int) -> None:
    warm = row.warm
    if next_failure(row, machine):
        return
    send_held_extreme(world, row, machine)
    warm["state"][machine] = BREAKOUT_ACTIVE
    warm["failed"][machine] = 0
    emit_breakout(
        world,
        row,
        machine,
        np.int64(TRANSITION_AMENDED),
        np.int64(warm["fail_ns"][machine]),
        np.int64(warm["trigger_price"][machine]),
        np.int64(REASON_FAILURE_WITHDRAWN),
    )


@njit
def _find_first(row: Row, machine: int, price: int, key: int, time_ns: int) -> int:
    for index in range(np.int64(row.cold["firsts"][machine])):
        if is_trade(row.cold["first"][machine, index], price, key, time_ns):
            return np.int64(index)
    return np.int64(-1)


@njit
def _is_one(key: int, time_ns: int, other_key: int, other_ns: int) -> bool:
    return key == other_key if key != 0 and other_key != 0 else time_ns == other_ns
