"""What a feed writes, in order: records of the tick topic, articles, and the clock records that let event time pass.

A replay must never show a tick that lies in the future of its own clock, so `with_clocks` puts a clock record before
every record that takes event time into a new second. The worker allows five seconds; one is what a live clock does.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import Literal

import orjson

from streams.core.news import Article
from streams.core.units import NS, format_time
from streams.wire.articles import encode_article

Kind = Literal["bar", "tick", "clock", "article", "action", "session"]


@dataclass(frozen=True, slots=True)
class Step:
    """One record to write.

    Attributes:
        kind: What it is; a clock goes to every partition of the tick topic and of the news by instrument, a session to
            every partition of the tick topic. Whatever else concerns trades of one instrument goes as a tick.
        time_ns: Event time, nanoseconds since 1970; 0 for bars and actions, which have a date and no time.
        key: Instrument id, or the article's id; empty for clocks.
        value: The record as it goes on the wire.
        price: Scaled price of a tick, so that a screen need not decode it again; 0 for everything else.
    """

    kind: Kind
    time_ns: int
    key: str
    value: bytes
    price: int = 0


def tick_step(instrument: str, time_ns: int, price: int, document: Mapping[str, object]) -> Step:
    """Return the step of a tick whose wire fields are `document`."""
    return Step("tick", time_ns, instrument, orjson.dumps(document), price)


def clock_step(time_ns: int, *, mode: Literal["live", "replay"] = "replay") -> Step:
    """Return the step that tells every partition that event time has reached `time_ns`."""
    return Step("clock", time_ns, "", orjson.dumps({"type": "clock", "time": format_time(time_ns), "mode": mode}))


def article_step(article: Article) -> Step:
    """Return the step of an article, at the time when it came to us."""
    return Step("article", article.received_ns, article.article_id, encode_article(article))


def with_clocks(steps: Iterable[Step]) -> Iterator[Step]:
    """Put a clock record before every step that takes event time into a new second; drop clocks that say nothing new.

    Args:
        steps: In order of event time. Bars and actions pass as they are.
    """
    newest_ns = -1
    for step in steps:
        if step.kind in {"bar", "action"}:
            yield step
            continue
        second_ns = step.time_ns if step.kind == "clock" else step.time_ns - step.time_ns % NS
        if second_ns > newest_ns:
            newest_ns = second_ns
            yield clock_step(second_ns)
        if step.kind != "clock":
            yield step
