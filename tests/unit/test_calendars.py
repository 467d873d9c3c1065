"""Calendars: sessions, half days, breaks and daylight saving as the exchanges keep them, whatever the cache holds."""

from __future__ import annotations

import subprocess
import sys
from importlib.metadata import version as installed_version
from pathlib import Path

import numpy as np
import pytest

from streams.calendars import UnknownCalendar, load_markets, load_sessions
from streams.core.sessions import Markets
from streams.core.units import format_date, format_time, parse_date, parse_time


@pytest.fixture(autouse=True)
def cache_of_its_own(tmp_path_factory: pytest.TempPathFactory, monkeypatch: pytest.MonkeyPatch) -> Path:
    # One folder for the module: the calendars are built once, and never in the user's own cache.
    folder = tmp_path_factory.getbasetemp() / "calendar-cache"
    monkeypatch.setenv("FIFTYTWO_CACHE_DIR", str(folder))
    return folder / "calendars"


@pytest.fixture
def markets() -> Markets:
    return load_markets(["XNYS", "XNAS", "XHKG"])


def bounds(markets: Markets, mic: str, day: str) -> tuple[str, str, str, str]:
    session = markets.session_on(mic, parse_date(day))
    assert session is not None
    names = ("open_ns", "close_ns", "break_start_ns", "break_end_ns")
    open_time, close_time, break_start, break_end = (
        format_time(int(session[name]))[11:] if session[name] else "" for name in names
    )
    return open_time, close_time, break_start, break_end


def in_session(markets: Markets, mic: str, time: str) -> bool:
    time_ns = parse_time(time)
    session = markets.session_at(mic, time_ns)
    if session is None or time_ns >= session["close_ns"]:
        return False
    return not session["break_start_ns"] <= time_ns < session["break_end_ns"]


@pytest.mark.parametrize("day", ["2025-07-03", "2025-11-28", "2025-12-24", "2026-11-27", "2026-12-24"])
def test_T_D1_new_york_half_days_close_at_one(markets: Markets, day: str) -> None:
    """On the early closes of 2025 and 2026 the session ends at 13:00 in New York (T-D1)."""
    close = "17:00:00Z" if day.startswith("2025-07") else "18:00:00Z"

    assert bounds(markets, "XNYS", day)[1] == close


def test_new_york_full_day_closes_at_four(markets: Markets) -> None:
    """An ordinary session runs from 09:30 to 16:00 in New York and has no break."""
    assert bounds(markets, "XNYS", "2025-09-30") == ("13:30:00Z", "20:00:00Z", "", "")


def test_T_D2_hong_kong_lunch_is_out_of_session(markets: Markets) -> None:
    """A time between 12:00 and 13:00 in Hong Kong belongs to no session (T-D2)."""
    assert bounds(markets, "XHKG", "2025-09-30") == ("01:30:00Z", "08:00:00Z", "04:00:00Z", "05:00:00Z")
    assert not in_session(markets, "XHKG", "2025-09-30T04:30:00Z")
    assert in_session(markets, "XHKG", "2025-09-30T03:59:59.999999999Z")
    assert in_session(markets, "XHKG", "2025-09-30T05:00:00Z")


@pytest.mark.parametrize("day", ["2025-12-24", "2025-12-31", "2026-02-16"])
def test_T_D3_hong_kong_half_day_ends_at_noon_and_has_no_break(markets: Markets, day: str) -> None:
    """On a half day trading ends at 12:00; the afternoon is out of session (T-D3)."""
    assert bounds(markets, "XHKG", day) == ("01:30:00Z", "04:00:00Z", "", "")
    assert not in_session(markets, "XHKG", f"{day}T05:30:00Z")


def test_T_D4_session_follows_daylight_saving(markets: Markets) -> None:
    """13:30Z is within the session from the first Monday of summer time, and an hour early before it (T-D4)."""
    assert in_session(markets, "XNYS", "2025-03-10T13:30:00Z")
    assert not in_session(markets, "XNYS", "2025-03-07T13:30:00Z")
    assert bounds(markets, "XNYS", "2025-10-31")[0] == "13:30:00Z"
    assert bounds(markets, "XNYS", "2025-11-03")[0] == "14:30:00Z"


def test_window_of_52_weeks_starts_364_days_before(markets: Markets) -> None:
    """For 2025-09-30 the window of 364 days starts on 2024-10-01, that of 252 sessions on 2024-09-26."""
    by_sessions = load_markets(["XNYS"], lookback="252s")

    assert first_of_window(markets, "2025-09-30") == "2024-10-01"
    assert first_of_window(by_sessions, "2025-09-30") == "2024-09-26"


def first_of_window(markets: Markets, day: str) -> str:
    session = markets.session_on("XNYS", parse_date(day))
    assert session is not None
    return format_date(int(markets.sessions_of("XNYS")[session["window_first"]]["date"]))


@pytest.mark.parametrize("day", ["2023-09-01", "2023-09-08"])
def test_storm_closures_of_hong_kong_are_no_sessions(markets: Markets, day: str) -> None:
    """The two days of 2023 on which Hong Kong stayed closed are removed from the library's calendar."""
    assert markets.session_on("XHKG", parse_date(day)) is None


def test_calendar_reaches_from_1990_to_2040(markets: Markets) -> None:
    """Bounds are fixed: they do not move with the day on which the calendar is built."""
    dates = markets.sessions_of("XNYS")["date"]

    assert (format_date(int(dates[0])), format_date(int(dates[-1]))) == ("1990-01-02", "2040-12-31")


def test_calendar_stays_within_its_own_bounds() -> None:
    """A calendar that knows fewer years is loaded as far as it goes."""
    dates = load_sessions("XTKS").dates

    assert format_date(int(dates[0])) == "1997-01-06"


def test_markets_carry_the_library_and_its_version(markets: Markets) -> None:
    """Every signal names the calendar that it was made with."""
    assert markets.version == f"exchange_calendars {installed_version('exchange_calendars')}+ovr1"


def test_markets_of_one_hours_share_sessions(markets: Markets) -> None:
    """Nasdaq keeps New York's hours under its own code."""
    np.testing.assert_array_equal(markets.sessions_of("XNAS"), markets.sessions_of("XNYS"))


@pytest.mark.parametrize(
    ("mic", "hint"), [("NYSE", "did you mean XNYS?"), ("24/7", "known are"), ("QQQQ", "known are")]
)
def test_names_that_are_no_market_codes_are_refused(mic: str, hint: str) -> None:
    """A market is named by its ISO 10383 code; other names the library knows are not taken."""
    with pytest.raises(UnknownCalendar, match=hint.replace("?", r"\?")):
        load_sessions(mic)


def test_calendar_that_the_library_cannot_build_is_refused() -> None:
    """A calendar that fails inside the library is an error of the configuration, with the library's own words."""
    with pytest.raises(UnknownCalendar, match="leave the market out"):
        load_sessions("ASEX")


@pytest.mark.parametrize("content", [b"", b"PK\x03\x04 rubbish", b"\x80\x04rubbish"])
def test_corrupt_cache_is_built_anew(cache_of_its_own: Path, content: bytes) -> None:
    """A cache file that cannot be read is replaced by a good one, and the sessions are the same."""
    expected = load_sessions("XSAU")
    (path,) = cache_of_its_own.glob("XSAU-*.npz")
    path.write_bytes(content)

    again = load_sessions("XSAU")

    np.testing.assert_array_equal(again.opens_ns, expected.opens_ns)
    assert path.stat().st_size > 10_000


def test_truncated_cache_is_built_anew(cache_of_its_own: Path) -> None:
    """Half a cache file is noticed: its last arrays are missing."""
    expected = load_sessions("XSAU")
    (path,) = cache_of_its_own.glob("XSAU-*.npz")
    path.write_bytes(path.read_bytes()[: path.stat().st_size // 2])

    np.testing.assert_array_equal(load_sessions("XSAU").closes_ns, expected.closes_ns)


def test_cache_that_holds_no_calendar_is_built_anew(cache_of_its_own: Path) -> None:
    """Arrays that cannot be sessions are not taken for them."""
    expected = load_sessions("XSAU")
    (path,) = cache_of_its_own.glob("XSAU-*.npz")
    none = np.zeros(3, np.int64)
    np.savez(path, dates=none, opens_ns=none, closes_ns=none, break_starts_ns=none, break_ends_ns=none)

    np.testing.assert_array_equal(load_sessions("XSAU").dates, expected.dates)


def test_unwritable_cache_costs_only_time(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing can be written, the calendar is built each time."""
    (tmp_path / "file").write_text("not a folder")
    monkeypatch.setenv("FIFTYTWO_CACHE_DIR", str(tmp_path / "file"))

    assert len(load_sessions("XSAU").dates) > 2_000


def test_cached_calendars_need_no_pandas() -> None:
    """A start with warm cache imports neither pandas nor the library, which together take half a second."""
    load_markets(["XNYS", "XHKG"])
    program = (
        "import sys; from streams.calendars import load_markets; load_markets(['XNYS', 'XHKG']); "
        "print('pandas' in sys.modules, 'exchange_calendars' in sys.modules)"
    )

    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True)

    assert done.stdout.split() == ["False", "False"]
