"""Topics on both brokers: made as they must be, left alone when they exist, and every difference told."""

from __future__ import annotations

import asyncio
import time
from dataclasses import replace
from typing import Protocol

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition
from aiokafka.admin import NewTopic
from aiokafka.admin.config_resource import ConfigResource, ConfigResourceType
from confluent_kafka import Producer

from streams.config import Config, Kafka
from streams.kafka.embedded import find_free_port
from streams.kafka.topics import (
    TICKS,
    Applied,
    BrokersUnreachable,
    Problem,
    Topics,
    TopicSpec,
    TopicsRefused,
    apply,
    check,
    connect,
    expected_partition,
    specs,
)

DAY_MS = 86_400_000


class Broker(Protocol):
    @property
    def bootstrap(self) -> str: ...


@pytest.fixture
def config(broker: Broker, prefix: str) -> Config:
    return Config(kafka=Kafka(bootstrap_servers=broker.bootstrap, prefix=prefix, partitions=3))


async def create(config: Config, name: str, *, partitions: int = 3, **configs: str) -> None:
    settings = {key.replace("_", "."): value for key, value in configs.items()}
    async with connect(config.kafka) as admin:
        response = await admin.create_topics([NewTopic(name, partitions, 1, topic_configs=settings)])
    assert [code for _, code, _ in response.topic_errors] == [0]


def test_apply_creates_every_topic_and_check_finds_nothing(config: Config) -> None:
    """Topics that we made are as they must be."""
    applied = asyncio.run(apply(config))

    assert set(applied.created) == {spec.name for spec in specs(config)}
    assert applied.problems == ()
    assert asyncio.run(check(config)) == []


def test_apply_again_changes_nothing(config: Config) -> None:
    """Applying is idempotent: what exists is reported as existing."""
    names = tuple(spec.name for spec in specs(config))
    asyncio.run(apply(config))

    assert asyncio.run(apply(config)) == Applied(created=(), existing=names, problems=())


def test_check_reports_every_missing_topic_and_creates_none(config: Config) -> None:
    """Looking must not create: some brokers make a topic when they are asked about it by name."""
    first = asyncio.run(check(config))
    second = asyncio.run(check(config))

    assert {problem.topic for problem in first} == {spec.name for spec in specs(config)}
    assert first == second
    command = f"`fiftytwo --prefix {config.kafka.prefix} topics apply`"
    assert all(problem.fatal and command in problem.remedy for problem in first)


def test_wrong_partition_count_is_fatal_and_says_what_to_do(config: Config) -> None:
    """A worker whose outputs have another count than its inputs cannot keep output partition = input partition."""
    names = Topics(config.kafka.prefix)
    await_made = create(config, names.breakouts, partitions=5, message_timestamp_type="LogAppendTime")
    asyncio.run(await_made)

    problems = asyncio.run(apply(config)).problems

    (count,) = [problem for problem in problems if "partitions" in problem.expected]
    assert (count.topic, count.found, count.fatal) == (names.breakouts, "5", True)
    assert "kafka.partitions = 5" in str(count)


def test_create_time_on_an_input_topic_is_fatal(config: Config) -> None:
    """Under CreateTime a replay sees other stamps than the first run did, and retention deletes history at once."""
    names = Topics(config.kafka.prefix)
    asyncio.run(create(config, names.ticks, message_timestamp_type="CreateTime", retention_ms=str(7 * DAY_MS)))

    problems = asyncio.run(apply(config)).problems

    assert problems == (
        Problem(
            names.ticks,
            "message.timestamp.type=LogAppendTime",
            "CreateTime",
            f"run `kafka-configs.sh --bootstrap-server {config.kafka.bootstrap_servers} --alter --topic {names.ticks} "
            "--add-config message.timestamp.type=LogAppendTime`",
        ),
    )


def test_compacted_input_topic_is_fatal(config: Config) -> None:
    """Compaction keeps one tick an instrument: the log would no longer be what the state is a fold of."""
    names = Topics(config.kafka.prefix)
    asyncio.run(create(config, names.ticks, message_timestamp_type="LogAppendTime", cleanup_policy="compact"))

    problems = asyncio.run(apply(config)).problems

    assert [(problem.topic, problem.found, problem.fatal) for problem in problems] == [(names.ticks, "compact", True)]


def test_topic_of_one_copy_is_made_as_the_broker_makes_it(apache: Broker, prefix: str) -> None:
    """With one copy there is no other to write to: a minimum of two would refuse every record."""
    config = Config(kafka=Kafka(bootstrap_servers=apache.bootstrap, prefix=prefix, partitions=3))

    async def made() -> dict[str, str]:
        await apply(config)
        async with connect(config.kafka) as admin:
            (answer,) = await admin.describe_configs([ConfigResource(ConfigResourceType.TOPIC, prefix + TICKS)])
        return {entry[0]: entry[1] for entry in answer.resources[0][4]}

    settings = asyncio.run(made())

    assert settings["min.insync.replicas"] == "1"
    assert settings["message.timestamp.type"] == "LogAppendTime"


def test_topic_of_fewer_copies_than_configured_is_told_and_no_reason_to_stop(config: Config) -> None:
    """Whoever asks for three copies believes that there are three."""
    asyncio.run(apply(config))

    problems = asyncio.run(check(replace(config, kafka=replace(config.kafka, replication_factor=3))))

    assert {problem.topic for problem in problems} == {spec.name for spec in specs(config)}
    assert {(problem.expected, problem.found, problem.fatal) for problem in problems} == {
        ("3 copies of each partition (kafka.replication_factor)", "1", False)
    }


def test_small_dead_letter_topic_is_fatal_and_short_retention_is_not(config: Config) -> None:
    """A dead-letter topic that refuses a full-sized record blocks a partition; a short life is a choice."""
    names = Topics(config.kafka.prefix)
    asyncio.run(
        create(config, names.dlq(names.ticks), message_timestamp_type="LogAppendTime", retention_ms=str(DAY_MS))
    )

    problems = asyncio.run(apply(config)).problems

    found = {problem.expected.partition("=")[0]: problem.fatal for problem in problems}
    assert found == {"max.message.bytes": True, "retention.ms": False}


def test_longer_retention_and_more_room_are_no_problem(config: Config) -> None:
    """More than asked for harms nobody."""
    names = Topics(config.kafka.prefix)
    made = create(
        config, names.ticks, message_timestamp_type="LogAppendTime", retention_ms="-1", max_message_bytes="9000000"
    )
    asyncio.run(made)

    assert asyncio.run(apply(config)).problems == ()


def test_impossible_replication_is_refused_with_the_brokers_reason(apache: Broker, prefix: str) -> None:
    """What the broker refuses is told in its words, with the settings to look at."""
    config = Config(kafka=Kafka(bootstrap_servers=apache.bootstrap, prefix=prefix, replication_factor=3))

    with pytest.raises(TopicsRefused, match=r"InvalidReplicationFactor.*kafka\.replication_factor"):
        asyncio.run(apply(config))


def test_no_broker_is_told_with_address_and_remedy() -> None:
    """A wrong address ends in one sentence."""
    address = f"127.0.0.1:{find_free_port()}"
    config = Config(kafka=Kafka(bootstrap_servers=address))

    with pytest.raises(BrokersUnreachable, match=rf"expected a Kafka broker at {address} .*kafka\.bootstrap_servers"):
        asyncio.run(check(config))


def test_history_stamped_years_ago_gets_the_brokers_stamp(config: Config) -> None:
    """The broker does what it claims: a producer's old stamp is replaced, so retention keeps the record."""
    topic = Topics(config.kafka.prefix).ticks
    started_ms = time.time_ns() // 1_000_000

    async def send_and_read() -> tuple[int, int]:
        await apply(config)
        producer = AIOKafkaProducer(bootstrap_servers=config.kafka.bootstrap_servers)
        await producer.start()
        try:
            await producer.send_and_wait(topic, b"{}", key=b"XNYS:BABA", partition=0, timestamp_ms=1_000_000_000_000)
        finally:
            await producer.stop()
        consumer = AIOKafkaConsumer(bootstrap_servers=config.kafka.bootstrap_servers, auto_offset_reset="earliest")
        await consumer.start()
        try:
            consumer.assign([TopicPartition(topic, 0)])
            record = await asyncio.wait_for(consumer.getone(), 30)
        finally:
            await consumer.stop()
        return record.timestamp, record.timestamp_type

    stamp_ms, kind = asyncio.run(send_and_read())

    assert kind == 1
    # The broker's clock is this machine's; a minute is wide enough for any rounding.
    assert abs(stamp_ms - started_ms) < 60_000


def test_dead_letter_topic_takes_a_full_sized_record_and_its_reasons(config: Config) -> None:
    """What came in can always be put aside."""
    names = Topics(config.kafka.prefix)
    size = config.kafka.record_bytes_max
    headers = [("reason", b"r" * 1000)]

    async def send() -> int:
        await apply(config)
        producer = AIOKafkaProducer(
            bootstrap_servers=config.kafka.bootstrap_servers,
            max_request_size=size + 65_536,
            max_batch_size=size + 65_536,
        )
        await producer.start()
        try:
            sent = await producer.send_and_wait(names.dlq(names.ticks), b"x" * size, partition=0, headers=headers)
        finally:
            await producer.stop()
        return int(sent.offset)

    assert asyncio.run(send()) == 0


def test_other_clients_with_murmur2_put_keys_where_we_look(config: Config) -> None:
    """Librdkafka with `partitioner=murmur2_random` and Java's default agree with `expected_partition`."""
    asyncio.run(apply(config))
    keys = [f"XNYS:S{number:04d}".encode() for number in range(50)]
    found: dict[bytes | None, int | None] = {}
    producer = Producer({"bootstrap.servers": config.kafka.bootstrap_servers, "partitioner": "murmur2_random"})

    for key in keys:
        producer.produce(
            Topics(config.kafka.prefix).ticks,
            key=key,
            value=b"{}",
            on_delivery=lambda error, message: found.__setitem__(message.key(), message.partition()),
        )
    assert producer.flush(30) == 0

    assert found == {key: expected_partition(key, config.kafka.partitions) for key in keys}


@pytest.mark.parametrize(
    "text, expected",
    [
        ("21", -973932308),
        ("foobar", -790332482),
        ("a-little-bit-long-string", -985981536),
        ("a-little-bit-longer-string", -1486304829),
        ("lkjh234lh9fiuh90y23oiuhsafujhadof229phr9h19h89h8", -58897971),
        ("abc", 479470107),
    ],
)
def test_partition_hash_is_java_kafkas(text: str, expected: int) -> None:
    """The hashes are those of Kafka's own UtilsTest; the partition is the hash without its sign, modulo the count."""
    assert expected_partition(text.encode(), 1000) == (expected & 0x7FFFFFFF) % 1000


def test_specs_keep_partition_counts_equal_and_dead_letters_larger() -> None:
    """The settings that correctness rests on, for every topic at once."""
    config = Config(kafka=Kafka(prefix="paper.", partitions=7, record_bytes_max=2_000_000))
    names = Topics("paper.")
    made: dict[str, TopicSpec] = {spec.name: spec for spec in specs(config)}

    assert {spec.partitions for spec in made.values()} == {7}
    written_by_us = {names.state}
    for name, spec in made.items():
        assert (spec.configs.get("message.timestamp.type") == "LogAppendTime") == (name not in written_by_us), name
    assert all(name.startswith("paper.") for name in made)
    for name in names.inputs:
        input_bytes = int(made[name].configs["max.message.bytes"])
        assert int(made[names.dlq(name)].configs["max.message.bytes"]) == input_bytes + 65_536
    assert set(made) == {*names.inputs, *names.outputs, names.state, *(names.dlq(name) for name in names.inputs)}
