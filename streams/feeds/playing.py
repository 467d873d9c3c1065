"""Writes a replay, and lets its time go on only when the worker has fanned out the articles that came so far.

Articles reach the news by instrument through the worker, clock records directly. Without waiting a clock would overtake
an article, and the join, which goes by the order of that log, would take it for news that came too late.

It begins only where its time has not passed yet. A worker would take the records of a past that is over for late ones,
and those beside a live clock for strays: the replay would have been sent, and nothing played.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Final

from streams.config import Config, Kafka
from streams.core.units import format_time
from streams.feeds.newest_clock import newest_clock
from streams.feeds.positions import Positions
from streams.feeds.replay import Replay
from streams.feeds.sender import FeedError, Sender
from streams.feeds.steps import Step
from streams.kafka.topics import Topics

FANNED_OUT_SECONDS_MAX: Final = 180.0
"""A worker that runs takes a second; one that has just been started for the first time compiles for a minute or two."""

WAITING_TOLD_SECONDS: Final = 3.0
"""Longer than a running worker takes: from then on a silent wait would look like a replay that hangs."""


async def play(
    config: Config,
    replay: Replay,
    *,
    on_sent: Callable[[int, Step], None] | None = None,
    on_waiting: Callable[[str], None] = lambda text: None,
    seconds_max: float = FANNED_OUT_SECONDS_MAX,
) -> int:
    """Write steps in their order and return how many there were.

    Args:
        config: Where Kafka is.
        replay: What is played.
        on_sent: Called with the count so far and the step after each.
        on_waiting: Called with what is waited for, when that takes some seconds.
        seconds_max: How long the worker may take to fan out an article.

    Raises:
        FeedError: Time under the prefix is past where the replay begins, the broker refused records, a topic is
            missing, or no worker fans out the articles.
    """
    worker = f"`{worker_command(config.kafka.prefix)}`"
    async with Sender(config) as sender, Positions(config) as positions:

        async def fanned_out() -> None:
            await sender.flush()
            topics = sender.topics
            waiting = f"Waiting up to {seconds_max:g} s for a worker to fan out the articles: {worker} starts one."
            telling = asyncio.get_running_loop().call_later(WAITING_TOLD_SECONDS, on_waiting, waiting)
            try:
                passed = await positions.wait_news_passed(topics.articles, topics.news, seconds_max=seconds_max)
            finally:
                telling.cancel()
            if not passed:
                raise FeedError(
                    f"expected a worker to fan out the articles within {seconds_max:g} s, found none that did: start "
                    f"{worker} first, and replay under a prefix that is unused"
                )

        await check_time(config.kafka, sender.topics, replay.begins_ns)
        articles_wait = False
        for step in replay:
            if articles_wait and step.kind != "article":
                await fanned_out()
                articles_wait = False
            await sender.send(step)
            articles_wait |= step.kind == "article"
            if on_sent is not None:
                on_sent(sender.sent, step)
        await sender.flush()
        if articles_wait:
            await fanned_out()
        return sender.sent


async def check_time(kafka: Kafka, topics: Topics, begins_ns: int) -> None:
    """Check that a replay can begin under a prefix: no clock is live there, none is past its beginning.

    Raises:
        FeedError: One is.
    """
    clock = await newest_clock(kafka, (topics.ticks, topics.news))
    if clock is None or (clock.mode == "replay" and clock.time_ns <= begins_ns):
        return
    found = "a live clock" if clock.mode == "live" else "the clock of a replay"
    place = f"prefix {kafka.prefix}" if kafka.prefix else "no prefix"
    raise FeedError(
        f"expected an unused prefix, or a replay's clock that is not past {format_time(begins_ns)}, where this replay "
        f"begins; found {found} at {format_time(clock.time_ns)} under {place}. Nothing was sent: use another --prefix, "
        "with topics and a worker of its own"
    )


def worker_command(prefix: str) -> str:
    """Return the command that starts a worker of a prefix.

    >>> worker_command(""), worker_command("paper.")
    ('fiftytwo worker', 'fiftytwo --prefix paper. worker')
    """
    return f"fiftytwo --prefix {prefix} worker" if prefix else "fiftytwo worker"
