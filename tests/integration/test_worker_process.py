"""The worker as a process: how it ends, and what a kill leaves behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.error
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from streams.config import Config, Snapshots
from streams.kafka.embedded import EmbeddedBroker, find_free_port
from streams.kafka.topics import Topics
from tests.integration.apache import ApacheBroker
from tests.integration.feeding import Day, caught_up, committed, config_for, eventually, make_topics, read, write

PROGRAM = (
    "import os, sys; from streams.config import load; from streams.kafka.worker import run_worker; "
    "sys.exit(run_worker(load(None, os.environ)))"
)
STOP_SECONDS_MAX = 10.0


@contextmanager
def worker_process(config: Config, log: Path, *, web_port: int) -> Iterator[subprocess.Popen[bytes]]:
    """Run a worker as a process until the block ends."""
    environment = {
        **{name: value for name, value in os.environ.items() if not name.startswith("FIFTYTWO_")},
        "FIFTYTWO_KAFKA_BOOTSTRAP_SERVERS": config.kafka.bootstrap_servers,
        "FIFTYTWO_KAFKA_APPLICATION_ID": config.kafka.application_id,
        "FIFTYTWO_KAFKA_PREFIX": config.kafka.prefix,
        "FIFTYTWO_KAFKA_GROUP_INSTANCE_ID": config.kafka.group_instance_id,
        "FIFTYTWO_KAFKA_PARTITIONS": str(config.kafka.partitions),
        "FIFTYTWO_KAFKA_DELIVERY": config.kafka.delivery,
        "FIFTYTWO_SNAPSHOTS_INTERVAL_S": str(config.snapshots.interval_s),
        "FIFTYTWO_MARKETS_MICS": ",".join(config.markets.mics),
        "FIFTYTWO_WEB_PORT": str(web_port),
    }
    if "FIFTYTWO_CACHE_DIR" in os.environ:
        environment["FIFTYTWO_CACHE_DIR"] = os.environ["FIFTYTWO_CACHE_DIR"]
    with log.open("ab") as output:
        process = subprocess.Popen([sys.executable, "-c", PROGRAM], stderr=output, env=environment)
    try:
        yield process
    finally:
        if process.poll() is None:
            process.kill()
        process.wait()


def is_ready(process: subprocess.Popen[bytes], port: int) -> bool:
    """Tell whether a worker says that it is ready; fail when it has ended."""
    assert process.poll() is None, f"the worker ended with {process.returncode}"
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/ready", timeout=2) as response:
            return bool(response.status == 200)
    except OSError:
        return False


@pytest.mark.parametrize("number", [signal.SIGTERM, signal.SIGINT])
def test_signal_ends_the_worker_in_order(
    embedded: EmbeddedBroker, prefix: str, tmp_path: Path, number: signal.Signals
) -> None:
    """SIGTERM and SIGINT end a worker with 0 within seconds, with everything it has read committed."""

    async def work() -> None:
        config = config_for(embedded.bootstrap, prefix)
        topics = await make_topics(config)
        day = Day(config, ["XNYS:AAA", "XNYS:BBB"])
        log, port = tmp_path / "worker.log", find_free_port()
        with worker_process(config, log, web_port=port) as process:
            await eventually(lambda: is_ready(process, port), 180)
            await write(config, day.bars() + day.days())
            await caught_up(config)

            started = time.monotonic()
            process.send_signal(number)
            await asyncio.to_thread(process.wait, STOP_SECONDS_MAX)

            assert process.returncode == 0
            assert time.monotonic() - started < STOP_SECONDS_MAX
        events = [json.loads(line)["event"] for line in log.read_text().splitlines()]
        assert events[-1] == "worker_stopped"
        assert sum((await committed(config)).values()) > 0
        assert await read(config, topics.outputs)

    asyncio.run(work())


def health(port: int, name: str) -> tuple[int, list[str]]:
    """Return the status of a health page and its reasons, 0 while nobody listens."""
    try:
        with urllib.request.urlopen(f"http://127.0.0.1:{port}/health/{name}", timeout=2) as response:
            return response.status, json.loads(response.read())["reasons"]
    except urllib.error.HTTPError as error:
        return error.code, json.loads(error.read())["reasons"]
    except OSError:
        return 0, []


def events_of(log: Path) -> list[str]:
    """Return the events of a worker's log, in order."""
    return [json.loads(line)["event"] for line in log.read_text().splitlines() if line.startswith("{")]


@pytest.mark.usefixtures("apache")
def test_worker_waits_for_brokers_that_come_after_it(prefix: str, tmp_path: Path) -> None:
    """It lives, is not ready and says why, and goes on by itself when a broker answers."""

    async def work(broker: ApacheBroker) -> None:
        config = config_for(broker.bootstrap, prefix)
        await make_topics(config)
        await asyncio.to_thread(broker.stop)
        day = Day(config, ["XNYS:AAA"], sessions=1)
        log, port = tmp_path / "worker.log", find_free_port()
        with worker_process(config, log, web_port=port) as process:
            # It used to end after three attempts, and has made several by then.
            await eventually(lambda: any("for 3 s" in reason for reason in health(port, "ready")[1]), 180)
            ready, live = health(port, "ready"), health(port, "live")
            assert process.poll() is None

            await asyncio.to_thread(broker.start)
            await eventually(lambda: is_ready(process, port), 180)
            await write(config, day.bars() + day.days())
            await caught_up(config)

        assert live == (200, [])
        assert ready[0] == 503
        assert ready[1][0].startswith("no broker has answered for ")
        assert f"expected a Kafka broker at {broker.bootstrap} over PLAINTEXT" in ready[1][0]
        assert "kafka.bootstrap_servers" in ready[1][0]
        events = events_of(log)
        # Said once in half a minute, however often it was tried.
        assert 1 <= events.count("waiting_for_brokers") <= 3
        assert events.index("waiting_for_brokers") < events.index("worker_started")
        assert await read(config, [Topics(prefix).breakouts])

    broker = ApacheBroker()
    try:
        asyncio.run(work(broker.start()))
    finally:
        broker.close()


def test_worker_that_waits_for_a_broker_ends_when_it_is_told_to(tmp_path: Path) -> None:
    """Waiting is no reason not to end: SIGTERM ends it with 0, and with no word of a failure."""
    config = config_for(f"127.0.0.1:{find_free_port()}", "none.")
    log = tmp_path / "worker.log"

    with worker_process(config, log, web_port=0) as process:
        asyncio.run(eventually(lambda: log.exists() and "waiting_for_brokers" in events_of(log), 180))
        process.send_signal(signal.SIGTERM)
        process.wait(STOP_SECONDS_MAX)

    assert process.returncode == 0
    assert not [line for line in log.read_text().splitlines() if line.startswith("fiftytwo: ")]


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_kill_loses_nothing_and_repeats_nothing(
    apache: ApacheBroker, prefix: str, tmp_path: Path, delivery: str
) -> None:
    """A worker that is killed again and again writes, in the end, the same events as one that never was.

    Without transactions some may be there twice, with equal bytes.
    """

    async def work() -> None:
        # A static member comes back at once; another would be waited for until its session has run out.
        config = config_for(apache.bootstrap, prefix, group_instance_id="one", delivery=delivery)
        config = replace(config, snapshots=Snapshots(interval_s=0.2))
        topics = await make_topics(config)
        day = Day(config, ["XNYS:AAA", "XNYS:BBB", "XNYS:CCC"], sessions=4)
        records = day.bars() + day.days()
        cuts = [0, len(records) // 2, len(records) * 3 // 4, len(records)]
        log, port = tmp_path / "worker.log", find_free_port()
        for number in range(3):
            with worker_process(config, log, web_port=port) as process:
                await eventually(lambda: is_ready(process, port), 180)
                before = sum((await committed(config)).values())
                writing = asyncio.create_task(write(config, records[cuts[number] : cuts[number + 1]]))

                async def moved(before: int = before) -> bool:
                    return sum((await committed(config)).values()) > before

                await eventually(moved)
                process.kill()
                await writing
        with worker_process(config, log, web_port=port) as process:
            await eventually(lambda: is_ready(process, port), 180)
            await caught_up(config)
        signals = [topics.breakouts, topics.momentum]
        written = await read(config, signals)
        found = {dict(r.headers)["ce_id"]: r.value for r in written}
        assert delivery == "at_least_once" or len(written) == len(found)

        again = config_for(apache.bootstrap, prefix, application_id=f"{prefix}again")
        with worker_process(again, log, web_port=port) as process:
            await eventually(lambda: is_ready(process, port), 180)
            await caught_up(again)
        everything = await read(config, signals)
        assert {dict(r.headers)["ce_id"] for r in everything} == set(found)
        assert all(r.value == found[dict(r.headers)["ce_id"]] for r in everything)

    asyncio.run(work())
