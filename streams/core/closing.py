"""Which close a session has, and what follows when it changes after the verdict.

An official bar's close comes first, then what a closing report states (`M` official, `9` corrected, the later of the
two), then the last trade. The families of the closes have their one evaluation here.
"""

from __future__ import annotations

import numpy as np

from streams.core.breakout import first_price, is_live, judge_signal, reaches, take_level
from streams.core.compiled import njit
from streams.core.emission import emit_breakout
from streams.core.layout import (
    BAR_OFFICIAL,
    BAR_TRADED,
    CLOSE_CONSOLIDATED,
    CLOSE_CORRECTED,
    CLOSE_NONE,
    CLOSE_OFFICIAL,
    CONDITION_COUNT,
    ELIGIBLE_CLOSE_OFFICIAL,
    FIRST_CLOSE,
    MACHINES,
    REASON_CLOSE_CORRECTED,
    REASON_NONE,
    TRADE_ID_BYTES,
    TRANSITION_AMENDED,
    TRANSITION_RETRACTED,
    TRANSITION_TRIGGERED,
    TRIGGER_CONTINUOUS,
    VERDICT_NONE,
)
from streams.core.recent import last_price
from streams.core.rows import BREAKOUT_ACTIVE, BREAKOUT_ARMED, BREAKOUT_OFF
from streams.core.window import ring_find
from streams.core.world import Row, World


@njit
def close_of(world: World, row: Row) -> tuple[int, int]:
    """Return the session's close as it is known now, and its source; 0 without one.

    That of the extended scope is its last trade's: an official close is that of regular hours.
    """
    warm = row.warm
    if world.rules["extended"] != 0:
        last = last_price(row.hot, warm, row.tape)
        return last, np.int64(CLOSE_CONSOLIDATED) if last > 0 else np.int64(CLOSE_NONE)
    index = ring_find(row.ring, np.int64(warm["bar_count"]), np.int64(row.hot["date"]))
    wanted = BAR_OFFICIAL | BAR_TRADED
    if index >= 0 and row.ring[index]["flags"] & wanted == wanted:
        return np.int64(row.ring[index]["close"]), np.int64(CLOSE_OFFICIAL)
    if warm["stated_close"] > 0:
        return np.int64(warm["stated_close"]), np.int64(warm["stated_source"])
    last = last_price(row.hot, warm, row.tape)
    return last, np.int64(CLOSE_CONSOLIDATED) if last > 0 else np.int64(CLOSE_NONE)


@njit
def state_close(row: Row, trade: np.void) -> None:
    """Take the close that a closing report states."""
    is_official = trade["eligible"] & ELIGIBLE_CLOSE_OFFICIAL != 0
    row.warm["stated_close"] = trade["price"]
    row.warm["stated_source"] = CLOSE_OFFICIAL if is_official else CLOSE_CORRECTED


@njit
def is_stated_by_market(row: Row, trade: np.void) -> bool:
    """Return whether a closing report is the listing market's, or does not say whose it is.

    Every exchange reports a close of its own; only one is the official one. A correction is the tape's.
    """
    if trade["eligible"] & ELIGIBLE_CLOSE_OFFICIAL == 0:
        return True
    venue = np.int64(trade["venue"])
    return venue == 0 or is_listing_venue(row.market, venue)


@njit
def is_listing_venue(market: np.void, venue: int) -> bool:
    """Return whether a venue is the one that the instrument is listed on."""
    return venue != 0 and (venue == market["venue"] or venue == market["venue_letter"])


@njit
def judge_again(world: World, row: Row) -> None:
    """Hold the signals of a session whose verdict was given against its close, if that has changed since."""
    warm = row.warm
    if warm["closed"] == 0 or warm["traded"] == 0 or warm["cancelled"] != 0:
        return
    close, source = close_of(world, row)
    if close == warm["judged_close"]:
        return
    warm["judged_close"] = close
    warm["judged_source"] = source
    amended, reason = np.int64(TRANSITION_AMENDED), np.int64(REASON_CLOSE_CORRECTED)
    for machine in range(FIRST_CLOSE):
        if is_live(warm, np.int64(machine)):
            judge_signal(warm, np.int64(machine), close)
            emit_breakout(world, row, np.int64(machine), amended, np.int64(warm["close_ns"]), close, reason)
    for machine in range(FIRST_CLOSE, MACHINES):
        judge_close(world, row, np.int64(machine), close)


@njit
def judge_close(world: World, row: Row, machine: int, close: int) -> None:
    """Hold a close against the level of closes: it triggers, or what it had triggered is amended or retracted."""
    warm = row.warm
    if warm["state"][machine] == BREAKOUT_OFF:
        return
    side = machine & 1
    passes = close > 0 and reaches(close, first_price(world.rules, np.int64(warm["level"][machine]), side), side)
    had_triggered = warm["state"][machine] == BREAKOUT_ACTIVE
    if not passes and not had_triggered:
        return
    transition = np.int64(TRANSITION_AMENDED)
    reason = np.int64(REASON_CLOSE_CORRECTED)
    if not had_triggered:
        transition = np.int64(TRANSITION_TRIGGERED)
        reason = np.int64(REASON_NONE)
        warm["ordinal"][machine] += 1
        warm["standing"][machine] += 1
        warm["revision"][machine] = 0
        take_level(warm, machine)
    elif not passes:
        transition = np.int64(TRANSITION_RETRACTED)
        warm["standing"][machine] -= 1
    warm["state"][machine] = BREAKOUT_ACTIVE if passes else BREAKOUT_ARMED
    if passes:
        _take_close(warm, machine, close)
    price = close if passes else np.int64(0)
    emit_breakout(world, row, machine, transition, np.int64(warm["close_ns"]), price, reason)


@njit
def _take_close(warm: np.void, machine: int, close: int) -> None:
    warm["kind"][machine] = TRIGGER_CONTINUOUS
    warm["trigger_ns"][machine] = warm["close_ns"]
    warm["trigger_price"][machine] = close
    warm["gap"][machine] = 0
    warm["verdict"][machine] = VERDICT_NONE
    for position in range(TRADE_ID_BYTES):
        warm["trigger_id"][machine, position] = 0
    for position in range(CONDITION_COUNT):
        warm["trigger_conditions"][machine, position] = 0
