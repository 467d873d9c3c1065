"""librdkafka as its users tune it for reading fast, and a loop over what it brings."""

from __future__ import annotations

import argparse
from collections.abc import Iterator

from confluent_kafka import Consumer, Producer

POLL_RECORDS = 5_000


def messages(options: argparse.Namespace) -> Iterator[bytes]:
    """Yield the value of every record, for ever."""
    consumer = Consumer(
        {
            "bootstrap.servers": options.bootstrap,
            "group.id": options.group,
            "auto.offset.reset": "earliest",
            "enable.auto.commit": False,
            "queued.min.messages": 1_000_000,
            "queued.max.messages.kbytes": 1_000_000,
            "max.partition.fetch.bytes": 4 << 20,
            "fetch.wait.max.ms": 10,
            "fetch.queue.backoff.ms": 5,
        }
    )
    consumer.subscribe([options.topic])
    try:
        while True:
            for message in consumer.consume(POLL_RECORDS, 0.1):
                if message.error() is not None:
                    raise SystemExit(str(message.error()))
                value = message.value()
                if value is not None:
                    yield value
    finally:
        consumer.close()


class Output:
    """Sends what comes out, in batches."""

    def __init__(self, options: argparse.Namespace) -> None:
        self._producer = Producer(
            {"bootstrap.servers": options.bootstrap, "linger.ms": 10, "partitioner": "murmur2_random"}
        )
        self._topic = options.output

    def send(self, key: str, value: bytes) -> None:
        """Send one record, and wait when librdkafka's queue is full."""
        while True:
            try:
                self._producer.produce(self._topic, value, key.encode())
                break
            except BufferError:
                self._producer.poll(0.01)
        self._producer.poll(0)

    def flush(self) -> None:
        """Wait until everything is written."""
        self._producer.flush()
