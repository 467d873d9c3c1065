"""A real Apache Kafka for the tests: one KRaft node from Maven's jars on Java 17, without Docker.

The jars are named by `tests/kafka/pom.xml` and copied once into a cache outside the checkout; a start takes about four
seconds. What claims durability is tested on this broker and on no other, so the broker can be stopped, killed and
started again on its data.
"""

from __future__ import annotations

import base64
import fcntl
import hashlib
import os
import re
import shutil
import subprocess
import tempfile
import time
import uuid
from collections.abc import Sequence
from pathlib import Path
from types import TracebackType

from streams.kafka.embedded import answers_metadata, find_free_port, start_guard, stop_guard

POM = Path(__file__).parent.parent / "kafka" / "pom.xml"
JAVA_MIN = 17
JAVA_EXPECTED = f"expected Java {JAVA_MIN} or newer"
JAVA_REMEDY = f"install it (openjdk-{JAVA_MIN}-jre-headless)"
START_SECONDS_MAX = 90.0
STOP_SECONDS_MAX = 30.0
MAVEN_SECONDS_MAX = 600.0

# One node alone: every internal topic has one replica, and a group does not wait for members that never come.
SETTINGS = """\
process.roles=broker,controller
node.id=1
controller.quorum.voters=1@127.0.0.1:{controller_port}
controller.listener.names=CONTROLLER
listeners=PLAINTEXT://127.0.0.1:{port},CONTROLLER://127.0.0.1:{controller_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT
inter.broker.listener.name=PLAINTEXT
log.dirs={data}
num.partitions=1
auto.create.topics.enable=false
offsets.topic.replication.factor=1
offsets.topic.num.partitions=4
transaction.state.log.replication.factor=1
transaction.state.log.min.isr=1
transaction.state.log.num.partitions=4
share.coordinator.state.topic.replication.factor=1
share.coordinator.state.topic.min.isr=1
group.initial.rebalance.delay.ms=0
"""


class ApacheUnavailable(RuntimeError):
    """Java or Maven is missing, or Maven could not fetch the jars; the text says which."""


class ApacheBroker:
    """Runs one Apache Kafka node on free loopback ports; its data lives until `close`.

    Args:
        heap: Size of the Java heap.
        java_options: More options of Java.
        settings: The node's properties, with places for `{port}`, `{controller_port}` and `{data}`.
    """

    def __init__(self, *, heap: str = "512m", settings: str = SETTINGS, java_options: Sequence[str] = ()) -> None:
        self._classpath = f"{find_jars()}/*"
        self._java = find_java()
        self._heap = heap
        self._java_options = java_options
        self._folder = Path(tempfile.mkdtemp(prefix="fiftytwo-apache-"))
        self._process: subprocess.Popen[bytes] | None = None
        self._guard: subprocess.Popen[bytes] | None = None
        self.port = find_free_port()
        controller_port = find_free_port()
        self._settings = self._folder / "server.properties"
        self._settings.write_text(
            settings.format(port=self.port, controller_port=controller_port, data=self._folder / "data")
        )
        self._format()

    @property
    def bootstrap(self) -> str:
        """Return the address that clients connect to."""
        return f"127.0.0.1:{self.port}"

    @property
    def folder(self) -> Path:
        """Return where its files are; what it has written is in `data`."""
        return self._folder

    @property
    def process_id(self) -> int | None:
        """Return the Java process id while it runs."""
        return self._process.pid if self._process is not None else None

    def start(self) -> ApacheBroker:
        """Start the node on its data and return when it answers a metadata request."""
        assert self._process is None, "expected a stopped broker, found a running one"
        with (self._folder / "broker.log").open("ab") as log:
            self._process = subprocess.Popen(
                self._command("kafka.Kafka", str(self._settings)),
                stdout=log,
                stderr=subprocess.STDOUT,
                start_new_session=True,
            )
        self._guard = start_guard(self._process.pid, self._folder)
        deadline = time.monotonic() + START_SECONDS_MAX
        while time.monotonic() < deadline:
            if self._process.poll() is not None:
                break
            if answers_metadata("127.0.0.1", self.port):
                return self
            time.sleep(0.1)
        code = self._process.poll()
        said = "\n".join((self._folder / "broker.log").read_text(errors="replace").splitlines()[-20:])
        self.stop()
        raise RuntimeError(
            f"expected Apache Kafka ready in {START_SECONDS_MAX:g} s, found exit code {code}; it said:\n{said}"
        )

    def stop(self) -> None:
        """Stop the node in good order; its data stays."""
        self._end(kill=False)

    def kill(self) -> None:
        """Kill the node as a crash would; its data stays."""
        self._end(kill=True)

    def close(self) -> None:
        """Stop the node and remove its data."""
        self.kill()
        shutil.rmtree(self._folder, ignore_errors=True)

    def __enter__(self) -> ApacheBroker:
        try:
            return self.start()
        except BaseException:
            self.close()
            raise

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def _end(self, *, kill: bool) -> None:
        guard, self._guard = self._guard, None
        process, self._process = self._process, None
        if guard is not None:
            stop_guard(guard)
        if process is None:
            return
        if not kill:
            process.terminate()
            try:
                process.wait(STOP_SECONDS_MAX)
                return
            except subprocess.TimeoutExpired:
                pass
        process.kill()
        process.wait()

    def _format(self) -> None:
        cluster = base64.urlsafe_b64encode(uuid.uuid4().bytes).decode().rstrip("=").replace("-", "A", 1)
        command = self._command("kafka.tools.StorageTool", "format", "-t", cluster, "-c", str(self._settings))
        done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=60)
        if done.returncode != 0:
            shutil.rmtree(self._folder, ignore_errors=True)
            raise RuntimeError(
                f"expected formatted storage, found exit code {done.returncode}:\n{done.stdout}\n{done.stderr}"
            )

    def _command(self, main: str, *arguments: str) -> list[str]:
        # -Xshare:auto and the first compiler tier alone would start faster, but the broker is also what benchmarks run
        # against.
        options = [f"-Xmx{self._heap}", f"-Xms{self._heap}", "-Dorg.slf4j.simpleLogger.defaultLogLevel=warn"]
        return [self._java, *options, *self._java_options, "-cp", self._classpath, main, *arguments]


def find_java() -> str:
    """Return a Java of at least version 17: from JAVA_HOME, or else from PATH."""
    home = os.environ.get("JAVA_HOME")
    java = shutil.which("java", path=f"{home}/bin") if home else shutil.which("java")
    if java is None:
        raise ApacheUnavailable(f"{JAVA_EXPECTED}, found none: {JAVA_REMEDY}")
    said = subprocess.run([java, "-version"], capture_output=True, text=True, check=False, timeout=60).stderr
    version = re.search(r'version "(\d+)', said)
    if version is None or int(version[1]) < JAVA_MIN:
        found = said.splitlines()[0] if said else "nothing"
        raise ApacheUnavailable(f"{JAVA_EXPECTED}, found {found}: {JAVA_REMEDY}")
    return java


def find_jars() -> Path:
    """Return the folder of the broker's jars; Maven fetches them once for each version of the pom."""
    cache = Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fiftytwo"
    folder = cache / f"kafka-{hashlib.sha256(POM.read_bytes()).hexdigest()[:12]}"
    if folder.is_dir():
        return folder
    maven = shutil.which("mvn")
    if maven is None:
        raise ApacheUnavailable("expected Maven to fetch Apache Kafka, found none: install it (maven)")
    cache.mkdir(parents=True, exist_ok=True)
    with (cache / "lock").open("w") as lock:
        # Two runs at once fetch once; a run that dies half-way leaves no folder under the final name.
        fcntl.flock(lock, fcntl.LOCK_EX)
        if not folder.is_dir():
            _fetch(maven, folder)
    return folder


def _fetch(maven: str, folder: Path) -> None:
    partial = folder.with_suffix(".partial")
    shutil.rmtree(partial, ignore_errors=True)
    goal = "dependency:copy-dependencies"
    command = [maven, "-B", "-q", "-f", str(POM), goal, "-DincludeScope=runtime", f"-DoutputDirectory={partial}"]
    done = subprocess.run(command, capture_output=True, text=True, check=False, timeout=MAVEN_SECONDS_MAX)
    if done.returncode != 0 or not any(partial.glob("kafka_*.jar")):
        said = "\n".join((done.stdout + done.stderr).splitlines()[-10:])
        found = f"exit code {done.returncode}"
        raise ApacheUnavailable(f"expected Maven to fetch Apache Kafka, found {found}: check the network\n{said}")
    partial.rename(folder)
