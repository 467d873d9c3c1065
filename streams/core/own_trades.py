"""What the extended scope keeps of a session: the bar that came as a record, and beside it its own trades.

A daily bar is of regular hours. A level of the extended scope is the further of its extreme and that of the trades that
the scope saw itself. Both are kept, since either may change alone: a bar is sent again, a trade is cancelled.
"""

from __future__ import annotations

import numpy as np

from streams.core.compiled import njit
from streams.core.extremes import is_beyond
from streams.core.layout import BAR_OWN, BAR_TRADED, DOWN, UP


@njit
def extreme_of_bar(bar: np.void, side: int) -> int:
    """Return how far a traded bar went on a side."""
    price = np.int64(bar["high"]) if side == UP else np.int64(bar["low"])
    if bar["flags"] & BAR_OWN == 0:
        return price
    own = own_extreme(bar, side)
    return own if price == 0 or is_beyond(own, price, side) else price


@njit
def own_extreme(bar: np.void, side: int) -> int:
    """Return how far the scope's own trades went, of a bar marked BAR_OWN."""
    return np.int64(bar["open"]) if side == UP else np.int64(bar["volume"])


@njit
def set_own(bar: np.void, high: int, low: int, close: int) -> None:
    """Keep the extremes of the scope's own trades; their close too where no record has one."""
    bar["flags"] |= BAR_OWN | BAR_TRADED
    bar["open"] = high
    bar["volume"] = low
    if bar["high"] == 0:
        bar["close"] = close


@njit
def widen_own(bar: np.void, price: int) -> None:
    """Let a late trade of the scope's own widen a bar."""
    if bar["flags"] & BAR_OWN == 0:
        set_own(bar, price, price, price)
        return
    bar["open"] = max(own_extreme(bar, np.int64(UP)), price)
    bar["volume"] = min(own_extreme(bar, np.int64(DOWN)), price)


@njit
def drop_own(bar: np.void) -> None:
    """Forget the scope's own trades: all that are known of were cancelled."""
    bar["flags"] &= ~BAR_OWN
    if bar["high"] == 0:
        bar["flags"] &= ~BAR_TRADED
