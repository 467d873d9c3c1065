"""Named points of the commit protocol, so that a test can end the process at any of them.

Whoever composes a worker may pass a probe; the default does nothing. A probe is called synchronously, in the event
loop, with the name of the point just reached. It may end the process, or raise: what it raises passes through the
partition as it is and ends it, with nothing closed, committed or aborted on the way, as a crash would.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

Probe = Callable[[str], None]
"""Is told the point that was just reached."""

BEFORE_BEGIN: Final = "before_begin"
AFTER_FIRST_OUTPUT: Final = "after_first_output"
AFTER_OUTPUTS: Final = "after_outputs"
AFTER_SNAPSHOT: Final = "after_snapshot"
AFTER_OFFSETS: Final = "after_offsets"
DURING_COMMIT: Final = "during_commit"
AFTER_COMMIT: Final = "after_commit"
DURING_RESTORE: Final = "during_restore"
DURING_REPLAY: Final = "during_replay"

POINTS: Final = (
    BEFORE_BEGIN,  # effects are taken, nothing is written
    AFTER_FIRST_OUTPUT,  # the brokers have acknowledged the first outputs of several, or all of one place
    AFTER_OUTPUTS,  # they have acknowledged all outputs and dead letters
    AFTER_SNAPSHOT,  # and the records of the state topic: a snapshot where one was due, our own positions always
    AFTER_OFFSETS,  # and the group's positions; the three are sent together, the points are passed in this order
    DURING_COMMIT,  # the request to commit is on its way, its answer is not here
    AFTER_COMMIT,  # the answer is here
    DURING_RESTORE,  # the last owner is fenced and the newest snapshot is read, nothing is replayed
    DURING_REPLAY,  # a batch below the committed positions was replayed
)
"""All points, in the order of a partition's life from its first commit on."""


def passed(point: str) -> None:
    """Do nothing: the probe of every worker but those under test."""
