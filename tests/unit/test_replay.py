"""Bars played as a market: four ticks a session, a clock in front of every second, several files merged by time."""

from __future__ import annotations

from collections.abc import Iterable
from pathlib import Path
from typing import Any

import orjson
import pytest

from streams.calendars import load_markets
from streams.core.processor import Processor
from streams.core.sessions import Markets
from streams.core.units import NS, format_time, parse_date, parse_time
from streams.feeds.history import DailyBar, HistoryError, parse_bars
from streams.feeds.replay import NothingPlayed, bar_ticks, read_news, replay_files
from streams.feeds.steps import Step, clock_step, with_clocks

HEADER = "date,open,high,low,close,volume"
MARKETS = load_markets(["XNYS", "XHKG"])


def ticks_of(instrument: str, line: str, markets: Markets = MARKETS) -> list[tuple[str, str, str]]:
    (bar,) = parse_bars([HEADER, line], name="a.csv", instrument=instrument)
    assert isinstance(bar, DailyBar)
    session = markets.session_on(instrument[:4], bar.date)
    assert session is not None
    documents = [orjson.loads(step.value) for step in bar_ticks(bar, session)]
    return [(document["time"], document["price"], document["size"]) for document in documents]


def write(folder: Path, name: str, *lines: str) -> Path:
    path = folder / name
    path.write_text("\n".join([HEADER, *lines]) + "\n")
    return path


def documents(steps: Iterable[Step]) -> list[dict[str, Any]]:
    return [orjson.loads(step.value) for step in steps]


def test_session_is_open_nearer_extreme_other_extreme_close() -> None:
    """Spread over the session: the bell, a third, two thirds, and a second before the end; volume in whole shares."""
    assert ticks_of("XNYS:BABA", "2025-09-29,178.08,181.344,177.59,179.90,21576303") == [
        ("2025-09-29T13:30:00Z", "178.08", "5394075"),
        ("2025-09-29T15:40:00Z", "177.59", "5394076"),
        ("2025-09-29T17:50:00Z", "181.344", "5394076"),
        ("2025-09-29T19:59:59Z", "179.9", "5394076"),
    ]


def test_high_comes_first_when_it_is_nearer_or_as_near() -> None:
    """The nearer of high and low follows the open; the high when both are as near."""
    assert [price for _, price, _ in ticks_of("XNYS:A", "2025-09-29,10,11,9,10,4")] == ["10", "11", "9", "10"]
    assert [price for _, price, _ in ticks_of("XNYS:A", "2025-09-29,10,10.5,9,10,4")] == ["10", "10.5", "9", "10"]


def test_lunch_break_is_skipped_over() -> None:
    """Hong Kong trades 5.5 hours around a break: thirds of the traded time, none within 04:00 to 05:00 UTC."""
    assert [time for time, _, _ in ticks_of("XHKG:9988", "2025-09-29,10,11,9,10,4")] == [
        "2025-09-29T01:30:00Z",
        "2025-09-29T03:20:00Z",
        "2025-09-29T06:10:00Z",
        "2025-09-29T07:59:59Z",
    ]


def test_half_day_ends_before_its_own_bell() -> None:
    """The day after Thanksgiving closes at 13:00 in New York."""
    assert ticks_of("XNYS:A", "2025-11-28,10,11,9,10,4")[-1][0] == "2025-11-28T17:59:59Z"


def test_session_without_a_trade_has_no_ticks() -> None:
    """Only its clocks are played."""
    assert ticks_of("XNYS:A", "2025-09-29,,,,,0") == []


def test_clock_precedes_every_new_second() -> None:
    """A tick is never past the newest clock by a second; clocks that bring nothing new are left out."""
    start = parse_time("2025-09-29T13:30:00Z")
    offsets = [0, NS // 2, NS + 1, 3 * NS - 1, 3 * NS]
    ticks = [Step("tick", start + offset, "XNYS:A", b"{}") for offset in offsets]

    steps = list(with_clocks([clock_step(start), *ticks, clock_step(start + 3 * NS)]))

    assert [(step.kind, step.time_ns - start) for step in steps] == [
        ("clock", 0),
        ("tick", 0),
        ("tick", NS // 2),
        ("clock", NS),
        ("tick", NS + 1),
        ("clock", 2 * NS),
        ("tick", 3 * NS - 1),
        ("clock", 3 * NS),
        ("tick", 3 * NS),
    ]


def test_history_comes_first_then_sessions_with_their_bounds(tmp_path: Path) -> None:
    """Bars before the date are bar records; each played session has clocks at open, close and 15 minutes later."""
    path = write(tmp_path, "XNYS_A.csv", "2025-09-26,10,11,9,10,4", "2025-09-29,10,11,9,10,4")

    steps = list(replay_files([path], from_date=parse_date("2025-09-29"), markets=MARKETS))

    assert [step.kind for step in steps[:2]] == ["bar", "clock"]
    clocks = [document["time"] for document in documents(steps) if document.get("type") == "clock"]
    assert clocks == [
        "2025-09-29T13:30:00Z",
        "2025-09-29T15:40:00Z",
        "2025-09-29T17:50:00Z",
        "2025-09-29T19:59:59Z",
        "2025-09-29T20:00:00Z",
        "2025-09-29T20:15:00Z",
    ]
    assert {document["mode"] for document in documents(steps) if document.get("type") == "clock"} == {"replay"}


def test_files_are_merged_by_time(tmp_path: Path) -> None:
    """Event time never runs backwards over all instruments and markets, and all history precedes all sessions."""
    paths = [
        write(tmp_path, "XNYS_A.csv", "2025-09-26,10,11,9,10,4", "2025-09-29,10,11,9,10,4", "2025-09-30,1,1,1,1,4"),
        write(tmp_path, "XHKG_9988.csv", "2025-09-26,10,11,9,10,4", "2025-09-29,10,11,9,10,4", "2025-09-30,1,1,1,1,4"),
    ]

    steps = list(replay_files(paths, from_date=parse_date("2025-09-29"), markets=MARKETS))

    times = [step.time_ns for step in steps]
    assert [step.kind for step in steps[:3]] == ["bar", "bar", "clock"]
    assert times == sorted(times)
    assert [step.key for step in steps if step.kind == "tick"] == (["XHKG:9988"] * 4 + ["XNYS:A"] * 4) * 2
    opens = [format_time(step.time_ns) for step in steps if step.kind == "tick"][::4]
    assert opens == [
        "2025-09-29T01:30:00Z",
        "2025-09-29T13:30:00Z",
        "2025-09-30T01:30:00Z",
        "2025-09-30T13:30:00Z",
    ]


def test_engine_refuses_nothing_of_a_replay(tmp_path: Path) -> None:
    """Every record of a replay is accepted: no tick lies past its clock, no bar in an open session."""
    path = write(tmp_path, "XNYS_A.csv", "2025-09-26,10,11,9,10,4", "2025-09-29,10,11,9,10,4")
    processor = Processor(MARKETS)

    processor.records(documents(replay_files([path], from_date=parse_date("2025-09-29"), markets=MARKETS)))

    counters = processor.engine.counters()
    assert processor.refused == []
    assert (counters["bars"], counters["ticks"]) == (1, 4)
    assert counters["ticks_late"] == counters["ticks_out_of_session"] == counters["clocks_backward"] == 0


def test_date_that_is_no_session_is_refused(tmp_path: Path) -> None:
    """A Saturday's bar is a mistake in the file, and is told before anything is sent."""
    path = write(tmp_path, "XNYS_A.csv", "2025-09-27,10,11,9,10,4")

    with pytest.raises(HistoryError, match=r"XNYS_A\.csv:2: expected a session of XNYS, found 2025-09-27"):
        replay_files([path], from_date=parse_date("2025-09-27"), markets=MARKETS)


def test_replay_without_a_session_is_refused(tmp_path: Path) -> None:
    """With history alone, whatever the news, nothing would be played: the newest date of all files is named."""
    paths = [
        write(tmp_path, "XNYS_A.csv", "2025-09-26,10,11,9,10,4", "2025-09-29,10,11,9,10,4"),
        write(tmp_path, "XHKG_9988.csv", "2025-09-26,10,11,9,10,4"),
    ]

    with pytest.raises(NothingPlayed, match=r"session on 2025-09-30 or later, found 2025-09-29 as the last date"):
        replay_files(paths, from_date=parse_date("2025-09-30"), markets=MARKETS)


def test_replay_begins_with_its_first_clock(tmp_path: Path) -> None:
    """The earliest opening of all files, or the second of an article before it."""
    path = write(tmp_path, "XNYS_A.csv", "2025-09-26,10,11,9,10,4", "2025-09-29,10,11,9,10,4")
    news = tmp_path / "news.jsonl"
    news.write_text('{"article_id":"1","source":"wire","title":"T","published_at":"2025-09-27T10:00:00.5Z"}\n')
    from_date = parse_date("2025-09-29")

    plain = replay_files([path], from_date=from_date, markets=MARKETS)
    with_news = replay_files([path], from_date=from_date, markets=MARKETS, articles=read_news([news]))

    begins = [format_time(plain.begins_ns), format_time(with_news.begins_ns)]
    assert begins == ["2025-09-29T13:30:00Z", "2025-09-27T10:00:00Z"]


def test_market_that_is_not_loaded_is_refused(tmp_path: Path) -> None:
    """The message names the markets that are known and the key to change."""
    path = write(tmp_path, "XTKS_7203.csv", "2025-09-26,10,11,9,10,4")

    with pytest.raises(
        HistoryError, match=r"expected a market among XNYS, XHKG, found 'XTKS': add it to markets\.mics"
    ):
        replay_files([path], from_date=parse_date("2025-09-26"), markets=MARKETS)


def test_articles_come_at_their_own_time(tmp_path: Path) -> None:
    """Among the ticks, behind the clock of their second, in order of time whatever the files' order."""
    bars = write(tmp_path, "XNYS_A_daily.csv", "2025-09-29,10,11,9,10,4", "2025-09-30,10,11,9,10,4")
    lines = [
        {"article_id": str(number), "source": "wire", "title": "T", "published_at": time}
        for number, time in enumerate(["2025-09-30T11:45:02Z", "2025-09-29T15:41:00.5Z", "2025-09-26T10:00:00Z"])
    ]
    news = tmp_path / "news.jsonl"
    news.write_bytes(b"\n".join(map(orjson.dumps, lines)))

    steps = list(replay_files([bars], from_date=parse_date("2025-09-29"), markets=MARKETS, articles=read_news([news])))

    places = {step.key: index for index, step in enumerate(steps) if step.kind == "article"}
    assert list(places) == ["2", "1", "0"]
    assert [steps[at - 1].kind for at in places.values()] == ["clock"] * 3
    assert [format_time(steps[at - 1].time_ns) for at in places.values()] == [
        "2025-09-26T10:00:00Z",
        "2025-09-29T15:41:00Z",
        "2025-09-30T11:45:02Z",
    ]
    times = [step.time_ns for step in steps]
    assert times == sorted(times)


def test_what_is_no_article_stops_a_replay_before_it_begins(tmp_path: Path) -> None:
    """Half a replay is worth nothing: the file and the line are named, and nothing is sent."""
    news = tmp_path / "news.jsonl"
    news.write_text('{"article_id": "1"}\n')

    with pytest.raises(HistoryError, match=r"^news\.jsonl:1: "):
        read_news([news])
