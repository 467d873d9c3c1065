"""Signals as people and encoders read them: one frozen object a transition, named by its content alone."""

from __future__ import annotations

import hashlib
from collections import namedtuple
from collections.abc import Iterator
from functools import lru_cache
from typing import Any, Final, NamedTuple, TypeAlias
from uuid import UUID

import numpy as np

from streams.core.engine import Engine, Folded
from streams.core.layout import (
    CLOSE_NAMES,
    FAMILY_CLOSE_HIGH,
    FAMILY_HELD_PRINT,
    FAMILY_MTD,
    FAMILY_NAMES,
    FAMILY_PROXIMITY_LOW,
    FAMILY_ROC_5,
    FAMILY_ROC_20,
    FAMILY_ROC_60,
    FAMILY_SESSION_RETURN,
    FAMILY_SUSPECTED_SPLIT,
    FAMILY_YTD,
    FIRST_LOOKBACK,
    FIRST_MEASURE,
    HALT_NAMES,
    MEASURE_COUNT,
    REASON_NAMES,
    SCOPE_NAMES,
    SIDE_NAMES,
    TRANSITION_EXPIRED,
    TRANSITION_NAMES,
    TRIGGER_NAMES,
    VERDICT_NAMES,
    WINDOW_NAMES,
)
from streams.core.ratios import DISTANCE, FIRST_RETURN, NEARNESS, RATIO_DIGITS, ratio, ratios_of
from streams.core.rows import OUT
from streams.core.rules import RULES_VERSION
from streams.core.units import format_date

NAMESPACE: Final = UUID("14cf0421-c16e-56e4-953d-02cda238d903")
BASIS: Final = "intraday"
BASIS_CLOSE: Final = "close"
SCOPE: Final = SCOPE_NAMES[0]
_NAMESPACE_BYTES: Final = NAMESPACE.bytes
# A UUID's variant takes the two high bits of a hexadecimal digit: they become 10.
_VARIANTS: Final = {digit: "89ab"[int(digit, 16) & 3] for digit in "0123456789abcdef"}
# Every field of an output, and its width where it holds text.
_OUT_FIELDS: Final = tuple(
    (name, OUT[name].shape[0] if OUT[name].base == np.uint8 and OUT[name].shape else 0) for name in OUT.names or ()
)
# One output as a tuple whose fields are named as those of the array: a type that no checker can know.
_Plain: TypeAlias = Any
_Output: _Plain = namedtuple("_Output", OUT.names or ())  # type: ignore[misc]  # names that are not written here
# The returns that a breakout carries: name, and number among the measures.
_RETURNS: Final = tuple(
    (FAMILY_NAMES[family], family - FIRST_MEASURE)
    for family in (FAMILY_SESSION_RETURN, FAMILY_MTD, FAMILY_YTD, FAMILY_ROC_5, FAMILY_ROC_20, FAMILY_ROC_60)
)


class Trade(NamedTuple):
    """The trade behind a signal: time in nanoseconds, price in units of 1e-8."""

    time_ns: int
    price: int
    trade_id: str | None
    conditions: tuple[str, ...]


class Level(NamedTuple):
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
    source_price: int
    adjustment: tuple[int, int]
    extreme_unknown: bool


class Breakout(NamedTuple):
    """What only a breakout of a level has."""

    trigger_kind: str
    level: Level
    gap: bool
    fresh: bool
    streak: int
    failed: bool
    recovered: bool
    reason: str | None
    verdict: str | None
    degraded: bool
    close_source: str | None
    distance: float | None
    distance_atr: float | None
    nearness: float | None
    returns: dict[str, float | None]


class Suspicion(NamedTuple):
    """What only a suspected split has: the close before, the ratio it looks like, and what was withheld meanwhile."""

    last_close: int
    last_close_date: int
    new_units: int
    old_units: int
    withheld: int
    lost: int


class Measure(NamedTuple):
    """What only a momentum or proximity signal has: its value now, its base and its thresholds."""

    value: float | None
    base_price: int
    base_date: int
    enter: float
    exit: float | None


class Signal(NamedTuple):
    """One transition of one signal.

    Attributes:
        signal_id: Name of the signal, the same for all its transitions.
        event_id: Name of this transition.
        revision: Number of this transition among those of its signal, from 1.
        transition: `triggered`, `new_extreme`, `failed`, `confirmed`, `unconfirmed`, `amended`, `retracted`;
            `entered`, `exited`, `expired`; `suspect`, `released`, `discarded`; `held`, `believed`, `rejected`.
        family: A breakout, proximity or momentum family, `suspected_split` or `held_print`.
        side: `up` or `down`.
        ordinal: Number of the signal among those of its instrument, family, side and session, from 1.
        instrument: Instrument id, `MIC:SYMBOL`.
        session_date: Session of the trigger or entry, days since 1970.
        event_ns: When it happened, nanoseconds since 1970, by the log's own times.
        price: Price of the transition in units of 1e-8, None where it has none.
        trigger: The trade that triggered or entered, that was held, or that made a split suspected.
        breakout: Present for breakouts of a level.
        measure: Present for measures and proximity.
        suspicion: Present for `suspected_split`.
        basis: `intraday`, or `close` where only closes count.
        scope: `regular`, or `extended` where trades outside regular hours count too.
        symbol: The symbol to show, the id's own unless a change of symbol took effect.
        held: Whether it was withheld under suspicion of a split and released since.
        halt: Status of trading when it was said: `none`, `halted`, `paused_luld` or `limit_state`.
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
    suspicion: Suspicion | None
    basis: str
    scope: str
    symbol: str
    held: bool
    halt: str
    rules: str
    calendar: str
    record: int


def signals_of(folded: Folded, engine: Engine) -> list[Signal]:
    """Return the transitions of a fold as signals, in order."""
    outputs = folded.signals
    if not len(outputs):
        return []
    ratios = ratios_of(outputs).tolist()
    return [_signal(output, some, engine) for output, some in zip(_plain(outputs), ratios, strict=True)]


@lru_cache(maxsize=65_536)
def signal_id(
    instrument: str, family: str, side: str, session_date: str, ordinal: int, basis: str = BASIS, scope: str = SCOPE
) -> str:
    """Return the name of a signal: the same for the same market event, wherever and whenever it is computed."""
    return content_id(f"{instrument}|{family}|{side}|{basis}|{scope}|{session_date}|{ordinal}")


def event_id(signal: str, transition: str, revision: int) -> str:
    """Return the name of a transition of a signal."""
    return content_id(f"{signal}/{transition}/{revision}")


def content_id(content: str) -> str:
    """Return the UUID of version 5 that content has in our namespace, as text.

    The same as `str(uuid.uuid5(NAMESPACE, content))`, without the object between, which costs more than the hash.

    >>> content_id("XNYS:BABA|high_52w|up|intraday|regular|2025-09-30|1")
    '231763b8-495c-5329-a4b7-54ff0f22cee0'
    """
    text = hashlib.sha1(_NAMESPACE_BYTES + content.encode(), usedforsecurity=False).hexdigest()
    return f"{text[:8]}-{text[8:12]}-5{text[13:16]}-{_VARIANTS[text[16]]}{text[17:20]}-{text[20:32]}"


# The outputs of a fold as tuples of Python values with the names of `OUT`; bytes come as bytes, cut at their padding.
# A field of an array's element costs five times as much to read.
def _plain(outputs: np.ndarray) -> Iterator[_Plain]:
    columns = [
        (np.ascontiguousarray(outputs[name]).view(f"S{width}")[:, 0] if width else outputs[name]).tolist()
        for name, width in _OUT_FIELDS
    ]
    return map(_Output._make, zip(*columns, strict=True))


def _signal(output: _Plain, ratios: list[float], engine: Engine) -> Signal:
    number: int = output.family
    family = FAMILY_NAMES[number] if number < FIRST_LOOKBACK else engine.rules.family_name(number)
    side = SIDE_NAMES[output.side]
    transition = TRANSITION_NAMES[output.transition]
    instrument = engine.instruments.id(output.row)
    session_date: int = output.session_date
    ordinal: int = output.ordinal
    revision: int = output.revision
    basis = BASIS_CLOSE if FAMILY_CLOSE_HIGH <= number < FIRST_LOOKBACK else BASIS
    scope = SCOPE_NAMES[output.extended]
    name = signal_id(instrument, family, side, format_date(session_date), ordinal, basis, scope)
    is_measure = FIRST_MEASURE <= number < FIRST_MEASURE + MEASURE_COUNT
    is_breakout = not is_measure and number != FAMILY_SUSPECTED_SPLIT and number != FAMILY_HELD_PRINT
    symbol = output.symbol.decode("ascii") or instrument.partition(":")[2]
    # In the order of the fields: by name it takes five times as long.
    return Signal(
        name,
        event_id(name, transition, revision),
        revision,
        transition,
        family,
        side,
        ordinal,
        instrument,
        session_date,
        output.event_ns,
        output.price or None,
        _trade(output),
        _breakout(output, ratios, engine) if is_breakout else None,
        _measure(output, ratios, engine) if is_measure else None,
        _suspicion(output) if number == FAMILY_SUSPECTED_SPLIT else None,
        basis,
        scope,
        symbol,
        bool(output.held),
        HALT_NAMES[output.halt],
        RULES_VERSION,
        engine.markets.version,
        output.record,
    )


def _trade(output: _Plain) -> Trade:
    trade_id = output.trigger_id.decode("ascii")
    conditions = output.trigger_conditions.decode("ascii")
    return Trade(output.trigger_ns, output.trigger_price, trade_id or None, tuple(conditions))


def _breakout(output: _Plain, ratios: list[float], engine: Engine) -> Breakout:
    price = output.price
    level = output.level
    atr = output.atr
    bases = output.base
    returns = {
        name: _known(ratios[FIRST_RETURN + number], price - bases[number], bases[number]) if price else None
        for name, number in _RETURNS
    }
    return Breakout(
        TRIGGER_NAMES[output.kind],
        _level(output, engine),
        bool(output.gap),
        bool(output.fresh),
        output.streak,
        bool(output.failed),
        bool(output.recovered),
        REASON_NAMES[output.reason],
        VERDICT_NAMES[output.verdict],
        bool(output.degraded),
        CLOSE_NAMES[output.close_source],
        _known(ratios[DISTANCE], price - level, level) if price else None,
        round((price - level) / atr, RATIO_DIGITS) if price and atr else None,
        _known(ratios[NEARNESS], price, level) if price else None,
        returns,
    )


def _level(output: _Plain, engine: Engine) -> Level:
    return Level(
        output.level,
        output.level_date,
        output.base_level,
        engine.rules.family_lookback(output.family),
        output.window_start,
        output.window_end,
        output.sessions,
        output.sessions_expected,
        WINDOW_NAMES[output.window_status],
        output.level_age,
        output.level_raw,
        (output.level_numerator, output.level_denominator),
        bool(output.level_unknown),
    )


# A ratio that the batch could not tell is not a number, and so not equal to itself.
def _known(found: float, numerator: int, denominator: int) -> float | None:
    return found if found == found else ratio(numerator, denominator)


def _suspicion(output: _Plain) -> Suspicion:
    return Suspicion(
        last_close=output.level,
        last_close_date=output.level_date,
        new_units=output.level_numerator,
        old_units=output.level_denominator,
        withheld=output.sessions,
        lost=output.sessions_expected,
    )


def _measure(output: _Plain, ratios: list[float], engine: Engine) -> Measure:
    family = FAMILY_NAMES[output.family]
    number = output.family - FIRST_MEASURE
    base = output.base[number]
    price = output.price
    enter, leave = engine.rules.threshold(family)
    is_return = output.family > FAMILY_PROXIMITY_LOW
    sign = -1 if is_return and SIDE_NAMES[output.side] == "down" else 1
    value = None
    if output.transition != TRANSITION_EXPIRED:
        value = _known(ratios[FIRST_RETURN + number], price - base, base) if is_return else ratio(price, base)
    return Measure(
        value=value,
        base_price=base,
        base_date=output.base_date[number],
        enter=sign * float(enter),
        exit=sign * float(leave) if leave else None,
    )
