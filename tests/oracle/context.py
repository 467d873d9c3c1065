"""What one session of one instrument knows: derived at its first trade, and anew when the past is restated."""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from dataclasses import dataclass
from datetime import date
from fractions import Fraction
from typing import Any
from uuid import UUID, uuid5

from tests.oracle.calendar import Calendar
from tests.oracle.history import UNIT, History, Level, Window
from tests.oracle.rules import Rules, breakouts

Document = dict[str, Any]
Emit = Callable[[Document], None]

# The namespace of signal ids (architecture 2).
NAMESPACE = UUID("14cf0421-c16e-56e4-953d-02cda238d903")
# Most transitions that a quarantined instrument keeps back (issue, "guard").
WITHHELD_MAX = 64


@dataclass
class Book:
    """What every signal of one instrument shares; `withheld` is a list while the instrument is in quarantine."""

    instrument: str
    calendar: Calendar
    rules: Rules
    provenance: Document
    emit: Emit
    counts: Counter[str]
    scope: str = "regular"
    symbol: str | None = None
    halt: str = "none"
    tick_size: Fraction | None = None
    withheld: list[Document] | None = None
    lost: int = 0

    def send(self, document: Document) -> None:
        """Emit a document unless its family is switched off; hold it back in quarantine."""
        if document["family"] not in self.rules.families:
            return
        if self.withheld is None:
            self.send_at_once(document)
        elif len(self.withheld) < WITHHELD_MAX:
            self.withheld.append(document)
        else:
            self.lost += 1
            self.counts["withheld_lost"] += 1

    def send_at_once(self, document: Document) -> None:
        """Emit a document, in quarantine too."""
        if document["family"] in self.rules.families:
            self.emit({**document, "provenance": dict(self.provenance)})

    def release(self) -> None:
        """Emit what was held back, in order: late but right."""
        documents, self.withheld, self.lost = self.withheld or [], None, 0
        for document in documents:
            self.send_at_once({**document, "held": True})

    def status(self) -> Document:
        """Return the annotations of the moment: they never block (section 1.7)."""
        return {"halt": self.halt, "provisional": self.halt == "limit_state"}

    def head(
        self,
        transition: str,
        revision: int,
        family: str,
        side: str,
        day: date,
        ordinal: int,
        basis: str = "intraday",
    ) -> Document:
        """Write the fields that every signal begins with; the id is content only, so a replay gives it again (6.6)."""
        name = f"{self.instrument}|{family}|{side}|{basis}|{self.scope}|{day.isoformat()}|{ordinal}"
        mic, _, symbol = self.instrument.partition(":")
        return {
            "signal_id": str(uuid5(NAMESPACE, name)),
            "revision": revision,
            "transition": transition,
            "family": family,
            "side": side,
            "basis": basis,
            "scope": self.scope,
            "ordinal": ordinal,
            "instrument": {"id": self.instrument, "mic": mic, "symbol": self.symbol or symbol},
            "session_date": day.isoformat(),
            "held": False,
            "status": self.status(),
        }


@dataclass(frozen=True)
class Context:
    """A session as derived: windows by look-back, bases of the measures, average range, marks by family."""

    index: int
    date: date
    windows: dict[str, Window]
    window: Window
    bases: dict[str, Level | None]
    range_units: float | None
    fresh: dict[str, bool]
    streak: dict[str, int]

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
    """Derive a session from the bars and actions known now."""
    families = breakouts(history.rules)
    windows = {family.lookback: history.window(index, family.lookback) for family in families}
    window = windows[history.rules.lookback]
    day = calendar.sessions[index].date
    fresh = {family.name: history.fresh(index, family.name) for family in families}
    streak = {family.name: history.streak(index, family.name) for family in families}
    measured = bases(history, calendar, index, window)
    return Context(index, day, windows, window, measured, history.range_units(index), fresh, streak)


def bases(history: History, calendar: Calendar, index: int, window: Window) -> dict[str, Level | None]:
    """Return what each measure compares a price with, None where it is not known (section 3)."""
    return {
        "proximity_high_52w": window.levels.get("up"),
        "proximity_low_52w": window.levels.get("down"),
        "session_return": history.base(index - 1, index),
        "gap": history.base(index - 1, index),
        "mtd": history.base(calendar.month_base(index), index),
        "ytd": history.base(calendar.year_base(index), index),
        "roc_5": history.base(index - 5, index),
        "roc_20": history.base(index - 20, index),
        "roc_60": history.base(index - 60, index),
    }


def change(price: Fraction | None, base: Level | None) -> float | None:
    """Return price / base - 1 as it goes on the wire."""
    if price is None or base is None:
        return None
    return rounded(price / base.price - 1)


def rounded(value: Fraction) -> float:
    """Round an exact ratio half-even to six decimals (section 6.4)."""
    return float(round(value, 6))
