"""A price line with its level, drawn in braille: every character cell holds two by four dots.

The line is drawn a dot column at a time, from the lowest to the highest price that falls into it, so that an extreme of
a thousand trades in one column is still seen.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from rich.text import Text

BLANK: Final = 0x2800
# The bit of each dot, by its row and column within the cell.
DOTS: Final = ((0x01, 0x08), (0x02, 0x10), (0x04, 0x20), (0x40, 0x80))
LEVEL_STYLE: Final = "yellow"
ABOVE_STYLE: Final = "bold green"
BELOW_STYLE: Final = "cyan"
AXIS_STYLE: Final = "bright_black"
MARGIN: Final = 0.06  # Of the range, above and below.
SPAN_MIN: Final = 0.008  # Of the price: a quiet hour must not look like a storm.
AXIS_WIDTH: Final = 9


@dataclass(frozen=True, slots=True)
class Level:
    """A level in force from one time to another, and whether its price is written at the axis."""

    start: float
    end: float
    price: float
    label: str = ""


@dataclass(frozen=True, slots=True)
class Mark:
    """A sign at a point of the chart."""

    time: float
    price: float
    sign: str
    style: str


@dataclass(frozen=True, slots=True)
class Chart:
    """What to draw. Times are any numbers that grow; prices may be rounded, for nothing is decided here.

    Attributes:
        start: Time at the left edge.
        end: Time at the right edge.
        points: Time and price, in order of time.
        levels: In order of time.
        marks: Drawn over everything else.
        times: Time and label of each tick of the time axis.
    """

    start: float
    end: float
    points: Sequence[tuple[float, float]]
    levels: Sequence[Level] = ()
    marks: Sequence[Mark] = ()
    times: Sequence[tuple[float, str]] = ()


def draw(chart: Chart, width: int, height: int) -> list[Text]:
    """Return the chart as `height` lines of `width` characters: the picture, the price axis, and the time axis."""
    rows, columns = max(2, height - 1), max(10, width - AXIS_WIDTH)
    bottom, top = _range(chart)
    grid = _Grid(chart.start, chart.end, bottom, top, columns, rows)
    for level in chart.levels:
        grid.draw_level(level)
    grid.draw_line(chart.points, chart.levels)
    for mark in chart.marks:
        grid.put(mark)
    labels = _price_labels(chart, grid)
    lines = [grid.line(row).append_text(labels.get(row, Text())) for row in range(rows)]
    return [*lines, _time_axis(chart, columns)]


def _range(chart: Chart) -> tuple[float, float]:
    prices = [price for _, price in chart.points]
    prices += [level.price for level in chart.levels]
    low, high = (min(prices), max(prices)) if prices else (0.0, 1.0)
    span = max(high - low, high * SPAN_MIN)
    middle = (high + low) / 2
    return middle - span * (0.5 + MARGIN), middle + span * (0.5 + MARGIN)


class _Grid:
    # The cells: dots, the style of each, and signs that replace the dots.

    def __init__(self, start: float, end: float, bottom: float, top: float, columns: int, rows: int) -> None:
        self.columns, self.rows = columns, rows
        self._start, self._span = start, max(end - start, 1e-9)
        self._bottom, self._height = bottom, top - bottom
        self._bits = [[0] * columns for _ in range(rows)]
        self._styles = [[""] * columns for _ in range(rows)]
        self._signs: dict[tuple[int, int], tuple[str, str]] = {}

    def row_of(self, price: float) -> int:
        return self._dot_row(price) // 4

    def draw_level(self, level: Level) -> None:
        dot_row = self._dot_row(level.price)
        # Two dots, two blanks: a dashed line.
        for dot in range(self._dot_column(level.start), self._dot_column(level.end) + 1):
            if dot % 4 < 2:
                self._set(dot_row, dot, LEVEL_STYLE)

    def draw_line(self, points: Sequence[tuple[float, float]], levels: Sequence[Level]) -> None:
        spans: dict[int, list[float]] = {}
        for time, price in points:
            dot = self._dot_column(time)
            found = spans.get(dot)
            if found is None:
                spans[dot] = [price, price, price, price]
            else:
                found[1], found[2], found[3] = min(found[1], price), max(found[2], price), price
        previous: tuple[int, float] | None = None
        for dot, (first, low, high, last) in sorted(spans.items()):
            if previous is not None:
                self._join(previous, (dot, first), levels)
            self._column(dot, low, high, levels)
            previous = (dot, last)

    def put(self, mark: Mark) -> None:
        place = self.row_of(mark.price), self._dot_column(mark.time) // 2
        self._signs[place] = mark.sign, mark.style

    def line(self, row: int) -> Text:
        text = Text(no_wrap=True)
        for column in range(self.columns):
            sign = self._signs.get((row, column))
            if sign is not None:
                text.append(*sign)
            else:
                bits = self._bits[row][column]
                text.append(chr(BLANK + bits) if bits else " ", self._styles[row][column])
        return text

    # The straight line between two columns, then the columns themselves.
    def _join(self, start: tuple[int, float], end: tuple[int, float], levels: Sequence[Level]) -> None:
        (dot, price), (last_dot, last_price) = start, end
        steps = last_dot - dot
        before = price
        for step in range(1, steps + 1):
            now = price + (last_price - price) * step / steps
            self._column(dot + step, min(before, now), max(before, now), levels)
            before = now

    def _column(self, dot: int, low: float, high: float, levels: Sequence[Level]) -> None:
        level = self._level_at(dot, levels)
        for dot_row in range(self._dot_row(high), self._dot_row(low) + 1):
            self._set(dot_row, dot, ABOVE_STYLE if dot_row < level else BELOW_STYLE)

    def _level_at(self, dot: int, levels: Sequence[Level]) -> int:
        for level in levels:
            if self._dot_column(level.start) <= dot <= self._dot_column(level.end):
                return self._dot_row(level.price)
        return -1

    def _dot_row(self, price: float) -> int:
        dots = self.rows * 4
        place = (1 - (price - self._bottom) / self._height) * (dots - 1)
        return min(max(round(place), 0), dots - 1)

    def _dot_column(self, time: float) -> int:
        dots = self.columns * 2
        return min(max(int((time - self._start) / self._span * (dots - 1)), 0), dots - 1)

    def _set(self, dot_row: int, dot: int, style: str) -> None:
        row, column = dot_row // 4, dot // 2
        self._bits[row][column] |= DOTS[dot_row % 4][dot % 2]
        self._styles[row][column] = style


# At most one label a row: the level's first, then the last price beside it on the side where it lies, then the
# extremes.
def _price_labels(chart: Chart, grid: _Grid) -> dict[int, Text]:
    wanted = [(level.price, level.label, LEVEL_STYLE) for level in chart.levels if level.label]
    prices = [price for _, price in chart.points]
    if prices:
        wanted.append((prices[-1], f"{prices[-1]:.2f}", "bold"))
        wanted += [(price, f"{price:.2f}", AXIS_STYLE) for price in (max(prices), min(prices))]
    labels: dict[int, Text] = {}
    for price, label, style in wanted:
        row = grid.row_of(price)
        aside = row + 1 if wanted and price < wanted[0][0] else row - 1
        places = (row,) if style == AXIS_STYLE else (row, aside)
        free = [place for place in places if 0 <= place < grid.rows and place not in labels]
        if free and all(text.plain.strip() != label for text in labels.values()):
            labels[free[0]] = Text(f" {label}", style)
    return labels


def _time_axis(chart: Chart, columns: int) -> Text:
    line = [" "] * columns
    span = max(chart.end - chart.start, 1e-9)
    for time, label in chart.times:
        place = int((time - chart.start) / span * (columns - 1))
        place = min(max(place - len(label) // 2, 0), columns - len(label))
        if all(character == " " for character in line[max(place - 1, 0) : place + len(label) + 1]):
            line[place : place + len(label)] = label
    return Text("".join(line), AXIS_STYLE, no_wrap=True)
