"""The Alibaba days through the engine and the join, without a broker: the signals that the demo must show."""

from __future__ import annotations

from collections.abc import Iterable
from decimal import Decimal

import orjson
import pytest

from streams.calendars import load_markets
from streams.core.enrichment import Enriched
from streams.core.join import Join, opens_enrichment
from streams.core.processor import Processor
from streams.core.routing import copies
from streams.feeds import scenario
from streams.feeds.steps import Step
from streams.feeds.story import TAGS, Story, against_next_level, differences, percent
from streams.wire.articles import encode_enriched
from streams.wire.signals import encode

# Session, level, set on, gap, fresh, failed, verdict, close: the daily bars and the rules, worked out by hand.
BREAKOUTS = [
    ("2025-09-11", "148.43", "2025-03-17", False, True, False, "confirmed", "155.44"),
    ("2025-09-15", "156.849", "2025-09-11", True, False, False, "confirmed", "158.04"),
    ("2025-09-16", "159.7", "2025-09-15", False, False, False, "confirmed", "162.21"),
    ("2025-09-17", "163", "2025-09-16", True, False, False, "confirmed", "166.17"),
    ("2025-09-22", "167.32", "2025-09-17", False, False, True, "unconfirmed", "164.25"),
    ("2025-09-23", "167.435", "2025-09-22", False, False, True, "unconfirmed", "163.08"),
    ("2025-09-24", "167.83", "2025-09-23", True, False, False, "confirmed", "176.44"),
    ("2025-09-29", "180.16", "2025-09-24", False, False, False, "unconfirmed", "179.9"),
    ("2025-09-30", "181.344", "2025-09-29", True, False, True, "unconfirmed", "178.73"),
    ("2025-10-01", "182.15", "2025-09-30", False, False, False, "confirmed", "182.78"),
    ("2025-10-02", "183.08", "2025-10-01", True, False, False, "confirmed", "189.34"),
]


@pytest.fixture(scope="module")
def alibaba() -> Story:
    """Return the story of the whole scenario, the article joined between Monday's close and Tuesday's open."""
    return tell(scenario.build(load_markets(["XNYS"])))


@pytest.fixture(scope="module")
def without_article() -> Story:
    """Return the story as it would be told had nobody written the article."""
    return tell(scenario.build(load_markets(["XNYS"])), articles=False)


def tell(days: scenario.Scenario, *, articles: bool = True) -> Story:
    """Run a scenario through the engine and the join, and return what came out."""
    processor, join, story = Processor(load_markets(["XNYS"])), Join(), Story()

    def fold(steps: Iterable[Step]) -> None:
        processor.records(orjson.loads(step.value) for step in steps)
        for signal in processor.signals():
            value = encode(signal, source="/fiftytwo/test").value
            story.tell(orjson.loads(value))
            if opens_enrichment(family=signal.family, transition=signal.transition):
                hear([join.open(signal, value)])

    def hear(enriched: Iterable[Enriched]) -> None:
        for revision in enriched:
            story.tell(orjson.loads(encode_enriched(revision, source="/fiftytwo/test").value))

    fold(days.history_steps())
    for chapter in days.chapters:
        if chapter.bar.date == scenario.TUESDAY and articles:
            for copy in copies(days.article):
                hear(join.article(copy))
        fold(chapter.steps)
    assert processor.refused == []
    return story


def test_eleven_sessions_break_the_52_week_high(alibaba: Story) -> None:
    """Each session of the table has its level, the session that set it, its flags and its verdict."""
    told = [
        (
            first["session_date"],
            first["level"]["price"],
            first["level"]["session_date"],
            first["gap"],
            first["fresh"],
            last["failed"],
            last["transition"],
            last["price"],
        )
        for first, last in ((breakout.triggered, breakout.latest) for breakout in alibaba.breakouts.values())
    ]

    assert told == BREAKOUTS


def test_nothing_else_breaks_a_52_week_bound(alibaba: Story) -> None:
    """No 52-week low and no other high in the span."""
    assert {breakout.triggered["family"] for breakout in alibaba.breakouts.values()} == {"high_52w"}
    assert len(alibaba.breakouts) == len(BREAKOUTS)


def test_monday_triggers_within_the_day_and_reaches_its_high(alibaba: Story) -> None:
    """Monday opens below the level, passes it in the session, reaches 181.344 and does not fail."""
    monday = alibaba.of_session("2025-09-29")

    assert monday is not None
    assert monday.triggered["price"] == "180.17"
    assert monday.triggered["level"]["window_start"] == "2024-09-30"
    assert monday.triggered["level"]["window_end"] == "2025-09-26"
    assert monday.triggered["level"]["sessions"] == 249
    assert monday.extreme == "181.344"
    assert monday.outcome == "unconfirmed"


def test_monday_close_carries_the_published_figures(alibaba: Story) -> None:
    """179.90 is +4.6478 % on 171.91, +112.1712 % on 84.79, and 0.998557 of 180.16."""
    monday = alibaba.of_session("2025-09-29")

    assert monday is not None
    metrics = monday.latest["metrics"]
    assert metrics["session_return"] == 0.046478
    assert metrics["ytd"] == 1.121712
    assert metrics["nearness"] == 0.998557
    assert percent(metrics["session_return"]) == "+4.65 %"
    assert percent(metrics["ytd"]) == "+112.17 %"
    assert against_next_level(alibaba) == Decimal("0.992037")


def test_tuesday_opens_through_the_level_and_fails(alibaba: Story) -> None:
    """Tuesday gaps to 181.66, reaches 182.15 and fails before the close."""
    tuesday = alibaba.of_session("2025-09-30")

    assert tuesday is not None
    assert tuesday.triggered["price"] == "181.66"
    assert tuesday.extreme == "182.15"
    assert tuesday.outcome == "failed, unconfirmed"


def test_article_explains_monday_later_and_tuesday_at_once(alibaba: Story) -> None:
    """Monday's signal is enriched by a revision, Tuesday's by its first message."""
    monday, tuesday = alibaba.of_session("2025-09-29"), alibaba.of_session("2025-09-30")

    assert monday is not None
    assert tuesday is not None
    assert monday.enriched_first is not None
    assert monday.enriched_first["articles"] == []
    assert monday.enriched is not None
    assert monday.enriched["revision"] == 2
    assert set(monday.enriched["tags"]) == TAGS
    assert tuesday.enriched_first is not None
    assert [article["relevance"] for article in tuesday.enriched_first["articles"]] == [1.0]
    assert set(tuesday.enriched_first["tags"]) == TAGS


def test_story_as_expected_has_no_differences(alibaba: Story) -> None:
    """The demo's own check passes on what the rules give."""
    assert differences(alibaba) == []


def test_missing_article_is_a_difference(without_article: Story) -> None:
    """The demo says that news is missing when it is."""
    assert differences(without_article) == [
        f"{session}: expected one article with the tags {', '.join(sorted(TAGS))} {when}; "
        f"found 0 articles, tags missing: {sorted(TAGS)}"
        for session, when in (
            ("2025-09-29", "after the article appeared"),
            ("2025-09-30", "with its first message"),
        )
    ]


def test_silence_is_a_difference_for_every_session() -> None:
    """A worker that says nothing fails the demo, session by session."""
    assert [text[:10] for text in differences(Story())] == [row[0] for row in BREAKOUTS]


def test_unexpected_breakout_is_a_difference(alibaba: Story) -> None:
    """A breakout on a day that had none fails the demo."""
    story = Story()
    for breakout in alibaba.breakouts.values():
        story.tell(breakout.triggered)
    story.tell({**breakout.triggered, "signal_id": "other", "session_date": "2025-09-12"})

    assert "2025-09-12: expected no high_52w number 1, found one at 188.58" in differences(story)


def test_order_of_topics_does_not_change_the_story(alibaba: Story) -> None:
    """An enriched record may be read before the signal that it enriches."""
    tuesday = alibaba.of_session("2025-09-30")
    assert tuesday is not None
    assert tuesday.enriched_first is not None
    story = Story()

    story.tell(tuesday.enriched_first)
    story.tell(tuesday.triggered)

    told = story.of_session("2025-09-30")
    assert told is not None
    assert told.enriched_first == tuesday.enriched_first
    assert [event.tone for event in story.events] == ["news", "trigger"]


def test_record_told_twice_changes_nothing(alibaba: Story) -> None:
    """At-least-once delivery repeats records; the story does not."""
    monday = alibaba.of_session("2025-09-29")
    assert monday is not None
    assert monday.enriched is not None
    story = Story()
    for document in (monday.triggered, monday.enriched, monday.latest):
        story.tell(document)
    before = list(story.events)

    for document in (monday.triggered, monday.enriched, monday.latest):
        story.tell(document)

    assert story.events == before
