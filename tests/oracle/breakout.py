"""One side of one instrument in one session: armed, active or failed (sections 2.1, 2.2; kernel, "Breakouts")."""

from __future__ import annotations

from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

from tests.oracle.calendar import format_time
from tests.oracle.context import Book, Context, Document, change, rounded
from tests.oracle.history import UNIT, Level
from tests.oracle.records import Tick, price_text
from tests.oracle.rules import BREAKOUTS, Side, at_least, further


@dataclass
class Signal:
    """One trigger and what became of it."""

    ordinal: int
    trigger: Tick
    level: Level
    gap: bool
    fresh: bool
    streak: int
    revision: int = 0
    failed: bool = False
    recovered: bool = False
    close_source: str | None = None


class Breakout:
    """The machine of one side. It is made anew for every session."""

    def __init__(self, book: Book, side: Side) -> None:
        self.book = book
        self.side = side
        self.context: Context | None = None
        self.state: Literal["armed", "active", "failed"] = "armed"
        self.signal: Signal | None = None
        self.extreme: Fraction | None = None
        self.pending: Tick | None = None
        self.held_until_ns = 0

    def trade(self, tick: Tick, *, first: bool) -> None:
        """Let an eligible trade move the machine: trigger, or extend, or fail."""
        level = self.context.window.levels.get(self.side) if self.context else None
        if level is not None and self.context is not None:
            target = self._target(level, self.context)
            if target is not None and self._passes(tick.price, target):
                gap = first and tick.last
                ordinal = self.signal.ordinal + 1 if self.signal else 1
                fresh, streak = self.context.fresh[self.side], self.context.streak[self.side]
                self._trigger(Signal(ordinal, tick, target, gap, fresh, streak))
            elif self.state != "armed" and self.extreme is not None and further(self.side, tick.price, self.extreme):
                self._extend(tick)
            else:
                self._fail(tick)
        if self.extreme is None or further(self.side, tick.price, self.extreme):
            self.extreme = tick.price

    def failure_price(self) -> Fraction | None:
        """Return where the latest signal would fail: its own level less the hysteresis (section 2.2, 2)."""
        if self.signal is None or self.context is None:
            return None
        rules, level = self.book.rules, self.signal.level.price
        ticks = rules.hysteresis_ticks * Fraction(rules.tick_size)
        ranges = round(rules.hysteresis_atr * (self.context.range_units or 0.0)) * UNIT
        hysteresis = max(ticks, level * rules.hysteresis_bps / 10_000, ranges)
        return level - hysteresis if self.side == "up" else level + hysteresis

    def flush(self, until_ns: int | None = None) -> None:
        """Send the held extreme: at once, or if its window has ended by a clock's time."""
        if self.pending is not None and (until_ns is None or until_ns >= self.held_until_ns):
            pending, self.pending = self.pending, None
            self._send("new_extreme", pending.time_ns, pending.price)
            self._hold(pending.time_ns)

    def close(self, price: Fraction | None, source: str | None, close_ns: int) -> None:
        """Give the verdict on the latest signal, if there is one: beyond its own level or not (section 2.1)."""
        self.flush()
        if self.signal is None:
            return
        confirmed = price is not None and further(self.side, price, self.signal.level.price)
        self.signal.close_source = source
        self.signal.recovered = confirmed and self.signal.failed
        self._send("confirmed" if confirmed else "unconfirmed", close_ns, price)

    def _target(self, level: Level, context: Context) -> Level | None:
        # What a trade must pass to trigger: the window's level, or after a failure the extreme of today (2.2, 3).
        if self.state == "armed":
            return level
        again = self.state == "failed" and self.signal and self.signal.ordinal < self.book.rules.max_triggers
        return Level(self.extreme, context.date) if again and self.extreme is not None else None

    def _passes(self, price: Fraction, target: Level) -> bool:
        # "Made or matched" is for the window's level: a second trigger must be a new extreme in either mode.
        if self.state == "armed" and self.book.rules.equality == "match":
            return at_least(self.side, price, target.price)
        return further(self.side, price, target.price)

    def _trigger(self, signal: Signal) -> None:
        self.state = "active"
        self.signal = signal
        self._send("triggered", signal.trigger.time_ns, signal.trigger.price)
        self._hold(signal.trigger.time_ns)

    def _extend(self, tick: Tick) -> None:
        # Inside the window the newest extreme waits. One outside sends what waits first, and that opens its own window.
        if tick.time_ns >= self.held_until_ns:
            self.flush()
        self.pending = tick
        if tick.time_ns >= self.held_until_ns:
            self.flush()

    def _hold(self, time_ns: int) -> None:
        self.held_until_ns = max(self.held_until_ns, time_ns + self.book.rules.conflate_ns)

    def _fail(self, tick: Tick) -> None:
        # A late or derived print never fails a breakout (kernel rules).
        line = self.failure_price()
        if self.signal is None or line is None or self.state != "active":
            return
        if tick.last and not further(self.side, tick.price, line):
            self.flush()
            self.state = "failed"
            self.signal.failed = True
            self._send("failed", tick.time_ns, tick.price)

    def _send(self, transition: str, time_ns: int, price: Fraction | None) -> None:
        assert self.signal is not None
        assert self.context is not None
        signal, context = self.signal, self.context
        signal.revision += 1
        self.book.send(
            {
                **self.book.head(
                    transition, signal.revision, BREAKOUTS[self.side], self.side, context.date, signal.ordinal
                ),
                "event_time": format_time(time_ns),
                "price": price_text(price),
                "trigger": _trigger_fields(signal.trigger),
                "level": self._level_fields(signal, context),
                "gap": signal.gap,
                "fresh": signal.fresh,
                "streak": signal.streak,
                "failed": signal.failed,
                "recovered": signal.recovered,
                "reason": None,
                "verdict": transition if transition in ("confirmed", "unconfirmed") else None,
                "degraded": False,
                "close_source": signal.close_source,
                "metrics": self._metrics(signal, context, price),
            }
        )

    def _level_fields(self, signal: Signal, context: Context) -> Document:
        sessions = context.window.sessions
        return {
            "price": price_text(signal.level.price),
            "session_date": signal.level.date.isoformat(),
            "base_price": price_text(context.window.levels[self.side].price),
            "lookback": self.book.rules.lookback,
            "window_start": sessions[0].date.isoformat(),
            "window_end": sessions[-1].date.isoformat(),
            "sessions": context.window.present,
            "sessions_expected": len(sessions),
            "window_status": context.window.status,
            "includes_today": False,
            "adjustment": "splits",
            "adjustment_factor": "1/1",
            "source_price": price_text(signal.level.price),
            "extreme_unknown": False,
        }

    def _metrics(self, signal: Signal, context: Context, price: Fraction | None) -> Document:
        set_on = self.book.calendar.on(signal.level.date)
        assert set_on is not None
        return {
            "distance": change(price, signal.level),
            "distance_atr": context.distance_atr(price, signal.level.price),
            "nearness": None if price is None else rounded(price / signal.level.price),
            "base_length_sessions": context.index - set_on,
            **context.returns(price),
        }


def _trigger_fields(tick: Tick) -> Document:
    return {
        "time": format_time(tick.time_ns),
        "price": price_text(tick.price),
        "trade_id": tick.trade_id,
        "conditions": list(tick.conditions),
        "kind": _kind(tick),
    }


def _kind(tick: Tick) -> str:
    if not tick.last:
        return "late_or_derived"
    if "5" in tick.conditions:
        return "reopen_gap"
    return "opening" if "O" in tick.conditions else "continuous"
