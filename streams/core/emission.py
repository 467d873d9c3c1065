"""Writes one transition into the outputs, with every field that its signal will carry."""

from __future__ import annotations

import numpy as np

from streams.core.compiled import njit
from streams.core.layout import CONDITION_COUNT, FIRST_MEASURE, MEASURE_COUNT, TRADE_ID_BYTES, TRANSITION_ENTERED


@njit
def _copy_window(output: np.void, warm: np.void) -> None:
    output["window_status"] = warm["window_status"]
    output["window_start"] = warm["window_start"]
    output["window_end"] = warm["window_end"]
    output["sessions"] = warm["sessions"]
    output["sessions_expected"] = warm["sessions_expected"]
    output["atr"] = warm["atr"]
    for measure in range(MEASURE_COUNT):
        output["base"][measure] = warm["base"][measure]
        output["base_date"][measure] = warm["base_date"][measure]


@njit
def emit_breakout(
    outputs: np.ndarray,
    emitted: int,
    record: int,
    row: int,
    session_date: int,
    warm: np.void,
    side: int,
    transition: int,
    event_ns: int,
    price: int,
    close_source: int,
    recovered: int,
) -> int:
    """Write a transition of a side's latest breakout signal as its next revision; return the new number of outputs."""
    output = outputs[emitted]
    warm["revision"][side] += 1
    output["record"] = record
    output["row"] = row
    output["family"] = side
    output["side"] = side
    output["transition"] = transition
    output["ordinal"] = warm["ordinal"][side]
    output["revision"] = warm["revision"][side]
    output["session_date"] = session_date
    output["event_ns"] = event_ns
    output["price"] = price
    output["trigger_ns"] = warm["trigger_ns"][side]
    output["trigger_price"] = warm["trigger_price"][side]
    for index in range(TRADE_ID_BYTES):
        output["trigger_id"][index] = warm["trigger_id"][side, index]
    for index in range(CONDITION_COUNT):
        output["trigger_conditions"][index] = warm["trigger_conditions"][side, index]
    output["kind"] = warm["kind"][side]
    output["gap"] = warm["gap"][side]
    output["fresh"] = warm["fresh"][side]
    output["failed"] = warm["failed"][side]
    output["recovered"] = recovered
    output["close_source"] = close_source
    output["streak"] = warm["streak"][side] + 1
    output["level"] = warm["signal_level"][side]
    output["level_date"] = warm["signal_level_date"][side]
    output["level_age"] = warm["signal_level_age"][side]
    output["base_level"] = warm["level"][side]
    _copy_window(output, warm)
    return emitted + 1


@njit
def emit_measure(
    outputs: np.ndarray,
    emitted: int,
    record: int,
    row: int,
    warm: np.void,
    measure: int,
    side: int,
    transition: int,
    event_ns: int,
    price: int,
) -> int:
    """Write a transition of a measure's signal and return the new number of outputs.

    An entry is revision 1; what ends it is revision 2.
    """
    output = outputs[emitted]
    output["record"] = record
    output["row"] = row
    output["family"] = FIRST_MEASURE + measure
    output["side"] = side
    output["transition"] = transition
    output["ordinal"] = warm["entry_ordinal"][measure, side]
    output["revision"] = 1 if transition == TRANSITION_ENTERED else 2
    output["session_date"] = warm["entry_date"][measure, side]
    output["event_ns"] = event_ns
    output["price"] = price
    output["trigger_ns"] = warm["entry_ns"][measure, side]
    output["trigger_price"] = warm["entry_price"][measure, side]
    for index in range(TRADE_ID_BYTES):
        output["trigger_id"][index] = warm["entry_id"][measure, side, index]
    for index in range(CONDITION_COUNT):
        output["trigger_conditions"][index] = warm["entry_conditions"][measure, side, index]
    _copy_window(output, warm)
    return emitted + 1
