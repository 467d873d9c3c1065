"""Whatever arrives is taken or refused by name: nothing crashes, nothing is believed that no schema describes."""

from __future__ import annotations

import json
import re
from datetime import date
from fractions import Fraction
from functools import cache
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from jsonschema import Draft202012Validator

from streams.core.instruments import Instruments
from streams.core.layout import KIND_SKIP
from streams.wire.articles import decode_article, decode_copy
from streams.wire.batches import frame_values
from streams.wire.checks import RecordRefused
from streams.wire.ticks import TickDecoder

SCHEMAS = Path(__file__).resolve().parents[2] / "schemas"
MICS = ["XNYS", "XNAS", "XHKG"]

TRADE = {
    "instrument": "XNYS:BABA",
    "time": "2025-09-30T13:30:00.005750123Z",
    "price": "181.66",
    "size": "100",
    "conditions": ["@"],
    "tape": "A",
    "venue": "N",
    "trade_id": "52983525029461",
}
PLAUSIBLE: dict[str, dict[str, Any]] = {
    "tick": TRADE,
    "cancel": {"type": "cancel", **TRADE},
    "correct": {"type": "correct", **TRADE, "corrected": {"price": "181.60", "size": "100", "conditions": ["F"]}},
    "bar": {
        "type": "bar",
        "instrument": "XNYS:BABA",
        "session_date": "2025-09-29",
        "open": "178.08",
        "high": "181.344",
        "low": "177.59",
        "close": "179.90",
        "volume": "20812345",
        "split": False,
    },
    "clock": {"type": "clock", "time": "2025-09-30T13:30:00Z", "mode": "replay"},
    "status": {
        "type": "status",
        "instrument": "XNYS:BABA",
        "time": "2025-09-30T13:30:00Z",
        "status": "halted",
        "reason": "T1",
    },
    "action": {
        "type": "action",
        "instrument": "XNYS:BABA",
        "action_id": "a1",
        "action": "split",
        "ex_date": "2025-09-30",
        "numerator": 4,
        "denominator": 1,
        "operation": "create",
        "symbol": "NEW",
        "announced_at": "2025-09-01T00:00:00Z",
        "time": "2025-09-30T13:30:00Z",
    },
    "instrument": {
        "type": "instrument",
        "instrument": "XNYS:BABA",
        "tick_size": "0.01",
        "listing_date": "2014-09-19",
        "currency": "USD",
    },
    "accept": {"type": "accept", "instrument": "XNYS:BABA", "session_date": "2025-09-30"},
    "session": {
        "type": "session",
        "mic": "XNYS",
        "session_date": "2025-09-30",
        "status": "early_close",
        "close": "2025-09-30T17:00:00Z",
        "time": "2025-09-30T15:00:00Z",
    },
}

# What real feeds have been seen to send where something else was meant, and what an attacker would.
HOSTILE: st.SearchStrategy[Any] = st.sampled_from(
    [
        None, True, False, 0, -1, 1, 1_000_000, 1_000_001, 10**17, 10**30, -(2**63), 1.5, 1e300, "", " ", "0", "-0",
        "1e5", "NaN", "Infinity", "0x10", "1_000", "١٢", "8000000", "8000000.00000001", "0.000000001", "9" * 13,
        "9000000001", "2025-02-30", "2025-13-01", "0000-01-01", "9999-12-31", "2025-09-30T25:00:00Z",
        "2025-09-30T13:30:00", "XNYS:baba", "XXXX:BABA", "XNYS:BABA\n", "a" * 25, "a" * 41, "é", "\0", "split",
        "halted", "cancelled", "withdraw", [], {}, ["@"] * 5, ["@@"], [""], [1], ["é"], {"price": "1"},
        {"price": "1", "size": "-1"},
    ]
)  # fmt: skip
NUMBERS = st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False)
TEXTS = st.text(max_size=12) | st.from_regex(r"[-+]?[0-9]{0,10}(\.[0-9]{0,9})?", fullmatch=True)

OTHER_JSON = (st.none() | st.booleans() | NUMBERS | TEXTS | st.lists(TEXTS, max_size=3)).map(json.dumps).map(str.encode)


@cache
def validator(name: str) -> Draft202012Validator | None:
    path = SCHEMAS / f"{name}.schema.json"
    return Draft202012Validator(json.loads(path.read_text(encoding="utf-8"))) if path.exists() else None


@st.composite
def damaged(draw: st.DrawFn, plausible: dict[str, Any]) -> dict[str, Any]:
    """Draw a record that is almost right: fields missing, of another type, out of bounds, or of another kind."""
    record = json.loads(json.dumps(plausible))
    for _ in range(draw(st.integers(0, 3))):
        target = record
        if isinstance(record.get("corrected"), dict) and draw(st.booleans()):
            target = record["corrected"]
        name = draw(st.sampled_from([*sorted(plausible), "type", "note"]))
        if draw(st.integers(0, 3)) == 0:
            target.pop(name, None)
        else:
            target[name] = draw(HOSTILE | HOSTILE | NUMBERS | TEXTS)
    return dict(record)


@cache
def decoder(read_plain: bool) -> TickDecoder:
    return TickDecoder(Instruments(MICS), read_plain=read_plain)


def taken(value: bytes, *, read_plain: bool = True) -> bool:
    """Say whether the decoder takes a record; whatever it does, it does not raise."""
    decoded = decoder(read_plain).decode(frame_values([value]))
    refused = len(decoded.rejected) == 1
    assert refused == (int(decoded.records[0]["kind"]) == KIND_SKIP and decoded.nulls == 0)
    if refused:
        assert decoded.rejected[0].reason
        assert decoded.rejected[0].message
    return not refused


@pytest.mark.parametrize("kind", PLAUSIBLE)
def test_plausible_record_is_taken_where_its_schema_exists(kind: str) -> None:
    """Every kind that has a schema is decoded; the others are refused by name rather than guessed."""
    assert taken(json.dumps(PLAUSIBLE[kind]).encode()) == (validator(kind) is not None)


@pytest.mark.parametrize("kind", PLAUSIBLE)
@given(data=st.data())
@settings(max_examples=100, deadline=None)
def test_what_is_taken_is_what_a_schema_describes(kind: str, data: st.DataObject) -> None:
    """A record that is almost right is refused, unless its schema and the bounds of its values allow it."""
    record = data.draw(damaged(PLAUSIBLE[kind]))

    if taken(json.dumps(record).encode()):
        assert believable(record), record


@given(st.binary(max_size=60) | OTHER_JSON)
@settings(max_examples=300, deadline=None)
def test_bytes_that_are_no_record_are_refused(value: bytes) -> None:
    """Garbage has a reason and no effect."""
    assert not taken(value)


@given(st.sampled_from(sorted(PLAUSIBLE)), st.integers(0, 400), st.binary(min_size=1, max_size=3))
@settings(max_examples=200, deadline=None)
def test_a_flipped_byte_never_changes_what_both_readers_say(kind: str, at: int, damage: bytes) -> None:
    """The compiled reader and the thorough one take the same records, damaged or not."""
    value = json.dumps(PLAUSIBLE[kind], separators=(",", ":")).encode()
    at %= len(value)
    broken = value[:at] + damage + value[at + len(damage) :]

    assert taken(broken) == taken(broken, read_plain=False)


ARTICLE = {
    "type": "article",
    "article_id": "bz-1",
    "source": "Benzinga.com",
    "action": "created",
    "version": 1,
    "title": "Alibaba Stock Breaks Past 52-Week High",
    "summary": "Alibaba Group (NYSE:BABA)",
    "body": "The company.",
    "url": "https://example.org/1",
    "language": "en",
    "region": "Greater China",
    "published_at": "2025-09-30T11:45:02Z",
    "received_at": "2025-09-30T11:45:09Z",
    "tags": ["Alibaba"],
    "instruments": [{"instrument": "XNYS:BABA", "relevance": 1.0}],
}


@given(damaged(ARTICLE))
@settings(max_examples=300, deadline=None)
def test_article_is_taken_or_refused_by_name(record: dict[str, Any]) -> None:
    """An article that is almost right is an article within its limits, or a refusal with its reason."""
    try:
        article = decode_article(json.dumps(record).encode())
    except RecordRefused as error:
        article, refused = None, error

    assert refused.reason if article is None else article.article_id
    links = article.instruments or () if article is not None else ()
    assert all(0.0 <= link.relevance <= 1.0 for link in links if link.relevance is not None)


@given(st.binary(max_size=60))
@settings(max_examples=200, deadline=None)
def test_bytes_that_are_no_article_are_refused(value: bytes) -> None:
    """Garbage on the news topics has a reason too."""
    for decode in (decode_article, decode_copy):
        with pytest.raises(RecordRefused):
            decode(value)


def believable(record: dict[str, Any]) -> bool:
    """Say whether a record is within its schema and within the bounds that a schema cannot say of decimal text."""
    kind = record.get("type") or "tick"
    schema = validator(kind) if isinstance(kind, str) else None
    # A field that is null is a field that is absent.
    present = {name: value for name, value in record.items() if value is not None}
    return schema is not None and schema.is_valid(present) and within_bounds(present)


def within_bounds(record: dict[str, Any]) -> bool:
    corrected = {name: value for name, value in (record.get("corrected") or {}).items() if value is not None}
    for fields in (record, corrected):
        for name in ("price", "open", "high", "low", "close", "tick_size"):
            if name in fields and record.get("type") != "session" and not 0 < number(fields[name]) <= 8_000_000:
                return False
        for name in ("size", "volume"):
            if name in fields and not 0 <= number(fields[name]) <= (9 * 10**9 if name == "size" else 10**12):
                return False
    for name in ("session_date", "ex_date", "listing_date"):
        if name in record and not re.fullmatch(r"\d{4}-\d\d-\d\d", str(record[name])):
            return False
        if name in record:
            date.fromisoformat(record[name])
    return str(record.get("instrument", "XNYS:"))[:4] in MICS


def number(value: Any) -> Fraction:
    return Fraction(str(value))
