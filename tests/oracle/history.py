"""The daily bars of one instrument, and what is worked out from them: window, levels, bases, range, marks."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from itertools import pairwise

from tests.oracle.calendar import Calendar, Session
from tests.oracle.rules import SIDES, Rules, Side, at_least, further

# The engine keeps this many bars; the rules that look further back than a window see no more than these.
BARS_MAX = 264
# Prices are multiples of this unit, and what is a float by nature becomes such a multiple.
UNIT = Fraction(1, 100_000_000)


@dataclass
class Bar:
    """One session of the past. Marks name the sides on which it broke its level, as we saw or by its own prices."""

    date: date
    traded: bool
    official: bool
    high: Fraction = Fraction(0)
    low: Fraction = Fraction(0)
    close: Fraction = Fraction(0)
    triggered: set[Side] = field(default_factory=set)
    broke: set[Side] = field(default_factory=set)


@dataclass(frozen=True)
class Level:
    """A price to be passed, and the session that set it."""

    price: Fraction
    date: date


@dataclass(frozen=True)
class Window:
    """The look-back window of one session: what was expected, what is known, and the levels if it is full."""

    status: str
    sessions: list[Session]
    present: int
    levels: dict[Side, Level]


class History:
    """Bars by date."""

    def __init__(self, calendar: Calendar, rules: Rules) -> None:
        self.calendar = calendar
        self.rules = rules
        self.bars: dict[date, Bar] = {}

    def store(self, bar: Bar) -> bool:
        """Keep a bar, in place of the one of its date; of too many the oldest goes. Say whether this one was kept."""
        self.bars[bar.date] = bar
        if len(self.bars) > BARS_MAX:
            del self.bars[min(self.bars)]
        return bar.date in self.bars

    def apply(self, bar: Bar) -> bool:
        """Take the bar of a record: it replaces ours, keeps our trigger marks and is judged by the window before it."""
        known = self.bars.get(bar.date)
        bar.triggered = known.triggered if known else set()
        index = self.calendar.on(bar.date)
        assert index is not None
        levels = self.window(index).levels
        reaches = at_least if self.rules.equality == "match" else further
        extremes: dict[Side, Fraction] = {"up": bar.high, "down": bar.low}
        bar.broke = {side for side in levels if bar.traded and reaches(side, extremes[side], levels[side].price)}
        return self.store(bar)

    def window(self, index: int) -> Window:
        """Work out the window before a session: status and levels (section 1.9)."""
        sessions = self.calendar.window(index, self.rules.lookback)
        known = [self.bars[session.date] for session in sessions if session.date in self.bars]
        if not sessions or not any(day <= sessions[0].date for day in self.bars):
            return Window("partial", sessions, len(known), {})
        # Among the last sessions of the window none may be missing, however many of the others are there.
        recent = sessions[max(0, len(sessions) - self.rules.recent_sessions) :]
        covered = len(known) >= self.rules.coverage * len(sessions)
        if not covered or any(session.date not in self.bars for session in recent):
            return Window("degraded", sessions, len(known), {})
        return Window("full", sessions, len(known), _levels([bar for bar in known if bar.traded]))

    def base(self, index: int | None) -> Level | None:
        """Return the close of a session; of one known to have had no trade, the close before it (section 3)."""
        while index is not None and index >= 0:
            bar = self.bars.get(self.calendar.sessions[index].date)
            if bar is None:
                return None
            if bar.traded:
                return Level(bar.close, bar.date)
            index -= 1
        return None

    def range_units(self, before: date) -> float | None:
        """Return Wilder's average true range over 14 bars in price units (section 3, atr_14): a float by nature.

        The operations and their order are part of the rule: sum of the first 14 whole numbers, one division, then
        `(13 x average + range) / 14` for each further bar.
        """
        traded = [self.bars[day] for day in sorted(self.bars) if day < before and self.bars[day].traded]
        ranges = [
            max(bar.high - bar.low, abs(bar.high - previous.close), abs(bar.low - previous.close)) / UNIT
            for previous, bar in pairwise(traded)
        ]
        if len(ranges) < 14:
            return None
        average = float(sum(ranges[:14])) / 14.0
        for each in ranges[14:]:
            average = (average * 13.0 + float(each)) / 14.0
        return average

    def marked(self, index: int, side: Side) -> bool:
        """Say whether a session is known to have broken its level on a side."""
        bar = self.bars.get(self.calendar.sessions[index].date) if index >= 0 else None
        return bar is not None and side in bar.triggered | bar.broke

    def fresh(self, index: int, side: Side) -> bool:
        """Say whether none of the sessions before this one broke its level (section 2.1)."""
        return not any(self.marked(index - back, side) for back in range(1, self.rules.fresh_sessions + 1))

    def streak(self, index: int, side: Side) -> int:
        """Count the consecutive sessions that broke their level, this one included (section 2.2, 4)."""
        count = 1
        while self.marked(index - count, side):
            count += 1
        return count


def _levels(bars: list[Bar]) -> dict[Side, Level]:
    # Bars are in date order, and of equal prices the latest session is the one that set the level.
    if not bars:
        return {}
    high, low = max(bar.high for bar in bars), min(bar.low for bar in bars)
    dates = {"up": [bar.date for bar in bars if bar.high == high], "down": [bar.date for bar in bars if bar.low == low]}
    return {side: Level(price, dates[side][-1]) for side, price in zip(SIDES, (high, low), strict=True)}
