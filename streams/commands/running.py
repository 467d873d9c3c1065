"""`fiftytwo demo`, `worker` and `warm`."""

from __future__ import annotations

import sys
import time
from concurrent.futures import ProcessPoolExecutor
from multiprocessing import get_context

import click

from streams.commands.options import Options, PlainCommand, common_options, markets_of


@click.command(cls=PlainCommand)
@click.option("--stay", is_flag=True, help="Keep everything running at the end, until Ctrl-C.")
@click.option("--plain", is_flag=True, help="Plain lines rather than a picture, as without a terminal.")
def demo(*, stay: bool, plain: bool) -> None:
    """Show Alibaba pass its 52-week high, on a Kafka of its own.

    It starts an embedded broker on a free port of this machine, the worker beside it, plays real prices and an article,
    and shows what comes out. It ends by itself; with 1, when an expected signal did not come. It has a configuration of
    its own, and needs the package's extra: pip install 'fiftytwo[demo]'.

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

    Then the first worker starts at once. It takes half a minute, and a second when there is nothing to do.

    Examples:
      fiftytwo warm
    """
    config = options.config()
    started = time.monotonic()
    click.echo("Compiling the engine and building the calendars...", err=True)
    markets_of(config)

    from streams.wire.warm import warm_folding, warm_reading

    with ProcessPoolExecutor(2, mp_context=get_context("spawn")) as processes:
        for part in [processes.submit(warm_folding), processes.submit(warm_reading)]:
            part.result()
    click.echo(f"Ready after {time.monotonic() - started:.1f} s.", err=True)
