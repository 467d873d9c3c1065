"""`fiftytwo rewind`: set positions back, or begin under a new name, after saying what that means."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import click

from streams.commands.options import EXIT_FAILED, Options, PlainCommand, common_options, plural, run_async

if TYPE_CHECKING:
    from streams.kafka.rewind import Step

OLDEST = "oldest"


@click.command(cls=PlainCommand)
@click.option(
    "--to", "when", required=True, metavar="TIME", help="Time of the first record to read again, or `oldest`."
)
@click.option(
    "--as",
    "application_id",
    metavar="ID",
    help="Leave the application alone, and let a new one of this name begin there.",
)
@click.option("--apply", "do", is_flag=True, help="Do it; otherwise it is only said what would happen.")
@common_options(hidden=True)
@click.pass_obj
def rewind(options: Options, *, when: str, application_id: str | None, do: bool) -> None:
    """Set the workers' positions back to a moment, so that what followed is said again.

    TIME is the brokers' time at which a record was written. Everything since is read again when a worker starts next,
    and its signals are written again, with the same ids; what was written stays. The state at that moment comes from a
    snapshot or from the log. Workers must have ended. Without --apply nothing is changed.

    Examples:
      fiftytwo rewind --to 2026-01-30T14:30:00Z
      fiftytwo rewind --to 2026-01-30T14:30:00Z --apply
      fiftytwo rewind --to oldest --as fiftytwo-second --apply
    """
    from streams.core.units import parse_time
    from streams.kafka.rewind import RewindRefused, apply, plan, under

    try:
        since_ms = None if when == OLDEST else -(-parse_time(when) // 1_000_000)
    except ValueError as error:
        raise click.BadParameter(f"{error}; or `{OLDEST}`", param_hint="'--to'") from None
    config = options.config()
    if application_id is not None:
        config = under(config, application_id)

    async def work() -> list[Step]:
        steps = await plan(config, since_ms=since_ms)
        if do:
            await apply(config, steps)
        return steps

    try:
        steps = run_async(work())
    except RewindRefused as error:
        click.echo(f"error: {error}", err=True)
        sys.exit(EXIT_FAILED)
    for step in steps:
        click.echo(_line(step))
    total = plural(sum(step.again for step in steps), "record")
    name = config.kafka.application_id
    if do:
        click.echo(
            f"Done: {name} reads {total} when a worker starts, and says what follows from them, with the same ids."
        )
    else:
        click.echo(
            f"Nothing was changed: {name} would read {total}, and say what follows from them, with the same ids."
        )
        click.echo("Add --apply to do it.")


def _line(step: Step) -> str:
    moves = ", ".join(f"{topic} {step.committed.get(topic, 'none')} -> {at}" for topic, at in step.target.items())
    start = f"; state from {step.start}" if step.start else ""
    notes = "".join(f"; {note}" for note in step.notes)
    return f"{step.seat.kind} {step.seat.number}: {moves}, {plural(step.again, 'record')} to read{start}{notes}"
