"""What every `fiftytwo publish` says: what is refused and why, what a person should know, how far it is."""

from __future__ import annotations

import os
import sys
from collections.abc import Callable, Coroutine, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import click

from streams.commands.options import EXIT_FAILED, Terminated, plural, run_async

if TYPE_CHECKING:
    from streams.feeds.publish import Progress, Published

SHOWN_MAX: Final = 20
"""Lines that are told one by one; a file of another kind would otherwise fill the screen."""

RATE: Final = click.FloatRange(min=0, min_open=True)
RATE_HELP: Final = "Records a second; as fast as Kafka takes them when absent."
COLUMNS_HELP: Final = "What the file calls the columns, such as date=Date,close=Close; several separated by commas."
INSTRUMENT_HELP: Final = "Whose bars they are, where the file's name does not say."


def each_once(_: click.Context, __: click.Parameter, files: Sequence[str | Path]) -> Sequence[str | Path]:
    """Return the files of an argument, or refuse one that is named twice: its records would be sent twice."""
    known: dict[str, str | Path] = {}
    for file in files:
        name = os.path.realpath(file) if str(file) != "-" else "-"
        if name in known:
            raise click.BadParameter(f"expected each file once, found {known[name]} and {file}: leave one out")
        known[name] = file
    return files


class Teller:
    """Tells the first refusals and notes one by one, and counts the others."""

    def __init__(self) -> None:
        self._refused = 0
        self._notes = 0
        self._sent = 0

    @property
    def sent(self) -> int:
        """Return how many records were sent when that was last told."""
        return self._sent

    @property
    def refusals(self) -> int:
        """Return how many lines were refused."""
        return self._refused

    def refused(self, entry: object) -> None:
        """Tell of a line that is not sent."""
        self._refused += 1
        if self._refused <= SHOWN_MAX:
            click.echo(f"refused: {entry}", err=True)

    def note(self, entry: object) -> None:
        """Tell something of what is sent."""
        self._notes += 1
        if self._notes <= SHOWN_MAX:
            click.echo(f"note: {entry}", err=True)

    def watch(self, note: Callable[[Progress], None]) -> Callable[[Progress], None]:
        """Return a function that passes progress on, and remembers how much was sent."""

        def watched(progress: Progress) -> None:
            self._sent = progress.sent
            note(progress)

        return watched

    def close(self) -> None:
        """Tell how many were not told."""
        for count, noun in ((self._refused, "refusal"), (self._notes, "note")):
            if count > SHOWN_MAX:
                click.echo(f"... and {plural(count - SHOWN_MAX, noun)} more", err=True)


def parse_columns_option(text: str | None, known: Sequence[str]) -> dict[str, str]:
    """Return what `--columns` says."""
    from streams.feeds.tables import parse_columns

    try:
        return parse_columns(text or "", known)
    except ValueError as error:
        raise click.BadParameter(str(error), param_hint="'--columns'") from None


def tell_published(send: Callable[[Teller], Coroutine[Any, Any, Published]]) -> None:
    """Run a publication, say what came of it, and end with exit code 1 if something was refused."""
    teller = Teller()
    try:
        done = run_async(send(teller))
    except (KeyboardInterrupt, Terminated):
        click.echo(
            f"Interrupted after {plural(teller.sent, 'record')}; the last of them may not have arrived.", err=True
        )
        raise
    teller.close()
    refused = f", refused {plural(done.refused, 'line')}" if done.refused else ""
    click.echo(f"Sent {plural(done.sent, 'record')}{refused}.", err=True)
    if done.refused:
        sys.exit(EXIT_FAILED)


@contextmanager
def progress(title: str) -> Iterator[Callable[[Progress], None]]:
    """Show how far a publication is, on standard error and only to a terminal: a log file wants the last line alone."""
    if not sys.stderr.isatty():
        yield lambda progress: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, DownloadColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        DownloadColumn(),
        TextColumn("{task.fields[rows]}{task.fields[sent]:,} sent"),
        TextColumn("{task.fields[refused]:,} refused"),
        TimeRemainingColumn(),
    )
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None, sent=0, refused=0, rows="")

        def note(progress: Progress) -> None:
            bar.update(
                task,
                completed=progress.bytes_read,
                total=progress.bytes_total or None,
                sent=progress.sent,
                refused=progress.refused,
                rows=f"{progress.rows_read:,} rows read, " if progress.rows_read else "",
            )

        yield note


@contextmanager
def counting(title: str) -> Iterator[Callable[[int, int], None]]:
    """Show how many records of how many are done, on standard error and only to a terminal."""
    if not sys.stderr.isatty():
        yield lambda done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, TextColumn, TimeRemainingColumn
    from rich.progress import Progress as Bar

    columns = (TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Bar(*columns, console=Console(stderr=True), transient=True) as bar:
        task = bar.add_task(title, total=None)
        yield lambda done, total: bar.update(task, completed=done, total=total)
