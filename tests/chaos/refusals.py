"""Answers of a broker that cannot do what it is asked: what a proxy sends back in its place."""

from __future__ import annotations

import io
import struct
from collections.abc import Callable
from typing import Final

from aiokafka.protocol import group, produce

KAFKA_STORAGE_ERROR: Final = 56
UNKNOWN_SERVER_ERROR: Final = -1
PRODUCE: Final = 0
SYNC_GROUP: Final = 14

_HEADER: Final = struct.Struct(">hhih")  # API, version, correlation id, length of the client's id
_CORRELATION: Final = struct.Struct(">i")
_FIELDS_OF_VERSION: Final = {2: 2, 3: 2, 4: 2, 5: 3, 6: 3, 7: 3}
"""How many numbers follow partition and code in an answer, by version of the request."""

Refusal = Callable[[bytes], bytes | None]
"""Returns the answer to a request that the broker is not to see, None for one that it is."""


def full_disk(topic: str) -> Refusal:
    """Return what a broker answers whose disk with this topic is full.

    It takes the disk out of use and answers every write to a topic on it with KAFKA_STORAGE_ERROR, while the topics on
    its other disks go on. With one disk it ends, which is another test.
    """

    def refuse(request: bytes) -> bytes | None:
        api, version, correlation, length = _HEADER.unpack_from(request)
        if api != PRODUCE:
            return None
        decoded = getattr(produce, f"ProduceRequest_v{version}").decode(io.BytesIO(request[_HEADER.size + length :]))
        if all(name != topic for name, _ in decoded.topics):
            return None
        # The other topics of the request, too: who sends it must send all of it again.
        rest = (-1,) * _FIELDS_OF_VERSION[version]
        topics = [
            (name, [(partition, KAFKA_STORAGE_ERROR, *rest) for partition, _ in partitions])
            for name, partitions in decoded.topics
        ]
        answer = getattr(produce, f"ProduceResponse_v{version}")(topics=topics, throttle_time_ms=0)
        return _CORRELATION.pack(correlation) + bytes(answer.encode())

    return refuse


def group_fails_once() -> Refusal:
    """Return what a group answers that fails once, with an error that no member expects, when members are to join."""
    left = 1

    def refuse(request: bytes) -> bytes | None:
        nonlocal left
        api, version, correlation, _ = _HEADER.unpack_from(request)
        if api != SYNC_GROUP or not left:
            return None
        left -= 1
        fields = {} if version == 0 else {"throttle_time_ms": 0}
        kind = getattr(group, f"SyncGroupResponse_v{version}")
        answer = kind(error_code=UNKNOWN_SERVER_ERROR, member_assignment=b"", **fields)
        return _CORRELATION.pack(correlation) + bytes(answer.encode())

    return refuse
