"""The demo: an embedded broker, a worker, the Alibaba days, and a screen or plain lines that tell them.

Everything it starts ends with it, in reverse order: the screen first, so that the terminal is whole again, then the
worker, the broker, and the folder they wrote to.
"""

from __future__ import annotations

import asyncio
import shutil
import signal
import sys
import tempfile
import time
from collections.abc import Callable
from contextlib import ExitStack
from dataclasses import replace
from pathlib import Path
from typing import Final

from aiokafka.errors import KafkaError
from rich.console import Console, RenderableType
from rich.live import Live
from rich.text import Text

from streams.calendars import load_markets
from streams.config import Config
from streams.core.units import format_date
from streams.feeds import scenario
from streams.feeds.performance import AT_ONCE, FOR_EYES, DemoFailed, Performance
from streams.feeds.positions import Positions
from streams.feeds.scenario import Chapter
from streams.feeds.screen import COLUMNS_MIN, ROWS_MIN, Screen
from streams.feeds.sender import FeedError, Sender
from streams.feeds.stage import Stage
from streams.feeds.story import FACTS, MONDAY, differences
from streams.feeds.summary import HONESTY, session_lines, summary
from streams.feeds.worker_process import WorkerProcess
from streams.kafka.embedded import BrokerUnavailable, EmbeddedBroker, find_free_port
from streams.kafka.topics import BrokersUnreachable, TopicsRefused, apply

EXIT_DONE: Final = 0
EXIT_FAILED: Final = 1
EXIT_INTERRUPTED: Final = 130
EXIT_TERMINATED: Final = 143

FRAMES_PER_SECOND: Final = 10
STORY_WIDTH_MAX: Final = 100  # Paragraphs wider than this are hard to read.


def run_demo(
    config: Config | None = None, *, stay: bool = False, plain: bool = False, console: Console | None = None
) -> int:
    """Show the Alibaba days and return the exit code.

    Args:
        config: Where metrics are served and how much is logged, where that was set. Everything else is the demo's own,
            or the signals would not be those that it is to show.
        stay: Keep broker and worker running after the story, until Ctrl-C.
        plain: Tell the story as lines even in a terminal. Without a terminal it is told so anyway.
        console: Where to tell it; standard output when not given.

    Returns:
        0 when every expected signal came, 1 when not or when something broke, 130 after Ctrl-C, 143 after SIGTERM.
    """
    if console is None:
        console = Console()
        if not console.is_terminal:
            console = Console(width=STORY_WIDTH_MAX)
    small = console.width < COLUMNS_MIN or console.height < ROWS_MIN
    on_screen = console.is_terminal and not console.is_dumb_terminal and not plain and not small
    demo = _Demo(console, config or Config(), on_screen=on_screen, stay=stay)
    try:
        return asyncio.run(demo.run())
    except KeyboardInterrupt:
        return EXIT_INTERRUPTED
    except asyncio.CancelledError:
        return EXIT_TERMINATED


class _Demo:
    def __init__(self, console: Console, config: Config, *, on_screen: bool, stay: bool) -> None:
        self._console = console
        self._config = config
        self._on_screen = on_screen
        self._stay = stay
        self._started = time.monotonic()

    async def run(self) -> int:
        task = asyncio.current_task()
        assert task is not None
        for number in (signal.SIGTERM, signal.SIGHUP):
            asyncio.get_running_loop().add_signal_handler(number, task.cancel)
        with ExitStack() as stack:
            folder = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="fiftytwo-demo-")))
            try:
                broker = stack.enter_context(EmbeddedBroker(data_dir=folder / "broker"))
                config = demo_config(self._config, broker.bootstrap)
                await apply(config)
                worker = stack.enter_context(WorkerProcess(_environment(config), folder / "worker.log"))
            except (BrokerUnavailable, BrokersUnreachable, TopicsRefused) as error:
                return self._failed([str(error)], [])
            return await self._show(config, worker)

    async def _show(self, config: Config, worker: WorkerProcess) -> int:
        stage = Stage(scenario.build(load_markets(config.markets.mics)))
        try:
            await self._perform(config, stage, worker)
        except (DemoFailed, FeedError, BrokersUnreachable, KafkaError, OSError) as error:
            return self._failed([str(error), *differences(stage.story)], worker.log_tail())
        found = differences(stage.story)
        if found:
            return self._failed(found, worker.log_tail())
        if self._on_screen:
            self._tell(summary(stage.story))
        self._line()
        seconds = time.monotonic() - self._started
        self._line(f"All {len(FACTS)} breakouts came as expected, and no other. {seconds:.0f} s.", "bold green")
        if self._stay:
            await self._remain(config, worker)
        return EXIT_DONE

    async def _perform(self, config: Config, stage: Stage, worker: WorkerProcess) -> None:
        on_settled = _ignore if self._on_screen else self._session_teller(stage)
        async with Sender(config) as sender, Positions(config) as positions:
            performance = Performance(
                config,
                stage,
                worker,
                sender=sender,
                positions=positions,
                pace=FOR_EYES if self._on_screen else AT_ONCE,
                on_settled=on_settled,
            )
            if not self._on_screen:
                self._tell_beginning(stage)
                await performance.play()
                self._line()
                self._tell(summary(stage.story))
                return
            with Live(Screen(stage), console=self._console, screen=True, auto_refresh=False) as live:
                drawing = asyncio.create_task(_draw(live))
                try:
                    await performance.play()
                finally:
                    drawing.cancel()
                    await asyncio.gather(drawing, return_exceptions=True)

    def _tell_beginning(self, stage: Stage) -> None:
        bars = stage.days.history
        self._line("Fiftytwo: Alibaba (XNYS:BABA), the days of September 2025", "bold")
        self._line(HONESTY)
        self._line(
            f"History: {len(bars)} daily bars, {format_date(bars[0].date)} to {format_date(bars[-1].date)}. "
            "Starting the worker (it compiles for a minute when it never ran before) ..."
        )

    def _session_teller(self, stage: Stage) -> Callable[[Chapter | None], None]:
        def tell(chapter: Chapter | None) -> None:
            session = format_date(chapter.bar.date) if chapter is not None else MONDAY
            for text, style in session_lines(stage.story, session, chapter):
                self._line(text, style)

        return tell

    async def _remain(self, config: Config, worker: WorkerProcess) -> None:
        servers = config.kafka.bootstrap_servers
        self._line()
        self._line("Broker and worker keep running until Ctrl-C.", "bold")
        self._line(f"Metrics   http://{config.web.host}:{config.web.port}/metrics")
        program = program_name()
        self._line(f"Signals   {program} signals --from-beginning --bootstrap-servers {servers}")
        self._line(f"Topics    {program} topics check --bootstrap-servers {servers}")
        while worker.exit_code() is None:
            await asyncio.sleep(0.2)
        raise DemoFailed(f"expected the worker to run, found that it ended with exit code {worker.exit_code()}")

    def _failed(self, reasons: list[str], log: list[str]) -> int:
        self._line()
        self._line("The demo did not show what it must:", "bold red")
        for reason in reasons:
            self._line(f"- {reason}", "red")
        if log:
            self._line("The end of the worker's log:", "bold")
            for line in log:
                self._line(f"  {line}")
        return EXIT_FAILED

    # Without a terminal a line stays one line, however long: whoever reads it may be a program.
    def _line(self, text: str = "", style: str = "") -> None:
        self._console.print(Text(text, style), soft_wrap=not self._console.is_terminal, width=self._width())

    def _tell(self, what: RenderableType) -> None:
        self._console.print(what, width=self._width())

    def _width(self) -> int | None:
        return min(self._console.width, STORY_WIDTH_MAX) if self._console.is_terminal else None


async def _draw(live: Live) -> None:
    while True:
        live.refresh()
        await asyncio.sleep(1 / FRAMES_PER_SECOND)


def program_name() -> str:
    """Return what to type for this very program: its path where the shell would not find it by its name."""
    beside = Path(sys.executable).parent / "fiftytwo"
    on_path = shutil.which("fiftytwo")
    if not beside.exists() or (on_path is not None and Path(on_path).samefile(beside)):
        return "fiftytwo"
    here = Path.cwd()
    return str(beside.relative_to(here) if beside.is_relative_to(here) else beside)


def demo_config(given: Config, bootstrap: str) -> Config:
    """Return the demo's configuration: the defaults on a broker of its own, and of what was given the web and log."""
    config = Config()
    port = given.web.port if "web.port" in given.sources else find_free_port()
    return replace(
        config,
        kafka=replace(config.kafka, bootstrap_servers=bootstrap),
        web=replace(given.web, port=port),
        log=replace(given.log, format="text"),
    )


# What differs from the defaults, for the worker: it must read the same configuration as we.
def _environment(config: Config) -> dict[str, str]:
    return {
        "FIFTYTWO_KAFKA_BOOTSTRAP_SERVERS": config.kafka.bootstrap_servers,
        "FIFTYTWO_WEB_HOST": config.web.host,
        "FIFTYTWO_WEB_PORT": str(config.web.port),
        "FIFTYTWO_LOG_LEVEL": config.log.level,
        "FIFTYTWO_LOG_FORMAT": config.log.format,
    }


def _ignore(chapter: Chapter | None) -> None:
    return None
