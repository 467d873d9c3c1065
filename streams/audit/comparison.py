"""What was to be written against what is there: lost, doubled, out of order, different.

Two sequences are compared while both are still being read: what has found its partner is forgotten, so memory grows
with the differences and not with the log. A record's name (its event id, or the offset that a dead letter is about)
says which record it is meant to be; its digest says whether it is that one to the byte.

Expected records come in two kinds. Those up to the committed position must be there. Those after it may be: a worker
that runs has written some of them by the time its topic is read, but only a beginning without a gap.
"""

from __future__ import annotations

from collections import OrderedDict
from dataclasses import dataclass, field, fields
from typing import Final

NAMES_REMEMBERED: Final = 200_000
"""Names of matched records that are still recognised when they come again; past that a double counts as unexpected."""

UNMATCHED_MAX: Final = 100_000
"""Records of either side that wait for their partner; past that the oldest is told as lost or unexpected."""

DEFECTS_MAX: Final = 50
"""Defects that are told one by one; all are counted."""


@dataclass(frozen=True, slots=True)
class Mark:
    """One record, as far as it is compared.

    Attributes:
        name: Which record it is meant to be; empty where it does not say.
        digest: Of key, value and the headers that are compared.
        body: Digest of the value alone, which pairs a record with its partner when the name was damaged.
        text: For people: what it is and where it lies.
    """

    name: str
    digest: bytes
    body: bytes
    text: str


@dataclass(frozen=True, slots=True)
class Defect:
    """One difference.

    Attributes:
        kind: `lost`, `doubled`, `out of order`, `different` or `unexpected`.
        place: Topic and partition.
        text: Which record.
    """

    kind: str
    place: str
    text: str


@dataclass(slots=True)
class Counts:
    """What a comparison found.

    Attributes:
        expected: Records that must be there.
        found: Records that are there.
        ahead: Of those found, how many lie past the committed position, written by a worker that runs.
        before: How many lie before the start of the comparison and were not judged.
    """

    expected: int = 0
    found: int = 0
    lost: int = 0
    doubled: int = 0
    out_of_order: int = 0
    different: int = 0
    unexpected: int = 0
    ahead: int = 0
    before: int = 0

    @property
    def is_well(self) -> bool:
        """Tell whether there is no difference."""
        return not (self.lost or self.doubled or self.out_of_order or self.different or self.unexpected)

    def add(self, other: Counts) -> None:
        """Add the counts of another comparison."""
        for each in fields(Counts):
            setattr(self, each.name, getattr(self, each.name) + getattr(other, each.name))


@dataclass(slots=True)
class Findings:
    """Counts of one topic's partition, and the first defects."""

    place: str
    counts: Counts = field(default_factory=Counts)
    defects: list[Defect] = field(default_factory=list)

    def note(self, kind: str, text: str) -> None:
        """Count one defect, and keep it when there are not too many."""
        name = kind.replace(" ", "_")
        setattr(self.counts, name, getattr(self.counts, name) + 1)
        if len(self.defects) < DEFECTS_MAX:
            self.defects.append(Defect(kind, self.place, text))


@dataclass(frozen=True, slots=True)
class _Waiting:
    sequence: int
    mark: Mark
    required: bool = True


class OrderedComparison:
    """Compares two sequences record by record, order included.

    Args:
        place: Topic and partition, for people.
        from_beginning: Whether the found side is read from where the expected side begins. If not, what is found
            before the first match lies before the start.
    """

    def __init__(self, place: str, *, from_beginning: bool = True) -> None:
        self.findings = Findings(place)
        self._from_beginning = from_beginning
        self._expected: OrderedDict[str, _Waiting] = OrderedDict()
        self._early: OrderedDict[int, _Waiting] = OrderedDict()
        self._early_by_name: dict[str, int] = {}
        self._matched: OrderedDict[str, None] = OrderedDict()
        self._lost: list[_Waiting] = []
        self._expected_count = self._found_count = self._required_waiting = 0
        # The latest pair in order: whatever matches across it is out of order.
        self._front = (-1, -1)
        self._first_match = -1

    @property
    def is_waiting(self) -> bool:
        """Tell whether a record that must be there has not been found yet."""
        return self._required_waiting > 0

    @property
    def wants_found(self) -> bool:
        """Tell whether reading more of the found side can match something."""
        is_before = not self._from_beginning and self._first_match < 0
        return bool(self._expected) and (is_before or len(self._early) < UNMATCHED_MAX)

    @property
    def has_early(self) -> bool:
        """Tell whether something was found that nothing expected so far explains."""
        return bool(self._early)

    def expect(self, mark: Mark, *, required: bool = True) -> None:
        """Take the next record of the expected side."""
        waiting = _Waiting(self._expected_count, mark, required)
        self._expected_count += 1
        if required:
            self.findings.counts.expected += 1
        early = self._early_by_name.pop(mark.name, None)
        if early is not None:
            self._match(waiting, self._early.pop(early))
            return
        self._expected[mark.name] = waiting
        self._required_waiting += required
        if len(self._expected) > UNMATCHED_MAX:
            _, oldest = self._expected.popitem(last=False)
            self._required_waiting -= oldest.required
            self._tell_lost(oldest)

    def find(self, mark: Mark) -> None:
        """Take the next record of the found side."""
        found = _Waiting(self._found_count, mark)
        self._found_count += 1
        self.findings.counts.found += 1
        waiting = self._expected.pop(mark.name, None)
        if waiting is not None:
            self._required_waiting -= waiting.required
            self._match(waiting, found)
        elif mark.name in self._matched or mark.name in self._early_by_name:
            self.findings.note("doubled", mark.text)
        else:
            self._early[found.sequence] = found
            if mark.name:
                self._early_by_name[mark.name] = found.sequence
            if len(self._early) > UNMATCHED_MAX:
                self._tell_unexpected(self._pop_early())

    def finish(self, *, at_end: bool = False) -> Findings:
        """Judge what has no partner, now that both sides have ended.

        Args:
            at_end: As in `RevisionComparison.finish`; here it changes nothing.
        """
        lost = list(self._expected.values())
        self._expected.clear()
        self._pair_damaged_names(lost)
        for waiting in lost:
            self._tell_lost(waiting)
        while self._early:
            self._tell_unexpected(self._pop_early())
        return self.findings

    def _match(self, expected: _Waiting, found: _Waiting) -> None:
        mark = found.mark
        self._matched[mark.name] = None
        if len(self._matched) > NAMES_REMEMBERED:
            self._matched.popitem(last=False)
        if self._first_match < 0 or found.sequence < self._first_match:
            self._first_match = found.sequence
        self.findings.counts.ahead += not expected.required
        if expected.mark.digest != mark.digest:
            self.findings.note("different", f"{mark.text}, expected {expected.mark.text}")
        pair = expected.sequence, found.sequence
        if pair[0] > self._front[0] and pair[1] > self._front[1]:
            self._front = pair
        else:
            self.findings.note("out of order", mark.text)

    # A lost and an unexpected record with one content are one record whose name was changed.
    def _pair_damaged_names(self, lost: list[_Waiting]) -> None:
        bodies = {waiting.mark.body: waiting for waiting in lost}
        for sequence, found in list(self._early.items()):
            waiting = bodies.pop(found.mark.body, None)
            if waiting is not None:
                lost.remove(waiting)
                del self._early[sequence]
                self.findings.note("different", f"{found.mark.text}, expected {waiting.mark.text}")

    # What may be there is lost only when something that comes after it is there.
    def _tell_lost(self, waiting: _Waiting) -> None:
        if waiting.required or waiting.sequence < self._front[0]:
            self.findings.note("lost", waiting.mark.text)

    def _tell_unexpected(self, found: _Waiting) -> None:
        if self._from_beginning or 0 <= self._first_match < found.sequence:
            self.findings.note("unexpected", found.mark.text)
        else:
            self.findings.counts.before += 1

    def _pop_early(self) -> _Waiting:
        _, oldest = self._early.popitem(last=False)
        self._early_by_name.pop(oldest.mark.name, None)
        return oldest


@dataclass(slots=True)
class _Signal:
    # Revisions of one enriched signal: digests of those expected, and what was found last.
    digests: dict[int, bytes] = field(default_factory=dict)
    required: int = 0
    found: int = 0
    found_digest: bytes = b""
    text: str = ""


class RevisionComparison:
    """Compares enriched signals: the last revision must be equal, and revisions must rise.

    How many revisions were sent on the way depends on how the two input logs interleaved, which is legal; every
    revision that both sides have must be equal all the same.
    """

    def __init__(self, place: str, *, from_beginning: bool = True) -> None:
        self.findings = Findings(place)
        self._from_beginning = from_beginning
        self._signals: dict[str, _Signal] = {}
        # Event id -> signal and revision: it names a record whose value was damaged.
        self._names: dict[str, tuple[str, int]] = {}

    @property
    def is_waiting(self) -> bool:
        """Tell whether a signal's last revision has not been found yet."""
        return any(signal.found < signal.required for signal in self._signals.values())

    @property
    def has_early(self) -> bool:
        """Tell whether a revision was found that nothing expected so far explains."""
        return any(signal.found > max(signal.digests, default=0) for signal in self._signals.values())

    def expect(self, signal_id: str, revision: int, mark: Mark, *, required: bool = True) -> None:
        """Take the next revision of the expected side."""
        signal = self._signals.setdefault(signal_id, _Signal())
        signal.digests[revision] = mark.digest
        signal.text = mark.text
        self._names[mark.name] = signal_id, revision
        if required:
            signal.required = max(signal.required, revision)

    def find(self, signal_id: str, revision: int, mark: Mark) -> None:
        """Take the next record of the found side."""
        self.findings.counts.found += 1
        signal_id, revision = self._names.get(mark.name, (signal_id, revision))
        signal = self._signals.setdefault(signal_id, _Signal())
        if signal.found == revision:
            self.findings.note("doubled", mark.text)
        elif signal.found > revision:
            self.findings.note("out of order", f"{mark.text}, after revision {signal.found}")
        else:
            signal.found, signal.found_digest = revision, mark.digest
        if not signal.digests:
            signal.text = mark.text
        elif signal.digests.get(revision, mark.digest) != mark.digest:
            self.findings.note("different", mark.text)
            # Told once: the last revision is not judged again.
            signal.found_digest = b""

    def finish(self, *, at_end: bool) -> Findings:
        """Judge the last revision of every signal.

        Args:
            at_end: Whether the committed positions are the ends of both logs, so that nothing can be ahead of them.
        """
        for signal_id in sorted(self._signals):
            self._judge(self._signals[signal_id], at_end=at_end)
        return self.findings

    def _judge(self, signal: _Signal, *, at_end: bool) -> None:
        counts = self.findings.counts
        counts.expected += signal.required > 0
        if signal.required == 0 and not signal.digests:
            if self._from_beginning:
                self.findings.note("unexpected", signal.text)
            else:
                counts.before += 1
        elif signal.found < signal.required:
            self.findings.note("lost", f"{signal.text}, last found revision {signal.found}")
        elif signal.found > signal.required:
            counts.ahead += 1
            if at_end:
                self.findings.note("different", f"{signal.text}, found revision {signal.found} past the last one")
        if signal.found_digest and signal.digests.get(signal.found, signal.found_digest) != signal.found_digest:
            self.findings.note("different", f"{signal.text}, revision {signal.found}")


class FanoutComparison:
    """Compares the copies of articles in one partition: each source's in its order, sources interleaved at will.

    Args:
        place: Topic and partition, for people.
        from_beginning: Whether the found side still has its first records. If not, what a source lacks before its
            first match was removed by retention.
    """

    def __init__(self, place: str, *, from_beginning: bool = True) -> None:
        self.findings = Findings(place)
        self.from_beginning = from_beginning
        self._first_match: dict[int, int] = {}
        # Equal copies are legal (an article that was published twice), so a name is a content and its count.
        self._expected: dict[tuple[bytes, int], tuple[int, int, Mark, bool]] = {}
        self._counts_expected: dict[bytes, int] = {}
        self._counts_found: dict[bytes, int] = {}
        self._sequence: dict[int, int] = {}
        self._front: dict[int, int] = {}
        self._unexpected: list[Mark] = []

    @property
    def is_waiting(self) -> bool:
        """Tell whether a copy that must be there has not been found yet."""
        return any(required for _, _, _, required in self._expected.values())

    def expect(self, source: int, mark: Mark, *, required: bool = True) -> None:
        """Take the next copy of one partition of the articles topic. All of them come before anything is found."""
        count = self._counts_expected[mark.digest] = self._counts_expected.get(mark.digest, 0) + 1
        sequence = self._sequence[source] = self._sequence.get(source, -1) + 1
        self._expected[mark.digest, count] = (source, sequence, mark, required)
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
                self._unexpected.append(mark)
            return
        source, sequence, _, required = waiting
        self.findings.counts.ahead += not required
        if sequence < self._front.get(source, -1):
            self.findings.note("out of order", mark.text)
        self._front[source] = max(sequence, self._front.get(source, -1))
        self._first_match.setdefault(source, sequence)

    def finish(self) -> Findings:
        """Judge what has no partner. One that is lost and one that nobody expected are one that was changed."""
        lost: list[Mark] = []
        for source, sequence, mark, required in self._expected.values():
            if not self.from_beginning and sequence < self._first_match.get(source, sequence + 1):
                self.findings.counts.before += 1
            elif required or sequence < self._front.get(source, -1):
                lost.append(mark)
        pairs = min(len(lost), len(self._unexpected))
        for expected, found in zip(lost[:pairs], self._unexpected[:pairs], strict=True):
            self.findings.note("different", f"{found.text}, expected {expected.text}")
        for mark in lost[pairs:]:
            self.findings.note("lost", mark.text)
        for mark in self._unexpected[pairs:]:
            self.findings.note("unexpected", mark.text)
        return self.findings
