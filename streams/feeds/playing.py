"""Writes a replay, and lets its time go on only when the worker has fanned out the articles that came so far.

Articles reach the news by instrument through the worker, clock records directly. Without waiting a clock would overtake
an article, and the join, which goes by the order of that log, would take it for news that came too late.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import Final

from streams.config import Config
from streams.feeds.positions import Positions
from streams.feeds.sender import FeedError, Sender
from streams.feeds.steps import Step

FANNED_OUT_SECONDS_MAX: Final = 180.0
"""A worker that runs takes a second; one that has just been started for the first time compiles for a minute or two."""


async def play(
    config: Config,
    steps: Iterable[Step],
    *,
    on_sent: Callable[[int, Step], None] | None = None,
    seconds_max: float = FANNED_OUT_SECONDS_MAX,
) -> int:
    """Write steps in their order and return how many there were.

    Args:
        config: Where Kafka is.
        steps: What is played.
        on_sent: Called with the count so far and the step after each.
        seconds_max: How long the worker may take to fan out an article.

    Raises:
        FeedError: The broker refused records, a topic is missing, or no worker fans out the articles.
    """
    async with Sender(config) as sender, Positions(config) as positions:

        async def fanned_out() -> None:
            await sender.flush()
            topics = sender.topics
            if not await positions.wait_news_passed(topics.articles, topics.news, seconds_max=seconds_max):
                raise FeedError(
                    f"expected a worker to fan out the articles within {seconds_max:g} s, found none that did: start "
                    f"`fiftytwo --prefix {config.kafka.prefix} worker` first, and replay under a prefix that is unused"
                )

        articles_wait = False
        for step in steps:
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
