"""Rows of CSV and Parquet files, and the amounts in them: whatever the file's types are, what was meant comes out."""

from __future__ import annotations

import io
import json
from fractions import Fraction
from pathlib import Path
from typing import Any

import numpy as np
import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from streams.calendars import load_markets
from streams.core.units import format_date, parse_date
from streams.feeds.amounts import scaled, shortest
from streams.feeds.bar_files import AskedWrongly, Reading, bars_of
from streams.feeds.history import HistoryError, Refused
from streams.feeds.steps import Step
from streams.feeds.tables import Source

MARKETS = load_markets(["XNYS"])
READING = Reading(holds="raw", mic="XNYS")


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def read(name: str) -> tuple[list[dict[str, Any]], list[str]]:
    entries = list(bars_of(Source(name, Path(name)), READING, MARKETS))
    bars = [json.loads(entry.value) for entry in entries if isinstance(entry, Step)]
    return bars, [str(entry) for entry in entries if isinstance(entry, Refused)]


@pytest.mark.parametrize("kind", [pyarrow.float64(), pyarrow.float32(), pyarrow.decimal128(18, 4)])
def test_parquet_gives_the_same_bars(folder: Path, kind: Any) -> None:
    """Whatever type the prices have, they are the prices that were written."""
    price = pyarrow.array([181.34, 179.9]).cast(kind)
    table = pyarrow.table(
        {
            "symbol": pyarrow.array(["BABA", "BABA"]).dictionary_encode(),
            "date": pyarrow.array([parse_date("2025-06-02"), parse_date("2025-06-03")], pyarrow.int32()).cast("date32"),
            **dict.fromkeys(("open", "high", "low", "close"), price),
            "volume": [21_576_300, None],
        }
    )
    parquet.write_table(table, folder / "all.parquet")

    bars, refused = read("all.parquet")

    assert refused == []
    assert [(bar["instrument"], bar["close"], bar.get("volume")) for bar in bars] == [
        ("XNYS:BABA", "181.34", "21576300"),
        ("XNYS:BABA", "179.9", None),
    ]


def test_broken_parquet_is_told(folder: Path) -> None:
    """A file that is cut off, or is none, is named with the reader's words."""
    (folder / "A.parquet").write_bytes(b"PAR1 rubbish")

    with pytest.raises(HistoryError, match=r"A\.parquet: expected a Parquet file, found one that cannot be read"):
        read("A.parquet")


@settings(deadline=None)
@given(st.lists(st.tuples(st.floats(0, 1), st.integers(0, 255)), min_size=1, max_size=20), st.floats(0, 1))
def test_damaged_parquet_is_read_or_refused(changes: list[tuple[float, int]], cut: float) -> None:
    """Whatever bytes are changed or cut off, the file is named and nothing crashes."""
    whole = io.BytesIO()
    prices = dict.fromkeys(("open", "high", "low", "close"), [1.5] * 20)
    parquet.write_table(
        pyarrow.table({"date": [format_date(day) for day in range(20_241, 20_261)], "symbol": ["A"] * 20, **prices}),
        whole,
    )
    data = bytearray(whole.getvalue())
    for place, value in changes:
        data[4 + int(place * (len(data) - 5))] = value
    source = Source("damaged", data=bytes(data[: 4 + int(cut * len(data))] if cut < 0.2 else data))
    refusal = ""

    try:
        list(bars_of(source, READING, MARKETS))
    except (AskedWrongly, HistoryError) as error:
        refusal = str(error)

    assert refusal == "" or refusal.startswith("damaged: ")


@pytest.mark.parametrize(
    ("utc", "unit", "zone", "expected"),
    [
        ("2025-06-02T00:00", "ns", None, "2025-06-02"),
        ("2025-06-02T04:00", "us", "America/New_York", "2025-06-02"),
        ("2025-06-02T00:00", "ms", "UTC", "2025-06-02"),
        ("2025-06-01T16:00", "us", "UTC", None),
        ("2025-06-02T20:00", "us", None, None),
    ],
)
def test_parquet_times_are_dates_where_they_are_midnights(
    folder: Path, utc: str, unit: str, zone: str | None, expected: str | None
) -> None:
    """Midnight where it was written is that date; any other time could be of two, and is refused."""
    written = pyarrow.array(np.array([utc], f"datetime64[{unit}]"), pyarrow.timestamp(unit, zone))
    prices = {name: [1.5] for name in ("open", "high", "low", "close")}
    parquet.write_table(pyarrow.table({"date": written, **prices}), folder / "A.parquet")

    bars, refused = read("A.parquet")

    assert [bar["session_date"] for bar in bars] == ([expected] if expected else [])
    assert bool(refused) is (expected is None)


def test_line_that_is_no_csv_is_told(folder: Path) -> None:
    """A quoted field without an end, or one of a size that no vendor writes, is one bad line."""
    lines = ["date,open,high,low,close,volume", "2025-06-02,1,1,1,1,1", f"2025-06-03,{'9' * 200_000},1,1,1,1"]
    text = "\n".join([*lines, "2025-06-04,1,1,1,1,1", ""])

    (folder / "A.csv").write_text(text)

    bars, refused = read("A.csv")

    assert [bar["session_date"] for bar in bars] == ["2025-06-02", "2025-06-04"]
    assert len(refused) == 1
    assert refused[0].startswith("A.csv:3: expected a line of CSV, found: field larger than field limit")


@pytest.mark.parametrize(
    ("text", "expected"),
    [("181.344", 18_134_400_000), ("0.00000001", 1), ("1e-7", 10), ("1.5E+3", 150_000_000_000), ("-1", -100_000_000)],
)
def test_amounts_up_to_eight_decimals_are_exact(text: str, expected: int) -> None:
    """They are taken as they stand, with an exponent or without."""
    assert scaled(text) == expected


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "1e400", "1_000", "1,000", "9" * 60, "1e-300", "--1"])
def test_other_amounts_are_refused(text: str) -> None:
    """Nothing that is no finite number passes."""
    with pytest.raises(ValueError, match="expected a number like"):
        scaled(text)


@settings(deadline=None)
@given(
    cents=st.integers(1, 50_000_000),
    numerator=st.integers(1, 30),
    denominator=st.integers(1, 30),
    decimals=st.integers(6, 8),
)
def test_price_survives_adjusting_and_turning_back(cents: int, numerator: int, denominator: int, decimals: int) -> None:
    """A price in cents, divided by a split, rounded as a vendor rounds, and turned back, is the price again."""
    factor = Fraction(denominator, numerator)
    price = Fraction(cents, 100)
    written = Fraction(round(price * factor * 10**decimals), 10**decimals)

    turned = shortest(written / factor, Fraction(1, 2 * 10**decimals) / factor)

    assert turned == cents * 10**6
