"""`fiftytwo config`: what holds, where it came from, and whether it can be used."""

from __future__ import annotations

from itertools import groupby
from typing import TYPE_CHECKING

import click

from streams.commands.options import Commands, Options, common_options, markets_of, plural

if TYPE_CHECKING:
    from streams.config import Config, Setting


@click.group(cls=Commands)
def config() -> None:
    """Show the configuration, or check it.

    Values come from the defaults, a TOML file (--config), the environment (FIFTYTWO_SECTION_KEY) and the command line
    (--set section.key=value); the later ones win. docs/configuration.md describes every key.
    """


@config.command("show")
@common_options(hidden=True)
@click.pass_obj
def show(options: Options) -> None:
    """Print every value that holds, and where it came from.

    The output is a TOML file: keep it and give it to --config. A password is not printed.

    Examples:
      fiftytwo config show
      fiftytwo --set rules.max_triggers=2 config show > fiftytwo.toml
    """
    from streams.config import settings

    loaded = options.config()
    for section, entries in groupby(settings(), key=lambda setting: setting.section):
        click.echo(f"[{section}]")
        for setting in entries:
            click.echo(_line(loaded, setting))
        click.echo()


@config.command("check")
@common_options(hidden=True)
@click.pass_obj
def check(options: Options) -> None:
    """Say whether the configuration can be used, and load the calendars of its markets.

    Nothing is sent anywhere. `fiftytwo topics check` asks Kafka.

    Examples:
      fiftytwo --config fiftytwo.toml config check
      fiftytwo --set markets.mics=XLON,XTKS config check
    """
    from streams.core.units import format_date

    loaded = options.config()
    markets = markets_of(loaded)
    click.echo(f"The configuration is right: {plural(len(loaded.sources), 'key')} set, the others have their defaults.")
    for mic in markets.mics:
        dates = markets.sessions_of(mic)["date"]
        first, last = format_date(int(dates[0])), format_date(int(dates[-1]))
        click.echo(f"{mic}: {len(dates):,} sessions from {first} to {last} ({markets.version})")


def _line(loaded: Config, setting: Setting) -> str:
    from streams.config_values import to_toml

    value = getattr(getattr(loaded, setting.section), setting.name)
    source = loaded.sources.get(setting.path)
    if setting.key.secret and value:
        return f"# {setting.name} is set, and not shown. From {source}"
    return f"{setting.name} = {to_toml(value)}" + (f"  # {source}" if source else "")
