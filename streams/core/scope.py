"""The state of one scope of a partition, and the fold of its log into it: one call of the compiled step at a time.

Regular hours are a scope, extended hours another one. Both are folded by the same step; what differs are the sessions,
the rules and what a trade's conditions allow. Rows of both stand for the same instruments.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from streams.core.instruments import ID_WORDS, Instruments
from streams.core.layout import BAR, REJECT, RING_BARS
from streams.core.rows import (
    COLD,
    HOT,
    OUT,
    OVERRIDE,
    OVERRIDES_MAX,
    PARTITION,
    PRICE_NEVER,
    TAPE,
    TRADE,
    UNBORN,
    WARM,
    WITHHELD_TOTAL,
)
from streams.core.session_changes import change_session
from streams.core.sessions import Markets
from streams.core.snapshot import ID, EngineState, place
from streams.core.step import step

_ROWS_FIRST: Final = 16


class Scope:
    """All rows of one scope.

    Args:
        markets: The calendars.
        instruments: Whose rows they are.
        rules: One element of `RULES`.
        sessions: `SESSION`, the scope's own: the log may change them.
        outputs_max: Size of the buffer between the compiled step and Python.

    Attributes:
        partition: One element of `PARTITION`.
        hot: `HOT`; longer than there are rows.
        warm: `WARM`; longer than there are rows.
        rows: How many rows there are.
    """

    def __init__(
        self, markets: Markets, instruments: Instruments, rules: np.ndarray, sessions: np.ndarray, outputs_max: int
    ) -> None:
        self.partition = np.zeros(1, PARTITION)
        self.hot = np.zeros(_ROWS_FIRST, HOT)
        self.warm = np.zeros(_ROWS_FIRST, WARM)
        self.rows = 0
        self._rings = np.zeros((_ROWS_FIRST, RING_BARS), BAR)
        self._cold = np.zeros(_ROWS_FIRST, COLD)
        self._tape = np.zeros(_ROWS_FIRST, TAPE)
        self._markets = markets
        self._instruments = instruments
        self._rules = rules
        self._sessions = sessions
        self._mics = np.array([_number(mic) for mic in markets.mics], np.int64)
        self._withheld = np.zeros(WITHHELD_TOTAL, OUT)
        self._overrides = np.zeros(OVERRIDES_MAX, OVERRIDE)
        self._trades = np.zeros(2, TRADE)
        self._cursor = np.zeros(3, np.int64)
        self._outputs = np.zeros(outputs_max, OUT)
        self._rejects = np.zeros(outputs_max, REJECT)

    def fold(
        self, records: np.ndarray, bars: np.ndarray, buffer: np.ndarray, details: np.ndarray
    ) -> tuple[np.ndarray, np.ndarray]:
        """Fold a batch, and return its transitions (`OUT`) and the records that the state refused (`REJECT`)."""
        self.admit()
        signals: list[np.ndarray] = []
        rejects: list[np.ndarray] = []
        consumed = 0
        while consumed < len(records):
            consumed, emitted, refused = step(
                self.partition,
                self.hot,
                self.warm,
                self._cold,
                self._tape,
                self._rings,
                self._instruments.order,
                records,
                bars,
                details,
                buffer,
                consumed,
                self._markets.market,
                self._mics,
                self._sessions,
                self._rules,
                self._overrides,
                self._withheld,
                self._trades,
                self._cursor,
                self._outputs,
                self._rejects,
            )
            if emitted:
                signals.append(self._outputs[:emitted].copy())
            if refused:
                rejects.append(self._rejects[:refused].copy())
        return _joined(signals, OUT), _joined(rejects, REJECT)

    def admit(self) -> None:
        """Make rows for instruments that have come since."""
        rows = len(self._instruments)
        if rows == self.rows:
            return
        if rows > len(self.hot):
            capacity = max(rows, 2 * len(self.hot))
            self.hot = _grown(self.hot, capacity)
            self.warm = _grown(self.warm, capacity)
            self._rings = _grown(self._rings, capacity)
            self._cold = _grown(self._cold, capacity)
            self._tape = _grown(self._tape, capacity)
        fresh = self.hot[self.rows : rows]
        fresh["market"] = self._instruments.market[self.rows : rows]
        fresh["band_low"] = PRICE_NEVER
        fresh["date"] = UNBORN
        self.rows = rows

    def export(self) -> EngineState:
        """Return the state: views, to be read before the scope goes on."""
        self.admit()
        rows = self.rows
        return EngineState(
            self._instruments.keys[: rows * ID_WORDS].view(ID),
            self.partition,
            self.hot[:rows],
            self.warm[:rows],
            self._rings[:rows],
            self._cold[:rows],
            self._tape[:rows],
            self._withheld,
            self._overrides,
        )

    def restore(self, state: EngineState) -> None:
        """Take over a state whose instruments are those of this scope. The arrays are this scope's then."""
        place(state, self._markets, self._instruments.market)
        self.partition, self.hot, self.warm, self._rings = state.partition, state.hot, state.warm, state.rings
        self._cold, self._tape = state.cold, state.tape
        self._withheld, self._overrides = state.withheld, state.overrides
        self.rows = len(state)
        self._change_sessions()

    # What the log has changed of the calendar, which the calendar may not know.
    def _change_sessions(self) -> None:
        for override in self._overrides[: self.partition[0]["overrides"]]:
            for market, mic in zip(self._markets.market, self._mics, strict=True):
                part = self._sessions[market["first"] : market["first"] + market["count"]]
                at = np.searchsorted(part["date"], override["date"])
                if mic == override["market"] and at < len(part) and part[at]["date"] == override["date"]:
                    change_session(part[at], int(override["close_ns"]))


def _number(mic: str) -> int:
    return int.from_bytes(mic.encode("ascii"), "little")


def _grown(array: np.ndarray, capacity: int) -> np.ndarray:
    grown = np.zeros((capacity, *array.shape[1:]), array.dtype)
    grown[: len(array)] = array
    return grown


def _joined(parts: list[np.ndarray], dtype: np.dtype) -> np.ndarray:
    if not parts:
        return np.zeros(0, dtype)
    return parts[0] if len(parts) == 1 else np.concatenate(parts)
