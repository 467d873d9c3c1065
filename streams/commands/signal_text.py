"""One signal as one line that a trader reads.

The documents come from the topics as they are; a field that is not there or not known yet leaves its words out, so that
a newer worker's signals can still be read.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, Final

LEVELS: Final = {
    "high_52w": "52-week high",
    "low_52w": "52-week low",
    "proximity_high_52w": "52-week high",
    "proximity_low_52w": "52-week low",
    "close_high_52w": "52-week high of closes",
    "close_low_52w": "52-week low of closes",
}
REASONS: Final = {
    "trigger_changed": "its trigger was taken back, and another trade was beyond too",
    "failure_withdrawn": "the trade that failed it was taken back",
    "level_restated": "the level was restated",
    "close_corrected": "the close was corrected",
    "cancelled": "its trade was taken back",
    "session_cancelled": "the session was cancelled",
}
MEASURES: Final = {
    "session_return": "return of the day",
    "gap": "opening gap",
    "mtd": "return of the month",
    "ytd": "return of the year",
    "roc_5": "return over 5 sessions",
    "roc_20": "return over 20 sessions",
    "roc_60": "return over 60 sessions",
}

Document = Mapping[str, Any]


def signal_line(document: Document) -> str:
    """Return a signal, or an enriched signal, as one line.

    >>> signal_line({"transition": "entered", "family": "gap", "event_time": "2025-10-02T13:30:00Z", "price": "188.58",
    ...     "instrument": {"id": "XNYS:BABA"}, "measure": {"value": 0.031732, "base_price": "182.78",
    ...     "base_session_date": "2025-10-01"}})
    '2025-10-02 13:30:00Z      XNYS:BABA   entered      opening gap: +3.17 % at 188.58, from 182.78 of 2025-10-01'
    """
    if isinstance(document.get("signal"), Mapping):
        return _enriched(document, document["signal"])
    return f"{_head(document, str(document.get('transition', '')))}  {_body(document)}"


def family_of(document: Document) -> str:
    """Return the family of a signal or of the signal within an enriched one."""
    inner = document.get("signal")
    return str((inner if isinstance(inner, Mapping) else document).get("family", ""))


def percent(ratio: float) -> str:
    """Return a fraction as a signed percentage of two decimals.

    >>> percent(0.046478), percent(-0.001443)
    ('+4.65 %', '-0.14 %')
    """
    return f"{ratio * 100:+.2f} %"


def money(price: object) -> str:
    """Return a price with at least two decimals, as prices are read.

    >>> money("182"), money("181.3"), money("181.344")
    ('182.00', '181.30', '181.344')
    """
    whole, _, fraction = str(price).partition(".")
    return f"{whole}.{fraction:0<2}"


def _head(document: Document, word: str) -> str:
    time = str(document.get("event_time", "")).replace("T", " ")
    # Nanoseconds matter to machines; the line keeps milliseconds.
    whole, point, fraction = time.rstrip("Z").partition(".")
    shown = f"{whole}{point}{fraction[:3]}Z"
    instrument = document.get("instrument") or {}
    return f"{shown:<24}  {instrument.get('id', ''):<10}  {word:<11}"


def _body(document: Document) -> str:
    family = str(document.get("family", ""))
    if "level" in document:
        return _breakout(document, LEVELS.get(family, family))
    if "suspected_split" in document:
        return _suspicion(document, document["suspected_split"])
    if "print" in document:
        return f"print at {money(document.get('price', ''))} {document.get('transition', '')}"
    return _measure(document, family)


def _breakout(document: Document, name: str) -> str:
    level = document["level"]
    price = money(document["price"]) if document.get("price") else None
    told = {
        "triggered": f"broken at {price}",
        "new_extreme": f"new extreme {price}",
        "failed": f"failed at {price}",
        "confirmed": f"confirmed by the close at {price}",
        "unconfirmed": f"not confirmed by the close at {price}" if price else "not confirmed, there was no close",
    }
    reason = REASONS.get(str(document.get("reason")), "")
    told["amended"] = f"now {document.get('verdict') or 'triggered'} at {price}, {reason}"
    told["retracted"] = f"never was, {reason}"
    metrics = document.get("metrics") or {}
    extras = [
        f"{words} {percent(metrics[key])}"
        for key, words in (("session_return", "day"), ("ytd", "year"))
        if metrics.get(key) is not None
    ]
    if document.get("transition") == "triggered":
        extras += [word for word in ("gap", "fresh") if document.get(word)]
        streak = document.get("streak") or 1
        extras += [f"session {streak} in a row"] if streak > 1 else []
    if document.get("recovered"):
        extras.append("after a failure")
    transition = str(document.get("transition", ""))
    head = (
        f"{name} {money(level['price'])} of {level['session_date']}: {told.get(transition, f'{transition} at {price}')}"
    )
    return f"{head} ({', '.join(extras)})" if extras else head


def _suspicion(document: Document, suspicion: Mapping[str, Any]) -> str:
    about = (
        f"{suspicion['ratio']} at {money(document.get('price', ''))}, after {money(suspicion['last_close'])} of "
        f"{suspicion['last_close_date']}"
    )
    told = {
        "suspect": f"looks like a split of {about}: what follows is withheld",
        "released": f"was no split of {about}: {suspicion['withheld']} withheld follow",
        "discarded": f"was a split of {about}: {suspicion['withheld']} withheld are discarded",
    }
    return told.get(str(document.get("transition")), about)


def _measure(document: Document, family: str) -> str:
    measure = document.get("measure") or {}
    value = measure.get("value")
    base = f"{money(measure.get('base_price', ''))} of {measure.get('base_session_date')}"
    price = money(document["price"]) if document.get("price") else None
    if family in LEVELS:
        name = f"near the {LEVELS[family]} {base}"
        return name if value is None else f"{name}: {price}, {value * 100:.2f} % of it"
    name = MEASURES.get(family, family)
    if value is None:
        return f"{name} from {base}: over"
    return f"{name}: {percent(value)} at {price}, from {base}"


def _enriched(document: Document, signal: Document) -> str:
    family = str(signal.get("family", ""))
    name = LEVELS.get(family) or MEASURES.get(family, family)
    count = document.get("article_count") or 0
    final = document.get("status") == "final"
    head = f"{_head(signal, 'news')}  {name} of {signal.get('session_date')}: "
    if not count:
        return head + ("no news explains it" if final else "no news yet")
    best = (document.get("articles") or [{}])[0]
    tags = document.get("tags") or ()
    told = f'{count} article{"" if count == 1 else "s"}, first "{best.get("title", "")}"'
    return head + told + (f" [{', '.join(tags)}]" if tags else "") + ("; final" if final else "")
