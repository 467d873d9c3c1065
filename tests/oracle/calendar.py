"""Sessions of one market as a plain list, the window before a session, and the text forms of times and dates."""

from __future__ import annotations

import re
from bisect import bisect_right
from collections.abc import Sequence
from dataclasses import dataclass, replace
from datetime import UTC, date, datetime, timedelta

SECOND_NS = 1_000_000_000
_TIME = re.compile(r"(\d{4}-\d\d-\d\d)T(\d\d:\d\d:\d\d)(?:\.(\d{1,9}))?(Z|[+-]\d\d:\d\d)")


@dataclass(frozen=True)
class Session:
    """One regular trading session; a break of 0 to 0 is no break, extended hours of 0 to 0 are none."""

    date: date
    open_ns: int
    close_ns: int
    break_start_ns: int = 0
    break_end_ns: int = 0
    extended_open_ns: int = 0
    extended_close_ns: int = 0

    def trading(self, time_ns: int) -> bool:
        """Say whether a trade of this time is regular: the closing instant and the break are not (architecture 3)."""
        in_break = self.break_start_ns <= time_ns < self.break_end_ns
        return self.open_ns <= time_ns < self.close_ns and not in_break


class Calendar:
    """The sessions of one market with the questions the rules ask about them. A session is named by its index."""

    def __init__(self, sessions: Sequence[Session]) -> None:
        self.sessions = list(sessions)
        self._opens = [session.open_ns for session in sessions]
        self._index = {session.date: index for index, session in enumerate(sessions)}
        # Sessions that the exchange took back: they stay in every window, and no trade belongs to them.
        self.cancelled: set[date] = set()
        # Sessions that were told to end early, where that held.
        self.shortened: set[int] = set()
        self._windows: dict[tuple[int, str], list[Session]] = {}

    def latest(self, time_ns: int) -> int | None:
        """Return the latest session that has opened."""
        index = bisect_right(self._opens, time_ns) - 1
        return index if index >= 0 else None

    def shorten(self, index: int, close_ns: int) -> None:
        """End a session earlier than was expected."""
        session = self.sessions[index]
        if session.open_ns < close_ns < session.close_ns:
            self.sessions[index] = replace(session, close_ns=close_ns)
            self.shortened.add(index)

    def on(self, day: date) -> int | None:
        """Return the session of a date, None when the market is closed on it."""
        return self._index.get(day)

    def window(self, index: int, lookback: str) -> list[Session]:
        """Return the sessions of the look-back window that ends the day before a session (section 1.2)."""
        if (index, lookback) not in self._windows:
            self._windows[index, lookback] = self._window(index, lookback)
        return self._windows[index, lookback]

    def _window(self, index: int, lookback: str) -> list[Session]:
        before = self.sessions[:index]
        count, unit = int(lookback[:-1]), lookback[-1]
        if unit == "s":
            return before[max(0, index - count) :]
        today = self.sessions[index].date
        start = today - timedelta(days=count) if unit == "d" else _last_year(today)
        return [session for session in before if session.date >= start]

    def month_base(self, index: int) -> int | None:
        """Return the last session of the month before (section 3, mtd)."""
        day = self.sessions[index].date
        return self._last_before(day.replace(day=1))

    def year_base(self, index: int) -> int | None:
        """Return the last session of the year before (section 3, ytd)."""
        day = self.sessions[index].date
        return self._last_before(day.replace(month=1, day=1))

    def _last_before(self, day: date) -> int | None:
        earlier = [index for index, session in enumerate(self.sessions) if session.date < day]
        return earlier[-1] if earlier else None


def _last_year(day: date) -> date:
    # The 29th of February has no namesake: one year before it is the 28th.
    namesake = day.replace(day=28) if (day.month, day.day) == (2, 29) else day
    return namesake.replace(year=day.year - 1)


def parse_date(text: str) -> date:
    """Read a date."""
    return date.fromisoformat(text)


def parse_time(value: str | int) -> int:
    """Read a time to the nanosecond: RFC 3339 text, or nanoseconds since 1970 as they are."""
    if isinstance(value, int):
        return value
    match = _TIME.fullmatch(value)
    assert match is not None, value
    day, clock, fraction, zone = match.groups()
    whole = datetime.fromisoformat(f"{day}T{clock}{'+00:00' if zone == 'Z' else zone}")
    seconds = (whole - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    return seconds * SECOND_NS + int((fraction or "").ljust(9, "0"))


def format_time(time_ns: int) -> str:
    """Write a time: nine digits of fraction when it is not a whole second."""
    seconds, fraction = divmod(time_ns, SECOND_NS)
    text = (datetime(1970, 1, 1, tzinfo=UTC) + timedelta(seconds=seconds)).strftime("%Y-%m-%dT%H:%M:%S")
    return f"{text}.{fraction:09d}Z" if fraction else f"{text}Z"
