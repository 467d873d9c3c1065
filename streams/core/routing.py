"""Which partitions learn of an article: one copy an instrument, and a notice to all when it replaces a version.

The router keeps no state, so it cannot know which instruments an earlier version named. Therefore every version but a
created one also goes, as a notice without an instrument, to every partition, and the join there ends the links that the
newest version no longer has.
"""

from __future__ import annotations

from collections.abc import Mapping

from streams.core.news import ACTION_CREATED, ACTION_DELETED, Article, ArticleCopy
from streams.core.relevance import links


def copies(article: Article, symbols: Mapping[str, str] | None = None) -> list[ArticleCopy]:
    """Return the copies of one article version, in the order in which they are to be written.

    A copy with an instrument goes to that instrument's partition, a copy without one (at most one, the last) to every
    partition. A deleted article has no other.

    Args:
        article: The accepted version.
        symbols: Instruments of cashtags, by symbol.
    """
    if article.action == ACTION_DELETED:
        return [_copy(article, None, 0.0, ())]
    found = links(article, symbols)
    named = tuple(dict.fromkeys(link.instrument for link in found))
    best: dict[str, float] = {}
    for link in found:
        best[link.instrument] = max(best.get(link.instrument, 0.0), link.relevance or 0.0)
    result = [_copy(article, instrument, relevance, named) for instrument, relevance in best.items()]
    if article.action != ACTION_CREATED:
        result.append(_copy(article, None, 0.0, named))
    return result


def _copy(article: Article, instrument: str | None, relevance: float, named: tuple[str, ...]) -> ArticleCopy:
    return ArticleCopy(
        instrument=instrument,
        relevance=relevance,
        named=named,
        article_id=article.article_id,
        source=article.source,
        version=article.version,
        action=article.action,
        title=article.title,
        url=article.url,
        published_ns=article.published_ns,
        received_ns=article.received_ns,
        time_anomaly=article.time_anomaly,
        novelty=article.novelty,
        tags=article.tags,
    )
