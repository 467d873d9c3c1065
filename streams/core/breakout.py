"""The breakout machine of one window and side: off, armed, active, failed.

    armed --beyond the level--> active --back past the failure line--> failed --beyond today's extreme--> active (next
    ordinal)

A session's latest signal of a side ends in exactly one of `confirmed`, `unconfirmed` and `retracted`, whether it had
failed or not. New extremes are conflated by event time: one that falls within the window of the last one sent is held,
the newest replaces it, and it goes out with the first extreme past the window, a clock past it, or before any other
transition but the retraction. What a cancel does to a signal stands in `unsee`.
"""

from __future__ import annotations

import numpy as np

from streams.core.arithmetic import scaled_ceil
from streams.core.compiled import njit
from streams.core.emission import emit_breakout
from streams.core.extremes import is_beyond
from streams.core.layout import (
    CONDITION_COUNT,
    REASON_NONE,
    TRADE_ID_BYTES,
    TRANSITION_CONFIRMED,
    TRANSITION_FAILED,
    TRANSITION_NEW_EXTREME,
    TRANSITION_TRIGGERED,
    TRANSITION_UNCONFIRMED,
    TRIGGER_CONTINUOUS,
    TRIGGER_LATE_OR_DERIVED,
    TRIGGER_OPENING,
    UP,
    VERDICT_CONFIRMED,
    VERDICT_NONE,
    VERDICT_UNCONFIRMED,
)
from streams.core.rows import BREAKOUT_ACTIVE, BREAKOUT_ARMED, BREAKOUT_FAILED, BREAKOUT_OFF, FIRSTS
from streams.core.world import Row, World


@njit
def reaches(price: int, other: int, side: int) -> bool:
    """Return whether a price is at or beyond another on a side."""
    return price >= other if side == UP else price <= other


@njit
def first_price(rules: np.void, level: int, side: int) -> int:
    """Return the first price that breaks a level: beyond it, or at it where the rules say that a match counts."""
    step = np.int64(0) if rules["equality_match"] != 0 else np.int64(1)
    return level + step if side == UP else level - step


@njit
def failure_line(rules: np.void, tick: int, level: int, atr: float, side: int) -> int:
    """Return the price at or past which a breakout of a level has failed: the level less (up) or plus the hysteresis.

    Hysteresis = max(ticks x tick size, basis points of the level rounded up, k x ATR rounded) in price units. `tick` is
    the instrument's own tick size, 0 for that of the rules.
    """
    size = tick if tick > 0 else np.int64(rules["tick"])
    distance = max(
        np.int64(rules["hysteresis_ticks"]) * size,
        scaled_ceil(level, np.int64(rules["hysteresis_bps"]), np.int64(10_000)),
    )
    distance = max(distance, np.int64(np.rint(rules["hysteresis_atr"] * atr)))
    return level - distance if side == UP else level + distance


@njit
def is_live(warm: np.void, machine: int) -> bool:
    """Return whether a machine has a signal in this session that was not retracted and may still change."""
    state = np.int64(warm["state"][machine])
    return state == BREAKOUT_ACTIVE or state == BREAKOUT_FAILED


@njit
def arm(world: World, row: Row, machine: int, window_is_full: bool, extreme: int) -> None:
    """Set a machine without a signal: armed at its level, or off without a full window.

    Where an extreme of today is past the level already, the machine is armed there: no signal comes too late.
    """
    warm = row.warm
    level = np.int64(warm["level"][machine])
    side = machine & 1
    if not window_is_full or level == 0 or world.rules["machine"][machine] == 0:
        warm["state"][machine] = BREAKOUT_OFF
        return
    warm["state"][machine] = BREAKOUT_ARMED
    warm["of_window"][machine] = 1
    warm["threshold"][machine] = first_price(world.rules, level, side)
    if extreme != 0 and reaches(extreme, np.int64(warm["threshold"][machine]), side):
        warm["threshold"][machine] = extreme + 1 if side == UP else extreme - 1


@njit
def forget_signals(row: Row, machine: int) -> None:
    """Begin a session, or one that is taken back, without a signal."""
    warm = row.warm
    warm["state"][machine] = BREAKOUT_OFF
    warm["ordinal"][machine] = 0
    warm["standing"][machine] = 0
    warm["revision"][machine] = 0
    warm["pending"][machine] = 0
    warm["failed"][machine] = 0
    warm["degraded"][machine] = 0
    warm["verdict"][machine] = VERDICT_NONE
    warm["conflated_until_ns"][machine] = 0
    row.cold["firsts"][machine] = 0
    row.cold["firsts_full"][machine] = 0


@njit
def send_held_extreme(world: World, row: Row, machine: int) -> None:
    """Send a machine's held extreme, if any; the window it opens begins at its own event time."""
    warm = row.warm
    if warm["pending"][machine] == 0:
        return
    warm["pending"][machine] = 0
    _send_extreme(world, row, machine, np.int64(warm["pending_ns"][machine]), np.int64(warm["pending_price"][machine]))


@njit
def fold_breakout(world: World, row: Row, machine: int, extreme: int) -> None:
    """Run a machine for the world's trade, which is eligible for high and low.

    `extreme` is today's extreme before the trade, 0 at the first.
    """
    warm = row.warm
    state = np.int64(warm["state"][machine])
    if state == BREAKOUT_OFF:
        return
    trade = world.trade
    side = machine & 1
    price = np.int64(trade["price"])
    time_ns = np.int64(trade["time_ns"])
    may_trigger = world.rules["trigger_last"] == 0 or trade["kind"] != TRIGGER_LATE_OR_DERIVED
    if state == BREAKOUT_ARMED:
        if may_trigger and reaches(price, np.int64(warm["threshold"][machine]), side):
            _trigger(world, row, machine, extreme)
        return
    if is_beyond(price, extreme, side):
        if state == BREAKOUT_FAILED and may_trigger and warm["standing"][machine] < world.rules["max_triggers"]:
            _trigger(world, row, machine, extreme)
            return
        _keep_first(row, trade, machine)
        _extend(world, row, machine, time_ns, price)
        return
    _keep_first(row, trade, machine)
    is_past = reaches(-price, -np.int64(warm["fail_line"][machine]), side)
    if state == BREAKOUT_ACTIVE and trade["is_last"] != 0 and is_past:
        send_held_extreme(world, row, machine)
        warm["state"][machine] = BREAKOUT_FAILED
        warm["failed"][machine] = 1
        warm["fail_ns"][machine] = time_ns
        warm["fail_price"][machine] = price
        warm["fail_key"][machine] = trade["key"]
        _emit(world, row, machine, np.int64(TRANSITION_FAILED), time_ns, price)


@njit
def judge(world: World, row: Row, machine: int, close: int) -> None:
    """Give the verdict on a machine's latest signal, if it has one.

    A close of 0 (no trade eligible for last) confirms nothing.
    """
    if not is_live(row.warm, machine):
        return
    send_held_extreme(world, row, machine)
    judge_signal(row.warm, machine, close)
    holds = row.warm["verdict"][machine] == VERDICT_CONFIRMED
    emit_breakout(
        world,
        row,
        machine,
        np.int64(TRANSITION_CONFIRMED) if holds else np.int64(TRANSITION_UNCONFIRMED),
        np.int64(row.warm["close_ns"]),
        close,
        np.int64(REASON_NONE),
    )


@njit
def judge_signal(warm: np.void, machine: int, close: int) -> None:
    """Hold a close against a machine's signal, and keep the verdict."""
    holds = close > 0 and is_beyond(close, np.int64(warm["signal_level"][machine]), machine & 1)
    warm["verdict"][machine] = VERDICT_CONFIRMED if holds else VERDICT_UNCONFIRMED


@njit
def take_level(warm: np.void, machine: int) -> None:
    """Make the window's level that of the machine's signal."""
    warm["of_window"][machine] = 1
    warm["signal_level"][machine] = warm["level"][machine]
    warm["signal_raw"][machine] = warm["level_raw"][machine]
    warm["signal_numerator"][machine] = warm["level_numerator"][machine]
    warm["signal_denominator"][machine] = warm["level_denominator"][machine]
    warm["signal_level_date"][machine] = warm["level_date"][machine]
    warm["signal_level_age"][machine] = warm["level_age"][machine]
    warm["signal_unknown"][machine] = warm["level_unknown"][machine]


@njit
def set_lines(world: World, row: Row, machine: int) -> None:
    """Set what follows from the level of a machine's signal: the price that reaches it and the one that fails it."""
    warm = row.warm
    side = machine & 1
    level = np.int64(warm["signal_level"][machine])
    if warm["of_window"][machine] != 0:
        warm["reach"][machine] = first_price(world.rules, level, side)
    else:
        warm["reach"][machine] = level + 1 if side == UP else level - 1
    warm["fail_line"][machine] = failure_line(world.rules, np.int64(warm["tick"]), level, float(warm["atr"]), side)


@njit
def take_trigger(warm: np.void, machine: int, trade: np.void) -> None:
    """Make a trade the trigger of a machine's signal."""
    warm["kind"][machine] = trade["kind"]
    warm["trigger_ns"][machine] = trade["time_ns"]
    warm["trigger_price"][machine] = trade["price"]
    for position in range(TRADE_ID_BYTES):
        warm["trigger_id"][machine, position] = trade["trade_id"][position]
    for position in range(CONDITION_COUNT):
        warm["trigger_conditions"][machine, position] = trade["conditions"][position]


@njit
def take_nameless_trigger(warm: np.void, machine: int, price: int) -> None:
    """Make a price of which no trade is known the trigger: the signal stands, on less than it did."""
    warm["kind"][machine] = TRIGGER_CONTINUOUS
    warm["trigger_price"][machine] = price
    warm["degraded"][machine] = 1
    for position in range(TRADE_ID_BYTES):
        warm["trigger_id"][machine, position] = 0
    for position in range(CONDITION_COUNT):
        warm["trigger_conditions"][machine, position] = 0


@njit
def _trigger(world: World, row: Row, machine: int, extreme: int) -> None:
    warm = row.warm
    trade = world.trade
    time_ns = np.int64(trade["time_ns"])
    if warm["state"][machine] == BREAKOUT_FAILED:
        _take_extreme(row, machine, extreme)
    elif warm["of_window"][machine] != 0:
        take_level(warm, machine)
    warm["state"][machine] = BREAKOUT_ACTIVE
    warm["ordinal"][machine] += 1
    warm["standing"][machine] += 1
    warm["revision"][machine] = 0
    warm["failed"][machine] = 0
    warm["degraded"][machine] = 0
    take_trigger(warm, machine, trade)
    is_plain = trade["kind"] == TRIGGER_CONTINUOUS or trade["kind"] == TRIGGER_OPENING
    warm["gap"][machine] = 1 if extreme == 0 and is_plain else 0
    warm["trigger_print"][machine] = np.int64(row.hot["prints"]) + np.int64(trade["is_last"])
    row.cold["firsts"][machine] = 0
    row.cold["firsts_full"][machine] = 0
    set_lines(world, row, machine)
    _keep_first(row, trade, machine)
    _open_conflation(world, row, machine, time_ns)
    _emit(world, row, machine, np.int64(TRANSITION_TRIGGERED), time_ns, np.int64(trade["price"]))


# A second trigger has to pass today's extreme, in today's units.
@njit
def _take_extreme(row: Row, machine: int, extreme: int) -> None:
    warm = row.warm
    warm["of_window"][machine] = 0
    warm["signal_level"][machine] = extreme
    warm["signal_raw"][machine] = extreme
    warm["signal_numerator"][machine] = 1
    warm["signal_denominator"][machine] = 1
    warm["signal_level_date"][machine] = row.hot["date"]
    warm["signal_level_age"][machine] = 0
    warm["signal_unknown"][machine] = warm["extreme_unknown"][machine & 1]


# The first trades beyond a signal's level, in log order, until there are as many as are kept.
@njit
def _keep_first(row: Row, trade: np.void, machine: int) -> None:
    cold = row.cold
    if cold["firsts_full"][machine] != 0:
        return
    if not reaches(np.int64(trade["price"]), np.int64(row.warm["reach"][machine]), machine & 1):
        return
    count = np.int64(cold["firsts"][machine])
    cold["first"][machine, count] = trade
    cold["firsts"][machine] = count + 1
    if count + 1 == FIRSTS:
        cold["firsts_full"][machine] = 1


@njit
def _extend(world: World, row: Row, machine: int, time_ns: int, price: int) -> None:
    warm = row.warm
    if time_ns >= warm["conflated_until_ns"][machine]:
        send_held_extreme(world, row, machine)
        if time_ns >= warm["conflated_until_ns"][machine]:
            _send_extreme(world, row, machine, time_ns, price)
            return
    warm["pending"][machine] = 1
    warm["pending_ns"][machine] = time_ns
    warm["pending_price"][machine] = price
    warm["pending_key"][machine] = world.trade["key"]


# Late ticks of the session may carry earlier times: the window's end never moves back.
@njit
def _open_conflation(world: World, row: Row, machine: int, time_ns: int) -> None:
    until_ns = time_ns + np.int64(world.rules["conflate_ns"])
    warm = row.warm
    warm["conflated_until_ns"][machine] = max(np.int64(warm["conflated_until_ns"][machine]), until_ns)


@njit
def _send_extreme(world: World, row: Row, machine: int, time_ns: int, price: int) -> None:
    _open_conflation(world, row, machine, time_ns)
    _emit(world, row, machine, np.int64(TRANSITION_NEW_EXTREME), time_ns, price)


@njit
def _emit(world: World, row: Row, machine: int, transition: int, event_ns: int, price: int) -> None:
    emit_breakout(world, row, machine, transition, event_ns, price, np.int64(REASON_NONE))
