"""Families of the close, of look-backs of one's own, and what a signal says of its window."""

from __future__ import annotations

from typing import Any

import pytest

from streams.core.rules import Rules
from tests.scripted import Script

DAY = "2025-09-30"


def script(*families: str, **rules: Any) -> Script:
    written = Script("engine", DAY, families=families, **rules)
    written.history(high="100", low="50", close="90", days={"2025-06-02": "130 60 95", "2025-09-15": "105 70 91"})
    return written


def test_close_family_is_judged_once_by_the_close() -> None:
    """An intraday pierce that closes below is nothing; a close above the highest close is one event."""
    for close, told in (("95", []), ("95.01", ["triggered 1 95.01"])):
        written = script("close_high_52w")
        written.tick("10:00:00", "120")
        written.tick("15:59:59", close)
        written.clock("16:15:00")

        assert written.told() == told


def test_close_family_says_what_it_is() -> None:
    """Basis close, the level's session, the close as its trigger, an id of its own."""
    written = script("close_high_52w")
    written.tick("15:59:59", "96")
    written.clock("16:15:00")

    document = written.documents()[0]

    assert (document["family"], document["basis"], document["scope"]) == ("close_high_52w", "close", "regular")
    assert (document["level"]["price"], document["level"]["session_date"]) == ("95", "2025-06-02")
    assert (document["event_time"], document["close_source"]) == ("2025-09-30T20:00:00Z", "consolidated")
    assert (document["trigger"]["time"], document["trigger"]["trade_id"]) == ("2025-09-30T20:00:00Z", None)


def test_corrected_close_amends_or_retracts_the_family_of_the_close() -> None:
    """What the close made, another close may take back."""
    for corrected, told in (("97", "amended 1 97"), ("94", "retracted 1 None")):
        written = script("close_high_52w")
        written.tick("15:59:59", "96")
        written.clock("16:30:00")
        written.tick("16:30:00", corrected, "9", size="0")

        assert written.told() == ["triggered 1 96", told]


def test_look_backs_of_ones_own_have_levels_and_ids_of_their_own() -> None:
    """20 sessions see 105, 126 see 130, the 52 weeks too: three families, three signals."""
    written = script("high_52w", "high_20s", "high_126s")
    written.tick("10:00:00", "105.5")
    written.tick("10:00:10", "131")

    documents = [d for d in written.documents() if d["transition"] == "triggered"]

    assert [(d["family"], d["level"]["price"], d["level"]["lookback"]) for d in documents] == [
        ("high_20s", "105", "20s"),
        ("high_52w", "130", "364d"),
        ("high_126s", "130", "126s"),
    ]
    assert len({d["signal_id"] for d in documents}) == 3
    assert [d["level"]["sessions"] for d in documents] == [20, 249, 126]


def test_short_window_is_full_while_the_long_one_is_partial() -> None:
    """Thirty sessions of history are enough for twenty."""
    written = Script("engine", DAY, families=("low_52w", "low_20s"))
    written.history(30, high="100", low="50", close="60")
    written.tick("10:00:00", "49")

    assert [d["family"] for d in written.documents()] == ["low_20s"]
    assert written.documents()[0]["level"]["window_status"] == "full"


def test_streak_and_fresh_are_those_of_the_family() -> None:
    """Yesterday broke the twenty sessions' high and not the year's."""
    written = script("high_52w", "high_20s")
    written.bar("2025-09-29", "106", "80", "100")
    written.tick("10:00:00", "131")

    said = {d["family"]: (d["fresh"], d["streak"]) for d in written.documents()}

    assert said == {"high_52w": (True, 1), "high_20s": (False, 2)}


@pytest.mark.parametrize(("price", "told"), [("130", ["triggered 1 130"]), ("129.99", [])])
def test_T_W4_match_mode_triggers_at_the_level(price: str, told: list[str]) -> None:
    """Made or matched."""
    written = script("high_52w", equality="match", split_guard=False)
    written.tick("10:00:00", price)

    assert written.told() == told


@pytest.mark.parametrize(
    ("families", "words"),
    [
        (("high_20s", "low_30s", "high_40s"), "at most 2 look-backs"),
        (("high_25w",), "names among"),
        (("high_0s",), "names among"),
    ],
)
def test_families_that_cannot_be_are_refused(families: tuple[str, ...], words: str) -> None:
    """Two look-backs besides the first, in days or sessions."""
    with pytest.raises(ValueError, match=words):
        Rules(families=families)


def test_breakouts_of_closes_know_those_of_their_side_that_are_not_asked_for() -> None:
    """The day before broke the 52-week high, unsaid: the close above it today is not fresh, and the second in a row."""
    written = Script("engine", DAY, families=("close_high_52w",))
    written.history(high="100")
    written.tick("10:00:00", "101")
    written.tick("15:59:59", "89")
    written.clock("2025-10-01T13:59:59Z")
    written.tick("2025-10-01T14:00:00Z", "92")
    written.clock("2025-10-01T20:15:00Z")

    told = [(d["transition"], d["session_date"], d["fresh"], d["streak"]) for d in written.documents()]

    assert told == [("triggered", "2025-10-01", False, 2)]


def test_breakout_of_a_close_is_retracted_with_its_session() -> None:
    """It was told, so it is taken back, whenever the exchange cancels the session."""
    written = Script("engine", DAY, families=("close_high_52w",))
    written.history(high="100")
    written.tick("10:00:00", "99")
    written.clock("16:15:00")
    written.records.append({"type": "session", "mic": "XNYS", "session_date": DAY, "status": "cancelled"})

    documents = written.documents()

    assert [(d["transition"], d["reason"]) for d in documents] == [
        ("triggered", None),
        ("retracted", "session_cancelled"),
    ]
