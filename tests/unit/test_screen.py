"""The demo's screen: it fills the terminal exactly, draws the level, and says what is made up."""

from __future__ import annotations

import io

import pytest
from rich.console import Console

from streams.calendars import load_markets
from streams.feeds import scenario
from streams.feeds.chart import AXIS_WIDTH, Chart, Level, Mark, draw
from streams.feeds.screen import COLUMNS_MIN, ROWS_MIN, Screen
from streams.feeds.stage import Stage

BLANK = "\u2800"
SIZES = [(COLUMNS_MIN, ROWS_MIN), (80, 24), (120, 40), (200, 60)]
MONDAY, LAST = 12, 15


@pytest.fixture(scope="module")
def days() -> scenario.Scenario:
    return scenario.build(load_markets(["XNYS"]))


def shown(stage: Stage, columns: int, rows: int) -> list[str]:
    console = Console(file=io.StringIO(), force_terminal=False, width=columns, height=rows)
    lines = console.render_lines(Screen(stage), console.options.update(width=columns, height=rows))
    return ["".join(segment.text for segment in line) for line in lines]


def stage_at(days: scenario.Scenario, place: int) -> Stage:
    stage = Stage(days)
    for chapter in range(place + 1):
        stage.open_chapter(chapter)
        for step in days.chapters[chapter].steps:
            stage.advance(step)
    return stage


@pytest.mark.parametrize(("columns", "rows"), SIZES)
@pytest.mark.parametrize("place", [-1, 0, MONDAY, LAST])
def test_screen_fills_the_terminal_exactly(days: scenario.Scenario, columns: int, rows: int, place: int) -> None:
    """Every line has the terminal's width and there are as many as it has rows: nothing scrolls or wraps."""
    lines = shown(stage_at(days, place), columns, rows)

    assert len(lines) == rows
    assert {len(line) for line in lines} == {columns}


def test_monday_shows_the_level_and_says_that_the_path_is_generated(days: scenario.Scenario) -> None:
    """The level to beat stands at the axis and in the header, and the footer is honest."""
    text = "\n".join(shown(stage_at(days, MONDAY), 80, 24))

    assert "high to beat 180.16, Wed 24 Sep" in text
    assert "generated; its open, high, low and close are real" in text
    assert "Mon 29 Sep 2025" in text
    assert "179.90  +4.65 % today  +112.17 % this year" in text


def test_session_that_is_not_generated_says_that_it_is_its_four_prices(days: scenario.Scenario) -> None:
    """Only Monday and Tuesday have a path of their own."""
    assert "Real bars: a session is its open, high, low and close." in "\n".join(shown(stage_at(days, 0), 80, 24))


def test_chart_draws_price_level_and_mark_where_they_are() -> None:
    """A rising line crosses a level in the middle: below it on the left, above it on the right, the mark on it."""
    points = [(float(time), 100.0 + time) for time in range(101)]

    lines = draw(Chart(0, 100, points, [Level(0, 100, 150.0, "150")], [Mark(50, 150.0, "X", "")]), 50, 11)

    plain = [line.plain for line in lines]
    (row,) = (row for row, line in enumerate(plain) if "X" in line)
    assert len(plain) == 11
    assert row in (4, 5)
    assert plain[row].index("X") in (19, 20, 21)
    assert plain[row].endswith(" 150")
    # The range is 94 to 206, a row 11.2 high: the second row begins at 183.6 and the ninth ends at 116.4.
    picture = [line[: 50 - AXIS_WIDTH] for line in plain]
    assert min(place for place, character in enumerate(picture[1]) if character > BLANK) == 34
    assert max(place for place, character in enumerate(picture[8]) if character > BLANK) == 6


def test_extreme_of_many_trades_in_one_column_is_drawn() -> None:
    """A thousand trades share a dot column; the highest of them is still seen."""
    points = [(float(time), 100.0) for time in range(10_000)]
    points[5_000] = (5_000.0, 200.0)

    lines = draw(Chart(0, 10_000, points), 40, 12)

    assert any(character > BLANK for character in lines[0].plain)


def test_chart_without_points_is_empty_and_of_the_same_size() -> None:
    """Before the first trade there is nothing to draw, and nothing fails."""
    lines = draw(Chart(0, 1, []), 40, 8)

    assert len(lines) == 8
    assert all(not line.plain.strip() for line in lines)
