"""Copies of articles: what the routers of all partitions were to write into one partition, against what is there.

The sources of one partition are interleaved at will, and the brokers' clocks with them, so neither side is known to be
ahead: what has no partner yet waits on its side. What has found its partner is forgotten, but for the newest names, so
memory grows with the differences and with how far the sides are apart.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final, TypeVar

from streams.audit.comparison import NAMES_REMEMBERED, UNMATCHED_MAX, Findings, Mark
from streams.core.units import NS

SKEW_NS: Final = 60 * NS
"""How far the clocks of two brokers may be apart: a copy's stamp may be so much older than its article's."""


@dataclass(frozen=True, slots=True)
class ExpectedCopy:
    """A copy that has not been found yet.

    Attributes:
        source: The partition of the articles topic.
        sequence: Its number among all copies of that source for this partition.
        appended_ns: The broker's stamp on its article.
        required: Whether it must be there.
    """

    source: int
    sequence: int
    mark: Mark
    appended_ns: int
    required: bool


@dataclass(frozen=True, slots=True)
class EarlyCopy:
    """A copy that is there, and that no article read so far explains.

    Attributes:
        at: Its number among all copies found, from 1.
        is_known: Whether an equal one had been expected and found before it.
        appended_ns: The broker's stamp on it.
    """

    at: int
    mark: Mark
    is_known: bool
    appended_ns: int


_Waiting = TypeVar("_Waiting")


@dataclass(slots=True)
class FanoutComparison:
    """Compares the copies of articles in one partition: each source's in its order, sources interleaved at will.

    Equal copies are legal (an article that was published twice), so a digest has a queue of those that wait.

    Attributes:
        place: Topic and partition, for people.
        findings: What was found so far.
        oldest_ns: The broker's stamp on the oldest record that is left of the found side, 0 where it still has its
            first. Retention can have removed a copy only when its article is not younger: a copy is appended after it.
        removed_sources: Sources whose first articles retention has removed. Their copies are there, and lie before the
            first copy that such a source is expected to have.
        expected: What waits to be found, by digest.
        early: What was found and waits to be expected, by digest; `early_count` of them.
        matched: Digests that were found and expected, the newest ones.
        counts: Copies expected so far, by source.
        fronts: Numbers of the latest pair in order, by source: whatever matches across it is out of order.
        first_expected: The first number that matched, by source, among those expected.
        first_found: As before, among those found.
    """

    place: str
    findings: Findings = field(default_factory=Findings)
    oldest_ns: int = 0
    removed_sources: set[int] = field(default_factory=set)
    expected: dict[bytes, list[ExpectedCopy]] = field(default_factory=dict)
    early: dict[bytes, list[EarlyCopy]] = field(default_factory=dict)
    early_count: int = 0
    matched: dict[bytes, None] = field(default_factory=dict)
    counts: dict[int, int] = field(default_factory=dict)
    fronts: dict[int, tuple[int, int]] = field(default_factory=dict)
    first_expected: dict[int, int] = field(default_factory=dict)
    first_found: dict[int, int] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.findings.place = self.place

    @property
    def is_waiting(self) -> bool:
        """Tell whether a copy that must be there has not been found yet, and was not removed by retention."""
        return any(
            waiting.required and not self._may_be_removed(waiting)
            for queue in self.expected.values()
            for waiting in queue
        )

    @property
    def wants_found(self) -> bool:
        """Tell whether reading more of the found side can match something."""
        return bool(self.expected) and not self.is_full

    @property
    def is_full(self) -> bool:
        """Tell whether as many copies wait to be expected as may."""
        return self.early_count >= UNMATCHED_MAX

    def expect(self, source: int, mark: Mark, *, appended_ns: int = 0, required: bool = True) -> None:
        """Take the next copy of one partition of the articles topic.

        Args:
            source: The partition of the articles topic.
            mark: The copy.
            appended_ns: The broker's stamp on its article.
            required: Whether it must be there.
        """
        sequence = self.counts.get(source, 0)
        self.counts[source] = sequence + 1
        self.findings.counts.expected += required
        waiting = ExpectedCopy(source, sequence, mark, appended_ns, required)
        early = _take(self.early, mark.digest)
        if early is None:
            self.expected.setdefault(mark.digest, []).append(waiting)
            return
        self.early_count -= 1
        self._match(waiting, early.at, early.mark)

    def find(self, mark: Mark, *, appended_ns: int = 0) -> None:
        """Take the next record of the found side, with the broker's stamp on it."""
        self.findings.counts.found += 1
        at = self.findings.counts.found
        waiting = _take(self.expected, mark.digest)
        if waiting is not None:
            self._match(waiting, at, mark)
            return
        self.early.setdefault(mark.digest, []).append(EarlyCopy(at, mark, mark.digest in self.matched, appended_ns))
        self.early_count += 1

    def forget_removed(self, read_ns: int) -> None:
        """Count copies that only articles which retention has removed explain, and forget them.

        Args:
            read_ns: Articles with an older stamp of the broker are all expected. A copy is appended after its article,
                so an older copy that waits finds no partner any more.
        """
        for digest, queue in list(self.early.items()):
            left = [early for early in queue if not self._is_settled(early, read_ns)]
            removed = len(queue) - len(left)
            self.early_count -= removed
            self.findings.counts.before += removed
            if left:
                self.early[digest] = left
            else:
                del self.early[digest]

    def finish(self) -> Findings:
        """Judge what has no partner. One that is lost and one that nobody expected are one that was changed."""
        lost: list[Mark] = []
        for waiting in (waiting for queue in self.expected.values() for waiting in queue):
            if self._may_be_removed(waiting):
                self.findings.counts.before += 1
            elif waiting.required or waiting.sequence < self.fronts.get(waiting.source, (-1, 0))[0]:
                lost.append(waiting.mark)
        unexpected: list[Mark] = []
        for early in sorted((early for queue in self.early.values() for early in queue), key=lambda early: early.at):
            if early.is_known or early.mark.digest in self.matched:
                self.findings.note("doubled", early.mark.text)
            elif self._is_removed(early.at):
                self.findings.counts.before += 1
            else:
                unexpected.append(early.mark)
        pairs = min(len(lost), len(unexpected))
        for expected, found in zip(lost[:pairs], unexpected[:pairs], strict=True):
            self.findings.note("different", f"{found.text}, expected {expected.text}")
        for mark in lost[pairs:]:
            self.findings.note("lost", mark.text)
        for mark in unexpected[pairs:]:
            self.findings.note("unexpected", mark.text)
        return self.findings

    def _match(self, waiting: ExpectedCopy, at: int, mark: Mark) -> None:
        source, sequence = waiting.source, waiting.sequence
        self.matched[mark.digest] = None
        if len(self.matched) > NAMES_REMEMBERED:
            del self.matched[next(iter(self.matched))]
        self.findings.counts.ahead += not waiting.required
        front = self.fronts.get(source, (-1, 0))
        if sequence > front[0] and at > front[1]:
            self.fronts[source] = sequence, at
        else:
            self.findings.note("out of order", mark.text)
        self.first_expected[source] = min(sequence, self.first_expected.get(source, sequence))
        self.first_found[source] = min(at, self.first_found.get(source, at))

    # Whether retention may have removed a copy that is not there.
    def _may_be_removed(self, waiting: ExpectedCopy) -> bool:
        first = self.first_expected.get(waiting.source, waiting.sequence + 1)
        return waiting.sequence < first and waiting.appended_ns <= self.oldest_ns

    def _is_settled(self, early: EarlyCopy, read_ns: int) -> bool:
        is_doubled = early.is_known or early.mark.digest in self.matched
        return early.appended_ns < read_ns - SKEW_NS and not is_doubled and self._is_removed(early.at)

    # Whether a copy that nothing explains may come from an article that is no longer there.
    def _is_removed(self, at: int) -> bool:
        return any(at < self.first_found.get(source, at + 1) for source in self.removed_sources)


def _take(waiting: dict[bytes, list[_Waiting]], digest: bytes) -> _Waiting | None:
    queue = waiting.get(digest)
    if queue is None:
        return None
    first = queue.pop(0)
    if not queue:
        del waiting[digest]
    return first
