"""`python -m tests.chaos`: break everything, then count. See `docs/verify.md`.

The last line is `chaos: inputs N expected N lost N doubled N reordered N different N faults N`, after one of its own
for at-least-once delivery, where outputs may repeat. The exit code is 1 when anything is lost, doubled, reordered or
different, when something got stuck, when a worker ended by itself, when less happened than must at the least, when a
negative control is not caught by the difference that it must make, or when `fiftytwo verify` does not agree with what
is left behind, or misses what is changed in it after that.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Coroutine, Sequence
from random import Random
from typing import Any, Final

import click

from streams.audit.comparison import Counts
from streams.audit.report import Report
from streams.audit.verify import verify
from streams.calendars import load_markets
from streams.config import Config
from streams.kafka import topics as topic_admin
from streams.wire.warm import warm
from tests.chaos.audit import AuditFailed, agree, name_changes
from tests.chaos.cluster import Application, Cluster
from tests.chaos.controls import CONTROLS, Control, run_control
from tests.chaos.direct import Lives
from tests.chaos.eyes import Eyes, Stuck
from tests.chaos.faults import Breaker
from tests.chaos.feeder import Feeder, feed_all
from tests.chaos.minimums import (
    DIRECT,
    FULL,
    PROCESSES,
    Happened,
    direct_repeating_minimums,
    repeating_minimums,
    short_minimums,
)
from tests.chaos.plan import Plan, direct_points, direct_repeating_points, plan_of, repeating_plan
from tests.chaos.proxy import APIS
from tests.chaos.repeats import repeats
from tests.chaos.story import Story
from tests.chaos.totals import Totals, defects_of, text_of

SEED_SHORT: Final = 52
RATE: Final = 100.0
"""Records a second: enough for outputs in nearly every transaction, and little enough for two shared cores."""

RATE_DIRECT: Final = 400.0
CONTROL_MOMENTS: Final = 100


async def check(config: Config) -> Report:
    """Hold what an application wrote against what its inputs say."""
    return await verify(config, load_markets(config.markets.mics, lookback=config.rules.lookback))


async def break_workers(
    name: str,
    cluster: Cluster,
    application: Application,
    totals: Totals,
    *,
    plan: Plan,
    happened: Happened,
    seed: int,
    minutes: float | None = None,
) -> Counts:
    """Break workers that are processes, their broker and the network between them; return what was found."""
    config = application.config

    def say(line: str) -> None:
        click.echo(f"{name}: {line}")

    async with Feeder(config, Story(config, seed=seed), rate=RATE) as feeder:
        breaker = Breaker(cluster, application, Random(seed), happened, say, feeder.check)
        try:
            await breaker.start()
            await breaker.run(plan, minutes=minutes)
            await feeder.stop()
            await application.eyes.caught_up()
        except Stuck as error:
            totals.wrong.append(f"{name}: {error}")
    await application.stop()
    refused = sum(worker.count_ever("snapshot_refused") for worker in application.workers.values())
    happened.refused += refused
    if config.kafka.delivery == "exactly_once":
        totals.wrong += _torn(name, refused)
    say(f"fed {feeder.sent} records; logs in {cluster.folder}")
    for line in breaker.missed:
        say(f"note: missed {line}")
    totals.wrong += [f"{name}: {line}" for line in breaker.wrong]
    report = await check(config)
    totals.add(name, config, report, happened.of_processes)
    return report.counts


async def break_processes(cluster: Cluster, totals: Totals, *, plan: Plan, seed: int, minutes: float | None) -> None:
    """Break workers of exactly-once delivery, and say what they have asked their broker for."""
    application, happened = cluster.application, totals.happened
    await break_workers(
        PROCESSES, cluster, application, totals, plan=plan, happened=happened, seed=seed, minutes=minutes
    )
    for name, proxy in cluster.proxies.items():
        known = {api: count for api, count in proxy.seen.items() if api in APIS}
        click.echo(f"{PROCESSES}: worker {name} sent {known}")


async def break_repeating(cluster: Cluster, totals: Totals, *, seed: int, short: bool) -> None:
    """Break workers of at-least-once delivery, and hold what they wrote twice against what they wrote first."""
    name = "at least once, processes"
    application = await cluster.add("again", ["a", "b"], partitions=2, delivery="at_least_once")
    plan, happened = repeating_plan(short=short), Happened()
    counts = await break_workers(name, cluster, application, totals, plan=plan, happened=happened, seed=seed + 2)
    click.echo(f"{name}: happened: {happened}")
    totals.wrong += [f"{name}: {line}" for line in repeating_minimums(plan).wrong(happened)]
    signals, torn = await repeats(application.config)
    repeated = counts.doubled + counts.out_of_order
    click.echo(f"{name}: {repeated} outputs were written again, {signals} of them signals, {len(torn)} not as before")
    totals.wrong += [f"{name}: not as before: {each}" for each in torn]
    if not repeated:
        totals.wrong.append(f"{name}: expected a crash after an output to have it written again, found none")


async def check_command(config: Config, totals: Totals, *, seed: int) -> None:
    """Let `fiftytwo verify` itself judge what was left behind: as it is, and with three records changed."""
    try:
        click.echo(f"verify: agrees on {await agree(config)} records")
        for line in await name_changes(config, Random(seed)):
            click.echo(f"verify: names what was changed, {line}")
    except AuditFailed as error:
        totals.wrong.append(f"verify: {error}")


async def break_lives(cluster: Cluster, totals: Totals, *, seed: int, short: bool) -> None:
    """Let partitions without Faust die, again and again; beside them workers of at-least-once delivery."""
    once = cluster.config_of("direct", partitions=2)
    repeating = cluster.config_of("repeating", partitions=1, delivery="at_least_once")
    for config in (once, repeating):
        await topic_admin.apply(config)
    name, repeated = "at least once, direct", direct_repeating_points(short=short)
    # All at once: each of them waits most of the time.
    died, again, _ = await asyncio.gather(
        _break_lives(DIRECT, once, totals, seed=seed, points=direct_points(short=short)),
        _break_lives(name, repeating, totals, seed=seed, points=repeated),
        break_repeating(cluster, totals, seed=seed, short=short),
    )
    totals.happened.direct.update(died.crashes)
    totals.happened.snapshots.update(died.snapshots)
    totals.happened.refused += died.refused
    totals.wrong += _torn(DIRECT, died.refused)
    happened = Happened(direct=again.crashes, snapshots=again.snapshots, refused=again.refused)
    click.echo(f"{name}: happened: {happened}")
    totals.wrong += [f"{name}: {line}" for line in direct_repeating_minimums(repeated).wrong(happened)]


# A transaction is there or it is not: nothing of it can be torn.
def _torn(name: str, refused: int) -> list[str]:
    return [f"{name}: expected no snapshot to be refused under exactly-once delivery, found {refused}"] * (refused > 0)


async def _break_lives(name: str, config: Config, totals: Totals, *, seed: int, points: Sequence[str]) -> Lives:
    eyes, lives = Eyes(config), Lives(config, name=name)
    async with Feeder(config, Story(config, seed=seed + 1), rate=RATE_DIRECT) as feeder:
        await lives.die(Random(seed), points, click.echo)
        feeder.check()
    try:
        await lives.finish(eyes.caught_up)
    except Stuck as error:
        totals.wrong.append(f"{name}: {error}")
    await eyes.close()
    done = sum(lives.crashes.values())
    click.echo(f"{name}: fed {feeder.sent} records, crashed {dict(lives.crashes)}")
    totals.add(name, config, await check(config), done)
    return lives


async def check_controls(cluster: Cluster, totals: Totals, *, seed: int) -> None:
    """See that a protocol with one rule taken out is caught, and that the right one is not."""

    async def report(number: int, control: Control) -> Report:
        config = cluster.config_of(f"control{number}", partitions=1)
        await topic_admin.apply(config)
        await feed_all(config, Story(config, seed=seed), moments=CONTROL_MOMENTS)
        eyes = Eyes(config)
        await run_control(control, config, eyes.caught_up)
        await eyes.close()
        return await check(config)

    # All at once: each of them waits most of the time.
    reports = await asyncio.gather(*(report(number, control) for number, control in enumerate(CONTROLS)))
    for control, found in zip(CONTROLS, reports, strict=True):
        judge_control(control, found, totals)


def judge_control(control: Control, report: Report, totals: Totals) -> None:
    """Say whether a control is as it must be."""
    counts = report.counts
    different = counts.different + counts.unexpected
    found = f"lost {counts.lost} doubled {counts.doubled} reordered {counts.out_of_order} different {different}"
    click.echo(f"control: {control.title}: {found}")
    if control.name and not control.is_caught(counts):
        totals.wrong.append(f"control: {control.title} was not caught: expected {' or '.join(control.kinds)}")
    if not control.name and not report.is_well:
        totals.wrong.append(f"control: {control.title} is not well: {'; '.join(map(text_of, defects_of(report)[:5]))}")


async def timed(name: str, phase: Coroutine[Any, Any, None]) -> None:
    """Wait for a phase, and say how long it took."""
    started = time.monotonic()
    await phase
    click.echo(f"{name}: {time.monotonic() - started:.0f} s")


async def run(*, seed: int, short: bool, phases: tuple[str, ...], minutes: float | None) -> Totals:
    """Run the phases, and return what they found."""
    totals = Totals()
    plan = plan_of(short=short, random=Random(seed))
    minimums = (short_minimums(plan) if short else FULL).of(phases)
    async with Cluster(["a", "b", "c"]) as cluster:
        # These wait most of the time, and the broker is left alone: both at once.
        both = []
        if "controls" in phases:
            both.append(timed("controls", check_controls(cluster, totals, seed=seed)))
        if DIRECT in phases:
            both.append(timed(DIRECT, break_lives(cluster, totals, seed=seed, short=short)))
        await asyncio.gather(*both)
        if PROCESSES in phases:
            await timed(PROCESSES, break_processes(cluster, totals, plan=plan, seed=seed, minutes=minutes))
            await timed("verify", check_command(cluster.application.config, totals, seed=seed))
    click.echo(f"chaos: happened: {totals.happened}")
    totals.wrong += minimums.wrong(totals.happened)
    if not totals.wrong:
        cluster.remove_logs()
    return totals


PHASES: Final = ("controls", DIRECT, PROCESSES)


@click.command()
@click.option("--seed", type=int, help="Of everything that is random; printed, so that a run can be repeated.")
@click.option("--short", is_flag=True, help="About two minutes with a fixed seed, for continuous integration.")
@click.option("--phase", "phases", multiple=True, type=click.Choice(PHASES), help="Only this phase. Repeatable.")
@click.option("--minutes", type=float, help="Leave off breaking processes after so long; not all done is a failure.")
def main(*, seed: int | None, short: bool, phases: tuple[str, ...], minutes: float | None) -> None:
    """Break workers, brokers and the network between them, and count what was lost, doubled or changed."""
    # What aiokafka and the partitions say of crashes is known.
    logging.disable(logging.CRITICAL)
    if seed is None:
        seed = SEED_SHORT if short else time.time_ns() % 1_000_000
    click.echo(f"chaos: seed {seed}")
    warm()
    started = time.monotonic()
    totals = asyncio.run(run(seed=seed, short=short, phases=phases or PHASES, minutes=minutes))
    for line in totals.wrong:
        click.echo(f"wrong: {line}")
    click.echo(f"chaos: seed {seed}, {time.monotonic() - started:.0f} s")
    for line in totals.lines():
        click.echo(line)
    sys.exit(0 if totals.is_well else 1)


if __name__ == "__main__":
    main()
