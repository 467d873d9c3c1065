"""One measure of one instrument: a machine a side, each out or in (section 3, "Edge-triggered semantics")."""

from __future__ import annotations

from dataclasses import dataclass
from datetime import date
from fractions import Fraction

from tests.oracle.calendar import format_time
from tests.oracle.context import Book, change, rounded
from tests.oracle.history import Level
from tests.oracle.records import Tick, price_text
from tests.oracle.rules import NEARNESS, RETURNS, SIDES, Side, at_least

# These begin anew with every session, so they have no warm-up that could pass in silence.
SESSION_MEASURES = ("session_return", "gap")


@dataclass
class Entry:
    """The trade that brought a measure in."""

    side: Side
    tick: Tick
    date: date
    ordinal: int
    silent: bool


class Measure:
    """The machines of one measure. They survive the session."""

    def __init__(self, book: Book, family: str) -> None:
        self.book = book
        self.family = family
        self.entries: dict[Side, Entry] = {}
        self.base: Level | None = None
        self.defined = False
        self.evaluated = False
        self.warming = False
        self.entered: dict[Side, int] = {"up": 0, "down": 0}

    def sides(self) -> tuple[Side, ...]:
        """Return the sides that this measure has."""
        return (NEARNESS[self.family][0],) if self.family in NEARNESS else SIDES

    def ratios(self, side: Side) -> tuple[Fraction, Fraction | None]:
        """Return enter and exit as ratios to the base."""
        if self.family in NEARNESS:
            _, enter, leave = NEARNESS[self.family]
            return Fraction(enter), Fraction(leave)
        enter, exit_ = RETURNS[self.family]
        sign = 1 if side == "up" else -1
        return 1 + sign * Fraction(enter), None if exit_ is None else 1 + sign * Fraction(exit_)

    def derive(self, base: Level | None, open_ns: int) -> None:
        """Take the base of a session; without one the measure is undefined, and what was in has expired."""
        self.defined = base is not None
        self.warming = False
        if base is not None:
            self.base = base
            return
        self.expire(open_ns)
        self.evaluated = False

    def restate(self, base: Level | None, open_ns: int) -> None:
        """Take another base in mid-session: where there was none, what is in already is taken in silence.

        A gap never is in already: only the session's first trade makes one.
        """
        warming = self.warming or not self.defined
        self.derive(base, open_ns)
        self.warming = self.defined and warming and self.family != "gap"

    def expire(self, open_ns: int) -> None:
        """Go out because the base has gone, not because of a price."""
        for side in SIDES:
            if side in self.entries:
                self._send("expired", open_ns, None, self.entries.pop(side))

    def trade(self, tick: Tick, day: date, *, first: bool) -> None:
        """Let a last-eligible trade move the machine: exits of both sides, then entries of both."""
        if not self.defined or self.base is None or (self.family == "gap" and not first):
            return
        for side in self.sides():
            if side in self.entries and self._exits(side, tick.price, self.base.price):
                self._send("exited", tick.time_ns, tick.price, self.entries.pop(side))
        for side in self.sides():
            if side not in self.entries and self._enters(side, tick.price, self.base.price):
                self._enter(side, tick, day)
        self.evaluated, self.warming = True, False

    def _exits(self, side: Side, price: Fraction, base: Fraction) -> bool:
        leave = self.ratios(side)[1]
        return leave is not None and not at_least(side, price, base * leave)

    def _enters(self, side: Side, price: Fraction, base: Fraction) -> bool:
        # Nearness to a low comes in from above, as every lower side does: at or below the ratio.
        return at_least(side, price, base * self.ratios(side)[0])

    def _enter(self, side: Side, tick: Tick, day: date) -> None:
        # Already in at the end of the warm-up: the state is taken, nothing is said (section 3).
        silent = self.warming or (not self.evaluated and self.family not in SESSION_MEASURES)
        if not silent and self.entered[side] >= self.book.rules.max_entries:
            return
        if not silent:
            self.entered[side] += 1
        self.entries[side] = Entry(side, tick, day, self.entered[side], silent)
        self._send("entered", tick.time_ns, tick.price, self.entries[side])

    def _send(self, transition: str, time_ns: int, price: Fraction | None, entry: Entry) -> None:
        base = self.base
        assert base is not None
        if entry.silent:
            return
        enter, leave = self.ratios(entry.side)
        less = 0 if self.family in NEARNESS else 1
        revision = 1 if transition == "entered" else 2
        value = change(price, base) if less else None if price is None else rounded(price / base.price)
        self.book.send(
            {
                **self.book.head(transition, revision, self.family, entry.side, entry.date, entry.ordinal),
                "event_time": format_time(time_ns),
                "price": price_text(price),
                "entry": {
                    "time": format_time(entry.tick.time_ns),
                    "price": price_text(entry.tick.price),
                    "trade_id": entry.tick.trade_id,
                    "conditions": list(entry.tick.conditions),
                },
                "measure": {
                    "value": value,
                    "base_price": price_text(base.price),
                    "base_session_date": base.date.isoformat(),
                    "enter": float(enter - less),
                    "exit": None if leave is None else float(leave - less),
                },
            }
        )
