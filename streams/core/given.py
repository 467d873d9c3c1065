"""What a record that is fed by hand is held against, before it becomes columns.

The wire refuses a record before the engine sees it, and says why. Whoever feeds the engine directly has no wire, so the
same rules are kept here, in the words of Python: what the worker refuses must not move a window in a notebook.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Any, Final

from streams.core.layout import CONDITION_COUNT, TRADE_ID_BYTES
from streams.core.units import TIME_MAX_NS, parse_decimal

INTEGER_TIME_MIN_NS: Final = 10**17  # March 1973; today in microseconds or coarser units is less, and a likely mistake.
PRICES: Final = ("open", "high", "low", "close")
_REQUIRED: Final = {
    "tick": ("instrument", "time", "price"),
    "bar": ("instrument", "session_date"),
    "clock": ("time", "mode"),
}
_MODES: Final = ("live", "replay")
_TAPES: Final = ("A", "B", "C")


def checked(record: object) -> Mapping[str, Any]:
    """Return a tick, bar or clock whose fields are there and of the right kind; other types pass as they are.

    >>> checked({"type": "clock", "time": 1759152600, "mode": "replay"})
    Traceback (most recent call last):
    ...
    ValueError: time: expected nanoseconds since 1970, found 1759152600; multiply seconds by 1,000,000,000

    Raises:
        ValueError: A field is missing or malformed; the text says which and how.
    """
    if not isinstance(record, Mapping):
        raise ValueError(f"expected a record as a mapping, found {_found(record)}")
    kind = record.get("type") or "tick"
    for name in _REQUIRED.get(kind, ()) if isinstance(kind, str) else ():
        if record.get(name) is None:
            raise ValueError(f"{name}: expected one in a {kind}, found none; the fields are {', '.join(record)}")
    if kind == "tick":
        _check_tick(record)
    elif kind == "bar":
        _check_bar(record)
    elif kind == "clock":
        _check_time("time", record["time"])
        if record["mode"] not in _MODES:
            raise ValueError(f"mode: expected live or replay, found {_found(record['mode'])}")
    if record.get("append_time") is not None:
        _check_time("append_time", record["append_time"], least=0)
    return record


def _check_tick(record: Mapping[str, Any]) -> None:
    _check_text("instrument", record["instrument"])
    _check_time("time", record["time"])
    codes = record.get("conditions")
    if codes is not None and not _are_codes(codes):
        expected = f'at most {CONDITION_COUNT} codes of one character like ["@", "F"]'
        raise ValueError(f"conditions: expected {expected}, found {_found(codes)}")
    if record.get("tape") is not None and record["tape"] not in _TAPES:
        raise ValueError(f"tape: expected A, B, C or none, found {_found(record['tape'])}")
    trade_id = record.get("trade_id")
    if trade_id is not None and not _is_trade_id(trade_id):
        expected = f"at most {TRADE_ID_BYTES} printable ASCII characters"
        raise ValueError(f"trade_id: expected {expected}, found {_found(trade_id)}")


def _check_bar(record: Mapping[str, Any]) -> None:
    _check_text("instrument", record["instrument"])
    _check_text("session_date", record["session_date"])
    if record.get("volume") is not None and _decimal("volume", record["volume"]) == 0:
        return
    for name in PRICES:
        if record.get(name) is None:
            raise ValueError(f"{name}: expected a price in a bar that had trades, found none")
    opened, high, low, close = (_decimal(name, record[name]) for name in PRICES)
    if not low <= min(opened, close) <= max(opened, close) <= high:
        found = " ".join(str(record[name]) for name in PRICES)
        raise ValueError(f"bar: expected low <= open, close <= high, found open high low close {found}")


def _check_text(name: str, value: object) -> None:
    if not isinstance(value, str):
        raise ValueError(f"{name}: expected a string, found {_found(value)}")


def _check_time(name: str, value: object, *, least: int = INTEGER_TIME_MIN_NS) -> None:
    if isinstance(value, str):
        return
    if isinstance(value, bool) or not isinstance(value, int):
        advice = "of a datetime take isoformat()" if hasattr(value, "isoformat") else "send one of the two"
        raise ValueError(
            f"{name}: expected an RFC 3339 string or integer nanoseconds since 1970, found {_found(value)}; {advice}"
        )
    if not least <= value <= TIME_MAX_NS:
        raise ValueError(f"{name}: expected nanoseconds since 1970, found {value}; multiply seconds by 1,000,000,000")


def _decimal(name: str, value: object) -> int:
    try:
        return parse_decimal(str(value))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None


def _are_codes(codes: object) -> bool:
    if isinstance(codes, str) or not isinstance(codes, Sequence) or len(codes) > CONDITION_COUNT:
        return False
    return all(isinstance(code, str) and len(code) == 1 and " " <= code <= "~" for code in codes)


def _is_trade_id(trade_id: object) -> bool:
    if not isinstance(trade_id, str) or len(trade_id) > TRADE_ID_BYTES:
        return False
    return all(" " <= character <= "~" for character in trade_id)


def _found(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
