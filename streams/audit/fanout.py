"""Copies of articles and dead letters of articles: the copies of one partition come from the articles of all.

All partitions are read side by side, the articles in the order of the broker's stamps and what came of them as far as
it is expected: a router writes a copy soon after its article, so little waits on either side. Only articles that nobody
fanned out for a long time make one side wait for the other.
"""

from __future__ import annotations

from collections.abc import Mapping, Set
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Protocol

from streams.audit.comparison import OrderedComparison
from streams.audit.copies import FanoutComparison
from streams.audit.found import EVERYTHING_NS, Found, Patience, extend, records_of
from streams.audit.marks import copy_mark, letter_mark
from streams.audit.reading import Source, Stream
from streams.audit.report import PartitionReport, nothing_committed
from streams.audit.rerun import Log, Progress, RouterRerun
from streams.audit.store import FanoutPartial, SourcePartial
from streams.core.news import NewsClock
from streams.kafka.effects import Place
from streams.kafka.partition import PartitionSettings
from streams.kafka.router import RouterRuntime
from streams.wire.articles import decode_copy
from streams.wire.checks import RecordRefused

EXPECTED = "expected"


@dataclass(slots=True)
class _Fan:
    # One partition of the articles topic; `read_ns` is the broker's stamp on the newest article read.
    report: PartitionReport
    rerun: RouterRerun
    articles: Stream
    start: int
    goal: int
    letters_found: Found
    letters: OrderedComparison
    read_ns: int = 0
    is_read: bool = False


class FanoutStore(Protocol):
    """Keeps how far the copies of articles are verified, so that it can go on there."""

    def is_due(self) -> bool:
        """Tell whether it should be kept now."""

    def fanout(self) -> FanoutPartial | None:
        """Return what was kept."""

    def keep_fanout(self, partial: FanoutPartial) -> None:
        """Keep how far it has come."""


class FanoutVerifier:
    """Verifies the router's work.

    Args:
        source: The cluster.
        settings: What all partitions share.
        positions: What is committed, read before anything else.
        held: What held records before positions were read.
        on_progress: Told how far it is.
        problems: Why what is committed of a partition cannot be believed.
        store: Where it is kept how far it has come.
    """

    def __init__(
        self,
        source: Source,
        settings: PartitionSettings,
        positions: Mapping[Place, int],
        held: Set[Place],
        on_progress: Progress,
        *,
        problems: Mapping[int, str] | None = None,
        store: FanoutStore | None = None,
    ) -> None:
        self._source = source
        self._topics = settings.topics
        self._settings = settings
        self._positions = positions
        self._held = held
        self._on_progress = on_progress
        self._problems = problems or {}
        self._store = store
        self._copies = {n: FanoutComparison(f"{self._topics.news}/{n}") for n in range(settings.partitions)}

    async def verify(self) -> list[PartitionReport]:
        """Verify all partitions."""
        topics = self._topics
        letters = topics.dlq(topics.articles)
        numbers = range(self._settings.partitions)
        # Copies and letters end where they end now; the articles behind them, looked at later, do not end before.
        bounds = await self._source.bounds((topic, n) for topic in (topics.news, letters) for n in numbers)
        articles = await self._source.bounds((topics.articles, n) for n in numbers)
        kept = self._kept(bounds | articles)
        if kept is not None:
            self._copies = dict(enumerate(kept.copies))
        async with AsyncExitStack() as stack:
            streams = {
                place: await stack.enter_async_context(
                    self._source.stream(
                        place, first if kept is None else max(first, kept.found[place[0]][place[1]]), end
                    )
                )
                for place, (first, end) in bounds.items()
            }
            fans = [
                await self._open(n, stack, streams[letters, n], articles[topics.articles, n], kept) for n in numbers
            ]
            await self._compare(fans, streams, bounds)
        for n, fan in enumerate(fans):
            fan.report.findings += [self._copies[n].finish(), fan.letters.finish()]
        return [fan.report for fan in fans]

    # What was kept is of no use where retention has come past it.
    def _kept(self, bounds: Mapping[Place, tuple[int, int]]) -> FanoutPartial | None:
        kept = self._store.fanout() if self._store is not None else None
        if kept is None:
            return None
        at = {(topic, n): position for topic, positions in kept.found.items() for n, position in enumerate(positions)}
        at |= {(self._topics.articles, n): source.position for n, source in enumerate(kept.sources)}
        return kept if all(position >= bounds[place][0] for place, position in at.items()) else None

    async def _open(
        self, number: int, stack: AsyncExitStack, letters: Stream, bounds: tuple[int, int], kept: FanoutPartial | None
    ) -> _Fan:
        place, source = (self._topics.articles, number), None if kept is None else kept.sources[number]
        start, end = (bounds[0] if source is None else source.start), bounds[1]
        report = PartitionReport("articles", number, start=f"offset {start}")
        goal = self._positions.get(place, start)
        report.problem = self._problems.get(number, "")
        if not report.problem and goal <= start and not self._held.isdisjoint((place, letters.place)):
            known = {place[0]: self._positions[place]} if place in self._positions else {}
            report.problem = nothing_committed({place[0]: start}, known)
        if start > 0:
            # The router has no state: it begins anywhere. What came of the articles before is there, and not judged.
            for copies in self._copies.values():
                copies.removed_sources.add(number)
        compared = OrderedComparison(
            f"{letters.place[0]}/{number}", from_beginning=start == 0, is_cut=letters.position > 0
        )
        position = start
        if source is not None:
            compared, position, report.inputs = source.letters, source.position, source.inputs
        stream = await stack.enter_async_context(self._source.stream(place, position, end))
        rerun = RouterRerun(RouterRuntime(number, self._settings, position=position), Log(stream, position))
        return _Fan(report, rerun, stream, start, goal, Found(letters, compared), compared)

    # To the ends, and past them while something is missing that may be on its way.
    async def _compare(
        self, fans: list[_Fan], streams: Mapping[Place, Stream], bounds: Mapping[Place, tuple[int, int]]
    ) -> None:
        news = {n: streams[self._topics.news, n] for n in self._copies}
        patience = Patience(self._source)
        while True:
            await extend(self._source, [fan.articles for fan in fans])
            for fan in fans:
                fan.is_read = False
            while left := [fan for fan in fans if not fan.is_read]:
                fan = min(left, key=lambda fan: fan.read_ns)
                await self._expect(fan)
                await fan.letters_found.find_wanted()
                read_ns = min((fan.read_ns for fan in left if not fan.is_read), default=EVERYTHING_NS)
                for n, copies in self._copies.items():
                    if copies.is_full:
                        copies.forget_removed(read_ns)
                    while copies.wants_found and news[n].has_more:
                        await self._find(n, news[n], sets=1)
                        if copies.is_full:
                            copies.forget_removed(read_ns)
                    self._note_oldest(copies, news[n], bounds[self._topics.news, n][0])
                self._keep(fans, news)
            for n in self._copies:
                await self._find(n, news[n])
            for fan in fans:
                await fan.letters_found.find_all()
            waits = any(copies.is_waiting for copies in self._copies.values())
            waits = waits or any(fan.letters.is_waiting for fan in fans)
            if not waits or not await patience.extend(streams.values()):
                break
        for n, copies in self._copies.items():
            self._note_oldest(copies, news[n], bounds[self._topics.news, n][0], at_end=True)

    @staticmethod
    def _note_oldest(copies: FanoutComparison, stream: Stream, first: int, *, at_end: bool = False) -> None:
        if first == 0 or copies.oldest_ns > 0:
            return
        if stream.first_ns is not None:
            copies.oldest_ns = stream.first_ns
        elif at_end:
            copies.oldest_ns = EVERYTHING_NS

    def _keep(self, fans: list[_Fan], news: Mapping[int, Stream]) -> None:
        if self._store is None or not self._store.is_due():
            return
        letters = self._topics.dlq(self._topics.articles)
        partial = FanoutPartial(
            sources=[SourcePartial(fan.start, fan.rerun.position, fan.report.inputs, fan.letters) for fan in fans],
            copies=[self._copies[n] for n in sorted(self._copies)],
            found={
                self._topics.news: [news[n].position for n in sorted(news)],
                letters: [fan.letters_found.stream.position for fan in fans],
            },
        )
        self._store.keep_fanout(partial)

    # One set of articles more. What lies past the committed position may have been fanned out too.
    async def _expect(self, fan: _Fan) -> None:
        number = fan.report.partition
        for bound, required in ((fan.goal, True), (fan.articles.end, False)):
            effects = await fan.rerun.advance(bound)
            if effects is None:
                continue
            fan.read_ns = max(fan.read_ns, effects.append_ns)
            fan.report.inputs += effects.records if required else 0
            self._on_progress(f"articles {number}", fan.report.inputs, fan.goal - fan.start)
            for output in effects.outputs:
                record = output.key, output.value, output.headers, EXPECTED
                if output.topic == self._topics.news:
                    self._copies[output.partition].expect(
                        number, copy_mark(*record), appended_ns=output.append_ns, required=required
                    )
                else:
                    fan.letters.expect(letter_mark(*record), appended_ns=output.append_ns, required=required)
            return
        fan.is_read = True

    async def _find(self, number: int, stream: Stream, *, sets: int | None = None) -> None:
        async for key, value, headers, where, append_ns in records_of(stream, sets=sets):
            if _is_copy(value):
                self._copies[number].find(copy_mark(key, value, headers, where), appended_ns=append_ns)


# The news log holds clocks too, and whatever others wrote; copies are the router's.
def _is_copy(value: bytes | None) -> bool:
    try:
        return value is not None and not isinstance(decode_copy(value), NewsClock)
    except RecordRefused:
        return False
