"""Our levels beside published ones: each difference has its cause."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.calendars import load_markets
from streams.core.layout import BAR, BAR_OFFICIAL, BAR_TRADED
from streams.core.processor import Processor
from streams.core.rules import Rules
from streams.core.units import SCALE, format_date, format_decimal, parse_date, parse_decimal
from streams.feeds.coverage import session_from
from streams.feeds.held import HeldAction, History
from streams.feeds.history import HistoryError, Refused, read_bars
from streams.feeds.levels import Compared, Reference, compare, read_references
from streams.feeds.tables import Source

MARKETS = load_markets(["XNYS"])
RULES = Rules()
SESSIONS = MARKETS.sessions_of("XNYS")
AT = session_from(MARKETS, "XNYS", parse_date("2025-09-30"))
# Two years, of which the window of 2025-09-30 is the second half.
DATES = SESSIONS["date"][AT - 500 : AT]


def history(*actions: HeldAction, **days: tuple[float, float, float]) -> History:
    """Return bars at 100, but high, low and close of the days named, such as `d20250602`."""
    bars = np.zeros(len(DATES), BAR)
    bars["date"] = DATES
    bars["flags"] = BAR_OFFICIAL | BAR_TRADED
    for name in ("open", "high", "low", "close"):
        bars[name] = 100 * SCALE
    for day, prices in days.items():
        date = parse_date(f"{day[1:5]}-{day[5:7]}-{day[7:]}")
        for name, price in zip(("high", "low", "close"), prices, strict=True):
            bars[name][bars["date"] == date] = round(price * SCALE)
    return History("XNYS:A", bars, actions)


def reference(high: str, low: str, day: str = "2025-09-29") -> Reference:
    return Reference("XNYS:A", parse_date(day), Fraction(high), Fraction(low), 2, "levels.csv:2")


def compared(known: History, high: str, low: str, day: str = "2025-09-29") -> tuple[Compared, Compared]:
    up, down = compare([reference(high, low, day)], {"XNYS:A": known}, MARKETS, RULES, 0)
    return up, down


def test_levels_that_are_the_same_agree() -> None:
    """The published numbers include the session that they are of, so ours are those of the session after it."""
    known = history(d20250602=(120.004, 80, 100), d20240930=(500, 1, 100))

    up, down = compared(known, "120", "80.00")

    assert [(each.side, each.cause, each.session_date) for each in (up, down)] == [
        ("high", "agrees", parse_date("2025-09-30")),
        ("low", "agrees", parse_date("2025-09-30")),
    ]
    assert up.ours is not None
    assert (format_decimal(up.ours), up.set_on) == ("120.004", parse_date("2025-06-02"))


def test_stock_below_a_dollar_does_not_ask_more_of_the_others() -> None:
    """A file has 0.1234 for one stock and 120 for another: the 120.004 of ours is still that."""
    known = {
        "XNYS:A": history(d20250602=(120.004, 80, 100)),
        "XNYS:B": history(d20250602=(100.12341, 80, 100)),
        "XNYS:C": history(d20250602=(100.12346, 80, 100)),
    }
    day = parse_date("2025-09-29")
    cheap = [Reference(f"XNYS:{name}", day, Fraction("100.1234"), Fraction(80), 4, "levels.csv:3") for name in "BC"]

    found = compare([reference("120", "80"), *cheap], known, MARKETS, RULES, 0)

    assert [each.cause for each in found if each.side == "high"] == ["agrees", "agrees", "unknown"]


def test_closing_prices_are_recognised() -> None:
    """A reference of closes gives our highest close."""
    up, down = compared(history(d20250602=(120, 80, 110), d20250603=(100, 90, 95)), "110", "95")

    assert (up.cause, down.cause) == ("basis_close", "basis_close")


@pytest.mark.parametrize(
    ("day", "said"),
    [
        ("d20240930", "the reference is of 365 days: set on 2024-09-30"),
        ("d20240927", "the reference is of 371 days: set on 2024-09-27"),
    ],
)
def test_other_look_backs_are_recognised(day: str, said: str) -> None:
    """A spike just outside our 364 days counts for those who count further back."""
    up, _ = compared(history(**{day: (130, 100, 100)}), "130", "100")

    assert (up.cause, up.detail) == ("look_back", said)


def test_window_without_its_latest_session_is_recognised() -> None:
    """Some leave out the latest day."""
    up, _ = compared(history(d20250929=(130, 100, 100), d20250602=(120, 100, 100)), "120", "100")

    assert (up.cause, up.detail) == (
        "look_back",
        "the reference is of 364 days without the latest session: set on 2025-06-02",
    )


def test_split_that_the_reference_does_not_apply_is_recognised() -> None:
    """The published number is the raw one."""
    split = HeldAction("split", parse_date("2025-06-10"), Fraction(1, 4))
    days = {f"d{day}": (400.0, 380.0, 400.0) for day in ("20250602",)}

    up, _ = compared(history(split, **days), "400", "100")

    assert (up.ours, up.cause) == (100 * SCALE, "split_not_applied")
    assert "does not apply a split on record here" in up.detail


def test_split_that_we_do_not_know_is_recognised() -> None:
    """The published number is a quarter of ours: one side lacks a 4:1 split."""
    up, _ = compared(history(d20250602=(400.04, 380, 400)), "100.01", "100")

    assert up.cause == "split_not_applied"
    assert "the reference is 1:4 of ours: an action is missing here, or there" in up.detail


def test_levels_are_in_units_of_the_session() -> None:
    """A level from before a split is divided; of bars after it the raw price counts."""
    split = HeldAction("split", parse_date("2025-06-10"), Fraction(1, 4))

    up, _ = compared(history(split, d20250602=(500.2, 90, 100)), "125.05", "22.50")

    assert (up.cause, up.set_on) == ("agrees", parse_date("2025-06-02"))


def test_dividends_are_named_where_they_are_on_record() -> None:
    """A reference below ours after cash dividends is probably adjusted for them."""
    dividend = HeldAction("cash_dividend", parse_date("2025-08-01"), Fraction(1))

    up, _ = compared(history(dividend, d20250602=(120, 80, 100)), "118.20", "80")

    assert up.cause == "dividend_adjusted"
    assert "1.50% lower" in up.detail


def test_incomplete_window_is_named() -> None:
    """Where history begins late, the reference may know more."""
    known = history(d20250602=(120, 80, 100))
    short = History("XNYS:A", known.bars[known.bars["date"] >= parse_date("2025-01-02")])

    up, _ = compared(short, "125", "80")

    assert (up.cause, up.detail) == ("window", "history begins on 2025-01-02, the window on 2024-10-01")


def test_missing_session_is_named() -> None:
    """So may it where a session is missing."""
    known = history(d20250602=(120, 80, 100))
    gap = History("XNYS:A", known.bars[known.bars["date"] != parse_date("2025-03-03")])

    up, _ = compared(gap, "125", "80")

    assert (up.cause, up.detail) == ("window", "1 of 249 sessions are missing: 2025-03-03")


def test_difference_without_a_cause_is_unknown() -> None:
    """It says where to look."""
    up, _ = compared(history(d20250602=(120, 80, 100)), "121.07", "80")

    assert (up.cause, up.detail) == ("unknown", "ours was set on 2025-06-02: look at that session's bar")


def test_instrument_without_history_is_told() -> None:
    """No bar, no level."""
    found = list(compare([reference("2", "1")], {}, MARKETS, RULES, 0))

    assert [(each.cause, each.ours) for each in found] == [("no_history", None), ("no_history", None)]


def test_real_levels_of_alibaba_agree() -> None:
    """On 2025-09-29 the 52-week high included that session's own 181.344; the low was that of 2025-01-13."""
    rows = [
        (bar.date, BAR_OFFICIAL | BAR_TRADED, 0, bar.open, bar.high, bar.low, bar.close, bar.volume)
        for bar in read_bars(Path("streams/feeds/data/XNYS_BABA_daily.csv"))
    ]
    known = {"XNYS:BABA": History("XNYS:BABA", np.array(rows, BAR))}
    published = Reference("XNYS:BABA", parse_date("2025-09-29"), Fraction("181.34"), Fraction("80.06"), 2, "")

    up, down = compare([published], known, MARKETS, RULES, 0)

    assert (up.cause, up.set_on) == ("agrees", parse_date("2025-09-29"))
    assert (down.cause, down.set_on) == ("agrees", parse_date("2025-01-13"))


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("XNYS:A,2025-09-29,1", "expected 4 columns"),
        ("NYSE,2025-09-29,2,1", "expected an instrument id"),
        ("XLON:A,2025-09-29,2,1", "expected an instrument of XNYS"),
        ("XNYS:A,29/09/2025,2,1", "expected a date"),
        ("XNYS:A,2041-01-02,2,1", "expected a date within the calendar of XNYS, found 2041-01-03"),
        ("XNYS:A,2025-09-29,x,1", "expected a number"),
        ("XNYS:A,2025-09-29,1,2", "expected 0 < low <= high, found low 2, high 1"),
        ("XNYS:A,2025-09-29,1,0", "expected 0 < low"),
    ],
)
def test_wrong_line_is_told_and_the_next_one_counts(line: str, said: str) -> None:
    """With file and line."""
    data = f"instrument,session_date,high,low\n{line}\nXNYS:B,,2,1\n".encode()

    refused, good = read_references(Source("levels.csv", data=data), {}, MARKETS)

    assert isinstance(refused, Refused)
    assert refused.where == "levels.csv:2"
    assert said in refused.message
    assert isinstance(good, Reference)
    assert good.session_date is None


def test_empty_file_is_refused() -> None:
    """Nothing to compare is a mistake."""
    with pytest.raises(HistoryError, match="expected a line under the header"):
        read_references(Source("levels.csv", data=b"instrument,high,low\n"), {}, MARKETS)


PRICES_DRAWN = st.lists(st.integers(90, 110), min_size=249, max_size=251)


@settings(deadline=None, max_examples=25)
@given(PRICES_DRAWN)
def test_levels_are_those_of_the_engine(prices: list[int]) -> None:
    """What is compared is what a breakout would carry: price and session of the level, ties to the latest."""
    processor = Processor(MARKETS, Rules(lookback="364d"))
    dates = DATES[-len(prices) :].tolist()
    bars = np.zeros(len(prices), BAR)
    bars["date"] = dates
    bars["flags"] = BAR_OFFICIAL | BAR_TRADED
    for index, (day, price) in enumerate(zip(dates, prices, strict=True)):
        texts = {name: str(price + step) for name, step in (("open", 0), ("high", 1), ("low", -1), ("close", 0))}
        processor.bar("XNYS:A", format_date(day), volume="1", **texts)
        for name, text in texts.items():
            bars[index][name] = parse_decimal(text)
    open_ns = int(SESSIONS[AT]["open_ns"])
    processor.tick("XNYS:A", open_ns + 1, "100", size="100")
    processor.tick("XNYS:A", open_ns + 2, "115", size="100")
    triggered = [each for each in processor.signals() if each.family == "high_52w" and each.transition == "triggered"]

    up, _ = compared(History("XNYS:A", bars), "1000", "1")

    assert len(triggered) == 1
    assert triggered[0].breakout is not None
    level = triggered[0].breakout.level
    assert (level.price, level.session_date) == (up.ours, up.set_on)
