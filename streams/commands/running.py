"""`fiftytwo demo`, `worker` and `warm`."""

from __future__ import annotations

import signal
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from multiprocessing import get_context
from multiprocessing.resource_tracker import ensure_running
from typing import Final

import click

from streams.commands.options import EXIT_FAILED, Options, PlainCommand, common_options, markets_of

SILENT_SECONDS: Final = 20.0
"""How long nothing may be said where there is no terminal."""


@click.command(cls=PlainCommand)
@click.option("--stay", is_flag=True, help="Keep everything running at the end, until Ctrl-C.")
@click.option("--plain", is_flag=True, help="Plain lines rather than a picture, as without a terminal.")
def demo(*, stay: bool, plain: bool) -> None:
    """Show Alibaba pass its 52-week high, on a Kafka of its own.

    It starts an embedded broker on a free port of this machine, the worker beside it, plays real prices and an article,
    and shows what comes out. It ends by itself; with 1, when an expected signal did not come. It has a configuration of
    its own, and needs the package's extra `demo`: pip install '.[demo]' in a clone.

    Examples:
      fiftytwo demo
      fiftytwo demo --stay
    """
    from streams.feeds.demo import run_demo

    sys.exit(run_demo(stay=stay, plain=plain))


@click.command(cls=PlainCommand)
@common_options(hidden=True)
@click.pass_obj
def worker(options: Options) -> None:
    """Read ticks and news, and send signals.

    It runs until it is ended. Workers with the same kafka.application_id and prefix share the partitions. Metrics and
    health are served at web.host and web.port. Ctrl-C and SIGTERM end it in order: what has been read is finished and
    committed.

    Examples:
      fiftytwo worker
      fiftytwo --set web.port=9465 --set log.format=text worker
    """
    from streams.kafka.worker import run_worker

    config = options.config()
    markets_of(config)
    sys.exit(run_worker(config))


@click.command(cls=PlainCommand)
@common_options(hidden=True)
@click.pass_obj
def warm(options: Options) -> None:
    """Compile the engine and build the calendars beforehand.

    Then the first worker starts at once. It takes about a minute, and a few seconds when there is nothing to do.

    Examples:
      fiftytwo warm
    """
    config = options.config()
    started = time.monotonic()
    click.echo("Compiling the engine and building the calendars...", err=True)
    markets_of(config)

    from streams.wire.warm import warm_folding, warm_reading_and_records

    with _Elapsed(started) as elapsed:
        is_done = _side_by_side(warm_folding, warm_reading_and_records, tell=elapsed)
    if not is_done:
        sys.exit(EXIT_FAILED)
    click.echo(f"Ready after {time.monotonic() - started:.1f} s.", err=True)


class _Elapsed:
    """Shows that long work goes on: one line that counts on a terminal, elsewhere a line now and then."""

    def __init__(self, started: float) -> None:
        self._started = started
        self._is_terminal = click.get_text_stream("stderr").isatty()
        self._next = SILENT_SECONDS

    def __enter__(self) -> _Elapsed:
        return self

    def __exit__(self, *_: object) -> None:
        if self._is_terminal:
            click.echo("\r\033[K", nl=False, err=True)

    def __call__(self) -> None:
        seconds = time.monotonic() - self._started
        if self._is_terminal and seconds >= 2:
            click.echo(f"\r{seconds:.0f} s; the first time takes about a minute", nl=False, err=True)
        elif seconds >= self._next:
            self._next += SILENT_SECONDS
            click.echo(f"still compiling after {seconds:.0f} s", err=True)


# A terminal sends Ctrl-C to all processes. Those that compile never see it, from before their imports on, and are ended
# here: a pool would wait for them, and they would print a traceback each.
def _side_by_side(*parts: Callable[[], None], tell: Callable[[], None]) -> bool:
    context = get_context("spawn")
    processes = [context.Process(target=part, daemon=True) for part in parts]
    try:
        with _interrupts_held():
            for process in processes:
                process.start()
        for process in processes:
            while process.is_alive():
                process.join(1.0)
                tell()
    finally:
        for process in processes:
            if process.is_alive():
                process.terminate()
                process.join()
    return all(process.exitcode == 0 for process in processes)


# What is started inside has Ctrl-C blocked for good. Here it waits for the end of the block: the handler takes what
# another thread of this process receives.
@contextmanager
def _interrupts_held() -> Iterator[None]:
    held: list[int] = []
    ensure_running()  # Its start would unblock the signal.
    handler = signal.signal(signal.SIGINT, lambda number, _: held.append(number))
    mask = signal.pthread_sigmask(signal.SIG_BLOCK, {signal.SIGINT})
    try:
        yield
    finally:
        signal.pthread_sigmask(signal.SIG_SETMASK, mask)
        signal.signal(signal.SIGINT, handler)
    if held:
        raise KeyboardInterrupt
