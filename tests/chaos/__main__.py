"""`python -m tests.chaos`: break everything, then count. See `docs/verify.md`.

The last line is `chaos: inputs N expected N lost N doubled N reordered N different N faults N`, and the exit code is 1
when anything is lost, doubled, reordered or different, when something got stuck, when a worker ended by itself, when
less was done than planned, when a negative control is not caught by the difference that it must make, or when
`fiftytwo verify` does not agree with what is left behind, or misses what is changed in it after that.
"""

from __future__ import annotations

import asyncio
import logging
import sys
import time
from collections.abc import Coroutine
from dataclasses import dataclass, field
from random import Random
from typing import Any, Final

import click

from streams.audit.comparison import Counts
from streams.audit.report import Report
from streams.audit.verify import verify
from streams.calendars import load_markets
from streams.config import Config
from streams.kafka import topics as topic_admin
from streams.kafka.probe import POINTS
from streams.wire.warm import warm
from tests.chaos.audit import AuditFailed, agree, name_changes
from tests.chaos.cluster import Cluster
from tests.chaos.controls import CONTROLS, Control, run_control
from tests.chaos.direct import Lives
from tests.chaos.eyes import Eyes, Stuck
from tests.chaos.faults import MISSED_SHARE_MAX, Breaker, Plan, all_frames
from tests.chaos.feeder import Feeder, feed_all
from tests.chaos.proxy import APIS
from tests.chaos.story import Story

SEED_SHORT: Final = 52
RATE: Final = 100.0
"""Records a second: enough for outputs in nearly every transaction, and little enough for two shared cores."""

RATE_DIRECT: Final = 400.0
CONTROL_MOMENTS: Final = 100


@dataclass(slots=True)
class Totals:
    """What all phases found."""

    inputs: int = 0
    counts: Counts = field(default_factory=Counts)
    faults: int = 0
    wrong: list[str] = field(default_factory=list)

    def add(self, name: str, report: Report, faults: int, *, repeats: bool = False) -> None:
        """Add what one phase found, and say what is not well; where outputs may repeat that is well."""
        self.inputs += report.inputs
        counts = report.counts
        if repeats:
            again = counts.doubled + counts.out_of_order
            click.echo(f"{name}: {again} repeated, {counts.different} different")
            # Counted for itself: the sums of the last line are those of exactly-once delivery.
            counts = Counts(counts.expected, lost=counts.lost, unexpected=counts.unexpected)
        self.counts.add(counts)
        self.faults += faults
        self.wrong += [f"{name}: {each.problem}" for each in report.partitions if each.problem]
        for defect in defects_of(report):
            if not repeats or defect.startswith(("lost", "unexpected")):
                click.echo(f"{name}: {defect}")
        click.echo(f"{name}: {report.inputs} inputs, {report.counts.expected} expected, {faults} faults")


def plan_of(*, short: bool, random: Random) -> Plan:
    """Return what is to happen to the workers' processes."""
    if not short:
        return Plan(crashes=45, kills=5, zombies=10, broker_restarts=5, rebalances=8, frames=all_frames(random))
    frames = [frame for frame in all_frames(random) if frame[0] in ("EndTxn", "TxnOffsetCommit", "Produce")]
    return Plan(
        crashes=1,
        kills=1,
        zombies=1,
        broker_restarts=1,
        rebalances=1,
        frames=[("EndTxn", "request", "hold"), *random.sample(frames, 2)],
    )


async def check(config: Config) -> Report:
    """Hold what an application wrote against what its inputs say."""
    return await verify(config, load_markets(config.markets.mics, lookback=config.rules.lookback))


async def break_processes(cluster: Cluster, totals: Totals, *, seed: int, short: bool, minutes: float | None) -> None:
    """Break workers that are processes, their broker and the network between them."""
    random = Random(seed)
    async with Feeder(cluster.config, Story(cluster.config, seed=seed), rate=RATE) as feeder:
        breaker = Breaker(cluster, random, click.echo, feeder.check)
        try:
            await breaker.start()
            await breaker.run(plan_of(short=short, random=random), minutes=minutes)
            await feeder.stop()
            await cluster.eyes.caught_up()
        except Stuck as error:
            totals.wrong.append(f"processes: {error}")
    for worker in cluster.workers.values():
        if worker.is_running:
            await worker.stop()
    click.echo(f"processes: fed {feeder.sent} records, done {dict(breaker.done)}; logs in {cluster.folder}")
    for name, proxy in cluster.proxies.items():
        known = {api: count for api, count in proxy.seen.items() if api in APIS}
        click.echo(f"processes: worker {name} sent {known}")
    for line in breaker.missed:
        click.echo(f"processes: note: missed {line}")
    totals.wrong += [f"processes: {line}" for line in breaker.wrong]
    totals.add("processes", await check(cluster.config), sum(breaker.done.values()))


async def check_command(config: Config, totals: Totals, *, seed: int) -> None:
    """Let `fiftytwo verify` itself judge what was left behind: as it is, and with three records changed."""
    try:
        click.echo(f"verify: agrees on {await agree(config)} records")
        for line in await name_changes(config, Random(seed)):
            click.echo(f"verify: names what was changed, {line}")
    except AuditFailed as error:
        totals.wrong.append(f"verify: {error}")


async def break_lives(cluster: Cluster, totals: Totals, *, seed: int, crashes: int) -> None:
    """Let partitions without Faust die, again and again."""
    once = cluster.config_of("direct", partitions=2)
    repeating = cluster.config_of("repeating", partitions=1, delivery="at_least_once")
    for config in (once, repeating):
        await topic_admin.apply(config)
    await asyncio.gather(
        _break_lives("direct", once, totals, seed=seed, crashes=crashes),
        _break_lives("at least once", repeating, totals, seed=seed, crashes=crashes // 4),
    )


async def _break_lives(name: str, config: Config, totals: Totals, *, seed: int, crashes: int) -> None:
    eyes, lives = Eyes(config), Lives(config, name=name)
    async with Feeder(config, Story(config, seed=seed + 1), rate=RATE_DIRECT) as feeder:
        await lives.die(Random(seed), [POINTS[at % len(POINTS)] for at in range(crashes)], click.echo)
        feeder.check()
    try:
        await lives.finish(eyes.caught_up)
    except Stuck as error:
        totals.wrong.append(f"{name}: {error}")
    await eyes.close()
    done = sum(lives.crashes.values())
    click.echo(f"{name}: fed {feeder.sent} records, crashed {dict(lives.crashes)}")
    if done < crashes * (1 - MISSED_SHARE_MAX):
        totals.wrong.append(f"{name}: {crashes - done} of {crashes} crashes did not happen")
    totals.add(name, await check(config), done, repeats=config.kafka.delivery == "at_least_once")


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
        totals.wrong.append(f"control: {control.title} is not well: {'; '.join(defects_of(report)[:5])}")


def defects_of(report: Report) -> list[str]:
    """Return the differences of a report as lines."""
    found = [defect for each in report.partitions for finding in each.findings for defect in finding.defects]
    return [f"{defect.kind}: {defect.place}, {defect.text}" for defect in found]


async def timed(name: str, phase: Coroutine[Any, Any, None]) -> None:
    """Wait for a phase, and say how long it took."""
    started = time.monotonic()
    await phase
    click.echo(f"{name}: {time.monotonic() - started:.0f} s")


async def run(*, seed: int, short: bool, phases: tuple[str, ...], minutes: float | None) -> Totals:
    """Run the phases, and return what they found."""
    totals = Totals()
    async with Cluster(["a", "b", "c"]) as cluster:
        if "controls" in phases:
            await timed("controls", check_controls(cluster, totals, seed=seed))
        if "direct" in phases:
            await timed("direct", break_lives(cluster, totals, seed=seed, crashes=9 if short else 160))
        if "processes" in phases:
            await timed("processes", break_processes(cluster, totals, seed=seed, short=short, minutes=minutes))
            await timed("verify", check_command(cluster.config, totals, seed=seed))
    if not totals.wrong:
        cluster.remove_logs()
    return totals


PHASES: Final = ("controls", "direct", "processes")


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
    counts = totals.counts
    click.echo(f"chaos: seed {seed}, {time.monotonic() - started:.0f} s")
    click.echo(
        f"chaos: inputs {totals.inputs} expected {counts.expected} lost {counts.lost} doubled {counts.doubled} "
        f"reordered {counts.out_of_order} different {counts.different + counts.unexpected} faults {totals.faults}"
    )
    sys.exit(0 if counts.is_well and not totals.wrong else 1)


if __name__ == "__main__":
    main()
