"""One trade of a running session: what it may move, whether it is believed, and the machines it moves."""

from __future__ import annotations

import numpy as np

from streams.core.breakout import fold_breakout, is_live
from streams.core.closing import is_listing_venue, is_stated_by_market, state_close
from streams.core.compiled import njit
from streams.core.extremes import extreme_of, see_price
from streams.core.guard import doubt_suspicion, suspect_split
from streams.core.held import copy_trade, hold_print, is_confirmed, next_believed, unbelievable_side
from streams.core.layout import (
    CONDITION_COUNT,
    DOWN,
    ELIGIBLE_BY_CONDITION,
    ELIGIBLE_CLOSE,
    ELIGIBLE_HIGH_LOW,
    ELIGIBLE_LAST,
    ELIGIBLE_OPENING,
    ELIGIBLE_PLAIN,
    ELIGIBLE_REOPENING,
    ELIGIBLE_VOLUME,
    FIRST_CLOSE,
    LAST_CONDITIONAL,
    LAST_END_NS,
    LAST_LISTING_MARKET,
    LAST_ONLY_OF_THE_DAY,
    LAST_UNTIL_END,
    TRADE_ID_BYTES,
    TRIGGER_CONTINUOUS,
    TRIGGER_LATE_OR_DERIVED,
    TRIGGER_OPENING,
    TRIGGER_REOPEN_GAP,
    UP,
)
from streams.core.momentum import band_of_measures, fold_measures
from streams.core.recent import add_print, is_recent, last_price, remember_id, trade_key
from streams.core.roll import derive_session
from streams.core.rows import (
    BREAKOUT_ACTIVE,
    BREAKOUT_ARMED,
    KEPT_PRICES,
    PRICE_NEVER,
    PRINTS,
    VOLUME_MAX,
)
from streams.core.words import Bytes
from streams.core.world import Row, World


@njit
def belongs(eligible: int, time_ns: int, session: np.void, rules: np.void) -> bool:
    """Return whether a trade of the latest session that has opened is part of its regular scope.

    Between the bells and outside the break; or, where its own conditions say that it counts, within the grace after the
    bell, when the closing auction prints. A report of the close comes when it comes.
    """
    if session["close_ns"] <= session["open_ns"]:
        return False
    if eligible & ELIGIBLE_CLOSE != 0:
        return True
    if time_ns < session["close_ns"]:
        return not session["break_start_ns"] <= time_ns < session["break_end_ns"]
    wanted = ELIGIBLE_BY_CONDITION | ELIGIBLE_HIGH_LOW
    return eligible & wanted == wanted and time_ns < session["close_ns"] + rules["grace_ns"]


@njit
def load_trade(
    world: World,
    row: Row,
    time_ns: int,
    price: int,
    size: int,
    eligible: int,
    conditions: np.ndarray,
    venue: int,
    session_date: int,
    start: int,
    length: int,
    buffer: Bytes,
) -> None:
    """Make the trade of a record, or of the detail of one, the world's trade; its id is bytes of the buffer."""
    trade = world.trade
    trade["time_ns"] = time_ns
    trade["price"] = price
    trade["size"] = size
    trade["eligible"] = eligible
    trade["venue"] = venue
    trade["key"] = trade_key(buffer, start, length, venue, session_date)
    trade["kind"] = _kind(eligible, row.warm["reopening"] != 0)
    trade["is_last"] = 0
    trade["side"] = 0
    trade["ordinal"] = 0
    for position in range(CONDITION_COUNT):
        trade["conditions"][position] = conditions[position]
    for position in range(TRADE_ID_BYTES):
        trade["trade_id"][position] = buffer[start + position] if position < length else 0


@njit
def is_last(row: Row, trade: np.void) -> bool:
    """Return whether a trade may be the last one, all conditions considered."""
    eligible = np.int64(trade["eligible"])
    if eligible & ELIGIBLE_LAST != 0:
        return True
    if eligible & LAST_CONDITIONAL == 0:
        return False
    warm = row.warm
    is_only = last_price(row.hot, warm, row.tape) == 0
    if eligible & LAST_ONLY_OF_THE_DAY != 0 and not is_only:
        return False
    if eligible & LAST_UNTIL_END != 0 and trade["time_ns"] >= warm["close_ns"] + LAST_END_NS:
        return False
    if eligible & LAST_LISTING_MARKET == 0 or is_only:
        return True
    venue = np.int64(trade["venue"])
    newest = row.tape["print"][(np.int64(row.hot["prints"]) - 1) & (PRINTS - 1)]
    return is_listing_venue(row.market, venue) or (venue != 0 and venue == newest["venue"])


@njit
def count_trade(row: Row, trade: np.void) -> None:
    """Take a trade's id, unless it is the id of the trade that it replaces, and its volume."""
    key = np.int64(trade["key"])
    if key != 0 and not is_recent(row.tape, key):
        remember_id(row.tape, key)
    if trade["eligible"] & ELIGIBLE_VOLUME != 0:
        row.hot["volume"] = min(np.int64(row.hot["volume"]) + np.int64(trade["size"]), np.int64(VOLUME_MAX))


@njit
def fold_in_session(world: World, row: Row) -> None:
    """Fold the world's trade into the running session."""
    warm = row.warm
    trade = world.trade
    eligible = np.int64(trade["eligible"])
    count_trade(row, trade)
    if eligible & ELIGIBLE_CLOSE != 0 and is_stated_by_market(row, trade):
        state_close(row, trade)
    if eligible & ELIGIBLE_HIGH_LOW == 0:
        world.partition["ticks_ineligible"] += 1
        return
    if trade["time_ns"] >= warm["close_ns"] + world.rules["grace_ns"]:
        # A corrected close past the grace, before the clock has said so.
        add_extremes(row, trade)
        return
    price = np.int64(trade["price"])
    doubt_suspicion(world, row)
    if warm["traded"] == 0:
        suspect_split(world, row)
        derive_session(world, row)
        clear_bands(row)
        warm["traded"] = 1
    side = unbelievable_side(world, row, price)
    if side >= 0 and not is_confirmed(world, row, side):
        hold_print(world, row, side)
        return
    is_plain = eligible & ELIGIBLE_PLAIN == ELIGIBLE_PLAIN
    if side < 0 and is_plain and warm["rule_low"] < price < warm["rule_high"]:
        see_price(warm, np.int64(UP), price, np.int64(trade["key"]))
        see_price(warm, np.int64(DOWN), price, np.int64(trade["key"]))
        _add_last(row, trade)
        return
    if side >= 0:
        copy_trade(world.spare, trade)
        while next_believed(world, row, side):
            fold_believed(world, row)
        copy_trade(trade, world.spare)
    fold_believed(world, row)


@njit
def fold_believed(world: World, row: Row) -> None:
    """Let a believed trade move the extremes and the machines."""
    warm = row.warm
    trade = world.trade
    trade["is_last"] = 1 if is_last(row, trade) else 0
    fold_extremes(world, row)
    if trade["is_last"] != 0:
        is_first = row.hot["prints"] == 0
        _add_last(row, trade)
        warm["reopening"] = 0
        fold_measures(world, row, is_first)


@njit
def fold_extremes(world: World, row: Row) -> None:
    """Let the world's trade move the extremes and the breakouts, and nothing else."""
    warm = row.warm
    trade = world.trade
    price = np.int64(trade["price"])
    high = extreme_of(warm, np.int64(UP))
    low = extreme_of(warm, np.int64(DOWN))
    add_extremes(row, trade)
    for machine in range(2 * np.int64(world.rules["windows"])):
        extreme = high if machine & 1 == UP else low
        fold_breakout(world, row, np.int64(machine), extreme)
    if trade["is_last"] == 0:
        warm["latest"] = price


@njit
def add_extremes(row: Row, trade: np.void) -> None:
    """Take a trade into the best prices of both sides."""
    warm = row.warm
    price = np.int64(trade["price"])
    if extreme_of(warm, np.int64(UP)) == 0:
        warm["open"] = price
    see_price(warm, np.int64(UP), price, np.int64(trade["key"]))
    see_price(warm, np.int64(DOWN), price, np.int64(trade["key"]))


@njit
def set_segment(row: Row, time_ns: int) -> None:
    """Set the bounds between which a tick's time needs no second look."""
    warm = row.warm
    start = np.int64(warm["open_ns"])
    end = np.int64(warm["close_ns"])
    if warm["break_start_ns"] > 0:
        if time_ns < warm["break_start_ns"]:
            end = np.int64(warm["break_start_ns"])
        else:
            start = np.int64(warm["break_end_ns"])
    row.hot["segment_open_ns"] = start
    row.hot["segment_close_ns"] = end


@njit
def clear_bands(row: Row) -> None:
    """Let every trade be looked at, until the bands are known again."""
    row.warm["rule_low"] = PRICE_NEVER
    row.warm["rule_high"] = 0
    row.hot["band_low"] = PRICE_NEVER
    row.hot["band_high"] = 0


@njit
def set_bands(world: World, row: Row) -> None:
    """Set the rule band, the nearest prices at which a machine moves, and in it the hot band, which moves no extreme.

    Without a trade eligible for last the measures have not been evaluated, and the first trade after a halt says so:
    no band. Nor is there a hot band before both lists of best prices are full or have a floor.
    """
    hot = row.hot
    warm = row.warm
    rules = world.rules
    if hot["prints"] == 0 or rules["band"] == 0 or warm["reopening"] != 0 or warm["closed"] != 0:
        clear_bands(row)
        return
    high = np.int64(PRICE_NEVER)
    low = np.int64(0)
    for machine in range(2 * np.int64(rules["windows"])):
        if machine & 1 == UP:
            low, high = _band_up(row, np.int64(machine), low, high)
        else:
            low, high = _band_down(row, np.int64(machine), low, high)
    low, high = band_of_measures(warm, rules, low, high)
    warm["rule_low"] = low
    warm["rule_high"] = high
    cut_band(hot, warm)


@njit
def cut_band(hot: np.void, warm: np.void) -> None:
    """Cut the rule band at the last of the best prices of each side: the hot band, empty while those are few."""
    top = _hot_edge(warm, np.int64(UP))
    bottom = _hot_edge(warm, np.int64(DOWN))
    if top == 0 or bottom == 0:
        hot["band_low"] = PRICE_NEVER
        hot["band_high"] = 0
        return
    hot["band_low"] = max(np.int64(warm["rule_low"]), bottom)
    hot["band_high"] = min(np.int64(warm["rule_high"]), top)


# What a trade makes the trigger of a signal.
@njit
def _kind(eligible: int, is_reopening: bool) -> int:
    if eligible & ELIGIBLE_LAST == 0:
        return np.int64(TRIGGER_LATE_OR_DERIVED)
    if is_reopening or eligible & ELIGIBLE_REOPENING != 0:
        return np.int64(TRIGGER_REOPEN_GAP)
    if eligible & ELIGIBLE_OPENING != 0:
        return np.int64(TRIGGER_OPENING)
    return np.int64(TRIGGER_CONTINUOUS)


@njit
def _add_last(row: Row, trade: np.void) -> None:
    add_print(
        row.hot,
        row.tape,
        np.int64(trade["price"]),
        np.int64(trade["key"]),
        np.int64(trade["time_ns"]),
        np.int64(trade["venue"]),
    )


@njit
def _band_up(row: Row, machine: int, low: int, high: int) -> tuple[int, int]:
    warm = row.warm
    state = np.int64(warm["state"][machine])
    if state == BREAKOUT_ARMED:
        high = min(high, np.int64(warm["threshold"][machine]))
    elif is_live(warm, machine):
        high = min(high, extreme_of(warm, np.int64(UP)) + 1)
        if row.cold["firsts_full"][machine] == 0:
            high = min(high, np.int64(warm["reach"][machine]))
        if state == BREAKOUT_ACTIVE:
            low = max(low, np.int64(warm["fail_line"][machine]))
    return low, high


@njit
def _band_down(row: Row, machine: int, low: int, high: int) -> tuple[int, int]:
    warm = row.warm
    state = np.int64(warm["state"][machine])
    if state == BREAKOUT_ARMED:
        low = max(low, np.int64(warm["threshold"][machine]))
    elif is_live(warm, machine):
        low = max(low, extreme_of(warm, np.int64(DOWN)) - 1)
        if row.cold["firsts_full"][machine] == 0:
            low = max(low, np.int64(warm["reach"][machine]))
        if state == BREAKOUT_ACTIVE:
            high = min(high, np.int64(warm["fail_line"][machine]))
    return low, high


# The last price of a side that a list of best prices has to see; 0 while it has to see all.
@njit
def _hot_edge(warm: np.void, side: int) -> int:
    if warm["best_count"][side] == KEPT_PRICES:
        return np.int64(warm["best"][side, KEPT_PRICES - 1])
    return np.int64(warm["floor"][side])


assert FIRST_CLOSE % 2 == 0
