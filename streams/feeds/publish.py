"""Sends the records of files to Kafka: ticks as JSON lines, news as text or JSON lines, bars and actions as tables.

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
from contextlib import aclosing, asynccontextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final, Literal

from streams.config import Config
from streams.feeds.articles import read_articles
from streams.feeds.bar_files import Note, RowsRead
from streams.feeds.history import Refused
from streams.feeds.sender import Sender
from streams.feeds.steps import Step, article_step
from streams.feeds.tables import Source
from streams.feeds.ticks import TickLines
from streams.wire.checks import RecordRefused

Kind = Literal["ticks", "news"]

STANDARD_INPUT: Final = "-"
READ_BYTES: Final = 262_144
READ_AHEAD: Final = 4  # Chunks read before they are sent: bounds memory when the broker is slower than the disk.
PROGRESS_RECORDS: Final = 5_000  # Records between two words on how far the sending is.
PACE_SECONDS: Final = 0.02  # How finely a rate is kept; below it the timer of the system shows.


@dataclass(frozen=True, slots=True)
class Published:
    """What became of the input."""

    sent: int
    refused: int


@dataclass(frozen=True, slots=True)
class Progress:
    """How far a publication is; `bytes_total` is 0 where nobody knows, as on standard input.

    Attributes:
        sent: Records sent.
        refused: Lines refused.
        bytes_read: Bytes of the input that are done with.
        bytes_total: Its bytes.
        rows_read: Rows read of the file at hand, of which nothing has been sent yet.
    """

    sent: int
    refused: int
    bytes_read: int
    bytes_total: int
    rows_read: int = 0


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
    rate: float | None = None,
    binary: bool = False,
    on_refused: Callable[[Refused], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Published:
    """Send the records of files, in the order given.

    Args:
        config: Where Kafka is, and which markets are known.
        kind: What the files hold.
        files: Paths; `-` is standard input.
        rate: Records a second; None sends as fast as the broker takes them.
        binary: Whether trades go in the binary layout.
        on_refused: Called with every line that is not sent.
        on_progress: Called after every chunk of input, and at the end.

    Raises:
        FeedError: The broker refused records, or a topic is missing.
        OSError: A file cannot be read.
    """
    total = _bytes_total(files)
    records = _Reader(kind, config, binary=binary)
    refused = read = 0
    started = time.monotonic()
    async with (
        Sender(config) as sender,
        aclosing(_chunks(files)) as chunks,
        _told_when_cancelled(on_progress, lambda: Progress(sender.sent, refused, read, total)),
    ):
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


async def publish_tables(
    config: Config,
    sources: Sequence[Source],
    read: Callable[[Source], Iterable[Step | Refused | Note | RowsRead]],
    *,
    rate: float | None = None,
    on_refused: Callable[[Refused], None] | None = None,
    on_note: Callable[[Note], None] | None = None,
    on_progress: Callable[[Progress], None] | None = None,
) -> Published:
    """Send the records of files that are read as tables, one after the other.

    Args:
        config: Where Kafka is.
        sources: The files.
        read: Returns what a file holds.
        rate: Records a second; None sends as fast as the broker takes them.
        on_refused: Called with every row, or whole instrument, that is not sent.
        on_note: Called with what a person should know of what is sent.
        on_progress: Called now and then, and after every file.

    Raises:
        FeedError: The broker refused records, or a topic is missing.
        AskedWrongly: A file cannot be read as asked.
        HistoryError: A file cannot be read as what its name says.
        OSError: A file cannot be read.
    """
    total = sum(source.bytes_total for source in sources)
    refused = done = 0
    started = time.monotonic()

    async with (
        Sender(config) as sender,
        _told_when_cancelled(on_progress, lambda: Progress(sender.sent, refused, done, total)),
    ):
        for source in sources:
            for entry in read(source):
                if isinstance(entry, RowsRead):
                    if on_progress is not None:
                        on_progress(Progress(sender.sent, refused, done, total, entry.count))
                elif isinstance(entry, Refused):
                    refused += 1
                    if on_refused is not None:
                        on_refused(entry)
                elif isinstance(entry, Note):
                    if on_note is not None:
                        on_note(entry)
                else:
                    if rate is not None:
                        await _keep_pace(sender, started, rate)
                    await sender.send(entry)
                    if on_progress is not None and sender.sent % PROGRESS_RECORDS == 0:
                        on_progress(Progress(sender.sent, refused, done, total))
            # Before the next file is read, which may take long: what is in flight must not wait for it.
            await sender.flush()
            done += source.bytes_total
            if on_progress is not None:
                on_progress(Progress(sender.sent, refused, done, total))
        return Published(sender.sent, refused)


# Whoever interrupts wants to know how far it has come.
@asynccontextmanager
async def _told_when_cancelled(
    on_progress: Callable[[Progress], None] | None, progress: Callable[[], Progress]
) -> AsyncGenerator[None, None]:
    try:
        yield
    except asyncio.CancelledError:
        if on_progress is not None:
            on_progress(progress())
        raise


class _Reader:
    # Turns chunks of input into records. Ticks are read line by line as they come, articles once their file is
    # complete.

    def __init__(self, kind: Kind, config: Config, *, binary: bool) -> None:
        self._kind = kind
        self._zones = config.news.zones
        self._ticks = TickLines(config.markets.mics, binary=binary)
        self._pending = bytearray()

    def feed(self, chunk: _Chunk) -> Iterable[Step | Refused]:
        if self._kind == "ticks":
            return self._ticks.feed(chunk.name, chunk.data, last=chunk.last)
        self._pending += chunk.data
        if not chunk.last:
            return ()
        data = bytes(self._pending)
        self._pending.clear()
        return self._news(chunk.name, data)

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
