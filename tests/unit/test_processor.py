"""The engine in a notebook: it refuses what the worker refuses, with an error that names the field."""

from __future__ import annotations

import json
import re
from datetime import UTC, datetime
from typing import Any

import pytest

from streams.calendars import load_markets
from streams.core.instruments import Instruments
from streams.core.processor import Processor
from streams.wire.tick_records import decode_value
from streams.wire.tick_values import RefusedValue

MARKETS = load_markets(["XNYS"])
TICK: dict[str, Any] = {"instrument": "XNYS:BABA", "time": "2025-09-29T13:30:00Z", "price": "174.43", "size": "1"}
BAR: dict[str, Any] = {
    "type": "bar", "instrument": "XNYS:BABA", "session_date": "2025-09-26",
    "open": "172.17", "high": "172.76", "low": "169.7", "close": "171.91",
}  # fmt: skip
CLOCK: dict[str, Any] = {"type": "clock", "time": "2025-09-29T13:30:00Z", "mode": "replay"}


def without(record: dict[str, Any], *names: str) -> dict[str, Any]:
    return {name: value for name, value in record.items() if name not in names}


@pytest.mark.parametrize(
    "record",
    [
        TICK,
        BAR,
        CLOCK,
        {**TICK, "time": 1759152600000000000},
        {**TICK, "time": 1759152600},
        {**TICK, "time": 1.5},
        {**TICK, "time": True},
        {**TICK, "time": "2025-09-29T13:30:00"},
        {**TICK, "price": 174.43},
        {**TICK, "price": None},
        {**TICK, "price": "-1"},
        {**TICK, "price": "9000000"},
        {**TICK, "conditions": ["@", "F"]},
        {**TICK, "conditions": []},
        {**TICK, "conditions": ["AB"]},
        {**TICK, "conditions": "@F"},
        {**TICK, "conditions": [1]},
        {**TICK, "conditions": ["é"]},
        {**TICK, "conditions": ["@"] * 5},
        {**TICK, "tape": "D"},
        {**TICK, "trade_id": 7},
        {**TICK, "trade_id": "é"},
        {**TICK, "trade_id": "1" * 25},
        {**TICK, "instrument": 7},
        {**TICK, "instrument": "BABA"},
        {**TICK, "instrument": "XLON:VOD"},
        {**TICK, "type": "trade"},
        without(TICK, "price"),
        without(TICK, "time"),
        without(TICK, "instrument"),
        {**BAR, "high": "100"},
        {**BAR, "low": "172"},
        {**BAR, "close": "200"},
        {**BAR, "volume": "0", "high": "100"},
        {**BAR, "volume": "x"},
        {**BAR, "session_date": "2025-02-30"},
        {**BAR, "session_date": 20250926},
        without(BAR, "open"),
        {**without(BAR, "open", "high", "low", "close"), "volume": "0"},
        {**CLOCK, "mode": "paper"},
        {**CLOCK, "mode": ["live"]},
        without(CLOCK, "mode"),
        without(CLOCK, "time"),
    ],
    ids=repr,
)
def test_processor_takes_exactly_what_the_wire_takes(record: dict[str, Any]) -> None:
    """What the worker puts aside must not move a window in a notebook; a malformed record is a ValueError, always."""
    assert taken_by_processor(record) == taken_by_wire(record)


# One record of every kind with every field that it may have.
WHOLE: dict[str, dict[str, Any]] = {
    "tick": {**TICK, "conditions": ["@"], "tape": "A", "venue": "N", "trade_id": "1"},
    "cancel": {**TICK, "type": "cancel", "conditions": ["@"], "tape": "A", "venue": "N", "trade_id": "1"},
    "correct": {**TICK, "type": "correct", "trade_id": "1", "corrected": {"price": "174.40", "size": "2"}},
    "bar": {**BAR, "volume": "5", "split": False},
    "clock": CLOCK,
    "status": {"type": "status", "instrument": "XNYS:BABA", "time": TICK["time"], "status": "halted", "reason": "T1"},
    "action": {
        "type": "action", "instrument": "XNYS:BABA", "action_id": "a1", "action": "split", "ex_date": "2025-09-30",
        "numerator": 4, "denominator": 1, "operation": "create", "symbol": "BABA", "announced_at": TICK["time"],
    },
    "withdraw": {"type": "action", "instrument": "XNYS:BABA", "action_id": "a1", "operation": "withdraw"},
    "rename": {
        "type": "action", "instrument": "XNYS:BABA", "action_id": "a2", "action": "symbol_change",
        "ex_date": "2025-09-30", "symbol": "BABB",
    },
    "instrument": {
        "type": "instrument", "instrument": "XNYS:BABA", "tick_size": "0.01", "listing_date": "2014-09-19",
        "currency": "USD",
    },
    "accept": {"type": "accept", "instrument": "XNYS:BABA", "session_date": "2025-09-30"},
    "session": {"type": "session", "mic": "XNYS", "session_date": "2025-09-30", "status": "cancelled"},
    "early": {
        "type": "session", "mic": "XNYS", "session_date": "2025-09-30", "status": "early_close",
        "close": "2025-09-30T18:00:00Z", "time": TICK["time"],
    },
}  # fmt: skip
WRONG: tuple[Any, ...] = (None, 7, -1, 0, 1.5, 1e-05, True, "", "x", "é", [], ["x"], {}, {"price": "x"}, "2025-02-30")
FIELDS = [(kind, name) for kind, record in WHOLE.items() for name in record]


@pytest.mark.parametrize("kind, name", FIELDS)
def test_every_field_missing_or_wrong_is_refused_as_the_wire_refuses_it(kind: str, name: str) -> None:
    """Of every kind of record: what has a field too few or a value of another kind is never half believed."""
    record = WHOLE[kind]
    drawn = [without(record, name), *({**record, name: value} for value in WRONG)]

    assert taken_by_wire(record)
    assert taken_by_processor(record)
    for each in drawn:
        assert taken_by_processor(each) == taken_by_wire(each), each


@pytest.mark.parametrize("name", ["price", "size", "time", "conditions", "tape", "venue", "trade_id", "instrument"])
def test_every_field_of_a_correction_is_held_to_the_same(name: str) -> None:
    """What the trade should have been is a trade: its fields are those of one, where it does not keep the original."""
    record = WHOLE["correct"]
    for value in WRONG:
        each = {**record, "corrected": {**record["corrected"], name: value}}
        assert taken_by_processor(each) == taken_by_wire(each), each
    bare = {**record, "corrected": without(record["corrected"], name)}
    assert taken_by_processor(bare) == taken_by_wire(bare)


def taken_by_wire(record: dict[str, Any]) -> bool:
    try:
        decode_value(json.dumps(record).encode(), Instruments(["XNYS"]))
    except RefusedValue:
        return False
    return True


def taken_by_processor(record: dict[str, Any]) -> bool:
    # Refused means an error that says what was expected, and nothing counted.
    processor, said = Processor(MARKETS), ""
    try:
        processor.records([record])
    except ValueError as error:
        said = str(error)
    assert processor.refused == []
    assert not said or (re.search(r"expected|has no zone", said) and not any(processor.engine.counters().values()))
    return not said


def test_error_names_the_field_and_what_to_do() -> None:
    """A datetime is what people have at hand first."""
    processor = Processor(MARKETS)
    time: Any = datetime(2025, 9, 29, 13, 30, tzinfo=UTC)

    with pytest.raises(ValueError, match=r"^time: expected an RFC 3339 string .* of a datetime take isoformat\(\)$"):
        processor.tick("XNYS:BABA", time, "174.43")
    with pytest.raises(ValueError, match=r"^price: expected one in a tick, found none"):
        processor.records([without(TICK, "price")])
    with pytest.raises(ValueError, match=r"^price: expected a plain decimal"):
        processor.tick("XNYS:BABA", "2025-09-29T13:30:00Z", "x")

    processor.tick("XNYS:BABA", time.isoformat(), "174.43")

    assert processor.engine.counters()["ticks"] == 1


def test_what_the_log_refuses_is_in_refused() -> None:
    """A well-made record that comes at the wrong time is data: its place, and the reason as the worker has it."""
    processor = Processor(MARKETS)
    processor.clock("2025-09-29T13:30:00Z")

    processor.tick("XNYS:BABA", "2025-09-29T14:30:00Z", "174.43")

    assert processor.refused == [(1, "future_time")]
