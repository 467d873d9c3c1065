"""Articles from files: the plain text of a news page, or one canonical article in JSON a line.

The text is what a page looks like when it is copied: the title, the region, `Source: Benzinga.comPublished: 09/30/2025,
07:45:02 EDT` on one line or two, a tag a line, the title again, then sections under their headings. Only the title and
the line with the source and the time are needed; the rest may be missing, and quirks of copying (the title once or
twice, above a known region or below the tags alone, hard spaces, other line ends) make no difference.
"""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, replace
from datetime import tzinfo
from itertools import takewhile
from typing import Final
from uuid import uuid5
from zoneinfo import ZoneInfo

from streams.core import news
from streams.core.news import Article
from streams.core.relevance import links
from streams.core.signals import NAMESPACE
from streams.core.units import format_time
from streams.core.zones import TimeRefused, parse_offset, parse_published
from streams.wire.articles import decode_article
from streams.wire.checks import RecordRefused

STAGE: Final = "read"
HEADING_SUMMARY: Final = "news summary"
HEADING_BACKGROUND: Final = "background"
HEADING_INSIGHTS: Final = "in-depth ai insights"
HEADINGS: Final = (HEADING_SUMMARY, HEADING_BACKGROUND, HEADING_INSIGHTS)

_SOURCE: Final = re.compile(r"Source:\s*(?P<source>.*?)\s*(?:Published:\s*(?P<published>.*))?", re.IGNORECASE)
_PUBLISHED: Final = re.compile(r"Published:\s*(?P<published>.*)", re.IGNORECASE)
# Answers begin with a dash between spaces; the question that follows them is the last sentence before the next dash.
_DASH: Final = re.compile(r"\s+[-–—]\s+")
_SENTENCE_BREAK: Final = re.compile(r"[.!]\s+(?=[A-Z])")


@dataclass(frozen=True, slots=True)
class Insight:
    """A question that a page asks about its news, with its answers."""

    question: str
    answers: tuple[str, ...]


def parse_text(
    text: str,
    received_at: int | None = None,
    zones: Mapping[str, str] | None = None,
    symbols: Mapping[str, str] | None = None,
) -> Article:
    """Return the article of a page's text, with its instruments and an identifier made of its content.

    Args:
        text: The page.
        received_at: When it came, in nanoseconds; its own time where that is unknown.
        zones: What ambiguous zone abbreviations mean: an offset such as `+08:00` or an IANA zone such as
            `Asia/Shanghai`.
        symbols: Instruments of cashtags that the text does not qualify, by symbol.

    Raises:
        RecordRefused: The text is no such page, or its time cannot be read.
    """
    page = _read_page(text)
    try:
        published = parse_published(page.published, _zones(zones or {}))
    except TimeRefused as error:
        raise RecordRefused(STAGE, error.reason, f"Published: {error}") from None
    received_ns = published.time_ns if received_at is None else received_at
    name = f"article|{page.source}|{format_time(published.time_ns)}|{page.title}"
    article = Article(
        article_id=str(uuid5(NAMESPACE, name)),
        source=page.source,
        version=0,
        title=page.title,
        published_ns=published.time_ns,
        received_ns=received_ns,
        summary=page.sections.get(HEADING_SUMMARY),
        body=_body(page.sections),
        region=page.region,
        region_codes=news.region_codes(page.region),
        published_raw=page.published,
        time_anomaly=news.time_anomaly(
            published_ns=published.time_ns, received_ns=received_ns, action=news.ACTION_CREATED, given=published.anomaly
        ),
        tags=tuple({tag.slug: tag for tag in map(news.tag, reversed(page.tags)) if tag.slug}.values())[::-1],
    )
    return replace(article, instruments=links(article, symbols))


def read_json_lines(
    lines: Iterable[bytes | str], received_at: int | None = None
) -> Iterator[tuple[int, Article | RecordRefused]]:
    """Yield each line's number with its article, or with why it is none; blank lines are skipped.

    Args:
        lines: Lines of JSON, each the canonical article.
        received_at: When they came, in nanoseconds, for articles that do not say.
    """
    for number, line in enumerate(lines, 1):
        value = line.encode("utf-8", "surrogatepass") if isinstance(line, str) else line
        value = value.strip().removeprefix(b"\xef\xbb\xbf")
        if not value:
            continue
        try:
            yield number, decode_article(value, received_ns=received_at)
        except RecordRefused as refusal:
            yield number, refusal


def read_articles(
    data: bytes,
    received_at: int | None = None,
    zones: Mapping[str, str] | None = None,
    symbols: Mapping[str, str] | None = None,
) -> Iterator[tuple[int, Article | RecordRefused]]:
    """Yield the articles of a file, whichever of the two forms it has: JSON lines begin with a brace.

    Each comes with the number of its first line; what is no article comes as the refusal that says why.
    """
    if data.removeprefix(b"\xef\xbb\xbf").lstrip()[:1] in (b"{", b"["):
        yield from read_json_lines(data.splitlines(), received_at)
        return
    try:
        yield 1, parse_text(data.decode("utf-8"), received_at, zones, symbols)
    except UnicodeDecodeError as error:
        message = f"expected UTF-8, found {error.reason} at byte {error.start}; save the file as UTF-8"
        yield 1, RecordRefused(STAGE, "invalid_utf8", message)
    except RecordRefused as refusal:
        yield 1, refusal


def read_insights(text: str) -> list[Insight]:
    """Return the questions and answers of a section that runs them together.

    >>> [insight.question for insight in read_insights("Is it so? - It is. - Mostly. And then? - No.")]
    ['Is it so?', 'And then?']
    """
    first, *pieces = _DASH.split(" ".join(text.split()))
    insights: list[Insight] = []
    question, answers = first, list[str]()
    for piece in pieces:
        answer, following = _split_question(piece)
        answers.append(answer)
        if following:
            insights.append(Insight(question, tuple(answers)))
            question, answers = following, []
    insights.append(Insight(question, tuple(answers)))
    return insights


def _split_question(piece: str) -> tuple[str, str]:
    # An answer, and the question behind it, empty where there is none.
    breaks = list(_SENTENCE_BREAK.finditer(piece)) if piece.endswith("?") else []
    if not breaks:
        return piece, ""
    return piece[: breaks[-1].start() + 1], piece[breaks[-1].end() :]


@dataclass(slots=True)
class _Page:
    title: str
    region: str | None
    source: str
    published: str
    tags: list[str]
    sections: dict[str, str]


def _read_page(text: str) -> _Page:
    lines = [" ".join(line.split()) for line in text.removeprefix("\ufeff").splitlines()]
    at = next((index for index, line in enumerate(lines) if _SOURCE.fullmatch(line)), None)
    if at is None:
        raise _refused("expected a line 'Source: NAME' near the top, found none; give the page's text or JSON lines")
    before = [line for line in lines[:at] if line]
    source, published, after = _source(lines, at)
    head = _head(lines[after:])
    region: str | None
    if len(before) == 1 and head and news.region_codes(before[0]):
        # The title stands below the tags alone, and only the region above the source.
        title, region = head[-1], before[0]
    elif before:
        title, region = before[0], before[1] if len(before) > 1 else None
    else:
        raise _refused("expected a title above the line of the source, found none")
    if len(title) > news.TITLE_CHARACTERS_MAX:
        raise _refused(f"expected a title of at most {news.TITLE_CHARACTERS_MAX} characters, found {len(title)}")
    return _Page(title, region, source, published, _tags(head, title), _sections(lines[after:]))


def _source(lines: list[str], at: int) -> tuple[str, str, int]:
    # The source, the time as printed, and where the tags begin.
    match = _SOURCE.fullmatch(lines[at])
    assert match is not None  # The caller found the line by it.
    source, published, after = match["source"], match["published"], at + 1
    if published is None:
        following = next((index for index in range(at + 1, len(lines)) if lines[index]), at)
        other = _PUBLISHED.fullmatch(lines[following])
        published, after = (other["published"], following + 1) if other else ("", after)
    if not source or len(source) > news.NAME_CHARACTERS_MAX:
        raise _refused(f"expected a name after 'Source:', found {source[:60]!r}")
    if not published:
        raise _refused("expected 'Published: MM/DD/YYYY, HH:MM:SS ZONE' after the source, found nothing")
    return source, published, after


# What stands between the source and the first section: the tags, and often the title.
def _head(lines: list[str]) -> list[str]:
    return [line for line in takewhile(lambda line: line.casefold() not in HEADINGS, lines) if line]


def _tags(head: list[str], title: str) -> list[str]:
    # Tags end where the title is repeated; a line too long for a tag is text without a heading.
    tags = takewhile(lambda line: line != title and len(line) <= news.TAG_CHARACTERS_MAX, head)
    return list(tags)[: news.TAGS_MAX]


def _sections(lines: list[str]) -> dict[str, str]:
    sections: dict[str, list[str]] = {}
    current: list[str] | None = None
    for line in lines:
        if line.casefold() in HEADINGS:
            current = sections.setdefault(line.casefold(), [])
        elif current is not None:
            current.append(line)
    texts = {heading: "\n".join(parts).strip() for heading, parts in sections.items()}
    return {heading: text for heading, text in texts.items() if text}


def _body(sections: Mapping[str, str]) -> str | None:
    parts = [sections[HEADING_BACKGROUND]] if HEADING_BACKGROUND in sections else []
    for insight in read_insights(sections[HEADING_INSIGHTS]) if HEADING_INSIGHTS in sections else ():
        parts.append("\n".join([insight.question, *(f"- {answer}" for answer in insight.answers)]))
    return "\n\n".join(parts) or None


def _zones(zones: Mapping[str, str]) -> dict[str, tzinfo]:
    return {abbreviation.upper(): parse_offset(zone) or ZoneInfo(zone) for abbreviation, zone in zones.items()}


def _refused(message: str) -> RecordRefused:
    return RecordRefused(STAGE, "invalid_text", message)
