"""The one composition root: the Faust app, and everything that is wired to it.

Faust does the group's membership and assignment, the agents and the life cycle. It holds no correctness: no tables, no
transactions of its own, no acknowledgements and no commits.
"""

from __future__ import annotations

from collections.abc import Awaitable, Callable, Iterable, Mapping
from dataclasses import dataclass, replace
from importlib import metadata
from typing import Any, Final, Protocol, cast

import faust
from faust.app.base import BootStrategy
from faust.tables import TableManager
from faust.types import TP
from faust.types.transports import TransportT
from mode import CrashingSupervisor
from yarl import URL

from streams.calendars import load_markets
from streams.config import Config, News
from streams.core.join import JoinRules
from streams.core.sessions import Markets
from streams.core.units import NS
from streams.kafka.agents import add_agent
from streams.kafka.assignment import Assignment
from streams.kafka.dlq import DeadLetters
from streams.kafka.fetched import Fetched
from streams.kafka.memory import fetch_bytes
from streams.kafka.owner import Consumer, Ports, Seat
from streams.kafka.pacing import CommitPace, SnapshotPace
from streams.kafka.partition import PartitionSettings
from streams.kafka.probe import Probe, passed
from streams.kafka.producer import AtLeastOnce, Committer, ExactlyOnce
from streams.kafka.restorer import Build, KafkaRestorer
from streams.kafka.security import faust_brokers, faust_credentials
from streams.kafka.snapshots import Oldest, SnapshotPorts
from streams.kafka.terms import Terms
from streams.kafka.topics import Topics, specs
from streams.kafka.transport import BatchConsumer, BatchTransport
from streams.web.metrics import Metrics
from streams.web.server import Health

MINUTE_NS: Final = 60 * NS
HOUR_NS: Final = 60 * MINUTE_NS

BUFFER_SETS_MAX: Final = 8
"""Fetched sets between the consumer and an agent; agents never wait, so it only evens out bursts."""

SESSION_SECONDS: Final = 15.0
"""How long a worker may be silent before its partitions go to another; a static member must be back faster."""

HEARTBEAT_SECONDS: Final = 1.0
"""A member hears of a rebalance in the answer to its heartbeat: this is how long others wait for it."""

REBALANCE_SECONDS: Final = 15.0
"""How long a rebalance waits for members that it has called; handing partitions on takes a few seconds at worst."""

REQUEST_SECONDS: Final = 40.0
"""Longer than session and rebalance: a join is answered when all others have answered, or are given up."""


@dataclass(frozen=True, slots=True)
class Assembled:
    """A worker's parts, wired."""

    app: StreamsApp
    assignment: Assignment
    markets: Markets
    ask_brokers: Callable[[], Awaitable[object]]


class Partitions(Protocol):
    """Owns the state and the positions of the assigned partitions."""

    def offer(self, fetched: Fetched) -> None:
        """Take what was fetched for a partition."""

    async def assign(self, assigned: frozenset[TP]) -> Mapping[TP, int]:
        """Take over partitions and return the offset to read each from."""

    async def revoke(self) -> None:
        """Stop reading, bring what is under way to its end and commit it. Nothing is read again before `assign`."""


class BootWithoutProducer(BootStrategy):
    """Starts everything but Faust's producer, which sends nothing here."""

    enable_kafka_producer = False


class NoTables(TableManager):
    """Starts at once: Faust waits a second for tables to register themselves, and there are none."""

    async def on_start(self) -> None:
        """Start what seeks and resumes after an assignment."""
        await self._update_channels()
        await self.recovery.start()


class StreamsApp(faust.App):
    """A Faust app whose positions belong to its partitions."""

    BootStrategy = BootWithoutProducer
    partitions: Partitions
    fetch_wait_ms: int

    def _new_transport(self) -> TransportT:
        return BatchTransport(self.conf.broker_consumer, self)

    def _create_directories(self) -> None:
        """Create none: without tables there is nothing to keep on disk."""

    async def restart_positions(self, assigned: frozenset[TP]) -> Mapping[TP, int]:
        """Return the offset to read from for every assigned partition. Called by the consumer after each assignment."""
        return await self.partitions.assign(assigned)

    async def _on_partitions_revoked(self, revoked: set[TP]) -> None:
        # Before Faust forgets anything: what is under way still belongs to this member of the group.
        if not self.should_stop:
            await self.partitions.revoke()
        await super()._on_partitions_revoked(revoked)

    async def _on_partitions_assigned(self, assigned: set[TP], generation_id: int = 0) -> None:
        await super()._on_partitions_assigned(assigned, generation_id)
        if not assigned and not self.should_stop:
            # A spare worker: nothing is sought, so nobody else would say that the group has decided.
            await self.partitions.assign(frozenset())

    async def crashed_with(self) -> BaseException:
        """Wait until a service of the app crashes and return why."""
        await self._crashed.wait()
        reason: BaseException | None = self.crash_reason
        return reason or RuntimeError("expected the app to run, found it crashed without a reason: see the log before")


def build_app(
    config: Config, partitions: Partitions, inputs: Iterable[tuple[str, str]], *, member: str | None = None
) -> StreamsApp:
    """Build the app with one agent for each input. Must be called inside the event loop that will run it.

    Args:
        config: The worker's configuration.
        partitions: Takes what is fetched.
        inputs: (name of the agent, topic) of each input.
        member: The name under which the group is joined, None for a member without one.
    """
    kafka = config.kafka
    app = StreamsApp(
        kafka.group,
        broker=[URL(address) for address in faust_brokers(kafka)],
        broker_credentials=faust_credentials(kafka),
        broker_client_id=f"fiftytwo-{kafka.application_id}",
        broker_session_timeout=SESSION_SECONDS,
        broker_rebalance_timeout=REBALANCE_SECONDS,
        broker_request_timeout=REQUEST_SECONDS,
        broker_heartbeat_interval=HEARTBEAT_SECONDS,
        consumer_group_instance_id=member,
        consumer_auto_offset_reset="earliest",
        consumer_max_fetch_size=fetch_bytes(kafka),
        agent_supervisor=CrashingSupervisor,
        stream_buffer_maxsize=BUFFER_SETS_MAX,
        stream_wait_empty=False,
        store="memory://",
        TableManager=NoTables,
        topic_allow_declare=False,
        topic_disable_leader=True,
        web_enabled=False,
        autodiscover=False,
    )
    app.partitions = partitions
    app.fetch_wait_ms = kafka.fetch_wait_ms
    for name, topic in inputs:
        add_agent(app, name, topic, partitions.offer)
    return app


def assemble(
    config: Config,
    *,
    metrics: Metrics,
    health: Health,
    on_failure: Callable[[BaseException], None],
    member: str | None = None,
    probe: Probe = passed,
) -> Assembled:
    """Wire all parts of a worker. Must be called inside the event loop that will run it; nothing is started.

    Args:
        config: What is configured.
        metrics: What is counted and measured.
        health: Is told how partitions stand.
        on_failure: Called with what ended a partition.
        member: The name under which the group is joined, None for a member without one.
        probe: Is told how far commits have come; for tests.
    """
    topics = Topics(config.kafka.prefix)
    terms = terms_of_config(config)
    assignment = Assignment(topics, metrics=metrics, health=health, on_failure=on_failure)
    inputs = [("ticks", topics.ticks), ("articles", topics.articles), ("news", topics.news)]
    app = build_app(config, assignment, inputs, member=member)
    consumer = app.consumer
    assert isinstance(consumer, BatchConsumer)
    ports = build_ports(config, terms, cast(Consumer, consumer), consumer.commit_positions, metrics, probe)
    assignment.connect(replace(ports, events=assignment.events))
    return Assembled(app, assignment, terms.markets, lambda: consumer.bounds([TP(topics.ticks, 0)]))


def terms_of_config(config: Config) -> Terms:
    """Return the options and the calendar that are configured."""
    markets = load_markets(config.markets.mics, lookback=config.rules.lookback, overrides=config.markets.overrides)
    return Terms(markets, config.rules, join_rules_of(config.news))


def build_ports(
    config: Config,
    terms: Terms,
    consumer: Consumer,
    commit_positions: Callable[[Mapping[Any, int]], Awaitable[None]],
    metrics: Metrics,
    probe: Probe = passed,
) -> Ports:
    """Return what a `PartitionOwner` needs: everything but Faust. Must be called inside the event loop.

    Args:
        config: What is configured.
        terms: Its options and calendar.
        consumer: Where records come from.
        commit_positions: Commits the group's positions where there are no transactions.
        metrics: What is counted and measured.
        probe: Is told how far commits have come.
    """
    kafka = config.kafka
    topics = Topics(kafka.prefix)
    bytes_max = {spec.name: int(spec.configs["max.message.bytes"]) for spec in specs(config)}
    settings = PartitionSettings(
        topics=topics,
        partitions=kafka.partitions,
        source=f"/fiftytwo/{kafka.application_id}",
        skew_ns=config.rules.skew_s * NS,
        letters={topic: DeadLetters(topic, kafka.application_id, bytes_max[topic]) for topic in topics.inputs},
    )
    snapshots = SnapshotPorts(
        topics=topics,
        settings=config.snapshots,
        pace=SnapshotPace(config.snapshots.share_max),
        metrics=metrics,
        version=metadata.version("fiftytwo"),
        delivery=kafka.delivery,
    )
    exactly_once = kafka.delivery == "exactly_once"

    def committer(seat: Seat) -> Committer:
        if exactly_once:
            name = transactional_id(kafka.group, seat)
            return ExactlyOnce(kafka, name, timeout_seconds=config.commits.timeout_s, probe=probe)
        return AtLeastOnce(kafka, commit_positions, probe=probe)

    def oldest_of(seat: Seat) -> Oldest:
        async def oldest() -> Mapping[str, int]:
            bounds = await consumer.bounds([(topic, seat.number) for topic in seat.topics])
            return {topic: first for (topic, _), (first, _) in bounds.items()}

        return oldest

    return Ports(
        consumer=consumer,
        committer=committer,
        restorer=KafkaRestorer(kafka, Build(settings, terms, snapshots, exactly_once), oldest_of),
        settings=config.commits,
        pace=CommitPace(config.commits.share_max),
        metrics=metrics,
        probe=probe,
    )


def transactional_id(group: str, seat: Seat) -> str:
    """Return the name under which a partition's transactions are known to the brokers."""
    return f"{group}-{seat.kind}-{seat.number}"


def join_rules_of(news: News) -> JoinRules:
    """Return the join's options from the configuration."""
    return JoinRules(
        before_ns=news.before_hours * HOUR_NS,
        after_ns=news.after_hours * HOUR_NS,
        grace_ns=news.grace_minutes * MINUTE_NS,
        relevance_min=news.relevance_min,
        articles_max=news.articles_max,
        tags_max=news.tags_max,
    )
