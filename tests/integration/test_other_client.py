"""What a user with another client gets: signals read with `confluent-kafka` and held against the published schemas.

Nothing of ours stands between the topics and the checks. The feed's ticks are written with the same client too, so
that librdkafka's own murmur2 says which partition a key belongs to.
"""

from __future__ import annotations

import asyncio
import json
import time
from collections import Counter, defaultdict
from collections.abc import Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, Final
from uuid import UUID

import pytest
from confluent_kafka import Consumer, KafkaError, Message, Producer
from jsonschema import Draft202012Validator

from streams.core.rules import Rules
from streams.kafka.embedded import EmbeddedBroker
from tests.integration.apache import ApacheBroker
from tests.integration.feeding import NS, Day, Input, caught_up, config_for, make_topics
from tests.integration.test_worker import running

PARTITIONS: Final = 4
INSTRUMENTS: Final = tuple(f"XNYS:S{number:02d}" for number in range(8))
READ_SECONDS_MAX: Final = 60.0
RUN_SECONDS_MAX: Final = 180.0

SCHEMAS: Final = {
    schema["$id"]: Draft202012Validator(schema, format_checker=Draft202012Validator.FORMAT_CHECKER)
    for schema in map(json.loads, (path.read_text() for path in Path("schemas").glob("*.schema.json")))
}
REQUIRED_BY_CLOUD_EVENTS: Final = ("ce_specversion", "ce_id", "ce_source", "ce_type")
KIND_OF_TOPIC: Final = {
    "signals.breakouts.v1": ("breakout", "proximity"),
    "signals.momentum.v1": ("momentum",),
    "signals.enriched.v1": ("enriched",),
}


@dataclass(frozen=True)
class Read:
    """One record as the other client hands it over."""

    topic: str
    partition: int
    key: bytes
    value: dict[str, Any]
    header_list: list[tuple[str, bytes]]

    @property
    def headers(self) -> dict[str, str]:
        """Return the headers as text, as CloudEvents has them."""
        return {name: value.decode() for name, value in self.header_list}

    @property
    def signal(self) -> dict[str, Any]:
        """Return the signal itself, which an enriched record carries within."""
        inner: dict[str, Any] = self.value.get("signal", self.value)
        return inner

    @property
    def transition(self) -> tuple[str, str, str, int]:
        """Return what the record's event id must stand for."""
        word = self.value["status"] if "signal" in self.value else self.value["transition"]
        return self.topic, self.value["signal_id"], word, self.value["revision"]


@dataclass(frozen=True)
class Heard:
    """All that the output topics say, and where librdkafka put each instrument's ticks."""

    records: list[Read]
    partition_of: dict[bytes, int]
    source: str


def as_read(message: Message, prefix: str) -> Read:
    """Return a message's content; nothing of an output record may be missing."""
    topic, partition, key, value = message.topic(), message.partition(), message.key(), message.value()
    assert topic is not None
    assert partition is not None
    assert key is not None
    assert value is not None
    headers = []
    for name, content in list(message.headers() or ()):
        assert isinstance(name, str)
        assert isinstance(content, bytes)
        headers.append((name, content))
    return Read(topic.removeprefix(prefix), partition, key, json.loads(value), headers)


def story(day: Day) -> tuple[list[Input], list[Input]]:
    """Return a year and an article, and then three days of rising, on the last of which every other price falls apart.

    So there are signals that are confirmed, that fail and that expire, on both sides, and enriched ones that are final.
    """
    days = day.days()
    clocks_after_close = len(day.clock(0)) * 2
    rise, close = days[:-clocks_after_close], days[-clocks_after_close:]
    fall_ns = int(day.sessions[-1]["open_ns"]) + 2 * 3_600 * NS
    falls = [day.tick(name, fall_ns, 8000) for name in INSTRUMENTS[::2]]
    article = day.article(1, int(day.sessions[0]["open_ns"]) - 3_600 * NS, INSTRUMENTS[:3])
    return [*day.bars(), article], [*rise, *day.clock(fall_ns), *falls, *close]


def write(bootstrap: str, records: Sequence[Input]) -> dict[bytes, int]:
    """Write records as a user would, and return where librdkafka put each key; only what has no key is placed by us."""
    placed: dict[bytes, set[int]] = defaultdict(set)

    def delivered(error: KafkaError | None, message: Message) -> None:
        assert error is None, error
        placed[message.key() or b""].add(message.partition() or 0)

    producer = Producer({"bootstrap.servers": bootstrap, "partitioner": "murmur2_random", "enable.idempotence": True})
    for record in records:
        if record.key is None:
            producer.produce(record.topic, record.value, partition=record.partition)
        else:
            producer.produce(record.topic, record.value, record.key, on_delivery=delivered)
    assert producer.flush(READ_SECONDS_MAX) == 0, "expected all records acknowledged"
    assert all(len(partitions) == 1 for partitions in placed.values())
    return {key: partition for key, (partition,) in placed.items()}


def read_to_the_end(bootstrap: str, group: str, topics: Sequence[str]) -> list[Message]:
    """Read topics as a user would: subscribe, poll, and stop at the end of the last partition."""
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": group,
            "auto.offset.reset": "earliest",
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    messages: list[Message] = []
    ended: set[tuple[str | None, int | None]] = set()
    deadline = time.monotonic() + READ_SECONDS_MAX
    try:
        consumer.subscribe(list(topics))
        while len(ended) < len(topics) * PARTITIONS:
            assert time.monotonic() < deadline, f"expected the end of all partitions, found that of {sorted(ended)}"
            message = consumer.poll(1.0)
            if message is None:
                continue
            error = message.error()
            if error is None:
                messages.append(message)
            else:
                assert error.code() == KafkaError._PARTITION_EOF, error
                ended.add((message.topic(), message.partition()))
    finally:
        consumer.close()
    return messages


async def hear(bootstrap: str, prefix: str) -> Heard:
    """Tell the story to a worker, and read with the other client what it says."""
    # The story jumps from price to price: with the band of bad prints it would be one of held prints.
    config = replace(config_for(bootstrap, prefix, partitions=PARTITIONS), rules=Rules(bad_print_band=0.0))
    topics = await make_topics(config)
    partition_of: dict[bytes, int] = {}
    async with running(config):
        for half in story(Day(config, INSTRUMENTS)):
            partition_of |= await asyncio.to_thread(write, bootstrap, half)
            await caught_up(config)
    messages = await asyncio.to_thread(read_to_the_end, bootstrap, f"{prefix}user", topics.outputs)
    records = [as_read(message, prefix) for message in messages]
    return Heard(records, partition_of, f"/fiftytwo/{config.kafka.application_id}")


@pytest.fixture(scope="module")
def heard_on() -> dict[str, Heard]:
    """Keep what was heard on each broker, so that every test of this file need not tell the story again."""
    return {}


@pytest.fixture
def heard(broker: EmbeddedBroker | ApacheBroker, prefix: str, heard_on: dict[str, Heard]) -> Heard:
    """Return what the other client heard on a broker."""
    if broker.bootstrap not in heard_on:
        work = asyncio.wait_for(hear(broker.bootstrap, prefix), RUN_SECONDS_MAX)
        heard_on[broker.bootstrap] = asyncio.run(work)
    return heard_on[broker.bootstrap]


def test_every_value_is_as_its_schema_says(heard: Heard) -> None:
    """Each value validates against the schema that its header names, which is one of its topic's."""
    said: dict[str, set[str]] = defaultdict(set)

    for record in heard.records:
        schema = record.headers["ce_dataschema"]
        SCHEMAS[schema].validate(record.value)
        said[record.topic].add(schema)

    assert said == {
        topic: {f"urn:fiftytwo:schema:{kind}-signal:v1" for kind in kinds} for topic, kinds in KIND_OF_TOPIC.items()
    }


def test_signal_within_an_enriched_one_is_as_its_own_schema_says(heard: Heard) -> None:
    """What an enriched signal carries is the opening transition, valid and equal to the record on its own topic."""
    plain = {record.transition[1:]: record.value for record in heard.records if "signal" not in record.value}
    enriched = [record for record in heard.records if record.topic == "signals.enriched.v1"]

    for record in enriched:
        kind = "breakout" if record.signal["family"].endswith("_52w") else "momentum"
        SCHEMAS[f"urn:fiftytwo:schema:{kind}-signal:v1"].validate(record.signal)
        assert record.signal == plain[record.signal["signal_id"], record.signal["transition"], 1]

    assert {record.value["status"] for record in enriched} == {"open", "final"}
    assert {record.key for record in enriched if record.value["articles"]} == {n.encode() for n in INSTRUMENTS[:3]}


def test_headers_are_those_of_a_cloud_event(heard: Heard) -> None:
    """CloudEvents 1.0 in binary mode: what it requires is there once, and every attribute agrees with the value."""
    for record in heard.records:
        headers, value = record.headers, record.value
        assert len(headers) == len(record.header_list), "expected each header once"
        assert all(headers[name] for name in REQUIRED_BY_CLOUD_EVENTS)
        kind = headers["ce_dataschema"].split(":")[3].removesuffix("-signal")
        assert kind in KIND_OF_TOPIC[record.topic]
        assert headers == {
            "ce_specversion": "1.0",
            "ce_id": headers["ce_id"],
            "ce_source": heard.source,
            "ce_type": f"fiftytwo.{kind}.{record.transition[2]}.v1",
            "ce_time": record.signal["event_time"],
            "ce_subject": record.signal["instrument"]["id"],
            "ce_dataschema": f"urn:fiftytwo:schema:{kind}-signal:v1",
            "ce_partitionkey": record.key.decode(),
            "ce_sequence": f"{value['revision']:010d}",
            "content-type": "application/json",
        }


def test_event_id_names_one_transition(heard: Heard) -> None:
    """No two records have the same id, and no transition comes twice from a worker that nothing disturbed."""
    ids = Counter(record.headers["ce_id"] for record in heard.records)
    transitions = Counter(record.transition for record in heard.records)

    assert set(ids.values()) == set(transitions.values()) == {1}
    assert {str(UUID(name)) for name in ids} == set(ids)


def test_revisions_of_a_signal_grow_in_its_partition(heard: Heard) -> None:
    """A reader that keeps the last record of a signal keeps the newest: revisions grow, on signals' topics by one."""
    revisions: dict[tuple[str, str], list[int]] = defaultdict(list)
    for record in heard.records:
        revisions[record.topic, record.value["signal_id"]].append(record.value["revision"])

    for (topic, _), found in revisions.items():
        assert found == sorted(found)
        if topic != "signals.enriched.v1":
            assert found == list(range(1, len(found) + 1))


def test_signals_are_where_the_key_says(heard: Heard) -> None:
    """The key is the instrument, and its partition is the one where a murmur2 producer puts the instrument's ticks."""
    for record in heard.records:
        assert record.key.decode() == record.signal["instrument"]["id"]
        assert record.partition == heard.partition_of[record.key]

    assert {record.key for record in heard.records} == {name.encode() for name in INSTRUMENTS}
    assert len({record.partition for record in heard.records}) > 1


def test_the_story_has_every_transition(heard: Heard) -> None:
    """What is validated is worth it: both sides, and every transition of a breakout and of a return."""
    found: dict[str, set[str]] = defaultdict(set)
    for record in heard.records:
        found[record.signal["family"] if "signal" not in record.value else "enriched"].add(record.transition[2])

    assert found["high_52w"] == {"triggered", "new_extreme", "failed", "confirmed", "unconfirmed"}
    assert found["low_52w"] >= {"triggered", "confirmed"}
    assert found["session_return"] == {"entered", "exited", "expired"}
    assert found["proximity_high_52w"] >= {"entered", "exited"}
