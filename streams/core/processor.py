"""The engine without a broker: feed it ticks, bars and clocks, take signals back. For notebooks, tests and back-tests.

It runs the very step that the worker runs, so what it says is what the worker would have said for the same log.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final

import numpy as np

from streams.core.actions import action_key
from streams.core.eligibility import eligible, venue_number
from streams.core.engine import Engine
from streams.core.given import checked, corrected_trade, decimal_text, kind_of
from streams.core.instruments import UnknownMarket
from streams.core.layout import (
    ACTION_NAMES,
    ACTION_SYMBOL_CHANGE,
    BAR,
    BAR_NO_SPLIT,
    BAR_OFFICIAL,
    BAR_TRADED,
    CONDITION_COUNT,
    DETAIL,
    KIND_ACCEPT,
    KIND_ACTION,
    KIND_BAR,
    KIND_CANCEL,
    KIND_CLOCK,
    KIND_CORRECT,
    KIND_INSTRUMENT,
    KIND_SESSION,
    KIND_STATUS,
    KIND_TICK,
    MODE_LIVE,
    MODE_REPLAY,
    RECORD,
    REJECT_NAMES,
    SESSION_STATUS_CODES,
    STATUS_CODES,
    SYMBOL_BYTES,
    TRADE_ID_BYTES,
)
from streams.core.rules import Rules
from streams.core.sessions import Markets
from streams.core.signals import Signal, signals_of
from streams.core.units import (
    PRICE_MAX,
    SIZE_MAX,
    format_decimal,
    parse_date,
    parse_decimal,
    parse_time,
)

_MODES: Final = {"live": MODE_LIVE, "replay": MODE_REPLAY}
_KINDS: Final = {
    "tick": KIND_TICK,
    "cancel": KIND_CANCEL,
    "correct": KIND_CORRECT,
    "status": KIND_STATUS,
    "action": KIND_ACTION,
    "bar": KIND_BAR,
    "clock": KIND_CLOCK,
    "instrument": KIND_INSTRUMENT,
    "accept": KIND_ACCEPT,
    "session": KIND_SESSION,
}
_BUFFER_START: Final = bytes(8)  # The step reads eight bytes at a time.


class Processor:
    """One partition's engine, fed by hand.

    Records are folded as soon as they are given; signals wait until `signals` takes them. Time passes only by records:
    a session is closed by `clock` or by a later session's trade. Clocks are of mode `replay` unless said otherwise, so
    that the past can be fed without a broker's append time. A malformed record raises; one that the log so far refuses
    (a time in the future, a bar of a session that has not closed) is in `refused`: its place and the reason.

    Args:
        markets: Calendars, from `streams.calendars.load_markets`.
        rules: Options; the defaults are the product's.

    Example:
        >>> from streams.calendars import load_markets
        >>> processor = Processor(load_markets(["XNYS"]))
        >>> processor.tick("XNYS:BABA", "2025-09-29T13:30:00Z", "174.43")
        >>> processor.signals()
        []
        >>> processor.engine.windows()
        {'partial': 1, 'degraded': 0, 'full': 0}
    """

    def __init__(self, markets: Markets, rules: Rules | None = None, *, outputs_max: int = 4096) -> None:
        rules = rules if rules is not None else Rules(lookback=markets.lookback)
        self.engine = Engine(markets, rules, outputs_max=outputs_max)
        self.refused: list[tuple[int, str]] = []
        self._count = 0
        self._signals: list[Signal] = []

    def tick(
        self,
        instrument: str,
        time: str | int,
        price: str,
        *,
        size: str = "0",
        conditions: Sequence[str] | None = None,
        tape: str | None = None,
        trade_id: str = "",
    ) -> None:
        """Feed one trade.

        Args:
            instrument: `MIC:SYMBOL`.
            time: RFC 3339 with a zone, or integer nanoseconds since 1970.
            price: Decimal string, above zero.
            size: Decimal string.
            conditions: Sale-condition codes of one character; None when the feed has none.
            tape: `A`, `B` or `C`, where the market alone does not tell.
            trade_id: At most 24 ASCII characters.

        Raises:
            ValueError: A value is malformed; the text says which and how.
        """
        tick: dict[str, Any] = {
            "instrument": instrument,
            "time": time,
            "price": price,
            "size": size,
            "trade_id": trade_id,
        }
        self.records([{**tick, "conditions": conditions, "tape": tape}])

    def bar(
        self,
        instrument: str,
        session_date: str,
        *,
        open: str,
        high: str,
        low: str,
        close: str,
        volume: str | None = None,
    ) -> None:
        """Feed the daily bar of a session that has closed; a volume of "0" says that it had no trade.

        Raises:
            ValueError: A value is malformed, or low, open, close and high are not in this order.
        """
        bar = {"type": "bar", "instrument": instrument, "session_date": session_date, "volume": volume}
        self.records([{**bar, "open": open, "high": high, "low": low, "close": close}])

    def clock(self, time: str | int, *, mode: str = "replay") -> None:
        """Let time pass."""
        self.records([{"type": "clock", "time": time, "mode": mode}])

    def records(self, records: Iterable[Mapping[str, Any]]) -> None:
        """Feed many records as one batch, each a mapping as on the wire; `append_time` is the broker's.

        Raises:
            ValueError: A record is malformed; nothing of the batch is folded.
        """
        given = [checked(record) for record in records]
        rows = np.zeros(len(given), RECORD)
        bars = np.zeros(len(given), BAR)
        details = np.zeros(len(given), DETAIL)
        buffer = bytearray(_BUFFER_START)
        for index, record in enumerate(given):
            row = rows[index]
            row["offset"] = self._count + index
            append = record.get("append_time")
            row["append_ns"] = _time(append) if append is not None else 2**61
            kind = kind_of(record)
            is_of_all = kind in ("clock", "session")
            row["row"] = -1 if is_of_all else self.engine.instruments.row(record["instrument"])
            row["extra"] = index
            self._write(row, bars[index], details[index], record, kind, buffer)
            row["kind"] = _KINDS[kind]
        folded = self.engine.fold(rows, bars, np.frombuffer(bytes(buffer), np.uint8), details)
        self._signals.extend(signals_of(folded, self.engine))
        self.refused.extend(
            (self._count + int(entry["record"]), REJECT_NAMES[entry["reason"]]) for entry in folded.rejects
        )
        self._count += len(given)

    def signals(self) -> list[Signal]:
        """Return the signals since the last call, in order."""
        taken, self._signals = self._signals, []
        return taken

    def _write(
        self, row: np.void, bar: np.void, detail: np.void, record: Mapping[str, Any], kind: str, buffer: bytearray
    ) -> None:
        if kind in ("tick", "cancel"):
            _write_trade(row, record, buffer)
            row["extra"] = venue_number(record.get("venue"))
        elif kind == "correct":
            _write_trade(row, record, buffer)
            corrected = corrected_trade(record)
            _write_trade(detail, corrected, buffer)
            detail["market"] = venue_number(record.get("venue"))
            detail["venue"] = venue_number(corrected.get("venue"))
        elif kind == "bar":
            _write_bar(bar, record)
        elif kind == "clock":
            row["time_ns"] = _time(record["time"])
            row["mode"] = _MODES[record["mode"]]
        elif kind == "status":
            row["time_ns"] = _time(record["time"])
            row["mode"] = STATUS_CODES[record["status"]]
        elif kind == "action":
            _write_action(detail, record)
        elif kind == "instrument":
            if record.get("tick_size") is not None:
                detail["price"] = _amount("tick_size", record["tick_size"], 1, PRICE_MAX)
            if record.get("listing_date") is not None:
                detail["date"] = parse_date(record["listing_date"])
        elif kind == "accept":
            detail["date"] = parse_date(record["session_date"])
        else:
            if record["mic"] not in self.engine.markets.mics:
                known = ", ".join(self.engine.markets.mics)
                raise UnknownMarket(f"mic: expected one of {known}, found {record['mic'][:60]!r}")
            detail["market"] = self.engine.markets.index(record["mic"])
            detail["date"] = parse_date(record["session_date"])
            detail["code"] = SESSION_STATUS_CODES[record["status"]]
            detail["time_ns"] = _time(record["close"]) if record["status"] == "early_close" else 0


# The trade of a record, or of the detail of a correction.
def _write_trade(entry: np.void, record: Mapping[str, Any], buffer: bytearray) -> None:
    conditions = record.get("conditions")
    trade_id = (record.get("trade_id") or "").encode("ascii")
    if len(trade_id) > TRADE_ID_BYTES:
        raise ValueError(f"trade_id: expected at most {TRADE_ID_BYTES} ASCII characters, found {len(trade_id)}")
    entry["time_ns"] = _time(record["time"])
    entry["price"] = _amount("price", record["price"], 1, PRICE_MAX)
    entry["size"] = _amount("size", record.get("size", "0"), 0, SIZE_MAX)
    entry["eligible"] = eligible(record["instrument"][:4], record.get("tape"), conditions)
    for position, code in enumerate((conditions or ())[:CONDITION_COUNT]):
        entry["conditions"][position] = ord(code)
    entry["trade_id_start"] = len(buffer)
    entry["trade_id_length"] = len(trade_id)
    buffer.extend(trade_id)


def _write_bar(bar: np.void, record: Mapping[str, Any]) -> None:
    volume = record.get("volume")
    idle = volume is not None and parse_decimal(decimal_text(volume)) == 0
    bar["date"] = parse_date(record["session_date"])
    bar["flags"] = BAR_OFFICIAL if idle else BAR_OFFICIAL | BAR_TRADED
    if record.get("split") is False:
        bar["flags"] |= BAR_NO_SPLIT
    bar["volume"] = 0 if volume is None else _amount("volume", volume, 0, SIZE_MAX)
    if not idle:
        for name in ("open", "high", "low", "close"):
            bar[name] = _amount(name, record[name], 1, PRICE_MAX)


def _write_action(detail: np.void, record: Mapping[str, Any]) -> None:
    detail["key"] = action_key(record["action_id"])
    detail["numerator"] = record.get("numerator") or 1
    detail["denominator"] = record.get("denominator") or 1
    if record.get("operation") == "withdraw":
        detail["withdraw"] = 1
        return
    detail["code"] = ACTION_NAMES.index(record["action"])
    detail["date"] = parse_date(record["ex_date"])
    is_renamed = record["action"] == ACTION_NAMES[ACTION_SYMBOL_CHANGE]
    symbol = (record["symbol"] if is_renamed else "").encode("ascii")
    detail["symbol"] = np.frombuffer(symbol.ljust(SYMBOL_BYTES, b"\0"), np.uint8)


def _time(value: str | int) -> int:
    return value if isinstance(value, int) else parse_time(value)


def _amount(name: str, text: object, low: int, high: int) -> int:
    try:
        value = parse_decimal(decimal_text(text))
    except ValueError as error:
        raise ValueError(f"{name}: {error}") from None
    if not low <= value <= high:
        raise ValueError(f"{name}: expected {format_decimal(low)} to {format_decimal(high)}, found {text!r}")
    return value
