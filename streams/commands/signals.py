"""`fiftytwo signals`: the output topics, a readable line each or the JSON as it is."""

from __future__ import annotations

import json
from collections.abc import Sequence
from contextlib import aclosing
from typing import TYPE_CHECKING, Any, Final

import click

from streams.commands.options import Options, PlainCommand, Terminated, common_options, run_async
from streams.commands.signal_text import family_of, signal_line

if TYPE_CHECKING:
    from streams.config import Config
    from streams.kafka.follow import Followed

KINDS: Final = ("breakouts", "momentum", "enriched")


@click.command(cls=PlainCommand)
@click.option("--from-beginning", is_flag=True, help="Start with the oldest signals; else with those to come.")
@click.option("--until-end", is_flag=True, help="Stop at the newest signal rather than wait for more.")
@click.option("-n", "count", type=click.IntRange(min=1), metavar="COUNT", help="Stop after this many signals.")
@click.option("--topic", "kinds", multiple=True, type=click.Choice(KINDS), help="Only this topic. Repeatable.")
@click.option(
    "--family", "families", multiple=True, metavar="FAMILY", help="Only this family, e.g. high_52w. Repeatable."
)
@click.option(
    "--instrument", "instruments", multiple=True, metavar="MIC:SYMBOL", help="Only this instrument. Repeatable."
)
@click.option("--json", "as_json", is_flag=True, help="Print each signal's JSON on a line, as it is on the topic.")
@common_options(hidden=True)
@click.pass_obj
def signals(
    options: Options,
    *,
    from_beginning: bool,
    until_end: bool,
    count: int | None,
    kinds: Sequence[str],
    families: Sequence[str],
    instruments: Sequence[str],
    as_json: bool,
) -> None:
    """Follow the signals: one readable line each, or JSON.

    It waits for signals to come until Ctrl-C. Reading disturbs no worker.

    Examples:
      fiftytwo signals
      fiftytwo signals --from-beginning --until-end --family high_52w
      fiftytwo signals --topic enriched --instrument XNYS:BABA
      fiftytwo signals --json -n 100 | jq .signal_id
    """
    config = options.config()
    _check_families(families)
    _check_instruments(instruments)

    async def print_signals() -> None:
        from streams.kafka.follow import follow
        from streams.kafka.topics import Topics

        names = Topics(config.kafka.prefix)
        topics = [getattr(names, kind) for kind in KINDS if not kinds or kind in kinds]
        _say_waiting(config, until_end=until_end)
        printed = 0
        records = follow(config.kafka, topics, from_beginning=from_beginning, until_end=until_end)
        async with aclosing(records):
            async for record in records:
                if instruments and (record.key or b"").decode("utf-8", "replace") not in instruments:
                    continue
                line = _line(record, families, as_json=as_json)
                if line is not None:
                    click.echo(line)
                    printed += 1
                    if printed == count:
                        return

    try:
        run_async(print_signals())
    except Terminated:
        return  # It follows until it is told to end: that is its regular end.


def _check_families(families: Sequence[str]) -> None:
    if not families:
        return
    from streams.config_values import nearest
    from streams.core.layout import FAMILY_NAMES
    from streams.core.rules import LOOKBACK_FAMILY

    for family in families:
        if family not in FAMILY_NAMES and not LOOKBACK_FAMILY.fullmatch(family):
            hint = nearest(family, FAMILY_NAMES) or f": known are {', '.join(FAMILY_NAMES)}, and such as high_126s"
            raise click.BadParameter(f"expected a family of signals, found {family!r}{hint}", param_hint="'--family'")


def _check_instruments(instruments: Sequence[str]) -> None:
    from streams.core.news import is_instrument

    for instrument in instruments:
        if not is_instrument(instrument):
            raise click.BadParameter(
                f"expected MIC:SYMBOL such as XNYS:BABA, found {instrument!r}", param_hint="'--instrument'"
            )


def _say_waiting(config: Config, *, until_end: bool) -> None:
    if not until_end and click.get_text_stream("stderr").isatty():
        click.echo(f"Following signals at {config.kafka.bootstrap_servers}; Ctrl-C ends it.", err=True)


def _line(record: Followed, families: Sequence[str], *, as_json: bool) -> str | None:
    text = (record.value or b"").decode("utf-8", "replace")
    try:
        document: Any = json.loads(text)
    except ValueError:
        document = None
    if not isinstance(document, dict):
        click.echo(f"warning: {record.topic}/{record.partition}/{record.offset} holds no signal, left out", err=True)
        return None
    if families and family_of(document) not in families:
        return None
    return text if as_json else signal_line(document)
