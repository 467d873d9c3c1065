"""The join of signals and news: which articles are linked, when a signal is final, and how revisions count."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from streams.core.enrichment import Enriched
from streams.core.join import Join, JoinRules, newest_revisions, opens_enrichment
from streams.core.news import Tag
from streams.core.routing import copies
from streams.feeds.articles import parse_text
from tests.news_examples import (
    ALIBABA,
    HOUR_NS,
    PUBLISHED_NS,
    TRIGGER_NS,
    ExampleSignal,
    article_copy,
    page,
)

MILLISECOND_NS = 1_000_000
DOCUMENT = b'{"signal_id":"231763b8-495c-5329-a4b7-54ff0f22cee0"}'
DEADLINE_NS = TRIGGER_NS + 24 * HOUR_NS + HOUR_NS // 6


def opened(join: Join, **changes: Any) -> Enriched:
    return join.open(replace(ExampleSignal(), **changes), DOCUMENT)


def linked(enriched: Enriched) -> list[str]:
    return [entry.article.article_id for entry in enriched.articles]


def test_T_N1_the_page_is_linked_with_alibaba_and_with_nobody_it_names_in_passing() -> None:
    """BABA is joined with relevance 1.0; GOOGL, GOOG and TCEHY (0.4) are not."""
    join = Join()
    for copy in copies(parse_text(page())):
        join.article(copy)

    signals = {
        instrument: opened(join, signal_id=instrument, instrument=instrument)
        for instrument in (ALIBABA, "XNAS:GOOGL", "XNAS:GOOG", "OTCM:TCEHY")
    }

    assert {name: signal.article_count for name, signal in signals.items()} == {
        ALIBABA: 1,
        "XNAS:GOOGL": 0,
        "XNAS:GOOG": 0,
        "OTCM:TCEHY": 0,
    }
    entry = signals[ALIBABA].articles[0]
    # 0.5 * 1 + 0.3 * 2 ** (-6298 s / 24 h) + 0.2 * 1 = 0.7 + 0.3 * 0.950729
    assert (entry.article.relevance, entry.score_millionths, entry.relation) == (1.0, 985_219, "preceding")
    assert signals[ALIBABA].tags == (
        "Alibaba",
        "Artificial Intelligence",
        "Cloud Computing",
        "AI Models",
        "Chinese Tech Stocks",
    )


def test_T_N2_an_article_published_in_the_future_is_joined_by_its_receipt_and_moves_no_clock() -> None:
    """A claim an hour after the receipt is flagged, the receipt counts, and the log's clock stays where it was."""
    received_ns = PUBLISHED_NS - HOUR_NS + 7 * 1_000_000_000
    join = Join()
    join.news_clock(received_ns)

    join.article(article_copy(received_ns=received_ns))
    enriched = opened(join)

    assert enriched.articles[0].article.time_anomaly == "published_in_future"
    assert enriched.articles[0].delta_ns == received_ns - TRIGGER_NS
    assert join.news_clock_ns == received_ns


@pytest.mark.parametrize(
    "delta_ns, expected",
    [
        (-72 * HOUR_NS, 1),
        (-72 * HOUR_NS - MILLISECOND_NS, 0),
        (24 * HOUR_NS, 1),
        (24 * HOUR_NS + MILLISECOND_NS, 0),
    ],
)
@pytest.mark.parametrize("signal_first", [True, False])
def test_T_N3_both_ends_of_the_window_are_inclusive(delta_ns: int, expected: int, signal_first: bool) -> None:
    """An article at T - 72 h or T + 24 h is linked, a millisecond further out it is not."""
    join = Join()
    copy = article_copy(published_ns=TRIGGER_NS + delta_ns)
    if signal_first:
        opened(join)
        revisions = join.article(copy)
    else:
        join.article(copy)
        revisions = [opened(join)]

    assert sum(revision.article_count for revision in revisions) == expected


def test_T_N4_an_older_version_after_a_newer_one_is_ignored() -> None:
    """Of versions 1, 3 and 2 the third is kept, and the last record changes nothing."""
    join = Join()
    opened(join)

    counts = [len(join.article(article_copy(version=version, title=f"v{version}"))) for version in (1, 3, 2)]
    final = join.news_clock(DEADLINE_NS + 1)[0]

    assert counts == [1, 1, 0]
    assert [entry.article.title for entry in final.articles] == ["v3"]
    assert final.revision == 4
    assert join.counters()["articles_outdated"] == 1


@pytest.mark.parametrize(
    "first, second",
    [
        pytest.param(
            "Alibaba Shares Pass Their 52-Week High As AI Orders Build Up",
            "Baidu Shares Pass Their 52-Week High As AI Orders Build Up",
            id="T-N5",
        ),
        pytest.param("Alibaba Breaks Past 52-Week High", "Alibaba Breaks Below 52-Week Low", id="T-N6"),
    ],
)
def test_T_N5_T_N6_two_stories_in_nearly_the_same_words_are_both_linked(first: str, second: str) -> None:
    """Likeness of titles merges nothing: stories are told apart by source and identifier alone."""
    join = Join()
    opened(join)

    join.article(article_copy(article_id="1", title=first))
    (enriched,) = join.article(article_copy(article_id="2", title=second))

    assert enriched.article_count == 2


def test_T_N7_a_deleted_article_leaves_the_enrichment() -> None:
    """Deleting a linked article is a revision of its own, and the article is gone."""
    join = Join()
    opened(join)
    join.article(article_copy())

    (enriched,) = join.article(article_copy(instrument=None, named=(), version=2, action="deleted"))

    assert (enriched.revision, enriched.article_count, enriched.tags) == (3, 0, ())
    final = join.news_clock(DEADLINE_NS + 1)[0]
    assert (final.revision, final.no_catalyst) == (4, True)


def test_T_N8_an_article_after_the_final_revision_is_only_counted() -> None:
    """Late news changes no final signal, whether it is new, an update or a deletion."""
    join = Join()
    opened(join)
    join.article(article_copy())
    join.news_clock(DEADLINE_NS + 1)

    late = [
        *join.article(article_copy(article_id="2")),
        *join.article(article_copy(version=2, action="updated")),
        *join.article(article_copy(instrument=None, named=(), version=3, action="deleted")),
    ]

    assert late == []
    assert join.counters()["articles_late"] == 3


def test_a_signal_opened_after_its_article_has_revision_two() -> None:
    """The revision counts accepted versions as if the signal had been there from the beginning."""
    join = Join()
    join.article(article_copy())

    assert opened(join).revision == 2


def test_a_signal_without_news_is_sent_at_once_and_open() -> None:
    """The price event does not wait for news."""
    enriched = opened(Join())

    assert (enriched.revision, enriched.status, enriched.no_catalyst, enriched.articles) == (1, "open", False, ())


def test_a_signal_is_final_when_the_news_clock_passes_its_deadline_and_not_when_it_meets_it() -> None:
    """T + 24 h + 10 min itself is still open; the tick log's clock makes nothing final."""
    join = Join()
    opened(join)

    join.tick_clock(DEADLINE_NS + 100 * HOUR_NS)
    at_deadline = join.news_clock(DEADLINE_NS)
    past_deadline = join.news_clock(DEADLINE_NS + 1)

    assert at_deadline == []
    assert [(entry.status, entry.no_catalyst, entry.revision) for entry in past_deadline] == [("final", True, 2)]
    assert join.news_clock(DEADLINE_NS + 2) == []


def test_an_article_in_the_grace_after_the_window_is_still_linked() -> None:
    """Grace is for articles on their way: what counts is the clock record before them in their own log."""
    join = Join()
    opened(join)
    join.news_clock(DEADLINE_NS)

    assert len(join.article(article_copy())) == 1


def test_a_signal_that_opens_when_the_news_log_is_past_its_deadline_is_final_at_once() -> None:
    """The news log may be ahead: the first revision sent is then the last one, numbered as if all had been sent."""
    join = Join()
    join.article(article_copy())
    join.news_clock(DEADLINE_NS + 1)
    join.article(article_copy(article_id="late"))

    enriched = opened(join)

    assert (enriched.status, enriched.revision, linked(enriched)) == ("final", 3, ["1"])
    assert join.news_clock(DEADLINE_NS + 2) == []


def test_a_version_that_no_longer_names_the_instrument_ends_its_link() -> None:
    """The notice that goes to every partition ends links to instruments that the newest version does not name."""
    join = Join()
    opened(join)
    join.article(article_copy(named=(ALIBABA, "XNAS:BIDU")))

    (enriched,) = join.article(article_copy(instrument=None, named=("XNAS:BIDU",), version=2, action="corrected"))

    assert (enriched.revision, enriched.article_count) == (3, 0)


@pytest.mark.parametrize("notice_first", [True, False])
def test_a_notice_and_a_copy_of_one_version_count_once(notice_first: bool) -> None:
    """A partition that gets both the notice and its instrument's copy of a version changes the link once."""
    join = Join()
    opened(join)
    join.article(article_copy())
    records = [
        article_copy(version=2, action="updated"),
        article_copy(instrument=None, named=(ALIBABA,), version=2, action="updated"),
    ]

    revisions = [entry for record in records[:: -1 if notice_first else 1] for entry in join.article(record)]

    assert [entry.revision for entry in revisions] == [3]


def test_the_same_record_twice_changes_nothing() -> None:
    """The router writes at least once: what it repeats has no effect."""
    join = Join()
    opened(join)
    join.article(article_copy())

    assert join.article(article_copy()) == []
    assert join.counters()["articles_without_effect"] == 1


def test_an_update_that_becomes_irrelevant_or_moves_out_of_the_window_ends_the_link() -> None:
    """Each new version is held against the rules again."""
    join = Join()
    opened(join)
    join.article(article_copy())

    (weaker,) = join.article(article_copy(version=2, action="corrected", relevance=0.4))
    (back,) = join.article(article_copy(version=3, action="corrected"))
    (moved,) = join.article(article_copy(version=4, action="corrected", published_ns=TRIGGER_NS - 80 * HOUR_NS))

    assert [entry.article_count for entry in (weaker, back, moved)] == [0, 1, 0]
    assert moved.revision == 5


def test_stories_of_two_sources_with_the_same_identifier_are_two() -> None:
    """An article's identifier is only unique within its source."""
    join = Join()
    opened(join)
    join.article(article_copy(source="One"))

    (enriched,) = join.article(article_copy(source="Two"))

    assert enriched.article_count == 2


def test_articles_rank_by_score_and_tags_by_the_sum_of_scores() -> None:
    """Ties go to the more relevant, then the later, then the smaller identifier; at most ten articles are shown."""
    join = Join()
    opened(join)
    cloud, chips = Tag("Cloud", "cloud"), Tag("Chips", "chips")
    join.article(article_copy(article_id="far", published_ns=TRIGGER_NS - 48 * HOUR_NS, tags=(chips,)))
    join.article(article_copy(article_id="b", tags=(cloud,)))
    join.article(article_copy(article_id="a", tags=(Tag("CLOUD", "cloud"),)))
    (enriched,) = join.article(article_copy(article_id="weak", relevance=0.5, tags=(chips,)))

    # Scores: a and b 0.985, weak 0.735, far 0.5 + 0.3 / 4 + 0.2 = 0.775; cloud 1.970, chips 1.510.
    assert linked(enriched) == ["a", "b", "far", "weak"]
    assert enriched.tags == ("CLOUD", "Chips")


def test_only_the_best_articles_and_tags_are_shown_and_all_are_counted() -> None:
    """The caps are on what is shown."""
    join = Join(JoinRules(articles_max=2, tags_max=1))
    opened(join)
    for number in range(5):
        join.article(article_copy(article_id=str(number), tags=(Tag(str(number), str(number)),)))

    (enriched,) = join.news_clock(DEADLINE_NS + 1)

    assert (linked(enriched), enriched.tags, enriched.article_count) == (["0", "1"], ("0",), 5)


def test_a_signal_opens_once() -> None:
    """Opening a signal twice is a bug of the caller, not data."""
    join = Join()
    opened(join)

    with pytest.raises(ValueError, match="open already"):
        opened(join)


def test_everything_is_forgotten_when_both_clocks_are_past_the_horizon() -> None:
    """Articles and signals stay while either log may still bring what they meet, and no longer."""
    join = Join()
    opened(join)
    join.article(article_copy())
    horizon_ns = TRIGGER_NS + 100 * HOUR_NS

    join.news_clock(horizon_ns)
    held_by_one = join.held()
    join.tick_clock(horizon_ns)

    assert held_by_one == {"signals_open": 0, "signals": 1, "versions": 1, "stories": 1}
    assert join.held() == {"signals_open": 0, "signals": 0, "versions": 0, "stories": 0}


def test_memory_is_bounded_when_no_clock_comes() -> None:
    """Without clocks nothing is final or old; the limits drop what came first, and count it."""
    join = Join(JoinRules(versions_max=3, stories_max=4, signals_max=2, links_max=2))
    for number in range(10):
        opened(join, signal_id=str(number))
        join.article(article_copy(article_id=str(number)))

    assert join.held() == {"signals_open": 2, "signals": 2, "versions": 3, "stories": 4}
    counters = join.counters()
    assert (counters["signals_evicted"], counters["versions_evicted"], counters["stories_evicted"]) == (8, 7, 6)
    assert counters["links_dropped"] > 0


@pytest.mark.parametrize(
    "family, transition, expected",
    [
        ("high_52w", "triggered", True),
        ("low_52w", "triggered", True),
        ("roc_20", "entered", True),
        ("proximity_high_52w", "entered", False),
        ("high_52w", "new_extreme", False),
        ("high_52w", "confirmed", False),
        ("mtd", "exited", False),
    ],
)
def test_only_triggers_and_momentum_entries_open_an_enriched_signal(
    family: str, transition: str, expected: bool
) -> None:
    """Later transitions stand on their own topics, and nearness is no event to explain."""
    assert opens_enrichment(family=family, transition=transition) is expected


def test_of_several_revisions_the_newest_is_sent() -> None:
    """One transaction carries at most the newest revision of a signal."""
    join = Join()
    revisions = [opened(join), *join.article(article_copy()), *join.article(article_copy(article_id="2"))]

    assert [entry.revision for entry in newest_revisions(revisions)] == [3]
