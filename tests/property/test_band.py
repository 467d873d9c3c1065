"""The band, the size of a batch and the size of the output buffer change nothing that is said."""

from __future__ import annotations

import os
import random
from typing import Any

import numpy as np
import pytest

from streams.core.layout import FAMILIES_DEFAULT
from streams.core.processor import Processor
from streams.core.rows import EMITTED_MAX
from streams.core.rules import Rules
from streams.core.sessions import Markets, Sessions
from streams.core.units import DAY_NS, NS, format_date, format_decimal
from streams.wire.signals import encode

FIRST_DAY = 20_000
SESSION_COUNT = 24
OPEN_NS = 14 * 3600 * NS
CLOSE_NS = 20 * 3600 * NS
LOOKBACK = "10s"
INSTRUMENTS = ("XTST:A", "XTST:B", "XTST:C")
SEEDS = range(6 if os.environ.get("NUMBA_DISABLE_JIT") == "1" else 60)


def markets() -> Markets:
    days = [FIRST_DAY + 7 * (index // 5) + index % 5 for index in range(SESSION_COUNT)]
    dates = np.array(days, np.int32)
    starts = dates.astype(np.int64) * DAY_NS
    breaks = np.where(dates % 3 == 0, starts + 17 * 3600 * NS, 0)
    ends = np.where(dates % 3 == 0, starts + 18 * 3600 * NS, 0)
    return Markets([Sessions("XTST", dates, starts + OPEN_NS, starts + CLOSE_NS, breaks, ends)], lookback=LOOKBACK)


def stream(seed: int, calendar: Markets, *, rare: bool = False) -> list[dict[str, Any]]:
    """Two weeks of daily bars, then sessions of ticks on a coarse price grid, so that every edge is met often.

    With `rare` there are cancels, corrections, copies, actions, halts and changed sessions among them.
    """
    source = random.Random(seed)
    chance = random.Random(seed + 1_000_000)
    sessions = calendar.sessions_of("XTST")
    records: list[dict[str, Any]] = []
    price = dict.fromkeys(INSTRUMENTS, 10_000)
    for session in sessions[:14]:
        for instrument in INSTRUMENTS:
            if source.random() < 0.03:
                continue
            close = price[instrument] = max(100, price[instrument] + source.randint(-300, 300))
            high, low = close + source.randint(0, 200), close - source.randint(0, 99)
            bar = {"open": close, "high": high, "low": low, "close": close}
            row = {"type": "bar", "instrument": instrument, "session_date": format_date(int(session["date"]))}
            text = {name: format_decimal(value * 1_000_000) for name, value in bar.items()}
            records.append({**row, **text, "volume": str(source.choice((0, 5, 5, 5)))})
    for session in sessions[14:]:
        time_ns = int(session["open_ns"]) - 600 * NS
        while time_ns < int(session["close_ns"]) + 1500 * NS:
            time_ns += source.choice((1, 100_000_000, NS, 60 * NS, 600 * NS))
            if source.random() < 0.2:
                records.append({"type": "clock", "time": time_ns, "mode": "replay"})
                continue
            instrument = source.choice(INSTRUMENTS)
            price[instrument] = max(100, price[instrument] + source.choice((-200, -40, -1, 0, 0, 1, 40, 200)))
            conditions = source.choice((None, None, None, ["@"], ["Z"], ["I"], ["6"]))
            late = source.choice((0, 0, 0, 0, 2 * NS, 4000 * NS))
            value = format_decimal(price[instrument] * 1_000_000)
            tick = {"instrument": instrument, "time": time_ns - late, "price": value, "size": "1", "tape": "A"}
            records.append({**tick, "conditions": conditions, "trade_id": str(len(records))})
            if rare:
                records += rarities(chance, records, sessions, time_ns)
            if source.random() < 0.001:
                earlier = sessions[source.randrange(0, 20)]
                text = dict.fromkeys(("open", "high", "low", "close"), value)
                records.append(
                    {"type": "bar", "instrument": instrument, "session_date": format_date(int(earlier["date"])), **text}
                )
    return records


def rarities(
    source: random.Random, records: list[dict[str, Any]], sessions: np.ndarray, time_ns: int
) -> list[dict[str, Any]]:
    """What seldom comes between two ticks: mostly nothing."""
    recent = [record for record in records[-40:] if "trade_id" in record and "type" not in record]
    trade = source.choice(recent)
    about = {"instrument": trade["instrument"]}
    day = format_date(int(sessions[source.randrange(12, len(sessions))]["date"]))
    kind = source.random()
    if kind < 0.10:
        return [{**trade, "type": "cancel"}]
    if kind < 0.14:
        price = format_decimal(
            max(100, int(float(trade["price"]) * 100) + source.choice((-400, -40, 1, 40))) * 1_000_000
        )
        return [{**trade, "type": "correct", "corrected": {"price": price, "size": "1"}}]
    if kind < 0.17:
        return [trade]
    if kind < 0.18:
        return [{**trade, "type": "cancel", "trade_id": "unknown"}]
    if kind < 0.19:
        status = source.choice(("halted", "resumed", "limit_state"))
        return [{**about, "type": "status", "time": time_ns, "status": status}]
    if kind < 0.20:
        new, old = source.choice(((2, 1), (1, 2), (3, 1), (7, 11), (1, 1)))
        action = {"action": "split", "ex_date": day, "numerator": new, "denominator": old}
        return [{**about, "type": "action", "action_id": source.choice("abc"), **action}]
    if kind < 0.205:
        return [{**about, "type": "action", "action_id": source.choice("abc"), "operation": "withdraw"}]
    if kind < 0.21:
        return [{**about, "type": "accept", "session_date": day}]
    if kind < 0.212:
        return [{**about, "type": "instrument", "tick_size": source.choice(("0.01", "1"))}]
    if kind < 0.213:
        changed = {"type": "session", "mic": "XTST", "session_date": day}
        session = sessions[source.randrange(16, len(sessions))]
        close = int(session["open_ns"]) + 2 * 3600 * NS
        early = {"session_date": format_date(int(session["date"])), "status": "early_close", "close": close}
        return [{**changed, **(early if source.random() < 0.7 else {"status": "cancelled"})}]
    return []


def said(rules: Rules, records: list[dict[str, Any]], *, split: random.Random | None, outputs_max: int) -> list[bytes]:
    """Everything an engine says about a stream, as bytes."""
    processor = Processor(markets(), rules, outputs_max=outputs_max)
    position = 0
    while position < len(records):
        size = len(records) if split is None else split.choice((1, 2, 7, 100))
        processor.records(records[position : position + size])
        position += size
    lines = [encode(signal, source="/test").value for signal in processor.signals()]
    return [*lines, repr(processor.refused).encode(), repr(processor.engine.counters()).encode()]


@pytest.mark.parametrize("seed", SEEDS)
def test_band_batches_and_buffers_change_no_byte(seed: int) -> None:
    """With and without the band, whole and cut anywhere, with the smallest buffer and a large one: the same bytes."""
    source = random.Random(seed)
    options: dict[str, Any] = {
        "lookback": LOOKBACK,
        "max_triggers": source.choice((1, 2, 4)),
        "equality": source.choice(("strict", "match")),
        "conflate_ms": source.choice((0, 1000, 120_000)),
        "hysteresis_bps": source.choice((10, 50)),
        "hysteresis_atr": source.choice((0.0, 0.1)),
        "max_entries": source.choice((1, 3)),
        "coverage_min": source.choice((0.5, 0.95)),
    }
    if seed % 2:
        options["families"] = (*FAMILIES_DEFAULT, "high_5s", "low_5s", "low_12d", "close_high_52w", "close_low_52w")
    options["bad_print_band"] = source.choice((0.0, 0.01, 0.1))
    options["split_guard"] = source.random() < 0.7
    records = stream(seed, markets(), rare=seed % 3 > 0)

    plain = said(Rules(band=False, **options), records, split=None, outputs_max=4096)
    banded = said(Rules(**options), records, split=random.Random(seed + 1), outputs_max=EMITTED_MAX)

    assert banded == plain
    assert len(plain) > 10
