"""Extended hours are a scope of their own: their highs, lows and signals, and nothing of them in regular hours.

Every case is worked by hand and judged twice, by the oracle and by the engine.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from jsonschema import Draft202012Validator

from streams.core.engine import Engine
from streams.core.join import Join, JoinRules
from streams.core.processor import Processor
from streams.core.rules import Rules
from streams.core.signals import signals_of
from streams.kafka.terms import Terms, adopt
from streams.wire.batches import frame_values
from streams.wire.signals import encode
from streams.wire.snapshot_writer import SnapshotWriter
from streams.wire.snapshots import collect
from streams.wire.ticks import TickDecoder
from tests.property.engine_run import markets_of
from tests.property.streams_markets import Log
from tests.scripted import JUDGES, Script
from tests.snapshot_example import IDENTITY, POSITIONS, snapshot_of

DAY = "2025-09-30"
SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
NewScript = Callable[..., Script]


@pytest.fixture(params=JUDGES)
def script(request: pytest.FixtureRequest) -> NewScript:
    def new(day: str = DAY, *, extended: bool = True, **options: Any) -> Script:
        return Script(request.param, day, extended=extended, **options)

    return new


def said(written: Script, scope: str) -> list[str]:
    """What one scope says of breakouts, in short."""
    documents = [each for each in written.documents("high_52w", "low_52w") if each["scope"] == scope]
    return [f"{each['transition']} {each['ordinal']} {each['price']}" for each in documents]


def pre_market(written: Script) -> Script:
    written.history(high="100")
    written.tick("08:00:00", "101", "T")
    written.tick("09:30:00", "100.5", "@")
    return written


def test_T_C5_pre_market_print_triggers_in_the_extended_scope(script: NewScript) -> None:
    """T at 101 before the open triggers there, and 100.5 at the open triggers in regular hours, as a gap."""
    documents = pre_market(script()).documents("high_52w")

    assert [(each["scope"], each["price"], each["gap"], each["event_time"]) for each in documents] == [
        ("extended", "101", True, "2025-09-30T12:00:00Z"),
        ("regular", "100.5", True, "2025-09-30T13:30:00Z"),
    ]
    assert documents[0]["trigger"]["kind"] == "continuous"
    assert len({each["signal_id"] for each in documents}) == 2


def test_regular_signals_are_the_same_with_the_extended_scope_and_without(script: NewScript) -> None:
    """Watching extended hours changes no byte of what regular hours say; off, they say nothing."""
    without, watched = (pre_market(script(extended=extended)).documents() for extended in (False, True))

    assert [each for each in watched if each["scope"] == "regular"] == without
    assert {each["scope"] for each in without} == {"regular"}


def test_verdict_of_the_extended_scope_is_at_its_own_close(script: NewScript) -> None:
    """It is given after eight in the evening, by the last trade of the evening, whatever the official close was."""
    written = pre_market(script())
    written.clock("16:15:00")
    written.bar(DAY, "101", "95", "95")
    written.clock("19:00:00")
    written.tick("19:00:00", "102", "T")
    written.clock("20:15:00")

    assert said(written, "extended") == ["triggered 1 101", "new_extreme 1 102", "confirmed 1 102"]
    assert said(written, "regular") == ["triggered 1 100.5", "confirmed 1 100.5", "amended 1 95"]
    assert written.documents("high_52w")[-1]["event_time"] == "2025-10-01T00:00:00Z"


def test_extended_print_is_a_level_of_the_extended_scope_alone(script: NewScript) -> None:
    """Yesterday's print at 105 after the bell: 103 today passes the regular level of 100, 106 the extended one."""
    written = script("2025-09-29")
    written.history(high="100")
    written.tick("17:00:00", "105", "T")
    written.bar("2025-09-29", "99", "50", "90")
    written.tick("2025-09-30T14:00:00Z", "103")
    written.tick("2025-09-30T14:01:00Z", "106")

    levels = [(each["scope"], each["price"], each["level"]["price"]) for each in written.documents("high_52w")]

    assert ("regular", "103", "100") in levels
    assert ("extended", "106", "105") in levels
    assert ("extended", "103", "100") not in levels


def test_bar_of_a_record_is_widened_by_own_trades_and_sent_again_without_them(script: NewScript) -> None:
    """The bar's own high is forgotten when it is sent again, lower; the print of the evening stays."""
    written = script("2025-09-29")
    written.history(high="100")
    written.tick("17:00:00", "105", "T")
    written.clock("2025-09-30T00:15:00Z")
    written.bar("2025-09-29", "110", "50", "90")
    written.bar("2025-09-29", "104", "50", "90")
    written.clock("2025-09-30T14:00:00Z")
    written.tick("2025-09-30T14:00:00Z", "106")

    triggered = [each for each in written.documents("high_52w") if each["session_date"] == DAY]

    assert [(each["scope"], each["level"]["price"]) for each in triggered] == [("regular", "104"), ("extended", "105")]


def test_cancel_of_last_evenings_print_takes_its_level_back(script: NewScript) -> None:
    """The print that set the level was cancelled the next morning: 103 passes what is left, with the bar known."""
    written = script("2025-09-29")
    written.history(high="100")
    written.tick("16:30:00", "101", "T", trade_id="a")
    written.tick("17:00:00", "105", "T", trade_id="b")
    written.clock("2025-09-30T00:15:00Z")
    written.bar("2025-09-29", "99", "50", "90")
    written.clock("2025-09-30T14:00:00Z")
    written.tick("2025-09-30T12:00:00Z", "95", "T")
    written.cancel("17:00:00", "105", "T", trade_id="b")
    written.tick("2025-09-30T14:00:00Z", "103")

    last = [each for each in written.documents("high_52w") if each["scope"] == "extended"][-1]

    assert (last["session_date"], last["transition"], last["level"]["price"]) == (DAY, "triggered", "101")


def test_correction_of_last_evenings_print_moves_its_level_beside_an_official_bar(script: NewScript) -> None:
    """The print that set the level was corrected the next morning: 105.5 passes what it should have been, not 107."""
    written = script("2025-09-29")
    written.history(high="100")
    written.tick("17:00:00", "107", trade_id="a", conditions=["T"])
    written.clock("2025-09-30T00:15:00Z")
    written.bar("2025-09-29", "99", "50", "90")
    written.clock("2025-09-30T14:00:00Z")
    written.tick("2025-09-30T12:00:00Z", "95", "T")
    written.correct("17:00:00", "107", {"price": "105", "conditions": ["T"]}, trade_id="a", conditions=["T"])
    written.tick("2025-09-30T14:00:00Z", "105.5")

    last = [each for each in written.documents("high_52w") if each["scope"] == "extended"][-1]

    assert (last["session_date"], last["transition"], last["level"]["price"]) == (DAY, "triggered", "105")


@pytest.mark.parametrize(
    "conditions, expected",
    [("T", ["continuous"]), ("U", ["late_or_derived"]), ("TZ", ["late_or_derived"]), ("TI", []), ("TC", [])],
)
def test_only_a_no_for_the_hours_is_lifted(script: NewScript, conditions: str, expected: list[str]) -> None:
    """Form T alone counts; out of sequence it triggers as late; an odd lot or a cash sale stays out there too."""
    written = script()
    written.history(high="100")
    written.tick("08:00:00", "101", *conditions)

    assert [each["trigger"]["kind"] for each in written.documents("high_52w")] == expected


def test_trade_sold_out_of_sequence_is_no_last_price_of_the_extended_scope(script: NewScript) -> None:
    """Code U sets an extreme; the verdict is by the trade before it."""
    written = script()
    written.history(high="100")
    written.tick("08:00:00", "99", "T")
    written.tick("19:00:00", "101", "U")
    written.clock("20:15:00")

    assert said(written, "extended") == ["triggered 1 101", "unconfirmed 1 99"]


def test_evening_before_belongs_to_the_session_it_opens(script: NewScript) -> None:
    """A trade of Monday night is one of Tuesday's extended session; its level is of the sessions before Tuesday."""
    written = script()
    written.history(high="100")
    written.tick("2025-09-30T00:30:00Z", "101", "T")

    assert [(each["scope"], each["session_date"]) for each in written.documents("high_52w")] == [("extended", DAY)]


def test_half_day_ends_its_extended_hours_early(script: NewScript) -> None:
    """On the Friday after Thanksgiving extended hours end at five: a print at six is of no session."""
    written = script("2025-11-28")
    written.history(high="100")
    written.tick("16:59:00", "101", "T")
    written.tick("18:00:00", "102", "T")
    written.clock("20:15:00")

    assert said(written, "extended") == ["triggered 1 101", "confirmed 1 101"]


def test_early_close_that_is_none_leaves_the_evening(script: NewScript) -> None:
    """A bell told for four days later, or for the hour it has anyway, changes no session: the evening is traded."""
    written = script()
    written.history(high="100")
    for close in ("2025-10-03T17:00:00Z", "2025-09-30T20:00:00Z"):
        record = {"type": "session", "mic": "XNYS", "session_date": DAY, "status": "early_close", "close": close}
        written.records.append({**record, "time": written.time("11:00:00")})
    written.tick("17:00:00", "101", "T")
    written.clock("20:15:00")

    assert said(written, "extended") == ["triggered 1 101", "confirmed 1 101"]


def test_market_without_extended_hours_has_no_such_scope(script: NewScript) -> None:
    """Hong Kong has none: what is said there is said once."""
    written = script(instrument="XHKG:9988")
    written.history(high="100")
    written.tick("10:00:00", "101")

    assert [each["scope"] for each in written.documents("high_52w")] == ["regular"]


def test_measures_and_other_families_are_of_regular_hours_alone(script: NewScript) -> None:
    """Returns, proximity, closes and look-backs of one's own say nothing in extended hours."""
    families = ("high_52w", "low_52w", "session_return", "gap", "proximity_high_52w", "close_high_52w", "high_20s")
    written = script(families=families)
    written.history(high="100")
    written.tick("08:00:00", "101", "T")
    written.tick("08:01:00", "108", "T")
    written.clock("20:15:00")

    assert {each["family"] for each in written.documents() if each["scope"] == "extended"} == {"high_52w"}


def test_first_print_of_the_night_at_half_the_close_is_suspected_there(script: NewScript) -> None:
    """The guard stands in extended hours too, says so in their scope, and is settled for both by the operator."""
    written = script()
    written.history(high="100", low="60", close="90")
    written.tick("08:00:00", "45", "T")
    written.tick("09:30:00", "89", "@")
    written.say("accept", session_date=DAY)

    suspected = written.documents("suspected_split")

    assert [(each["scope"], each["transition"]) for each in suspected] == [
        ("extended", "suspect"),
        ("extended", "released"),
    ]
    assert said(written, "extended")[0] == "triggered 1 45"
    assert said(written, "regular") == []


def test_cancelled_trigger_of_extended_hours_is_retracted_there(script: NewScript) -> None:
    """A cancel of the pre-market print takes back the extended signal and leaves the regular one."""
    written = pre_market(script())
    written.records[-2]["trade_id"] = "a"
    written.cancel("08:00:00", "101", "T", trade_id="a")

    assert said(written, "extended") == ["triggered 1 101", "amended 1 100.5"]
    assert said(written, "regular") == ["triggered 1 100.5"]


def test_what_is_said_of_extended_hours_fits_its_schemas() -> None:
    """A consumer that validates takes breakouts and suspicions of both scopes."""
    written = Script("engine", DAY, extended=True)
    written.history(high="100", low="60", close="90")
    written.tick("08:00:00", "45", "T")
    written.tick("09:30:00", "101", "@")
    written.say("accept", session_date=DAY)

    found = written.documents("high_52w", "low_52w", "suspected_split")

    assert {(each["scope"], each["family"]) for each in found} > {("extended", "low_52w"), ("regular", "high_52w")}
    for each in found:
        name = "suspected-split" if each["family"] == "suspected_split" else "breakout"
        schema = json.loads((SCHEMAS / f"{name}-signal.schema.json").read_text(encoding="utf-8"))
        Draft202012Validator(schema).validate(each)


def test_scope_switched_on_begins_with_the_bars_that_are_known() -> None:
    """No history has to be published again: the next extended session has its levels, and regular hours go on."""
    written = Script("engine", DAY)
    written.history(high="100")
    written.clock("2025-09-30T12:00:00Z")
    markets = markets_of(Log(written.rules, {"XNYS": written.sessions}, []))
    processor = Processor(markets, Rules())
    processor.records(written.records)

    terms = Terms(markets, Rules(extended=True), JoinRules())
    processor.engine, _ = adopt(terms, processor.engine, Join())
    processor.tick(written.instrument, "2025-09-30T12:00:00Z", "101", conditions=["T"])
    processor.clock("2025-09-30T13:30:00Z")
    processor.tick(written.instrument, "2025-09-30T13:30:00Z", "100.5", conditions=["@"])

    told = [json.loads(encode(signal, source="/test").value) for signal in processor.signals()]
    assert [(each["scope"], each["price"]) for each in told if each["family"] == "high_52w"] == [
        ("extended", "101"),
        ("regular", "100.5"),
    ]


def test_scope_switched_off_leaves_the_snapshot() -> None:
    """Its pieces go, and what is written then is the regular scope alone."""
    written = Script("engine", DAY)
    written.history(high="100")
    markets = markets_of(Log(written.rules, {"XNYS": written.sessions}, []))
    processor, writer = Processor(markets, Rules(extended=True)), SnapshotWriter(IDENTITY)
    processor.records(written.records)
    topic = collect(writer.write(processor.engine, Join(), positions=POSITIONS).records)
    watched = snapshot_of(topic)

    processor.engine, _ = adopt(Terms(markets, Rules(), JoinRules()), processor.engine, Join())
    topic = collect([*topic.items(), *writer.write(processor.engine, Join(), positions=POSITIONS).records])

    assert watched.engine.extended is not None
    assert snapshot_of(topic).engine.extended is None
    assert not [key for key in topic if b"scope-extended" in key]


def test_prices_of_a_bar_without_a_trade_are_nobodys() -> None:
    """A bar of volume 0 may name prices on the wire: no level is made of them beside the scope's own trades."""
    written = Script("engine", "2025-09-29")
    written.history(high="100")
    written.tick("17:00:00", "105", "T")
    written.bar("2025-09-29", "1", "1", "1")
    written.records[-1]["volume"] = "0"
    written.tick("2025-09-30T14:00:00Z", "49")
    markets = markets_of(Log(written.rules, {"XNYS": written.sessions}, []))
    engine = Engine(markets, Rules(extended=True, split_guard=False))
    frames = frame_values([json.dumps(record).encode() for record in written.records], first_offset=0)
    frames.frames["append_ns"] = 2**61

    decoded = TickDecoder(engine.instruments).decode(frames)
    signals = signals_of(engine.fold(decoded.records, decoded.bars, decoded.buffer, decoded.details), engine)

    assert decoded.rejected == []
    lows = [json.loads(encode(signal, source="/test").value) for signal in signals if signal.family == "low_52w"]
    assert [(each["scope"], each["level"]["price"]) for each in lows] == [("regular", "50"), ("extended", "50")]
