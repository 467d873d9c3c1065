"""Binary ticks: a trade in 32, 40 or 64 bytes instead of a hundred or more of JSON, on the same topic.

The instrument is the record's key, as it is for JSON; everything else has its place, so nothing is parsed. The layout,
its growth and an example are in `schemas/tick-binary.md`; `TICK` is the same as numpy's dtype.

No text begins with the first byte, so the two forms mix on one topic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import numpy as np

from streams.core.instruments import Instruments, InvalidInstrument, UnknownMarket
from streams.core.layout import CONDITION_COUNT, TRADE_ID_BYTES
from streams.core.units import PRICE_MAX, SIZE_MAX, TIME_MAX_NS, format_decimal, parse_decimal, parse_time
from streams.wire.tick_values import (
    DESERIALIZE,
    INTEGER_TIME_MIN_NS,
    VALIDATE,
    RefusedValue,
    Tick,
)

MAGIC: Final = 0xF5  # no UTF-8 text holds this byte
BINARY: Final = bytes([MAGIC])
SCHEMA_TICK: Final = 1
VERSION: Final = 1
VENUE_BYTES: Final = 6
TAPES: Final = (0, 0x41, 0x42, 0x43)

TICK: Final = np.dtype(
    [
        ("magic", "u1"),
        ("schema", "u1"),
        ("version", "u1"),
        ("length", "u1"),  # of the whole value
        ("conditions", "u1", (CONDITION_COUNT,)),  # one character each, then zeros
        ("time_ns", "<i8"),
        ("price", "<i8"),  # units of 1e-8
        ("size", "<i8"),  # units of 1e-8
        # 32 bytes: a value may end here.
        ("trade_id_length", "u1"),
        ("tape", "u1"),  # A, B or C; 0 without one
        ("venue", f"S{VENUE_BYTES}"),
        # 40 bytes: a value may end here.
        ("trade_id", f"S{TRADE_ID_BYTES}"),
        # 64 bytes. Later versions add fields behind.
    ]
)
LENGTH_SHORT: Final = 32
LENGTH_MIDDLE: Final = 40
LENGTH_FULL: Final = 64
assert TICK.itemsize == LENGTH_FULL
assert TICK.fields is not None
assert TICK.fields["trade_id_length"][1] == LENGTH_SHORT
assert TICK.fields["trade_id"][1] == LENGTH_MIDDLE


def encode_tick(
    *,
    time: str | int,
    price: str | int,
    size: str | int = 0,
    conditions: Sequence[str] = (),
    tape: str | None = None,
    venue: str | None = None,
    trade_id: str = "",
) -> bytes:
    """Return a trade as a binary value, in the shortest form that holds it. Its record's key is the instrument's id.

    Args:
        time: RFC 3339 text with a zone, or integer nanoseconds since 1970.
        price: Decimal text, or an integer in units of 1e-8.
        size: As `price`.
        conditions: Sale-condition codes of one character, at most four.
        tape: `A`, `B` or `C`.
        venue: At most six ASCII characters.
        trade_id: At most 24 printable ASCII characters.

    Raises:
        ValueError: A value does not fit the layout; what is out of range for its market is the reader's to say.

    Example:
        >>> encode_tick(time="2025-09-29T13:30:00Z", price="179.9", size="100").hex()
        'f5010120000000000070b424f8c36918809d49300400000000e40b5402000000'
    """
    if len(conditions) > CONDITION_COUNT or not all(len(code) == 1 and " " <= code <= "~" for code in conditions):
        raise ValueError(f"conditions: expected at most {CONDITION_COUNT} characters, found {conditions!r}")
    for name, text, most in (("venue", venue or "", VENUE_BYTES), ("trade_id", trade_id, TRADE_ID_BYTES)):
        if len(text) > most or not all(" " <= character <= "~" for character in text):
            raise ValueError(f"{name}: expected at most {most} printable ASCII characters, found {text!r}")
    if tape is not None and tape not in ("A", "B", "C"):
        raise ValueError(f"tape: expected A, B or C, found {tape!r}")
    length = LENGTH_FULL if trade_id else LENGTH_MIDDLE if tape or venue else LENGTH_SHORT
    tick = np.zeros(1, TICK)
    entry = tick[0]
    entry["magic"], entry["schema"], entry["version"], entry["length"] = MAGIC, SCHEMA_TICK, VERSION, length
    for position, code in enumerate(conditions):
        entry["conditions"][position] = ord(code)
    entry["time_ns"] = time if isinstance(time, int) else parse_time(time)
    entry["price"] = price if isinstance(price, int) else parse_decimal(price)
    entry["size"] = size if isinstance(size, int) else parse_decimal(size)
    entry["trade_id_length"] = len(trade_id)
    entry["tape"] = ord(tape) if tape else 0
    entry["venue"] = (venue or "").encode()
    entry["trade_id"] = trade_id.encode()
    return tick.tobytes()[:length]


def decode_tick(value: bytes, key: bytes | None, instruments: Instruments) -> Tick:
    """Return the trade of a binary value. No instrument is given a row here.

    Raises:
        RefusedValue: The value is refused, for the first reason found.
    """
    tick = _layout(value)
    if not key:
        raise _refused("missing_field", "key", "the instrument's id as the record's key", key, "send it always")
    instrument = key.decode("ascii", "replace")
    try:
        instruments.market_of(instrument)
    except UnknownMarket as error:
        raise RefusedValue(VALIDATE, "unknown_market", f"instrument: {error}") from None
    except InvalidInstrument as error:
        raise RefusedValue(VALIDATE, "invalid_instrument", f"instrument: {error}") from None
    time_ns, price, size = int(tick["time_ns"]), int(tick["price"]), int(tick["size"])
    if not INTEGER_TIME_MIN_NS <= time_ns <= TIME_MAX_NS:
        raise _refused("invalid_time", "time", "nanoseconds since 1970", time_ns, "multiply seconds by 1,000,000,000")
    if price <= 0:
        raise _refused("invalid_price", "price", "a price above 0", format_decimal(price), "drop records without one")
    if price > PRICE_MAX:
        expected = f"a price of at most {format_decimal(PRICE_MAX)}"
        raise _refused("price_out_of_range", "price", expected, format_decimal(price), "send it in a larger unit")
    if size < 0:
        raise _refused("invalid_size", "size", "a size of at least 0", format_decimal(size), "drop records without one")
    if size > SIZE_MAX:
        expected = f"a size of at most {format_decimal(SIZE_MAX)}"
        raise _refused("size_out_of_range", "size", expected, format_decimal(size), "send it in a larger unit")
    conditions = _characters(tick["conditions"].tobytes())
    if conditions is None:
        found = tick["conditions"].tobytes()
        expected = f"at most {CONDITION_COUNT} printable characters, then zeros"
        raise _refused("invalid_conditions", "conditions", expected, found, "send the tape's own codes")
    if int(tick["tape"]) not in TAPES:
        raise _refused("invalid_conditions", "tape", '"A", "B", "C" or 0', int(tick["tape"]), "else send 0")
    venue = _characters(value[34:40].ljust(VENUE_BYTES, b"\0"))
    if venue is None:
        raise _refused("wrong_type", "venue", "printable characters, then zeros", value[34:40], "send zeros for none")
    return Tick(
        instrument,
        time_ns,
        price,
        size,
        tuple(conditions),
        chr(tick["tape"]) if tick["tape"] else None,
        _trade_id(value, int(tick["trade_id_length"])),
        venue or None,
    )


# The fields that the value holds; zeros for those past its end. What is behind the last known one is a later version's.
def _layout(value: bytes) -> np.void:
    known = len(value) in (LENGTH_SHORT, LENGTH_MIDDLE) or len(value) >= LENGTH_FULL
    if not known or len(value) != value[3]:
        said = value[3] if len(value) > 3 else "no length"
        raise RefusedValue(
            DESERIALIZE,
            "invalid_binary",
            f"expected a binary value of {LENGTH_SHORT}, {LENGTH_MIDDLE} or at least {LENGTH_FULL} bytes whose fourth "
            f"byte is its length, found {len(value)} bytes that say {said}; see schemas/tick-binary.md",
        )
    if value[1] != SCHEMA_TICK or value[2] < VERSION:
        raise RefusedValue(
            DESERIALIZE,
            "unknown_binary_schema",
            f"expected binary schema {SCHEMA_TICK} of version {VERSION} or later, found schema {value[1]} version "
            f"{value[2]}; see schemas/tick-binary.md",
        )
    entry: np.void = np.frombuffer(value[:LENGTH_FULL].ljust(LENGTH_FULL, b"\0"), TICK)[0]
    return entry


def _trade_id(value: bytes, length: int) -> bytes:
    if length == 0:
        return b""
    trade_id = value[LENGTH_MIDDLE : LENGTH_MIDDLE + length] if len(value) >= LENGTH_FULL else b""
    if length > TRADE_ID_BYTES or len(trade_id) < length or not all(0x20 <= byte <= 0x7E for byte in trade_id):
        expected = f"at most {TRADE_ID_BYTES} printable ASCII characters in a value of {LENGTH_FULL} bytes"
        raise _refused("invalid_trade_id", "trade_id", expected, trade_id, "send the exchange's id")
    return trade_id


# Printable characters and then zeros, as text; None for anything else.
def _characters(field: bytes) -> str | None:
    text = field.rstrip(b"\0")
    return text.decode("ascii") if all(0x20 <= byte <= 0x7E for byte in text) else None


def _refused(reason: str, name: str, expected: str, found: object, advice: str) -> RefusedValue:
    return RefusedValue(VALIDATE, reason, f"{name}: expected {expected}, found {found!r}; {advice}")
