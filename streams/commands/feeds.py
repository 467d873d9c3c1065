"""`fiftytwo publish`, `replay` and `clock`: records into Kafka."""

from __future__ import annotations

import sys
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from streams.commands.options import (
    EXIT_FAILED,
    Commands,
    Options,
    PlainCommand,
    Terminated,
    common_options,
    markets_of,
    parse_date_option,
    plural,
    run_async,
)
from streams.commands.telling import INSTRUMENT_HELP, RATE, RATE_HELP, Teller, each_once, progress, tell_published

if TYPE_CHECKING:
    from streams.config import Config
    from streams.feeds.publish import Kind, Published
    from streams.feeds.sender import FeedError
    from streams.feeds.steps import Step

REPLAY_NOTE_EVERY: Final = 1_000

CHECKED_RECORDS: Final = 100
BEHIND_SECONDS_MAX: Final = 10.0
"""A clock comes each second; one that waits for brokers says so itself."""

FILES: Final = click.Path(exists=True, dir_okay=False, readable=True, allow_dash=True)
CSV_FILES: Final = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@click.group(cls=Commands)
def publish() -> None:
    """Send the records of files to Kafka: ticks, daily bars, corporate actions or news.

    A line that cannot be used is named with its file, its number and what is wrong; the others are sent, and the exit
    code is 1. A dash stands for standard input.
    """


@publish.command("ticks")
@click.argument("files", nargs=-1, required=True, type=FILES, callback=each_once, metavar="FILE...")
@click.option("--rate", type=RATE, metavar="NUMBER", help=RATE_HELP)
@click.option("--binary", is_flag=True, help="Send trades in the binary layout; what it cannot hold stays JSON.")
@common_options(hidden=True)
@click.pass_obj
def publish_ticks(options: Options, *, files: Sequence[str], rate: float | None, binary: bool) -> None:
    """Send ticks and whatever else goes on their topic from JSON lines, one record a line.

    schemas/ describes the records. They go to market.ticks.v1, keyed by instrument.

    Examples:
      fiftytwo publish ticks ticks.jsonl
      zcat ticks.jsonl.gz | fiftytwo publish ticks - --rate 5000

    A line of such a file:
      {"instrument":"XNYS:BABA","time":"2025-09-30T13:30:00Z","price":"181.66","size":"100"}
    """
    _publish(options, "ticks", files, rate=rate, binary=binary)


@publish.command("news")
@click.argument("files", nargs=-1, required=True, type=FILES, callback=each_once, metavar="FILE...")
@click.option("--rate", type=RATE, metavar="NUMBER", help=RATE_HELP)
@common_options(hidden=True)
@click.pass_obj
def publish_news(options: Options, *, files: Sequence[str], rate: float | None) -> None:
    """Send articles, from plain text (one a file) or JSON lines (one a line).

    The text starts with region, source, publication time and tags; docs and schemas/article.schema.json say more. They
    go to news.articles.v1, keyed by article.

    Examples:
      fiftytwo publish news article.txt
      fiftytwo publish news articles.jsonl
    """
    _publish(options, "news", files, rate=rate)


@click.group(cls=Commands)
def replay() -> None:
    """Play the past again as a market, with its own clock.

    A replay goes under a prefix that is unused: partitions that have seen the live clock refuse a replayed one, and
    time that has passed does not come again.
    """


@replay.command("bars")
@click.argument("files", nargs=-1, required=True, type=CSV_FILES, callback=each_once, metavar="FILE...")
@click.option(
    "--from",
    "from_date",
    required=True,
    metavar="DATE",
    callback=parse_date_option,
    help="First session that is played; bars before it are history.",
)
@click.option("--instrument", metavar="MIC:SYMBOL", help=INSTRUMENT_HELP)
@click.option(
    "--news",
    multiple=True,
    type=CSV_FILES,
    metavar="FILE",
    help="Articles that come at their own time, as text or JSON lines; a worker must run. Repeatable.",
)
@common_options(hidden=True)
@click.pass_obj
def replay_bars(
    options: Options, *, files: Sequence[Path], from_date: int, instrument: str | None, news: Sequence[Path]
) -> None:
    """Play daily bars as a market: history before DATE as bars, sessions from DATE on as ticks and clocks.

    A played session has four ticks: the open at the bell, then the nearer of high and low after a third of the session,
    the other after two thirds, and the close a second before the bell. Files of several instruments are merged by time.

    It goes under a prefix that is unused, or whose last replay ended before DATE; else nothing is sent, and the exit
    code is 1.

    News goes with --news, not with `publish news`: time waits until the worker has passed each article on.

    Examples:
      fiftytwo --prefix replay. topics apply
      fiftytwo --prefix replay. worker
      fiftytwo --prefix replay. replay bars XNYS_BABA_daily.csv --from 2025-09-11
      fiftytwo --prefix replay. replay bars XNYS_BABA_daily.csv --from 2025-09-11 --news article.txt
    """
    if instrument is not None and len(files) > 1:
        raise click.BadParameter(
            "expected one file with it, since it says whose bars the file holds", param_hint="'--instrument'"
        )
    config = options.config()
    markets = markets_of(config)

    async def send() -> int:
        from streams.core.units import DAY_NS, format_date
        from streams.feeds.playing import play
        from streams.feeds.replay import read_news, replay_files

        articles = read_news(news, config.news.zones)
        replay = replay_files(files, from_date=from_date, markets=markets, instrument=instrument, articles=articles)
        with _counter("Playing") as note:

            def noted(sent: int, step: Step) -> None:
                if sent % REPLAY_NOTE_EVERY == 0 or step.kind == "article":
                    note(sent, format_date(step.time_ns // DAY_NS) if step.time_ns else "history")

            def waiting(text: str) -> None:
                click.echo(text, err=True)

            return await play(config, replay, on_sent=noted, on_waiting=waiting)

    click.echo(f"Sent {plural(run_async(send()), 'record')}.", err=True)


@click.command(cls=PlainCommand)
@click.option("--check", is_flag=True, help="Only say what time it is in Kafka; ends with 1 when that is behind.")
@common_options(hidden=True)
@click.pass_obj
def clock(options: Options, *, check: bool) -> None:
    """Write the time into every partition, each second.

    It runs until it is ended, and outlives pauses of the brokers. Sessions close and verdicts fall by it when nothing
    trades. One clock is enough for a set-up; two do no harm.

    Examples:
      fiftytwo clock
      fiftytwo clock --check
    """
    config = options.config()
    if check:
        _check_clock(config)
        return

    async def tick() -> None:
        from streams.core.units import format_time
        from streams.feeds.clock import run_clock

        with _status(f"Writing the time to {config.kafka.bootstrap_servers} each second") as note:
            failing = False

            def failed(error: FeedError) -> None:
                nonlocal failing
                if not failing:
                    click.echo(f"warning: {error}. It is tried again until it works.", err=True)
                failing = True

            def sent(time_ns: int) -> None:
                nonlocal failing
                if failing:
                    click.echo(f"The broker takes the time again, since {format_time(time_ns)}.", err=True)
                failing = False
                note(format_time(time_ns))

            await run_clock(config, on_sent=sent, on_failed=failed)

    try:
        run_async(tick())
    except Terminated:
        return  # It runs until it is told to end: that is its regular end.


def _check_clock(config: Config) -> None:
    from streams.core.units import NS, format_time
    from streams.feeds.newest_clock import newest_clock
    from streams.kafka.topics import Topics

    # The ends of the news are short: little else is written there.
    found = run_async(newest_clock(config.kafka, [Topics(config.kafka.prefix).news], last=CHECKED_RECORDS))
    if found is not None and found.mode == "live":
        behind = (time.time_ns() - found.time_ns) / NS
        if behind <= BEHIND_SECONDS_MAX:
            click.echo(f"{format_time(found.time_ns)}, {max(behind, 0.0):.1f} s ago")
            return
    told = "none" if found is None else f"a {found.mode} one of {format_time(found.time_ns)}"
    click.echo(
        f"expected a live clock record of the last {BEHIND_SECONDS_MAX:g} s, found {told}: run `fiftytwo clock`",
        err=True,
    )
    sys.exit(EXIT_FAILED)


def _publish(
    options: Options, kind: Kind, files: Sequence[str], *, rate: float | None = None, binary: bool = False
) -> None:
    config = options.config()

    async def send(teller: Teller) -> Published:
        from streams.feeds.publish import publish as publish_files

        with progress(f"Sending {kind}") as note:
            return await publish_files(
                config,
                kind,
                files,
                rate=rate,
                binary=binary,
                on_refused=teller.refused,
                on_progress=teller.watch(note),
            )

    tell_published(send)


@contextmanager
def _counter(title: str) -> Iterator[Callable[[int, str], None]]:
    started = time.monotonic()
    with _status(title, told=False) as note:

        def count(sent: int, place: str) -> None:
            rate = sent / max(time.monotonic() - started, 1e-3)
            note(f"{place}: {sent:,} records, {rate:,.0f} a second")

        yield count


@contextmanager
def _status(title: str, *, told: bool = True) -> Iterator[Callable[[str], None]]:
    if not sys.stderr.isatty():
        if told:
            click.echo(f"{title}.", err=True)
        yield lambda text: None
        return
    from rich.console import Console

    with Console(stderr=True).status(title) as status:
        yield lambda text: status.update(f"{title}: {text}")
