"""What a request is for: a partition's own, or one of the checks that a worker makes before it has any.

A worker asks much of what its partitions ask later once at its start, and throws the answers away: it looks at the
topics, and begins a transaction that nobody goes on with. A fault that meets these proves little of the partitions.
"""

from __future__ import annotations

import struct
from typing import Final

from tests.chaos.proxy import API_NAMES

CHECK: Final = "-check"
"""How the name ends under which a worker tries transactions."""

CHECKERS: Final = ("fiftytwo-topics", "fiftytwo-start")
"""Clients that look at topics and brokers."""

GIVEN: Final = "SyncGroup"
"""What is asked for between a worker's checks and its partitions."""

OF_PARTITIONS: Final = frozenset({"Metadata", "FindCoordinator", "InitProducerId"})
"""Requests that checks send too."""

TRANSACTION: Final = 1

_HEADER: Final = struct.Struct(">hhih")  # API, version, correlation id, length of the client's name
_LENGTH: Final = struct.Struct(">h")


def is_of_partition(request: bytes) -> bool:
    """Tell whether a request is not one of a worker's checks; of coordinators, whether it is that of transactions."""
    api, version, _, length = _HEADER.unpack_from(request)
    body = request[_HEADER.size + max(length, 0) :]
    match API_NAMES.get(api):
        case "Metadata":
            return request[_HEADER.size : len(request) - len(body)].decode() not in CHECKERS
        case "InitProducerId":
            name, _ = _text(body)
            return bool(name) and not name.endswith(CHECK)
        case "FindCoordinator":
            name, rest = _text(body)
            return version > 0 and rest[:1] == bytes([TRANSACTION]) and not name.endswith(CHECK)
    return True


# A text that may be missing, and what follows it.
def _text(body: bytes) -> tuple[str, bytes]:
    (length,) = _LENGTH.unpack_from(body)
    end = _LENGTH.size + max(length, 0)
    return body[_LENGTH.size : end].decode(), body[end:]
