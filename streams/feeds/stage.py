"""What is on the demo's stage at a moment: which act, which session, the prices so far.

The feeder moves it, the screen shows it.

The levels and returns here are for the picture alone, so that there is a line to watch before any signal has come;
what is told as news comes from the signals.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, Literal

from streams.core.units import SCALE, format_date, format_decimal, parse_time
from streams.feeds.chart import Chart, Level, Mark
from streams.feeds.history import DailyBar
from streams.feeds.scenario import Chapter, Scenario
from streams.feeds.steps import Step
from streams.feeds.story import Story, day_name, money, wall_time

Act = Literal["history", "days", "intraday", "night", "end"]

WINDOW_DAYS: Final = 364
MINUTE_NS: Final = 60 * 1_000_000_000
POINT_EVERY: Final = 60  # Of a generated session's trades, one in this many is kept for the picture of all sessions.


@dataclass(slots=True)
class Stage:
    """The demo's state, for the screen.

    Attributes:
        days: The scenario.
        story: What the output topics have said.
        act: What the screen shows.
        status: What is going on behind it, in a few words.
        place: Index of the chapter on stage, -1 before the first.
        revealed: Share of the history that is drawn, 0 to 1.
        now_ns: Event time.
        price: Last price, scaled.
        points: Time and price of the session's trades so far.
        overview: Place (session and fraction of it) and price of all trades so far, thinned out.
    """

    days: Scenario
    story: Story = field(default_factory=Story)
    act: Act = "history"
    status: str = ""
    place: int = -1
    revealed: float = 1.0
    now_ns: int = 0
    price: int = 0
    points: list[tuple[float, float]] = field(default_factory=list)
    overview: list[tuple[float, float]] = field(default_factory=list)

    @property
    def chapter(self) -> Chapter | None:
        """Return the session on stage, None before the first."""
        return self.days.chapters[self.place] if self.place >= 0 else None

    @property
    def session(self) -> str:
        """Return the session on stage as text (`2025-09-29`); empty before the first."""
        return format_date(self.chapter.bar.date) if self.chapter is not None else ""

    def open_chapter(self, place: int) -> None:
        """Put a session on stage."""
        self.place = place
        chapter = self.days.chapters[place]
        self.act = "intraday" if chapter.generated else "days"
        self.now_ns = chapter.open_ns
        self.points = []

    def advance(self, step: Step) -> None:
        """Let a step that was written be seen."""
        self.now_ns = max(self.now_ns, step.time_ns)
        chapter = self.chapter
        if step.kind != "tick" or chapter is None:
            return
        self.price = step.price
        price = step.price / SCALE
        self.points.append((step.time_ns, price))
        if not chapter.generated or len(self.points) % POINT_EVERY == 1 or step.price in _four_prices(chapter.bar):
            part = (step.time_ns - chapter.open_ns) / (chapter.close_ns - chapter.open_ns)
            self.overview.append((self.place + part * 0.9, price))

    def bars_before(self, date: int) -> list[DailyBar]:
        """Return the bars of all sessions before a date."""
        played = [chapter.bar for chapter in self.days.chapters]
        return [bar for bar in (*self.days.history, *played) if bar.date < date]

    def level(self, date: int) -> DailyBar:
        """Return the bar that set the 52-week high in force on a date."""
        window = [bar for bar in self.bars_before(date) if bar.date >= date - WINDOW_DAYS]
        return max(window, key=lambda bar: (bar.high, bar.date))

    def returns(self) -> tuple[float, float]:
        """Return the last price against the close before this session, and against the last close of last year."""
        assert self.chapter is not None
        before = self.bars_before(self.chapter.bar.date)
        year = self.session[:4]
        base = [bar for bar in before if format_date(bar.date) < year][-1]
        return self.price / before[-1].close - 1, self.price / base.close - 1

    def chart(self) -> Chart:
        """Return the picture of this act."""
        if self.act == "history" or self.chapter is None:
            return self._history_chart()
        if self.act in ("intraday", "night"):
            return self._session_chart(self.chapter)
        return self._overview_chart()

    def _history_chart(self) -> Chart:
        bars = self.days.history
        closes = [(float(place), bar.close / SCALE) for place, bar in enumerate(bars)]
        high = self.level(bars[-1].date + 1)
        start = bars.index(high)
        # The line starts where the high was set: before that day it was no level.
        shown = max(2, round(self.revealed * len(bars)))
        is_set = shown > start
        levels = [Level(start, shown - 1, high.high / SCALE, price_text(high.high))] if is_set else []
        marks = [Mark(start, high.high / SCALE, "●", "bold yellow")] if is_set else []
        months = [
            (place, bar)
            for place, bar in enumerate(bars)
            if place and format_date(bars[place - 1].date)[:7] != format_date(bar.date)[:7]
        ]
        times = [(float(place), f"{day_name(format_date(bar.date), year=True)[-8:]}") for place, bar in months[1::2]]
        return Chart(0, len(bars) - 1, closes[:shown], levels, marks, times)

    def _session_chart(self, chapter: Chapter) -> Chart:
        high = self.level(chapter.bar.date).high
        level = Level(chapter.open_ns, chapter.close_ns, high / SCALE, price_text(high))
        hours = range(chapter.open_ns + 30 * MINUTE_NS, chapter.close_ns, 60 * MINUTE_NS)
        times = [
            (time_ns, f"{wall_time(int(time_ns)):%H:%M}") for time_ns in (chapter.open_ns, *hours, chapter.close_ns)
        ]
        return Chart(chapter.open_ns, chapter.close_ns, self.points, [level], self._marks(), times)

    def _marks(self) -> list[Mark]:
        breakout = self.story.of_session(self.session)
        if breakout is None:
            return []
        trigger = breakout.triggered["trigger"]
        return [Mark(parse_time(trigger["time"]), float(trigger["price"]), "▲", "bold yellow")]

    def _overview_chart(self) -> Chart:
        chapters = self.days.chapters
        shown = range(self.place + 1)
        levels = []
        for place in shown:
            high = self.level(chapters[place].bar.date).high
            levels.append(Level(place, place + 1, high / SCALE, price_text(high) if place == self.place else ""))
        times = [
            (place + 0.45, f"{day_name(format_date(chapter.bar.date))[4:]}") for place, chapter in enumerate(chapters)
        ]
        marks = []
        for place in shown:
            breakout = self.story.of_session(format_date(chapters[place].bar.date))
            if breakout is not None:
                level = float(breakout.triggered["level"]["price"])
                marks.append(Mark(place, level, *_sign(breakout.outcome)))
        return Chart(0, len(chapters), self.overview, levels, marks, times)


def price_text(price: int) -> str:
    """Return a scaled price as a trader writes it: `180.16`, and `181.344` where a third decimal counts."""
    return money(format_decimal(price))


def _sign(outcome: str) -> tuple[str, str]:
    if outcome == "confirmed":
        return "▲", "bold green"
    return ("▲", "bold yellow") if outcome == "open" else ("▽", "bold red")


def _four_prices(bar: DailyBar) -> tuple[int, int, int, int]:
    return bar.open, bar.high, bar.low, bar.close
