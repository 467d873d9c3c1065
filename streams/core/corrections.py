"""Trades that are taken back or corrected: which session they belong to, and what they leave behind."""

from __future__ import annotations

import numpy as np

from streams.core.closing import judge_again
from streams.core.compiled import njit
from streams.core.guard import doubt_suspicion
from streams.core.held import copy_trade, hold_print, is_confirmed, next_believed, unbelievable_side
from streams.core.late import fold_late_corrected, unsee_late
from streams.core.layout import ELIGIBLE_HIGH_LOW, KIND_CANCEL
from streams.core.recent import insert_print, move_triggers
from streams.core.restate import restate
from streams.core.sessions import session_opened
from streams.core.trades import (
    add_extremes,
    belongs,
    count_trade,
    fold_believed,
    fold_extremes,
    is_last,
    load_trade,
)
from streams.core.unsee import IGNORED, PAST, unsee_trade
from streams.core.world import Row, World


@njit
def session_of(world: World, row: Row, eligible: int, time_ns: int) -> int:
    """Return the session that a trade belongs to, -1 where it belongs to none."""
    first = np.int64(row.market["first"])
    if row.hot["segment_open_ns"] <= time_ns < row.hot["segment_close_ns"]:
        session = np.int64(row.warm["session"])
    else:
        session = np.int64(session_opened(world.sessions, first, np.int64(row.market["count"]), time_ns))
    if session >= 0 and belongs(eligible, time_ns, world.sessions[first + session], world.rules):
        return session
    return np.int64(-1)


@njit
def fold_cancel(world: World, row: Row, record: np.void, venue: int, buffer: np.ndarray) -> int:
    """Take a trade back; return what it was among the last prices, PAST where its session is over, or IGNORED."""
    time_ns = np.int64(record["time_ns"])
    session = session_of(world, row, np.int64(record["eligible"]), time_ns)
    if session < 0:
        world.partition["ticks_out_of_session"] += 1
        return np.int64(IGNORED)
    date = np.int64(world.sessions[np.int64(row.market["first"]) + session]["date"])
    load_trade(
        world,
        row,
        np.int64(record["time_ns"]),
        np.int64(record["price"]),
        np.int64(record["size"]),
        np.int64(record["eligible"]),
        record["conditions"],
        venue,
        date,
        np.int64(record["trade_id_start"]),
        np.int64(record["trade_id_length"]),
        buffer,
    )
    if date == row.hot["date"]:
        number = unsee_trade(world, row, bool(record["kind"] != KIND_CANCEL))
        if record["kind"] == KIND_CANCEL:
            judge_again(world, row)
        return number
    if date > row.hot["date"]:
        world.partition["cancels_unknown"] += 1
        return np.int64(IGNORED)
    if not unsee_late(world, row, date):
        return np.int64(IGNORED)
    if record["kind"] == KIND_CANCEL:
        restate(world, row)
    return np.int64(PAST)


@njit
def fold_corrected(world: World, row: Row, detail: np.void, buffer: np.ndarray, number: int) -> None:
    """Put a trade in the place of one that was taken back, which was this one of the last prices.

    No measure runs, and only the last price that it was can it be again.
    """
    warm = row.warm
    time_ns = np.int64(detail["time_ns"])
    world.partition["corrections"] += 1
    session = session_of(world, row, np.int64(detail["eligible"]), time_ns)
    date = np.int64(0)
    if session >= 0:
        date = np.int64(world.sessions[np.int64(row.market["first"]) + session]["date"])
    if number == PAST and (date == 0 or date >= row.hot["date"]):
        restate(world, row)
    if date != row.hot["date"] and number >= 0:
        move_triggers(warm, number)
    if date == 0:
        judge_again(world, row)
        return
    load_trade(
        world,
        row,
        np.int64(detail["time_ns"]),
        np.int64(detail["price"]),
        np.int64(detail["size"]),
        np.int64(detail["eligible"]),
        detail["conditions"],
        np.int64(detail["venue"]),
        date,
        np.int64(detail["trade_id_start"]),
        np.int64(detail["trade_id_length"]),
        buffer,
    )
    trade = world.trade
    if date != row.hot["date"]:
        if date < row.hot["date"]:
            fold_late_corrected(world, row, date)
        judge_again(world, row)
        return
    count_trade(row, trade)
    replaces = number >= 0 and is_last(row, trade)
    if number >= 0 and not replaces:
        move_triggers(warm, number)
    side = np.int64(-1)
    if trade["eligible"] & ELIGIBLE_HIGH_LOW != 0:
        trade["is_last"] = 1 if replaces else 0
        if warm["closed"] == 0 and warm["traded"] != 0:
            doubt_suspicion(world, row)
            side = unbelievable_side(world, row, np.int64(trade["price"]))
            if side >= 0 and not is_confirmed(world, row, side):
                hold_print(world, row, side)
                if replaces:
                    move_triggers(warm, number)
                return
            fold_extremes(world, row)
        else:
            add_extremes(row, trade)
    if replaces:
        insert_print(row, trade, number)
    if side >= 0:
        copy_trade(world.spare, trade)
        while next_believed(world, row, side):
            fold_believed(world, row)
    judge_again(world, row)
