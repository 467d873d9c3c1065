"""Copies of articles and dead letters of articles: the copies of one partition come from the articles of all."""

from __future__ import annotations

from collections.abc import Mapping, Set
from contextlib import AsyncExitStack
from dataclasses import dataclass
from typing import Final

from streams.audit.comparison import OrderedComparison
from streams.audit.copies import FanoutComparison
from streams.audit.found import Found, Patience, extend, records_of
from streams.audit.marks import copy_mark, letter_mark
from streams.audit.reading import Source, Stream
from streams.audit.report import PartitionReport, nothing_committed
from streams.audit.rerun import Log, Progress, RouterRerun
from streams.core.news import NewsClock
from streams.kafka.effects import Place
from streams.kafka.partition import PartitionSettings
from streams.kafka.router import RouterRuntime
from streams.wire.articles import decode_copy
from streams.wire.checks import RecordRefused

EXPECTED = "expected"

EVERYTHING_NS: Final = 2**63 - 1
"""Of a topic that has lost its first records and holds none: whatever was appended may have been removed."""


@dataclass(frozen=True, slots=True)
class _Fan:
    # One partition of the articles topic.
    report: PartitionReport
    rerun: RouterRerun
    articles: Stream
    start: int
    goal: int
    letters: OrderedComparison
    letters_found: Found


class FanoutVerifier:
    """Verifies the router's work.

    Args:
        source: The cluster.
        settings: What all partitions share.
        positions: What is committed, read before anything else.
        held: What held records before positions were read.
        on_progress: Told how far it is.
        problems: Why what is committed of a partition cannot be believed.
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
    ) -> None:
        self._source = source
        self._topics = settings.topics
        self._settings = settings
        self._positions = positions
        self._held = held
        self._on_progress = on_progress
        self._problems = problems or {}
        self._copies = {n: FanoutComparison(f"{self._topics.news}/{n}") for n in range(settings.partitions)}

    async def verify(self) -> list[PartitionReport]:
        """Verify all partitions."""
        letters = self._topics.dlq(self._topics.articles)
        # Copies and letters end where they end now; the articles behind them, looked at later, do not end before.
        bounds = await self._source.bounds((topic, n) for topic in (self._topics.news, letters) for n in self._copies)
        async with AsyncExitStack() as stack:
            streams = {
                place: await stack.enter_async_context(self._source.stream(place, *bounds[place])) for place in bounds
            }
            fans = [await self._open(n, stack, streams[letters, n]) for n in self._copies]
            patience = Patience(self._source)
            while True:
                for fan in fans:
                    await self._expect(fan)
                for n in self._copies:
                    await self._find(n, streams[self._topics.news, n])
                for fan in fans:
                    await fan.letters_found.find_all()
                waits = any(copies.is_waiting for copies in self._copies.values())
                waits = waits or any(fan.letters.is_waiting for fan in fans)
                if not waits or not await patience.extend(streams.values()):
                    break
            for n, copies in self._copies.items():
                if bounds[self._topics.news, n][0] > 0:
                    first_ns = streams[self._topics.news, n].first_ns
                    copies.oldest_ns = EVERYTHING_NS if first_ns is None else first_ns
        for n, fan in enumerate(fans):
            fan.report.findings += [self._copies[n].finish(), fan.letters.finish()]
        return [fan.report for fan in fans]

    async def _open(self, number: int, stack: AsyncExitStack, letters: Stream) -> _Fan:
        place = self._topics.articles, number
        start, end = (await self._source.bounds([place]))[place]
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
        articles = await stack.enter_async_context(self._source.stream(place, start, end))
        rerun = RouterRerun(RouterRuntime(number, self._settings, position=start), Log(articles, start))
        compared = OrderedComparison(f"{letters.place[0]}/{number}", from_beginning=start == 0)
        return _Fan(report, rerun, articles, start, goal, compared, Found(letters, compared))

    # To the end of the articles: what lies past the committed position may have been fanned out too.
    async def _expect(self, fan: _Fan) -> None:
        await extend(self._source, [fan.articles])
        number = fan.report.partition
        for bound, required in ((fan.goal, True), (fan.articles.end, False)):
            while (effects := await fan.rerun.advance(bound)) is not None:
                fan.report.inputs += effects.records if required else 0
                self._on_progress(f"articles {number}", fan.report.inputs, fan.goal - fan.start)
                for output in effects.outputs:
                    record = output.key, output.value, output.headers, EXPECTED
                    if output.topic == self._topics.news:
                        self._copies[output.partition].expect(
                            number, copy_mark(*record), appended_ns=output.append_ns, required=required
                        )
                    else:
                        fan.letters.expect(letter_mark(*record), required=required)

    async def _find(self, number: int, stream: Stream) -> None:
        async for key, value, headers, where in records_of(stream):
            if _is_copy(value):
                self._copies[number].find(copy_mark(key, value, headers, where))


# The news log holds clocks too, and whatever others wrote; copies are the router's.
def _is_copy(value: bytes | None) -> bool:
    try:
        return value is not None and not isinstance(decode_copy(value), NewsClock)
    except RecordRefused:
        return False
