"""The worker as a process: how it ends, and what a kill leaves behind."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
import urllib.request
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import replace
from pathlib import Path

import pytest

from streams.config import Config, Snapshots
from streams.kafka.embedded import EmbeddedBroker, find_free_port
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


def test_worker_without_a_broker_ends_with_one_clear_line(tmp_path: Path) -> None:
    """A broker that does not answer is said in one line, and the exit code is 1."""
    config = config_for(f"127.0.0.1:{find_free_port()}", "none.")
    log = tmp_path / "worker.log"

    with worker_process(config, log, web_port=0) as process:
        process.wait(60)

    lines = log.read_text().splitlines()
    assert process.returncode == 1
    assert [line for line in lines if line.startswith("fiftytwo: expected a Kafka broker at")] == lines[-1:], lines


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
