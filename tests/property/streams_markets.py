"""The markets of drawn logs, as plain lists of sessions, and the form of a log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field, replace
from datetime import UTC, date, datetime, time, timedelta
from functools import cache
from typing import Any
from zoneinfo import ZoneInfo

from tests.oracle import Session
from tests.oracle.calendar import format_time

SECOND = 1_000_000_000
MINUTE = 60 * SECOND
HOUR = 60 * MINUTE


@dataclass
class Log:
    """One drawn log with everything that is needed to fold it, as plain data, and what the oracle says to it."""

    rules: dict[str, Any]
    sessions: dict[str, list[Session]]
    records: list[dict[str, Any]]
    documents: list[dict[str, Any]] = field(default_factory=list)
    refused: list[tuple[int, str]] = field(default_factory=list)
    counts: dict[str, int] = field(default_factory=dict)

    def __repr__(self) -> str:
        """Write the log as short as a failing example can be read: a record a line, times as text."""
        lines = [f"{number:4} {_short(record)}" for number, record in enumerate(self.records)]
        return "\n".join([f"Log of {', '.join(self.sessions)}", str(self.rules), *lines])


@cache
def exchange(mic: str, start: str = "2023-01-02", end: str = "2025-12-31") -> tuple[Session, ...]:
    """Return an exchange's real sessions, read from the library without the package's own code.

    New York's have extended hours too: from eight in the evening, when the trade date before ends, to eight, or to five
    after an early close (specification, section 1.11).
    """
    import exchange_calendars
    import pandas

    names = ("open", "close", "break_start", "break_end")
    schedule = exchange_calendars.get_calendar(mic, start=start, end=end).schedule
    listed = [
        Session(day.date(), *(0 if pandas.isna(row[name]) else int(row[name].value) for name in names))
        for day, row in schedule.iterrows()
    ]
    return tuple(listed) if mic != "XNYS" else _of_new_york(listed)


def _of_new_york(listed: list[Session]) -> tuple[Session, ...]:
    wide, before = [], listed[0].date - timedelta(days=1)
    for session in listed:
        end = 20 if session.close_ns >= _new_york(session.date, 16) else 17
        bounds = _new_york(before, 20), _new_york(session.date, end)
        wide.append(replace(session, extended_open_ns=bounds[0], extended_close_ns=bounds[1]))
        before = session.date
    return tuple(wide)


def _new_york(day: date, hour: int) -> int:
    local = datetime.combine(day, time(hour), ZoneInfo("America/New_York"))
    return int(local.astimezone(UTC).timestamp()) * SECOND


@cache
def _synthetic(kind: str) -> tuple[Session, ...]:
    # Two years of weekdays with holidays: six hours, or three on a short day, with a break of one hour where wanted.
    sessions: list[Session] = []
    for number in range(date(2023, 1, 2).toordinal(), date(2024, 12, 31).toordinal()):
        day = date.fromordinal(number)
        midnight = (day - date(1970, 1, 1)).days * 24 * HOUR
        if kind == "round":
            sessions.append(Session(day, midnight, midnight + 24 * HOUR))
        elif day.weekday() < 5 and number % 47:
            open_ns = midnight + 14 * HOUR + (0 if number % 3 else MINUTE)
            close_ns = open_ns + (3 if number % 11 == 0 else 6) * HOUR
            has_break = kind == "break" and number % 11
            pause = (open_ns + 2 * HOUR, open_ns + 3 * HOUR) if has_break else (0, 0)
            # Hours before and after the bells, or before them alone.
            after = HOUR * (0 if kind == "break" else 2)
            sessions.append(Session(day, open_ns, close_ns, *pause, open_ns - 3 * HOUR, close_ns + after))
    return tuple(sessions)


# The last trades around the clock: a session closes in the instant in which the next one opens.
MARKETS: dict[str, Callable[[], tuple[Session, ...]]] = {
    "XTST": lambda: _synthetic("plain"),
    "XBRK": lambda: _synthetic("break"),
    "XNYS": lambda: exchange("XNYS"),
    "XHKG": lambda: exchange("XHKG"),
    "XRND": lambda: _synthetic("round"),
}


def _short(record: dict[str, Any]) -> str:
    return " ".join(
        f"{name}={format_time(value) if isinstance(value, int) else value}" for name, value in record.items()
    )
