"""Topics of a comparison: making and removing them, and reading what a contestant wrote as a user's client would."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable, Sequence
from typing import Final

from confluent_kafka import OFFSET_BEGINNING, Consumer, KafkaError, TopicPartition
from confluent_kafka.admin import AdminClient, NewTopic  # type: ignore[attr-defined]  # confluent_kafka exports them without saying so

from benchmarks.answers import Answer

CHANGE_SECONDS_MAX: Final = 60.0
TAIL_SECONDS_MAX: Final = 20.0  # twice what any contestant waits between processing a record and committing its output
EXTRA_SECONDS: Final = 1.0  # ten times what a contestant that promises exactly once waits
POLL_SECONDS: Final = 0.2

Read = Callable[[bytes | None, bytes], Answer | None]


class TopicsStuck(RuntimeError):
    """The broker did not make or remove topics in time."""


def make_topic(bootstrap: str, name: str, partitions: int) -> None:
    """Create a topic that keeps everything, and wait until it is there."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    configs = {"message.timestamp.type": "LogAppendTime", "retention.ms": "-1"}
    admin.create_topics([NewTopic(name, partitions, 1, config=configs)])[name].result(CHANGE_SECONDS_MAX)
    _wait(admin, lambda names: name in names)


def remove_topics(bootstrap: str, is_removed: Callable[[str], bool]) -> None:
    """Remove the topics whose names are chosen, and wait until they are gone: their disk is needed again."""
    admin = AdminClient({"bootstrap.servers": bootstrap})
    names = [name for name in admin.list_topics(timeout=CHANGE_SECONDS_MAX).topics if is_removed(name)]
    if not names:
        return
    for removed in admin.delete_topics(names).values():
        removed.result(CHANGE_SECONDS_MAX)
    _wait(admin, lambda found: not set(names) & found)


def read_answers(bootstrap: str, topics: Sequence[str], read: Read, *, at_least: int) -> list[Answer]:
    """Return what stands in output topics for a reader of committed records.

    The last commit may be under way: what is missing is waited for, for some seconds; what may be too many, for one.
    """
    deadline = time.monotonic() + TAIL_SECONDS_MAX
    while len(_read_all(bootstrap, topics, read)) < at_least and time.monotonic() < deadline:
        time.sleep(POLL_SECONDS)
    time.sleep(EXTRA_SECONDS)
    return _read_all(bootstrap, topics, read)


def _read_all(bootstrap: str, topics: Sequence[str], read: Read) -> list[Answer]:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "fiftytwo-benchmark-reader",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "enable.partition.eof": True,
        }
    )
    try:
        described = consumer.list_topics(timeout=CHANGE_SECONDS_MAX).topics
        places = [(topic, partition) for topic in topics for partition in described[topic].partitions]
        consumer.assign([TopicPartition(topic, partition, OFFSET_BEGINNING) for topic, partition in places])
        found: list[Answer] = []
        ended = 0
        while ended < len(places):
            for message in consumer.consume(5_000, POLL_SECONDS):
                error = message.error()
                if error is not None:
                    # Other errors pass: a topic that was just made may not be known everywhere.
                    ended += error.code() == KafkaError._PARTITION_EOF
                    continue
                value = message.value()
                answer = read(message.key(), value) if value is not None else None
                if answer is not None:
                    found.append(answer)
        return found
    finally:
        consumer.close()


def _wait(admin: AdminClient, is_done: Callable[[set[str]], bool]) -> None:
    deadline = time.monotonic() + CHANGE_SECONDS_MAX
    while not is_done(_names(admin.list_topics(timeout=CHANGE_SECONDS_MAX).topics)):
        if time.monotonic() > deadline:
            raise TopicsStuck(f"expected the broker to change its topics in {CHANGE_SECONDS_MAX:g} s")
        time.sleep(POLL_SECONDS)


def _names(topics: Iterable[str]) -> set[str]:
    return set(topics)
