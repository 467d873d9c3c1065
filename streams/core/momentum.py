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
from streams.core.world import Row, World

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
def derive_bases(world: World, row: Row, session: int, window_is_full: bool) -> None:
    """Work out the base of every measure for a session; 0 where it is not known."""
    warm = row.warm
    today = world.sessions[np.int64(row.market["first"]) + session]
    until = np.int64(today["date"])
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
                base_session = np.int64(today["month_base"])
            elif measure == YTD:
                base_session = np.int64(today["year_base"])
            elif measure == ROC_5:
                base_session = session - 5
            elif measure == ROC_20:
                base_session = session - 20
            elif measure == ROC_60:
                base_session = session - 60
            base, date = base_close(world, row, base_session, until)
        warm["base"][measure] = base
        warm["base_date"][measure] = date


@njit
def derive_measures(
    world: World, row: Row, previous_base: np.ndarray, previous_date: np.ndarray, event_ns: int, has_begun: int
) -> None:
    """Set every measure's entry and exit prices from its base; a signal whose base is gone expires.

    `previous_base` and `previous_date` hold the bases before, which such a signal still refers to. In a session that
    has begun, what becomes defined has to warm up: an entry then is old news.
    """
    warm = row.warm
    for measure in range(MEASURE_COUNT):
        base = np.int64(warm["base"][measure])
        date = np.int64(warm["base_date"][measure])
        is_on = base != 0 and world.rules["enabled"][FIRST_MEASURE + measure] != 0
        for side in range(2):
            state = np.int64(warm["measure_state"][measure, side])
            if not is_on or not _has_side(measure, side):
                if state == MEASURE_IN:
                    warm["base"][measure] = previous_base[measure]
                    warm["base_date"][measure] = previous_date[measure]
                    _expire(world, row, measure, side, event_ns)
                    warm["base"][measure] = base
                    warm["base_date"][measure] = date
                warm["measure_state"][measure, side] = MEASURE_UNDEFINED
                continue
            _set_thresholds(world, warm, measure, side, base)
            if state == MEASURE_UNDEFINED:
                lasting = measure != SESSION_RETURN and measure != GAP
                warms_up = lasting or (has_begun != 0 and measure != GAP)
                warm["measure_state"][measure, side] = MEASURE_WARMING if warms_up else MEASURE_OUT


@njit
def fold_measures(world: World, row: Row, is_first: bool) -> None:
    """Run every measure for the world's trade, which is eligible for last: exits of both sides, then entries."""
    warm = row.warm
    price = np.int64(world.trade["price"])
    time_ns = np.int64(world.trade["time_ns"])
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
                    emit_measure(world, row, measure, side, np.int64(TRANSITION_EXITED), time_ns, price)
        for side in range(2):
            state = np.int64(warm["measure_state"][measure, side])
            if state != MEASURE_OUT and state != MEASURE_WARMING:
                continue
            enters = np.int64(warm["enter"][measure, side])
            reached = (side == UP and price >= enters) or (side == DOWN and price <= enters)
            if state == MEASURE_WARMING:
                warm["measure_state"][measure, side] = MEASURE_SILENT if reached else MEASURE_OUT
            elif reached and warm["entries"][measure, side] < world.rules["max_entries"]:
                _enter(world, row, measure, side)
                emit_measure(world, row, measure, side, np.int64(TRANSITION_ENTERED), time_ns, price)


@njit
def expire_measures(world: World, row: Row, event_ns: int, month_changes: bool, year_changes: bool) -> None:
    """End what a session's end ends: session measures always, month and year to date when their period changes."""
    warm = row.warm
    for measure in range(MEASURE_COUNT):
        of_session = measure == SESSION_RETURN or measure == GAP
        ends = of_session or (measure == MTD and month_changes) or (measure == YTD and year_changes)
        for side in range(2):
            warm["entries"][measure, side] = 0
            if not ends:
                continue
            state = np.int64(warm["measure_state"][measure, side])
            if state == MEASURE_IN:
                _expire(world, row, measure, side, event_ns)
            if of_session:
                warm["measure_state"][measure, side] = MEASURE_UNDEFINED
            elif state == MEASURE_IN or state == MEASURE_SILENT:
                warm["measure_state"][measure, side] = MEASURE_OUT


@njit
def band_of_measures(warm: np.void, rules: np.void, low: int, high: int) -> tuple[int, int]:
    """Narrow a band to the nearest prices at which a measure moves; to nothing while one has to warm up."""
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
            elif state == MEASURE_WARMING:
                return np.int64(PRICE_NEVER), np.int64(0)
            else:
                continue
            if edge_is_high:
                high = min(high, edge)
            else:
                low = max(low, edge)
    return low, high


@njit
def keep_measures(row: Row) -> None:
    """Remember the measures as everybody knows them, before what follows is withheld."""
    warm = row.warm
    cold = row.cold
    for measure in range(MEASURE_COUNT):
        cold["base"][measure] = warm["base"][measure]
        cold["base_date"][measure] = warm["base_date"][measure]
        for side in range(2):
            cold["measure_state"][measure, side] = warm["measure_state"][measure, side]
            cold["entry_ordinal"][measure, side] = warm["entry_ordinal"][measure, side]
            cold["entry_date"][measure, side] = warm["entry_date"][measure, side]
            cold["entry_ns"][measure, side] = warm["entry_ns"][measure, side]
            cold["entry_price"][measure, side] = warm["entry_price"][measure, side]
            for position in range(TRADE_ID_BYTES):
                cold["entry_id"][measure, side, position] = warm["entry_id"][measure, side, position]
            for position in range(CONDITION_COUNT):
                cold["entry_conditions"][measure, side, position] = warm["entry_conditions"][measure, side, position]


@njit
def restore_measures(row: Row) -> None:
    """Go back to the measures as everybody knows them: what followed was withheld and is not true."""
    warm = row.warm
    cold = row.cold
    for measure in range(MEASURE_COUNT):
        warm["base"][measure] = cold["base"][measure]
        warm["base_date"][measure] = cold["base_date"][measure]
        for side in range(2):
            warm["entries"][measure, side] = 0
            warm["measure_state"][measure, side] = cold["measure_state"][measure, side]
            warm["entry_ordinal"][measure, side] = cold["entry_ordinal"][measure, side]
            warm["entry_date"][measure, side] = cold["entry_date"][measure, side]
            warm["entry_ns"][measure, side] = cold["entry_ns"][measure, side]
            warm["entry_price"][measure, side] = cold["entry_price"][measure, side]
            for position in range(TRADE_ID_BYTES):
                warm["entry_id"][measure, side, position] = cold["entry_id"][measure, side, position]
            for position in range(CONDITION_COUNT):
                warm["entry_conditions"][measure, side, position] = cold["entry_conditions"][measure, side, position]


@njit
def _set_thresholds(world: World, warm: np.void, measure: int, side: int, base: int) -> None:
    enter = np.int64(world.rules["enter"][measure, side])
    leave = np.int64(world.rules["exit"][measure, side])
    if side == UP:
        warm["enter"][measure, side] = scaled_ceil(base, enter, np.int64(RATIO_ONE))
        warm["exit"][measure, side] = scaled_ceil(base, leave, np.int64(RATIO_ONE)) - 1
    else:
        warm["enter"][measure, side] = scaled_floor(base, enter, np.int64(RATIO_ONE))
        warm["exit"][measure, side] = scaled_floor(base, leave, np.int64(RATIO_ONE)) + 1
    if measure == GAP:
        warm["exit"][measure, side] = -1 if side == UP else PRICE_NEVER


@njit
def _has_side(measure: int, side: int) -> bool:
    return not ((measure == PROXIMITY_HIGH and side == DOWN) or (measure == PROXIMITY_LOW and side == UP))


@njit
def _expire(world: World, row: Row, measure: int, side: int, event_ns: int) -> None:
    emit_measure(world, row, measure, side, np.int64(TRANSITION_EXPIRED), event_ns, np.int64(0))


@njit
def _enter(world: World, row: Row, measure: int, side: int) -> None:
    warm = row.warm
    trade = world.trade
    warm["measure_state"][measure, side] = MEASURE_IN
    warm["entries"][measure, side] += 1
    warm["entry_ordinal"][measure, side] = warm["entries"][measure, side]
    warm["entry_date"][measure, side] = row.hot["date"]
    warm["entry_ns"][measure, side] = trade["time_ns"]
    warm["entry_price"][measure, side] = trade["price"]
    for position in range(TRADE_ID_BYTES):
        warm["entry_id"][measure, side, position] = trade["trade_id"][position]
    for position in range(CONDITION_COUNT):
        warm["entry_conditions"][measure, side, position] = trade["conditions"][position]
