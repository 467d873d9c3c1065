"""What a window lacks: told as the engine judges it, session by session."""

from __future__ import annotations

from fractions import Fraction

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.calendars import load_markets
from streams.config import Config, Markets
from streams.core.layout import BAR, BAR_OFFICIAL, BAR_TRADED
from streams.core.processor import Processor
from streams.core.rules import Rules
from streams.core.units import NS, SCALE, format_date, format_time, parse_date, parse_time
from streams.feeds.coverage import Coverage, coverage_of, coverages, session_at, session_from
from streams.feeds.held import Folding, HeldAction, History

MARKETS = load_markets(["XNYS"])
RULES = Rules()
SESSIONS = MARKETS.sessions_of("XNYS")
DAY = parse_date("2025-09-30")
AT = session_from(MARKETS, "XNYS", DAY)
FIRST = int(SESSIONS[AT]["window_first"])
WINDOW = [int(day) for day in SESSIONS["date"][FIRST:AT]]


def bars(dates: list[int]) -> np.ndarray:
    found = np.zeros(len(dates), BAR)
    found["date"] = dates
    found["flags"] = BAR_OFFICIAL | BAR_TRADED
    for name in ("open", "high", "low", "close"):
        found[name] = 100 * SCALE
    return found


def judged(dates: list[int], *actions: HeldAction) -> Coverage:
    return coverage_of(History("XNYS:A", bars(dates), actions), MARKETS, RULES, AT)


def test_full_window_lacks_nothing() -> None:
    """A bar of every session of 364 days: the window of 2025-09-30 begins on 2024-10-01."""
    assert judged(WINDOW).document() == {
        "instrument": "XNYS:A",
        "coverage": "full",
        "session_date": "2025-09-30",
        "window_start": "2024-10-01",
        "window_end": "2025-09-29",
        "sessions_expected": 249,
        "sessions": 249,
        "missing": [],
        "first_bar": "2024-10-01",
        "last_bar": "2025-09-29",
    }


@pytest.mark.parametrize(
    ("dates", "status", "missing"),
    [
        (WINDOW[1:], "partial", 1),
        ([WINDOW[0] - 1, *WINDOW[1:]], "full", 1),
        (WINDOW[:100] + WINDOW[112:], "full", 12),
        (WINDOW[:100] + WINDOW[113:], "degraded", 13),
        (WINDOW[:-1], "degraded", 1),
        (WINDOW[:-20] + WINDOW[-19:], "degraded", 1),
        (WINDOW[:-21] + WINDOW[-20:], "full", 1),
        ([], "absent", 249),
    ],
)
def test_window_lacks_what_is_missing(dates: list[int], status: str, missing: int) -> None:
    """It must reach back, have 95 % of its sessions, and all of the last twenty."""
    found = judged(dates)

    assert (found.status, len(found.missing)) == (status, missing)


def test_bars_before_a_delisting_are_another_instruments() -> None:
    """Whoever uses the id after a delisting begins with an empty window."""
    found = judged(WINDOW, HeldAction("delisting", WINDOW[100], Fraction(1)))

    assert (found.status, len(found.missing)) == ("partial", 100)


def test_window_is_that_of_the_session_that_runs_or_comes_next() -> None:
    """Before the close it is today's, from the close on the next session's."""
    close = int(SESSIONS[AT]["close_ns"])

    assert (session_at(MARKETS, "XNYS", close - 1), session_at(MARKETS, "XNYS", close)) == (AT, AT + 1)
    assert session_at(MARKETS, "XNYS", parse_time("2025-09-28T12:00:00Z")) == AT - 1


def test_expected_instrument_without_records_is_absent() -> None:
    """A list of ids shows what nobody has sent yet."""
    found = list(coverages({}, ["XNYS:B"], MARKETS, RULES, time_ns=0, day=DAY))

    assert [(each.instrument, each.status) for each in found] == [("XNYS:B", "absent")]


@settings(deadline=None, max_examples=40)
@given(st.sets(st.sampled_from(range(-1, 30)), max_size=14))
def test_engine_judges_alike(left_out: set[int]) -> None:
    """Whatever is missing, the engine's window of the first trade's session has the same coverage."""
    # Indices from the window's start for small numbers, from its end for the others.
    gaps = {WINDOW[index] if index < 10 else WINDOW[-(index - 9)] for index in left_out if index >= 0}
    before = [WINDOW[0] - 1] if -1 in left_out else []
    dates = [day for day in (*before, *WINDOW) if day not in gaps]
    processor = Processor(MARKETS, RULES)
    for day in dates:
        processor.bar("XNYS:A", format_date(day), open="100", high="100", low="100", close="100", volume="1")
    processor.tick("XNYS:A", format_time(int(SESSIONS[AT]["open_ns"]) + NS), "100", size="100")
    known = {date for date in dates if MARKETS.session_on("XNYS", date) is not None}

    found = coverage_of(History("XNYS:A", bars(sorted(known))), MARKETS, RULES, AT)

    assert processor.engine.windows()[found.status] == 1


def test_log_is_folded_as_a_worker_folds_it() -> None:
    """A later bar replaces an earlier one, ticks of a session become a bar, and actions hold until withdrawn."""
    folding = Folding(MARKETS, Config(markets=Markets(mics=("XNYS",))))
    appended = parse_time("2025-10-02T00:00:00Z") // 1_000_000
    bar = b'{"type":"bar","instrument":"XNYS:A","session_date":"2025-09-29","open":1,"high":%d,"low":1,"close":1}'
    action = (
        b'{"type":"action","instrument":"XNYS:A","action_id":"%b","action":"split","ex_date":"2025-09-30",'
        b'"numerator":4,"denominator":1}'
    )
    values = [bar % 2, bar % 3, None, b"rubbish", action % b"x", action % b"y"]
    values.append(b'{"type":"action","instrument":"XNYS:A","action_id":"y","operation":"withdraw"}')

    folding.fold(values, [appended] * len(values), 0)

    (history,) = folding.histories()
    assert history.instrument == "XNYS:A"
    assert (history.bars["date"].tolist(), history.bars["high"].tolist()) == ([parse_date("2025-09-29")], [3 * SCALE])
