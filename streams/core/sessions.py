"""Trading sessions as plain arrays: the only form in which a calendar reaches the engine."""

from __future__ import annotations

import re
from collections.abc import Sequence
from dataclasses import dataclass
from datetime import date, timedelta

import numpy as np

from streams.core.compiled import njit
from streams.core.eligibility import LISTING_LETTERS, venue_number
from streams.core.layout import MARKET, RING_BARS, SESSION, WINDOWS_MAX

_EPOCH = date(1970, 1, 1)
_LOOKBACK = re.compile(r"([1-9]\d{0,3})([dsy])")


@dataclass(frozen=True, slots=True)
class Sessions:
    """One market's regular trading sessions, in date order.

    Attributes:
        mic: Market identifier code (ISO 10383).
        dates: Session dates, days since 1970, int32.
        opens_ns: Regular opens, int64 nanoseconds UTC.
        closes_ns: Regular closes, int64 nanoseconds UTC.
        break_starts_ns: Start of the lunch break, 0 where there is none.
        break_ends_ns: End of the lunch break, 0 where there is none.
        extended_opens_ns: First instant of each session with its extended hours, None where the market has none.
        extended_closes_ns: End of each session with its extended hours, None where the market has none.
        trade_date_ends_ns: What trades from here on belongs to the next session; None for the extended closes.
    """

    mic: str
    dates: np.ndarray
    opens_ns: np.ndarray
    closes_ns: np.ndarray
    break_starts_ns: np.ndarray
    break_ends_ns: np.ndarray
    extended_opens_ns: np.ndarray | None = None
    extended_closes_ns: np.ndarray | None = None
    trade_date_ends_ns: np.ndarray | None = None

    def __post_init__(self) -> None:
        columns = [self.opens_ns, self.closes_ns, self.break_starts_ns, self.break_ends_ns]
        extended = (self.extended_opens_ns, self.extended_closes_ns, self.trade_date_ends_ns)
        columns += [column for column in extended if column is not None]
        if len(self.dates) == 0 or any(len(column) != len(self.dates) for column in columns):
            raise ValueError(f"{self.mic}: expected columns of equal length with at least one session")
        if np.any(np.diff(self.dates) <= 0) or np.any(self.opens_ns[1:] < self.closes_ns[:-1]):
            raise ValueError(f"{self.mic}: expected sessions in date order that do not overlap")


class Markets:
    """The sessions of all markets of a process, with each session's look-back window and period bases worked out.

    Args:
        sessions: One entry a market; the order decides the market's index.
        lookback: `364d` (days), `1y` (same date last year) or `252s` (sessions).
        version: Name and version of the calendar, carried on every signal.

    Raises:
        ValueError: The look-back is malformed, or longer than the ring of bars holds.
    """

    def __init__(self, sessions: Sequence[Sessions], *, lookback: str = "364d", version: str = "") -> None:
        self.mics = tuple(entry.mic for entry in sessions)
        self.lookback = lookback
        self.version = version
        self.market = np.zeros(len(sessions), MARKET)
        self.session = np.concatenate([_session_array(entry, lookback) for entry in sessions])
        first = 0
        for index, entry in enumerate(sessions):
            letter = LISTING_LETTERS.get(entry.mic)
            self.market[index] = (first, len(entry.dates), venue_number(entry.mic), venue_number(letter))
            first += len(entry.dates)

    def with_windows(self, lookbacks: Sequence[str]) -> np.ndarray:
        """Return a copy of all sessions with the windows of more look-backs worked out.

        Raises:
            ValueError: A look-back is malformed or longer than the ring of bars holds, or there are too many.
        """
        if len(lookbacks) > WINDOWS_MAX - 1:
            raise ValueError(f"expected at most {WINDOWS_MAX - 1} look-backs of your own, found {len(lookbacks)}")
        sessions = self.session.copy()
        sessions["windows_first"] = sessions["window_first"][:, None]
        for mic, (first, count, *_) in zip(self.mics, self.market.tolist(), strict=True):
            part = sessions[first : first + count]
            for window, lookback in enumerate(lookbacks, 1):
                part["windows_first"][:, window] = _checked_window(mic, part["date"], lookback)
        return sessions

    def with_extended_hours(self) -> np.ndarray:
        """Return a copy of all sessions as the extended scope sees them: from extended open to extended close."""
        sessions = self.with_windows(())
        sessions["open_ns"] = sessions["extended_open_ns"]
        sessions["close_ns"] = sessions["extended_close_ns"]
        sessions["break_start_ns"] = sessions["break_end_ns"] = 0
        return sessions

    def have_extended_hours(self) -> np.ndarray:
        """Return of every market whether any of its sessions has hours besides the regular ones."""
        found = np.zeros(len(self.mics), np.bool_)
        for index, (first, count, *_) in enumerate(self.market.tolist()):
            part = self.session[first : first + count]
            longer = (part["extended_open_ns"] != part["open_ns"]) | (part["extended_close_ns"] != part["close_ns"])
            found[index] = longer.any()
        return found

    def index(self, mic: str) -> int:
        """Return a market's index.

        Raises:
            KeyError: The market is not known.
        """
        try:
            return self.mics.index(mic)
        except ValueError:
            raise KeyError(mic) from None

    def sessions_of(self, mic: str) -> np.ndarray:
        """Return a view of a market's sessions, dtype `SESSION`, in date order."""
        market = self.market[self.index(mic)]
        return self.session[market["first"] : market["first"] + market["count"]]

    def session_at(self, mic: str, time_ns: int) -> np.void | None:
        """Return the latest session that has opened at `time_ns`, or None before the first."""
        sessions = self.sessions_of(mic)
        index = int(np.searchsorted(sessions["open_ns"], time_ns, side="right")) - 1
        return sessions[index] if index >= 0 else None

    def session_on(self, mic: str, session_date: int) -> np.void | None:
        """Return the session of a date (days since 1970), or None when the market is closed on it."""
        sessions = self.sessions_of(mic)
        index = int(np.searchsorted(sessions["date"], session_date))
        return sessions[index] if index < len(sessions) and sessions[index]["date"] == session_date else None

    def session_of_trade_date(self, mic: str, time_ns: int) -> np.void | None:
        """Return the session that a trade of any time of day belongs to, or None after the last.

        Trades after the end of a trade date, of the night, a weekend or a holiday, belong to the next session.
        """
        sessions = self.sessions_of(mic)
        index = int(np.searchsorted(sessions["trade_date_end_ns"], time_ns, side="right"))
        return sessions[index] if index < len(sessions) else None


def _session_array(sessions: Sessions, lookback: str) -> np.ndarray:
    array = np.zeros(len(sessions.dates), SESSION)
    array["date"] = sessions.dates
    array["open_ns"] = sessions.opens_ns
    array["close_ns"] = sessions.closes_ns
    array["break_start_ns"] = sessions.break_starts_ns
    array["break_end_ns"] = sessions.break_ends_ns
    array["extended_open_ns"] = _or(sessions.extended_opens_ns, sessions.opens_ns)
    array["extended_close_ns"] = _or(sessions.extended_closes_ns, sessions.closes_ns)
    array["trade_date_end_ns"] = _or(sessions.trade_date_ends_ns, array["extended_close_ns"])
    array["regular_open_ns"] = sessions.opens_ns
    array["regular_close_ns"] = sessions.closes_ns
    array["window_first"] = _checked_window(sessions.mic, sessions.dates, lookback)
    array["windows_first"] = array["window_first"][:, None]
    months = sessions.dates.astype("datetime64[D]").astype("datetime64[M]").astype(np.int64)
    array["month_base"] = np.searchsorted(months, months) - 1
    array["year_base"] = np.searchsorted(months // 12, months // 12) - 1
    return array


def _or(column: np.ndarray | None, default: np.ndarray) -> np.ndarray:
    return default if column is None else column


def _checked_window(mic: str, dates: np.ndarray, lookback: str) -> np.ndarray:
    first = _window_first(dates, lookback)
    longest = int(np.max(np.arange(len(dates)) - first))
    if longest > RING_BARS - 1:
        raise ValueError(
            f"lookback: expected a window of at most {RING_BARS - 1} sessions, "
            f"found {longest} with {lookback!r} on {mic}"
        )
    return first


def _window_first(dates: np.ndarray, lookback: str) -> np.ndarray:
    match = _LOOKBACK.fullmatch(lookback)
    if match is None or (match[2] == "y" and match[1] != "1"):
        raise ValueError(f"lookback: expected days ('364d'), sessions ('252s') or '1y', found {lookback!r}")
    count = int(match[1])
    if match[2] == "s":
        return np.maximum(np.arange(len(dates)) - count, 0)
    starts = dates - count if match[2] == "d" else np.array([_year_before(int(day)) for day in dates])
    return np.searchsorted(dates, starts)


def _year_before(day: int) -> int:
    today = _EPOCH + timedelta(days=day)
    last = 28 if (today.month, today.day) == (2, 29) else today.day
    return (date(today.year - 1, today.month, last) - _EPOCH).days


@njit
def session_opened(sessions: np.ndarray, first: int, count: int, time_ns: int) -> int:
    """Return the index, relative to `first`, of the latest session that has opened at `time_ns`, or -1."""
    low = 0
    high = count
    while low < high:
        middle = (low + high) // 2
        if sessions[first + middle]["open_ns"] <= time_ns:
            low = middle + 1
        else:
            high = middle
    return low - 1


@njit
def session_dated(sessions: np.ndarray, first: int, count: int, session_date: int) -> int:
    """Return the index, relative to `first`, of the session of a date, or -1 when there is none."""
    low = 0
    high = count
    while low < high:
        middle = (low + high) // 2
        if sessions[first + middle]["date"] < session_date:
            low = middle + 1
        else:
            high = middle
    if low < count and sessions[first + low]["date"] == session_date:
        return low
    return -1
