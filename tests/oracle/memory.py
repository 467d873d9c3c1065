"""The ids of the latest trades and cancels of an instrument, so that a second delivery is recognised."""

from __future__ import annotations

from datetime import date
from typing import Literal

from tests.oracle.records import Tick

REMEMBERED = 64

Kind = Literal["tick", "cancel"]


class Memory:
    """The last sixty-four ids, each with its session, venue and kind."""

    def __init__(self) -> None:
        self.entries: list[tuple[date, str | None, str, Kind]] = []

    def has(self, tick: Tick, day: date, kind: Kind = "tick") -> bool:
        """Say whether a record with this id was taken lately; one without an id never was."""
        return tick.trade_id is not None and (day, tick.venue, tick.trade_id, kind) in self.entries

    def add(self, tick: Tick, day: date, kind: Kind = "tick") -> None:
        """Remember a record that was taken."""
        if tick.trade_id is not None:
            self.entries = [*self.entries, (day, tick.venue, tick.trade_id, kind)][-REMEMBERED:]
