"""What all phases found: sums of exactly-once delivery, those of at-least-once delivery apart, and what is wrong."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import Final

import click

from streams.audit.comparison import Counts, Defect
from streams.audit.report import Report
from streams.config import Config
from tests.chaos.minimums import Happened

REPEATS: Final = ("doubled", "out of order")
"""What an output is called that is there again."""


@dataclass(slots=True)
class Sums:
    """Of several reports."""

    inputs: int = 0
    counts: Counts = field(default_factory=Counts)
    faults: int = 0

    def add(self, report: Report, faults: int) -> None:
        """Add one report."""
        self.inputs += report.inputs
        self.counts.add(report.counts)
        self.faults += faults


@dataclass(slots=True)
class Totals:
    """What all phases found.

    Attributes:
        once: Of exactly-once delivery.
        again: Of at-least-once delivery.
        happened: To exactly-once delivery.
        wrong: What is not well beside the sums of `once`.
    """

    once: Sums = field(default_factory=Sums)
    again: Sums = field(default_factory=Sums)
    happened: Happened = field(default_factory=Happened)
    wrong: list[str] = field(default_factory=list)

    @property
    def is_well(self) -> bool:
        """Tell whether nothing is wrong."""
        return self.once.counts.is_well and not self.wrong

    def add(self, name: str, config: Config, report: Report, faults: int) -> None:
        """Add what a phase found, and say what is not well; without transactions outputs may repeat."""
        is_once = config.kafka.delivery == "exactly_once"
        (self.once if is_once else self.again).add(report, faults)
        self.wrong += [f"{name}: {each.problem}" for each in report.partitions if each.problem]
        for defect in defects_of(report):
            if is_once or defect.kind not in REPEATS:
                click.echo(f"{name}: {text_of(defect)}")
        click.echo(f"{name}: {report.inputs} inputs, {report.counts.expected} expected, {faults} faults")
        counts = report.counts
        if counts.ahead:
            # All workers have ended in order, with everything committed.
            self.wrong.append(f"{name}: expected no output past the committed positions, found {counts.ahead}")
        if not is_once and (counts.lost or counts.different or counts.unexpected):
            found = f"lost {counts.lost} different {counts.different} unexpected {counts.unexpected}"
            self.wrong.append(f"{name}: expected every output and no other, found {found}")

    def lines(self) -> list[str]:
        """Return the sums as the last lines of a run."""
        once, again = self.once.counts, self.again.counts
        return [
            f"chaos: at least once: inputs {self.again.inputs} expected {again.expected} lost {again.lost} "
            f"repeated {again.doubled + again.out_of_order} different {again.different + again.unexpected} "
            f"faults {self.again.faults}",
            f"chaos: inputs {self.once.inputs} expected {once.expected} lost {once.lost} doubled {once.doubled} "
            f"reordered {once.out_of_order} different {once.different + once.unexpected} faults {self.once.faults}",
        ]


def defects_of(report: Report) -> list[Defect]:
    """Return the differences of a report."""
    return [defect for each in report.partitions for finding in each.findings for defect in finding.defects]


def text_of(defect: Defect) -> str:
    """Return a difference as a line."""
    return f"{defect.kind}: {defect.place}, {defect.text}"
