"""Prints too far from the latest trades to be believed at once (issue, "Bad prints")."""

from __future__ import annotations

from dataclasses import dataclass, field
from datetime import date
from fractions import Fraction

from tests.oracle.calendar import format_time
from tests.oracle.context import Book
from tests.oracle.day import Day
from tests.oracle.records import Tick, price_text
from tests.oracle.rules import SIDES, Side, further


@dataclass(frozen=True)
class Print:
    """A trade that waits for another one to confirm it."""

    tick: Tick
    kind: str
    side: Side
    ordinal: int


@dataclass
class Band:
    """What is held of one session."""

    book: Book
    held: list[Print] = field(default_factory=list)
    count: int = 0

    def side_of(self, tick: Tick, day: Day) -> Side | None:
        """Return on which side a trade is out of the band, None when it may be believed."""
        share = Fraction(str(self.book.rules.bad_print_band))
        median = day.median()
        if not share or median is None:
            return None
        edges: dict[Side, Fraction] = {"up": median * (1 + share), "down": median * (1 - share)}
        for side in SIDES:
            extreme = day.extreme(side)
            beyond_today = extreme is not None and further(side, tick.price, extreme)
            if beyond_today and further(side, tick.price, edges[side]):
                return side
        return None

    def confirmed(self, tick: Tick, side: Side) -> bool:
        """Say whether a trade confirms those held on its side: from another venue, or one of enough."""
        waiting = self.waiting(side)
        another = any(
            each.tick.venue is not None and tick.venue is not None and each.tick.venue != tick.venue for each in waiting
        )
        return bool(waiting) and (another or len(waiting) + 1 >= self.book.rules.bad_print_trades)

    def hold(self, tick: Tick, kind: str, side: Side, day: date) -> None:
        """Keep a trade apart."""
        self.count += 1
        self.held.append(Print(tick, kind, side, self.count))
        self._say(self.held[-1], "held", 1, day)

    def waiting(self, side: Side) -> list[Print]:
        """Return what is held on a side, in the order of the log."""
        return [each for each in self.held if each.side == side]

    def believe(self, held: Print, day: date) -> None:
        """Let a held print go: it is taken now."""
        self.held.remove(held)
        self._say(held, "believed", 2, day)

    def drop(self, tick: Tick, day: date) -> bool:
        """Forget a held print that was cancelled; say whether there was one."""
        for each in self.held:
            same_id = each.tick.trade_id is not None and each.tick.trade_id == tick.trade_id
            if each.tick.price == tick.price and (same_id or each.tick.time_ns == tick.time_ns):
                self.held.remove(each)
                return self._say(each, "rejected", 2, day)
        return False

    def reject(self, day: date) -> None:
        """Give up what nothing confirmed."""
        held, self.held = self.held, []
        for each in held:
            self._say(each, "rejected", 2, day)

    def _say(self, held: Print, transition: str, revision: int, day: date) -> bool:
        self.book.counts[f"prints_{transition}"] += 1
        head = self.book.head(transition, revision, "held_print", held.side, day, held.ordinal)
        price, time = price_text(held.tick.price), format_time(held.tick.time_ns)
        tick = held.tick
        said = {"time": time, "price": price, "trade_id": tick.trade_id, "conditions": list(tick.conditions)}
        told = {"event_time": time, "price": price, "print": said}
        self.book.send_at_once({**head, **told})
        return True
