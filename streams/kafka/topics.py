"""The topics: their names, how they must be made, making them, and checking that they are so before a worker starts.

Four settings carry the correctness of everything else, so a worker refuses to start without them:

- The same number of partitions everywhere: output partition = input partition, and a partition's ticks and news meet in
one worker.
- `LogAppendTime`: the broker's stamp is in the log, so a replay sees the same reference for "the future" as the first
run did. It also keeps
  history alive: retention by time uses the record's stamp, and bars stamped years ago by their producer would be
  deleted at once.
- Dead-letter topics that take more than their input: otherwise a bad record of full size could not be put aside and
would block its partition.
- A state topic that is compacted: deleted by age, the piece of a snapshot that never changes would be the first to go.

Topics of three copies or more are made so that they lose nothing that was acknowledged when one of them is lost.

An existing topic is never altered: the only request for it that the client knows replaces all settings of the topic,
others' included. What is wrong is told with the command that puts it right.
"""

from __future__ import annotations

import asyncio
import time
from collections.abc import AsyncIterator, Iterable, Mapping, Sequence
from contextlib import asynccontextmanager
from dataclasses import dataclass
from typing import Final

from aiokafka.admin import AIOKafkaAdminClient, NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from aiokafka.errors import KafkaError, for_code
from aiokafka.partitioner import murmur2

from streams.config import Config, Kafka
from streams.kafka.security import client_settings
from streams.kafka.topic_settings import DLQ_SUFFIX, Problem, TopicSpec, settings_of, wrong_copies, wrong_settings

TICKS: Final = "market.ticks.v1"
ARTICLES: Final = "news.articles.v1"
NEWS: Final = "news.by-instrument.v1"
BREAKOUTS: Final = "signals.breakouts.v1"
MOMENTUM: Final = "signals.momentum.v1"
ENRICHED: Final = "signals.enriched.v1"
STATE: Final = "state.snapshots.v1"

DLQ_MARGIN_BYTES: Final = 65_536
"""What a dead-letter record adds to the one it carries: its reason headers, generously."""

OUTPUT_BYTES_MAX: Final = 1_048_576
"""An enriched signal with all its articles is some tens of kilobytes; Kafka's usual limit is plenty."""

OUTPUT_RETENTION_DAYS: Final = 90
"""Signals are few and small; a quarter of them is worth more than its disk."""

STATE_CONFIGS: Final[Mapping[str, str]] = {
    "cleanup.policy": "compact",
    # A restart reads what compaction has not come to yet: small segments, cleaned early, or it reads a gigabyte.
    "segment.bytes": str(64 << 20),
    "segment.ms": str(10 * 60_000),
    "min.cleanable.dirty.ratio": "0.1",
    "max.message.bytes": str(1 << 20),
}
"""How the state topic is made."""

VISIBLE_SECONDS_MAX: Final = 15.0
"""A new topic reaches the metadata of every broker within a second or two."""

_DAY_MS: Final = 86_400_000
_TOPIC_EXISTS: Final = 36

_Sizes = Mapping[str, tuple[int, int]]
"""Partitions of each topic, and copies of each of them: of the one that has the fewest."""


class BrokersUnreachable(ConnectionError):
    """No broker answered, or none let us in; the text says where and what to do."""


class TopicsRefused(RuntimeError):
    """The broker refused to create a topic; the text carries its reason."""


@dataclass(frozen=True, slots=True)
class Topics:
    """The names of all topics under one prefix, which is put before each name as it is."""

    prefix: str = ""

    @property
    def ticks(self) -> str:
        """Return the topic of ticks, bars and clock records, keyed by instrument."""
        return self.prefix + TICKS

    @property
    def articles(self) -> str:
        """Return the topic of articles as they were published, keyed by article."""
        return self.prefix + ARTICLES

    @property
    def news(self) -> str:
        """Return the topic of articles fanned out, keyed by instrument."""
        return self.prefix + NEWS

    @property
    def breakouts(self) -> str:
        """Return the topic of breakout and proximity signals."""
        return self.prefix + BREAKOUTS

    @property
    def momentum(self) -> str:
        """Return the topic of momentum signals."""
        return self.prefix + MOMENTUM

    @property
    def enriched(self) -> str:
        """Return the topic of signals with their articles and tags."""
        return self.prefix + ENRICHED

    @property
    def inputs(self) -> tuple[str, ...]:
        """Return the topics that workers read; each has a dead-letter topic."""
        return (self.ticks, self.articles, self.news)

    @property
    def outputs(self) -> tuple[str, ...]:
        """Return the topics that users read."""
        return (self.breakouts, self.momentum, self.enriched)

    @property
    def state(self) -> str:
        """Return the compacted topic of snapshots and committed positions, which only workers write."""
        return self.prefix + STATE

    def dlq(self, topic: str) -> str:
        """Return the dead-letter topic of an input topic (its full name, prefix included)."""
        return topic + DLQ_SUFFIX


@dataclass(frozen=True, slots=True)
class Applied:
    """What `apply` did, and what is wrong with what was there before."""

    created: tuple[str, ...]
    existing: tuple[str, ...]
    problems: tuple[Problem, ...]


def specs(config: Config) -> list[TopicSpec]:
    """Return how every topic must be made under this configuration."""
    kafka = config.kafka
    names = Topics(kafka.prefix)
    # A copy of an article carries the article and why it is linked: it may be larger than what came in.
    input_bytes = {
        names.ticks: kafka.record_bytes_max,
        names.articles: kafka.record_bytes_max,
        names.news: kafka.record_bytes_max + DLQ_MARGIN_BYTES,
    }

    def spec(name: str, retention_days: int, bytes_max: int) -> TopicSpec:
        configs = {
            "cleanup.policy": "delete",
            "message.timestamp.type": "LogAppendTime",
            "retention.ms": str(retention_days * _DAY_MS),
            "max.message.bytes": str(bytes_max),
        }
        return TopicSpec(name, kafka.partitions, configs)

    output_days = max(OUTPUT_RETENTION_DAYS, kafka.retention_days)
    return [
        *(spec(name, kafka.retention_days, size) for name, size in input_bytes.items()),
        *(spec(name, output_days, OUTPUT_BYTES_MAX) for name in names.outputs),
        *(spec(names.dlq(name), output_days, size + DLQ_MARGIN_BYTES) for name, size in input_bytes.items()),
        TopicSpec(names.state, kafka.partitions, STATE_CONFIGS),
    ]


async def apply(config: Config) -> Applied:
    """Create the topics that are missing, and check all of them. Calling it again changes nothing.

    Raises:
        BrokersUnreachable: No broker answered.
        TopicsRefused: A topic could not be created.
    """
    wanted = specs(config)
    async with connect(config.kafka) as admin:
        before = await _sizes(admin)
        missing = [spec for spec in wanted if spec.name not in before]
        created = await _create(admin, missing, config.kafka.replication_factor) if missing else ()
        await _until_visible(admin, set(created))
        problems = await _problems(admin, wanted, config.kafka)
    existing = tuple(spec.name for spec in wanted if spec.name not in created)
    return Applied(created, existing, tuple(problems))


async def check(config: Config) -> list[Problem]:
    """Return every difference between the topics as they must be and as they are.

    Raises:
        BrokersUnreachable: No broker answered.
    """
    async with connect(config.kafka) as admin:
        return await _problems(admin, specs(config), config.kafka)


def apply_command(prefix: str) -> str:
    """Return the command that makes the topics of a prefix.

    >>> apply_command(""), apply_command("paper.")
    ('fiftytwo topics apply', 'fiftytwo --prefix paper. topics apply')
    """
    return f"fiftytwo --prefix {prefix} topics apply" if prefix else "fiftytwo topics apply"


def expected_partition(key: bytes, partitions: int) -> int:
    """Return the partition where a producer with Java's default partitioner (murmur2) puts this key.

    A producer that hashes otherwise (librdkafka's default is `consistent_random`) spreads one instrument over
    partitions where others look for it.

    >>> expected_partition(b"XNYS:BABA", 4)
    2
    """
    return (murmur2(key) & 0x7FFFFFFF) % partitions


def what_to_check(kafka: Kafka) -> str:
    """Return the settings that decide whether a broker lets us in.

    The client says only that it could not connect, be the port closed, the password wrong or the certificate unknown.

    >>> what_to_check(Kafka())
    'kafka.bootstrap_servers and kafka.security_protocol'
    """
    named = ["kafka.bootstrap_servers", "kafka.security_protocol"]
    if kafka.security_protocol.startswith("SASL"):
        named += ["kafka.sasl_mechanism", "kafka.sasl_username", "kafka.sasl_password"]
    if kafka.security_protocol.endswith("SSL"):
        named.append("kafka.ssl_cafile")
    return f"{', '.join(named[:-1])} and {named[-1]}"


@asynccontextmanager
async def connect(kafka: Kafka) -> AsyncIterator[AIOKafkaAdminClient]:
    """Open an administration client for the length of a block.

    Raises:
        BrokersUnreachable: No broker answered.
    """
    admin = AIOKafkaAdminClient(client_id="fiftytwo-topics", **client_settings(kafka))
    try:
        try:
            await admin.start()
        except (KafkaError, OSError) as error:
            raise BrokersUnreachable(
                f"expected a Kafka broker at {kafka.bootstrap_servers} over {kafka.security_protocol}, "
                f"found: {error}. Start it, or check {what_to_check(kafka)}"
            ) from error
        yield admin
    finally:
        await admin.close()


# Asks for all topics, never for ours by name: a broker that creates topics on demand would create the ones that we ask
# about.
async def _sizes(admin: AIOKafkaAdminClient) -> _Sizes:
    return {
        topic["topic"]: (
            len(topic["partitions"]),
            min((len(partition["replicas"]) for partition in topic["partitions"]), default=0),
        )
        for topic in await admin.describe_topics(None)
    }


async def _create(admin: AIOKafkaAdminClient, missing: Sequence[TopicSpec], replication_factor: int) -> tuple[str, ...]:
    topics = [
        NewTopic(
            spec.name, spec.partitions, replication_factor, topic_configs=settings_of(spec, copies=replication_factor)
        )
        for spec in missing
    ]
    response = await admin.create_topics(topics)
    created: list[str] = []
    for name, code, message in response.topic_errors:
        if code == 0:
            created.append(name)
        elif code != _TOPIC_EXISTS:  # Somebody else created it in the meantime: the check that follows judges it.
            raise TopicsRefused(
                f"topic {name}: expected to create it, found {for_code(code).__name__}: {message or 'no reason'}. "
                "Check kafka.replication_factor against the number of brokers, and the permission to create topics"
            )
    return tuple(created)


async def _until_visible(admin: AIOKafkaAdminClient, names: set[str]) -> None:
    deadline = time.monotonic() + VISIBLE_SECONDS_MAX
    visible = await _sizes(admin)
    while not names <= visible.keys() and time.monotonic() < deadline:
        await asyncio.sleep(0.05)
        visible = await _sizes(admin)


async def _problems(admin: AIOKafkaAdminClient, wanted: Sequence[TopicSpec], kafka: Kafka) -> list[Problem]:
    sizes = await _sizes(admin)
    present = [spec.name for spec in wanted if spec.name in sizes]
    configs = await _configs(admin, present)
    problems: list[Problem] = []
    for spec in wanted:
        if spec.name not in sizes:
            remedy = f"run `{apply_command(kafka.prefix)}`"
            problems.append(Problem(spec.name, "to be there", "nothing", remedy, is_missing=True))
            continue
        partitions, copies = sizes[spec.name]
        if partitions != spec.partitions:
            problems.append(_wrong_count(spec, partitions))
        if copies < kafka.replication_factor:
            problems.append(wrong_copies(spec, copies, kafka.replication_factor))
        problems.extend(wrong_settings(spec, copies, configs.get(spec.name), kafka.bootstrap_servers))
    return problems


async def _configs(admin: AIOKafkaAdminClient, names: Iterable[str]) -> dict[str, dict[str, str]]:
    resources = [ConfigResource(ConfigResourceType.TOPIC, name) for name in names]
    if not resources:
        return {}
    found: dict[str, dict[str, str]] = {}
    for response in await admin.describe_configs(resources):
        for resource in response.resources:
            code, name, entries = resource[0], resource[3], resource[4]
            if code == 0:
                found[name] = {entry[0]: entry[1] for entry in entries}
    return found


def _wrong_count(spec: TopicSpec, found: int) -> Problem:
    remedy = (
        f"set kafka.partitions = {found} if all topics have that many, or take another kafka.prefix for new topics; "
        "adding partitions to a topic that holds records would move its keys"
    )
    return Problem(spec.name, f"{spec.partitions} partitions (kafka.partitions)", str(found), remedy)


__all__ = [
    "Applied",
    "BrokersUnreachable",
    "Problem",
    "TopicSpec",
    "Topics",
    "TopicsRefused",
    "apply",
    "apply_command",
    "check",
    "connect",
    "expected_partition",
    "specs",
    "what_to_check",
]
