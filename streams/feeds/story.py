"""What the signals say, told as a trader would read it; and what they must say of the Alibaba days.

The story is made of the records on the output topics alone: nothing here knows how a signal came about. It takes them
in any order that the topics may interleave in, because every record carries its own time, session and revision.
"""

from __future__ import annotations

from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from datetime import UTC, date, datetime
from decimal import Decimal
from typing import Any, Final, Literal, get_args
from zoneinfo import ZoneInfo

from streams.core.units import NS, parse_time

Document = Mapping[str, Any]
Tone = Literal["momentum", "near", "trigger", "news", "extreme", "failed", "confirmed", "unconfirmed"]

NEW_YORK: Final = ZoneInfo("America/New_York")
RATIO: Final = Decimal("0.000001")


@dataclass(frozen=True, slots=True)
class Event:
    """One thing that happened: when, in which session, what kind of news it is, and a sentence about it."""

    time_ns: int
    session: str
    tone: Tone
    text: str


@dataclass(slots=True)
class Breakout:
    """One breakout signal as far as it is known.

    Attributes:
        triggered: Its first record.
        latest: Its newest record.
        extremes: How many new extremes followed the trigger.
        extreme: Price of the newest of them, or of the trigger.
        enriched: Its newest enriched record, None before the first.
        enriched_first: Its first enriched record, the one of the lowest revision.
    """

    triggered: Document
    latest: Document
    extremes: int = 0
    extreme: str = ""
    enriched: Document | None = None
    enriched_first: Document | None = None

    @property
    def closed(self) -> bool:
        """Return whether the session's verdict is in."""
        return self.latest["transition"] in ("confirmed", "unconfirmed")

    @property
    def outcome(self) -> str:
        """Return the outcome in a word or two; `open` before the close."""
        if not self.closed:
            return "failed" if self.latest["failed"] else "open"
        return f"failed, {self.latest['transition']}" if self.latest["failed"] else str(self.latest["transition"])


@dataclass(slots=True)
class Story:
    """Everything that the output topics have said so far.

    Attributes:
        breakouts: By signal id.
        events: In order of arrival; a run of new extremes of one signal is one event, kept up to date.
    """

    breakouts: dict[str, Breakout] = field(default_factory=dict)
    events: list[Event] = field(default_factory=list)
    _enriched: dict[str, list[Document]] = field(default_factory=dict)
    _articles: set[str] = field(default_factory=set)
    _extreme_places: dict[str, int] = field(default_factory=dict)

    def tell(self, document: Document) -> None:
        """Take one record of an output topic. A record that was taken before changes nothing."""
        if "signal" in document:
            self._take_enriched(document)
        elif document["family"] in ("high_52w", "low_52w"):
            self._take_breakout(document)
        else:
            self._take_measure(document)

    def of_session(self, session: str) -> Breakout | None:
        """Return the breakout of the 52-week high of a session (`2025-09-29`), if there was one."""
        return next((breakout for breakout in self.breakouts.values() if _is_high(breakout.triggered, session)), None)

    def events_of(self, session: str) -> list[Event]:
        """Return what happened in a session, in order of time."""
        return in_order(event for event in self.events if event.session == session)

    def _take_breakout(self, document: Document) -> None:
        signal_id, transition = document["signal_id"], document["transition"]
        breakout = self.breakouts.get(signal_id)
        if breakout is None:
            breakout = self.breakouts[signal_id] = Breakout(document, document, extreme=document["price"])
        elif document["revision"] <= breakout.latest["revision"]:
            return
        breakout.latest = document
        for enriched in self._enriched.pop(signal_id, ()):
            self._attach(breakout, enriched)
        text = _breakout_text(document)
        place = len(self.events)
        if transition == "new_extreme":
            breakout.extremes += 1
            breakout.extreme = document["price"]
            place = self._extreme_places.setdefault(signal_id, place)
            text += f" ({breakout.extremes} so far)" if breakout.extremes > 1 else ""
        event = Event(parse_time(document["event_time"]), document["session_date"], TONES[transition], text)
        self.events[place : place + 1] = [event]

    def _take_enriched(self, document: Document) -> None:
        signal_id = document["signal_id"]
        breakout = self.breakouts.get(signal_id)
        if breakout is not None:
            self._attach(breakout, document)
        elif document["signal"]["family"] in ("high_52w", "low_52w"):
            # The three output topics have no order among each other: the enriched record may be here first.
            self._enriched.setdefault(signal_id, []).append(document)

    def _attach(self, breakout: Breakout, document: Document) -> None:
        first = breakout.enriched_first
        if first is None or document["revision"] < first["revision"]:
            breakout.enriched_first = document
        known = breakout.enriched
        if known is not None and document["revision"] <= known["revision"]:
            return
        breakout.enriched = document
        before = {article["article_id"] for article in known["articles"]} if known is not None else set()
        for article in document["articles"]:
            if article["article_id"] not in before:
                is_known = article["article_id"] in self._articles and breakout.enriched_first is document
                self._articles.add(article["article_id"])
                self.events.append(_news_event(breakout, article, is_known=is_known))

    def _take_measure(self, document: Document) -> None:
        text = _measure_text(document)
        if text:
            tone: Tone = "near" if document["family"].startswith("proximity") else "momentum"
            event = Event(parse_time(document["event_time"]), document["session_date"], tone, text)
            if event not in self.events:
                self.events.append(event)


def in_order(events: Iterable[Event]) -> list[Event]:
    """Return events in order of time; at one moment what explains comes before what follows from it."""
    return sorted(events, key=lambda event: (event.time_ns, TONE_ORDER.index(event.tone)))


TONE_ORDER: Final[tuple[Tone, ...]] = get_args(Tone)
TONES: Final[Mapping[str, Tone]] = {
    "triggered": "trigger",
    "new_extreme": "extreme",
    "failed": "failed",
    "confirmed": "confirmed",
    "unconfirmed": "unconfirmed",
}


@dataclass(frozen=True, slots=True)
class Fact:
    """What the signals must say of one session: published prices, and the rules applied to them by hand."""

    session: str
    level: str
    set_on: str
    close: str
    verdict: Literal["confirmed", "unconfirmed"]
    gap: bool = False
    fresh: bool = False
    failed: bool = False
    extreme: str = ""


# The breakouts of the 52-week high from 11 September to 2 October 2025, from the daily bars. The day before the list
# begins, the high of the 52 weeks was 148.43, of 17 March. Sessions that are not in the list had no breakout, and the
# 52-week low was never near.
FACTS: Final = (
    Fact("2025-09-11", "148.43", "2025-03-17", "155.44", "confirmed", fresh=True),
    Fact("2025-09-15", "156.849", "2025-09-11", "158.04", "confirmed", gap=True),
    Fact("2025-09-16", "159.7", "2025-09-15", "162.21", "confirmed"),
    Fact("2025-09-17", "163", "2025-09-16", "166.17", "confirmed", gap=True),
    Fact("2025-09-22", "167.32", "2025-09-17", "164.25", "unconfirmed", failed=True),
    Fact("2025-09-23", "167.435", "2025-09-22", "163.08", "unconfirmed", failed=True),
    Fact("2025-09-24", "167.83", "2025-09-23", "176.44", "confirmed", gap=True),
    Fact("2025-09-29", "180.16", "2025-09-24", "179.9", "unconfirmed", extreme="181.344"),
    Fact("2025-09-30", "181.344", "2025-09-29", "178.73", "unconfirmed", gap=True, failed=True, extreme="182.15"),
    Fact("2025-10-01", "182.15", "2025-09-30", "182.78", "confirmed"),
    Fact("2025-10-02", "183.08", "2025-10-01", "189.34", "confirmed", gap=True),
)
MONDAY: Final = "2025-09-29"
TUESDAY: Final = "2025-09-30"
MONDAY_METRICS: Final = {"session_return": 0.046478, "ytd": 1.121712, "nearness": 0.998557}
MONDAY_AGAINST_TUESDAY: Final = Decimal("0.992037")
TAGS: Final = frozenset(("Alibaba", "Artificial Intelligence", "Cloud Computing", "AI Models", "Chinese Tech Stocks"))


def differences(story: Story) -> list[str]:
    """Return a sentence for everything that should have been told and was not, or the other way round."""
    found = [*_unexpected(story)]
    for fact in FACTS:
        breakout = story.of_session(fact.session)
        if breakout is None:
            found.append(f"{fact.session}: expected a breakout of {fact.level} (set on {fact.set_on}), found none")
        else:
            found.extend(f"{fact.session}: {text}" for text in _fact_differences(fact, breakout))
    return found + _monday_differences(story) + _news_differences(story)


def against_next_level(story: Story) -> Decimal | None:
    """Return Monday's close as a ratio to the level of Tuesday, None before both are known."""
    monday, tuesday = story.of_session(MONDAY), story.of_session(TUESDAY)
    if monday is None or tuesday is None or not monday.closed:
        return None
    return (Decimal(monday.latest["price"]) / Decimal(tuesday.triggered["level"]["price"])).quantize(RATIO)


def money(price: str) -> str:
    """Return a price with at least two decimals.

    >>> money("179.9"), money("181.344"), money("163")
    ('179.90', '181.344', '163.00')
    """
    whole, _, fraction = price.partition(".")
    return f"{whole}.{fraction.ljust(2, '0')}"


def percent(ratio: float) -> str:
    """Return a return as a percentage with its sign.

    >>> percent(0.046478), percent(-0.0066)
    ('+4.65 %', '-0.66 %')
    """
    return f"{ratio * 100:+.2f} %"


def day_name(session: str, *, year: bool = False) -> str:
    """Return a session's date as a trader writes it.

    >>> day_name("2025-09-29"), day_name("2025-09-29", year=True)
    ('Mon 29 Sep', 'Mon 29 Sep 2025')
    """
    day = date.fromisoformat(session)
    return f"{day:%a} {day.day} {day:%b}{day: %Y}" if year else f"{day:%a} {day.day} {day:%b}"


def wall_time(time_ns: int) -> datetime:
    """Return a time on the exchange's clock."""
    return datetime.fromtimestamp(time_ns // NS, UTC).astimezone(NEW_YORK)


def _is_high(document: Document, session: str) -> bool:
    return bool(document["family"] == "high_52w" and document["session_date"] == session)


def _breakout_text(document: Document) -> str:
    level = document["level"]
    price = money(document["price"]) if document["price"] else "no trade"
    bound = "high" if document["side"] == "up" else "low"
    old = f"the 52-week {bound} of {money(level['price'])} ({day_name(level['session_date'])})"
    match document["transition"]:
        case "triggered" if document["gap"]:
            return f"opens at {price}, through {old}"
        case "triggered":
            return f"{price} breaks {old}"
        case "new_extreme":
            return f"new {bound} {price}"
        case "failed":
            return f"back to {price}: the breakout of {money(level['price'])} has failed"
        case "confirmed":
            again = " after all" if document["recovered"] else ""
            return f"closes at {price}, beyond {money(level['price'])}: confirmed{again}"
        case _:
            return f"closes at {price}, not beyond {money(level['price'])}: unconfirmed"


def _news_event(breakout: Breakout, article: Document, *, is_known: bool) -> Event:
    published_ns = parse_time(article["published_at"])
    trigger_ns = parse_time(breakout.triggered["trigger"]["time"])
    span = f"{_span(abs(published_ns - trigger_ns))} {'before' if published_ns <= trigger_ns else 'after'} the breakout"
    text = f"{article['source']}: {article['title']} ({span})"
    if is_known:
        text = "the same article, from the signal's first message on"
    return Event(max(published_ns, trigger_ns), breakout.triggered["session_date"], "news", text)


def _measure_text(document: Document) -> str:
    value, side, transition = document["measure"]["value"], document["side"], document["transition"]
    if transition == "expired" or value is None:
        return ""
    way = "up" if side == "up" else "down"
    match document["family"], transition:
        case "session_return", "entered":
            return f"{way} {abs(value) * 100:.1f} % on the day"
        case "session_return", _:
            return f"only {abs(value) * 100:.1f} % {way} on the day now"
        case "gap", "entered":
            return f"opens {abs(value) * 100:.1f} % {'higher' if side == 'up' else 'lower'}"
        case "mtd", "entered":
            return f"{way} {abs(value) * 100:.1f} % this month"
        case "proximity_high_52w", "entered":
            return f"within 2 % of the 52-week high of {money(document['measure']['base_price'])}"
        case "proximity_low_52w", "entered":
            return f"within 2 % of the 52-week low of {money(document['measure']['base_price'])}"
        case _:
            return ""


def _span(span_ns: int) -> str:
    minutes = span_ns // (60 * NS)
    return f"{minutes // 60} h {minutes % 60:02d} min" if minutes >= 60 else f"{minutes} min"


def _unexpected(story: Story) -> Iterable[str]:
    known = {fact.session for fact in FACTS}
    for breakout in story.breakouts.values():
        document = breakout.triggered
        if document["family"] != "high_52w" or document["session_date"] not in known or document["ordinal"] != 1:
            what = f"{document['family']} number {document['ordinal']}"
            yield f"{document['session_date']}: expected no {what}, found one at {document['price']}"


def _fact_differences(fact: Fact, breakout: Breakout) -> Iterable[str]:
    first, last = breakout.triggered, breakout.latest
    pairs: list[tuple[str, object, object]] = [
        ("level", fact.level, first["level"]["price"]),
        ("level set on", fact.set_on, first["level"]["session_date"]),
        ("gap", fact.gap, first["gap"]),
        ("fresh", fact.fresh, first["fresh"]),
        ("failed", fact.failed, last["failed"]),
        ("verdict", fact.verdict, last["transition"]),
        ("close", fact.close, last["price"]),
        ("new extreme", fact.extreme or breakout.extreme, breakout.extreme),
    ]
    for name, expected, actual in pairs:
        if expected != actual:
            yield f"expected {name} {expected}, found {actual}"


def _monday_differences(story: Story) -> list[str]:
    monday = story.of_session(MONDAY)
    if monday is None:
        return []
    metrics = monday.latest["metrics"]
    found = [
        f"{MONDAY}: expected {name} {value} on the closing transition, found {metrics[name]}"
        for name, value in MONDAY_METRICS.items()
        if metrics[name] is None or abs(metrics[name] - value) > 5e-7
    ]
    ratio = against_next_level(story)
    if ratio != MONDAY_AGAINST_TUESDAY:
        found.append(f"{TUESDAY}: expected Monday's close at {MONDAY_AGAINST_TUESDAY} of the level, found {ratio}")
    return found


def _news_differences(story: Story) -> list[str]:
    found = []
    monday, tuesday = story.of_session(MONDAY), story.of_session(TUESDAY)
    if monday is not None:
        found += [f"{MONDAY}: {text}" for text in _tag_differences(monday.enriched, "after the article appeared")]
    if tuesday is not None:
        found += [f"{TUESDAY}: {text}" for text in _tag_differences(tuesday.enriched_first, "with its first message")]
    return found


def _tag_differences(enriched: Document | None, when: str) -> list[str]:
    if enriched is None:
        return [f"expected an enriched signal {when}, found none"]
    missing = sorted(TAGS - set(enriched["tags"]))
    if len(enriched["articles"]) != 1 or missing:
        found = f"{len(enriched['articles'])} articles, tags missing: {missing}"
        return [f"expected one article with the tags {', '.join(sorted(TAGS))} {when}; found {found}"]
    return []
