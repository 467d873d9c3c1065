"""The schemas are valid, say what every field means, accept their own examples and refuse what the wire refuses."""

from __future__ import annotations

import copy
import json
from collections.abc import Iterator
from datetime import date, timedelta
from decimal import Decimal
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from streams.calendars import load_markets
from streams.core.instruments import Instruments
from streams.core.processor import Processor
from streams.feeds.actions import Action, action_step, parse_actions
from streams.feeds.history import bar_step
from streams.feeds.scenario import build
from streams.feeds.tables import Source
from streams.wire.signals import encode

FOLDER = Path(__file__).parents[2] / "schemas"
FILES = sorted(FOLDER.glob("*.schema.json"))
INPUTS = ("tick", "cancel", "correct", "status", "action", "bar", "clock", "instrument", "accept", "session")
NOTICES = ("suspected-split-signal", "held-print-signal")
OUTPUTS = ("breakout-signal", "proximity-signal", "momentum-signal", *NOTICES)


def load(name: str) -> dict[str, Any]:
    schema: dict[str, Any] = json.loads((FOLDER / f"{name}.schema.json").read_text(encoding="utf-8"))
    return schema


def accepts(name: str, record: object) -> bool:
    return Draft202012Validator(load(name)).is_valid(record)


def example(name: str, **changes: object) -> dict[str, Any]:
    return {**copy.deepcopy(load(name)["examples"][0]), **changes}


def objects(schema: dict[str, Any], path: str = "") -> Iterator[tuple[str, dict[str, Any]]]:
    # Every object whose fields are described, with its path.
    if schema.get("type") == "object":
        yield path, schema
    for name, field in schema.get("properties", {}).items():
        if isinstance(field, dict):
            yield from objects(field, f"{path}.{name}")


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_schema_is_valid_and_named_after_its_file(path: Path) -> None:
    """Each file is a schema of draft 2020-12 whose id is the one that the header `ce_dataschema` carries."""
    schema = json.loads(path.read_text(encoding="utf-8"))

    Draft202012Validator.check_schema(schema)
    assert schema["$schema"] == "https://json-schema.org/draft/2020-12/schema"
    assert schema["$id"] == f"urn:fiftytwo:schema:{path.name.removesuffix('.schema.json')}:v1"


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_schema_accepts_its_examples(path: Path) -> None:
    """Each schema shows at least one record that it accepts."""
    schema = json.loads(path.read_text(encoding="utf-8"))

    assert schema["examples"]
    for shown in schema["examples"]:
        Draft202012Validator(schema).validate(shown)


@pytest.mark.parametrize("path", FILES, ids=lambda path: path.name)
def test_every_field_is_described(path: Path) -> None:
    """A reader needs no other page to know what a field means."""
    schema = json.loads(path.read_text(encoding="utf-8"))

    bare = [
        f"{place}.{name}"
        for place, part in objects(schema)
        for name, field in part.get("properties", {}).items()
        if not field.get("description")
    ]

    assert bare == []


@pytest.mark.parametrize("name", OUTPUTS)
def test_outputs_are_closed_and_complete(name: str) -> None:
    """Outputs carry every field and no other, at every level, so that a registry can prove what a change adds."""
    for place, part in objects(load(name)):
        assert part["additionalProperties"] is False, place
        assert part["required"] == list(part["properties"]), place


@pytest.mark.parametrize("name", INPUTS)
def test_inputs_are_open(name: str) -> None:
    """A producer may add fields of its own."""
    assert accepts(name, example(name, note="a field that we do not know"))


@pytest.mark.parametrize("name", [*INPUTS, *OUTPUTS])
def test_each_required_field_is_missed(name: str) -> None:
    """A record without a required field is refused."""
    for field in load(name)["required"]:
        record = example(name)
        del record[field]
        assert not accepts(name, record), field


@pytest.mark.parametrize(
    "changes",
    [
        {"price": "0"},
        {"price": "0.00"},
        {"price": 0},
        {"price": "-1"},
        {"price": -1.5},
        {"price": "NaN"},
        {"price": "1e3"},
        {"price": "1.123456789"},
        {"price": "1234567890123"},
        {"price": 8_000_001},
        {"price": ".5"},
        {"price": None},
        {"price": True},
        {"size": "-1"},
        {"size": -1},
        {"time": "2025-09-30T13:30:00"},
        {"time": "2025-09-30 13:30:00Z"},
        {"time": "2025-09-30T13:30:00.1234567890Z"},
        {"time": "2025-09-30T24:00:00Z"},
        {"time": "0001-01-01T00:00:00Z"},
        {"time": "2200-01-01T00:00:00Z"},
        {"time": 1.5},
        {"time": 2**63},
        {"instrument": "BABA"},
        {"instrument": "NYSE:baba"},
        {"instrument": "XNYS:" + "A" * 28},
        {"conditions": ["@", "F", "T", "I", "X"]},
        {"conditions": ["@F"]},
        {"conditions": "@"},
        {"tape": "D"},
        {"trade_id": "1" * 25},
        {"trade_id": 7},
        {"type": "trade"},
    ],
    ids=repr,
)
def test_tick_schema_refuses(changes: dict[str, object]) -> None:
    """What the worker would put aside as a tick, the schema refuses too."""
    assert not accepts("tick", example("tick", **changes))


@pytest.mark.parametrize(
    "changes",
    [
        {"price": "179.90"},
        {"price": 179.9},
        {"price": 180},
        {"price": "0.00000001"},
        {"size": "0"},
        {"time": "2025-09-30T09:30:00.1-04:00"},
        {"time": 1759239000000000000},
        {"conditions": []},
        {"instrument": "XNYS:BRK.B"},
        {"instrument": "XHKG:9988"},
    ],
    ids=repr,
)
def test_tick_schema_accepts(changes: dict[str, object]) -> None:
    """Every way of writing a value that the worker takes is in the schema."""
    assert accepts("tick", example("tick", **changes))


@pytest.mark.parametrize("volume", ["0", "0.0", 0])
def test_bar_without_trades_needs_no_prices(volume: object) -> None:
    """A volume of zero says that a session had no trade; then prices may be left out."""
    record = {"type": "bar", "instrument": "XNYS:BABA", "session_date": "2025-09-29", "volume": volume}

    assert accepts("bar", record)


@pytest.mark.parametrize("volume", [{}, {"volume": "100"}, {"volume": "0", "open": "-1"}])
def test_bar_with_trades_needs_all_prices(volume: dict[str, object]) -> None:
    """Without all four prices a bar is refused, unless nothing traded; a price that is there must be one."""
    record = {"type": "bar", "instrument": "XNYS:BABA", "session_date": "2025-09-29", **volume}

    assert not accepts("bar", record)


@pytest.mark.parametrize("changes", [{"mode": "paper"}, {"time": "2025-09-30T20:15:00"}, {"type": "tick"}], ids=repr)
def test_clock_schema_refuses(changes: dict[str, object]) -> None:
    """A clock has one of two modes and a time with a zone."""
    assert not accepts("clock", example("clock", **changes))


@pytest.mark.parametrize("name", OUTPUTS)
@pytest.mark.parametrize(
    "changes",
    [
        {"revision": 0},
        {"ordinal": 0},
        {"side": "sideways"},
        {"family": "high_20"},
        {"transition": "undone"},
        {"price": 180.17},
        {"signal_id": "1"},
        {"event_time": "2025-09-29T14:03:12.005Z"},
        {"basis": "settled"},
        {"scope": "overnight"},
        {"unknown": 1},
    ],
    ids=repr,
)
def test_signal_schemas_refuse(name: str, changes: dict[str, object]) -> None:
    """A signal schema takes what the worker sends and nothing near it."""
    assert not accepts(name, example(name, **changes))


@pytest.mark.parametrize("name", ["proximity-signal", "momentum-signal"])
def test_price_is_null_exactly_when_a_signal_expires(name: str) -> None:
    """An expiry has no trade, every other transition has one."""
    assert not accepts(name, example(name, price=None))
    assert not accepts(name, example(name, transition="expired"))
    assert accepts(name, example(name, transition="expired", price=None))


@pytest.fixture(scope="module")
def messages() -> list[tuple[str, dict[str, Any]]]:
    """Signals of real sessions, and of the same sessions upside down, as the worker writes them: schema and value."""
    processor = Processor(load_markets(["XNYS"]))
    scenario = build(processor.engine.markets)
    history = [json.loads(bar_step(bar).value) for bar in scenario.history]
    played = [chapter for chapter in scenario.chapters if not chapter.generated]
    steps = [step for chapter in played for step in chapter.steps if step.kind in ("tick", "clock")]
    market = [json.loads(step.value) for step in steps]
    processor.records([*history, *(upside_down(record) for record in history)])
    for record in market:
        processor.records([record] if record.get("type") == "clock" else [record, upside_down(record)])
    assert processor.refused == []
    other = Processor(load_markets(["XNYS"]))
    other.records(notices())
    signals = [*processor.signals(), *other.signals()]
    encoded = [encode(signal, source="/fiftytwo/test") for signal in signals]
    return [(dict(each.headers)["ce_dataschema"].decode(), json.loads(each.value)) for each in encoded]


# Bad prints of an instrument with a year of quiet days, and a fall that is accepted.
def notices() -> list[dict[str, Any]]:
    instrument = {"instrument": "XNYS:QUIET"}
    day = date(2024, 9, 20)
    dates = [day + timedelta(days=number) for number in range(374)]
    prices = {"open": "100", "high": "101", "low": "99", "close": "100"}
    found: list[dict[str, Any]] = [
        {"type": "bar", **instrument, "session_date": each.isoformat(), **prices} for each in dates
    ]
    sessions = load_markets(["XNYS"]).sessions_of("XNYS")["date"].tolist()
    found = [bar for bar in found if (date.fromisoformat(bar["session_date"]) - date(1970, 1, 1)).days in sessions]
    tick = {**instrument, "size": "100"}
    for second in range(20):
        found.append({**tick, "time": f"2025-09-30T14:00:{second:02d}Z", "price": "100"})
    found.append({**tick, "time": "2025-09-30T14:01:00Z", "price": "120", "venue": "N"})
    found.append({**tick, "time": "2025-09-30T14:01:01Z", "price": "121", "venue": "P"})
    found.append({**tick, "time": "2025-09-30T14:01:02Z", "price": "140", "venue": "P"})
    found.append({"type": "clock", "time": "2025-10-01T13:59:59Z", "mode": "replay"})
    found.append({**tick, "time": "2025-10-01T14:00:00Z", "price": "60.5"})
    return [*found, {"type": "accept", **instrument, "session_date": "2025-10-01"}]


# Highs become lows: each price is taken from 300, under another name.
def upside_down(record: dict[str, Any]) -> dict[str, Any]:
    mirrored = {**record, "instrument": "XNYS:ABAB"}
    names = {"open": "open", "high": "low", "low": "high", "close": "close", "price": "price"}
    return {**mirrored, **{name: str(300 - Decimal(record[of])) for name, of in names.items() if of in record}}


def test_every_signal_of_the_engine_fits_its_schema(messages: list[tuple[str, dict[str, Any]]]) -> None:
    """What the worker sends validates against the schema that its header names."""
    validators = {f"urn:fiftytwo:schema:{name}:v1": Draft202012Validator(load(name)) for name in OUTPUTS}

    for schema, value in messages:
        validators[schema].validate(value)


def test_messages_held_against_the_schemas_cover_them(messages: list[tuple[str, dict[str, Any]]]) -> None:
    """Both sides and every transition of every schema are among them; else the test above would say little."""
    seen = {(schema, value["side"], value["transition"]) for schema, value in messages}

    breakouts = {"triggered", "new_extreme", "failed", "confirmed", "unconfirmed"}
    assert {(side, each) for schema, side, each in seen if "breakout" in schema} >= {
        (side, each) for side in ("up", "down") for each in breakouts
    }
    assert {each for schema, _, each in seen if "proximity" in schema} >= {"entered", "exited"}
    assert {each for schema, _, each in seen if "momentum" in schema} == {"entered", "exited", "expired"}
    assert {each for schema, _, each in seen if "held-print" in schema} == {"held", "believed", "rejected"}
    assert {each for schema, _, each in seen if "suspected-split" in schema} == {"suspect", "released"}


def test_examples_are_real_messages(messages: list[tuple[str, dict[str, Any]]]) -> None:
    """An example that the engine no longer sends would teach a wrong shape: fields come in the same order."""
    shapes = {schema: list(value) for schema, value in messages}

    for name in OUTPUTS:
        for shown in load(name)["examples"]:
            assert list(shown) == shapes[f"urn:fiftytwo:schema:{name}:v1"]
            assert list(shown) == list(load(name)["properties"])


def test_families_of_the_schemas_are_the_engines() -> None:
    """Every family that the engine knows is in exactly one schema."""
    from streams.core.layout import FAMILY_NAMES

    families: list[str] = []
    for name in OUTPUTS:
        family = load(name)["properties"]["family"]
        named = family["anyOf"][0] if "anyOf" in family else family
        families += named["enum"] if "enum" in named else [named["const"]]

    assert sorted(families) == sorted(FAMILY_NAMES)


def test_readme_names_every_schema() -> None:
    """A schema that is not on the page of topics would not be found."""
    page = (FOLDER / "README.md").read_text(encoding="utf-8")

    assert [path.name for path in FILES if f"({path.name})" not in page] == []


@pytest.mark.parametrize(
    "changes",
    [
        {"action": "merger"},
        {"numerator": 0},
        {"numerator": 1_000_001},
        {"denominator": 1.5},
        {"action": "cash_dividend"},
        {"action": "symbol_change", "numerator": 1},
        {"ex_date": "2020-8-31"},
        {"ex_date": "1899-08-31"},
        {"action_id": ""},
        {"action_id": "x" * 41},
        {"operation": "undo"},
        {"instrument": "AAPL"},
    ],
)
def test_schema_refuses_actions_that_cannot_be(changes: dict[str, object]) -> None:
    """A ratio out of range, or one with an action that changes no price."""
    assert not accepts("action", example("action", **changes))


def test_withdrawal_needs_the_id_alone() -> None:
    """An action that is created needs its kind and date; to take it back its id is enough."""
    withdrawal = {"type": "action", "instrument": "XNAS:AAPL", "action_id": "x", "operation": "withdraw"}

    assert accepts("action", withdrawal)
    assert not accepts("action", {**withdrawal, "operation": "create"})


def test_published_actions_are_accepted() -> None:
    """What `fiftytwo publish actions` sends is what the schema describes."""
    lines = (
        b"instrument,action,ex_date,ratio,symbol\nXNAS:A,split,2020-08-31,4:1,\nXNAS:A,symbol_change,2021-01-04,,B\n"
    )
    found = list(parse_actions(Source("actions.csv", data=lines), {}, Instruments(["XNAS"])))

    assert len(found) == 2
    for action in found:
        assert isinstance(action, Action)
        Draft202012Validator(load("action")).validate(json.loads(action_step(action).value))
