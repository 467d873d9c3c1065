"""`verify`: read inputs, outputs and dead letters of a cluster, run the engine again, and compare.

The committed positions are read first and the outputs after them. So everything up to these positions must be among the
outputs, and what a running worker has written meanwhile must be a beginning of what follows: the engine is run on past
the positions as far as that needs. Nothing is written to the cluster and no group is joined.
"""

from __future__ import annotations

from collections.abc import Mapping
from contextlib import AsyncExitStack
from typing import Protocol

from streams.audit.comparison import OrderedComparison, RevisionComparison
from streams.audit.fanout import EXPECTED, FanoutVerifier
from streams.audit.found import Found, drain, marker, revision_of
from streams.audit.reading import Source, committed, open_source
from streams.audit.report import PartitionReport, Report, removed_by_retention
from streams.audit.rerun import Log, PartitionRerun, Progress, settings_of
from streams.audit.start import AuditStart, find_audit_start
from streams.config import Config
from streams.core.rules import RULES_VERSION
from streams.core.sessions import Markets
from streams.kafka.app import join_rules_of
from streams.kafka.effects import Effects, Place
from streams.kafka.restorer import StateTopic
from streams.kafka.terms import Terms
from streams.kafka.topics import Topics
from streams.wire.positions import ROUTER, STATE, read_committed
from streams.wire.snapshots import Identity


class Store(Protocol):
    """Keeps reports of partitions, so that a verification can go on where it was interrupted."""

    def positions(self, positions: Mapping[Place, int]) -> Mapping[Place, int]:
        """Return the committed positions of the first run, these when there was none."""

    def report(self, kind: str, partition: int) -> PartitionReport | None:
        """Return the report of a partition that was finished before."""

    def finished(self, report: PartitionReport) -> None:
        """Keep the report of a partition."""


async def verify(
    config: Config, markets: Markets, *, on_progress: Progress | None = None, store: Store | None = None
) -> Report:
    """Verify all partitions of a cluster, and return what was found.

    Args:
        config: The workers' configuration.
        markets: The calendars of its markets.
        on_progress: Told how far it is.
        store: Where reports of finished partitions are kept.

    Raises:
        BrokersUnreachable: No broker answered.
        TopicMissing: A topic is not there, or has another number of partitions.
        ReadingStalled: A partition could not be read.
    """
    on_progress = on_progress or (lambda *_: None)
    topics = Topics(config.kafka.prefix)
    names = [*topics.inputs, *topics.outputs, *(topics.dlq(name) for name in topics.inputs)]
    places = [(topic, number) for topic in topics.inputs for number in range(config.kafka.partitions)]
    async with open_source(config.kafka, names) as source:
        positions = dict(await committed(config.kafka, places))
        if store is not None:
            positions = dict(store.positions(positions))
        verifier = StateVerifier(config, markets, source, positions, on_progress)
        report = Report()
        for number in range(config.kafka.partitions):
            known = store.report("state", number) if store is not None else None
            report.partitions.append(known or await verifier.verify(number))
            if store is not None:
                store.finished(report.partitions[-1])
        report.partitions += await FanoutVerifier(source, settings_of(config), positions, on_progress).verify()
    return report


class StateVerifier:
    """Verifies what follows from ticks and news: signals, enriched signals and dead letters.

    Args:
        config: The workers' configuration.
        markets: The calendars of its markets.
        source: The cluster.
        positions: What the group has committed, read before anything else; what it has forgotten is added.
        on_progress: Told how far it is.
    """

    def __init__(
        self, config: Config, markets: Markets, source: Source, positions: dict[Place, int], on_progress: Progress
    ) -> None:
        self._config = config
        self._markets = markets
        self._source = source
        self._positions = positions
        self._on_progress = on_progress
        self._topics = Topics(config.kafka.prefix)
        self._settings = settings_of(config)

    async def verify(self, number: int) -> PartitionReport:
        """Verify one partition."""
        topics = self._topics
        report = PartitionReport("state", number)
        inputs = {topic: (topic, number) for topic in (topics.news, topics.ticks)}
        outputs = [*topics.outputs, topics.dlq(topics.ticks), topics.dlq(topics.news)]
        records = await self._state(number)
        bounds = await self._source.bounds([*inputs.values(), *((topic, number) for topic in outputs)])
        starts = {topic: bounds[place][0] for topic, place in inputs.items()}
        goals = {topic: self._positions.get(place, starts[topic]) for topic, place in inputs.items()}
        start = self._start(number, starts, records)
        if start is None:
            report.problem = removed_by_retention({topic: at for topic, at in starts.items() if at > 0})
            return report
        if start.other_version:
            report.problem = (
                f"expected rules of version {RULES_VERSION}, found outputs said under version {start.other_version}: "
                "verify with the version that wrote them"
            )
            return report
        report.start = start.text
        async with AsyncExitStack() as stack:
            logs = {
                topic: await self._log(stack, place, start.positions[topic], bounds[place][1])
                for topic, place in inputs.items()
            }
            found: dict[str, Found] = {}
            for topic in outputs:
                place = topic, number
                stream = await stack.enter_async_context(self._source.stream(place, *bounds[place]))
                found[topic] = Found(stream, self._comparison(topic, number, start))
            rerun = PartitionRerun(number, self._settings, start, logs)
            at_end = await self._compare(report, rerun, goals, found)
        report.findings = [each.compared.finish(at_end=at_end) for each in found.values()]
        return report

    # What the state topic holds for a partition. The positions in it outlive those of the group, which expire.
    async def _state(self, number: int) -> Mapping[bytes, bytes]:
        if self._topics.state not in self._source.topics:
            return {}
        records, _ = await StateTopic(self._config.kafka, self._topics.state).read(number)
        for kind in (STATE, ROUTER):
            own = read_committed(records, self._identity(number), kind)
            for topic, at in own.positions.items() if own is not None else ():
                self._positions.setdefault((topic, number), at)
        return records

    def _start(self, number: int, oldest: Mapping[str, int], records: Mapping[bytes, bytes]) -> AuditStart | None:
        configured = Terms(self._markets, self._config.rules, join_rules_of(self._config.news))
        return find_audit_start(records, self._identity(number), self._topics, oldest=oldest, configured=configured)

    def _identity(self, number: int) -> Identity:
        return Identity(self._config.kafka.application_id, number, self._config.kafka.partitions)

    async def _log(self, stack: AsyncExitStack, place: Place, start: int, end: int) -> Log:
        return Log(await stack.enter_async_context(self._source.stream(place, start, end)), start)

    # Returns whether the committed positions are the ends of both logs.
    async def _compare(
        self, report: PartitionReport, rerun: PartitionRerun, goals: Mapping[str, int], found: Mapping[str, Found]
    ) -> bool:
        number = report.partition
        total = sum(max(0, goals[topic] - position) for topic, position in rerun.positions.items())
        while (effects := await rerun.advance(goals)) is not None:
            report.inputs += effects.records
            self._on_progress(f"partition {number}", report.inputs, total)
            self._expect(effects, found, required=True)
            for each in found.values():
                await each.find_wanted()
        await drain(self._source, list(found.values()))
        # A worker goes on while we read: what it has written since must follow from what it has read since.
        bounds = await self._source.bounds([(topic, number) for topic in goals])
        ends = {topic: end for (topic, _), (_, end) in bounds.items()}
        rerun.extend(ends)
        while any(each.compared.has_early for each in found.values()):
            effects = await rerun.advance(ends)
            if effects is None:
                break
            self._expect(effects, found, required=False)
        return all(goals[topic] >= end for topic, end in ends.items())

    def _expect(self, effects: Effects, found: Mapping[str, Found], *, required: bool) -> None:
        for output in effects.outputs:
            compared = found[output.topic].compared
            mark = marker(output.topic)(output.key, output.value, output.headers, EXPECTED)
            if isinstance(compared, RevisionComparison):
                compared.expect(output.replaces, revision_of(output.headers), mark, required=required)
            else:
                compared.expect(mark, required=required)

    def _comparison(self, topic: str, number: int, start: AuditStart) -> OrderedComparison | RevisionComparison:
        kind = RevisionComparison if topic == self._topics.enriched else OrderedComparison
        return kind(f"{topic}/{number}", from_beginning=start.snapshot is None)
