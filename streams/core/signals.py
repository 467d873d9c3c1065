"""Signals as people and encoders read them: one frozen object a transition, named by its content alone."""

from __future__ import annotations

from dataclasses import dataclass
from functools import lru_cache
from typing import Final
from uuid import UUID, uuid5

import numpy as np

from streams.core.engine import Engine, Folded
from streams.core.layout import (
    CLOSE_NAMES,
    FAMILY_MTD,
    FAMILY_NAMES,
    FAMILY_PROXIMITY_LOW,
    FAMILY_ROC_5,
    FAMILY_ROC_20,
    FAMILY_ROC_60,
    FAMILY_SESSION_RETURN,
    FAMILY_YTD,
    FIRST_MEASURE,
    SIDE_NAMES,
    TRANSITION_EXPIRED,
    TRANSITION_NAMES,
    TRIGGER_NAMES,
    WINDOW_NAMES,
)
from streams.core.rules import RULES_VERSION

NAMESPACE: Final = UUID("14cf0421-c16e-56e4-953d-02cda238d903")
RATIO_DIGITS: Final = 6
BASIS: Final = "intraday"
SCOPE: Final = "regular"
RETURN_FAMILIES: Final = (
    FAMILY_SESSION_RETURN,
    FAMILY_MTD,
    FAMILY_YTD,
    FAMILY_ROC_5,
    FAMILY_ROC_20,
    FAMILY_ROC_60,
)


@dataclass(frozen=True, slots=True)
class Trade:
    """The trade behind a signal: time in nanoseconds, price in units of 1e-8."""

    time_ns: int
    price: int
    trade_id: str | None
    conditions: tuple[str, ...]


@dataclass(frozen=True, slots=True)
class Level:
    """A 52-week level and how it was built. Prices in units of 1e-8, dates in days since 1970."""

    price: int
    session_date: int
    base_price: int
    lookback: str
    window_start: int
    window_end: int
    sessions: int
    sessions_expected: int
    window_status: str
    age_sessions: int


@dataclass(frozen=True, slots=True)
class Breakout:
    """What only a breakout of a level has."""

    trigger_kind: str
    level: Level
    gap: bool
    fresh: bool
    streak: int
    failed: bool
    recovered: bool
    close_source: str | None
    distance: float | None
    distance_atr: float | None
    nearness: float | None
    returns: dict[str, float | None]


@dataclass(frozen=True, slots=True)
class Measure:
    """What only a momentum or proximity signal has: its value now, its base and its thresholds."""

    value: float | None
    base_price: int
    base_date: int
    enter: float
    exit: float | None


@dataclass(frozen=True, slots=True)
class Signal:
    """One transition of one signal.

    Attributes:
        signal_id: Name of the signal, the same for all its transitions.
        event_id: Name of this transition.
        revision: Number of this transition among those of its signal, from 1.
        transition: `triggered`, `new_extreme`, `failed`, `confirmed`, `unconfirmed`; `entered`, `exited`, `expired`.
        family: `high_52w`, `low_52w`, a proximity family or a momentum measure.
        side: `up` or `down`.
        ordinal: Number of the signal among those of its instrument, family, side and session, from 1.
        instrument: Instrument id, `MIC:SYMBOL`.
        session_date: Session of the trigger or entry, days since 1970.
        event_ns: When it happened, nanoseconds since 1970, by the log's own times.
        price: Price of the transition in units of 1e-8, None where it has none.
        trigger: The trade that triggered or entered.
        breakout: Present for `high_52w` and `low_52w`.
        measure: Present for the others.
        rules: Version of the rules.
        calendar: Version of the calendar.
        record: Index, in the folded batch, of the record that caused it.
    """

    signal_id: str
    event_id: str
    revision: int
    transition: str
    family: str
    side: str
    ordinal: int
    instrument: str
    session_date: int
    event_ns: int
    price: int | None
    trigger: Trade
    breakout: Breakout | None
    measure: Measure | None
    rules: str
    calendar: str
    record: int


def signals_of(folded: Folded, engine: Engine) -> list[Signal]:
    """Return the transitions of a fold as signals, in order."""
    return [_signal(output, engine) for output in folded.signals]


def ratio(numerator: int, denominator: int) -> float | None:
    """Return numerator / denominator rounded half-even to six decimals, exactly; None when the denominator is 0."""
    if denominator == 0:
        return None
    scale: int = 10**RATIO_DIGITS
    quotient, rest = divmod(numerator * scale, denominator)
    if 2 * rest > denominator or (2 * rest == denominator and quotient % 2):
        quotient += 1
    return quotient / scale


@lru_cache(maxsize=65_536)
def signal_id(instrument: str, family: str, side: str, session_date: str, ordinal: int) -> str:
    """Return the name of a signal: the same for the same market event, wherever and whenever it is computed."""
    return str(uuid5(NAMESPACE, f"{instrument}|{family}|{side}|{BASIS}|{SCOPE}|{session_date}|{ordinal}"))


def event_id(signal: str, transition: str, revision: int) -> str:
    """Return the name of a transition of a signal."""
    return str(uuid5(NAMESPACE, f"{signal}/{transition}/{revision}"))


def _signal(output: np.void, engine: Engine) -> Signal:
    family = FAMILY_NAMES[output["family"]]
    side = SIDE_NAMES[output["side"]]
    transition = TRANSITION_NAMES[output["transition"]]
    instrument = engine.instruments.id(int(output["row"]))
    session_date = int(output["session_date"])
    ordinal = int(output["ordinal"])
    revision = int(output["revision"])
    name = signal_id(instrument, family, side, str(np.datetime64(session_date, "D")), ordinal)
    is_measure = output["family"] >= FIRST_MEASURE
    return Signal(
        signal_id=name,
        event_id=event_id(name, transition, revision),
        revision=revision,
        transition=transition,
        family=family,
        side=side,
        ordinal=ordinal,
        instrument=instrument,
        session_date=session_date,
        event_ns=int(output["event_ns"]),
        price=int(output["price"]) or None,
        trigger=_trade(output),
        breakout=None if is_measure else _breakout(output, engine),
        measure=_measure(output, engine) if is_measure else None,
        rules=RULES_VERSION,
        calendar=engine.markets.version,
        record=int(output["record"]),
    )


def _trade(output: np.void) -> Trade:
    trade_id = bytes(output["trigger_id"]).rstrip(b"\0").decode("ascii")
    conditions = bytes(output["trigger_conditions"]).rstrip(b"\0").decode("ascii")
    return Trade(int(output["trigger_ns"]), int(output["trigger_price"]), trade_id or None, tuple(conditions))


def _breakout(output: np.void, engine: Engine) -> Breakout:
    price = int(output["price"])
    level = int(output["level"])
    atr = float(output["atr"])
    returns: dict[str, float | None] = {}
    for family in RETURN_FAMILIES:
        base = int(output["base"][family - FIRST_MEASURE])
        returns[FAMILY_NAMES[family]] = ratio(price - base, base) if price else None
    return Breakout(
        trigger_kind=TRIGGER_NAMES[output["kind"]],
        level=Level(
            price=level,
            session_date=int(output["level_date"]),
            base_price=int(output["base_level"]),
            lookback=engine.rules.lookback,
            window_start=int(output["window_start"]),
            window_end=int(output["window_end"]),
            sessions=int(output["sessions"]),
            sessions_expected=int(output["sessions_expected"]),
            window_status=WINDOW_NAMES[output["window_status"]],
            age_sessions=int(output["level_age"]),
        ),
        gap=bool(output["gap"]),
        fresh=bool(output["fresh"]),
        streak=int(output["streak"]),
        failed=bool(output["failed"]),
        recovered=bool(output["recovered"]),
        close_source=CLOSE_NAMES[output["close_source"]],
        distance=ratio(price - level, level) if price else None,
        distance_atr=round((price - level) / atr, RATIO_DIGITS) if price and atr else None,
        nearness=ratio(price, level) if price else None,
        returns=returns,
    )


def _measure(output: np.void, engine: Engine) -> Measure:
    family = FAMILY_NAMES[output["family"]]
    base = int(output["base"][output["family"] - FIRST_MEASURE])
    price = int(output["price"])
    enter, leave = engine.rules.threshold(family)
    is_return = output["family"] > FAMILY_PROXIMITY_LOW
    sign = -1 if is_return and SIDE_NAMES[output["side"]] == "down" else 1
    value = None
    if output["transition"] != TRANSITION_EXPIRED:
        value = ratio(price - base if is_return else price, base)
    return Measure(
        value=value,
        base_price=base,
        base_date=int(output["base_date"][output["family"] - FIRST_MEASURE]),
        enter=sign * float(enter),
        exit=sign * float(leave) if leave else None,
    )
