"""The measures: two-state machines a side, each a pair of prices within a session.

A measure is out until a trade reaches its entry price and in until one falls back past its exit price; every threshold
is an exact integer price, worked out once a session from the base close, so no float decides a signal. What was already
in when a measure could first be evaluated is old news: it enters silently and leaves silently.
"""

from __future__ import annotations

import numpy as np

from streams.core.arithmetic import scaled_ceil, scaled_floor
from streams.core.compiled import njit
from streams.core.emission import emit_measure
from streams.core.layout import (
    CONDITION_COUNT,
    DOWN,
    FAMILY_GAP,
    FAMILY_MTD,
    FAMILY_PROXIMITY_HIGH,
    FAMILY_PROXIMITY_LOW,
    FAMILY_ROC_5,
    FAMILY_ROC_20,
    FAMILY_ROC_60,
    FAMILY_SESSION_RETURN,
    FAMILY_YTD,
    FIRST_MEASURE,
    MEASURE_COUNT,
    TRADE_ID_BYTES,
    TRANSITION_ENTERED,
    TRANSITION_EXITED,
    TRANSITION_EXPIRED,
    UP,
)
from streams.core.rows import (
    MEASURE_IN,
    MEASURE_OUT,
    MEASURE_SILENT,
    MEASURE_UNDEFINED,
    MEASURE_WARMING,
    PRICE_NEVER,
)
from streams.core.rules import RATIO_ONE
from streams.core.window import base_close

PROXIMITY_HIGH = FAMILY_PROXIMITY_HIGH - FIRST_MEASURE
PROXIMITY_LOW = FAMILY_PROXIMITY_LOW - FIRST_MEASURE
SESSION_RETURN = FAMILY_SESSION_RETURN - FIRST_MEASURE
GAP = FAMILY_GAP - FIRST_MEASURE
MTD = FAMILY_MTD - FIRST_MEASURE
YTD = FAMILY_YTD - FIRST_MEASURE
ROC_5 = FAMILY_ROC_5 - FIRST_MEASURE
ROC_20 = FAMILY_ROC_20 - FIRST_MEASURE
ROC_60 = FAMILY_ROC_60 - FIRST_MEASURE


@njit
def derive_bases(
    warm: np.void, ring: np.ndarray, count: int, sessions: np.ndarray, first: int, session: int, window_is_full: bool
) -> None:
    """Work out the base of every measure for a session; 0 where it is not known."""
    row = sessions[first + session]
    for measure in range(MEASURE_COUNT):
        base = np.int64(0)
        date = np.int64(0)
        if measure == PROXIMITY_HIGH or measure == PROXIMITY_LOW:
            if window_is_full:
                side = measure - PROXIMITY_HIGH
                base = np.int64(warm["level"][side])
                date = np.int64(warm["level_date"][side])
        else:
            base_session = session - 1
            if measure == MTD:
                base_session = np.int64(row["month_base"])
            elif measure == YTD:
                base_session = np.int64(row["year_base"])
            elif measure == ROC_5:
                base_session = session - 5
            elif measure == ROC_20:
                base_session = session - 20
            elif measure == ROC_60:
                base_session = session - 60
            base, date = base_close(ring, count, sessions, first, base_session)
        warm["base"][measure] = base
        warm["base_date"][measure] = date


@njit
def derive_measures(
    outputs: np.ndarray,
    emitted: int,
    record: int,
    row: int,
    warm: np.void,
    rules: np.void,
    previous_base: np.ndarray,
    previous_date: np.ndarray,
) -> int:
    """Set every measure's entry and exit prices from its base; a signal whose base is gone expires at the open.

    `previous_base` and `previous_date` hold the bases before, which such a signal still refers to.
    """
    for measure in range(MEASURE_COUNT):
        base = np.int64(warm["base"][measure])
        date = np.int64(warm["base_date"][measure])
        for side in range(2):
            state = np.int64(warm["measure_state"][measure, side])
            if base == 0 or not _has_side(measure, side) or rules["enabled"][FIRST_MEASURE + measure] == 0:
                if state == MEASURE_IN:
                    warm["base"][measure] = previous_base[measure]
                    warm["base_date"][measure] = previous_date[measure]
                    emitted = _expire(outputs, emitted, record, row, warm, measure, side, np.int64(warm["open_ns"]))
                    warm["base"][measure] = base
                    warm["base_date"][measure] = date
                warm["measure_state"][measure, side] = MEASURE_UNDEFINED
                continue
            enter = np.int64(rules["enter"][measure, side])
            leave = np.int64(rules["exit"][measure, side])
            if side == UP:
                warm["enter"][measure, side] = scaled_ceil(base, enter, np.int64(RATIO_ONE))
                warm["exit"][measure, side] = scaled_ceil(base, leave, np.int64(RATIO_ONE)) - 1
            else:
                warm["enter"][measure, side] = scaled_floor(base, enter, np.int64(RATIO_ONE))
                warm["exit"][measure, side] = scaled_floor(base, leave, np.int64(RATIO_ONE)) + 1
            if measure == GAP:
                warm["exit"][measure, side] = -1 if side == UP else PRICE_NEVER
            if state == MEASURE_UNDEFINED:
                lasting = measure != SESSION_RETURN and measure != GAP
                warm["measure_state"][measure, side] = MEASURE_WARMING if lasting else MEASURE_OUT
    return emitted


@njit
def fold_measures(
    outputs: np.ndarray,
    emitted: int,
    index: int,
    record: np.void,
    session_date: int,
    row: int,
    warm: np.void,
    rules: np.void,
    buffer: np.ndarray,
    is_first: bool,
) -> int:
    """Run every measure for one trade eligible for last: exits of both sides, then entries."""
    price = np.int64(record["price"])
    time_ns = np.int64(record["time_ns"])
    for measure in range(MEASURE_COUNT):
        if measure == GAP and not is_first:
            continue
        for side in range(2):
            state = np.int64(warm["measure_state"][measure, side])
            if state != MEASURE_IN and state != MEASURE_SILENT:
                continue
            leaves = np.int64(warm["exit"][measure, side])
            if (side == UP and price <= leaves) or (side == DOWN and price >= leaves):
                warm["measure_state"][measure, side] = MEASURE_OUT
                if state == MEASURE_IN:
                    emitted = emit_measure(
                        outputs, emitted, index, row, warm, measure, side, np.int64(TRANSITION_EXITED), time_ns, price
                    )
        for side in range(2):
            state = np.int64(warm["measure_state"][measure, side])
            if state != MEASURE_OUT and state != MEASURE_WARMING:
                continue
            enters = np.int64(warm["enter"][measure, side])
            reached = (side == UP and price >= enters) or (side == DOWN and price <= enters)
            if state == MEASURE_WARMING:
                warm["measure_state"][measure, side] = MEASURE_SILENT if reached else MEASURE_OUT
            elif reached and warm["entries"][measure, side] < rules["max_entries"]:
                _enter(warm, measure, side, session_date, record, buffer)
                emitted = emit_measure(
                    outputs, emitted, index, row, warm, measure, side, np.int64(TRANSITION_ENTERED), time_ns, price
                )
    return emitted


@njit
def expire_measures(
    outputs: np.ndarray,
    emitted: int,
    record: int,
    row: int,
    warm: np.void,
    event_ns: int,
    month_changes: bool,
    year_changes: bool,
) -> int:
    """End what a session's end ends: session measures always, month and year to date when their period changes."""
    for measure in range(MEASURE_COUNT):
        of_session = measure == SESSION_RETURN or measure == GAP
        ends = of_session or (measure == MTD and month_changes) or (measure == YTD and year_changes)
        for side in range(2):
            warm["entries"][measure, side] = 0
            if not ends:
                continue
            state = np.int64(warm["measure_state"][measure, side])
            if state == MEASURE_IN:
                emitted = _expire(outputs, emitted, record, row, warm, measure, side, event_ns)
            if of_session:
                warm["measure_state"][measure, side] = MEASURE_UNDEFINED
            elif state == MEASURE_IN or state == MEASURE_SILENT:
                warm["measure_state"][measure, side] = MEASURE_OUT
    return emitted


@njit
def band_of_measures(warm: np.void, rules: np.void, low: int, high: int) -> tuple[int, int]:
    """Narrow a band to the nearest prices at which a measure moves."""
    for measure in range(MEASURE_COUNT):
        if measure == GAP:
            continue
        for side in range(2):
            state = np.int64(warm["measure_state"][measure, side])
            edge_is_high = side == UP
            if state == MEASURE_OUT and warm["entries"][measure, side] < rules["max_entries"]:
                edge = np.int64(warm["enter"][measure, side])
            elif state == MEASURE_IN or state == MEASURE_SILENT:
                edge = np.int64(warm["exit"][measure, side])
                edge_is_high = not edge_is_high
            else:
                continue
            if edge_is_high:
                high = min(high, edge)
            else:
                low = max(low, edge)
    return low, high


@njit
def _has_side(measure: int, side: int) -> bool:
    return not ((measure == PROXIMITY_HIGH and side == DOWN) or (measure == PROXIMITY_LOW and side == UP))


@njit
def _expire(
    outputs: np.ndarray, emitted: int, record: int, row: int, warm: np.void, measure: int, side: int, event_ns: int
) -> int:
    return emit_measure(
        outputs, emitted, record, row, warm, measure, side, np.int64(TRANSITION_EXPIRED), event_ns, np.int64(0)
    )


@njit
def _enter(warm: np.void, measure: int, side: int, session_date: int, record: np.void, buffer: np.ndarray) -> None:
    warm["measure_state"][measure, side] = MEASURE_IN
    warm["entries"][measure, side] += 1
    warm["entry_ordinal"][measure, side] = warm["entries"][measure, side]
    warm["entry_date"][measure, side] = session_date
    warm["entry_ns"][measure, side] = record["time_ns"]
    warm["entry_price"][measure, side] = record["price"]
    for position in range(TRADE_ID_BYTES):
        warm["entry_id"][measure, side, position] = 0
    for position in range(np.int64(record["trade_id_length"])):
        warm["entry_id"][measure, side, position] = buffer[np.int64(record["trade_id_start"]) + position]
    for position in range(CONDITION_COUNT):
        warm["entry_conditions"][measure, side, position] = record["conditions"][position]
