"""Feeds on a real broker: what is sent arrives where it must, in order, and what is not is told."""

from __future__ import annotations

import asyncio
import gc
import json
import os
import signal
import subprocess
import sys
import time
from pathlib import Path

import pytest

from streams.calendars import load_markets
from streams.config import Config
from streams.core.units import NS, parse_time
from streams.feeds import sender as feed_sender
from streams.feeds.bar_files import Reading, bars_of, sources_of
from streams.feeds.clock import run_clock
from streams.feeds.history import Refused
from streams.feeds.publish import Progress, Published, publish, publish_tables
from streams.feeds.sender import FeedError, Sender
from streams.feeds.steps import clock_step
from streams.kafka.embedded import EmbeddedBroker
from streams.kafka.follow import Followed, follow
from streams.kafka.topics import Topics, expected_partition
from tests.integration.apache import ApacheBroker
from tests.integration.feeding import config_for, make_topics

TICK = {"instrument": "XNYS:BABA", "time": "2025-09-30T13:30:00Z", "price": "181.66", "size": "100"}
BARS = "date,open,high,low,close,volume\n2025-09-29,178.08,181.344,177.59,179.90,21576300\n"
ARTICLE = Path("streams/feeds/data/article_alibaba.txt")


async def read_all(config: Config, *topics: str) -> list[Followed]:
    return [record async for record in follow(config.kafka, topics, from_beginning=True, until_end=True)]


def test_ticks_go_to_the_partition_of_their_instrument_in_order(
    broker: EmbeddedBroker | ApacheBroker, prefix: str, tmp_path: Path
) -> None:
    """Keyed by instrument, partitioned as Java does, every good line once; bad ones are told and counted."""
    instruments = [f"XNYS:S{number:03d}" for number in range(50)]
    lines = [json.dumps({**TICK, "instrument": name, "size": str(size)}) for size in range(400) for name in instruments]
    path = tmp_path / "ticks.jsonl"
    path.write_text("\n".join([*lines[:7], "{not json", *lines[7:]]))
    refused: list[Refused] = []
    progress: list[Progress] = []

    async def work() -> tuple[Published, list[Followed]]:
        config = config_for(broker.bootstrap, prefix, partitions=3)
        topics = await make_topics(config)
        done = await publish(config, "ticks", [str(path)], on_refused=refused.append, on_progress=progress.append)
        return done, await read_all(config, topics.ticks)

    done, records = asyncio.run(work())

    assert done == Published(20_000, 1)
    assert [entry.where for entry in refused] == [f"{path}:8"]
    assert (progress[-1].sent, progress[-1].bytes_read) == (20_000, path.stat().st_size)
    assert progress[-1].bytes_total == path.stat().st_size
    assert {(record.key, record.partition) for record in records} == {
        (name.encode(), expected_partition(name.encode(), 3)) for name in instruments
    }
    sizes: dict[bytes | None, list[int]] = {}
    for record in records:
        sizes.setdefault(record.key, []).append(int(json.loads(record.value or b"")["size"]))
    assert set(map(tuple, sizes.values())) == {tuple(range(400))}


def test_bars_and_news_go_to_their_topics(embedded: EmbeddedBroker, prefix: str, tmp_path: Path) -> None:
    """Bars become bar records of the tick topic, an article becomes one record keyed by its id."""
    bars = tmp_path / "XNYS_BABA_daily.csv"
    bars.write_text(BARS)

    async def work() -> list[Followed]:
        config = config_for(embedded.bootstrap, prefix)
        topics = await make_topics(config)
        markets = load_markets(config.markets.mics)
        sources = sources_of([bars])
        assert await publish_tables(config, sources, lambda each: bars_of(each, Reading(), markets)) == Published(1, 0)
        assert await publish(config, "news", [str(ARTICLE)]) == Published(1, 0)
        return await read_all(config, topics.ticks, topics.articles)

    # Topics have no order among each other.
    found = {record.topic: json.loads(record.value or b"") for record in asyncio.run(work())}
    bar, article = found[Topics(prefix).ticks], found[Topics(prefix).articles]

    assert (bar["type"], bar["instrument"], bar["high"]) == ("bar", "XNYS:BABA", "181.344")
    assert article["published_at"] == "2025-09-30T11:45:02Z"
    assert article["title"].startswith("Alibaba Shares Pass Their")


def test_rate_is_kept(embedded: EmbeddedBroker, prefix: str, tmp_path: Path) -> None:
    """A hundred records at two hundred a second take half a second."""
    path = tmp_path / "ticks.jsonl"
    path.write_text((json.dumps(TICK) + "\n") * 100)

    async def work() -> float:
        config = config_for(embedded.bootstrap, prefix)
        await make_topics(config)
        started = time.monotonic()
        assert await publish(config, "ticks", [str(path)], rate=200.0) == Published(100, 0)
        return time.monotonic() - started

    assert asyncio.run(work()) >= 0.45


def test_clock_reaches_every_partition_of_both_topics(embedded: EmbeddedBroker, prefix: str) -> None:
    """Each second once, floored to the second, live, without a key."""
    sent: list[int] = []

    async def work() -> list[Followed]:
        config = config_for(embedded.bootstrap, prefix, partitions=3)
        topics = await make_topics(config)
        enough = asyncio.Event()

        def note(time_ns: int) -> None:
            sent.append(time_ns)
            if len(sent) == 2:
                enough.set()

        running = asyncio.create_task(run_clock(config, on_sent=note))
        await asyncio.wait_for(enough.wait(), 20)
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)
        return await read_all(config, topics.ticks, topics.news)

    records = asyncio.run(work())

    assert sent[1] - sent[0] == NS
    assert all(record.key is None for record in records)
    topics = Topics(prefix)
    for place in [(topic, partition) for topic in (topics.ticks, topics.news) for partition in range(3)]:
        found = [json.loads(record.value or b"") for record in records if (record.topic, record.partition) == place]
        assert [parse_time(clock["time"]) for clock in found][:2] == sent
        assert {(clock["type"], clock["mode"]) for clock in found} == {("clock", "live")}


def test_clock_outlives_a_pause_of_the_broker_without_noise(prefix: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """A cluster has one clock: what may pass is told and tried again, and no failure is left for asyncio to print."""
    monkeypatch.setattr(feed_sender, "REQUEST_SECONDS", 2.0)
    failures: list[FeedError] = []
    noise: list[dict[str, object]] = []

    async def work(broker: EmbeddedBroker) -> None:
        asyncio.get_running_loop().set_exception_handler(lambda _, context: noise.append(context))
        config = config_for(broker.bootstrap, prefix, partitions=3)
        await make_topics(config)
        sent, failed = asyncio.Event(), asyncio.Event()

        def note_failure(error: FeedError) -> None:
            failures.append(error)
            failed.set()

        running = asyncio.create_task(run_clock(config, on_sent=lambda _: sent.set(), on_failed=note_failure))
        await asyncio.wait_for(sent.wait(), 30)
        assert broker.process_id is not None
        os.kill(broker.process_id, signal.SIGSTOP)
        try:
            await asyncio.wait({running, asyncio.create_task(failed.wait())}, timeout=60, return_when="FIRST_COMPLETED")
        finally:
            os.kill(broker.process_id, signal.SIGCONT)
        sent.clear()
        await asyncio.wait({running, asyncio.create_task(sent.wait())}, timeout=60, return_when="FIRST_COMPLETED")

        assert failed.is_set()
        assert sent.is_set()
        running.cancel()
        await asyncio.gather(running, return_exceptions=True)

    with EmbeddedBroker() as broker:
        asyncio.run(work(broker))
    gc.collect()

    assert "expected the broker to take a batch" in str(failures[0])
    assert noise == []


def test_missing_topics_are_told_with_what_to_do(embedded: EmbeddedBroker, prefix: str) -> None:
    """Nothing is created on the way: partition counts are not a producer's business."""

    async def work() -> None:
        config = config_for(embedded.bootstrap, prefix)
        with pytest.raises(
            FeedError, match=r"expected the topic .*, found none: run `fiftytwo --prefix test-.* topics apply`"
        ):
            async with Sender(config) as sender:
                await sender.send(clock_step(0))

    asyncio.run(work())


def test_standard_input_is_sent_as_it_comes_and_interrupts_at_once(embedded: EmbeddedBroker, prefix: str) -> None:
    """A live pipe is not held back until it ends, and Ctrl-C does not wait for its next line."""
    config = config_for(embedded.bootstrap, prefix)
    topics = asyncio.run(make_topics(config))
    command = [sys.executable, "-m", "streams.cli", "--bootstrap-servers", embedded.bootstrap, "--prefix", prefix]
    with subprocess.Popen(
        [*command, "publish", "ticks", "-"], stdin=subprocess.PIPE, stderr=subprocess.PIPE, start_new_session=True
    ) as process:
        try:
            assert process.stdin is not None
            process.stdin.write(json.dumps(TICK).encode() + b"\n")
            process.stdin.flush()
            deadline = time.monotonic() + 60
            while not asyncio.run(read_all(config, topics.ticks)):
                assert time.monotonic() < deadline, "the line was not sent while the pipe was open"

            os.kill(process.pid, signal.SIGINT)

            assert process.wait(10) == 130
            assert process.stderr is not None
            assert b"Interrupted after 1 record; " in process.stderr.read()
        finally:
            process.kill()


def test_command_line_publishes_a_pipe_and_counts_bad_lines(embedded: EmbeddedBroker, prefix: str) -> None:
    """Exit code 1 when a line was refused, with its place on standard error; the good ones are sent."""
    config = config_for(embedded.bootstrap, prefix)
    topics = asyncio.run(make_topics(config))
    data = f"{json.dumps(TICK)}\n{{}}\n{json.dumps(TICK)}\n".encode()

    done = subprocess.run(
        [sys.executable, "-m", "streams.cli", "publish", "ticks", "-"],
        input=data,
        capture_output=True,
        timeout=120,
        check=False,
        env={**os.environ, "FIFTYTWO_KAFKA_BOOTSTRAP_SERVERS": embedded.bootstrap, "FIFTYTWO_KAFKA_PREFIX": prefix},
    )

    assert done.returncode == 1
    assert b"standard input:2: " in done.stderr
    assert len(asyncio.run(read_all(config, topics.ticks))) == 2
