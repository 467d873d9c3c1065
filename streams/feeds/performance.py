"""The demo's course of events: what is written when, what is waited for, and what is on stage meanwhile."""

from __future__ import annotations

import asyncio
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from dataclasses import dataclass
from typing import Final

import aiohttp
import orjson
from aiokafka import TopicPartition

from streams.config import Config
from streams.feeds.positions import Positions
from streams.feeds.scenario import TUESDAY, Chapter
from streams.feeds.sender import Sender
from streams.feeds.stage import Stage
from streams.feeds.steps import Step
from streams.feeds.worker_process import WorkerProcess
from streams.kafka.follow import follow
from streams.kafka.topics import Topics

READY_SECONDS_MAX: Final = 180.0
"""A worker starts in five seconds; without a warm cache it compiles for a minute, longer on a busy machine."""

COMPILES_AFTER_SECONDS: Final = 8.0
"""A worker that has read nothing after this is compiling."""

SETTLE_SECONDS_MAX: Final = 30.0
"""A session of some thousand records takes a fraction of a second; a loaded machine gets more."""

FRAME_SECONDS: Final = 1 / 12
POLL_SECONDS: Final = 0.03


class DemoFailed(RuntimeError):
    """The demo cannot go on; the text says what was expected, what was found and what to do."""


@dataclass(frozen=True, slots=True)
class Pace:
    """Seconds that each act lasts at least; with zero it takes no longer than the work."""

    history: float = 0.0
    day: float = 0.0
    intraday: float = 0.0
    night: float = 0.0
    end: float = 0.0


FOR_EYES: Final = Pace(history=2.0, day=0.4, intraday=5.0, night=2.5, end=2.0)
AT_ONCE: Final = Pace()


class Performance:
    """Feeds the worker, listens to what it says, and keeps the stage up to date.

    Args:
        config: Where Kafka is.
        stage: What is shown.
        worker: Looked after while it is waited for.
        sender: Writes the steps.
        positions: Tells how far the worker is.
        pace: How long each act lasts.
        on_settled: Called when a session is over, or the article joined (None), and all that was said of it is heard.
    """

    def __init__(
        self,
        config: Config,
        stage: Stage,
        worker: WorkerProcess,
        *,
        sender: Sender,
        positions: Positions,
        pace: Pace,
        on_settled: Callable[[Chapter | None], None],
    ) -> None:
        self._config = config
        self._stage = stage
        self._worker = worker
        self._sender = sender
        self._positions = positions
        self._pace = pace
        self._on_settled = on_settled
        self._topics = Topics(config.kafka.prefix)
        self._heard: dict[TopicPartition, int] = {}

    async def play(self) -> None:
        """Play all acts from the history to the last session.

        Raises:
            DemoFailed: The worker ended, did not start, or did not keep up.
        """
        tasks = {asyncio.create_task(self._listen()), asyncio.create_task(self._watch_worker())}
        acts = asyncio.create_task(self._acts())
        try:
            # Whichever ends first: nobody may wait for what a broken listener will never hear.
            done, _ = await asyncio.wait({acts, *tasks}, return_when=asyncio.FIRST_COMPLETED)
            for task in done:
                task.result()
        finally:
            for task in (acts, *tasks):
                task.cancel()
            await asyncio.gather(acts, *tasks, return_exceptions=True)

    async def _acts(self) -> None:
        await self._show_history()
        for place, chapter in enumerate(self._stage.days.chapters):
            if chapter.bar.date == TUESDAY:
                await self._show_article()
            self._stage.open_chapter(place)
            await self._show_session(chapter)
        self._stage.act = "end"
        self._stage.status = "done"
        await asyncio.sleep(self._pace.end)

    async def _show_history(self) -> None:
        await asyncio.gather(self._draw_history(), self._write_history())

    async def _draw_history(self) -> None:
        frames = max(1, round(self._pace.history / FRAME_SECONDS))
        started = time.monotonic()
        for frame in range(frames):
            self._stage.revealed = (frame + 1) / frames
            await _until(started + self._pace.history * (frame + 1) / frames)

    async def _write_history(self) -> None:
        await self._send(self._stage.days.history_steps())
        self._stage.status = "starting the worker"
        await self._wait_ready()
        self._stage.status = "the worker reads a year of bars"
        # Without a warm cache the worker compiles when it reads its first records.
        loop = asyncio.get_running_loop()
        told = loop.call_later(COMPILES_AFTER_SECONDS, self._tell_status, "the worker compiles its rules, once")
        try:
            await self._settle(READY_SECONDS_MAX)
        finally:
            told.cancel()

    def _tell_status(self, status: str) -> None:
        self._stage.status = status

    async def _show_session(self, chapter: Chapter) -> None:
        stage = self._stage
        stage.status = "playing"
        started = time.monotonic()
        seconds = self._pace.intraday if chapter.generated else self._pace.day
        frames = max(1, round(seconds / FRAME_SECONDS))
        steps = chapter.steps
        for frame in range(frames):
            await self._send(steps[len(steps) * frame // frames : len(steps) * (frame + 1) // frames])
            await _until(started + seconds * (frame + 1) / frames)
        stage.status = "waiting for the verdict"
        await self._settle()
        self._on_settled(chapter)

    # The article comes between two sessions. Tuesday's open is not written before the worker has passed it, so that
    # Tuesday's signal carries it from its first message on.
    async def _show_article(self) -> None:
        stage = self._stage
        started = time.monotonic()
        stage.act = "night"
        stage.status = "the article is being joined"
        await self._send(stage.days.article_steps())
        articles, news = self._topics.articles, self._topics.news
        if not await self._positions.wait_news_passed(articles, news, seconds_max=SETTLE_SECONDS_MAX):
            raise DemoFailed(_late("the article", self._topics.articles, SETTLE_SECONDS_MAX))
        await self._settle()
        self._on_settled(None)
        await _until(started + self._pace.night)

    async def _send(self, steps: Sequence[Step]) -> None:
        for step in steps:
            await self._sender.send(step)
        await self._sender.flush()
        for step in steps:
            self._stage.advance(step)

    # Waits until the worker has passed everything that was written, and everything that it said about it is heard.
    async def _settle(self, seconds_max: float = SETTLE_SECONDS_MAX) -> None:
        inputs = (self._topics.ticks, self._topics.news)
        if not await self._positions.wait_passed(inputs, seconds_max=seconds_max):
            raise DemoFailed(_late("what was written", ", ".join(inputs), seconds_max))
        ends = await self._positions.ends(self._topics.outputs)
        deadline = time.monotonic() + SETTLE_SECONDS_MAX
        while any(self._heard.get(place, 0) < end for place, end in ends.items()):
            if time.monotonic() > deadline:
                raise DemoFailed(
                    f"expected to hear all that the worker said within {SETTLE_SECONDS_MAX:g} s, found more on "
                    f"{', '.join(self._topics.outputs)} than was read: try again on a machine with less to do"
                )
            await asyncio.sleep(POLL_SECONDS)

    async def _listen(self) -> None:
        outputs = self._topics.outputs
        async with aclosing(follow(self._config.kafka, outputs, from_beginning=True, passed=self._heard)) as records:
            async for record in records:
                if record.value is not None:
                    self._stage.story.tell(orjson.loads(record.value))

    async def _wait_ready(self) -> None:
        url = f"http://{self._config.web.host}:{self._config.web.port}/health/ready"
        deadline = time.monotonic() + READY_SECONDS_MAX
        async with aiohttp.ClientSession(timeout=aiohttp.ClientTimeout(total=2.0)) as session:
            while time.monotonic() < deadline:
                try:
                    async with session.get(url) as answer:
                        if answer.status == 200:
                            return
                except (aiohttp.ClientError, TimeoutError):
                    pass  # It does not listen yet.
                await asyncio.sleep(POLL_SECONDS)
        raise DemoFailed(
            f"expected the worker to be ready within {READY_SECONDS_MAX:g} s, found it not ready: "
            "run `fiftytwo warm` once, then try again"
        )

    async def _watch_worker(self) -> None:
        while (code := self._worker.exit_code()) is None:
            await asyncio.sleep(POLL_SECONDS * 5)
        raise DemoFailed(f"expected the worker to run, found that it ended with exit code {code}: see its log")


def _late(what: str, topics: str, seconds_max: float) -> str:
    return (
        f"expected the worker to pass {what} within {seconds_max:g} s, found its positions on {topics} behind: "
        "see its log, or try again on a machine with less to do"
    )


async def _until(moment: float) -> None:
    await asyncio.sleep(max(0.0, moment - time.monotonic()))
