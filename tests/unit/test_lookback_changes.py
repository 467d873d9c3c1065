"""Look-backs that come, go or change places in the configuration: an open signal keeps its name, or ends."""

from __future__ import annotations

import pytest

from streams.core.join import Join, JoinRules
from streams.core.processor import Processor
from streams.core.rules import Rules
from streams.kafka.terms import Terms, adopt
from tests.property.engine_run import markets_of
from tests.property.streams_markets import Log
from tests.scripted import Script

DAY = "2025-09-30"
FIRST = ("high_52w", "high_20s", "low_20s", "high_5s")


def changed(*families: str, guarded: bool = False) -> list[tuple[str, str, str, str]]:
    """What is said after the rules changed, of signals that were open then: family, transition, look-back, id."""
    written = Script("engine", DAY)
    written.history(high="100", low="80", close="90", days={"2025-03-17": "130 80 90"})
    markets = markets_of(Log(written.rules, {"XNYS": written.sessions}, []))
    processor = Processor(markets, Rules(families=FIRST))
    processor.records(written.records)
    price = "45" if guarded else "101"
    processor.clock("2025-09-30T14:00:00Z")
    processor.tick(written.instrument, "2025-09-30T14:00:00Z", price)
    opened = {signal.signal_id: signal.family for signal in processor.signals()}

    terms = Terms(markets, Rules(families=families), JoinRules())
    processor.engine, _ = adopt(terms, processor.engine, Join())
    if guarded:
        processor.records([{"type": "accept", "instrument": written.instrument, "session_date": DAY}])
    processor.clock("2025-09-30T20:15:00Z")

    told = [signal for signal in processor.signals() if signal.breakout is not None]
    assert guarded or all(opened[signal.signal_id] == signal.family for signal in told)
    return [
        (signal.family, signal.transition, signal.breakout.level.lookback, str(signal.breakout.level.price // 10**8))
        for signal in told
        if signal.breakout is not None
    ]


@pytest.mark.parametrize(
    "families, expected",
    [
        (FIRST, ["high_20s", "high_5s"]),
        (("high_52w", "high_5s", "high_20s"), ["high_5s", "high_20s"]),
        (("high_52w", "high_5s"), ["high_5s"]),
        (("high_52w", "low_7s", "high_20s"), ["high_20s"]),
        (("high_52w",), []),
    ],
)
def test_open_signal_keeps_its_name_or_ends(families: tuple[str, ...], expected: list[str]) -> None:
    """Whatever place its look-back has now, the verdict is said under the name and the id of the trigger."""
    assert changed(*families) == [(name, "confirmed", name.partition("_")[2], "100") for name in expected]


def test_look_back_that_is_new_begins_with_the_next_session() -> None:
    """Today has no level of it, so nothing of today is said in its name."""
    assert [family for family, *_ in changed("high_7s", "high_20s")] == ["high_20s"]


def test_transition_withheld_under_suspicion_keeps_its_name_or_is_dropped() -> None:
    """Half the last close is suspected; what waits is released under its own name, without look-backs that are gone."""
    same = changed(*FIRST, guarded=True)

    assert [entry[:2] for entry in same] == [("low_20s", "triggered"), ("low_20s", "confirmed")]
    assert changed("high_5s", "low_20s", guarded=True) == same
    assert changed("high_5s", guarded=True) == []


def test_marks_of_the_past_move_with_their_look_back() -> None:
    """Yesterday's breakout of 20 sessions is still one, so today's is the second in a row."""
    written = Script("engine", DAY)
    written.history(high="100", low="80", close="90", days={"2025-09-29": "101 80 90", "2025-03-17": "130 80 90"})
    markets = markets_of(Log(written.rules, {"XNYS": written.sessions}, []))
    processor = Processor(markets, Rules(families=FIRST))
    processor.records(written.records)
    terms = Terms(markets, Rules(families=("high_7s", "high_20s")), JoinRules())

    processor.engine, _ = adopt(terms, processor.engine, Join())
    processor.clock("2025-09-30T14:00:00Z")
    processor.tick(written.instrument, "2025-09-30T14:00:00Z", "102")

    assert [(signal.family, signal.breakout.streak) for signal in processor.signals() if signal.breakout] == [
        ("high_7s", 1),
        ("high_20s", 2),
    ]
