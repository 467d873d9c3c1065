"""What is read from running text: tickers, names, relevance, zones and times, tags."""

from __future__ import annotations

from datetime import timedelta, timezone

import pytest

from streams.core.news import Link, slug
from streams.core.relevance import links
from streams.core.tickers import find_cashtags, find_qualified, instrument
from streams.core.units import format_time
from streams.core.zones import TimeRefused, parse_published
from streams.feeds.articles import parse_text
from tests.news_examples import article, page


@pytest.mark.parametrize(
    "text, expected",
    [
        ("(NYSE:BABA)", ["XNYS:BABA"]),
        (
            "(NYSE: BABA and HKEX: 9988 (HKD Counter) and 89988 (RMB Counter))",
            ["XNYS:BABA", "XHKG:9988", "XHKG:89988"],
        ),
        ("(NASDAQ:GOOGL) (NASDAQ:GOOG)", ["XNAS:GOOGL", "XNAS:GOOG"]),
        ("(OTC:TCEHY)", ["OTCM:TCEHY"]),
        ("(NYSE:BRK.B), (NYSE:BRK-B), (NYSE:BRK/B)", ["XNYS:BRK.B"] * 3),
        ("(NASDAQ:BIDU; HKEX:9888)", ["XNAS:BIDU", "XHKG:9888"]),
        ("(NYSE American:IMO) (NYSE Arca: SPY)", ["XASE:IMO", "ARCX:SPY"]),
        ("(SEHK:09988) (HKG:0700)", ["XHKG:9988", "XHKG:0700"]),
        ("NYSE:baba, NYSE:9988, HKEX:BABA, TSE:7203", []),
        ("A company with IT ON its mind", []),
        ("HKEX: 9988 and 2024 results", ["XHKG:9988"]),
    ],
)
def test_exchange_qualified_tickers_are_found(text: str, expected: list[str]) -> None:
    """A prefix that names an exchange makes a ticker; misprints, ambiguous exchanges and bare words do not."""
    assert [found.instrument for found in find_qualified(text)] == expected


def test_a_symbol_of_another_kind_than_its_markets_is_a_misprint() -> None:
    """Hong Kong's symbols are numbers, New York's are letters."""
    assert instrument("XNYS", "9988") is None
    assert instrument("XHKG", "BABA") is None


def test_cashtags_need_a_known_symbol() -> None:
    """A cashtag names no exchange: without a known instrument it is nobody's, and a price is no cashtag."""
    known = {"BABA": "XNYS:BABA"}

    assert [found.instrument for found in find_cashtags("$BABA $5 $XYZ US$BABA", known)] == ["XNYS:BABA"]


@pytest.mark.parametrize(
    "text, names",
    [
        ("shares of Alibaba Group (NYSE:BABA)", ["Alibaba Group"]),
        ("ended Friday. Alibaba Group (NYSE:BABA)", ["Alibaba Group"]),
        ("The Walt Disney Company (NYSE:DIS)", ["Walt Disney Company"]),
        ("Apple Inc. (NASDAQ:AAPL)", ["Apple Inc."]),
        ("parent Alphabet (NASDAQ:GOOGL) (NASDAQ:GOOG)", ["Alphabet", "Alphabet"]),
        ("Alphabet (NASDAQ:GOOGL) and Baidu (NASDAQ:BIDU)", ["Alphabet", "Baidu"]),
        ("the stock (NYSE:BABA)", [None]),
    ],
)
def test_the_name_directly_before_a_ticker_is_its_alias(text: str, names: list[str | None]) -> None:
    """Capitalised words that end at the ticker are the company's name in this text; tickers in a row share it."""
    assert [found.name for found in find_qualified(text)] == names


def relevances(**changes: str) -> dict[str, float | None]:
    return {link.instrument: link.relevance for link in links(article(**changes))}


def test_T_N1_the_page_is_about_alibaba_and_names_the_others_in_passing() -> None:
    """On the fixture: BABA 1.0; GOOGL, GOOG and TCEHY 0.4."""
    instruments = parse_text(page()).instruments

    assert instruments is not None
    assert {link.instrument: link.relevance for link in instruments} == {
        "XNYS:BABA": 1.0,
        "XNAS:GOOGL": 0.4,
        "XNAS:GOOG": 0.4,
        "OTCM:TCEHY": 0.4,
    }


def test_relevance_falls_from_title_to_summary_to_body() -> None:
    """An alias whose first word is in the title counts as the title; then the summary, then the rest."""
    found = relevances(
        title="Alibaba rises",
        summary="Alibaba Group (NYSE:BABA) beat Baidu (NASDAQ:BIDU).",
        body="Tencent (OTC:TCEHY) was mentioned.",
    )

    assert found == {"XNYS:BABA": 1.0, "XNAS:BIDU": 0.8, "OTCM:TCEHY": 0.4}


def test_the_first_paragraph_stands_in_for_a_missing_summary() -> None:
    """Without a summary the opening paragraph says whom the story concerns."""
    found = relevances(title="Markets", body="Baidu (NASDAQ:BIDU) rose.\n\nTencent (OTC:TCEHY) did not.")

    assert found == {"XNAS:BIDU": 0.8, "OTCM:TCEHY": 0.4}


def test_an_alias_is_a_whole_word_of_the_title() -> None:
    """`Meta` is not in `Metal prices`."""
    assert relevances(title="Metal prices rise", summary="Meta (NASDAQ:META) fell.") == {"XNAS:META": 0.8}


def test_a_list_of_tickers_says_little_about_each() -> None:
    """A paragraph of five tickers or more gives at most 0.2, but for the one in the title."""
    listed = "Movers: Alibaba (NYSE:BABA), " + ", ".join(f"Firm (NASDAQ:{name})" for name in ("A", "B", "C", "D"))

    found = relevances(title="Alibaba leads", summary=listed)

    assert found == {"XNYS:BABA": 1.0, "XNAS:A": 0.2, "XNAS:B": 0.2, "XNAS:C": 0.2, "XNAS:D": 0.2}


def test_a_cashtag_in_the_title_refers_to_the_ticker_in_the_text() -> None:
    """The text itself says which market a cashtag's symbol is of."""
    assert relevances(title="$BABA to the moon", body="Buy now.\n\nSee (NYSE:BABA).") == {"XNYS:BABA": 1.0}


def test_what_the_producer_named_is_final() -> None:
    """Given instruments are not added to from the text; a missing relevance is computed, a given one kept."""
    given = (Link("XNYS:BABA", "BABA", "provider"), Link("XHKG:9988", "9988", "provider", 0.6))

    found = links(article(title="Alibaba", body="Alibaba (NYSE:BABA) and Baidu (NASDAQ:BIDU)", instruments=given))

    assert [(link.instrument, link.relevance) for link in found] == [("XNYS:BABA", 1.0), ("XHKG:9988", 0.6)]
    assert links(article(body="(NYSE:BABA)", instruments=())) == ()


@pytest.mark.parametrize(
    "title, name, expected",
    [
        ("Alibaba-backed fund grows", "Alibaba Group", 1.0),
        ("AT&T cuts prices", "AT&T", 1.0),
        ("Alibaba's cloud", "Alibaba's Group", 1.0),
        ("Alibabacloud grows", "Alibaba Group", 0.8),
    ],
)
def test_the_words_of_a_title_are_whole(title: str, name: str, expected: float) -> None:
    """Hyphens and possessives end a word; letters do not."""
    assert relevances(title=title, summary=f"{name} (NYSE:X) rose.") == {"XNYS:X": expected}


@pytest.mark.parametrize(
    "text",
    [
        pytest.param("(NYSE:A) " + "(and)" * 20_000 + "x (NYSE:B)", id="ambiguous parentheses"),
        pytest.param("(NYSE:A) " * 100_000, id="nothing but tickers"),
        pytest.param("Name (NYSE:A)\n\n" * 60_000, id="nothing but paragraphs"),
        pytest.param("NYSE" + " " * 900_000, id="nothing but spaces"),
        pytest.param("HKEX:9988 and " * 70_000, id="continued for ever"),
        pytest.param("A " * 450_000 + "(NYSE:A)", id="a very long name"),
    ],
)
def test_hostile_text_is_read_all_the_same(text: str) -> None:
    """Articles come from anyone: no text of a record's size takes more than a moment."""
    assert len(links(article(body=text))) <= 2


def test_T_N9_a_printed_time_is_read_in_us_order_with_its_zone() -> None:
    """`09/30/2025, 07:45:02 EDT` is 2025-09-30T11:45:02Z."""
    assert format_time(parse_published("09/30/2025, 07:45:02 EDT").time_ns) == "2025-09-30T11:45:02Z"


@pytest.mark.parametrize(
    "text, expected",
    [
        ("01/15/2025, 07:45:02 EST", "2025-01-15T12:45:02Z"),
        ("9/3/2025, 17:45 UTC", "2025-09-03T17:45:00Z"),
        ("09/30/2025, 19:45:02 HKT", "2025-09-30T11:45:02Z"),
        ("09/30/2025, 20:45:02 JST", "2025-09-30T11:45:02Z"),
        ("09/30/2025, 11:45:02 GMT", "2025-09-30T11:45:02Z"),
        ("09/30/2025, 07:45:02 -0400", "2025-09-30T11:45:02Z"),
        ("09/30/2025, 12:45:02 AM EDT", "2025-09-30T04:45:02Z"),
        ("2025-09-30T07:45:02-04:00", "2025-09-30T11:45:02Z"),
    ],
)
def test_zones_with_one_meaning_are_known(text: str, expected: str) -> None:
    """Abbreviations with one meaning, offsets and RFC 3339 need no configuration."""
    assert format_time(parse_published(text).time_ns) == expected


@pytest.mark.parametrize(
    "text, reason",
    [
        ("09/30/2025, 07:45:02 CST", "ambiguous_zone"),
        ("09/30/2025, 07:45:02 BST", "ambiguous_zone"),
        ("09/30/2025, 07:45:02 IST", "ambiguous_zone"),
        ("09/30/2025, 07:45:02 QQT", "unknown_zone"),
        ("09/30/2025, 07:45:02", "time_without_zone"),
        ("2025-09-30T07:45:02", "time_without_zone"),
        ("30/09/2025, 07:45:02 EDT", "invalid_time"),
        ("02/30/2025, 07:45:02 EDT", "invalid_time"),
        ("yesterday", "invalid_time"),
    ],
)
def test_T_N9_a_time_that_is_no_instant_is_refused_by_name(text: str, reason: str) -> None:
    """`CST` without configuration is flagged, and so is whatever else names no single instant."""
    with pytest.raises(TimeRefused) as refused:
        parse_published(text)

    assert refused.value.reason == reason


def test_T_N9_an_ambiguous_zone_is_read_when_the_configuration_says_what_it_means() -> None:
    """The reader's own zones win."""
    zones = {"CST": timezone(timedelta(hours=8))}

    assert format_time(parse_published("09/30/2025, 19:45:02 CST", zones).time_ns) == "2025-09-30T11:45:02Z"


def test_eastern_time_out_of_season_is_flagged_and_taken_as_printed() -> None:
    """EST in July is suspicious; what it says is still what counts."""
    published = parse_published("07/15/2025, 07:45:02 EST")

    assert (format_time(published.time_ns), published.anomaly) == ("2025-07-15T12:45:02Z", "zone_out_of_season")


@pytest.mark.parametrize(
    "raw, expected",
    [
        ("Artificial Intelligence", "artificial-intelligence"),
        ("  ARTIFICIAL   intelligence ", "artificial-intelligence"),
        ("ＡＩ Models", "ai-models"),
        ("AT&T", "at&t"),
        ("—", ""),
    ],
)
def test_tags_that_differ_in_spelling_only_have_one_slug(raw: str, expected: str) -> None:
    """NFKC, case, and spaces do not make another tag."""
    assert slug(raw) == expected
