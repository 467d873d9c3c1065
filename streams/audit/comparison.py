"""What was to be written against what is there: lost, doubled, out of order, different.

Two sequences are compared while both are still being read: what has found its partner is forgotten, so memory grows
with the differences and not with the log. A record's name (its event id, or the offset that a dead letter is about)
says which record it is meant to be; its digest says whether it is that one to the byte.

Expected records come in two kinds. Those up to the committed position must be there. Those after it may be: a worker
that runs has written some of them by the time its topic is read, but only a beginning without a gap.
"""

from __future__ import annotations

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
        before: How many were not judged: they are there and lie before the start of the comparison, or they are not
            there and retention may have removed them.
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

    place: str = ""
    counts: Counts = field(default_factory=Counts)
    defects: list[Defect] = field(default_factory=list)

    def note(self, kind: str, text: str) -> None:
        """Count one defect, and keep it when there are not too many."""
        name = kind.replace(" ", "_")
        setattr(self.counts, name, getattr(self.counts, name) + 1)
        if len(self.defects) < DEFECTS_MAX:
            self.defects.append(Defect(kind, self.place, text))


@dataclass(frozen=True, slots=True)
class Waiting:
    """A record of either side without its partner yet; a found one is always required.

    Attributes:
        appended_ns: The broker's stamp on the input that an expected one comes of.
    """

    sequence: int
    mark: Mark
    required: bool = True
    appended_ns: int = 0


@dataclass(slots=True)
class OrderedComparison:
    """Compares two sequences record by record, order included.

    Attributes:
        place: Topic and partition, for people.
        from_beginning: Whether the found side is read from where the expected side begins. If not, what is found
            before the first match lies before the start.
        is_cut: Whether the found side has lost its first records to retention.
        oldest_ns: The broker's stamp on the oldest record that is left of it, 0 while that is not known. Retention can
            have removed a record only when the input that it comes of is not younger: it is appended after it.
        findings: What was found so far.
        expected: What waits to be found, by name.
        early: What was found and waits to be expected, by its number; `early_by_name` has the numbers.
        matched: Names that were found and expected, the newest ones.
        front: Numbers of the latest pair in order: whatever matches across it is out of order.
        first_match: Number of the first record found that was expected, -1 before it.
        first_expected: The least number of those expected that were found, -1 before it.
    """

    place: str
    from_beginning: bool = True
    is_cut: bool = False
    oldest_ns: int = 0
    findings: Findings = field(default_factory=Findings)
    expected: dict[str, Waiting] = field(default_factory=dict)
    early: dict[int, Waiting] = field(default_factory=dict)
    early_by_name: dict[str, int] = field(default_factory=dict)
    matched: dict[str, None] = field(default_factory=dict)
    expected_count: int = 0
    found_count: int = 0
    required_waiting: int = 0
    front: tuple[int, int] = (-1, -1)
    first_match: int = -1
    first_expected: int = -1

    def __post_init__(self) -> None:
        self.findings.place = self.place

    @property
    def is_waiting(self) -> bool:
        """Tell whether a record that must be there has not been found yet, and was not removed by retention."""
        if self.required_waiting == 0:
            return False
        return any(waiting.required and not self._may_be_removed(waiting) for waiting in self.expected.values())

    @property
    def wants_found(self) -> bool:
        """Tell whether reading more of the found side can match something."""
        is_before = not self.from_beginning and self.first_match < 0
        return bool(self.expected) and (is_before or len(self.early) < UNMATCHED_MAX)

    @property
    def has_early(self) -> bool:
        """Tell whether something was found that nothing expected so far explains."""
        return bool(self.early)

    def expect(self, mark: Mark, *, appended_ns: int = 0, required: bool = True) -> None:
        """Take the next record of the expected side.

        Args:
            mark: The record.
            appended_ns: The broker's stamp on the input that it comes of.
            required: Whether it must be there.
        """
        waiting = Waiting(self.expected_count, mark, required, appended_ns)
        self.expected_count += 1
        if required:
            self.findings.counts.expected += 1
        early = self.early_by_name.pop(mark.name, None)
        if early is not None:
            self._match(waiting, self.early.pop(early))
            return
        self.expected[mark.name] = waiting
        self.required_waiting += required
        if len(self.expected) > UNMATCHED_MAX:
            oldest = self.expected.pop(next(iter(self.expected)))
            self.required_waiting -= oldest.required
            self._tell_lost(oldest)

    def find(self, mark: Mark) -> None:
        """Take the next record of the found side."""
        found = Waiting(self.found_count, mark)
        self.found_count += 1
        self.findings.counts.found += 1
        waiting = self.expected.pop(mark.name, None)
        if waiting is not None:
            self.required_waiting -= waiting.required
            self._match(waiting, found)
        elif mark.name in self.matched or mark.name in self.early_by_name:
            self.findings.note("doubled", mark.text)
        else:
            self.early[found.sequence] = found
            if mark.name:
                self.early_by_name[mark.name] = found.sequence
            if len(self.early) > UNMATCHED_MAX:
                self._tell_unexpected(self._pop_early())

    def finish(self) -> Findings:
        """Judge what has no partner, now that both sides have ended."""
        lost = list(self.expected.values())
        self.expected.clear()
        self._pair_damaged_names(lost)
        for waiting in lost:
            self._tell_lost(waiting)
        while self.early:
            self._tell_unexpected(self._pop_early())
        return self.findings

    def _match(self, expected: Waiting, found: Waiting) -> None:
        mark = found.mark
        self.matched[mark.name] = None
        if len(self.matched) > NAMES_REMEMBERED:
            del self.matched[next(iter(self.matched))]
        if self.first_match < 0 or found.sequence < self.first_match:
            self.first_match = found.sequence
        if self.first_expected < 0 or expected.sequence < self.first_expected:
            self.first_expected = expected.sequence
        self.findings.counts.ahead += not expected.required
        if expected.mark.digest != mark.digest:
            self.findings.note("different", f"{mark.text}; {expected.mark.text}")
        pair = expected.sequence, found.sequence
        if pair[0] > self.front[0] and pair[1] > self.front[1]:
            self.front = pair
        else:
            self.findings.note("out of order", mark.text)

    # A lost and an unexpected record with one content are one record whose name was changed.
    def _pair_damaged_names(self, lost: list[Waiting]) -> None:
        bodies = {waiting.mark.body: waiting for waiting in lost}
        for sequence, found in list(self.early.items()):
            waiting = bodies.pop(found.mark.body, None)
            if waiting is not None:
                lost.remove(waiting)
                del self.early[sequence]
                self.findings.note("different", f"{found.mark.text}, expected {waiting.mark.text}")

    # Retention removes a beginning: whatever was to come after a record that is there is none of it.
    def _may_be_removed(self, waiting: Waiting) -> bool:
        is_first = self.first_expected < 0 or waiting.sequence < self.first_expected
        return is_first and self.is_cut and waiting.appended_ns <= self.oldest_ns

    # What may be there is lost only when something that comes after it is there.
    def _tell_lost(self, waiting: Waiting) -> None:
        if self._may_be_removed(waiting):
            self.findings.counts.before += waiting.required
        elif waiting.required or waiting.sequence < self.front[0]:
            self.findings.note("lost", waiting.mark.text)

    def _tell_unexpected(self, found: Waiting) -> None:
        if self.from_beginning or 0 <= self.first_match < found.sequence:
            self.findings.note("unexpected", found.mark.text)
        else:
            self.findings.counts.before += 1

    def _pop_early(self) -> Waiting:
        oldest = self.early.pop(next(iter(self.early)))
        self.early_by_name.pop(oldest.mark.name, None)
        return oldest
