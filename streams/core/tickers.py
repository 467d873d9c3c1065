"""Instruments named in running text: `Alibaba Group (NYSE:BABA)`, `(NYSE: BABA and HKEX: 9988)`, `$BABA`.

Only what carries an exchange, or is marked as a ticker, is one: bare words never are ("A", "IT" and "ON" are all listed
somewhere).
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from typing import Final

from streams.core.news import METHOD_CASHTAG, METHOD_EXCHANGE

# Prefix as printed, in lower case, to the market identifier code. `TSE` is Tokyo, Toronto or Taiwan: it is left out
# rather than guessed.
MARKETS: Final[Mapping[str, str]] = {
    "nyse": "XNYS",
    "nyse american": "XASE",
    "nyse arca": "ARCX",
    "nasdaq": "XNAS",
    "nasdaqgs": "XNAS",
    "nasdaqgm": "XNAS",
    "nasdaqcm": "XNAS",
    "amex": "XASE",
    "cboe": "BATS",
    "otc": "OTCM",
    "otcqx": "OTCM",
    "otcqb": "OTCM",
    "otcmkts": "OTCM",
    "hkex": "XHKG",
    "sehk": "XHKG",
    "hkg": "XHKG",
    "lse": "XLON",
    "tsx": "XTSE",
    "tsxv": "XTSX",
    "sse": "XSHG",
    "szse": "XSHE",
}
# Markets whose symbols are numbers; everywhere else a number is a misprint.
_NUMBERED: Final = frozenset({"XHKG", "XSHG", "XSHE"})

_EXCHANGE: Final = (
    r"(?:NYSE(?:\s+(?:American|Arca))?|NASDAQ|Nasdaq(?:GS|GM|CM)?|AMEX|CBOE|OTC(?:QX|QB|MKTS)?"
    r"|HKEX|SEHK|HKG|LSE|TSXV?|TSE|SSE|SZSE)"
)
_QUALIFIED: Final = re.compile(
    rf"\b(?P<exchange>{_EXCHANGE})\s*:\s*(?P<symbol>[A-Z]{{1,5}}(?:[.\-/][A-Z]{{1,2}})?|\d{{4,6}})(?![A-Za-z0-9])"
)
# A second counter of the same company: `HKEX: 9988 (HKD Counter) and 89988 (RMB Counter)`.
_CONTINUED: Final = re.compile(r"(?:\s*\([^()]{0,40}\))?\s+and\s+(?P<symbol>\d{4,6})(?=\s*[(),;]|$)")
_CASHTAG: Final = re.compile(r"(?<![\w$])\$(?P<symbol>[A-Z]{1,5}(?:\.[A-Z])?)\b")

# Between two tickers that share the name before the first: `(NASDAQ:GOOGL) (NASDAQ:GOOG)`, `(NYSE: BABA and HKEX:
# 9988)`.
# The repetition is possessive: a parenthesis can be read in two ways, and trying all of them might never end.
_SHARES_NAME: Final = re.compile(r"(?:\([^()]{0,40}\)|[\s();,/]|and\b|or\b)*+")
_WORD: Final = re.compile(r"\S+")
_NAME_WORD: Final = re.compile(r"[A-Z0-9][\w&.'’\-]*")
_NAME_WORDS_MAX: Final = 6  # Longer runs of capitalised words are headings, not names.
_ARTICLES: Final = frozenset({"The", "A", "An"})
# Words that end in a full stop within a name; any other full stop ends the sentence before it.
_ABBREVIATED: Final = frozenset({"Inc.", "Co.", "Corp.", "Ltd.", "St.", "Mr.", "Dr.", "U.S.", "U.K."})


@dataclass(frozen=True, slots=True)
class Found:
    """A ticker in a text: the instrument, how it was written, and the name directly before it, if there is one."""

    instrument: str
    raw: str
    method: str
    name: str | None = None


def instrument(market: str, symbol: str) -> str | None:
    """Return the instrument of a symbol as printed, or None when that market has no such symbols.

    Class separators become a full stop; Hong Kong's numbers lose the zeros that only pad them to five digits.

    >>> instrument("XNYS", "BRK-B"), instrument("XHKG", "09988"), instrument("XHKG", "0700"), instrument("XNYS", "9988")
    ('XNYS:BRK.B', 'XHKG:9988', 'XHKG:0700', None)
    """
    if symbol.isdigit() != (market in _NUMBERED):
        return None
    if market == "XHKG":
        symbol = symbol.lstrip("0").zfill(4)
    return f"{market}:{re.sub(r'[-/]', '.', symbol)}"


def find_qualified(text: str, markets: Mapping[str, str] = MARKETS) -> Iterator[Found]:
    """Yield the tickers that name their exchange, in the order of the text.

    >>> text = "Alibaba (NYSE: BABA and HKEX: 9988 (HKD Counter) and 89988 (RMB Counter))"
    >>> [found.instrument for found in find_qualified(text)]
    ['XNYS:BABA', 'XHKG:9988', 'XHKG:89988']
    """
    name: str | None = None
    end = 0
    for match in _QUALIFIED.finditer(text):
        if end == 0 or _SHARES_NAME.fullmatch(text, end, match.start()) is None:
            name = _name_before(text[max(0, match.start() - 200) : match.start()])
        end = match.end()
        market = markets.get(" ".join(match["exchange"].lower().split()))
        if market is None:
            continue
        if found := instrument(market, match["symbol"]):
            yield Found(found, match[0], METHOD_EXCHANGE, name)
        while market in _NUMBERED and (more := _CONTINUED.match(text, end)):
            end = more.end()
            if found := instrument(market, more["symbol"]):
                yield Found(found, more["symbol"], METHOD_EXCHANGE, name)


def find_cashtags(text: str, symbols: Mapping[str, str]) -> Iterator[Found]:
    """Yield the cashtags whose symbol is known; a cashtag names no exchange, so an unknown one is nobody's.

    >>> [found.instrument for found in find_cashtags("$BABA costs $5, $XYZ less", {"BABA": "XNYS:BABA"})]
    ['XNYS:BABA']
    """
    for match in _CASHTAG.finditer(text):
        if found := symbols.get(match["symbol"]):
            yield Found(found, match[0], METHOD_CASHTAG)


def _name_before(text: str) -> str | None:
    # The capitalised words that end where the ticker begins, read backwards: they are the company's name in this text.
    words: list[str] = []
    for match in reversed(list(_WORD.finditer(text.rstrip().removesuffix("(").rstrip()))):
        word = match[0]
        if not _NAME_WORD.fullmatch(word) or len(words) == _NAME_WORDS_MAX:
            break
        if word.endswith(".") and word not in _ABBREVIATED:
            break
        words.append(word)
    words.reverse()
    while words and words[0] in _ARTICLES:
        words.pop(0)
    return " ".join(words) or None
