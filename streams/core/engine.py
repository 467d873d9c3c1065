"""The engine of one partition: its state, and the fold of its log into signals."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Final

import numpy as np

from streams.core.instruments import ID_WORDS, Instruments
from streams.core.layout import BAR, DETAIL, FAMILY_HIGH, FAMILY_LOW, FAMILY_NAMES, REJECT, RING_BARS, WINDOW_NAMES
from streams.core.rows import (
    BREAKOUT_ACTIVE,
    COLD,
    COUNTERS,
    EMITTED_MAX,
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
from streams.core.rules import Rules
from streams.core.session_changes import change_session
from streams.core.sessions import Markets
from streams.core.snapshot import ID, EngineState, place
from streams.core.step import step

OUTPUTS_DEFAULT: Final = 4096
_ROWS_FIRST: Final = 16
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
        self._rules = rules.array()
        self._partition = np.zeros(1, PARTITION)
        self._hot = np.zeros(_ROWS_FIRST, HOT)
        self._warm = np.zeros(_ROWS_FIRST, WARM)
        self._rings = np.zeros((_ROWS_FIRST, RING_BARS), BAR)
        self._cold = np.zeros(_ROWS_FIRST, COLD)
        self._tape = np.zeros(_ROWS_FIRST, TAPE)
        self._rows = 0
        self._sessions = markets.with_windows(rules.lookbacks)
        self._mics = np.array([_number(mic) for mic in markets.mics], np.int64)
        self._withheld = np.zeros(WITHHELD_TOTAL, OUT)
        self._overrides = np.zeros(OVERRIDES_MAX, OVERRIDE)
        self._trades = np.zeros(2, TRADE)
        self._cursor = np.zeros(3, np.int64)
        self._outputs = np.zeros(outputs_max, OUT)
        self._rejects = np.zeros(outputs_max, REJECT)

    @property
    def clock_ns(self) -> int:
        """Time of the newest clock record, 0 before the first."""
        return int(self._partition[0]["clock_ns"])

    def fold(
        self, records: np.ndarray, bars: np.ndarray, buffer: np.ndarray, details: np.ndarray = _NO_DETAILS
    ) -> Folded:
        """Fold a batch of records, of any size, in log order.

        Args:
            records: `RECORD`; rows are those of `instruments`.
            bars: `BAR`, which bar records refer to by `extra`.
            buffer: uint8, which trade ids refer to; at least eight bytes where there are any.
            details: `DETAIL`, which corrections, actions and the like refer to by `extra`.
        """
        self._admit()
        signals: list[np.ndarray] = []
        rejects: list[np.ndarray] = []
        consumed = 0
        while consumed < len(records):
            consumed, emitted, refused = step(
                self._partition,
                self._hot,
                self._warm,
                self._cold,
                self._tape,
                self._rings,
                self.instruments.order,
                records,
                bars,
                details,
                buffer,
                consumed,
                self.markets.market,
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
        return Folded(_joined(signals, OUT), _joined(rejects, REJECT))

    def counters(self) -> dict[str, int]:
        """Return running totals of what the log held, by name."""
        return {name: int(self._partition[0][name]) for name in COUNTERS}

    def windows(self) -> dict[str, int]:
        """Return the number of instruments by the coverage of their window, as of each one's latest session."""
        born = self._hot["date"][: self._rows] != UNBORN
        counts = np.bincount(self._warm["window_status"][: self._rows, 0][born], minlength=len(WINDOW_NAMES))
        return {name: int(counts[index]) for index, name in enumerate(WINDOW_NAMES)}

    def open_breakouts(self) -> dict[str, int]:
        """Return the number of breakouts that have neither failed nor had their verdict, by family."""
        state = self._warm[: self._rows]
        active = (state["state"] == BREAKOUT_ACTIVE) & (state["closed"] == 0)[:, None]
        return {FAMILY_NAMES[family]: int(active[:, family].sum()) for family in (FAMILY_HIGH, FAMILY_LOW)}

    def export(self) -> EngineState:
        """Return all that the engine knows, for a snapshot: views of its arrays, to be read before it goes on."""
        self._admit()
        rows = self._rows
        ids = self.instruments.keys[: rows * ID_WORDS].view(ID)
        return EngineState(
            ids,
            self._partition,
            self._hot[:rows],
            self._warm[:rows],
            self._rings[:rows],
            self._cold[:rows],
            self._tape[:rows],
            self._withheld,
            self._overrides,
        )

    def restore(self, state: EngineState) -> None:
        """Take over a state, and go on as the engine that exported it would have. The arrays are this engine's then.

        What the calendar decides is derived from this engine's calendar; the rest of a session that has begun stays.

        Raises:
            UnknownMarket: An instrument's market is not among this engine's; the engine is not to be used.
            ValueError: This engine has read something already.
        """
        if len(self.instruments) or self._partition[0]["clocks"]:
            raise ValueError(f"expected a new engine, found one with {len(self.instruments)} instruments; make another")
        for name in state.ids.tolist():
            self.instruments.row(name.decode("ascii"))
        place(state, self.markets, self.instruments.market)
        self._partition, self._hot, self._warm, self._rings = state.partition, state.hot, state.warm, state.rings
        self._cold, self._tape = state.cold, state.tape
        self._withheld, self._overrides = state.withheld, state.overrides
        self._rows = len(state)
        self._change_sessions()

    # What the log has changed of the calendar, which the calendar may not know.
    def _change_sessions(self) -> None:
        for override in self._overrides[: self._partition[0]["overrides"]]:
            for market, mic in zip(self.markets.market, self._mics, strict=True):
                part = self._sessions[market["first"] : market["first"] + market["count"]]
                at = np.searchsorted(part["date"], override["date"])
                if mic == override["market"] and at < len(part) and part[at]["date"] == override["date"]:
                    change_session(part[at], int(override["close_ns"]))

    # Rows for instruments interned since the last fold.
    def _admit(self) -> None:
        rows = len(self.instruments)
        if rows == self._rows:
            return
        if rows > len(self._hot):
            capacity = max(rows, 2 * len(self._hot))
            self._hot = _grown(self._hot, capacity)
            self._warm = _grown(self._warm, capacity)
            self._rings = _grown(self._rings, capacity)
            self._cold = _grown(self._cold, capacity)
            self._tape = _grown(self._tape, capacity)
        fresh = self._hot[self._rows : rows]
        fresh["market"] = self.instruments.market[self._rows : rows]
        fresh["band_low"] = PRICE_NEVER
        fresh["date"] = UNBORN
        self._rows = rows


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
