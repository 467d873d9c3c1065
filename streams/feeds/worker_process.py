"""A worker as a process of its own, for the demo: what a user would start by hand, with its own log and a certain end.

A guard ends the worker when we die without a chance to do it ourselves, as the embedded broker's guard does for the
broker.
"""

from __future__ import annotations

import os
import subprocess
import sys
from collections.abc import Mapping
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Final

from streams.config import ENVIRONMENT_PREFIX
from streams.kafka.embedded import GUARD

STOP_SECONDS_MAX: Final = 3.0
"""A clean stop takes well under a second; the demo's worker has nothing to lose by a kill."""

KEPT_VARIABLES: Final = frozenset({"FIFTYTWO_CACHE_DIR"})


class WorkerProcess:
    """Runs one worker as a subprocess for as long as the context lasts.

    Args:
        settings: Configuration by environment variable; the user's own configuration is left out.
        log_path: Where its log goes.
    """

    def __init__(self, settings: Mapping[str, str], log_path: Path) -> None:
        self._settings = settings
        self._log_path = log_path
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    def __enter__(self) -> WorkerProcess:
        kept = {
            name: value
            for name, value in os.environ.items()
            if not name.startswith(ENVIRONMENT_PREFIX) or name in KEPT_VARIABLES
        }
        with self._log_path.open("ab") as log:
            # A session of its own keeps Ctrl-C in the terminal away from it: we end it, and in our order.
            self._process = subprocess.Popen(
                [sys.executable, "-m", "streams.cli", "worker"],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**kept, **self._settings, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
        self._guard = subprocess.Popen(
            ["/bin/sh", "-c", GUARD, "fiftytwo-worker-guard", str(self._process.pid), ""],
            stdin=subprocess.PIPE,
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        # After Ctrl-C or a failure nobody waits for a clean stop: its topics go with the broker anyway.
        self.stop(clean=error is None)

    @property
    def process_id(self) -> int | None:
        """Return its process id while it runs."""
        return self._process.pid if self._process is not None else None

    def exit_code(self) -> int | None:
        """Return its exit code, None while it runs."""
        return self._process.poll() if self._process is not None else None

    def log_tail(self, lines: int = 15) -> list[str]:
        """Return the last lines of its log."""
        try:
            return self._log_path.read_text(errors="replace").splitlines()[-lines:]
        except OSError:
            return []

    def stop(self, *, clean: bool = True) -> None:
        """End it by its process id. Does nothing when it is not running.

        Args:
            clean: Let it finish what it is doing first, for at most `STOP_SECONDS_MAX`.
        """
        guard, self._guard = self._guard, None
        process, self._process = self._process, None
        if process is not None and process.poll() is None:
            if clean:
                process.terminate()
                with suppress(subprocess.TimeoutExpired):
                    process.wait(STOP_SECONDS_MAX)
            process.kill()
            process.wait()
        if guard is not None:
            # Last, so that the worker is guarded until it has ended; by its id, before it can wake for an id that is
            # free.
            guard.kill()
            guard.wait()
            if guard.stdin is not None:
                guard.stdin.close()
