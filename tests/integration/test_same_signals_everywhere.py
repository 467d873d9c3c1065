"""One feed gives one set of signals: on the embedded broker, on Apache Kafka, and with no broker at all."""

from __future__ import annotations

import asyncio
import json
import uuid
from collections import defaultdict
from collections.abc import Iterable, Iterator
from dataclasses import dataclass, field, replace
from typing import Any, Final

import pytest

from streams.calendars import load_markets
from streams.config import Config
from streams.core.processor import Processor
from streams.core.units import format_decimal, format_time, parse_decimal, parse_time
from streams.feeds.history import bar_step
from streams.feeds.scenario import INSTRUMENT, MONDAY, TUESDAY, build
from streams.feeds.sender import Sender
from streams.feeds.steps import Step
from streams.feeds.story import FACTS
from streams.kafka.embedded import EmbeddedBroker
from streams.kafka.topics import Topics, expected_partition
from streams.wire.signals import encode
from tests.integration.apache import ApacheBroker
from tests.integration.feeding import caught_up, config_for, make_topics, read
from tests.integration.test_worker import running

PARTITIONS: Final = 2
RUN_SECONDS_MAX: Final = 180.0

# Alibaba upside down, so that lows break where its highs do: one in its own partition, one in the other.
MIRRORS: Final = ("XNYS:JD", "XNYS:MIRROR")
MIRRORED_AT: Final = parse_decimal("400")
MIRROR_ARTICLE_TAGS: Final = ["Index Rebalancing", "Short Interest"]

FUTURE: Final = "future_time"
POISON: Final[tuple[tuple[bytes, str], ...]] = (
    (b"{broken", "invalid_json"),
    (b"\xff\xfe not utf-8", "invalid_utf8"),
    (b"\x00\x00\x00\x00\x01registry", "registry_framed"),
    (b'{"instrument":"XNYS:BABA","time":"2025-09-29T14:00:00","price":"999","size":"1"}', "time_without_zone"),
    (b'{"instrument":"XNYS:BABA","time":"2025-09-29T14:00:00Z","price":-1,"size":"1"}', "invalid_price"),
    (b'{"instrument":"XXXX:BABA","time":"2025-09-29T14:00:00Z","price":"999","size":"1"}', "unknown_market"),
    (b'{"instrument":"XNYS:BABA","time":"2025-12-29T15:00:00Z","price":"999","size":"1"}', FUTURE),
)

Said = tuple[bytes | None, bytes | None, tuple[tuple[str, bytes], ...]]
"""What must be the same everywhere: a record's key, value and headers, in this order."""


@dataclass
class Play:
    """What a worker made of the feed, by topic without prefix and partition, in the order of the log."""

    config: Config
    said: dict[tuple[str, int], list[Said]] = field(default_factory=lambda: defaultdict(list))

    def of(self, topic: str) -> dict[int, list[Said]]:
        """Return what a topic says, by partition."""
        return {partition: records for (name, partition), records in self.said.items() if name == topic}

    def last_enriched(self) -> dict[str, tuple[int, Said]]:
        """Return each signal's enriched record of the greatest revision, with its partition."""
        last: dict[str, tuple[int, int, Said]] = {}
        for partition, records in self.of("signals.enriched.v1").items():
            for record in records:
                value = json.loads(record[1] or b"")
                before = last.get(value["signal_id"], (0,))
                assert value["revision"] > before[0], "an enriched signal's revisions must grow in its log"
                last[value["signal_id"]] = (value["revision"], partition, record)
        return {signal: (partition, record) for signal, (_, partition, record) in last.items()}


def mirrored(step: Step, instrument: str) -> Step:
    """Return a bar or tick step of another instrument whose prices are upside down."""
    document = json.loads(step.value)
    upside = {
        name: format_decimal(MIRRORED_AT - parse_decimal(document[name]))
        for name in ("price", "open", "high", "low", "close")
        if name in document
    }
    if step.kind == "bar":
        upside["high"], upside["low"] = upside["low"], upside["high"]
    value = json.dumps({**document, **upside, "instrument": instrument}).encode()
    return replace(step, key=instrument, value=value)


def with_mirrors(steps: Iterable[Step]) -> Iterator[Step]:
    """Let every bar and tick be followed by its mirror images."""
    for step in steps:
        yield step
        if step.kind in ("bar", "tick"):
            yield from (mirrored(step, name) for name in MIRRORS)


def with_poison(steps: list[Step]) -> Iterator[Step]:
    """Spread the poison over the steps, under the keys of the good records."""
    every = len(steps) // (len(POISON) + 1)
    for index, step in enumerate(steps):
        yield step
        place, rest = divmod(index, every)
        if rest == every - 1 and place < len(POISON):
            yield Step("tick", 0, INSTRUMENT, POISON[place][0])


def mirror_article(time_ns: int) -> Step:
    """Return an article about the mirror in the other partition."""
    value = {
        "article_id": "mirror-1",
        "source": "wire",
        "title": "A mirror is sold",
        "published_at": format_time(time_ns),
        "received_at": format_time(time_ns),
        "tags": MIRROR_ARTICLE_TAGS,
        "instruments": [{"instrument_id": MIRRORS[1], "relevance": 0.9}],
    }
    return Step("article", time_ns, "mirror-1", json.dumps(value).encode())


@dataclass(frozen=True)
class Feed:
    """The records, in two halves: where an article's copies stand among Tuesday's clocks is the router's to say.

    A replay that wants the same links every time therefore waits until the articles have been passed on.
    """

    before: tuple[Step, ...]
    after: tuple[Step, ...]

    def log(self, partition: int) -> list[dict[str, Any]]:
        """Return the usable records of one partition of the tick topic, as they are on the wire."""
        unusable = {value for value, reason in POISON if reason != FUTURE}
        return [
            json.loads(step.value)
            for step in (*self.before, *self.after)
            if step.kind == "clock"
            or (step.kind in ("bar", "tick") and expected_partition(step.key.encode(), PARTITIONS) == partition)
            if step.value not in unusable
        ]


@pytest.fixture(scope="module")
def feed() -> Feed:
    """Make the Alibaba days with their mirror images, poison among Monday's trades, and an article for each side."""
    days = build(load_markets(["XNYS"]))
    before = list(with_mirrors(bar_step(bar) for bar in days.history))
    after: list[Step] = []
    for chapter in days.chapters:
        steps = list(with_mirrors(chapter.steps))
        if chapter.bar.date == MONDAY:
            steps = list(with_poison(steps))
        (after if chapter.bar.date >= TUESDAY else before).extend(steps)
    articles = days.article_steps()
    before += [*articles, mirror_article(articles[-1].time_ns), Step("article", 0, "bad", b'{"article_id":"bad"}')]
    return Feed(tuple(before), tuple(after))


async def play(bootstrap: str, prefix: str, feed: Feed) -> Play:
    """Feed a worker on a broker and return all that it wrote."""
    config = config_for(bootstrap, prefix, partitions=PARTITIONS)
    topics = await make_topics(config)
    async with running(config), Sender(config) as sender:
        for steps in (feed.before, feed.after):
            for step in steps:
                await sender.send(step)
            await sender.flush()
            await caught_up(config)
    played = Play(config)
    for record in await read(config, [*topics.outputs, *map(topics.dlq, topics.inputs)]):
        name = record.topic.removeprefix(prefix)
        played.said[name, record.partition].append((record.key, record.value, tuple(record.headers)))
    return played


class Plays:
    """Plays the feed once on each broker that is asked for, always under the same names."""

    def __init__(self, feed: Feed) -> None:
        self._feed = feed
        self._prefix = f"test-{uuid.uuid4().hex[:10]}."
        self._plays: dict[str, Play] = {}

    def on(self, broker: EmbeddedBroker | ApacheBroker) -> Play:
        """Return what a worker on this broker made of the feed."""
        if broker.bootstrap not in self._plays:
            work = play(broker.bootstrap, self._prefix, self._feed)
            self._plays[broker.bootstrap] = asyncio.run(asyncio.wait_for(work, RUN_SECONDS_MAX))
        return self._plays[broker.bootstrap]


@pytest.fixture(scope="module")
def plays(feed: Feed) -> Plays:
    """Share one play a broker between the tests of this file."""
    return Plays(feed)


def test_both_brokers_give_byte_identical_signals(embedded: EmbeddedBroker, apache: ApacheBroker, plays: Plays) -> None:
    """Keys, values and headers of breakouts and momentum are the same bytes, in the same order in each partition."""
    ours, theirs = plays.on(embedded), plays.on(apache)

    for topic in ("signals.breakouts.v1", "signals.momentum.v1"):
        assert sorted(ours.of(topic)) == list(range(PARTITIONS)), "expected every partition to have signals"
        assert ours.of(topic) == theirs.of(topic)


def test_both_brokers_end_with_the_same_enriched_signals(
    embedded: EmbeddedBroker, apache: ApacheBroker, plays: Plays
) -> None:
    """The last revision of every enriched signal is the same, down to its number, whatever was sent on the way."""
    ours, theirs = plays.on(embedded).last_enriched(), plays.on(apache).last_enriched()

    assert ours == theirs
    tags = defaultdict(set)
    for _, (_, value, _) in ours.values():
        document = json.loads(value or b"")
        tags[document["signal"]["instrument"]["id"]].update(document["tags"])
    assert "Chinese Tech Stocks" in tags[INSTRUMENT]
    assert tags[MIRRORS[1]] == set(MIRROR_ARTICLE_TAGS)


def test_both_brokers_put_the_same_records_aside(embedded: EmbeddedBroker, apache: ApacheBroker, plays: Plays) -> None:
    """Bad records come back as they were, for the same reasons; no signal is the poorer for them."""
    ours, theirs = plays.on(embedded), plays.on(apache)

    letters = {
        broker: [
            (key, value, dict(headers)["dlq.error-class"].decode())
            for topic in ("market.ticks.v1.dlq", "news.articles.v1.dlq")
            for _, records in sorted(played.of(topic).items())
            for key, value, headers in records
        ]
        for broker, played in (("embedded", ours), ("apache", theirs))
    }
    assert letters["embedded"] == letters["apache"]
    assert [(value, reason) for key, value, reason in letters["embedded"] if key == INSTRUMENT.encode()] == [*POISON]
    assert [key for key, _, _ in letters["embedded"]].count(b"bad") == 1


def test_worker_says_what_the_engine_says_without_a_broker(embedded: EmbeddedBroker, plays: Plays, feed: Feed) -> None:
    """A processor fed with a partition's log gives the very records of the topics, and none is written twice."""
    played = plays.on(embedded)
    source = f"/fiftytwo/{played.config.kafka.application_id}"

    for partition in range(PARTITIONS):
        processor = Processor(load_markets(["XNYS"]))
        processor.records(feed.log(partition))
        alone: dict[str, list[Said]] = defaultdict(list)
        for signal in processor.signals():
            encoded = encode(signal, source=source)
            alone[encoded.topic].append((encoded.key, encoded.value, tuple(encoded.headers)))

        for topic in ("signals.breakouts.v1", "signals.momentum.v1"):
            assert played.of(topic)[partition] == alone[topic]
        future = expected_partition(INSTRUMENT.encode(), PARTITIONS) == partition
        assert [reason for _, reason in processor.refused] == [FUTURE] * future


def test_the_feed_breaks_out_on_both_sides(embedded: EmbeddedBroker, plays: Plays) -> None:
    """What is compared is worth it: Alibaba's eleven breakouts, and as many lows of each mirror image."""
    triggered: dict[tuple[str, str], list[str]] = defaultdict(list)
    for records in plays.on(embedded).of(Topics().breakouts).values():
        for _, value, _ in records:
            document = json.loads(value or b"")
            if document["transition"] == "triggered":
                triggered[document["instrument"]["id"], document["family"]].append(document["session_date"])
                assert parse_time(document["event_time"]) == parse_time(document["trigger"]["time"])

    assert triggered[INSTRUMENT, "high_52w"] == [fact.session for fact in FACTS]
    assert set(triggered) == {(INSTRUMENT, "high_52w"), *((name, "low_52w") for name in MIRRORS)}
    assert all(len(sessions) == len(FACTS) for sessions in triggered.values())
