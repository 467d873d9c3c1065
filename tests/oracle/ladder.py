"""The best prices of today on one side, as many as the engine promises to remember, and where its memory ends.

Everything else in this package remembers every trade. Only what the engine can say after a cancel depends on how much
it kept, so that is modelled here exactly: so many distinct prices a side, each with a count and its first two ids.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from tests.oracle.records import Tick
from tests.oracle.rules import Side, at_least, further

PRICES_MAX = 4
IDS_MAX = 2

# Ids are a venue's own.
Name = tuple[str | None, str]


@dataclass
class Rung:
    """One price: how many trades were there, and the ids of the first of them."""

    price: Fraction
    count: int = 0
    ids: list[Name] = field(default_factory=list)


class Ladder:
    """The best prices of one side, the best first; below the floor nothing is known."""

    def __init__(self, side: Side) -> None:
        self.side = side
        self.rungs: list[Rung] = []
        self.floor: Fraction | None = None
        self.lost = False
        self.nameless = False

    @property
    def best(self) -> Fraction | None:
        """Return today's extreme as far as it is known: where every kept price was cancelled, the floor."""
        return self.rungs[0].price if self.rungs else self.floor

    def see(self, tick: Tick) -> None:
        """Take a trade, if its price is among the best."""
        rung = self._at(tick.price)
        if rung is None:
            if self.floor is not None and not at_least(self.side, tick.price, self.floor):
                return
            if len(self.rungs) == PRICES_MAX and not further(self.side, tick.price, self.rungs[-1].price):
                return
            rung = Rung(tick.price)
            self.rungs = sorted([*self.rungs, rung], key=lambda each: each.price, reverse=self.side == "up")
            del self.rungs[PRICES_MAX:]
        rung.count += 1
        name = _name(tick)
        if name is not None and len(rung.ids) < IDS_MAX:
            rung.ids.append(name)

    def unsee(self, tick: Tick) -> None:
        """Take a trade back, if its price is among those kept."""
        rung = self._at(tick.price)
        if rung is None:
            return
        rung.count -= 1
        name = _name(tick)
        if name in rung.ids:
            rung.ids.remove(name)
        if rung.count > 0:
            return
        if len(self.rungs) == PRICES_MAX:
            self.floor = self.rungs[-1].price
        self.rungs.remove(rung)
        # Once the extreme was unknown, the session's is in doubt for good (kernel, "Cancels and corrections").
        self.lost = self.lost or (not self.rungs and self.floor is not None)

    def denies(self, tick: Tick) -> bool:
        """Say whether a trade cannot have been: its price is known to have had no such trade."""
        rung = self._at(tick.price)
        if rung is None:
            full = len(self.rungs) == PRICES_MAX
            edge = self.rungs[-1].price if full else self.floor
            return edge is None or at_least(self.side, tick.price, edge)
        if self.nameless or tick.trade_id is None:
            return False
        return rung.count == len(rung.ids) and _name(tick) not in rung.ids

    def knows(self, tick: Tick) -> bool:
        """Say whether a trade's id is kept."""
        rung = self._at(tick.price)
        return rung is not None and _name(tick) in rung.ids

    def _at(self, price: Fraction) -> Rung | None:
        return next((rung for rung in self.rungs if rung.price == price), None)


def _name(tick: Tick) -> Name | None:
    return None if tick.trade_id is None else (tick.venue, tick.trade_id)
