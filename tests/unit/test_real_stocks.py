"""Five real stocks over thirteen years, told raw: what splits would have faked, what the guard holds, what is true."""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Iterable, Iterator, Mapping
from datetime import date, timedelta
from fractions import Fraction
from functools import cache
from itertools import pairwise
from typing import Any

import pytest

from streams.core.processor import Processor
from streams.core.rules import Rules
from streams.core.units import format_time
from streams.wire.signals import encode
from tests.real_stocks import MIC, REAL_FALL, SPLITS, Day, factor, markets, sessions, split_actions, stocks

FAMILIES = ("high_52w", "low_52w", "high_126s", "low_126s", "suspected_split")
SECOND = 1_000_000_000
GRACE_NS = 900 * SECOND
HELD = {*((ticker, day) for ticker, splits in SPLITS.items() for day in splits), REAL_FALL}

Broken = set[tuple[str, str, date]]


@cache
def bounds() -> Mapping[date, tuple[int, int]]:
    """Return open and close of every session."""
    days = [(date(1970, 1, 1) + timedelta(days=int(number))) for number in sessions()["date"]]
    return dict(
        zip(days, zip(*(map(int, sessions()[name]) for name in ("open_ns", "close_ns")), strict=True), strict=True)
    )


def test_adjusted_closes_know_of_no_other_split() -> None:
    """The adjusted closes move with the raw ones, but for dividends: Microsoft's 3 dollars of 2004 were 11 percent.

    Over a split the raw close halves and the adjusted one does not; so the splits that are named are all there are.
    """
    for ticker, days in stocks().items():
        for before, after in pairwise(days):
            units = factor(ticker, before.date) / factor(ticker, after.date)
            raw, adjusted = after.close / (before.close * units), after.adjusted_close / before.adjusted_close
            assert abs(raw / adjusted - 1) < Fraction(12, 100), (ticker, after.date)


def test_raw_prices_with_the_actions_break_what_the_adjusted_ones_break() -> None:
    """With the splits on record, thirteen raw years give exactly the breakout sessions of the split-adjusted series."""
    said = told(actions="announced")

    assert broken(said) == expected_breakouts()
    assert len(broken(said)) > 1_000


def test_no_breakout_is_caused_by_a_split() -> None:
    """On the days of the splits nothing is said but what the adjusted prices say, and nobody is in quarantine."""
    said = told(actions="announced")

    split_days = {(ticker, day) for ticker, splits in SPLITS.items() for day in splits}
    by_splits = {each for each in broken(said) if (each[0], each[2]) in split_days}
    assert by_splits == {each for each in expected_breakouts() if (each[0], each[2]) in split_days}
    assert suspicions(said) == {REAL_FALL}


def test_verdicts_are_those_of_the_adjusted_closes() -> None:
    """Whether a breakout held to the close is what the adjusted close says of the adjusted level."""
    said = told(actions="announced")

    verdicts = {
        (ticker_of(signal), signal["family"], date.fromisoformat(signal["session_date"])): signal["transition"]
        for signal in said
        if signal["transition"] in ("confirmed", "unconfirmed")
    }

    assert verdicts == expected_verdicts()


def test_guard_holds_exactly_the_four_days_without_the_actions() -> None:
    """Nobody announces a split: the three splits and Apple's real fall are held, and no other of 12,000 sessions."""
    said = told(actions="late")

    assert suspicions(said) == HELD


def test_late_actions_give_the_same_breakouts() -> None:
    """The actions that come after the session of the split leave nothing false behind, and nothing is missing.

    What is given up is the day of the split itself: what was withheld on it is discarded.
    """
    said = told(actions="late")

    outside = {each for each in expected_breakouts() if (each[0], each[2]) not in HELD - {REAL_FALL}}
    assert broken(said) == outside


def test_real_fall_is_released_by_a_bar_that_states_no_split() -> None:
    """Apple fell to 0.527 of its last close and had no split: late, marked as held, and right."""
    said = told(actions="late")
    ticker, day = REAL_FALL

    held = [signal for signal in said if signal.get("held")]

    assert {(ticker_of(signal), signal["session_date"]) for signal in held} == {(ticker, str(day))}
    triggered = [signal for signal in held if signal["transition"] == "triggered"]
    assert [(signal["family"], signal["level"]["window_status"]) for signal in triggered] == [("low_126s", "full")]


def told(*, actions: str) -> list[dict[str, Any]]:
    """Return what the engine says to all of it: actions announced, or known only after the session."""
    return _told(actions)


@cache
def _told(actions: str) -> list[dict[str, Any]]:
    import json

    processor = Processor(markets(), Rules(families=FAMILIES))
    values: list[bytes] = []
    batch: list[dict[str, Any]] = []
    for record in records(actions):
        batch.append(record)
        if len(batch) == 5_000:
            values += fed(processor, batch)
            batch = []
    values += fed(processor, batch)
    assert not processor.refused
    return [json.loads(value) for value in values]


def fed(processor: Processor, batch: list[dict[str, Any]]) -> list[bytes]:
    """Fold a batch; return what is said to it."""
    processor.records(batch)
    return [encode(signal, source="/fiftytwo/test").value for signal in processor.signals()]


def records(actions: str) -> Iterator[dict[str, Any]]:
    """Tell thirteen years as a log: open, high, low and close of each stock in each session, and the clock."""
    by_day: dict[date, list[tuple[str, Day]]] = {}
    for ticker, days in stocks().items():
        for day in days:
            by_day.setdefault(day.date, []).append((ticker, day))
    if actions == "announced":
        for ticker in stocks():
            yield from split_actions(ticker)
    for today, listed in sorted(by_day.items()):
        open_ns, close_ns = bounds()[today]
        yield clock(open_ns)
        for place, name in enumerate(("Open", "High", "Low", "Close")):
            time_ns = open_ns + place * (close_ns - open_ns - SECOND) // 3
            yield clock(time_ns)
            for ticker, day in listed:
                yield tick(ticker, time_ns, day.text[name])
        yield clock(close_ns + GRACE_NS)
        for ticker, day in listed:
            if (ticker, today) == REAL_FALL:
                yield day.bar(ticker, split=False)
        if actions == "late":
            for ticker, _ in listed:
                yield from (action for action in split_actions(ticker) if action["ex_date"] == str(today))


def clock(time_ns: int) -> dict[str, Any]:
    """Return a clock record."""
    return {"type": "clock", "time": format_time(time_ns), "mode": "replay"}


def tick(ticker: str, time_ns: int, price: str) -> dict[str, Any]:
    """Return a trade."""
    return {"instrument": f"{MIC}:{ticker}", "time": format_time(time_ns), "price": price, "size": "100"}


def ticker_of(signal: Mapping[str, Any]) -> str:
    """Return the stock that a signal is about."""
    symbol: str = signal["instrument"]["symbol"]
    return symbol


def broken(said: Iterable[Mapping[str, Any]]) -> Broken:
    """Return the sessions in which a family was triggered."""
    return {
        (ticker_of(signal), signal["family"], date.fromisoformat(signal["session_date"]))
        for signal in said
        if signal["transition"] == "triggered"
    }


def suspicions(said: Iterable[Mapping[str, Any]]) -> set[tuple[str, date]]:
    """Return the sessions whose opening was held for a split."""
    return {
        (ticker_of(signal), date.fromisoformat(signal["session_date"]))
        for signal in said
        if signal["family"] == "suspected_split" and signal["transition"] == "suspect"
    }


@cache
def expected() -> Mapping[tuple[str, str, date], str]:
    """Work out every breakout and its verdict from the split-adjusted series: a running maximum, nothing else."""
    calendar = sorted(bounds())
    found: dict[tuple[str, str, date], str] = {}
    for ticker, days in stocks().items():
        prices = [[whole(price * factor(ticker, day.date)) for price in (day.high, day.low, day.close)] for day in days]
        dates = [day.date for day in days]
        for place, day in enumerate(days):
            today = bisect_left(calendar, day.date)
            starts = {
                "52w": calendar[bisect_left(calendar, day.date - timedelta(days=364))],
                "126s": calendar[today - 126],
            }
            for name, start in starts.items():
                if start < days[0].date:
                    continue
                first = bisect_left(dates, start)
                high = max(row[0] for row in prices[first:place])
                low = min(row[1] for row in prices[first:place])
                if prices[place][0] > high:
                    found[ticker, f"high_{name}", day.date] = verdict(prices[place][2] > high)
                if prices[place][1] < low:
                    found[ticker, f"low_{name}", day.date] = verdict(prices[place][2] < low)
    return found


def whole(price: Fraction) -> int:
    """Return a price in units so small that every adjusted price is whole."""
    units = price * 40_000
    assert units.denominator == 1, price
    return units.numerator


def verdict(confirmed: bool) -> str:
    """Name a verdict."""
    return "confirmed" if confirmed else "unconfirmed"


def expected_breakouts() -> Broken:
    """Return the sessions in which the adjusted series breaks a level."""
    return set(expected())


def expected_verdicts() -> Mapping[tuple[str, str, date], str]:
    """Return how each of them ended."""
    return expected()


@pytest.mark.parametrize("ticker", SPLITS)
def test_every_split_would_have_been_a_false_low(ticker: str) -> None:
    """Each of the splits halves the price, which a series that nobody adjusts takes for a fall."""
    days = {day.date: (before, day) for before, day in pairwise(stocks()[ticker])}

    ratios = [days[day][1].open / days[day][0].close for day in SPLITS[ticker]]

    assert all(Fraction(47, 100) <= ratio <= Fraction(53, 100) for ratio in ratios)
