"""How far one topic of a partition has been fetched, and whether what comes next is what should.

Offsets decide. What was fetched twice is dropped; a gap is asked for again; a log that no longer holds what comes next,
or has lost what was read, is a doubt: its new records would else look like those that are known already.
"""

from __future__ import annotations

import logging
from collections import deque
from dataclasses import dataclass, field
from enum import Enum
from typing import Final

from streams.kafka.fetched import Fetched
from streams.kafka.logs import note

log = logging.getLogger(__name__)

GAPS_MAX: Final = 3
"""How often records are asked for again before the log is taken at its word."""


class RecordsMissing(RuntimeError):
    """The log no longer holds records that the state needs next, or lost some that it knows already."""


class Found(Enum):
    """What a fetched set is to its cursor."""

    NEXT = "next"
    KNOWN = "known"
    ELSEWHERE = "elsewhere"
    """It belongs to another place: the reader is to be sent to the cursor's."""


@dataclass(slots=True)
class Cursor:
    """Where the reading of one topic stands.

    Attributes:
        expected: The offset that the next fetched set must reach back to.
        end: The end of the log's records, as far as is known.
        sets: What was fetched and is not read yet.
        append_ns: The newest stamp that was read.
        byte_seconds: What reading the last set took, by byte.
    """

    expected: int
    end: int
    sets: deque[Fetched] = field(default_factory=deque)
    append_ns: int = 0
    byte_seconds: float = 0.0
    _rounds: int = 0
    _regressed_at: int | None = None
    _is_steady: bool = False
    _was_sent: bool = False

    def place(self, fetched: Fetched) -> Found:
        """Say what a fetched set is, and go past it when it is next.

        Raises:
            RecordsMissing: Asking again does not help.
        """
        if fetched.position < self.expected and self._has_gone_back(fetched):
            return self._gone_back(fetched)
        self.end = max(self.end, fetched.end_offset)
        if fetched.next_offset <= self.expected:
            return Found.KNOWN
        if fetched.position > self.expected:
            return self._gap(fetched)
        # From here on the reader comes to nothing a second time, unless it is, or was, sent back.
        self._is_steady |= fetched.position == self.expected and not self._was_sent
        self._rounds, self._regressed_at = 0, None
        self.expected = fetched.next_offset
        return Found.NEXT

    # A steady reader comes to what was read only when the brokers reset it: the log had ended before its position.
    # Before it is steady, what was under way for another owner may come.
    def _has_gone_back(self, fetched: Fetched) -> bool:
        return self._is_steady or fetched.end_offset < self.expected

    def _gone_back(self, fetched: Fetched) -> Found:
        is_rest = self._regressed_at is not None and fetched.position > self._regressed_at
        self._regressed_at = fetched.position
        if is_rest:
            return Found.KNOWN  # The rest of what came with the one before.
        self._rounds += 1
        self._note("offset_regression", fetched)
        if self._is_steady or self._rounds > GAPS_MAX:
            raise RecordsMissing(
                f"expected {fetched.topic} partition {fetched.partition} to go on from offset {self.expected}, found "
                f"it read again from {fetched.position}, with its end at {fetched.end_offset}: the topic was made "
                "again or lost records; look at the brokers, and use another kafka.application_id where the topic is "
                "to be read anew"
            )
        return Found.ELSEWHERE

    # Records can only be missing when retention removed them before they were read, or after a seek that raced.
    def _gap(self, fetched: Fetched) -> Found:
        self._rounds += 1
        self._is_steady, self._was_sent = False, True
        self._note("offset_gap", fetched)
        if self._rounds > GAPS_MAX:
            raise RecordsMissing(
                f"expected {fetched.topic} partition {fetched.partition} to hold offset {self.expected}, found "
                f"{fetched.position} as its oldest: retention removed records before they were read; give the topic a "
                "longer retention.ms or the worker more time"
            )
        return Found.ELSEWHERE

    def _note(self, event: str, fetched: Fetched) -> None:
        fields = {"topic": fetched.topic, "partition": fetched.partition, "expected": self.expected}
        note(log, logging.WARNING, event, found=fetched.position, end=fetched.end_offset, **fields)
