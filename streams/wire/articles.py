"""Articles between JSON and the core: what producers write, the copies per instrument, and enriched signals.

Articles come from any producer, so what they may leave out is filled in and unknown keys are ignored; what they do
write must have the right type. Our own copies have one form. Enriched signals embed the signal's bytes as they stand on
its own topic.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any, Final

import msgspec
import orjson

from streams.core import news
from streams.core.enrichment import Enriched, Linked
from streams.core.news import Article, ArticleCopy, Link, NewsClock, Tag
from streams.core.signals import content_id
from streams.core.units import NS, format_time
from streams.wire import checks
from streams.wire.checks import RecordRefused
from streams.wire.signals import Encoded, cloud_event_headers

__all__ = [
    "ENRICHED",
    "RecordRefused",
    "copy_key",
    "decode_article",
    "decode_copy",
    "encode_article",
    "encode_copy",
    "encode_enriched",
]

ENRICHED: Final = "signals.enriched.v1"
CLOCK_MODES: Final = ("live", "replay")


class _TagFields(msgspec.Struct):
    raw: str
    slug: str | None = None
    scheme: str | None = None
    code: str | None = None


class _LinkFields(msgspec.Struct):
    instrument_id: str
    raw: str | None = None
    method: str | None = None
    relevance: float | None = None
    sentiment: float | None = None


class _ArticleFields(msgspec.Struct):
    article_id: str
    source: str
    title: str | None = None
    published_at: str | int | float | None = None
    received_at: str | int | float | None = None
    updated_at: str | int | float | None = None
    published_raw: str | None = None
    action: str = news.ACTION_CREATED
    version: int | float | None = None
    provider: str | None = None
    summary: str | None = None
    body: str | None = None
    url: str | None = None
    language: str | None = None
    region: str | None = None
    region_codes: list[str] | None = None
    time_anomaly: str | None = None
    tags: list[str | _TagFields] | None = None
    instruments: list[str | _LinkFields] | None = None
    story_id: str | None = None
    novelty: float | None = None


class _CopyFields(msgspec.Struct):
    article_id: str
    source: str
    version: int
    action: str
    title: str
    published_at: str | int
    received_at: str | int
    relevance: float
    named: list[str]
    instrument: str | None = None
    url: str | None = None
    time_anomaly: str | None = None
    novelty: float | None = None
    tags: list[_TagFields] = []


class _ClockFields(msgspec.Struct):
    time: str | int
    mode: str


class _TypeField(msgspec.Struct):
    type: str


_articles: Final = msgspec.json.Decoder(_ArticleFields)
_copies: Final = msgspec.json.Decoder(_CopyFields)
_clocks: Final = msgspec.json.Decoder(_ClockFields)
_types: Final = msgspec.json.Decoder(_TypeField)


def decode_article(value: bytes, *, received_ns: int | None = None) -> Article:
    """Return the article of a record of the news topic.

    Args:
        value: The record's bytes.
        received_ns: When it came, for producers that do not say: the broker's append time.

    Raises:
        RecordRefused: The bytes are no article.
    """
    fields: _ArticleFields = checks.decode(_articles, value)
    checks.choice("action", fields.action, news.ACTIONS, "invalid_action")
    deleted = fields.action == news.ACTION_DELETED
    title = checks.limited("title", fields.title or "", news.TITLE_CHARACTERS_MAX).strip()
    if not title and not deleted:
        raise checks.refused(
            "missing_field", "expected a title, found none; every article but a deleted one has a title"
        )
    received_ns = received_ns if fields.received_at is None else checks.time("received_at", fields.received_at)
    published_ns = received_ns if deleted else None
    if fields.published_at is not None:
        published_ns = checks.time("published_at", fields.published_at)
    if published_ns is None:
        raise checks.refused("missing_field", "expected published_at, found none; give the provider's time in RFC 3339")
    received_ns = published_ns if received_ns is None else received_ns
    updated_ns = None if fields.updated_at is None else checks.time("updated_at", fields.updated_at)
    article_id = checks.text("article_id", fields.article_id, news.NAME_CHARACTERS_MAX)
    if fields.time_anomaly is not None:
        checks.choice("time_anomaly", fields.time_anomaly, news.ANOMALIES, "invalid_time_anomaly")
    return Article(
        article_id=article_id,
        source=checks.text("source", fields.source, news.NAME_CHARACTERS_MAX),
        version=_version(fields, updated_ns),
        title=title,
        published_ns=published_ns,
        received_ns=received_ns,
        action=fields.action,
        provider=fields.provider,
        summary=fields.summary,
        body=fields.body,
        url=None if fields.url is None else checks.limited("url", fields.url, news.URL_CHARACTERS_MAX),
        language=fields.language,
        region=fields.region,
        region_codes=news.region_codes(fields.region) if fields.region_codes is None else tuple(fields.region_codes),
        published_raw=fields.published_raw,
        updated_ns=updated_ns,
        time_anomaly=news.time_anomaly(
            published_ns=published_ns, received_ns=received_ns, action=fields.action, given=fields.time_anomaly
        ),
        tags=_tags(fields.tags or ()),
        instruments=None if fields.instruments is None else _links(fields.instruments),
        story_id=fields.story_id,
        novelty=checks.ratio("novelty", fields.novelty),
    )


def encode_article(article: Article) -> bytes:
    """Return an article as a record of the news topic; what is absent is left out."""
    value: dict[str, Any] = {
        "article_id": article.article_id,
        "source": article.source,
        "provider": article.provider,
        "action": article.action,
        "version": article.version,
        "title": article.title,
        "summary": article.summary,
        "body": article.body,
        "url": article.url,
        "language": article.language,
        "region": article.region,
        "region_codes": list(article.region_codes) or None,
        "published_at": format_time(article.published_ns),
        "published_raw": article.published_raw,
        "updated_at": None if article.updated_ns is None else format_time(article.updated_ns),
        "received_at": format_time(article.received_ns),
        "time_anomaly": article.time_anomaly,
        "tags": [_tag_document(tag) for tag in article.tags],
        "instruments": None if article.instruments is None else [_link_document(link) for link in article.instruments],
        "story_id": article.story_id,
        "novelty": article.novelty,
    }
    return orjson.dumps({name: field for name, field in value.items() if field is not None})


def encode_copy(copy: ArticleCopy) -> bytes:
    """Return a copy, or a notice (no instrument), as a record of the news-by-instrument topic."""
    return orjson.dumps(
        {
            "type": "article",
            "instrument": copy.instrument,
            "relevance": copy.relevance,
            "named": copy.named,
            "article_id": copy.article_id,
            "source": copy.source,
            "version": copy.version,
            "action": copy.action,
            "title": copy.title,
            "url": copy.url,
            "published_at": format_time(copy.published_ns),
            "received_at": format_time(copy.received_ns),
            "time_anomaly": copy.time_anomaly,
            "novelty": copy.novelty,
            "tags": [_tag_document(tag) for tag in copy.tags],
        }
    )


def copy_key(copy: ArticleCopy) -> bytes:
    """Return the record key of a copy: its instrument; the article for a notice, whose partition is explicit anyway."""
    return (copy.article_id if copy.instrument is None else copy.instrument).encode()


def decode_copy(value: bytes) -> ArticleCopy | NewsClock:
    """Return what a record of the news-by-instrument topic says: a copy of an article, or a clock.

    Raises:
        RecordRefused: The bytes are neither.
    """
    kind: str = checks.decode(_types, value).type
    if kind == "clock":
        clock: _ClockFields = checks.decode(_clocks, value)
        checks.choice("mode", clock.mode, CLOCK_MODES, "invalid_mode")
        return NewsClock(checks.time("time", clock.time), clock.mode)
    if kind != "article":
        raise checks.refused("unknown_type", f"expected a record of type article or clock, found {kind[:60]!r}")
    fields: _CopyFields = checks.decode(_copies, value)
    checks.choice("action", fields.action, news.ACTIONS, "invalid_action")
    for instrument in fields.named:
        checks.instrument("named", instrument)
    if fields.instrument is not None and fields.instrument not in fields.named:
        raise checks.refused(
            "invalid_instrument", f"expected an instrument among those named, found {fields.instrument!r}"
        )
    return ArticleCopy(
        instrument=fields.instrument,
        relevance=checks.ratio("relevance", fields.relevance) or 0.0,
        named=tuple(fields.named),
        article_id=checks.text("article_id", fields.article_id, news.NAME_CHARACTERS_MAX),
        source=checks.text("source", fields.source, news.NAME_CHARACTERS_MAX),
        version=checks.version(fields.version),
        action=fields.action,
        title=fields.title,
        url=fields.url,
        published_ns=checks.time("published_at", fields.published_at),
        received_ns=checks.time("received_at", fields.received_at),
        time_anomaly=fields.time_anomaly,
        novelty=checks.ratio("novelty", fields.novelty),
        tags=_tags(fields.tags),
    )


def encode_enriched(enriched: Enriched, *, source: str) -> Encoded:
    """Encode one revision of an enriched signal; equal revisions give equal bytes.

    Args:
        enriched: The revision.
        source: Who says it, for `ce_source`: `/fiftytwo/<application id>`.
    """
    headers = cloud_event_headers(
        event_id=content_id(f"{enriched.signal_id}/{enriched.status}/{enriched.revision}"),
        source=source,
        event_type=f"fiftytwo.enriched.{enriched.status}.v1",
        event_ns=enriched.event_ns,
        instrument=enriched.instrument,
        schema="enriched-signal",
        revision=enriched.revision,
    )
    value = {
        "signal_id": enriched.signal_id,
        "revision": enriched.revision,
        "status": enriched.status,
        "no_catalyst": enriched.no_catalyst,
        "signal": orjson.Fragment(enriched.document),
        "articles": [_linked_document(entry) for entry in enriched.articles],
        "tags": enriched.tags,
        "article_count": enriched.article_count,
    }
    return Encoded(ENRICHED, enriched.instrument.encode(), orjson.dumps(value), headers)


def _linked_document(entry: Linked) -> dict[str, Any]:
    article = entry.article
    return {
        "article_id": article.article_id,
        "source": article.source,
        "version": article.version,
        "title": article.title,
        "url": article.url,
        "published_at": format_time(article.published_ns),
        "received_at": format_time(article.received_ns),
        "time_anomaly": article.time_anomaly,
        "relevance": article.relevance,
        "score": entry.score_millionths / 1_000_000,
        "relation": entry.relation,
        "delta_seconds": round(entry.delta_ns / NS, 6),
        "tags": [tag.raw for tag in article.tags],
    }


def _tag_document(tag: Tag) -> dict[str, Any]:
    optional = {"scheme": tag.scheme, "code": tag.code}
    return {"raw": tag.raw, "slug": tag.slug, **{name: field for name, field in optional.items() if field is not None}}


def _link_document(link: Link) -> dict[str, Any]:
    optional = {"relevance": link.relevance, "sentiment": link.sentiment}
    present = {name: field for name, field in optional.items() if field is not None}
    return {"instrument_id": link.instrument, "raw": link.raw, "method": link.method, **present}


def _version(fields: _ArticleFields, updated_ns: int | None) -> int:
    if fields.version is not None:
        return checks.version(fields.version)
    if updated_ns is not None:
        return max(updated_ns, 0)
    if fields.action != news.ACTION_CREATED:
        raise checks.refused(
            "missing_field", f"expected version or updated_at on an article that is {fields.action}, found neither"
        )
    return 0


def _tags(fields: Sequence[str | _TagFields]) -> tuple[Tag, ...]:
    if len(fields) > news.TAGS_MAX:
        raise checks.refused("article_too_large", f"expected at most {news.TAGS_MAX} tags, found {len(fields)}")
    found: dict[str, Tag] = {}
    for field in fields:
        tag = (
            news.tag(field)
            if isinstance(field, str)
            else news.tag(field.raw, given=field.slug, scheme=field.scheme, code=field.code)
        )
        checks.limited("a tag", field if isinstance(field, str) else field.raw, news.TAG_CHARACTERS_MAX)
        if tag.slug:
            found.setdefault(tag.slug, tag)
    return tuple(found.values())


def _links(fields: Sequence[str | _LinkFields]) -> tuple[Link, ...]:
    if len(fields) > news.INSTRUMENTS_MAX:
        raise checks.refused(
            "article_too_large", f"expected at most {news.INSTRUMENTS_MAX} instruments, found {len(fields)}"
        )
    return tuple(_link(_LinkFields(field) if isinstance(field, str) else field) for field in fields)


def _link(field: _LinkFields) -> Link:
    checks.instrument("instrument_id", field.instrument_id)
    method = field.method or news.METHOD_PROVIDER
    checks.choice("method", method, news.METHODS, "invalid_method")
    if field.sentiment is not None and not -1.0 <= field.sentiment <= 1.0:
        raise checks.refused("out_of_range", f"expected sentiment from -1 to 1, found {field.sentiment}")
    relevance = checks.ratio("relevance", field.relevance)
    return Link(field.instrument_id, field.raw or field.instrument_id, method, relevance, field.sentiment)
