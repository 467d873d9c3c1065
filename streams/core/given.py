"""What a record that is fed by hand is held against, before it becomes columns.

The wire refuses a record before the engine sees it, and says why. Whoever feeds the engine directly has no wire, so the
same rules are kept here, in the words of Python: what the worker refuses must not move a window in a notebook.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Mapping, Sequence
from decimal import Decimal
from typing import Any, Final

from streams.core.layout import (
    ACTION_NAMES,
    ACTION_PARTS_MAX,
    ACTION_SYMBOL_CHANGE,
    ACTIONS_WITHOUT_FACTOR,
    CONDITION_COUNT,
    SESSION_EARLY_CLOSE,
    SESSION_STATUS_CODES,
    STATUS_CODES,
    SYMBOL_BYTES,
    TRADE_ID_BYTES,
)
from streams.core.units import TIME_MAX_NS, parse_date, parse_decimal, parse_time

INTEGER_TIME_MIN_NS: Final = 10**17  # March 1973; today in microseconds or coarser units is less, and a likely mistake.
PRICES: Final = ("open", "high", "low", "close")
ACTION_ID_CHARACTERS_MAX: Final = 40
_TRADE: Final = ("instrument", "time", "price", "size")
_REQUIRED: Final[Mapping[str, tuple[str, ...]]] = {
    "tick": _TRADE,
    "cancel": _TRADE,
    "correct": (*_TRADE, "corrected"),
    "bar": ("instrument", "session_date"),
    "clock": ("time", "mode"),
    "status": ("instrument", "time", "status"),
    "action": ("instrument", "action_id"),
    "instrument": ("instrument",),
    "accept": ("instrument", "session_date"),
    "session": ("mic", "session_date", "status"),
}
_SYMBOL: Final = re.compile(r"[A-Z0-9.\-/]{1,16}")
_CURRENCY: Final = re.compile(r"[A-Z]{3}")
_OPERATIONS: Final = ("create", "withdraw")
# Of a correction, what its trade has from the original unless it says otherwise; the price is its own.
_KEPT: Final = ("instrument", "time", "size", "conditions", "tape", "venue", "trade_id")
_MODES: Final = ("live", "replay")
_TAPES: Final = ("A", "B", "C")


def checked(record: object) -> Mapping[str, Any]:
    """Return a record whose fields are there and of the right kind.

    >>> checked({"type": "clock", "time": 1759152600, "mode": "replay"})
    Traceback (most recent call last):
    ...
    ValueError: time: expected nanoseconds since 1970, found 1759152600; multiply seconds by 1,000,000,000

    Raises:
        ValueError: A field is missing or malformed; the text says which and how.
    """
    if not isinstance(record, Mapping):
        raise ValueError(f"expected a record as a mapping, found {_found(record)}")
    kind = kind_of(record)
    for name in _REQUIRED[kind]:
        if record.get(name) is None:
            fields = ", ".join(map(str, record))
            raise ValueError(f"{name}: expected one in a {kind}, found none; the fields are {fields}")
    if "instrument" in _REQUIRED[kind]:
        _check_text("instrument", record["instrument"])
    _CHECKS[kind](record)
    if record.get("append_time") is not None:
        _check_time("append_time", record["append_time"], least=0)
    return record


def kind_of(record: Mapping[str, Any]) -> str:
    """Return the type of a record; without one it is a tick.

    Raises:
        ValueError: There is no such type.
    """
    kind = record.get("type")
    if kind is None:
        return "tick"
    if not isinstance(kind, str) or kind not in _REQUIRED:
        raise ValueError(f"type: expected {', '.join(_REQUIRED)}, found {_found(kind)}")
    return kind


def corrected_trade(record: Mapping[str, Any]) -> Mapping[str, Any]:
    """Return the trade that a correction puts in the place of the original, as a tick's fields."""
    said = {name: value for name, value in record["corrected"].items() if value is not None and name != "instrument"}
    return {**{name: record[name] for name in _KEPT if name in record}, **said}


def _check_tick(record: Mapping[str, Any]) -> None:
    _check_time("time", record["time"])
    codes = record.get("conditions")
    if codes is not None and not _are_codes(codes):
        expected = f'at most {CONDITION_COUNT} codes of one character like ["@", "F"]'
        raise ValueError(f"conditions: expected {expected}, found {_found(codes)}")
    if record.get("tape") is not None and record["tape"] not in _TAPES:
        raise ValueError(f"tape: expected A, B, C or none, found {_found(record['tape'])}")
    if record.get("venue") is not None:
        _check_text("venue", record["venue"])
    trade_id = record.get("trade_id")
    if trade_id is not None and not _is_trade_id(trade_id):
        expected = f"at most {TRADE_ID_BYTES} printable ASCII characters"
        raise ValueError(f"trade_id: expected {expected}, found {_found(trade_id)}")


def _check_correct(record: Mapping[str, Any]) -> None:
    _check_tick(record)
    if not isinstance(record["corrected"], Mapping):
        raise ValueError(
            f"corrected: expected a mapping with the corrected price and size, found {_found(record['corrected'])}"
        )
    trade = corrected_trade(record)
    if trade.get("price") is None:
        raise ValueError("corrected: expected a price in it, found none; to take a trade back send a cancel")
    _check_tick(trade)


def _check_bar(record: Mapping[str, Any]) -> None:
    _check_text("session_date", record["session_date"])
    if record.get("split") is not None and not isinstance(record["split"], bool):
        raise ValueError(f"split: expected true, false or none, found {_found(record['split'])}")
    if record.get("volume") is not None and _decimal("volume", record["volume"]) == 0:
        return
    for name in PRICES:
        if record.get(name) is None:
            raise ValueError(f"{name}: expected a price in a bar that had trades, found none")
    opened, high, low, close = (_decimal(name, record[name]) for name in PRICES)
    if not low <= min(opened, close) <= max(opened, close) <= high:
        found = " ".join(str(record[name]) for name in PRICES)
        raise ValueError(f"bar: expected low <= open, close <= high, found open high low close {found}")


def _check_clock(record: Mapping[str, Any]) -> None:
    _check_time("time", record["time"])
    _check_choice("mode", record["mode"], _MODES)


def _check_status(record: Mapping[str, Any]) -> None:
    _check_time("time", record["time"])
    _check_choice("status", record["status"], STATUS_CODES)
    if record.get("reason") is not None:
        _check_text("reason", record["reason"])


def _check_action(record: Mapping[str, Any]) -> None:
    action_id = record["action_id"]
    _check_text("action_id", action_id)
    if not 1 <= len(action_id) <= ACTION_ID_CHARACTERS_MAX or not _is_printable(action_id):
        expected = f"1 to {ACTION_ID_CHARACTERS_MAX} printable ASCII characters"
        raise ValueError(f"action_id: expected {expected}, found {_found(action_id)}")
    if record.get("operation") is not None:
        _check_choice("operation", record["operation"], _OPERATIONS)
        if record["operation"] == "withdraw":
            return
    for name in ("action", "ex_date"):
        if record.get(name) is None:
            raise ValueError(f"{name}: expected one in an action that is no withdrawal, found none")
    action = record["action"]
    _check_choice("action", action, ACTION_NAMES)
    _check_date("ex_date", record["ex_date"])
    for name in ("numerator", "denominator"):
        part = record.get(name)
        if part is not None and (type(part) is not int or not 1 <= part <= ACTION_PARTS_MAX):
            raise ValueError(f"{name}: expected a whole number from 1 to {ACTION_PARTS_MAX}, found {_found(part)}")
    if action in ACTIONS_WITHOUT_FACTOR and (record.get("numerator") or 1) != (record.get("denominator") or 1):
        raise ValueError(f"numerator: expected 1/1 for a {action}, found {record.get('numerator')}; send it as a split")
    for name in ("announced_at", "time"):
        if record.get(name) is not None:
            _check_time(name, record[name])
    symbol = record.get("symbol")
    if (symbol is not None or action == ACTION_NAMES[ACTION_SYMBOL_CHANGE]) and not _matches(_SYMBOL, symbol):
        raise ValueError(f"symbol: expected 1 to {SYMBOL_BYTES} of A-Z 0-9 . - /, found {_found(symbol)}")


def _check_instrument(record: Mapping[str, Any]) -> None:
    if record.get("listing_date") is not None:
        _check_date("listing_date", record["listing_date"])
    if record.get("currency") is not None and not _matches(_CURRENCY, record["currency"]):
        raise ValueError(f"currency: expected three capitals like USD, found {_found(record['currency'])}")


def _check_accept(record: Mapping[str, Any]) -> None:
    _check_date("session_date", record["session_date"])


def _check_session(record: Mapping[str, Any]) -> None:
    _check_text("mic", record["mic"])
    _check_date("session_date", record["session_date"])
    _check_choice("status", record["status"], SESSION_STATUS_CODES)
    if SESSION_STATUS_CODES[record["status"]] == SESSION_EARLY_CLOSE:
        _check_time("close", record.get("close"))
    if record.get("time") is not None:
        _check_time("time", record["time"])


_CHECKS: Final[Mapping[str, Callable[[Mapping[str, Any]], None]]] = {
    "tick": _check_tick,
    "cancel": _check_tick,
    "correct": _check_correct,
    "bar": _check_bar,
    "clock": _check_clock,
    "status": _check_status,
    "action": _check_action,
    "instrument": _check_instrument,
    "accept": _check_accept,
    "session": _check_session,
}


def _check_choice(name: str, value: object, choices: Sequence[str] | Mapping[str, int]) -> None:
    if not isinstance(value, str) or value not in choices:
        raise ValueError(f"{name}: expected one of {', '.join(choices)}, found {_found(value)}")


def _check_date(name: str, value: object) -> None:
    _check_text(name, value)
    try:
        parse_date(str(value))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{name}: expected a string, found {_found(value)}")


def _check_time(name: str, value: object, *, least: int = INTEGER_TIME_MIN_NS) -> None:
    if isinstance(value, str):
        try:
            parse_time(value)
        except ValueError as error:
            raise ValueError(f"{name}: {error}") from None
        return
    if isinstance(value, bool) or not isinstance(value, int):
        advice = "of a datetime take isoformat()" if hasattr(value, "isoformat") else "send one of the two"
        raise ValueError(
            f"{name}: expected an RFC 3339 string or integer nanoseconds since 1970, found {_found(value)}; {advice}"
        )
    if not least <= value <= TIME_MAX_NS:
        raise ValueError(f"{name}: expected nanoseconds since 1970, found {value}; multiply seconds by 1,000,000,000")


def decimal_text(value: object) -> str:
    """Return a decimal as it is written out: floats print in an exponent what they are too small or too large for."""
    return f"{Decimal(repr(value)):f}" if isinstance(value, float) else str(value)


def _decimal(name: str, value: object) -> int:
    try:
        return parse_decimal(decimal_text(value))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _are_codes(codes: object) -> bool:
    if isinstance(codes, str) or not isinstance(codes, Sequence) or len(codes) > CONDITION_COUNT:
        return False
    return all(isinstance(code, str) and len(code) == 1 and " " <= code <= "~" for code in codes)


def _is_trade_id(trade_id: object) -> bool:
    if not isinstance(trade_id, str) or len(trade_id) > TRADE_ID_BYTES:
        return False
    return _is_printable(trade_id)


def _is_printable(text: str) -> bool:
    return all(" " <= character <= "~" for character in text)


def _matches(pattern: re.Pattern[str], value: object) -> bool:
    return isinstance(value, str) and pattern.fullmatch(value) is not None


def _found(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
