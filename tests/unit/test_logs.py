"""The worker's log: what libraries repeat is told once in a while."""

from __future__ import annotations

import logging

from streams.kafka.logs import SPARING_SECONDS, Sparing


def record(name: str, message: str, created: float) -> logging.LogRecord:
    made = logging.LogRecord(name, logging.WARNING, "", 0, message, ("127.0.0.1",), None)
    made.created = created
    return made


def test_library_that_repeats_itself_is_heard_once_in_a_while() -> None:
    """An absent broker is told of with every attempt; one line in ten seconds says as much."""
    sparing = Sparing()
    message = "Unable connect to %s"

    heard = [sparing.filter(record("aiokafka.client", message, 100.0 + second)) for second in range(12)]

    assert [second for second, one in enumerate(heard) if one] == [0, SPARING_SECONDS]
    assert sparing.filter(record("aiokafka.client", "another %s", 101.0))
    assert not sparing.filter(record("aiokafka.producer.sender", "Unexpected error in sender routine", 1.0))


def test_our_own_log_is_heard_in_full() -> None:
    """A line a state change is what we write; none of them is left out."""
    sparing = Sparing()

    assert all(sparing.filter(record("streams.kafka.owner", "partition_restarted", 1.0)) for _ in range(3))
