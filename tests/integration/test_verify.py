"""`fiftytwo verify` on topics that a worker left behind: it agrees, and it names what was changed."""

from __future__ import annotations

import asyncio
import json
import os
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from dataclasses import replace
from pathlib import Path

import pytest
from aiokafka import AIOKafkaConsumer, TopicPartition

from streams.audit.report import Report
from streams.audit.store import FileStore, StoreRefused
from streams.audit.verify import verify
from streams.calendars import load_markets
from streams.cli import run
from streams.config import Config
from streams.kafka.rewind import plan
from streams.kafka.topics import Topics
from streams.wire.positions import COMMITTED, ROUTER, STATE
from streams.wire.snapshots import Identity
from tests.integration.apache import ApacheBroker
from tests.integration.feeding import Day, Input, caught_up, config_for, make_topics, write
from tests.integration.tampering import (
    Change,
    doubled,
    one_byte_changed,
    one_header_changed,
    removed,
    rewrite,
    swapped,
)
from tests.integration.test_worker import running

INSTRUMENTS = ("XNYS:AAA", "XNYS:BBB", "XNYS:CCC", "XNYS:DDD")


async def check(config: Config) -> Report:
    """Verify the topics of a test."""
    return await verify(config, load_markets(config.markets.mics, lookback=config.rules.lookback))


def story(config: Config) -> list[Input]:
    """Return days of trading with news on both sides of signals, and records that no worker can use."""
    day = Day(config, INSTRUMENTS, sessions=2)
    opening = int(day.sessions[0]["open_ns"])
    news = [
        day.article(1, opening - 3_600_000_000_000, ["XNYS:AAA", "XNYS:BBB"]),
        day.article(2, opening + 7_200_000_000_000, ["XNYS:BBB", "XNYS:CCC"]),
    ]
    topics = Topics(config.kafka.prefix)
    garbage = [
        Input(topic, partition, b"XNYS:AAA", value)
        for topic in topics.inputs
        for partition in range(config.kafka.partitions)
        for value in (b"{", b'{"type":"nothing"}', b"\xff\xfe")
    ]
    days = day.days()
    half = len(days) // 2
    return [*day.bars(), news[0], *days[:half], *garbage, news[1], *days[half:]]


@asynccontextmanager
async def left_behind(broker: ApacheBroker, prefix: str) -> AsyncIterator[Config]:
    """Let a worker read a story, and end it."""
    config = config_for(broker.bootstrap, prefix)
    await make_topics(config)
    async with running(config):
        await write(config, story(config))
        await caught_up(config)
    yield config


def test_verify_agrees_with_what_a_worker_left_behind(apache: ApacheBroker, prefix: str) -> None:
    """Signals, enriched signals, dead letters and copies of articles are all found, each once."""

    async def work() -> None:
        async with left_behind(apache, prefix) as config:
            report = await check(config)

        assert report.is_well, report
        by_topic = {
            found.place.removeprefix(prefix): found.counts for each in report.partitions for found in each.findings
        }
        for topic in ("signals.breakouts.v1", "signals.momentum.v1", "signals.enriched.v1", "news.by-instrument.v1"):
            assert sum(counts.expected for place, counts in by_topic.items() if place.startswith(topic)) > 0, topic
        assert [
            by_topic[f"{topic}.dlq/{number}"].found
            for topic in ("market.ticks.v1", "news.articles.v1")
            for number in range(2)
        ] == [3] * 4
        assert report.counts.ahead == report.counts.before == 0
        assert report.inputs > 1000

    asyncio.run(work())


@pytest.mark.parametrize(
    ("topic", "change", "kind"),
    [
        ("signals.breakouts.v1", removed(3), "lost"),
        ("signals.breakouts.v1", doubled(3), "doubled"),
        ("signals.breakouts.v1", one_byte_changed(3), "different"),
        ("signals.breakouts.v1", one_header_changed(3, "ce_id"), "different"),
        ("signals.breakouts.v1", one_header_changed(3, "ce_type"), "different"),
        ("signals.momentum.v1", swapped(2), "out of order"),
        ("signals.enriched.v1", removed(-1), "lost"),
        ("signals.enriched.v1", doubled(0), "doubled"),
        ("signals.enriched.v1", one_byte_changed(-1), "different"),
        ("market.ticks.v1.dlq", removed(1), "lost"),
        ("market.ticks.v1.dlq", one_header_changed(1, "dlq.error-class"), "different"),
        ("news.by-instrument.v1.dlq", doubled(0), "doubled"),
    ],
)
def test_verify_names_what_was_changed(
    apache: ApacheBroker, prefix: str, topic: str, change: Change, kind: str
) -> None:
    """One record removed, doubled, moved or changed by a byte is one difference, of its kind and in its topic."""

    async def work() -> None:
        async with left_behind(apache, prefix) as config:
            await rewrite(config, prefix + topic, change)

            report = await check(config)

        defects = [defect for each in report.partitions for found in each.findings for defect in found.defects]
        assert [defect.kind for defect in defects] == [kind], defects
        assert defects[0].place.startswith(prefix + topic + "/")
        assert not report.is_well

    asyncio.run(work())


def test_verify_judges_what_is_committed_while_a_worker_runs(apache: ApacheBroker, prefix: str) -> None:
    """A worker that writes on while its topics are read is no difference."""

    async def work() -> None:
        config = config_for(apache.bootstrap, prefix)
        await make_topics(config)
        records = story(config)
        async with running(config):
            # Every partition of every input has been read before: what nobody has begun to read is not judged.
            begun = 1 + max(at for at, record in enumerate(records) if record.value == b"{")
            await write(config, records[:begun])
            await caught_up(config)
            feeding = asyncio.create_task(write(config, records[begun:]))
            reports = [await check(config) for _ in range(3)]
            await feeding
            await caught_up(config)

        assert [report.is_well for report in reports] == [True] * 3, reports

    asyncio.run(work())


def test_verify_goes_by_the_positions_that_were_written_with_the_outputs(apache: ApacheBroker, prefix: str) -> None:
    """Positions of the group that a tool has moved hide nothing."""

    async def work() -> None:
        async with left_behind(apache, prefix) as config:
            topics = Topics(prefix)
            places = [TopicPartition(topic, number) for topic in topics.inputs for number in range(2)]
            consumer = AIOKafkaConsumer(bootstrap_servers=apache.bootstrap, group_id=config.kafka.group)
            await plan(config, since_ms=None)  # Waits until the group has forgotten the worker.
            await consumer.start()
            try:
                consumer.assign(places)
                await consumer.commit(dict.fromkeys(places, 0))
            finally:
                await consumer.stop()
            await rewrite(config, topics.breakouts, lambda records: [])

            report = await check(config)

        assert report.counts.lost > 0
        assert not [each.problem for each in report.partitions if each.problem]

    asyncio.run(work())


def test_nothing_is_well_where_no_worker_ran(apache: ApacheBroker, prefix: str) -> None:
    """Where nothing is committed nothing must be there, and that proves nothing: no partition is judged."""

    async def work() -> None:
        config = config_for(apache.bootstrap, prefix)
        await make_topics(config)

        empty = await check(config)
        await write(config, story(config))
        full = await check(config)

        assert [bool(each.problem) for report in (empty, full) for each in report.partitions] == [True] * 8
        assert not empty.is_well
        assert "kafka.application_id" in full.partitions[0].problem

    asyncio.run(work())


def test_verify_says_that_committed_positions_are_damaged(apache: ApacheBroker, prefix: str) -> None:
    """The partition is not judged, the text says what to do, and the others are judged."""

    async def work() -> None:
        async with left_behind(apache, prefix) as config:
            state = Topics(prefix).state
            identity = Identity(config.kafka.application_id, 1, config.kafka.partitions)
            keys = [identity.key(COMMITTED, kind) for kind in (STATE, ROUTER)]
            await write(config, [Input(state, 1, key, b"no frame") for key in keys])

            report = await check(config)

        problems = {f"{each.kind} {each.partition}": each.problem for each in report.partitions if each.problem}
        assert list(problems) == ["state 1", "articles 1"]
        assert all("fiftytwo rewind" in problem for problem in problems.values())
        assert report.counts.is_well
        assert not report.is_well

    asyncio.run(work())


def test_verify_reads_each_stretch_under_the_rules_that_held(apache: ApacheBroker, prefix: str) -> None:
    """Options that changed half-way are no difference, whichever of them are configured now."""

    async def work() -> None:
        before = config_for(apache.bootstrap, prefix)
        after = replace(before, rules=replace(before.rules, hysteresis_bps=10, max_triggers=1))
        await make_topics(before)
        records = story(before)
        half = len(records) * 2 // 3
        async with running(before):
            await write(before, records[:half])
            await caught_up(before)
        async with running(after):
            await write(before, records[half:])
            await caught_up(after)

        reports = [await check(before), await check(after)]

        assert [report.is_well for report in reports] == [True, True], reports
        assert reports[0].counts.expected > 0

    asyncio.run(work())


def test_partition_goes_on_in_its_middle(apache: ApacheBroker, prefix: str, tmp_path: Path) -> None:
    """What is interrupted in the middle of a partition goes on there, and says what an uninterrupted one says."""

    async def work() -> None:
        async with left_behind(apache, prefix) as config:
            markets = load_markets(config.markets.mics, lookback=config.rules.lookback)
            whole = await check(config)
            file = tmp_path / "verify.json"

            class Interrupted(Exception):
                pass

            def interrupt(what: str, done: int, total: int) -> None:
                if what == "partition 1" and done > total // 2:
                    raise Interrupted

            with pytest.raises(Interrupted):
                await verify(
                    config, markets, store=FileStore(file, config, interval_seconds=0.0), on_progress=interrupt
                )
            kept = FileStore(file, config)
            partial = kept.partial(1)
            told: list[tuple[str, int]] = []

            resumed = await verify(
                config, markets, store=kept, on_progress=lambda what, done, _: told.append((what, done))
            )

        assert partial is not None
        assert partial.inputs > 0
        assert resumed == whole
        assert resumed.is_well
        assert next(done for what, done in told if what == "partition 1") >= partial.inputs

    asyncio.run(work())


def test_copies_of_articles_go_on_where_they_were_interrupted(
    apache: ApacheBroker, prefix: str, tmp_path: Path
) -> None:
    """What was read of the articles of one partition, and what came of them, is not read again."""

    async def work() -> None:
        async with left_behind(apache, prefix) as config:
            markets = load_markets(config.markets.mics, lookback=config.rules.lookback)
            whole = await check(config)
            file = tmp_path / "verify.json"

            class Interrupted(Exception):
                pass

            seen: list[str] = []

            def interrupt(what: str, *_: int) -> None:
                if what.startswith("articles") and what not in seen:
                    seen.append(what)
                    if len(seen) == 2:
                        raise Interrupted

            with pytest.raises(Interrupted):
                await verify(
                    config, markets, store=FileStore(file, config, interval_seconds=0.0), on_progress=interrupt
                )
            kept = FileStore(file, config)
            partial = kept.fanout()
            told: list[str] = []

            resumed = await verify(config, markets, store=kept, on_progress=lambda what, *_: told.append(what))

        assert partial is not None
        assert sorted(source.inputs > 0 for source in partial.sources) == [False, True]
        assert resumed == whole
        assert resumed.is_well
        assert [what for what in told if what.startswith("articles")] == seen[1:]

    asyncio.run(work())


def command_for(config: Config, monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """Return the command line that verifies an application, with nothing of this machine's environment in it."""
    for name in os.environ:
        if name.startswith("FIFTYTWO_") and name != "FIFTYTWO_CACHE_DIR":
            monkeypatch.delenv(name)
    kafka = config.kafka
    options = ["--bootstrap-servers", kafka.bootstrap_servers, "--prefix", kafka.prefix, "--set", "markets.mics=XNYS"]
    settings = {"application_id": kafka.application_id, "partitions": kafka.partitions}
    return [
        "verify",
        *options,
        *(each for key, value in settings.items() for each in ("--set", f"kafka.{key}={value}")),
    ]


def test_command_ends_with_0_only_when_all_is_well(
    apache: ApacheBroker, prefix: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """`fiftytwo verify` prints the counts of every partition, names a difference, and says it by its exit code."""

    async def leave() -> Config:
        async with left_behind(apache, prefix) as config:
            return config

    config = asyncio.run(leave())
    command = command_for(config, monkeypatch)

    assert run([*command]) == 0
    well = capsys.readouterr().out
    asyncio.run(rewrite(config, Topics(prefix).breakouts, removed(0)))
    assert run([*command, "--json"]) == 1
    document = json.loads(capsys.readouterr().out)

    assert "All is well" in well
    assert well.splitlines()[0].split()[-2:] == ["ahead", "before"]
    assert [line.split()[0] for line in well.splitlines()[:6]] == [
        "partition",
        "state",
        "state",
        "articles",
        "articles",
        "all",
    ]
    assert (document["well"], document["lost"]) == (False, 1)


def test_verification_goes_on_where_it_was_interrupted(apache: ApacheBroker, prefix: str, tmp_path: Path) -> None:
    """Finished partitions are kept in a file, with the positions that they were judged at."""

    async def work() -> None:
        async with left_behind(apache, prefix) as config:
            markets = load_markets(config.markets.mics, lookback=config.rules.lookback)
            file = tmp_path / "verify.json"
            whole = await verify(config, markets, store=FileStore(file, config))
            read_again: list[str] = []

            resumed = await verify(
                config, markets, store=FileStore(file, config), on_progress=lambda what, *_: read_again.append(what)
            )

        assert resumed == whole
        assert not [what for what in read_again if what.startswith("partition")]
        with pytest.raises(StoreRefused, match="another"):
            FileStore(file, config_for(apache.bootstrap, "other."))

    asyncio.run(work())
