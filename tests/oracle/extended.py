"""Extended hours as a scope of their own (section 1.11; tape, "Extended scope"): the rules where they differ.

A session reaches from its extended open to its extended close. A trade that is eligible in regular hours is so here;
one that is not only because it was made outside them (codes T and U) is too, and U says that it is late. A level is
made of the bars that came as records, which are of regular hours, and of the trades that the scope saw itself.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import replace
from fractions import Fraction

from tests.oracle.breakout import Close
from tests.oracle.calendar import Session
from tests.oracle.day import Day
from tests.oracle.history import Bar
from tests.oracle.records import Cancel, Tick, eligibility
from tests.oracle.row import Row
from tests.oracle.rules import SIDES, Rules

FAMILIES = ("high_52w", "low_52w", "suspected_split", "held_print")
ON_TIME, LATE = "T", "U"


def extended_rules(rules: Rules) -> Rules:
    """Return the rules of the scope: its breakouts, and what guards them."""
    return replace(rules, families=tuple(family for family in rules.families if family in FAMILIES), extended=False)


def extended_sessions(sessions: Mapping[str, Sequence[Session]]) -> dict[str, list[Session]]:
    """Return the sessions of the scope, of the markets that have any such hours."""
    return {
        mic: [Session(each.date, each.extended_open_ns, each.extended_close_ns) for each in listed]
        for mic, listed in sessions.items()
        if any(each.extended_open_ns or each.extended_close_ns for each in listed)
    }


def in_extended_hours(tick: Tick, tape: str | None) -> Tick:
    """Return a trade as the scope reads it."""
    others = [code for code in tick.conditions if code not in (ON_TIME, LATE)]
    high_low, last, _, sometimes = eligibility(tick.instrument, tape, others)
    if tick.high_low or not high_low:
        return tick
    on_time = LATE not in tick.conditions and last and not sometimes
    return replace(tick, high_low=True, last=on_time, sometimes=frozenset())


class ExtendedRow(Row):
    """One instrument in the extended scope."""

    def tick(self, tick: Tick, clock_ns: int) -> str | None:
        """Take one trade; return what it was counted as, when it was not simply a trade."""
        return super().tick(in_extended_hours(tick, tick.tape), clock_ns)

    def cancel(self, cancel: Cancel) -> str | None:
        """Take a trade back; return what it was counted as otherwise."""
        original, corrected = cancel.tick, cancel.corrected
        return super().cancel(
            Cancel(
                in_extended_hours(original, original.tape),
                corrected and in_extended_hours(corrected, corrected.tape),
            )
        )

    def _session_of(self, tick: Tick) -> int | None:
        index = self.calendar.latest(tick.time_ns)
        if index is None or self.calendar.sessions[index].date in self.calendar.cancelled:
            return None
        return index if self.calendar.sessions[index].trading(tick.time_ns) else None

    def _states_close(self, tick: Tick) -> bool:
        return False

    def _close(self) -> Close:
        return (None, None) if self.day.last is None else (self.day.last, "consolidated")

    def _may_amend(self, bar: Bar) -> bool:
        return True

    def _extremes_of(self, bar: Bar) -> tuple[Fraction, Fraction] | None:
        return bar.own

    def _renew(self, bar: Bar, day: Day) -> None:
        high, low = day.extreme("up"), day.extreme("down")
        bar.unknown |= day.unknown
        if high is None or low is None:
            bar.own, bar.traded = None, bar.recorded
            return
        if bar.own is None and not bar.recorded:
            bar.close = high
        bar.own, bar.traded = (high, low), True

    def _store(self, clock_ns: int) -> None:
        day, high, low = self._session().date, *(self.day.extreme(side) for side in SIDES)
        if high is None or low is None:
            super()._store(clock_ns)
            return
        bar = self.history.bars.get(day) or Bar(day, traded=True, official=False)
        bar.triggered |= {breakout.family.name for breakout in self.breakouts if breakout.marked}
        bar.unknown |= self.day.unknown
        if not bar.recorded:
            bar.close = self._close()[0] or min(max(self.day.extreme_only or high, low), high)
        bar.own, bar.traded = (high, low), True
        self.history.store(bar)
