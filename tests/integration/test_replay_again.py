"""A replay where time has passed already, or is the live one: it is refused before anything is sent."""

from __future__ import annotations

import asyncio
from pathlib import Path
from typing import Literal

import pytest

from streams.calendars import load_markets
from streams.cli import run
from streams.config import Config
from streams.core.news import NewsClock
from streams.core.units import parse_date, parse_time
from streams.feeds import newest_clock
from streams.feeds.playing import play
from streams.feeds.replay import Replay, replay_files
from streams.feeds.sender import FeedError, Sender
from streams.feeds.steps import Step, clock_step, tick_step
from streams.kafka.embedded import EmbeddedBroker
from streams.kafka.follow import Followed, follow
from streams.kafka.topics import Topics
from tests.integration.feeding import config_for, make_topics

LINES = ("2025-09-26,10,11,9,10,4", "2025-09-29,10,11,9,10,4", "2025-09-30,10,11,9,10,4")
OPEN = "2025-09-29T13:30:00Z"


@pytest.fixture
def bars(tmp_path: Path) -> Path:
    path = tmp_path / "XNYS_A_daily.csv"
    path.write_text("\n".join(["date,open,high,low,close,volume", *LINES]) + "\n")
    return path


def replay_of(bars: Path, from_date: str) -> Replay:
    return replay_files([bars], from_date=parse_date(from_date), markets=load_markets(["XNYS"]))


async def written(config: Config) -> list[Followed]:
    topics = Topics(config.kafka.prefix)
    records = follow(config.kafka, [topics.ticks, topics.news], from_beginning=True, until_end=True)
    return sorted([record async for record in records], key=lambda each: (each.topic, each.partition, each.offset))


async def tell(config: Config, time: str, mode: Literal["live", "replay"]) -> None:
    async with Sender(config) as sender:
        await sender.send(clock_step(parse_time(time), mode=mode))
        await sender.flush()


def test_same_replay_again_is_refused(
    embedded: EmbeddedBroker, prefix: str, bars: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    """A worker would count all its ticks as late: the second one sends nothing and ends with 1."""
    config = config_for(embedded.bootstrap, prefix)
    asyncio.run(make_topics(config))
    command = ["--bootstrap-servers", embedded.bootstrap, "--prefix", prefix, "--set", "markets.mics=XNYS"]
    command += ["replay", "bars", str(bars), "--from", "2025-09-29"]

    assert run(command) == 0
    before = asyncio.run(written(config))
    capsys.readouterr()
    assert run(command) == 1

    assert capsys.readouterr().err == (
        f"error: expected an unused prefix, or a replay's clock that is not past {OPEN}, where this replay begins; "
        f"found the clock of a replay at 2025-09-30T20:15:00Z under prefix {prefix}. Nothing was sent: use another "
        "--prefix, with topics and a worker of its own\n"
    )
    assert asyncio.run(written(config)) == before != []


def test_replay_goes_on_after_one_that_ended_before_it(embedded: EmbeddedBroker, prefix: str, bars: Path) -> None:
    """Its time has not passed, so nothing of it is late."""

    async def work() -> None:
        config = config_for(embedded.bootstrap, prefix)
        await make_topics(config)
        await tell(config, "2025-09-29T20:15:00Z", "replay")
        sent = await play(config, replay_of(bars, "2025-09-30"))
        assert sent == 2 + 4 + 6  # History, ticks, and a clock for each tick, the close and the verdict.

    asyncio.run(asyncio.wait_for(work(), 60))


@pytest.mark.parametrize(
    ("time", "mode", "refused"),
    [
        (OPEN, "replay", None),
        ("2025-09-29T13:30:01Z", "replay", "found the clock of a replay at 2025-09-29T13:30:01Z"),
        ("2025-09-26T13:30:00Z", "live", "found a live clock at 2025-09-26T13:30:00Z"),
    ],
)
def test_clock_decides_whether_a_replay_begins(
    embedded: EmbeddedBroker, prefix: str, bars: Path, time: str, mode: Literal["live", "replay"], refused: str | None
) -> None:
    """A live clock is refused whatever its time, since partitions take clocks of one mode; a replay's when later."""

    async def work() -> None:
        config = config_for(embedded.bootstrap, prefix)
        await make_topics(config)
        await tell(config, time, mode)
        if refused is None:
            assert await play(config, replay_of(bars, "2025-09-29")) > 0
            return
        before = await written(config)
        with pytest.raises(FeedError, match=refused):
            await play(config, replay_of(bars, "2025-09-29"))
        assert await written(config) == before

    asyncio.run(asyncio.wait_for(work(), 60))


def test_clock_is_found_however_many_ticks_came_after_it(
    embedded: EmbeddedBroker, prefix: str, bars: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Only the ends of the logs are read: where ticks have pushed the clock out of theirs, the news still shows it."""
    monkeypatch.setattr(newest_clock, "TAIL_RECORDS", 2)

    async def work() -> None:
        config = config_for(embedded.bootstrap, prefix, partitions=1)
        topics = await make_topics(config)
        await tell(config, "2025-09-30T20:15:00Z", "replay")
        async with Sender(config) as sender:
            for number in range(5):
                await sender.send(tick_step("XNYS:A", 0, 0, {"instrument": "XNYS:A", "size": f"{number}"}))
            await sender.flush()

        assert await newest_clock.newest_clock(config.kafka, [topics.ticks]) is None
        with pytest.raises(FeedError, match="found the clock of a replay"):
            await play(config, replay_of(bars, "2025-09-29"))

    asyncio.run(asyncio.wait_for(work(), 60))


def test_what_is_no_clock_tells_no_time(embedded: EmbeddedBroker, prefix: str) -> None:
    """Records that a worker puts aside, and ticks that only contain the word, are passed over."""
    values = [b'"clock"', b'{"type":"clock","time":"soon","mode":"live"}', b'{"instrument":"XNYS:A","note":"clock"}']

    async def work() -> None:
        config = config_for(embedded.bootstrap, prefix, partitions=1)
        topics = await make_topics(config)
        await tell(config, OPEN, "replay")
        async with Sender(config) as sender:
            for value in values:
                await sender.send(Step("tick", 0, "XNYS:A", value))
            await sender.flush()

        clock = await newest_clock.newest_clock(config.kafka, [topics.ticks])

        assert clock == NewsClock(parse_time(OPEN), "replay")

    asyncio.run(asyncio.wait_for(work(), 60))
