"""Exactly once on Apache Kafka: snapshots, refusals, changed rules, takeovers and outages."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from dataclasses import replace
from typing import Any

import pytest
from aiokafka import AIOKafkaProducer, TopicPartition
from aiokafka.admin import AIOKafkaAdminClient, RecordsToDelete
from aiokafka.errors import KafkaError

from streams.config import Commits, Config, Markets, Rules, Snapshots
from streams.kafka.effects import Effects, Output
from streams.kafka.probe import AFTER_COMMIT, DURING_COMMIT, POINTS, passed
from streams.kafka.producer import ExactlyOnce
from streams.kafka.restarts import RestartedTooOften, reason_of
from streams.kafka.restore import StateLost
from streams.kafka.restorer import StateTopic
from streams.kafka.topics import Topics
from streams.kafka.worker import Worker, WorkerRefused
from streams.wire.positions import STATE, read_committed
from streams.wire.snapshots import LATEST, MANIFEST, Identity, read_manifest, read_snapshot, series_keys
from tests.integration.apache import SETTINGS, ApacheBroker
from tests.integration.feeding import Day, Input, caught_up, committed, config_for, eventually, make_topics, read, write

INSTRUMENTS = ("XNYS:AAA", "XNYS:BBB", "XNYS:CCC", "XNYS:DDD")
RUN_SECONDS_MAX = 240.0


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine, for a bounded time."""
    asyncio.run(asyncio.wait_for(work, RUN_SECONDS_MAX))


@asynccontextmanager
async def running(config: Config) -> AsyncIterator[Worker]:
    """Run a worker until the block ends; fail with what it fails with."""
    worker = Worker(config)
    try:
        await worker.start()
        failed = asyncio.ensure_future(worker.wait())
        ready = asyncio.ensure_future(eventually(lambda: worker.is_ready))
        await asyncio.wait({failed, ready}, return_when=asyncio.FIRST_COMPLETED)
        ready.cancel()
        if failed.done():
            failed.result()
        yield worker
        failed.cancel()
    finally:
        await worker.stop()


def quick(bootstrap: str, prefix: str, **kafka: Any) -> Config:
    """Return a configuration whose snapshots are taken all the time."""
    config = config_for(bootstrap, prefix, **kafka)
    return replace(config, snapshots=Snapshots(interval_s=0.05, share_max=1.0))


def ids(records: list[Any]) -> Counter[str]:
    """Return how often each event was written, by its id."""
    return Counter(dict(record.headers)["ce_id"].decode() for record in records)


def rebased(records: list[Input], before: str, prefix: str) -> list[Input]:
    """Return the same records for topics with another prefix."""
    return [replace(record, topic=prefix + record.topic.removeprefix(before)) for record in records]


async def forget_input(config: Config) -> None:
    """Delete every input record that is there, as retention would."""
    admin = AIOKafkaAdminClient(bootstrap_servers=config.kafka.bootstrap_servers)
    await admin.start()
    try:
        names = [name for name in (await make_topics(config)).inputs if "articles" not in name]
        places = [TopicPartition(name, p) for name in names for p in range(config.kafka.partitions)]
        await admin.delete_records({place: RecordsToDelete(before_offset=-1) for place in places})
    finally:
        await admin.close()


async def state_of(config: Config, partition: int) -> dict[bytes, bytes]:
    """Return what the state topic holds for a partition."""
    topics = await make_topics(config)
    return (await StateTopic(config.kafka, topics.state).read(partition))[0]


def identity(config: Config, partition: int) -> Identity:
    """Return whose snapshots a worker writes."""
    return Identity(config.kafka.application_id, partition, config.kafka.partitions)


async def expected(config: Config, records: list[Input]) -> list[tuple[Any, ...]]:
    """Return what a worker that is never stopped writes for records, on topics of its own."""
    prefix = f"{config.kafka.prefix}reference."
    reference = config_for(
        config.kafka.bootstrap_servers, prefix, application_id=config.kafka.application_id, partitions=2
    )
    topics = await make_topics(reference)
    async with running(reference):
        await write(reference, rebased(records, config.kafka.prefix, prefix))
        await caught_up(reference)
    found = await read(reference, [topics.breakouts, topics.momentum])
    return [(r.topic.removeprefix(prefix), r.partition, r.key, r.value, r.headers) for r in found]


def test_restart_from_a_snapshot_needs_nothing_of_the_log_before_it(apache: ApacheBroker, prefix: str) -> None:
    """A year of bars and a session under way survive the end of their records, and every signal is there once."""

    async def work() -> None:
        config = quick(apache.bootstrap, prefix)
        topics = await make_topics(config)
        day = Day(config, INSTRUMENTS)
        records = day.bars() + day.days()
        half = len(day.bars()) + len(day.days()) // 2
        async with running(config):
            await write(config, records[:half])
            await caught_up(config)
        await forget_input(config)
        async with running(config) as worker:
            assert worker.registry.get_sample_value("fiftytwo_windows", {"coverage": "full"}) is not None
            await write(config, records[half:])
            await caught_up(config)

        found = await read(config, [topics.breakouts, topics.momentum])

        assert all(count == 1 for count in ids(found).values())
        mine = [(r.topic.removeprefix(prefix), r.partition, r.key, r.value, r.headers) for r in found]
        assert mine == await expected(config, records)
        enriched = ids(await read(config, [topics.enriched]))
        assert enriched
        assert all(count == 1 for count in enriched.values())

    run(work())


def test_state_topic_says_where_everything_stands(apache: ApacheBroker, prefix: str) -> None:
    """Snapshot, base of the day, terms and positions are there, and say the same as the group."""

    async def work() -> None:
        config = quick(apache.bootstrap, prefix)
        await make_topics(config)
        day = Day(config, INSTRUMENTS, sessions=1)
        async with running(config):
            for part in (day.bars(), day.days()[:60], day.days()[60:]):
                await write(config, part)
                await caught_up(config)

        for partition in range(2):
            records = await state_of(config, partition)
            series = series_keys(records, identity(config, partition))
            bases = [name for name in series if name.startswith("base-")]
            assert {"committed", "latest", "rules-1"} <= set(series)
            assert len(bases) == 1
            snapshot = read_snapshot(records, identity(config, partition))
            assert snapshot is not None
            assert snapshot.orphans == ()
            assert read_snapshot(records, identity(config, partition), series=bases[0]) is not None
            assert read_manifest(records, identity(config, partition), "rules-1").positions == (0, 0)
            # Positions are written with every commit, so the end of the topic says the same of them.
            tail, _ = await StateTopic(config.kafka, Topics(prefix).state).read(partition, last=20)
            mine = read_committed(tail, identity(config, partition), STATE)
            assert len(tail) < len(records)
            assert mine == read_committed(records, identity(config, partition), STATE) is not None

    run(work())


def test_changed_rules_and_calendar_cost_no_history(apache: ApacheBroker, prefix: str) -> None:
    """New options hold from the committed position on and are recorded there; a year of bars stays."""

    async def work() -> None:
        config = quick(apache.bootstrap, prefix)
        topics = await make_topics(config)
        day = Day(config, INSTRUMENTS)
        first, rest = day.days()[:140], day.days()[140:]
        async with running(config):
            await write(config, day.bars() + first)
            await caught_up(config)
        await forget_input(config)
        changed = replace(config, rules=Rules(max_triggers=2, lookback="252s"), markets=Markets(mics=("XNAS", "XNYS")))
        async with running(changed) as worker:
            await write(changed, rest)
            await caught_up(changed)
            full = worker.registry.get_sample_value("fiftytwo_windows", {"coverage": "full"})

        records = await state_of(config, 0)
        manifest = read_manifest(records, identity(config, 0), "rules-2")
        assert full == len(INSTRUMENTS)
        assert (manifest.rules["max_triggers"], manifest.mics) == (2, ("XNAS", "XNYS"))
        assert manifest.positions.ticks > 0
        values = [json.loads(r.value) for r in await read(config, [topics.breakouts])]
        triggered = {v["session_date"] for v in values if (v["family"], v["transition"]) == ("high_52w", "triggered")}
        assert triggered == {"2025-06-02", "2025-06-03", "2025-06-04"}

    run(work())


def test_without_a_snapshot_or_the_log_a_partition_does_not_start(apache: ApacheBroker, prefix: str) -> None:
    """A damaged snapshot is refused; an older good one is used, and where there is none the worker says what to do."""

    async def work() -> None:
        config = replace(
            config_for(apache.bootstrap, prefix), snapshots=Snapshots(interval_s=0.05, share_max=1.0, base=False)
        )
        topics = await make_topics(config)
        day = Day(config, INSTRUMENTS, sessions=1)
        async with running(config):
            await write(config, day.bars())
            await caught_up(config)
        key = identity(config, 0).key(LATEST, MANIFEST)
        await write(config, [Input(topics.state, 0, key, b"no snapshot of ours")])

        async with running(config) as worker:
            refused = worker.registry.get_sample_value("fiftytwo_snapshots_refused_total", {"reason": "foreign"})
        assert refused == 1

        await write(config, [Input(topics.state, 0, key, b"no snapshot of ours")])
        await forget_input(config)
        with pytest.raises(StateLost, match=r"found neither: the logs begin at .* Use another kafka\.application_id"):
            async with running(config):
                pass

    run(work())


def test_at_least_once_is_the_same_without_transactions(apache: ApacheBroker, prefix: str) -> None:
    """Snapshots, positions and order are those of exactly once; a clean restart repeats nothing."""

    async def work() -> None:
        config = quick(apache.bootstrap, prefix, delivery="at_least_once")
        topics = await make_topics(config)
        day = Day(config, INSTRUMENTS)
        records = day.bars() + day.days()
        half = len(day.bars()) + 100
        async with running(config):
            await write(config, records[:half])
            await caught_up(config)
        await forget_input(config)
        async with running(config):
            await write(config, records[half:])
            await caught_up(config)

        found = await read(config, [topics.breakouts, topics.momentum])

        assert all(count == 1 for count in ids(found).values())
        mine = [(r.topic.removeprefix(prefix), r.partition, r.key, r.value, r.headers) for r in found]
        assert mine == await expected(config, records)

    run(work())


class Crash(BaseException):
    """Ends a commit where it is, as a crash would."""


@pytest.mark.parametrize("point", POINTS[: POINTS.index(AFTER_COMMIT) + 1])
def test_commit_that_ends_anywhere_is_there_as_a_whole_or_not_at_all(
    apache: ApacheBroker, prefix: str, point: str
) -> None:
    """Whoever begins next settles what was left: outputs, state and positions are all visible, or none is."""

    async def work() -> None:
        config = config_for(apache.bootstrap, prefix, partitions=1)
        topics = await make_topics(config)
        name = f"{prefix}state-0"

        def crash(reached: str) -> None:
            if reached == point:
                raise Crash(point)

        def effects(number: int) -> Effects:
            value = b"%d" % number
            outputs = [Output(topic, 0, b"k", value, []) for topic in (topics.breakouts, topics.momentum)]
            return Effects(outputs, {(topics.ticks, 0): number}, state=[Output(topics.state, 0, b"k", value, [])])

        before = ExactlyOnce(config.kafka, name, timeout_seconds=20, probe=crash)
        await before.start()
        with pytest.raises(Crash):
            await before.commit(effects(1))
        after = ExactlyOnce(config.kafka, name, timeout_seconds=20, probe=passed)
        await after.start()
        there = sum((await committed(config)).values()) == 1
        await after.commit(effects(2))
        await before.close(finished=False)
        await after.close(finished=True)

        for topic in (topics.breakouts, topics.momentum, topics.state):
            values = [record.value for record in await read(config, [topic])]
            assert values == ([b"1", b"2"] if there else [b"2"])
        assert there or point != AFTER_COMMIT
        assert not there or point in (DURING_COMMIT, AFTER_COMMIT)

    run(work())


def test_owner_of_before_is_fenced(apache: ApacheBroker, prefix: str) -> None:
    """Once another producer of the partition has begun, nothing of the one before is taken any more."""

    async def work() -> None:
        config = config_for(apache.bootstrap, prefix, partitions=1)
        topics = await make_topics(config)

        def effects(value: bytes) -> Effects:
            return Effects([Output(topics.breakouts, 0, b"k", value, [])], {(topics.ticks, 0): 1})

        producers = [ExactlyOnce(config.kafka, f"{prefix}state-0", timeout_seconds=20, probe=passed) for _ in range(2)]
        before, after = producers
        await before.start()
        await before.commit(effects(b"before"))
        await after.start()
        with pytest.raises(KafkaError) as caught:
            await before.commit(effects(b"too late"))
        await after.commit(effects(b"after"))
        for producer in producers:
            await producer.close(finished=False)

        assert reason_of(caught.value) == "fenced"
        assert [record.value for record in await read(config, [topics.breakouts])] == [b"before", b"after"]

    run(work())


def test_state_is_read_past_what_others_have_under_way(apache: ApacheBroker, prefix: str) -> None:
    """A router's open transaction hides nothing that the partition has committed: its end is waited for."""

    async def work() -> None:
        config = config_for(apache.bootstrap, prefix, partitions=1)
        topics = await make_topics(config)
        held, released = asyncio.Event(), asyncio.Event()

        def effects(value: bytes) -> Effects:
            return Effects([], {}, state=[Output(topics.state, 0, identity(config, 0).key(LATEST, "p"), value, [])])

        async def hold() -> None:
            router: Any = AIOKafkaProducer(
                bootstrap_servers=config.kafka.bootstrap_servers, transactional_id=f"{prefix}router-0"
            )
            await router.start()
            async with router.transaction():
                await router.send_and_wait(topics.state, b"under way", b"key", partition=0)
                held.set()
                await released.wait()
            await router.stop()

        state = ExactlyOnce(config.kafka, f"{prefix}state-0", timeout_seconds=20, probe=passed)
        await state.start()
        await state.commit(effects(b"before"))
        router = asyncio.create_task(hold())
        await held.wait()
        await state.commit(effects(b"after"))
        await state.close(finished=True)

        reading = asyncio.create_task(StateTopic(config.kafka, topics.state).read(0))
        _, still = await asyncio.wait({reading}, timeout=2.0)
        released.set()
        found, _ = await reading
        await router

        assert found[identity(config, 0).key(LATEST, "p")] == b"after"
        assert still == {reading}

    run(work())


def test_partition_that_begins_again_too_often_ends_the_worker(apache: ApacheBroker, prefix: str) -> None:
    """A worker whose partition is taken from it again and again ends with a word on what to do."""

    async def work() -> None:
        config = config_for(apache.bootstrap, prefix, partitions=1)
        topics = await make_topics(config)
        day = Day(config, INSTRUMENTS[:1])
        name = f"{config.kafka.group}-state-0"

        async def steal(worker: Worker) -> None:
            for number in range(config.commits.restarts_max):
                await eventually(lambda: worker.is_ready)
                thief = ExactlyOnce(config.kafka, name, timeout_seconds=20, probe=passed)
                await thief.start()
                await thief.close(finished=False)
                await write(config, day.clock(int(day.sessions[0]["open_ns"]) + number))
                await restarted(worker, number + 1)

        async def restarted(worker: Worker, times: int) -> None:
            name = "fiftytwo_partition_restarts_total"
            await eventually(lambda: worker.registry.get_sample_value(name, {"reason": "fenced"}) == times)

        async def robbed() -> None:
            async with running(config) as worker:
                await steal(worker)
                await worker.wait()

        with pytest.raises(RestartedTooOften, match=r"begun again 3 times within 10 minutes, .*ProducerFenced"):
            await robbed()
        assert not await read(config, [topics.breakouts])

    run(work())


def test_broker_that_goes_away_and_comes_back_loses_and_doubles_nothing(prefix: str, apache: ApacheBroker) -> None:
    """A worker whose brokers are gone waits and says so, and goes on by itself when they are back."""

    async def work() -> None:
        with ApacheBroker() as broker:
            config = quick(broker.bootstrap, prefix)
            topics = await make_topics(config)
            day = Day(config, INSTRUMENTS)
            records = day.bars() + day.days()
            half = len(day.bars()) + 100
            async with running(config) as worker:
                await write(config, records[:half])
                broker.kill()
                await eventually(lambda: any("broker" in reason for reason in worker.health.not_ready()))
                broker.start()
                await eventually(lambda: worker.is_ready)
                await write(config, records[half:])
                await caught_up(config)

            found = await read(config, [topics.breakouts, topics.momentum])
            assert all(count == 1 for count in ids(found).values())
            mine = [(r.topic.removeprefix(prefix), r.partition, r.key, r.value, r.headers) for r in found]
            assert mine == await expected(config, records)

    run(work())


def test_brokers_without_transactions_are_told_at_the_start(prefix: str, apache: ApacheBroker) -> None:
    """Where no transaction can begin, a worker says so and what to do, waits, and runs at least once."""

    async def work() -> None:
        settings = SETTINGS.replace(
            "transaction.state.log.replication.factor=1", "transaction.state.log.replication.factor=3"
        )
        with ApacheBroker(settings=settings) as broker:
            config = config_for(broker.bootstrap, prefix)
            await make_topics(config)
            worker = Worker(config)
            starting = asyncio.create_task(worker.start())
            told = "expected brokers with transactions, found none that began"
            async with asyncio.timeout(RUN_SECONDS_MAX / 2):
                while not any(reason.startswith(told) for reason in worker.health.not_ready()):
                    assert not starting.done()
                    await asyncio.sleep(0.1)
            assert any("'at_least_once'" in reason for reason in worker.health.not_ready())
            starting.cancel()
            await asyncio.wait({starting})
            await worker.stop()

            async with running(config_for(broker.bootstrap, prefix, delivery="at_least_once")):
                pass

    run(work())


def test_brokers_that_allow_less_time_are_told_at_the_start(prefix: str, apache: ApacheBroker) -> None:
    """The brokers must allow `commits.timeout_s`: a worker with more is refused by its name, one with less runs."""

    async def work() -> None:
        with ApacheBroker(settings=f"{SETTINGS}transaction.max.timeout.ms=20000\n") as broker:
            config = config_for(broker.bootstrap, prefix)
            await make_topics(config)
            worker = Worker(replace(config, commits=Commits(timeout_s=21)))
            with pytest.raises(WorkerRefused, match=r"commits\.timeout_s = 21\. .* transaction\.max\.timeout\.ms"):
                await worker.start()
            await worker.stop()

            async with running(replace(config, commits=Commits(timeout_s=20))):
                pass

    run(work())
