"""What is held of each instrument: its daily bars and its actions, as the worker's own engine folds them.

The engine is what decides which bar of a session stands, what a session's ticks add up to and what is refused; so the
log is folded rather than read, and what comes out is what a worker's windows are made of. Where the worker has written
snapshots the newest good one is the beginning, as it would be for a worker that starts: the log alone may not reach
back.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from typing import Any, Final

import numpy as np
import orjson

from streams.config import Config, ConfigError, Kafka
from streams.core.engine import Engine
from streams.core.instruments import UnknownMarket
from streams.core.layout import BAR_TRADED
from streams.core.sessions import Markets
from streams.core.snapshot import EngineState
from streams.core.units import parse_date
from streams.kafka.follow import partitions_of, read_batches_of
from streams.kafka.restore import BASE
from streams.kafka.restorer import StateTopic
from streams.kafka.topics import Topics, TopicsRefused
from streams.wire.batches import frame_values
from streams.wire.snapshots import LATEST, Identity, Snapshot, SnapshotRefused, read_snapshot, series_keys
from streams.wire.ticks import TickDecoder

_MS: Final = 1_000_000
_ACTION: Final = b'"action_id"'


@dataclass(frozen=True, slots=True)
class HeldAction:
    """An action that holds.

    Attributes:
        action: Its kind.
        ex_date: First session in the new units, days since 1970.
        factor: What a price before the ex-date is multiplied with.
    """

    action: str
    ex_date: int
    factor: Fraction


@dataclass(frozen=True, slots=True)
class History:
    """What is known of one instrument.

    Attributes:
        instrument: Its id.
        bars: Raw daily bars in date order, dtype `BAR`; a session without a trade has a bar too.
        actions: By ex-date.
    """

    instrument: str
    bars: np.ndarray
    actions: tuple[HeldAction, ...] = ()

    def own(self, session_date: int) -> np.ndarray:
        """Return the bars before a session that are this instrument's: none from before a delisting."""
        first = max(
            (a.ex_date for a in self.actions if a.action == "delisting" and a.ex_date <= session_date), default=0
        )
        dates = self.bars["date"]
        return self.bars[(dates >= first) & (dates < session_date)]

    def factor(self, bar_date: int, session_date: int) -> Fraction:
        """Return what a price of a bar is multiplied with to be one of a session."""
        product = Fraction(1)
        for action in self.actions:
            if bar_date < action.ex_date <= session_date:
                product *= action.factor
        return product


@dataclass(slots=True)
class Folding:
    """Folds the log of one partition, batch by batch.

    Args:
        markets: Calendars of the configured markets.
        config: The rules in force.
        state: The state to begin with, which is taken over.
    """

    markets: Markets
    config: Config
    state: EngineState | None = None
    _engine: Engine = field(init=False)
    _decoder: TickDecoder = field(init=False)
    _actions: dict[str, dict[str, HeldAction]] = field(init=False, default_factory=dict)

    def __post_init__(self) -> None:
        self._engine = Engine(self.markets, self.config.rules)
        if self.state is not None:
            try:
                self._engine.restore(self.state)
            except UnknownMarket as error:
                raise ConfigError(f"markets.mics: the worker's snapshot has other markets: {error}") from None
        self._decoder = TickDecoder(self._engine.instruments)

    def fold(self, values: Sequence[bytes | None], appended_ms: Sequence[int], first_offset: int) -> None:
        """Fold records in log order."""
        frames = frame_values(values, first_offset=first_offset)
        frames.frames["append_ns"] = np.array(appended_ms, np.int64) * _MS
        decoded = self._decoder.decode(frames)
        self._engine.fold(decoded.records, decoded.bars, decoded.buffer, decoded.details)
        refused = {rejected.index for rejected in decoded.rejected}
        for index, value in enumerate(values):
            if value is not None and _ACTION in value and index not in refused:
                self._note_action(value)

    def histories(self) -> Iterable[History]:
        """Yield what is known of each instrument so far."""
        state = self._engine.export()
        counts = state.warm["bar_count"].tolist()
        for row, (name, count) in enumerate(zip(state.ids.tolist(), counts, strict=True)):
            instrument = name.decode("ascii")
            actions = sorted(self._actions.get(instrument, {}).values(), key=lambda each: each.ex_date)
            yield History(instrument, state.rings[row, :count].copy(), tuple(actions))

    def _note_action(self, value: bytes) -> None:
        document: Mapping[str, Any] = orjson.loads(value)
        if document.get("type") != "action":
            return
        held = self._actions.setdefault(document["instrument"], {})
        if document.get("operation") == "withdraw":
            held.pop(document["action_id"], None)
            return
        factor = Fraction(document.get("denominator", 1), document.get("numerator", 1))
        held[document["action_id"]] = HeldAction(document["action"], parse_date(document["ex_date"]), factor)


async def held(
    config: Config, markets: Markets, *, on_progress: Callable[[int, int], None] | None = None
) -> dict[str, History]:
    """Return what the log holds of every instrument.

    Args:
        config: Where Kafka is, and the rules in force.
        markets: Calendars of the configured markets.
        on_progress: Called with how many records were read, and how many there are.

    Raises:
        BrokersUnreachable: No broker answered.
        TopicMissing: The topic is not there.
        TopicsRefused: The topics have another number of partitions than is configured.
        ConfigError: A snapshot has instruments of markets that are not configured.
    """
    names = Topics(config.kafka.prefix)
    for topic, count in (await partitions_of(config.kafka, (names.ticks, names.state))).items():
        if count != config.kafka.partitions:
            raise TopicsRefused(
                f"expected {config.kafka.partitions} partitions of {topic}, found {count}: set kafka.partitions as it "
                "was when the topics were made"
            )
    foldings: dict[int, Folding] = {}
    starts: dict[int, int] = {}
    for partition in range(config.kafka.partitions):
        snapshot = await _newest_snapshot(config.kafka, names, partition)
        foldings[partition] = Folding(markets, config, None if snapshot is None else snapshot.engine)
        starts[partition] = 0 if snapshot is None else snapshot.manifest.positions.ticks
    read = 0
    async for batch in read_batches_of(config.kafka, names.ticks, starts=starts):
        foldings[batch.partition].fold(batch.values, batch.appended_ms, batch.first_offset)
        read += len(batch.values)
        if on_progress is not None:
            on_progress(read, batch.records_total)
    return {history.instrument: history for folding in foldings.values() for history in folding.histories()}


# The newest snapshot of a partition that can be believed, if there is one.
async def _newest_snapshot(kafka: Kafka, names: Topics, partition: int) -> Snapshot | None:
    records, _ = await StateTopic(kafka, names.state).read(partition)
    identity = Identity(kafka.application_id, partition, kafka.partitions)
    bases = (name for name in series_keys(records, identity) if name.startswith(BASE))
    for series in (LATEST, *sorted(bases, reverse=True)):
        try:
            if snapshot := read_snapshot(records, identity, series=series):
                return snapshot
        except SnapshotRefused:
            continue  # Damaged, or of a layout that cannot be read: the one before it, or the log.
    return None


def traded(bars: np.ndarray) -> np.ndarray:
    """Return the bars of sessions that had a trade."""
    found: np.ndarray = bars[bars["flags"] & BAR_TRADED != 0]
    return found
