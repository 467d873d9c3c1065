"""Sends the records of files to Kafka: ticks from JSON lines, daily bars from CSV, news from plain text or JSON lines.

Every line is looked at before it is sent. One that the worker would refuse is named with its file, its line and what
is wrong with it, and the rest goes on: a feed with one bad line in a million is still a feed. The worker checks
everything again, so nothing depends on this check.
"""

from __future__ import annotations

import asyncio
import os
import sys
import threading
import time
from collections.abc import AsyncGenerator, Callable, Iterable, Iterator, Sequence
from concurrent.futures import CancelledError
from contextlib import aclosing
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from streams.config import Config
from streams.feeds.articles import read_articles
from streams.feeds.history import HistoryError, Refused, bar_step, instrument_of, parse_bars
from streams.feeds.sender import Sender
from streams.feeds.steps import Step, article_step
from streams.feeds.ticks import TickLines
from streams.wire.checks import RecordRefused

Kind = Literal["ticks", "bars", "news"]

STANDARD_INPUT: Final = "-"
READ_BYTES: Final = 262_144
READ_AHEAD: Final = 4  # Chunks read before they are sent: bounds memory when the broker is slower than the disk.
PACE_SECONDS: Final = 0.02  # How finely a rate is kept; below it the timer of the system shows.


@dataclass(frozen=True, slots=True)
class Published:
    """What became of the input."""

    sent: int
    refused: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a publication is; `bytes_total` is 0 where nobody knows, as on standard input."""

    sent: int
    refused: int
    bytes_read: int
    bytes_total: int


@dataclass(frozen=True, slots=True)
class _Chunk:
    # Some input: its file, its bytes, and whether it is the last of the file.
    name: str
    data: bytes
    last: bool


async def publish(
    config: Config,
    kind: Kind,
    files: Sequence[str],
    *,
    instrument: str | None = None,
    rate: float | None = None,
    on_refused: Callable[[Refused], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Published:
    """Send the records of files, in the order given.

    Args:
        config: Where Kafka is, and which markets are known.
        kind: What the files hold.
        files: Paths; `-` is standard input.
        instrument: Whose bars they are, where the file's name does not say.
        rate: Records a second; None sends as fast as the broker takes them.
        on_refused: Called with every line that is not sent.
        on_progress: Called after every chunk of input, and at the end.

    Raises:
        FeedError: The broker refused records, or a topic is missing.
        OSError: A file cannot be read.
    """
    total = _bytes_total(files)
    records = _Reader(kind, config, instrument)
    refused = read = 0
    started = time.monotonic()
    async with Sender(config) as sender, aclosing(_chunks(files)) as chunks:
        async for chunk in chunks:
            read += len(chunk.data)
            for entry in records.feed(chunk):
                if isinstance(entry, Refused):
                    refused += 1
                    if on_refused is not None:
                        on_refused(entry)
                    continue
                if rate is not None:
                    await _keep_pace(sender, started, rate)
                await sender.send(entry)
            # What has been read is on its way before more is waited for: standard input may be a live feed.
            await sender.flush()
            if on_progress is not None:
                on_progress(Progress(sender.sent, refused, read, total))
        return Published(sender.sent, refused)


class _Reader:
    # Turns chunks of input into records. Ticks are read line by line as they come; bars and articles once their file
    # is complete.

    def __init__(self, kind: Kind, config: Config, instrument: str | None) -> None:
        self._kind = kind
        self._instrument = instrument
        self._zones = config.news.zones
        self._ticks = TickLines(config.markets.mics)
        self._pending = bytearray()

    def feed(self, chunk: _Chunk) -> Iterable[Step | Refused]:
        if self._kind == "ticks":
            return self._ticks.feed(chunk.name, chunk.data, last=chunk.last)
        self._pending += chunk.data
        if not chunk.last:
            return ()
        data = bytes(self._pending)
        self._pending.clear()
        return self._bars(chunk.name, data) if self._kind == "bars" else self._news(chunk.name, data)

    def _bars(self, name: str, data: bytes) -> Iterator[Step | Refused]:
        try:
            instrument = self._instrument or instrument_of(Path(name))
        except HistoryError as error:
            yield Refused(name, str(error).partition(": ")[2])
            return
        lines = data.decode("utf-8-sig", errors="replace").splitlines()
        for bar in parse_bars(lines, name=Path(name).name, instrument=instrument):
            yield bar if isinstance(bar, Refused) else bar_step(bar)

    def _news(self, name: str, data: bytes) -> Iterator[Step | Refused]:
        for line, found in read_articles(data, time.time_ns(), self._zones):
            if isinstance(found, RecordRefused):
                yield Refused(f"{Path(name).name}:{line}", found.message)
            else:
                yield article_step(found)


def _bytes_total(files: Sequence[str]) -> int:
    return 0 if STANDARD_INPUT in files else sum(Path(name).stat().st_size for name in files)


# Waits until the next record is due; what is due already goes out at once, in the batch that it is in.
async def _keep_pace(sender: Sender, started: float, rate: float) -> None:
    early = started + sender.sent / rate - time.monotonic()
    if early > PACE_SECONDS:
        await sender.flush()
        await asyncio.sleep(max(0.0, started + sender.sent / rate - time.monotonic()))


async def _chunks(names: Sequence[str]) -> AsyncGenerator[_Chunk, None]:
    # Reading blocks, above all on standard input. A daemon thread does it, and does not hold up the end of the
    # process when nothing more comes.
    loop = asyncio.get_running_loop()
    queue: asyncio.Queue[_Chunk | BaseException | None] = asyncio.Queue(READ_AHEAD)

    def put(item: _Chunk | BaseException | None) -> None:
        asyncio.run_coroutine_threadsafe(queue.put(item), loop).result()

    def read_all() -> None:
        try:
            for name in names:
                for chunk in _read(name):
                    put(chunk)
            put(None)
        except (OSError, ValueError) as error:
            put(error)
        except (RuntimeError, CancelledError):
            return  # The loop has ended: nobody wants the rest.

    threading.Thread(target=read_all, name="fiftytwo-read", daemon=True).start()
    while (item := await queue.get()) is not None:
        if isinstance(item, BaseException):
            raise item
        yield item


def _read(name: str) -> Iterator[_Chunk]:
    if name == STANDARD_INPUT:
        # The descriptor, not sys.stdin: its lock, held by a thread that waits for input, would keep the interpreter
        # from ending.
        descriptor, shown = sys.stdin.fileno(), "standard input"
    else:
        descriptor, shown = os.open(name, os.O_RDONLY), name
    try:
        while data := os.read(descriptor, READ_BYTES):
            yield _Chunk(shown, data, last=False)
        yield _Chunk(shown, b"", last=True)
    finally:
        if name != STANDARD_INPUT:
            os.close(descriptor)
