"""What a verification says, as data: for the command line, for a file that resumes it, and for other programs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from streams.audit.comparison import Counts, Findings


@dataclass(slots=True)
class PartitionReport:
    """What was found in one partition.

    Attributes:
        kind: `state` for ticks and news and what follows from them, `articles` for copies of articles.
        start: Where the comparison began.
        inputs: Input records read up to the committed positions.
        findings: Of each output topic.
        problem: Why the partition could not be judged; empty when it was.
    """

    kind: str
    partition: int
    start: str = ""
    inputs: int = 0
    findings: list[Findings] = field(default_factory=list)
    problem: str = ""

    @property
    def counts(self) -> Counts:
        """Return the counts of all its topics together."""
        total = Counts()
        for each in self.findings:
            total.add(each.counts)
        return total

    @property
    def is_well(self) -> bool:
        """Tell whether everything was judged and nothing differs."""
        return not self.problem and self.counts.is_well


@dataclass(slots=True)
class Report:
    """What was found in all partitions."""

    partitions: list[PartitionReport] = field(default_factory=list)

    @property
    def counts(self) -> Counts:
        """Return the counts of all partitions together."""
        total = Counts()
        for each in self.partitions:
            total.add(each.counts)
        return total

    @property
    def inputs(self) -> int:
        """Return how many input records were read."""
        return sum(each.inputs for each in self.partitions)

    @property
    def is_well(self) -> bool:
        """Tell whether every partition is well."""
        return all(each.is_well for each in self.partitions)


def nothing_committed(starts: Mapping[str, int], positions: Mapping[str, int]) -> str:
    """Return why a partition of which nothing is committed is not judged: nothing must be there yet."""
    found = ", ".join(f"{positions.get(topic, 'none')} for {topic}" for topic in sorted(starts))
    oldest = ", ".join(f"offset {offset} of {topic}" for topic, offset in sorted(starts.items()))
    return (
        f"expected committed positions past {oldest}, found {found}: no worker of this application has read on from "
        "there; check kafka.application_id, let a worker read the partition, then verify again"
    )


def removed_by_retention(oldest: Mapping[str, int]) -> str:
    """Return why logs that do not begin at their beginning cannot be judged."""
    found = " and ".join(f"offset {offset} of {topic}" for topic, offset in sorted(oldest.items()))
    return (
        f"expected the inputs from offset 0, found {found} as the oldest: records before were removed by retention; "
        "verify earlier, or keep inputs longer (kafka.retention_days)"
    )
