"""Lines of JSON to steps of the tick topic, looked at by the worker's own decoder.

Whatever that decoder refuses the worker would put aside, so a line is sent exactly when it can be used.
"""

from __future__ import annotations

from collections.abc import Sequence
from typing import Final

import msgspec
import numpy as np

from streams.core.instruments import Instruments
from streams.core.layout import KIND_ACTION, KIND_BAR, KIND_CLOCK, KIND_SESSION, KIND_TICK
from streams.feeds.history import Refused
from streams.feeds.steps import Kind, Step
from streams.wire.batches import FRAME, Frames
from streams.wire.binary_ticks import encode_tick
from streams.wire.ticks import TickDecoder

NEWLINE: Final = 0x0A
RETURN: Final = 0x0D
BYTE_ORDER_MARK: Final = b"\xef\xbb\xbf"

# Whatever is not among these speaks of trades of one instrument and goes where its ticks go.
_KINDS: Final[dict[int, Kind]] = {
    KIND_BAR: "bar",
    KIND_ACTION: "action",
    KIND_CLOCK: "clock",
    KIND_SESSION: "session",
}


class _Labels(msgspec.Struct):
    # What a trade says beside its numbers.
    conditions: list[str] | None = None
    tape: str | None = None
    venue: str | None = None
    trade_id: str | None = None


_labels: Final = msgspec.json.Decoder(_Labels)


class TickLines:
    """Turns chunks of files of JSON lines into steps. A chunk may end within a line.

    Args:
        mics: Markets that are known.
        binary: Whether trades become binary values, where the layout holds them.
    """

    def __init__(self, mics: Sequence[str], *, binary: bool = False) -> None:
        self._binary = binary
        self._instruments = Instruments(mics)
        self._decoder = TickDecoder(self._instruments)
        self._rest = b""
        self._lines = 0

    def feed(self, name: str, data: bytes, *, last: bool) -> list[Step | Refused]:
        """Return the records of the lines that end in this chunk, or why there is none; blank lines are left out.

        Args:
            name: The file's name, for messages.
            data: The chunk.
            last: Whether the file ends with it.
        """
        data = self._rest + data
        if self._lines == 0:
            data = data.removeprefix(BYTE_ORDER_MARK)
        if last and data and not data.endswith(b"\n"):
            data += b"\n"
        end = data.rfind(b"\n") + 1
        self._rest = data[end:]
        before = self._lines
        found = self._decode(name, data[:end]) if end else []
        if last:
            self._lines = 0
        else:
            self._lines = before + data.count(b"\n", 0, end)
        return found

    def _decode(self, name: str, data: bytes) -> list[Step | Refused]:
        frames = frame_lines(data)
        decoded = self._decoder.decode(frames)
        refused = {rejected.index: rejected.message for rejected in decoded.rejected}
        kinds, rows = decoded.records["kind"].tolist(), decoded.records["row"].tolist()
        starts, lengths = frames.frames["value_start"].tolist(), frames.frames["value_length"].tolist()
        found: list[Step | Refused] = []
        for index, (kind, row, start, length) in enumerate(zip(kinds, rows, starts, lengths, strict=True)):
            if index in refused:
                found.append(Refused(f"{name}:{self._lines + index + 1}", refused[index]))
            elif length >= 0:
                key = self._instruments.id(row) if row >= 0 else ""
                value = data[start : start + length]
                if self._binary and kind == KIND_TICK:
                    value = as_binary(value, decoded.records[index])
                found.append(Step(_KINDS.get(kind, "tick"), 0, key, value))
        return found


def as_binary(value: bytes, record: np.void) -> bytes:
    """Return a trade in the binary layout, or as it is where that cannot hold it: a venue's name may be longer.

    Args:
        value: The trade in JSON.
        record: Its columns, one `RECORD`: they have the exact numbers.
    """
    fields = _labels.decode(value)
    try:
        return encode_tick(
            time=int(record["time_ns"]),
            price=int(record["price"]),
            size=int(record["size"]),
            conditions=fields.conditions or (),
            tape=fields.tape,
            venue=fields.venue,
            trade_id=fields.trade_id or "",
        )
    except ValueError:
        return value


def frame_lines(data: bytes) -> Frames:
    """Return whole lines as if they were the records of a fetch; a blank line is a null value."""
    buffer = np.frombuffer(data, np.uint8)
    ends = np.flatnonzero(buffer == NEWLINE)
    frames = np.zeros(len(ends), FRAME)
    starts = np.concatenate(([0], ends[:-1] + 1))
    lengths = ends - starts
    lengths -= (lengths > 0) & (buffer[np.maximum(ends - 1, 0)] == RETURN)
    frames["offset"] = np.arange(len(ends))
    frames["key_length"] = -1
    frames["headers_length"] = -1
    frames["value_start"] = starts
    frames["value_length"] = np.where(lengths > 0, lengths, -1)
    return Frames(frames, buffer, len(ends), 0)
