"""Ctrl-C while the program loads or compiles: it ends at once, with its exit code and without a traceback."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

PROGRAM = [sys.executable, "-c", "from streams.start import main; main()"]
SECONDS_MAX = 120.0
CHILDREN = 2


def compiling(process_id: int) -> int:
    # How many processes the program has started that are to compile.
    listed = Path(f"/proc/{process_id}/task/{process_id}/children").read_text(encoding="ascii").split()
    lines = [Path(f"/proc/{child}/cmdline") for child in listed]
    return sum(b"spawn_main" in line.read_bytes() for line in lines if line.exists())


@pytest.mark.skipif(not Path("/proc/self/task").exists(), reason="looks for the compiling processes in /proc")
def test_ctrl_c_while_compiling_ends_all_processes_without_a_word(tmp_path: Path) -> None:
    """A terminal sends it to the whole group, also to processes that have only begun to import."""
    environment = {**os.environ, "FIFTYTWO_CACHE_DIR": str(tmp_path)}
    with subprocess.Popen(
        [*PROGRAM, "warm", "--set", "markets.mics=XNYS"],
        env=environment,
        stderr=subprocess.PIPE,
        text=True,
        start_new_session=True,
    ) as process:
        try:
            deadline = time.monotonic() + SECONDS_MAX
            while compiling(process.pid) < CHILDREN:
                assert process.poll() is None
                assert time.monotonic() < deadline, "the compiling processes did not start"
                time.sleep(0.005)

            os.killpg(process.pid, signal.SIGINT)
            _, said = process.communicate(timeout=SECONDS_MAX)
        finally:
            if process.poll() is None:
                os.killpg(process.pid, signal.SIGKILL)

    assert process.returncode == 130
    assert said.split("\n") == ["Compiling the engine and building the calendars...", "", ""]


def test_ctrl_c_while_the_command_line_loads_ends_without_a_traceback(tmp_path: Path) -> None:
    """The first import already takes a moment, in which people change their mind."""
    (tmp_path / "click.py").write_text("raise KeyboardInterrupt\n")
    environment = {**os.environ, "PYTHONPATH": str(tmp_path)}

    done = subprocess.run(PROGRAM, env=environment, capture_output=True, text=True, check=False)

    assert (done.returncode, done.stderr) == (130, "")
