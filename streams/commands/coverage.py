"""`fiftytwo coverage` and `check-levels`: whether windows are complete, and whether their levels are right."""

from __future__ import annotations

import json
import sys
import time
from collections import Counter
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from streams.commands.options import (
    EXIT_FAILED,
    Options,
    PlainCommand,
    common_options,
    markets_of,
    parse_date_option,
    plural,
    run_async,
)
from streams.commands.telling import COLUMNS_HELP, Teller, counting, parse_columns_option

if TYPE_CHECKING:
    from streams.config import Config
    from streams.core.sessions import Markets
    from streams.feeds.coverage import Coverage
    from streams.feeds.held import History
    from streams.feeds.levels import Compared

FILE: Final = click.Path(exists=True, dir_okay=False, readable=True, path_type=Path)
DATES_SHOWN: Final = 4
DATE_WIDTH: Final = 10


@click.command(cls=PlainCommand)
@click.option(
    "--at", "day", metavar="DATE", callback=parse_date_option, help="For the session of this date; else the next."
)
@click.option("--instruments", "listed", type=FILE, metavar="FILE", help="Ids that should be known, one a line.")
@click.option("--all", "shows_all", is_flag=True, help="Also list the instruments whose windows are full.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line, of every instrument.")
@common_options(hidden=True)
@click.pass_obj
def coverage(options: Options, *, day: int | None, listed: Path | None, shows_all: bool, as_json: bool) -> None:
    """Say what each instrument's window lacks before a 52-week breakout can fire.

    A window is full when its bars reach back to its first session, nearly all of its sessions are there
    (rules.coverage_min) and none of the last (rules.recent_sessions) is missing. The newest snapshot and the log after
    it are folded as a worker does it. The exit code is 1 when a window is not full.

    Examples:
      fiftytwo coverage
      fiftytwo coverage --instruments universe.txt --json
    """
    from streams.feeds.coverage import ABSENT, DEGRADED, FULL, PARTIAL, coverages

    config = options.config()
    markets = markets_of(config)
    wanted = _ids(listed, markets) if listed is not None else []
    histories = _histories(config, markets)
    try:
        found = list(coverages(histories, wanted, markets, config.rules, time_ns=time.time_ns(), day=day))
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--at'") from None
    shown = [each for each in found if shows_all or each.status != FULL]
    for line in (json.dumps(each.document()) for each in found) if as_json else _coverage_lines(shown):
        click.echo(line)
    counts = Counter(each.status for each in found)
    said = ", ".join(f"{counts[status]:,} {status}" for status in (FULL, DEGRADED, PARTIAL, ABSENT) if counts[status])
    click.echo(f"{plural(len(found), 'instrument')}: {said or 'nothing is known of any'}.", err=True)
    if not found or counts[FULL] < len(found):
        sys.exit(EXIT_FAILED)


@click.command("check-levels", cls=PlainCommand)
@click.argument("file", type=FILE, metavar="FILE")
@click.option("--columns", metavar="OURS=THEIRS,...", help=COLUMNS_HELP)
@click.option("--all", "shows_all", is_flag=True, help="Also list the levels that agree.")
@click.option("--json", "as_json", is_flag=True, help="Print a JSON object a line, of every level.")
@common_options(hidden=True)
@click.pass_obj
def check_levels(options: Options, *, file: Path, columns: str | None, shows_all: bool, as_json: bool) -> None:
    """Compare our 52-week levels with published ones, and say why they differ.

    A file has the columns instrument, high and low, and session_date where it is not of the newest session: the last
    that the published numbers include. Ours are the levels of the session after it. Every difference is listed with its
    cause, and the exit code is 1 when there is one.

    Examples:
      fiftytwo check-levels highs-and-lows.csv
      fiftytwo check-levels quotes.csv --columns instrument=id,high=52wHigh,low=52wLow

    Lines of such a file:
      instrument,session_date,high,low
      XNYS:BABA,2025-09-26,180.16,80.06
    """
    from streams.feeds.history import Refused
    from streams.feeds.levels import AGREES, LEVEL_COLUMNS, compare, read_references
    from streams.feeds.tables import Source

    mapping = parse_columns_option(columns, LEVEL_COLUMNS)
    config = options.config()
    markets = markets_of(config)
    teller = Teller()
    references = []
    for each in read_references(Source(str(file), file), mapping, markets):
        if isinstance(each, Refused):
            teller.refused(each)
        else:
            references.append(each)
    teller.close()
    histories = _histories(config, markets)
    found = list(compare(references, histories, markets, config.rules, time.time_ns()))
    shown = [each for each in found if shows_all or each.cause != AGREES]
    for line in (json.dumps(each.document()) for each in found) if as_json else _level_lines(shown):
        click.echo(line)
    causes = Counter(each.cause for each in found)
    others = ", ".join(f"{count:,} {cause}" for cause, count in causes.most_common() if cause != AGREES)
    click.echo(f"{plural(len(found), 'level')}: {causes[AGREES]:,} agree{f'; {others}' if others else ''}.", err=True)
    if causes[AGREES] < len(found) or len(references) == 0 or teller.refusals:
        sys.exit(EXIT_FAILED)


def _histories(config: Config, markets: Markets) -> Mapping[str, History]:
    from streams.feeds.held import held

    with counting("Reading the log") as note:
        return run_async(held(config, markets, on_progress=note))


def _ids(path: Path, markets: Markets) -> list[str]:
    from streams.core.instruments import Instruments

    known = Instruments(markets.mics)
    found = []
    for number, line in enumerate(path.read_text(encoding="utf-8-sig", errors="replace").splitlines(), 1):
        if text := line.strip():
            try:
                known.market_of(text)
            except ValueError as error:
                raise click.BadParameter(f"{path}:{number}: {error}", param_hint="'--instruments'") from None
            found.append(text)
    return found


def _coverage_lines(found: Sequence[Coverage]) -> Iterator[str]:
    from streams.core.units import format_date

    if not found:
        return
    width = max(len("instrument"), *(len(each.instrument) for each in found))
    yield f"{'instrument':<{width}}  coverage  sessions  {'window':<24}  missing"
    for each in found:
        present = f"{each.expected - len(each.missing)}/{each.expected}"
        window = f"{format_date(each.window_start)} to {format_date(each.window_end)}"
        dates = ", ".join(format_date(day) for day in each.missing[-DATES_SHOWN:])
        if len(each.missing) > DATES_SHOWN:
            dates = f"{len(each.missing) - DATES_SHOWN:,} more, {dates}"
        if each.first_bar is not None and each.first_bar > each.window_start:
            dates = f"history begins on {format_date(each.first_bar)}" + (f"; {dates}" if dates else "")
        yield f"{each.instrument:<{width}}  {each.status:<8}  {present:>8}  {window:<24}  {dates}".rstrip()


def _level_lines(found: Sequence[Compared]) -> Iterator[str]:
    from streams.core.units import format_date, format_decimal

    if not found:
        return
    width = max(len("instrument"), *(len(each.instrument) for each in found))
    yield f"{'instrument':<{width}}  side  {'ours':>12}  {'set on':<{DATE_WIDTH}}  {'reference':>12}  cause"
    for each in found:
        ours = "" if each.ours is None else format_decimal(each.ours)
        set_on = "" if each.set_on is None else format_date(each.set_on)
        said = f"{each.cause}: {each.detail}" if each.detail else each.cause
        yield (
            f"{each.instrument:<{width}}  {each.side:<4}  {ours:>12}  {set_on:<{DATE_WIDTH}}  "
            f"{format_decimal(each.reference):>12}  {said}"
        )
