"""Framed records of the tick topic to the columns that the engine folds.

The compiled reader takes plain ticks; what it leaves is decoded the thorough way, in offset order, so that rows follow
the log whatever the shape of its records. A record that is refused becomes data (KIND_SKIP and an entry
in `rejected`) and never stops the others. A null value is no error: it is counted and skipped.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from streams.core.eligibility import CODE_UNKNOWN, combined, condition_table, profile_of, venue_number
from streams.core.instruments import Instruments
from streams.core.layout import (
    BAR,
    DETAIL,
    KIND_BAR,
    KIND_CLOCK,
    KIND_SESSION,
    KIND_SKIP,
    KIND_TICK,
    RECORD,
    REJECT_CLOCK_MODE,
    REJECT_FUTURE_TIME,
    REJECT_NAMES,
    REJECT_NOT_A_SESSION,
    REJECT_SESSION_NOT_CLOSED,
    REJECT_TOO_MANY_ACTIONS,
    SYMBOL_BYTES,
)
from streams.core.rows import ACTIONS_MAX
from streams.core.units import format_date, format_time
from streams.core.words import Bytes
from streams.wire.bar_reader import PlainBars, plain_bars
from streams.wire.batches import Frames
from streams.wire.binary_ticks import BINARY, decode_tick
from streams.wire.plain_values import new_memory
from streams.wire.tick_memory import STATUS_NULL, STATUS_OTHER, STATUS_PLAIN, UNKNOWN_CODES
from streams.wire.tick_reader import MEMORY_WORDS, read_ticks
from streams.wire.tick_records import Change, decode_value
from streams.wire.tick_values import Bar, Clock, RefusedValue, Tick

STATE: Final = "state"  # the stage of refusals that depend on what the partition has seen
_NO_DETAILS: Final = np.zeros(0, DETAIL)
_SKIPPED: Final = np.array((KIND_SKIP, 0, 0, -1, 0, 0, 0, 0, 0, 0, 0, (0,) * 4, 0, (0,) * 3), RECORD)


@dataclass(frozen=True, slots=True)
class Rejected:
    """One record that was refused.

    Attributes:
        index: Its place among the decoded records.
        offset: Its place in the log.
        stage: `deserialize`, `validate` or `state`.
        reason: The label of the refusal.
        message: What was expected, what was found, what to do.
    """

    index: int
    offset: int
    stage: str
    reason: str
    message: str


@dataclass(slots=True)
class Decoded:
    """The columns of one fetch.

    Attributes:
        frames: Where each record lies, as it was given.
        records: One RECORD per frame, KIND_SKIP where the value is null or refused.
        bars: The BARs that bar records point at.
        details: The DETAILs that corrections, actions and the like point at.
        buffer: What trade ids point into, read-only.
        rejected: The refused records in offset order.
        nulls: How many values were null.
        unknown_conditions: How many trades carried a sale condition that the table cannot judge.
        thorough: How many records the compiled reader left to the thorough way, thirty times slower.
    """

    frames: Frames
    records: npt.NDArray[Any]
    bars: npt.NDArray[Any]
    details: npt.NDArray[Any]
    buffer: Bytes
    rejected: list[Rejected]
    nulls: int
    unknown_conditions: int
    thorough: int


@dataclass(slots=True)
class _Columns:
    # What one call of `decode` fills.
    frames: Frames
    records: npt.NDArray[Any]
    bars: list[Bar] = field(default_factory=list)
    details: list[np.ndarray] = field(default_factory=list)
    bar_indices: list[int] = field(default_factory=list)
    plain_bars: list[PlainBars] = field(default_factory=list)
    rejected: list[Rejected] = field(default_factory=list)
    trade_ids: list[bytes] = field(default_factory=list)  # those that are not in the buffer as they are
    end: int = 0
    unknown_conditions: int = 0


class TickDecoder:
    """Decodes the tick topic of one partition.

    Args:
        instruments: Rows are given here to instruments that have none, in offset order.
        read_plain: Whether the compiled reader is tried first; the result is the same without it, and slower.
    """

    def __init__(self, instruments: Instruments, *, read_plain: bool = True) -> None:
        self._instruments = instruments
        self._read_plain = read_plain
        self._market_profiles = np.array([profile_of(mic) for mic in instruments.mics], np.int8)
        self._table = condition_table()
        self._memory = new_memory(MEMORY_WORDS)

    def decode(self, frames: Frames) -> Decoded:
        """Return the columns of framed records."""
        count = len(frames)
        columns = _Columns(frames, np.empty(count, RECORD), end=len(frames.buffer))
        statuses = np.full(count, STATUS_OTHER, np.int8)
        if self._read_plain:
            self._memory[UNKNOWN_CODES] = 0
            self._read(columns, statuses)
            columns.unknown_conditions += int(self._memory[UNKNOWN_CODES])
        else:
            statuses[frames.frames["value_length"] < 0] = STATUS_NULL
            self._decode_others(columns, statuses, 0, count)
        nulls = np.flatnonzero(statuses == STATUS_NULL)
        for index in nulls.tolist():
            self._write_skip(columns, index)
        buffer = frames.buffer
        if columns.trade_ids:
            buffer = np.frombuffer(b"".join([buffer.tobytes(), *columns.trade_ids]), np.uint8)
        return Decoded(
            frames,
            columns.records,
            self._write_bars(columns),
            np.concatenate(columns.details) if columns.details else _NO_DETAILS,
            buffer,
            columns.rejected,
            len(nulls),
            columns.unknown_conditions,
            int((statuses >= STATUS_OTHER).sum()),
        )

    # The compiled reader stops at the first instrument without a row: records before it may name others first.
    def _read(self, columns: _Columns, statuses: npt.NDArray[np.int8]) -> None:
        frames = columns.frames
        start = 0
        while start < len(frames):
            stopped = read_ticks(
                frames.buffer,
                frames.frames,
                columns.records,
                statuses,
                start,
                self._instruments.slots,
                self._instruments.keys,
                self._market_profiles,
                self._instruments.markets,
                self._table,
                self._memory,
            )
            stop = min(stopped + 1, len(frames))
            self._decode_others(columns, statuses, start, stop)
            start = stop

    def _decode_others(self, columns: _Columns, statuses: npt.NDArray[np.int8], start: int, stop: int) -> None:
        others = np.flatnonzero(statuses[start:stop] >= STATUS_OTHER) + start
        if not self._read_plain or not len(others):
            for index in others.tolist():
                self._decode_other(columns, index)
            return
        frames = columns.frames
        for left, bars in plain_bars(frames.buffer, frames.frames, others, self._instruments):
            if len(bars.indices):
                columns.plain_bars.append(bars)
                statuses[bars.indices] = STATUS_PLAIN
            for index in left:
                self._decode_other(columns, index)

    def _decode_other(self, columns: _Columns, index: int) -> None:
        value = columns.frames.value(index)
        assert value is not None, "null values have a status of their own"
        self._write_skip(columns, index)
        try:
            if value[:1] == BINARY:
                decoded: Tick | Bar | Clock | Change = decode_tick(value, columns.frames.key(index), self._instruments)
            else:
                decoded = decode_value(value, self._instruments)
        except RefusedValue as refused:
            offset = int(columns.frames.frames["offset"][index])
            columns.rejected.append(Rejected(index, offset, refused.stage, refused.reason, refused.message))
            return
        record = columns.records[index]
        if isinstance(decoded, Tick):
            self._write_tick(columns, index, decoded)
        elif isinstance(decoded, Bar):
            record["kind"] = KIND_BAR
            record["row"] = self._instruments.row(decoded.instrument)
            columns.bars.append(decoded)
            columns.bar_indices.append(index)
        elif isinstance(decoded, Clock):
            record["kind"] = KIND_CLOCK
            record["time_ns"] = decoded.time_ns
            record["mode"] = decoded.mode
        else:
            self._write_change(columns, index, decoded)

    def _write_change(self, columns: _Columns, index: int, change: Change) -> None:
        record = columns.records[index]
        if change.trade is not None:
            self._write_tick(columns, index, change.trade)
        if change.instrument is not None:
            record["row"] = self._instruments.row(change.instrument)
        record["kind"] = change.kind
        record["time_ns"] = change.time_ns
        record["mode"] = change.code
        if change.detail is None:
            return
        detail = np.zeros(1, DETAIL)
        for name, value in change.detail.items():
            detail[name] = np.frombuffer(value.ljust(SYMBOL_BYTES, b"\0"), np.uint8) if name == "symbol" else value
        if change.corrected is not None:
            detail["market"] = record["extra"]
            self._write_trade(columns, index, detail[0], change.corrected)
            detail["venue"] = venue_number(change.corrected.venue)
        record["extra"] = len(columns.details)
        columns.details.append(detail)

    # All bars in the order of their records, which then point at them.
    def _write_bars(self, columns: _Columns) -> npt.NDArray[Any]:
        records, frames = columns.records, columns.frames.frames
        bars, indices = _bar_array(columns.bars), np.array(columns.bar_indices, np.int64)
        if columns.plain_bars:
            plain = np.concatenate([part.indices for part in columns.plain_bars])
            records[plain] = _SKIPPED
            records["kind"][plain] = KIND_BAR
            records["row"][plain] = np.concatenate([part.rows for part in columns.plain_bars])
            records["append_ns"][plain] = frames["append_ns"][plain]
            records["offset"][plain] = frames["offset"][plain]
            indices = np.concatenate([indices, plain])
            order = np.argsort(indices)
            bars = np.concatenate([bars, *(part.bars for part in columns.plain_bars)])[order]
            indices = indices[order]
        records["extra"][indices] = np.arange(len(indices))
        return bars

    def _write_skip(self, columns: _Columns, index: int) -> None:
        columns.records[index] = _SKIPPED
        record = columns.records[index]
        frame = columns.frames.frames[index]
        record["append_ns"] = frame["append_ns"]
        record["offset"] = frame["offset"]

    def _write_tick(self, columns: _Columns, index: int, tick: Tick) -> None:
        record = columns.records[index]
        self._write_trade(columns, index, record, tick)
        record["kind"] = KIND_TICK
        record["row"] = self._instruments.row(tick.instrument)
        record["extra"] = venue_number(tick.venue)

    # What a record and a detail have in common.
    def _write_trade(self, columns: _Columns, index: int, entry: Any, tick: Tick) -> None:
        codes = np.array([ord(code) for code in tick.conditions], np.int64)
        profile = profile_of(tick.instrument[:4], tick.tape)
        eligible = int(combined(self._table, profile, codes))
        columns.unknown_conditions += 1 if eligible & CODE_UNKNOWN else 0
        entry["eligible"] = eligible & ~CODE_UNKNOWN
        entry["time_ns"] = tick.time_ns
        entry["price"] = tick.price
        entry["size"] = tick.size
        entry["conditions"][: len(codes)] = codes
        entry["trade_id_length"] = len(tick.trade_id)
        entry["trade_id_start"] = _trade_id_start(columns, index, tick.trade_id)


def rejected_by_state(decoded: Decoded, rejects: npt.NDArray[Any]) -> list[Rejected]:
    """Return what `step` refused of decoded records, in words. `rejects` is an array of REJECT."""
    rejected = []
    for reject in rejects:
        index = int(reject["record"])
        record = decoded.records[index]
        date = 0
        if record["kind"] == KIND_BAR:
            date = int(decoded.bars[int(record["extra"])]["date"])
        elif record["kind"] == KIND_SESSION:
            date = int(decoded.details[int(record["extra"])]["date"])
        message = reason_message(
            int(reject["reason"]),
            time_ns=int(record["time_ns"]),
            reference_ns=int(reject["reference_ns"]),
            date=date,
        )
        reason = REJECT_NAMES[int(reject["reason"])]
        rejected.append(Rejected(index, int(record["offset"]), STATE, reason, message))
    return rejected


def reason_message(reason: int, *, time_ns: int = 0, reference_ns: int = 0, date: int = 0) -> str:
    """Return the text of a refusal by `step`: what was expected, what was found, what to do.

    Args:
        reason: One of the REJECT codes.
        time_ns: The record's time.
        reference_ns: The time that the partition takes for now.
        date: The session date of a bar record.
    """
    if reason == REJECT_FUTURE_TIME:
        return (
            f"time: expected at most a few seconds after {format_time(reference_ns)}, found {format_time(time_ns)}; "
            "check the producer's clock and zone, or replay with --prefix into topics of its own"
        )
    if reason == REJECT_SESSION_NOT_CLOSED:
        return (
            f"session_date: expected a session that had closed by {format_time(reference_ns)}, found "
            f"{format_date(date)}; send the bar after the close"
        )
    if reason == REJECT_NOT_A_SESSION:
        return (
            f"session_date: expected a session of the instrument's market, found {format_date(date)}; "
            "check the date and the market's calendar"
        )
    if reason == REJECT_CLOCK_MODE:
        return (
            "mode: expected clocks of the one mode that the partition has seen, found the other; "
            "use another --prefix for a replay"
        )
    if reason == REJECT_TOO_MANY_ACTIONS:
        return (
            f"ex_date: expected at most {ACTIONS_MAX} actions of an instrument, found one more with an earlier ex-date "
            "than all of them; withdraw those that never took place"
        )
    raise ValueError(f"expected a reason from 0 to {len(REJECT_NAMES) - 1}, found {reason}")


# The span of a trade id: in the record's own value, or past the buffer's end where the value spells it with escapes.
def _trade_id_start(columns: _Columns, index: int, trade_id: bytes) -> int:
    if not trade_id:
        return 0
    value = columns.frames.value(index) or b""
    found = value.find(b'"' + trade_id + b'"')
    if found >= 0:
        return int(columns.frames.frames["value_start"][index]) + found + 1
    start = columns.end
    columns.trade_ids.append(trade_id)
    columns.end += len(trade_id)
    return start


def _bar_array(bars: Iterable[Bar]) -> npt.NDArray[Any]:
    rows = [(bar.date, bar.flags, 0, bar.open, bar.high, bar.low, bar.close, bar.volume) for bar in bars]
    return np.array(rows, BAR)
