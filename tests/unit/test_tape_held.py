"""Prints that nobody believes yet, halts, and sessions that the exchange changes during the day."""

from __future__ import annotations

from typing import Any

import pytest

from tests.property.engine_run import fold
from tests.property.streams_markets import Log
from tests.scripted import Script

DAY = "2025-09-30"


def script(**rules: Any) -> Script:
    written = Script("engine", DAY, **rules)
    written.history(high="100", close="90")
    return written


def usual(written: Script, price: str = "95", count: int = 20) -> None:
    for second in range(count):
        written.tick(f"09:31:{second:02d}", price, venue="N")


def counters(written: Script) -> dict[str, int]:
    return fold(Log(written.rules, {"XNYS": written.sessions}, written.records)).counters


def test_print_far_out_is_held_and_triggers_nothing() -> None:
    """Eleven percent above the usual price: visible, not believed, rejected with the verdict."""
    written = script()
    usual(written)
    written.tick("10:00:00", "106", trade_id="7", venue="N")
    written.clock("16:15:00")

    held = written.documents("held_print")

    assert written.told("high_52w") == []
    assert [(d["transition"], d["revision"], d["side"], d["price"]) for d in held] == [
        ("held", 1, "up", "106"),
        ("rejected", 2, "up", "106"),
    ]
    assert held[0]["print"]["trade_id"] == "7"


def test_print_within_the_band_is_believed() -> None:
    """104.5 is exactly ten percent above 95."""
    written = script()
    usual(written)
    written.tick("10:00:00", "104.5")
    written.tick("10:00:01", "104.51")

    assert written.told("high_52w") == ["triggered 1 104.5"]
    assert written.told("held_print") == ["held 1 104.51"]


def test_nothing_is_held_before_twenty_trades() -> None:
    """A gap at the open is real."""
    written = script()
    usual(written, count=19)
    written.tick("10:00:00", "106")

    assert written.told("high_52w") == ["triggered 1 106"]


def test_second_venue_confirms_what_was_held() -> None:
    """Both are believed, in order: the held print is the trigger."""
    written = script()
    usual(written)
    written.tick("10:00:00", "106", trade_id="7", venue="N")
    written.tick("10:00:02", "107", trade_id="8", venue="P")

    assert written.told("held_print") == ["held 1 106", "believed 1 106"]
    assert written.told("high_52w") == ["triggered 1 106", "new_extreme 1 107"]
    assert written.documents("high_52w")[0]["trigger"]["trade_id"] == "7"


def test_enough_trades_confirm_each_other() -> None:
    """Of one venue the third is enough."""
    written = script(conflate_ms=0)
    usual(written)
    for second, price in enumerate(("106", "107", "108")):
        written.tick(f"10:00:0{second}", price, venue="N")

    assert written.told("held_print") == ["held 1 106", "held 2 107", "believed 1 106", "believed 2 107"]
    assert written.told("high_52w") == ["triggered 1 106", "new_extreme 1 107", "new_extreme 1 108"]


def test_cancelled_held_print_is_rejected() -> None:
    """A bad print is mostly cancelled a moment later."""
    written = script()
    usual(written)
    written.tick("10:00:00", "106", trade_id="7")
    written.cancel("10:00:00", "106", trade_id="7")
    written.tick("10:00:01", "107", trade_id="8", venue="P")

    assert written.told("held_print") == ["held 1 106", "rejected 1 106", "held 2 107"]
    assert written.told("high_52w") == []


def test_slip_of_the_keyboard_is_not_confirmed_by_a_market_that_runs() -> None:
    """1000 and 106 are both out of the band, and nowhere near each other: only what trades there confirms a price."""
    written = script()
    usual(written)
    written.tick("10:00:00", "1000", trade_id="7", venue="N")
    written.tick("10:00:02", "106", trade_id="8", venue="P")
    written.tick("10:00:03", "106.5", trade_id="9", venue="N")
    written.clock("16:15:00")

    assert written.told("held_print") == ["held 1 1000", "held 2 106", "believed 2 106", "rejected 1 1000"]
    assert written.told("high_52w") == ["triggered 1 106", "new_extreme 1 106.5", "confirmed 1 106.5"]


@pytest.mark.parametrize(("price", "told"), [("116.6", "believed 1 106"), ("116.61", "held 2 116.61")])
def test_prints_confirm_each_other_within_the_band(price: str, told: str) -> None:
    """116.6 is exactly ten percent above 106: it would be believed where 106 is usual."""
    written = script()
    usual(written)
    written.tick("10:00:00", "106", venue="N")
    written.tick("10:00:01", price, venue="P")

    assert written.told("held_print") == ["held 1 106", told]


def test_prints_below_confirm_each_other_within_the_band() -> None:
    """72 is exactly ten percent below 80; 71.99 is not near it."""
    for price, told in (("72", "believed 1 80"), ("71.99", "held 2 71.99")):
        written = script()
        usual(written)
        written.tick("10:00:00", "80", venue="N")
        written.tick("10:00:01", price, venue="P")

        assert written.told("held_print") == ["held 1 80", told]


def test_fifth_print_that_waits_on_a_side_makes_the_oldest_go() -> None:
    """Four wait on each side; none of these is near another."""
    written = script()
    usual(written)
    for second, price in enumerate(("200", "300", "400", "500", "600")):
        written.tick(f"10:00:0{second}", price, venue="N")

    assert written.told("held_print")[-2:] == ["rejected 1 200", "held 5 600"]
    assert counters(written)["prints_rejected"] == 1


def test_reopening_is_believed_at_once() -> None:
    """A gap after a pause is as real as one at the open, and a thin stock may have no second trade."""
    written = script()
    usual(written)
    written.say("status", time=written.time("09:40:00"), status="paused_luld")
    written.say("status", time=written.time("09:45:00"), status="trading")
    written.tick("09:45:00", "120", "5", venue="N", trade_id="7")
    written.clock("16:15:00")

    assert written.told("held_print") == []
    assert written.told("high_52w") == ["triggered 1 120", "confirmed 1 120"]
    assert written.documents("high_52w")[0]["trigger"]["kind"] == "reopen_gap"


@pytest.mark.parametrize("word", ["correct", "tick"])
def test_correction_to_a_price_far_out_is_held_as_well(word: str) -> None:
    """A trade that becomes 950 by a correction is believed no sooner than one that comes as 950."""
    written = script()
    usual(written, count=21)
    written.tick("09:32:00", "95", venue="N", trade_id="7")
    if word == "correct":
        written.correct("09:32:00", "95", {"price": "950"}, venue="N", trade_id="7")
    else:
        written.tick("09:32:01", "950", venue="N", trade_id="8")
    written.clock("16:15:00")

    assert written.told("high_52w") == []
    assert written.told("held_print") == ["held 1 950", "rejected 1 950"]


def test_correction_confirms_what_is_held_near_it() -> None:
    """A trade of another venue that was really at 107: the print that waits at 106 was right."""
    written = script()
    usual(written, count=21)
    written.tick("09:32:00", "95", venue="P", trade_id="7")
    written.tick("10:00:00", "106", venue="N", trade_id="8")
    written.correct("09:32:00", "95", {"price": "107"}, venue="P", trade_id="7")

    assert written.told("held_print") == ["held 1 106", "believed 1 106"]
    assert written.told("high_52w") == ["triggered 1 107"]


def test_held_print_is_visible_while_a_split_is_suspected() -> None:
    """It is far from the session's own trades, in whatever units they are: only breakouts and measures are withheld."""
    written = script()
    usual(written, "45")
    written.tick("10:00:00", "60", trade_id="7")
    written.clock("16:15:00")
    written.action(DAY, 2, 1)

    told = [(document["family"], document["transition"]) for document in written.documents()]

    assert told == [
        ("suspected_split", "suspect"),
        ("held_print", "held"),
        ("held_print", "rejected"),
        ("suspected_split", "discarded"),
    ]


def test_held_prints_count_for_volume_and_duplicates() -> None:
    """A held print was taken: its copy is a copy."""
    written = script()
    usual(written)
    written.tick("10:00:00", "106", trade_id="7")
    written.tick("10:00:00", "106", trade_id="7")

    counted = counters(written)
    assert (counted["prints_held"], counted["ticks_duplicate"]) == (1, 1)


@pytest.mark.parametrize(
    ("status", "halt", "provisional"),
    [("halted", "halted", False), ("paused_luld", "paused_luld", False), ("limit_state", "limit_state", True)],
)
def test_status_is_said_with_a_signal_and_blocks_none(status: str, halt: str, provisional: bool) -> None:
    """LULD states and halts annotate."""
    written = script()
    written.tick("09:30:00", "99")
    written.say("status", time=written.time("09:59:00"), status=status)
    written.tick("10:00:00", "101")

    document = written.documents("high_52w")[0]

    assert document["status"] == {"halt": halt, "provisional": provisional}


def test_first_trade_after_a_halt_is_a_reopening_gap_and_the_second_is_not() -> None:
    """Whatever its code is."""
    for before, kind in (([], "reopen_gap"), (["99.5"], "continuous")):
        written = script()
        written.tick("09:30:00", "99")
        written.say("status", time=written.time("09:40:00"), status="halted")
        written.say("status", time=written.time("09:50:00"), status="resumed")
        for price in before:
            written.tick("09:59:00", price)
        written.tick("10:00:00", "101")

        document = written.documents("high_52w")[0]

        assert document["trigger"]["kind"] == kind
        assert document["status"]["halt"] == "none"


def test_session_that_ends_early_has_its_verdict_early() -> None:
    """Trades after the new close are out of session, and the event time is that of the new close."""
    written = script()
    written.tick("10:00:00", "101")
    change = {"type": "session", "mic": "XNYS", "session_date": DAY, "status": "early_close"}
    written.records.append({**change, "close": written.time("13:00:00")})
    written.tick("14:00:00", "99")
    written.clock("13:15:00")

    documents = written.documents("high_52w")

    assert written.told("high_52w") == ["triggered 1 101", "confirmed 1 101"]
    assert documents[1]["event_time"] == "2025-09-30T17:00:00Z"
    assert counters(written)["ticks_out_of_session"] == 1


def test_cancelled_session_never_was() -> None:
    """Its signals are retracted, its trades are no bar, and later ones are out of session."""
    written = script(split_guard=False)
    written.tick("10:00:00", "101")
    written.records.append({"type": "session", "mic": "XNYS", "session_date": DAY, "status": "cancelled"})
    written.tick("11:00:00", "102")
    written.clock("2025-10-01T13:59:59Z")
    written.tick("2025-10-01T14:00:00Z", "100.5")

    documents = written.documents("high_52w")

    assert written.told("high_52w") == ["triggered 1 101", "retracted 1 None", "triggered 1 100.5"]
    assert documents[1]["reason"] == "session_cancelled"
    assert documents[2]["level"]["price"] == "100"
    assert counters(written)["ticks_out_of_session"] == 1


def test_cancelled_session_rejects_what_it_held() -> None:
    """Nobody will confirm the print any more."""
    written = script()
    usual(written)
    written.tick("10:00:00", "106", trade_id="7")
    written.records.append({"type": "session", "mic": "XNYS", "session_date": DAY, "status": "cancelled"})

    assert written.told("held_print") == ["held 1 106", "rejected 1 106"]


def test_trade_in_a_session_that_had_ended_before_anybody_said_so_is_late() -> None:
    """The early close is told an hour after it: what is traded before the next clock moves no machine and no close."""
    written = script()
    written.tick("10:00:00", "101")
    written.clock("14:00:00")
    change = {"type": "session", "mic": "XNYS", "session_date": DAY, "status": "early_close"}
    written.records.append({**change, "close": written.time("13:00:00")})
    written.tick("12:00:00", "99")
    written.clock("14:00:01")

    assert written.told("high_52w") == ["triggered 1 101", "confirmed 1 101"]
    assert counters(written)["ticks_late_amended"] == 1


def test_changed_session_survives_a_restart() -> None:
    """The calendar at hand may not know it; the state does."""
    from streams.core.engine import Engine
    from streams.core.processor import Processor
    from streams.core.rules import Rules
    from streams.core.sessions import Markets
    from tests.property.engine_run import sessions_of

    written = script()
    written.tick("10:00:00", "101")
    change = {"type": "session", "mic": "XNYS", "session_date": DAY, "status": "early_close"}
    written.records.append({**change, "close": written.time("13:00:00")})
    markets = Markets([sessions_of("XNYS", written.sessions)])
    before = Processor(markets, Rules())
    before.records(written.records)
    after = Processor(markets, Rules())
    after.engine = Engine(markets, Rules())
    after.engine.restore(before.engine.export().copy())
    after.records([{"instrument": "XNYS:BABA", "time": written.time("14:00:00"), "price": "99", "size": "1"}])

    assert after.engine.counters()["ticks_out_of_session"] == 1
