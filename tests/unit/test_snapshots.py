"""A snapshot is read as it was written, and only what changed is written again."""

from __future__ import annotations

import random
from dataclasses import replace

import numpy as np
import pytest

from streams.core.engine import Engine
from streams.core.instruments import UnknownMarket
from streams.core.join import Join
from streams.core.layout import BAR, FAMILIES_DEFAULT, KIND_BAR, RECORD, RING_BARS
from streams.core.rows import PRINTS, UNBORN
from streams.core.sessions import Markets, Sessions
from streams.core.snapshot import BAR_GROUP_ROWS, LAYOUT_NUMBER, EngineState, changed_bars, empty_state
from streams.core.units import format_date
from streams.wire.snapshot_writer import SnapshotTooLarge, SnapshotWriter
from streams.wire.snapshots import (
    CONTENT_BYTES_MAX,
    MANIFEST,
    MANIFEST_BYTES_MAX,
    PART_BYTES_MAX,
    collect,
    compress,
    content_of,
    frame,
    parse_key,
    read_snapshot,
    series_keys,
)
from tests.news_examples import HOUR_NS, ExampleSignal, article_copy
from tests.property.test_band import FIRST_DAY, INSTRUMENTS, LOOKBACK, markets, stream
from tests.snapshot_example import (
    IDENTITY,
    JOIN_RULES,
    MANIFEST_KEY,
    POSITIONS,
    RULES,
    Partition,
    example,
    key,
    layout_file,
    loaded,
    snapshot_of,
    written,
)


def assert_equal(state: EngineState, expected: EngineState) -> None:
    for name in ("ids", "partition", "hot", "warm", "rings"):
        assert getattr(state, name).tobytes() == getattr(expected, name).tobytes(), name


def test_what_is_read_is_what_was_written() -> None:
    """Rows, bars, the join, positions, rules and calendar come back as they were."""
    partition = example()

    snapshot = snapshot_of(written(partition))

    assert_equal(snapshot.engine, partition.engine.export())
    held = partition.join.export()
    # How often a story changed matters to the process that counted, no longer.
    stories = {name: replace(story, changes=0) for name, story in held.stories.items()}
    assert snapshot.join == replace(held, stories=stories)
    assert Partition.restored(snapshot).join.export() == snapshot.join
    assert snapshot.manifest.positions == POSITIONS
    assert snapshot.manifest.news_mode == "replay"
    assert (snapshot.rules, snapshot.join_rules) == (RULES, JOIN_RULES)
    assert snapshot.orphans == ()
    again = Markets(snapshot.sessions, lookback=LOOKBACK)
    assert again.session.tobytes() == markets().session.tobytes()


def test_articles_that_several_signals_share_are_held_once() -> None:
    """A restored join takes no more memory than the one that was written."""
    join = Join()
    join.article(article_copy())
    for number in range(3):
        join.open(ExampleSignal(signal_id=str(number)), b"{}")
    writer = SnapshotWriter(IDENTITY)
    topic = collect(writer.write(example(10).engine, join, positions=POSITIONS).records)

    held = snapshot_of(topic).join

    articles = [article for signal in held.signals.values() for article in signal.links.values()]
    assert len(articles) == 3
    assert all(article is articles[0] for article in articles)


def test_a_join_of_many_pieces_comes_back_in_its_order() -> None:
    """Every story, version and signal is in exactly one piece, and a change rewrites its own piece."""
    join, engine, writer = Join(), example(10).engine, SnapshotWriter(IDENTITY)
    for number in range(600):
        join.article(article_copy(article_id=str(number), instrument=f"XNYS:S{number}"))
    for number in range(200):
        join.open(ExampleSignal(signal_id=str(number), instrument=f"XNYS:S{number}"), b"{}")
    topic = collect(writer.write(engine, join, positions=POSITIONS).records)

    snapshot = snapshot_of(topic)
    restored = Join(snapshot.join_rules)
    restored.restore(snapshot.join)
    join.article(article_copy(article_id="new", instrument="XNYS:S70"))
    again = writer.write(engine, join, positions=POSITIONS)

    held = restored.export()
    assert list(held.stories) == [("Example Wire", str(number)) for number in range(600)]
    assert list(held.versions) == list(range(1, 601))
    assert list(held.signals) == [str(number) for number in range(200)]
    assert {"stories/2", "versions/2", "signals/3"} <= set(snapshot.manifest.pieces)
    assert [record.key for record in again.records] == [
        key(name) for name in ("stories/2/0", "versions/2/0", "signals/1/0", MANIFEST)
    ]


def test_a_topic_without_records_has_no_snapshot() -> None:
    """Nothing there is no error: the partition starts from the log."""
    assert read_snapshot({}, IDENTITY) is None


def test_an_engine_that_has_read_something_takes_over_no_state() -> None:
    """Restoring is for new engines and joins; two states are never mixed."""
    snapshot = snapshot_of(written(example()))
    used = example(20)

    with pytest.raises(ValueError, match="expected a new engine, found one with"):
        used.engine.restore(snapshot.engine)
    with pytest.raises(ValueError, match="expected a new join, found one that holds"):
        used.join.restore(snapshot.join)


def test_an_instrument_without_a_record_keeps_its_row() -> None:
    """A row given to an instrument whose records were all refused is part of the state, with zeros and all."""
    partition = example(20)
    partition.engine.instruments.row("XTST:LATE")
    writer = SnapshotWriter(IDENTITY)
    topic = written(partition, writer)
    partition.engine.instruments.row("XTST:LATER")
    topic = written(partition, writer, topic)

    state = snapshot_of(topic).engine

    assert state.ids[-2:].tolist() == [b"XTST:LATE", b"XTST:LATER"]
    assert state.hot["date"][-2:].tolist() == [UNBORN, UNBORN]


def test_without_a_change_only_the_manifest_is_written() -> None:
    """A quiet partition costs one record a snapshot, before a restart and after."""
    partition, writer = example(), SnapshotWriter(IDENTITY)
    topic = written(partition, writer)

    second = writer.write(partition.engine, partition.join, positions=POSITIONS)
    snapshot = snapshot_of(collect([*topic.items(), *second.records]))
    restored = Partition.restored(snapshot)
    resumed = SnapshotWriter(IDENTITY)
    resumed.resume(snapshot, restored.engine, restored.join)
    third = resumed.write(restored.engine, restored.join, positions=POSITIONS)

    assert [record.key for record in second.records] == [MANIFEST_KEY]
    assert [record.key for record in third.records] == [MANIFEST_KEY]
    assert (second.number, third.number) == (2, 3)


def test_a_session_rewrites_the_newest_bars_only() -> None:
    """A bar costs the period that it falls in, not its instrument's year."""
    partition, writer = Partition(), SnapshotWriter(IDENTITY)
    partition.processor.records(stream(1, markets())[: 13 * len(INSTRUMENTS)])
    written(partition, writer)

    newest = int(markets().sessions_of("XTST")["date"][13])
    prices = dict.fromkeys(("open", "high", "low", "close"), "1")
    partition.processor.records(
        [{"type": "bar", "instrument": INSTRUMENTS[0], "session_date": format_date(newest), **prices}]
    )
    again = writer.write(partition.engine, partition.join, positions=POSITIONS)

    names = [found.name for record in again.records if (found := parse_key(record.key))]
    assert [name for name in names if name.startswith("bars/")] == [f"bars/0/{newest >> 4}/0"]


def test_a_period_whose_bars_are_forgotten_is_taken_away() -> None:
    """A ring that is full drops its oldest bars, and the topic their records."""
    days = np.arange(FIRST_DAY, FIRST_DAY + RING_BARS + 40, dtype=np.int32)
    starts = days.astype(np.int64) * 86_400_000_000_000
    none = np.zeros(len(days), np.int64)
    calendar = Markets([Sessions("XTST", days, starts, starts + HOUR_NS, none, none)], lookback=LOOKBACK)
    engine, writer, join = Engine(calendar, RULES), SnapshotWriter(IDENTITY), Join()
    engine.instruments.row("XTST:A")

    def fold(bars: np.ndarray) -> None:
        records = np.zeros(len(bars), RECORD)
        records["kind"], records["append_ns"], records["extra"] = KIND_BAR, 2**61, np.arange(len(bars))
        given = np.zeros(len(bars), BAR)
        given["date"] = bars
        engine.fold(records, given, np.zeros(1, np.uint8))

    fold(days[:RING_BARS])
    topic = collect(writer.write(engine, join, positions=POSITIONS).records)
    fold(days[RING_BARS:])
    second = writer.write(engine, join, positions=POSITIONS)
    topic = collect([*topic.items(), *second.records])

    first = FIRST_DAY >> 4
    gone = [record.key for record in second.records if record.value is None]
    assert gone == [key(f"bars/0/{first}/0"), key(f"bars/0/{first + 1}/0")]
    assert_equal(snapshot_of(topic).engine, engine.export())
    assert len(second.records) < 12


def test_bars_are_compared_by_date_in_every_group() -> None:
    """A bar that comes, goes or differs marks its own period, wherever it stands in the ring, and nothing else."""
    rows = BAR_GROUP_ROWS + 2
    before, now = empty_state(rows), empty_state(rows)
    dates = FIRST_DAY + 16 * np.arange(5)
    for state in (before, now):
        state.rings["date"][:, :5] = dates
        state.warm["bar_count"] = 5
    assert changed_bars(now, before) == []

    last = rows - 1
    now.rings[last, :4] = before.rings[last, 1:5]
    now.rings[last, 4]["date"] = dates[4] + 16
    now.rings[0, 2]["volume"] = 1

    assert changed_bars(now, before) == [
        (0, int(dates[2]) >> 4),
        (1, int(dates[0]) >> 4),
        (1, (int(dates[4]) + 16) >> 4),
    ]


def test_a_large_piece_is_cut_into_parts_and_shrinks_again() -> None:
    """No record passes half a megabyte, however much news a signal has, and parts no longer needed are taken away."""
    join, writer, engine = Join(), SnapshotWriter(IDENTITY), example(10).engine
    for number in range(400):
        join.article(article_copy(article_id=str(number), title="x" * 1000, url="y" * 2048))
    join.open(ExampleSignal(), b"{}")
    first = writer.write(engine, join, positions=POSITIONS)
    topic = collect(first.records)
    held = snapshot_of(topic).join
    links = dict(join.export().signals[ExampleSignal().signal_id].links)
    end = ExampleSignal().event_ns + 500 * HOUR_NS
    join.news_clock(end)
    join.tick_clock(end)
    second = writer.write(engine, join, positions=POSITIONS)
    topic = collect([*topic.items(), *second.records])

    assert held.signals[ExampleSignal().signal_id].links == links
    assert len(links) == 400
    assert key("signals/0/2") in [record.key for record in first.records]
    assert max(len(record.value or b"") for record in first.records) <= PART_BYTES_MAX
    assert sorted(name for name in topic if b"/signals/" in name or b"/versions/" in name) == []
    assert snapshot_of(topic).join.signals == {}


def test_parts_are_cut_before_they_are_compressed() -> None:
    """What cannot be shortened stays within the limit of a record, and comes back as it was."""
    noise = random.Random(52).randbytes(CONTENT_BYTES_MAX)

    value, _ = frame(b"key", 1, POSITIONS, compress(noise))

    assert len(value) <= PART_BYTES_MAX
    assert content_of(b"key", value) == noise


def test_rows_shrink() -> None:
    """A snapshot takes a fraction of the bytes of its rows."""
    partition = example()
    state = partition.engine.export()

    topic = written(partition)

    for name, rows in (("warm", state.warm), ("cold", state.cold)):
        assert len(topic[key(f"{name}/0/0")]) < rows.nbytes / 3, name


def test_after_a_doubt_the_next_snapshot_is_whole() -> None:
    """A writer whose records may be lost writes all again, and takes away what is no longer part of it."""
    partition, writer = example(), SnapshotWriter(IDENTITY)
    topic = written(partition, writer)
    lost = key("signals/9/0")

    writer.forget()
    again = writer.write(partition.engine, partition.join, positions=POSITIONS)

    assert {record.key for record in again.records} == set(topic)
    stale = SnapshotWriter(IDENTITY, orphans=[lost, MANIFEST_KEY])
    records = stale.write(partition.engine, partition.join, positions=POSITIONS).records
    assert [record.key for record in records if record.value is None] == [lost]
    assert records[-1].key == MANIFEST_KEY


def test_records_that_no_manifest_lists_are_found_and_taken_away() -> None:
    """What a former life left in the topic does not stay there for ever."""
    topic = {**written(example()), key("signals/9/0"): b"old"}

    snapshot = snapshot_of(topic)
    partition, writer = Partition.restored(snapshot), SnapshotWriter(IDENTITY)
    writer.resume(snapshot, partition.engine, partition.join)
    topic = written(partition, writer, topic)

    assert snapshot.orphans == (key("signals/9/0"),)
    assert key("signals/9/0") not in topic


def test_series_stand_beside_each_other() -> None:
    """A base snapshot a day keeps its records while the latest one goes on."""
    partition = example(100)
    base = SnapshotWriter(IDENTITY, series="base-20000").write(partition.engine, partition.join, positions=POSITIONS)
    topic = {**written(example(300)), **collect(base.records)}

    assert sorted(series_keys(topic, IDENTITY)) == ["base-20000", "latest"]
    older = snapshot_of(topic, series="base-20000")
    assert older.manifest.partition_row["ticks"] < snapshot_of(topic).manifest.partition_row["ticks"]
    with pytest.raises(ValueError, match="series: expected 1 to 40 of"):
        SnapshotWriter(IDENTITY, series="Base/1")


def test_keys_tell_what_they_hold() -> None:
    """A key names application, partition, series and part; other keys are not ours."""
    assert parse_key(b"paper.v2/3/latest/warm/12/0") == ("paper.v2", 3, "latest", "warm/12/0")
    assert parse_key(b"XNYS:BABA") is None
    assert parse_key(b"\xff/1/latest/manifest") is None


def test_a_state_larger_than_a_manifest_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    """The limit is told in words and with a way out, not by the broker."""
    monkeypatch.setattr("streams.wire.snapshot_writer.MANIFEST_BYTES_MAX", 100)

    with pytest.raises(SnapshotTooLarge, match=r"at most 100 bytes, found \d+ for 3 instruments .* more partitions"):
        written(example())
    assert MANIFEST_BYTES_MAX < 1_048_576


def test_markets_may_change_their_order_and_their_calendar() -> None:
    """Rows keep their market and their session by name and date, whatever the index is now."""
    source = markets().sessions_of("XTST")
    columns = [source[name] for name in ("date", "open_ns", "close_ns", "break_start_ns", "break_end_ns")]
    another = Sessions("XOTH", *columns)
    longer = Sessions("XTST", *(column[2:] for column in columns))
    snapshot = snapshot_of(written(example()))
    sessions = snapshot.engine.warm["session"].tolist()

    engine = Engine(Markets([another, longer], lookback=LOOKBACK), RULES)
    engine.restore(snapshot.engine)

    state = engine.export()
    assert state.hot["market"].tolist() == [1] * len(state)
    assert state.warm["session"].tolist() == [session - 2 for session in sessions]


def test_a_market_that_is_gone_is_named() -> None:
    """State of an instrument is not dropped in silence because its market was taken from the configuration."""
    source = markets().sessions_of("XTST")
    columns = [source[name] for name in ("date", "open_ns", "close_ns", "break_start_ns", "break_end_ns")]
    engine = Engine(Markets([Sessions("XOTH", *columns)], lookback=LOOKBACK), RULES)

    with pytest.raises(UnknownMarket, match="add XTST to the configured markets"):
        engine.restore(snapshot_of(written(example())).engine)


def test_the_snapshot_of_every_released_layout_is_still_read() -> None:
    """A worker of a new release goes on from what an old one left: another layout needs another number and its way."""
    for number in range(1, LAYOUT_NUMBER + 1):
        snapshot = snapshot_of(loaded(layout_file(number).read_bytes()))
        partition = Partition.restored(snapshot)

        assert [name.decode() for name in snapshot.engine.ids.tolist()] == list(INSTRUMENTS)
        assert snapshot.manifest.positions == POSITIONS
        families = FAMILIES_DEFAULT[:11] if number == 1 else FAMILIES_DEFAULT
        assert (snapshot.rules, snapshot.join_rules) == (replace(RULES, families=families), JOIN_RULES)
        assert partition.join.held() == {"signals_open": 1, "signals": 2, "versions": 2, "stories": 2}
        state = partition.engine.export()
        assert partition.engine.clock_ns == 1_730_045_236_500_000_018
        assert {name: count for name, count in partition.engine.counters().items() if count} == {
            "ticks": 144,
            "ticks_out_of_session": 25,
            "ticks_late" if number == 1 else "ticks_late_amended": 1,
            "ticks_ineligible": 14,
            "bars": 40,
            "clocks": 117,
        }
        assert partition.engine.windows() == {"partial": 0, "degraded": 2, "full": 1}
        assert partition.engine.open_breakouts() == {"high_52w": 1, "low_52w": 0}
        newest = (state.hot["prints"] - 1) % PRINTS
        last = state.tape["print"]["price"][np.arange(len(state)), newest]
        assert (last // 1_000_000).tolist() == [6948, 11381, 11357]
        assert (state.warm["level"][:, 0] // 1_000_000).tolist() == [11604, 11343, 11277]
        assert state.warm["bar_count"].tolist() == [16, 16, 17]
        assert (state.rings["close"][:, 3] // 1_000_000).tolist() == [10245, 10183, 10201]
        finals = partition.join.news_clock(ExampleSignal().event_ns + 100 * HOUR_NS)
        assert [(final.signal_id, final.revision, final.article_count) for final in finals] == [
            (ExampleSignal().signal_id, 4, 2)
        ]
