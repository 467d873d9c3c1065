"""With thousands of instruments rows are asked for ahead of their records; what is read stays the same."""

from __future__ import annotations

import random

import pytest

from streams.core.instruments import ID_BYTES, Instruments
from streams.wire.batches import frame_values
from streams.wire.binary_ticks import encode_tick
from streams.wire.tick_reader import WIDE
from streams.wire.ticks import TickDecoder

NAMES = [f"XNYS:S{number:04d}" for number in range(3_000)] + ["XNYS:" + "L" * (ID_BYTES - 5), "XNYS:A", "XNYS:T"]


def json_tick(name: str, number: int) -> bytes:
    return (
        f'{{"instrument":"{name}","time":"2025-09-29T15:30:00Z","price":"{100 + number % 7}.5","size":"{number}"}}'
    ).encode()


def table() -> Instruments:
    instruments = Instruments(["XNYS"])
    for name in NAMES:
        instruments.row(name)
    assert instruments.slots.size >= WIDE, "expected a table that is wide enough to be asked ahead"
    return instruments


@pytest.mark.parametrize("seed", range(4))
def test_keys_are_a_hint_and_no_more(seed: int) -> None:
    """Keys that are no instrument, empty, missing, too long, or past the last value change no column."""
    source = random.Random(seed)
    values: list[bytes | None] = []
    keys: list[bytes | None] = []
    for number in range(400):
        name = source.choice(NAMES)
        key = source.choice((name.encode(), name.encode(), b"", None, b"k" * 40, source.choice(NAMES).encode()))
        value = source.choice((json_tick(name, number), json_tick(name, number), None))
        if source.random() < 0.3:
            key = name.encode()
            value = encode_tick(time=1_759_159_800_000_000_000, price="101.25", size="7")
        values.append(value)
        keys.append(key)
    values += [json_tick("XNYS:NEW", 1), None]
    keys += [b"XNYS:NEW", b"XNYS:T"]  # The last key ends the buffer but for a byte.

    frames = frame_values(values, keys=keys)
    plain = TickDecoder(table()).decode(frames)
    thorough = TickDecoder(table(), read_plain=False).decode(frames)

    assert plain.records.tobytes() == thorough.records.tobytes()
    assert [refused.index for refused in plain.rejected] == [refused.index for refused in thorough.rejected]
