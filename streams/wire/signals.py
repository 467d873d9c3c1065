"""Signals -> bytes: JSON values in a fixed key order and CloudEvents headers, free of any clock or host."""

from __future__ import annotations

from functools import lru_cache
from typing import Any, Final, NamedTuple

import orjson

from streams.core.layout import HALT_LIMIT_STATE, HALT_NAMES
from streams.core.signals import Level, Signal, Trade
from streams.core.units import format_date, format_decimal, format_time

BREAKOUTS: Final = "signals.breakouts.v1"
MOMENTUM: Final = "signals.momentum.v1"
SEQUENCE_DIGITS: Final = 10
_PROVISIONAL: Final = HALT_NAMES[HALT_LIMIT_STATE]
_VERSION_HEADER: Final = ("ce_specversion", b"1.0")
_CONTENT_HEADER: Final = ("content-type", b"application/json")
_REPEATED_MAX: Final = 4_096  # Open signals whose levels and triggers are kept encoded, a kilobyte each.


class Encoded(NamedTuple):
    """One record to be written: the topic's name without the configured prefix, key, value and headers."""

    topic: str
    key: bytes
    value: bytes
    headers: list[tuple[str, bytes]]


def encode(signal: Signal, *, source: str) -> Encoded:
    """Encode a signal; equal signals give equal bytes.

    Args:
        signal: A transition.
        source: Who says it, for `ce_source`: `/fiftytwo/<application id>`.
    """
    if signal.breakout is not None:
        kind, topic = "breakout", BREAKOUTS
    elif signal.suspicion is not None:
        kind, topic = "suspected-split", BREAKOUTS
    elif signal.measure is None:
        kind, topic = "held-print", BREAKOUTS
    elif signal.family.startswith("proximity"):
        kind, topic = "proximity", BREAKOUTS
    else:
        kind, topic = "momentum", MOMENTUM
    headers = cloud_event_headers(
        event_id=signal.event_id,
        source=source,
        event_type=f"fiftytwo.{kind}.{signal.transition}.v1",
        event_ns=signal.event_ns,
        instrument=signal.instrument,
        schema=f"{kind}-signal",
        revision=signal.revision,
    )
    return Encoded(topic, signal.instrument.encode(), orjson.dumps(_document(signal)), headers)


def cloud_event_headers(
    *, event_id: str, source: str, event_type: str, event_ns: int, instrument: str, schema: str, revision: int
) -> list[tuple[str, bytes]]:
    """Return the CloudEvents 1.0 headers of a record in binary content mode."""
    subject = instrument.encode()
    of_source, of_type, of_schema = _repeated_headers(source, event_type, schema)
    return [
        _VERSION_HEADER,
        ("ce_id", event_id.encode()),
        of_source,
        of_type,
        ("ce_time", format_time(event_ns).encode()),
        ("ce_subject", subject),
        of_schema,
        ("ce_partitionkey", subject),
        ("ce_sequence", b"%0*d" % (SEQUENCE_DIGITS, revision)),
        _CONTENT_HEADER,
    ]


# Those that a few hundred kinds of records share.
@lru_cache(maxsize=1_024)
def _repeated_headers(source: str, event_type: str, schema: str) -> tuple[tuple[str, bytes], ...]:
    return (
        ("ce_source", source.encode()),
        ("ce_type", event_type.encode()),
        ("ce_dataschema", f"urn:fiftytwo:schema:{schema}:v1".encode()),
    )


def _document(signal: Signal) -> dict[str, Any]:
    value: dict[str, Any] = {
        "signal_id": signal.signal_id,
        "revision": signal.revision,
        "transition": signal.transition,
        "family": signal.family,
        "side": signal.side,
        "basis": signal.basis,
        "scope": signal.scope,
        "ordinal": signal.ordinal,
        "instrument": {"id": signal.instrument, "mic": signal.instrument[:4], "symbol": signal.symbol},
        "session_date": format_date(signal.session_date),
        "event_time": format_time(signal.event_ns),
        "price": None if signal.price is None else format_decimal(signal.price),
        "held": signal.held,
        "status": {"halt": signal.halt, "provisional": signal.halt == _PROVISIONAL},
    }
    if signal.breakout is not None:
        value.update(_breakout(signal))
    elif signal.measure is not None:
        value.update(_measure(signal))
    elif signal.suspicion is not None:
        value.update(_suspicion(signal))
    else:
        value["print"] = _trade(signal.trigger)
    value["provenance"] = {"rules": signal.rules, "calendar": signal.calendar}
    return value


def _breakout(signal: Signal) -> dict[str, Any]:
    breakout = signal.breakout
    assert breakout is not None
    return {
        "trigger": _trigger(signal.trigger, breakout.trigger_kind),
        "level": _level(breakout.level),
        "reason": breakout.reason,
        "verdict": breakout.verdict,
        "degraded": breakout.degraded,
        "gap": breakout.gap,
        "fresh": breakout.fresh,
        "streak": breakout.streak,
        "failed": breakout.failed,
        "recovered": breakout.recovered,
        "close_source": breakout.close_source,
        "metrics": {
            "distance": breakout.distance,
            "distance_atr": breakout.distance_atr,
            "nearness": breakout.nearness,
            "base_length_sessions": breakout.level.age_sessions,
            **breakout.returns,
        },
    }


# Every transition of a signal repeats its trigger and its level, so they are encoded once.
@lru_cache(maxsize=_REPEATED_MAX)
def _trigger(trade: Trade, kind: str) -> orjson.Fragment:
    return orjson.Fragment(orjson.dumps({**_trade(trade), "kind": kind}))


@lru_cache(maxsize=_REPEATED_MAX)
def _level(level: Level) -> orjson.Fragment:
    value = {
        "price": format_decimal(level.price),
        "session_date": format_date(level.session_date),
        "base_price": format_decimal(level.base_price),
        "lookback": level.lookback,
        "window_start": format_date(level.window_start),
        "window_end": format_date(level.window_end),
        "sessions": level.sessions,
        "sessions_expected": level.sessions_expected,
        "window_status": level.window_status,
        "includes_today": False,
        "adjustment": "splits",
        "adjustment_factor": f"{level.adjustment[0]}/{level.adjustment[1]}",
        "source_price": format_decimal(level.source_price),
        "extreme_unknown": level.extreme_unknown,
    }
    return orjson.Fragment(orjson.dumps(value))


def _measure(signal: Signal) -> dict[str, Any]:
    measure = signal.measure
    assert measure is not None
    return {
        "entry": _trade(signal.trigger),
        "measure": {
            "value": measure.value,
            "base_price": format_decimal(measure.base_price),
            "base_session_date": format_date(measure.base_date),
            "enter": measure.enter,
            "exit": measure.exit,
        },
    }


def _suspicion(signal: Signal) -> dict[str, Any]:
    suspicion = signal.suspicion
    assert suspicion is not None
    return {
        "trade": {"time": format_time(signal.trigger.time_ns), "price": format_decimal(signal.trigger.price)},
        "suspected_split": {
            "last_close": format_decimal(suspicion.last_close),
            "last_close_date": format_date(suspicion.last_close_date),
            "ratio": f"{suspicion.new_units}:{suspicion.old_units}",
            "withheld": suspicion.withheld,
            "lost": suspicion.lost,
        },
    }


def _trade(trade: Trade) -> dict[str, Any]:
    return {
        "time": format_time(trade.time_ns),
        "price": format_decimal(trade.price),
        "trade_id": trade.trade_id,
        "conditions": list(trade.conditions),
    }
