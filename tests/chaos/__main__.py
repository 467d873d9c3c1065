"""`python -m tests.chaos`: break everything, then count. See `docs/verify.md`.

The last line is `chaos: inputs N expected N lost N doubled N reordered N different N faults N`, and the exit code is 1
when anything is lost, doubled, reordered or different, when something got stuck, or when a negative control passes.
"""

from __future__ import annotations

import asyncio
import sys
import time
from random import Random
from typing import Final

import click

from streams.audit.report import Report
from streams.audit.verify import verify
from streams.calendars import load_markets
from streams.wire.warm import warm
from tests.chaos.cluster import Cluster, Stuck
from tests.chaos.faults import Breaker, Plan, all_frames
from tests.chaos.feeder import Feeder
from tests.chaos.proxy import KINDS
from tests.chaos.story import Story

SEED_SHORT: Final = 52
RATE: Final = 120.0
"""Records a second: enough for outputs in nearly every transaction, and little enough for two shared cores."""


def plan_of(*, short: bool, random: Random) -> Plan:
    """Return what is to happen."""
    if not short:
        return Plan(crashes=45, kills=30, zombies=10, broker_restarts=5, rebalances=8, frames=all_frames(random))
    frames = [("EndTxn", "request", "hold"), ("TxnOffsetCommit", "response", "drop"), ("Produce", "request", "reset")]
    frames += [("AddPartitionsToTxn", "request", random.choice(KINDS))]
    return Plan(crashes=5, kills=2, zombies=1, broker_restarts=1, rebalances=1, frames=frames)  # type: ignore[arg-type] # literals of the lists above


async def break_everything(*, seed: int, short: bool) -> tuple[Report, int, list[str]]:
    """Run the plan, and return what was found, how many faults there were, and what else was wrong."""
    random = Random(seed)
    wrong: list[str] = []
    async with Cluster(["a", "b", "c"]) as cluster:
        story = Story(cluster.config, seed=seed)
        async with Feeder(cluster.broker.bootstrap, story, rate=RATE) as feeder:
            breaker = Breaker(cluster, random, click.echo, feeder.check)
            try:
                await breaker.start()
                await breaker.run(plan_of(short=short, random=random))
                await feeder.stop()
                await cluster.caught_up()
            except Stuck as error:
                wrong.append(str(error))
        for worker in cluster.workers.values():
            if worker.is_running:
                await worker.stop()
        click.echo(f"fed {feeder.sent} records; done {dict(breaker.done)}; workers' logs in {cluster.folder}")
        for name, proxy in cluster.proxies.items():
            click.echo(f"proxy {name}: faults {sum(proxy.done.values())}, frames {dict(proxy.seen)}")
        for line in [*breaker.missed, *breaker.unclean]:
            click.echo(f"note: {line}")
        report = await verify(cluster.config, load_markets(["XNYS"], lookback=cluster.config.rules.lookback))
        wrong += [each.problem for each in report.partitions if each.problem]
    return report, sum(breaker.done.values()), wrong


@click.command()
@click.option("--seed", type=int, help="Of everything that is random; printed, so that a run can be repeated.")
@click.option("--short", is_flag=True, help="Two minutes with a fixed seed, for continuous integration.")
def main(*, seed: int | None, short: bool) -> None:
    """Break workers, brokers and the network between them, and count what was lost, doubled or changed."""
    if seed is None:
        seed = SEED_SHORT if short else time.time_ns() % 1_000_000
    click.echo(f"chaos: seed {seed}")
    warm()
    started = time.monotonic()
    report, faults, wrong = asyncio.run(break_everything(seed=seed, short=short))
    for each in report.partitions:
        for found in each.findings:
            for defect in found.defects:
                click.echo(f"{defect.kind}: {defect.place}, {defect.text}")
    for line in wrong:
        click.echo(f"wrong: {line}")
    counts = report.counts
    click.echo(f"chaos: seed {seed}, {time.monotonic() - started:.0f} s")
    click.echo(
        f"chaos: inputs {report.inputs} expected {counts.expected} lost {counts.lost} doubled {counts.doubled} "
        f"reordered {counts.out_of_order} different {counts.different + counts.unexpected} faults {faults}"
    )
    sys.exit(0 if report.is_well and not wrong else 1)


if __name__ == "__main__":
    main()
