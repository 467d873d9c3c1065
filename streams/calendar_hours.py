"""A calendar's columns corrected by overrides, and the hours outside the regular session worked out for each date."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from datetime import date, datetime, time, timedelta, tzinfo
from typing import Final

import numpy as np

from streams.calendar_tables import BadOverrides, ExtendedHours, Override
from streams.core.units import NS

_EPOCH: Final = date(1970, 1, 1)

Columns = list[np.ndarray]
"""Dates, opens, closes, break starts, break ends; then, where they are known, extended opens, extended closes and ends
of the trade date."""


def corrected(
    columns: Sequence[np.ndarray], zone: tzinfo, overrides: Mapping[int, Override], *, strict: bool
) -> Columns:
    """Return the columns of a calendar as its overrides have them.

    Args:
        columns: The first five of `Columns`.
        zone: The exchange's.
        overrides: By session date.
        strict: Whether an override that changes nothing is a mistake. The product's own are not strict: the library
            may have learned of the day since.

    Raises:
        BadOverrides: An override does not fit the session.
    """
    dates, opens, closes, starts, ends = (column.copy() for column in columns)
    kept = np.ones(len(dates), np.bool_)
    for day, override in overrides.items():
        index = int(np.searchsorted(dates, day))
        if index == len(dates) or dates[index] != day:
            if strict and not override.closed:
                raise BadOverrides(
                    f"{override.where}: expected a session, found that the market is closed on that date"
                )
            continue
        if override.closed:
            kept[index] = False
            continue
        open_ns, close_ns = int(opens[index]), int(closes[index])
        late_ns = utc_ns(day, override.late_open, zone) if override.late_open is not None else open_ns
        early_ns = utc_ns(day, override.early_close, zone) if override.early_close is not None else close_ns
        # In the break nothing trades: an open there waits for its end, a close there has come with its start.
        if starts[index] <= late_ns < ends[index]:
            late_ns = int(ends[index])
        if starts[index] < early_ns <= ends[index]:
            early_ns = int(starts[index])
        if not open_ns <= late_ns < early_ns <= close_ns:
            if strict:
                bounds = f"{_local(open_ns, zone)} to {_local(close_ns, zone)}"
                raise BadOverrides(
                    f"{override.where}: expected times within the session, {bounds}, found "
                    f"{_local(late_ns, zone)} to {_local(early_ns, zone)}"
                )
            continue
        opens[index], closes[index] = late_ns, early_ns
        if not late_ns < starts[index] < ends[index] < early_ns:
            starts[index] = ends[index] = 0
    return [column[kept] for column in (dates, opens, closes, starts, ends)]


def with_extended(columns: Sequence[np.ndarray], zone: tzinfo, hours: ExtendedHours | None) -> Columns:
    """Return the columns with extended opens, extended closes and ends of the trade date.

    Where a market has no extended hours they are those of the regular session. The extended session begins where the
    trade date of the session before ends, so that the night, the weekend and a holiday roll forward.
    """
    dates, opens, closes = columns[:3]
    if hours is None:
        return [*columns, opens, closes, closes]
    days = dates.tolist()
    ends = np.array([utc_ns(day, hours.trade_date_end, zone) for day in days], np.int64)
    usual = np.array([utc_ns(day, hours.regular_close, zone) for day in days], np.int64)
    late = np.array([utc_ns(day, hours.post_close, zone) for day in days], np.int64)
    early = np.array([utc_ns(day, hours.early_post_close, zone) for day in days], np.int64)
    # A session may end later than the table has it: then so does what follows it.
    extended_closes = np.maximum(np.where(closes < usual, early, late), closes)
    ends = np.maximum(ends, extended_closes)
    first = utc_ns(days[0] - 1, hours.trade_date_end, zone)
    extended_opens = np.minimum(np.concatenate(([first], ends[:-1])), opens)
    return [*columns, extended_opens, extended_closes, ends]


def utc_ns(day: int, at: time, zone: tzinfo) -> int:
    """Return a local time of a date (days since 1970) as nanoseconds UTC.

    Of a time that the clocks show twice it is the first; a time that they skip is read with the offset before.
    """
    local = datetime.combine(_EPOCH + timedelta(days=day), at, tzinfo=zone)
    return int(local.timestamp()) * NS


def _local(time_ns: int, zone: tzinfo) -> str:
    return datetime.fromtimestamp(time_ns // NS, zone).strftime("%H:%M:%S")
