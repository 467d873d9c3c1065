"""The interleaving of the two logs cannot matter: same links, same last revision, byte for byte."""

from __future__ import annotations

from collections.abc import Sequence
from random import Random
from typing import Any, Final

from hypothesis import event, given, settings
from hypothesis import strategies as st

from streams.core.enrichment import Enriched
from streams.core.join import Join, JoinRules
from streams.core.news import ArticleCopy, NewsClock, Tag
from streams.wire.articles import encode_enriched
from tests.news_examples import HOUR_NS, ExampleSignal, article_copy

INSTRUMENTS: Final = ("XNYS:BABA", "XNAS:BIDU")
START_NS: Final = 20_000 * 24 * HOUR_NS
END_NS: Final = START_NS + 10_000 * HOUR_NS
RULES: Final = JoinRules(articles_max=3, tags_max=4)

NewsRecord = NewsClock | ArticleCopy
TickRecord = NewsClock | ExampleSignal

# Whole hours, so that window edges are met often, and now and then a nanosecond beyond.
EDGES: Final = (-1, 0, 0, 0, 0, 1)
STEP_HOURS: Final = (0, 1, 2, 5, 12, 24, 40)


# Records depend on what came before them: drawn from one seed, logs stay interesting at any length.
def news_log(random: Random, length: int) -> list[NewsRecord]:
    log: list[NewsRecord] = []
    now_ns = START_NS
    for _ in range(length):
        if random.random() < 0.35:
            now_ns += random.choice(STEP_HOURS) * HOUR_NS
            # A clock may also come late; an older one changes nothing.
            log.append(NewsClock(now_ns - random.choice((0, 0, 0, HOUR_NS)) + random.choice(EDGES), "replay"))
            continue
        action = random.choice(("created", "created", "updated", "deleted"))
        named = () if action == "deleted" else random.choice((INSTRUMENTS, INSTRUMENTS[:1], INSTRUMENTS[1:], ()))
        published_ns = (
            now_ns + random.choice((0, 1, -2, -12, -24, -60, -72, -96, -110)) * HOUR_NS + random.choice(EDGES)
        )
        log.append(
            article_copy(
                instrument=random.choice((*named, *named, None)),
                named=named,
                action=action,
                article_id=random.choice("abcd"),
                version=random.choice((1, 2, 3, len(log) + 1)),
                relevance=random.choice((0.4, 0.5, 1.0, 1.0)),
                published_ns=published_ns,
                received_ns=published_ns + random.choice((0, 0, 0, -HOUR_NS)),
                tags=tuple(Tag(name.upper(), name) for name in random.sample("pqr", random.randint(0, 3))),
            )
        )
    return log


def tick_log(random: Random, length: int) -> list[TickRecord]:
    log: list[TickRecord] = []
    now_ns = START_NS
    for number in range(length):
        if random.random() < 0.5:
            now_ns += random.choice(STEP_HOURS) * HOUR_NS
            log.append(NewsClock(now_ns, "replay"))
        else:
            # The engine takes no trade that is a day behind its log's clock.
            event_ns = now_ns + random.randint(-24, 2) * HOUR_NS
            log.append(ExampleSignal(f"signal-{number}", random.choice(INSTRUMENTS), event_ns))
    return log


def order_of(random: Random, ticks: int, news: int) -> list[bool]:
    order = [True] * ticks + [False] * news
    random.shuffle(order)
    return order


randoms = st.integers(0, 2**63).map(Random)
lengths = st.integers(0, 60)


class Run:
    """One join fed with both logs, and what it sent."""

    def __init__(self) -> None:
        self.join = Join(RULES)
        self.sent: list[Enriched] = []

    def tick(self, record: TickRecord) -> None:
        if isinstance(record, NewsClock):
            self.join.tick_clock(record.time_ns)
        else:
            self.sent.append(self.join.open(record, b'{"signal_id":"%s"}' % record.signal_id.encode()))

    def news(self, record: NewsRecord) -> None:
        if isinstance(record, NewsClock):
            self.sent += self.join.news_clock(record.time_ns)
        else:
            self.sent += self.join.article(record)

    def last(self) -> dict[str, Any]:
        newest: dict[str, Enriched] = {}
        for entry in self.sent:
            assert entry.signal_id not in newest or entry.revision > newest[entry.signal_id].revision
            newest[entry.signal_id] = entry
        return {name: encode_enriched(entry, source="/fiftytwo/test") for name, entry in newest.items()}


def interleaved(ticks: Sequence[TickRecord], news: Sequence[NewsRecord], order: Sequence[bool]) -> Run:
    run = Run()
    next_tick, next_news = iter(ticks), iter(news)
    for is_tick in order:
        if is_tick:
            run.tick(next(next_tick))
        else:
            run.news(next(next_news))
    return run


def expected(signal: ExampleSignal, log: Sequence[NewsRecord]) -> tuple[int, bool, set[str]]:
    # Revision, finality and links of one signal, from the whole news log and the definition.
    clock_ns = 0
    newest: dict[str, tuple[int, int]] = {}
    current: dict[str, ArticleCopy | None] = {}
    seen: dict[str, int] = {}
    linked: set[str] = set()
    revision = 1
    deadline_ns = signal.event_ns + RULES.after_ns + RULES.grace_ns
    for record in log:
        if isinstance(record, NewsClock):
            clock_ns = max(clock_ns, record.time_ns)
            continue
        story = record.article_id
        version, until_ns = newest.get(story, (0, 0))
        if clock_ns > until_ns:
            version, until_ns = 0, 0
            seen.pop(story, None)
            current.pop(story, None)
        if record.version < version:
            continue
        newest[story] = (record.version, max(until_ns, max(record.join_ns, clock_ns) + RULES.horizon_ns))
        dropped = signal.instrument not in record.named
        if (not dropped and record.instrument != signal.instrument) or seen.get(story) == record.version:
            continue
        if dropped and current.get(story) is None:
            continue
        seen[story] = record.version
        current[story] = article = None if dropped or record.relevance < RULES.relevance_min else record
        matches = (
            article is not None
            and signal.event_ns - RULES.before_ns <= article.join_ns <= signal.event_ns + RULES.after_ns
        )
        if (matches or story in linked) and clock_ns <= deadline_ns:
            revision += 1
            linked = linked | {story} if matches else linked - {story}
    final = clock_ns > deadline_ns
    return revision + final, final, linked


@settings(max_examples=300, deadline=None)
@given(random=randoms, tick_count=lengths, news_count=lengths, ends=st.booleans())
def test_any_interleaving_gives_the_same_last_revisions(
    random: Random, tick_count: int, news_count: int, ends: bool
) -> None:
    """However two logs are interleaved, each in its own order, every signal ends with the same bytes."""
    ticks, news = tick_log(random, tick_count), news_log(random, news_count)
    if ends:
        ticks = [*ticks, NewsClock(END_NS, "replay")]
        news = [*news, NewsClock(END_NS, "replay")]
    shuffled = interleaved(ticks, news, order_of(random, len(ticks), len(news)))
    ticks_first = interleaved(ticks, news, [True] * len(ticks) + [False] * len(news))
    news_first = interleaved(ticks, news, [False] * len(news) + [True] * len(ticks))

    assert shuffled.last() == ticks_first.last() == news_first.last()
    event(f"some signal has links: {any(entry.article_count for entry in ticks_first.sent)}")
    event(f"some link ended: {ticks_first.join.counters()['links_ended'] > 0}")
    event(f"some article was late: {ticks_first.join.counters()['articles_late'] > 0}")
    if ends:
        assert shuffled.join.held() == {"signals_open": 0, "signals": 0, "versions": 0, "stories": 0}


@settings(max_examples=300, deadline=None)
@given(random=randoms, tick_count=lengths, news_count=lengths)
def test_links_and_revisions_are_those_of_the_definition(random: Random, tick_count: int, news_count: int) -> None:
    """The join agrees with a fold of the whole news log for one signal at a time, written without state to forget."""
    ticks, news = tick_log(random, tick_count), news_log(random, news_count)
    run = interleaved(ticks, news, order_of(random, len(ticks), len(news)))
    newest = {entry.signal_id: entry for entry in run.sent}

    for signal in ticks:
        if isinstance(signal, ExampleSignal):
            entry = newest[signal.signal_id]
            revision, final, linked = expected(signal, news)
            assert (entry.revision, entry.final, entry.article_count) == (revision, final, len(linked))
            assert {shown.article.article_id for shown in entry.articles} <= linked
