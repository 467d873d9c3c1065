"""`fiftytwo verify` where retention has removed the beginning: what it excuses, and what it does not."""

from __future__ import annotations

import asyncio
import json
from dataclasses import dataclass, replace

import pytest
from aiokafka import TopicPartition
from aiokafka.admin import RecordsToDelete

from streams.cli import run
from streams.config import Config, Snapshots
from streams.kafka.restorer import StateTopic
from streams.kafka.topics import Topics, connect
from streams.wire.snapshots import Identity, read_manifest, series_keys
from tests.integration.apache import ApacheBroker
from tests.integration.feeding import Day, caught_up, config_for, make_topics, read, write
from tests.integration.tampering import Kept, forged, removed, rewrite
from tests.integration.test_verify import INSTRUMENTS, check, command_for, left_behind, story
from tests.integration.test_worker import running

ALL = -1
"""Instead of an offset: all that is there."""


def test_articles_that_retention_removed_are_no_difference(apache: ApacheBroker, prefix: str) -> None:
    """Their copies lie before the start; copies of articles that are still there are judged."""

    async def work() -> None:
        config = config_for(apache.bootstrap, prefix)
        await make_topics(config)
        topics = Topics(prefix)
        day = Day(config, INSTRUMENTS, sessions=1)
        opening = int(day.sessions[0]["open_ns"])
        async with running(config):
            await write(config, [day.article(number, opening + number, INSTRUMENTS[:2]) for number in range(20)])
            await caught_up(config)
        await cut(config, {topics.articles: {0: 4, 1: 4}})

        report = await check(config)
        await rewrite(config, topics.news, removed(-1))
        without = await check(config)

        fans = [each for each in report.partitions if each.kind == "articles"]
        assert not [each.problem for each in fans if each.problem]
        assert fans[0].start == "offset 4"
        assert sum(each.counts.before for each in fans) == 16
        assert sum(each.counts.expected for each in fans) > 0
        assert report.counts.is_well
        assert without.counts.lost == 1

    asyncio.run(work())


@dataclass(frozen=True)
class Fanned:
    """Copies of two waves of articles, ten each, that a worker wrote into one partition.

    Attributes:
        names: Of their articles, in order.
        offsets: Where they are.
        oldest: Place of the last one of the first wave.
        lost: Place of the first one of the second wave whose article is in another partition than that of `oldest`.
    """

    partition: int
    names: list[str]
    offsets: list[int]
    oldest: int
    lost: int


async def fan_out(config: Config) -> Fanned:
    """Let a worker fan out two waves of articles about one instrument."""
    day = Day(config, INSTRUMENTS, sessions=1)
    opening = int(day.sessions[0]["open_ns"])
    articles = [day.article(number, opening + number, INSTRUMENTS[:1]) for number in range(20)]
    async with running(config):
        for wave in (articles[:10], articles[10:]):
            await write(config, wave)
            await caught_up(config)
    sources = {f"article-{number}": article.partition for number, article in enumerate(articles)}
    found = await read(config, [Topics(config.kafka.prefix).news])
    names = [json.loads(record.value)["article_id"] for record in found]
    lost = next(at for at, name in enumerate(names) if at >= 10 and sources[name] != sources[names[9]])
    return Fanned(found[0].partition, names, [record.offset for record in found], 9, lost)


def test_copy_within_retention_is_lost_while_older_ones_are_excused(
    apache: ApacheBroker, prefix: str, capsys: pytest.CaptureFixture[str], monkeypatch: pytest.MonkeyPatch
) -> None:
    """What retention may have removed is told as not judged, and hides no copy that is too young for it.

    The oldest copy that is left is the last of the first wave. The one that is taken out then is the first of its
    source that would be left: its age alone says that retention has not removed it.
    """
    config = config_for(apache.bootstrap, prefix)

    async def work() -> None:
        await make_topics(config)
        topics = Topics(prefix)
        fanned = await fan_out(config)
        # The first article of each partition goes, too: what its copy was to be is not known any more.
        await cut(config, {topics.articles: {0: 1, 1: 1}, topics.news: {fanned.partition: fanned.offsets[9]}})
        trimmed = [each for each in (await check(config)).partitions if each.kind == "articles"]

        # Retention has removed one record of the topic that is made anew, so that its beginning is missing as before.
        await rewrite(
            config,
            topics.news,
            lambda records: [records[0], *removed(fanned.lost - fanned.oldest)(records)],
            keep_stamps=True,
        )
        await cut(config, {topics.news: {fanned.partition: 1}})
        without = [each for each in (await check(config)).partitions if each.kind == "articles"]

        assert not [each.problem for each in (*trimmed, *without) if each.problem]
        assert all(each.counts.is_well for each in trimmed), trimmed
        # Of the first wave one copy is left, and the articles of two are gone.
        assert [sum(each.counts.before for each in fans) for fans in (trimmed, without)] == [7, 7]
        defects = [defect for each in without for found in each.findings for defect in found.defects]
        assert [(defect.kind, defect.place) for defect in defects] == [("lost", f"{topics.news}/{fanned.partition}")]
        assert f"copy of {fanned.names[fanned.lost]} version 0 for {INSTRUMENTS[0]}" in defects[0].text

    asyncio.run(work())
    command = command_for(config, monkeypatch)
    capsys.readouterr()

    assert run(command) == 1

    told = capsys.readouterr().out
    assert "7 records of before that, or removed by retention: not judged." in told
    assert f"lost: {prefix}news.by-instrument.v1/" in told


def test_verify_begins_at_a_base_snapshot_where_the_log_is_cut(apache: ApacheBroker, prefix: str) -> None:
    """Where retention has removed the beginning, the oldest base snapshot that the logs reach back to is the start."""

    async def work() -> None:
        config = replace(config_for(apache.bootstrap, prefix), snapshots=Snapshots(interval_s=0.5, share_max=1.0))
        await make_topics(config)
        records = story(config)
        half = len(records) // 2
        async with running(config):
            await write(config, records[:half])
            await caught_up(config)
            at: dict[str, dict[int, int]] = {}
            for first in range(half, len(records), 40):
                await write(config, records[first : first + 40])
                await caught_up(config)
                at = at or await bases(config)
        assert at, "expected base snapshots before the story ends"
        await cut(config, at)

        report = await check(config)

        assert report.is_well, [found.defects for each in report.partitions for found in each.findings if found.defects]
        states = [each for each in report.partitions if each.kind == "state"]
        assert all(each.start.startswith("base snapshot base-") for each in states)
        assert sum(each.counts.expected for each in states) > 0
        await rewrite(config, Topics(prefix).breakouts, removed(-1))
        assert (await check(config)).counts.lost == 1
        await rewrite(config, Topics(prefix).enriched, forged)
        assert (await check(config)).counts.unexpected == 1

    asyncio.run(work())


def third_removed(records: list[Kept]) -> list[Kept]:
    """Leave the third record of the first partition out."""
    third = [record for record in records if record.partition == 0][2]
    return [record for record in records if record is not third]


def test_outputs_that_retention_removed_before_their_inputs_are_no_difference(
    apache: ApacheBroker, prefix: str
) -> None:
    """What is older than all that is left of a topic is not judged; what is missing after that is lost."""

    async def work() -> None:
        async with left_behind(apache, prefix) as config:
            topics = Topics(prefix)
            breakouts = [record for record in await read(config, [topics.breakouts]) if record.partition == 0]
            enriched = {
                json.loads(record.value)["signal_id"]
                for record in await read(config, [topics.enriched])
                if record.partition == 0
            }
            await cut(config, {topics.breakouts: {0: breakouts[3].offset}, topics.enriched: {0: ALL}})

            trimmed = await check(config)
            await rewrite(config, topics.breakouts, third_removed, keep_stamps=True)
            await cut(config, {topics.breakouts: {0: 1}})
            without = await check(config)

        assert trimmed.is_well, trimmed
        assert trimmed.counts.before == 3 + len(enriched)
        assert trimmed.counts.before > 3
        assert (without.counts.before, without.counts.lost) == (4 + len(enriched), 1)

    asyncio.run(work())


async def bases(config: Config) -> dict[str, dict[int, int]]:
    """Return the positions of base snapshots by topic and partition, nothing while a partition has none."""
    topics = Topics(config.kafka.prefix)
    state = StateTopic(config.kafka, topics.state)
    at: dict[str, dict[int, int]] = {topics.ticks: {}, topics.news: {}}
    for number in range(config.kafka.partitions):
        records, _ = await state.read(number)
        identity = Identity(config.kafka.application_id, number, config.kafka.partitions)
        found = [series for series in series_keys(records, identity) if series.startswith("base-")]
        if not found:
            return {}
        positions = read_manifest(records, identity, found[0]).positions
        at[topics.ticks][number], at[topics.news][number] = positions.ticks, positions.news
    return at


async def cut(config: Config, at: dict[str, dict[int, int]]) -> None:
    """Remove what comes before some offsets, as retention does."""
    async with connect(config.kafka) as admin:
        places = {
            TopicPartition(topic, number): RecordsToDelete(offset)
            for topic, numbers in at.items()
            for number, offset in numbers.items()
        }
        await admin.delete_records(places)
