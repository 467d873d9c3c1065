"""The generated days: they meet the four real prices exactly, trade the real volume, and come from a seed."""

from __future__ import annotations

from functools import cache

import orjson
import pytest

from streams.calendars import load_markets
from streams.core.units import SCALE, format_date, format_time, parse_decimal
from streams.feeds import scenario
from streams.feeds.scenario import Chapter, Scenario
from streams.feeds.stage import Stage

MARKETS = load_markets(["XNYS"])
GENERATED = ("2025-09-29", "2025-09-30")


@cache
def built(seed: int) -> Scenario:
    return scenario.build(MARKETS, seed=seed)


@pytest.fixture(scope="module")
def days() -> Scenario:
    return built(scenario.SEED)


def chapter_of(days: Scenario, session: str) -> Chapter:
    return next(chapter for chapter in days.chapters if format_date(chapter.bar.date) == session)


def prices_of(chapter: Chapter) -> list[int]:
    return [step.price for step in chapter.steps if step.kind == "tick"]


def test_history_and_sessions_have_the_promised_span(days: Scenario) -> None:
    """Bars of 2024-08-01 to 2025-09-10 as history, then every session from 2025-09-11 to 2025-10-02."""
    sessions = [format_date(chapter.bar.date) for chapter in days.chapters]

    assert (format_date(days.history[0].date), format_date(days.history[-1].date)) == ("2024-08-01", "2025-09-10")
    assert (sessions[0], sessions[-1], len(sessions)) == ("2025-09-11", "2025-10-02", 16)
    assert [session for session in sessions if chapter_of(days, session).generated] == list(GENERATED)


@pytest.mark.parametrize("session", GENERATED)
@pytest.mark.parametrize("seed", [scenario.SEED, 1, 2, 3])
def test_generated_path_meets_the_four_prices(session: str, seed: int) -> None:
    """Open first, close last, high and low reached, neither passed; whatever the seed."""
    chapter = chapter_of(built(seed), session)
    prices, bar = prices_of(chapter), chapter.bar

    assert len(prices) == scenario.TRADES
    assert (prices[0], max(prices), min(prices), prices[-1]) == (bar.open, bar.high, bar.low, bar.close)


@pytest.mark.parametrize("seed", [scenario.SEED, 1, 2, 3])
def test_monday_stays_above_the_failure_line_after_the_trigger(seed: int) -> None:
    """180.16 is passed within the session, and 179.26 never reached again; the open is below the level."""
    prices = prices_of(chapter_of(built(seed), "2025-09-29"))
    trigger = next(place for place, price in enumerate(prices) if price > parse_decimal("180.16"))

    assert trigger > 100
    assert min(prices[trigger:]) > parse_decimal("179.26")


@pytest.mark.parametrize("session", GENERATED)
def test_generated_trades_add_up_to_the_volume(days: Scenario, session: str) -> None:
    """Whole shares, at least one a trade, the day's volume in all."""
    chapter = chapter_of(days, session)
    sizes = [int(orjson.loads(step.value)["size"]) for step in chapter.steps if step.kind == "tick"]

    assert min(sizes) >= 1
    assert sum(sizes) * SCALE == chapter.bar.volume


@pytest.mark.parametrize("session", GENERATED)
def test_generated_trades_are_in_order_of_time(days: Scenario, session: str) -> None:
    """Distinct times, the first at the opening bell, the last one second before the closing one."""
    chapter = chapter_of(days, session)
    times = [step.time_ns for step in chapter.steps if step.kind == "tick"]

    assert times == sorted(set(times))
    assert (times[0], times[-1]) == (chapter.open_ns, chapter.close_ns - 1_000_000_000)


def test_same_seed_gives_the_same_bytes() -> None:
    """The demo shows the same trades on every run and every machine."""
    again = scenario.build(MARKETS)

    assert again == built(scenario.SEED)
    assert again.chapters[12].steps != built(1).chapters[12].steps


def test_clock_of_each_session_passes_its_verdict(days: Scenario) -> None:
    """Every session ends with a clock 15 minutes after its close."""
    last = [chapter.steps[-1] for chapter in days.chapters]

    assert {step.kind for step in last} == {"clock"}
    assert [step.time_ns for step in last] == [chapter.close_ns + 900 * 10**9 for chapter in days.chapters]


def test_article_lies_between_monday_close_and_tuesday_open(days: Scenario) -> None:
    """It arrives at its own time, 07:45:02 in New York, with the clock in front of it."""
    clock, article = days.article_steps()

    assert (clock.kind, article.kind) == ("clock", "article")
    assert format_time(article.time_ns) == "2025-09-30T11:45:02Z"
    assert chapter_of(days, "2025-09-29").steps[-1].time_ns < clock.time_ns
    assert clock.time_ns <= article.time_ns < chapter_of(days, "2025-09-30").steps[0].time_ns
    assert {tag.raw for tag in days.article.tags} == {
        "Alibaba",
        "Artificial Intelligence",
        "Cloud Computing",
        "AI Models",
        "Chinese Tech Stocks",
    }


def test_stage_draws_the_level_that_the_signals_will_have(days: Scenario) -> None:
    """The line on the screen is the highest high of the 364 days before."""
    stage = Stage(days)
    chapter = chapter_of(days, "2025-09-30")

    high = stage.level(chapter.bar.date)

    assert (high.high, format_date(high.date)) == (parse_decimal("181.344"), "2025-09-29")
