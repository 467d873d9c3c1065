"""The services of docker-compose.yml without Docker: Kafka's settings on a real Kafka, our commands by hand."""

from __future__ import annotations

import json
import os
import signal
import socket
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any

import pytest
import yaml
from confluent_kafka import Consumer, TopicPartition

from streams.kafka.embedded import find_free_port
from streams.kafka.topics import Topics
from tests.integration.apache import ApacheBroker, ApacheUnavailable
from tests.needs import require

ROOT = Path(__file__).resolve().parents[2]
COMMAND = Path(sys.executable).parent / "fiftytwo"
START_SECONDS_MAX = 240.0
STOP_SECONDS_MAX = 30.0


@pytest.fixture(scope="module")
def services() -> dict[str, Any]:
    loaded: dict[str, Any] = yaml.safe_load((ROOT / "docker-compose.yml").read_text(encoding="utf-8"))["services"]
    return loaded


# The image carries the compiled engine; a worker that has to compile first answers nobody meanwhile.
@pytest.fixture(scope="module")
def warmed() -> None:
    subprocess.run([str(COMMAND), "warm"], check=True, timeout=START_SECONDS_MAX, capture_output=True)


def eventually(claim: Callable[[], bool], process: subprocess.Popen[bytes], seconds: float) -> bool:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        if claim():
            return True
        assert process.poll() is None, f"the service ended with code {process.returncode}"
        time.sleep(0.1)
    return False


def environment(service: dict[str, Any], bootstrap: str, prefix: str, port: int) -> dict[str, str]:
    # The service's own variables, but for the addresses, which are names inside the compose network.
    given = {name: str(value) for name, value in service["environment"].items()}
    given["FIFTYTWO_KAFKA_BOOTSTRAP_SERVERS"] = bootstrap
    given["FIFTYTWO_KAFKA_PREFIX"] = prefix
    if "FIFTYTWO_WEB_PORT" in given:
        given |= {"FIFTYTWO_WEB_HOST": "127.0.0.1", "FIFTYTWO_WEB_PORT": str(port)}
    others = {name: value for name, value in os.environ.items() if not name.startswith("FIFTYTWO_")}
    return {**others, **given}


@contextmanager
def running(command: list[str], variables: dict[str, str], log: Path) -> Iterator[subprocess.Popen[bytes]]:
    with log.open("wb") as out:
        process = subprocess.Popen([str(COMMAND), *command], env=variables, stdout=out, stderr=subprocess.STDOUT)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def answer(url: str) -> int:
    try:
        with urllib.request.urlopen(url, timeout=4) as response:
            return int(response.status)
    except urllib.error.HTTPError as error:
        return error.code
    except OSError:
        return 0


# Java's properties from the variables of the official image: KAFKA_LOG_DIRS is log.dirs.
def kafka_properties(service: dict[str, Any]) -> str:
    lines = []
    for name, value in service["environment"].items():
        key = name.removeprefix("KAFKA_").replace("_", ".").lower()
        lines.append(f"{key}={value}")
    text = "\n".join(lines) + "\n"
    host_port = find_free_port()
    for old, new in {
        "INTERNAL://:19092": "INTERNAL://127.0.0.1:{port}",
        "INTERNAL://kafka:19092": "INTERNAL://127.0.0.1:{port}",
        "HOST://:9092": f"HOST://127.0.0.1:{host_port}",
        "HOST://127.0.0.1:9092": f"HOST://127.0.0.1:{host_port}",
        "CONTROLLER://:9093": "CONTROLLER://127.0.0.1:{controller_port}",
        "1@kafka:9093": "1@127.0.0.1:{controller_port}",
        "/var/lib/kafka/data": "{data}",
    }.items():
        assert old in text, old
        text = text.replace(old, new)
    return text


def test_kafka_starts_with_the_settings_of_the_compose_file(services: dict[str, Any], tmp_path: Path) -> None:
    """The settings are a real broker's, and the service `topics` works against it."""
    try:
        broker = ApacheBroker(settings=kafka_properties(services["kafka"]))
    except ApacheUnavailable as error:
        require("REQUIRE_KAFKA", str(error))
    with broker:
        service = services["topics"]
        variables = environment(service, broker.bootstrap, "", 0)
        done = subprocess.run(
            [str(COMMAND), *service["command"]], env=variables, capture_output=True, text=True, check=False, timeout=60
        )

    assert done.returncode == 0, done.stdout + done.stderr


class Broker:
    """Anything with a bootstrap address."""

    bootstrap: str


def test_topics_worker_and_clock_run_as_the_compose_file_starts_them(
    services: dict[str, Any], warmed: None, broker: Broker, prefix: str, tmp_path: Path
) -> None:
    """The commands and variables of the file give a worker that becomes ready, reads the clock and ends on SIGTERM."""
    port = find_free_port()
    apply = services["topics"]
    variables = environment(apply, broker.bootstrap, prefix, port)
    subprocess.run([str(COMMAND), *apply["command"]], env=variables, check=True, timeout=60, capture_output=True)

    worker, clock = services["worker"], services["clock"]
    worker_variables = environment(worker, broker.bootstrap, prefix, port)
    clock_variables = environment(clock, broker.bootstrap, prefix, port)
    log = tmp_path / "worker.log"
    with (
        running(clock["command"], clock_variables, tmp_path / "clock.log") as ticking,
        running(worker["command"], worker_variables, log) as working,
    ):
        url = f"http://127.0.0.1:{port}"
        assert eventually(lambda: answer(f"{url}/health/live") == 200, working, START_SECONDS_MAX), log.read_text()
        assert eventually(lambda: answer(f"{url}/health/ready") == 200, working, START_SECONDS_MAX), log.read_text()
        assert eventually(lambda: clocks_read(url) > 0, working, 30), log.read_text()
        # The health check of the file, as Docker would run it, but for the port.
        check = [part.replace(":9464/", f":{port}/") for part in worker["healthcheck"]["test"][1:]]
        subprocess.run([sys.executable, *check[1:]], check=True, timeout=10)
        assert clock["healthcheck"]["test"][:2] == ["CMD", "fiftytwo"]
        subprocess.run([str(COMMAND), *clock["healthcheck"]["test"][2:]], env=clock_variables, check=True, timeout=30)

        for process in (working, ticking):
            process.send_signal(signal.SIGTERM)
        codes = [process.wait(STOP_SECONDS_MAX) for process in (working, ticking)]

    assert codes == [0, 0], log.read_text()
    assert clock_modes(broker.bootstrap, Topics(prefix).ticks) == {"live"}


def clocks_read(url: str) -> float:
    with urllib.request.urlopen(f"{url}/metrics", timeout=4) as response:
        lines = response.read().decode().splitlines()
    return sum(float(line.split()[1]) for line in lines if line.startswith("fiftytwo_clocks_total"))


def clock_modes(bootstrap: str, topic: str) -> set[str]:
    consumer = Consumer({"bootstrap.servers": bootstrap, "group.id": "look", "auto.offset.reset": "earliest"})
    try:
        consumer.assign([TopicPartition(topic, 0, 0)])
        messages = consumer.consume(5, timeout=15)
    finally:
        consumer.close()
    records = [json.loads(message.value() or b"{}") for message in messages]
    assert {record["type"] for record in records} == {"clock"}
    return {record["mode"] for record in records}


def test_two_workers_on_one_machine_need_two_ports(warmed: None, embedded: Broker, prefix: str) -> None:
    """A worker whose port is taken says which setting to change, and ends with 1."""
    variables = {**os.environ, "FIFTYTWO_KAFKA_BOOTSTRAP_SERVERS": embedded.bootstrap, "FIFTYTWO_KAFKA_PREFIX": prefix}
    subprocess.run([str(COMMAND), "topics", "apply"], env=variables, check=True, timeout=60, capture_output=True)
    with socket.socket() as taken:
        taken.bind(("127.0.0.1", 0))
        taken.listen()
        variables["FIFTYTWO_WEB_PORT"] = str(taken.getsockname()[1])
        done = subprocess.run(
            [str(COMMAND), "worker"],
            env=variables,
            capture_output=True,
            text=True,
            check=False,
            timeout=START_SECONDS_MAX,
        )

    assert done.returncode == 1
    assert "web.port" in done.stdout + done.stderr
