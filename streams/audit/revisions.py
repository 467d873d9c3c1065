"""Revisions of enriched signals that were to be written, against what is there.

The revisions of a signal are numbered by the two input logs alone, and only how many of them are sent depends on how
the logs interleaved: from the first one on that the rerun gives it gives every one. So whatever is there from that one
on must be among those expected; what is there before it was sent by a worker that read the other log first.
"""

from __future__ import annotations

from dataclasses import dataclass, field

from streams.audit.comparison import Findings, Mark


@dataclass(slots=True)
class Revisions:
    """Revisions of one enriched signal.

    Attributes:
        digests: Of those expected.
        early: Digests of those found that nothing expected so far explains.
        required: The last one that must be there, of an input with the broker's stamp `appended_ns`.
        found: The last one that is there, at place `found_at` among all records found, from 1.
        found_digest: Its digest; empty where it is told already that it is wrong.
        text: For people: which signal.
    """

    digests: dict[int, bytes] = field(default_factory=dict)
    early: dict[int, bytes] = field(default_factory=dict)
    required: int = 0
    appended_ns: int = 0
    found: int = 0
    found_digest: bytes = b""
    found_at: int = 0
    text: str = ""

    @property
    def unexplained(self) -> list[int]:
        """Return the revisions found that should be among those expected and are not."""
        first = min(self.digests, default=0)
        return sorted(revision for revision in self.early if revision >= first)


@dataclass(slots=True)
class RevisionComparison:
    """Compares enriched signals: the last revision must be equal, and revisions must rise.

    How many revisions were sent on the way depends on how the two input logs interleaved, which is legal; every
    revision that both sides have must be equal all the same.

    Attributes:
        place: As in `OrderedComparison`, and so the next four.
        signals: By signal id.
        names: Signal and revision by event id, which names a record whose value was damaged.
    """

    place: str
    from_beginning: bool = True
    is_cut: bool = False
    oldest_ns: int = 0
    findings: Findings = field(default_factory=Findings)
    signals: dict[str, Revisions] = field(default_factory=dict)
    names: dict[str, tuple[str, int]] = field(default_factory=dict)

    def __post_init__(self) -> None:
        self.findings.place = self.place

    @property
    def is_waiting(self) -> bool:
        """Tell whether a signal's last revision has not been found yet, and was not removed by retention."""
        return any(
            signal.found < signal.required and not self._may_be_removed(signal) for signal in self.signals.values()
        )

    @property
    def has_early(self) -> bool:
        """Tell whether a revision was found that nothing expected so far explains."""
        return any(signal.found > max(signal.digests, default=0) for signal in self.signals.values())

    def expect(self, signal_id: str, revision: int, mark: Mark, *, appended_ns: int = 0, required: bool = True) -> None:
        """Take the next revision of the expected side."""
        signal = self.signals.setdefault(signal_id, Revisions())
        signal.digests[revision] = mark.digest
        signal.text = mark.text
        if signal.early.pop(revision, mark.digest) != mark.digest:
            self._tell_different(signal, revision, f"{mark.text}, revision {revision}")
        self.names[mark.name] = signal_id, revision
        if required and revision > signal.required:
            signal.required, signal.appended_ns = revision, appended_ns

    def find(self, signal_id: str, revision: int, mark: Mark) -> None:
        """Take the next record of the found side."""
        self.findings.counts.found += 1
        signal_id, revision = self.names.get(mark.name, (signal_id, revision))
        signal = self.signals.setdefault(signal_id, Revisions())
        if signal.found == revision:
            self.findings.note("doubled", mark.text)
        elif signal.found > revision:
            self.findings.note("out of order", f"{mark.text}, after revision {signal.found}")
        else:
            signal.found, signal.found_digest = revision, mark.digest
            signal.found_at = self.findings.counts.found
            if revision not in signal.digests:
                signal.early[revision] = mark.digest
        if not signal.digests:
            signal.text = mark.text
        elif signal.digests.get(revision, mark.digest) != mark.digest:
            self._tell_different(signal, revision, mark.text)

    def finish(self) -> Findings:
        """Judge every signal, now that the expected side explains all that was found, or its logs have ended."""
        matches = [
            signal.found_at
            for signal in self.signals.values()
            if signal.found_digest and signal.digests.get(signal.found) == signal.found_digest
        ]
        # What was said before the start stands before all that was said after it.
        unknown_from = 0 if self.from_beginning else min(matches, default=self.findings.counts.found)
        for signal_id in sorted(self.signals):
            self._judge(self.signals[signal_id], unknown_from)
        return self.findings

    def _judge(self, signal: Revisions, unknown_from: int) -> None:
        counts = self.findings.counts
        counts.expected += signal.required > 0
        if not signal.digests:
            if signal.found_at > unknown_from:
                self.findings.note("unexpected", signal.text)
            else:
                counts.before += 1
            return
        if self._may_be_removed(signal):
            counts.before += signal.required > 0
        elif signal.found < signal.required:
            self.findings.note("lost", f"{signal.text}, last found revision {signal.found}")
        # One past the committed positions is said by the log, too, or it is none that a worker can have written.
        for revision in signal.unexplained:
            self.findings.note("different", f"{signal.text}, found revision {revision}, which the log does not give")
        counts.ahead += signal.found > signal.required and signal.found not in signal.unexplained

    # Retention removes a beginning: where an earlier revision is there the last one would be there, too.
    def _may_be_removed(self, signal: Revisions) -> bool:
        return self.is_cut and signal.found == 0 and signal.appended_ns <= self.oldest_ns

    # Told once: a last revision that is wrong is no match any more.
    def _tell_different(self, signal: Revisions, revision: int, text: str) -> None:
        self.findings.note("different", text)
        if signal.found == revision:
            signal.found_digest = b""
