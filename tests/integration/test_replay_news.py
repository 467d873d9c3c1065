"""A replay with news on a real broker: every article is joined, however fast the sessions are written."""

from __future__ import annotations

import asyncio
from importlib.resources import files
from pathlib import Path

import pytest

from streams.calendars import load_markets
from streams.core.units import parse_date
from streams.feeds import playing
from streams.feeds.playing import play
from streams.feeds.replay import read_news, replay_files
from streams.feeds.sender import FeedError
from streams.kafka.embedded import EmbeddedBroker
from tests.integration.feeding import caught_up, config_for, make_topics, read
from tests.integration.test_worker import newest, running

DATA = Path(str(files("streams.feeds") / "data"))
BARS = DATA / "XNYS_BABA_daily.csv"
ARTICLE = DATA / "article_alibaba.txt"


def test_replayed_article_is_joined_on_both_sides(embedded: EmbeddedBroker, prefix: str) -> None:
    """Published on Tuesday before the open: Monday's signal gets it afterwards, Tuesday's carries it."""

    async def work() -> None:
        config = config_for(embedded.bootstrap, prefix)
        topics = await make_topics(config)
        steps = replay_files(
            [BARS],
            from_date=parse_date("2025-09-26"),
            markets=load_markets(["XNYS"]),
            articles=read_news([ARTICLE]),
        )
        async with running(config):
            await play(config, steps)
            await caught_up(config)

        enriched = newest(await read(config, [topics.enriched]))

        highs = {
            value["signal"]["session_date"]: len(value["articles"])
            for value in enriched.values()
            if value["signal"]["family"] == "high_52w"
        }
        assert (highs["2025-09-29"], highs["2025-09-30"]) == (1, 1)

    asyncio.run(asyncio.wait_for(work(), 180))


def test_replay_with_news_needs_a_worker_and_says_so(
    embedded: EmbeddedBroker, prefix: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without one the articles would wait for ever; what is waited for is told, and the error names the command."""
    monkeypatch.setattr(playing, "WAITING_TOLD_SECONDS", 0.05)
    told: list[str] = []

    async def work() -> None:
        config = config_for(embedded.bootstrap, prefix)
        await make_topics(config)
        steps = replay_files(
            [BARS], from_date=parse_date("2025-09-29"), markets=load_markets(["XNYS"]), articles=read_news([ARTICLE])
        )
        with pytest.raises(FeedError, match=r"expected a worker to fan out the articles .* start `fiftytwo --prefix"):
            await play(config, steps, on_waiting=told.append, seconds_max=0.5)
        command = f"`fiftytwo --prefix {prefix} worker`"
        assert told == [f"Waiting up to 0.5 s for a worker to fan out the articles: {command} starts one."]

    asyncio.run(asyncio.wait_for(work(), 60))
