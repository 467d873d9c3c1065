"""The latest trades of an instrument: to take back the last price, to know the usual one, to know a copy for a copy.

Trades eligible for last stand in a ring by their number in the session. One that is cancelled is taken out and later
ones move up, so that the last price and the close step back. Ids are kept as numbers of 62 bits: of 64 trades a day for
each of ten thousand instruments, two would have to trade for a thousand million years to be taken for each other.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from streams.core.compiled import njit
from streams.core.layout import FIRST_CLOSE
from streams.core.rows import PRICE_NEVER, PRINTS, RECENT_IDS
from streams.core.words import Bytes, pointer_to, word_at
from streams.core.world import Row

MEDIAN_PRINTS: Final = 20
CANCEL_MARK: Final = 2**62  # A cancel carries its trade's id: it is remembered as another.
_HALF: Final = 0xFFFF_FFFF


@njit
def trade_key(buffer: Bytes, start: int, length: int, venue: int, session_date: int) -> int:
    """Return the number that a trade id of a venue and session is known by, from 1; 0 without an id.

    The sum of products of 32 and 31 bits stays below 2**63, which compiled integers would pass by wrapping.
    """
    if length == 0:
        return np.int64(0)
    source = pointer_to(buffer)
    stop = start + length
    first = word_at(source, start, stop)
    second = word_at(source, start + 8, stop)
    third = word_at(source, start + 16, stop)
    mixed = (
        ((first & _HALF) * 0x5E37_79B1)
        ^ (((first >> 32) & _HALF) * 0x45EB_CA77)
        ^ ((second & _HALF) * 0x42B2_AE3D)
        ^ (((second >> 32) & _HALF) * 0x27D4_EB2F)
        ^ ((third & _HALF) * 0x1656_67B1)
        ^ (((third >> 32) & _HALF) * 0x7FEB_352D)
        ^ ((np.int64(venue) & _HALF) * 0x6C8E_9CF5)
        ^ ((np.int64(session_date) & _HALF) * 0x3C6E_F372)
    )
    mixed = (mixed ^ (mixed >> 29)) & (np.int64(CANCEL_MARK) - 1)
    return mixed if mixed != 0 else np.int64(1)


@njit
def is_recent(tape: np.void, key: int) -> bool:
    """Return whether an id is among the latest that were taken."""
    mark = np.int16(key & 0x7FFF)
    marks = tape["mark"]
    equal = 0
    for index in range(RECENT_IDS):
        equal += 1 if marks[index] == mark else 0
    if equal == 0:
        return False
    ids = tape["id"]
    found = 0
    for index in range(RECENT_IDS):
        found += 1 if ids[index] == key else 0
    return found > 0


@njit
def remember_id(tape: np.void, key: int) -> None:
    """Take an id in the place of the oldest one."""
    slot = np.int64(tape["ids"]) & (RECENT_IDS - 1)
    tape["mark"][slot] = np.int16(key & 0x7FFF)
    tape["id"][slot] = key
    tape["ids"] += 1


@njit
def add_print(hot: np.void, tape: np.void, price: int, key: int, time_ns: int, venue: int) -> None:
    """Make a trade the last one."""
    entry = tape["print"][np.int64(hot["prints"]) & (PRINTS - 1)]
    entry["price"] = price
    entry["key"] = key
    entry["time_ns"] = time_ns
    entry["venue"] = venue
    hot["prints"] += 1


@njit
def oldest_print(hot: np.void, warm: np.void) -> int:
    """Return the number of the oldest print that is kept."""
    return max(np.int64(warm["prints_from"]), np.int64(hot["prints"]) - PRINTS)


@njit
def last_price(hot: np.void, warm: np.void, tape: np.void) -> int:
    """Return the price of the session's last trade, 0 where it has none or all that are known were cancelled."""
    newest = np.int64(hot["prints"]) - 1
    if newest < oldest_print(hot, warm):
        return np.int64(0)
    return np.int64(tape["print"][newest & (PRINTS - 1)]["price"])


@njit
def find_print(hot: np.void, warm: np.void, tape: np.void, price: int, key: int, time_ns: int) -> int:
    """Return the number of the newest print that is a certain trade, or -1: by its id, or without one by its time."""
    number = np.int64(hot["prints"]) - 1
    oldest = oldest_print(hot, warm)
    while number >= oldest:
        entry = tape["print"][number & (PRINTS - 1)]
        if entry["price"] == price and _is_same(np.int64(entry["key"]), np.int64(entry["time_ns"]), key, time_ns):
            return number
        number -= 1
    return np.int64(-1)


@njit
def _is_same(key: int, time_ns: int, other_key: int, other_ns: int) -> bool:
    if key != 0 and other_key != 0:
        return key == other_key
    return time_ns == other_ns


@njit
def is_trade(entry: np.void, price: int, key: int, time_ns: int) -> bool:
    """Return whether a kept `TRADE` is a certain trade."""
    return entry["price"] == price and _is_same(np.int64(entry["key"]), np.int64(entry["time_ns"]), key, time_ns)


@njit
def take_print(hot: np.void, warm: np.void, tape: np.void, number: int) -> None:
    """Take out a print; those after it move up."""
    oldest = oldest_print(hot, warm)
    prints = np.int64(hot["prints"])
    for at in range(number, prints - 1):
        tape["print"][at & (PRINTS - 1)] = tape["print"][(at + 1) & (PRINTS - 1)]
    hot["prints"] = prints - 1
    warm["prints_from"] = oldest


@njit
def has_median(hot: np.void, warm: np.void) -> bool:
    """Return whether as many trades are kept as the median is taken of."""
    return np.int64(hot["prints"]) - oldest_print(hot, warm) >= MEDIAN_PRINTS


@njit
def is_median_below(hot: np.void, tape: np.void, limit: int) -> bool:
    """Return whether the median of the latest MEDIAN_PRINTS trades is below a limit.

    The median is the mean of the middle two, rounded down. Counting says it without sorting: only where as many trades
    are below the limit as are not, the middle two have to be known.
    """
    newest = np.int64(hot["prints"]) - 1
    below = np.int64(0)
    highest_below = np.int64(0)
    lowest_above = np.int64(PRICE_NEVER)
    for index in range(MEDIAN_PRINTS):
        price = np.int64(tape["print"][(newest - index) & (PRINTS - 1)]["price"])
        if price < limit:
            below += 1
            highest_below = max(highest_below, price)
        else:
            lowest_above = min(lowest_above, price)
    if below != MEDIAN_PRINTS // 2:
        return below > MEDIAN_PRINTS // 2
    return (highest_below + lowest_above) // 2 < limit


@njit
def insert_print(row: Row, trade: np.void, number: int) -> None:
    """Put a trade in the place among the prints that another had; those after it move down."""
    hot = row.hot
    tape = row.tape
    at = np.int64(hot["prints"])
    while at > number:
        tape["print"][at & (PRINTS - 1)] = tape["print"][(at - 1) & (PRINTS - 1)]
        at -= 1
    entry = tape["print"][number & (PRINTS - 1)]
    entry["price"] = trade["price"]
    entry["key"] = trade["key"]
    entry["time_ns"] = trade["time_ns"]
    entry["venue"] = trade["venue"]
    hot["prints"] += 1


@njit
def move_triggers(warm: np.void, number: int) -> int:
    """Let signals know that a print is gone: those after it have moved up, and with them the first after a trigger.

    Returns whose moved, a bit a machine.
    """
    moved = np.int64(0)
    for machine in range(FIRST_CLOSE):
        if warm["trigger_print"][machine] > number:
            warm["trigger_print"][machine] -= 1
            moved |= np.int64(1) << machine
    return moved
