"""The markets of drawn logs, as plain lists of sessions, and the form of a log."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass, field
from datetime import date
from functools import cache
from typing import Any

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
    """Return an exchange's real sessions, read from the library without the package's own code."""
    import exchange_calendars
    import pandas

    names = ("open", "close", "break_start", "break_end")
    schedule = exchange_calendars.get_calendar(mic, start=start, end=end).schedule
    return tuple(
        Session(day.date(), *(0 if pandas.isna(row[name]) else int(row[name].value) for name in names))
        for day, row in schedule.iterrows()
    )


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
            if number % 11 == 0:
                sessions.append(Session(day, open_ns, open_ns + 3 * HOUR))
            else:
                pause = (open_ns + 2 * HOUR, open_ns + 3 * HOUR) if kind == "break" else ()
                sessions.append(Session(day, open_ns, open_ns + 6 * HOUR, *pause))
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
