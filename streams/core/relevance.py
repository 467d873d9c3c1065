"""How much an article is about each instrument it names, where the producer does not say.

A headline is what a story is about; its opening says whom else it concerns; further down names pass by. So: named in
the title 1.0, an exchange-qualified ticker or cashtag in the summary (or the first paragraph) 0.8, further down 0.4,
and no more than 0.2 in a paragraph that lists five tickers or more. A name directly before an exchange-qualified ticker
is that instrument's alias in this text, and its first word in the title is a mention in the title: that is how `Alibaba
Shares Pass Their 52-Week High` is about XNYS:BABA. Aliases of other texts are not remembered.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from itertools import islice
from typing import Final

from streams.core import tickers
from streams.core.news import INSTRUMENTS_MAX, METHODS, Article, Link
from streams.core.tickers import Found

RELEVANCE_TITLE: Final = 1.0
RELEVANCE_LEAD: Final = 0.8
RELEVANCE_BODY: Final = 0.4
RELEVANCE_LISTED: Final = 0.2
LISTED_TICKERS_MIN: Final = 5
# A paragraph that names more than this is a table; reading on would only cost time.
TICKERS_MAX: Final = 200
PARAGRAPHS_MAX: Final = 1_000

_PARAGRAPH_BREAK: Final = re.compile(r"\n\s*\n")
_WORD: Final = re.compile(r"\w+")
_COMPOUND: Final = re.compile(r"\w[\w&.\-]*")
_POSSESSIVE: Final = re.compile(r"['’]s?$")


def links(article: Article, symbols: Mapping[str, str] | None = None) -> tuple[Link, ...]:
    """Return the instruments of an article, each with its relevance, the most relevant first.

    Instruments that the producer named are final, and only a missing relevance is computed; where it named none at all
    the text is searched.

    Args:
        article: The article.
        symbols: Instruments of cashtags that the text does not qualify elsewhere, by symbol.
    """
    if article.instruments is not None and all(link.relevance is not None for link in article.instruments):
        return article.instruments
    mentions = _mentions(article, symbols or {})
    if article.instruments is not None:
        return tuple(_completed(link, mentions, len(article.instruments)) for link in article.instruments)
    found = [
        Link(mention.found.instrument, mention.found.raw, mention.found.method, mention.relevance)
        for mention in mentions.values()
    ]
    found.sort(key=lambda link: (-(link.relevance or 0.0), METHODS.index(link.method)))
    return tuple(found[:INSTRUMENTS_MAX])


@dataclass(slots=True)
class _Mention:
    found: Found
    relevance: float


def _completed(link: Link, mentions: Mapping[str, _Mention], count: int) -> Link:
    if link.relevance is not None:
        return link
    if mention := mentions.get(link.instrument):
        relevance = mention.relevance
    else:
        # The producer says that it concerns the instrument, and the text names it in a way we do not read; a long list
        # of symbols says little.
        relevance = RELEVANCE_LEAD if count < LISTED_TICKERS_MIN else RELEVANCE_LISTED
    return Link(link.instrument, link.raw, link.method, relevance, link.sentiment)


def _mentions(article: Article, symbols: Mapping[str, str]) -> dict[str, _Mention]:
    paragraphs = [
        (weight, text, list(islice(tickers.find_qualified(text), TICKERS_MAX)))
        for weight, text in islice(_paragraphs(article), PARAGRAPHS_MAX)
    ]
    qualified = {
        found.instrument.partition(":")[2]: found.instrument
        for _, _, founds in reversed(paragraphs)
        for found in reversed(founds)
    }
    provided = {link.instrument.partition(":")[2]: link.instrument for link in article.instruments or ()}
    known = {**symbols, **qualified, **provided}
    # Both `AT&T` and the `Alibaba` of `Alibaba-backed` are words of a title.
    title_words = {*_WORD.findall(article.title), *_COMPOUND.findall(article.title)}
    mentions: dict[str, _Mention] = {}
    for weight, text, founds in paragraphs:
        founds += islice(tickers.find_cashtags(text, known), TICKERS_MAX)
        listed = len({found.instrument for found in founds}) >= LISTED_TICKERS_MIN
        for found in founds:
            relevance = min(weight, RELEVANCE_LISTED) if listed else weight
            if found.name is not None and _first_word(found.name) in title_words:
                relevance = RELEVANCE_TITLE
            mention = mentions.setdefault(found.instrument, _Mention(found, relevance))
            mention.relevance = max(mention.relevance, relevance)
            if METHODS.index(found.method) < METHODS.index(mention.found.method):
                mention.found = found
    return mentions


def _paragraphs(article: Article) -> Iterator[tuple[float, str]]:
    yield RELEVANCE_TITLE, article.title
    lead = _split(article.summary)
    body = _split(article.body)
    if not lead:
        lead, body = body[:1], body[1:]
    yield from ((RELEVANCE_LEAD, text) for text in lead)
    yield from ((RELEVANCE_BODY, text) for text in body)


def _split(text: str | None) -> list[str]:
    return [part for part in _PARAGRAPH_BREAK.split(text or "") if part.strip()]


def _first_word(name: str) -> str:
    return _POSSESSIVE.sub("", name.split(maxsplit=1)[0])
