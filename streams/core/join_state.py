"""What a join holds: the newest version of every story, the accepted versions, the signals and their links."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from streams.core.news import ArticleCopy


@dataclass(slots=True)
class Story:
    """The newest version of a story in this partition. It is a fold of the news log alone, its forgetting too.

    Attributes:
        number: How many stories were begun before it: their order.
        version: The newest version, -1 before the first.
        keep_ns: When both clocks are past it, it is forgotten.
        changes: How many records changed it, in this process.
        applied: Instruments that know of the newest version.
        linkable: Instruments that the version before left linkable.
    """

    number: int
    version: int = -1
    keep_ns: int = 0
    changes: int = 0
    applied: set[str] = field(default_factory=set)
    linkable: set[str] = field(default_factory=set)


@dataclass(frozen=True, slots=True)
class Version:
    """An accepted version for one instrument; without an article it ends the story's link.

    It is kept until both clocks pass `keep_ns`.
    """

    instrument: str
    key: tuple[str, str]
    article: ArticleCopy | None
    clock_ns: int
    keep_ns: int


@dataclass(slots=True)
class HeldSignal:
    """A signal that is open to news, or was.

    Attributes:
        number: How many signals were opened before it: their order.
        revision: Grows with every change.
        document: The signal as it was sent; empty once it is final.
    """

    number: int
    signal_id: str
    instrument: str
    event_ns: int
    deadline_ns: int
    document: bytes
    revision: int = 1
    final: bool = False
    links: dict[tuple[str, str], ArticleCopy] = field(default_factory=dict)


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinState:
    """All that a join knows. What `Join.export` returns is its own, to be read before the join goes on.

    Attributes:
        sequence: Sequence number of the newest accepted version.
        stories_begun: How many stories were ever begun.
        swept_ns: The slower clock when what is old was last forgotten.
        counts: Running totals.
        stories: By source and identifier, in order of their numbers.
        versions: By sequence number, in order.
        signals: By identifier, in order of their numbers.
    """

    news_clock_ns: int
    tick_clock_ns: int
    sequence: int
    stories_begun: int
    swept_ns: int
    counts: Mapping[str, int]
    stories: Mapping[tuple[str, str], Story]
    versions: Mapping[int, Version]
    signals: Mapping[str, HeldSignal]
