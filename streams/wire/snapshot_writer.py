"""What has to be written for the topic to hold the state as it is now: pieces that changed, and a new manifest.

The writer keeps a copy of the rows it wrote last and a mark of every piece of the join, and compares. It believes that
its records reach the topic in one transaction: where that is in doubt, `forget` makes the next snapshot whole.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from functools import partial
from itertools import groupby, islice
from typing import Final, NamedTuple, TypeVar

import msgspec
import numpy as np

from streams.core.engine import Engine
from streams.core.join import Join
from streams.core.join_state import JoinState
from streams.core.rules import RULES_VERSION
from streams.core.sessions import Markets
from streams.core.snapshot import (
    BAR_GROUP_ROWS,
    LAYOUT_NUMBER,
    EngineState,
    changed_bars,
    changed_blocks,
    empty_state,
)
from streams.wire import snapshot_pieces as pieces
from streams.wire.layouts import ROWS, described
from streams.wire.snapshots import (
    CONTENT_BYTES_MAX,
    LATEST,
    MANIFEST,
    MANIFEST_BYTES_MAX,
    Identity,
    Manifest,
    Part,
    Positions,
    Snapshot,
    SnapshotRecord,
    check_series,
    compress,
    frame,
)

_ROWS_AT_FIRST: Final = 1024

_Entry = TypeVar("_Entry")


class SnapshotTooLarge(RuntimeError):
    """The state is larger than one manifest can list."""


class Mark(NamedTuple):
    """Tells two states of one piece of the join apart.

    Members come at the end only, and every change of one counts up: equal marks mean equal pieces.
    """

    members: int
    newest: int
    changes: int


@dataclass(frozen=True, slots=True)
class Written:
    """What one snapshot adds to the topic.

    Attributes:
        number: The snapshot's number.
        records: Parts that changed, tombstones of those that are gone, and last the manifest.
        size: Bytes of all values.
        pieces: How many pieces were written.
        pieces_listed: How many the snapshot consists of.
    """

    number: int
    records: list[SnapshotRecord]
    size: int
    pieces: int
    pieces_listed: int


class SnapshotWriter:
    """Writes the snapshots of one partition, each as its difference from the one before.

    Args:
        identity: Whose snapshots they are.
        engine_version: Version of the program, for people.
        series: Snapshots of different series do not touch each other's records.
        orphans: Keys of records in the topic that no snapshot to come will need; the first one takes them away.
    """

    def __init__(
        self, identity: Identity, *, engine_version: str = "", series: str = LATEST, orphans: Iterable[bytes] = ()
    ) -> None:
        self._identity = identity
        self._engine_version = engine_version
        self._series = check_series(series)
        self._number = 0
        self._orphans = set(orphans)
        self._parts: dict[str, list[Part]] = {}
        self._before = _Copy()
        self._extended: _Copy | None = None
        self._marks: dict[str, Mark] = {}
        self._calendar: tuple[str, tuple[str, ...]] | None = None

    def resume(self, snapshot: Snapshot, engine: Engine, join: Join) -> None:
        """Go on from a snapshot that engine and join were just restored from, before they read anything."""
        self._number = snapshot.manifest.snapshot
        self._orphans |= set(snapshot.orphans)
        if snapshot.is_migrated:
            # Whole in the present layout; what keeps its key is written over.
            self._orphans |= set(snapshot.listed)
            return
        self._parts = dict(snapshot.manifest.pieces)
        self._remember(engine.export())
        self._marks = {name: piece.mark for name, piece in _join_pieces(join.export()).items()}
        self._calendar = snapshot.manifest.calendar, snapshot.manifest.mics

    def forget(self) -> None:
        """Make the next snapshot whole, because records of the last one may not have reached the topic."""
        self._orphans |= self._keys(self._parts)
        self._parts = {}
        self._before = _Copy()
        self._extended = None
        self._marks = {}
        self._calendar = None

    def write(self, engine: Engine, join: Join, *, positions: Positions, news_mode: str = "") -> Written:
        """Return the records that bring the topic from the last snapshot to the state as it is now.

        Args:
            engine: The partition's engine.
            join: The partition's join.
            positions: How far into the logs both have come.
            news_mode: Clock mode that the news log has shown.

        Raises:
            SnapshotTooLarge: The manifest would not fit a record.
        """
        number = self._number + 1
        in_topic = self._keys(self._parts) | self._orphans
        records: list[SnapshotRecord] = []
        written = 0
        for name, payload in self._changed(engine, join):
            if payload is None:
                self._parts.pop(name, None)
                continue
            written += 1
            self._parts[name] = []
            for part, start in enumerate(range(0, len(payload), CONTENT_BYTES_MAX)):
                part_key = self._identity.key(self._series, f"{name}/{part}")
                content = compress(memoryview(payload)[start : start + CONTENT_BYTES_MAX])
                value, checksum = frame(part_key, number, positions, content)
                records.append(SnapshotRecord(part_key, value))
                self._parts[name].append(Part(checksum, number, len(value)))
        key = self._identity.key(self._series, MANIFEST)
        gone = in_topic - self._keys(self._parts) - {key}
        records += [SnapshotRecord(orphan, None) for orphan in sorted(gone)]
        manifest = msgspec.json.encode(self._manifest(engine, join, number, positions, news_mode))
        if len(manifest) > MANIFEST_BYTES_MAX:
            raise SnapshotTooLarge(
                f"expected a manifest of at most {MANIFEST_BYTES_MAX} bytes, found {len(manifest)} for "
                f"{len(engine.instruments)} instruments in partition {self._identity.partition}; use more partitions"
            )
        records.append(SnapshotRecord(key, frame(key, number, positions, manifest)[0]))
        self._number = number
        self._orphans = set()
        return Written(number, records, sum(len(one.value or b"") for one in records), written, len(self._parts))

    # The pieces that are not as they were, None for those that are no more. They count as written once yielded.
    def _changed(self, engine: Engine, join: Join) -> Iterator[tuple[str, bytes | None]]:
        yield from self._changed_calendar(engine.markets)
        yield from self._changed_rows(engine.export())
        found = _join_pieces(join.export())
        for name, piece in found.items():
            if self._marks.get(name) != piece.mark:
                yield name, piece.encode()
        for name in self._marks.keys() - found.keys():
            yield name, None
        self._marks = {name: piece.mark for name, piece in found.items()}

    def _changed_rows(self, state: EngineState) -> Iterator[tuple[str, bytes | None]]:
        yield from self._before.changed(state)
        if state.extended is None:
            yield from ((name, None) for name in [*self._parts] if name.startswith(pieces.EXTENDED))
            self._extended = None
            return
        if self._extended is None:
            self._extended = _Copy()
        for name, payload in self._extended.changed(state.extended):
            yield f"{pieces.EXTENDED}{name}", payload

    def _remember(self, state: EngineState) -> None:
        self._before.remember(state)
        if state.extended is not None and self._lists_extended():
            self._extended = _Copy()
            self._extended.remember(state.extended)

    def _lists_extended(self) -> bool:
        return any(name.startswith(pieces.EXTENDED) for name in self._parts)

    def _changed_calendar(self, markets: Markets) -> Iterator[tuple[str, bytes | None]]:
        calendar = markets.version, markets.mics
        if calendar == self._calendar:
            return
        for mic in markets.mics:
            yield f"calendar/{mic}", pieces.calendar_piece(markets.sessions_of(mic))
            yield f"extended/{mic}", pieces.extended_piece(markets.sessions_of(mic))
        for mic in set(self._calendar[1] if self._calendar else ()) - set(markets.mics):
            yield f"calendar/{mic}", None
            yield f"extended/{mic}", None
        self._calendar = calendar

    def _manifest(self, engine: Engine, join: Join, number: int, positions: Positions, news_mode: str) -> Manifest:
        state, held = engine.export(), join.export()
        return Manifest(
            layout=pieces.layout_name(),
            layout_number=LAYOUT_NUMBER,
            application=self._identity.application,
            partition=self._identity.partition,
            partitions=self._identity.partitions,
            series=self._series,
            snapshot=number,
            engine=self._engine_version,
            positions=positions,
            rules_version=RULES_VERSION,
            rules=msgspec.to_builtins(engine.rules),
            join_rules=msgspec.to_builtins(join.rules),
            calendar=engine.markets.version,
            mics=engine.markets.mics,
            news_mode=news_mode,
            rows=len(state),
            partition_row=_named_values(state.partition),
            extended_row={} if state.extended is None else _named_values(state.extended.partition),
            join={name: getattr(held, name) for name in pieces.JOIN_TOTALS},
            counts=dict(held.counts),
            pieces=self._parts,
            described=described(),
        )

    def _keys(self, parts: dict[str, list[Part]]) -> set[bytes]:
        key = self._identity.key
        return {key(self._series, f"{name}/{part}") for name, listed in parts.items() for part in range(len(listed))}


class _Copy:
    # The rows as they were written last, with room for those to come: what does not exist yet is zero.
    def __init__(self) -> None:
        self._state = empty_state(_ROWS_AT_FIRST)
        self._rows = 0

    def changed(self, state: EngineState) -> Iterator[tuple[str, bytes | None]]:
        before = self._with_room(len(state))
        # Zeros alone are an instrument that has read nothing, but they have to be written all the same.
        for name, array, array_before, rows in (
            ("instruments", state.ids, before.ids, pieces.ID_ROWS),
            ("hot", state.hot, before.hot, pieces.HOT_ROWS),
            ("warm", state.warm, before.warm, pieces.WARM_ROWS),
            ("cold", state.cold, before.cold, pieces.COLD_ROWS),
            ("tape", state.tape, before.tape, pieces.TAPE_ROWS),
        ):
            changed = set(changed_blocks(array, array_before, rows))
            if len(state) > self._rows:
                changed |= set(range(self._rows // rows, (len(state) - 1) // rows + 1))
            for number in sorted(changed):
                yield f"{name}/{number}", pieces.rows_piece(array, number, rows)
        for name, array, array_before in (
            ("withheld", state.withheld, before.withheld),
            ("overrides", state.overrides, before.overrides),
        ):
            for number in changed_blocks(array, array_before, ROWS[name]):
                yield f"{name}/{number}", pieces.rows_piece(array, number, ROWS[name])
        groups = set()
        for group, period in changed_bars(state, before):
            yield f"bars/{group}/{period}", pieces.bars_piece(state, group, period)
            groups.add(group)
        self._take(state, groups)

    def remember(self, state: EngineState) -> None:
        self._with_room(len(state))
        self._take(state, range(-(-len(state) // BAR_GROUP_ROWS)))

    def _take(self, state: EngineState, groups: Iterable[int]) -> None:
        rows = self._rows = len(state)
        self._state.ids[:rows] = state.ids
        _words(self._state.hot[:rows])[:] = _words(state.hot)
        _words(self._state.warm[:rows])[:] = _words(state.warm)
        _words(self._state.cold[:rows])[:] = _words(state.cold)
        _words(self._state.tape[:rows])[:] = _words(state.tape)
        _words(self._state.withheld)[:] = _words(state.withheld)
        _words(self._state.overrides)[:] = _words(state.overrides)
        for group in groups:
            in_group = slice(group * BAR_GROUP_ROWS, min((group + 1) * BAR_GROUP_ROWS, rows))
            _words(self._state.rings[in_group])[:] = _words(state.rings[in_group])

    def _with_room(self, rows: int) -> EngineState:
        if rows > len(self._state):
            before, self._state = self._state, empty_state(max(rows, 2 * len(self._state)))
            for name in ("ids", "hot", "warm", "cold", "tape", "rings"):
                getattr(self._state, name)[: self._rows] = getattr(before, name)[: self._rows]
            self._state.withheld[:] = before.withheld
            self._state.overrides[:] = before.overrides
        return self._state


def _named_values(partition: np.ndarray) -> dict[str, int]:
    return {name: int(partition[0][name]) for name in partition.dtype.names or ()}


# Structured arrays are copied field by field, which takes ten times as long.
def _words(array: np.ndarray) -> np.ndarray:
    return array.view(np.int64)


class _JoinPiece(NamedTuple):
    mark: Mark
    encode: Callable[[], bytes]


# The pieces of the join by name. Everything in it is numbered, and held in the order of its numbers.
def _join_pieces(held: JoinState) -> dict[str, _JoinPiece]:
    stories = ((story.number, story.changes) for story in held.stories.values())
    versions = ((sequence, 0) for sequence in held.versions)
    signals = ((signal.number, signal.revision) for signal in held.signals.values())
    return {
        **_grouped("stories", stories, pieces.STORY_NUMBERS, held.stories.items(), pieces.stories_piece),
        **_grouped("versions", versions, pieces.VERSION_NUMBERS, held.versions.items(), pieces.versions_piece),
        **_grouped("signals", signals, pieces.SIGNAL_NUMBERS, held.signals.values(), pieces.signals_piece),
    }


# `numbers` says of each entry its number and how often it changed. Nothing is kept for an entry, only bounds for a
# piece: hundreds of thousands of small objects would set off the garbage collector.
def _grouped(
    name: str,
    numbers: Iterable[tuple[int, int]],
    size: int,
    entries: Iterable[_Entry],
    encode: Callable[[Iterable[_Entry]], bytes],
) -> dict[str, _JoinPiece]:
    found: dict[str, _JoinPiece] = {}
    start = 0
    for group, members in groupby(numbers, lambda numbered: numbered[0] // size):
        count = changed = newest = 0
        for number, changes in members:
            newest = number
            count += 1
            changed += changes
        between = partial(_encoded, encode, entries, start, start + count)
        found[f"{name}/{group}"] = _JoinPiece(Mark(count, newest, changed), between)
        start += count
    return found


def _encoded(encode: Callable[[Iterable[_Entry]], bytes], entries: Iterable[_Entry], start: int, stop: int) -> bytes:
    return encode(islice(entries, start, stop))
