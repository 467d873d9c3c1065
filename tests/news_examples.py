"""Articles, copies and signals for tests of the news join."""

from __future__ import annotations

from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final

from streams.core.news import Article, ArticleCopy, Tag, time_anomaly
from streams.core.units import parse_time

HOUR_NS: Final = 3_600_000_000_000
ALIBABA: Final = "XNYS:BABA"
PAGE: Final = Path(__file__).parents[1] / "streams" / "feeds" / "data" / "article_alibaba.txt"

# Tuesday's signal of the motivating story: its 13:30Z trigger, and the article one hour and 45 minutes before it.
TRIGGER_NS: Final = parse_time("2025-09-30T13:30:00Z")
PUBLISHED_NS: Final = parse_time("2025-09-30T11:45:02Z")


@dataclass(frozen=True)
class ExampleSignal:
    signal_id: str = "231763b8-495c-5329-a4b7-54ff0f22cee0"
    instrument: str = ALIBABA
    event_ns: int = TRIGGER_NS


def page() -> str:
    return PAGE.read_text(encoding="utf-8")


def article(**changes: Any) -> Article:
    fields: dict[str, Any] = {
        "article_id": "1",
        "source": "Example Wire",
        "version": 1,
        "title": "Alibaba rises",
        "published_ns": PUBLISHED_NS,
        "received_ns": PUBLISHED_NS,
    }
    return Article(**{**fields, **changes})


def article_copy(**changes: Any) -> ArticleCopy:
    published_ns = changes.get("published_ns", PUBLISHED_NS)
    received_ns = changes.setdefault("received_ns", published_ns)
    instrument = changes.get("instrument", ALIBABA)
    fields: dict[str, Any] = {
        "instrument": ALIBABA,
        "relevance": 1.0,
        "named": () if instrument is None else (instrument,),
        "article_id": "1",
        "source": "Example Wire",
        "version": 1,
        "action": "created",
        "title": "Alibaba rises",
        "url": None,
        "published_ns": published_ns,
        "time_anomaly": time_anomaly(published_ns=published_ns, received_ns=received_ns, action="created"),
        "novelty": None,
        "tags": (Tag("Alibaba", "alibaba"),),
    }
    return ArticleCopy(**{**fields, **changes})
