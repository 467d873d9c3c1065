"""The log of one partition, record by record: whether one may be taken, and in which order the rows answer."""

from __future__ import annotations

from collections import Counter
from collections.abc import Iterable, Mapping, Sequence
from fractions import Fraction
from typing import Any

from tests.oracle.calendar import Calendar, Session, parse_time
from tests.oracle.context import Book, Document, bases
from tests.oracle.records import BarRecord, Clock, Tick, parse
from tests.oracle.row import Row
from tests.oracle.rules import Rules


class Oracle:
    """A fold of one log.

    Args:
        sessions: The trading sessions of each market, by its identifier code.
        rules: Options.
        rules_version: What signals name as their rules.
        calendar_version: What signals name as their calendar.
    """

    def __init__(
        self,
        sessions: Mapping[str, Sequence[Session]],
        rules: Rules | None = None,
        *,
        rules_version: str = "",
        calendar_version: str = "",
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
        self._records = 0

    def records(self, documents: Iterable[Mapping[str, Any]]) -> list[Document]:
        """Fold records as on the wire, each with the broker's `append_time` where it matters; return their signals."""
        before = len(self.documents)
        for document in documents:
            reason = self._fold(document)
            if reason is not None:
                self.refused.append((self._records, reason))
            self._records += 1
        return self.documents[before:]

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
        breakouts = [level.price for level in window.levels.values()]
        for breakout in row.breakouts.values():
            level = breakout.signal.level.price if breakout.signal else None
            breakouts += [price for price in (breakout.extreme, breakout.failure_price(), level) if price is not None]
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
        stamp = document.get("append_time")
        append_ns = None if stamp is None else parse_time(stamp)
        if isinstance(record, Clock):
            return self._clock(record, append_ns)
        reference_ns = self.clock_ns if self.mode == "replay" else append_ns
        if isinstance(record, BarRecord):
            return self._bar(record, reference_ns)
        return self._tick(record, reference_ns)

    def _clock(self, clock: Clock, append_ns: int | None) -> str | None:
        # A partition that has seen one mode refuses the other (architecture 3); replay clocks are never in the future.
        if self.mode not in (None, clock.mode):
            return "clock_mode"
        if clock.mode == "live" and self._future(clock.time_ns, append_ns):
            return "future_time"
        self.counts["clocks"] += 1
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
        if reference_ns is not None and calendar.sessions[index].close_ns > reference_ns:
            return "session_not_closed"
        kept = self._row(bar.instrument).bar(bar)
        self.counts["bars" if kept else "bars_too_old"] += 1
        return None

    def _tick(self, tick: Tick, reference_ns: int | None) -> str | None:
        if self._future(tick.time_ns, reference_ns):
            return "future_time"
        self.counts["ticks"] += 1
        counted = self._row(tick.instrument).tick(tick, self.clock_ns)
        if counted is not None:
            self.counts[counted] += 1
        return None

    def _future(self, time_ns: int, reference_ns: int | None) -> bool:
        return reference_ns is not None and time_ns > reference_ns + self.rules.skew_ns

    def _row(self, instrument: str) -> Row:
        # An instrument is known from the first record that is not refused.
        if instrument not in self.rows:
            calendar = self.calendars[instrument.partition(":")[0]]
            book = Book(instrument, calendar, self.rules, self.provenance, self.documents.append)
            self.rows[instrument] = Row(book)
        return self.rows[instrument]
