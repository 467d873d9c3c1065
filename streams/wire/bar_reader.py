"""The compiled reader of plain daily bars: half a million of them are most of what a new partition reads first.

It knows the bars of sessions with trades, in any order of keys: decimals as text or numbers, a volume above zero or
none. Whatever else it meets it leaves to the thorough way, as the reader of ticks does, and like it never refuses.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Final

import numpy as np
import numpy.typing as npt

from streams.core.compiled import allocating, njit
from streams.core.instruments import Instruments
from streams.core.layout import BAR, BAR_OFFICIAL, BAR_TRADED
from streams.core.units import PRICE_MAX, SIZE_MAX
from streams.core.words import Bytes, pointer_to, word_at, words_of
from streams.wire.plain_objects import FIELDS, QUOTE, read_instrument, read_key, skip_space
from streams.wire.plain_values import Integers, date_days, read_decimal

# What became of a record.
LEFT: Final = 0  # to be decoded the thorough way
PLAIN: Final = 1
UNKNOWN: Final = 2  # plain so far, but its instrument has no row yet

_RECORD_BYTES_MIN: Final = 8  # what `word_at` asks for; the shortest bar has more
_INSTRUMENT: Final = FIELDS.index("instrument")
_TYPE: Final = FIELDS.index("type")
_DATE: Final = FIELDS.index("session_date")
_OPEN: Final = FIELDS.index("open")
_HIGH: Final = FIELDS.index("high")
_LOW: Final = FIELDS.index("low")
_CLOSE: Final = FIELDS.index("close")
_VOLUME: Final = FIELDS.index("volume")
_REQUIRED: Final = sum(1 << field for field in (_INSTRUMENT, _TYPE, _DATE, _OPEN, _HIGH, _LOW, _CLOSE))
_ALLOWED: Final = _REQUIRED | 1 << _VOLUME
_BAR_WORD: Final = words_of(b'bar"', 1)[0]
_DATE_BYTES: Final = 10


@dataclass(frozen=True, slots=True)
class PlainBars:
    """Bars that were read, in offset order.

    Attributes:
        indices: Their places among the records.
        rows: The rows of their instruments.
        bars: `BAR`.
    """

    indices: Integers
    rows: npt.NDArray[np.int32]
    bars: npt.NDArray[Any]


def plain_bars(
    buffer: Bytes, frames: npt.NDArray[Any], others: Integers, instruments: Instruments
) -> Iterator[tuple[list[int], PlainBars]]:
    """Read the plain bars among some records; yield what is left over, and the bars up to there.

    An instrument without a row ends a part: the records left so far are to be decoded before the next part is asked
    for, and may give it one.
    """
    count = len(others)
    rows, bars, statuses = np.empty(count, np.int32), np.zeros(count, BAR), np.empty(count, np.int8)
    start = 0
    while start < count:
        stopped = read_bars(buffer, frames, others, start, instruments.slots, instruments.keys, rows, bars, statuses)
        stop = min(stopped + 1, count)
        part = slice(start, stop)
        plain = statuses[part] == PLAIN
        yield others[part][~plain].tolist(), PlainBars(others[part][plain], rows[part][plain], bars[part][plain])
        start = stop


@allocating
def read_bars(
    buffer: Bytes,
    frames: npt.NDArray[Any],
    indices: Integers,
    start: int,
    slots_array: npt.NDArray[np.int32],
    keys_array: Integers,
    rows: npt.NDArray[np.int32],
    bars: npt.NDArray[Any],
    statuses: npt.NDArray[np.int8],
) -> int:
    """Read some records; return the place of the first whose instrument has no row, or how many there are.

    Args:
        buffer: What the frames point into, read-only.
        frames: Where the values lie.
        indices: Which of them to look at.
        start: The place in `indices` to begin at.
        slots_array: The instruments' hash table.
        keys_array: The instruments' ids.
        rows: By place, the row of a plain bar's instrument.
        bars: By place, written where the status is plain.
        statuses: By place, written for every record that was looked at.
    """
    source, slots, keys = pointer_to(buffer), pointer_to(slots_array), pointer_to(keys_array)
    mask = np.int64(slots_array.size - 1)
    values = np.zeros(len(FIELDS), np.int64)
    for place in range(start, indices.size):
        frame = frames[indices[place]]
        at, length = np.int64(frame["value_start"]), np.int64(frame["value_length"])
        status = LEFT
        if length >= _RECORD_BYTES_MIN:
            key_length = np.int64(frame["key_length"])
            status = _read_bar(source, at, at + length, key_length, slots, mask, keys, pointer_to(values))
        statuses[place] = status
        if status == UNKNOWN:
            return place
        if status == PLAIN:
            rows[place] = values[_INSTRUMENT]
            bar = bars[place]
            bar["date"] = values[_DATE]
            bar["flags"] = BAR_OFFICIAL | BAR_TRADED
            bar["open"] = values[_OPEN]
            bar["high"] = values[_HIGH]
            bar["low"] = values[_LOW]
            bar["close"] = values[_CLOSE]
            bar["volume"] = values[_VOLUME]
    return int(indices.size)


@njit
def _read_bar(
    buffer: Bytes,
    at: int,
    end: int,
    key_length: int,
    slots: npt.NDArray[np.int32],
    mask: int,
    keys: Integers,
    values: Integers,
) -> int:
    values[_VOLUME] = 0
    seen = 0
    at = skip_space(buffer, at, end)
    if at >= end or buffer[at] != 0x7B:
        return LEFT
    at += 1
    while True:
        at = skip_space(buffer, at, end)
        field, at = read_key(buffer, at, end)
        if at < 0 or seen & (1 << field) or not _ALLOWED & (1 << field):
            return LEFT
        seen |= 1 << field
        at = _read_field(buffer, at, end, field, key_length, slots, mask, keys, values)
        if at < 0:
            return LEFT
        at = skip_space(buffer, at, end)
        if at >= end:
            return LEFT
        at += 1
        if buffer[at - 1] == 0x7D:
            break
        if buffer[at - 1] != 0x2C:
            return LEFT
    if seen & _REQUIRED != _REQUIRED or skip_space(buffer, at, end) != end or not _is_sound(seen, values):
        return LEFT
    return PLAIN if values[_INSTRUMENT] >= 0 else UNKNOWN


# One value and what closes it; the position after it, -1 where it is not plain.
@njit
def _read_field(
    buffer: Bytes,
    at: int,
    end: int,
    field: int,
    key_length: int,
    slots: npt.NDArray[np.int32],
    mask: int,
    keys: Integers,
    values: Integers,
) -> int:
    quoted = buffer[at] == QUOTE
    if quoted:
        at += 1
    if field == _INSTRUMENT:
        if not quoted:
            return -1
        values[field], at = read_instrument(buffer, at, end, key_length, slots, mask, keys)
    elif field == _TYPE:
        # As far as the word's closing quote, which is read below.
        at = at + 3 if quoted and at + 4 <= end and word_at(buffer, at, at + 4) == _BAR_WORD else -1
    elif field == _DATE:
        values[field] = date_days(buffer, at) if quoted and at + _DATE_BYTES < end else 0
        at = at + _DATE_BYTES if values[field] != 0 else -1
    else:
        if not quoted and at + 1 < end and buffer[at] == 0x30 and 0x30 <= buffer[at + 1] <= 0x39:
            return -1  # JSON has no number with a leading zero
        values[field], at = read_decimal(buffer, at, end)
    if at < 0 or not quoted:
        return at
    return at + 1 if at < end and buffer[at] == QUOTE else -1


@njit
def _is_sound(seen: int, values: Integers) -> bool:
    opened, high, low, close = values[_OPEN], values[_HIGH], values[_LOW], values[_CLOSE]
    if low <= 0 or high > PRICE_MAX or low > min(opened, close) or high < max(opened, close):
        return False
    return seen & (1 << _VOLUME) == 0 or 0 < values[_VOLUME] <= SIZE_MAX
