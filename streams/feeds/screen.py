"""The demo's screen: the price line with its level, and the events beside the signal and its news."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

from rich.box import ROUNDED
from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.layout import Layout
from rich.panel import Panel
from rich.table import Table
from rich.text import Text

from streams.core.units import SCALE, format_date
from streams.feeds.chart import draw
from streams.feeds.stage import Stage, price_text
from streams.feeds.story import (
    TUESDAY,
    Breakout,
    Event,
    against_next_level,
    day_name,
    in_order,
    money,
    percent,
    wall_time,
)
from streams.feeds.summary import DIM, STYLES

COLUMNS_MIN: Final = 72
ROWS_MIN: Final = 22

SIGNS: Final = {
    "trigger": "▲",
    "extreme": "↑",
    "failed": "▼",
    "confirmed": "✓",
    "unconfirmed": "✗",
    "news": "✉",
    "momentum": "»",
    "near": "»",
}


class Screen:
    """A stage as a renderable: it fills the terminal, whatever its size."""

    def __init__(self, stage: Stage) -> None:
        self.stage = stage

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        height = options.height or console.height
        lower = min(max(8, height * 2 // 5), 16)
        layout = Layout()
        layout.split_column(
            Layout(_header(self.stage), size=2),
            Layout(_ChartPanel(self.stage), name="chart"),
            Layout(name="lower", size=lower),
            Layout(_footer(self.stage), size=2),
        )
        wide = options.max_width >= 110
        layout["lower"].split_row(
            Layout(_EventsPanel(self.stage), ratio=5 if wide else 11),
            Layout(_SignalPanel(self.stage), ratio=5 if wide else 10),
        )
        yield layout


class _ChartPanel:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        height = options.height or 12
        lines = draw(self._stage.chart(), options.max_width - 4, height - 2)
        yield _panel(lines, _caption(self._stage), height)


class _EventsPanel:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = options.max_width - 4, (options.height or 8) - 2
        lines: list[Text] = []
        # Whole events from the newest back, as many as there is room for.
        for event in reversed(shown_events(self._stage)):
            told = event_lines(event, console, width, with_day=self._stage.act in ("days", "end"))
            if len(lines) + len(told) > height:
                break
            lines = told + lines
        yield _panel(lines, "What happens", height + 2)


class _SignalPanel:
    def __init__(self, stage: Stage) -> None:
        self._stage = stage

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        width, height = options.max_width - 4, (options.height or 8) - 2
        parts = [(rank, text.wrap(console, width)) for rank, text in _signal(self._stage, width)]
        # Where there is not room for everything the least important goes first.
        while sum(len(lines) for _, lines in parts) > height and (least := max(rank for rank, _ in parts)) > 0:
            parts = [(rank, lines) for rank, lines in parts if rank != least]
        yield _panel([line for _, lines in parts for line in lines][:height], "The signal", height + 2)


def event_lines(event: Event, console: Console, width: int, *, with_day: bool) -> list[Text]:
    """Return an event as lines of a width, wrapped under its own text."""
    moment = wall_time(event.time_ns)
    # Of sessions that are played from their bars the times of day are made up, so only the day is told.
    when = f"{moment:%a} {moment.day:2d}" if with_day else f"{moment:%H:%M}"
    text = Text(event.text, STYLES[event.tone])
    indent = len(when) + 3
    lines = list(text.wrap(console, max(width - indent, 10)))
    first = Text.assemble((f"{when} ", DIM), (f"{SIGNS[event.tone]} ", STYLES[event.tone])).append_text(lines[0])
    return [first, *(Text(" " * indent).append_text(line) for line in lines[1:])]


def shown_events(stage: Stage) -> list[Event]:
    """Return the events of this act, in order of time: a session's own, or the milestones of all sessions."""
    if stage.act in ("intraday", "night"):
        return stage.story.events_of(stage.session)
    milestones = ("trigger", "failed", "confirmed", "unconfirmed", "news")
    events = [event for event in stage.story.events if event.tone in milestones]
    return in_order(events)


def _panel(lines: list[Text], title: str | Text, height: int) -> Panel:
    return Panel(Group(*lines), title=title, title_align="left", box=ROUNDED, border_style=DIM, height=height)


def _header(stage: Stage) -> RenderableType:
    grid = Table.grid(expand=True, padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    title = Text.assemble((" Fiftytwo ", "bold reverse"), "  ", ("Alibaba", "bold"), (" XNYS:BABA", DIM))
    chapter = stage.chapter
    if chapter is None:
        grid.add_row(title, Text(stage.status, DIM))
        bars = stage.days.history
        years = f"{len(bars)} daily bars, {format_date(bars[0].date)} to {format_date(bars[-1].date)}"
        grid.add_row(Text(f" {years}"), Text("they build the 52-week window", DIM))
        return grid
    moment = wall_time(stage.now_ns)
    grid.add_row(title, Text(f"{moment:%a} {moment.day} {moment:%b %Y  %H:%M:%S} New York", "bold"))
    today, year = stage.returns() if stage.price else (0.0, 0.0)
    numbers = Text.assemble(
        (f" {stage.price / SCALE:.2f}", "bold"),
        "  ",
        (percent(today), "green" if today >= 0 else "red"),
        (" today  ", DIM),
        (percent(year), "green" if year >= 0 else "red"),
        (" this year", DIM),
    )
    # At night the day that counts is the next one.
    date = chapter.bar.date + 1 if stage.act == "night" else chapter.bar.date
    high = stage.level(date)
    set_on = day_name(format_date(high.date))
    beat = Text.assemble(("high to beat ", DIM), (price_text(high.high), "yellow"), (f", {set_on}", DIM))
    grid.add_row(numbers, beat)
    return grid


def _caption(stage: Stage) -> Text:
    match stage.act:
        case "history":
            return Text("A year of daily closes, and the 52-week high that stands", "bold")
        case "days":
            return Text("September 2025: session by session, with the level each one had to beat", "bold")
        case "intraday":
            return Text(f"{wall_time(stage.now_ns):%A}: the session, trade by trade", "bold")
        case "night":
            return Text("Monday is over; before Tuesday's open an article appears", "bold")
        case _:
            return Text("Sixteen sessions, and the level each one had to beat", "bold")


def _footer(stage: Stage) -> RenderableType:
    grid = Table.grid(expand=True, padding=(0, 1))
    grid.add_column(no_wrap=True)
    grid.add_column(justify="right", no_wrap=True)
    grid.add_row(_tally(stage), Text(f"{stage.status}  Ctrl-C ends", DIM))
    chapter = stage.chapter
    if chapter is None:
        note = "Real daily bars."
    elif chapter.generated:
        note = "The path within the day is generated; its open, high, low and close are real."
    else:
        note = "Real bars: a session is its open, high, low and close."
    return Group(grid, Text(f" {note}", DIM, no_wrap=True))


# A sign for every session: how its breakout ended, a dot where there was none, a ring where it is still to come.
def _tally(stage: Stage) -> Text:
    text = Text(" ")
    for place, chapter in enumerate(stage.days.chapters):
        breakout = stage.story.of_session(format_date(chapter.bar.date))
        if place > stage.place:
            text.append("○ ", DIM)
        elif breakout is None:
            text.append("· ", DIM)
        elif breakout.outcome == "confirmed":
            text.append("▲ ", "green")
        elif breakout.outcome == "open":
            text.append("▲ ", "yellow")
        else:
            text.append("▽ ", "red")
    return text


# What the panel says, each part with its rank: 0 is always shown, the greatest is left out first.
def _signal(stage: Stage, width: int) -> list[tuple[int, Text]]:
    breakout = stage.story.of_session(stage.session)
    if breakout is None:
        return [(0, Text(_waiting(stage), DIM))]
    first, last = breakout.triggered, breakout.latest
    level, metrics = first["level"], last["metrics"]
    returns = [(metrics["session_return"], "today"), (metrics["ytd"], "this year")]
    flags = "".join(f", {name}" for name in ("gap", "fresh") if first[name])
    set_on = day_name(level["session_date"], year=True)
    ago = _count(metrics["base_length_sessions"], "session")
    known = f"{level['window_status']}: {level['sessions']} of {level['sessions_expected']} sessions"
    return [
        (0, Text.assemble((f"Level {money(level['price'])}", "bold yellow"), f": {breakout.outcome}")),
        (2, Text(f"set {set_on}, {ago} ago")),
        (4, Text.assemble("broken at ", (money(first["price"]), "bold"), flags)),
        (3, Text(f"window {level['lookback']}: {level['window_start']} to {level['window_end']}", DIM)),
        (5, Text(f"{known}, today not included", DIM)),
        (0, Text(", ".join(f"{percent(value)} {what}" for value, what in returns if value is not None))),
        *((1, text) for text in _closing(stage, breakout)),
        *_news(breakout, width),
    ]


def _count(number: int, noun: str) -> str:
    return f"{number} {noun}" if number == 1 else f"{number} {noun}s"


def _waiting(stage: Stage) -> str:
    return "None yet: history never makes a signal." if stage.chapter is None else "None in this session so far."


def _closing(stage: Stage, breakout: Breakout) -> list[Text]:
    ratio = against_next_level(stage.story) if stage.session == TUESDAY else None
    if ratio is not None:
        return [Text(f"Monday's close was {ratio} of this level")]
    if not breakout.closed or breakout.latest["metrics"]["nearness"] is None:
        return []
    return [Text(f"close {money(breakout.latest['price'])}: {breakout.latest['metrics']['nearness']:.6f} of the level")]


def _news(breakout: Breakout, width: int) -> list[tuple[int, Text]]:
    enriched = breakout.enriched
    if enriched is None or not enriched["articles"]:
        return []
    article = enriched["articles"][0]
    return [
        (7, Text(" ")),
        (0, Text(article["title"], "bold magenta")),
        (6, Text(f"{article['source']}, relevance {article['relevance']:.1f}", DIM)),
        *((0, line) for line in _tag_lines(enriched["tags"], width)),
    ]


# A tag is not broken over two lines as long as a line can hold it.
def _tag_lines(tags: Sequence[str], width: int) -> list[Text]:
    lines: list[str] = []
    for tag in tags:
        label = f"[{tag}]"
        if lines and len(lines[-1]) + 1 + len(label) <= width:
            lines[-1] += f" {label}"
        else:
            lines.append(label)
    return [Text(line, "magenta") for line in lines]
