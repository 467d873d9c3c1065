"""Files of daily bars of any vendor: raw or adjusted as stated, held against their own split days, gaps told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from fractions import Fraction
from pathlib import Path
from typing import Any

import pyarrow
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pyarrow import parquet

from streams.calendars import load_markets
from streams.core.instruments import Instruments
from streams.core.units import format_date, parse_date
from streams.feeds.actions import read_actions
from streams.feeds.amounts import scaled, shortest
from streams.feeds.bar_files import AskedWrongly, Note, Reading, bars_of, check_asked, sources_of
from streams.feeds.history import HistoryError, Refused
from streams.feeds.steps import Step
from streams.feeds.tables import Source

HEADER = "date,open,high,low,close,volume"
VENDOR = "Date,Open,High,Low,Close,Adj Close,Volume"
MARKETS = load_markets(["XNYS", "XNAS"])
SPLIT = "instrument,action,ex_date,ratio\nXNYS:A,split,2025-06-10,4:1\n"
RAW = Reading(holds="raw")
ADJUSTED = Reading(holds="adjusted")


def actions(text: str = SPLIT) -> Mapping[str, Any]:
    return read_actions([Source("actions.csv", data=text.encode())], {}, Instruments(["XNYS", "XNAS"]))


def read(text: str, reading: Reading, *, name: str = "XNYS_A.csv") -> tuple[list[dict[str, Any]], list[str], list[str]]:
    return read_source(Source(name, Path(name), text.encode()), reading)


def read_source(source: Source, reading: Reading) -> tuple[list[dict[str, Any]], list[str], list[str]]:
    bars, refused, notes = [], [], []
    for entry in bars_of(source, reading, MARKETS):
        if isinstance(entry, Step):
            bars.append(json.loads(entry.value))
        elif isinstance(entry, Refused):
            refused.append(str(entry))
        elif isinstance(entry, Note):
            notes.append(str(entry))
    return bars, refused, notes


@pytest.fixture
def folder(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    monkeypatch.chdir(tmp_path)
    return tmp_path


def published(
    folder: Path, text: str, reading: Reading, *, name: str = "XNYS_A.csv"
) -> tuple[list[dict[str, Any]], list[str], list[str]]:
    (folder / name).write_text(text)
    return read_source(Source(name, Path(name)), reading)


def days(first: str, count: int) -> list[str]:
    dates = MARKETS.sessions_of("XNYS")["date"]
    return [format_date(day) for day in dates[dates >= parse_date(first)][:count].tolist()]


def flat(*runs: tuple[str, int], first: str = "2025-06-02", header: str = HEADER) -> str:
    """Return a file of sessions with one price each: runs of a price and a number of sessions."""
    prices = [price for price, count in runs for _ in range(count)]
    lines = [
        f"{day},{price},{price},{price},{price},1000"
        for day, price in zip(days(first, len(prices)), prices, strict=True)
    ]
    return "\n".join([header, *lines, ""])


# 2025-06-10 is the seventh session from 2025-06-02 on.
RAW_FILE = flat(("400", 6), ("100", 6))
ADJUSTED_FILE = flat(("100.5000", 1), ("100", 11))


def test_file_in_our_own_layout_is_raw_and_named_after_its_instrument(folder: Path) -> None:
    """Exactly our columns: nothing has to be stated, and the prices go out as they stand."""
    bars, refused, notes = published(folder, f"{HEADER}\n2025-06-02,100,101.5,99.25,100.10,1200\n", Reading())

    assert (refused, notes) == ([], [])
    assert bars == [
        {
            "type": "bar",
            "instrument": "XNYS:A",
            "session_date": "2025-06-02",
            "open": "100",
            "high": "101.5",
            "low": "99.25",
            "close": "100.1",
            "volume": "1200",
        }
    ]


@pytest.mark.parametrize("header", [VENDOR, HEADER.title(), f"{HEADER},note", f"{HEADER},adj_close"])
def test_what_other_files_hold_must_be_stated(folder: Path, header: str) -> None:
    """A file of any other layout could be adjusted: it is never guessed."""
    (folder / "XNYS_A.csv").write_text(header + "\n")

    with pytest.raises(AskedWrongly, match="say --raw if they are as traded, --adjusted if they are adjusted"):
        check_asked([Source("XNYS_A.csv", Path("XNYS_A.csv"))], Reading())


def test_adjusted_prices_need_the_actions(folder: Path) -> None:
    """Without them nobody knows what the prices once were."""
    (folder / "XNYS_A.csv").write_text(HEADER + "\n")

    with pytest.raises(AskedWrongly, match="expected the actions that the prices are adjusted for"):
        check_asked([Source("XNYS_A.csv", Path("XNYS_A.csv"))], ADJUSTED)


def test_columns_are_mapped(folder: Path) -> None:
    """The file's own names, whatever they are; names that are ours but for their capitals need no mapping."""
    text = "Day,Open,High,Low,Last Price,Volume\n20250602,100,101,99,100,2.5e3\n"

    bars, refused, _ = published(folder, text, Reading(holds="raw", columns={"date": "Day", "close": "Last Price"}))

    assert refused == []
    assert [(bar["session_date"], bar["close"], bar["volume"]) for bar in bars] == [("2025-06-02", "100", "2500")]


def test_missing_column_is_told_with_those_there_are(folder: Path) -> None:
    """The message names the columns of the file and what to write."""
    with pytest.raises(
        HistoryError, match=r"expected a column 'close', found Date, Open, High, Low: name it with --columns close="
    ):
        published(folder, "Date,Open,High,Low\n", RAW)


def test_prices_that_went_through_a_float_are_what_was_meant(folder: Path) -> None:
    """Four bytes of 181.34 print as 181.33999633789062, eight bytes as 181.34: both are 181.34."""
    text = f"{VENDOR}\n2025-06-02,181.33999633789062,181.33999633789062,181.34,181.339999999999975,181.3,1\n"

    bars, refused, _ = published(folder, text, RAW)

    assert refused == []
    assert {bars[0][name] for name in ("open", "high", "low", "close")} == {"181.34"}


def test_raw_file_with_a_split_is_taken_as_it_is(folder: Path) -> None:
    """The price falls to a quarter on the split's day, so the file is raw as stated."""
    bars, refused, notes = published(folder, RAW_FILE, Reading(holds="raw", actions=actions()))

    assert (refused, notes) == ([], [])
    assert [bar["close"] for bar in bars] == ["400"] * 6 + ["100"] * 6


def test_adjusted_file_is_turned_back(folder: Path) -> None:
    """Prices before the split are multiplied, volumes divided; those after it stay."""
    bars, refused, notes = published(folder, ADJUSTED_FILE, Reading(holds="adjusted", actions=actions()))

    assert (refused, notes) == ([], [])
    before, after = ("400", "250"), ("100", "1000")
    assert [(bar["close"], bar["volume"]) for bar in bars] == [("402", "250")] + [before] * 5 + [after] * 6


def test_column_of_splits_stands_for_the_actions(folder: Path) -> None:
    """A vendor's own column says what its prices are adjusted for; 0 and 1 are days without a split."""
    lines = ADJUSTED_FILE.splitlines()
    marked = [f"{lines[0]},Stock Splits"] + [
        f"{line},{'4.0' if line.startswith('2025-06-10') else '0.0'}" for line in lines[1:]
    ]
    reading = Reading(holds="adjusted", columns={"split": "Stock Splits"})

    bars, refused, _ = published(folder, "\n".join(marked), reading)

    assert refused == []
    assert [bar["close"] for bar in bars] == ["402"] + ["400"] * 5 + ["100"] * 6


@pytest.mark.parametrize(
    ("text", "reading", "said"),
    [
        (
            ADJUSTED_FILE,
            Reading(holds="raw", actions=actions()),
            "expected raw prices, found adjusted ones: 2025-06-10",
        ),
        (
            RAW_FILE,
            Reading(holds="adjusted", actions=actions()),
            "expected adjusted prices, found raw ones: 2025-06-10",
        ),
    ],
)
def test_file_that_is_not_what_is_stated_is_refused(folder: Path, text: str, reading: Reading, said: str) -> None:
    """The split's day tells: a step where there should be none, or none where there should be one."""
    bars, refused, _ = published(folder, text, reading)

    assert bars == []
    assert len(refused) == 1
    assert said in refused[0]
    assert "None of its 12 bars is sent" in refused[0]


@pytest.mark.parametrize("holds", ["raw", "adjusted"])
def test_file_that_mixes_raw_and_adjusted_is_refused(folder: Path, holds: Any) -> None:
    """Two splits, one with a step and one without: whatever is stated, part of the file is the other."""
    both = SPLIT + "XNYS:A,split,2025-06-20,2:1\n"
    text = flat(("400", 6), ("100", 20))

    bars, refused, _ = published(folder, text, Reading(holds=holds, actions=actions(both)))

    assert bars == []
    assert f"expected {holds} prices throughout, found raw and adjusted ones mixed: " in refused[0]


def test_adjusted_close_beside_the_close_shows_a_split(folder: Path) -> None:
    """Where the two drift apart by a split and the close has no step, the prices are adjusted, whatever is said."""
    ratio = {day: "25" if day < "2025-06-10" else "100" for day in days("2025-06-02", 12)}
    lines = [f"{day},100,100,100,100,{adjusted},1" for day, adjusted in ratio.items()]

    bars, refused, _ = published(
        folder, "\n".join([VENDOR, *lines]), Reading(holds="raw", columns={"adj_close": "Adj Close"})
    )

    assert bars == []
    assert "expected raw prices, found adjusted ones" in refused[0]


def test_columns_that_mix_raw_and_adjusted_are_refused(folder: Path) -> None:
    """An adjusted close below the raw low cannot be: the line says what is the likely cause."""
    text = f"{VENDOR}\n2025-06-02,400,404,396,400,100,1\n"

    bars, refused, _ = published(folder, text, Reading(holds="raw", columns={"close": "Adj Close"}))

    assert bars == []
    assert "is one of the columns adjusted and another not?" in refused[0]


def test_split_after_the_last_bar_must_be_dated(folder: Path) -> None:
    """Whether the vendor has adjusted for it already is not in the file: it must be said."""
    text = flat(("100.0000", 3))

    _, refused, _ = published(folder, text, Reading(holds="adjusted", actions=actions()))
    before, none, _ = published(
        folder, text, Reading(holds="adjusted", actions=actions(), adjusted_to=parse_date("2025-06-09"))
    )
    after, _, _ = published(
        folder, text, Reading(holds="adjusted", actions=actions(), adjusted_to=parse_date("2025-06-10"))
    )

    assert "since a split follows on 2025-06-10" in refused[0]
    assert none == []
    assert [bar["close"] for bar in (before[0], after[0])] == ["100", "400"]


def test_adjusted_prices_with_too_few_decimals_are_refused(folder: Path) -> None:
    """After a 28:1 split, two decimals leave the raw price open by fourteen cents: it is not made up."""
    text = flat(("23.81", 6), ("23.80", 6))

    bars, refused, _ = published(folder, text, Reading(holds="adjusted", actions=actions(SPLIT.replace("4:1", "28:1"))))

    assert len(bars) == 6
    assert len(refused) == 6
    assert (
        "expected enough decimals to know the raw price to the cent, found 23.81, which may be 0.140 off" in refused[0]
    )


def test_split_in_the_column_that_the_actions_lack_is_refused(folder: Path) -> None:
    """Prices adjusted for a split that nobody listed cannot be turned back right."""
    lines = ADJUSTED_FILE.splitlines()
    marked = [f"{lines[0]},split"] + [f"{line},{'4' if '2025-06-10' in line else ''}" for line in lines[1:]]

    bars, refused, _ = published(
        folder,
        "\n".join(marked),
        Reading(holds="adjusted", actions=actions(SPLIT.replace("2025-06-10", "2025-06-12"))),
    )

    assert bars == []
    assert refused


def test_step_that_looks_like_a_split_is_noted(folder: Path) -> None:
    """Without an action it may be a fall or a split: the bars go out, and somebody should look."""
    bars, refused, notes = published(folder, RAW_FILE, Reading())

    assert (len(bars), refused) == (12, [])
    assert notes == [
        "XNYS_A.csv: XNYS:A: 400 to 100 on 2025-06-10 looks like a split, and no action names it: "
        "publish the action if it is one"
    ]


def test_gaps_are_told_against_the_calendar(folder: Path) -> None:
    """Sessions without a bar between the first and the last are named; holidays are none."""
    lines = flat(("100", 22)).splitlines()
    kept = [line for line in lines if not line.startswith(("2025-06-05", "2025-06-18"))]

    bars, refused, notes = published(folder, "\n".join(kept), Reading())

    assert (len(bars), refused) == (20, [])
    assert notes == ["XNYS_A.csv: XNYS:A: 2 of 22 sessions missing: 2025-06-05, 2025-06-18"]


def test_bar_of_a_closed_day_is_refused(folder: Path) -> None:
    """The worker would put it aside: Juneteenth is no session."""
    bars, refused, _ = published(folder, f"{HEADER}\n2025-06-18,1,1,1,1,1\n2025-06-19,1,1,1,1,1\n", Reading())

    assert len(bars) == 1
    assert refused[0].startswith("XNYS_A.csv:3: date: expected a session of XNYS, found 2025-06-19, when it was closed")


def test_two_bars_of_one_session_are_refused(folder: Path) -> None:
    """Nobody knows which one is right."""
    bars, refused, _ = published(folder, flat(("100", 2)) + "2025-06-03,1,1,1,1,1\n", Reading())

    assert bars == []
    assert "expected one bar a session, found 2025-06-03 in lines 3 and 4" in refused[0]


def test_bars_go_out_in_date_order_by_instrument(folder: Path) -> None:
    """A file may be sorted in any way: what is derived from history depends on its order."""
    text = "date,ticker,open,high,low,close\n2025-06-03,B,1,1,1,1\n2025-06-03,A,1,1,1,1\n2025-06-02,B,1,1,1,1\n"

    bars, refused, _ = published(
        folder, text, Reading(holds="raw", mic="XNYS", columns={"symbol": "ticker"}), name="all.csv"
    )

    assert refused == []
    assert [(bar["instrument"], bar["session_date"]) for bar in bars] == [
        ("XNYS:B", "2025-06-02"),
        ("XNYS:B", "2025-06-03"),
        ("XNYS:A", "2025-06-03"),
    ]


def test_bad_row_is_told_and_its_neighbours_are_sent(folder: Path) -> None:
    """Each with its line; an unknown market too."""
    text = (
        "instrument,date,open,high,low,close\nXNYS:A,2025-06-02,1,1,1,1\nXLON:A,2025-06-02,1,1,1,1\n"
        "XNYS:A,2025-06-03,1,1,1\nXNYS:A,2025-06-04,1,1,1,x\nXNYS:A,2025-06-05,1,1,1,1\n"
    )

    bars, refused, _ = published(folder, text, RAW, name="all.csv")

    assert [bar["session_date"] for bar in bars] == ["2025-06-02", "2025-06-05"]
    assert [each.partition(": ")[0] for each in refused] == ["all.csv:3", "all.csv:4", "all.csv:5"]


def test_folder_stands_for_its_files_by_name(folder: Path) -> None:
    """Files in folders below too; other kinds of files are left alone."""
    (folder / "more").mkdir()
    for name in ("XNYS_B.csv", "XNYS_A.csv", "more/XNYS_C.parquet", "notes.txt"):
        (folder / name).write_text("")

    assert [source.name for source in sources_of([Path()])] == ["XNYS_A.csv", "XNYS_B.csv", "more/XNYS_C.parquet"]


def test_folder_without_files_of_bars_is_refused(folder: Path) -> None:
    """A mistyped folder is a mistake, not an empty history."""
    with pytest.raises(AskedWrongly, match="found none in this folder"):
        sources_of([folder])


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

    bars, refused, _ = read_source(Source("all.parquet", Path("all.parquet")), Reading(holds="raw", mic="XNYS"))

    assert refused == []
    assert [(bar["instrument"], bar["close"], bar.get("volume")) for bar in bars] == [
        ("XNYS:BABA", "181.34", "21576300"),
        ("XNYS:BABA", "179.9", None),
    ]


def test_broken_parquet_is_told(folder: Path) -> None:
    """A file that is cut off, or is none, is named with the reader's words."""
    (folder / "XNYS_A.parquet").write_bytes(b"PAR1 rubbish")

    with pytest.raises(HistoryError, match=r"XNYS_A\.parquet: expected a Parquet file, found"):
        read_source(Source("XNYS_A.parquet", Path("XNYS_A.parquet")), RAW)


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


@settings(deadline=None)
@given(st.text(max_size=300), st.sampled_from(["raw", "adjusted", None]))
def test_whatever_a_file_holds_it_is_read_or_refused(text: str, holds: Any) -> None:
    """No text crashes the reader; what it sends are bars of sessions with prices above zero."""
    source = Source("standard input", data=f"{HEADER}\n{text}".encode("utf-8", "surrogatepass"))
    reading = Reading(holds=holds, instrument="XNYS:A", actions=actions())

    for entry in bars_of(source, reading, MARKETS):
        if isinstance(entry, Step):
            bar = json.loads(entry.value)
            assert MARKETS.session_on("XNYS", parse_date(bar["session_date"])) is not None
            assert "low" not in bar or scaled(bar["low"]) > 0
