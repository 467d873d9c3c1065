"""The engine in a notebook: it refuses what the worker refuses, with an error that names the field."""

from __future__ import annotations

import json
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
    try:
        decode_value(json.dumps(record).encode(), Instruments(["XNYS"]))
        taken = True
    except RefusedValue:
        taken = False
    processor = Processor(MARKETS)

    if taken:
        processor.records([record])
        assert processor.refused == []
    else:
        with pytest.raises(ValueError, match=r"expected|has no zone"):
            processor.records([record])
        assert processor.engine.counters()["ticks"] + processor.engine.counters()["bars"] == 0


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
