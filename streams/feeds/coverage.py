"""What each instrument's window lacks before breakouts can fire: which sessions, and how far back it reaches."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Final

import numpy as np

from streams.core.layout import BAR
from streams.core.rules import Rules
from streams.core.sessions import Markets
from streams.core.units import format_date
from streams.feeds.held import History

ABSENT: Final = "absent"
PARTIAL: Final = "partial"
DEGRADED: Final = "degraded"
FULL: Final = "full"


@dataclass(frozen=True, slots=True)
class Coverage:
    """How complete the window of one instrument is.

    Attributes:
        instrument: Its id.
        status: `full`, `degraded` (sessions are missing), `partial` (it does not reach back) or `absent` (nothing is
            known of the instrument).
        session_date: The session whose window it is, days since 1970.
        window_start: First session of the window.
        window_end: Last session of the window.
        expected: Sessions of the window.
        missing: Those without a bar, in date order.
        first_bar: Date of the oldest bar, None without one.
        last_bar: Date of the newest bar.
    """

    instrument: str
    status: str
    session_date: int
    window_start: int
    window_end: int
    expected: int
    missing: tuple[int, ...]
    first_bar: int | None
    last_bar: int | None

    def document(self) -> dict[str, object]:
        """Return it as a JSON object."""
        return {
            "instrument": self.instrument,
            "coverage": self.status,
            "session_date": format_date(self.session_date),
            "window_start": format_date(self.window_start),
            "window_end": format_date(self.window_end),
            "sessions_expected": self.expected,
            "sessions": self.expected - len(self.missing),
            "missing": [format_date(day) for day in self.missing],
            "first_bar": None if self.first_bar is None else format_date(self.first_bar),
            "last_bar": None if self.last_bar is None else format_date(self.last_bar),
        }


def session_at(markets: Markets, mic: str, time_ns: int) -> int:
    """Return the index of the session that is running or comes next at a time.

    Raises:
        ValueError: The calendar ends before it.
    """
    sessions = markets.sessions_of(mic)
    index = int(np.searchsorted(sessions["close_ns"], time_ns, side="right"))
    if index == len(sessions):
        raise ValueError(
            f"expected a time before the end of the calendar of {mic}, {format_date(int(sessions[-1]['date']))}"
        )
    return index


def session_from(markets: Markets, mic: str, day: int) -> int:
    """Return the index of the first session on or after a date.

    Raises:
        ValueError: The calendar ends before it.
    """
    sessions = markets.sessions_of(mic)
    index = int(np.searchsorted(sessions["date"], day))
    if index == len(sessions):
        raise ValueError(f"expected a date within the calendar of {mic}, found {format_date(day)}")
    return index


def coverage_of(history: History, markets: Markets, rules: Rules, session: int) -> Coverage:
    """Return how complete an instrument's window is.

    The rule is the engine's: full when a bar reaches back to the window's first session, at least `coverage_min` of its
    sessions are there and none of the last `recent_sessions` is missing.

    Args:
        history: What is known of the instrument.
        markets: Calendars, with the look-back worked in.
        rules: Options in force.
        session: Index of the session among its market's.
    """
    sessions = markets.sessions_of(history.instrument[:4])
    first = int(sessions[session]["window_first"])
    day = int(sessions[session]["date"])
    expected = sessions["date"][first:session]
    held = history.own(day)["date"]
    missing = np.setdiff1d(expected, held)
    reaches_back = len(held) > 0 and len(expected) > 0 and int(held[0]) <= int(expected[0])
    recent = expected[max(0, len(expected) - rules.recent_sessions) :]
    present = len(expected) - len(missing)
    if len(history.bars) == 0:
        status = ABSENT
    elif not reaches_back:
        status = PARTIAL
    elif present < rules.coverage_min * len(expected) or len(np.setdiff1d(recent, held)):
        status = DEGRADED
    else:
        status = FULL
    return Coverage(
        history.instrument,
        status,
        day,
        int(expected[0]) if len(expected) else day,
        int(expected[-1]) if len(expected) else day,
        len(expected),
        tuple(missing.tolist()),
        int(history.bars["date"][0]) if len(history.bars) else None,
        int(history.bars["date"][-1]) if len(history.bars) else None,
    )


def coverages(
    histories: Mapping[str, History],
    expected: Iterable[str],
    markets: Markets,
    rules: Rules,
    *,
    time_ns: int,
    day: int | None,
) -> Iterator[Coverage]:
    """Yield the coverage of every instrument, by id.

    Args:
        histories: What is known.
        expected: Instruments that should be known.
        markets: Calendars.
        rules: Options in force.
        time_ns: Now: each window is that of the session that is running or comes next.
        day: A date to take in its place.
    """
    for instrument in sorted({*histories, *expected}):
        mic = instrument[:4]
        session = session_from(markets, mic, day) if day is not None else session_at(markets, mic, time_ns)
        history = histories.get(instrument) or History(instrument, np.zeros(0, BAR))
        yield coverage_of(history, markets, rules, session)
