"""Splits that nobody announced: a first trade at half the last close is a split until somebody says otherwise.

While a split is suspected breakouts and measures are withheld, at most WITHHELD_MAX transitions. An action makes them
untrue: they are discarded, and the session starts anew in the right units. A bar that says that there was no split, or
an operator, makes them true: they are released in order, late but right. So does the cancel of the suspected print,
where the session's other trades are nearer to the last close.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from streams.core.actions import explains, own_history_from
from streams.core.breakout import arm, forget_signals
from streams.core.compiled import allocating, njit
from streams.core.emission import emit_suspicion
from streams.core.extremes import extreme_of
from streams.core.layout import (
    ELIGIBLE_HIGH_LOW,
    FAMILY_HELD_PRINT,
    FIRST_CLOSE,
    MACHINES,
    TRANSITION_DISCARDED,
    TRANSITION_RELEASED,
    TRANSITION_SUSPECT,
    UP,
)
from streams.core.momentum import derive_bases, derive_measures, keep_measures, restore_measures
from streams.core.recent import last_price
from streams.core.roll import derive_levels, is_full
from streams.core.rows import BREAKOUT_OFF, WITHHELD_MAX, WITHHELD_TOTAL
from streams.core.window import last_close, ring_position, triggered_bit
from streams.core.world import Row, World

UNITS_MAX: Final = 20
GUARD_SUSPECTED: Final = 1
GUARD_DOUBTED: Final = 2  # The print that was suspected never was: the next trade says more.
NEAR_PERCENT: Final = 6


@njit
def suspect_split(world: World, row: Row) -> None:
    """Hold the world's trade, the first of a session, against the last close."""
    warm = row.warm
    cold = row.cold
    if world.rules["split_guard"] == 0 or warm["guarded"] != 0:
        return
    today = np.int64(row.hot["date"])
    warm["history_from"] = own_history_from(cold, today)
    close, date = last_close(row, today)
    if close == 0 or explains(cold, date, today):
        return
    price = np.int64(world.trade["price"])
    new, old = _nearest_split(price, close)
    if new == 0:
        return
    cold["suspect_date"] = today
    cold["suspect_ns"] = world.trade["time_ns"]
    cold["suspect_price"] = price
    cold["suspect_close"] = close
    cold["suspect_close_date"] = date
    cold["suspect_new"] = new
    cold["suspect_old"] = old
    cold["withheld"] = 0
    cold["withheld_lost"] = 0
    world.partition["splits_suspected"] += 1
    emit_suspicion(world, row, np.int64(TRANSITION_SUSPECT), np.int64(1))
    world.cursor[2] = world.cursor[0]
    keep_measures(row)
    warm["guarded"] = GUARD_SUSPECTED


@njit
def withdraw_suspect(world: World, row: Row) -> None:
    """Ask what is left of the session, or the next trade of it, where the world's trade, taken back, was the suspect.

    A print that never was says nothing of a split: what opened the session is another trade.
    """
    warm = row.warm
    cold = row.cold
    trade = world.trade
    if warm["guarded"] == 0 or trade["eligible"] & ELIGIBLE_HIGH_LOW == 0:
        return
    if trade["price"] != cold["suspect_price"] or trade["time_ns"] != cold["suspect_ns"]:
        return
    price = last_price(row.hot, warm, row.tape)
    if price == 0:
        price = extreme_of(warm, np.int64(UP))
    warm["guarded"] = GUARD_DOUBTED
    if price != 0:
        _settle_doubt(world, row, price)


@njit
def doubt_suspicion(world: World, row: Row) -> None:
    """Let the world's trade say whether there was a split, where the one that was suspected was taken back."""
    if row.warm["guarded"] == GUARD_DOUBTED:
        _settle_doubt(world, row, np.int64(world.trade["price"]))


@njit
def withhold(world: World, row: Row) -> None:
    """Keep back what a suspected row has just said.

    Held prints are told: what is usual today is in today's units, whichever they are.
    """
    cold = row.cold
    told = world.cursor[2]
    for index in range(world.cursor[2], world.cursor[0]):
        if world.outputs[index]["family"] == FAMILY_HELD_PRINT:
            world.outputs[told] = world.outputs[index]
            told += 1
            continue
        total = np.int64(world.partition["withheld"])
        if cold["withheld"] < WITHHELD_MAX and total < WITHHELD_TOTAL:
            world.withheld[total] = world.outputs[index]
            world.partition["withheld"] = total + 1
            cold["withheld"] += 1
        else:
            cold["withheld_lost"] += 1
            world.partition["withheld_lost"] += 1
    world.cursor[0] = told


@njit
def release(world: World, row: Row) -> None:
    """Say what was withheld, in order: there was no split."""
    row.warm["guarded"] = 0
    world.partition["splits_released"] += 1
    emit_suspicion(world, row, np.int64(TRANSITION_RELEASED), np.int64(2))
    _take_withheld(world, row, np.int64(1))


@allocating
def discard(world: World, row: Row) -> None:
    """Forget what was withheld, and begin the session anew in the units that the action brought."""
    warm = row.warm
    warm["guarded"] = 0
    world.partition["splits_discarded"] += 1
    emit_suspicion(world, row, np.int64(TRANSITION_DISCARDED), np.int64(2))
    _take_withheld(world, row, np.int64(0))
    restore_measures(row)
    _clear_triggers(row)
    previous_base = warm["base"].copy()
    previous_date = warm["base_date"].copy()
    for machine in range(MACHINES):
        forget_signals(row, np.int64(machine))
    if warm["traded"] == 0:
        return
    derive_levels(world, row)
    for machine in range(MACHINES):
        extreme = np.int64(0) if machine >= FIRST_CLOSE else extreme_of(warm, np.int64(machine & 1))
        arm(world, row, np.int64(machine), is_full(warm, np.int64(machine)), extreme)
        if warm["closed"] != 0:
            warm["state"][machine] = BREAKOUT_OFF
    derive_bases(world, row, np.int64(warm["session"]), is_full(warm, np.int64(0)))
    derive_measures(world, row, previous_base, previous_date, np.int64(warm["open_ns"]), np.int64(0))


# The ratio of a split, new units for old ones, that a price is near to after a close; 0, 0 where there is none. The
# nearest of several; halves and thirds are between the whole ones.
@njit
def _nearest_split(price: int, close: int) -> tuple[int, int]:
    new = np.int64(0)
    old = np.int64(0)
    nearest = 1.0
    for units in range(2, UNITS_MAX + 2):
        one = np.int64(units)
        other = np.int64(1)
        if units > UNITS_MAX:
            one = np.int64(3)
            other = np.int64(2)
        for _ in range(2):
            # The price is expected at close x other / one.
            distance = abs(price * one - close * other)
            if distance * 100 <= NEAR_PERCENT * close * other:
                share = float(distance) / float(close * other)
                if share < nearest:
                    nearest = share
                    new = one
                    old = other
            one, other = other, one
    return new, old


# A price nearer to the last close than to what a split would have made of it is that of no split.
@njit
def _settle_doubt(world: World, row: Row, price: int) -> None:
    cold = row.cold
    close = np.int64(cold["suspect_close"])
    one = np.int64(cold["suspect_new"])
    row.warm["guarded"] = GUARD_SUSPECTED
    if abs(price - close) * one < abs(price * one - close * np.int64(cold["suspect_old"])):
        withhold(world, row)
        release(world, row)
        world.cursor[2] = world.cursor[0]


@njit
def _take_withheld(world: World, row: Row, is_true: int) -> None:
    kept = np.int64(0)
    for index in range(np.int64(world.partition["withheld"])):
        if world.withheld[index]["row"] != row.number:
            world.withheld[kept] = world.withheld[index]
            kept += 1
        elif is_true != 0:
            at = world.cursor[0]
            world.outputs[at] = world.withheld[index]
            world.outputs[at]["record"] = world.cursor[1]
            world.outputs[at]["held"] = 1
            world.cursor[0] = at + 1
    world.partition["withheld"] = kept


# Sessions that ended under suspicion had triggers that never were.
@njit
def _clear_triggers(row: Row) -> None:
    count = np.int64(row.warm["bar_count"])
    for index in range(ring_position(row.ring, count, np.int64(row.cold["suspect_date"])), count):
        for machine in range(FIRST_CLOSE):
            bit = triggered_bit(np.int64(machine))
            if machine < 2:
                row.ring[index]["flags"] &= ~bit
            else:
                row.ring[index]["marks"] &= ~bit
