"""The breakout machine of one side: off, armed, active, failed.

    armed --beyond the level--> active --back past the failure line--> failed --beyond today's extreme--> active (next
    ordinal)

A session's latest signal of a side ends in exactly one verdict, `confirmed` or `unconfirmed`, whether it had failed or
not. New extremes are conflated by event time: one that falls within the window of the last one sent is held, the newest
replaces it, and it goes out with the first extreme past the window, a clock past it, or before any other transition.
"""

from __future__ import annotations

import numpy as np

from streams.core.arithmetic import scaled_ceil
from streams.core.compiled import njit
from streams.core.emission import emit_breakout
from streams.core.layout import (
    CLOSE_NONE,
    CONDITION_COUNT,
    ELIGIBLE_LAST,
    TRADE_ID_BYTES,
    TRANSITION_CONFIRMED,
    TRANSITION_FAILED,
    TRANSITION_NEW_EXTREME,
    TRANSITION_TRIGGERED,
    TRANSITION_UNCONFIRMED,
    TRIGGER_CONTINUOUS,
    TRIGGER_LATE_OR_DERIVED,
    UP,
)
from streams.core.rows import BREAKOUT_ACTIVE, BREAKOUT_ARMED, BREAKOUT_FAILED, BREAKOUT_OFF


@njit
def arm(warm: np.void, rules: np.void, side: int, window_is_full: bool) -> None:
    """Set a side's machine for a session whose level is known: armed at the level, or off without a full window."""
    warm["ordinal"][side] = 0
    warm["pending"][side] = 0
    warm["failed"][side] = 0
    warm["conflated_until_ns"][side] = 0
    level = np.int64(warm["level"][side])
    if not window_is_full or level == 0 or rules["enabled"][side] == 0:
        warm["state"][side] = BREAKOUT_OFF
        return
    warm["state"][side] = BREAKOUT_ARMED
    warm["threshold"][side] = _first_price(rules, level, side)


@njit
def reaches_level(rules: np.void, price: int, level: int, side: int) -> bool:
    """Return whether a price breaks a level: beyond it, or at it where the rules say that a match counts."""
    return _reaches(price, _first_price(rules, level, side), side)


@njit
def failure_line(rules: np.void, level: int, atr: float, side: int) -> int:
    """Return the price at or past which a breakout of a level has failed: the level less (up) or plus the hysteresis.

    Hysteresis = max(ticks x tick size, basis points of the level rounded up, k x ATR rounded) in price units.
    """
    distance = max(
        np.int64(rules["hysteresis_min"]), scaled_ceil(level, np.int64(rules["hysteresis_bps"]), np.int64(10_000))
    )
    distance = max(distance, np.int64(np.rint(rules["hysteresis_atr"] * atr)))
    return level - distance if side == UP else level + distance


@njit
def send_held_extreme(
    outputs: np.ndarray,
    emitted: int,
    record: int,
    row: int,
    session_date: int,
    warm: np.void,
    rules: np.void,
    side: int,
) -> int:
    """Send a side's held extreme, if any; the window it opens begins at its own event time."""
    if warm["pending"][side] == 0:
        return emitted
    warm["pending"][side] = 0
    return _send_extreme(
        outputs,
        emitted,
        record,
        row,
        session_date,
        warm,
        rules,
        side,
        np.int64(warm["pending_ns"][side]),
        np.int64(warm["pending_price"][side]),
    )


@njit
def fold_breakout(
    outputs: np.ndarray,
    emitted: int,
    index: int,
    record: np.void,
    session_date: int,
    hot_row: int,
    warm: np.void,
    rules: np.void,
    buffer: np.ndarray,
    side: int,
    extreme: int,
) -> int:
    """Run a side's machine for one trade eligible for high and low.

    `extreme` is today's extreme before the trade, 0 at the first.
    """
    state = np.int64(warm["state"][side])
    if state == BREAKOUT_OFF:
        return emitted
    price = np.int64(record["price"])
    time_ns = np.int64(record["time_ns"])
    if state == BREAKOUT_ARMED:
        if _reaches(price, np.int64(warm["threshold"][side]), side):
            return _trigger(outputs, emitted, index, record, session_date, hot_row, warm, rules, buffer, side, extreme)
        return emitted
    if _passes(price, extreme, side):
        if state == BREAKOUT_FAILED and warm["ordinal"][side] < rules["max_triggers"]:
            return _trigger(outputs, emitted, index, record, session_date, hot_row, warm, rules, buffer, side, extreme)
        return _extend(outputs, emitted, index, hot_row, session_date, warm, rules, side, time_ns, price)
    is_last = record["eligible"] & ELIGIBLE_LAST != 0
    if state == BREAKOUT_ACTIVE and is_last and _reaches(-price, -np.int64(warm["fail_line"][side]), side):
        emitted = send_held_extreme(outputs, emitted, index, hot_row, session_date, warm, rules, side)
        warm["state"][side] = BREAKOUT_FAILED
        warm["failed"][side] = 1
        emitted = emit_breakout(
            outputs,
            emitted,
            index,
            hot_row,
            session_date,
            warm,
            side,
            np.int64(TRANSITION_FAILED),
            time_ns,
            price,
            np.int64(CLOSE_NONE),
            np.int64(0),
        )
    return emitted


@njit
def judge(
    outputs: np.ndarray,
    emitted: int,
    record: int,
    row: int,
    session_date: int,
    warm: np.void,
    rules: np.void,
    side: int,
    close: int,
    close_source: int,
) -> int:
    """Give the verdict on a side's latest signal, if it has one.

    A close of 0 (no trade eligible for last) confirms nothing.
    """
    if warm["ordinal"][side] == 0:
        return emitted
    emitted = send_held_extreme(outputs, emitted, record, row, session_date, warm, rules, side)
    holds = close > 0 and _passes(close, np.int64(warm["signal_level"][side]), side)
    transition = np.int64(TRANSITION_CONFIRMED) if holds else np.int64(TRANSITION_UNCONFIRMED)
    recovered = np.int64(warm["failed"][side]) if holds else np.int64(0)
    return emit_breakout(
        outputs,
        emitted,
        record,
        row,
        session_date,
        warm,
        side,
        transition,
        np.int64(warm["close_ns"]),
        close,
        close_source,
        recovered,
    )


# The first price that breaks a level.
@njit
def _first_price(rules: np.void, level: int, side: int) -> int:
    step = np.int64(0) if rules["equality_match"] != 0 else np.int64(1)
    return level + step if side == UP else level - step


# Whether a price is at or beyond another on a side.
@njit
def _reaches(price: int, other: int, side: int) -> bool:
    return price >= other if side == UP else price <= other


# Whether a price is strictly beyond another on a side.
@njit
def _passes(price: int, other: int, side: int) -> bool:
    return price > other if side == UP else price < other


@njit
def _trigger(
    outputs: np.ndarray,
    emitted: int,
    index: int,
    record: np.void,
    session_date: int,
    row: int,
    warm: np.void,
    rules: np.void,
    buffer: np.ndarray,
    side: int,
    extreme: int,
) -> int:
    price = np.int64(record["price"])
    time_ns = np.int64(record["time_ns"])
    is_last = record["eligible"] & ELIGIBLE_LAST != 0
    if warm["ordinal"][side] == 0:
        warm["signal_level"][side] = warm["level"][side]
        warm["signal_level_date"][side] = warm["level_date"][side]
        warm["signal_level_age"][side] = warm["level_age"][side]
    else:
        warm["signal_level"][side] = extreme
        warm["signal_level_date"][side] = session_date
        warm["signal_level_age"][side] = 0
    warm["state"][side] = BREAKOUT_ACTIVE
    warm["ordinal"][side] += 1
    warm["revision"][side] = 0
    warm["failed"][side] = 0
    warm["gap"][side] = 1 if extreme == 0 and is_last else 0
    warm["kind"][side] = TRIGGER_CONTINUOUS if is_last else TRIGGER_LATE_OR_DERIVED
    warm["trigger_ns"][side] = time_ns
    warm["trigger_price"][side] = price
    for position in range(TRADE_ID_BYTES):
        warm["trigger_id"][side, position] = 0
    for position in range(np.int64(record["trade_id_length"])):
        warm["trigger_id"][side, position] = buffer[np.int64(record["trade_id_start"]) + position]
    for position in range(CONDITION_COUNT):
        warm["trigger_conditions"][side, position] = record["conditions"][position]
    warm["fail_line"][side] = failure_line(rules, np.int64(warm["signal_level"][side]), float(warm["atr"]), side)
    _open_conflation(warm, rules, side, time_ns)
    return emit_breakout(
        outputs,
        emitted,
        index,
        row,
        session_date,
        warm,
        side,
        np.int64(TRANSITION_TRIGGERED),
        time_ns,
        price,
        np.int64(CLOSE_NONE),
        np.int64(0),
    )


@njit
def _extend(
    outputs: np.ndarray,
    emitted: int,
    record: int,
    row: int,
    session_date: int,
    warm: np.void,
    rules: np.void,
    side: int,
    time_ns: int,
    price: int,
) -> int:
    if time_ns >= warm["conflated_until_ns"][side]:
        emitted = send_held_extreme(outputs, emitted, record, row, session_date, warm, rules, side)
        if time_ns >= warm["conflated_until_ns"][side]:
            return _send_extreme(outputs, emitted, record, row, session_date, warm, rules, side, time_ns, price)
    warm["pending"][side] = 1
    warm["pending_ns"][side] = time_ns
    warm["pending_price"][side] = price
    return emitted


# Late ticks of the session may carry earlier times: the window's end never moves back.
@njit
def _open_conflation(warm: np.void, rules: np.void, side: int, time_ns: int) -> None:
    until_ns = time_ns + np.int64(rules["conflate_ns"])
    warm["conflated_until_ns"][side] = max(np.int64(warm["conflated_until_ns"][side]), until_ns)


@njit
def _send_extreme(
    outputs: np.ndarray,
    emitted: int,
    record: int,
    row: int,
    session_date: int,
    warm: np.void,
    rules: np.void,
    side: int,
    time_ns: int,
    price: int,
) -> int:
    _open_conflation(warm, rules, side, time_ns)
    return emit_breakout(
        outputs,
        emitted,
        record,
        row,
        session_date,
        warm,
        side,
        np.int64(TRANSITION_NEW_EXTREME),
        time_ns,
        price,
        np.int64(CLOSE_NONE),
        np.int64(0),
    )
