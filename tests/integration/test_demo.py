"""The demo as its user runs it: it tells the story, ends by itself, and leaves nothing behind however it ends."""

from __future__ import annotations

import fcntl
import os
import pty
import re
import select
import signal
import struct
import subprocess
import sys
import termios
import time
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import psutil
import pytest

from streams.feeds.demo import program_name

DEMO = [sys.executable, "-m", "streams.cli", "demo"]
STORY_SECONDS_MAX = 240.0  # A busy machine without a warm cache; on a free one it takes twenty.
STOP_SECONDS_MAX = 8.0
ENTER_SCREEN, LEAVE_SCREEN = b"\x1b[?1049h", b"\x1b[?1049l"
HIDE_CURSOR, SHOW_CURSOR = b"\x1b[?25l", b"\x1b[?25h"


class Demo:
    """A demo in a terminal of its own, and every process that it ever started."""

    def __init__(self, process: subprocess.Popen[bytes], terminal: int) -> None:
        self.process = process
        self.output = b""
        self.started: dict[int, psutil.Process] = {}
        self._terminal = terminal

    def wait(self, seen: Callable[[], bool], seconds_max: float) -> None:
        """Read what it writes until something is seen."""
        deadline = time.monotonic() + seconds_max
        while not seen():
            assert time.monotonic() < deadline, (
                f"not seen within {seconds_max} s; the last of it: {self.output[-3000:]!r}"
            )
            if select.select([self._terminal], [], [], 0.05)[0]:
                try:
                    self.output += os.read(self._terminal, 65_536)
                except OSError:  # The other end is closed: it has ended.
                    time.sleep(0.01)
            try:
                for child in psutil.Process(self.process.pid).children(recursive=True):
                    self.started.setdefault(child.pid, child)
            except psutil.NoSuchProcess:
                pass

    def wait_end(self, seconds_max: float) -> int:
        """Wait until it has ended, and return its exit code."""
        self.wait(lambda: self.process.poll() is not None, seconds_max)
        while select.select([self._terminal], [], [], 0)[0]:
            try:
                self.output += os.read(self._terminal, 65_536)
            except OSError:
                break
        return self.process.returncode

    def survivors(self) -> list[psutil.Process]:
        """Return what it started and did not end. Compares identities, not ids alone: those are used again."""
        return [
            child for child in self.started.values() if child.is_running() and child.status() != psutil.STATUS_ZOMBIE
        ]


@contextmanager
def demo_in_terminal(folder: Path, *arguments: str, columns: int = 80, rows: int = 24) -> Iterator[Demo]:
    """Run the demo in a terminal until the block ends."""
    controller, terminal = pty.openpty()
    fcntl.ioctl(terminal, termios.TIOCSWINSZ, struct.pack("HHHH", rows, columns, 0, 0))
    # A folder of its own for temporary files shows what is left there.
    environment = {**os.environ, "TMPDIR": str(folder), "TERM": "xterm-256color"}
    process = subprocess.Popen(
        [*DEMO, *arguments], stdin=terminal, stdout=terminal, stderr=terminal, env=environment, start_new_session=True
    )
    os.close(terminal)
    demo = Demo(process, controller)
    try:
        yield demo
    finally:
        for child in (process, *demo.survivors()):
            child.kill()
        process.wait()
        os.close(controller)


def assert_nothing_is_left(demo: Demo, folder: Path) -> None:
    assert demo.survivors() == []
    assert [path.name for path in folder.iterdir() if path.name.startswith("fiftytwo-")] == []


def test_demo_without_a_terminal_tells_the_story_in_lines(tmp_path: Path) -> None:
    """It ends by itself with 0, and every expected breakout, number and tag is in its lines."""
    environment = {**os.environ, "TMPDIR": str(tmp_path)}

    told = subprocess.run(DEMO, capture_output=True, text=True, timeout=STORY_SECONDS_MAX, env=environment, check=False)

    assert told.returncode == 0, told.stdout + told.stderr
    assert "\x1b" not in told.stdout
    rows = re.findall(r"^ (\w{3} \d+ \w{3}) +([\d.]+) +(\w{3} \d+ \w{3}) .* ([\d.]+) +(\w.*?) *$", told.stdout, re.M)
    assert rows == [
        ("Thu 11 Sep", "148.43", "Mon 17 Mar", "155.44", "confirmed"),
        ("Mon 15 Sep", "156.849", "Thu 11 Sep", "158.04", "confirmed"),
        ("Tue 16 Sep", "159.70", "Mon 15 Sep", "162.21", "confirmed"),
        ("Wed 17 Sep", "163.00", "Tue 16 Sep", "166.17", "confirmed"),
        ("Mon 22 Sep", "167.32", "Wed 17 Sep", "164.25", "failed, unconfirmed"),
        ("Tue 23 Sep", "167.435", "Mon 22 Sep", "163.08", "failed, unconfirmed"),
        ("Wed 24 Sep", "167.83", "Tue 23 Sep", "176.44", "confirmed"),
        ("Mon 29 Sep", "180.16", "Wed 24 Sep", "179.90", "unconfirmed"),
        ("Tue 30 Sep", "181.344", "Mon 29 Sep", "178.73", "failed, unconfirmed"),
        ("Wed 1 Oct", "182.15", "Tue 30 Sep", "182.78", "confirmed"),
        ("Thu 2 Oct", "183.08", "Wed 1 Oct", "189.34", "confirmed"),
    ]
    text = " ".join(told.stdout.split())
    for said in (
        "+4.65 % on the day, +112.17 % this year, 0.998557 of the level in force (180.16)",
        "that close is 0.992037",
        "Tue 30 Sep, 07:45 Benzinga.com: ",
        "52-week window of 364d: 2024-09-30 to 2025-09-26, 249 of 249 sessions (full)",
        "Tags: Alibaba, Artificial Intelligence, Cloud Computing, AI Models, Chinese Tech Stocks",
        "the path of trades is generated from a seed",
        "All 11 breakouts came as expected, and no other.",
    ):
        assert said in text
    assert list(tmp_path.glob("fiftytwo-*")) == []


def test_demo_in_a_terminal_restores_it_and_leaves_the_summary(tmp_path: Path) -> None:
    """The picture has a screen of its own; after it the terminal is as before, with the end of the story in it."""
    with demo_in_terminal(tmp_path) as demo:
        code = demo.wait_end(STORY_SECONDS_MAX)

        before, _, after = demo.output.rpartition(LEAVE_SCREEN)
        assert code == 0
        assert before.count(ENTER_SCREEN) == 1
        assert demo.output.rfind(SHOW_CURSOR) > demo.output.rfind(HIDE_CURSOR)
        assert b"All 11 breakouts came as expected" in after
        assert "⠤".encode() in before or "⠒".encode() in before
        assert_nothing_is_left(demo, tmp_path)


@pytest.mark.parametrize("moment", ["imports", "worker", "story"])
def test_interrupt_at_any_moment_leaves_nothing(tmp_path: Path, moment: str) -> None:
    """Ctrl-C ends it within seconds with 130: no process, no folder, no half-written terminal."""
    with demo_in_terminal(tmp_path) as demo:
        seen: dict[str, Callable[[], bool]] = {
            "imports": lambda: psutil.Process(demo.process.pid).cpu_times().user > 0.3,
            "worker": lambda: ENTER_SCREEN in demo.output and len(demo.started) >= 3,
            "story": lambda: b"confirmed" in demo.output,
        }
        demo.wait(seen[moment], STORY_SECONDS_MAX)

        os.kill(demo.process.pid, signal.SIGINT)
        code = demo.wait_end(STOP_SECONDS_MAX)

        assert code == 130
        assert demo.output.count(ENTER_SCREEN) == demo.output.count(LEAVE_SCREEN)
        assert demo.output.rfind(SHOW_CURSOR) >= demo.output.rfind(HIDE_CURSOR)
        assert b"Traceback" not in demo.output
        assert_nothing_is_left(demo, tmp_path)


def test_kill_of_the_demo_ends_broker_and_worker(tmp_path: Path) -> None:
    """Even a kill -9, which runs no clean-up, leaves no process behind."""
    with demo_in_terminal(tmp_path) as demo:
        demo.wait(lambda: ENTER_SCREEN in demo.output and len(demo.started) >= 3, STORY_SECONDS_MAX)

        demo.process.kill()
        demo.process.wait()

        demo.wait(lambda: demo.survivors() == [], STOP_SECONDS_MAX)


def test_worker_that_dies_fails_the_demo_with_its_log(tmp_path: Path) -> None:
    """Without the signals it exits with 1, names each missing one, and shows the end of the worker's log."""
    with demo_in_terminal(tmp_path, "--plain") as demo:

        def worker() -> psutil.Process | None:
            found = (child for child in demo.started.values() if child.is_running())
            return next((child for child in found if "worker" in child.cmdline()), None)

        demo.wait(lambda: b"Thu 11 Sep 2025" in demo.output, STORY_SECONDS_MAX)
        running = worker()
        assert running is not None

        running.kill()
        code = demo.wait_end(STOP_SECONDS_MAX)

        assert code == 1
        text = b" ".join(demo.output.split()).decode()
        assert "The demo did not show what it must" in text
        assert "expected the worker to run, found that it ended with exit code -9" in text
        assert "2025-09-29: expected a breakout of 180.16 (set on 2025-09-24), found none" in text
        assert "The end of the worker's log" in text
        assert_nothing_is_left(demo, tmp_path)


def test_staying_demo_serves_metrics_until_it_is_interrupted(tmp_path: Path) -> None:
    """`--stay` says where metrics and signals are, keeps them there, and ends with Ctrl-C."""
    with demo_in_terminal(tmp_path, "--plain", "--stay") as demo:
        demo.wait(lambda: b"keep running until Ctrl-C" in demo.output, STORY_SECONDS_MAX)
        demo.wait(lambda: b"topics check" in demo.output, STOP_SECONDS_MAX)
        found = re.search(rb"http://127\.0\.0\.1:\d+/metrics", demo.output)
        assert found is not None
        assert f"Signals   {program_name()} signals --from-beginning".encode() in demo.output

        with urllib.request.urlopen(found[0].decode(), timeout=5) as answer:
            metrics = answer.read().decode()
        os.kill(demo.process.pid, signal.SIGINT)
        code = demo.wait_end(STOP_SECONDS_MAX)

        assert "fiftytwo_" in metrics
        assert code == 130
        assert_nothing_is_left(demo, tmp_path)
