"""The worker on a broker: what goes in and what comes out, restarts, refusals and rebalances."""

from __future__ import annotations

import asyncio
import json
from collections import Counter
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from itertools import pairwise
from typing import Any

import pytest

from streams.config import Config
from streams.kafka.embedded import EmbeddedBroker
from streams.kafka.worker import Worker, WorkerRefused
from tests.integration.apache import ApacheBroker
from tests.integration.feeding import (
    Day,
    Input,
    caught_up,
    committed,
    config_for,
    eventually,
    make_topics,
    read,
    write,
)

INSTRUMENTS = ("XNYS:AAA", "XNYS:BBB", "XNYS:CCC", "XNYS:DDD", "XNYS:EEE")
RUN_SECONDS_MAX = 120.0


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine, for a bounded time."""
    asyncio.run(asyncio.wait_for(work, RUN_SECONDS_MAX))


@asynccontextmanager
async def running(config: Config) -> AsyncIterator[Worker]:
    """Run a worker until the block ends; fail with what it fails with."""
    worker = Worker(config)
    await worker.start()
    failed = asyncio.ensure_future(worker.wait())
    block = asyncio.current_task()
    assert block is not None
    failed.add_done_callback(lambda task: None if task.cancelled() else block.cancel(repr(task.exception())))
    try:
        await eventually(lambda: worker.is_ready)
        yield worker
    finally:
        failed.cancel()
        await worker.stop()


def ids(records: list[Any]) -> Counter[str]:
    """Return how often each event was written, by its id."""
    return Counter(dict(record.headers)["ce_id"].decode() for record in records)


def newest(records: list[Any]) -> dict[str, Any]:
    """Return the value with the greatest revision of each signal."""
    values = sorted((json.loads(record.value) for record in records), key=lambda value: value["revision"])
    return {value["signal_id"]: value for value in values}


def test_ticks_become_signals_in_their_own_partition(embedded: EmbeddedBroker, prefix: str) -> None:
    """Signals of an instrument are written, in order, to the partition of its ticks, with CloudEvents headers."""

    async def work() -> None:
        config = config_for(embedded.bootstrap, prefix)
        topics = await make_topics(config)
        day = Day(config, INSTRUMENTS)
        async with running(config):
            await write(config, day.bars() + day.days())
            await caught_up(config)

        records = await read(config, [topics.breakouts])

        partition_of = {record.key: record.partition for record in day.bars()}
        assert {record.key for record in records} == set(partition_of)
        assert all(record.partition == partition_of[record.key] for record in records)
        mine = [json.loads(record.value) for record in records if record.key == b"XNYS:AAA"]
        breakouts = [value for value in mine if value["family"] == "high_52w"]
        triggered = [value["session_date"] for value in breakouts if value["transition"] == "triggered"]
        assert triggered == ["2025-06-02", "2025-06-03", "2025-06-04"]
        assert all(count == 1 for count in ids(records).values())

    run(work())


def test_article_is_joined_whichever_side_of_the_signal_it_arrives(embedded: EmbeddedBroker, prefix: str) -> None:
    """An article enriches a signal that is there already, and a signal that comes later carries it from the start."""

    async def work() -> None:
        config = config_for(embedded.bootstrap, prefix)
        topics = await make_topics(config)
        day = Day(config, INSTRUMENTS[:2])
        early = day.article(1, int(day.sessions[0]["open_ns"]) - 3_600_000_000_000, ["XNYS:AAA"])
        late = day.article(2, int(day.sessions[0]["close_ns"]), ["XNYS:BBB"])
        async with running(config):
            await write(config, [*day.bars(), early])
            await caught_up(config)
            await write(config, day.days(ticks=20)[:70])
            await caught_up(config)
            await write(config, [late])
            await caught_up(config)

        enriched = newest(await read(config, [topics.enriched]))

        found = {
            (value["signal"]["instrument"]["id"], a["article_id"])
            for value in enriched.values()
            for a in value["articles"]
        }
        assert found == {("XNYS:AAA", "article-1"), ("XNYS:BBB", "article-2")}
        assert all(value["tags"] == ["Artificial Intelligence", "Cloud Computing"] for value in enriched.values())

    run(work())


def test_poison_goes_to_the_dead_letters_alone(embedded: EmbeddedBroker, prefix: str) -> None:
    """A record that cannot be used is put aside with its bytes and its reason; its neighbours are folded as ever."""

    async def work() -> None:
        config = config_for(embedded.bootstrap, prefix, partitions=1)
        topics = await make_topics(config)
        day = Day(config, INSTRUMENTS[:2], sessions=1)
        poison = [
            b"{broken",
            b"\x00\x00\x00\x00\x01registry",
            b"\xff\xfe not utf-8",
            b'{"instrument":"XNYS:AAA","time":"2025-06-02T14:00:00","price":"1","size":"1"}',
            b'{"instrument":"XNYS:AAA","time":"2025-06-02T14:00:00Z","price":-1,"size":"1"}',
            b'{"instrument":"XXXX:AAA","time":"2025-06-02T14:00:00Z","price":"1","size":"1"}',
            b"x" * 1_000_000,
            b'{"instrument":"XNYS:AAA","time":"2099-06-02T14:00:00Z","price":"1","size":"1"}',
        ]
        good = day.days(ticks=16)
        mixed: list[Input] = []
        for index, record in enumerate(good):
            mixed.append(record)
            if index % 7 == 3 and poison:
                mixed.append(Input(topics.ticks, 0, b"XNYS:AAA", poison.pop(0)))
                mixed.append(Input(topics.ticks, 0, b"XNYS:AAA", None))
        assert not poison
        async with running(config) as worker:
            await write(config, day.bars() + mixed)
            await write(
                config, [Input(topics.articles, 0, b"a", b'{"article_id":"a"}'), Input(topics.news, 0, b"a", b"no")]
            )
            await caught_up(config)
            rejected: Counter[str] = Counter()
            for labels, count in samples(worker, "fiftytwo_records_rejected_total"):
                rejected[labels["reason"]] += int(count)

        letters = await read(config, [topics.dlq(topics.ticks)])
        assert [headers_of(record)["dlq.error-class"] for record in letters] == [
            "invalid_json", "registry_framed", "invalid_utf8", "time_without_zone",
            "invalid_price", "unknown_market", "invalid_json", "future_time",
        ]  # fmt: skip
        assert letters[0].value == b"{broken"
        assert letters[6].value == b"x" * 1_000_000
        first = headers_of(letters[0])
        assert (first["dlq.topic"], first["dlq.partition"], first["dlq.stage"]) == (topics.ticks, "0", "deserialize")
        assert rejected["invalid_json"] == 3
        assert len(await read(config, [topics.dlq(topics.articles), topics.dlq(topics.news)])) == 2
        signals = newest(await read(config, [topics.breakouts]))
        assert {value["instrument"]["id"] for value in signals.values()} == set(INSTRUMENTS[:2])

    run(work())


def test_T_B6_restart_after_a_trigger_does_not_trigger_again(embedded: EmbeddedBroker, prefix: str) -> None:
    """T-B6: a worker that starts again in the middle of a session goes on as if it had never stopped."""

    async def work() -> None:
        config = config_for(embedded.bootstrap, prefix)
        topics = await make_topics(config)
        day = Day(config, INSTRUMENTS)
        records = day.bars() + day.days()
        cuts = [len(records) * part // 5 for part in range(6)]
        for first, last in pairwise(cuts):
            async with running(config):
                await write(config, records[first:last])
                await caught_up(config)

        reference = config_for(embedded.bootstrap, f"{prefix}reference.", application_id=config.kafka.application_id)
        other = await make_topics(reference)
        async with running(reference):
            await write(
                reference,
                (
                    Input(f"{prefix}reference.{r.topic.removeprefix(prefix)}", r.partition, r.key, r.value)
                    for r in records
                ),
            )
            await caught_up(reference)

        for mine, theirs in ((topics.breakouts, other.breakouts), (topics.momentum, other.momentum)):
            expected = [(r.partition, r.key, r.value, r.headers) for r in await read(reference, [theirs])]
            assert [(r.partition, r.key, r.value, r.headers) for r in await read(config, [mine])] == expected
            assert expected
        assert newest(await read(config, [topics.enriched])) == newest(await read(reference, [other.enriched]))

    run(work())


def test_replay_of_a_whole_topic_gives_the_same_bytes(embedded: EmbeddedBroker, prefix: str) -> None:
    """T-B7: a group that reads the same topics from offset 0 writes the same records, but for who says it."""

    async def work() -> None:
        first = config_for(embedded.bootstrap, prefix)
        topics = await make_topics(first)
        day = Day(first, INSTRUMENTS)
        async with running(first):
            await write(first, day.bars() + day.days())
            await caught_up(first)
        once = await read(first, [topics.breakouts, topics.momentum])

        second = config_for(embedded.bootstrap, prefix, application_id=f"{prefix}again")
        async with running(second):
            await caught_up(second)

        twice = await read(first, [topics.breakouts, topics.momentum])
        assert ids(once).keys() == ids(twice).keys()
        assert set(ids(twice).values()) == {2}
        by_source: dict[bytes, list[bytes]] = {}
        for record in twice:
            by_source.setdefault(dict(record.headers)["ce_source"], []).append(record.value)
        values = list(by_source.values())
        assert len(values) == 2
        assert values[0] == values[1]

    run(work())


def test_three_workers_share_the_partitions_and_hand_them_on(apache: ApacheBroker, prefix: str) -> None:
    """Scaling from one worker to three and back loses nothing and writes nothing twice.

    On Apache Kafka alone: the embedded broker may forget a member in a rebalance, and then waits a minute for it.
    """

    async def work() -> None:
        config = config_for(apache.bootstrap, prefix, partitions=6)
        topics = await make_topics(config)
        day = Day(config, INSTRUMENTS)
        records = day.bars() + day.days()
        cuts = [len(records) * part // 5 for part in range(6)]
        parts = [records[first:last] for first, last in pairwise(cuts)]
        async with running(config) as one:
            await write(config, parts[0])
            async with running(config) as two:
                # Nobody waits for the rebalance: what is under way when partitions move is moved with them.
                await write(config, parts[1])
                async with running(config) as three:
                    workers = one, two, three
                    await eventually(lambda: all(worker.is_ready and worker.health.live == 2 for worker in workers))
                    await write(config, parts[2])
                    await caught_up(config)
                await write(config, parts[3])
            await eventually(lambda: one.is_ready and one.health.live == 6)
            await write(config, parts[4])
            await caught_up(config)

        found = await read(config, [topics.breakouts, topics.momentum])
        assert all(count == 1 for count in ids(found).values())

        reference = config_for(apache.bootstrap, prefix, partitions=6, application_id=f"{prefix}again")
        async with running(reference):
            await caught_up(reference)
        everything = await read(config, [topics.breakouts, topics.momentum])
        assert ids(everything).keys() == ids(found).keys()
        values: dict[bytes, set[bytes]] = {}
        for record in everything:
            values.setdefault(dict(record.headers)["ce_id"], set()).add(record.value)
        assert all(len(same) == 1 for same in values.values())

    run(work())


def test_worker_without_partitions_is_a_spare_one_and_ready(apache: ApacheBroker, prefix: str) -> None:
    """The group may have nothing for a worker: it is as good as any, and takes over when another goes."""

    async def work() -> None:
        config = config_for(apache.bootstrap, prefix, partitions=1)
        await make_topics(config)
        day = Day(config, INSTRUMENTS[:1])
        async with running(config) as one:
            await write(config, day.bars())
            async with running(config) as two:
                await eventually(lambda: one.is_ready and two.is_ready and one.health.live + two.health.live == 1)
                assert one.health.failures() == two.health.failures() == []
            await eventually(lambda: one.is_ready and one.health.live == 1)
            await caught_up(config)

    run(work())


def test_worker_refuses_topics_that_are_not_there(embedded: EmbeddedBroker, prefix: str) -> None:
    """Without its topics a worker does not start, and names the command that makes them."""

    async def work() -> None:
        worker = Worker(config_for(embedded.bootstrap, prefix))
        with pytest.raises(WorkerRefused, match=r"found \d+ of them missing: run `fiftytwo --prefix .* topics apply`"):
            await worker.start()
        await worker.stop()

    run(work())


def test_positions_are_committed_without_signals(embedded: EmbeddedBroker, prefix: str) -> None:
    """Records that cause no output are passed too, soon after they were read."""

    async def work() -> None:
        config = config_for(embedded.bootstrap, prefix)
        topics = await make_topics(config)
        day = Day(config, INSTRUMENTS)
        async with running(config):
            await write(config, day.bars())
            await caught_up(config)

        assert sum(count for (topic, _), count in (await committed(config)).items() if topic == topics.ticks) == 1300
        assert not await read(config, topics.outputs)

    run(work())


def headers_of(record: Any) -> dict[str, str]:
    """Return a record's headers as text."""
    return {name: value.decode() for name, value in record.headers}


def samples(worker: Worker, name: str) -> list[tuple[dict[str, str], float]]:
    """Return the samples of one metric."""
    return [
        (sample.labels, sample.value)
        for family in worker.registry.collect()
        for sample in family.samples
        if sample.name == name
    ]
