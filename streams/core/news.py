"""The canonical article: what is known of one version of one story, from whichever producer it came.

An article has two times. `published_ns` is the provider's claim, `received_ns` is when it became available to us. The
join uses the claim, unless it lies more than five minutes after the receipt: then the claim is wrong (a zone label is
off by an hour often enough) and the receipt counts. A bad claim is flagged and never refused, and no claim moves a
clock: only clock records do.
"""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Final

from streams.core.units import DAY_NS, NS

ACTION_CREATED: Final = "created"
ACTION_DELETED: Final = "deleted"
ACTIONS: Final = (ACTION_CREATED, "updated", "corrected", ACTION_DELETED)

# How an instrument was found in an article, best first.
METHOD_PROVIDER: Final = "provider"
METHOD_EXCHANGE: Final = "exchange"
METHOD_CASHTAG: Final = "cashtag"
METHODS: Final = (METHOD_PROVIDER, METHOD_EXCHANGE, METHOD_CASHTAG)

ANOMALY_FUTURE: Final = "published_in_future"
ANOMALY_STALE: Final = "stale_on_arrival"
ANOMALY_SEASON: Final = "zone_out_of_season"
ANOMALIES: Final = (ANOMALY_FUTURE, ANOMALY_STALE, ANOMALY_SEASON)

# A producer's clock may be ahead of ours by this much before its claim is disbelieved.
FUTURE_TOLERANCE_NS: Final = 5 * 60 * NS
# A new story this old is a back-fill or a replayed feed rather than news.
STALE_AFTER_NS: Final = 7 * DAY_NS

# Limits of one article. Real ones stay far below; what is beyond is not an article, and would be multiplied by the
# copies per instrument.
INSTRUMENTS_MAX: Final = 100
TAGS_MAX: Final = 100
TAG_CHARACTERS_MAX: Final = 200
NAME_CHARACTERS_MAX: Final = 256
TITLE_CHARACTERS_MAX: Final = 1_000
URL_CHARACTERS_MAX: Final = 2_048

# The identifier's grammar on every topic: a market identifier code and a symbol, 32 ASCII bytes at most.
INSTRUMENT: Final = re.compile(r"[A-Z0-9]{4}:[A-Z0-9][A-Z0-9.\-/]{0,26}")

# Regions that providers name and ISO 3166-1 does not.
REGION_CODES: Final[Mapping[str, tuple[str, ...]]] = {"greater china": ("CN", "HK", "MO", "TW")}


@dataclass(frozen=True, slots=True)
class Tag:
    """A topic of an article: as the producer wrote it, and a form in which equal tags are equal."""

    raw: str
    slug: str
    scheme: str | None = None
    code: str | None = None


@dataclass(frozen=True, slots=True)
class Link:
    """An instrument that an article names. A relevance of None is to be computed from the text."""

    instrument: str
    raw: str
    method: str
    relevance: float | None = None
    sentiment: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class Article:
    """One version of one story; `(source, article_id)` names the story, the greatest `version` of it holds.

    `instruments` is None where the producer named none and the text decides; an empty tuple says that there are none.
    """

    article_id: str
    source: str
    version: int
    title: str
    published_ns: int
    received_ns: int
    action: str = ACTION_CREATED
    provider: str | None = None
    summary: str | None = None
    body: str | None = None
    url: str | None = None
    language: str | None = None
    region: str | None = None
    region_codes: tuple[str, ...] = ()
    published_raw: str | None = None
    updated_ns: int | None = None
    time_anomaly: str | None = None
    tags: tuple[Tag, ...] = ()
    instruments: tuple[Link, ...] | None = None
    story_id: str | None = None
    novelty: float | None = None


@dataclass(frozen=True, slots=True, kw_only=True)
class ArticleCopy:
    """What the join needs of one version of an article, for one instrument; with none, a notice to a whole partition.

    Attributes:
        instrument: The instrument that this copy is for; None in a notice.
        relevance: Of the article for the instrument, 0 to 1; 0 in a notice.
        named: Every instrument that this version names. Links of this article to any other instrument end.
    """

    instrument: str | None
    relevance: float
    named: tuple[str, ...]
    article_id: str
    source: str
    version: int
    action: str
    title: str
    url: str | None
    published_ns: int
    received_ns: int
    time_anomaly: str | None
    novelty: float | None
    tags: tuple[Tag, ...]

    @property
    def key(self) -> tuple[str, str]:
        """Return what names the story: the identifier is only unique within its source."""
        return self.source, self.article_id

    @property
    def join_ns(self) -> int:
        """Return the time that the join uses."""
        return self.received_ns if self.time_anomaly == ANOMALY_FUTURE else self.published_ns


@dataclass(frozen=True, slots=True)
class NewsClock:
    """A clock record of the news log: no record after it is older, as far as its feeder knows."""

    time_ns: int
    mode: str


def time_anomaly(*, published_ns: int, received_ns: int, action: str, given: str | None = None) -> str | None:
    """Return what is odd about an article's times, or what its reader found odd (`given`); None when nothing is.

    >>> time_anomaly(published_ns=3_600 * NS, received_ns=7 * NS, action="created")
    'published_in_future'
    """
    if published_ns > received_ns + FUTURE_TOLERANCE_NS:
        return ANOMALY_FUTURE
    if given is not None and given != ANOMALY_FUTURE:
        return given
    if action == ACTION_CREATED and published_ns < received_ns - STALE_AFTER_NS:
        return ANOMALY_STALE
    return None


def slug(text: str) -> str:
    """Return the form in which two spellings of a tag are equal: NFKC, case folded, words joined by hyphens.

    >>> slug("  Artificial   Intelligence ")
    'artificial-intelligence'
    """
    folded = unicodedata.normalize("NFKC", text).casefold()
    return re.sub(r"[^\w&+#.]+", "-", folded).strip("-")


def tag(raw: str, *, given: str | None = None, scheme: str | None = None, code: str | None = None) -> Tag:
    """Return a tag with its slug, from the producer's own slug where it gave one."""
    return Tag(raw=" ".join(raw.split()), slug=slug(given or raw), scheme=scheme, code=code)


def region_codes(region: str | None) -> tuple[str, ...]:
    """Return the ISO 3166-1 codes that a region's free text stands for; empty when it is none we know.

    >>> region_codes("Greater China")
    ('CN', 'HK', 'MO', 'TW')
    """
    return REGION_CODES.get(" ".join(region.casefold().split()), ()) if region else ()


def is_instrument(text: str) -> bool:
    """Tell whether a text is a well-formed instrument identifier, of whatever market.

    >>> is_instrument("XNYS:BABA"), is_instrument("BABA")
    (True, False)
    """
    return INSTRUMENT.fullmatch(text) is not None
