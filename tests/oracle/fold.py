"""The log of one partition, record by record: whether one may be taken, and in which order the rows answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from tests.oracle.calendar import Calendar, Session, parse_time
from tests.oracle.context import Book, Document, bases
from tests.oracle.extended import ExtendedRow, extended_rules, extended_sessions
from tests.oracle.history import Level
from tests.oracle.records import (
    Accept,
    Action,
    BarRecord,
    Cancel,
    Clock,
    InstrumentRecord,
    Record,
    SessionRecord,
    Status,
    Tick,
    parse,
)
from tests.oracle.row import Row
from tests.oracle.rules import Rules


class Oracle:
    """A fold of one log.

    Args:
        sessions: The trading sessions of each market, by its identifier code.
        rules: Options.
        rules_version: What signals name as their rules.
        calendar_version: What signals name as their calendar.
        bells: The regular sessions, where those of this fold are the extended ones.
    """

    def __init__(
        self,
        sessions: Mapping[str, Sequence[Session]],
        rules: Rules | None = None,
        *,
        rules_version: str = "",
        calendar_version: str = "",
        bells: Mapping[str, Calendar] | None = None,
    ) -> None:
        self.rules = rules or Rules()
        self.calendars = {mic: Calendar(listed) for mic, listed in sessions.items()}
        self.provenance = {"rules": rules_version, "calendar": calendar_version}
        self.rows: dict[str, Row] = {}
        self.documents: list[Document] = []
        self.refused: list[tuple[int, str]] = []
        self.counts: Counter[str] = Counter()
        self.clock_ns = 0
        self.mode: str | None = None
        self.bells = bells or self.calendars
        self.scope = "regular" if bells is None else "extended"
        self.extended: Oracle | None = None
        if self.rules.extended:
            versions = {"rules_version": rules_version, "calendar_version": calendar_version}
            wide = extended_sessions(sessions)
            self.extended = Oracle(wide, extended_rules(self.rules), **versions, bells=self.calendars)
        self._records = 0

    def records(self, documents: Iterable[Mapping[str, Any]]) -> list[Document]:
        """Fold records as on the wire, each with the broker's `append_time` where it matters; return their signals."""
        before = len(self.documents)
        for document in documents:
            reason = self._fold(document)
            if reason is not None:
                self.refused.append((self._records, reason))
            self._records += 1
            if self.extended is not None:
                self.documents += self.extended.records([document])
        return self.documents[before:]

    def totals(self) -> Counter[str]:
        """Return what was counted: records once, signals of splits and held prints in both scopes."""
        found = Counter(self.counts)
        if self.extended is not None:
            wide = self.extended.counts
            found["ticks_extended"] = wide["ticks"] - wide["ticks_out_of_session"]
            for name, count in wide.items():
                if name.startswith(("splits_", "withheld_", "prints_")):
                    found[name] += count
        return found

    def prices(self, instrument: str, time_ns: int) -> tuple[list[Fraction], list[Fraction]]:
        """Return the prices at which breakouts and measures of an instrument move: for tests that aim at them."""
        row = self.rows.get(instrument)
        if row is None or (index := row.calendar.latest(time_ns)) is None:
            return [], []
        if row.index == index and row.context is not None:
            window, known = row.context.window, row.context.bases
        else:
            window = row.history.window(index)
            known = bases(row.history, row.calendar, index, window)
        levels: list[Level] = list(window.levels.values())
        for breakout in row.breakouts:
            levels += [level for level in (breakout.level(),) if level is not None]
        breakouts = [level.price for level in levels]
        for breakout in row.breakouts:
            level = breakout.live.level.price if breakout.live else None
            extreme = breakout.extreme if row.index == index else None
            breakouts += [price for price in (extreme, breakout.failure_price(), level) if price is not None]
        measures = [
            base.price * ratio
            for measure in row.measures
            for side in measure.sides()
            for ratio in measure.ratios(side)
            if ratio is not None and (base := known[measure.family]) is not None
        ]
        return breakouts, measures

    def _fold(self, document: Mapping[str, Any]) -> str | None:
        record = parse(document)
        if not isinstance(record, Clock) and self._market_of(record) not in self.calendars:
            return None  # a market without extended hours has no such scope
        stamp = document.get("append_time")
        append_ns = None if stamp is None else parse_time(stamp)
        if isinstance(record, Clock):
            return self._clock(record, append_ns)
        reference_ns = self.clock_ns if self.mode == "replay" else append_ns
        if isinstance(record, BarRecord):
            return self._bar(record, reference_ns)
        if isinstance(record, Tick):
            return self._tick(record, reference_ns)
        return self._rare(record, reference_ns)

    def _rare(
        self,
        record: Cancel | Status | Action | Accept | InstrumentRecord | SessionRecord,
        reference_ns: int | None,
    ) -> str | None:
        counted = None
        if isinstance(record, Cancel):
            times = [tick.time_ns for tick in (record.tick, record.corrected) if tick is not None]
            if any(self._future(time_ns, reference_ns) for time_ns in times):
                return "future_time"
            counted = self._row(record.tick.instrument).cancel(record)
            self.counts["cancels"] += counted is None
            self.counts["corrections"] += counted is None and record.corrected is not None
        elif isinstance(record, Status):
            if self._future(record.time_ns, reference_ns):
                return "future_time"
            self.counts["statuses"] += 1
            self._row(record.instrument).status(record.status)
        elif isinstance(record, Action):
            counted = self._row(record.instrument).action(record)
            if counted == "too_many_actions":
                return counted
            self.counts["actions"] += counted is None
        elif isinstance(record, Accept):
            self.counts["accepts"] += 1
            self._row(record.instrument).accept(record.date)
        elif isinstance(record, InstrumentRecord):
            self.counts["instruments"] += 1
            self._row(record.instrument).instrument(record)
        else:
            return self._session(record)
        if counted is not None:
            self.counts[counted] += 1
        return None

    def _session(self, record: SessionRecord) -> str | None:
        # A session of a whole market: every instrument of it, in the order of ids.
        calendar = self.calendars[record.mic]
        index = calendar.on(record.date)
        if index is None:
            return "not_a_session"
        self.counts["session_changes"] += 1
        rows = [self.rows[instrument] for instrument in sorted(self.rows) if instrument.startswith(f"{record.mic}:")]
        if record.status == "cancelled":
            calendar.cancelled.add(record.date)
            for row in rows:
                row.cancel_session(record.date)
        elif self.scope == "extended":
            # Regular hours know whether the record holds; where it does, nothing follows the bell.
            bells = self.bells[record.mic]
            if index in bells.shortened:
                calendar.shorten(index, bells.sessions[index].close_ns)
        elif record.close_ns is not None:
            calendar.shorten(index, record.close_ns)
        return None

    def _clock(self, clock: Clock, append_ns: int | None) -> str | None:
        # A partition that has seen one mode refuses the other (architecture 3); replay clocks are never in the future.
        if self.mode not in (None, clock.mode):
            return "clock_mode"
        if clock.mode == "live" and self._future(clock.time_ns, append_ns):
            return "future_time"
        self.counts["clocks"] += 1
        self.counts["clocks_backward"] += clock.time_ns < self.clock_ns
        self.mode = clock.mode
        if clock.time_ns >= self.clock_ns:
            self.clock_ns = clock.time_ns
            # Fixed-width ASCII ids sort as their bytes do.
            for instrument in sorted(self.rows):
                self.rows[instrument].clock(clock.time_ns)
        return None

    def _bar(self, bar: BarRecord, reference_ns: int | None) -> str | None:
        calendar = self.calendars[bar.instrument.partition(":")[0]]
        index = calendar.on(bar.date)
        if index is None:
            return "not_a_session"
        session = self.bells[bar.instrument[:4]].sessions[index]
        # A session that the exchange cancelled is over.
        close_ns = session.open_ns if bar.date in calendar.cancelled else session.close_ns
        if reference_ns is not None and close_ns > reference_ns:
            return "session_not_closed"
        self.counts[self._row(bar.instrument).bar(bar)] += 1
        return None

    def _tick(self, tick: Tick, reference_ns: int | None) -> str | None:
        if self._future(tick.time_ns, reference_ns):
            return "future_time"
        self.counts["ticks"] += 1
        counted = self._row(tick.instrument).tick(tick, self.clock_ns)
        if counted is not None:
            self.counts[counted] += 1
        return None

    def _market_of(self, record: Record) -> str:
        if isinstance(record, SessionRecord):
            return record.mic
        assert not isinstance(record, Clock)
        return (record.tick if isinstance(record, Cancel) else record).instrument[:4]

    def _future(self, time_ns: int, reference_ns: int | None) -> bool:
        return reference_ns is not None and time_ns > reference_ns + self.rules.skew_ns

    def _row(self, instrument: str) -> Row:
        # An instrument is known from the first record that is not refused.
        if instrument not in self.rows:
            calendar = self.calendars[instrument.partition(":")[0]]
            book = Book(
                instrument, calendar, self.rules, self.provenance, self.documents.append, self.counts, self.scope
            )
            self.rows[instrument] = Row(book) if self.scope == "regular" else ExtendedRow(book)
        return self.rows[instrument]
