"""The daily bars of one instrument, and what is worked out from them: window, levels, bases, range, marks.

Bars are kept as they were traded. What an action does to them is worked out anew for every question, so nothing drifts
and an action that comes late or is withdrawn needs no undoing.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction
from itertools import pairwise
from math import ceil, floor

from tests.oracle.calendar import Calendar, Session
from tests.oracle.records import Action
from tests.oracle.rules import SIDES, Rules, Side, at_least, breakouts, further

# The engine keeps this many bars; the rules that look further back than a window see no more than these.
BARS_MAX = 264
# The actions that an instrument may have; of more, the oldest that moves no level goes, else the oldest.
ACTIONS_MAX = 16
# Prices are multiples of this unit, and what is a float by nature becomes such a multiple.
UNIT = Fraction(1, 100_000_000)
ONE = Fraction(1)
PRICE_MAX = Fraction(8_000_000)


@dataclass
class Bar:
    """One session of the past. Marks name the families whose level it broke, as we saw or by its own prices."""

    date: date
    traded: bool
    official: bool
    high: Fraction = Fraction(0)
    low: Fraction = Fraction(0)
    close: Fraction = Fraction(0)
    triggered: set[str] = field(default_factory=set)
    broke: set[str] = field(default_factory=set)
    # Sides whose extreme was lost with cancelled trades.
    unknown: set[Side] = field(default_factory=set)
    # The highest and the lowest price of the extended scope's own trades, kept beside the bar of a record.
    own: tuple[Fraction, Fraction] | None = None

    @property
    def recorded(self) -> bool:
        """Say whether a record told of its prices, or regular trades did."""
        return self.high > 0

    def doubt(self, price: Fraction, extremes: tuple[Fraction, Fraction] | None) -> None:
        """Note which of its extremes, the upper and the lower, a cancelled price may have been."""
        for side, extreme in zip(SIDES, extremes or (), strict=extremes is not None):
            self.unknown |= {side} if at_least(side, price, extreme) else set()

    def extreme(self, side: Side) -> Fraction:
        """Return how far the session went on a side."""
        prices = [self.high if side == "up" else self.low] if self.recorded else []
        if self.own is not None:
            prices.append(self.own[SIDES.index(side)])
        return (max if side == "up" else min)(prices)


@dataclass(frozen=True)
class Level:
    """A price to be passed, the session that set it, and the price as it was traded then."""

    price: Fraction
    date: date
    source: Fraction
    factor: Fraction = Fraction(1)
    unknown: bool = False


@dataclass(frozen=True)
class Window:
    """The look-back window of one session: what was expected, what is known, and the levels if it is full."""

    lookback: str
    status: str
    sessions: list[Session]
    present: int
    levels: dict[Side, Level]


class History:
    """Bars by date, and the actions that change their units."""

    def __init__(self, calendar: Calendar, rules: Rules) -> None:
        self.calendar = calendar
        self.rules = rules
        self.bars: dict[date, Bar] = {}
        self.actions: dict[str, Action] = {}
        self.listed: date | None = None

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
        if known is not None and known.own is not None:
            bar.own, bar.unknown = known.own, known.unknown
            bar.close = bar.close if bar.traded else known.close
            bar.traded = True
        index = self.calendar.on(bar.date)
        assert index is not None
        self._judge(bar, index)
        return self.store(bar)

    def take(self, action: Action) -> str | None:
        """Take an action, or take one back; return why it is not."""
        known = self.actions
        before = known.get(action.action_id)
        if action.withdrawn and before is None:
            return "actions_unknown"
        if before is None and len(known) == ACTIONS_MAX:
            first = min(known.values(), key=_keeping)
            if _keeping(action) < _keeping(first):
                return "too_many_actions"
            del known[first.action_id]
        known.pop(action.action_id, None)
        if not action.withdrawn:
            known[action.action_id] = action
        changed = [each.ex_date for each in (before, None if action.withdrawn else action) if each is not None]
        self.judge_again(min(changed))
        return None

    def judge_again(self, since: date) -> None:
        """Judge the bars from a day on by windows whose units an action has changed."""
        for day in sorted(self.bars):
            index = self.calendar.on(day)
            if day >= since and self.bars[day].official and index is not None:
                self._judge(self.bars[day], index)

    def _judge(self, bar: Bar, index: int) -> None:
        reaches = at_least if self.rules.equality == "match" else further
        bar.broke = set()
        for family in breakouts(self.rules):
            level = self.window(index, family.lookback).levels.get(family.side)
            if level is not None and bar.traded and reaches(family.side, bar.extreme(family.side), level.price):
                bar.broke.add(family.name)

    def factor(self, day: date, index: int) -> Fraction:
        """Return what prices of a day are multiplied by to be in the units of a session (section 1.8)."""
        today, product = self.calendar.sessions[index].date, ONE
        for action in self.actions.values():
            if day < action.ex_date <= today:
                product *= action.factor
        return product

    def visible(self, index: int) -> dict[date, Bar]:
        """Return the bars that a session may look at: none of the company that had the symbol before (section 1.9)."""
        if not self.actions and self.listed is None:
            return self.bars
        today = self.calendar.sessions[index].date
        ended = [action.ex_date for action in self.actions.values() if action.kind == "delisting"]
        since = max((day for day in [*ended, self.listed or date.min] if day <= today), default=date.min)
        return {day: bar for day, bar in self.bars.items() if day >= since}

    def window(self, index: int, lookback: str | None = None) -> Window:
        """Work out the window before a session: status and levels (section 1.9)."""
        lookback = lookback or self.rules.lookback
        sessions = self.calendar.window(index, lookback)
        bars = self.visible(index)
        known = [bars[session.date] for session in sessions if session.date in bars]
        if not sessions or not any(day <= sessions[0].date for day in bars):
            return Window(lookback, "partial", sessions, len(known), {})
        # Among the last sessions of the window none may be missing, however many of the others are there.
        recent = sessions[max(0, len(sessions) - self.rules.recent_sessions) :]
        covered = len(known) >= self.rules.coverage * len(sessions)
        if not covered or any(session.date not in bars for session in recent):
            return Window(lookback, "degraded", sessions, len(known), {})
        traded = [bar for bar in known if bar.traded]
        if not all(self._fits(bar.extreme(side), bar, index) for bar in traded for side in SIDES):
            return Window(lookback, "partial", sessions, len(known), {})
        return Window(lookback, "full", sessions, len(known), self._levels(index, traded))

    def base(self, of: int | None, index: int) -> Level | None:
        """Return the close of a session in a later one's units; without a trade in it, the close before (section 3)."""
        bars = self.visible(index)
        while of is not None and of >= 0:
            bar = bars.get(self.calendar.sessions[of].date)
            if bar is None:
                return None
            if bar.traded and not self._fits(bar.close, bar, index):
                return None
            if bar.traded:
                return Level(self._adjusted(bar.close, bar, index), bar.date, bar.close, self.factor(bar.date, index))
            of -= 1
        return None

    def range_units(self, index: int) -> float | None:
        """Return Wilder's average true range over 14 bars in price units (section 3, atr_14): a float by nature.

        The operations and their order are part of the rule: sum of the first 14 whole numbers, one division, then
        `(13 x average + range) / 14` for each further bar.
        """
        before = self.calendar.sessions[index].date
        bars = self.visible(index)
        traded = [bars[day] for day in sorted(bars) if day < before and bars[day].traded]
        if not all(self._fits(bar.extreme(side), bar, index) for bar in traded for side in SIDES):
            return None
        prices = [
            tuple(self._adjusted(price, bar, index) for price in (bar.extreme("up"), bar.extreme("down"), bar.close))
            for bar in traded
        ]
        ranges = [
            max(high - low, abs(high - previous[2]), abs(low - previous[2])) / UNIT
            for previous, (high, low, _) in pairwise(prices)
        ]
        if len(ranges) < 14:
            return None
        average = float(sum(ranges[:14])) / 14.0
        for each in ranges[14:]:
            average = (average * 13.0 + float(each)) / 14.0
        return average

    def newest_close(self, index: int) -> Level | None:
        """Return the close of the newest session before one that traded, in that one's units."""
        before = self.calendar.sessions[index].date
        traded = [bar for day, bar in sorted(self.visible(index).items()) if day < before and bar.traded]
        if not traded:
            return None
        bar = traded[-1]
        if not self._fits(bar.close, bar, index):
            return None
        return Level(self._adjusted(bar.close, bar, index), bar.date, bar.close, self.factor(bar.date, index))

    def fresh(self, index: int, family: str) -> bool:
        """Say whether none of the sessions before this one broke its level (section 2.1)."""
        bars = self.visible(index)
        return not any(self._marked(bars, index - back, family) for back in range(1, self.rules.fresh_sessions + 1))

    def streak(self, index: int, family: str) -> int:
        """Count the consecutive sessions that broke their level, this one included (section 2.2, 4)."""
        bars, count = self.visible(index), 1
        while self._marked(bars, index - count, family):
            count += 1
        return count

    def _marked(self, bars: dict[date, Bar], index: int, family: str) -> bool:
        bar = bars.get(self.calendar.sessions[index].date) if index >= 0 else None
        return bar is not None and family in bar.triggered | bar.broke

    def _levels(self, index: int, bars: list[Bar]) -> dict[Side, Level]:
        # Bars are in date order, and of equal prices the latest session is the one that set the level.
        levels: dict[Side, Level] = {}
        for side in SIDES if bars else ():
            adjusted = [(self._adjusted(bar.extreme(side), bar, index, side), bar) for bar in bars]
            best = (max if side == "up" else min)(price for price, _ in adjusted)
            price, bar = next((price, bar) for price, bar in reversed(adjusted) if price == best)
            factor = self.factor(bar.date, index)
            # A session whose extreme was lost may have been further, so that every level built on it is in doubt.
            unknown = any(side in each.unknown for each in bars)
            levels[side] = Level(price, bar.date, bar.extreme(side), factor, unknown)
        return levels

    def close_levels(self, index: int, lookback: str) -> dict[Side, Level]:
        """Return the highest and the lowest close of a full window."""
        window, levels = self.window(index, lookback), dict[Side, Level]()
        if window.status != "full":
            return levels
        bars = self.visible(index)
        days = [session.date for session in window.sessions if session.date in bars]
        traded = [bars[day] for day in days if bars[day].traded]
        for side in SIDES if traded else ():
            adjusted = [(self._adjusted(bar.close, bar, index, side), bar) for bar in traded]
            best = (max if side == "up" else min)(price for price, _ in adjusted)
            bar = next(bar for price, bar in reversed(adjusted) if price == best)
            levels[side] = Level(best, bar.date, bar.close, self.factor(bar.date, index))
        return levels

    def _fits(self, price: Fraction, bar: Bar, index: int) -> bool:
        # In the units of a session a price may be too small or too large to be one.
        return UNIT <= price * self.factor(bar.date, index) <= PRICE_MAX

    def _adjusted(self, price: Fraction, bar: Bar, index: int, side: Side | None = None) -> Fraction:
        # A price of a bar in a session's units. As a level it is rounded so that a price in whole units is beyond it
        # just when it is beyond the exact one (kernel, "Arithmetic"); else to the nearest unit.
        factor = self.factor(bar.date, index)
        if factor == 1:
            return price
        if side is None:
            return rounded_to_unit(price * factor)
        towards_zero = (side == "up") == (self.rules.equality == "strict")
        return (floor if towards_zero else ceil)(price * factor / UNIT) * UNIT


def rounded_to_unit(price: Fraction) -> Fraction:
    """Round a price to the unit, a half up."""
    return floor(price / UNIT + Fraction(1, 2)) * UNIT


def _keeping(action: Action) -> tuple[bool, date]:
    return action.factor != 1 or action.kind in ("symbol_change", "delisting"), action.ex_date
