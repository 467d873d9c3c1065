"""Records of the log as facts: JSON-shaped mappings in, frozen values with exact prices out."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from tests.oracle.calendar import parse_date, parse_time

# Sale conditions of section 1.3, as strings of codes. A code that is in no string is eligible for nothing.
# "Last" leaves out the codes that count only sometimes (n1, n2, n3 of that section).
# A regular sale is a space on one tape and an at sign on the other; feeds that write all tapes alike may use either.
_CTA_HIGH_LOW = " @EFKLOPXZ4569"
_CTA_LAST = " @EFKOX569"
_UTP_HIGH_LOW = " @ABDFGKLOPSXYZ14569"
_UTP_LAST = " @ABDFKOSXY1569"
_CTA_MARKETS = ("XNYS", "XASE", "ARCX", "BATS")
_UTP_MARKETS = ("XNAS",)


@dataclass(frozen=True)
class Tick:
    """One trade, with what its conditions let it update."""

    instrument: str
    time_ns: int
    price: Fraction
    conditions: tuple[str, ...]
    trade_id: str | None
    high_low: bool
    last: bool
    by_condition: bool


@dataclass(frozen=True)
class BarRecord:
    """The daily bar of one session, as somebody else knows it; no prices when there was no trade."""

    instrument: str
    date: date
    traded: bool
    high: Fraction
    low: Fraction
    close: Fraction


@dataclass(frozen=True)
class Clock:
    """Time passes."""

    time_ns: int
    mode: str


def parse(document: Mapping[str, Any]) -> Tick | BarRecord | Clock:
    """Read a record; an absent type is a tick."""
    kind = document.get("type") or "tick"
    if kind == "clock":
        return Clock(parse_time(document["time"]), document["mode"])
    if kind == "bar":
        return _bar(document)
    assert kind == "tick", kind
    conditions = document.get("conditions") or ()
    high_low, last = eligibility(document["instrument"], document.get("tape"), conditions)
    return Tick(
        instrument=document["instrument"],
        time_ns=parse_time(document["time"]),
        price=price_of(document["price"]),
        conditions=tuple(conditions),
        trade_id=document.get("trade_id") or None,
        high_low=high_low,
        last=last,
        by_condition=bool(conditions),
    )


def eligibility(instrument: str, tape: str | None, conditions: Sequence[str]) -> tuple[bool, bool]:
    """Say whether a trade may set high and low, and the last price: one "no" wins (section 1.3)."""
    market = instrument[:4]
    if tape in ("A", "B") or (tape is None and market in _CTA_MARKETS):
        high_low, last = _CTA_HIGH_LOW, _CTA_LAST
    elif tape == "C" or (tape is None and market in _UTP_MARKETS):
        high_low, last = _UTP_HIGH_LOW, _UTP_LAST
    else:
        return True, True
    return all(code in high_low for code in conditions), all(code in last for code in conditions)


def price_of(value: object) -> Fraction:
    """Read a price exactly."""
    return Fraction(str(value))


def price_text(price: Fraction | None) -> str | None:
    """Write a price as the shortest decimal."""
    if price is None:
        return None
    exact = Decimal(price.numerator) / Decimal(price.denominator)
    assert Fraction(exact) == price, price
    text = f"{exact:f}"
    return text.rstrip("0").rstrip(".") if "." in text else text


def _bar(document: Mapping[str, Any]) -> BarRecord:
    volume = document.get("volume")
    traded = volume is None or price_of(volume) != 0
    high, low, close = (price_of(document[name]) if traded else Fraction(0) for name in ("high", "low", "close"))
    return BarRecord(document["instrument"], parse_date(document["session_date"]), traded, high, low, close)
