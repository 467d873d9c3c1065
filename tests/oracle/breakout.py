"""One family of one instrument in one session: armed, active or failed (sections 2.1, 2.2; kernel, "Breakouts")."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction
from typing import Literal

from tests.oracle.context import Book, Context
from tests.oracle.day import Day, Trade
from tests.oracle.history import UNIT, Level
from tests.oracle.records import Tick
from tests.oracle.rules import Family, at_least, further
from tests.oracle.signal import Signal, document

Close = tuple[Fraction | None, str | None]


class Breakout:
    """The machine of one family. It is made anew for every session."""

    def __init__(self, book: Book, family: Family, day: Day) -> None:
        self.book = book
        self.family = family
        self.side = family.side
        self.day = day
        self.context: Context | None = None
        self.state: Literal["armed", "active", "failed"] = "armed"
        # Where the machine is armed: at a level, or at an extreme of today that was beyond it before anybody knew.
        self.armed_level: Level | None = None
        self.armed_at: Fraction | None = None
        self.signal: Signal | None = None
        self.ordinal = 0
        self.triggers = 0
        self.marked = False
        self.pending: Trade | None = None
        self.held_until_ns = 0

    @property
    def extreme(self) -> Fraction | None:
        """Return today's extreme of this side."""
        return self.day.extreme(self.side)

    @property
    def live(self) -> Signal | None:
        """Return the signal that runs, if one does."""
        return None if self.state == "armed" else self.signal

    def level(self) -> Level | None:
        """Return the window's level, if the window is full."""
        return self.context.windows[self.family.lookback].levels.get(self.side) if self.context else None

    def derive(self, context: Context) -> None:
        """Take the levels of a session at its first trade."""
        self.context = context
        self.armed_level = self.level()
        self._arm_beyond_today()

    def trade(self, trade: Trade) -> None:
        """Let an eligible trade move the machine: trigger, or extend, or fail; today's extreme is that before it."""
        price, context = trade.tick.price, self.context
        if context is None:
            return
        if self._triggers(trade):
            gap = self.extreme is None and trade.kind in ("continuous", "opening")
            self._trigger(trade, context, gap=gap)
        elif self.live is not None and self.extreme is not None and further(self.side, price, self.extreme):
            self._extend(trade)
        else:
            self._fail(trade)
        if self.live is not None and self.passes(self.live.level, price):
            self.live.note(trade)

    def passes(self, level: Level, price: Fraction) -> bool:
        """Say whether a price is beyond a level: "made or matched" is for the window's, not for today's extreme."""
        today = self.context is not None and level.date == self.context.date
        reaches = at_least if self.book.rules.equality == "match" and not today else further
        return reaches(self.side, price, level.price)

    def failure_price(self) -> Fraction | None:
        """Return where the latest signal would fail: as it was known when its level was."""
        return self.live.line if self.live is not None else None

    def flush(self, until_ns: int | None = None) -> None:
        """Send the held extreme: at once, or if its window has ended by a clock's time."""
        if self.pending is not None and (until_ns is None or until_ns >= self.held_until_ns):
            pending, self.pending = self.pending.tick, None
            self._send("new_extreme", pending.time_ns, pending.price)
            self._hold(pending.time_ns)

    def close(self, close: Close, close_ns: int) -> None:
        """Give the verdict on the latest signal, if there is one: beyond its own level or not (section 2.1)."""
        self.flush()
        if self.live is not None:
            self._judge(self.live, close)
            assert self.live.verdict is not None
            self._send(self.live.verdict, close_ns, close[0])

    def correct_close(self, close: Close, close_ns: int) -> None:
        """Say that the close of a session that had its verdict is another (section 1.5)."""
        if self.live is not None and self.live.close is not None and self.live.close[0] != close[0]:
            self._judge(self.live, close)
            self._send("amended", close_ns, close[0], reason="close_corrected")

    def cancel(self, tick: Tick) -> None:
        """Take a trade back, after the day has: amend or retract the signal that hangs on it."""
        if self.pending is not None and self.pending.is_of(tick):
            self.pending = None
        signal = self.live
        if signal is None:
            return
        was_trigger = bool(signal.beyond) and not signal.degraded and signal.beyond[0].is_of(tick)
        gone = next((trade for trade in signal.beyond if trade.is_of(tick)), None)
        if gone is not None:
            signal.beyond.remove(gone)
        # A price without a trade is the trigger for as long as something is known at or beyond it.
        rungs = self.day.ladders[self.side].rungs
        if signal.degraded:
            was_trigger = not rungs or further(self.side, signal.trigger.tick.price, rungs[0].price)
        if was_trigger and not self._replace_trigger(signal, "trigger_changed"):
            self._retract(signal, "cancelled")
        elif signal.failing is not None and signal.failing.is_of(tick):
            self._withdraw_failure(signal)

    def restate(self, context: Context) -> None:
        """Take levels that were derived anew (kernel, "Rolls, bars, actions")."""
        before, self.context = self.level(), context
        level, signal = self.level(), self.live
        if _equal(before, level):
            return
        if signal is None:
            self.armed_level = level
            self._arm_beyond_today()
            return
        if signal.level.date == context.date:
            signal.base_level = level or signal.base_level
            return
        if level is None:
            self._retract(signal, "level_restated")
            return
        signal.level = signal.base_level = level
        signal.line = self._line(level.price, context)
        self._doubt_failure(signal)
        signal.beyond = [trade for trade in signal.beyond if self.passes(level, trade.tick.price)]
        if self.passes(level, signal.trigger.tick.price):
            self.flush()
            self._send("amended", signal.trigger.tick.time_ns, signal.trigger.tick.price, reason="level_restated")
        elif not self._replace_trigger(signal, "level_restated"):
            self._retract(signal, "level_restated")
            self._arm_beyond_today()

    def cancel_session(self) -> None:
        """Take the live signal back, for none of the session's trades counts."""
        if self.live is not None:
            self._retract(self.live, "session_cancelled")

    def _triggers(self, trade: Trade) -> bool:
        if trade.kind == "late_or_derived" and self.book.rules.trigger_eligibility == "high_low_and_last":
            return False
        price = trade.tick.price
        if self.state == "armed" and self.armed_level is not None:
            beyond_today = self.armed_at is None or further(self.side, price, self.armed_at)
            return self.passes(self.armed_level, price) and beyond_today
        again = self.state == "failed" and self.triggers < self.book.rules.max_triggers
        return again and self.extreme is not None and further(self.side, price, self.extreme)

    def _trigger(self, trade: Trade, context: Context, *, gap: bool) -> None:
        # A window that is no longer full ends no second trigger: what its level was stays known.
        base_level = self.level() or (self.signal.base_level if self.signal is not None else None)
        assert base_level is not None
        level = self.armed_level if self.state == "armed" else self._today(context)
        assert level is not None
        self.ordinal += 1
        self.triggers += 1
        self.state, self.marked = "active", True
        self.signal = Signal(
            self.ordinal, trade, level, base_level, gap, order=trade.order, line=self._line(level.price, context)
        )
        self._send("triggered", trade.tick.time_ns, trade.tick.price)
        self._hold(trade.tick.time_ns)

    def _line(self, level: Fraction, context: Context) -> Fraction:
        # Where a signal fails: at its own level less the hysteresis (section 2.2, 2).
        rules = self.book.rules
        ticks = rules.hysteresis_ticks * (self.book.tick_size or Fraction(rules.tick_size))
        ranges = round(rules.hysteresis_atr * (context.range_units or 0.0)) * UNIT
        hysteresis = max(ticks, level * rules.hysteresis_bps / 10_000, ranges)
        return level - hysteresis if self.side == "up" else level + hysteresis

    def _today(self, context: Context) -> Level:
        assert self.extreme is not None
        unknown = self.day.ladders[self.side].lost
        return Level(self.extreme, context.date, self.extreme, unknown=unknown)

    def _arm_beyond_today(self) -> None:
        # What was beyond the level before anybody knew it is no trigger now: a new extreme must come.
        extreme, level = self.extreme, self.armed_level
        self.armed_at = extreme if level is not None and extreme is not None and self.passes(level, extreme) else None

    def _extend(self, trade: Trade) -> None:
        # Inside the window the newest extreme waits. One outside sends what waits first, and that opens its own window.
        if trade.tick.time_ns >= self.held_until_ns:
            self.flush()
        self.pending = trade
        if trade.tick.time_ns >= self.held_until_ns:
            self.flush()

    def _hold(self, time_ns: int) -> None:
        self.held_until_ns = max(self.held_until_ns, time_ns + self.book.rules.conflate_ns)

    def _fail(self, trade: Trade) -> None:
        # A late or derived print never fails a breakout (kernel rules).
        line, signal = self.failure_price(), self.live
        if signal is None or line is None or self.state != "active":
            return
        if trade.last and not further(self.side, trade.tick.price, line):
            self.flush()
            self.state = "failed"
            signal.failed, signal.failing = True, trade
            self._send("failed", trade.tick.time_ns, trade.tick.price)

    def _judge(self, signal: Signal, close: Close) -> None:
        signal.close = close
        confirmed = close[0] is not None and further(self.side, close[0], signal.level.price)
        signal.verdict = "confirmed" if confirmed else "unconfirmed"

    def _replace_trigger(self, signal: Signal, reason: str) -> bool:
        ladder = self.day.ladders[self.side]
        if signal.beyond:
            signal.trigger, signal.degraded = signal.beyond[0], False
            # An extreme that waits to be told is not told when it is the trigger now.
            self.pending = None if self.pending is signal.trigger else self.pending
        elif signal.more_came and ladder.rungs and self.passes(signal.level, ladder.rungs[0].price):
            tick = replace(signal.trigger.tick, price=ladder.rungs[0].price, trade_id=None, conditions=())
            signal.trigger, signal.degraded = replace(signal.trigger, tick=tick, kind="continuous"), True
        else:
            return False
        self.flush()
        self._send("amended", signal.trigger.tick.time_ns, signal.trigger.tick.price, reason=reason)
        return True

    def _withdraw_failure(self, signal: Signal) -> None:
        failing = signal.failing
        assert failing is not None
        others = self._failures(signal)
        if others:
            signal.failing = others[0]
            return
        self.flush()
        self.state = "active"
        signal.failed, signal.failing = False, None
        self._send("amended", failing.tick.time_ns, signal.trigger.tick.price, reason="failure_withdrawn")

    def _doubt_failure(self, signal: Signal) -> None:
        # What failed the signal at its old level may not reach the line of the new one.
        failing, line = signal.failing, self.failure_price()
        if self.state != "failed" or failing is None or line is None:
            return
        if not further(self.side, failing.tick.price, line):
            return
        others = self._failures(signal)
        if others:
            signal.failing = others[0]
        else:
            self.state, signal.failed, signal.failing = "active", False, None

    def _failures(self, signal: Signal) -> list[Trade]:
        line = self.failure_price()
        assert line is not None
        since = [trade for trade in self.day.lasts if trade.order > signal.order]
        return [trade for trade in since if not further(self.side, trade.tick.price, line)]

    def _retract(self, signal: Signal, reason: str) -> None:
        self.pending = None
        self._send("retracted", signal.trigger.tick.time_ns, None, reason=reason)
        self.triggers -= 1
        self.state, self.marked = "armed", self.triggers > 0
        # The level stands again, as it is known now; a second trigger's is today's extreme.
        of_today = self.context is not None and signal.level.date == self.context.date
        self.armed_level = signal.level if of_today else self.level()
        self.armed_at, self.held_until_ns = None, 0

    def _send(self, transition: str, time_ns: int, price: Fraction | None, *, reason: str | None = None) -> None:
        signal = self.signal
        assert signal is not None
        assert self.context is not None
        signal.revision += 1
        self.book.send(
            document(
                self.book,
                self.family,
                signal,
                self.context,
                transition,
                time_ns=time_ns,
                price=price,
                reason=reason,
            )
        )


def _equal(one: Level | None, other: Level | None) -> bool:
    # Whether a level is said to be as it was: its price, where it comes from, and what it was made of.
    if one is None or other is None:
        return one is other
    return (one.price, one.date, one.factor) == (other.price, other.date, other.factor)
