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

# Most that wait on one side.
HELD_MAX = 4


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

    def side_of(self, tick: Tick, kind: str, day: Day) -> Side | None:
        """Return on which side a trade is out of the band, None when it may be believed: as after a halt."""
        median = day.median()
        if not self.book.rules.bad_print_band or median is None or kind == "reopen_gap":
            return None
        for side in SIDES:
            extreme = day.extreme(side)
            beyond_today = extreme is not None and further(side, tick.price, extreme)
            if beyond_today and further(side, tick.price, self._edge(side, median)):
                return side
        return None

    def confirmed(self, tick: Tick, side: Side) -> bool:
        """Say whether a trade confirms those held near it on its side: from another venue, or one of enough."""
        waiting = self.waiting(side, tick.price)
        another = any(
            each.tick.venue is not None and tick.venue is not None and each.tick.venue != tick.venue for each in waiting
        )
        return bool(waiting) and (another or len(waiting) + 1 >= self.book.rules.bad_print_trades)

    def hold(self, tick: Tick, kind: str, side: Side, day: date) -> None:
        """Keep a trade apart; of too many on a side the oldest is given up."""
        of_side = [each for each in self.held if each.side == side]
        if len(of_side) == HELD_MAX:
            self.held.remove(of_side[0])
            self._say(of_side[0], "rejected", 2, day)
        self.count += 1
        self.held.append(Print(tick, kind, side, self.count))
        self._say(self.held[-1], "held", 1, day)

    def waiting(self, side: Side | None, price: Fraction) -> list[Print]:
        """Return what is held near a price on a side, in the order of the log.

        Near is what would be believed if the nearer of the two were the usual price.
        """

        def is_near(held: Fraction) -> bool:
            assert side is not None
            nearer, outer = (held, price) if further(side, price, held) else (price, held)
            return not further(side, outer, self._edge(side, nearer))

        return [each for each in self.held if each.side == side and is_near(each.tick.price)]

    def believe(self, held: Print, day: date) -> None:
        """Let a held print go: it is taken now."""
        self.held.remove(held)
        self._say(held, "believed", 2, day)

    def drop(self, tick: Tick, day: date) -> bool:
        """Forget a held print that was cancelled; say whether there was one."""
        for each in self.held:
            named = each.tick.trade_id is not None and tick.trade_id is not None
            same = each.tick.trade_id == tick.trade_id if named else each.tick.time_ns == tick.time_ns
            if each.tick.price == tick.price and same:
                self.held.remove(each)
                return self._say(each, "rejected", 2, day)
        return False

    def reject(self, day: date) -> None:
        """Give up what nothing confirmed."""
        held, self.held = self.held, []
        for each in held:
            self._say(each, "rejected", 2, day)

    def _edge(self, side: Side, usual: Fraction) -> Fraction:
        share = Fraction(str(self.book.rules.bad_print_band))
        return usual * (1 + share if side == "up" else 1 - share)

    def _say(self, held: Print, transition: str, revision: int, day: date) -> bool:
        self.book.counts[f"prints_{transition}"] += 1
        head = self.book.head(transition, revision, "held_print", held.side, day, held.ordinal)
        price, time = price_text(held.tick.price), format_time(held.tick.time_ns)
        tick = held.tick
        said = {"time": time, "price": price, "trade_id": tick.trade_id, "conditions": list(tick.conditions)}
        told = {"event_time": time, "price": price, "print": said}
        self.book.send_at_once({**head, **told})
        return True
