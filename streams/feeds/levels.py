"""Our 52-week levels beside published ones: where they differ, and why.

There is no single standard: some publish closing prices, some adjust for dividends, some count a year, some leave out
the latest day. A difference is only a fault when none of these explains it. So each cause is tried by working out what
the reference would be under it, and the first that gives its very number is named.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from datetime import date, timedelta
from fractions import Fraction
from itertools import pairwise
from typing import Final

import numpy as np

from streams.core.instruments import Instruments
from streams.core.rules import Rules
from streams.core.sessions import Markets
from streams.core.units import SCALE, format_date, format_decimal, parse_date
from streams.feeds.amounts import parse_amount
from streams.feeds.coverage import FULL, coverage_of, session_at, session_from
from streams.feeds.held import History, traded
from streams.feeds.history import HistoryError, Refused
from streams.feeds.tables import Source, date_text, rows_of

LEVEL_COLUMNS: Final = ("instrument", "session_date", "high", "low")
REQUIRED: Final = ("instrument", "high", "low")
SIDES: Final = ("high", "low")

DECIMALS_MIN: Final = 2  # Quote pages leave out zeros at the end, and nothing is quoted to a tenth.
SPLIT_RATIOS: Final = (
    *(ratio for n in range(2, 51) for ratio in (Fraction(n), Fraction(1, n))),
    *(Fraction(3, 2), Fraction(2, 3), Fraction(5, 4), Fraction(4, 5)),
)
SPLIT_TOLERANCE: Final = Fraction(1, 2_000)
"""Of the ratio: a reference is rounded to a cent, and cents weigh on low prices."""

AGREES: Final = "agrees"
NO_HISTORY: Final = "no_history"
BASIS_CLOSE: Final = "basis_close"
LOOK_BACK: Final = "look_back"
SPLIT_NOT_APPLIED: Final = "split_not_applied"
DIVIDEND_ADJUSTED: Final = "dividend_adjusted"
WINDOW: Final = "window"
UNKNOWN: Final = "unknown"


@dataclass(frozen=True, slots=True)
class Reference:
    """What somebody else published.

    Attributes:
        instrument: Of which instrument.
        session_date: The last session that it includes, None for the newest there is.
        high: 52-week high.
        low: 52-week low.
        decimals: How many decimals its line has.
        where: File and line.
    """

    instrument: str
    session_date: int | None
    high: Fraction
    low: Fraction
    decimals: int
    where: str


@dataclass(frozen=True, slots=True)
class Compared:
    """One side of one instrument.

    Attributes:
        instrument: Which.
        side: `high` or `low`.
        session_date: The session whose level it is: the one after the last that the reference includes.
        ours: Our level, scaled and rounded to eight decimals; None without history.
        set_on: Its session.
        reference: What was published, scaled.
        cause: `agrees`, or why not.
        detail: The cause in words.
    """

    instrument: str
    side: str
    session_date: int
    ours: int | None
    set_on: int | None
    reference: int
    cause: str
    detail: str

    def document(self) -> dict[str, object]:
        """Return it as a JSON object."""
        return {
            "instrument": self.instrument,
            "side": self.side,
            "session_date": format_date(self.session_date),
            "level": None if self.ours is None else format_decimal(self.ours),
            "set_on": None if self.set_on is None else format_date(self.set_on),
            "reference": format_decimal(self.reference),
            "cause": self.cause,
            "detail": self.detail,
        }


def read_references(source: Source, columns: Mapping[str, str], markets: Markets) -> list[Reference | Refused]:
    """Return the levels of a file, and what is wrong with its other lines.

    Args:
        source: The file.
        columns: What it calls its columns, see `rows_of`.
        markets: Calendars of the configured markets.

    Raises:
        HistoryError: The file lacks a column, cannot be read, or holds nothing.
        OSError: It cannot be read.
    """
    instruments = Instruments(markets.mics)
    found: list[Reference | Refused] = []
    for row in rows_of(source, LEVEL_COLUMNS, columns, required=REQUIRED):
        if isinstance(row, Refused):
            found.append(row)
            continue
        instrument, day, *texts = row.values
        try:
            instruments.market_of(instrument)
            session_date = parse_date(date_text(day)) if day else None
            if session_date is not None:
                session_from(markets, instrument[:4], session_date + 1)
            high, low = (parse_amount(text) for text in texts)
            if not 0 < low.value <= high.value:
                raise ValueError(f"expected 0 < low <= high, found low {texts[1]}, high {texts[0]}")
        except ValueError as error:
            found.append(Refused(row.where, str(error)))
            continue
        decimals = max(high.decimals, low.decimals)
        found.append(Reference(instrument, session_date, high.value, low.value, decimals, row.where))
    if not found:
        raise HistoryError(f"{source.name}: expected a line under the header, found none")
    return found


def compare(
    references: Iterable[Reference], histories: Mapping[str, History], markets: Markets, rules: Rules, time_ns: int
) -> Iterator[Compared]:
    """Yield each side of each reference, with what our level is and why they differ.

    Args:
        references: What was published.
        histories: What the log holds.
        markets: Calendars, with the look-back worked in.
        rules: Options in force.
        time_ns: Now, for references without a date.
    """
    for reference in references:
        # Stocks below a dollar are quoted in fractions of a cent beside others that are rounded to a cent.
        error = Fraction(1, 2 * 10 ** max(DECIMALS_MIN, reference.decimals))
        mic = reference.instrument[:4]
        session = (
            session_from(markets, mic, reference.session_date + 1)
            if reference.session_date is not None
            else session_at(markets, mic, time_ns)
        )
        history = histories.get(reference.instrument)
        for side in SIDES:
            yield _Case(reference, history, markets, rules, session, side, error).compared()


@dataclass(frozen=True, slots=True)
class _Case:
    # One comparison, and the ways of explaining it.
    reference: Reference
    history: History | None
    markets: Markets
    rules: Rules
    session: int
    side: str
    error: Fraction

    def compared(self) -> Compared:
        published = self.reference.high if self.side == "high" else self.reference.low
        day = int(self._sessions[self.session]["date"])

        def found(ours: tuple[Fraction, int] | None, cause: str, detail: str) -> Compared:
            price, set_on = (None, None) if ours is None else (round(ours[0] * SCALE), ours[1])
            scaled = round(published * SCALE)
            return Compared(self.reference.instrument, self.side, day, price, set_on, scaled, cause, detail)

        if self.history is None or len(traded(self.history.own(day))) == 0:
            return found(None, NO_HISTORY, "no bar of this instrument before the session")
        first = int(self._sessions[int(self._sessions[self.session]["window_first"])]["date"])
        ours = self._extreme(first, day)
        if ours is None:
            return found(None, WINDOW, self._window_words())
        if abs(ours[0] - published) <= self.error:
            return found(ours, AGREES, "")
        return found(ours, *self._cause(ours, published, first, day))

    @property
    def _sessions(self) -> np.ndarray:
        return self.markets.sessions_of(self.reference.instrument[:4])

    # The first explanation that gives the very number that was published; else what may be the reason.
    def _cause(self, ours: tuple[Fraction, int], published: Fraction, first: int, day: int) -> tuple[str, str]:
        assert self.history is not None
        if self._is(published, self._extreme(first, day, column="close")):
            return BASIS_CLOSE, "the reference is of closing prices"
        for name, start, end in self._windows(day):
            if self._is(published, found := self._extreme(start, end)):
                assert found is not None
                return LOOK_BACK, f"the reference is of {name}: set on {format_date(found[1])}"
        if self._is(published, self._extreme(first, day, adjusted=False)):
            return SPLIT_NOT_APPLIED, "the reference does not apply a split on record here"
        ratio = published / ours[0]
        for factor in SPLIT_RATIOS:
            if abs(ratio / factor - 1) <= SPLIT_TOLERANCE:
                return SPLIT_NOT_APPLIED, (
                    f"the reference is {factor.numerator}:{factor.denominator} of ours: an action is missing here, or "
                    "there"
                )
        for name, start, end in self._windows(day):
            if self._is(published, self._extreme(start, end, column="close")):
                return BASIS_CLOSE, f"the reference is of closing prices and of {name}"
        covered = coverage_of(self.history, self.markets, self.rules, self.session)
        if covered.status != FULL or covered.missing:
            return WINDOW, self._window_words()
        dividends = [
            a.ex_date for a in self.history.actions if a.action == "cash_dividend" and ours[1] < a.ex_date <= day
        ]
        if published < ours[0] and dividends:
            return DIVIDEND_ADJUSTED, (
                f"the reference is {float(1 - ratio):.2%} lower, and {len(dividends)} cash dividends followed the level"
            )
        return UNKNOWN, f"ours was set on {format_date(ours[1])}: look at that session's bar"

    def _is(self, published: Fraction, candidate: tuple[Fraction, int] | None) -> bool:
        return candidate is not None and abs(candidate[0] - published) <= self.error

    def _window_words(self) -> str:
        assert self.history is not None
        covered = coverage_of(self.history, self.markets, self.rules, self.session)
        if covered.first_bar is not None and covered.first_bar > covered.window_start:
            return (
                f"history begins on {format_date(covered.first_bar)}, the window on {format_date(covered.window_start)}"
            )
        shown = ", ".join(format_date(day) for day in covered.missing[:3])
        return f"{len(covered.missing)} of {covered.expected} sessions are missing: {shown}"

    # Other ways to count a year, with or without the latest session; first date and the date that it ends before.
    def _windows(self, day: int) -> Iterator[tuple[str, int, int]]:
        dates = self._sessions["date"]
        last = int(dates[self.session - 1]) if self.session else day
        for words, end in (("", day), (" without the latest session", last)):
            for count in (364, 365, 366, 371):
                yield f"{count} days{words}", end - count, end
            yield f"a calendar year{words}", _year_before(end), end
            index = int(np.searchsorted(dates, end))
            for count in (250, 251, 252, 253, 260):
                yield f"{count} sessions{words}", int(dates[max(0, index - count)]), end

    # The extreme of the traded bars in [start, end) in units of the session, and its date; of equal ones the latest.
    def _extreme(
        self, start: int, end: int, *, column: str | None = None, adjusted: bool = True
    ) -> tuple[Fraction, int] | None:
        assert self.history is not None
        day = int(self._sessions[self.session]["date"])
        bars = traded(self.history.own(day))
        bars = bars[(bars["date"] >= start) & (bars["date"] < end)]
        if len(bars) == 0:
            return None
        prices, dates = bars[column or self.side].tolist(), bars["date"].tolist()
        ex_dates = [action.ex_date for action in self.history.actions if action.factor != 1] if adjusted else []
        # Within a stretch between two actions the raw extreme is the extreme.
        best: tuple[Fraction, int] | None = None
        bounds = [start, *(each for each in ex_dates if start < each < end), end]
        for low, high in pairwise(bounds):
            stretch = [(price, at) for price, at in zip(prices, dates, strict=True) if low <= at < high]
            if not stretch:
                continue
            raw, at = max(stretch) if self.side == "high" else min(stretch, key=lambda each: (each[0], -each[1]))
            price = Fraction(raw, SCALE) * (self.history.factor(at, day) if adjusted else 1)
            beyond = best is None or (price >= best[0] if self.side == "high" else price <= best[0])
            if beyond:
                best = (price, at)
        return best


def _year_before(day: int) -> int:
    today = date(1970, 1, 1) + timedelta(days=day)
    last = 28 if (today.month, today.day) == (2, 29) else today.day
    return (date(today.year - 1, today.month, last) - date(1970, 1, 1)).days
