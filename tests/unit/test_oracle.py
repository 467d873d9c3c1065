"""The referee's own parts, held against values worked by hand. Its story-long examples are in the two matrix files."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest

from tests.oracle import Calendar, Oracle, Rules, parse_date, parse_time
from tests.oracle.calendar import format_time
from tests.oracle.history import UNIT, Bar, History
from tests.oracle.records import eligibility, price_of, price_text
from tests.property.streams_markets import exchange


@pytest.fixture(scope="module")
def new_york() -> Calendar:
    return Calendar(exchange("XNYS"))


@pytest.mark.parametrize(
    "lookback, first, count", [("364d", "2024-10-01", 249), ("1y", "2024-09-30", 250), ("252s", "2024-09-26", 252)]
)
def test_window_holds_the_sessions_of_the_table(new_york: Calendar, lookback: str, first: str, count: int) -> None:
    """The three windows before 2025-09-30 begin and count as the specification's table says."""
    index = new_york.on(parse_date("2025-09-30"))
    assert index is not None

    window = new_york.window(index, lookback)

    assert (window[0].date.isoformat(), window[-1].date.isoformat(), len(window)) == (first, "2025-09-29", count)


def test_one_year_before_a_leap_day_is_the_day_before_march(new_york: Calendar) -> None:
    """2024-02-29 less a year is 2023-02-28."""
    index = new_york.on(parse_date("2024-02-29"))
    assert index is not None

    assert new_york.window(index, "1y")[0].date == date(2023, 2, 28)


def test_session_ends_before_its_closing_instant(new_york: Calendar) -> None:
    """A regular trade has open <= t < close; the half day after Thanksgiving closes at 18:00 UTC."""
    index = new_york.on(parse_date("2025-11-28"))
    assert index is not None
    session = new_york.sessions[index]

    times = ("14:29:59.999999999", "14:30:00", "17:59:59.999999999", "18:00:00")

    assert [session.trading(parse_time(f"2025-11-28T{time}Z")) for time in times] == [False, True, True, False]


def test_break_is_not_trading_time() -> None:
    """Hong Kong pauses from 04:00 to 05:00 UTC, and not on a half day, which ends there."""
    hong_kong = Calendar(exchange("XHKG"))
    sessions = [hong_kong.sessions[hong_kong.on(date(2025, 12, day)) or 0] for day in (23, 24)]

    times = ("03:59:59", "04:00:00", "04:59:59", "05:00:00")

    assert [[s.trading(parse_time(f"{s.date}T{time}Z")) for time in times] for s in sessions] == [
        [True, False, False, True],
        [True, False, False, False],
    ]


def test_bases_of_a_period_are_the_sessions_before_it(new_york: Calendar) -> None:
    """T-M4: the base of January's first session is December's last, for the month and for the year."""
    index = new_york.on(parse_date("2025-01-02"))
    assert index is not None

    bases = [new_york.sessions[base].date for base in (new_york.month_base(index), new_york.year_base(index)) if base]

    assert bases == [date(2024, 12, 31)] * 2
    assert new_york.year_base(0) is None


def test_times_are_read_and_written_to_the_nanosecond() -> None:
    """An offset is an instant; fractions have nine digits or none."""
    assert parse_time("2025-09-29T09:30:00.000000001-04:00") == parse_time("2025-09-29T13:30:00Z") + 1
    assert format_time(parse_time("2025-09-29T13:30:00.5Z")) == "2025-09-29T13:30:00.500000000Z"
    assert format_time(parse_time("2025-09-29T13:30:00Z")) == "2025-09-29T13:30:00Z"


def test_prices_are_exact_and_written_short() -> None:
    """T-K5: 179.9 and 179.90 are one price."""
    assert price_of("179.90") == price_of(179.9) == Fraction(1799, 10)
    assert [price_text(price_of(text)) for text in ("179.90", "180", "0.00000001")] == ["179.9", "180", "0.00000001"]


@pytest.mark.parametrize(
    "instrument, tape, codes, expected",
    [
        ("XNYS:A", None, "", (True, True, True, "")),
        ("XNYS:A", None, "B", (False, False, True, "")),
        ("XNYS:A", "C", "B", (True, True, True, "")),
        ("XNAS:A", None, "B", (True, True, True, "")),
        ("XNYS:A", None, "FI", (False, False, True, "")),
        ("XNYS:A", None, "Z", (True, True, True, "only")),
        ("XNYS:A", None, "F4", (True, True, True, "only")),
        ("XNYS:A", None, "L", (True, True, True, "listing")),
        ("XNAS:A", None, "L", (True, True, True, "early")),
        ("XNYS:A", None, "M", (False, False, False, "")),
        ("XNYS:A", None, "9", (True, True, False, "")),
        ("XNYS:A", None, "?", (False, False, False, "")),
        ("XHKG:9988", None, "?", (False, False, False, "")),
        ("XHKG:9988", None, "U", (True, True, True, "")),
        ("XHKG:9988", None, "D", (False, False, True, "")),
        ("XTKS:7203", None, "?", (True, True, True, "")),
    ],
)
def test_one_no_wins(instrument: str, tape: str | None, codes: str, expected: tuple[bool, bool, bool, str]) -> None:
    """High and low, last, volume, and when last depends: tables of both tapes and of Hong Kong, none elsewhere."""
    *flags, sometimes = expected

    assert eligibility(instrument, tape, list(codes)) == (*flags, frozenset({sometimes} - {""}))


def flat(calendar: Calendar, count: int) -> tuple[History, list[date]]:
    history = History(calendar, Rules(lookback="10s", recent_sessions=3, coverage_min=0.9))
    days = [session.date for session in calendar.sessions[:count]]
    for day in days:
        history.store(Bar(day, True, True, Fraction(11), Fraction(10), Fraction(21, 2)))
    return history, days


def test_average_range_is_wilders(new_york: Calendar) -> None:
    """Fifteen bars of range 1 seed at 1; a range of 15 then gives (13 x 1 + 15) / 14 = 2."""
    history, days = flat(new_york, 15)
    sixteenth = new_york.sessions[15].date
    history.store(Bar(sixteenth, True, True, Fraction(51, 2), Fraction(21, 2), Fraction(20)))

    assert history.range_units(14) is None
    assert history.range_units(15) == 1 / UNIT
    assert history.range_units(16) == 2 / UNIT


def test_coverage_counts_what_is_known_and_wants_the_latest(new_york: Calendar) -> None:
    """Nine of ten are enough at 0.9 unless a recent one is missing; the window's start must be reached."""
    history, days = flat(new_york, 12)
    statuses = []
    for missing in ([], [days[5]], [days[10]], [days[5], days[6]], days[:3]):
        kept = {day: bar for day, bar in history.bars.items() if day not in missing}
        partial = History(new_york, history.rules)
        partial.bars = kept
        statuses.append(partial.window(12).status)

    assert statuses == ["full", "full", "degraded", "degraded", "partial"]


def test_level_of_equal_highs_is_the_latest_sessions(new_york: Calendar) -> None:
    """Ties go to the session that the price was last seen in."""
    history, days = flat(new_york, 12)

    assert history.window(12).levels["up"].date == days[-1]


@pytest.mark.parametrize(
    "time, append, refused", [("13:30:05", "13:30:00", []), ("13:30:05.000000001", "13:30:00", [(0, "future_time")])]
)
def test_tick_five_seconds_ahead_is_taken_and_no_more(time: str, append: str, refused: list[tuple[int, str]]) -> None:
    """The reference is the append time while no replay clock is known."""
    oracle = Oracle({"XNYS": exchange("XNYS")})
    day = "2025-09-30T"
    tick = {"instrument": "XNYS:A", "time": f"{day}{time}Z", "price": "1", "append_time": f"{day}{append}Z"}

    oracle.records([tick])

    assert oracle.refused == refused


def test_partition_of_one_mode_refuses_the_other() -> None:
    """A replay into a live log would say nothing: it is refused instead."""
    oracle = Oracle({"XNYS": exchange("XNYS")})
    times = [("replay", "2025-09-30T13:30:00Z"), ("live", "2025-09-30T13:30:01Z")]

    oracle.records([{"type": "clock", "time": time, "mode": mode} for mode, time in times])

    assert oracle.refused == [(1, "clock_mode")]


@pytest.mark.parametrize(
    "day, reason", [("2025-09-30", "session_not_closed"), ("2025-09-28", "not_a_session"), ("2025-09-29", None)]
)
def test_bar_of_a_session_that_has_not_closed_is_refused(day: str, reason: str | None) -> None:
    """History ends where the log's own time stands."""
    oracle = Oracle({"XNYS": exchange("XNYS")})
    prices = dict.fromkeys(("open", "high", "low", "close"), "1")

    oracle.records(
        [
            {"type": "clock", "time": "2025-09-30T19:59:59Z", "mode": "replay"},
            {"type": "bar", "instrument": "XNYS:A", "session_date": day, **prices},
        ]
    )

    assert oracle.refused == ([(1, reason)] if reason else [])
