"""The compiled step runs the rules that stand in the sources, and compiles each helper once."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
from pathlib import Path

import pytest

PACKAGE = Path(__file__).resolve().parents[2] / "streams"

ASK = "from streams.core.breakout import failure_line; import numpy as np; from streams.core.rules import Rules; "
ASK += "print(failure_line(Rules().array()[0], np.int64(0), np.int64(10_000_000_000), 0.0, np.int64(0)))"


def failure_line_of(root: Path) -> str:
    environment = {**os.environ, "PYTHONPATH": str(root), "FIFTYTWO_CACHE_DIR": str(root / "cache")}
    done = subprocess.run(
        [sys.executable, "-c", ASK], env=environment, cwd=root, capture_output=True, text=True, check=True
    )
    return done.stdout.strip()


def test_an_edited_helper_of_another_file_is_compiled_anew(tmp_path: Path) -> None:
    """The cache is named by all sources: an edit in `arithmetic` reaches its caller in `breakout`."""
    shutil.copytree(PACKAGE, tmp_path / "streams", ignore=shutil.ignore_patterns("__pycache__"))
    before = failure_line_of(tmp_path)
    again = failure_line_of(tmp_path)

    helper = tmp_path / "streams" / "core" / "arithmetic.py"
    text = helper.read_text()
    assert "+ denominator - 1) // denominator" in text
    helper.write_text(text.replace("+ denominator - 1) // denominator", "+ denominator - 1) // denominator + 7"))
    after = failure_line_of(tmp_path)

    assert (before, again, after) == ("9950000000", "9950000000", "9949999993")


SIGNATURES = """
import importlib, pkgutil
import streams.core, streams.wire
from streams.wire.warm import warm
warm()
for package in (streams.core, streams.wire):
    for found in pkgutil.iter_modules(package.__path__):
        module = importlib.import_module(f"{package.__name__}.{found.name}")
        for name, value in vars(module).items():
            if getattr(value, "__module__", "") == module.__name__ and hasattr(value, "nopython_signatures"):
                print(module.__name__, name, len(value.nopython_signatures))
"""


@pytest.mark.skipif(os.environ.get("NUMBA_DISABLE_JIT") == "1", reason="nothing is compiled in this run")
def test_every_compiled_function_has_at_most_one_signature(tmp_path: Path) -> None:
    """A second signature doubles the time to compile and means that some caller passes a type by accident."""
    environment = {**os.environ, "FIFTYTWO_CACHE_DIR": str(tmp_path)}
    done = subprocess.run(
        [sys.executable, "-c", SIGNATURES], env=environment, capture_output=True, text=True, check=True
    )

    counted = [line.split() for line in done.stdout.splitlines()]

    assert len(counted) > 20
    assert [line for line in counted if int(line[2]) > 1] == []
