"""Compiles what the worker runs: reading, folding, and the half of folding that two processes can do at a time."""

from __future__ import annotations

from typing import Final

import numpy as np
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from streams.core.compiled import compile_for
from streams.core.engine import Engine
from streams.core.instruments import Instruments
from streams.core.join import Join
from streams.core.layout import BAR, DETAIL, KIND_BAR, KIND_TICK, MARKET, RECORD, RING_BARS, SESSION
from streams.core.ratios import ratios_of
from streams.core.rows import COLD, HOT, OUT, PARTITION, TAPE, TRADE, WARM
from streams.core.rules import RULES, Rules
from streams.core.sessions import Markets, Sessions
from streams.core.step import fold_other
from streams.core.units import DAY_NS
from streams.core.world import Rows, World
from streams.wire.batches import read_batches
from streams.wire.snapshot_writer import SnapshotWriter
from streams.wire.snapshots import Identity, Positions, collect, read_snapshot
from streams.wire.ticks import TickDecoder

TICK: Final = b'{"instrument":"XTST:A","time":"1970-01-02T00:00:00Z","price":"1","size":"1"}'
BAR_VALUE: Final = (
    b'{"type":"bar","instrument":"XTST:A","session_date":"1970-01-02","open":"1","high":"1","low":"1","close":"1"}'
)


def warm() -> None:
    """Fill the cache of compiled code. Costs 80 seconds the first time, a fraction of a second after that."""
    warm_reading_and_records()
    warm_folding()


def warm_reading_and_records() -> None:
    """Compile reading, and what folding does with records other than trades.

    Of another process that compiles folding meanwhile this takes a third: what one has written, the other finds.
    """
    _warm_reading()
    _warm_records()


def _warm_reading() -> None:
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=False,
        producer_id=-1,
        producer_epoch=-1,
        base_sequence=-1,
        batch_size=1024,
    )
    builder.append(0, timestamp=86_400_000, key=b"XTST:A", value=TICK, headers=[])
    builder.append(1, timestamp=86_400_000, key=b"XTST:A", value=BAR_VALUE, headers=[])
    decoded = TickDecoder(Instruments(["XTST"])).decode(read_batches(bytes(builder.build())))
    if decoded.records["kind"].tolist() != [KIND_TICK, KIND_BAR]:
        raise RuntimeError(f"warm: expected a tick and a bar to be read, found {decoded.rejected}")


# Only compiled, for the types that the step calls it with: running the step would compile the whole of it.
def _warm_records() -> None:
    trades = np.zeros(2, TRADE)
    partition = np.zeros(1, PARTITION)[0]
    outputs = np.zeros(1, OUT)
    cursor = np.zeros(3, np.int64)
    world = World(
        outputs, cursor, partition, np.zeros(1, SESSION), np.zeros(1, RULES)[0], trades[0], trades[1], outputs
    )
    rows = Rows(
        np.zeros(1, HOT),
        np.zeros(1, WARM),
        np.zeros(1, COLD),
        np.zeros(1, TAPE),
        np.zeros((1, RING_BARS), BAR),
        np.zeros(1, np.int32),
        np.zeros(1, MARKET),
    )
    details, buffer = np.zeros(1, DETAIL), np.frombuffer(b"\0", np.uint8)
    compile_for(fold_other, world, rows, np.zeros(1, RECORD)[0], np.zeros(1, BAR), details, buffer, np.int64(0))


def warm_folding() -> None:
    """Compile what folds columns into the state, and what writes the state as a snapshot and reads it."""
    day = np.ones(1, np.int32)
    start = np.full(1, DAY_NS)
    none = np.zeros(1, np.int64)
    engine = Engine(Markets([Sessions("XTST", day, start, start + DAY_NS, none, none)]), Rules())
    record = np.zeros(1, RECORD)
    record["kind"] = KIND_BAR
    record["row"] = engine.instruments.row("XTST:A")
    record["append_ns"] = 3 * DAY_NS
    engine.fold(record, np.ones(1, BAR), np.frombuffer(b"\0", np.uint8))
    if engine.counters()["bars"] != 1:
        raise RuntimeError(f"warm: expected one bar to be folded, found {engine.counters()}")
    ratios_of(np.ones(1, OUT))
    _warm_snapshots(engine)


def _warm_snapshots(engine: Engine) -> None:
    identity = Identity("warm", 0, 1)
    written = SnapshotWriter(identity).write(engine, Join(), positions=Positions(1, 0))
    snapshot = read_snapshot(collect(written.records), identity)
    if snapshot is None or snapshot.engine.warm["bar_count"].tolist() != [1]:
        raise RuntimeError("warm: expected a snapshot with one bar to be read as it was written")
