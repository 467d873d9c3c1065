"""The engine of one partition: its state, and the fold of its log into signals."""

from __future__ import annotations

from dataclasses import dataclass, replace
from typing import Final

import numpy as np

from streams.core.eligibility import set_extended_hours
from streams.core.instruments import Instruments
from streams.core.layout import (
    DETAIL,
    FAMILY_HIGH,
    FAMILY_LOW,
    FAMILY_NAMES,
    KIND_SKIP,
    WINDOW_NAMES,
)
from streams.core.rows import BREAKOUT_ACTIVE, COUNTERS, EMITTED_MAX, UNBORN
from streams.core.rules import Rules
from streams.core.scope import Scope
from streams.core.sessions import Markets
from streams.core.snapshot import EngineState, begun_extended

OUTPUTS_DEFAULT: Final = 4096
# What signals of both scopes are behind; the other totals would count every record twice.
_OF_BOTH_SCOPES: Final = (
    "splits_suspected",
    "splits_released",
    "splits_discarded",
    "withheld_lost",
    "prints_held",
    "prints_believed",
    "prints_rejected",
)
TOTALS: Final = (*COUNTERS, "ticks_extended")
_NO_DETAILS: Final = np.zeros(0, DETAIL)


@dataclass(frozen=True, slots=True)
class Folded:
    """What a fold said.

    Attributes:
        signals: `OUT`, transitions in order; `record` is the index of the record that caused one.
        rejects: `REJECT`, records that the state refused, in order.
    """

    signals: np.ndarray
    rejects: np.ndarray


class Engine:
    """State of one partition and its fold. No clock, no randomness, no input or output: equal logs give equal signals.

    Args:
        markets: Calendars of the markets whose instruments may appear.
        rules: Options in force.
        outputs_max: Size of the buffer between the compiled step and Python; it changes no output.

    Raises:
        ValueError: `outputs_max` is below what one record may emit.
    """

    def __init__(self, markets: Markets, rules: Rules, *, outputs_max: int = OUTPUTS_DEFAULT) -> None:
        if outputs_max < EMITTED_MAX:
            raise ValueError(
                f"outputs_max: expected at least {EMITTED_MAX}, what one record may emit; found {outputs_max}"
            )
        if markets.lookback != rules.lookback:
            raise ValueError(
                f"markets: expected calendars prepared for look-back {rules.lookback!r}, found {markets.lookback!r}"
            )
        self.markets = markets
        self.rules = rules
        self.instruments = Instruments(markets.mics)
        sessions = markets.with_windows(rules.lookbacks)
        self._regular = Scope(markets, self.instruments, rules.array(), sessions, outputs_max)
        self._extended: Scope | None = None
        self._has_hours = markets.have_extended_hours()
        if rules.extended:
            wide = rules.of_extended_scope().array()
            wide["extended"] = 1
            self._extended = Scope(markets, self.instruments, wide, markets.with_extended_hours(), outputs_max)

    @property
    def clock_ns(self) -> int:
        """Time of the newest clock record, 0 before the first."""
        return int(self._regular.partition[0]["clock_ns"])

    def fold(
        self, records: np.ndarray, bars: np.ndarray, buffer: np.ndarray, details: np.ndarray = _NO_DETAILS
    ) -> Folded:
        """Fold a batch of records, of any size, in log order.

        Of one record the signals of regular hours come first, then those of extended hours.

        Args:
            records: `RECORD`; rows are those of `instruments`.
            bars: `BAR`, which bar records refer to by `extra`.
            buffer: uint8, which trade ids refer to; at least eight bytes where there are any.
            details: `DETAIL`, which corrections, actions and the like refer to by `extra`.
        """
        signals, rejects = self._regular.fold(records, bars, buffer, details)
        if self._extended is not None:
            # What the state refuses it refuses in both scopes, and says so once.
            wide, _ = self._extended.fold(self._in_extended_hours(records), bars, buffer, _with_eligible(details))
            signals = np.concatenate((signals, wide))
            signals = signals[np.argsort(signals["record"], kind="stable")]
        return Folded(signals, rejects)

    def counters(self) -> dict[str, int]:
        """Return running totals of what the log held, by name."""
        found = {name: int(self._regular.partition[0][name]) for name in COUNTERS}
        found["ticks_extended"] = 0
        if self._extended is not None:
            wide = self._extended.partition[0]
            found["ticks_extended"] = int(wide["ticks"] - wide["ticks_out_of_session"])
            for name in _OF_BOTH_SCOPES:
                found[name] += int(wide[name])
        return found

    def windows(self) -> dict[str, int]:
        """Return the number of instruments by the coverage of their window, as of each one's latest session."""
        regular = self._regular
        born = regular.hot["date"][: regular.rows] != UNBORN
        counts = np.bincount(regular.warm["window_status"][: regular.rows, 0][born], minlength=len(WINDOW_NAMES))
        return {name: int(counts[index]) for index, name in enumerate(WINDOW_NAMES)}

    def open_breakouts(self) -> dict[str, int]:
        """Return the number of breakouts that have neither failed nor had their verdict, by family."""
        found = dict.fromkeys((FAMILY_HIGH, FAMILY_LOW), 0)
        for scope in (self._regular, self._extended):
            if scope is not None:
                state = scope.warm[: scope.rows]
                active = (state["state"] == BREAKOUT_ACTIVE) & (state["closed"] == 0)[:, None]
                for family in found:
                    found[family] += int(active[:, family].sum())
        return {FAMILY_NAMES[family]: count for family, count in found.items()}

    def export(self) -> EngineState:
        """Return all that the engine knows, for a snapshot: views of its arrays, to be read before it goes on."""
        state = self._regular.export()
        return state if self._extended is None else replace(state, extended=self._extended.export())

    def restore(self, state: EngineState) -> None:
        """Take over a state, and go on as the engine that exported it would have. The arrays are this engine's then.

        What the calendar decides is derived from this engine's calendar; the rest of a session that has begun stays.
        Extended hours that the state does not have begin with the bars that it has.

        Raises:
            UnknownMarket: An instrument's market is not among this engine's; the engine is not to be used.
            ValueError: This engine has read something already.
        """
        if len(self.instruments) or self._regular.partition[0]["clocks"]:
            raise ValueError(f"expected a new engine, found one with {len(self.instruments)} instruments; make another")
        for name in state.ids.tolist():
            self.instruments.row(name.decode("ascii"))
        if self._extended is not None:
            self._extended.restore(begun_extended(state) if state.extended is None else state.extended)
        self._regular.restore(state)

    # A batch as the extended scope reads it: other conditions, and no instrument of a market without such hours.
    def _in_extended_hours(self, records: np.ndarray) -> np.ndarray:
        found = _with_eligible(records)
        if not self._has_hours.all():
            of_row = np.append(self._has_hours[self.instruments.market], True)
            found["kind"][~of_row[records["row"]]] = KIND_SKIP
        return found


# Copied as words: structured arrays are copied field by field, which takes ten times as long.
def _with_eligible(records: np.ndarray) -> np.ndarray:
    found = np.ascontiguousarray(records).view(np.int64).copy().view(records.dtype)
    set_extended_hours(found["eligible"])
    return found
