"""Breakouts of closing prices: one look at the close, once it is known (section 8.3; off by default)."""

from __future__ import annotations

from dataclasses import replace
from fractions import Fraction

from tests.oracle.context import Book, Context
from tests.oracle.day import Trade
from tests.oracle.history import History, Level
from tests.oracle.records import Tick
from tests.oracle.rules import CLOSES, Family, Side, at_least, further
from tests.oracle.signal import Signal, document

Close = tuple[Fraction | None, str | None]


class CloseBreakout:
    """The close of one session against the closes of the window."""

    def __init__(self, book: Book, side: Side) -> None:
        self.book = book
        self.side = side
        self.family = Family(CLOSES[side], side, book.rules.lookback)
        self.context: Context | None = None
        self.signal: Signal | None = None
        self.ordinal = 0
        self.level: Level | None = None
        self.looked_at: Fraction | None = None

    def close(self, close: Close, close_ns: int, context: Context | None, history: History) -> None:
        """Look at the close of a session, at its verdict; its level is known by then, once for all."""
        if context is not None:
            self.context = context
            self.level = history.close_levels(context.index, self.book.rules.lookback).get(self.side)
        self._look(close, close_ns)

    def _look(self, close: Close, close_ns: int) -> None:
        price, level = close[0], self.level
        self.looked_at = price
        if price is None or level is None or not self._passes(price, level):
            return
        tick = _no_trade(self.book.instrument, close_ns, price)
        trigger = Trade(tick, 0, "continuous", last=True)
        # An ordinal is never reused in a session (kernel, "Breakouts").
        self.ordinal += 1
        self.signal = Signal(self.ordinal, trigger, level, level, gap=False, close=close)
        self._send("triggered", close_ns, price)

    def correct_close(self, close: Close, close_ns: int) -> None:
        """Take another close."""
        signal = self.signal
        if signal is None:
            if close[0] != self.looked_at:
                self._look(close, close_ns)
            return
        if signal.close is None or signal.close[0] == close[0]:
            return
        signal.close = close
        if close[0] is not None and self._passes(close[0], signal.level):
            signal.trigger = replace(signal.trigger, tick=replace(signal.trigger.tick, price=close[0]))
            self._send("amended", close_ns, close[0], "close_corrected")
            return
        self._send("retracted", close_ns, None, "close_corrected")
        self.signal = None

    def cancel_session(self) -> None:
        """Take the signal back, for none of the session's trades counts."""
        if self.signal is not None:
            self._send("retracted", self.signal.trigger.tick.time_ns, None, "session_cancelled")
        self.signal = self.level = None

    def _passes(self, price: Fraction, level: Level) -> bool:
        reaches = at_least if self.book.rules.equality == "match" else further
        return reaches(self.side, price, level.price)

    def _send(self, transition: str, time_ns: int, price: Fraction | None, reason: str | None = None) -> None:
        signal, context = self.signal, self.context
        assert signal is not None
        assert context is not None
        signal.revision += 1
        said = document(
            self.book, self.family, signal, context, transition, time_ns=time_ns, price=price, reason=reason
        )
        head = self.book.head(
            transition, signal.revision, self.family.name, self.side, context.date, signal.ordinal, "close"
        )
        self.book.send({**said, **head})


def _no_trade(instrument: str, time_ns: int, price: Fraction) -> Tick:
    return Tick(instrument, time_ns, price, Fraction(0), (), None, None, True, True, True, frozenset(), rated=False)
