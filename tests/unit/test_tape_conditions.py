"""The condition rows of the edge-case matrix, folded: what a trade moves, by its codes, venue and place in the day."""

from __future__ import annotations

import pytest

from tests.scripted import Script

DAY = "2025-09-30"


def script(instrument: str = "XNYS:BABA", **rules: object) -> Script:
    written = Script("engine", DAY, instrument, **rules)
    written.history(high="100")
    return written


def last_document(written: Script, transition: str) -> dict[str, object]:
    return next(d for d in reversed(written.documents("high_52w")) if d["transition"] == transition)


def test_T_C1_odd_lot_triggers_nothing() -> None:
    """An odd lot above the level is no new high."""
    written = script()
    written.tick("10:00:00", "101", "I")

    assert written.told("high_52w") == []


def test_T_C2_average_price_on_one_tape_is_a_bunched_trade_on_the_other() -> None:
    """B triggers on tape C and not on tape A."""
    written = script()
    written.tick("10:00:00", "101", "B", tape="A")
    before = written.told("high_52w")
    written.tick("10:00:01", "101.5", "B", tape="C")

    assert (before, written.told("high_52w")) == ([], ["triggered 1 101.5"])


def test_T_C3_one_no_among_the_codes_wins() -> None:
    """A sweep that is an odd lot is none."""
    written = script()
    written.tick("10:00:00", "101", "F", "I")

    assert written.told("high_52w") == []


def test_T_C4_trade_sold_out_of_sequence_triggers_and_is_not_last() -> None:
    """The high is real, the price is old: the close stays the trade before."""
    written = script()
    written.tick("10:00:00", "99.5", "@")
    written.tick("10:00:01", "101", "Z")
    written.clock("16:15:00")

    documents = written.documents("high_52w")

    assert [d["transition"] for d in documents] == ["triggered", "unconfirmed"]
    assert (documents[0]["trigger"]["kind"], documents[1]["price"]) == ("late_or_derived", "99.5")


def test_late_trade_moves_the_extreme_and_triggers_nothing_where_that_is_asked_for() -> None:
    """`high_low_and_last`: the next plain trade above the level triggers, though the late one was higher."""
    written = script(trigger_eligibility="high_low_and_last")
    written.tick("10:00:00", "102", "Z")
    written.tick("10:00:01", "101", "@")

    assert written.told("high_52w") == ["triggered 1 101"]


def test_T_C5_form_t_before_the_bell_is_no_part_of_the_regular_session() -> None:
    """The pre-market print is ignored; the first regular trade is a gap."""
    written = script()
    written.tick("09:00:00", "101", "T")
    written.tick("09:30:00", "100.5", "@")

    documents = written.documents("high_52w")

    assert written.told("high_52w") == ["triggered 1 100.5"]
    assert documents[0]["gap"] is True


def test_T_C6_unknown_code_is_never_eligible() -> None:
    """A code that the table does not know triggers nothing."""
    written = script()
    written.tick("10:00:00", "101", "?")

    assert written.told("high_52w") == []


def test_T_C7_forty_shares_without_a_code_are_a_round_lot() -> None:
    """Only the code says odd lot."""
    written = script()
    written.tick("10:00:00", "101", size="40")

    assert written.told("high_52w") == ["triggered 1 101"]


def test_T_C8_official_close_is_no_trigger_and_is_the_close() -> None:
    """M states the listing market's close, without a size and without a trade."""
    written = script()
    written.tick("10:00:00", "101", "@")
    written.tick("15:59:59", "99", "@")
    written.tick("16:00:05", "105", "M", size="0")
    written.clock("16:15:00")

    last = last_document(written, "confirmed")

    assert written.told("high_52w")[0] == "triggered 1 101"
    assert len([line for line in written.told("high_52w") if line.startswith(("triggered", "new_extreme"))]) == 1
    assert (last["price"], last["close_source"], last["verdict"]) == ("105", "official", "confirmed")


@pytest.mark.parametrize(("venue", "source"), [("N", "official"), ("XNYS", "official"), ("P", "consolidated")])
def test_official_close_of_another_exchange_is_not_this_one(venue: str, source: str) -> None:
    """Every exchange reports its own close; only the listing market's counts."""
    written = script()
    written.tick("10:00:00", "101", "@")
    written.tick("16:00:05", "105", "M", size="0", venue=venue)
    written.clock("16:15:00")

    assert last_document(written, "confirmed")["close_source"] == source


def test_corrected_close_after_the_verdict_amends_it() -> None:
    """9 comes after the fact: the same signal, its next revision, the verdict turned."""
    written = script()
    written.tick("10:00:00", "101", "@")
    written.clock("16:20:00")
    written.tick("16:20:00", "99.9", "9", size="0")

    last = written.documents("high_52w")[-1]

    assert written.told("high_52w") == ["triggered 1 101", "confirmed 1 101", "amended 1 99.9"]
    assert (last["reason"], last["verdict"], last["close_source"]) == ("close_corrected", "unconfirmed", "corrected")
    assert last["revision"] == 3


@pytest.mark.parametrize("code", ["Z", "P", "4"])
def test_conditional_last_counts_as_the_only_trade_of_the_day(code: str) -> None:
    """Without another last-eligible trade the late one is the close."""
    written = script()
    written.tick("10:00:00", "101", code)
    written.clock("16:15:00")

    assert written.told("high_52w") == ["triggered 1 101", "confirmed 1 101"]


@pytest.mark.parametrize(("venue", "close"), [("N", "100.5"), ("D", "100.5"), ("P", "101"), (None, "101")])
def test_sold_last_counts_for_the_listing_market_and_the_venue_of_the_last(venue: str | None, close: str) -> None:
    """L on tape A: the listing market's, or the one that made the last trade."""
    written = script()
    written.tick("10:00:00", "101", "@", venue="D")
    written.tick("10:00:01", "100.5", "L", **({"venue": venue} if venue else {}))
    written.clock("16:15:00")

    assert last_document(written, "confirmed")["price"] == close


@pytest.mark.parametrize(("time", "close"), [("16:00:09.999999999", "100.5"), ("16:00:10", "101")])
def test_sold_last_on_tape_c_counts_until_ten_seconds_past_the_bell(time: str, close: str) -> None:
    """The end of last-sale eligibility."""
    written = script("XNAS:AAPL")
    written.tick("10:00:00", "101", "@")
    written.tick(time, "100.5", "L")
    written.clock("16:15:00")

    assert last_document(written, "confirmed")["price"] == close


@pytest.mark.parametrize(
    ("code", "kind"), [("O", "opening"), ("5", "reopen_gap"), ("@", "continuous"), ("4", "late_or_derived")]
)
def test_trigger_says_what_kind_of_trade_it_was(code: str, kind: str) -> None:
    """An opening print, the first after a halt, an old price, or the continuous market."""
    written = script()
    written.tick("10:00:00", "101", code)

    assert written.documents("high_52w")[0]["trigger"]["kind"] == kind


@pytest.mark.parametrize("code", ["D", "M", "X", "P", "*", "?"])
def test_off_book_trade_in_hong_kong_sets_no_level(code: str) -> None:
    """Odd lots, off-exchange trades and those of the day before are no trades of the book; nor is what nobody knows."""
    written = Script("engine", DAY, "XHKG:9988")
    written.history(high="100", close="90")
    written.tick("10:00:00", "101", code)

    assert written.told("high_52w") == []


@pytest.mark.parametrize(("codes", "time"), [((), "10:00:00"), (("Y",), "10:00:00"), (("U",), "16:08:30")])
def test_trade_of_the_book_in_hong_kong_sets_a_level(codes: tuple[str, ...], time: str) -> None:
    """Matched by the system, or in the closing auction after the bell."""
    written = Script("engine", DAY, "XHKG:9988")
    written.history(high="100", close="90")
    written.tick(time, "101", *codes)

    assert written.told("high_52w") == ["triggered 1 101"]
