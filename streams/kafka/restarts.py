"""How often a partition has begun again, and when that is too often.

What beginning again does not mend ends the worker: a partition that is taken away again and again, a log with a hole,
brokers that refuse. Brokers that are slow or away are waited for, however long that takes: there a partition begins
again only because it cannot know what became of its last request.
"""

from __future__ import annotations

from asyncio import CancelledError
from collections import deque
from typing import Final

from aiokafka.errors import (
    KafkaConnectionError,
    KafkaError,
    KafkaTimeoutError,
    NodeNotReadyError,
    ProducerFenced,
    RequestTimedOutError,
)

from streams.config_delivery import Commits
from streams.kafka.cursors import RecordsMissing
from streams.kafka.transactions import InDoubt

# A time-out of this process is an OSError too.
AWAY: Final = (OSError, KafkaConnectionError, KafkaTimeoutError, NodeNotReadyError, RequestTimedOutError)
"""Brokers that did not answer, or not in time."""


class RestartedTooOften(RuntimeError):
    """A partition began again and again; the text says why, and what to do."""


class Restarts:
    """The restarts of one partition on this worker, through all its assignments.

    Two workers that take it from each other make the group assign it anew each time, so one assignment sees little.
    """

    def __init__(self) -> None:
        self._at: deque[float] = deque()

    def add(self, name: str, error: Exception, settings: Commits, now: float) -> None:
        """Count a restart, unless brokers that are slow or away are the reason.

        Args:
            name: The partition's, for people.
            error: Why it begins again.
            settings: How often it may.
            now: Seconds of a clock that never goes back.

        Raises:
            RestartedTooOften: That was once too often.
        """
        if is_away(error):
            return
        self._at.append(now)
        while self._at[0] < now - settings.restarts_minutes * 60:
            self._at.popleft()
        if len(self._at) < settings.restarts_max:
            return
        remedy = "Look at the brokers' logs and at other workers under this kafka.application_id"
        if reason_of(error) == "fenced":
            remedy = (
                "Another worker takes it over each time: look for one with the same kafka.group_instance_id, and for "
                "another set-up under the same kafka.application_id and kafka.prefix, and give each its own"
            )
        raise RestartedTooOften(
            f"expected {name} to run, found it begun again {len(self._at)} times within {settings.restarts_minutes} "
            f"minutes, the last time because of: {described(error)}. {remedy}; nothing that was committed is lost, and "
            "a worker that starts now goes on from there"
        ) from error


def reason_of(error: BaseException) -> str:
    """Return why a partition begins again, as a label of few values: fenced, in_doubt, records_missing or refused."""
    causes = _causes(error)
    if any(isinstance(cause, ProducerFenced) for cause in causes):
        return "fenced"
    if any(isinstance(cause, InDoubt) for cause in causes):
        return "in_doubt"
    return "records_missing" if isinstance(error, RecordsMissing) else "refused"


def is_away(error: BaseException) -> bool:
    """Tell whether brokers that are slow, away or changing their leaders are why a partition begins again."""
    return reason_of(error) in ("in_doubt", "refused") and any(_is_away(cause) for cause in _causes(error))


def described(error: BaseException) -> str:
    """Return an error and what caused it in one line."""
    causes = [cause for cause in _causes(error) if not isinstance(cause, CancelledError)]
    texts = [f"{type(cause).__name__}: {cause}" if str(cause) else type(cause).__name__ for cause in causes]
    return ", caused by ".join(texts)


def _is_away(cause: BaseException) -> bool:
    # aiokafka has tried what may be tried again for as long as a request may take.
    return isinstance(cause, AWAY) or (isinstance(cause, KafkaError) and cause.retriable)


def _causes(error: BaseException) -> list[BaseException]:
    found = [error]
    while found[-1].__cause__ is not None:
        found.append(found[-1].__cause__)
    return found
