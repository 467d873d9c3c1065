"""What reading a batch brings about: records to be written and positions reached.

The pure part returns it, the shell does it.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from typing import NamedTuple

Place = tuple[str, int]
"""A topic and a partition."""


class Output(NamedTuple):
    """One record to be written: a tuple, which is made in a quarter of the time of a frozen object.

    Attributes:
        replaces: Of several outputs with the same non-empty name only the last needs to be written.
        labels: Family, scope and transition of the signal, by which it is counted; empty for what is no signal.
        append_ns: The broker's stamp on the input record that caused it.
        reason: Why an input record was put aside, empty for what is no dead letter.
        source: The input topic of a dead letter.
    """

    topic: str
    partition: int
    key: bytes | None
    value: bytes | None
    headers: list[tuple[str, bytes | None]]
    timestamp_ms: int | None = None
    replaces: str = ""
    labels: tuple[str, ...] = ()
    append_ns: int = 0
    reason: str = ""
    source: str = ""


@dataclass(slots=True)
class Effects:
    """Outputs in order, and the offsets to go on from once they are written.

    Attributes:
        records: How many records were read.
        nulls: How many of them had no value.
        append_ns: The newest of the broker's stamps, 0 without records.
        misrouted: Instruments seen for the first time that belong into another partition.
        state: Records of the state topic, written after the outputs.
    """

    outputs: list[Output] = field(default_factory=list)
    positions: dict[Place, int] = field(default_factory=dict)
    records: int = 0
    nulls: int = 0
    append_ns: int = 0
    misrouted: list[str] = field(default_factory=list)
    state: list[Output] = field(default_factory=list)


class Outbox:
    """Collects effects between two commits. Of outputs that replace each other only the newest is kept."""

    def __init__(self) -> None:
        self._outputs: list[Output] = []
        self._newest: dict[str, Output] = {}
        self._positions: dict[Place, int] = {}
        self.bytes = 0

    def __len__(self) -> int:
        """Return how many outputs wait."""
        return len(self._outputs) + len(self._newest)

    @property
    def is_empty(self) -> bool:
        """Tell whether there is nothing to commit, not even a position."""
        return not (self._outputs or self._newest or self._positions)

    def add(self, effects: Effects) -> None:
        """Take effects over."""
        for output in effects.outputs:
            self.bytes += len(output.value or b"")
            if output.replaces:
                replaced = self._newest.pop(output.replaces, None)
                self.bytes -= len(replaced.value or b"") if replaced else 0
                self._newest[output.replaces] = output
            else:
                self._outputs.append(output)
        self._positions.update(effects.positions)

    def take(self) -> Effects:
        """Return everything collected, and begin anew."""
        effects = Effects([*self._outputs, *self._newest.values()], positions=self._positions)
        self._outputs, self._newest, self._positions, self.bytes = [], {}, {}, 0
        return effects


def by_place(outputs: list[Output]) -> Iterator[tuple[Place, list[Output]]]:
    """Yield the outputs of each partition, in order."""
    places: dict[Place, list[Output]] = {}
    for output in outputs:
        places.setdefault((output.topic, output.partition), []).append(output)
    yield from places.items()
