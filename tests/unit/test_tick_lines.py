"""JSON lines to steps: what the worker would refuse is named with its line, the rest is sent as it is."""

from __future__ import annotations

from streams.feeds.history import Refused
from streams.feeds.steps import Step
from streams.feeds.ticks import TickLines

TICK = b'{"instrument":"XNYS:BABA","time":"2025-09-30T13:30:00Z","price":"181.66","size":"100"}'
BAR = b'{"type":"bar","instrument":"XNAS:AAPL","session_date":"2025-09-10","open":"1","high":"1","low":"1","close":"1"}'
CLOCK = b'{"type":"clock","time":"2025-09-30T13:30:00Z","mode":"live"}'


def feed(data: bytes, *, chunk: int = 1 << 20) -> list[Step | Refused]:
    lines = TickLines(["XNYS", "XNAS"])
    pieces = [data[start : start + chunk] for start in range(0, len(data), chunk)]
    found = [entry for piece in pieces for entry in lines.feed("ticks.jsonl", piece, last=False)]
    return [*found, *lines.feed("ticks.jsonl", b"", last=True)]


def test_every_kind_of_record_is_sent_as_it_is_written() -> None:
    """Ticks and bars go by their instrument, clocks to every partition; the bytes are those of the line."""
    steps = feed(b"\n".join([TICK, BAR, CLOCK]) + b"\n")

    assert [(step.kind, step.key, step.value) for step in steps if isinstance(step, Step)] == [
        ("tick", "XNYS:BABA", TICK),
        ("bar", "XNAS:AAPL", BAR),
        ("clock", "", CLOCK),
    ]


def test_bad_line_is_named_and_its_neighbours_are_sent() -> None:
    """The message has file, line, what was expected and what was found."""
    bad = TICK.replace(b'"181.66"', b'"NaN"')

    first, refused, last = feed(b"\n".join([TICK, bad, TICK]))

    assert isinstance(first, Step)
    assert isinstance(last, Step)
    assert isinstance(refused, Refused)
    assert refused.where == "ticks.jsonl:2"
    assert "price" in refused.message


def test_line_numbers_count_over_chunks_and_blank_lines() -> None:
    """However the file is read, line 5 is line 5; blank lines and other line ends are no records."""
    data = b"\xef\xbb\xbf" + b"\r\n".join([TICK, b"", TICK, b"   ", b"{", TICK])

    for chunk in (1, 7, 90, 1 << 20):
        found = feed(data, chunk=chunk)
        assert [entry.where for entry in found if isinstance(entry, Refused)] == ["ticks.jsonl:4", "ticks.jsonl:5"], (
            chunk
        )
        assert [entry.value for entry in found if isinstance(entry, Step)] == [TICK] * 3


def test_unknown_market_is_refused_before_it_is_sent() -> None:
    """The worker would put it aside; better that its sender knows."""
    (refused,) = feed(TICK.replace(b"XNYS", b"XTKS"))

    assert isinstance(refused, Refused)
    assert "XTKS" in refused.message


def test_next_file_begins_with_line_one() -> None:
    """Several files share one reader."""
    lines = TickLines(["XNYS"])
    lines.feed("a.jsonl", TICK + b"\n" + TICK, last=True)

    (refused,) = lines.feed("b.jsonl", b"{", last=True)

    assert isinstance(refused, Refused)
    assert refused.where == "b.jsonl:1"
