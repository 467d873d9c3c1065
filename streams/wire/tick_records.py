"""Records of the tick topic that are neither ticks, bars nor clocks: what takes a trade back, and what is no trade."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from streams.core.actions import action_key
from streams.core.instruments import Instruments, UnknownMarket
from streams.core.layout import (
    ACTION_NAMES,
    ACTION_PARTS_MAX,
    ACTION_SYMBOL_CHANGE,
    ACTIONS_WITHOUT_FACTOR,
    KIND_ACCEPT,
    KIND_ACTION,
    KIND_CANCEL,
    KIND_CORRECT,
    KIND_INSTRUMENT,
    KIND_SESSION,
    KIND_STATUS,
    SESSION_EARLY_CLOSE,
    SESSION_STATUS_CODES,
    STATUS_CODES,
    SYMBOL_BYTES,
)
from streams.core.units import PRICE_MAX, parse_date
from streams.wire.tick_values import (
    VALIDATE,
    Bar,
    Clock,
    RefusedValue,
    Tick,
    amount_of,
    bar_of,
    clock_of,
    fields_of,
    instrument_of,
    refusal,
    text_of,
    tick_of,
    time_of,
)

ACTION_ID_CHARACTERS_MAX: Final = 40
_SYMBOL: Final = re.compile(r"[A-Z0-9.\-/]{1,16}")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_OPERATIONS: Final = ("create", "withdraw")
_ORIGINAL: Final[tuple[str, ...]] = ("instrument", "time", "size", "conditions", "tape", "venue", "trade_id")


@dataclass(frozen=True, slots=True)
class Change:
    """A record that changes what is known.

    Attributes:
        kind: One of the KIND codes.
        instrument: Whose, None for a market's session.
        time_ns: Its time, 0 without one.
        trade: Of a cancel or a correction, the trade that is taken back.
        corrected: Of a correction, the trade that takes its place.
        code: Of a status, its code.
        detail: Values of its `DETAIL` by name, None where it has none.
    """

    kind: int
    instrument: str | None
    time_ns: int = 0
    trade: Tick | None = None
    corrected: Tick | None = None
    code: int = 0
    detail: Mapping[str, Any] | None = field(default=None)


def decode_value(value: bytes, instruments: Instruments) -> Tick | Bar | Clock | Change:
    """Return what a JSON value says. No instrument is given a row here.

    Raises:
        RefusedValue: The value is refused, for the first reason found.
    """
    kind, fields = fields_of(value)
    if kind == "tick":
        return tick_of(fields, instruments)
    if kind == "bar":
        return bar_of(fields, instruments)
    if kind == "clock":
        return clock_of(fields)
    if kind not in _READERS:
        expected = f"tick, bar, clock, {', '.join(_READERS)}"
        raise refusal("unknown_type", "type", expected, kind, "leave it out for a trade")
    return change_of(kind, fields, instruments)


def change_of(kind: str, fields: dict[str, Any], instruments: Instruments) -> Change:
    """Return what a record of a kind says.

    Raises:
        RefusedValue: It is refused, for the first reason found.
        KeyError: There is no such kind.
    """
    return _READERS[kind](fields, instruments)


def _cancel(fields: dict[str, Any], instruments: Instruments) -> Change:
    trade = tick_of(fields, instruments)
    return Change(KIND_CANCEL, trade.instrument, trade.time_ns, trade)


def _correct(fields: dict[str, Any], instruments: Instruments) -> Change:
    trade = tick_of(fields, instruments)
    corrected = fields.get("corrected")
    if not isinstance(corrected, dict):
        raise refusal(
            "missing_field" if corrected is None else "wrong_type",
            "corrected",
            "an object with the corrected price and size",
            corrected,
            "or send a cancel",
        )
    merged: dict[str, Any] = {name: fields[name] for name in _ORIGINAL if name in fields}
    merged |= {name: value for name, value in corrected.items() if value is not None and name != "instrument"}
    return Change(KIND_CORRECT, trade.instrument, trade.time_ns, trade, tick_of(merged, instruments), detail={})


def _status(fields: dict[str, Any], instruments: Instruments) -> Change:
    instrument = instrument_of(fields, instruments)
    time_ns = time_of(fields)
    status = _choice(fields, "status", tuple(STATUS_CODES), "invalid_status")
    if fields.get("reason") is not None:
        text_of(fields, "reason", "the exchange's reason as text")
    return Change(KIND_STATUS, instrument, time_ns, code=STATUS_CODES[status])


def _action(fields: dict[str, Any], instruments: Instruments) -> Change:
    instrument = instrument_of(fields, instruments)
    expected = f"1 to {ACTION_ID_CHARACTERS_MAX} printable ASCII characters"
    action_id = text_of(fields, "action_id", expected)
    is_printable = all(" " <= character <= "~" for character in action_id)
    if not 1 <= len(action_id) <= ACTION_ID_CHARACTERS_MAX or not is_printable:
        raise refusal("invalid_action", "action_id", expected, action_id, "send a short id")
    operation = "create"
    if fields.get("operation") is not None:
        operation = _choice(fields, "operation", _OPERATIONS, "invalid_action")
    detail: dict[str, Any] = {"key": action_key(action_id), "numerator": 1, "denominator": 1}
    if operation == "withdraw":
        return Change(KIND_ACTION, instrument, detail={**detail, "withdraw": 1})
    action = _choice(fields, "action", ACTION_NAMES, "invalid_action")
    numerator, denominator = _part(fields, "numerator"), _part(fields, "denominator")
    if action in ACTIONS_WITHOUT_FACTOR and numerator != denominator:
        raise refusal(
            "invalid_action", "numerator", f"1/1 for a {action}", f"{numerator}/{denominator}", "send it as a split"
        )
    detail |= {"code": ACTION_NAMES.index(action), "date": _date(fields, "ex_date")}
    detail |= {"numerator": numerator, "denominator": denominator}
    for name in ("announced_at", "time"):
        if fields.get(name) is not None:
            time_of(fields, name)
    if action == ACTION_NAMES[ACTION_SYMBOL_CHANGE] or fields.get("symbol") is not None:
        expected = f"a symbol of 1 to {SYMBOL_BYTES} of A-Z 0-9 . - /"
        symbol = text_of(fields, "symbol", expected)
        if _SYMBOL.fullmatch(symbol) is None:
            raise refusal("invalid_action", "symbol", expected, symbol, "send the exchange's symbol in capitals")
        if action == ACTION_NAMES[ACTION_SYMBOL_CHANGE]:
            detail["symbol"] = symbol.encode("ascii")
    return Change(KIND_ACTION, instrument, detail=detail)


def _instrument(fields: dict[str, Any], instruments: Instruments) -> Change:
    instrument = instrument_of(fields, instruments)
    detail: dict[str, Any] = {}
    if fields.get("tick_size") is not None:
        detail["price"] = amount_of(fields, "tick_size", least=1, most=PRICE_MAX, kind="price")
    if fields.get("listing_date") is not None:
        detail["date"] = _date(fields, "listing_date")
    if fields.get("currency") is not None:
        currency = text_of(fields, "currency", "three capitals like USD")
        if _CURRENCY.fullmatch(currency) is None:
            raise refusal("invalid_currency", "currency", "three capitals like USD", currency, "send ISO 4217")
    return Change(KIND_INSTRUMENT, instrument, detail=detail)


def _accept(fields: dict[str, Any], instruments: Instruments) -> Change:
    instrument = instrument_of(fields, instruments)
    return Change(KIND_ACCEPT, instrument, detail={"date": _date(fields, "session_date")})


def _session(fields: dict[str, Any], instruments: Instruments) -> Change:
    mic = text_of(fields, "mic", "a market identifier code like XNYS")
    if mic not in instruments.mics:
        known = ", ".join(instruments.mics)
        error = UnknownMarket(f"expected one of {known}, found {mic[:60]!r}; add it to the configured markets")
        raise RefusedValue(VALIDATE, "unknown_market", f"mic: {error}")
    status = _choice(fields, "status", tuple(SESSION_STATUS_CODES), "invalid_status")
    detail = {
        "market": instruments.mics.index(mic),
        "date": _date(fields, "session_date"),
        "code": SESSION_STATUS_CODES[status],
    }
    if SESSION_STATUS_CODES[status] == SESSION_EARLY_CLOSE:
        detail["time_ns"] = time_of(fields, "close")
    time_ns = time_of(fields) if fields.get("time") is not None else 0
    return Change(KIND_SESSION, None, time_ns, detail=detail)


_READERS: Final = {
    "cancel": _cancel,
    "correct": _correct,
    "status": _status,
    "action": _action,
    "instrument": _instrument,
    "accept": _accept,
    "session": _session,
}


def _choice(fields: dict[str, Any], name: str, choices: tuple[str, ...], reason: str) -> str:
    value = text_of(fields, name, f"one of {', '.join(choices)}")
    if value not in choices:
        raise refusal(reason, name, f"one of {', '.join(choices)}", value, "send one of these")
    return value


def _date(fields: dict[str, Any], name: str) -> int:
    text = text_of(fields, name, "a date like 2025-09-29")
    try:
        return parse_date(text)
    except ValueError as error:
        raise RefusedValue(VALIDATE, "invalid_date", f"{name}: {error}; send a calendar date") from None


def _part(fields: dict[str, Any], name: str) -> int:
    value = fields.get(name)
    if value is None:
        return 1
    if type(value) is not int or not 1 <= value <= ACTION_PARTS_MAX:
        raise refusal(
            "invalid_action", name, f"a whole number from 1 to {ACTION_PARTS_MAX}", value, "send new units per old ones"
        )
    return value
