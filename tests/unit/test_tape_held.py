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
