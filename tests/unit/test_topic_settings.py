"""Settings of topics: those of every topic, those that come with copies, and what is said of others."""

from __future__ import annotations

import pytest

from streams.config import Config, Kafka
from streams.kafka.topic_settings import Problem, TopicSpec, settings_of, wrong_copies, wrong_settings
from streams.kafka.topics import specs

SERVERS = "kafka-1:9092"
DURABLE = {"min.insync.replicas": "2", "unclean.leader.election.enable": "false"}
SPECS = specs(Config(kafka=Kafka()))


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_topic_of_three_copies_keeps_what_it_acknowledged(spec: TopicSpec) -> None:
    """Inputs, outputs, dead letters and the state: a record is on two brokers before it counts as written."""
    assert settings_of(spec, copies=3) == {**spec.configs, **DURABLE}
    assert settings_of(spec, copies=5) == settings_of(spec, copies=3)


@pytest.mark.parametrize("copies", [1, 2])
def test_topic_of_fewer_copies_can_still_be_written_when_one_is_away(copies: int) -> None:
    """A minimum of two would refuse everything with one copy, and stop at each restart of a broker with two."""
    assert all(settings_of(spec, copies=copies) == spec.configs for spec in SPECS)


@pytest.mark.parametrize("spec", SPECS, ids=lambda spec: spec.name)
def test_check_names_what_a_topic_of_three_copies_lacks(spec: TopicSpec) -> None:
    """What the brokers' defaults leave open is told with the command; a worker starts all the same."""
    found = {**spec.configs, "min.insync.replicas": "1", "unclean.leader.election.enable": "true"}
    command = f"run `kafka-configs.sh --bootstrap-server {SERVERS} --alter --topic {spec.name} --add-config "

    assert wrong_settings(spec, 3, found, SERVERS) == [
        Problem(spec.name, "min.insync.replicas=2", "1", f"{command}min.insync.replicas=2`", fatal=False),
        Problem(
            *(spec.name, "unclean.leader.election.enable=false", "true"),
            f"{command}unclean.leader.election.enable=false`",
            fatal=False,
        ),
    ]
    assert wrong_settings(spec, 1, found, SERVERS) == []


@pytest.mark.parametrize("least", ["2", "3"])
def test_topic_that_asks_for_as_many_or_more_copies_is_fine(least: str) -> None:
    """More than asked for harms nobody."""
    spec = SPECS[0]

    assert wrong_settings(spec, 3, {**spec.configs, **DURABLE, "min.insync.replicas": least}, SERVERS) == []


def test_broker_that_does_not_know_these_settings_is_left_alone() -> None:
    """A Kafka of another make agrees on records in its own way, and shows no such settings."""
    spec = SPECS[0]

    assert wrong_settings(spec, 3, spec.configs, SERVERS) == []


def test_fewer_copies_than_configured_are_told() -> None:
    """The text says how many there are, where the number comes from, and two ways out."""
    told = str(wrong_copies(SPECS[0], 1, 3))

    assert told.startswith(
        "topic market.ticks.v1: expected 3 copies of each partition (kafka.replication_factor), found 1: "
    )
    assert "kafka-reassign-partitions.sh" in told


@pytest.mark.parametrize(
    ("name", "setting", "found", "fatal"),
    [
        ("market.ticks.v1", "max.message.bytes", "1", False),
        ("market.ticks.v1.dlq", "max.message.bytes", "1", True),
        ("state.snapshots.v1", "max.message.bytes", "1", True),
        ("state.snapshots.v1", "cleanup.policy", "delete", True),
        ("state.snapshots.v1", "segment.ms", "604800000", False),
        ("news.articles.v1", "retention.ms", "1", False),
        ("news.articles.v1", "message.timestamp.type", "CreateTime", True),
    ],
)
def test_what_breaks_replay_or_blocks_a_partition_is_fatal(name: str, setting: str, found: str, fatal: bool) -> None:
    """A shorter life and smaller inputs are the operator's choice."""
    (spec,) = [spec for spec in SPECS if spec.name == name]

    (problem,) = wrong_settings(spec, 1, {**spec.configs, setting: found}, SERVERS)

    assert (problem.found, problem.fatal) == (found, fatal)
