"""The guard for splits that nobody announced: a session that opens near a simple multiple of the last close."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from tests.oracle.calendar import format_time
from tests.oracle.context import Book
from tests.oracle.history import History, Level
from tests.oracle.measure import Entry, Measure
from tests.oracle.records import Action, Tick, price_text
from tests.oracle.rules import Side

TOLERANCE = Fraction(6, 100)
RATIOS = sorted(
    {Fraction(n) for n in range(2, 21)} | {Fraction(1, n) for n in range(2, 21)} | {Fraction(3, 2), Fraction(2, 3)}
)


def suspected(price: Fraction, close: Fraction) -> Fraction | None:
    """Return the ratio that a price is within six percent of, the nearest of several; None when it is near none.

    The ratio is that of prices: a quarter for a split of four new shares for one old.
    """
    near = [ratio for ratio in RATIOS if abs(price / close / ratio - 1) <= TOLERANCE]
    return min(near, key=lambda ratio: abs(price / close / ratio - 1), default=None)


@dataclass
class Quarantine:
    """An instrument whose transitions wait until somebody knows what its opening gap was."""

    book: Book
    day: date
    last_close: Level
    tick: Tick
    ratio: Fraction
    kept: dict[str, tuple[Level | None, dict[Side, Entry], bool, dict[Side, int]]]
    # The print was taken back, and no other trade has said since what it was.
    doubted: bool = False

    def doubt(self, tick: Tick) -> bool:
        """Note that a trade was taken back, if it is the one that was suspected; say whether it is."""
        is_it = tick.high_low and (tick.price, tick.time_ns) == (self.tick.price, self.tick.time_ns)
        self.doubted = self.doubted or is_it
        return is_it

    def ends_with(self, price: Fraction) -> bool:
        """Say whether a price settles a doubt: nearer to the last close than to what the split would have made of it.

        Either way it is no doubt any more.
        """
        close, was_doubted, self.doubted = self.last_close.price, self.doubted, False
        return was_doubted and abs(price - close) < abs(price - close * self.ratio)

    def explained_by(self, action: Action, today: date) -> bool:
        """Say whether an action is the split that nobody had announced."""
        return not action.withdrawn and action.factor != 1 and self.last_close.date < action.ex_date <= today

    def say(self, transition: str) -> None:
        """Tell of the suspicion, or how it ended."""
        self.book.counts["splits_suspected" if transition == "suspect" else f"splits_{transition}"] += 1
        withheld = self.book.withheld or []
        side = "up" if self.tick.price > self.last_close.price else "down"
        revision = 1 if transition == "suspect" else 2
        self.book.send_at_once(
            {
                **self.book.head(transition, revision, "suspected_split", side, self.day, 1),
                "event_time": format_time(self.tick.time_ns),
                "price": price_text(self.tick.price),
                "trade": {"time": format_time(self.tick.time_ns), "price": price_text(self.tick.price)},
                "suspected_split": {
                    "last_close": price_text(self.last_close.price),
                    "last_close_date": self.last_close.date.isoformat(),
                    "ratio": f"{self.ratio.denominator}:{self.ratio.numerator}",
                    "withheld": len(withheld),
                    "lost": self.book.lost,
                },
            }
        )


def quarantine(book: Book, history: History, index: int, tick: Tick, measures: list[Measure]) -> Quarantine | None:
    """Return the quarantine that a session's first trade asks for, if it looks like a split nobody announced."""
    today = history.calendar.sessions[index].date
    last_close = history.newest_close(index)
    # A close that is less than the smallest price in today's units says nothing.
    if last_close is None or not last_close.price or not book.rules.split_guard:
        return None
    announced = any(
        action.factor != 1 and last_close.date < action.ex_date <= today for action in history.actions.values()
    )
    ratio = suspected(tick.price, last_close.price)
    if announced or ratio is None:
        return None
    kept = {
        measure.family: (measure.base, deepcopy(measure.entries), measure.evaluated, dict(measure.entered))
        for measure in measures
    }
    return Quarantine(book, today, last_close, tick, ratio, kept)
