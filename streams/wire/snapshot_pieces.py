"""The pieces of a snapshot: which there are, what each holds, and the state that they make together.

| piece | content |
|---|---|
| `instruments/<n>` | ids of 4,096 rows, 32 bytes each |
| `hot/<n>` | hot rows of 4,096 instruments |
| `warm/<n>` | warm rows of 64 instruments: few move within ten seconds |
| `cold/<n>` | cold rows of 64 instruments |
| `tape/<n>` | tapes of 256 instruments |
| `withheld/<n>` | 64 withheld transitions, where any were |
| `overrides/0` | sessions that the log changed, where any were |
| `bars/<group>/<period>` | bars of 512 instruments in 16 days: row count, bars of each row, bars |
| `calendar/<mic>` | the sessions of a market |
| `extended/<mic>` | their extended hours |
| `scope-extended/<piece>` | the same pieces, from `instruments` to `bars`, of the extended scope, where it is watched |
| `stories/<n>` | 256 stories of the join by number, MessagePack |
| `versions/<n>` | 256 accepted article versions by sequence number, MessagePack |
| `signals/<n>` | 64 enriched signals by number, MessagePack |

Rows and bars are the bytes of `core/rows.py` and `core/layout.py`, little-endian.
"""

from __future__ import annotations

import hashlib
from collections import OrderedDict
from collections.abc import Iterable, Mapping
from dataclasses import fields
from functools import cache
from typing import Final, TypeVar

import msgspec
import numpy as np

from streams.core.join_state import HeldSignal, JoinState, Story, Version
from streams.core.layout import BAR
from streams.core.news import ArticleCopy, Tag
from streams.core.sessions import Sessions
from streams.core.snapshot import (
    LAYOUT_NUMBER,
    EngineState,
    bars_of_period,
    empty_state,
    layout_digest,
    place_bars,
)
from streams.wire.layouts import MIGRATIONS, ROWS, Before, Layout, Migration, converted, present

Pieces = dict[str, memoryview]

ID_ROWS: Final = ROWS["instruments"]
HOT_ROWS: Final = ROWS["hot"]
WARM_ROWS: Final = ROWS["warm"]
COLD_ROWS: Final = ROWS["cold"]
TAPE_ROWS: Final = ROWS["tape"]
EXTENDED: Final = "scope-extended/"
STORY_NUMBERS: Final = 256
VERSION_NUMBERS: Final = 256
SIGNAL_NUMBERS: Final = 64

JOIN_TOTALS: Final = ("news_clock_ns", "tick_clock_ns", "sequence", "stories_begun", "swept_ns")
"""What of the join's state stands in the manifest, besides the counts."""

_SESSION: Final = np.dtype([("date", "<i4"), *((name, "<i8") for name in ("open", "close", "from", "to"))])
_EXTENDED: Final = np.dtype([("extended_open_ns", "<i8"), ("extended_close_ns", "<i8"), ("trade_date_end_ns", "<i8")])
_COUNT: Final = np.dtype("<u4")
_COUNTS: Final = np.dtype("<u2")

_Record = TypeVar("_Record", bound=msgspec.Struct)


class _StoryRecord(msgspec.Struct, array_like=True):
    number: int
    source: str
    article_id: str
    version: int
    keep_ns: int
    applied: list[str]
    linkable: list[str]


class _VersionRecord(msgspec.Struct, array_like=True):
    sequence: int
    instrument: str
    source: str
    article_id: str
    article: ArticleCopy | None
    clock_ns: int
    keep_ns: int


class _SignalRecord(msgspec.Struct, array_like=True):
    number: int
    signal_id: str
    instrument: str
    event_ns: int
    deadline_ns: int
    document: bytes
    revision: int
    final: bool
    links: list[ArticleCopy]


_encoder: Final = msgspec.msgpack.Encoder()


@cache
def layout_name() -> str:
    """Return the name of the layout of everything stored: another layout, another name."""
    shapes = [(kind.__name__, [(field.name, str(field.type)) for field in fields(kind)]) for kind in (ArticleCopy, Tag)]
    records = [(kind.__name__, kind.__struct_fields__) for kind in (_StoryRecord, _VersionRecord, _SignalRecord)]
    sizes = (*ROWS.values(), STORY_NUMBERS, VERSION_NUMBERS, SIGNAL_NUMBERS)
    text = repr((LAYOUT_NUMBER, layout_digest(), shapes, records, sizes, _SESSION.descr))
    return hashlib.sha256(text.encode()).hexdigest()[:16]


def rows_piece(array: np.ndarray, number: int, rows: int) -> bytes:
    """Return a piece of so many rows of an array."""
    return array[number * rows : (number + 1) * rows].tobytes()


def bars_piece(state: EngineState, group: int, period: int) -> bytes | None:
    """Return the bars of a group in a period, or None where there is none."""
    counts, bars = bars_of_period(state, group, period)
    if len(bars) == 0:
        return None
    return b"".join((np.array(len(counts), _COUNT).tobytes(), counts.astype(_COUNTS).tobytes(), bars.tobytes()))


def calendar_piece(sessions: np.ndarray) -> bytes:
    """Return the sessions (dtype `SESSION`) of a market without what is derived from them."""
    piece = np.zeros(len(sessions), _SESSION)
    columns = ("date", "open_ns", "close_ns", "break_start_ns", "break_end_ns")
    for name, column in zip(_SESSION.names or (), columns, strict=True):
        piece[name] = sessions[column]
    return piece.tobytes()


def extended_piece(sessions: np.ndarray) -> bytes:
    """Return the extended hours of a market's sessions (dtype `SESSION`)."""
    piece = np.zeros(len(sessions), _EXTENDED)
    for name in _EXTENDED.names or ():
        piece[name] = sessions[name]
    return piece.tobytes()


def stories_piece(stories: Iterable[tuple[tuple[str, str], Story]]) -> bytes:
    """Return a piece of some stories by their keys."""
    return _encoder.encode(
        [
            _StoryRecord(
                story.number, *key, story.version, story.keep_ns, sorted(story.applied), sorted(story.linkable)
            )
            for key, story in stories
        ]
    )


def versions_piece(versions: Iterable[tuple[int, Version]]) -> bytes:
    """Return a piece of some accepted versions by their sequence numbers."""
    return _encoder.encode(
        [
            _VersionRecord(
                sequence, version.instrument, *version.key, version.article, version.clock_ns, version.keep_ns
            )
            for sequence, version in versions
        ]
    )


def signals_piece(signals: Iterable[HeldSignal]) -> bytes:
    """Return a piece of some signals with their links."""
    return _encoder.encode(
        [
            _SignalRecord(
                signal.number,
                signal.signal_id,
                signal.instrument,
                signal.event_ns,
                signal.deadline_ns,
                signal.document,
                signal.revision,
                signal.final,
                list(signal.links.values()),
            )
            for signal in signals
        ]
    )


def engine_state(
    pieces: Pieces,
    rows: int,
    partition_row: Mapping[str, int],
    layout: Layout | None = None,
    migrations: Mapping[int, Migration] = MIGRATIONS,
) -> EngineState:
    """Return the engine's state from its pieces.

    Args:
        pieces: The pieces.
        rows: How many instruments have a row.
        partition_row: What concerns the whole engine, by name.
        layout: The layout of the pieces, the present one when not given; an older one is migrated.
        migrations: Steps between layouts.

    Raises:
        ValueError: They do not fit together.
        KeyError: A piece, or a step from the older layout on, is missing.
    """
    layout = layout or present()
    state = empty_state(rows)
    names = layout.types["partition"].names or ()
    if set(partition_row) != set(names):
        raise ValueError(f"expected {names}, found {sorted(partition_row)}")
    for name in set(names) & set(state.partition.dtype.names or ()):
        state.partition[0][name] = partition_row[name]
    hot, warm = (_rows_of(pieces, name, rows, layout) for name in ("hot", "warm"))
    state.ids[:] = _rows_of(pieces, "instruments", rows, layout)
    found = [(state.hot, hot), (state.warm, warm)]
    # The first layout had no others.
    for name, array in (("cold", state.cold), ("tape", state.tape)):
        if name in layout.types:
            found.append((array, _rows_of(pieces, name, rows, layout)))
    # Equal types are copied whole: field by field takes ten times as long.
    for array, stored in found:
        array[:] = stored if stored.dtype == array.dtype else converted(stored, array.dtype)
    for name, array in (("withheld", state.withheld), ("overrides", state.overrides)):
        _place_blocks(pieces, name, array, layout)
    counts = state.warm["bar_count"].copy()
    state.warm["bar_count"] = 0
    places = sorted(tuple(map(int, name.split("/")[1:])) for name in pieces if name.startswith("bars/"))
    for group, period in places:
        piece = pieces[f"bars/{group}/{period}"]
        length = int(np.frombuffer(piece, _COUNT, 1)[0])
        in_period = np.frombuffer(piece, _COUNTS, length, _COUNT.itemsize).astype(np.int64)
        # A copy, because compiled code wants bars that are aligned and its own.
        stored = np.frombuffer(piece, layout.types["bars"], -1, _COUNT.itemsize + length * _COUNTS.itemsize)
        bars = stored.view(BAR).copy() if stored.dtype == BAR else converted(stored, BAR)
        place_bars(state, group, in_period, bars)
    if not np.array_equal(state.warm["bar_count"], counts):
        row = int(np.flatnonzero(state.warm["bar_count"] != counts)[0])
        raise ValueError(f"expected {counts[row]} bars of row {row}, found {state.warm['bar_count'][row]}")
    for number in range(layout.number, LAYOUT_NUMBER):
        migrations[number](Before(partition_row, hot, warm), state)
    return state


def extended_state(
    pieces: Pieces,
    rows: int,
    partition_row: Mapping[str, int],
    layout: Layout | None = None,
    migrations: Mapping[int, Migration] = MIGRATIONS,
) -> EngineState | None:
    """Return the state of the extended scope from its pieces, None where it was not watched; see `engine_state`."""
    if not partition_row:
        return None
    own = {name.removeprefix(EXTENDED): piece for name, piece in pieces.items() if name.startswith(EXTENDED)}
    return engine_state(own, rows, partition_row, layout, migrations)


def join_state(pieces: Pieces, totals: Mapping[str, int], counts: Mapping[str, int]) -> JoinState:
    """Return the join's state from its pieces; equal articles are held once.

    Raises:
        ValueError: They do not fit together.
    """
    shared: dict[ArticleCopy, ArticleCopy] = {}

    def one(article: ArticleCopy) -> ArticleCopy:
        return shared.setdefault(article, article)

    versions: OrderedDict[int, Version] = OrderedDict()
    for version in _records(pieces, "versions", _VersionRecord):
        article = None if version.article is None else one(version.article)
        key = (version.source, version.article_id)
        versions[version.sequence] = Version(version.instrument, key, article, version.clock_ns, version.keep_ns)
    stories: OrderedDict[tuple[str, str], Story] = OrderedDict()
    for story in _records(pieces, "stories", _StoryRecord):
        stories[story.source, story.article_id] = Story(
            story.number, story.version, story.keep_ns, 0, set(story.applied), set(story.linkable)
        )
    signals: OrderedDict[str, HeldSignal] = OrderedDict()
    for signal in _records(pieces, "signals", _SignalRecord):
        signals[signal.signal_id] = HeldSignal(
            signal.number,
            signal.signal_id,
            signal.instrument,
            signal.event_ns,
            signal.deadline_ns,
            signal.document,
            signal.revision,
            signal.final,
            {article.key: one(article) for article in signal.links},
        )
    return JoinState(**totals, counts=counts, stories=stories, versions=versions, signals=signals)


def sessions_of(pieces: Pieces, mics: Iterable[str]) -> tuple[Sessions, ...]:
    """Return the markets' sessions.

    Raises:
        KeyError: A market has none.
        ValueError: They are no sessions.
    """
    found = []
    for mic in mics:
        columns = np.frombuffer(pieces[f"calendar/{mic}"], _SESSION)
        regular = [columns[name].copy() for name in _SESSION.names or ()]
        # The first snapshots knew of no extended hours.
        extended = np.frombuffer(pieces.get(f"extended/{mic}", b""), _EXTENDED)
        more = [extended[name].copy() for name in _EXTENDED.names or ()] if len(extended) else []
        found.append(Sessions(mic, *regular, *more))
    return tuple(found)


# Blocks that were ever in use; the others are zero.
def _place_blocks(pieces: Pieces, name: str, array: np.ndarray, layout: Layout) -> None:
    for piece in pieces:
        if piece.startswith(f"{name}/"):
            start = int(piece.split("/")[1]) * layout.rows[name]
            stored = np.frombuffer(pieces[piece], layout.types[name])
            array[start : start + len(stored)] = (
                stored if stored.dtype == array.dtype else converted(stored, array.dtype)
            )


def _rows_of(pieces: Pieces, name: str, rows: int, layout: Layout) -> np.ndarray:
    array = np.zeros(rows, layout.types[name])
    size = layout.rows[name]
    for number in range(-(-rows // size)):
        block = array[number * size : (number + 1) * size]
        found = np.frombuffer(pieces[f"{name}/{number}"], array.dtype)
        if len(found) != len(block):
            raise ValueError(f"expected {len(block)} rows in {name}/{number}, found {len(found)}")
        block[:] = found
    return array


def _records(pieces: Pieces, name: str, kind: type[_Record]) -> Iterable[_Record]:
    decoder = msgspec.msgpack.Decoder(list[kind])  # type: ignore[valid-type]  # the type is an argument
    numbers = sorted(int(piece.split("/")[1]) for piece in pieces if piece.startswith(f"{name}/"))
    for number in numbers:
        yield from decoder.decode(pieces[f"{name}/{number}"])
