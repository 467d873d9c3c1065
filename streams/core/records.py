"""Records that are no trades: bars, actions, what is known of an instrument, its status, an operator's word.

Each returns the reason of its refusal, or -1.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from streams.core.actions import drop_action, find_action, keep_action, set_symbol
from streams.core.closing import judge_again
from streams.core.compiled import njit
from streams.core.guard import discard, release
from streams.core.layout import (
    BAR_NO_SPLIT,
    HALT_HALTED,
    HALT_PAUSED,
    REJECT_NOT_A_SESSION,
    REJECT_SESSION_NOT_CLOSED,
    REJECT_TOO_MANY_ACTIONS,
)
from streams.core.restate import restate
from streams.core.roll import judge_bar, store_official_bar
from streams.core.rows import UNBORN
from streams.core.sessions import session_dated
from streams.core.window import ring_position
from streams.core.world import Row, World

ACCEPTED: Final = -1


@njit
def fold_bar(world: World, row: Row, bar: np.void, reference_ns: int) -> int:
    """Take a bar: history, or the official bar of a session that has closed. It beats our own trades of its session."""
    hot = row.hot
    warm = row.warm
    first = np.int64(row.market["first"])
    date = np.int64(bar["date"])
    session = session_dated(world.sessions, first, np.int64(row.market["count"]), date)
    if session < 0:
        return np.int64(REJECT_NOT_A_SESSION)
    if world.sessions[first + session]["regular_close_ns"] > reference_ns:
        return np.int64(REJECT_SESSION_NOT_CLOSED)
    bear(world, row)
    if not store_official_bar(world, row, bar, session):
        world.partition["bars_too_old"] += 1
        return np.int64(ACCEPTED)
    world.partition["bars"] += 1
    if warm["guarded"] != 0 and bar["flags"] & BAR_NO_SPLIT != 0 and date >= row.cold["suspect_date"]:
        release(world, row)
        world.cursor[2] = world.cursor[0]
    if date == hot["date"]:
        judge_again(world, row)
    elif date < hot["date"]:
        restate(world, row)
    return np.int64(ACCEPTED)


@njit
def fold_action(world: World, row: Row, detail: np.void) -> int:
    """Take a corporate action, or the withdrawal of one."""
    cold = row.cold
    bear(world, row)
    at = find_action(cold, np.int64(detail["key"]))
    ex_date = np.int64(detail["date"])
    is_price = detail["numerator"] != detail["denominator"]
    if at >= 0:
        ex_date = np.int64(cold["action"][at]["ex_date"])
    if detail["withdraw"] != 0:
        if at < 0:
            world.partition["actions_unknown"] += 1
            return np.int64(ACCEPTED)
        drop_action(cold, at)
    else:
        if not keep_action(cold, detail):
            return np.int64(REJECT_TOO_MANY_ACTIONS)
        ex_date = min(ex_date, np.int64(detail["date"]))
    world.partition["actions"] += 1
    _judge_bars(world, row, ex_date)
    if row.hot["date"] > 0:
        set_symbol(cold, np.int64(row.hot["date"]))
    explained = (
        row.warm["guarded"] != 0
        and detail["withdraw"] == 0
        and is_price
        and cold["suspect_close_date"] < detail["date"] <= row.hot["date"]
    )
    if explained:
        discard(world, row)
    else:
        restate(world, row)
    return np.int64(ACCEPTED)


@njit
def fold_instrument(world: World, row: Row, detail: np.void) -> int:
    """Take what is said of an instrument: its tick size, its listing date."""
    bear(world, row)
    world.partition["instruments"] += 1
    if detail["price"] > 0:
        row.warm["tick"] = detail["price"]
    if detail["date"] > 0:
        since = np.int64(detail["date"])
        if row.cold["listing_date"] > 0:
            since = min(since, np.int64(row.cold["listing_date"]))
        row.cold["listing_date"] = detail["date"]
        _judge_bars(world, row, since)
        restate(world, row)
    return np.int64(ACCEPTED)


@njit
def fold_status(world: World, row: Row, code: int) -> None:
    """Take a status: it is said with every signal and blocks none."""
    bear(world, row)
    world.partition["statuses"] += 1
    row.warm["halt"] = code
    if code == HALT_HALTED or code == HALT_PAUSED:
        row.warm["reopening"] = 1


@njit
def fold_accept(world: World, row: Row, detail: np.void) -> int:
    """Take an operator's word that the opening gap of a session is real."""
    bear(world, row)
    world.partition["accepts"] += 1
    if row.warm["guarded"] != 0 and detail["date"] == row.cold["suspect_date"]:
        release(world, row)
        world.cursor[2] = world.cursor[0]
    return np.int64(ACCEPTED)


@njit
def bear(world: World, row: Row) -> None:
    """Begin a row with its first accepted record.

    Not when decoding met its name: a clock before that record must not see it, however the log is cut into batches.
    """
    if row.hot["date"] == UNBORN:
        row.hot["date"] = 0
        world.partition["deadline_ns"] = 0


# Which official bars broke out is judged again from the first one whose level an action or a listing date changes.
@njit
def _judge_bars(world: World, row: Row, since: int) -> None:
    count = np.int64(row.warm["bar_count"])
    first = np.int64(row.market["first"])
    for index in range(ring_position(row.ring, count, since), count):
        date = np.int64(row.ring[index]["date"])
        session = session_dated(world.sessions, first, np.int64(row.market["count"]), date)
        if session >= 0:
            judge_bar(world, row, np.int64(index), session)
