"""Files of articles: the page's text with its quirks, and JSON lines."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from streams.core.news import Article
from streams.feeds.articles import parse_text, read_articles, read_insights, read_json_lines
from streams.wire.articles import RecordRefused, encode_article
from tests.news_examples import PUBLISHED_NS, article, page

SHORT = "A title\nSource: Wire\nPublished: 09/30/2025, 07:45:02 EDT\n"
TITLE = "Alibaba Shares Pass Their 52-Week High As AI Orders Build Up"
TAGS = ["Alibaba", "Artificial Intelligence", "Cloud Computing", "AI Models", "Chinese Tech Stocks"]


def test_the_page_is_read_with_its_quirks() -> None:
    """Source and time share a line, the title stands twice, the tags lie between."""
    read = parse_text(page(), PUBLISHED_NS + 7)

    assert read.title == TITLE
    assert (read.region, read.region_codes) == ("Greater China", ("CN", "HK", "MO", "TW"))
    assert (read.source, read.published_raw) == ("Benzinga.com", "09/30/2025, 07:45:02 EDT")
    assert (read.published_ns, read.received_ns) == (PUBLISHED_NS, PUBLISHED_NS + 7)
    assert [tag.raw for tag in read.tags] == TAGS
    assert read.summary is not None
    assert read.summary.startswith("Buyers of Alibaba Group (NYSE:BABA)")
    assert read.body is not None
    assert read.body.startswith("Technology companies")


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda text: text.replace("\n", "\r\n"), id="line ends of Windows"),
        pytest.param(lambda text: "\ufeff" + text, id="byte order mark"),
        pytest.param(lambda text: text.replace(" As AI", "\u00a0As AI"), id="hard spaces"),
        pytest.param(lambda text: text.replace("comPublished", "com\nPublished"), id="time on its own line"),
        pytest.param(lambda text: text.replace("comPublished", "com Published"), id="a space between"),
        pytest.param(lambda text: text.replace(f"\n{TITLE}\n", "\n"), id="title once"),
        pytest.param(lambda text: text.removeprefix(f"{TITLE}\n"), id="title below the tags alone"),
        pytest.param(lambda text: text.replace("\n", "\n\n"), id="blank lines"),
        pytest.param(lambda text: text.replace("News Summary", "NEWS SUMMARY "), id="headings in capitals"),
    ],
)
def test_quirks_of_copying_make_no_difference(change: Callable[[str], str]) -> None:
    """The same page gives the same story, however it was copied."""
    read = parse_text(change(page()))

    assert read.article_id == parse_text(page()).article_id
    assert [tag.raw for tag in read.tags] == TAGS
    assert read.instruments == parse_text(page()).instruments


def test_questions_and_answers_become_lines_of_the_body() -> None:
    """Insights that run together are told apart: a question is the last sentence before an answer's dash."""
    insights = read_insights("Can it last? - It can. It will. - Not in the U.S.-China trade. And then? - No.")

    assert [(insight.question, insight.answers) for insight in insights] == [
        ("Can it last?", ("It can. It will.", "Not in the U.S.-China trade.")),
        ("And then?", ("No.",)),
    ]
    body = parse_text(page()).body
    assert body is not None
    assert [line for line in body.splitlines() if line.endswith("?")] == [
        "Can the rally last?",
        "Why does a ranking of open models matter?",
        "What does the purchase by Ark tell?",
    ]


def test_a_page_needs_a_title_a_source_and_a_time() -> None:
    """Everything else may be missing."""
    read = parse_text(SHORT)

    assert (read.title, read.source, read.region, read.tags, read.summary, read.body) == (
        "A title",
        "Wire",
        None,
        (),
        None,
        None,
    )
    assert read.instruments == ()


@pytest.mark.parametrize(
    "text, reason",
    [
        ("", "invalid_text"),
        ("Just a sentence.", "invalid_text"),
        ("Source: Wire\nPublished: 09/30/2025, 07:45:02 EDT", "invalid_text"),
        ("A title\nSource: Wire\n", "invalid_text"),
        ("A title\nSource: \nPublished: 09/30/2025, 07:45:02 EDT", "invalid_text"),
        (SHORT.replace("EDT", "CST"), "ambiguous_zone"),
        (SHORT.replace(" EDT", ""), "time_without_zone"),
        (SHORT.replace("09/30", "13/30"), "invalid_time"),
        ("x" * 1_001 + SHORT, "invalid_text"),
    ],
)
def test_T_N9_a_page_that_cannot_be_placed_in_time_is_refused(text: str, reason: str) -> None:
    """The refusal says what was expected and found."""
    with pytest.raises(RecordRefused, match="expected") as refused:
        parse_text(text)

    assert (refused.value.stage, refused.value.reason) == ("read", reason)


@pytest.mark.parametrize("zone", ["+08:00", "Asia/Shanghai"])
def test_T_N9_the_configuration_may_say_what_an_abbreviation_means(zone: str) -> None:
    """An offset or an IANA zone; 07:45:02 in Shanghai is 23:45:02Z of the day before."""
    read = parse_text(SHORT.replace("EDT", "CST"), zones={"CST": zone})

    assert read.published_ns == PUBLISHED_NS - 12 * 3_600_000_000_000


def test_a_zone_out_of_season_is_flagged() -> None:
    """EST in September is taken as printed, with a flag."""
    assert parse_text(SHORT.replace("EDT", "EST")).time_anomaly == "zone_out_of_season"


def test_json_lines_yield_articles_and_refusals_with_their_lines() -> None:
    """One bad line does not hide its neighbours."""
    good = encode_article(article())

    found = list(read_json_lines([good, b"", b"{", good.decode()]))

    assert [(number, type(entry)) for number, entry in found] == [(1, Article), (3, RecordRefused), (4, Article)]


def test_a_files_form_is_seen_from_its_first_character() -> None:
    """JSON lines begin with a brace; anything else is a page."""
    lines = list(read_articles(b"\xef\xbb\xbf" + encode_article(article()) + b"\r\n"))
    text = list(read_articles(page().encode()))
    broken = list(read_articles(b"A title\n\xff"))

    assert [entry for _, entry in lines] == [article()]
    assert isinstance(text[0][1], Article)
    assert isinstance(broken[0][1], RecordRefused)
    assert broken[0][1].reason == "invalid_utf8"
