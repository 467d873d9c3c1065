"""What the contestants need, made once under `.cache/bench`: Python environments, jars, compiled classes.

A folder is named by the hash of what it was made from, so a changed pin makes a new one and a second run makes none.
"""

from __future__ import annotations

import hashlib
import shutil
import subprocess
import sys
from collections.abc import Callable, Iterable
from pathlib import Path
from typing import Final

from tests.integration.apache import ApacheUnavailable, find_java

PEERS: Final = Path(__file__).parent / "peers"
CACHE: Final = Path(__file__).parent.parent / ".cache" / "bench"
INSTALL_SECONDS_MAX: Final = 900.0


class Unavailable(RuntimeError):
    """A contestant cannot run on this machine; the text says what is missing."""


def python_of(peer: str) -> Path:
    """Return the interpreter of a peer's own environment, made at first use from its pinned requirements."""
    requirements = PEERS / peer / "requirements.txt"
    folder = CACHE / f"{peer}-{_hash([requirements], sys.version)}"
    python = folder / "bin" / "python"

    def make(partial: Path) -> None:
        _run([sys.executable, "-m", "venv", "--clear", str(partial)], f"environment of {peer}")
        pip = [str(partial / "bin" / "python"), "-m", "pip", "install", "--disable-pip-version-check", "--quiet"]
        _run([*pip, "--requirement", str(requirements)], f"packages of {peer}")

    # An environment knows its own path, so it is made in place and marked when it is whole.
    if not (folder / ".complete").exists():
        shutil.rmtree(folder, ignore_errors=True)
        make(folder)
        (folder / ".complete").touch()
    return python


def kafka_streams_classpath() -> str:
    """Return the class path of the Kafka Streams contestants, compiled at first use."""
    jars = f"{_jars('kafka_streams')}/*"
    return f"{_classes('kafka_streams', jars)}:{jars}"


def flink_classpath() -> str:
    """Return the class path of the Flink contestants: Flink from PyPI's wheel, its connector from Maven."""
    python = python_of("flink")
    found = sorted(python.parent.parent.glob("lib/python*/site-packages/pyflink/lib/*.jar"))
    flink = [str(jar) for jar in found if jar.name.startswith("flink-dist")]
    if not flink:
        raise Unavailable("expected flink-dist among the jars of apache-flink-libraries, found none")
    path = ":".join([*flink, f"{_jars('flink')}/*"])
    return f"{_classes('flink', path)}:{path}"


def java() -> str:
    """Return the Java to run contestants with."""
    try:
        return find_java()
    except ApacheUnavailable as missing:
        raise Unavailable(str(missing)) from missing


def _jars(peer: str) -> Path:
    pom = PEERS / peer / "pom.xml"

    def make(partial: Path) -> None:
        maven = shutil.which("mvn")
        if maven is None:
            raise Unavailable(f"expected Maven to fetch the jars of {peer}, found none: install it (maven)")
        goal = ["dependency:copy-dependencies", "-DincludeScope=runtime", f"-DoutputDirectory={partial}"]
        _run([maven, "-B", "-q", "-f", str(pom), *goal], f"jars of {peer}")

    return _made(f"{peer}-jars-{_hash([pom])}", make)


# javac where there is a JDK; else Eclipse's compiler, which a Java without one can run.
def _classes(peer: str, jars: str) -> Path:
    sources = sorted([*(PEERS / peer).glob("*.java"), *(PEERS / "java").glob("*.java")])

    def make(partial: Path) -> None:
        partial.mkdir(parents=True)
        compiler = shutil.which("javac")
        command = [compiler, "--release", "17"] if compiler else [java(), "-jar", str(_eclipse()), "-17", "-nowarn"]
        _run([*command, "-cp", jars, "-d", str(partial), *map(str, sources)], f"Java of {peer}")

    return _made(f"{peer}-classes-{_hash(sources)}", make)


def _eclipse() -> Path:
    return next(_jars("java").glob("ecj-*.jar"))


def _made(name: str, make: Callable[[Path], None]) -> Path:
    folder = CACHE / name
    if folder.is_dir():
        return folder
    CACHE.mkdir(parents=True, exist_ok=True)
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    make(partial)
    partial.rename(folder)
    return folder


def _run(command: list[str], what: str) -> None:
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=INSTALL_SECONDS_MAX)
    except (OSError, subprocess.TimeoutExpired) as error:
        raise Unavailable(f"expected the {what}, found {error!r}") from error
    if done.returncode != 0:
        said = "\n".join((done.stdout + done.stderr).splitlines()[-15:])
        raise Unavailable(f"expected the {what}, found exit code {done.returncode}: check the network\n{said}")


def _hash(files: Iterable[Path], *more: str) -> str:
    digest = hashlib.sha256()
    for file in files:
        digest.update(file.read_bytes())
    for text in more:
        digest.update(text.encode())
    return digest.hexdigest()[:12]
