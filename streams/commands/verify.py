"""`fiftytwo verify`: hold what the workers wrote against what the log says."""

from __future__ import annotations

import json
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Final

import click

from streams.commands.options import EXIT_FAILED, Options, PlainCommand, common_options, markets_of, plural, run_async

if TYPE_CHECKING:
    from streams.audit.comparison import Counts
    from streams.audit.report import PartitionReport, Report

DEFECTS_SHOWN: Final = 20
COLUMNS: Final = ("expected", "found", "lost", "doubled", "out_of_order", "different", "unexpected", "ahead", "before")


@click.command(cls=PlainCommand)
@click.option(
    "--resume",
    "file",
    type=click.Path(dir_okay=False, path_type=Path),
    metavar="FILE",
    help="Keep how far it has come in this file, and go on from it when it is there.",
)
@click.option("--json", "as_json", is_flag=True, help="Print the report as JSON.")
@common_options(hidden=True)
@click.pass_obj
def verify(options: Options, *, file: Path | None, as_json: bool) -> None:
    """Check that the workers wrote every signal once, in order, to the byte.

    It reads inputs, outputs and dead letters, runs the engine again over the same inputs and compares. It writes
    nothing and disturbs no worker; while workers run it judges what they have committed. Use the workers' own
    configuration. It ends with 0 only when all is well.

    Examples:
      fiftytwo verify
      fiftytwo --config worker.toml verify --resume verify.json
    """
    from streams.audit.store import FileStore
    from streams.audit.verify import verify as verify_cluster

    config = options.config()
    markets = markets_of(config)
    store = FileStore(file, config) if file is not None else None

    async def check() -> Report:
        with _progress() as note:
            return await verify_cluster(config, markets, on_progress=note, on_wait=_say, store=store)

    report = run_async(check())
    if store is not None:
        store.done()
    if as_json:
        click.echo(json.dumps(_document(report)))
    else:
        for line in _lines(report):
            click.echo(line)
    if not report.is_well:
        sys.exit(EXIT_FAILED)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _lines(report: Report) -> Iterator[str]:
    width = max(len(name) for name in COLUMNS) + 1
    yield "partition".ljust(14) + "inputs".rjust(width) + "".join(_title(name).rjust(width) for name in COLUMNS)
    for each in report.partitions:
        yield _name(each).ljust(14) + f"{each.inputs:,}".rjust(width) + _row(each.counts, width)
    yield "all".ljust(14) + f"{report.inputs:,}".rjust(width) + _row(report.counts, width)
    yield ""
    for each in report.partitions:
        if each.problem:
            yield f"{_name(each)}: {each.problem}"
    starts = sorted({each.start for each in report.partitions if each.start})
    if starts:
        yield f"Compared from {', '.join(starts)}."
    if report.counts.before:
        yield f"{plural(report.counts.before, 'record')} of before that, or removed by retention: not judged."
    defects = [defect for each in report.partitions for found in each.findings for defect in found.defects]
    for defect in defects[:DEFECTS_SHOWN]:
        yield f"{defect.kind}: {defect.place}, {defect.text}"
    counts = report.counts
    total = counts.lost + counts.doubled + counts.out_of_order + counts.different + counts.unexpected
    if total > min(len(defects), DEFECTS_SHOWN):
        yield f"... and {plural(total - min(len(defects), DEFECTS_SHOWN), 'difference')} more"
    if report.is_well:
        yield f"All is well: {plural(counts.expected, 'record')} as the log says."
    else:
        yield f"NOT well: {plural(total, 'difference')}, {plural(_unjudged(report), 'partition')} not judged."


def _unjudged(report: Report) -> int:
    return sum(bool(each.problem) for each in report.partitions)


def _row(counts: Counts, width: int) -> str:
    return "".join(f"{getattr(counts, name):,}".rjust(width) for name in COLUMNS)


def _title(column: str) -> str:
    return column.replace("_", " ")


def _name(report: PartitionReport) -> str:
    return f"{report.kind} {report.partition}"


def _document(report: Report) -> dict[str, object]:
    partitions = [
        {
            "kind": each.kind,
            "partition": each.partition,
            "start": each.start,
            "inputs": each.inputs,
            "problem": each.problem,
            "topics": [
                {"place": found.place, **asdict(found.counts), "defects": [asdict(one) for one in found.defects]}
                for found in each.findings
            ],
        }
        for each in report.partitions
    ]
    return {"well": report.is_well, "inputs": report.inputs, **asdict(report.counts), "partitions": partitions}


# Progress goes to standard error, and only to a terminal.
@contextmanager
def _progress() -> Iterator[Callable[[str, int, int], None]]:
    if not sys.stderr.isatty():
        yield lambda what, done, total: None
        return
    from rich.console import Console
    from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

    columns = (TextColumn("Verifying {task.description}"), BarColumn(), MofNCompleteColumn(), TimeRemainingColumn())
    with Progress(*columns, console=Console(stderr=True), transient=True) as bar:
        tasks: dict[str, int] = {}

        def note(what: str, done: int, total: int) -> None:
            if what not in tasks:
                tasks[what] = bar.add_task(what, total=total)
            bar.update(tasks[what], completed=done, total=total)  # type: ignore[arg-type] # rich's own integer type

        yield note
