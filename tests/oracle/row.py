"""One instrument: its current session, its bars, two breakout machines and the measures."""

from __future__ import annotations

from fractions import Fraction

from tests.oracle.breakout import Breakout
from tests.oracle.context import Book, Context, derive
from tests.oracle.history import Bar, History
from tests.oracle.measure import SESSION_MEASURES, Measure
from tests.oracle.records import BarRecord, Tick
from tests.oracle.rules import MEASURES, SIDES


class Row:
    """The state of one instrument."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.calendar = book.calendar
        self.history = History(book.calendar, book.rules)
        self.measures = [Measure(book, family) for family in MEASURES]
        self.index: int | None = None
        self.entered_ns = 0
        self.closed = False
        self._begin()

    def bar(self, record: BarRecord) -> bool:
        """Take a bar of a closed session, or leave one too old; it never emits (section 1.9)."""
        return self.history.apply(Bar(record.date, record.traded, True, record.high, record.low, record.close))

    def tick(self, tick: Tick, clock_ns: int) -> str | None:
        """Take one trade; return what it was counted as, when it was not simply a trade."""
        index = self._session_of(tick)
        if index is None:
            return "ticks_out_of_session"
        if (self.index is not None and index < self.index) or clock_ns >= self._deadline(index):
            return "ticks_late"
        if self.index is None or index > self.index:
            self._roll(index, tick.time_ns, clock_ns)
        if not tick.high_low:
            return "ticks_ineligible"
        self._trade(tick)
        return None

    def clock(self, time_ns: int) -> None:
        """Let time pass: what is due of this session, then the next session if it has opened (kernel, "Outputs")."""
        if self.index is not None:
            session = self.calendar.sessions[self.index]
            due = not self.closed and time_ns >= self._deadline(self.index)
            for side in SIDES:
                self.breakouts[side].flush(time_ns)
                if due:
                    self.breakouts[side].close(*self._close(), session.close_ns)
            self.closed = self.closed or due
        latest = self.calendar.latest(time_ns)
        if latest is not None and (self.index is None or latest > self.index):
            self._roll(latest, time_ns, time_ns)

    def _begin(self) -> None:
        # What belongs to one session only.
        self.breakouts = {side: Breakout(self.book, side) for side in SIDES}
        self.context: Context | None = None
        self.closed = False
        self.prices: list[Fraction] = []
        self.last: Fraction | None = None

    def _deadline(self, index: int) -> int:
        return self.calendar.sessions[index].close_ns + self.book.rules.grace_ns

    def _session_of(self, tick: Tick) -> int | None:
        # A regular trade, or one that says by its conditions that it belongs to the session after the bell
        # (architecture 3: the closing auction prints then).
        index = self.calendar.latest(tick.time_ns)
        if index is None:
            return None
        session = self.calendar.sessions[index]
        after_the_bell = session.close_ns <= tick.time_ns < self._deadline(index)
        closing_print = tick.by_condition and tick.high_low and after_the_bell
        return index if session.trading(tick.time_ns) or closing_print else None

    def _trade(self, tick: Tick) -> None:
        index = self.index
        assert index is not None
        session = self.calendar.sessions[index]
        first = not self.prices
        if first:
            self.context = derive(self.history, self.calendar, index)
            for measure in self.measures:
                measure.derive(self.context.bases[measure.family], session.open_ns)
        self.prices.append(tick.price)
        for side in SIDES:
            breakout = self.breakouts[side]
            breakout.context = self.context
            breakout.trade(tick, first=first)
        if tick.last:
            first_last, self.last = self.last is None, tick.price
            for measure in self.measures:
                measure.trade(tick, session.date, first=first_last)

    def _close(self) -> tuple[Fraction | None, str | None]:
        # The official close if it is known by then, else the last trade that may set one (section 1.5).
        assert self.index is not None
        official = self.history.bars.get(self.calendar.sessions[self.index].date)
        if official is not None and official.official and official.traded:
            return official.close, "official"
        return (None, None) if self.last is None else (self.last, "consolidated")

    def _roll(self, index: int, time_ns: int, clock_ns: int) -> None:
        # Yesterday first: what was held, the verdict, the bar, what expires (kernel, "Rolls, bars, actions").
        if self.index is not None:
            session = self.calendar.sessions[self.index]
            for side in SIDES:
                self.breakouts[side].flush()
                if not self.closed:
                    self.breakouts[side].close(*self._close(), session.close_ns)
            self._store(clock_ns)
            ended = {
                "mtd": self.calendar.month_base(self.index) != self.calendar.month_base(index),
                "ytd": self.calendar.year_base(self.index) != self.calendar.year_base(index),
            }
            for measure in self.measures:
                measure.entered = {"up": 0, "down": 0}
                if measure.family in SESSION_MEASURES or ended.get(measure.family):
                    measure.expire(self.calendar.sessions[index].open_ns)
        self.index, self.entered_ns = index, time_ns
        self._begin()

    def _store(self, clock_ns: int) -> None:
        assert self.index is not None
        session = self.calendar.sessions[self.index]
        triggered = {side for side in SIDES if self.breakouts[side].signal is not None}
        known = self.history.bars.get(session.date)
        if known is not None:
            known.triggered |= triggered
        elif self.prices:
            # Without a trade that may set the last price, the last print of the session is its close (section 1.3, n2).
            close = self.prices[-1] if self.last is None else self.last
            bar = Bar(session.date, True, False, max(self.prices), min(self.prices), close, triggered)
            self.history.store(bar)
        elif self.entered_ns < session.close_ns <= clock_ns:
            # Open and closed under our eyes without a trade: known to have had none.
            self.history.store(Bar(session.date, False, False))
