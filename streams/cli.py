"""The command line `fiftytwo`: where all layers meet.

Exit codes: 0 done, 1 ran and failed, 2 asked wrongly (a bad flag, configuration or file name), 130 interrupted. A
failure that a user can do something about is one line on standard error; anything else is a mistake of ours and shows
its traceback.
"""

from __future__ import annotations

import os
import sys
from collections.abc import Sequence
from io import TextIOWrapper
from typing import Final

import click

from streams import __version__
from streams.commands import bootstrap, configuration, coverage, dlq, feeds, rewind, running, signals, topics, verify
from streams.commands.options import (
    EXIT_FAILED,
    EXIT_INTERRUPTED,
    EXIT_REFUSED,
    EXIT_TERMINATED,
    Commands,
    Options,
    Terminated,
    common_options,
)

# Failures that a user can do something about, and the exit code of each. By name: importing them all takes a second,
# and one that was raised has been imported.
EXPECTED: Final = {
    "streams.config_values.ConfigError": EXIT_REFUSED,
    "streams.calendars.UnknownCalendar": EXIT_REFUSED,
    "streams.calendar_tables.BadOverrides": EXIT_REFUSED,
    "streams.feeds.bar_files.AskedWrongly": EXIT_REFUSED,
    "streams.feeds.history.HistoryError": EXIT_FAILED,
    "streams.feeds.replay.NothingPlayed": EXIT_REFUSED,
    "streams.feeds.sender.FeedError": EXIT_FAILED,
    "streams.kafka.topics.BrokersUnreachable": EXIT_FAILED,
    "streams.kafka.topics.TopicsRefused": EXIT_FAILED,
    "streams.kafka.follow.TopicMissing": EXIT_FAILED,
    "streams.kafka.follow.RecordMissing": EXIT_FAILED,
    "streams.audit.reading.ReadingStalled": EXIT_FAILED,
    "streams.audit.store.StoreRefused": EXIT_REFUSED,
    "streams.kafka.embedded.BrokerUnavailable": EXIT_FAILED,
    "aiokafka.errors.KafkaError": EXIT_FAILED,
    "builtins.OSError": EXIT_FAILED,
}


@click.group(cls=Commands, context_settings={"help_option_names": ["-h", "--help"], "max_content_width": 100})
@common_options(hidden=False)
@click.version_option(__version__, prog_name="fiftytwo", message="%(prog)s %(version)s")
@click.pass_context
def cli(context: click.Context) -> None:
    """Find 52-week breakouts and momentum in ticks on Kafka, with the news that explains them.

    See it work, with no Kafka of your own:
      fiftytwo demo

    Run it on yours:
      fiftytwo --bootstrap-servers kafka:9092 topics apply
      fiftytwo --bootstrap-servers kafka:9092 worker
      fiftytwo --bootstrap-servers kafka:9092 clock
      fiftytwo --bootstrap-servers kafka:9092 publish bars XNYS_BABA_daily.csv
      fiftytwo --bootstrap-servers kafka:9092 publish ticks ticks.jsonl
      fiftytwo --bootstrap-servers kafka:9092 signals

    The options below may stand before the command or after it. `fiftytwo COMMAND --help` explains a command.
    """
    if context.obj is None:
        context.obj = Options()


for _command in (
    running.demo,
    topics.topics,
    running.worker,
    feeds.clock,
    bootstrap.publish,
    feeds.replay,
    coverage.coverage,
    coverage.check_levels,
    signals.signals,
    dlq.dlq,
    verify.verify,
    rewind.rewind,
    configuration.config,
    running.warm,
):
    cli.add_command(_command)


def main() -> None:
    """Run the command line and end the process with its exit code."""
    sys.exit(run())


def run(arguments: Sequence[str] | None = None) -> int:
    """Run a command line and return its exit code.

    Args:
        arguments: What follows the program's name; None takes it from the process.
    """
    for stream in (sys.stdout, sys.stderr):
        # What a terminal's encoding lacks is shown as a question mark; a headline must not end a command.
        if isinstance(stream, TextIOWrapper) and stream.errors == "strict":
            stream.reconfigure(errors="replace")
    try:
        result = cli.main(
            args=None if arguments is None else list(arguments), prog_name="fiftytwo", standalone_mode=False
        )
        sys.stdout.flush()
        return result if isinstance(result, int) else 0
    except click.ClickException as error:
        error.show()
        return error.exit_code
    except (KeyboardInterrupt, click.Abort):
        return EXIT_INTERRUPTED
    except Terminated:
        return EXIT_TERMINATED
    except SystemExit as ended:
        return ended.code if isinstance(ended.code, int) else EXIT_FAILED
    except BrokenPipeError:
        # Whoever reads has read enough (`fiftytwo signals | head`); the interpreter must not try to write the rest.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
        return 0
    except expected_failures() as error:
        click.echo(f"error: {error}", err=True)
        return exit_code(error)


def expected_failures() -> tuple[type[Exception], ...]:
    """Return the kinds of failures that a user can do something about, as far as their modules have been imported."""
    found = []
    for name in EXPECTED:
        module, _, kind = name.rpartition(".")
        if module in sys.modules:
            found.append(getattr(sys.modules[module], kind))
    return tuple(found)


def exit_code(error: Exception) -> int:
    """Return the exit code of a failure that a user can do something about."""
    names = (f"{kind.__module__}.{kind.__qualname__}" for kind in type(error).__mro__)
    return next(EXPECTED[name] for name in names if name in EXPECTED)


if __name__ == "__main__":
    main()
