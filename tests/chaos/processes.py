"""Workers as processes: started with a point to die at, killed, stopped and woken, ended in order."""

from __future__ import annotations

import asyncio
import os
import signal
import subprocess
import sys
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from streams.config import ENVIRONMENT_PREFIX
from streams.kafka.embedded import start_guard, stop_guard
from tests.chaos.worker import REACHED

STOP_SECONDS_MAX: Final = 20.0

NO_SNAPSHOTS: Final = {"FIFTYTWO_SNAPSHOTS_INTERVAL_S": "86400"}
"""Longer than it lives: none before it ends in order."""

ALL_SNAPSHOTS: Final = {"FIFTYTWO_SNAPSHOTS_INTERVAL_S": "0.01", "FIFTYTWO_SNAPSHOTS_SHARE_MAX": "1.0"}
"""With every commit."""


class WorkerProcess:
    """One worker, as often as it is started.

    Args:
        name: For its log and for people.
        settings: Its configuration, by environment variable; what is changed holds when it is started next.
        folder: Where its log goes.
    """

    def __init__(self, name: str, settings: dict[str, str], folder: Path) -> None:
        self.name = name
        self.log = folder / f"{name}.log"
        self.settings = settings
        self._log_start = 0
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def is_running(self) -> bool:
        """Tell whether it runs, or is stopped and could."""
        return self._process is not None and self._process.poll() is None

    @property
    def exit_code(self) -> int | None:
        """Return how it ended, None while it runs."""
        return None if self._process is None else self._process.poll()

    def start(
        self,
        point: str = "none",
        count: int = 1,
        *,
        changed: Mapping[str, str] | None = None,
        carrying: bool = False,
    ) -> None:
        """Start it, to run until it is ended or reaches a point for the so-many-th time.

        Args:
            point: Where it dies; `none` lives on.
            count: How often the point is reached.
            changed: Settings of this life alone.
            carrying: Only commits count that carry a snapshot.
        """
        settings = {**self.settings, **(changed or {})}
        self._forget()
        kept = {name: value for name, value in os.environ.items() if not name.startswith(ENVIRONMENT_PREFIX)}
        if "FIFTYTWO_CACHE_DIR" in os.environ:
            kept["FIFTYTWO_CACHE_DIR"] = os.environ["FIFTYTWO_CACHE_DIR"]
        with self.log.open("ab") as log:
            log.write(f"chaos: started to die at {point} {count}\n".encode())
            log.flush()
            self._log_start = log.tell()
            self._process = subprocess.Popen(
                [sys.executable, "-m", "tests.chaos.worker", point, str(count), *["carrying"] * carrying],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                env={**kept, **settings, "PYTHONUNBUFFERED": "1"},
                start_new_session=True,
            )
        self._guard = start_guard(self._process.pid, None)

    def kill(self) -> None:
        """Kill it as the kernel would."""
        self.send(signal.SIGKILL)
        self._forget()

    def send(self, number: signal.Signals) -> None:
        """Send it a signal."""
        if self._process is not None and self._process.poll() is None:
            self._process.send_signal(number)

    async def ended(self, seconds: float) -> bool:
        """Wait until it has ended; return False when it has not by then."""
        deadline = asyncio.get_running_loop().time() + seconds
        while self.is_running:
            if asyncio.get_running_loop().time() > deadline:
                return False
            await asyncio.sleep(0.05)
        return True

    async def stop(self) -> bool:
        """End it in order; return whether it ended by itself and with 0."""
        self.send(signal.SIGTERM)
        clean = await self.ended(STOP_SECONDS_MAX) and self.exit_code == 0
        self.kill()
        return clean

    def said(self, event: str) -> bool:
        """Tell whether its log names an event since it was started last."""
        return self.count(event) > 0

    def count(self, event: str) -> int:
        """Return how often its log names an event since it was started last."""
        with self.log.open("rb") as log:
            log.seek(self._log_start)
            return log.read().count(f'"{event}"'.encode())

    def count_ever(self, event: str) -> int:
        """Return how often its log names an event since it was started first."""
        return self.log.read_bytes().count(f'"{event}"'.encode()) if self.log.exists() else 0

    def last_words(self) -> str:
        """Return what it said last of why it ended, empty when it said nothing."""
        lines = self.log.read_text(errors="replace").splitlines()
        return next((line for line in reversed(lines) if line.startswith("fiftytwo: ")), "")[:300]

    def reached(self) -> str | None:
        """Return the point at which it died last, None when it died elsewhere."""
        with self.log.open("rb") as log:
            log.seek(max(0, self.log.stat().st_size - 4096))
            lines = log.read().decode("utf-8", "replace").splitlines()
        last = next((line for line in reversed(lines) if line.startswith("chaos: ")), "")
        return last.removeprefix(REACHED) if last.startswith(REACHED) else None

    def _forget(self) -> None:
        process, self._process = self._process, None
        guard, self._guard = self._guard, None
        if process is not None:
            if process.poll() is None:
                process.kill()
            process.wait()
        if guard is not None:
            stop_guard(guard)
