"""`fiftytwo topics`: make the topics, and check that they are as a worker needs them."""

from __future__ import annotations

import sys
from collections.abc import Iterable
from typing import TYPE_CHECKING

import click

from streams.commands.options import EXIT_FAILED, Commands, Options, common_options, plural, run_async

if TYPE_CHECKING:
    from streams.kafka.topics import Problem


@click.group(cls=Commands)
def topics() -> None:
    """Create the topics, or check them.

    The worker starts only when every topic is there, has the right number of partitions and stamps records itself.
    """


@topics.command("apply")
@common_options(hidden=True)
@click.pass_obj
def apply(options: Options) -> None:
    """Create the topics that are missing, and check the others.

    A topic that is there already is never changed; what is wrong with it is told. Running it again does no harm.

    Examples:
      fiftytwo topics apply
      fiftytwo --bootstrap-servers kafka-1:9092 --set kafka.replication_factor=3 topics apply
    """
    from streams.kafka.topics import apply as apply_topics

    done = run_async(apply_topics(options.config()))
    for name in done.created:
        click.echo(f"created {name}")
    if done.existing:
        click.echo(f"{plural(len(done.existing), 'topic')} had been there before")
    _tell(done.problems)


@topics.command("check")
@common_options(hidden=True)
@click.pass_obj
def check(options: Options) -> None:
    """Say what is wrong with the topics; exit with 1 when a worker would not start.

    Examples:
      fiftytwo topics check
      fiftytwo --prefix paper. topics check
    """
    from streams.kafka.topics import check as check_topics

    config = options.config()
    problems = run_async(check_topics(config))
    if not problems:
        click.echo(f"The topics are as they must be, at {config.kafka.bootstrap_servers}.")
    _tell(problems)


def _tell(problems: Iterable[Problem]) -> None:
    fatal = False
    for problem in problems:
        fatal = fatal or problem.fatal
        click.echo(f"{'error' if problem.fatal else 'warning'}: {problem}", err=True)
    if fatal:
        sys.exit(EXIT_FAILED)
