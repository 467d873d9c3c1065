"""An enriched signal: the signal as it was sent, the articles that may explain it, best first, and all their tags.

Score = 0.5 relevance + 0.3 recency + 0.2 novelty, with recency halving every 24 hours of distance from the signal: news
predicts a day or two. It is kept in millionths, so that sums and ties come out alike on every machine and in every
order of arrival.
"""

from __future__ import annotations

import math
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

from streams.core.news import ArticleCopy
from streams.core.units import DAY_NS

WEIGHT_RELEVANCE: Final = 0.5
WEIGHT_RECENCY: Final = 0.3
WEIGHT_NOVELTY: Final = 0.2
HALF_LIFE_NS: Final = DAY_NS
NOVELTY_UNKNOWN: Final = 1.0  # Nobody said that the story was told before.
SCORE_ONE: Final = 1_000_000

STATUS_OPEN: Final = "open"
STATUS_FINAL: Final = "final"
RELATION_PRECEDING: Final = "preceding"
RELATION_FOLLOWING: Final = "following"


@dataclass(frozen=True, slots=True)
class Linked:
    """An article linked with a signal; `delta_ns` is the article's join time minus the signal's time."""

    article: ArticleCopy
    score_millionths: int
    delta_ns: int

    @property
    def relation(self) -> str:
        """Return whether the news came first (or at once) or followed."""
        return RELATION_PRECEDING if self.delta_ns <= 0 else RELATION_FOLLOWING


@dataclass(frozen=True, slots=True, kw_only=True)
class Enriched:
    """One revision of an enriched signal. A consumer keeps the greatest revision of each signal; gaps are legal.

    Attributes:
        event_ns: The signal's time: its first trigger.
        document: The signal as it was sent on its own topic, in JSON.
        articles: The best articles, at most as many as the rules say.
        tags: The tags of all linked articles as written, by summed score.
        article_count: How many articles are linked, shown or not.
    """

    signal_id: str
    instrument: str
    event_ns: int
    revision: int
    final: bool
    document: bytes
    articles: tuple[Linked, ...]
    tags: tuple[str, ...]
    article_count: int

    @property
    def status(self) -> str:
        """Return `open` while news may still join, then `final`."""
        return STATUS_FINAL if self.final else STATUS_OPEN

    @property
    def no_catalyst(self) -> bool:
        """Tell whether no article explains the signal; only a final one can say so."""
        return self.final and self.article_count == 0


def score_millionths(relevance: float, delta_ns: int, novelty: float | None) -> int:
    """Return the score of an article for a signal, in millionths.

    >>> score_millionths(1.0, -6_298_000_000_000, None)
    985219
    """
    recency = math.pow(2.0, -abs(delta_ns) / HALF_LIFE_NS)
    known = NOVELTY_UNKNOWN if novelty is None else novelty
    return round((WEIGHT_RELEVANCE * relevance + WEIGHT_RECENCY * recency + WEIGHT_NOVELTY * known) * SCORE_ONE)


def rank(articles: Iterable[ArticleCopy], event_ns: int) -> list[Linked]:
    """Return the articles of a signal by score; ties: relevance, then the later published, then the identifier."""
    linked = [
        Linked(
            article,
            score_millionths(article.relevance, article.join_ns - event_ns, article.novelty),
            article.join_ns - event_ns,
        )
        for article in articles
    ]
    linked.sort(
        key=lambda entry: (
            -entry.score_millionths,
            -entry.article.relevance,
            -entry.article.published_ns,
            entry.article.article_id,
            entry.article.source,
        )
    )
    return linked


def ranked_tags(ranked: Iterable[Linked], tags_max: int) -> tuple[str, ...]:
    """Return the tags of ranked articles by the sum of their articles' scores; ties keep the order of first appearance.

    A tag is spelt as in the best article that has it.
    """
    sums: dict[str, int] = {}
    spelt: dict[str, str] = {}
    for entry in ranked:
        once: set[str] = set()
        for tag in entry.article.tags:
            if tag.slug not in once:
                once.add(tag.slug)
                spelt.setdefault(tag.slug, tag.raw)
                sums[tag.slug] = sums.get(tag.slug, 0) + entry.score_millionths
    order = sorted(sums, key=lambda slug: -sums[slug])
    return tuple(spelt[slug] for slug in order[:tags_max])
