"""Thirteen years of five real stocks as they traded, from the package bokeh-sampledata, and what is known of them.

The table holds raw daily prices (open, high, low, close) of AAPL, IBM, MSFT, GOOG and FB from March 2000 to March 2013,
and a close adjusted for everything that came later. Only the file is read: importing the package itself would want
maps and holidays too.
"""

from __future__ import annotations

import csv
import gzip
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from functools import cache
from importlib.util import find_spec
from pathlib import Path
from typing import Any

import numpy as np

from streams.calendars import load_markets
from streams.core.sessions import Markets

MIC = "XNYS"

# Splits inside the table, new shares for old, by the session from which prices are in the new units.
SPLITS: Mapping[str, Mapping[date, Fraction]] = {
    "AAPL": {date(2000, 6, 21): Fraction(2), date(2005, 2, 28): Fraction(2)},
    "MSFT": {date(2003, 2, 18): Fraction(2)},
}

# Apple opened at 0.527 of its last close after a profit warning: half the price, and no split.
REAL_FALL = ("AAPL", date(2000, 9, 29))


@dataclass(frozen=True)
class Day:
    """One session of one stock, in the units of that day."""

    date: date
    open: Fraction
    high: Fraction
    low: Fraction
    close: Fraction
    adjusted_close: Fraction
    text: Mapping[str, str]

    def bar(self, ticker: str, **fields: Any) -> dict[str, Any]:
        """Return the day as a daily bar, as it goes on the wire."""
        prices = {name: self.text[name.capitalize()] for name in ("open", "high", "low", "close", "volume")}
        return {"type": "bar", "instrument": f"{MIC}:{ticker}", "session_date": str(self.date), **prices, **fields}


@cache
def stocks() -> Mapping[str, tuple[Day, ...]]:
    """Return every stock's days, oldest first."""
    found = find_spec("bokeh_sampledata")
    assert found is not None, "expected the package bokeh-sampledata, found none; install the extra `test`"
    assert found.origin is not None
    path = Path(found.origin).parent / "_data" / "stocks.csv.gz"
    days: dict[str, list[Day]] = {}
    with gzip.open(path, "rt", encoding="utf-8", newline="") as file:
        for row in csv.DictReader(file):
            prices = [Fraction(row[name]) for name in ("Open", "High", "Low", "Close", "Adj Close")]
            days.setdefault(row["Ticker"], []).append(_day(row, *prices))
    return {ticker: tuple(listed) for ticker, listed in days.items()}


def _day(
    row: Mapping[str, str], opened: Fraction, high: Fraction, low: Fraction, close: Fraction, adj: Fraction
) -> Day:
    return Day(date.fromisoformat(row["Date"]), opened, high, low, close, adj, row)


@cache
def markets(lookback: str = "364d") -> Markets:
    """Return the market's sessions from the package's own loader, which reaches back to 1990."""
    return load_markets([MIC], lookback=lookback)


def sessions() -> np.ndarray:
    """Return the sessions of the market."""
    return markets().sessions_of(MIC)


def factor(ticker: str, day: date) -> Fraction:
    """Return what a price of a day is multiplied by to be in the units of the table's end."""
    product = Fraction(1)
    for ex_date, new_for_old in SPLITS.get(ticker, {}).items():
        if day < ex_date:
            product /= new_for_old
    return product


def split_actions(ticker: str) -> Iterator[dict[str, Any]]:
    """Return a stock's splits as action records."""
    for ex_date, new_for_old in SPLITS.get(ticker, {}).items():
        yield {
            "type": "action",
            "instrument": f"{MIC}:{ticker}",
            "action_id": f"{ticker}-{ex_date}",
            "action": "split",
            "ex_date": str(ex_date),
            "numerator": new_for_old.numerator,
            "denominator": new_for_old.denominator,
        }
