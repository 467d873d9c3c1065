"""Signals and news of one partition, joined so that the interleaving of their two logs cannot matter.

An article is linked with a signal when it names the instrument with enough relevance, its time lies in [T - before, T +
after] around the signal's time T, and the newest clock record before it in the news log is at most T + after + grace.
All three are facts of one log each: which versions of a story are accepted is a fold of the news log alone, which
signals open a fold of the tick log alone, and links are a function of the two.

To keep it so, a signal that opens is not matched with the articles as they stand: the accepted versions are replayed to
it one by one, as if it had been there from the beginning. Its revision (1, + 1 for each accepted version that changed
its enrichment, + 1 when final) then is the same, whichever log was read first; only how many of those revisions are
sent on the way differs. Matching the newest state only would be simpler and would number the same document differently
after a restart.

What is forgotten can no longer change a result: the engine refuses trades of a closed session, so no signal opens a day
behind its log's clock. The limits on memory below are the exception, and say so in a counter.
"""

from __future__ import annotations

import heapq
from collections import Counter, OrderedDict
from dataclasses import dataclass
from typing import Final, Protocol, TypeVar

from streams.core.enrichment import Enriched, rank, ranked_tags
from streams.core.join_state import HeldSignal, JoinState, Story, Version
from streams.core.news import ACTION_DELETED, ArticleCopy
from streams.core.units import DAY_NS, NS

_Key = TypeVar("_Key")
_Value = TypeVar("_Value")

_HOUR_NS: Final = 3_600 * NS
# Forgetting looks at everything held, so it waits until the slower clock has moved this far: a hundredth of what is
# held anyway.
_SWEEP_NS: Final = _HOUR_NS

# Transitions that open an enriched signal. Later ones stand on their own topics, joined by the signal's identifier.
_OPENING_TRANSITIONS: Final = frozenset({"triggered", "entered"})


@dataclass(frozen=True, slots=True, kw_only=True)
class JoinRules:
    """Options of the join, and its limits.

    Attributes:
        before_ns: An article this long before the signal still explains it.
        after_ns: An article this long after the signal still explains it.
        grace_ns: How much longer the news log is awaited before a signal is final.
        relevance_min: Least relevance of an article for the instrument.
        articles_max: Most articles shown on a signal.
        tags_max: Most tags shown on a signal.
        versions_max: Most article versions held. A copy takes about 2 KB without its body: 200 MB, at four days of half
            a million stories a month.
        stories_max: Most stories whose newest version is remembered, about 0.5 KB each.
        signals_max: Most signals held, about 2 KB each: a day of 10,000 instruments with ten signals each.
        links_max: Most articles linked with one signal. No company has a thousand stories in four days.
    """

    before_ns: int = 3 * DAY_NS
    after_ns: int = DAY_NS
    grace_ns: int = 600 * NS
    relevance_min: float = 0.5
    articles_max: int = 10
    tags_max: int = 20
    versions_max: int = 100_000
    stories_max: int = 200_000
    signals_max: int = 100_000
    links_max: int = 1_000

    @property
    def horizon_ns(self) -> int:
        """Return how long past its time an article or a signal can still meet the other: 96 hours and the grace."""
        return self.before_ns + self.after_ns + self.grace_ns


class OpeningSignal(Protocol):
    """What the join needs of a signal."""

    @property
    def signal_id(self) -> str:
        """Name the signal, the same on every replay."""

    @property
    def instrument(self) -> str:
        """Name the instrument, as `MIC:SYMBOL`."""

    @property
    def event_ns(self) -> int:
        """Return the event time of the transition that opens the signal."""


def opens_enrichment(*, family: str, transition: str) -> bool:
    """Tell whether a transition opens an enriched signal: breakouts triggered, momentum entered, never proximity."""
    return transition in _OPENING_TRANSITIONS and not family.startswith("proximity")


class Join:
    """The join of one partition. Deterministic, without clock or input and output of its own.

    Feed it the two logs of the partition in their own orders, interleaved at will. Of what several calls return, only
    the newest revision of each signal needs to be sent.

    Attributes:
        news_clock_ns: Newest clock record of the news log, 0 before the first.
        tick_clock_ns: Newest clock record of the tick log, 0 before the first.
    """

    def __init__(self, rules: JoinRules | None = None) -> None:
        self.rules: Final = rules or JoinRules()
        self.news_clock_ns = 0
        self.tick_clock_ns = 0
        self._stories: OrderedDict[tuple[str, str], Story] = OrderedDict()
        self._versions: OrderedDict[int, Version] = OrderedDict()
        self._versions_of: dict[str, dict[int, Version]] = {}
        self._signals: OrderedDict[str, HeldSignal] = OrderedDict()
        self._signals_of: dict[str, dict[str, HeldSignal]] = {}
        self._deadlines: list[tuple[int, str]] = []
        self._sequence = 0
        self._stories_begun = 0
        self._swept_ns = 0
        self._counts: Counter[str] = Counter(dict.fromkeys(COUNTERS, 0))

    def counters(self) -> dict[str, int]:
        """Return running totals, by the names in `COUNTERS`."""
        return dict(self._counts)

    def held(self) -> dict[str, int]:
        """Return how much is held now: open signals, all signals, article versions and stories."""
        return {
            "signals_open": sum(not signal.final for signal in self._signals.values()),
            "signals": len(self._signals),
            "versions": len(self._versions),
            "stories": len(self._stories),
        }

    def open(self, signal: OpeningSignal, document: bytes) -> Enriched:
        """Open an enriched signal and return its first revision to be sent, with the news that is already known.

        Args:
            signal: A signal whose transition opens an enrichment (see `opens_enrichment`).
            document: The signal as it is sent on its own topic.

        Raises:
            ValueError: The signal is open already: one log opens a signal once.
        """
        if signal.signal_id in self._signals:
            raise ValueError(f"expected a new signal, found {signal.signal_id} of {signal.instrument} open already")
        state = HeldSignal(
            number=self._counts["signals_opened"],
            signal_id=signal.signal_id,
            instrument=signal.instrument,
            event_ns=signal.event_ns,
            deadline_ns=signal.event_ns + self.rules.after_ns + self.rules.grace_ns,
            document=document,
        )
        for version in self._versions_of.get(state.instrument, {}).values():
            self._apply(state, version)
        self._counts["signals_opened"] += 1
        self._signals[state.signal_id] = state
        self._signals_of.setdefault(state.instrument, {})[state.signal_id] = state
        if self.news_clock_ns > state.deadline_ns:
            enriched = self._finalise(state)
        else:
            heapq.heappush(self._deadlines, (state.deadline_ns, state.signal_id))
            enriched = self._render(state)
        if len(self._signals) > self.rules.signals_max:
            self._evict_signal()
        return enriched

    def article(self, copy: ArticleCopy) -> list[Enriched]:
        """Apply one record of the news log and return the signals whose enrichment it changed.

        An older version than the newest one seen, or the same one again, changes nothing.
        """
        story = self._story(copy)
        if copy.version < story.version:
            self._counts["articles_outdated"] += 1
            return []
        if copy.version > story.version:
            story.version = copy.version
            story.applied = set()
        now_ns = max(copy.join_ns, self.news_clock_ns)
        story.keep_ns = max(story.keep_ns, now_ns + self.rules.horizon_ns)
        story.changes += 1
        changed: list[Enriched] = []
        targets = self._targets(copy, story)
        if not targets:
            self._counts["articles_without_effect"] += 1
        for instrument, article in targets:
            story.applied.add(instrument)
            if article is None and instrument not in story.linkable:
                continue
            if article is None:
                story.linkable.discard(instrument)
            else:
                story.linkable.add(instrument)
            changed += self._accept(Version(instrument, copy.key, article, self.news_clock_ns, story.keep_ns))
        return changed

    def news_clock(self, time_ns: int) -> list[Enriched]:
        """Advance the news log's clock and return the signals that became final, by deadline; ignore an older clock."""
        if time_ns <= self.news_clock_ns:
            return []
        self.news_clock_ns = time_ns
        finals: list[Enriched] = []
        while self._deadlines and self._deadlines[0][0] < time_ns:
            _, signal_id = heapq.heappop(self._deadlines)
            if signal := self._signals.get(signal_id):
                finals.append(self._finalise(signal))
        self._sweep()
        return finals

    def tick_clock(self, time_ns: int) -> None:
        """Advance the tick log's clock. It makes nothing final; it only lets what is old be forgotten."""
        if time_ns > self.tick_clock_ns:
            self.tick_clock_ns = time_ns
            self._sweep()

    def export(self) -> JoinState:
        """Return all that the join knows, for a snapshot: its own objects, to be read before it goes on."""
        return JoinState(
            news_clock_ns=self.news_clock_ns,
            tick_clock_ns=self.tick_clock_ns,
            sequence=self._sequence,
            stories_begun=self._stories_begun,
            swept_ns=self._swept_ns,
            counts=self._counts,
            stories=self._stories,
            versions=self._versions,
            signals=self._signals,
        )

    def restore(self, state: JoinState) -> None:
        """Take over what another join exported, and go on as it would have. Its objects belong to this join then.

        Raises:
            ValueError: This join has read something already.
        """
        if self._sequence or self._stories or self._signals or self.news_clock_ns or self.tick_clock_ns:
            raise ValueError(f"expected a new join, found one that holds {self.held()}; make another")
        self.news_clock_ns = state.news_clock_ns
        self.tick_clock_ns = state.tick_clock_ns
        self._sequence = state.sequence
        self._stories_begun = state.stories_begun
        self._swept_ns = state.swept_ns
        self._counts.update(state.counts)
        self._stories.update(state.stories)
        self._versions.update(state.versions)
        self._signals.update(state.signals)
        for sequence, version in state.versions.items():
            self._versions_of.setdefault(version.instrument, {})[sequence] = version
        for signal_id, signal in state.signals.items():
            self._signals_of.setdefault(signal.instrument, {})[signal_id] = signal
        self._deadlines = [(held.deadline_ns, held.signal_id) for held in state.signals.values() if not held.final]
        heapq.heapify(self._deadlines)

    def _story(self, copy: ArticleCopy) -> Story:
        story = self._stories.get(copy.key)
        # The test is made here and not left to the sweep, which also waits for the other log.
        if story is None or self.news_clock_ns > story.keep_ns:
            story = Story(self._stories_begun)
            self._stories_begun += 1
            self._stories.pop(copy.key, None)
            self._stories[copy.key] = story
            if len(self._stories) > self.rules.stories_max:
                self._stories.popitem(last=False)
                self._counts["stories_evicted"] += 1
        return story

    def _targets(self, copy: ArticleCopy, story: Story) -> list[tuple[str, ArticleCopy | None]]:
        # The instruments that a record is news to, each with the article to link from now on.
        named = set() if copy.action == ACTION_DELETED else set(copy.named)
        targets: list[tuple[str, ArticleCopy | None]] = [
            (instrument, None) for instrument in sorted(story.linkable - named - story.applied)
        ]
        if copy.instrument in named and copy.instrument not in story.applied:
            targets.append((copy.instrument, copy if copy.relevance >= self.rules.relevance_min else None))
        return targets

    def _accept(self, version: Version) -> list[Enriched]:
        self._counts["articles_accepted"] += 1
        self._sequence += 1
        self._versions[self._sequence] = version
        self._versions_of.setdefault(version.instrument, {})[self._sequence] = version
        if len(self._versions) > self.rules.versions_max:
            sequence, oldest = self._versions.popitem(last=False)
            _drop(self._versions_of, oldest.instrument, sequence)
            self._counts["versions_evicted"] += 1
        signals = self._signals_of.get(version.instrument, {}).values()
        return [self._render(signal) for signal in signals if self._apply(signal, version)]

    def _apply(self, signal: HeldSignal, version: Version) -> bool:
        article = version.article
        was_linked = version.key in signal.links
        matches = (
            article is not None
            and signal.event_ns - self.rules.before_ns <= article.join_ns <= signal.event_ns + self.rules.after_ns
        )
        if not (matches or was_linked):
            return False
        if version.clock_ns > signal.deadline_ns:
            self._counts["articles_late"] += 1
            return False
        if article is None or not matches:
            del signal.links[version.key]
            self._counts["links_ended"] += 1
        elif was_linked:
            signal.links[version.key] = article
            self._counts["links_revised"] += 1
        elif len(signal.links) >= self.rules.links_max:
            self._counts["links_dropped"] += 1
            return False
        else:
            signal.links[version.key] = article
            self._counts["links_made"] += 1
        signal.revision += 1
        return True

    def _finalise(self, signal: HeldSignal) -> Enriched:
        signal.final = True
        signal.revision += 1
        enriched = self._render(signal)
        # The signal itself stays for a while, so that late news can be counted; its document is not needed for that.
        signal.document = b""
        self._counts["signals_final"] += 1
        self._counts["signals_without_catalyst"] += enriched.no_catalyst
        return enriched

    def _render(self, signal: HeldSignal) -> Enriched:
        ranked = rank(signal.links.values(), signal.event_ns)
        return Enriched(
            signal_id=signal.signal_id,
            instrument=signal.instrument,
            event_ns=signal.event_ns,
            revision=signal.revision,
            final=signal.final,
            document=signal.document,
            articles=tuple(ranked[: self.rules.articles_max]),
            tags=ranked_tags(ranked, self.rules.tags_max),
            article_count=len(ranked),
        )

    def _evict_signal(self) -> None:
        signal_id, signal = self._signals.popitem(last=False)
        _drop(self._signals_of, signal.instrument, signal_id)
        self._counts["signals_evicted"] += not signal.final
        # Deadlines of evicted signals stay in the heap until it is twice as large as it may be.
        if len(self._deadlines) > 2 * self.rules.signals_max:
            self._deadlines = [(kept.deadline_ns, kept.signal_id) for kept in self._signals.values() if not kept.final]
            heapq.heapify(self._deadlines)

    def _sweep(self) -> None:
        slower_ns = min(self.news_clock_ns, self.tick_clock_ns)
        if slower_ns < self._swept_ns + _SWEEP_NS:
            return
        self._swept_ns = slower_ns
        for sequence, version in list(self._versions.items()):
            if slower_ns > version.keep_ns:
                del self._versions[sequence]
                _drop(self._versions_of, version.instrument, sequence)
        for signal_id, signal in list(self._signals.items()):
            if signal.final and slower_ns > signal.event_ns + self.rules.horizon_ns:
                del self._signals[signal_id]
                _drop(self._signals_of, signal.instrument, signal_id)
        for key, story in list(self._stories.items()):
            if slower_ns > story.keep_ns:
                del self._stories[key]


COUNTERS: Final = (
    "articles_accepted",
    "articles_outdated",
    "articles_without_effect",
    "articles_late",
    "links_made",
    "links_revised",
    "links_ended",
    "links_dropped",
    "signals_opened",
    "signals_final",
    "signals_without_catalyst",
    "signals_evicted",
    "versions_evicted",
    "stories_evicted",
)


def newest_revisions(enriched: list[Enriched]) -> list[Enriched]:
    """Return the newest revision of each signal, in the order in which the signals were first changed."""
    newest: dict[str, Enriched] = {}
    for entry in enriched:
        kept = newest.get(entry.signal_id)
        if kept is None or entry.revision > kept.revision:
            newest[entry.signal_id] = entry
    return list(newest.values())


def _drop(held: dict[str, dict[_Key, _Value]], instrument: str, key: _Key) -> None:
    entries = held[instrument]
    del entries[key]
    if not entries:
        del held[instrument]
