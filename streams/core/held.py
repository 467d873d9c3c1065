"""Bad prints: a price far from where the market trades is not believed until somebody else trades there too.

Usual is the median of the session's last twenty trades, so nothing is held before there are twenty: a gap at the open
is real, and so is one after a halt. Only a print that would be a new extreme of the session is looked at, since any
other moves nothing that was not reached before. A second venue, or enough trades, make what is held near them believed;
the verdict rejects the rest. Near is what the band says: a slip of the keyboard at ten times the price is not confirmed
by a market that then runs eleven percent.
"""

from __future__ import annotations

import numpy as np

from streams.core.arithmetic import scaled_ceil, scaled_floor
from streams.core.compiled import njit
from streams.core.emission import emit_held_print
from streams.core.extremes import extreme_of, is_beyond
from streams.core.layout import (
    CONDITION_COUNT,
    DOWN,
    TRADE_ID_BYTES,
    TRANSITION_BELIEVED,
    TRANSITION_HELD,
    TRANSITION_REJECTED,
    TRIGGER_REOPEN_GAP,
    UP,
)
from streams.core.recent import has_median, is_median_below, is_trade
from streams.core.rows import HELD_PRINTS_MAX
from streams.core.world import Row, World


@njit
def unbelievable_side(world: World, row: Row, price: int) -> int:
    """Return the side on which a price is too far out to be believed at once, or -1."""
    if world.trade["kind"] == TRIGGER_REOPEN_GAP:
        return np.int64(-1)
    return far_out_side(row.hot, row.warm, row.tape, price, np.int64(world.rules["bad_print_bps"]))


@njit
def far_out_side(hot: np.void, warm: np.void, tape: np.void, price: int, band: int) -> int:
    """Return the side on which a price is a new extreme and more than a band of basis points from usual, or -1."""
    if band == 0 or not has_median(hot, warm):
        return np.int64(-1)
    if is_beyond(price, extreme_of(warm, np.int64(UP)), np.int64(UP)):
        nearest = scaled_ceil(price, np.int64(10_000), 10_000 + band)
        if is_median_below(hot, tape, nearest):
            return np.int64(UP)
    if is_beyond(price, extreme_of(warm, np.int64(DOWN)), np.int64(DOWN)) and band < 10_000:
        nearest = scaled_floor(price, np.int64(10_000), 10_000 - band)
        if not is_median_below(hot, tape, nearest + 1):
            return np.int64(DOWN)
    return np.int64(-1)


@njit
def is_confirmed(world: World, row: Row, side: int) -> bool:
    """Return whether the world's trade makes the held prints of a side believed, itself included."""
    venue = np.int64(world.trade["venue"])
    price = np.int64(world.trade["price"])
    trades = np.int64(1)
    for index in range(np.int64(row.cold["held_prints"])):
        held = row.cold["held_print"][index]
        if held["side"] != side or not _is_near(world, side, price, np.int64(held["price"])):
            continue
        trades += 1
        if venue != 0 and held["venue"] != 0 and held["venue"] != venue:
            return True
    return trades >= world.rules["bad_print_trades"]


@njit
def hold_print(world: World, row: Row, side: int) -> None:
    """Hold the world's trade; of too many on a side the oldest is given up."""
    cold = row.cold
    _make_room(world, row, side)
    index = np.int64(cold["held_prints"])
    cold["held_ordinal"] += 1
    held = cold["held_print"][index]
    copy_trade(held, world.trade)
    held["side"] = side
    held["ordinal"] = cold["held_ordinal"]
    cold["held_prints"] = index + 1
    world.partition["prints_held"] += 1
    emit_held_print(world, row, held, np.int64(TRANSITION_HELD), np.int64(1))


@njit
def next_believed(world: World, row: Row, side: int) -> bool:
    """Make the oldest held print that the spare trade confirms the world's trade; False when there is none left."""
    cold = row.cold
    price = np.int64(world.spare["price"])
    for index in range(np.int64(cold["held_prints"])):
        held = cold["held_print"][index]
        if held["side"] == side and _is_near(world, side, price, np.int64(held["price"])):
            copy_trade(world.trade, held)
            world.partition["prints_believed"] += 1
            emit_held_print(world, row, held, np.int64(TRANSITION_BELIEVED), np.int64(2))
            _drop_held(cold, np.int64(index))
            return True
    return False


@njit
def reject_held_prints(world: World, row: Row) -> None:
    """Give up what nobody confirmed."""
    cold = row.cold
    for index in range(np.int64(cold["held_prints"])):
        world.partition["prints_rejected"] += 1
        emit_held_print(world, row, cold["held_print"][index], np.int64(TRANSITION_REJECTED), np.int64(2))
    cold["held_prints"] = 0


@njit
def reject_cancelled(world: World, row: Row) -> bool:
    """Give up the held print that the world's trade, a cancelled one, is; False when none is."""
    cold = row.cold
    trade = world.trade
    for index in range(np.int64(cold["held_prints"])):
        held = cold["held_print"][index]
        if is_trade(held, np.int64(trade["price"]), np.int64(trade["key"]), np.int64(trade["time_ns"])):
            world.partition["prints_rejected"] += 1
            emit_held_print(world, row, held, np.int64(TRANSITION_REJECTED), np.int64(2))
            _drop_held(cold, np.int64(index))
            return True
    return False


@njit
def copy_trade(to: np.void, source: np.void) -> None:
    """Copy a `TRADE`."""
    to["time_ns"] = source["time_ns"]
    to["price"] = source["price"]
    to["size"] = source["size"]
    to["key"] = source["key"]
    to["venue"] = source["venue"]
    to["eligible"] = source["eligible"]
    to["kind"] = source["kind"]
    to["is_last"] = source["is_last"]
    to["side"] = source["side"]
    to["ordinal"] = source["ordinal"]
    for position in range(TRADE_ID_BYTES):
        to["trade_id"][position] = source["trade_id"][position]
    for position in range(CONDITION_COUNT):
        to["conditions"][position] = source["conditions"][position]


# Whether the further of two prices on a side would be believed where the nearer one is usual.
@njit
def _is_near(world: World, side: int, price: int, other: int) -> bool:
    band = np.int64(world.rules["bad_print_bps"])
    if side == UP:
        return max(price, other) <= scaled_floor(min(price, other), 10_000 + band, np.int64(10_000))
    return min(price, other) >= scaled_ceil(max(price, other), 10_000 - band, np.int64(10_000))


@njit
def _make_room(world: World, row: Row, side: int) -> None:
    cold = row.cold
    oldest = np.int64(-1)
    count = 0
    for index in range(np.int64(cold["held_prints"]) - 1, -1, -1):
        if cold["held_print"][index]["side"] == side:
            oldest = np.int64(index)
            count += 1
    if count == HELD_PRINTS_MAX // 2:
        world.partition["prints_rejected"] += 1
        emit_held_print(world, row, cold["held_print"][oldest], np.int64(TRANSITION_REJECTED), np.int64(2))
        _drop_held(cold, oldest)


@njit
def _drop_held(cold: np.void, at: int) -> None:
    count = np.int64(cold["held_prints"])
    for index in range(at, count - 1):
        copy_trade(cold["held_print"][index], cold["held_print"][index + 1])
    cold["held_prints"] = count - 1


assert HELD_PRINTS_MAX >= 8
