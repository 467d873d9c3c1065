"""The side of what is there: output partitions, read to where they end and fed to their comparisons."""

from __future__ import annotations

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

import msgspec

from streams.audit.comparison import Mark, OrderedComparison
from streams.audit.marks import Headers, letter_mark, signal_mark
from streams.audit.reading import Source, Stream
from streams.audit.revisions import RevisionComparison
from streams.kafka.topic_settings import DLQ_SUFFIX
from streams.wire.batches import read_batches

MARKERS_SECONDS: Final = 10.0
"""How long outputs whose position is committed may take to be readable: a transaction's markers are written one by one.
"""

PAUSE_SECONDS: Final = 0.5

EVERYTHING_NS: Final = 2**63 - 1
"""Of a topic that has lost its first records and holds none: whatever was appended may have been removed."""

Record = tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]], str, int]
"""Key, value, headers, where it lies, and the broker's stamp."""


@dataclass(frozen=True, slots=True)
class Found:
    """One output partition: where its records come from, and who compares them."""

    stream: Stream
    compared: OrderedComparison | RevisionComparison

    async def find(self) -> None:
        """Compare the next set of batches."""
        async for key, value, headers, where, _ in records_of(self.stream, sets=1):
            if isinstance(self.compared, RevisionComparison):
                mark = signal_mark(key, value, headers, where)
                self.compared.find(_signal_id(value), revision_of(headers), mark)
            else:
                self.compared.find(marker(self.stream.place[0])(key, value, headers, where))
        self._note_oldest()

    async def find_wanted(self) -> None:
        """Compare as far as something expected waits. Revisions are judged at the end, and are all read then."""
        while isinstance(self.compared, OrderedComparison) and self.compared.wants_found and self.stream.has_more:
            await self.find()

    async def find_all(self) -> None:
        """Compare to the end."""
        while self.stream.has_more:
            await self.find()
        self._note_oldest(at_end=True)

    def _note_oldest(self, *, at_end: bool = False) -> None:
        compared, first_ns = self.compared, self.stream.first_ns
        if not compared.is_cut:
            return
        if first_ns is not None and compared.oldest_ns in (0, EVERYTHING_NS):
            compared.oldest_ns = first_ns
        elif at_end and compared.oldest_ns == 0:
            compared.oldest_ns = EVERYTHING_NS


class Patience:
    """Waits a bounded time for records that may be on their way.

    The time begins with the first wait: reading what is there takes as long as it takes.
    """

    def __init__(self, source: Source, *, clock: Callable[[], float] = time.monotonic) -> None:
        self._source = source
        self._clock = clock
        self._deadline = math.inf

    async def extend(self, streams: Iterable[Stream]) -> bool:
        """Wait a moment and move the ends of streams to where they are now; return False when the time is over."""
        now = self._clock()
        if now > self._deadline:
            return False
        self._deadline = min(self._deadline, now + MARKERS_SECONDS)
        await asyncio.sleep(PAUSE_SECONDS)
        await extend(self._source, list(streams))
        return True


async def extend(source: Source, streams: Sequence[Stream]) -> None:
    """Move the ends of streams to where the partitions end now."""
    bounds = await source.bounds([stream.place for stream in streams])
    for stream in streams:
        stream.end = bounds[stream.place][1]


async def drain(source: Source, found: Sequence[Found]) -> None:
    """Compare to the ends, and past them while something is missing that may be on its way."""
    patience = Patience(source)
    while True:
        for each in found:
            await each.find_all()
        if not any(each.compared.is_waiting for each in found):
            return
        if not await patience.extend(each.stream for each in found):
            return


async def records_of(stream: Stream, *, sets: int | None = None) -> AsyncIterator[Record]:
    """Yield the records of a partition from where the stream is to its end, or of so many sets of batches."""
    while sets is None or sets > 0:
        position = stream.position
        fetched = await stream.read()
        if fetched is None:
            return
        sets = None if sets is None else sets - 1
        frames = read_batches(fetched.data, skip_before=position)
        if stream.first_ns is None and len(frames) > 0:
            stream.first_ns = int(frames.frames["append_ns"][0])
        for index in range(len(frames)):
            frame = frames.frames[index]
            where, append_ns = f"offset {int(frame['offset'])}", int(frame["append_ns"])
            yield frames.key(index), frames.value(index), frames.headers(index), where, append_ns


def marker(topic: str) -> Callable[..., Mark]:
    """Return what makes marks of the records of a topic."""
    return letter_mark if topic.endswith(DLQ_SUFFIX) else signal_mark


def revision_of(headers: Headers) -> int:
    """Return the revision of a signal, -1 where its headers do not say."""
    text = dict(headers).get("ce_sequence") or b""
    return int(text) if text.isdigit() else -1


class _SignalId(msgspec.Struct):
    signal_id: str


_signal_ids: Final = msgspec.json.Decoder(_SignalId)


# Empty for what is no signal any more: it then has no partner.
def _signal_id(value: bytes | None) -> str:
    try:
        return _signal_ids.decode(value or b"").signal_id
    except msgspec.MsgspecError:
        return ""
