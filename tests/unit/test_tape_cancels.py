"""Cancelled, corrected and repeated trades: what a signal does when its trade never was."""

from __future__ import annotations

from typing import Any

import pytest

from tests.scripted import Script

DAY = "2025-09-30"
NEXT_DAY = "2025-10-01"


def script(**rules: Any) -> Script:
    written = Script("engine", DAY, **rules)
    written.history(high="100")
    return written


def counters(written: Script) -> dict[str, int]:
    from tests.property.engine_run import fold
    from tests.property.streams_markets import Log

    return fold(Log(written.rules, {"XNYS": written.sessions}, written.records)).counters


def test_T_X1_cancelled_trigger_is_retracted_and_the_level_armed_again() -> None:
    """Revision 2 of the same signal; the next trade above the level is a new one, with the next ordinal."""
    written = script()
    written.tick("10:00:00", "99.5", trade_id="1")
    written.tick("10:00:01", "100.5", trade_id="2")
    written.cancel("10:00:01", "100.5", trade_id="2")
    written.tick("10:00:05", "100.3", trade_id="3")

    documents = written.documents("high_52w")

    assert written.told("high_52w") == ["triggered 1 100.5", "retracted 1 None", "triggered 2 100.3"]
    assert documents[0]["signal_id"] == documents[1]["signal_id"]
    assert (documents[1]["revision"], documents[1]["reason"]) == (2, "cancelled")
    assert documents[2]["revision"] == 1


def test_T_X2_cancelled_trigger_gives_way_to_the_next_trade_beyond_the_level() -> None:
    """The earliest trade left is the trigger, not the best price."""
    written = script()
    written.tick("10:00:00", "99.5", trade_id="1")
    written.tick("10:00:01", "100.5", trade_id="2")
    written.tick("10:00:01.1", "100.2", trade_id="3")
    written.tick("10:00:01.2", "100.4", trade_id="4")
    written.cancel("10:00:01", "100.5", trade_id="2")

    documents = written.documents("high_52w")

    assert written.told("high_52w") == ["triggered 1 100.5", "amended 1 100.2"]
    amended = documents[1]
    assert (amended["signal_id"], amended["revision"]) == (documents[0]["signal_id"], 2)
    assert (amended["reason"], amended["degraded"]) == ("trigger_changed", False)
    assert (amended["trigger"]["price"], amended["trigger"]["trade_id"]) == ("100.2", "3")
    assert amended["event_time"] == "2025-09-30T14:00:01.100000000Z"


def test_T_X3_trigger_corrected_below_the_level_is_retracted() -> None:
    """A correction takes the trade back and puts the right one in its place."""
    written = script()
    written.tick("10:00:01", "110", trade_id="2")
    written.correct("10:00:01", "110", {"price": "99"}, trade_id="2")
    written.clock("16:15:00")

    assert written.told("high_52w") == ["triggered 1 110", "retracted 1 None"]


def test_correction_takes_the_place_of_the_last_price() -> None:
    """The close is the corrected price when the trade was the last one, and not when it was an earlier one."""
    written = script()
    written.tick("10:00:00", "101", trade_id="1")
    written.tick("10:00:01", "100.6", trade_id="2")
    written.tick("10:00:02", "100.7", trade_id="3")
    written.correct("10:00:01", "100.6", {"price": "100.9"}, trade_id="2")
    written.correct("10:00:02", "100.7", {"price": "100.8"}, trade_id="3")
    written.clock("16:15:00")

    assert written.told("high_52w")[-1] == "confirmed 1 100.8"


def test_T_X4_cancel_of_an_unknown_trade_is_ignored_and_counted() -> None:
    """An id that was not there changes nothing, whether its price was traded or not."""
    written = script()
    written.tick("10:00:01", "100.5", trade_id="2")
    written.cancel("10:00:01", "100.5", trade_id="9")
    written.cancel("10:00:02", "100.6", trade_id="8")

    assert written.told("high_52w") == ["triggered 1 100.5"]
    assert counters(written)["cancels_unknown"] == 2


def test_T_X5_trade_delivered_twice_is_one_trade() -> None:
    """One event; a second delivery is neither a new trade nor a new volume, and a cancel takes both away."""
    written = script()
    written.tick("10:00:01", "100.5", trade_id="2")
    written.tick("10:00:01", "100.5", trade_id="2")
    written.cancel("10:00:01", "100.5", trade_id="2")
    written.cancel("10:00:01", "100.5", trade_id="2")

    assert written.told("high_52w") == ["triggered 1 100.5", "retracted 1 None"]
    counted = counters(written)
    assert (counted["ticks_duplicate"], counted["cancels"], counted["cancels_duplicate"]) == (1, 1, 1)


def test_cancelled_failure_is_withdrawn() -> None:
    """Without another trade at the line the breakout has not failed, and its close confirms it plainly."""
    written = script()
    written.tick("10:00:00", "101", trade_id="1")
    written.tick("10:00:01", "99.4", trade_id="2")
    written.tick("10:00:02", "100.8", trade_id="3")
    written.cancel("10:00:01", "99.4", trade_id="2")
    written.clock("16:15:00")

    documents = written.documents("high_52w")

    assert written.told("high_52w") == ["triggered 1 101", "failed 1 99.4", "amended 1 101", "confirmed 1 100.8"]
    assert (documents[2]["reason"], documents[2]["failed"]) == ("failure_withdrawn", False)
    assert (documents[3]["failed"], documents[3]["recovered"]) == (False, False)


def test_trigger_at_its_own_failure_line_is_no_other_failure() -> None:
    """Without hysteresis a match of the level is at the line; what fails a breakout comes after its trigger."""
    written = script(equality="match", hysteresis_bps=0, hysteresis_ticks=0)
    written.tick("10:00:00", "100", trade_id="1")
    written.tick("10:00:01", "99", trade_id="2")
    written.cancel("10:00:01", "99", trade_id="2")

    assert written.told("high_52w") == ["triggered 1 100", "failed 1 99", "amended 1 100"]


def test_corrected_trigger_is_no_failure_of_the_signal_that_outlives_it() -> None:
    """It was never beyond the level, and stands where the trigger stood: nothing failed after it."""
    written = script()
    written.tick("10:00:00", "101", trade_id="1")
    written.tick("10:00:01", "102", trade_id="2")
    written.tick("10:00:02", "99.4", trade_id="3")
    written.correct("10:00:00", "101", {"price": "99.3"}, trade_id="1")
    written.cancel("10:00:02", "99.4", trade_id="3")

    reasons = [document["reason"] for document in written.documents("high_52w")]

    assert reasons == [None, None, None, "trigger_changed", "failure_withdrawn"]


def test_cancelled_failure_stands_on_another_trade_at_the_line() -> None:
    """A second trade below the line makes a failure of it all the same: nothing is said."""
    written = script()
    written.tick("10:00:00", "101", trade_id="1")
    written.tick("10:00:01", "99.4", trade_id="2")
    written.tick("10:00:02", "99.3", trade_id="3")
    written.cancel("10:00:01", "99.4", trade_id="2")

    assert written.told("high_52w") == ["triggered 1 101", "failed 1 99.4"]


def test_cancelled_extreme_that_is_held_is_never_sent() -> None:
    """A pending extreme goes with its trade."""
    written = script()
    written.tick("10:00:00", "101", trade_id="1")
    written.tick("10:00:00.5", "102", trade_id="2")
    written.cancel("10:00:00.5", "102", trade_id="2")
    written.clock("10:00:02")

    assert written.told("high_52w") == ["triggered 1 101"]


def test_held_extreme_is_told_before_a_failure_is_withdrawn() -> None:
    """What waits goes out before any other transition of its signal."""
    written = script()
    written.tick("10:00:00", "101", trade_id="1")
    written.tick("10:00:00.1", "99.4", trade_id="2")
    written.tick("10:00:00.2", "102", trade_id="3")
    written.cancel("10:00:00.1", "99.4", trade_id="2")
    written.clock("10:00:02")

    assert written.told("high_52w") == ["triggered 1 101", "failed 1 99.4", "new_extreme 1 102", "amended 1 101"]


def test_held_extreme_is_told_before_another_trigger() -> None:
    """The extreme of 103 still waits when the trigger is cancelled and 101.5 takes its place."""
    written = script()
    written.tick("10:00:00", "101", trade_id="1")
    written.tick("10:00:00.1", "101.5", trade_id="2")
    written.tick("10:00:00.2", "103", trade_id="3")
    written.cancel("10:00:00", "101", trade_id="1")

    assert written.told("high_52w") == ["triggered 1 101", "new_extreme 1 103", "amended 1 101.5"]


def test_held_extreme_that_becomes_the_trigger_is_not_told_as_an_extreme() -> None:
    """The trigger is cancelled and the extreme that waits is the next trade beyond the level."""
    written = script()
    written.tick("10:00:00", "101", trade_id="1")
    written.tick("10:00:00.1", "102", trade_id="2")
    written.cancel("10:00:00", "101", trade_id="1")
    written.clock("10:00:02")

    assert written.told("high_52w") == ["triggered 1 101", "amended 1 102"]


def test_cancelled_trigger_arms_its_own_level_whatever_today_has_seen() -> None:
    """A late print that may not trigger set the extreme; a trade below it, above the level, triggers now as before."""
    written = script(trigger_eligibility="high_low_and_last")
    written.tick("10:00:00", "99", trade_id="1")
    written.tick("10:00:01", "105", "Z", trade_id="2", tape="A")
    written.tick("10:00:02", "101", trade_id="3")
    written.cancel("10:00:02", "101", trade_id="3")
    written.tick("10:00:03", "102", trade_id="4")

    assert written.told("high_52w") == ["triggered 1 101", "retracted 1 None", "triggered 2 102"]


def test_extreme_steps_back_so_that_the_next_one_is_new_again() -> None:
    """After 103 is taken back, 102.5 is a new extreme over 102."""
    written = script(conflate_ms=0)
    written.tick("10:00:00", "101", trade_id="1")
    written.tick("10:00:02", "102", trade_id="2")
    written.tick("10:00:04", "103", trade_id="3")
    written.cancel("10:00:04", "103", trade_id="3")
    written.tick("10:00:06", "102.5", trade_id="4")

    assert written.told("high_52w")[-1] == "new_extreme 1 102.5"


def test_trigger_past_four_cancels_is_named_by_its_price_alone() -> None:
    """More trades than are kept with ids: the signal stands on the extreme, and says that it is degraded."""
    written = script(bad_print_band=0.0)
    for number in range(6):
        written.tick(f"10:00:0{number}", f"{101 + number}", trade_id=f"{number}")
    for number in range(4):
        written.cancel(f"10:00:0{number}", f"{101 + number}", trade_id=f"{number}")

    last = written.documents("high_52w")[-1]

    assert (last["transition"], last["trigger"]["price"], last["trigger"]["trade_id"]) == ("amended", "106", None)
    assert last["degraded"] is True


def test_session_that_lost_all_its_best_prices_leaves_its_extreme_unknown() -> None:
    """Four levels gone: the next session's level stands on the floor and says that it may be another."""
    written = script(bad_print_band=0.0, split_guard=False)
    for number in range(6):
        written.tick(f"10:00:0{number}", f"{120 - number}", trade_id=f"{number}")
    for number in range(4):
        written.cancel(f"10:00:0{number}", f"{120 - number}", trade_id=f"{number}")
    written.clock("2025-10-01T13:59:59Z")
    written.tick("2025-10-01T14:00:00Z", "118")

    last = written.documents("high_52w")[-1]

    assert last["session_date"] == NEXT_DAY
    assert (last["level"]["price"], last["level"]["extreme_unknown"]) == ("117", True)


def test_cancelled_print_is_not_the_close_of_its_session() -> None:
    """All trades but a late one were taken back: the bar's close is that one's price."""
    written = script(split_guard=False)
    written.tick("10:00:00", "99", trade_id="1")
    written.tick("10:00:01", "96", "Z", trade_id="2", tape="A")
    written.tick("10:00:02", "98", trade_id="3")
    written.cancel("10:00:02", "98", trade_id="3")
    written.cancel("10:00:00", "99", trade_id="1")
    written.clock("2025-10-01T13:59:59Z")
    written.tick("2025-10-01T14:00:00Z", "98.88")

    gap = written.documents("gap")[-1]

    assert (gap["session_date"], gap["measure"]["base_price"], gap["measure"]["value"]) == (NEXT_DAY, "96", 0.03)


def test_trade_that_a_correction_made_eligible_before_the_first_one_triggers_nothing_in_retrospect() -> None:
    """An odd lot that was a round lot is today's extreme; the machine is armed there, past the level."""
    written = script()
    written.tick("10:00:00", "105", "I", trade_id="1")
    written.correct("10:00:00", "105", {"price": "105", "conditions": ["@"]}, trade_id="1", conditions=["I"])
    written.tick("10:00:01", "101", trade_id="2")
    written.tick("10:00:02", "106", trade_id="3")

    assert written.told("high_52w") == ["triggered 1 106"]


def test_cancel_after_the_verdict_steps_the_close_back() -> None:
    """The last trade is taken back in the evening: the close is the one before, and the verdict is judged again."""
    written = script()
    written.tick("10:00:00", "101", trade_id="1")
    written.tick("15:00:00", "99.9", trade_id="2")
    written.tick("15:59:59", "100.5", trade_id="3")
    written.clock("16:15:00")
    written.cancel("15:59:59", "100.5", trade_id="3")

    last = written.documents("high_52w")[-1]

    assert (last["transition"], last["reason"]) == ("amended", "close_corrected")
    assert (last["price"], last["verdict"], last["revision"]) == ("99.9", "unconfirmed", 3)


def test_transition_after_the_verdict_says_which_close_gave_it() -> None:
    """The newest revision is all that a reader keeps: it still tells the source of the close, and that it recovered."""
    written = script()
    written.tick("10:00:00", "101", trade_id="1")
    written.tick("10:00:01", "99.4", trade_id="2")
    written.tick("10:00:02", "102", trade_id="3")
    written.clock("16:15:00")
    written.cancel("10:00:00", "101", trade_id="1")

    last = written.documents("high_52w")[-1]

    assert (last["transition"], last["reason"], last["price"]) == ("amended", "trigger_changed", "102")
    assert (last["verdict"], last["close_source"], last["recovered"]) == ("confirmed", "consolidated", True)


def test_trigger_cancelled_after_the_verdict_is_retracted() -> None:
    """Until the next open a signal may still be taken back."""
    written = script()
    written.tick("10:00:00", "101", trade_id="1")
    written.tick("15:00:00", "99.9", trade_id="2")
    written.clock("16:15:00")
    written.cancel("10:00:00", "101", trade_id="1")

    assert written.told("high_52w") == ["triggered 1 101", "unconfirmed 1 99.9", "retracted 1 None"]


def test_cancel_of_yesterday_restates_its_bar_and_retracts_nothing_wrongly() -> None:
    """Yesterday's high is taken back: today's level is lower, and the signal of today is amended to it."""
    written = script(split_guard=False)
    written.tick("10:00:00", "103", trade_id="1")
    written.tick("10:00:01", "102", trade_id="2")
    written.clock("2025-10-01T13:59:59Z")
    written.tick("2025-10-01T14:00:00Z", "104", trade_id="1")
    written.cancel("10:00:00", "103", trade_id="1")

    documents = [d for d in written.documents("high_52w") if d["session_date"] == NEXT_DAY]

    assert [(d["transition"], d["level"]["price"]) for d in documents] == [("triggered", "103"), ("amended", "102")]
    assert documents[1]["reason"] == "level_restated"


def test_correction_of_yesterday_puts_its_trade_into_the_bar_and_restates_once() -> None:
    """It has the id of the trade it replaces and is no copy of it; what is open is amended by the outcome alone."""
    written = script(split_guard=False)
    written.tick("10:00:00", "105", trade_id="9")
    written.clock("2025-10-01T13:59:59Z")
    written.tick("2025-10-01T14:00:00Z", "106")
    written.correct("10:00:00", "105", {"price": "105.5"}, trade_id="9")

    documents = [d for d in written.documents("high_52w") if d["session_date"] == NEXT_DAY]

    assert [(d["transition"], d["level"]["price"]) for d in documents] == [("triggered", "105"), ("amended", "105.5")]


def test_late_trade_of_yesterday_widens_its_bar_and_retracts_what_is_no_longer_beyond() -> None:
    """A trade of yesterday above today's trigger: today's signal never was one."""
    written = script(split_guard=False)
    written.tick("10:00:00", "102")
    written.clock("2025-10-01T13:59:59Z")
    written.tick("2025-10-01T14:00:00Z", "103")
    written.tick("15:00:00", "104")
    written.tick("2025-10-01T14:00:02Z", "104.5")

    documents = [d for d in written.documents("high_52w") if d["session_date"] == NEXT_DAY]

    assert [(d["transition"], d["ordinal"]) for d in documents] == [
        ("triggered", 1),
        ("retracted", 1),
        ("triggered", 2),
    ]
    assert documents[1]["reason"] == "level_restated"
    assert (documents[2]["level"]["price"], documents[2]["level"]["session_date"]) == ("104", DAY)


def test_trade_of_two_sessions_ago_is_too_late() -> None:
    """Past the horizon a late trade is counted and changes nothing."""
    written = script(split_guard=False)
    written.tick("10:00:00", "99")
    written.tick("2025-10-01T14:00:00Z", "99")
    written.tick("2025-10-02T14:00:00Z", "99")
    written.tick("15:00:00", "105")
    written.tick("2025-10-02T14:00:02Z", "100.5")

    assert written.told("high_52w") == ["triggered 1 100.5"]
    assert counters(written)["ticks_late"] == 1


@pytest.mark.parametrize("kept", [True, False])
def test_cancel_without_an_id_is_matched_by_time_and_price(kept: bool) -> None:
    """Feeds without ids can cancel too."""
    written = script()
    written.tick("10:00:01", "100.5")
    if kept:
        written.tick("10:00:02", "100.5")
    written.cancel("10:00:01", "100.5")

    expected = ["triggered 1 100.5", "amended 1 100.5" if kept else "retracted 1 None"]
    assert written.told("high_52w") == expected


def test_failure_at_the_old_level_is_none_at_a_restated_one() -> None:
    """The level of 100 was a mistake for 95: 99.4 is far from its line, so nothing has failed and nothing recovered."""
    written = Script("engine", DAY)
    written.history(high="95", close="90", days={"2025-09-29": "100 50 90"})
    written.tick("10:00:00", "101", trade_id="1")
    written.tick("10:01:00", "99.4", trade_id="2")
    written.bar("2025-09-29", "90", "50", "90")
    written.clock("16:15:00")

    told = [(d["transition"], d["level"]["price"], d["failed"]) for d in written.documents("high_52w")]

    assert told == [
        ("triggered", "100", False),
        ("failed", "100", True),
        ("amended", "95", False),
        ("confirmed", "95", False),
    ]
    assert written.documents("high_52w")[-1]["recovered"] is False


def test_failure_at_a_restated_level_stands_on_another_trade_past_its_line() -> None:
    """94.5 is past the line of 95 too."""
    written = Script("engine", DAY)
    written.history(high="95", close="90", days={"2025-09-29": "100 50 90"})
    written.tick("10:00:00", "101", trade_id="1")
    written.tick("10:01:00", "99.4", trade_id="2")
    written.tick("10:02:00", "94.5", trade_id="3")
    written.bar("2025-09-29", "90", "50", "90")

    assert [(d["transition"], d["failed"]) for d in written.documents("high_52w")] == [
        ("triggered", False),
        ("failed", True),
        ("amended", True),
    ]
