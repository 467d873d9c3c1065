"""Trades that are delivered twice: which copies are known, and for how long."""

from __future__ import annotations

from typing import Any

import pytest

from tests.property.engine_run import fold
from tests.property.streams_markets import Log
from tests.scripted import Script

NEXT_DAY = "2025-10-01"


def script(**rules: Any) -> Script:
    written = Script("engine", "2025-09-30", **rules)
    written.history(high="100")
    return written


def counters(written: Script) -> dict[str, int]:
    return fold(Log(written.rules, {"XNYS": written.sessions}, written.records)).counters


def test_duplicates_are_known_for_sixty_four_ids() -> None:
    """Of a trade between the best prices: the sixty-fourth id back is still known, the sixty-fifth is not."""
    for between, duplicates in ((63, 1), (64, 0)):
        written = script()
        for price in ("98.6", "98.7", "98.8", "98.9", "99.1", "99.2", "99.3", "99.4"):
            written.tick("09:59:00", price)
        written.tick("10:00:00", "99", trade_id="first")
        for number in range(between):
            written.tick("10:00:01", "99", trade_id=f"{number}")
        written.tick("10:00:00", "99", trade_id="first")

        assert counters(written)["ticks_duplicate"] == duplicates


def test_equal_ids_of_two_venues_are_two_trades() -> None:
    """Ids are unique per venue only."""
    written = script()
    written.tick("10:00:00", "99", trade_id="1", venue="N")
    written.tick("10:00:00", "99", trade_id="1", venue="P")

    assert counters(written)["ticks_duplicate"] == 0


@pytest.mark.parametrize("conditions", [(), ("Z",)])
def test_trade_whose_id_is_kept_with_the_best_prices_is_known_all_day(conditions: tuple[str, ...]) -> None:
    """Seventy trades later its copy still counts for nothing, so that its cancel leaves no phantom high."""
    written = script()
    written.tick("10:00:00", "101", *conditions, trade_id="T")
    for number in range(70):
        written.tick(f"10:01:{number // 2:02d}.{number % 2}", "99.8", trade_id=f"n{number}")
    written.tick("10:00:00", "101", *conditions, trade_id="T")
    written.cancel("10:00:00", "101", *conditions, trade_id="T")

    assert written.told("high_52w") == ["triggered 1 101", "retracted 1 None"]
    counted = counters(written)
    assert (counted["ticks_duplicate"], counted["cancels"]) == (1, 1)


@pytest.mark.parametrize("clock", [None, "16:15:00"])
def test_copy_of_a_kept_trade_leaves_the_bar_alone(clock: str | None) -> None:
    """Before the verdict and after it: the next session's level is the high that is left."""
    written = script(split_guard=False)
    written.tick("10:00:00", "104", trade_id="T")
    for number in range(70):
        written.tick(f"10:01:{number // 2:02d}.{number % 2}", "99.8", trade_id=f"n{number}")
    if clock is not None:
        written.clock(clock)
    written.tick("10:00:00", "104", trade_id="T")
    written.cancel("10:00:00", "104", trade_id="T")
    written.clock("2025-10-01T13:59:59Z")
    written.tick("2025-10-01T14:00:00Z", "101", trade_id="1")

    today = [d for d in written.documents("high_52w") if d["session_date"] == NEXT_DAY]

    assert [(d["transition"], d["level"]["price"]) for d in today] == [("triggered", "100")]


def test_another_venues_trade_of_the_same_id_is_another_trade() -> None:
    """Ids are a venue's own: both were at 101, and one is left."""
    written = script()
    written.tick("10:00:00", "101", trade_id="T", venue="N")
    for number in range(70):
        written.tick(f"10:01:{number // 2:02d}.{number % 2}", "99.8", trade_id=f"n{number}", venue="N")
    written.tick("10:02:00", "101", trade_id="T", venue="P")
    written.cancel("10:00:00", "101", trade_id="T", venue="N")

    assert written.told("high_52w") == ["triggered 1 101", "amended 1 101"]
