"""A consumer of committed records in a process of its own: when each signal arrived, and which trade it is about."""

from __future__ import annotations

import gc
import multiprocessing
import queue
import time
from collections.abc import Iterator
from contextlib import contextmanager
from multiprocessing.queues import Queue
from multiprocessing.synchronize import Event
from typing import Any, Final

import orjson
from confluent_kafka import OFFSET_END, Consumer, TopicPartition

READY_SECONDS_MAX: Final = 60.0
POLL_SECONDS: Final = 0.1
NAP_SECONDS: Final = 0.05

Arrival = tuple[str, str, float]
"""Instrument, time of the trade, and when its signal arrived."""


class Receiver:
    """What has arrived so far; asked while the process goes on receiving."""

    def __init__(self, arrivals: Queue[Any]) -> None:
        self._arrivals = arrivals

    def take(self, count: int, seconds_max: float) -> list[Arrival]:
        """Return so many arrivals, or what there is when time is up."""
        deadline = time.monotonic() + seconds_max
        found: list[Arrival] = []
        while len(found) < count and time.monotonic() < deadline:
            try:
                found += self._arrivals.get(timeout=0.2)
            except queue.Empty:
                continue
        return found

    def drop(self) -> None:
        """Forget what has arrived."""
        while True:
            try:
                self._arrivals.get(timeout=0.2)
            except queue.Empty:
                return


@contextmanager
def receiving(bootstrap: str, topic: str, partitions: int) -> Iterator[Receiver]:
    """Receive what is written from now on."""
    context = multiprocessing.get_context("spawn")
    arrivals: Queue[Any] = context.Queue()
    told, ready = context.Event(), context.Event()
    process = context.Process(target=_receive, args=(bootstrap, topic, partitions, arrivals, ready, told), daemon=True)
    process.start()
    try:
        if not ready.wait(READY_SECONDS_MAX):
            raise RuntimeError("expected a consumer in time, found none: is the broker there?")
        yield Receiver(arrivals)
    finally:
        told.set()
        process.join(5)
        if process.is_alive():
            process.kill()
            process.join()


def _receive(bootstrap: str, topic: str, partitions: int, arrivals: Queue[Any], ready: Event, told: Event) -> None:
    consumer = Consumer(
        {
            "bootstrap.servers": bootstrap,
            "group.id": "fiftytwo-latency-reader",
            "enable.auto.commit": False,
            "isolation.level": "read_committed",
            "fetch.min.bytes": 1,
            "fetch.queue.backoff.ms": 1,
            "socket.nagle.disable": True,
        }
    )
    consumer.assign([TopicPartition(topic, partition, OFFSET_END) for partition in range(partitions)])
    consumer.poll(1.0)  # It is at the end of every partition before anything is sent.
    gc.disable()
    ready.set()
    said: list[tuple[float, bytes]] = []
    while not told.is_set():
        message = consumer.poll(NAP_SECONDS if said else POLL_SECONDS)
        if message is not None and message.error() is None:
            said.append((time.time(), message.value() or b""))
        elif said:
            # Nothing more for now: reading what arrived costs no arrival its time.
            arrivals.put([arrival for at, value in said for arrival in _arrivals(at, value)])
            said.clear()
    consumer.close()


def _arrivals(at: float, value: bytes) -> Iterator[Arrival]:
    found = orjson.loads(value)
    if "family" not in found:
        yield found["instrument"], found["time"], at
    elif found["transition"] == "triggered" and found["family"] in ("high_52w", "low_52w"):
        yield found["instrument"]["id"], found["trigger"]["time"], at
