"""The judge of the benchmarks: it agrees with answers by hand, and finds every kind of wrong one."""

from __future__ import annotations

import asyncio
import dataclasses
import json
import random
import re
from collections.abc import Awaitable, Callable
from decimal import Decimal
from pathlib import Path

import orjson
import pytest

from benchmarks import report as report_page
from benchmarks import results
from benchmarks import shapes as shapes_page
from benchmarks.answers import Breakouts, RunningMaximum, judge
from benchmarks.contest import Timing
from benchmarks.contestants import BREAKOUTS, CONTESTANTS, Contestant
from benchmarks.generator import probes
from benchmarks.held import DRAIN_SECONDS_MAX, STEP_SECONDS, Step, highest_held
from benchmarks.pulses import Pulse, bar_of, batch_of, names, partition_of
from benchmarks.toolchain import PEERS
from benchmarks.workload import MIC, Workload, ticks
from streams.calendars import load_markets
from streams.core.engine import Engine
from streams.core.rules import Rules
from streams.core.signals import signals_of
from streams.core.units import format_date, parse_date, parse_time
from streams.wire.batches import read_batches
from streams.wire.binary_ticks import encode_tick
from streams.wire.ticks import TickDecoder

OPEN_NS = parse_time("2025-09-29T13:30:00Z")
RIGHT = [("XNYS:A", Decimal(1)), ("XNYS:B", Decimal(1)), ("XNYS:A", Decimal(2))]


def trade(instrument: str, time: str, price: str) -> bytes:
    return f'{{"instrument":"{instrument}","time":"2025-09-29T{time}Z","price":"{price}","size":"1"}}'.encode()


def bar(date: str, high: str, low: str) -> bytes:
    return f'{{"type":"bar","instrument":"XNYS:A","session_date":"{date}","high":"{high}","low":"{low}"}}'.encode()


def test_running_maximum_is_every_price_above_all_before() -> None:
    """Equal and lower prices are no maximum; instruments do not know each other."""
    oracle = RunningMaximum()
    for instrument, price in (("XNYS:A", "1.5"), ("XNYS:A", "1.50"), ("XNYS:B", "1"), ("XNYS:A", "2"), ("XNYS:A", "1")):
        oracle.observe(trade(instrument, "14:00:00", price))

    assert oracle.expected == [("XNYS:A", Decimal("1.5")), ("XNYS:B", Decimal(1)), ("XNYS:A", Decimal(2))]


def test_breakout_is_the_first_trade_past_the_levels_of_364_days() -> None:
    """A bar of 365 days before is too old, of equal highs the latest session counts, and each side breaks once."""
    oracle = Breakouts("2025-09-29")
    for date, high, low in (("2024-09-29", "130", "80"), ("2024-09-30", "120", "90"), ("2025-09-26", "120.0", "95")):
        oracle.observe(bar(date, high, low))
    for time, price in (("14:00:00", "120"), ("14:00:01.50", "120.01"), ("14:00:02", "121"), ("14:00:03", "89.99")):
        oracle.observe(trade("XNYS:A", time, price))

    up = ("XNYS:A", "up", Decimal("120.01"), "2025-09-29T14:00:01.5Z", Decimal(120), "2025-09-26")
    down = ("XNYS:A", "down", Decimal("89.99"), "2025-09-29T14:00:03Z", Decimal(90), "2024-09-30")
    assert oracle.expected == [up, down]


@pytest.mark.parametrize(
    "said, verdict",
    [
        (RIGHT, "yes"),
        ([RIGHT[1], RIGHT[0], RIGHT[2]], "yes"),
        (RIGHT[:2], "no: 1 missing, 0 wrong or doubled"),
        ([*RIGHT, RIGHT[0]], "no: 0 missing, 1 wrong or doubled"),
        ([*RIGHT[:2], ("XNYS:A", Decimal(3))], "no: 1 missing, 1 wrong or doubled"),
        (RIGHT[::-1], "no: out of order"),
    ],
)
def test_judge_names_what_is_lost_doubled_altered_or_out_of_order(
    said: list[tuple[str, Decimal]], verdict: str
) -> None:
    """Order counts within an instrument only: partitions are read one after the other."""
    assert str(judge(RIGHT, said)) == verdict


def result(contestant: Contestant, records: int, said: list[tuple[str, Decimal]]) -> results.Result:
    return results.measured(contestant, 0, Timing(records, 1.0, 2.0, 10**6, 3.0), judge(RIGHT, said))


def test_wrong_contestant_is_struck_out_and_spoils_the_closing_line() -> None:
    """A rate with a wrong answer is no rate."""
    ours = next(one for one in CONTESTANTS if one.name == "Fiftytwo")
    peer = next(one for one in CONTESTANTS if one.job == BREAKOUTS and one is not ours)
    found = [result(ours, 3_000, RIGHT), result(peer, 300, RIGHT[:2])]

    report = results.summary(found, [ours, peer], 1_000, 2, "a machine")

    assert results.closing_line(report) == "bench: ours 3000/s peer 300/s ratio 10.0 correct no"
    assert f"| ~~{peer.name}~~ | ~~1,000~~ | ~~300~~ |" in results.table(report)
    assert f"| {ours.name} | 1,000 | 3,000 | 1,500 |" in results.table(report)


def test_contestant_that_could_not_run_is_named_with_its_reason() -> None:
    """What cannot be installed is said, not skipped."""
    peer = dataclasses.replace(CONTESTANTS[1])

    report = results.summary([results.not_run(peer, 0, "expected Java\nfound none")], [peer], 1, 1, "a machine")

    assert f"| {peer.name} | 1 | not run: expected Java |" in results.table(report)


def test_contestant_that_failed_in_one_round_is_struck_out() -> None:
    """Two good rounds do not make up for one that ended early, nor is it excused like one that is not installed."""
    peer = CONTESTANTS[1]
    found = [result(peer, 3_000, RIGHT), results.not_run(peer, 1, "ended early")]

    row = results.summary(found, [peer], 1_000, 2, "a machine")["rows"][0]

    assert (row["correct"], row["is_missing"], row["wrong"]) == (False, False, ["no: 1 of 2 rounds failed"])
    missing = results.not_run(peer, 0, "found no Java", is_missing=True)
    assert results.summary([missing], [peer], 1_000, 2, "a machine")["rows"][0]["is_missing"]


def test_targets_are_judged_by_right_answers_alone() -> None:
    """Each says what was aimed at and what came out; a rate with a wrong answer is none."""
    ours = next(one for one in CONTESTANTS if one.name == "Fiftytwo")
    peer = next(one for one in CONTESTANTS if one.name.endswith("exactly once") and one.job == BREAKOUTS)

    def said(records: int, answers: list[tuple[str, Decimal]]) -> list[str]:
        found = [result(ours, 2_990_000, RIGHT), result(peer, records, answers)]
        return results.targets(results.summary(found, [ours, peer], 1_000, 2, "a machine"))

    rate = "- JSON ticks, 52-week job, exactly once: 2,990,000/s (at least 3,000,000/s: NOT met)"
    ratio = "- 52-week, beside Kafka Streams, RocksDB, exactly once: 10.0 times its rate (at least 10: met)"
    assert said(299_000, RIGHT) == [rate, ratio]
    assert said(299_000, RIGHT[:1]) == [rate]


def test_flatness_is_the_dearest_row_beside_the_first() -> None:
    """50,000 instruments may cost a tenth more than 2,000."""
    point = shapes_page.Point(shapes_page.INSTRUMENTS, "2,000", 9, 9, 200.0, 1, 1, 0, "yes", 1)
    many = dataclasses.replace(point, label="50,000", cpu_ns=222.0)

    assert shapes_page.targets([point, many]) == [
        "- instruments, mid-session: 50,000 instruments cost +11% a tick beside 2,000 (at most +10%: NOT met)"
    ]
    assert shapes_page.targets([point]) == []


def test_middle_of_a_session_stays_between_its_best_prices() -> None:
    """Every instrument trades eight distinct prices first, and nothing at or beyond them after that."""
    markets = load_markets([MIC])
    workload = Workload(instruments=40, ticks=4_000, history_sessions=20, settled=True)

    seen: dict[str, list[Decimal]] = {}
    for chunk in ticks(workload, markets):
        for value in chunk.values:
            tick = orjson.loads(value)
            seen.setdefault(tick["instrument"], []).append(Decimal(tick["price"]))

    assert len(seen) == 40
    for prices in seen.values():
        first, later = sorted(prices[:8]), prices[8:]
        assert len(set(first)) == 8
        assert first[3] < min(later) <= max(later) < first[4]


def test_slower_contestants_read_the_first_of_the_same_ticks() -> None:
    """A prefix is what the others read first, to the byte, and its length stands in the table."""
    markets = load_markets([MIC])
    whole = Workload(instruments=3, ticks=200_000, history_sessions=20)

    read = [chunk.values for chunk in ticks(dataclasses.replace(whole, first=100_000), markets)]

    assert read == [next(ticks(whole, markets)).values]
    short = [one for one in CONTESTANTS if one.ticks_max is not None]
    report = results.summary([result(short[0], 1, RIGHT)], short[:1], 12_000_000, 3, "a machine")
    assert f"| {short[0].name} | {short[0].ticks_max:,} |" in results.table(report)


@pytest.mark.parametrize("capacity", [150_000, 250_000, 1_000_000, 3_000_000])
def test_held_rate_is_the_highest_without_a_backlog(capacity: int) -> None:
    """It is found from below, to a third at worst, and nothing passes for held that leaves a backlog."""
    tried: list[Step] = []

    found = asyncio.run(highest_held(machine_of(capacity), tried.append))

    assert capacity / 1.3 <= found <= capacity * (1 + DRAIN_SECONDS_MAX / STEP_SECONDS)
    assert found == max(step.asked for step in tried if step.is_held)


def test_no_rate_is_named_where_none_is_held() -> None:
    """A machine that is too busy for the lowest rate gets no figure."""
    with pytest.raises(RuntimeError, match="to be held, found a backlog"):
        asyncio.run(highest_held(machine_of(10_000), lambda step: None))


@pytest.mark.parametrize(
    ("step", "is_held"),
    [(Step(100.0, 98.0, 0.2), True), (Step(100.0, 90.0, 0.0), False), (Step(100.0, 100.0, 0.3), False)],
)
def test_rate_is_held_when_neither_generator_nor_worker_falls_behind(step: Step, is_held: bool) -> None:
    """Who sends less than was asked for measures another load; who reads on for long has a backlog."""
    assert step.is_held == is_held


def machine_of(capacity: float) -> Callable[[float], Awaitable[Step]]:
    async def attempt(rate: float) -> Step:
        return Step(rate, rate, max(0.0, rate - capacity) * STEP_SECONDS / capacity)

    return attempt


def test_every_requirement_of_a_peer_is_pinned() -> None:
    """A comparison can be repeated only with the same versions."""
    files = sorted(PEERS.glob("*/requirements.txt"))
    lines = [line for file in files for line in file.read_text().splitlines() if line and not line.startswith("#")]

    assert len(files) == 6
    assert [line for line in lines if not re.fullmatch(r"[\w-]+(==[\w.]+|<\d+)", line)] == []
    for pom in sorted(PEERS.glob("*/pom.xml")):
        assert Path(pom).read_text().count("<version>") >= 2


def test_probe_makes_the_signal_that_latency_is_measured_by() -> None:
    """A pulse is quiet by itself; with a probe, its instrument triggers at the probe's time, and nothing else does."""
    markets = load_markets([MIC])
    engine = Engine(markets, Rules())
    decoder = TickDecoder(engine.instruments)
    quiet, name = names("B", 1, 4, 10), names("P", 1, 4, 1)[0]
    dates = [date for date in markets.sessions_of(MIC)["date"] if date < parse_date("2025-09-29")][-262:]
    (up, down) = probes([(name, 1)], OPEN_NS, 0)
    pulse = Pulse(quiet, 100, OPEN_NS, random.Random(1))

    def triggered(batch: bytes) -> list[tuple[str, int]]:
        decoded = decoder.decode(read_batches(batch))
        folded = engine.fold(decoded.records, decoded.bars, decoded.buffer)
        assert [*decoded.rejected, *folded.rejects] == []
        return [
            (signal.instrument, signal.event_ns)
            for signal in signals_of(folded, engine)
            if signal.transition == "triggered"
        ]

    for date in dates:
        day = format_date(int(date))
        assert triggered(batch_of([(one.encode(), bar_of(one, day)) for one in [*quiet, name]])) == []

    assert triggered(pulse.quiet()) == []
    assert triggered(pulse.probing(up.instrument, up.time_ns, up.cents)) == [(name, up.time_ns)]
    assert triggered(pulse.probing(down.instrument, down.time_ns, down.cents)) == [(name, down.time_ns)]
    assert triggered(pulse.quiet()) == []
    assert partition_of(name, 4) == 1


def test_workload_breaks_out_as_often_as_asked() -> None:
    """Every so many trades the next instrument trades above all of its history."""
    markets = load_markets([MIC])
    workload = Workload(instruments=50, ticks=1_000, history_sessions=20, breakout_every=100)

    keys = [key for chunk in ticks(workload, markets) for key in chunk.keys]

    assert keys[::100] == [name.encode() for name in workload.names()[:10]]


def test_finished_runs_are_resumed_only_for_the_same_ticks(tmp_path: Path) -> None:
    """A report keeps every run, so an ended comparison goes on where it was; other ticks are another comparison."""
    peer = CONTESTANTS[0]
    found = [result(peer, 3_000, RIGHT), results.not_run(peer, 1, "found no Java")]
    report = results.summary(found, [peer], 1_000, 2, "a machine")
    results.write(report, tmp_path / "bench.json", tmp_path / "bench.svg")

    assert results.load(tmp_path / "bench.json", 1_000, 2) == found[:1]
    assert results.load(tmp_path / "bench.json", 2_000, 2) == []
    (tmp_path / "old.json").write_text(json.dumps({**report, "sources": "others"}))
    assert results.load(tmp_path / "old.json", 1_000, 2) == []
    results.write(
        results.summary(found[:1], [peer], 1_000, 2, "a machine"), tmp_path / "bench.json", tmp_path / "bench.svg"
    )
    assert peer.name in (tmp_path / "bench.svg").read_text()


def test_figures_replace_those_between_the_marks_alone(tmp_path: Path) -> None:
    """Text around the marks stays, and a file without them is refused."""
    page = tmp_path / "page.md"
    page.write_text(f"before\n{report_page.BEGIN}\nold\n{report_page.END}\nafter\n")

    report_page.replace_measured(page, "new\n")

    assert page.read_text() == f"before\n{report_page.BEGIN}\nnew\n{report_page.END}\nafter\n"
    page.write_text("no marks")
    with pytest.raises(ValueError, match="expected <!-- measured: begin --> and"):
        report_page.replace_measured(page, "new")


@pytest.mark.parametrize("page", ["README.md", "docs/benchmarks.md"])
def test_pages_have_a_place_for_the_figures(page: str) -> None:
    """`make bench-report` finds its marks, once each."""
    text = (report_page.ROOT / page).read_text()

    assert text.count(report_page.BEGIN) == text.count(report_page.END) == 1


def test_binary_ticks_of_the_workload_are_what_the_publisher_writes() -> None:
    """The workload writes the layout from its description; the product's own helper writes the same bytes."""
    workload = Workload(instruments=3, ticks=50, history_sessions=20, binary=True)

    (chunk,) = ticks(workload, load_markets([MIC]))

    assert chunk.said is not None
    said = [json.loads(value) for value in chunk.said]
    assert [tick["instrument"].encode() for tick in said] == chunk.keys
    assert [encode_tick(time=tick["time"], price=tick["price"], size=tick["size"]) for tick in said] == chunk.values
