"""The state of an engine as arrays that can leave the process, and what of it changed since they last did.

Rows of all instruments are compared with the copy that was written last: no machine has to remember to mark what it
touched, so none can forget to. Bars are grouped by instruments and by period of time, because a session adds one bar to
every ring: a group's newest period is rewritten then, and its year is not. Marks set where a ring is written would save
the copy and some milliseconds, and one missing mark would lose a bar without a sign of it.

What a calendar decides about a row is stored as dates and derived again from the calendar at hand: the index of the
market and of the session.
"""

from __future__ import annotations

import hashlib
import math
from collections.abc import Iterator
from dataclasses import dataclass, fields, replace
from typing import Final

import numpy as np
import numpy.typing as npt

from streams.core.compiled import njit
from streams.core.instruments import ID_BYTES
from streams.core.layout import (
    BAR,
    BAR_BROKE_DOWN,
    BAR_BROKE_UP,
    BAR_OFFICIAL,
    BAR_TRADED,
    RING_BARS,
)
from streams.core.rows import (
    COLD,
    HOT,
    OUT,
    OVERRIDE,
    OVERRIDES_MAX,
    PARTITION,
    PRICE_NEVER,
    TAPE,
    WARM,
    WITHHELD_TOTAL,
)
from streams.core.sessions import Markets
from streams.core.window import ring_position

LAYOUT_NUMBER: Final = 2
"""Raised by hand with every change of what is stored, together with a migration from the number before."""

BAR_GROUP_ROWS: Final = 512
BAR_PERIOD_BITS: Final = 4
"""512 instruments and 16 days: at most 384 KiB where every day has a session, about 290 where weekdays have."""

ID: Final = np.dtype(f"S{ID_BYTES}")


@dataclass(frozen=True, slots=True)
class EngineState:
    """All that an engine knows. What `Engine.export` returns are views, to be read before the engine goes on.

    Attributes:
        ids: `ID`, the instrument of every row.
        partition: One element of `PARTITION`.
        hot: `HOT`, a row an instrument.
        warm: `WARM`, a row an instrument.
        rings: `BAR`, shape (rows, RING_BARS), in date order, as many in use as the warm row says.
        cold: `COLD`, a row an instrument.
        tape: `TAPE`, a row an instrument.
        withheld: `OUT`, transitions of instruments whose split is suspected, as many in use as the partition says.
        overrides: `OVERRIDE`, sessions that the log changed, as many in use as the partition says.
        extended: The same of the extended scope, where it is watched.
    """

    ids: np.ndarray
    partition: np.ndarray
    hot: np.ndarray
    warm: np.ndarray
    rings: np.ndarray
    cold: np.ndarray
    tape: np.ndarray
    withheld: np.ndarray
    overrides: np.ndarray
    extended: EngineState | None = None

    def __len__(self) -> int:
        """Return the number of rows."""
        return len(self.hot)

    def copy(self) -> EngineState:
        """Return a state of its own, which an engine may take over."""
        arrays = [getattr(self, field.name).copy() for field in fields(self) if field.name != "extended"]
        return replace(EngineState(*arrays), extended=None if self.extended is None else self.extended.copy())


def empty_state(rows: int) -> EngineState:
    """Return a state of zeros."""
    return EngineState(
        np.zeros(rows, ID),
        np.zeros(1, PARTITION),
        np.zeros(rows, HOT),
        np.zeros(rows, WARM),
        np.zeros((rows, RING_BARS), BAR),
        np.zeros(rows, COLD),
        np.zeros(rows, TAPE),
        np.zeros(WITHHELD_TOTAL, OUT),
        np.zeros(OVERRIDES_MAX, OVERRIDE),
    )


def begun_extended(state: EngineState) -> EngineState:
    """Return the state of an extended scope that begins now, beside a regular one: with its bars and actions."""
    begun = empty_state(len(state))
    begun.ids[:] = state.ids
    for name in ("mode", "clock_ns", "overrides"):
        begun.partition[name] = state.partition[name]
    begun.overrides[:] = state.overrides
    begun.hot["band_low"] = PRICE_NEVER
    begun.hot["date"] = np.minimum(state.hot["date"], 0)
    begun.rings[:] = state.rings
    begun.rings["flags"] &= BAR_OFFICIAL | BAR_TRADED | BAR_BROKE_UP | BAR_BROKE_DOWN
    begun.rings["marks"] = 0
    for name in ("bar_count", "tick", "halt"):
        begun.warm[name] = state.warm[name]
    for name in ("action", "actions", "listing_date", "symbol"):
        begun.cold[name] = state.cold[name]
    return begun


def layout_digest() -> str:
    """Return a name of the layout of rows and bars: equal layouts have equal names, on every machine."""
    types = (ID, HOT, WARM, COLD, TAPE, BAR, PARTITION, OUT, OVERRIDE)
    described = [(repr(dtype.descr), dtype.itemsize) for dtype in types]
    text = repr((described, RING_BARS, BAR_GROUP_ROWS, BAR_PERIOD_BITS))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def place(state: EngineState, markets: Markets, market: npt.NDArray[np.int16]) -> None:
    """Derive what the calendar decides about each row: its market's index and its session's.

    A session that the calendar no longer has is placed at the latest one before it.
    """
    state.hot["market"] = market
    for index, (first, count, *_) in enumerate(markets.market.tolist()):
        rows = np.flatnonzero((market == index) & (state.hot["date"] > 0))
        dates = markets.session["date"][first : first + count]
        sessions = np.searchsorted(dates, state.hot["date"][rows], side="right") - 1
        state.warm["session"][rows] = np.maximum(sessions, 0)


def changed_bars(state: EngineState, before: EngineState) -> list[tuple[int, int]]:
    """Return the groups of rows and the periods whose bars changed, in order.

    Args:
        state: The state now.
        before: What it was, with at least as many rows, those that did not exist yet zero.
    """
    rows = len(state)
    counts = state.warm["bar_count"].astype(np.int64)
    counts_before = before.warm["bar_count"][:rows].astype(np.int64)
    dates = [
        ring["date"].astype(np.int64)[in_use > 0]
        for rings, in_use in ((state.rings, counts), (before.rings[:rows], counts_before))
        for ring in (rings[:, 0], rings[np.arange(rows), np.maximum(in_use - 1, 0)])
    ]
    bounds = np.concatenate(dates) >> BAR_PERIOD_BITS
    if len(bounds) == 0:
        return []
    first_period = int(bounds.min())
    changed = np.zeros((-(-rows // BAR_GROUP_ROWS), int(bounds.max()) - first_period + 1), np.bool_)
    mark_changed_bars(
        _words(state.rings),
        _words(before.rings[:rows]),
        state.rings,
        before.rings[:rows],
        counts,
        counts_before,
        first_period,
        changed,
    )
    return [(int(group), int(period) + first_period) for group, period in np.argwhere(changed)]


@njit
def mark_changed_bars(
    words: npt.NDArray[np.int64],
    words_before: npt.NDArray[np.int64],
    rings: np.ndarray,
    rings_before: np.ndarray,
    counts: npt.NDArray[np.int64],
    counts_before: npt.NDArray[np.int64],
    first_period: int,
    changed: npt.NDArray[np.bool_],
) -> None:
    """Mark in `changed` (group, period) every bar that came, went or differs. One pass at the speed of memory.

    Args:
        words: The rings as integers, eight bytes each: what is equal is passed over several words at once.
        words_before: The same of the rings before.
        rings: `BAR`, shape (rows, RING_BARS).
        rings_before: The rings before.
        counts: Bars in use of each row.
        counts_before: The same before.
        first_period: The period of the first column of `changed`.
        changed: Marks to be set.
    """
    for row in range(len(rings)):
        difference = counts[row] ^ counts_before[row]
        for index in range(words.shape[1]):
            difference |= words[row, index] ^ words_before[row, index]
        if difference == 0:
            continue
        marks = changed[row // BAR_GROUP_ROWS]
        ring = rings[row]
        ring_before = rings_before[row]
        now = 0
        then = 0
        while now < counts[row] or then < counts_before[row]:
            if then == counts_before[row] or (now < counts[row] and ring[now]["date"] < ring_before[then]["date"]):
                marks[(ring[now]["date"] >> BAR_PERIOD_BITS) - first_period] = True
                now += 1
            elif now == counts[row] or ring_before[then]["date"] < ring[now]["date"]:
                marks[(ring_before[then]["date"] >> BAR_PERIOD_BITS) - first_period] = True
                then += 1
            else:
                for index in range(_BAR_WORDS):
                    if words[row, now * _BAR_WORDS + index] != words_before[row, then * _BAR_WORDS + index]:
                        marks[(ring[now]["date"] >> BAR_PERIOD_BITS) - first_period] = True
                now += 1
                then += 1


def bars_of_period(state: EngineState, group: int, period: int) -> tuple[npt.NDArray[np.int64], np.ndarray]:
    """Return how many bars of a period each row of a group has, and these bars, by row and date."""
    rows = slice(group * BAR_GROUP_ROWS, (group + 1) * BAR_GROUP_ROWS)
    rings = state.rings[rows]
    in_use = state.warm["bar_count"][rows].astype(np.int64)
    in_period = np.zeros(len(rings), np.int64)
    bars = np.zeros(len(rings) << BAR_PERIOD_BITS, BAR)
    total = gather_bars(rings, in_use, period << BAR_PERIOD_BITS, in_period, bars)
    return in_period, bars[:total]


def place_bars(state: EngineState, group: int, in_period: npt.NDArray[np.int64], bars: np.ndarray) -> None:
    """Append bars to the rings of a group, as `bars_of_period` gave them; periods come in order.

    The warm rows count what was appended.

    Raises:
        ValueError: They are more than a ring holds, or the group has no such rows.
    """
    first = group * BAR_GROUP_ROWS
    rows = slice(first, first + len(in_period))
    in_use = state.warm["bar_count"][rows].astype(np.int64)
    if len(in_use) != len(in_period) or in_period.sum() != len(bars) or np.any(in_use + in_period > RING_BARS):
        raise ValueError(
            f"expected bars for at most {len(in_use)} rows from row {first} on, at most {RING_BARS} a row; "
            f"found {len(bars)} for {len(in_period)} rows"
        )
    scatter_bars(state.rings[rows], in_use, in_period, bars)
    state.warm["bar_count"][rows] = in_use


@njit
def gather_bars(
    rings: np.ndarray, in_use: npt.NDArray[np.int64], start: int, in_period: npt.NDArray[np.int64], bars: np.ndarray
) -> int:
    """Copy the bars of the period that begins on a date, count them for each row, and return how many there are."""
    total = 0
    for row in range(len(rings)):
        ring = rings[row]
        index = ring_position(ring, in_use[row], start)
        while index < in_use[row] and ring[index]["date"] >> BAR_PERIOD_BITS == start >> BAR_PERIOD_BITS:
            bars[total] = ring[index]
            in_period[row] += 1
            index += 1
            total += 1
    return total


@njit
def scatter_bars(
    rings: np.ndarray, in_use: npt.NDArray[np.int64], in_period: npt.NDArray[np.int64], bars: np.ndarray
) -> None:
    """Append to each ring its bars, and count them as in use."""
    at = 0
    for row in range(len(rings)):
        for _ in range(in_period[row]):
            rings[row, in_use[row]] = bars[at]
            in_use[row] += 1
            at += 1


def changed_blocks(array: np.ndarray, before: np.ndarray, block_rows: int) -> Iterator[int]:
    """Yield the numbers of the blocks of so many rows in which an array differs from what it was.

    Args:
        array: Rows of whole words, contiguous.
        before: What it was, with at least as many rows.
        block_rows: Rows of a block.
    """
    words, words_before = _words(array), _words(before[: len(array)])
    for block in range(-(-len(array) // block_rows)):
        rows = slice(block * block_rows, (block + 1) * block_rows)
        if not np.array_equal(words[rows], words_before[rows]):
            yield block


# Equality of words is equality of bytes, whatever the fields: floats that are not numbers too.
def _words(array: np.ndarray) -> npt.NDArray[np.int64]:
    return array.view(np.int64).reshape(len(array), array.dtype.itemsize // 8 * math.prod(array.shape[1:]))


_BAR_WORDS: Final = BAR.itemsize // 8
