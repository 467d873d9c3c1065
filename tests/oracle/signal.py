"""One trigger and what became of it, and how its transitions read on the wire."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any

from tests.oracle.calendar import format_time
from tests.oracle.context import Book, Context, Document, change, rounded
from tests.oracle.day import Trade
from tests.oracle.history import Level
from tests.oracle.records import price_text
from tests.oracle.rules import BREAKOUTS, CLOSES, SIDES, Family

# Trades beyond a signal's level that are kept, so that one of them can take the place of a cancelled trigger.
BEYOND_MAX = 4
# Breakouts of closes are fresh when those of the trades of their side are.
MARKED_BY = {CLOSES[side]: BREAKOUTS[side] for side in SIDES}


@dataclass
class Signal:
    """One trigger of one family in one session."""

    ordinal: int
    trigger: Trade
    level: Level
    base_level: Level
    gap: bool
    order: int = 0
    line: Fraction | None = None
    beyond: list[Trade] = field(default_factory=list)
    more_came: bool = False
    revision: int = 0
    failed: bool = False
    failing: Trade | None = None
    close: tuple[Fraction | None, str | None] | None = None
    verdict: str | None = None
    degraded: bool = False

    def note(self, trade: Trade) -> None:
        """Keep a trade beyond the level, while memory lasts: past that, which trade came next is not known."""
        if self.more_came or len(self.beyond) == BEYOND_MAX:
            self.more_came = True
        else:
            self.beyond.append(trade)


def document(
    book: Book,
    family: Family,
    signal: Signal,
    context: Context,
    transition: str,
    *,
    time_ns: int,
    price: Fraction | None,
    reason: str | None = None,
) -> dict[str, Any]:
    """Write a transition of a signal."""
    known = transition != "retracted" or reason == "close_corrected"
    return {
        **book.head(transition, signal.revision, family.name, family.side, context.date, signal.ordinal),
        "event_time": format_time(time_ns),
        "price": price_text(price),
        "trigger": _trigger(signal),
        "level": _level(family, signal, context),
        "gap": signal.gap,
        "fresh": context.fresh[MARKED_BY.get(family.name, family.name)],
        "streak": context.streak[MARKED_BY.get(family.name, family.name)],
        "failed": signal.failed,
        "recovered": signal.failed and signal.verdict == "confirmed",
        "close_source": signal.close[1] if signal.close and known else None,
        "metrics": _metrics(book, signal, context, price),
        "reason": reason,
        "verdict": signal.verdict,
        "degraded": signal.degraded,
    }


def _trigger(signal: Signal) -> Document:
    tick = signal.trigger.tick
    return {
        "time": format_time(tick.time_ns),
        "price": price_text(tick.price),
        "trade_id": tick.trade_id,
        "conditions": list(tick.conditions),
        "kind": signal.trigger.kind,
    }


def _level(family: Family, signal: Signal, context: Context) -> Document:
    window = context.windows[family.lookback]
    level = signal.level
    return {
        "price": price_text(level.price),
        "session_date": level.date.isoformat(),
        "base_price": price_text(signal.base_level.price),
        "lookback": family.lookback,
        "window_start": window.sessions[0].date.isoformat(),
        "window_end": window.sessions[-1].date.isoformat(),
        "sessions": window.present,
        "sessions_expected": len(window.sessions),
        "window_status": window.status,
        "includes_today": False,
        "adjustment": "splits",
        "adjustment_factor": f"{level.factor.numerator}/{level.factor.denominator}",
        "source_price": price_text(level.source),
        "extreme_unknown": level.unknown,
    }


def _metrics(book: Book, signal: Signal, context: Context, price: Fraction | None) -> Document:
    set_on = book.calendar.on(signal.level.date)
    assert set_on is not None
    return {
        "distance": change(price, signal.level),
        "distance_atr": context.distance_atr(price, signal.level.price),
        "nearness": None if price is None else rounded(price / signal.level.price),
        "base_length_sessions": context.index - set_on,
        **context.returns(price),
    }
