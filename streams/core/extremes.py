"""The best prices of a session on each side, so that a cancelled extreme has a successor.

A side keeps its KEPT_PRICES best distinct prices, each with the number of its trades and the ids of the first few. When
a full list loses a price, its last one becomes a floor: of prices beyond the floor everything is known, of those below
it nothing. A list that empties above a floor leaves the extreme unknown: for the rest of the session it says so, and
the floor stands in for it, since no false breakout comes of an extreme that is too far out.
"""

from __future__ import annotations

import numpy as np

from streams.core.compiled import njit
from streams.core.layout import UP
from streams.core.rows import KEPT_IDS, KEPT_PRICES


@njit
def extreme_of(warm: np.void, side: int) -> int:
    """Return today's extreme of a side, 0 without a trade."""
    if warm["best_count"][side] > 0:
        return np.int64(warm["best"][side, 0])
    return np.int64(warm["floor"][side])


@njit
def is_beyond(price: int, other: int, side: int) -> bool:
    """Return whether a price is strictly beyond another on a side."""
    return price > other if side == UP else price < other


@njit
def is_kept(warm: np.void, price: int, key: int) -> bool:
    """Return whether the id of a trade is kept with one of the best prices of a side: it is known already."""
    for side in range(2):
        best = warm["best"][side]
        count = np.int64(warm["best_count"][side])
        if count == 0 or is_beyond(np.int64(best[count - 1]), price, side):
            continue
        for at in range(count):
            if best[at] == price:
                for slot in range(KEPT_IDS):
                    if warm["best_keys"][side, at, slot] == key:
                        return True
    return False


@njit
def see_price(warm: np.void, side: int, price: int, key: int) -> None:
    """Take a trade into the best prices of a side, if it is among them."""
    best = warm["best"][side]
    count = np.int64(warm["best_count"][side])
    if count == KEPT_PRICES and is_beyond(np.int64(best[KEPT_PRICES - 1]), price, side):
        return
    at = np.int64(0)
    while at < count and is_beyond(np.int64(best[at]), price, side):
        at += 1
    if at < count and best[at] == price:
        trades = np.int64(warm["best_trades"][side, at])
        warm["best_trades"][side, at] = trades + 1
        if key != 0:
            _keep_id(warm["best_keys"][side, at], key)
        return
    floor = np.int64(warm["floor"][side])
    if at == KEPT_PRICES or (floor != 0 and is_beyond(floor, price, side)):
        return
    for index in range(np.int64(min(count, KEPT_PRICES - 1)), at, -1):
        best[index] = best[index - 1]
        warm["best_trades"][side, index] = warm["best_trades"][side, index - 1]
        for slot in range(KEPT_IDS):
            warm["best_keys"][side, index, slot] = warm["best_keys"][side, index - 1, slot]
    best[at] = price
    warm["best_trades"][side, at] = 1
    for slot in range(KEPT_IDS):
        warm["best_keys"][side, at, slot] = 0
    warm["best_keys"][side, at, 0] = key
    warm["best_count"][side] = min(count + 1, KEPT_PRICES)


@njit
def was_seen(warm: np.void, side: int, price: int, key: int) -> bool:
    """Return whether a trade may have been seen: false where everything is known of its price and it is not there."""
    best = warm["best"][side]
    count = np.int64(warm["best_count"][side])
    for at in range(count):
        if best[at] == price:
            return _may_hold(warm["best_keys"][side, at], np.int64(warm["best_trades"][side, at]), key)
    return not is_known(count, np.int64(best[KEPT_PRICES - 1]), np.int64(warm["floor"][side]), price, side)


@njit
def is_known(count: int, worst: int, floor: int, price: int, side: int) -> bool:
    """Return whether of a price everything is known: it would stand in the list if it had been traded."""
    if count == KEPT_PRICES:
        return not is_beyond(worst, price, side)
    return floor == 0 or not is_beyond(floor, price, side)


@njit
def unsee_price(warm: np.void, side: int, price: int, key: int) -> None:
    """Take a trade out of the best prices of a side, if it is among them."""
    count = np.int64(warm["best_count"][side])
    for at in range(count):
        if warm["best"][side, at] == price:
            warm["best_trades"][side, at] -= 1
            for slot in range(KEPT_IDS):
                if key != 0 and warm["best_keys"][side, at, slot] == key:
                    warm["best_keys"][side, at, slot] = 0
            if warm["best_trades"][side, at] == 0:
                _drop_price(warm, side, at)
            return


@njit
def forget_prices(warm: np.void) -> None:
    """Begin a session without a trade."""
    for side in range(2):
        warm["best_count"][side] = 0
        warm["floor"][side] = 0
        warm["extreme_unknown"][side] = 0


@njit
def _drop_price(warm: np.void, side: int, at: int) -> None:
    count = np.int64(warm["best_count"][side])
    if count == KEPT_PRICES:
        warm["floor"][side] = warm["best"][side, KEPT_PRICES - 1]
    for index in range(at, count - 1):
        warm["best"][side, index] = warm["best"][side, index + 1]
        warm["best_trades"][side, index] = warm["best_trades"][side, index + 1]
        for slot in range(KEPT_IDS):
            warm["best_keys"][side, index, slot] = warm["best_keys"][side, index + 1, slot]
    warm["best_count"][side] = count - 1
    if count == 1 and warm["floor"][side] != 0:
        warm["extreme_unknown"][side] = 1


@njit
def _keep_id(keys: np.ndarray, key: int) -> None:
    for slot in range(KEPT_IDS):
        if keys[slot] == 0:
            keys[slot] = key
            return


# Where the ids of all trades at a price are kept, another id was not there.
@njit
def _may_hold(keys: np.ndarray, trades: int, key: int) -> bool:
    kept = 0
    for slot in range(KEPT_IDS):
        if keys[slot] != 0:
            kept += 1
            if keys[slot] == key:
                return True
    return key == 0 or kept < trades
