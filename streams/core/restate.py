"""When the past changes under a running session: levels are derived again, and signals say what became of them.

A signal whose level is the window's is amended where something of today is still beyond the new level, else retracted.
Nothing triggers in retrospect: a machine without a signal is armed past today's extreme where that is beyond already.
Measures that are in stay in and are judged by the new thresholds from the next trade on. A session whose verdict was
given is not rewritten; it is counted.
"""

from __future__ import annotations

import numpy as np

from streams.core.breakout import arm, is_live, reaches, set_lines, take_level
from streams.core.compiled import allocating, njit
from streams.core.extremes import extreme_of
from streams.core.layout import FIRST_CLOSE, MACHINES, REASON_LEVEL_RESTATED
from streams.core.momentum import derive_bases, derive_measures
from streams.core.roll import derive_levels, is_full
from streams.core.rows import BREAKOUT_ACTIVE, BREAKOUT_FAILED, BREAKOUT_OFF
from streams.core.unsee import amend, drop_first, next_failure, next_trigger, retract
from streams.core.world import Row, World


@allocating
def restate(world: World, row: Row) -> None:
    """Derive the levels of the row's session again, if it has begun: the bars or actions before it have changed."""
    warm = row.warm
    if row.hot["date"] <= 0 or warm["traded"] == 0:
        return
    if warm["closed"] != 0:
        if _has_signals(world, warm):
            world.partition["restated_after_verdict"] += 1
        return
    base = warm["base"].copy()
    base_date = warm["base_date"].copy()
    level = warm["level"].copy()
    date = warm["level_date"].copy()
    numerator = warm["level_numerator"].copy()
    denominator = warm["level_denominator"].copy()
    was_full = np.zeros(MACHINES, np.int64)
    for machine in range(MACHINES):
        was_full[machine] = 1 if is_full(warm, np.int64(machine)) else 0
    derive_levels(world, row)
    derive_bases(world, row, np.int64(warm["session"]), is_full(warm, np.int64(0)))
    for machine in range(MACHINES):
        full = is_full(warm, np.int64(machine))
        is_same = (
            (was_full[machine] != 0) == full
            and level[machine] == warm["level"][machine]
            and date[machine] == warm["level_date"][machine]
            and numerator[machine] == warm["level_numerator"][machine]
            and denominator[machine] == warm["level_denominator"][machine]
        )
        if machine < FIRST_CLOSE and not full:
            # What the window's level was stays known: it is said with signals that outlive or end with it.
            warm["level"][machine] = level[machine]
        if not is_same:
            _restate_machine(world, row, np.int64(machine), full)
    derive_measures(world, row, base, base_date, np.int64(warm["open_ns"]), np.int64(1))


@njit
def _has_signals(world: World, warm: np.void) -> bool:
    signals = np.int64(0)
    for machine in range(MACHINES):
        if machine >= 2 or world.rules["enabled"][machine] != 0:
            signals += warm["ordinal"][machine]
    return signals > 0


@njit
def _restate_machine(world: World, row: Row, machine: int, window_is_full: bool) -> None:
    warm = row.warm
    full = window_is_full and world.rules["machine"][machine] != 0
    extreme = np.int64(0) if machine >= FIRST_CLOSE else extreme_of(warm, machine & 1)
    if not is_live(warm, machine):
        arm(world, row, machine, full, extreme)
        return
    if warm["of_window"][machine] == 0:
        return
    if full:
        take_level(warm, machine)
        set_lines(world, row, machine)
        _doubt_failure(row, machine)
        _drop_short(row, machine)
        if next_trigger(row, machine):
            amend(world, row, machine, np.int64(REASON_LEVEL_RESTATED))
            return
    retract(world, row, machine, np.int64(REASON_LEVEL_RESTATED))
    if not full:
        warm["state"][machine] = BREAKOUT_OFF


# A trade that failed the signal at its old level may be far from the line of the new one.
@njit
def _doubt_failure(row: Row, machine: int) -> None:
    warm = row.warm
    if warm["state"][machine] != BREAKOUT_FAILED:
        return
    if reaches(-np.int64(warm["fail_price"][machine]), -np.int64(warm["fail_line"][machine]), machine & 1):
        return
    if not next_failure(row, machine):
        warm["state"][machine] = BREAKOUT_ACTIVE
        warm["failed"][machine] = 0


# Trades that do not reach the new level can no longer be the trigger.
@njit
def _drop_short(row: Row, machine: int) -> None:
    index = np.int64(0)
    while index < row.cold["firsts"][machine]:
        price = np.int64(row.cold["first"][machine, index]["price"])
        if reaches(price, np.int64(row.warm["reach"][machine]), machine & 1):
            index += 1
        else:
            drop_first(row, machine, index)
