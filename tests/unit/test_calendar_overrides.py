"""Corrections of the calendars: what a file may say, what it changes, and the hours outside the regular session."""

from __future__ import annotations

from datetime import time
from pathlib import Path

import numpy as np
import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streams.calendar_tables import PRODUCT_FILE, BadOverrides, CalendarTables, parse_tables, product_tables
from streams.calendars import calendar_version, load_markets, load_sessions
from streams.core.sessions import Markets
from streams.core.units import format_date, format_time, parse_date, parse_time

# A change of the product's corrections changes sessions: signals must be able to say which ones they were made with.
REVISIONS = {1: "6db7027f"}

CLOSED = '[[override]]\nmic = "XNYS"\ndate = 2025-09-30\nclosed = true\n'


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> None:
    # One folder for the module: the calendars are built once, and never in the user's own cache.
    monkeypatch.setenv("FIFTYTWO_CACHE_DIR", str(tmp_path_factory.getbasetemp() / "calendar-cache"))


@pytest.fixture(scope="module")
def markets() -> Markets:
    return load_markets(["XNYS", "XNAS", "XHKG"])


def override(mic: str, day: str, text: str) -> str:
    return f'[[override]]\nmic = "{mic}"\ndate = {day}\n{text}\n'


def written(folder: Path, *entries: str) -> Path:
    path = folder / "calendars.toml"
    path.write_text("\n".join(entries))
    return path


def times(markets: Markets, mic: str, day: str, *names: str) -> list[str]:
    session = markets.session_on(mic, parse_date(day))
    assert session is not None
    return [format_time(int(session[name])) if session[name] else "" for name in names]


@pytest.mark.parametrize("day", ["2020-08-19", "2021-06-28"])
def test_storm_mornings_of_hong_kong_open_after_lunch(markets: Markets, day: str) -> None:
    """On the two mornings without trading the session began at 13:30 in Hong Kong and had no break left."""
    assert times(markets, "XHKG", day, "open_ns", "close_ns", "break_start_ns", "break_end_ns") == [
        f"{day}T05:30:00Z",
        f"{day}T08:00:00Z",
        "",
        "",
    ]


@pytest.mark.parametrize(
    ("time_text", "session"),
    [
        ("2025-09-29T19:59:59.999999999-04:00", "2025-09-29"),
        ("2025-09-29T20:00:00-04:00", "2025-09-30"),
        ("2025-10-03T20:30:00-04:00", "2025-10-06"),
        ("2025-11-27T12:00:00-05:00", "2025-11-28"),
        ("2025-11-02T21:00:00-05:00", "2025-11-03"),
        # The clocks go back at 02:00 on that Sunday: 01:30 comes twice, and both belong to Monday.
        ("2025-11-02T01:30:00-04:00", "2025-11-03"),
        ("2025-11-02T01:30:00-05:00", "2025-11-03"),
        ("2025-03-09T03:00:00-04:00", "2025-03-10"),
    ],
)
def test_T_D5_overnight_trade_belongs_to_the_next_session(markets: Markets, time_text: str, session: str) -> None:
    """From 20:00 in New York a trade has the next date, and rolls forward over weekends and holidays (T-D5)."""
    found = markets.session_of_trade_date("XNYS", parse_time(time_text))

    assert found is not None
    assert format_date(int(found["date"])) == session


def test_T_D1_half_day_ends_early_also_after_the_bell(markets: Markets) -> None:
    """On 2025-11-28 the session ends at 18:00Z and the post-market at 17:00 in New York (T-D1)."""
    assert times(markets, "XNYS", "2025-11-28", "close_ns", "extended_close_ns") == [
        "2025-11-28T18:00:00Z",
        "2025-11-28T22:00:00Z",
    ]


@pytest.mark.parametrize(
    ("day", "begins", "ends"),
    [
        ("2025-09-30", "2025-09-30T00:00:00Z", "2025-10-01T00:00:00Z"),
        ("2025-10-06", "2025-10-04T00:00:00Z", "2025-10-07T00:00:00Z"),  # Monday begins on Friday evening
        ("2025-03-10", "2025-03-08T01:00:00Z", "2025-03-11T00:00:00Z"),  # over the start of summer time
        ("2025-11-03", "2025-11-01T00:00:00Z", "2025-11-04T01:00:00Z"),  # over its end
    ],
)
def test_T_D4_extended_session_follows_daylight_saving(markets: Markets, day: str, begins: str, ends: str) -> None:
    """It begins where the trade date before ends and lasts to 20:00 in New York, whatever the clocks do (T-D4)."""
    assert times(markets, "XNYS", day, "extended_open_ns", "extended_close_ns") == [begins, ends]


def test_market_without_extended_hours_keeps_its_regular_ones(markets: Markets) -> None:
    """Where no table gives extended hours, the extended session is the regular one."""
    sessions = markets.sessions_of("XHKG")

    np.testing.assert_array_equal(sessions["extended_open_ns"], sessions["open_ns"])
    np.testing.assert_array_equal(sessions["trade_date_end_ns"], sessions["close_ns"])


@pytest.mark.parametrize("mic", ["XNYS", "XHKG"])
def test_extended_sessions_contain_the_regular_ones_and_do_not_overlap(markets: Markets, mic: str) -> None:
    """Every instant belongs to at most one extended session, and every regular session lies within its own."""
    sessions = markets.sessions_of(mic)

    assert np.all(sessions["extended_open_ns"] <= sessions["open_ns"])
    assert np.all(sessions["extended_close_ns"] >= sessions["close_ns"])
    assert np.all(sessions["trade_date_end_ns"] >= sessions["extended_close_ns"])
    assert np.all(sessions["extended_open_ns"][1:] >= sessions["trade_date_end_ns"][:-1])


def test_user_closes_a_market(markets: Markets, tmp_path: Path) -> None:
    """A closed day is no session, its neighbours stay, and those who keep the market's hours close with it."""
    changed = load_markets(["XNYS", "XNAS"], overrides=written(tmp_path, CLOSED))

    for mic in ("XNYS", "XNAS"):
        assert changed.session_on(mic, parse_date("2025-09-30")) is None
        assert len(changed.sessions_of(mic)) == len(markets.sessions_of(mic)) - 1


def test_markets_own_entry_goes_before_that_of_the_market_whose_hours_it_keeps(tmp_path: Path) -> None:
    """New York closes, Nasdaq ends at noon: each has its own."""
    own = override("XNAS", "2025-09-30", "early_close = 12:00:00")
    changed = load_markets(["XNYS", "XNAS"], overrides=written(tmp_path, CLOSED, own))

    assert changed.session_on("XNYS", parse_date("2025-09-30")) is None
    assert times(changed, "XNAS", "2025-09-30", "close_ns", "extended_close_ns") == [
        "2025-09-30T16:00:00Z",
        "2025-09-30T21:00:00Z",
    ]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("early_close = 15:00:00", ["01:30", "07:00", "04:00", "05:00"]),
        ("early_close = 12:30:00", ["01:30", "04:00", "", ""]),
        ("early_close = 11:00:00", ["01:30", "03:00", "", ""]),
        ("late_open = 10:30:00", ["02:30", "08:00", "04:00", "05:00"]),
        ("late_open = 12:30:00", ["05:00", "08:00", "", ""]),
        ("late_open = 10:30:00\nearly_close = 13:00:00", ["02:30", "04:00", "", ""]),
    ],
)
def test_break_stays_only_where_a_session_goes_on_after_it(tmp_path: Path, text: str, expected: list[str]) -> None:
    """A time within the break is the break's bound, and what lies on one side of it alone has none."""
    path = written(tmp_path, override("XHKG", "2025-09-30", text))

    found = times(
        load_markets(["XHKG"], overrides=path),
        "XHKG",
        "2025-09-30",
        "open_ns",
        "close_ns",
        "break_start_ns",
        "break_end_ns",
    )

    assert [each[11:16] for each in found] == expected


def test_users_entry_stands_in_place_of_the_products(tmp_path: Path) -> None:
    """What the product knows of a date does not hold where the user says otherwise."""
    path = written(tmp_path, override("XHKG", "2020-08-19", "late_open = 10:00:00"))

    assert times(load_markets(["XHKG"], overrides=path), "XHKG", "2020-08-19", "open_ns", "break_start_ns") == [
        "2020-08-19T02:00:00Z",
        "2020-08-19T04:00:00Z",
    ]


def test_user_gives_extended_hours(tmp_path: Path) -> None:
    """A table of extended hours holds for its market."""
    table = """[extended.XTSE]
pre_open = 07:00:00
regular_close = 16:00:00
post_close = 17:00:00
early_post_close = 16:30:00
trade_date_end = 18:00:00
"""
    markets = load_markets(["XTSE"], overrides=written(tmp_path, table))

    names = ("extended_open_ns", "extended_close_ns", "trade_date_end_ns")
    assert times(markets, "XTSE", "2025-09-30", *names) == [
        "2025-09-29T22:00:00Z",
        "2025-09-30T21:00:00Z",
        "2025-09-30T22:00:00Z",
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (
            override("XNYS", "2025-09-28", "early_close = 12:00:00"),
            "expected a session, found that the market is closed",
        ),
        (override("XNYS", "2025-09-30", "early_close = 17:00:00"), "within the session, 09:30:00 to 16:00:00, found"),
        (override("XNYS", "2025-09-30", "late_open = 09:00:00"), "within the session"),
        (override("XHKG", "2025-09-30", "late_open = 12:15:00\nearly_close = 12:45:00"), "within the session"),
        (
            override("XNYZ", "2025-09-30", "closed = true"),
            "expected a market with a calendar, found 'XNYZ': did you mean",
        ),
    ],
)
def test_correction_that_does_not_fit_the_calendar_is_refused(tmp_path: Path, text: str, said: str) -> None:
    """A correction that would not hold is an error, not a silence; it names file and entry."""
    path = written(tmp_path, text)

    with pytest.raises(BadOverrides, match=said) as raised:
        load_markets(["XNYS", "XHKG"], overrides=path)

    assert str(path) in str(raised.value)


def test_correction_of_a_market_that_is_not_loaded_is_no_mistake(tmp_path: Path) -> None:
    """One file can serve several set-ups."""
    path = written(tmp_path, override("XLON", "2025-09-30", "closed = true"))

    assert load_markets(["XNYS"], overrides=path).session_on("XNYS", parse_date("2025-09-30")) is not None


@pytest.mark.parametrize(
    ("text", "said"),
    [
        ("[[override]", "expected TOML in UTF-8"),
        ("overide = 1", "expected revision, override, extended, found 'overide'"),
        ("override = 1", "expected entries that begin with"),
        ("override = [1]", "override 1: expected an entry that begins with"),
        (CLOSED.replace("XNYS", "NYSE1"), "override 1: mic: expected the code"),
        (CLOSED.replace("mic", "market"), "override 1: expected mic, date, reason"),
        (CLOSED.replace("2025-09-30", "2025-09-31"), "expected TOML"),
        (CLOSED.replace("2025-09-30", '"2025-09-31"'), "date: expected a day of the calendar"),
        (CLOSED.replace("2025-09-30", "1899-12-31"), "date: expected a date"),
        (CLOSED.replace("2025-09-30", "2041-01-01"), "expected a date from 1990-01-01 to 2040-12-31"),
        (CLOSED.replace("2025-09-30", "2025-09-30T00:00:00"), "expected a date from"),
        (CLOSED.replace("true", '"yes"'), "closed: expected true or false, found 'yes'"),
        (CLOSED.replace("true", "false"), "expected closed = true, or early_close or late_open"),
        (CLOSED + "early_close = 13:00:00", "found closed and a time"),
        (CLOSED + "reason = 1", "reason: expected a text in quotes"),
        (CLOSED + CLOSED, "expected one entry for a market and date, found another in override 1"),
        (
            CLOSED.replace("closed = true", 'early_close = "13:00"'),
            "early_close: expected a local time such as 13:30:00",
        ),
        (
            CLOSED.replace("closed = true", "early_close = 11:00:00\nlate_open = 12:00:00"),
            "expected late_open before early_close",
        ),
        ("[extended]\nXNYS = 1", "extended.XNYS: expected a table"),
        ("[extended.XNYS]\npre_open = 04:00:00", "found no regular_close"),
        ("revision = -1", "revision: expected a count"),
    ],
)
def test_file_that_says_something_else_is_refused(text: str, said: str) -> None:
    """The message says where, what was expected and what was found."""
    with pytest.raises(BadOverrides, match=r"mine\.toml: ") as raised:
        parse_tables(text.encode(), where="mine.toml")

    assert said in str(raised.value)


def test_extended_hours_stand_in_order() -> None:
    """A post-market that ends before the session is refused."""
    hours = {"pre_open": 4, "regular_close": 16, "post_close": 15, "early_post_close": 15, "trade_date_end": 20}
    lines = "\n".join(f"{name} = {hour:02d}:00:00" for name, hour in hours.items())

    with pytest.raises(BadOverrides, match="expected pre_open < regular_close <= early_post_close"):
        parse_tables(f"[extended.XNYS]\n{lines}".encode(), where="mine.toml")


def test_missing_file_is_refused(tmp_path: Path) -> None:
    """A setting that names no file is an error with the setting's name."""
    with pytest.raises(BadOverrides, match=r"expected a readable file .*: check markets\.overrides"):
        load_sessions("XNYS", overrides=tmp_path / "none.toml")


def test_calendar_names_its_corrections(tmp_path: Path) -> None:
    """The user's own corrections change the name; their comments, order and reasons do not."""
    second = override("XNYS", "2025-10-01", "early_close = 13:00:00")
    one = calendar_version(written(tmp_path, CLOSED, second))
    other = calendar_version(written(tmp_path, "# A comment.", second + 'reason = "Why."', CLOSED))

    assert one == other
    assert one.startswith(f"{calendar_version()}.")
    assert calendar_version(written(tmp_path, CLOSED)) != one
    assert calendar_version(written(tmp_path, "# Nothing.")) == calendar_version()


def test_revision_counts_every_change_of_the_products_corrections() -> None:
    """Whoever changes the file raises its revision, and notes the digest here."""
    tables = product_tables()

    assert REVISIONS[tables.revision] == tables.digest, (
        f"{PRODUCT_FILE.name} changed: raise its revision and add its digest {tables.digest} here"
    )
    assert max(REVISIONS) == tables.revision


def test_every_correction_of_the_product_says_why() -> None:
    """Nobody can check a correction without its reason."""
    text = PRODUCT_FILE.read_text(encoding="utf-8")

    assert text.count("\nreason = ") == text.count("[[override]]") == len(product_tables().overrides)


VALUES = st.one_of(
    st.sampled_from(["true", "false", "2025-09-30", "13:00:00", '"XNYS"', "1", "[]", "{}", '"2025-02-30"', "nan"]),
    st.integers().map(str),
    st.times().map(lambda value: value.isoformat()),
    st.dates().map(lambda value: value.isoformat()),
)
LINES = st.one_of(
    st.sampled_from(["[[override]]", "[extended.XNYS]", "[override]", "[[extended]]", CLOSED]),
    st.tuples(
        st.sampled_from(["mic", "date", "closed", "early_close", "late_open", "reason", "pre_open", "revision", "no"]),
        VALUES,
    ).map(lambda pair: f"{pair[0]} = {pair[1]}"),
)


@settings(deadline=None)
@given(st.one_of(st.binary(max_size=200), st.lists(LINES, max_size=8).map(lambda lines: "\n".join(lines).encode())))
@example(b"\xff")
@example(b"a = " + b"[" * 5_000)
def test_whatever_a_file_holds_it_is_read_or_refused(data: bytes) -> None:
    """No file crashes the reader, and what it returns is within bounds."""
    tables: CalendarTables | None = None
    refusal = ""
    try:
        tables = parse_tables(data, where="mine.toml")
    except BadOverrides as error:
        refusal = str(error)

    assert (tables is None) is refusal.startswith("mine.toml: ")
    if tables is None:
        return
    for (mic, day), found in tables.overrides.items():
        assert (found.mic, found.session_date) == (mic, day)
        assert parse_date("1990-01-01") <= day <= parse_date("2040-12-31")
        assert found.closed is (found.early_close is None and found.late_open is None)
        assert all(each is None or isinstance(each, time) for each in (found.early_close, found.late_open))
    assert tables == parse_tables(data, where="mine.toml")
