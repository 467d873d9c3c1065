"""Binary ticks: the layout is what its page says, grows at its end, and what cannot be used has its reason."""

from __future__ import annotations

import re
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from streams.core.instruments import Instruments
from streams.core.layout import KIND_SKIP, KIND_TICK
from streams.feeds.steps import Step
from streams.feeds.ticks import TickLines
from streams.wire.batches import frame_values
from streams.wire.binary_ticks import LENGTH_FULL, LENGTH_MIDDLE, LENGTH_SHORT, TICK, encode_tick
from streams.wire.ticks import Decoded, TickDecoder

PAGE = (Path(__file__).parents[2] / "schemas" / "tick-binary.md").read_text(encoding="utf-8")
KEY = b"XNYS:BABA"
TIME = "2025-09-29T13:30:00.005750123Z"
SHORT = encode_tick(time=TIME, price="179.90", size="100")
FULL = encode_tick(time=TIME, price="179.90", size="100", conditions=["@"], tape="A", venue="XNYS", trade_id="5298")


def decode(values: list[bytes | None], keys: list[bytes | None] | None = None) -> Decoded:
    frames = frame_values(values, keys=keys if keys is not None else [KEY] * len(values))
    return TickDecoder(Instruments(["XNYS"])).decode(frames)


def with_bytes(value: bytes, at: int, new: bytes) -> bytes:
    return value[:at] + new + value[at + len(new) :]


def test_the_example_of_the_page_is_what_the_publisher_writes() -> None:
    """Whoever writes another publisher holds it against these bytes."""
    shown = re.search(r"```text\n([0-9a-f \n]+)```", PAGE)
    assert shown is not None

    value = encode_tick(time=TIME, price="179.90", size="100", tape="A", trade_id="5298")

    assert bytes.fromhex(shown[1]) == value


def test_the_page_names_every_field_at_its_place() -> None:
    """The table of the page and the dtype are the same layout."""
    rows = re.findall(r"^\| (\d+)(?: to (\d+))? \| [^|]+ \| ([a-z ]+) \|", PAGE, re.MULTILINE)

    shown = [(int(first), int(last or first) - int(first) + 1) for first, last, _ in rows]

    assert TICK.fields is not None
    assert shown == [(offset, dtype.itemsize) for dtype, offset, *_ in TICK.fields.values()]
    assert [name.replace(" ", "_") for _, _, name in rows] == [name.removesuffix("_ns") for name in TICK.names or ()]


def test_whole_values_are_one_array() -> None:
    """A file of them is read at once."""
    ticks = np.frombuffer(FULL * 3, TICK)

    assert ticks["price"].tolist() == [17_990_000_000] * 3
    assert ticks["trade_id"].tolist() == [b"5298"] * 3


@pytest.mark.parametrize(
    ("given", "length"),
    [
        ({}, LENGTH_SHORT),
        ({"conditions": ["@"]}, LENGTH_SHORT),
        ({"tape": "C"}, LENGTH_MIDDLE),
        ({"trade_id": "1"}, 64),
    ],
)
def test_a_tick_takes_no_more_room_than_it_needs(given: dict[str, Any], length: int) -> None:
    """What is absent at the end is left away."""
    assert len(encode_tick(time=TIME, price="1", **given)) == length


def test_a_later_version_is_read_as_far_as_it_is_known() -> None:
    """Fields that were added behind change nothing for a reader of this version."""
    later = with_bytes(FULL + b"\x01\x02\x03", 2, bytes([7, LENGTH_FULL + 3]))

    first, second = decode([FULL, later]).records

    for name in ("kind", "row", "time_ns", "price", "size", "eligible", "trade_id_length"):
        assert first[name] == second[name]
    assert (first["kind"], first["price"]) == (KIND_TICK, 17_990_000_000)


@pytest.mark.parametrize(
    ("value", "reason"),
    [
        (b"\xf5", "invalid_binary"),
        (SHORT[:-1], "invalid_binary"),
        (SHORT + b"\0", "invalid_binary"),
        (with_bytes(FULL, 3, b"\x20"), "invalid_binary"),
        (with_bytes(SHORT, 1, b"\2"), "unknown_binary_schema"),
        (with_bytes(SHORT, 2, b"\0"), "unknown_binary_schema"),
        (with_bytes(SHORT, 4, b"\0@"), "invalid_conditions"),
        (with_bytes(SHORT, 4, b"\x19"), "invalid_conditions"),
        (with_bytes(SHORT, 8, bytes(8)), "invalid_time"),
        (with_bytes(SHORT, 8, b"\xff" * 7 + b"\x7f"), "invalid_time"),
        (with_bytes(SHORT, 16, bytes(8)), "invalid_price"),
        (with_bytes(SHORT, 16, b"\xff" * 8), "invalid_price"),
        (with_bytes(SHORT, 16, b"\xff" * 7 + b"\x7f"), "price_out_of_range"),
        (with_bytes(SHORT, 24, b"\xff" * 8), "invalid_size"),
        (with_bytes(SHORT, 24, b"\xff" * 7 + b"\x7f"), "size_out_of_range"),
        (with_bytes(FULL, 32, b"\x19"), "invalid_trade_id"),
        (with_bytes(FULL, 32, b"\x05"), "invalid_trade_id"),
        (with_bytes(FULL[:LENGTH_MIDDLE], 3, bytes([LENGTH_MIDDLE])), "invalid_trade_id"),
        (with_bytes(FULL, 33, b"D"), "invalid_conditions"),
        (with_bytes(FULL, 34, b"\0X"), "wrong_type"),
    ],
)
def test_what_cannot_be_used_is_refused_with_its_reason(value: bytes, reason: str) -> None:
    """It becomes a dead letter, names what was expected, and leaves its neighbours alone."""
    decoded = decode([SHORT, value, FULL])

    assert [(rejected.index, rejected.reason) for rejected in decoded.rejected] == [(1, reason)]
    assert "expected" in decoded.rejected[0].message
    assert decoded.records["kind"].tolist() == [KIND_TICK, KIND_SKIP, KIND_TICK]


@pytest.mark.parametrize(
    ("key", "reason"),
    [
        (None, "missing_field"),
        (b"", "missing_field"),
        (b"XLON:VOD", "unknown_market"),
        (b"baba", "invalid_instrument"),
        (b"XNYS:BABA\0", "invalid_instrument"),
        (b"\xff" * 9, "invalid_instrument"),
        (b"XNYS:" + b"A" * 28, "invalid_instrument"),
    ],
)
def test_the_key_names_the_instrument(key: bytes | None, reason: str) -> None:
    """Without a usable key nobody knows what was traded."""
    decoded = decode([SHORT, SHORT], [KEY, key])

    assert [(rejected.index, rejected.reason) for rejected in decoded.rejected] == [(1, reason)]


@pytest.mark.parametrize(
    "given",
    [
        {"conditions": ["@", "F", "I", "T", "O"]},
        {"conditions": ["FI"]},
        {"tape": "D"},
        {"venue": "SEVENTH"},
        {"trade_id": "é"},
        {"trade_id": "x" * 25},
    ],
)
def test_the_publisher_refuses_what_the_layout_cannot_hold(given: dict[str, Any]) -> None:
    """The text says which field, what was expected and what was found."""
    with pytest.raises(ValueError, match=rf"^{next(iter(given))}: expected .*found"):
        encode_tick(time=TIME, price="1", **given)


def test_lines_are_published_in_the_binary_layout_where_it_holds_them() -> None:
    """Trades become binary, other records and longer venues stay as they are written."""
    tick = b'{"instrument":"XNYS:BABA","time":"%s","price":"179.90","size":100}' % TIME.encode()
    full = tick[:-1] + b',"conditions":["@"],"tape":"A","venue":"XNYS","trade_id":"5298"}'
    long = tick[:-1] + b',"venue":"SEVENTH"}'
    clock = b'{"type":"clock","time":"2025-09-30T13:30:00Z","mode":"live"}'

    lines = TickLines(["XNYS"], binary=True)
    steps = lines.feed("ticks.jsonl", b"\n".join([tick, full, long, clock]), last=True)

    assert [(step.key, step.value) for step in steps if isinstance(step, Step)] == [
        ("XNYS:BABA", SHORT),
        ("XNYS:BABA", FULL),
        ("XNYS:BABA", long),
        ("", clock),
    ]
