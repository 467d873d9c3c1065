"""What each stage of the path costs by itself, in this process and without a broker."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass, field
from typing import Final

import crc32c
import numpy as np
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from benchmarks.workload import Workload, bars, clocks, ticks
from streams.core.compiled import njit
from streams.core.engine import Engine
from streams.core.instruments import find_row
from streams.core.rules import Rules
from streams.core.sessions import Markets
from streams.core.signals import signals_of
from streams.core.words import first_bytes, pointer_to, word_at
from streams.wire.batches import read_batches
from streams.wire.signals import encode
from streams.wire.ticks import TickDecoder

BATCH_BYTES: Final = 1 << 20
FETCH_BYTES: Final = 4 << 20  # what a fetch brings at most, as the worker is configured
APPEND_MS: Final = 1_790_000_000_000  # any time after the session


@dataclass(frozen=True, slots=True)
class WorkerCost:
    """CPU seconds a record of a worker's two threads: the one that fetches, and the one that does all else."""

    fetch_seconds: float
    fold_seconds: float


STAGES: Final = ("CRC", "record columns", "decode", "step", "encode")


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
    intern_seconds: float = 0.0
    """Part of decoding: the instrument of every record to its row."""
    seconds: dict[str, float] = field(default_factory=lambda: dict.fromkeys(STAGES, 0.0))

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
        _feed(engine, decoder, log_of(list(zip(chunk.keys, chunk.values, strict=True))), history)
    progress("session")
    stages = Stages(bars=history.records, history_seconds=history.total)
    for fetch in _fetches(_session(workload, markets), stages):
        _feed(engine, decoder, fetch, stages)
    return stages


def profile(stages: Stages, worker: WorkerCost | None = None) -> list[tuple[str, float]]:
    """Return what a tick costs, stage by stage, in nanoseconds of CPU time.

    Args:
        stages: What `measure_stages` measured.
        worker: What a worker spent on the same records, for the rows of what is around the stages.
    """
    rows = [(stage, seconds / stages.records * 1e9) for stage, seconds in stages.seconds.items()]
    at = [stage for stage, _ in rows].index("decode")
    rows.insert(at + 1, ("of that, intern", stages.intern_seconds / stages.records * 1e9))
    if worker is not None:
        rows.insert(0, ("fetch", worker.fetch_seconds * 1e9))
        # The worker's own timers are wall time and count what its fetching thread does meanwhile: take the difference.
        rows.append(("commits and shell", (worker.fold_seconds - stages.total / stages.records) * 1e9))
    return rows


def profile_text(rows: Sequence[tuple[str, float]]) -> str:
    """Return a profile as a table; rows that say of what they are a part do not count in its sum."""
    total = sum(cost for stage, cost in rows if not stage.startswith("of that"))
    lines = [f"  {'stage':<26} {'ns a tick':>10} {'share':>7}"]
    lines += [f"  {stage:<26} {cost:>10.1f} {cost / total:>7.1%}" for stage, cost in rows]
    lines.append(f"  {'together':<26} {total:>10.1f}   {1e9 / total:,.0f} a second")
    return "\n".join(lines)


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


def session_fetches(workload: Workload, markets: Markets) -> Iterator[bytes]:
    """Yield what fetches of the session would bring."""
    yield from _fetches(_session(workload, markets), Stages())


def _fetches(records: Iterator[tuple[bytes | None, bytes]], stages: Stages) -> Iterator[bytes]:
    batch: list[tuple[bytes | None, bytes]] = []
    fetch = b""
    size = 0
    for key, value in records:
        batch.append((key, value))
        size += len(value) + 40
        stages.value_bytes += len(value)
        if size >= BATCH_BYTES:
            fetch += log_of(batch)
            batch, size = [], 0
            if len(fetch) >= FETCH_BYTES - BATCH_BYTES // 2:
                stages.log_bytes += len(fetch)
                yield fetch
                fetch = b""
    fetch += log_of(batch) if batch else b""
    stages.log_bytes += len(fetch)
    yield fetch


def log_of(records: Sequence[tuple[bytes | None, bytes]]) -> bytes:
    """Return records as one record batch."""
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, BATCH_BYTES * 2)
    for offset, (key, value) in enumerate(records):
        assert builder.append(offset, APPEND_MS, key, value, []) is not None, "expected a batch that holds its records"
    return bytes(builder.build())


def _feed(engine: Engine, decoder: TickDecoder, data: bytes, stages: Stages) -> None:
    times = [time.process_time()]
    crc32c.crc32c(data)
    times.append(time.process_time())
    frames = read_batches(data, check_crc=False)
    times.append(time.process_time())
    decoded = decoder.decode(frames)
    times.append(time.process_time())
    folded = engine.fold(decoded.records, decoded.bars, decoded.buffer, decoded.details)
    times.append(time.process_time())
    for signal in signals_of(folded, engine):
        encode(signal, source="/fiftytwo/benchmark")
    times.append(time.process_time())
    instruments = engine.instruments
    _intern(frames.buffer, frames.frames, instruments.slots, instruments.keys)
    stages.intern_seconds += time.process_time() - times[-1]
    stages.records += len(frames.frames)
    stages.signals += len(folded.signals)
    stages.rejected += len(decoded.rejected) + len(folded.rejects)
    for stage, started, done in zip(STAGES, times, times[1:], strict=False):
        stages.seconds[stage] += done - started


# The look-up that decoding does for each record, by itself.
@njit
def _intern(buffer: np.ndarray, frames: np.ndarray, slots_array: np.ndarray, keys_array: np.ndarray) -> int:
    source, slots, keys = pointer_to(buffer), pointer_to(slots_array), pointer_to(keys_array)
    found = 0
    for index in range(frames.size):
        at, length = int(frames[index]["key_start"]), int(frames[index]["key_length"])
        if length < 1:
            continue
        first = word_at(source, at, at + 8) & first_bytes(length)
        second = word_at(source, at + 8, at + 16) & first_bytes(length - 8)
        if find_row(slots, int(slots_array.size - 1), keys, first, second, 0, 0) >= 0:
            found += 1
    return found
