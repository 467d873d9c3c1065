"""What each stage of the path costs by itself, in this process and without a broker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from benchmarks.workload import Workload, bars, clocks, ticks
from streams.core.engine import Engine
from streams.core.rules import Rules
from streams.core.sessions import Markets
from streams.core.signals import signals_of
from streams.wire.batches import read_batches
from streams.wire.signals import encode
from streams.wire.ticks import TickDecoder

BATCH_BYTES: Final = 1 << 20
FETCH_BYTES: Final = 4 << 20  # what a fetch brings at most, as the worker is configured
APPEND_MS: Final = 1_790_000_000_000  # any time after the session


@dataclass(slots=True)
class Stages:
    """CPU seconds spent in each stage, and what came of it."""

    records: int = 0
    value_bytes: int = 0
    log_bytes: int = 0
    signals: int = 0
    rejected: int = 0
    bars: int = 0
    history_seconds: float = 0.0
    seconds: dict[str, float] = field(
        default_factory=lambda: dict.fromkeys(("frames and CRC", "decode", "fold", "encode"), 0.0)
    )

    @property
    def total(self) -> float:
        """Return the seconds of all stages."""
        return sum(self.seconds.values())


def measure_stages(workload: Workload, markets: Markets, progress: Callable[[str], None]) -> Stages:
    """Feed the history, then the session, to one engine, and time the stages of the session alone."""
    engine = Engine(markets, Rules())
    decoder = TickDecoder(engine.instruments)
    progress("history")
    history = Stages()
    for chunk in bars(workload, markets):
        _feed(engine, decoder, _log(list(zip(chunk.keys, chunk.values, strict=True))), history)
    progress("session")
    stages = Stages(bars=history.records, history_seconds=history.total)
    for fetch in _fetches(_session(workload, markets), stages):
        _feed(engine, decoder, fetch, stages)
    return stages


def _session(workload: Workload, markets: Markets) -> Iterator[tuple[bytes | None, bytes]]:
    pending = clocks(workload, markets)
    fed = 0
    for chunk in ticks(workload, markets):
        for key, value in zip(chunk.keys, chunk.values, strict=True):
            while pending and pending[0][0] <= fed:
                yield None, pending.pop(0)[1]
            yield key, value
            fed += 1
    for _, value in pending:
        yield None, value


def _fetches(records: Iterator[tuple[bytes | None, bytes]], stages: Stages) -> Iterator[bytes]:
    batch: list[tuple[bytes | None, bytes]] = []
    fetch = b""
    size = 0
    for key, value in records:
        batch.append((key, value))
        size += len(value) + 40
        stages.value_bytes += len(value)
        if size >= BATCH_BYTES:
            fetch += _log(batch)
            batch, size = [], 0
            if len(fetch) >= FETCH_BYTES - BATCH_BYTES // 2:
                stages.log_bytes += len(fetch)
                yield fetch
                fetch = b""
    fetch += _log(batch) if batch else b""
    stages.log_bytes += len(fetch)
    yield fetch


def _log(records: Sequence[tuple[bytes | None, bytes]]) -> bytes:
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, BATCH_BYTES * 2)
    for offset, (key, value) in enumerate(records):
        assert builder.append(offset, APPEND_MS, key, value, []) is not None, "expected a batch that holds its records"
    return bytes(builder.build())


def _feed(engine: Engine, decoder: TickDecoder, data: bytes, stages: Stages) -> None:
    started = time.process_time()
    frames = read_batches(data)
    framed = time.process_time()
    decoded = decoder.decode(frames)
    read = time.process_time()
    folded = engine.fold(decoded.records, decoded.bars, decoded.buffer, decoded.details)
    done = time.process_time()
    for signal in signals_of(folded, engine):
        encode(signal, source="/fiftytwo/benchmark")
    encoded = time.process_time()
    stages.records += len(frames.frames)
    stages.signals += len(folded.signals)
    stages.rejected += len(decoded.rejected) + len(folded.rejects)
    for stage, seconds in zip(
        stages.seconds, (framed - started, read - framed, done - read, encoded - done), strict=True
    ):
        stages.seconds[stage] += seconds
