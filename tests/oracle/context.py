"""What one session of one instrument knows from its first trade on: derived once, then fixed until the next session."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any
from uuid import UUID, uuid5

from tests.oracle.calendar import Calendar
from tests.oracle.history import UNIT, History, Level, Window
from tests.oracle.rules import SIDES, Rules, Side

Document = dict[str, Any]
Emit = Callable[[Document], None]

# The namespace of signal ids (architecture 2).
NAMESPACE = UUID("14cf0421-c16e-56e4-953d-02cda238d903")


@dataclass(frozen=True)
class Book:
    """What every signal of one instrument shares."""

    instrument: str
    calendar: Calendar
    rules: Rules
    provenance: Document
    emit: Emit

    def send(self, document: Document) -> None:
        """Emit a document unless its family is switched off."""
        if document["family"] in self.rules.families:
            self.emit({**document, "provenance": dict(self.provenance)})

    def head(self, transition: str, revision: int, family: str, side: Side, day: date, ordinal: int) -> Document:
        """Write the fields that every signal begins with; the id is content only, so a replay gives it again (6.6)."""
        name = f"{self.instrument}|{family}|{side}|intraday|regular|{day.isoformat()}|{ordinal}"
        mic, _, symbol = self.instrument.partition(":")
        return {
            "signal_id": str(uuid5(NAMESPACE, name)),
            "revision": revision,
            "transition": transition,
            "family": family,
            "side": side,
            "basis": "intraday",
            "scope": "regular",
            "ordinal": ordinal,
            "instrument": {"id": self.instrument, "mic": mic, "symbol": symbol},
            "session_date": day.isoformat(),
            "held": False,
            "status": {"halt": "none", "provisional": False},
        }


@dataclass(frozen=True)
class Context:
    """A session as derived at its first eligible trade: window, levels, bases of the measures, average range."""

    index: int
    date: date
    window: Window
    bases: dict[str, Level | None]
    range_units: float | None
    fresh: dict[Side, bool]
    streak: dict[Side, int]

    def returns(self, price: Fraction | None) -> Document:
        """Return the metrics that every breakout carries: the price against each base, null without one."""
        names = ("session_return", "mtd", "ytd", "roc_5", "roc_20", "roc_60")
        return {name: change(price, self.bases[name]) for name in names}

    def distance_atr(self, price: Fraction | None, level: Fraction) -> float | None:
        """Return how many average ranges lie between a price and its level."""
        if price is None or self.range_units is None or self.range_units == 0:
            return None
        return round(float((price - level) / UNIT) / self.range_units, 6)


def derive(history: History, calendar: Calendar, index: int) -> Context:
    """Derive a session from the bars known now (section 1.9: later history takes effect with the next session)."""
    window = history.window(index)
    day = calendar.sessions[index].date
    fresh = {side: history.fresh(index, side) for side in SIDES}
    streak = {side: history.streak(index, side) for side in SIDES}
    measured = bases(history, calendar, index, window)
    return Context(index, day, window, measured, history.range_units(day), fresh, streak)


def bases(history: History, calendar: Calendar, index: int, window: Window) -> dict[str, Level | None]:
    """Return what each measure compares a price with, None where it is not known (section 3)."""
    return {
        "proximity_high_52w": window.levels.get("up"),
        "proximity_low_52w": window.levels.get("down"),
        "session_return": history.base(index - 1),
        "gap": history.base(index - 1),
        "mtd": history.base(calendar.month_base(index)),
        "ytd": history.base(calendar.year_base(index)),
        "roc_5": history.base(index - 5),
        "roc_20": history.base(index - 20),
        "roc_60": history.base(index - 60),
    }


def change(price: Fraction | None, base: Level | None) -> float | None:
    """Return price / base - 1 as it goes on the wire."""
    if price is None or base is None:
        return None
    return rounded(price / base.price - 1)


def rounded(value: Fraction) -> float:
    """Round an exact ratio half-even to six decimals (section 6.4)."""
    return float(round(value, 6))
