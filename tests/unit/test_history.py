"""Daily bars from CSV: what a file says becomes bar records, and what it says wrongly is named with its line."""

from __future__ import annotations

from pathlib import Path

import orjson
import pytest

from streams.core.units import SCALE, parse_date
from streams.feeds.history import (
    DailyBar,
    HistoryError,
    Refused,
    bar_step,
    instrument_of,
    parse_bars,
    read_bars,
    whole_shares,
)

HEADER = "date,open,high,low,close,volume"


def parse(*lines: str) -> list[DailyBar | Refused]:
    return list(parse_bars([HEADER, *lines], name="XNYS_BABA.csv", instrument="XNYS:BABA"))


def test_bar_becomes_a_record_of_the_tick_topic() -> None:
    """The record carries the four prices and the volume as decimal text, exactly as the file has them."""
    (bar,) = parse("2025-09-29,178.08,181.344,177.59,179.90,21576300.0")

    assert isinstance(bar, DailyBar)
    assert orjson.loads(bar_step(bar).value) == {
        "type": "bar",
        "instrument": "XNYS:BABA",
        "session_date": "2025-09-29",
        "open": "178.08",
        "high": "181.344",
        "low": "177.59",
        "close": "179.9",
        "volume": "21576300",
    }


def test_columns_may_stand_in_any_order_and_others_are_ignored() -> None:
    """The header decides which column is which."""
    lines = ["Close,Note,Date,Low,High,Open", "179.90,x,2025-09-29,177.59,181.344,178.08"]

    (bar,) = parse_bars(lines, name="a.csv", instrument="XNYS:BABA")

    assert isinstance(bar, DailyBar)
    assert (bar.date, bar.close, bar.volume) == (parse_date("2025-09-29"), 17_990_000_000, None)


def test_session_known_to_be_without_trades_has_no_prices() -> None:
    """A volume of zero says that nothing traded; the record then has no prices."""
    (bar,) = parse("2025-09-29,,,,,0")

    assert isinstance(bar, DailyBar)
    assert not bar.traded
    assert orjson.loads(bar_step(bar).value) == {
        "type": "bar",
        "instrument": "XNYS:BABA",
        "session_date": "2025-09-29",
        "volume": "0",
    }


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("2025-09-29,178.08,181.344,177.59,179.90", "expected 6 columns, found 5"),
        ("2025-09-31,178.08,181.344,177.59,179.90,1", "date: "),
        ("2025-09-29,abc,181.344,177.59,179.90,1", "open: "),
        ("2025-09-29,178.08,NaN,177.59,179.90,1", "high: "),
        ("2025-09-29,178.08,181.344,177.59,,1", "close: "),
        ("2025-09-29,178.08,181.344,177.59,181.35,1", "low <= open, close <= high"),
        ("2025-09-29,-1,181.344,-2,179.90,1", "above zero"),
        ("2025-09-29,178.08,181.344,177.59,179.90,-5", "volume: expected zero or more"),
    ],
)
def test_wrong_line_is_named_and_the_next_one_still_counts(line: str, said: str) -> None:
    """A line that cannot be used is refused with file, line and reason; the others are not affected."""
    refused, bar = parse(line, "2025-09-30,181.66,182.15,177.10,178.73,18681500")

    assert isinstance(refused, Refused)
    assert refused.where == "XNYS_BABA.csv:2"
    assert said in refused.message
    assert isinstance(bar, DailyBar)


def test_missing_column_refuses_the_file() -> None:
    """Without a column for each price there is nothing to read."""
    (refused,) = parse_bars(["date,open,high,low", "2025-09-29,1,1,1"], name="a.csv", instrument="XNYS:A")

    assert str(refused).startswith("a.csv:1: expected a header with the columns date, open, high, low, close, volume")
    assert str(refused).endswith("found no 'close'")


def test_file_name_says_whose_bars_they_are() -> None:
    """`MIC_SYMBOL.csv`, with anything after a second underscore."""
    names = ["XNYS_BABA_daily.csv", "XHKG_9988.csv", "XNYS_BRK.B_2024_2025.csv"]

    assert [instrument_of(Path(name)) for name in names] == ["XNYS:BABA", "XHKG:9988", "XNYS:BRK.B"]


@pytest.mark.parametrize("name", ["baba.csv", "NYSE-BABA.csv", "XNYS_.csv", "XNYS_BABA.txt"])
def test_other_file_names_need_an_instrument(name: str) -> None:
    """A name that says nothing is refused with what to do."""
    with pytest.raises(HistoryError, match="--instrument MIC:SYMBOL"):
        instrument_of(Path(name))


def test_file_out_of_date_order_is_refused(tmp_path: Path) -> None:
    """A replay plays the lines in order, so they must be in order."""
    path = tmp_path / "XNYS_A.csv"
    path.write_text(f"{HEADER}\n2025-09-30,1,1,1,1,1\n2025-09-29,1,1,1,1,1\n")

    with pytest.raises(HistoryError, match=r"XNYS_A\.csv:3: expected a date after 2025-09-30, found 2025-09-29"):
        read_bars(path)


def test_file_without_bars_is_refused(tmp_path: Path) -> None:
    """An empty file is a mistake, not an empty history."""
    path = tmp_path / "XNYS_A.csv"
    path.write_text(f"{HEADER}\n")

    with pytest.raises(HistoryError, match="expected at least one bar"):
        read_bars(path)


def test_shares_divide_without_a_rest() -> None:
    """Parts are whole shares and add up to the volume; what does not divide goes to the last ones."""
    assert [part // SCALE for part in whole_shares(10 * SCALE, 4)] == [2, 2, 3, 3]
    assert sum(whole_shares(2 * SCALE + 5, 4)) == 2 * SCALE + 5
