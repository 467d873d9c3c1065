"""Runs one contestant as a process of its own and measures it between the first and the last record.

A contestant prints a line when it has the first record (with a history: when it has all of the history) and one when
it has the last; each carries its own wall clock and CPU seconds. It is ended when its outputs have been read.
"""

from __future__ import annotations

import os
import queue
import re
import signal
import subprocess
import tempfile
import threading
import time
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import IO, Final

import orjson

STOP_SECONDS_MAX: Final = 30.0
SAID_BYTES: Final = 3_000


class ContestantFailed(RuntimeError):
    """A contestant ended early or did not come to the end; the text has its last words."""


@dataclass(frozen=True, slots=True)
class Timing:
    """What a contestant did between the first and the last record."""

    records: int
    wall_seconds: float
    cpu_seconds: float
    memory_bytes_max: int
    startup_seconds: float
    """From its start to the first record, or to the end of the history."""
    fold_cpu_seconds: float = 0.0
    """Of the worker: CPU time of the thread that does all but fetching."""


@dataclass(frozen=True, slots=True)
class _Mark:
    records: int
    wall: float
    cpu: float


@contextmanager
def running(
    command: Sequence[str], environment: Mapping[str, str], *, seconds_max: float, cores: set[int] | None = None
) -> Iterator[Timing]:
    """Run a contestant until it has read the last record; it goes on running inside the `with` block.

    Raises:
        ContestantFailed: It ended, or needed more than `seconds_max`.
    """
    started = time.monotonic()
    with tempfile.TemporaryFile() as said:
        process = subprocess.Popen(
            command, env=os.environ | dict(environment), stdout=subprocess.PIPE, stderr=said, start_new_session=True
        )
        if cores and hasattr(os, "sched_setaffinity"):
            os.sched_setaffinity(process.pid, cores)
        try:
            assert process.stdout is not None, "expected a pipe"
            start, end, begun = _marks(process, process.stdout, started + seconds_max, said)
            yield Timing(
                end.records - start.records,
                end.wall - start.wall,
                end.cpu - start.cpu,
                peak_memory(process.pid),
                begun - started,
            )
        finally:
            stop(process)


def stop(process: subprocess.Popen[bytes]) -> None:
    """End a process in good order, or else by force."""
    process.send_signal(signal.SIGTERM)
    try:
        process.wait(STOP_SECONDS_MAX)
    except subprocess.TimeoutExpired:
        process.kill()
        process.wait()


def peak_memory(process_id: int) -> int:
    """Return the most memory that a process has held, in bytes; 0 where the system does not say."""
    status = Path(f"/proc/{process_id}/status")
    match = re.search(r"VmHWM:\s+(\d+) kB", status.read_text()) if status.exists() else None
    return int(match[1]) * 1024 if match else 0


# The first and the last mark, and when the first came by our own clock.
def _marks(
    process: subprocess.Popen[bytes], stdout: IO[bytes], deadline: float, said: IO[bytes]
) -> tuple[_Mark, _Mark, float]:
    lines: queue.Queue[bytes | None] = queue.Queue()
    threading.Thread(target=_pump, args=(stdout, lines.put), daemon=True).start()
    start: _Mark | None = None
    begun = 0.0
    while True:
        try:
            line = lines.get(timeout=max(0.0, deadline - time.monotonic()))
        except queue.Empty:
            raise ContestantFailed(f"expected the last record in time, found none\n{_last_words(said)}") from None
        if line is None:
            code = process.wait()
            raise ContestantFailed(f"expected the last record, found exit code {code}\n{_last_words(said)}")
        if not line.startswith(b'{"at"'):
            continue
        fields = orjson.loads(line)
        mark = _Mark(fields["records"], fields["wall"], fields["cpu"])
        if fields["at"] == "start":
            start, begun = mark, time.monotonic()
        elif start is not None:
            return start, mark, begun


def _pump(stdout: IO[bytes], put: Callable[[bytes | None], None]) -> None:
    for line in stdout:
        put(line)
    put(None)


def _last_words(said: IO[bytes]) -> str:
    said.seek(0)
    return said.read().decode(errors="replace")[-SAID_BYTES:]
