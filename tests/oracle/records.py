"""Records of the log as facts: JSON-shaped mappings in, frozen values with exact prices out."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from datetime import date
from decimal import Decimal
from fractions import Fraction
from typing import Any

from tests.oracle.calendar import parse_date, parse_time

# Sale conditions of section 1.3, as strings of codes. A code that is in no string is eligible for nothing.
# "Last" holds the codes that always count; those that count only sometimes (n1, n2, n3, n2') stand apart.
# A regular sale is a space on one tape and an at sign on the other; feeds that write all tapes alike may use either.
_CTA_HIGH_LOW = " @EFKLOPXZ4569"
_CTA_LAST = " @EFKOX569"
_CTA_VOLUME = " @BCEFHIKLOPRTUVXZ4567"
_CTA_SOMETIMES = {"L": "listing", "P": "only", "Z": "only", "4": "only"}
_UTP_HIGH_LOW = " @ABDFGKLOPSXYZ14569"
_UTP_LAST = " @ABDFKOSXY1569"
_UTP_VOLUME = " @ABCDFGHIKLOPRSTUVWXYZ14567"
_UTP_SOMETIMES = {"L": "early", "G": "only", "P": "only", "Z": "only", "4": "only"}
# Hong Kong: matched by the system or in an auction; odd lots and what was agreed elsewhere count for volume alone.
_HKEX_HIGH_LOW = " @YU"
_HKEX_VOLUME = " @YUDMX"
_CTA_MARKETS = ("XNYS", "XASE", "ARCX", "BATS")
_UTP_MARKETS = ("XNAS",)

# The letters by which the tapes name the listing markets.
LETTERS = {"XNYS": "N", "XASE": "A", "ARCX": "P", "BATS": "Z", "XNAS": "Q"}


@dataclass(frozen=True)
class Tick:
    """One trade, with what its conditions let it update; `sometimes` says when it may be the last price."""

    instrument: str
    time_ns: int
    price: Fraction
    size: Fraction
    conditions: tuple[str, ...]
    trade_id: str | None
    venue: str | None
    high_low: bool
    last: bool
    volume: bool
    sometimes: frozenset[str]
    rated: bool
    tape: str | None = None

    @property
    def by_condition(self) -> bool:
        """Say whether the trade names its conditions."""
        return bool(self.conditions)

    @property
    def late(self) -> bool:
        """Say whether the price is of the past or derived: it may set an extreme, and says so (section 1.3)."""
        return bool(self.sometimes) or not self.last

    def has(self, code: str) -> bool:
        """Say whether a trade has a code of the tapes' tables."""
        return self.rated and code in self.conditions

    @property
    def of_listing_market(self) -> bool:
        """Say whether the listing market itself reports it."""
        market = self.instrument[:4]
        return self.venue in (market, LETTERS.get(market, market))


@dataclass(frozen=True)
class Cancel:
    """A trade that never was; with `corrected`, the trade that it should have been."""

    tick: Tick
    corrected: Tick | None


@dataclass(frozen=True)
class BarRecord:
    """The daily bar of one session, as somebody else knows it; no prices when there was no trade."""

    instrument: str
    date: date
    traded: bool
    high: Fraction
    low: Fraction
    close: Fraction
    volume: Fraction | None
    split: bool | None


@dataclass(frozen=True)
class Clock:
    """Time passes."""

    time_ns: int
    mode: str


@dataclass(frozen=True)
class Status:
    """Trading of an instrument is halted or goes on."""

    instrument: str
    time_ns: int
    status: str


@dataclass(frozen=True)
class Action:
    """A corporate action: `factor` is what older prices are multiplied by."""

    instrument: str
    action_id: str
    kind: str
    ex_date: date
    factor: Fraction
    withdrawn: bool
    symbol: str | None


@dataclass(frozen=True)
class Accept:
    """An operator's word that a session's opening gap is real."""

    instrument: str
    date: date


@dataclass(frozen=True)
class InstrumentRecord:
    """What is known of an instrument besides its trades."""

    instrument: str
    tick_size: Fraction | None
    listing_date: date | None


@dataclass(frozen=True)
class SessionRecord:
    """A session that the exchange cancelled or shortened during the day."""

    mic: str
    date: date
    status: str
    close_ns: int | None
    time_ns: int | None


Record = Tick | Cancel | BarRecord | Clock | Status | Action | Accept | InstrumentRecord | SessionRecord


def parse(document: Mapping[str, Any]) -> Record:
    """Read a record; an absent type is a tick."""
    kind = document.get("type") or "tick"
    return _READERS[kind](document)


def eligibility(
    instrument: str, tape: str | None, conditions: Sequence[str]
) -> tuple[bool, bool, bool, frozenset[str]]:
    """Say what a trade may set: high and low, last and volume; one no wins, and all that is conditional must hold."""
    market = instrument[:4]
    if tape in ("A", "B") or (tape is None and market in _CTA_MARKETS):
        high_low, last, volume, sometimes = _CTA_HIGH_LOW, _CTA_LAST, _CTA_VOLUME, _CTA_SOMETIMES
    elif tape == "C" or (tape is None and market in _UTP_MARKETS):
        high_low, last, volume, sometimes = _UTP_HIGH_LOW, _UTP_LAST, _UTP_VOLUME, _UTP_SOMETIMES
    elif market == "XHKG":
        high_low, last, volume, sometimes = _HKEX_HIGH_LOW, _HKEX_HIGH_LOW, _HKEX_VOLUME, {}
    else:
        return True, True, True, frozenset()
    may_be_last = all(code in last or code in sometimes for code in conditions)
    return (
        all(code in high_low for code in conditions),
        may_be_last,
        all(code in volume for code in conditions),
        frozenset(sometimes[code] for code in conditions if code in sometimes) if may_be_last else frozenset(),
    )


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


def _tick(document: Mapping[str, Any]) -> Tick:
    conditions = document.get("conditions") or ()
    tape, instrument = document.get("tape"), document["instrument"]
    high_low, last, volume, sometimes = eligibility(instrument, tape, conditions)
    return Tick(
        instrument=instrument,
        time_ns=parse_time(document["time"]),
        price=price_of(document["price"]),
        size=price_of(document.get("size") or 0),
        conditions=tuple(conditions),
        trade_id=document.get("trade_id") or None,
        # Venues are told apart by their first four characters.
        venue=(document.get("venue") or "")[:4] or None,
        high_low=high_low,
        last=last,
        volume=volume,
        sometimes=sometimes,
        rated=tape is not None or instrument[:4] in _CTA_MARKETS + _UTP_MARKETS,
        tape=tape,
    )


def _cancel(document: Mapping[str, Any]) -> Cancel:
    original = _tick(document)
    corrected = document.get("corrected")
    if corrected is None:
        return Cancel(original, None)
    names = ("instrument", "time", "trade_id", "venue", "tape", "conditions")
    kept = {name: document.get(name) for name in names}
    given = {name: value for name, value in corrected.items() if value is not None}
    return Cancel(original, _tick({**kept, **given}))


def _bar(document: Mapping[str, Any]) -> BarRecord:
    volume = document.get("volume")
    traded = volume is None or price_of(volume) != 0
    high, low, close = (price_of(document[name]) if traded else Fraction(0) for name in ("high", "low", "close"))
    return BarRecord(
        document["instrument"],
        parse_date(document["session_date"]),
        traded,
        high,
        low,
        close,
        None if volume is None else price_of(volume),
        document.get("split"),
    )


def _clock(document: Mapping[str, Any]) -> Clock:
    return Clock(parse_time(document["time"]), document["mode"])


def _status(document: Mapping[str, Any]) -> Status:
    return Status(document["instrument"], parse_time(document["time"]), document["status"])


def _action(document: Mapping[str, Any]) -> Action:
    return Action(
        instrument=document["instrument"],
        action_id=document["action_id"],
        kind=document.get("action", ""),
        ex_date=parse_date(document.get("ex_date", "1970-01-01")),
        factor=Fraction(document.get("denominator", 1), document.get("numerator", 1)),
        withdrawn=document.get("operation") == "withdraw",
        symbol=document.get("symbol"),
    )


def _accept(document: Mapping[str, Any]) -> Accept:
    return Accept(document["instrument"], parse_date(document["session_date"]))


def _instrument(document: Mapping[str, Any]) -> InstrumentRecord:
    tick_size, listed = document.get("tick_size"), document.get("listing_date")
    return InstrumentRecord(
        document["instrument"],
        None if tick_size is None else price_of(tick_size),
        None if listed is None else parse_date(listed),
    )


def _session(document: Mapping[str, Any]) -> SessionRecord:
    close, time = document.get("close"), document.get("time")
    return SessionRecord(
        document["mic"],
        parse_date(document["session_date"]),
        document["status"],
        None if close is None else parse_time(close),
        None if time is None else parse_time(time),
    )


_READERS: dict[str, Callable[[Mapping[str, Any]], Record]] = {
    "tick": _tick,
    "cancel": _cancel,
    "correct": _cancel,
    "bar": _bar,
    "clock": _clock,
    "status": _status,
    "action": _action,
    "accept": _accept,
    "instrument": _instrument,
    "session": _session,
}
