"""Files of daily bars of any vendor: raw or adjusted as stated, held against their own split days, gaps told."""

from __future__ import annotations

import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.calendars import load_markets
from streams.core.instruments import Instruments
from streams.core.units import format_date, parse_date
from streams.feeds.actions import read_actions
from streams.feeds.bar_files import AskedWrongly, Note, Reading, bars_of, check_asked, sources_of
from streams.feeds.history import HistoryError, Refused
from streams.feeds.steps import Step
from streams.feeds.tables import Source
from streams.wire.tick_records import decode_value
from streams.wire.tick_values import Bar

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


def test_adjusted_prices_may_bring_their_splits(folder: Path) -> None:
    """In a column of that name, whatever its capitals."""
    text = "Date,Open,High,Low,Close,Split\n2025-06-02,100.001,101,99,100,0\n2025-06-03,100,101,99,100,4\n"
    source = Source("XNYS_A.csv", folder / "XNYS_A.csv")
    (folder / "XNYS_A.csv").write_text(text)

    check_asked([source], ADJUSTED)
    first, second = (each for each in bars_of(source, ADJUSTED, MARKETS) if isinstance(each, Step))

    assert json.loads(first.value)["close"] == "400"
    assert json.loads(second.value)["close"] == "100"


def test_date_outside_the_calendar_is_said_to_be_that(folder: Path) -> None:
    """It is no holiday."""
    (folder / "XNYS_A.csv").write_text(HEADER + "\n1985-06-10,1,1,1,1,1\n2025-06-07,1,1,1,1,1\n")

    early, saturday = (str(each) for each in bars_of(Source("XNYS_A.csv", folder / "XNYS_A.csv"), Reading(), MARKETS))

    assert "found 1985-06-10, outside its calendar, 1990-01-02 to" in early
    assert "found 2025-06-07, when it was closed" in saturday


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
    # Of the split's own day nothing is stated; of the others that they had none.
    assert [bar.get("split") for bar in bars] == [False] * 6 + [None] + [False] * 5


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


CELLS = st.one_of(
    st.sampled_from(
        ["2025-06-09", "2025-06-10", "2025-06-15", "20250611", "100", "400", "100.25", "0", "-1", "nan", ""]
    ),
    st.sampled_from(["1e9", "1e-9", "8000000", "99999999999", "181.33999633789062", "4:1", "0:0", "XNYS:A", "XLON:A"]),
    st.text(max_size=6).map(lambda text: text.replace(",", "").replace('"', "")),
)
LINES = st.one_of(
    st.lists(CELLS, min_size=9, max_size=9).map(",".join),
    st.sampled_from([f"2025-06-{day:02d},100,100,100,100,1000,XNYS:A,," for day in range(2, 14)]),
    st.sampled_from([f"2025-06-{day:02d},8000000,8000000,1e-8,1,9e9,XNYS:A,4:1,7" for day in range(2, 14)]),
    st.text(max_size=30),
)


@settings(deadline=None)
@given(st.lists(LINES, max_size=12).map("\n".join), st.sampled_from(["raw", "adjusted"]), st.booleans())
def test_whatever_a_file_holds_it_is_read_or_refused(text: str, holds: Any, has_actions: bool) -> None:
    """No text crashes the reader; what it sends are bars of sessions, with prices that a worker takes."""
    header = f"{HEADER},instrument,split,adj_close"
    source = Source("standard input", data=f"{header}\n{text}".encode("utf-8", "surrogatepass"))
    columns = {"split": "split"}
    reading = Reading(holds=holds, columns=columns, actions=actions() if has_actions else None)

    for entry in bars_of(source, reading, MARKETS):
        if not isinstance(entry, Step):
            continue
        decoded = decode_value(entry.value, Instruments(["XNYS"]))
        assert isinstance(decoded, Bar)
        assert MARKETS.session_on("XNYS", decoded.date) is not None
