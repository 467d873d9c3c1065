"""Dead letters: a record that cannot be used, put aside as it came, with headers that say why.

A letter goes to `<topic>.dlq`, into the partition it came from, with its raw key, value, headers and timestamp. It is
written before the position that passes the record is committed, so none is lost. A record that does not fit the
dead-letter topic is stored cut, with the length and the SHA-256 of the whole value, rather than block its partition.
"""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from typing import Final

from streams.kafka.effects import Output
from streams.kafka.topic_settings import DLQ_SUFFIX
from streams.kafka.topics import DLQ_MARGIN_BYTES
from streams.wire.batches import Frames

MESSAGE_BYTES_MAX: Final = 4096
FRAMING_BYTES: Final = 1024
"""A batch's header and a record's varints take under 100 bytes."""

_NS_PER_MS: Final = 1_000_000

Headers = list[tuple[str, bytes | None]]


@dataclass(frozen=True, slots=True)
class Reason:
    """Why a record was put aside.

    Attributes:
        stage: `deserialize`, `validate` or `state`: how far the record came.
        name: A label of bounded number, such as `invalid_price`.
        message: What was expected, what was found, what to do.
    """

    stage: str
    name: str
    message: str


@dataclass(frozen=True, slots=True)
class DeadLetters:
    """Writes letters for one input topic.

    Attributes:
        group: The consumer group, so that a reader of the topic knows who put the record aside.
        record_bytes_max: The largest record that the input topic takes.
    """

    topic: str
    group: str
    record_bytes_max: int

    def letter(self, partition: int, frames: Frames, index: int, reason: Reason) -> Output:
        """Return the letter for one record of a batch."""
        frame = frames.frames[index]
        append_ns = int(frame["append_ns"])
        key, value = frames.key(index), frames.value(index)
        headers: Headers = frames.headers(index)
        timestamp_ms = append_ns // _NS_PER_MS
        added = self._headers(partition, int(frame["offset"]), timestamp_ms, reason)
        room = self.record_bytes_max + DLQ_MARGIN_BYTES - FRAMING_BYTES - _size(added)
        if len(key or b"") + len(value or b"") + _size(headers) > room:
            key, value, headers, cut = _cut(key, value, headers, room)
            added += cut
        return Output(
            self.topic + DLQ_SUFFIX,
            partition,
            key,
            value,
            [*headers, *added],
            timestamp_ms=timestamp_ms,
            append_ns=append_ns,
            reason=reason.name,
            source=self.topic,
        )

    def _headers(self, partition: int, offset: int, timestamp_ms: int, reason: Reason) -> Headers:
        message = reason.message.encode("utf-8", "replace")
        if len(message) > MESSAGE_BYTES_MAX:
            # A character cut in half is dropped, so that the header stays UTF-8.
            message = message[:MESSAGE_BYTES_MAX].decode("utf-8", "ignore").encode()
        fields = {
            "topic": self.topic,
            "partition": str(partition),
            "offset": str(offset),
            "timestamp": str(timestamp_ms),
            "consumer-group": self.group,
            "error-class": reason.name,
            "stage": reason.stage,
            "attempt": "1",
        }
        return [*((f"dlq.{name}", text.encode()) for name, text in fields.items()), ("dlq.error-message", message)]


# Drops headers and cuts the key only where they alone are absurdly large; what remains is the beginning of the value.
def _cut(
    key: bytes | None, value: bytes | None, headers: Headers, room: int
) -> tuple[bytes | None, bytes, Headers, Headers]:
    whole = value or b""
    added: Headers = [
        ("dlq.length", str(len(whole)).encode()),
        ("dlq.sha256", hashlib.sha256(whole).hexdigest().encode()),
    ]
    room -= _size(added) + FRAMING_BYTES
    if _size(headers) > room // 4:
        added.append(("dlq.headers-dropped", str(len(headers)).encode()))
        headers = []
    if key is not None and len(key) > room // 4:
        added.append(("dlq.key-length", str(len(key)).encode()))
        key = key[: room // 4]
    return key, whole[: room - _size(headers) - len(key or b"")], headers, added


# Names and values, and five bytes each for their lengths.
def _size(headers: Headers) -> int:
    return sum(len(name.encode()) + len(value or b"") + 10 for name, value in headers)
