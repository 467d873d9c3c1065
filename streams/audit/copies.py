"""Copies of articles: what the routers of all partitions were to write into one partition, against what is there."""

from __future__ import annotations

from typing import NamedTuple

from streams.audit.comparison import Findings, Mark


class _Waiting(NamedTuple):
    source: int
    sequence: int
    mark: Mark
    appended_ns: int
    required: bool


class FanoutComparison:
    """Compares the copies of articles in one partition: each source's in its order, sources interleaved at will.

    Args:
        place: Topic and partition, for people.

    Attributes:
        oldest_ns: The broker's stamp on the oldest record that is left of the found side, 0 where it still has its
            first. Retention can have removed a copy only when its article is not younger: a copy is appended after it.
        removed_sources: Sources whose first articles retention has removed. Their copies are there, and lie before the
            first copy that such a source is expected to have.
    """

    def __init__(self, place: str) -> None:
        self.findings = Findings(place)
        self.oldest_ns = 0
        self.removed_sources: set[int] = set()
        self._first_match: dict[int, int] = {}
        self._first_found: dict[int, int] = {}
        # Equal copies are legal (an article that was published twice), so a name is a content and its count.
        self._expected: dict[tuple[bytes, int], _Waiting] = {}
        self._counts_expected: dict[bytes, int] = {}
        self._counts_found: dict[bytes, int] = {}
        self._sequence: dict[int, int] = {}
        self._front: dict[int, int] = {}
        self._unexpected: list[tuple[int, Mark]] = []

    @property
    def is_waiting(self) -> bool:
        """Tell whether a copy that must be there has not been found yet."""
        return any(waiting.required for waiting in self._expected.values())

    def expect(self, source: int, mark: Mark, *, appended_ns: int = 0, required: bool = True) -> None:
        """Take the next copy of one partition of the articles topic. All of them come before anything is found.

        Args:
            source: The partition of the articles topic.
            mark: The copy.
            appended_ns: The broker's stamp on its article.
            required: Whether it must be there.
        """
        count = self._counts_expected[mark.digest] = self._counts_expected.get(mark.digest, 0) + 1
        sequence = self._sequence[source] = self._sequence.get(source, -1) + 1
        self._expected[mark.digest, count] = _Waiting(source, sequence, mark, appended_ns, required)
        self.findings.counts.expected += required

    def find(self, mark: Mark) -> None:
        """Take the next record of the found side."""
        self.findings.counts.found += 1
        count = self._counts_found[mark.digest] = self._counts_found.get(mark.digest, 0) + 1
        waiting = self._expected.pop((mark.digest, count), None)
        if waiting is None:
            if mark.digest in self._counts_expected:
                self.findings.note("doubled", mark.text)
            else:
                self._unexpected.append((self.findings.counts.found, mark))
            return
        source = waiting.source
        self.findings.counts.ahead += not waiting.required
        if waiting.sequence < self._front.get(source, -1):
            self.findings.note("out of order", mark.text)
        self._front[source] = max(waiting.sequence, self._front.get(source, -1))
        self._first_match.setdefault(source, waiting.sequence)
        self._first_found.setdefault(source, self.findings.counts.found)

    def finish(self) -> Findings:
        """Judge what has no partner. One that is lost and one that nobody expected are one that was changed."""
        lost: list[Mark] = []
        for waiting in self._expected.values():
            if self._may_be_removed(waiting):
                self.findings.counts.before += 1
            elif waiting.required or waiting.sequence < self._front.get(waiting.source, -1):
                lost.append(waiting.mark)
        unexpected = [mark for at, mark in self._unexpected if not self._is_removed(at)]
        self.findings.counts.before += len(self._unexpected) - len(unexpected)
        pairs = min(len(lost), len(unexpected))
        for expected, found in zip(lost[:pairs], unexpected[:pairs], strict=True):
            self.findings.note("different", f"{found.text}, expected {expected.text}")
        for mark in lost[pairs:]:
            self.findings.note("lost", mark.text)
        for mark in unexpected[pairs:]:
            self.findings.note("unexpected", mark.text)
        return self.findings

    # Whether retention may have removed a copy that is not there.
    def _may_be_removed(self, waiting: _Waiting) -> bool:
        first = self._first_match.get(waiting.source, waiting.sequence + 1)
        return waiting.sequence < first and waiting.appended_ns <= self.oldest_ns

    # Whether a copy that nothing explains may come from an article that is no longer there.
    def _is_removed(self, at: int) -> bool:
        return any(at < self._first_found.get(source, at + 1) for source in self.removed_sources)
