"""Splits and other actions, announced, late, withdrawn and unannounced: no signal is a change of units."""

from __future__ import annotations

from datetime import date, timedelta
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


def test_T_S1_split_on_the_ex_date_makes_no_false_low() -> None:
    """4:1: levels 100 and 60; a first trade at 98 is nothing."""
    written = script()
    written.action(DAY, 4, 1)
    written.tick("09:30:00", "98")

    assert written.told() == []


def test_T_S2_trade_above_the_adjusted_level_triggers() -> None:
    """The level is 100.00, from a raw high of 400, and says so."""
    written = script()
    written.action(DAY, 4, 1)
    written.tick("09:30:00", "98")
    written.tick("10:00:00", "100")
    written.tick("10:00:01", "100.01")

    level = written.documents("high_52w")[0]["level"]

    assert written.told(*BREAKOUTS) == ["triggered 1 100.01"]
    assert (level["price"], level["source_price"], level["adjustment_factor"]) == ("100", "400", "1/4")
    assert (level["adjustment"], level["extreme_unknown"]) == ("splits", False)


@pytest.mark.parametrize(("price", "expected"), [("12.10", []), ("12.30", []), ("12.31", ["triggered 1 12.31"])])
def test_T_S3_reverse_split_makes_no_false_high(price: str, expected: list[str]) -> None:
    """1:10: a high of 1.23 is 12.30."""
    written = script("1.23", "0.90", "1.20")
    written.action(DAY, 1, 10)
    written.tick("09:30:00", "12.00")
    written.tick("10:00:00", price)

    assert written.told(*BREAKOUTS) == expected


def test_T_S4_action_of_the_ordinary_line_leaves_the_receipts_alone() -> None:
    """Actions attach to the listing: the other line's window is as it was."""
    written = script()
    other = {"type": "action", "instrument": "XNYS:OTHER", "action_id": "1", "action": "split", "ex_date": DAY}
    written.records.append({**other, "numerator": 8, "denominator": 1})
    written.tick("10:00:00", "400.01")

    assert written.told(*BREAKOUTS) == ["triggered 1 400.01"]


@pytest.mark.parametrize(("price", "expected"), [("133.34", ["triggered 1 133.34"]), ("133.33", [])])
def test_split_that_is_no_decimal_is_exact(price: str, expected: list[str]) -> None:
    """3:1 of 400 is 133.333...: 133.33 is below it, 133.34 above."""
    written = script()
    written.action(DAY, 3, 1)
    written.tick("10:00:00", price)

    assert written.told(*BREAKOUTS) == expected


def test_smallest_unit_decides_at_an_inexact_level() -> None:
    """133.33333333 is below 400 / 3, one unit of 1e-8 more is above it."""
    for price, expected in (("133.33333333", []), ("133.33333334", ["triggered 1 133.33333334"])):
        written = script()
        written.action(DAY, 3, 1)
        written.tick("10:00:00", price)

        assert written.told(*BREAKOUTS) == expected


def test_late_split_retracts_the_false_low_and_the_true_level_holds() -> None:
    """The action comes after the false low: it is taken back, and what was no low is none."""
    written = script(split_guard=False)
    written.tick("09:30:00", "98")
    written.action(DAY, 4, 1)
    written.tick("10:00:00", "59.99")

    documents = written.documents(*BREAKOUTS)

    assert written.told(*BREAKOUTS) == ["triggered 1 98", "retracted 1 None", "triggered 2 59.99"]
    assert documents[1]["reason"] == "level_restated"
    assert documents[2]["level"]["price"] == "60"


def test_withdrawn_split_is_as_if_it_had_never_been() -> None:
    """The levels of the raw bars stand again."""
    written = script()
    written.action("2025-09-15", 4, 1)
    written.say("action", action_id="a1", operation="withdraw")
    written.tick("10:00:00", "400.01")

    assert written.documents("high_52w")[0]["level"]["adjustment_factor"] == "1/1"


def test_split_inside_the_window_adjusts_only_the_bars_before_it() -> None:
    """A raw high of 110 after the ex-date beats 400 / 4 before it."""
    written = Script("engine", DAY)
    written.history(high="400", low="240", close="390")
    for session in written.before(10):
        written.bar(session.date.isoformat(), "110", "90", "100")
    written.action(written.before(10)[0].date.isoformat(), 4, 1)
    written.tick("10:00:00", "110.01")

    level = written.documents("high_52w")[0]["level"]

    assert (level["price"], level["adjustment_factor"]) == ("110", "1/1")


def test_split_adjusts_the_bases_of_the_measures() -> None:
    """A close of 390 is 97.50 after 4:1: at 102.375 the session's return is five percent."""
    written = script()
    written.action(DAY, 4, 1)
    written.tick("10:00:00", "97.50")
    written.tick("10:00:01", "102.37")
    written.tick("10:00:02", "102.38")

    assert written.told("session_return") == ["entered 1 102.38"]


def test_factor_beyond_what_is_exact_closes_the_window() -> None:
    """Ratios that multiply past thirty bits are not guessed at."""
    written = script()
    for number, day in enumerate(written.before(5)):
        written.action(day.date.isoformat(), 999_983, 999_979 - number, action_id=f"{number}")
    written.tick("10:00:00", "400.01")

    assert written.told(*BREAKOUTS) == []


def test_highest_price_there_is_may_be_a_base_and_a_level() -> None:
    """A reverse split 1:10 makes of 800,000 just the highest price that fits, and of a unit more one that does not."""
    for high, expected in (("800000", ["entered 1 7840000"]), ("800000.00000001", [])):
        written = script(high, "240", "390", split_guard=False)
        written.action(DAY, 1, 10)
        written.tick("10:00:00", "7000000")
        written.tick("10:00:01", "7840000")

        assert written.told("proximity_high_52w") == expected


def test_new_symbol_is_shown_from_its_date_on_and_the_window_stays() -> None:
    """The id and the level stay; the symbol to show is the new one."""
    written = script()
    written.action(DAY, 1, 1, action="symbol_change", symbol="META")
    written.tick("10:00:00", "400.01")

    document = written.documents("high_52w")[0]

    assert document["instrument"] == {"id": "XNYS:BABA", "mic": "XNYS", "symbol": "META"}


def test_window_ends_with_a_delisting() -> None:
    """Who uses the id afterwards starts with an empty window."""
    written = script()
    written.action("2025-09-01", 1, 1, action="delisting")
    written.tick("10:00:00", "400.01")

    assert written.told() == []


def test_bars_before_the_listing_date_are_not_the_instruments() -> None:
    """A symbol that was another company's does not inherit its window."""
    written = script()
    written.say("instrument", listing_date="2025-06-02")
    written.tick("10:00:00", "400.01")

    assert written.told() == []


def test_listing_date_that_comes_late_retracts_what_hung_on_another_companys_bars() -> None:
    """The window is no longer full: the signal ends, and still says which level it was."""
    written = script()
    written.tick("10:00:00", "400.01")
    written.say("instrument", listing_date="2025-06-02")
    written.tick("10:00:01", "400.02")

    documents = written.documents("high_52w")

    assert [(d["transition"], d["reason"]) for d in documents] == [("triggered", None), ("retracted", "level_restated")]
    level = documents[1]["level"]
    assert (level["price"], level["base_price"], level["window_status"]) == ("400", "400", "partial")


def test_listing_date_takes_away_breakouts_of_levels_that_were_another_companys() -> None:
    """A bar broke a level of before the listing: with the listing known it is no breakout, and this one is fresh."""
    for listed, expected in ((False, (False, 2)), (True, (True, 1))):
        written = Script("engine", DAY, lookback="10s")
        written.history(high="400", low="240", close="390", days={"2025-09-29": "401 240 390"})
        if listed:
            written.say("instrument", listing_date=written.before(10)[0].date.isoformat())
        written.tick("10:00:00", "402")

        document = written.documents("high_52w")[0]

        assert (document["fresh"], document["streak"]) == expected


def test_price_that_does_not_fit_closes_the_window_on_both_sides() -> None:
    """A reverse split 1:100 takes a high past the highest price there is: nothing is known of the window."""
    for high, told in (("80000", ["triggered 1 1"]), ("80001", [])):
        written = script(high, "240", "390", split_guard=False)
        written.action(DAY, 1, 100)
        written.tick("10:00:00", "1")

        assert written.told("low_52w") == told


def test_latest_word_on_a_symbol_holds() -> None:
    """Of two changes on one date the later one in the log is shown, also when it is an old one said again."""
    written = script()
    written.action(DAY, 1, 1, action_id="a1", action="symbol_change", symbol="ONE")
    written.action(DAY, 1, 1, action_id="a2", action="symbol_change", symbol="TWO")
    written.action(DAY, 1, 1, action_id="a1", action="symbol_change", symbol="MORE")
    written.tick("10:00:00", "400.01")

    assert written.documents("high_52w")[0]["instrument"]["symbol"] == "MORE"


def test_tick_size_of_the_instrument_widens_the_failure_line() -> None:
    """Two ticks of 5 are more than fifty basis points of 400."""
    written = script()
    written.say("instrument", tick_size="5")
    written.tick("10:00:00", "401")
    written.tick("10:00:01", "390.01")
    written.tick("10:00:02", "390")

    assert written.told("high_52w") == ["triggered 1 401", "failed 1 390"]


def test_bar_that_arrives_during_the_session_restates_the_level() -> None:
    """A missing bar with a higher high: the open signal is amended while it is still beyond, else retracted."""
    for high, told in (("400.5", "amended 1 401"), ("405", "retracted 1 None")):
        written = script()
        written.tick("10:00:00", "401")
        written.bar("2025-09-29", high, "380", "390")

        assert written.told("high_52w") == ["triggered 1 401", told]


def test_window_that_is_left_without_a_trade_says_the_level_that_it_had() -> None:
    """Its only session turns out to have had no trade: the signal is retracted, from the level that was told."""
    written = script(lookback="1s")
    written.tick("10:00:00", "401")
    before = written.before(1)[0].date.isoformat()
    written.say("bar", session_date=before, open="1", high="1", low="1", close="1", volume="0")

    documents = written.documents("high_52w")

    assert [(d["transition"], d["level"]["base_price"]) for d in documents] == [
        ("triggered", "400"),
        ("retracted", "400"),
    ]


def test_level_that_falls_below_today_triggers_nothing_in_retrospect() -> None:
    """Armed at today's extreme: the next trade beyond it triggers against the new level."""
    written = Script("engine", DAY)
    written.history(high="400", days={"2025-09-29": "420 240 390"})
    written.tick("10:00:00", "410")
    written.bar("2025-09-29", "400", "240", "390")
    written.tick("10:00:01", "405")
    written.tick("10:00:02", "410.01")

    assert written.told("high_52w") == ["triggered 1 410.01"]
    assert written.documents("high_52w")[0]["level"]["price"] == "400"


def test_action_after_the_verdict_rewrites_nothing_and_is_counted() -> None:
    """Closed signals stay as they were told."""
    written = script()
    written.tick("10:00:00", "401")
    written.clock("16:15:00")
    written.bar("2025-09-29", "405", "380", "390")

    assert written.told("high_52w") == ["triggered 1 401", "confirmed 1 401"]
    assert outcome(written).counters["restated_after_verdict"] == 1


def test_seventeenth_action_takes_the_place_of_the_oldest_or_is_refused() -> None:
    """Sixteen are kept; one with an earlier ex-date than all of them is refused."""
    written = script()
    for number in range(16):
        written.action(f"2025-09-{number + 2:02d}", 1, 1, action_id=f"{number}", action="cash_dividend")
    written.action("2025-09-20", 1, 1, action_id="later", action="cash_dividend")
    written.action("2025-09-03", 1, 1, action_id="equal", action="cash_dividend")
    written.action("2025-09-02", 1, 1, action_id="earlier", action="cash_dividend")

    assert outcome(written).refused == [(len(written.records) - 1, "too_many_actions")]


def test_dividends_do_not_push_a_split_out() -> None:
    """A fund that pays each week has fifty a year: what moves no level goes first, and the split of March stays."""
    written = Script("engine", DAY)
    for session in written.before(260):
        is_before = session.date < date(2025, 3, 31)
        written.bar(session.date.isoformat(), *(("10", "9", "9.5") if is_before else ("99", "95", "97")))
    written.action("2025-03-31", 1, 10, action_id="reverse")
    for week in range(1, 25):
        day = (date(2025, 3, 31) + timedelta(weeks=week)).isoformat()
        written.action(day, 1, 1, action_id=f"dividend-{week}", action="cash_dividend")
    written.tick("09:30:00", "94")
    written.tick("09:31:00", "89.5")

    assert written.told(*BREAKOUTS) == ["triggered 1 89.5"]
    level = written.documents("low_52w")[0]["level"]
    assert (level["price"], level["source_price"]) == ("90", "9")


def test_dividend_is_refused_where_sixteen_actions_move_prices() -> None:
    """It would have to take the place of one of them."""
    written = script()
    for number in range(16):
        written.action(f"2025-03-{number + 1:02d}", 3, 2, action_id=f"s{number}")
    written.action(DAY, 1, 1, action_id="dividend", action="cash_dividend")
    written.action(DAY, 3, 2, action_id="newest")

    assert [reason for _, reason in outcome(written).refused] == ["too_many_actions"]
