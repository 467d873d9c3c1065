"""Splits that nobody announced: what is withheld, what settles it, and what is said then."""

from __future__ import annotations

from typing import Any

import pytest

from tests.property.engine_run import Outcome, fold
from tests.property.streams_markets import Log
from tests.scripted import Script

DAY = "2025-09-30"
BREAKOUTS = ("high_52w", "low_52w")


def script(high: str = "400", low: str = "240", close: str = "390", **rules: Any) -> Script:
    written = Script("engine", DAY, **rules)
    written.history(high=high, low=low, close=close)
    return written


def outcome(written: Script) -> Outcome:
    return fold(Log(written.rules, {"XNYS": written.sessions}, written.records))


def test_unannounced_split_is_suspected_and_nothing_else_is_said() -> None:
    """A first trade at a quarter of the close: the false low is withheld."""
    written = script()
    written.tick("09:30:00", "98")
    written.tick("09:30:01", "97")

    documents = written.documents()

    assert [(d["family"], d["transition"], d["side"]) for d in documents] == [("suspected_split", "suspect", "down")]
    assert documents[0]["suspected_split"] == {
        "last_close": "390",
        "last_close_date": "2025-09-29",
        "ratio": "4:1",
        "withheld": 0,
        "lost": 0,
    }


@pytest.mark.parametrize(
    ("price", "ratio"),
    [("195", "2:1"), ("206.7", "2:1"), ("206.71", None), ("780", "1:2"), ("585", "2:3"), ("260", "3:2"), ("400", None)],
)
def test_guard_knows_the_ratios_of_splits(price: str, ratio: str | None) -> None:
    """Within six percent of n:1 or 1:n, 3:2 or 2:3 of the last close."""
    written = script(low="1", high="9000")
    written.tick("09:30:00", price)

    suspected = [d["suspected_split"]["ratio"] for d in written.documents("suspected_split")]

    assert suspected == ([ratio] if ratio else [])


def test_action_discards_what_was_withheld() -> None:
    """The split is announced late: the false signals are gone, the true level holds, the ordinals begin anew."""
    written = script()
    written.tick("09:30:00", "98")
    written.tick("09:30:01", "99")
    written.action(DAY, 4, 1)
    written.tick("10:00:00", "100.01")

    documents = written.documents("suspected_split", *BREAKOUTS)

    assert [d["transition"] for d in documents] == ["suspect", "discarded", "triggered"]
    assert documents[1]["suspected_split"]["withheld"] > 0
    assert (documents[2]["ordinal"], documents[2]["revision"], documents[2]["level"]["price"]) == (1, 1, "100")


def test_action_that_changes_no_price_settles_nothing_whatever_it_replaces() -> None:
    """A split of last week is corrected to a spin-off of today: that is no reason for today's gap."""
    written = script()
    written.action("2025-09-25", 4, 1)
    written.tick("09:30:00", "98")
    written.action(DAY, 1, 1, action="spin_off")

    assert [d["transition"] for d in written.documents("suspected_split")] == ["suspect"]


@pytest.mark.parametrize("word", ["bar", "accept"])
def test_fall_that_is_real_is_released_in_order(word: str) -> None:
    """A bar that states no split, or an operator: late, marked as held, and right."""
    written = script()
    written.tick("09:30:00", "200")
    written.tick("09:30:02", "190")
    written.tick("15:59:59", "191")
    written.clock("16:15:00")
    if word == "bar":
        prices = {"open": "200", "high": "200", "low": "190", "close": "191"}
        written.say("bar", session_date=DAY, split=False, **prices)
    else:
        written.say("accept", session_date=DAY)

    documents = written.documents("suspected_split", "low_52w")

    assert [d["transition"] for d in documents] == ["suspect", "released", "triggered", "new_extreme", "confirmed"]
    assert [d["held"] for d in documents] == [False, False, True, True, True]
    assert [d["revision"] for d in documents] == [1, 2, 1, 2, 3]


def test_suspicion_lasts_until_it_is_settled() -> None:
    """The next session is withheld too, and tested by nobody again."""
    written = script()
    written.tick("09:30:00", "200")
    written.clock("2025-10-01T13:59:59Z")
    written.tick("2025-10-01T14:00:00Z", "100")
    written.say("accept", session_date=DAY)

    documents = written.documents("suspected_split", "low_52w")

    assert [(d["transition"], d["session_date"]) for d in documents] == [
        ("suspect", DAY),
        ("released", DAY),
        ("triggered", DAY),
        ("confirmed", DAY),
        ("triggered", "2025-10-01"),
    ]


def test_more_than_sixty_four_transitions_are_lost_and_counted() -> None:
    """What is withheld has a limit, and the release says how many are missing."""
    written = script(conflate_ms=0)
    for number in range(80):
        written.tick(f"09:{30 + number // 60}:{number % 60:02d}", f"{200 - number / 4}")
    written.say("accept", session_date=DAY)

    released = next(d for d in written.documents("suspected_split") if d["transition"] == "released")

    assert released["suspected_split"]["withheld"] == 64
    assert released["suspected_split"]["lost"] == outcome(written).counters["withheld_lost"] > 0
    assert sum(d["held"] for d in written.documents()) == 64


def test_momentum_as_everybody_knew_it_survives_a_discarded_suspicion() -> None:
    """A measure that was in before stays in: its withheld exit was the change of units."""
    written = Script("engine", DAY)
    written.history(high="1000", low="10", close="390", days={"2024-12-31": "1000 10 200"})
    written.tick("2025-09-26T14:00:00Z", "240")
    written.tick("2025-09-26T14:00:01Z", "400")
    written.tick("2025-09-29T14:00:00Z", "400")
    written.clock("2025-09-30T13:29:59Z")
    written.tick("09:30:00", "100")
    written.action(DAY, 4, 1)
    written.clock("10:00:01")
    written.tick("10:00:00", "101")
    written.tick("10:00:01", "59")

    assert written.told("ytd") == ["entered 1 400", "exited 1 59"]


def test_measure_that_is_in_once_a_suspicion_is_discarded_is_told() -> None:
    """Nobody was told of the withheld entry, so the next trade is news: 103 is 5.6 percent above 390 / 4."""
    written = script()
    written.tick("09:30:00", "98")
    written.action(DAY, 4, 1)
    written.tick("10:00:00", "103")

    assert written.told("session_return") == ["entered 1 103"]


def test_expiry_after_a_discarded_suspicion_says_the_base_that_was_told() -> None:
    """The base is gone when the suspicion ends; what was entered on it still names it."""
    written = Script("engine", DAY)
    written.history(high="1000", low="10", close="390", days={"2024-12-31": "1000 10 200"})
    written.tick("2025-09-26T14:00:00Z", "240")
    written.tick("2025-09-26T14:00:01Z", "400")
    written.tick("2025-09-29T14:00:00Z", "400")
    written.clock("2025-09-30T13:29:59Z")
    written.tick("09:30:00", "100")
    written.action("2025-10-01", 1, 1, action_id="gone", action="delisting")
    written.clock("2025-10-01T13:30:00Z")
    written.tick("2025-10-01T13:30:00Z", "100")
    written.action(DAY, 4, 1)

    documents = written.documents("ytd")

    assert [(d["transition"], d["measure"]["base_price"]) for d in documents] == [
        ("entered", "200"),
        ("expired", "200"),
    ]


@pytest.mark.parametrize("word", ["cancel", "correct"])
def test_suspect_that_is_taken_back_is_suspected_no_longer(word: str) -> None:
    """A slip at half the price opened the session and was taken back: what is traded since is no split."""
    written = script("100", "80", "90")
    written.tick("09:30:00", "45", trade_id="1")
    written.tick("09:30:05", "91", trade_id="2")
    if word == "cancel":
        written.cancel("09:30:00", "45", trade_id="1")
    else:
        written.correct("09:30:00", "45", {"price": "90.5"}, trade_id="1")
    written.tick("10:00:00", "101", trade_id="3")

    assert written.told("suspected_split") == ["suspect 1 45", "released 1 45"]
    assert written.told("high_52w") == ["triggered 1 101"]
    assert [(d["transition"], d["held"]) for d in written.documents("low_52w")] == [
        ("triggered", True),
        ("failed", True),
        ("retracted", True),
    ]


@pytest.mark.parametrize(
    ("price", "end"), [("91", ["released 1 45"]), ("46", []), ("68", ["released 1 45"]), ("67", [])]
)
@pytest.mark.parametrize("word", ["cancel", "correct"])
def test_next_trade_says_whether_a_suspect_that_was_the_only_trade_was_right(
    word: str, price: str, end: list[str]
) -> None:
    """Where nothing else was traded, the next trade does: nearer to the last close of 90 or to the half of it."""
    written = script("100", "80", "90")
    written.tick("09:30:00", "45", trade_id="1")
    if word == "cancel":
        written.cancel("09:30:00", "45", trade_id="1")
        written.tick("09:30:05", price, trade_id="2")
    else:
        written.correct("09:30:00", "45", {"price": price}, trade_id="1")

    assert written.told("suspected_split") == ["suspect 1 45", *end]


def test_split_stays_suspected_where_the_other_trades_say_so_too() -> None:
    """The opening print is cancelled, the price has moved since, and it is a split all the same."""
    written = script("100", "80", "90")
    written.tick("09:30:00", "45", trade_id="1")
    written.tick("09:30:05", "52", trade_id="2")
    written.cancel("09:30:00", "45", trade_id="1")
    written.tick("10:00:00", "53", trade_id="3")

    assert written.told() == ["suspect 1 45"]


def test_session_after_a_suspect_that_was_taken_back_settles_it() -> None:
    """Nothing else was traded that day; the next session opens at its usual price."""
    written = script("100", "80", "90")
    written.tick("09:30:00", "45", trade_id="1")
    written.cancel("09:30:00", "45", trade_id="1")
    written.clock("2025-10-01T13:59:59Z")
    written.tick("2025-10-01T14:00:00Z", "101", trade_id="1")

    assert written.told("suspected_split") == ["suspect 1 45", "released 1 45"]
    assert written.told("high_52w") == ["triggered 1 101"]
