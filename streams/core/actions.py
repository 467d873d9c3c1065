"""Corporate actions: what an older price is worth in today's units, and from when on bars are this instrument's own.

Bars stay raw. An action says new units for old ones, as two integers, and takes effect at the start of its ex session;
so a price of session s in the units of session S is raw x old / new over all actions with s < ex-date <= S, exactly.
Nothing is ever multiplied into a stored bar: an action that comes late, changes or is withdrawn needs no repair.
"""

from __future__ import annotations

import hashlib

import numpy as np

from streams.core.arithmetic import reduced_product, scaled_ceil, scaled_fits, scaled_floor, scaled_nearest
from streams.core.compiled import njit
from streams.core.layout import ACTION_DELISTING, ACTION_SYMBOL_CHANGE, SYMBOL_BYTES, UP
from streams.core.rows import ACTIONS_MAX


def action_key(action_id: str) -> int:
    """Return the number that an action's id is known by: 62 bits of its hash."""
    return int.from_bytes(hashlib.sha256(action_id.encode()).digest()[:8], "little") & (2**62 - 1)


@njit
def factor_since(cold: np.void, date: int, until: int) -> tuple[int, int]:
    """Return what a price of one session is multiplied by to be one of a later session, in lowest terms.

    0, 0 where the parts of the ratio grow past what is exact.
    """
    numerator = np.int64(1)
    denominator = np.int64(1)
    for index in range(np.int64(cold["actions"])):
        action = cold["action"][index]
        if date < action["ex_date"] <= until:
            numerator, denominator = reduced_product(
                numerator, denominator, np.int64(action["denominator"]), np.int64(action["numerator"])
            )
    return numerator, denominator


@njit
def adjusted_level(raw: int, numerator: int, denominator: int, side: int, match: int) -> int:
    """Return a raw extreme in today's units, rounded once so that comparing integers is exact; 0 where that fails.

    A price above L is above floor(L), one at or above L is at or above ceil(L); mirrored on the lower side.
    """
    if not scaled_fits(raw, numerator, denominator):
        return np.int64(0)
    if (side == UP) == (match == 0):
        return scaled_floor(raw, numerator, denominator)
    return scaled_ceil(raw, numerator, denominator)


@njit
def adjusted_price(raw: int, numerator: int, denominator: int) -> int:
    """Return a raw price in today's units, rounded half up; 0 where that fails."""
    if not scaled_fits(raw, numerator, denominator):
        return np.int64(0)
    return scaled_nearest(raw, numerator, denominator)


@njit
def changes_price(action: np.void) -> bool:
    """Return whether an action changes what a unit is worth."""
    return action["numerator"] != action["denominator"]


@njit
def explains(cold: np.void, date: int, until: int) -> bool:
    """Return whether a price-changing action took effect after one session and by another."""
    for index in range(np.int64(cold["actions"])):
        action = cold["action"][index]
        if changes_price(action) and date < action["ex_date"] <= until:
            return True
    return False


@njit
def own_history_from(cold: np.void, session_date: int) -> int:
    """Return the first date whose bars are this instrument's own, as seen from a session."""
    first = np.int64(cold["listing_date"]) if cold["listing_date"] <= session_date else np.int64(0)
    for index in range(np.int64(cold["actions"])):
        action = cold["action"][index]
        if action["code"] == ACTION_DELISTING and action["ex_date"] <= session_date:
            first = max(first, np.int64(action["ex_date"]))
    return first


@njit
def set_symbol(cold: np.void, session_date: int) -> None:
    """Show the symbol of the latest change that is in effect."""
    latest = np.int64(-1)
    date = np.int64(0)
    for index in range(np.int64(cold["actions"])):
        action = cold["action"][index]
        if action["code"] == ACTION_SYMBOL_CHANGE and date <= action["ex_date"] <= session_date:
            latest = np.int64(index)
            date = np.int64(action["ex_date"])
    for position in range(SYMBOL_BYTES):
        cold["symbol"][position] = cold["action"][latest]["symbol"][position] if latest >= 0 else 0


@njit
def keep_action(cold: np.void, detail: np.void) -> bool:
    """Take an action instead of the one of its id, as the latest word; False when there are too many later ones."""
    at = _place(cold, detail)
    if at < 0:
        return False
    action = cold["action"][at]
    action["key"] = detail["key"]
    action["numerator"] = detail["numerator"]
    action["denominator"] = detail["denominator"]
    action["ex_date"] = detail["date"]
    action["code"] = detail["code"]
    for position in range(SYMBOL_BYTES):
        action["symbol"][position] = detail["symbol"][position]
    return True


@njit
def find_action(cold: np.void, key: int) -> int:
    """Return the place of the action of an id, or -1."""
    for index in range(np.int64(cold["actions"])):
        if cold["action"][index]["key"] == key:
            return np.int64(index)
    return np.int64(-1)


@njit
def drop_action(cold: np.void, at: int) -> None:
    """Forget an action; the order of the others stays."""
    count = np.int64(cold["actions"])
    for index in range(at, count - 1):
        cold["action"][index] = cold["action"][index + 1]
    cold["actions"] = count - 1


# Where the newcomer is written, -1 where it is the one to go.
@njit
def _place(cold: np.void, detail: np.void) -> int:
    gone = find_action(cold, np.int64(detail["key"]))
    if gone < 0 and cold["actions"] == ACTIONS_MAX:
        least = _rank(
            np.int64(detail["code"]),
            np.int64(detail["numerator"]),
            np.int64(detail["denominator"]),
            np.int64(detail["date"]),
        )
        for index in range(ACTIONS_MAX):
            action = cold["action"][index]
            rank = _rank(
                np.int64(action["code"]),
                np.int64(action["numerator"]),
                np.int64(action["denominator"]),
                np.int64(action["ex_date"]),
            )
            if rank < least or (rank == least and gone < 0):
                least = rank
                gone = np.int64(index)
        if gone < 0:
            return np.int64(-1)
    if gone >= 0:
        drop_action(cold, gone)
    count = np.int64(cold["actions"])
    cold["actions"] = count + 1
    return count


# Who goes first when there are too many: what moves no level, a cash dividend, before what does; then the oldest.
@njit
def _rank(code: int, numerator: int, denominator: int, ex_date: int) -> int:
    matters = numerator != denominator or code == ACTION_SYMBOL_CHANGE or code == ACTION_DELISTING
    return ex_date + (np.int64(1) << 32) if matters else ex_date
