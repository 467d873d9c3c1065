"""`fiftytwo publish bars` and `publish actions`: the history and the corporate actions that windows are built from."""

from __future__ import annotations

import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from streams.commands.feeds import publish
from streams.commands.options import Options, common_options, markets_of, parse_date_option
from streams.commands.telling import (
    COLUMNS_HELP,
    INSTRUMENT_HELP,
    RATE,
    RATE_HELP,
    Teller,
    each_once,
    parse_columns_option,
    progress,
    tell_published,
)

if TYPE_CHECKING:
    from streams.core.instruments import Instruments
    from streams.feeds.bar_files import Note, RowsRead
    from streams.feeds.history import Refused
    from streams.feeds.publish import Published
    from streams.feeds.steps import Step
    from streams.feeds.tables import Source

__all__ = ["publish", "publish_actions", "publish_bars"]

DASH: Final = "-"
TABLES: Final = click.Path(exists=True, readable=True, allow_dash=True)
TABLE: Final = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)


@publish.command("bars")
@click.argument("files", nargs=-1, required=True, type=TABLES, callback=each_once, metavar="FILE...")
@click.option("--raw", is_flag=True, help="The prices are as they were traded.")
@click.option("--adjusted", is_flag=True, help="The prices are adjusted for splits; they are turned back to raw ones.")
@click.option("--columns", metavar="OURS=THEIRS,...", help=COLUMNS_HELP)
@click.option(
    "--actions",
    type=TABLE,
    multiple=True,
    metavar="FILE",
    help="Corporate actions, to check the prices with and to turn adjusted ones back. Repeatable.",
)
@click.option(
    "--adjusted-to",
    metavar="DATE",
    callback=parse_date_option,
    help="The date that adjusted prices are adjusted to; each file's last bar when absent.",
)
@click.option("--instrument", metavar="MIC:SYMBOL", help=INSTRUMENT_HELP)
@click.option("--mic", metavar="MIC", help="The market of plain symbols, in a column or as the file's name.")
@click.option("--rate", type=RATE, metavar="NUMBER", help=RATE_HELP)
@common_options(hidden=True)
@click.pass_obj
def publish_bars(
    options: Options,
    *,
    files: Sequence[str],
    raw: bool,
    adjusted: bool,
    columns: str | None,
    actions: Sequence[Path],
    adjusted_to: int | None,
    instrument: str | None,
    mic: str | None,
    rate: float | None,
) -> None:
    """Send daily bars from CSV and Parquet files, the history that windows are built from.

    A file with exactly the columns date, open, high, low, close and, if known, volume holds raw prices, and its name
    says whose: XNYS_BABA.csv. Of any other file say --raw or --adjusted. A folder stands for the files in it.

    Examples:
      fiftytwo publish bars history/
      fiftytwo publish bars - --instrument XNYS:BABA < bars.csv
      fiftytwo publish bars prices.parquet --raw --mic XNYS --columns symbol=ticker,date=day
      fiftytwo publish bars AAPL.csv --mic XNAS --adjusted --actions actions.csv
    """
    from streams.feeds.actions import read_actions
    from streams.feeds.bar_files import BAR_COLUMNS, Reading, bars_of, check_asked, sources_of
    from streams.feeds.publish import publish_tables
    from streams.feeds.tables import Source

    if raw and adjusted:
        raise click.UsageError("Expected --raw or --adjusted, found both.")
    if adjusted_to is not None and not adjusted:
        raise click.UsageError("Expected --adjusted with --adjusted-to, found none.")
    mapping = parse_columns_option(columns, BAR_COLUMNS)
    config = options.config()
    markets = markets_of(config)
    sources = [*_standard_input(files), *sources_of(Path(each) for each in files if each != DASH)]
    if instrument is not None and len(sources) > 1:
        raise click.BadParameter(
            "expected one file with it, since it says whose bars the file holds", param_hint="'--instrument'"
        )
    known = None
    if actions:
        known = read_actions([Source(str(path), path) for path in actions], {}, _instruments(markets.mics))
    reading = Reading(
        holds="adjusted" if adjusted else "raw" if raw else None,
        columns=mapping,
        instrument=instrument,
        mic=mic,
        actions=known,
        adjusted_to=adjusted_to,
    )
    check_asked(sources, reading)

    def read(source: Source) -> Iterator[Step | Refused | Note | RowsRead]:
        return bars_of(source, reading, markets)

    async def send(teller: Teller) -> Published:
        with progress("Sending bars") as note:
            return await publish_tables(
                config,
                sources,
                read,
                rate=rate,
                on_refused=teller.refused,
                on_note=teller.note,
                on_progress=teller.watch(note),
            )

    tell_published(send)


@publish.command("actions")
@click.argument("files", nargs=-1, required=True, type=TABLES, callback=each_once, metavar="FILE...")
@click.option("--columns", metavar="OURS=THEIRS,...", help=COLUMNS_HELP)
@click.option("--rate", type=RATE, metavar="NUMBER", help=RATE_HELP)
@common_options(hidden=True)
@click.pass_obj
def publish_actions(options: Options, *, files: Sequence[str], columns: str | None, rate: float | None) -> None:
    """Send corporate actions from CSV and Parquet files: splits, symbol changes and whatever else changes a price.

    A file has the columns instrument, action, ex_date and, where prices change, ratio (4:1 is four new for one old).
    They go to market.ticks.v1, keyed by instrument, and hold from the start of the session of their ex-date.

    Examples:
      fiftytwo publish actions actions.csv
      fiftytwo publish actions splits.parquet --columns instrument=id,ex_date=date

    Lines of such a file:
      instrument,action,ex_date,ratio
      XNAS:AAPL,split,2020-08-31,4:1
    """
    from streams.feeds.actions import ACTION_COLUMNS, Action, Told, action_step, parse_actions
    from streams.feeds.bar_files import sources_of
    from streams.feeds.publish import publish_tables

    mapping = parse_columns_option(columns, ACTION_COLUMNS)
    config = options.config()
    instruments = _instruments(config.markets.mics)
    sources = [*_standard_input(files), *sources_of(Path(each) for each in files if each != DASH)]

    told = Told()

    def read(source: Source) -> Iterator[Step | Refused]:
        for entry in parse_actions(source, mapping, instruments, told):
            yield action_step(entry) if isinstance(entry, Action) else entry

    async def send(teller: Teller) -> Published:
        with progress("Sending actions") as note:
            return await publish_tables(
                config, sources, read, rate=rate, on_refused=teller.refused, on_progress=teller.watch(note)
            )

    tell_published(send)


def _instruments(mics: Sequence[str]) -> Instruments:
    from streams.core.instruments import Instruments

    return Instruments(mics)


# Read to its end before anything else begins: a table is checked as a whole.
def _standard_input(files: Sequence[str]) -> list[Source]:
    from streams.feeds.tables import Source

    return [Source("standard input", data=sys.stdin.buffer.read())] if DASH in files else []
