"""The breakout rows of the edge-case matrix, worked by hand, for the oracle and for the engine alike."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.scripted import BREAKOUTS, JUDGES, Script

DAY = "2025-09-30"
NewScript = Callable[..., Script]


@pytest.fixture(params=JUDGES)
def script(request: pytest.FixtureRequest) -> NewScript:
    return lambda day=DAY, **options: Script(request.param, day, **options)


# The walk-through of the specification: level 100.00, tick 0.01, hysteresis 50 basis points.
WALK = (
    ("09:31:00", "99.90"),
    ("09:40:00", "100.00"),
    ("09:41:00", "100.01"),
    ("09:41:02", "100.20"),
    ("09:45:00", "99.80"),
    ("09:50:00", "100.30"),
    ("10:10:00", "99.49"),
    ("10:30:00", "100.29"),
    ("10:31:00", "100.31"),
    ("11:00:00", "100.60"),
)
FIRST_HALF = ["triggered 1 100.01", "new_extreme 1 100.2", "new_extreme 1 100.3", "failed 1 99.49"]
WALKS = {
    (1, "100.45"): ["new_extreme 1 100.31", "new_extreme 1 100.6", "confirmed 1 100.45"],
    (2, "100.45"): ["triggered 2 100.31", "new_extreme 2 100.6", "confirmed 2 100.45"],
    (1, "99.90"): ["new_extreme 1 100.31", "new_extreme 1 100.6", "unconfirmed 1 99.9"],
    (2, "99.90"): ["triggered 2 100.31", "new_extreme 2 100.6", "unconfirmed 2 99.9"],
}


def walk(written: Script, close: str) -> None:
    written.history(high="98", low="50", days={"2025-03-17": "100 60 90"})
    for time, price in WALK:
        written.tick(time, price)
    written.tick("15:59:59", close)
    written.clock("16:15:00")


@pytest.mark.parametrize("max_triggers, close", WALKS)
def test_walk_through_has_both_columns(script: NewScript, max_triggers: int, close: str) -> None:
    """After a failure the next trigger must clear today's extreme; the latest ordinal alone gets the verdict."""
    written = script(max_triggers=max_triggers)
    walk(written, close)

    assert written.told("high_52w") == FIRST_HALF + WALKS[max_triggers, close]


def test_first_signal_that_failed_and_closed_above_is_recovered(script: NewScript) -> None:
    """With one trigger a session the failed signal ends confirmed, and says that it had failed and recovered."""
    written = script()
    walk(written, "100.45")

    last = written.documents("high_52w")[-1]

    assert (last["transition"], last["failed"], last["recovered"]) == ("confirmed", True, True)
    assert (last["revision"], last["event_time"], last["close_source"]) == (7, "2025-09-30T20:00:00Z", "consolidated")


def test_second_signal_is_measured_by_todays_extreme(script: NewScript) -> None:
    """The second ordinal's level is the extreme it cleared; the window's level stays as its base."""
    written = script(max_triggers=2)
    walk(written, "100.45")

    second = next(document for document in written.documents("high_52w") if document["ordinal"] == 2)

    level = second["level"]
    assert (level["price"], level["session_date"], level["base_price"]) == ("100.3", "2025-09-30", "100")
    assert (second["failed"], second["gap"], second["metrics"]["base_length_sessions"]) == (False, False, 0)
    assert second["metrics"]["nearness"] == pytest.approx(100.31 / 100.30, abs=5e-7)


def test_low_side_mirrors_the_high_side(script: NewScript) -> None:
    """The walk-through reflected at the level gives the same story on the lower side."""
    written = script(max_triggers=2)
    written.history(high="150", low="102", close="110", days={"2025-03-17": "120 100 110"})
    for time, price in (*WALK, ("15:59:59", "100.45")):
        written.tick(time, f"{200 - float(price):.2f}")
    written.clock("16:15:00")

    assert written.told("low_52w") == [
        "triggered 1 99.99",
        "new_extreme 1 99.8",
        "new_extreme 1 99.7",
        "failed 1 100.51",
        "triggered 2 99.69",
        "new_extreme 2 99.4",
        "confirmed 2 99.55",
    ]


@pytest.mark.parametrize(
    "price, expected", [("99.50", ["triggered 1 101", "failed 1 99.5"]), ("99.51", ["triggered 1 101"])]
)
def test_breakout_fails_at_the_line_and_not_above_it(script: NewScript, price: str, expected: list[str]) -> None:
    """Fifty basis points below a level of 100 is 99.50: at it the breakout has failed, above it not."""
    written = script()
    written.history(high="100")
    written.tick("10:00:00", "101")
    written.tick("11:00:00", price)

    assert written.told("high_52w") == expected


def test_extremes_within_a_second_are_held_and_the_newest_is_sent(script: NewScript) -> None:
    """A held extreme goes out with the first one past the window, and opens a window from its own time."""
    written = script()
    written.history(high="100")
    for time, price in (("10:00:00", "101"), ("10:00:00.2", "102"), ("10:00:00.9", "103"), ("10:00:01", "104")):
        written.tick(time, price)
    before_its_end = written.told("high_52w")
    written.clock("10:00:01.9")

    assert before_its_end == ["triggered 1 101", "new_extreme 1 103"]
    assert written.told("high_52w") == [*before_its_end, "new_extreme 1 104"]


@pytest.mark.parametrize(
    "lookback, outlier, price, expected",
    [
        # T-W1: S - 364 days is inside.
        ("364d", "2024-10-01", "100.01", ["triggered 1 100.01"]),
        ("364d", "2024-10-01", "100.00", []),
        # T-W2: S - 365 days has aged out, so that the level is the other days' 99.
        ("364d", "2024-09-30", "99.01", ["triggered 1 99.01"]),
        # T-W3: 252 sessions reach back to 2024-09-26.
        ("252s", "2024-09-30", "99.01", []),
        ("252s", "2024-09-26", "99.01", []),
        ("252s", "2024-09-25", "99.01", ["triggered 1 99.01"]),
        # The same calendar date last year is inside.
        ("1y", "2024-09-30", "99.01", []),
    ],
)
def test_window_begins_where_the_look_back_says(
    script: NewScript, lookback: str, outlier: str, price: str, expected: list[str]
) -> None:
    """T-W1 to T-W3: a high counts on the window's first session and no longer the day after."""
    written = script(lookback=lookback)
    written.history(high="99", days={outlier: "100 60 90"})
    written.tick("10:00:00", price)

    assert written.told("high_52w") == expected


@pytest.mark.parametrize(
    "lookback, start, sessions", [("364d", "2024-10-01", 249), ("1y", "2024-09-30", 250), ("252s", "2024-09-26", 252)]
)
def test_window_is_named_on_every_signal(script: NewScript, lookback: str, start: str, sessions: int) -> None:
    """The three look-backs before 2025-09-30 hold the sessions that the specification counted."""
    written = script(lookback=lookback)
    written.history(high="99", days={"2025-03-17": "100 60 90"})
    written.tick("10:00:00", "101")

    level = written.documents("high_52w")[0]["level"]

    assert (level["lookback"], level["window_start"], level["window_end"]) == (lookback, start, "2025-09-29")
    assert (level["sessions"], level["sessions_expected"], level["window_status"]) == (sessions, sessions, "full")
    assert (level["price"], level["session_date"]) == ("100", "2025-03-17")


@pytest.mark.parametrize("equality, expected", [("strict", []), ("match", ["triggered 1 100"])])
def test_equal_price_triggers_only_when_a_match_counts(script: NewScript, equality: str, expected: list[str]) -> None:
    """T-W4: made or matched is a choice."""
    written = script(equality=equality)
    written.history(high="100")
    written.tick("10:00:00", "100")

    assert written.told("high_52w") == expected


def test_extended_hours_print_sets_no_level(script: NewScript) -> None:
    """T-W5: what traded after yesterday's close is no level of today."""
    written = script()
    written.history(high="100")
    written.tick("2025-09-29T14:00:00Z", "98", "@")
    written.tick("2025-09-29T21:00:00Z", "105", "T")
    written.tick("10:00:00", "101")

    level = written.documents("high_52w")[0]["level"]

    assert level["price"] == "100"


def test_short_history_says_nothing(script: NewScript) -> None:
    """T-W6: ten sessions are no 52 weeks."""
    written = script()
    written.history(10, high="100")
    written.tick("10:00:00", "101")

    assert written.told(*BREAKOUTS, "proximity_high_52w", "proximity_low_52w") == []


def test_a_recent_gap_in_the_history_says_nothing(script: NewScript) -> None:
    """Twelve missing sessions leave 95.2 percent of the window, but they are the newest ones: degraded."""
    written = script()
    for session in written.before(260)[:-12]:
        written.bar(session.date.isoformat(), "100", "50", "90")
    written.tick("10:00:00", "101")

    assert written.told("high_52w") == []


@pytest.mark.parametrize(
    "conditions, tape, expected",
    [
        (["I"], "A", []),  # T-C1: odd lot
        (["B"], "A", []),  # T-C2: average price there
        (["B"], "C", ["triggered 1 101"]),  # and bunched here
        (["F", "I"], "A", []),  # T-C3: one no wins
        (["Z"], "A", ["triggered 1 101"]),  # T-C4: sold out of sequence may set the high
        (["?"], "A", []),  # T-C6: unknown
        (["@"], "A", ["triggered 1 101"]),
        ([], "A", ["triggered 1 101"]),  # T-C7: no size test
    ],
)
def test_sale_conditions_decide_who_may_trigger(
    script: NewScript, conditions: list[str], tape: str, expected: list[str]
) -> None:
    """T-C1 to T-C7: the codes mean what their tape says, and one no wins."""
    written = script()
    written.history(high="100")
    written.tick("10:00:00", "101", *conditions, tape=tape)

    assert written.told("high_52w") == expected


def test_late_print_triggers_but_closes_nothing(script: NewScript) -> None:
    """T-C4: a sold-out-of-sequence print may set the high; the close stays with the last regular trade."""
    written = script()
    written.history(high="100")
    written.tick("10:00:00", "99.5")
    written.tick("10:01:00", "101", "Z")
    written.clock("16:15:00")

    assert written.told("high_52w") == ["triggered 1 101", "unconfirmed 1 99.5"]
    assert written.documents("high_52w")[0]["trigger"]["kind"] == "late_or_derived"


def test_pre_market_print_is_no_breakout_of_the_regular_session(script: NewScript) -> None:
    """T-C5: the pre-market print is outside; the open triggers, and as a gap."""
    written = script()
    written.history(high="100")
    written.tick("08:00:00", "101", "T")
    written.tick("09:30:00", "100.5", "@")

    signals = written.documents("high_52w")

    assert [(signal["price"], signal["gap"]) for signal in signals] == [("100.5", True)]


def test_gap_open_is_one_signal(script: NewScript) -> None:
    """T-B5: an open at 105 over a level of 100 triggers once, with the gap flag."""
    written = script()
    written.history(high="100")
    written.tick("09:30:00", "105")
    written.tick("09:31:00", "104")

    signals = written.documents("high_52w")

    assert [(signal["transition"], signal["gap"], signal["fresh"]) for signal in signals] == [("triggered", True, True)]


def test_same_log_gives_the_same_documents(script: NewScript) -> None:
    """T-B7: a replay says the same, with the same ids."""
    written = script(max_triggers=2)
    walk(written, "100.45")

    assert written.documents() == written.documents()
    assert written.documents("high_52w")[0]["signal_id"] == "231763b8-495c-5329-a4b7-54ff0f22cee0"


@pytest.mark.parametrize("clock, expected", [("13:14:59", []), ("13:15:00", ["confirmed 1 101"])])
def test_half_day_has_its_verdict_after_its_own_close(script: NewScript, clock: str, expected: list[str]) -> None:
    """T-D1: the day after Thanksgiving closes at 13:00; the verdict comes at 13:15 and carries the close's time."""
    written = script("2025-11-28")
    written.history(high="100")
    written.tick("10:00:00", "101")
    written.clock(clock)

    assert written.told("high_52w") == ["triggered 1 101", *expected]
    if expected:
        assert written.documents("high_52w")[-1]["event_time"] == "2025-11-28T18:00:00Z"


@pytest.mark.parametrize(
    "day, time, expected",
    [
        ("2025-09-30", "2025-09-30T03:59:59Z", ["triggered 1 101"]),
        ("2025-09-30", "2025-09-30T04:30:00Z", []),  # T-D2: lunch
        ("2025-09-30", "2025-09-30T05:00:00Z", ["triggered 1 101"]),
        ("2025-12-24", "2025-12-24T03:59:59Z", ["triggered 1 101"]),
        ("2025-12-24", "2025-12-24T05:30:00Z", []),  # T-D3: half day
    ],
)
def test_hong_kong_has_lunch_and_half_days(script: NewScript, day: str, time: str, expected: list[str]) -> None:
    """T-D2 and T-D3: what comes at lunch or after a half day's close is out of session."""
    written = script(day, instrument="XHKG:9988")
    written.history(high="100")
    written.tick(time, "101")

    assert written.told("high_52w") == expected


@pytest.mark.parametrize("day, expected", [("2025-03-10", ["triggered 1 101"]), ("2025-03-07", [])])
def test_summer_time_moves_the_open(script: NewScript, day: str, expected: list[str]) -> None:
    """T-D4: 13:30 UTC is the open from 2025-03-10 on, and an hour before it on the Friday before."""
    written = script(day)
    written.history(high="100")
    written.tick(f"{day}T13:30:00Z", "101")

    assert written.told("high_52w") == expected


def test_closing_auction_after_the_bell_counts_when_it_says_so(script: NewScript) -> None:
    """A trade that names its conditions may print up to 15 minutes after the bell; one that does not may not."""
    written = script()
    written.history(high="100")
    written.tick("16:00:00", "103")
    written.tick("16:00:01", "101", "6")
    written.tick("16:15:00", "104", "6")
    written.clock("16:15:00")

    assert written.told("high_52w") == ["triggered 1 101", "confirmed 1 101"]


@pytest.mark.parametrize("clock, expected", [("16:14:59", ["triggered 1 101"]), ("16:15:00", [])])
def test_trade_of_a_finished_session_is_late_even_for_a_new_instrument(
    script: NewScript, clock: str, expected: list[str]
) -> None:
    """The log's clock ends a session for every instrument, for one that it names only afterwards too."""
    written = script()
    written.clock(clock)
    written.history(high="100")
    written.tick("10:00:00", "101")

    assert written.told("high_52w") == expected


def test_official_close_decides_the_verdict(script: NewScript) -> None:
    """The session's bar, when it is known in time, beats the last trade."""
    written = script()
    written.history(high="100")
    written.tick("10:00:00", "101")
    written.clock("16:00:00")
    written.bar(DAY, "101", "99", "100")
    written.clock("16:15:00")

    last = written.documents("high_52w")[-1]

    assert (last["transition"], last["price"], last["close_source"]) == ("unconfirmed", "100", "official")


def test_second_day_in_a_row_is_a_streak_and_not_fresh(script: NewScript) -> None:
    """Yesterday's own breakout is today's level and history."""
    written = script()
    written.history(high="100")
    written.tick("10:00:00", "101")
    written.tick("2025-10-01T14:00:00Z", "102")

    triggered = [signal for signal in written.documents("high_52w") if signal["transition"] == "triggered"]

    assert [(signal["level"]["price"], signal["fresh"], signal["streak"]) for signal in triggered] == [
        ("100", True, 1),
        ("101", False, 2),
    ]


def test_history_counts_for_fresh_and_streak(script: NewScript) -> None:
    """A bar that broke the level before it is a breakout of its day, though no signal was sent."""
    written = script()
    written.history(high="99", days={"2025-09-29": "100 60 90"})
    written.tick("10:00:00", "101")

    signal = written.documents("high_52w")[0]

    assert (signal["fresh"], signal["streak"], signal["metrics"]["base_length_sessions"]) == (False, 2, 1)


def test_session_without_a_trade_fit_for_last_cannot_confirm(script: NewScript) -> None:
    """A trade sold last more than ten seconds past the bell leaves no close: unconfirmed, without a price."""
    written = script(instrument="XNAS:AAPL")
    written.history(high="100")
    written.tick("16:00:11", "101", "L")
    written.clock("16:15:00")

    assert written.told("high_52w") == ["triggered 1 101", "unconfirmed 1 None"]


def test_monday_of_the_story_closes_below_its_level(script: NewScript) -> None:
    """The fixture's figures: +4.6478 percent on the day, +112.1712 percent in the year, nearness 0.998557."""
    written = script("2025-09-29")
    written.history(
        close="160",
        high="170",
        low="80",
        days={"2024-12-31": "90 80 84.79", "2025-09-24": "180.16 170 176.44", "2025-09-26": "175 170 171.91"},
    )
    written.tick("13:00:00", "181.344")
    written.tick("15:59:59", "179.90")
    written.clock("16:15:00")

    last = written.documents("high_52w")[-1]

    assert (last["transition"], last["price"], last["level"]["price"]) == ("unconfirmed", "179.9", "180.16")
    metrics = last["metrics"]
    assert (metrics["session_return"], metrics["ytd"], metrics["nearness"]) == (0.046478, 1.121712, 0.998557)
    assert (metrics["distance"], metrics["base_length_sessions"]) == (-0.001443, 3)
