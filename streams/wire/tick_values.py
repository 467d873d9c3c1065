"""A record of the tick topic, decoded the thorough way: any valid JSON is understood, and any refusal has its reason.

The compiled reader knows only the plain shape of a tick; everything else comes here. The two agree on every record that
the reader accepts, which a property test holds. Numbers stay text until they are integers: none is ever a float.
"""

from __future__ import annotations

from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final

import msgspec

from streams.core.instruments import Instruments, InvalidInstrument, UnknownMarket
from streams.core.layout import (
    BAR_NO_SPLIT,
    BAR_OFFICIAL,
    BAR_TRADED,
    CONDITION_COUNT,
    MODE_LIVE,
    MODE_REPLAY,
    TRADE_ID_BYTES,
)
from streams.core.units import (
    DECIMALS,
    PRICE_MAX,
    SCALE,
    SIZE_MAX,
    TIME_MAX_NS,
    format_decimal,
    parse_date,
    parse_decimal,
    parse_time,
)

DESERIALIZE: Final = "deserialize"
VALIDATE: Final = "validate"
INTEGER_TIME_MIN_NS: Final = 10**17  # March 1973; today in microseconds or coarser units is less, and a likely mistake.
FOUND_CHARACTERS_MAX: Final = 60
_MODES: Final = {"live": MODE_LIVE, "replay": MODE_REPLAY}
_TAPES: Final = ("A", "B", "C")


class RefusedValue(ValueError):
    """A value that is not a record of the tick topic.

    Attributes:
        stage: `deserialize` where it is no JSON object, else `validate`.
        reason: The label of the refusal.
        message: What was expected, what was found, what to do.
    """

    def __init__(self, stage: str, reason: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage
        self.reason = reason
        self.message = message


@dataclass(frozen=True, slots=True)
class Tick:
    """One trade, as it was sent."""

    instrument: str
    time_ns: int
    price: int
    size: int
    conditions: tuple[str, ...]
    tape: str | None
    trade_id: bytes
    venue: str | None = None


@dataclass(frozen=True, slots=True)
class Bar:
    """The daily bar of a session that has closed; without trades the prices may be 0."""

    instrument: str
    date: int
    flags: int
    open: int
    high: int
    low: int
    close: int
    volume: int


@dataclass(frozen=True, slots=True)
class Clock:
    """The time up to which everything has been said."""

    time_ns: int
    mode: int


# A JSON number with a fraction or an exponent, as it was written.
class _Number(str):
    __slots__ = ()


_decoder: Final = msgspec.json.Decoder(float_hook=_Number)


def fields_of(value: bytes) -> tuple[str, dict[str, Any]]:
    """Return the type of a value's record and its fields.

    Raises:
        RefusedValue: The value is no JSON object, or its type is no text.
    """
    fields = _object(value)
    kind = fields.get("type")
    if kind is None:
        return "tick", fields
    if not isinstance(kind, str) or isinstance(kind, _Number):
        raise refusal("wrong_type", "type", 'a string like "tick"', kind, "leave it out for a trade")
    return kind, fields


def _object(value: bytes) -> dict[str, Any]:
    if value[:1] == b"\0" and len(value) >= 5:
        raise RefusedValue(
            DESERIALIZE,
            "registry_framed",
            f"expected plain JSON, found a schema-registry framed value, schema {int.from_bytes(value[1:5], 'big')}; "
            "produce with a JSON serialiser that uses no registry",
        )
    try:
        text = value.decode()
    except UnicodeDecodeError as error:
        raise RefusedValue(
            DESERIALIZE,
            "invalid_utf8",
            f"expected UTF-8, found byte {value[error.start]:#04x} at position {error.start}; send UTF-8 JSON",
        ) from None
    try:
        fields = _decoder.decode(value)
    except (msgspec.DecodeError, RecursionError) as error:
        raise RefusedValue(
            DESERIALIZE,
            "invalid_json",
            f"expected a JSON object, found {_found(text)} ({error}); send one object per record",
        ) from None
    if not isinstance(fields, dict):
        raise RefusedValue(
            DESERIALIZE, "not_an_object", f"expected a JSON object, found {_found(fields)}; send one object per record"
        )
    return fields


def tick_of(fields: dict[str, Any], instruments: Instruments) -> Tick:
    """Return the trade that fields describe."""
    instrument = instrument_of(fields, instruments)
    time_ns = time_of(fields)
    price = amount_of(fields, "price", least=1, most=PRICE_MAX, kind="price")
    size = amount_of(fields, "size", least=0, most=SIZE_MAX, kind="size")
    conditions = _conditions(fields)
    tape = text_of(fields, "tape", 'one of "A", "B" and "C"') if fields.get("tape") is not None else None
    if tape is not None and tape not in _TAPES:
        raise refusal("invalid_conditions", "tape", 'one of "A", "B" and "C"', tape, "else leave it out")
    venue = text_of(fields, "venue", "a string") if fields.get("venue") is not None else None
    return Tick(instrument, time_ns, price, size, conditions, tape, _trade_id(fields), venue)


def bar_of(fields: dict[str, Any], instruments: Instruments) -> Bar:
    """Return the daily bar that fields describe."""
    instrument = instrument_of(fields, instruments)
    date_text = text_of(fields, "session_date", "a date like 2025-09-29")
    try:
        date = parse_date(date_text)
    except ValueError as error:
        raise RefusedValue(VALIDATE, "invalid_date", f"session_date: {error}; send the session's date") from None
    known = fields.get("volume") is not None
    volume = amount_of(fields, "volume", least=0, most=SIZE_MAX, kind="size") if known else 0
    traded = not known or volume > 0
    prices = []
    for name in ("open", "high", "low", "close"):
        absent = not traded and fields.get(name) is None
        prices.append(0 if absent else amount_of(fields, name, least=1, most=PRICE_MAX, kind="price"))
    opened, high, low, close = prices
    if traded and not low <= min(opened, close) <= max(opened, close) <= high:
        found = " ".join(format_decimal(price) for price in prices)
        raise RefusedValue(
            VALIDATE,
            "invalid_bar",
            f"expected low <= open, close <= high, found open high low close {found}; send the raw bar",
        )
    split = fields.get("split")
    if split is not None and type(split) is not bool:
        raise refusal("wrong_type", "split", "true or false", split, "leave it out where it is not known")
    flags = BAR_OFFICIAL | (BAR_TRADED if traded else 0) | (BAR_NO_SPLIT if split is False else 0)
    return Bar(instrument, date, flags, opened, high, low, close, volume)


def clock_of(fields: dict[str, Any]) -> Clock:
    """Return the time that fields let pass."""
    return Clock(time_of(fields), _mode(fields))


def instrument_of(fields: dict[str, Any], instruments: Instruments) -> str:
    """Return the field `instrument`, of a known market."""
    instrument = text_of(fields, "instrument", "an id like XNYS:BABA")
    try:
        instruments.market_of(instrument)
    except UnknownMarket as error:
        raise RefusedValue(VALIDATE, "unknown_market", f"instrument: {error}") from None
    except InvalidInstrument as error:
        raise RefusedValue(VALIDATE, "invalid_instrument", f"instrument: {error}") from None
    return instrument


def time_of(fields: dict[str, Any], name: str = "time") -> int:
    """Return a field that is a time, in nanoseconds."""
    value = _required(fields, name, "an RFC 3339 time like 2025-09-29T13:30:00.005Z")
    if type(value) is int:
        if not INTEGER_TIME_MIN_NS <= value <= TIME_MAX_NS:
            raise refusal(
                "invalid_time", name, "integer nanoseconds since 1970", value, "multiply seconds by 1,000,000,000"
            )
        return value
    if type(value) is not str:
        raise refusal("wrong_type", name, "an RFC 3339 string or integer nanoseconds", value, "send one of the two")
    try:
        return parse_time(value)
    except ValueError as error:
        reason = "time_without_zone" if "has no zone" in str(error) else "invalid_time"
        raise RefusedValue(VALIDATE, reason, f"{name}: {error}") from None


def _mode(fields: dict[str, Any]) -> int:
    mode = text_of(fields, "mode", '"live" or "replay"')
    if mode not in _MODES:
        raise refusal("invalid_mode", "mode", '"live" or "replay"', mode, "name the clock's mode")
    return _MODES[mode]


def amount_of(fields: dict[str, Any], name: str, *, least: int, most: int, kind: str) -> int:
    """Return a field that is a decimal, as a scaled integer within its bounds."""
    value = _required(fields, name, "a decimal like 179.90")
    try:
        if type(value) is str:
            amount = parse_decimal(value)
        elif type(value) is int:
            amount = value * SCALE
        elif type(value) is _Number:
            amount = _scaled(value, most)
        else:
            raise refusal("wrong_type", name, "a decimal string or a number", value, 'send it like "179.90"')
    except RefusedValue:
        raise
    except ValueError as error:
        raise RefusedValue(VALIDATE, f"invalid_{kind}", f"{name}: {error}; send it as a decimal string") from None
    if amount < least:
        bound = "above 0" if least else "of at least 0"
        raise refusal(f"invalid_{kind}", name, f"a {kind} {bound}", value, "drop records without one")
    if amount > most:
        expected = f"a {kind} of at most {format_decimal(most)}"
        raise refusal(f"{kind}_out_of_range", name, expected, value, "send it in a larger unit")
    return amount


# Exponents are exact too, but 1e999999999 must not be written out before it is refused.
def _scaled(number: _Number, most: int) -> int:
    if len(number) > FOUND_CHARACTERS_MAX:
        raise ValueError(f"expected a number of at most {FOUND_CHARACTERS_MAX} characters, found {_found(number)}")
    mantissa, _, exponent = number.lower().partition("e")
    decimal = Decimal(mantissa)
    if not decimal:
        return 0
    magnitude = decimal.adjusted() + int(exponent or "0")
    if magnitude > len(str(most)):
        return most + 1 if decimal > 0 else -1
    if magnitude < -DECIMALS:
        raise ValueError(f"expected at most {DECIMALS} decimals, found {_found(number)}")
    numerator, denominator = Decimal(number).as_integer_ratio()
    if numerator * SCALE % denominator:
        raise ValueError(f"expected at most {DECIMALS} decimals, found {_found(number)}")
    return numerator * SCALE // denominator


def _conditions(fields: dict[str, Any]) -> tuple[str, ...]:
    codes = fields.get("conditions")
    if codes is None:
        return ()
    expected = f'at most {CONDITION_COUNT} codes of one character like ["@", "F"]'
    if not isinstance(codes, list):
        raise refusal("wrong_type", "conditions", expected, codes, "send a list of strings")
    if len(codes) > CONDITION_COUNT or not all(_is_code(code) for code in codes):
        raise refusal("invalid_conditions", "conditions", expected, codes, "send the tape's own codes")
    return tuple(codes)


def _is_code(code: object) -> bool:
    return type(code) is str and len(code) == 1 and " " <= code <= "~"


def _trade_id(fields: dict[str, Any]) -> bytes:
    if fields.get("trade_id") is None:
        return b""
    expected = f"at most {TRADE_ID_BYTES} printable ASCII characters"
    trade_id = text_of(fields, "trade_id", expected)
    if len(trade_id) > TRADE_ID_BYTES or not all(" " <= character <= "~" for character in trade_id):
        raise refusal("invalid_trade_id", "trade_id", expected, trade_id, "send the exchange's id")
    return trade_id.encode("ascii")


def text_of(fields: dict[str, Any], name: str, expected: str) -> str:
    """Return a field that is a string."""
    value = _required(fields, name, expected)
    if type(value) is not str:
        raise refusal("wrong_type", name, expected, value, "send a JSON string")
    return value


def _required(fields: dict[str, Any], name: str, expected: str) -> Any:
    if name not in fields:
        raise refusal("missing_field", name, expected, list(fields), "send it always", found="only the fields")
    return fields[name]


def refusal(reason: str, name: str, expected: str, value: object, advice: str, *, found: str = "") -> RefusedValue:
    """Return the refusal of a field's value."""
    prefix = f"{found} " if found else ""
    return RefusedValue(VALIDATE, reason, f"{name}: expected {expected}, found {prefix}{_found(value)}; {advice}")


def _found(value: object) -> str:
    text = value if type(value) is _Number else repr(value)
    if value is None:
        text = "null"
    return text if len(text) <= FOUND_CHARACTERS_MAX else f"{text[:FOUND_CHARACTERS_MAX]}..."
