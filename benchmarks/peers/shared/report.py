"""What Python contestants share: their command line, and two lines that say when they began and ended.

Only the standard library: a contestant runs in an environment of its own.
"""

from __future__ import annotations

import argparse
import json
import signal
import sys
import time


class Report:
    """Counts records and says when the measured part begins and ends.

    With history, it begins when all of it and a tenth of the session were read; without, at the first record.
    """

    def __init__(self, history: int, records: int) -> None:
        self._history = history
        self._opening = history + (records - history) // 10 if history else 1
        self._records = records
        self._seen = 0
        self._of_history = 0
        self._has_begun = False

    def record(self) -> None:
        """Count one record of the session."""
        self._seen += 1
        if not self._has_begun and self._of_history == self._history and self._seen >= self._opening:
            self._has_begun = True
            self._say("start")
        if self._seen == self._records:
            self._say("end")

    def begin(self) -> None:
        """Say that the first record is at hand, for who counts in batches."""
        if self._seen == 0 and self._history == 0:
            self._say("start")

    def batch(self, records: int) -> None:
        """Count a batch of the session at once, when it is done."""
        self._seen += records
        if self._seen - records < self._records <= self._seen:
            self._say("end")

    def history_record(self) -> None:
        """Count one record of the history."""
        self._of_history += 1
        self.record()

    def _say(self, at: str) -> None:
        line = {"at": at, "records": self._seen, "wall": time.monotonic(), "cpu": time.process_time()}
        print(json.dumps(line), flush=True)


def arguments() -> argparse.Namespace:
    """Return what the command line asks for; ending on SIGTERM is the same as on Ctrl-C."""
    parser = argparse.ArgumentParser()
    for name in ("bootstrap", "topic", "output", "group", "folder"):
        parser.add_argument(f"--{name}", required=True)
    parser.add_argument("--records", type=int, required=True)
    parser.add_argument("--history", type=int, default=0)
    parser.add_argument("--store", default="memory")
    parser.add_argument("--session", nargs=3, default=("", "", ""), help="date, open and close")
    signal.signal(signal.SIGTERM, lambda *_: sys.exit(0))
    return parser.parse_args()
