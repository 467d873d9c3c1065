"""`verify`: read inputs, outputs and dead letters of a cluster, run the engine again, and compare.

The committed positions are read first and the outputs after them. They are those that the workers keep in the state
topic, in one transaction with the outputs and unlike the group's, which expire and which any tool can move. So
everything up to these positions must be among the outputs, and what a running worker has written meanwhile must be a
beginning of what follows: the engine is run on past the positions as far as that needs. A partition of which nothing is
committed is not judged: nothing would have to be there. Nothing is written to the cluster and no group is joined.
"""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Callable, Mapping, Set
from contextlib import AsyncExitStack, asynccontextmanager
from typing import Final, Protocol

from streams.audit.comparison import OrderedComparison
from streams.audit.fanout import EXPECTED, FanoutStore, FanoutVerifier
from streams.audit.found import Found, drain, marker, revision_of
from streams.audit.reading import Source, committed, open_source
from streams.audit.report import PartitionReport, Report, nothing_committed, removed_by_retention
from streams.audit.rerun import SERIES, Log, PartitionRerun, Progress, settings_of
from streams.audit.revisions import RevisionComparison
from streams.audit.start import AuditStart, find_audit_start
from streams.audit.store import Partial
from streams.config import Config
from streams.core.rules import RULES_VERSION
from streams.core.sessions import Markets
from streams.kafka.app import join_rules_of
from streams.kafka.effects import Effects, Place
from streams.kafka.restorer import StateTopic
from streams.kafka.terms import Terms, terms_of
from streams.kafka.topics import Topics
from streams.wire.positions import ROUTER, STATE, read_committed
from streams.wire.snapshots import Identity, SnapshotRefused, read_snapshot

TOLD_SECONDS: Final = 10.0
"""How often it is said what is waited for."""

NOBODY: Final = (
    "expected committed positions of this application, found none in any partition: no worker has run; check "
    "kafka.application_id and --prefix"
)


class Store(FanoutStore, Protocol):
    """Keeps reports of partitions, so that a verification can go on where it was interrupted."""

    def positions(self, positions: Mapping[Place, int]) -> Mapping[Place, int]:
        """Return all positions that were kept before, and these where there were none."""

    def report(self, kind: str, partition: int) -> PartitionReport | None:
        """Return the report of a partition that was finished before."""

    def finished(self, report: PartitionReport) -> None:
        """Keep the report of a partition."""

    def partial(self, partition: int) -> Partial | None:
        """Return what was kept of a partition that was not finished."""

    def keep(self, partial: Partial) -> None:
        """Keep a partition that is not finished."""


async def verify(
    config: Config,
    markets: Markets,
    *,
    on_progress: Progress | None = None,
    on_wait: Callable[[str], None] | None = None,
    store: Store | None = None,
) -> Report:
    """Verify all partitions of a cluster, and return what was found.

    Args:
        config: The workers' configuration.
        markets: The calendars of its markets.
        on_progress: Told how far it is.
        on_wait: Told what is waited for, while something is that may never come.
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
        # What comes from here on may be unread by the time the positions are read.
        before = await source.bounds((name, number) for name in names for number in range(config.kafka.partitions))
        held = {place for place, (first, end) in before.items() if first < end}
        group = await committed(config.kafka, places)
        verifier = StateVerifier(config, markets, source, group, held, on_progress, store, on_wait=on_wait)
        report = Report()
        for number in range(config.kafka.partitions):
            known = store.report("state", number) if store is not None else None
            report.partitions.append(known or await verifier.verify(number))
            if store is not None:
                store.finished(report.partitions[-1])
        fanout = FanoutVerifier(
            source,
            settings_of(config),
            verifier.positions,
            held,
            on_progress,
            problems=verifier.router_problems,
            store=store,
        )
        report.partitions += await fanout.verify()
    if not verifier.positions:
        for each in report.partitions:
            each.problem = each.problem or NOBODY
    return report


class StateVerifier:
    """Verifies what follows from ticks and news: signals, enriched signals and dead letters.

    Args:
        config: The workers' configuration.
        markets: The calendars of its markets.
        source: The cluster.
        group: What the group has committed: it counts where the state topic holds no position.
        held: What held records before positions were read.
        on_progress: Told how far it is.
        store: Where positions, and a partition that is not finished, are kept.
        on_wait: Told what is waited for.

    Attributes:
        positions: Committed positions of the partitions that were verified, of the router's too.
        router_problems: Why the router's position in a partition cannot be believed.
    """

    def __init__(
        self,
        config: Config,
        markets: Markets,
        source: Source,
        group: Mapping[Place, int],
        held: Set[Place],
        on_progress: Progress,
        store: Store | None = None,
        *,
        on_wait: Callable[[str], None] | None = None,
    ) -> None:
        self._store = store
        self._on_wait = on_wait or (lambda _: None)
        self._config = config
        self._markets = markets
        self._source = source
        self._group = group
        self._held = held
        self.positions: dict[Place, int] = dict(store.positions({})) if store is not None else {}
        self.router_problems: dict[int, str] = {}
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
        report.problem = self._read_positions(number, records)
        if report.problem:
            return report
        bounds = await self._source.bounds([*inputs.values(), *((topic, number) for topic in outputs)])
        starts = {topic: bounds[place][0] for topic, place in inputs.items()}
        goals = {topic: self.positions.get(place, starts[topic]) for topic, place in inputs.items()}
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
        report.start, begun = start.text, start.positions
        partial = self._kept(number, bounds)
        if partial is not None:
            start = self._resumed(start, partial)
            report.inputs = partial.inputs
        async with AsyncExitStack() as stack:
            logs = {
                topic: await self._log(stack, place, start.positions[topic], bounds[place][1])
                for topic, place in inputs.items()
            }
            found: dict[str, Found] = {}
            for topic in outputs:
                place = topic, number
                first, end = bounds[place]
                at = first if partial is None else partial.found[topic]
                stream = await stack.enter_async_context(self._source.stream(place, at, end))
                compared = self._comparison(topic, number, start, partial, is_cut=first > 0)
                found[topic] = Found(stream, compared)
            rerun = PartitionRerun(number, self._settings, start, logs)
            await self._compare(report, rerun, goals, found)
        report.findings = [each.compared.finish() for each in found.values()]
        if not self._held.isdisjoint(bounds) and all(goals[topic] <= at for topic, at in begun.items()):
            known = {topic: self.positions[place] for topic, place in inputs.items() if place in self.positions}
            report.problem = nothing_committed(begun, known)
        return report

    async def _state(self, number: int) -> Mapping[bytes, bytes]:
        if self._topics.state not in self._source.topics:
            return {}
        async with self._telling(
            f"Waits to read {self._topics.state} partition {number} to its end. A transaction that is under way there "
            "ends with its commit, with the next worker of its id, or with its time-out."
        ):
            records, _ = await StateTopic(self._config.kafka, self._topics.state).read(number)
        return records

    @asynccontextmanager
    async def _telling(self, what: str) -> AsyncIterator[None]:
        async def tell() -> None:
            while True:
                await asyncio.sleep(TOLD_SECONDS)
                self._on_wait(what)

        telling = asyncio.create_task(tell())
        try:
            yield
        finally:
            telling.cancel()

    # As a restart does: by the record that was written with the outputs. Returns why it cannot be believed.
    def _read_positions(self, number: int, records: Mapping[bytes, bytes]) -> str:
        topics, found, problem = self._topics, dict[Place, int](), ""
        for kind, names in ((STATE, (topics.ticks, topics.news)), (ROUTER, (topics.articles,))):
            try:
                own = read_committed(records, self._identity(number), kind)
            except SnapshotRefused as error:
                why = (
                    f"expected the committed positions in {topics.state} partition {number} to be readable, found them "
                    f"{error.reason} ({error}). Set them with `fiftytwo rewind`, then verify again"
                )
                if kind == STATE:
                    problem = why
                else:
                    self.router_problems[number] = why
                continue
            at = own.positions if own is not None else {name: self._group.get((name, number)) for name in names}
            found |= {(name, number): offset for name in names if (offset := at.get(name)) is not None}
        self.positions |= self._store.positions(found) if self._store is not None else found
        return problem

    def _start(self, number: int, oldest: Mapping[str, int], records: Mapping[bytes, bytes]) -> AuditStart | None:
        configured = Terms(self._markets, self._config.rules, join_rules_of(self._config.news))
        return find_audit_start(records, self._identity(number), self._topics, oldest=oldest, configured=configured)

    def _identity(self, number: int) -> Identity:
        return Identity(self._config.kafka.application_id, number, self._config.kafka.partitions)

    async def _log(self, stack: AsyncExitStack, place: Place, start: int, end: int) -> Log:
        return Log(await stack.enter_async_context(self._source.stream(place, start, end)), start)

    async def _compare(
        self, report: PartitionReport, rerun: PartitionRerun, goals: Mapping[str, int], found: Mapping[str, Found]
    ) -> None:
        number = report.partition
        left = sum(max(0, goals[topic] - position) for topic, position in rerun.positions.items())
        total = report.inputs + left
        while (effects := await rerun.advance(goals)) is not None:
            report.inputs += effects.records
            self._on_progress(f"partition {number}", report.inputs, total)
            self._expect(effects, found, required=True)
            for each in found.values():
                await each.find_wanted()
            if self._store is not None and self._store.is_due():
                self._store.keep(self._partial(report, rerun, found))
        await drain(self._source, list(found.values()))
        # A worker goes on while we read: what it has written since must follow from what it has read since. The ends
        # are asked for after the last output was read, so nothing that was found can come of what lies past them.
        bounds = await self._source.bounds([(topic, number) for topic in goals])
        ends = {topic: end for (topic, _), (_, end) in bounds.items()}
        rerun.extend(ends)
        while any(each.compared.has_early for each in found.values()):
            effects = await rerun.advance(ends)
            if effects is None:
                break
            self._expect(effects, found, required=False)

    def _expect(self, effects: Effects, found: Mapping[str, Found], *, required: bool) -> None:
        for output in effects.outputs:
            compared = found[output.topic].compared
            mark = marker(output.topic)(output.key, output.value, output.headers, EXPECTED)
            if isinstance(compared, RevisionComparison):
                revision = revision_of(output.headers)
                compared.expect(output.replaces, revision, mark, appended_ns=output.append_ns, required=required)
            else:
                compared.expect(mark, appended_ns=output.append_ns, required=required)

    def _comparison(
        self, topic: str, number: int, start: AuditStart, partial: Partial | None, *, is_cut: bool
    ) -> OrderedComparison | RevisionComparison:
        kept = None if partial is None else partial.ordered.get(topic) or partial.revisions.get(topic)
        if kept is not None:
            return kept
        kind = RevisionComparison if topic == self._topics.enriched else OrderedComparison
        return kind(f"{topic}/{number}", from_beginning=start.snapshot is None, is_cut=is_cut)

    # What was kept is of no use where retention has come past it.
    def _kept(self, number: int, bounds: Mapping[Place, tuple[int, int]]) -> Partial | None:
        kept = self._store.partial(number) if self._store is not None else None
        if kept is None:
            return None
        at = kept.positions | kept.found
        return kept if all(at[topic] >= first for (topic, _), (first, _) in bounds.items()) else None

    def _partial(self, report: PartitionReport, rerun: PartitionRerun, found: Mapping[str, Found]) -> Partial:
        compared = {topic: each.compared for topic, each in found.items()}
        return Partial(
            partition=report.partition,
            start=report.start,
            inputs=report.inputs,
            positions=rerun.positions,
            found={topic: each.stream.position for topic, each in found.items()},
            ordered={topic: each for topic, each in compared.items() if isinstance(each, OrderedComparison)},
            revisions={topic: each for topic, each in compared.items() if isinstance(each, RevisionComparison)},
            state=[
                (record.key, record.value) for record in rerun.snapshot(self._identity(report.partition), self._topics)
            ],
        )

    # From the state that was kept, under the terms that it was in, to where the next ones come to hold.
    def _resumed(self, start: AuditStart, partial: Partial) -> AuditStart:
        records = {key: value for key, value in partial.state if value is not None}
        snapshot = read_snapshot(records, self._identity(partial.partition), series=SERIES)
        assert snapshot is not None
        left = [
            waypoint
            for waypoint in start.waypoints
            if any(waypoint.positions[topic] > at for topic, at in partial.positions.items())
        ]
        return AuditStart(partial.start, partial.positions, terms_of(snapshot), tuple(left), snapshot)
