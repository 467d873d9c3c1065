"""The partitions that chaos lets die: a crash that is planned happens, whatever the life before has left."""

from __future__ import annotations

import asyncio
from collections import Counter
from dataclasses import replace
from random import Random

from streams.config import Commits, Snapshots
from streams.kafka.embedded import EmbeddedBroker
from streams.kafka.probe import AFTER_SNAPSHOT, DURING_REPLAY
from tests.chaos.carried import WITHIN_SNAPSHOT
from tests.chaos.direct import Lives
from tests.chaos.eyes import Eyes
from tests.chaos.feeder import Feeder
from tests.chaos.story import Story
from tests.integration.feeding import config_for, make_topics

CRASHES = 2
RATE = 400.0


def test_replay_has_something_to_replay_after_an_end_in_order(embedded: EmbeddedBroker, prefix: str) -> None:
    """An end in order leaves a snapshot at the committed positions: who is to die at a replay makes a gap first."""

    async def work() -> None:
        config = replace(
            config_for(embedded.bootstrap, prefix, partitions=1),
            commits=Commits(timeout_s=5, positions_ms=100),
            snapshots=Snapshots(interval_s=0.05, share_max=1.0),
        )
        await make_topics(config)
        eyes, lives = Eyes(config), Lives(config)
        async with Feeder(config, Story(config, seed=5), rate=RATE):
            await Lives(config).finish(eyes.recovered)

            await lives.die(Random(5), [DURING_REPLAY] * CRASHES, lambda _: None)
        await eyes.close()

        assert lives.crashes == {DURING_REPLAY: CRASHES}

    asyncio.run(asyncio.wait_for(work(), 240))


def test_snapshot_torn_without_a_transaction_is_refused_by_the_next_life(embedded: EmbeddedBroker, prefix: str) -> None:
    """A planned crash is of a commit that carries a snapshot; what is torn is noticed, each time."""

    async def work() -> None:
        config = replace(
            config_for(embedded.bootstrap, prefix, partitions=1, delivery="at_least_once"),
            commits=Commits(timeout_s=5, positions_ms=100),
            snapshots=Snapshots(interval_s=86_400.0),
        )
        await make_topics(config)
        eyes, lives = Eyes(config), Lives(config)
        async with Feeder(config, Story(config, seed=5), rate=RATE):
            await lives.die(Random(5), [AFTER_SNAPSHOT, *[WITHIN_SNAPSHOT] * CRASHES], lambda _: None)
        await lives.finish(eyes.caught_up)
        await eyes.close()

        assert lives.crashes == lives.snapshots == Counter({AFTER_SNAPSHOT: 1, WITHIN_SNAPSHOT: CRASHES})
        assert lives.refused >= CRASHES

    asyncio.run(asyncio.wait_for(work(), 240))
