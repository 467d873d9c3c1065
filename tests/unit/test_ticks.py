"""Ticks, bars and clocks become columns; whatever is none of them is refused with its reason, and stops nothing."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest

from streams.core.instruments import Instruments
from streams.core.layout import (
    BAR_OFFICIAL,
    BAR_TRADED,
    ELIGIBLE_BY_CONDITION,
    ELIGIBLE_HIGH_LOW,
    ELIGIBLE_PLAIN,
    ELIGIBLE_VOLUME,
    KIND_BAR,
    KIND_CLOCK,
    KIND_SKIP,
    KIND_TICK,
    MODE_LIVE,
    MODE_REPLAY,
    REJECT,
    REJECT_FUTURE_TIME,
    REJECT_NAMES,
    REJECT_SESSION_NOT_CLOSED,
)
from streams.core.units import SCALE, parse_date, parse_time
from streams.wire.batches import frame_values
from streams.wire.ticks import Decoded, TickDecoder, reason_message, rejected_by_state

TICK = {"instrument": "XNYS:BABA", "time": "2025-09-29T13:30:00.005750123Z", "price": "179.90", "size": "100"}
BAR = {
    "type": "bar",
    "instrument": "XNYS:BABA",
    "session_date": "2025-09-10",
    "open": "143.1",
    "high": "147.5",
    "low": "143",
    "close": "146.9",
}
CLOCK = {"type": "clock", "time": "2025-09-29T13:30:01Z", "mode": "live"}
ABSENT = object()


@pytest.fixture(params=[True, False], ids=["plain", "thorough"])
def decoder(request: pytest.FixtureRequest) -> TickDecoder:
    """Give a decoder of either way, whose first instrument is known."""
    instruments = Instruments(["XNYS", "XNAS", "XHKG"])
    instruments.row("XNYS:BABA")
    return TickDecoder(instruments, read_plain=request.param)


def encoded(record: dict[str, Any], **changes: Any) -> bytes:
    fields = {name: value for name, value in {**record, **changes}.items() if value is not ABSENT}
    return json.dumps(fields, separators=(",", ":")).encode()


def decode(decoder: TickDecoder, *values: bytes | None) -> Decoded:
    return decoder.decode(frame_values(values, keys=[b"XNYS:BABA"] * len(values), first_offset=40, append_ns=7))


def refusal(decoder: TickDecoder, value: bytes) -> tuple[str, str]:
    """Decode the value between two good ones, which go on, and return why it was refused."""
    decoded = decode(decoder, encoded(TICK), value, encoded(TICK))

    assert decoded.records["kind"].tolist() == [KIND_TICK, KIND_SKIP, KIND_TICK]
    assert decoded.records["offset"].tolist() == [40, 41, 42]
    assert [(rejected.index, rejected.offset) for rejected in decoded.rejected] == [(1, 41)]
    rejected = decoded.rejected[0]
    assert "expected" in rejected.message or "has no zone" in rejected.message
    assert len(rejected.message) < 500
    return rejected.stage, rejected.reason


def test_tick_becomes_columns(decoder: TickDecoder) -> None:
    """Every field of a tick is carried exactly, and the broker's offset and time with it."""
    value = encoded(TICK, conditions=["@", "I"], tape="A", venue="XNYS", trade_id="52983525029461")

    decoded = decode(decoder, value)

    record = decoded.records[0]
    assert record["kind"] == KIND_TICK
    assert record["row"] == 0
    assert record["time_ns"] == 1_759_152_600_005_750_123
    assert record["price"] == 17_990_000_000
    assert record["size"] == 100 * SCALE
    assert record["conditions"].tobytes() == b"@I\0\0"
    assert record["eligible"] == ELIGIBLE_VOLUME | ELIGIBLE_BY_CONDITION
    assert (record["append_ns"], record["offset"]) == (7, 40)
    start, length = record["trade_id_start"], record["trade_id_length"]
    assert decoded.buffer[start : start + length].tobytes() == b"52983525029461"


@pytest.mark.parametrize(
    "changes",
    [
        {"price": 179.9},
        {"price": "179.9"},
        {"price": "000179.90000000"},
        {"size": 100},
        {"time": 1_759_152_600_005_750_123},
        {"time": "2025-09-29T09:30:00.005750123-04:00"},
        {"type": "tick"},
        {"type": None, "conditions": None, "tape": None, "venue": None, "trade_id": None},
        {"conditions": [], "trade_id": ""},
        {"note": {"nested": ["ignored", 1.5e300]}},
        {"instrument": "XNYS:BABA"},
    ],
)
def test_T_K5_the_same_trade_written_otherwise_is_equal(decoder: TickDecoder, changes: dict[str, Any]) -> None:
    """Text and numbers, zones, absent and empty fields, and fields we do not know make no difference."""
    decoded = decode(decoder, encoded(TICK), encoded(TICK, **changes))

    first, second = decoded.records
    second["offset"] = first["offset"]
    assert decoded.rejected == []
    assert first == second


@pytest.mark.parametrize(
    "text",
    [
        b' { "size" : "100" , "price" : "179.90",\n"time":"2025-09-29T13:30:00.005750123Z","instrument":"XNYS:BABA"}\n',
        b'{"instrument":"XNYS:\\u0042ABA","time":"2025-09-29T13:30:00.005750123Z","price":"179.90","size":"100"}',
        b'{"price":"1","instrument":"XNYS:BABA","time":"2025-09-29T13:30:00.005750123Z","price":17990e-2,"size":1e2}',
    ],
)
def test_order_spaces_escapes_and_repeated_keys_are_json(decoder: TickDecoder, text: bytes) -> None:
    """Any spelling that JSON allows is understood; of a repeated key the last value counts."""
    decoded = decode(decoder, encoded(TICK), text)

    first, second = decoded.records
    second["offset"] = first["offset"]
    assert first == second


def test_large_and_small_numbers_stay_exact(decoder: TickDecoder) -> None:
    """A price that no float can hold keeps its last digit, written as text or as a number."""
    decoded = decode(
        decoder, encoded(TICK, price="7999999.99999999"), encoded(TICK, price="X").replace(b'"X"', b"7999999.99999999")
    )

    assert decoded.records["price"].tolist() == [799_999_999_999_999] * 2


def test_T_C1_odd_lot_is_not_eligible_for_extremes(decoder: TickDecoder) -> None:
    """An odd lot adds to volume alone."""
    assert eligible(decoder, conditions=["I"]) == ELIGIBLE_VOLUME | ELIGIBLE_BY_CONDITION


def test_T_C2_the_tape_decides_what_a_code_means(decoder: TickDecoder) -> None:
    """B is an average price on tapes A and B, a bunched trade on tape C; without a tape the market decides."""
    assert not eligible(decoder, conditions=["B"], tape="A") & ELIGIBLE_HIGH_LOW
    assert not eligible(decoder, conditions=["B"]) & ELIGIBLE_HIGH_LOW
    assert eligible(decoder, conditions=["B"], tape="C") & ELIGIBLE_HIGH_LOW
    assert eligible(decoder, conditions=["B"], instrument="XNAS:AAPL") & ELIGIBLE_HIGH_LOW


def test_T_C3_one_no_wins(decoder: TickDecoder) -> None:
    """A sweep that is also an odd lot is an odd lot."""
    assert eligible(decoder, conditions=["F", "I"]) == ELIGIBLE_VOLUME | ELIGIBLE_BY_CONDITION


def test_T_C6_unknown_condition_is_counted_and_never_eligible(decoder: TickDecoder) -> None:
    """A code that the table does not know makes the trade ineligible and is counted; nothing is refused."""
    decoded = decode(decoder, encoded(TICK, conditions=["?"]), encoded(TICK, conditions=["@"]))

    assert decoded.records["eligible"].tolist() == [ELIGIBLE_BY_CONDITION, ELIGIBLE_PLAIN | ELIGIBLE_BY_CONDITION]
    assert decoded.unknown_conditions == 1
    assert decoded.rejected == []


def test_T_C7_small_trade_without_code_is_eligible(decoder: TickDecoder) -> None:
    """Forty shares of a stock at 300 are a round lot: only the code says odd lot, never the size."""
    assert eligible(decoder, price="300", size="40") == ELIGIBLE_PLAIN
    assert eligible(decoder, price="300", size="40", conditions=["@"]) == ELIGIBLE_PLAIN | ELIGIBLE_BY_CONDITION


def eligible(decoder: TickDecoder, **changes: Any) -> int:
    return int(decode(decoder, encoded(TICK, **changes)).records["eligible"][0])


def test_T_K2_null_value_is_skipped_and_counted(decoder: TickDecoder) -> None:
    """A tombstone is no error: it is counted, keeps its place, and is never refused."""
    decoded = decode(decoder, None, encoded(TICK), None)

    assert decoded.nulls == 2
    assert decoded.rejected == []
    assert decoded.records["kind"].tolist() == [KIND_SKIP, KIND_TICK, KIND_SKIP]
    assert decoded.records["offset"].tolist() == [40, 41, 42]


def test_T_K3_registry_framed_value_is_named(decoder: TickDecoder) -> None:
    """Five bytes of a schema registry before the JSON are recognised, and the text says what to do."""
    value = b"\0\0\0\0\5" + encoded(TICK)

    assert refusal(decoder, value) == ("deserialize", "registry_framed")
    assert "schema-registry framed" in decode(decoder, value).rejected[0].message


@pytest.mark.parametrize(
    ("price", "reason"),
    [
        ('"NaN"', "invalid_price"),
        ('"-1"', "invalid_price"),
        ("-1", "invalid_price"),
        ("-0.5", "invalid_price"),
        ('"0"', "invalid_price"),
        ("0", "invalid_price"),
        ("0e999999999", "invalid_price"),
        ('"1e3"', "invalid_price"),
        ('"1.123456789"', "invalid_price"),
        ("1.123456789", "invalid_price"),
        ("1e-9", "invalid_price"),
        ("1e-999999999", "invalid_price"),
        ("0." + "1" * 100, "invalid_price"),
        ("1e400", "price_out_of_range"),
        ("1e999999999999999999999", "price_out_of_range"),
        ("-1e400", "invalid_price"),
        ('"8000000.00000001"', "price_out_of_range"),
        ("8000000.01", "price_out_of_range"),
        ("12345678901234567890123", "price_out_of_range"),
        ("true", "wrong_type"),
        ("null", "wrong_type"),
        ("[]", "wrong_type"),
    ],
)
def test_T_K4_impossible_price_is_refused(decoder: TickDecoder, price: str, reason: str) -> None:
    """A price that is no positive number within bounds is refused when it is validated; its neighbours go on."""
    value = encoded(TICK, price="X").replace(b'"X"', price.encode())

    assert refusal(decoder, value) == ("validate", reason)


def test_T_K4_missing_price_is_refused(decoder: TickDecoder) -> None:
    """A tick without a price is refused by the name of what is missing."""
    assert refusal(decoder, encoded(TICK, price=ABSENT)) == ("validate", "missing_field")


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"instrument": ABSENT}, "missing_field"),
        ({"time": ABSENT}, "missing_field"),
        ({"size": ABSENT}, "missing_field"),
        ({"instrument": 5}, "wrong_type"),
        ({"instrument": None}, "wrong_type"),
        ({"instrument": "BABA"}, "invalid_instrument"),
        ({"instrument": "XNYS:" + "A" * 28}, "invalid_instrument"),
        ({"instrument": "XLON:VOD"}, "unknown_market"),
        ({"time": "yesterday"}, "invalid_time"),
        ({"time": "2025-02-30T13:30:00Z"}, "invalid_time"),
        ({"time": "2025-09-29T13:30:00"}, "time_without_zone"),
        ({"time": 1_759_152_600_005}, "invalid_time"),
        ({"time": 10**19}, "invalid_time"),
        ({"time": 1.5}, "wrong_type"),
        ({"time": None}, "wrong_type"),
        ({"time": True}, "wrong_type"),
        ({"size": "-1"}, "invalid_size"),
        ({"size": "many"}, "invalid_size"),
        ({"size": "9000000000.1"}, "size_out_of_range"),
        ({"size": 9_000_000_001}, "size_out_of_range"),
        ({"size": []}, "wrong_type"),
        ({"conditions": "@"}, "wrong_type"),
        ({"conditions": ["@", "F", "T", "I", "X"]}, "invalid_conditions"),
        ({"conditions": ["FI"]}, "invalid_conditions"),
        ({"conditions": [""]}, "invalid_conditions"),
        ({"conditions": [5]}, "invalid_conditions"),
        ({"conditions": ["é"]}, "invalid_conditions"),
        ({"tape": "D"}, "invalid_conditions"),
        ({"tape": 1}, "wrong_type"),
        ({"venue": 1}, "wrong_type"),
        ({"trade_id": 12345}, "wrong_type"),
        ({"trade_id": "1" * 25}, "invalid_trade_id"),
        ({"trade_id": "é"}, "invalid_trade_id"),
        ({"trade_id": "\n"}, "invalid_trade_id"),
        ({"type": 5}, "wrong_type"),
        ({"type": 1.5}, "wrong_type"),
        ({"type": "trade"}, "unknown_type"),
        ({"type": "cancel", "price": "0"}, "invalid_price"),
        ({"type": "correct"}, "missing_field"),
        ({"type": "correct", "corrected": {"price": "0"}}, "invalid_price"),
        ({"type": "correct", "corrected": []}, "wrong_type"),
        ({"type": "status", "status": "asleep"}, "invalid_status"),
        ({"type": "action"}, "missing_field"),
        ({"type": "action", "action_id": "é"}, "invalid_action"),
        ({"type": "action", "action_id": "1", "action": "merger"}, "invalid_action"),
        ({"type": "action", "action_id": "1", "action": "split"}, "missing_field"),
        ({"type": "action", "action_id": "1", "action": "split", "numerator": 0}, "invalid_action"),
        ({"type": "action", "action_id": "1", "action": "split", "numerator": 1.5}, "invalid_action"),
        ({"type": "action", "action_id": "1", "action": "delisting", "numerator": 2}, "invalid_action"),
        ({"type": "action", "action_id": "1", "action": "symbol_change", "ex_date": "2025-09-29"}, "missing_field"),
        ({"type": "action", "action_id": "1", "action": "split", "ex_date": "tomorrow"}, "invalid_date"),
        ({"type": "instrument", "tick_size": "0"}, "invalid_price"),
        ({"type": "instrument", "currency": "usd"}, "invalid_currency"),
        ({"type": "accept"}, "missing_field"),
        ({"type": "accept", "session_date": "2025-13-01"}, "invalid_date"),
        ({"type": "session", "mic": "XLON"}, "unknown_market"),
        ({"type": "session", "mic": "XNYS", "status": "late"}, "invalid_status"),
        ({"type": "session", "mic": "XNYS", "status": "early_close", "session_date": "2025-09-29"}, "missing_field"),
    ],
)
def test_invalid_tick_is_refused_with_its_reason(decoder: TickDecoder, changes: dict[str, Any], reason: str) -> None:
    """Every rule of a tick has a reason of its own, and its neighbours go on."""
    assert refusal(decoder, encoded(TICK, **changes)) == ("validate", reason)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b'{"instrument":"\xff"}', "invalid_utf8"),
        (b"", "invalid_json"),
        (b"\0", "invalid_json"),
        (b"{", "invalid_json"),
        (b"NaN", "invalid_json"),
        (encoded(TICK) + b"}", "invalid_json"),
        (encoded(TICK)[:-1], "invalid_json"),
        (encoded(TICK).replace(b'"179.90"', b"0179.90"), "invalid_json"),
        (encoded(TICK).replace(b"BABA", b"BA\nBA"), "invalid_json"),
        (b"[" * 5000 + b"]" * 5000, "invalid_json"),
        (b"[]", "not_an_object"),
        (b'"tick"', "not_an_object"),
        (b"null", "not_an_object"),
    ],
)
def test_what_is_no_json_object_is_refused(decoder: TickDecoder, value: bytes, reason: str) -> None:
    """Bytes that are no JSON object fail when they are deserialised, with a reason that says how."""
    assert refusal(decoder, value) == ("deserialize", reason)


def test_messages_say_what_to_do(decoder: TickDecoder) -> None:
    """A refusal names the field, what was expected, what was found (shortened), and what to do."""
    decoded = decode(
        decoder,
        encoded(TICK, price="0"),
        encoded(TICK, instrument="x" * 500),
        encoded(TICK, time="2025-09-29T13:30:00"),
    )

    assert [rejected.message for rejected in decoded.rejected] == [
        "price: expected a price above 0, found '0'; drop records without one",
        "instrument: expected an instrument id like XNYS:BABA (market code, colon, symbol of A-Z 0-9 . - /, at most 32 "
        f"bytes), found '{'x' * 60}'; send the exchange's symbol in capitals",
        "time: the time 2025-09-29T13:30:00 has no zone; add Z for UTC, or an offset like -04:00",
    ]


def test_bar_becomes_a_bar(decoder: TickDecoder) -> None:
    """A bar record points at its bar; without a volume it has traded, with a volume of zero it has not."""
    decoded = decode(
        decoder,
        encoded(TICK),
        encoded(BAR),
        encoded(BAR, volume="1234.5"),
        encoded(BAR, volume="0", open=ABSENT, high=ABSENT, low=ABSENT, close=ABSENT),
    )

    assert decoded.rejected == []
    assert decoded.records["kind"].tolist() == [KIND_TICK, KIND_BAR, KIND_BAR, KIND_BAR]
    assert decoded.records["row"].tolist() == [0, 0, 0, 0]
    assert decoded.records["extra"].tolist()[1:] == [0, 1, 2]
    date, prices = parse_date("2025-09-10"), (14_310_000_000, 14_750_000_000, 14_300_000_000, 14_690_000_000)
    assert decoded.bars.tolist() == [
        (date, BAR_OFFICIAL | BAR_TRADED, 0, *prices, 0),
        (date, BAR_OFFICIAL | BAR_TRADED, 0, *prices, 123_450_000_000),
        (date, BAR_OFFICIAL, 0, 0, 0, 0, 0, 0),
    ]


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"session_date": ABSENT}, "missing_field"),
        ({"session_date": 20250910}, "wrong_type"),
        ({"session_date": "2025-09-31"}, "invalid_date"),
        ({"session_date": "10.9.2025"}, "invalid_date"),
        ({"high": ABSENT}, "missing_field"),
        ({"low": "0"}, "invalid_price"),
        ({"open": "9000000"}, "price_out_of_range"),
        ({"high": "143"}, "invalid_bar"),
        ({"low": "144"}, "invalid_bar"),
        ({"volume": "-5"}, "invalid_size"),
        ({"instrument": "XLON:VOD"}, "unknown_market"),
    ],
)
def test_invalid_bar_is_refused_with_its_reason(decoder: TickDecoder, changes: dict[str, Any], reason: str) -> None:
    """A bar's date exists, its prices are positive, and low and high enclose open and close."""
    assert refusal(decoder, encoded(BAR, **changes)) == ("validate", reason)


def test_clock_becomes_a_clock(decoder: TickDecoder) -> None:
    """A clock has a time and a mode, and no row."""
    decoded = decode(decoder, encoded(CLOCK), encoded(CLOCK, mode="replay", time=1_759_152_601_000_000_000))

    assert decoded.records["kind"].tolist() == [KIND_CLOCK, KIND_CLOCK]
    assert decoded.records["mode"].tolist() == [MODE_LIVE, MODE_REPLAY]
    assert decoded.records["row"].tolist() == [-1, -1]
    assert decoded.records["time_ns"].tolist() == [parse_time("2025-09-29T13:30:01Z")] * 2


@pytest.mark.parametrize(
    ("changes", "reason"),
    [
        ({"mode": ABSENT}, "missing_field"),
        ({"mode": "fast"}, "invalid_mode"),
        ({"mode": 1}, "wrong_type"),
        ({"time": ABSENT}, "missing_field"),
        ({"time": "2025-09-29T13:30:01"}, "time_without_zone"),
    ],
)
def test_invalid_clock_is_refused_with_its_reason(decoder: TickDecoder, changes: dict[str, Any], reason: str) -> None:
    """A clock without a time or a mode moves nothing."""
    assert refusal(decoder, encoded(CLOCK, **changes)) == ("validate", reason)


def test_refused_record_gives_no_row(decoder: TickDecoder) -> None:
    """Only an accepted record gives its instrument a row, and rows follow the log whatever the shape of its records."""
    values = [
        encoded(TICK, instrument="XNYS:A", price="0"),
        encoded(TICK, instrument="XNYS:B", note="thorough"),
        encoded(TICK, instrument="XNYS:C"),
        encoded(BAR, instrument="XNYS:D"),
        encoded(TICK, instrument="XNYS:E"),
    ]

    decoded = decode(decoder, *values)

    assert decoded.records["row"].tolist() == [-1, 1, 2, 3, 4]


def test_trade_id_with_escapes_is_carried(decoder: TickDecoder) -> None:
    """A trade id that JSON had to escape lies past the fetched bytes, and is the same."""
    values = [encoded(TICK, trade_id='a"b'), encoded(TICK, trade_id="c\\d"), encoded(TICK, trade_id="plain")]

    decoded = decode(decoder, *values)

    spans = zip(decoded.records["trade_id_start"], decoded.records["trade_id_length"], strict=True)
    assert [decoded.buffer[start : start + length].tobytes() for start, length in spans] == [b'a"b', b"c\\d", b"plain"]
    assert not decoded.buffer.flags.writeable


def test_nothing_decodes_to_nothing(decoder: TickDecoder) -> None:
    """No frames give empty columns."""
    decoded = decode(decoder)

    assert (len(decoded.records), len(decoded.bars), decoded.rejected, decoded.nulls) == (0, 0, [], 0)


def test_refusals_by_the_engine_get_words(decoder: TickDecoder) -> None:
    """What `step` refuses is told with the record's offset, the reason and the reference time."""
    decoded = decode(decoder, encoded(TICK), encoded(BAR))
    reference_ns = parse_time("2025-09-10T13:30:00Z")
    rejects = np.array([(0, REJECT_FUTURE_TIME, reference_ns), (1, REJECT_SESSION_NOT_CLOSED, reference_ns)], REJECT)

    refused = rejected_by_state(decoded, rejects)

    assert [(one.index, one.offset, one.stage, one.reason) for one in refused] == [
        (0, 40, "state", "future_time"),
        (1, 41, "state", "session_not_closed"),
    ]
    assert "after 2025-09-10T13:30:00Z, found 2025-09-29T13:30:00.005750123Z" in refused[0].message
    assert "closed by 2025-09-10T13:30:00Z, found 2025-09-10" in refused[1].message


@pytest.mark.parametrize("reason", range(len(REJECT_NAMES)))
def test_every_refusal_by_the_engine_says_what_to_do(reason: int) -> None:
    """Each text names what was expected, what was found and a remedy."""
    message = reason_message(reason, time_ns=1, reference_ns=2, date=3)

    assert "expected" in message
    assert "found" in message
    assert ";" in message
    assert reason < len(REJECT_NAMES)
