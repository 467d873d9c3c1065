"""What every command shares: the options that say which configuration, the way to run, and the way to end.

The options may stand before the command or after it: people write `fiftytwo topics apply --prefix paper.` as readily as
`fiftytwo --prefix paper. topics apply`.
"""

from __future__ import annotations

import inspect
import os
from collections.abc import Callable, Coroutine, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, TypeVar

import click

if TYPE_CHECKING:
    from streams.config import Config
    from streams.core.sessions import Markets

Command = TypeVar("Command", bound=Callable[..., Any])
Result = TypeVar("Result")

EXIT_FAILED: Final = 1
EXIT_REFUSED: Final = 2
EXIT_INTERRUPTED: Final = 130
EXIT_TERMINATED: Final = 143

HELP_FILE: Final = "Configuration file (TOML); also FIFTYTWO_CONFIG."
HELP_SET: Final = "Set one key of the configuration, for example rules.max_triggers=2. Repeatable."
HELP_SERVERS: Final = "Kafka brokers, as host:port, several separated by commas."
HELP_PREFIX: Final = "Put before every topic's name."
SHARED_HELP: Final = (
    "Every command also takes --bootstrap-servers, --prefix, --set and --config, which say where Kafka is and what "
    "holds: see fiftytwo --help."
)
SUMMARY_CHARACTERS_MAX: Final = 200  # A whole sentence; the list wraps it.


class PlainCommand(click.Command):
    """A command whose help keeps its examples as they are written: click would wrap them like prose."""

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - click's own parameters, passed on.
        super().__init__(*args, **kwargs)
        self.help = _with_verbatim_examples(self.help)

    def format_epilog(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """Say where the options that all commands share are explained; their own help would repeat them each time."""
        if any("--bootstrap-servers" in parameter.opts for parameter in self.params):
            formatter.write_paragraph()
            formatter.write_text(SHARED_HELP)


class Commands(click.Group):
    """A group that lists its commands in the order in which they were added, the first ones first."""

    command_class = PlainCommand
    group_class = type

    def __init__(self, *args: Any, **kwargs: Any) -> None:  # noqa: ANN401 - click's own parameters, passed on.
        super().__init__(*args, **kwargs)
        self.help = _with_verbatim_examples(self.help)

    def list_commands(self, ctx: click.Context) -> list[str]:
        """Return the names of the commands in order."""
        return list(self.commands)

    def format_commands(self, ctx: click.Context, formatter: click.HelpFormatter) -> None:
        """List the commands with their whole first sentence, where click would cut it."""
        rows = [(name, each.get_short_help_str(SUMMARY_CHARACTERS_MAX)) for name, each in self.commands.items()]
        with formatter.section("Commands"):
            formatter.write_dl(rows)


class Terminated(Exception):
    """The process was asked to end (SIGTERM)."""


@dataclass(slots=True)
class Options:
    """What the command line says about the configuration; the configuration is read when a command asks for it."""

    file: Path | None = None
    overrides: dict[str, str] = field(default_factory=dict)

    def config(self) -> Config:
        """Return the configuration.

        Raises:
            ConfigError: It cannot be used.
        """
        from streams.config import load

        return load(self.file, os.environ, self.overrides)


def common_options(*, hidden: bool) -> Callable[[Command], Command]:
    """Give a command the options that say which configuration; hidden ones work and stay out of its help."""

    def decorate(command: Command) -> Command:
        for option in (
            click.option("--prefix", metavar="TEXT", help=HELP_PREFIX, **_shared(hidden, _set_key("kafka.prefix"))),
            click.option(
                "--bootstrap-servers",
                metavar="HOST:PORT",
                help=HELP_SERVERS,
                **_shared(hidden, _set_key("kafka.bootstrap_servers")),
            ),
            click.option(
                "--set", "set_", metavar="SECTION.KEY=VALUE", multiple=True, help=HELP_SET, **_shared(hidden, _set_any)
            ),
            click.option("--config", metavar="FILE", help=HELP_FILE, **_shared(hidden, _set_file)),
        ):
            command = option(command)
        return command

    return decorate


def markets_of(config: Config) -> Markets:
    """Return the calendars of the configured markets.

    Raises:
        ConfigError: The look-back is longer than the engine holds.
        UnknownCalendar: A market has no calendar.
        BadOverrides: The file of corrections cannot be used.
    """
    from streams.calendar_tables import BadOverrides
    from streams.calendars import UnknownCalendar, load_markets
    from streams.config import ConfigError

    try:
        return load_markets(config.markets.mics, lookback=config.rules.lookback, overrides=config.markets.overrides)
    except (UnknownCalendar, BadOverrides):
        raise
    except ValueError as error:
        raise ConfigError(f"rules.{error}") from None


def run_async(coroutine: Coroutine[Any, Any, Result]) -> Result:
    """Run a coroutine to its end; Ctrl-C and SIGTERM cancel it, so that it closes what it opened.

    Raises:
        KeyboardInterrupt: It was interrupted.
        Terminated: The process was asked to end.
    """
    # Help must not wait for them.
    import asyncio
    import logging
    import signal

    terminated = False
    # What aiokafka warns of is in the error that it then raises, and we tell that once and in our own words.
    logging.getLogger("aiokafka").setLevel(logging.CRITICAL)

    async def run() -> Result:
        task = asyncio.current_task()
        assert task is not None

        def end() -> None:
            nonlocal terminated
            terminated = True
            task.cancel()

        # The first process of a container has no default answer to SIGTERM: without this it would be killed.
        asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, end)
        return await coroutine

    try:
        return asyncio.run(run())
    except asyncio.CancelledError:
        if terminated:
            raise Terminated from None
        raise


def parse_date_option(context: click.Context, parameter: click.Parameter, value: str | None) -> int | None:
    """Return a date option as days since 1970."""
    from streams.core.units import parse_date

    if value is None:
        return None
    try:
        return parse_date(value)
    except ValueError as error:
        raise click.BadParameter(str(error), context, parameter) from None


def plural(count: int, noun: str) -> str:
    """Return a count with its noun.

    >>> plural(1, "record"), plural(12_345, "record")
    ('1 record', '12,345 records')
    """
    return f"{count:,} {noun}{'' if count == 1 else 's'}"


# A paragraph with an indented line in it is marked with the character that tells click to leave it alone.
def _with_verbatim_examples(text: str | None) -> str | None:
    if text is None:
        return None
    paragraphs = inspect.cleandoc(text).split("\n\n")
    return "\n\n".join(f"\b\n{each}" if "\n  " in each else each for each in paragraphs)


def _shared(hidden: bool, callback: Callable[..., object]) -> dict[str, Any]:
    # Eager, so that they are noted before the parameters of the command itself are looked at.
    return {"hidden": hidden, "callback": callback, "expose_value": False, "is_eager": True}


def _options(context: click.Context) -> Options:
    root = context.find_root()
    if root.obj is None:
        root.obj = Options()
    options = root.obj
    assert isinstance(options, Options)
    return options


def _set_key(key: str) -> Callable[..., object]:
    def note(context: click.Context, _: click.Parameter, value: str | None) -> None:
        if value is not None:
            _options(context).overrides[key] = value

    return note


def _set_any(context: click.Context, parameter: click.Parameter, values: Sequence[str]) -> None:
    for value in values:
        key, separator, text = value.partition("=")
        if not separator or "." not in key:
            raise click.BadParameter(f"expected SECTION.KEY=VALUE, found {value!r}", context, parameter)
        _options(context).overrides[key.strip()] = text


def _set_file(context: click.Context, _: click.Parameter, value: str | None) -> None:
    if value is not None:
        _options(context).file = Path(value)
