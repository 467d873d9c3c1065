"""How one topic must be made, and what is wrong with one that was made otherwise."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

DLQ_SUFFIX: Final = ".dlq"

COPIES_DURABLE: Final = 3
"""With so many copies one may be away while two take each record. With two, every restart of a broker would stop all
writing."""

DURABLE: Final[Mapping[str, str]] = {
    # A transaction that was acknowledged is on two brokers, and none that lacks it becomes the leader.
    "min.insync.replicas": "2",
    "unclean.leader.election.enable": "false",
}
"""What a topic of so many copies is given beside its other settings: it keeps what was acknowledged, which all that is
promised of delivery rests on."""


@dataclass(frozen=True, slots=True)
class TopicSpec:
    """How one topic must be made.

    Attributes:
        configs: Its settings, but for those that depend on how many copies it has.
    """

    name: str
    partitions: int
    configs: Mapping[str, str]


@dataclass(frozen=True, slots=True)
class Problem:
    """One difference between a topic as it must be and as it is.

    Attributes:
        fatal: A worker must not start with it; the others are worth a word.
        is_missing: There is no such topic.
    """

    topic: str
    expected: str
    found: str
    remedy: str
    fatal: bool = True
    is_missing: bool = False

    def __str__(self) -> str:
        return f"topic {self.topic}: expected {self.expected}, found {self.found}: {self.remedy}"


def settings_of(spec: TopicSpec, *, copies: int) -> dict[str, str]:
    """Return the settings of a topic with so many copies.

    >>> spec = TopicSpec("ticks", 4, {"cleanup.policy": "delete"})
    >>> settings_of(spec, copies=2)
    {'cleanup.policy': 'delete'}
    >>> settings_of(spec, copies=3)
    {'cleanup.policy': 'delete', 'min.insync.replicas': '2', 'unclean.leader.election.enable': 'false'}
    """
    return {**spec.configs, **(DURABLE if copies >= COPIES_DURABLE else {})}


def wrong_copies(spec: TopicSpec, found: int, expected: int) -> Problem:
    """Return what is wrong with a topic that has fewer copies than are configured."""
    remedy = (
        "move it onto more brokers with `kafka-reassign-partitions.sh`, or set kafka.replication_factor to what it is "
        "to have"
    )
    copies = f"{expected} copies of each partition (kafka.replication_factor)"
    return Problem(spec.name, copies, str(found), remedy, fatal=False)


def wrong_settings(spec: TopicSpec, copies: int, found: Mapping[str, str] | None, servers: str) -> list[Problem]:
    """Return what is wrong with a topic's settings.

    Args:
        spec: How it must be.
        copies: How many it has of each partition.
        found: Its settings; None where the broker did not tell them.
        servers: Where the brokers are, for the command that puts it right.
    """
    if found is None:
        remedy = "allow this user DESCRIBE_CONFIGS on the topic, or check by hand what architecture and operations say"
        return [Problem(spec.name, "readable settings", "a refusal, so they were not checked", remedy, fatal=False)]
    problems: list[Problem] = []
    command = f"kafka-configs.sh --bootstrap-server {servers} --alter --topic {spec.name}"
    for name, value in settings_of(spec, copies=copies).items():
        actual = found.get(name, "nothing")
        if actual != value and not _is_fine(name, value, actual):
            remedy = f"run `{command} --add-config {name}={value}`"
            problems.append(Problem(spec.name, f"{name}={value}", actual, remedy, _is_fatal(spec, name)))
    return problems


# More room and a longer life than asked for harm nobody; -1 keeps records for ever. A broker that does not know what
# makes a topic durable in Apache Kafka has a way of its own.
def _is_fine(name: str, value: str, actual: str) -> bool:
    if name in DURABLE and actual == "nothing":
        return True
    if name == "min.insync.replicas":
        return actual.isdigit() and int(actual) >= int(value)
    if name == "retention.ms":
        return actual == "-1" or (actual.isdigit() and int(actual) >= int(value))
    if name == "max.message.bytes":
        return actual.isdigit() and int(actual) >= int(value)
    if name in ("segment.bytes", "segment.ms"):
        return actual.isdigit() and int(actual) <= int(value)
    if name == "min.cleanable.dirty.ratio":
        return _is_at_most(actual, float(value))
    return False


def _is_at_most(text: str, most: float) -> bool:
    try:
        return float(text) <= most
    except ValueError:
        return False


# A shorter life, smaller inputs or fewer copies than configured are the operator's choice; what breaks replay or blocks
# a partition is not.
def _is_fatal(spec: TopicSpec, name: str) -> bool:
    if name in DURABLE or name in ("retention.ms", "segment.bytes", "segment.ms", "min.cleanable.dirty.ratio"):
        return False
    if name == "max.message.bytes":
        return spec.name.endswith(DLQ_SUFFIX) or spec.configs["cleanup.policy"] == "compact"
    return True
