"""The wheel, built from exactly what the image is built from: complete, and able to run without the checkout."""

from __future__ import annotations

import os
import shutil
import subprocess
import sys
import zipfile
from pathlib import Path

import pytest

ROOT = Path(__file__).resolve().parents[2]
BUILD_SECONDS_MAX = 300
DATA_SUFFIXES = {".csv", ".txt", ".json", ".toml", ".typed"}


@pytest.fixture(scope="module")
def wheel(tmp_path_factory: pytest.TempPathFactory) -> Path:
    folder = tmp_path_factory.mktemp("wheel")
    context = folder / "context"
    context.mkdir()
    for line in (ROOT / ".dockerignore").read_text(encoding="utf-8").splitlines():
        if line.startswith("!"):
            source = ROOT / line[1:]
            copy = shutil.copytree if source.is_dir() else shutil.copy
            copy(source, context / source.name)
    command = [sys.executable, "-m", "pip", "wheel", "--quiet", "--no-deps", "--wheel-dir", str(folder), str(context)]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=BUILD_SECONDS_MAX)
    assert done.returncode == 0, done.stdout + done.stderr
    (built,) = folder.glob("fiftytwo-*.whl")
    return built


def test_wheel_holds_every_module_and_every_data_file(wheel: Path) -> None:
    """What the package needs at run time is in the wheel, and nothing but the package."""
    names = {name for name in zipfile.ZipFile(wheel).namelist() if ".dist-info/" not in name}
    expected = {
        path.relative_to(ROOT).as_posix()
        for path in (ROOT / "streams").rglob("*")
        if path.suffix in {".py", *DATA_SUFFIXES} and "__pycache__" not in path.parts
    }

    assert names == expected


def test_installed_wheel_runs_away_from_the_checkout(wheel: Path, tmp_path: Path) -> None:
    """The command works from the wheel's own files: its configuration, its calendars, its data."""
    target = tmp_path / "installed"
    with zipfile.ZipFile(wheel) as archive:
        archive.extractall(target)
    program = (
        f"import sys; sys.path.insert(0, {str(target)!r})\n"
        "import streams, streams.cli\n"
        f"assert streams.__file__.startswith({str(target)!r}), streams.__file__\n"
        "sys.argv = ['fiftytwo', 'config', 'check']\n"
        "streams.cli.main()\n"
    )
    variables = {name: value for name, value in os.environ.items() if not name.startswith(("FIFTYTWO_", "PYTHON"))}
    done = subprocess.run(
        [sys.executable, "-c", program],
        cwd=tmp_path,
        env={**variables, "NUMBA_CACHE_DIR": str(tmp_path / "cache")},
        capture_output=True,
        text=True,
        check=False,
        timeout=120,
    )

    assert done.returncode == 0, done.stdout + done.stderr
