"""A partition that was restored, however often and from whatever its topic kept, goes on as if nothing had happened."""

from __future__ import annotations

import os
import random
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.join import Join
from streams.core.processor import Processor
from streams.core.rules import Rules
from streams.wire.articles import encode_enriched
from streams.wire.signals import encode
from streams.wire.snapshot_writer import SnapshotWriter
from streams.wire.snapshots import (
    Identity,
    Positions,
    Snapshot,
    SnapshotRecord,
    SnapshotRefused,
    collect,
    read_snapshot,
)
from tests.property.engine_run import markets_of
from tests.property.streams_strategy import seeded_log
from tests.property.test_band import LOOKBACK, markets, stream
from tests.property.test_join_order import RULES as JOIN_RULES
from tests.property.test_join_order import Run, news_log, order_of, tick_log
from tests.snapshot_example import IDENTITY, Partition, example, snapshot_of, written

UNCOMPILED = os.environ.get("NUMBA_DISABLE_JIT") == "1"
SEEDS = range(6 if UNCOMPILED else 30)


def compacted(log: list[SnapshotRecord], source: random.Random) -> list[SnapshotRecord]:
    """What a broker may have left of a log: anything but the newest record of a key may be gone."""
    newest = {record.key: index for index, record in enumerate(log)}
    return [record for index, record in enumerate(log) if newest[record.key] == index or source.random() < 0.5]


@pytest.mark.parametrize("seed", SEEDS)
def test_an_engine_restored_at_any_point_says_the_same_bytes(seed: int) -> None:
    """Cut anywhere, several times, with snapshots that hold only what changed: signals, refusals, totals are equal."""
    source = random.Random(seed)
    rules = Rules(lookback=LOOKBACK, max_triggers=source.choice((1, 4)), conflate_ms=source.choice((0, 120_000)))
    records = stream(seed, markets())
    whole = Partition(rules)
    whole.processor.records(records)

    partition, writer, log = Partition(rules), SnapshotWriter(IDENTITY), list[SnapshotRecord]()
    lines: list[bytes] = []
    refused: list[str] = []
    cuts = sorted(source.randrange(len(records) + 1) for _ in range(8))
    for start, stop in zip([0, *cuts], [*cuts, len(records)], strict=True):
        partition.processor.records(records[start:stop])
        lines += [encode(signal, source="/test").value for signal in partition.said()]
        written_now = writer.write(partition.engine, partition.join, positions=Positions(stop, 0))
        log = compacted([*log, *written_now.records], source)
        if source.random() < 0.5:
            refused += [reason for _, reason in partition.processor.refused]
            snapshot = snapshot_of(collect(log))
            partition, writer = Partition.restored(snapshot), SnapshotWriter(IDENTITY)
            assert snapshot.manifest.positions.ticks == stop
            if source.random() < 0.7:
                writer.resume(snapshot, partition.engine, partition.join)
    refused += [reason for _, reason in partition.processor.refused]

    assert lines == [encode(signal, source="/test").value for signal in whole.said()]
    assert refused == [reason for _, reason in whole.processor.refused]
    assert partition.engine.counters() == whole.engine.counters()
    for name in ("ids", "partition", "hot", "warm", "rings"):
        assert getattr(partition.engine.export(), name).tobytes() == getattr(whole.engine.export(), name).tobytes()


@pytest.mark.parametrize("seed", SEEDS[::3])
def test_extended_hours_restored_at_any_point_say_the_same_bytes(seed: int) -> None:
    """The extended scope comes back with the regular one, wherever the log was cut."""
    source = random.Random(seed)
    log = seeded_log(seed, features=("extended", "cancels", "actions"))
    rules = Rules(**{**log.rules, "extended": True})
    whole, processor = Processor(markets_of(log), rules), Processor(markets_of(log), rules)
    whole.records(log.records)
    writer, topic, lines = SnapshotWriter(IDENTITY), dict[bytes, bytes](), list[bytes]()
    cuts = sorted(source.randrange(len(log.records) + 1) for _ in range(6))

    for start, stop in zip([0, *cuts], [*cuts, len(log.records)], strict=True):
        processor.records(log.records[start:stop])
        lines += [encode(signal, source="/test").value for signal in processor.signals()]
        written_now = writer.write(processor.engine, Join(), positions=Positions(stop, 0))
        topic = collect([*topic.items(), *written_now.records])
        if source.random() < 0.5:
            snapshot = snapshot_of(topic)
            processor, writer = Processor(markets_of(log), rules), SnapshotWriter(IDENTITY)
            processor.engine.restore(snapshot.engine)
            writer.resume(snapshot, processor.engine, Join())

    assert lines == [encode(signal, source="/test").value for signal in whole.signals()]
    assert processor.engine.counters() == whole.engine.counters()
    wide, expected = processor.engine.export().extended, whole.engine.export().extended
    assert wide is not None
    assert expected is not None
    # What is withheld names its record by the place in the batch, which the cuts change.
    for name in ("ids", "partition", "hot", "warm", "cold", "tape", "rings", "overrides"):
        assert getattr(wide, name).tobytes() == getattr(expected, name).tobytes(), name


@settings(max_examples=50 if UNCOMPILED else 200, deadline=None)
@given(seed=st.integers(0, 2**63), tick_count=st.integers(0, 60), news_count=st.integers(0, 60))
def test_a_join_restored_at_any_point_says_the_same_bytes(seed: int, tick_count: int, news_count: int) -> None:
    """Every revision on the way is that of a join that was never stopped, and so are its totals and what it holds."""
    source = random.Random(seed)
    ticks, news = iter(tick_log(source, tick_count)), iter(news_log(source, news_count))
    whole, cut = Run(), Run()
    engine, writer, topic = Partition().engine, SnapshotWriter(IDENTITY), dict[bytes, bytes]()

    for is_tick in order_of(source, tick_count, news_count):
        record: Any = next(ticks) if is_tick else next(news)
        for run in (whole, cut):
            run.tick(record) if is_tick else run.news(record)
        if source.random() < 0.2:
            topic = collect([*topic.items(), *writer.write(engine, cut.join, positions=Positions(0, 0)).records])
            if source.random() < 0.5:
                continue
            snapshot = snapshot_of(topic)
            assert snapshot.join_rules == JOIN_RULES
            cut.join, writer = type(cut.join)(snapshot.join_rules), SnapshotWriter(IDENTITY)
            cut.join.restore(snapshot.join)
            writer.resume(snapshot, engine, cut.join)

    said = [[encode_enriched(entry, source="/test") for entry in run.sent] for run in (whole, cut)]
    assert said[0] == said[1]
    assert cut.join.counters() == whole.join.counters()
    assert cut.join.held() == whole.join.held()


@settings(max_examples=20 if UNCOMPILED else 100, deadline=None)
@given(seed=st.integers(0, 2**63))
def test_no_mixture_of_two_snapshots_is_believed(seed: int) -> None:
    """Of records from several snapshots of one partition, only what one manifest lists is ever restored."""
    source = random.Random(seed)
    partition, writer = example(source.randrange(200, 400)), SnapshotWriter(IDENTITY)
    records = stream(1, markets())[400:]
    topics = [written(partition, writer)]
    for _ in range(2):
        partition.processor.records(records[: source.randrange(1, 60)])
        topics.append(written(partition, writer, topics[-1]))
    keys = sorted(set().union(*topics))
    chosen = [source.choice(topics) for _ in keys]
    if source.random() < 0.5:
        chosen = [topics[0] if source.random() < 0.1 else topics[-1] for _ in keys]
    mixed = {key: topic[key] for key, topic in zip(keys, chosen, strict=True) if key in topic}

    snapshot, reason = read(mixed)

    if snapshot is None:
        assert reason in ("torn", "missing")
    else:
        listed = {key: value for key, value in mixed.items() if key not in snapshot.orphans}
        assert listed in topics


def read(topic: dict[bytes, bytes]) -> tuple[Snapshot | None, str]:
    try:
        return read_snapshot(topic, IDENTITY), ""
    except SnapshotRefused as refused:
        return None, refused.reason


@settings(max_examples=20 if UNCOMPILED else 100, deadline=None)
@given(seed=st.integers(0, 2**63))
def test_no_flipped_bit_is_believed(seed: int) -> None:
    """One bit changed in any value of a snapshot is enough to refuse it."""
    source = random.Random(seed)
    topic = written(example(source.randrange(100, 400)))
    key = source.choice(sorted(topic))
    value = bytearray(topic[key])
    value[source.randrange(len(value))] ^= 1 << source.randrange(8)

    with pytest.raises(SnapshotRefused) as caught:
        read_snapshot({**topic, key: bytes(value)}, IDENTITY)

    assert caught.value.reason in ("damaged", "foreign")


def test_partitions_of_one_topic_do_not_see_each_other() -> None:
    """Records of other partitions and applications in the same topic change nothing."""
    other = Identity(IDENTITY.application, 2, IDENTITY.partitions)
    partition = example(50)
    writer = SnapshotWriter(other)
    beside = collect(writer.write(partition.engine, partition.join, positions=Positions(0, 0)).records)
    topic = {**beside, **written(example(120))}

    assert len(snapshot_of(topic).engine) == len(example(120).engine.instruments)
    assert snapshot_of(topic, identity=other).manifest.positions == Positions(0, 0)
