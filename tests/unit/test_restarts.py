"""When a partition has begun again too often, and what is said then."""

from __future__ import annotations

import asyncio

import pytest
from aiokafka.errors import (
    KafkaConnectionError,
    NotEnoughReplicasError,
    ProducerFenced,
    RequestTimedOutError,
    TopicAuthorizationFailedError,
)

from streams.config import Commits
from streams.kafka.cursors import RecordsMissing
from streams.kafka.restarts import RestartedTooOften, Restarts, described, reason_of
from streams.kafka.transactions import InDoubt

SETTINGS = Commits()
MINUTE = 60.0


def doubt(cause: BaseException) -> InDoubt:
    error = InDoubt("EndTxnRequest was sent and not answered")
    error.__cause__ = cause
    return error


@pytest.mark.parametrize(
    "error",
    [
        doubt(TimeoutError()),
        doubt(RequestTimedOutError()),
        doubt(KafkaConnectionError("closed")),
        NotEnoughReplicasError(),
        ConnectionResetError("reset by peer"),
    ],
)
def test_brokers_that_are_slow_or_away_never_end_a_worker(error: Exception) -> None:
    """However often a request is not answered, the partition begins again and the worker lives."""
    restarts = Restarts()

    for number in range(100):
        restarts.add("partition 0 (state)", error, SETTINGS, float(number))

    # Nothing of it counts when something else comes.
    restarts.add("partition 0 (state)", ProducerFenced(), SETTINGS, 101.0)


@pytest.mark.parametrize(
    "error", [ProducerFenced(), doubt(ProducerFenced()), RecordsMissing("gap"), TopicAuthorizationFailedError()]
)
def test_what_beginning_again_does_not_mend_ends_the_worker(error: Exception) -> None:
    """Three times within ten minutes are too often; what lies longer back is forgotten."""
    restarts = Restarts()
    times = [0.0, 9 * MINUTE, 11 * MINUTE]
    for now in times:
        restarts.add("partition 3 (state)", error, SETTINGS, now)

    with pytest.raises(RestartedTooOften, match=r"expected partition 3 \(state\) to run, found it begun again 3 times"):
        restarts.add("partition 3 (state)", error, SETTINGS, 12 * MINUTE)


def test_fences_are_told_with_the_worker_to_look_for() -> None:
    """Two workers of one name take partitions from each other: the text says which setting makes them different."""
    restarts = Restarts()

    for now in range(SETTINGS.restarts_max - 1):
        restarts.add("partition 0 (state)", ProducerFenced(), SETTINGS, float(now))

    with pytest.raises(RestartedTooOften, match=r"look for one with the same kafka\.group_instance_id"):
        restarts.add("partition 0 (state)", ProducerFenced(), SETTINGS, MINUTE)


def test_error_is_described_without_what_says_nothing() -> None:
    """A time-out has no text and a cancelled wait no meaning to whoever reads the log."""
    late = TimeoutError()
    late.__cause__ = asyncio.CancelledError()
    error = doubt(late)

    assert described(error) == "InDoubt: EndTxnRequest was sent and not answered, caused by TimeoutError"
    assert reason_of(error) == "in_doubt"
