"""Writes one transition into the outputs, with every field that its signal will carry."""

from __future__ import annotations

import numpy as np

from streams.core.compiled import njit
from streams.core.layout import (
    CLOSE_NONE,
    CLOSE_WINDOW,
    CONDITION_COUNT,
    FAMILY_CLOSE_HIGH,
    FAMILY_HELD_PRINT,
    FAMILY_SUSPECTED_SPLIT,
    FIRST_CLOSE,
    FIRST_LOOKBACK,
    FIRST_MEASURE,
    MEASURE_COUNT,
    REASON_CLOSE_CORRECTED,
    REASON_NONE,
    SYMBOL_BYTES,
    TRADE_ID_BYTES,
    TRANSITION_ENTERED,
    TRANSITION_RETRACTED,
    UP,
    VERDICT_CONFIRMED,
    VERDICT_NONE,
)
from streams.core.world import Row, World


@njit
def emit_breakout(
    world: World,
    row: Row,
    machine: int,
    transition: int,
    event_ns: int,
    price: int,
    reason: int,
) -> None:
    """Write a transition of a machine's latest signal as its next revision, unless it runs for others alone.

    From the verdict on every transition says which close gave it, but one that takes the trigger back.
    """
    warm = row.warm
    window = machine >> 1
    warm["revision"][machine] += 1
    if window == 0 and world.rules["enabled"][machine] == 0:
        return
    output = _begin(
        world,
        row,
        _family_of(machine),
        machine & 1,
        transition,
        np.int64(warm["ordinal"][machine]),
        np.int64(warm["revision"][machine]),
        np.int64(row.hot["date"]),
        event_ns,
        price,
        np.int64(0) if window == CLOSE_WINDOW else window,
    )
    output["trigger_ns"] = warm["trigger_ns"][machine]
    output["trigger_price"] = warm["trigger_price"][machine]
    for index in range(TRADE_ID_BYTES):
        output["trigger_id"][index] = warm["trigger_id"][machine, index]
    for index in range(CONDITION_COUNT):
        output["trigger_conditions"][index] = warm["trigger_conditions"][machine, index]
    output["kind"] = warm["kind"][machine]
    output["gap"] = warm["gap"][machine]
    output["fresh"] = warm["fresh"][machine]
    output["failed"] = warm["failed"][machine]
    output["recovered"] = warm["failed"][machine] if warm["verdict"][machine] == VERDICT_CONFIRMED else 0
    is_gone = transition == TRANSITION_RETRACTED and reason != REASON_CLOSE_CORRECTED
    is_judged = machine >= FIRST_CLOSE or warm["verdict"][machine] != VERDICT_NONE
    output["close_source"] = warm["judged_source"] if is_judged and not is_gone else CLOSE_NONE
    output["reason"] = reason
    output["degraded"] = warm["degraded"][machine]
    output["verdict"] = warm["verdict"][machine]
    output["streak"] = warm["streak"][machine] + 1
    output["level"] = warm["signal_level"][machine]
    output["level_raw"] = warm["signal_raw"][machine]
    output["level_numerator"] = warm["signal_numerator"][machine]
    output["level_denominator"] = warm["signal_denominator"][machine]
    output["level_date"] = warm["signal_level_date"][machine]
    output["level_age"] = warm["signal_level_age"][machine]
    output["level_unknown"] = warm["signal_unknown"][machine]
    output["base_level"] = warm["level"][machine]


@njit
def emit_measure(world: World, row: Row, measure: int, side: int, transition: int, event_ns: int, price: int) -> None:
    """Write a transition of a measure's signal: an entry is revision 1, what ends it is revision 2."""
    warm = row.warm
    output = _begin(
        world,
        row,
        FIRST_MEASURE + measure,
        side,
        transition,
        np.int64(warm["entry_ordinal"][measure, side]),
        np.int64(1) if transition == TRANSITION_ENTERED else np.int64(2),
        np.int64(warm["entry_date"][measure, side]),
        event_ns,
        price,
        np.int64(0),
    )
    output["trigger_ns"] = warm["entry_ns"][measure, side]
    output["trigger_price"] = warm["entry_price"][measure, side]
    for index in range(TRADE_ID_BYTES):
        output["trigger_id"][index] = warm["entry_id"][measure, side, index]
    for index in range(CONDITION_COUNT):
        output["trigger_conditions"][index] = warm["entry_conditions"][measure, side, index]


@njit
def emit_suspicion(world: World, row: Row, transition: int, revision: int) -> None:
    """Write that a split is suspected, or how the suspicion ended."""
    if world.rules["enabled"][FAMILY_SUSPECTED_SPLIT] == 0:
        return
    cold = row.cold
    price = np.int64(cold["suspect_price"])
    output = _begin(
        world,
        row,
        np.int64(FAMILY_SUSPECTED_SPLIT),
        np.int64(0) if price > cold["suspect_close"] else np.int64(1),
        transition,
        np.int64(1),
        revision,
        np.int64(cold["suspect_date"]),
        np.int64(cold["suspect_ns"]),
        price,
        np.int64(0),
    )
    _clear_trigger(output, np.int64(cold["suspect_ns"]), price)
    output["level"] = cold["suspect_close"]
    output["level_date"] = cold["suspect_close_date"]
    output["level_numerator"] = cold["suspect_new"]
    output["level_denominator"] = cold["suspect_old"]
    output["sessions"] = cold["withheld"]
    output["sessions_expected"] = cold["withheld_lost"]


@njit
def emit_held_print(world: World, row: Row, held: np.void, transition: int, revision: int) -> None:
    """Write that a print is held, or what became of it."""
    if world.rules["enabled"][FAMILY_HELD_PRINT] == 0:
        return
    output = _begin(
        world,
        row,
        np.int64(FAMILY_HELD_PRINT),
        np.int64(held["side"]),
        transition,
        np.int64(held["ordinal"]),
        revision,
        np.int64(row.hot["date"]),
        np.int64(held["time_ns"]),
        np.int64(held["price"]),
        np.int64(0),
    )
    _clear_trigger(output, np.int64(held["time_ns"]), np.int64(held["price"]))
    for index in range(TRADE_ID_BYTES):
        output["trigger_id"][index] = held["trade_id"][index]
    for index in range(CONDITION_COUNT):
        output["trigger_conditions"][index] = held["conditions"][index]
    output["kind"] = held["kind"]


@njit
def _begin(
    world: World,
    row: Row,
    family: int,
    side: int,
    transition: int,
    ordinal: int,
    revision: int,
    session_date: int,
    event_ns: int,
    price: int,
    window: int,
) -> np.void:
    output = world.outputs[world.cursor[0]]
    world.cursor[0] += 1
    warm = row.warm
    output["record"] = world.cursor[1]
    output["row"] = row.number
    output["family"] = family
    output["side"] = side
    output["transition"] = transition
    output["ordinal"] = ordinal
    output["revision"] = revision
    output["session_date"] = session_date
    output["event_ns"] = event_ns
    output["price"] = price
    output["reason"] = REASON_NONE
    output["held"] = 0
    output["halt"] = warm["halt"]
    output["degraded"] = 0
    output["verdict"] = 0
    output["extended"] = world.rules["extended"]
    output["window_status"] = warm["window_status"][window]
    output["window_start"] = warm["window_start"][window]
    output["window_end"] = warm["window_end"][window]
    output["sessions"] = warm["sessions"][window]
    output["sessions_expected"] = warm["sessions_expected"][window]
    output["atr"] = warm["atr"]
    for measure in range(MEASURE_COUNT):
        output["base"][measure] = warm["base"][measure]
        output["base_date"][measure] = warm["base_date"][measure]
    for index in range(SYMBOL_BYTES):
        output["symbol"][index] = row.cold["symbol"][index]
    return output


@njit
def _family_of(machine: int) -> int:
    if machine < 2:
        return machine
    if machine >= FIRST_CLOSE:
        return machine - FIRST_CLOSE + FAMILY_CLOSE_HIGH
    return machine - 2 + FIRST_LOOKBACK


# What signals of no level leave empty.
@njit
def _clear_trigger(output: np.void, time_ns: int, price: int) -> None:
    output["trigger_ns"] = time_ns
    output["trigger_price"] = price
    for index in range(TRADE_ID_BYTES):
        output["trigger_id"][index] = 0
    for index in range(CONDITION_COUNT):
        output["trigger_conditions"][index] = 0
    output["kind"] = 0
    output["close_source"] = CLOSE_NONE
    output["level"] = 0
    output["level_date"] = 0


assert UP == 0
