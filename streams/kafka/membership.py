"""A name for this worker that lasts over restarts, so that a restart does not move its partitions.

Kafka keeps the partitions of a member that comes back under its name within the session time-out. A worker that was
given no name takes the machine's and the first number that no other worker of the same group and topics on this machine
holds. The number is held by a lock on a file, which the system lets go when the process ends, however it ends.
"""

from __future__ import annotations

import hashlib
import os
import re
import socket
from typing import Final

from streams.calendars import cache_folder
from streams.config import Kafka

DYNAMIC: Final = "dynamic"
"""The setting for a member without a lasting name: its partitions move at once when it stops."""

NUMBERS_MAX: Final = 1_000
NAME_LENGTH_MAX: Final = 100


class Membership:
    """The name under which a worker joins its group.

    Args:
        kafka: Where Kafka is, the application's id, and the name where one is set.
    """

    def __init__(self, kafka: Kafka) -> None:
        self._lock: int | None = None
        self.name = self._find(kafka)
        """The name, None for a member without one."""

    def release(self) -> None:
        """Let the number go, for the next worker of this machine."""
        lock, self._lock = self._lock, None
        if lock is not None:
            os.close(lock)

    def _find(self, kafka: Kafka) -> str | None:
        if kafka.group_instance_id:
            return None if kafka.group_instance_id == DYNAMIC else kafka.group_instance_id
        # A member that comes back is handed what it had, so that one with other topics must have another name.
        group = _digest(kafka.bootstrap_servers, kafka.application_id, kafka.prefix)
        topics = f"{_digest(kafka.prefix)[:6]}-" if kafka.prefix else ""
        folder = cache_folder().parent / "members"
        try:
            import fcntl

            folder.mkdir(parents=True, exist_ok=True)
            for number in range(NUMBERS_MAX):
                lock = os.open(folder / f"{group}-{number}.lock", os.O_RDWR | os.O_CREAT | os.O_CLOEXEC, 0o600)
                try:
                    fcntl.flock(lock, fcntl.LOCK_EX | fcntl.LOCK_NB)
                except OSError:
                    os.close(lock)
                    continue
                self._lock = lock
                return f"{_machine()}-{topics}{number}"
        except (ImportError, OSError):
            pass
        # Nowhere to keep a lock: two workers of one name would push each other out, so this one has none.
        return None


def _digest(*parts: str) -> str:
    return hashlib.sha256(repr(parts).encode()).hexdigest()[:16]


def _machine() -> str:
    return re.sub(r"[^A-Za-z0-9._-]", "-", socket.gethostname())[:NAME_LENGTH_MAX] or "worker"
