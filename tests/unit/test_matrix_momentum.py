"""The momentum rows of the edge-case matrix, worked by hand, for the oracle and for the engine alike."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from tests.scripted import JUDGES, Script

DAY = "2025-09-30"
NewScript = Callable[..., Script]


@pytest.fixture(params=JUDGES)
def script(request: pytest.FixtureRequest) -> NewScript:
    return lambda day=DAY, **options: Script(request.param, day, **options)


def ticks(written: Script, *prices: str) -> None:
    for minute, price in enumerate(prices):
        written.tick(f"10:{minute:02}:00", price)


def test_session_return_enters_and_leaves_at_its_own_thresholds(script: NewScript) -> None:
    """T-M2: 4.9, 5.0, 5.3, 4.5, 5.1, 3.9, 5.0 percent enter at 5.0, leave at 3.9 and enter again at the last 5.0."""
    written = script()
    written.history(high="200", low="50", close="100")
    ticks(written, "104.9", "105.0", "105.3", "104.5", "105.1", "103.9", "105.0")

    assert written.told("session_return") == ["entered 1 105", "exited 1 103.9", "entered 2 105"]


def test_session_return_has_a_lower_side(script: NewScript) -> None:
    """Mirrored: in at -5 percent, still in at -4, out above."""
    written = script()
    written.history(high="200", low="50", close="100")
    ticks(written, "95.01", "95", "96", "96.01")

    signals = written.documents("session_return")

    assert [(signal["transition"], signal["side"], signal["price"]) for signal in signals] == [
        ("entered", "down", "95"),
        ("exited", "down", "96.01"),
    ]
    assert signals[0]["measure"] == {
        "value": -0.05,
        "base_price": "100",
        "base_session_date": "2025-09-29",
        "enter": -0.05,
        "exit": -0.04,
    }


def test_fall_through_both_thresholds_leaves_and_enters_on_one_trade(script: NewScript) -> None:
    """Exits come before entries, and the other side may enter at once."""
    written = script()
    written.history(high="200", low="50", close="100")
    ticks(written, "106", "94")

    signals = written.documents("session_return")

    assert [(signal["transition"], signal["side"]) for signal in signals] == [
        ("entered", "up"),
        ("exited", "up"),
        ("entered", "down"),
    ]


def test_session_measures_expire_at_the_next_open(script: NewScript) -> None:
    """What a session began ends with the next session's open, without a price."""
    written = script()
    written.history(high="200", low="50", close="100")
    ticks(written, "105")
    written.clock("2025-10-01T13:30:00Z")

    told = [signal for signal in written.documents("session_return", "gap") if signal["transition"] == "expired"]

    assert [(signal["family"], signal["revision"], signal["price"], signal["event_time"]) for signal in told] == [
        ("session_return", 2, None, "2025-10-01T13:30:00Z"),
        ("gap", 2, None, "2025-10-01T13:30:00Z"),
    ]
    assert told[0]["measure"]["base_session_date"] == "2025-09-29"


@pytest.mark.parametrize("first, expected", [("103", ["entered 1 103"]), ("102.99", [])])
def test_gap_is_the_first_trades_alone(script: NewScript, first: str, expected: list[str]) -> None:
    """A gap is three percent at the open; later trades neither make nor end one."""
    written = script()
    written.history(high="200", low="50", close="100")
    ticks(written, first, "110", "90")

    assert written.told("gap") == expected


def test_year_to_date_begins_at_the_last_close_of_december(script: NewScript) -> None:
    """T-M4: in January's first session the base is December's last."""
    written = script("2025-01-02")
    written.history(high="200", low="50", close="100", days={"2024-12-30": "200 50 130"})
    ticks(written, "100", "125")

    signal = written.documents("ytd")[0]

    assert (signal["transition"], signal["price"]) == ("entered", "125")
    assert (signal["measure"]["base_price"], signal["measure"]["base_session_date"]) == ("100", "2024-12-31")
    assert signal["measure"]["value"] == 0.25


def test_month_to_date_expires_with_its_month(script: NewScript) -> None:
    """The base of September is August's last close; October has another."""
    written = script()
    written.history(high="200", low="50", close="100")
    ticks(written, "100", "111")
    written.tick("2025-10-01T14:00:00Z", "111")
    written.tick("2025-10-01T14:01:00Z", "123")

    told = written.documents("mtd")

    assert [(signal["transition"], signal["measure"]["base_price"]) for signal in told] == [
        ("entered", "100"),
        ("expired", "100"),
        ("entered", "111"),
    ]
    assert [signal["session_date"] for signal in told] == ["2025-09-30", "2025-09-30", "2025-10-01"]


@pytest.mark.parametrize("family, sessions, price", [("roc_5", 5, "110"), ("roc_20", 20, "120"), ("roc_60", 60, "130")])
def test_rate_of_change_looks_back_exactly_so_many_sessions(
    script: NewScript, family: str, sessions: int, price: str
) -> None:
    """The base is the close of the n-th session before, neither its neighbour's."""
    written = script()
    base = written.before(sessions)[0].date
    written.history(high="400", low="50", close="170", days={base.isoformat(): "200 50 100"})
    ticks(written, "100", str(float(price) - 0.01), price)

    signal = written.documents(family)[0]

    assert (signal["price"], signal["measure"]["base_session_date"]) == (price, base.isoformat())


def test_what_was_in_before_the_warm_up_ended_says_nothing(script: NewScript) -> None:
    """An entry at the first evaluation is old news: it comes and goes in silence, and the next is the first."""
    written = script()
    written.history(high="400", low="50", close="100")
    ticks(written, "111", "107", "110")

    assert written.told("roc_5") == ["entered 1 110"]


def test_entries_are_limited_within_a_session(script: NewScript) -> None:
    """Past the limit the measure stays out until the next session."""
    written = script(max_entries=2)
    written.history(high="200", low="50", close="100")
    ticks(written, "105", "103", "105", "103", "105", "103")

    assert written.told("session_return") == ["entered 1 105", "exited 1 103", "entered 2 105", "exited 2 103"]


def test_nearness_to_the_high_enters_at_98_and_leaves_below_97_percent(script: NewScript) -> None:
    """The first evaluation is silent, so that a day that begins near its high has nothing to tell."""
    written = script()
    written.history(high="100", low="50", close="90")
    ticks(written, "97.99", "98", "97", "96.99")

    assert written.told("proximity_high_52w") == ["entered 1 98", "exited 1 96.99"]


def test_nearness_to_the_low_enters_at_102_and_leaves_above_103_percent(script: NewScript) -> None:
    """Mirrored: in at or below, out above."""
    written = script()
    written.history(high="200", low="100", close="130")
    ticks(written, "102.01", "102", "103", "103.01")

    assert written.told("proximity_low_52w") == ["entered 1 102", "exited 1 103.01"]


def test_measure_without_its_base_is_out(script: NewScript) -> None:
    """A missing session is not a close: no base, no signal."""
    written = script()
    for session in written.before(30)[:-1]:
        written.bar(session.date.isoformat(), "200", "50", "100")
    ticks(written, "100", "200")

    assert written.told("session_return", "gap") == []


def test_session_known_to_have_had_no_trade_keeps_the_close_before(script: NewScript) -> None:
    """A bar of volume 0 hands on the close of the session before it."""
    written = script()
    written.history(high="200", low="50", close="100")
    written.records[-1] = {**written.records[-1], "close": "1", "low": "1", "volume": "0"}
    ticks(written, "100", "105")

    signal = written.documents("session_return")[0]

    assert signal["measure"]["base_session_date"] == "2025-09-26"
