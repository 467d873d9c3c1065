"""One instrument: its current session, its bars, its breakout machines and the measures."""

from __future__ import annotations

from copy import deepcopy
from dataclasses import replace
from datetime import date
from fractions import Fraction

from tests.oracle.band import Band
from tests.oracle.breakout import Breakout, Close
from tests.oracle.calendar import SECOND_NS, Session
from tests.oracle.closes import CloseBreakout
from tests.oracle.context import Book, Context, derive
from tests.oracle.day import Day, Trade
from tests.oracle.guard import Quarantine, quarantine
from tests.oracle.history import Bar, History
from tests.oracle.measure import SESSION_MEASURES, Measure
from tests.oracle.memory import Memory
from tests.oracle.records import Action, BarRecord, Cancel, InstrumentRecord, Tick
from tests.oracle.rules import MEASURES, SIDES, Side, breakouts

# End of last-sale eligibility: ten seconds past the bell (section 1.3, n2').
LAST_SALE_NS = 10 * SECOND_NS
HALTS = ("halted", "paused_luld")


class Row:
    """The state of one instrument."""

    def __init__(self, book: Book) -> None:
        self.book = book
        self.calendar = book.calendar
        self.history = History(book.calendar, book.rules)
        self.measures = [Measure(book, family) for family in MEASURES]
        self.memory = Memory()
        self.index: int | None = None
        self.entered_in_time = False
        # The bell of a session whose verdict was given: an early close that is told later changes it no more.
        self.bell_ns = 0
        self.order = 0
        self.halted = False
        self.quarantine: Quarantine | None = None
        self.day = Day()
        self.band = Band(book)
        self.breakouts: list[Breakout] = []
        self.closes: list[CloseBreakout] = []
        self.context: Context | None = None
        self.closed = False
        self.before: tuple[int, Day] | None = None
        self._begin()

    def bar(self, record: BarRecord) -> str:
        """Take a bar of a closed session, or leave one too old (section 1.9); return what it was counted as."""
        kept = self.history.apply(Bar(record.date, record.traded, True, record.high, record.low, record.close))
        if self.quarantine is not None and record.split is False and record.date >= self.quarantine.day:
            self._release()
        if self.index is not None and record.date < self._session().date:
            self._restate()
        self._correct_close()
        return "bars" if kept else "bars_too_old"

    def action(self, action: Action) -> str | None:
        """Take an action, or take one back; return what it was counted as beside an action."""
        refused = self.history.take(action)
        if refused is not None:
            return refused
        self._take_symbol()
        held = self.quarantine
        if held is not None and self.index is not None and held.explained_by(action, self._session().date):
            self._discard()
        else:
            self._restate()
        return None

    def accept(self, day: date) -> None:
        """Take an operator's word that a session's gap is real."""
        if self.quarantine is not None and self.quarantine.day == day:
            self._release()

    def instrument(self, record: InstrumentRecord) -> None:
        """Take what is said of the instrument; what is not said stays."""
        self.book.tick_size = record.tick_size or self.book.tick_size
        if record.listing_date is not None:
            since = min(record.listing_date, self.history.listed or record.listing_date)
            self.history.listed = record.listing_date
            self.history.judge_again(since)
            self._restate()

    def status(self, status: str) -> None:
        """Note a halt or its end: it annotates and never blocks (section 1.7)."""
        self.book.halt = status if status in (*HALTS, "limit_state") else "none"
        self.halted = self.halted or status in HALTS

    def tick(self, tick: Tick, clock_ns: int) -> str | None:
        """Take one trade; return what it was counted as, when it was not simply a trade."""
        index = self._session_of(tick)
        if index is None:
            return "ticks_out_of_session"
        if (self.index is not None and index < self.index) or clock_ns >= self._deadline(index):
            return self._late(tick, index)
        if self.index is None or index > self.index:
            self._roll(index, tick.time_ns, clock_ns)
        if self.memory.has(tick, self._session().date) or self.day.knows(tick):
            return "ticks_duplicate"
        self.memory.add(tick, self._session().date)
        if tick.volume:
            self.day.volume += tick.size
        self._state_close(tick)
        if not tick.high_low:
            return "ticks_ineligible"
        if tick.time_ns >= self._deadline(index):
            # A corrected close after the grace, before the verdict: it is no trade of the session any more.
            self.day.widen(tick)
            return None
        self._believe_or_hold(tick)
        return None

    def cancel(self, cancel: Cancel) -> str | None:
        """Take a trade back, and take the trade that it should have been; return what it was counted as otherwise."""
        tick, index = cancel.tick, self._session_of(cancel.tick)
        if index is None:
            return "ticks_out_of_session"
        if self.index is None or index > self.index:
            return "cancels_unknown"
        if index < self.index:
            return self._cancel_of_the_past(cancel, index)
        day = self._session().date
        if self.memory.has(tick, day, "cancel"):
            return "cancels_duplicate"
        if self.band.drop(tick, day):
            self.memory.add(tick, day, "cancel")
            self.day.reduce(tick)
            self._correct(cancel, None)
            return None
        if self.day.denies(tick):
            return "cancels_unknown"
        self.memory.add(tick, day, "cancel")
        if self._states_close(tick) and self.day.stated is not None and self.day.stated[0] == tick.price:
            self.day.stated = None
        known = self.day.unsee(tick)
        for breakout in self.breakouts if tick.high_low else ():
            breakout.cancel(tick)
        self._doubt(tick)
        self._correct(cancel, known)
        self._correct_close()
        return None

    def closing_price(self) -> Fraction | None:
        """Return the close of the session as it is known now."""
        return self._close()[0]

    def cancel_session(self, day: date) -> None:
        """Forget a session: the exchange says that none of its trades counts."""
        if self.index is None or self._session().date != day:
            return
        self.band.reject(day)
        for breakout in self.breakouts:
            breakout.cancel_session()
        for each in self.closes:
            each.cancel_session()
        self.day = Day()
        self.breakouts = [Breakout(self.book, family, self.day) for family in breakouts(self.book.rules)]
        self.context, self.closed = None, True

    def clock(self, time_ns: int) -> None:
        """Let time pass: what is due of this session, then the next session if it has opened (kernel, "Outputs")."""
        if self.index is not None:
            if not self.closed and time_ns >= self._deadline(self.index):
                self._verdict()
            for breakout in self.breakouts:
                breakout.flush(time_ns)
        latest = self.calendar.latest(time_ns)
        if latest is not None and (self.index is None or latest > self.index):
            self._roll(latest, time_ns, time_ns)

    def _begin(self) -> None:
        # What belongs to one session only.
        self.day = Day()
        self.band = Band(self.book)
        self.breakouts = [Breakout(self.book, family, self.day) for family in breakouts(self.book.rules)]
        self.closes = [CloseBreakout(self.book, side) for side in SIDES]
        self.context = None
        # A session that was cancelled before it opened is over as well.
        self.closed = self.index is not None and self._session().date in self.calendar.cancelled

    def _index(self) -> int:
        assert self.index is not None
        return self.index

    def _session(self) -> Session:
        return self.calendar.sessions[self._index()]

    def _deadline(self, index: int) -> int:
        return self.calendar.sessions[index].close_ns + self.book.rules.grace_ns

    def _session_of(self, tick: Tick) -> int | None:
        # A regular trade, or one that says by its conditions that it belongs to the session after the bell
        # (architecture 3: the closing auction prints then); a report of a close belongs to it until the next open.
        index = self.calendar.latest(tick.time_ns)
        if index is None or self.calendar.sessions[index].date in self.calendar.cancelled:
            return None
        session = self.calendar.sessions[index]
        if session.trading(tick.time_ns) or tick.has("M") or tick.has("9"):
            return index
        after_the_bell = session.close_ns <= tick.time_ns < self._deadline(index)
        return index if tick.by_condition and tick.high_low and after_the_bell else None

    def _states_close(self, tick: Tick) -> bool:
        return tick.has("9") or (tick.has("M") and (tick.venue is None or tick.of_listing_market))

    def _state_close(self, tick: Tick) -> None:
        if self._states_close(tick):
            self.day.stated = (tick.price, "corrected" if tick.has("9") else "official")

    def _believe_or_hold(self, tick: Tick) -> None:
        # What it is to a trigger is decided when it comes, not when it is believed.
        day, kind = self._session().date, self._kind(tick)
        side = self.band.side_of(tick, kind, self.day)
        if side is not None and not self.band.confirmed(tick, side):
            self.band.hold(tick, kind, side, day)
            return
        self._ask_again(tick.price)
        self._believe(tick, side)
        self._trade(tick, kind)

    def _believe(self, tick: Tick, side: Side | None) -> None:
        for held in self.band.waiting(side, tick.price):
            self.band.believe(held, self._session().date)
            self._trade(held.tick, held.kind)

    def _trade(self, tick: Tick, kind: str) -> None:
        if not self.day.traded:
            self._derive(tick)
        trade = self._as_trade(tick, kind)
        for breakout in self.breakouts:
            breakout.trade(trade)
        first_last = trade.last and not self.day.lasts
        self.day.see(trade)
        self.halted = self.halted and not trade.last
        for measure in self.measures if trade.last else ():
            measure.trade(tick, self._session().date, first=first_last)

    def _as_trade(self, tick: Tick, kind: str) -> Trade:
        self.order += 1
        last = self.day.may_be_last(tick, self._bell() + LAST_SALE_NS)
        return Trade(tick, self.order, kind, last)

    def _kind(self, tick: Tick) -> str:
        if tick.late:
            return "late_or_derived"
        if self.halted or tick.has("5"):
            return "reopen_gap"
        return "opening" if tick.has("O") else "continuous"

    def _derive(self, tick: Tick) -> None:
        self.context = derive(self.history, self.calendar, self._index())
        if self.quarantine is None:
            self.quarantine = quarantine(self.book, self.history, self._index(), tick, self.measures)
            if self.quarantine is not None:
                self.quarantine.say("suspect")
                self.book.withheld = []
        for measure in self.measures:
            measure.derive(self.context.bases[measure.family], self._session().open_ns)
        for breakout in self.breakouts:
            breakout.derive(self.context)

    def _correct(self, cancel: Cancel, known: Trade | None) -> None:
        # The trade that it should have been takes the original's place; measures are not run again.
        tick = cancel.corrected
        index = None if tick is None else self._session_of(tick)
        if tick is None or index is None or index > self._index():
            return
        day = self.calendar.sessions[index].date
        if index == self._index() and not self.memory.has(tick, day):
            self.memory.add(tick, day)
        if index < self._index():
            self._amend_the_past(tick, index)
            return
        if tick.volume:
            self.day.volume += tick.size
        if not tick.high_low:
            return
        trade, side = self._as_trade(tick, self._kind(tick)), None
        trade = replace(trade, last=trade.last and known is not None)
        if self.closed or not self.day.traded:
            self.day.widen(tick)
        else:
            self._ask_again(tick.price)
            side = self.band.side_of(tick, trade.kind, self.day)
            if side is not None and not self.band.confirmed(tick, side):
                self.band.hold(tick, trade.kind, side, day)
                return
            for breakout in self.breakouts:
                breakout.trade(trade)
            self.day.take(trade)
        if known is not None and trade.last:
            self.day.put_back(replace(trade, order=known.order))
        self._believe(tick, side)

    def _doubt(self, tick: Tick) -> None:
        # The print that looked like a split never was: what else was traded, or the next trade, says what it is.
        if self.quarantine is not None and self.quarantine.doubt(tick):
            self._ask_again(self.day.last or self.day.extreme("up"))

    def _ask_again(self, price: Fraction | None) -> None:
        if price is not None and self.quarantine is not None and self.quarantine.ends_with(price):
            self._release()

    def _release(self) -> None:
        assert self.quarantine is not None
        self.quarantine.say("released")
        self.quarantine = None
        self.book.release()

    def _discard(self) -> None:
        # It was a split: what the machines saw was in the wrong units.
        assert self.quarantine is not None
        self.quarantine.say("discarded")
        for measure in self.measures:
            measure.base, entries, measure.evaluated, entered = self.quarantine.kept[measure.family]
            measure.entries, measure.entered = deepcopy(entries), dict(entered)
        for day, bar in self.history.bars.items():
            if day >= self.quarantine.day:
                bar.triggered.clear()
        self.quarantine, self.book.withheld, self.book.lost = None, None, 0
        self.breakouts = [Breakout(self.book, family, self.day) for family in breakouts(self.book.rules)]
        if self.context is None:
            return
        self.context = derive(self.history, self.calendar, self._index())
        for measure in self.measures:
            measure.derive(self.context.bases[measure.family], self._session().open_ns)
        for breakout in self.breakouts:
            breakout.derive(self.context)

    def _restate(self) -> None:
        # Bars or actions came during a session: levels are derived again (kernel, "Rolls, bars, actions").
        if self.context is None:
            return
        if self.closed:
            self.book.counts["restated_after_verdict"] += self._has_signals()
            return
        self.context = derive(self.history, self.calendar, self._index())
        for breakout in self.breakouts:
            breakout.restate(self.context)
        for measure in self.measures:
            measure.restate(self.context.bases[measure.family], self._session().open_ns)

    def _has_signals(self) -> bool:
        # Whether anything was told of this session's breakouts that another past might have changed.
        told = {breakout.family.name for breakout in self.breakouts if breakout.ordinal}
        told |= {each.family.name for each in self.closes if each.ordinal}
        return bool(told & set(self.book.rules.families))

    def _correct_close(self) -> None:
        if self.closed:
            for breakout in self.breakouts:
                breakout.correct_close(self._close(), self._bell())
            for each in self.closes:
                each.correct_close(self._close(), self._bell())

    def _late(self, tick: Tick, index: int) -> str:
        # A trade that comes after its session's verdict widens the session's bar, until the next session's verdict.
        if self.index is None or index > self.index:
            return "ticks_late"
        repeated = self.memory.has(tick, self.calendar.sessions[index].date)
        if index == self.index:
            if repeated or self.day.knows(tick):
                return "ticks_duplicate"
            self.memory.add(tick, self._session().date)
            self._state_close(tick)
            self.day.amend(tick)
            self._correct_close()
            return "ticks_late_amended"
        bar = self.history.bars.get(self.calendar.sessions[index].date)
        kept = self.before is not None and self.before[0] == index == self.index - 1
        if self.before is None or not kept or self.closed or bar is None or not self._may_amend(bar):
            return "ticks_late"
        if repeated:
            return "ticks_duplicate"
        self.memory.add(tick, self.calendar.sessions[index].date)
        self.before[1].amend(tick)
        self._renew(bar, self.before[1])
        self._restate()
        return "ticks_late_amended"

    def _amend_the_past(self, tick: Tick, index: int) -> None:
        bar, day = self.history.bars.get(self.calendar.sessions[index].date), self.calendar.sessions[index].date
        if self.before is None or self.before[0] != index or self.closed or bar is None or not self._may_amend(bar):
            self.book.counts["ticks_late"] += 1
            return
        if not self.memory.has(tick, day):
            self.memory.add(tick, day)
        self.before[1].amend(tick)
        self._renew(bar, self.before[1])
        self._restate()

    def _cancel_of_the_past(self, cancel: Cancel, index: int) -> str | None:
        tick, corrected = cancel.tick, cancel.corrected
        bar = self.history.bars.get(self.calendar.sessions[index].date)
        kept = self.before is not None and self.before[0] == index == self._index() - 1
        if kept and not self.closed and bar is not None and self._may_amend(bar):
            assert self.before is not None
            day = self.before[1]
            if self.memory.has(tick, self.calendar.sessions[index].date, "cancel"):
                return "cancels_duplicate"
            if day.denies(tick):
                return "cancels_unknown"
            self.memory.add(tick, self.calendar.sessions[index].date, "cancel")
            day.unsee(tick)
            self._renew(bar, day)
            # What hangs on the bar is looked at once: after a correction has put another trade in its place.
            if corrected is None or self._session_of(corrected) != index:
                self._restate()
            self._correct(cancel, None)
            return None
        if bar is not None and tick.high_low:
            bar.doubt(tick.price, self._extremes_of(bar))
        return "cancels_late"

    def _may_amend(self, bar: Bar) -> bool:
        # Nobody knows the trades of a bar that came as a record.
        return not bar.official

    def _renew(self, bar: Bar, day: Day) -> None:
        # Let a bar follow what is known of the trades of its session now.
        day.renew(bar)

    def _extremes_of(self, bar: Bar) -> tuple[Fraction, Fraction] | None:
        # Of a bar of our own trades, which a cancel may cast doubt on.
        return None if bar.official or not bar.traded else (bar.high, bar.low)

    def _close(self) -> Close:
        # The official close if it is known by then, else the last trade that may set one (section 1.5).
        official = self.history.bars.get(self._session().date)
        if official is not None and official.official and official.traded:
            return official.close, "official"
        if self.day.stated is not None:
            return self.day.stated
        return (None, None) if self.day.last is None else (self.day.last, "consolidated")

    def _verdict(self) -> None:
        self.band.reject(self._session().date)
        for breakout in self.breakouts:
            breakout.close(self._close(), self._session().close_ns)
        for each in self.closes:
            each.close(self._close(), self._session().close_ns, self.context, self.history)
        self.closed, self.bell_ns = True, self._session().close_ns

    def _bell(self) -> int:
        if self._session().date in self.calendar.cancelled:
            return self._session().open_ns
        return self.bell_ns if self.closed else self._session().close_ns

    def _roll(self, index: int, time_ns: int, clock_ns: int) -> None:
        # Yesterday first: what was held, the verdict, the bar, what expires (kernel, "Rolls, bars, actions").
        if self.index is not None:
            if not self.closed:
                self._verdict()
            self._store(clock_ns)
            ended = {
                "mtd": self.calendar.month_base(self.index) != self.calendar.month_base(index),
                "ytd": self.calendar.year_base(self.index) != self.calendar.year_base(index),
            }
            for measure in self.measures:
                measure.entered = {"up": 0, "down": 0}
                if measure.family in SESSION_MEASURES or ended.get(measure.family):
                    measure.expire(self.calendar.sessions[index].open_ns)
            self.day.forget_ids()
            self.before = (self.index, self.day)
        self.index = index
        self.entered_in_time = time_ns < self._session().close_ns
        self._take_symbol()
        self._begin()

    def _take_symbol(self) -> None:
        # Of several changes the latest that is in effect; of equal dates the latest word.
        if self.index is None:
            return
        changes = [each for each in self.history.actions.values() if each.symbol is not None]
        due = [each for each in changes if each.ex_date <= self._session().date]
        self.book.symbol = max(reversed(due), key=lambda each: each.ex_date).symbol if due else None

    def _store(self, clock_ns: int) -> None:
        session = self._session()
        triggered = {breakout.family.name for breakout in self.breakouts if breakout.marked}
        known = self.history.bars.get(session.date)
        high, low = (self.day.extreme(side) for side in SIDES)
        if known is not None:
            known.triggered |= triggered
        elif high is not None and low is not None:
            # Without a trade that may set the last price the latest of the others is the close; if it was cancelled,
            # the extreme next to it.
            other = min(max(self.day.extreme_only or high, low), high)
            close = self._close()[0] or other
            bar = Bar(session.date, True, False, high, low, close, triggered, unknown=self.day.unknown)
            self.history.store(bar)
        elif (self.entered_in_time or session.date in self.calendar.cancelled) and clock_ns >= self._bell():
            # Open and closed under our eyes without a trade: known to have had none.
            self.history.store(Bar(session.date, False, False))
