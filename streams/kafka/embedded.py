"""A Kafka broker in one small process, for the demo, for a first look and for tests.

The broker is the binary that the wheel of `noida-db` carries: no Java, no Docker, ready in a tenth of a second. It
keeps its data in memory and writes it to disk as it goes, so a kill loses what is recent: nothing about durability is
tested on it, and no worker's image contains it.

The broker must never outlive whoever started it, not even when that process is killed and can run no clean-up. A
parent-death signal exists on Linux alone and fires when the starting *thread* ends, so a guard does it instead: a shell
that blocks on a pipe whose other end only we hold. When we die, however we die, the pipe closes, the guard wakes, ends
the broker by its process id and removes the temporary folder.
"""

from __future__ import annotations

import json
import os
import shutil
import socket
import struct
import subprocess
import tempfile
import time
from importlib.util import find_spec
from pathlib import Path
from types import TracebackType

START_SECONDS_MAX = 15.0
"""A start takes 0.1 s; a loaded machine with two cores may need some seconds."""

STOP_SECONDS_MAX = 5.0
"""How long the broker may take to write its data before it is killed."""

START_ATTEMPTS = 3
"""Another process may take the port between our finding it and the broker's bind; thrice in a row is something else."""

POLL_SECONDS = 0.02

# Waits for the pipe to close, then ends process $1, gives it three seconds, and removes folder $2 when one is named.
GUARD = """
read -r line
kill "$1" 2>/dev/null
tries=0
while kill -0 "$1" 2>/dev/null && [ "$tries" -lt 30 ]; do sleep 0.1; tries=$((tries + 1)); done
kill -9 "$1" 2>/dev/null
if [ -n "$2" ]; then rm -rf -- "$2"; fi
"""


class BrokerUnavailable(RuntimeError):
    """The embedded broker cannot be started; the text says what to do."""


class EmbeddedBroker:
    """Runs one broker on a free loopback port for as long as the context lasts.

    Use it as a context manager, or call `start` and `stop`. Without `data_dir` its data lives in a temporary folder
    that goes with it.
    """

    def __init__(self, *, data_dir: Path | None = None, port: int | None = None) -> None:
        self.port = port or 0
        self._port_wanted = port
        self._data_dir = data_dir
        self._temporary: Path | None = None
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None

    @property
    def bootstrap(self) -> str:
        """Return the address that clients connect to."""
        return f"127.0.0.1:{self.port}"

    @property
    def process_id(self) -> int | None:
        """Return the broker's process id while it runs."""
        return self._process.pid if self._process is not None else None

    def start(self) -> EmbeddedBroker:
        """Start the broker and return when it answers a metadata request.

        Raises:
            BrokerUnavailable: The binary is not installed, or the broker did not become ready.
        """
        if self._process is not None:
            raise RuntimeError("expected a broker that is not running, found one that is: stop it first")
        binary = find_binary()
        deadline = time.monotonic() + START_SECONDS_MAX
        for attempt in range(1, START_ATTEMPTS + 1):
            self.port = self._port_wanted or find_free_port()
            self._launch(binary)
            try:
                if self._becomes_ready(deadline):
                    return self
                trouble = self._describe_failure()
            except BaseException:
                self.stop()
                raise
            self.stop()
            if attempt == START_ATTEMPTS or time.monotonic() >= deadline:
                break
        raise BrokerUnavailable(trouble)

    def stop(self) -> None:
        """End the broker by its process id and remove its temporary folder. Does nothing when it is not running."""
        guard, self._guard = self._guard, None
        process, self._process = self._process, None
        temporary, self._temporary = self._temporary, None
        if guard is not None:
            # The guard goes first: it must not wake later and end a stranger that inherited the process id.
            stop_guard(guard)
        if process is not None:
            process.terminate()
            try:
                process.wait(STOP_SECONDS_MAX)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
        if temporary is not None:
            shutil.rmtree(temporary, ignore_errors=True)

    def __enter__(self) -> EmbeddedBroker:
        return self.start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.stop()

    # A session of its own keeps Ctrl-C in the terminal away from the broker: whoever started it stops it, in its order.
    def _launch(self, binary: Path) -> None:
        if self._data_dir is None:
            self._temporary = Path(tempfile.mkdtemp(prefix="fiftytwo-broker-"))
        folder = self._data_dir or self._temporary
        assert folder is not None
        folder.mkdir(parents=True, exist_ok=True)
        command = [str(binary), "start", "--data-dir", str(folder), "--host", "127.0.0.1", "--only", "kafka"]
        with (folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                [*command, "--kafka-port", str(self.port)],
                stdin=subprocess.DEVNULL,
                stdout=log,
                stderr=subprocess.STDOUT,
                cwd=folder,
                start_new_session=True,
            )
        self._guard = start_guard(self._process.pid, self._temporary)

    def _becomes_ready(self, deadline: float) -> bool:
        assert self._process is not None
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                return False
            if self._has_bound() and answers_metadata("127.0.0.1", self.port):
                return True
            time.sleep(POLL_SECONDS)
        return False

    # The binary writes this file once its ports are bound. Without it an answer may come from a stranger on a port that
    # ours could not get.
    def _has_bound(self) -> bool:
        folder = self._data_dir or self._temporary
        assert folder is not None
        assert self._process is not None
        try:
            found = json.loads((folder / "noida.control.json").read_text())
        except (OSError, ValueError):
            return False
        return bool(found.get("pid") == self._process.pid)

    def _describe_failure(self) -> str:
        assert self._process is not None
        code = self._process.poll()
        found = f"it ended with code {code}" if code is not None else "no answer to a metadata request"
        folder = self._data_dir or self._temporary
        lines = (folder / "broker.log").read_text(errors="replace").splitlines() if folder is not None else []
        said = "\n".join(f"  {line}" for line in lines[-5:]) or "  (nothing)"
        return (
            f"expected the embedded broker to be ready on {self.bootstrap} in {START_SECONDS_MAX:g} s, found: {found}. "
            "Start it by hand to see why (noida-db start --only kafka), or name a Kafka of your own with "
            f"--bootstrap-servers. Its last words:\n{said}"
        )


def start_guard(process_id: int, folder: Path | None) -> subprocess.Popen[bytes]:
    """Start the shell that ends a process and removes a folder when we are gone.

    Keep what it returns: that object holds our end of the pipe.
    """
    return subprocess.Popen(
        ["/bin/sh", "-c", GUARD, "fiftytwo-broker-guard", str(process_id), str(folder or "")],
        stdin=subprocess.PIPE,
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
        start_new_session=True,
    )


def stop_guard(guard: subprocess.Popen[bytes]) -> None:
    """End a guard before it wakes, and release its pipe."""
    guard.kill()
    guard.wait()
    if guard.stdin is not None:
        guard.stdin.close()


def find_binary() -> Path:
    """Return the path of the broker's binary.

    The wheel's own command is a Python script that runs the binary as a child: we start the binary itself, so that its
    process id is ours to end.

    Raises:
        BrokerUnavailable: The package is not installed, or has no binary for this system.
    """
    spec = find_spec("noida_db")
    if spec is None or spec.origin is None:
        raise BrokerUnavailable(
            "expected the embedded broker (package noida-db), found it not installed: "
            "run `pip install '.[demo]'` in a clone, or name a Kafka of your own with --bootstrap-servers"
        )
    binary = Path(spec.origin).parent / "noida-db"
    if not binary.is_file():
        raise BrokerUnavailable(
            f"expected the embedded broker's binary at {binary}, found none: the package has none for this system; "
            "name a Kafka of your own with --bootstrap-servers"
        )
    if not os.access(binary, os.X_OK):
        # Some installers drop the executable bit of files that are package data.
        binary.chmod(0o755)
    return binary


def find_free_port() -> int:
    """Return a port on loopback that nothing listens on at this moment."""
    with socket.socket(socket.AF_INET, socket.SOCK_STREAM) as probe:
        probe.bind(("127.0.0.1", 0))
        return int(probe.getsockname()[1])


def answers_metadata(host: str, port: int, *, timeout_s: float = 1.0) -> bool:
    """Return whether a Kafka broker at this address answers a metadata request and names itself.

    An open port is not enough: a broker accepts connections before it can serve. Written out in bytes so that it needs
    no event loop and can be called from within one that runs.
    """
    # Request header v1: api key 3 (Metadata), version 1, correlation id 52, client id; body: an empty list of topics.
    client = b"fiftytwo-probe"
    request = struct.pack(">hhih", 3, 1, 52, len(client)) + client + struct.pack(">i", 0)
    try:
        with socket.create_connection((host, port), timeout=timeout_s) as connection:
            connection.settimeout(timeout_s)
            connection.sendall(struct.pack(">i", len(request)) + request)
            (length,) = struct.unpack(">i", _receive(connection, 4))
            if not 12 <= length <= 1 << 20:
                return False
            correlation, brokers = struct.unpack_from(">ii", _receive(connection, length))
    except (OSError, EOFError):
        return False
    return bool(correlation == 52 and brokers >= 1)


def _receive(connection: socket.socket, size: int) -> bytes:
    data = bytearray()
    while len(data) < size:
        part = connection.recv(size - len(data))
        if not part:
            raise EOFError("the broker closed the connection")
        data += part
    return bytes(data)
