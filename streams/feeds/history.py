"""Daily bars from CSV files: the history that builds a window before the first live tick."""

from __future__ import annotations

import csv
import re
from collections.abc import Callable, Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Final

import orjson

from streams.core.units import SCALE, format_date, format_decimal, parse_date, parse_decimal
from streams.feeds.steps import Step

COLUMNS: Final = ("date", "open", "high", "low", "close", "volume")
PRICES: Final = COLUMNS[1:5]
FILE_NAME: Final = re.compile(r"([A-Z0-9]{4})_([A-Z0-9][A-Z0-9.\-]{0,26}?)(?:_.*)?\.csv")


@dataclass(frozen=True, slots=True)
class DailyBar:
    """One session's prices, scaled by 1e-8, as read from a file.

    Attributes:
        instrument: `XNYS:BABA`.
        date: Session date, days since 1970.
        open: First price, 0 when the session had no trade; `high`, `low` and `close` alike.
        high: Highest price.
        low: Lowest price.
        close: Last price.
        volume: Scaled shares; 0 says that nothing traded, None that the file does not know.
        where: `file:line`, for messages.
        no_split: The source says that the session had no split.
    """

    instrument: str
    date: int
    open: int
    high: int
    low: int
    close: int
    volume: int | None
    where: str
    no_split: bool = False

    @property
    def traded(self) -> bool:
        """Return whether the session had a trade."""
        return self.volume != 0


@dataclass(frozen=True, slots=True)
class Refused:
    """A line that is not sent: where it stands and what is wrong with it."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


class HistoryError(ValueError):
    """A file of bars cannot be used; the text names file and line."""


def instrument_of(path: Path) -> str:
    """Return the instrument that a file is named after.

    Raises:
        HistoryError: The name does not follow `MIC_SYMBOL.csv` or `MIC_SYMBOL_anything.csv`.

    >>> instrument_of(Path("data/XNYS_BABA_daily.csv"))
    'XNYS:BABA'
    """
    match = FILE_NAME.fullmatch(path.name)
    if match is None:
        raise HistoryError(
            f"{path.name}: expected a name such as XNYS_BABA_daily.csv, found another: "
            "rename the file or give --instrument MIC:SYMBOL"
        )
    return f"{match[1]}:{match[2]}"


def read_bars(path: Path, *, instrument: str | None = None) -> list[DailyBar]:
    """Return all bars of a file, which must be right from the first line to the last and in date order.

    Raises:
        HistoryError: The first line that is wrong.
    """
    bars: list[DailyBar] = []
    with path.open(newline="", encoding="utf-8-sig", errors="replace") as lines:
        for bar in parse_bars(lines, name=path.name, instrument=instrument or instrument_of(path)):
            if isinstance(bar, Refused):
                raise HistoryError(str(bar))
            if bars and bar.date <= bars[-1].date:
                before, found = format_date(bars[-1].date), format_date(bar.date)
                raise HistoryError(f"{bar.where}: expected a date after {before}, found {found}: sort the file by date")
            bars.append(bar)
    if not bars:
        raise HistoryError(f"{path.name}: expected at least one bar under the header, found none")
    return bars


def parse_bars(lines: Iterable[str], *, name: str, instrument: str) -> Iterator[DailyBar | Refused]:
    """Yield a bar, or why there is none, for every line under the header.

    Args:
        lines: CSV text with a header that names at least `date`, `open`, `high`, `low` and `close`; `volume` is
            optional, other columns are ignored.
        name: The file's name, for messages.
        instrument: Whose bars they are.
    """
    reader = csv.reader(lines)
    header = [column.strip().lower() for column in next(reader, [])]
    missing = [column for column in COLUMNS[:5] if column not in header]
    if missing:
        yield Refused(f"{name}:1", f"expected a header with the columns {', '.join(COLUMNS)}; found no {missing[0]!r}")
        return
    places = {column: header.index(column) for column in COLUMNS if column in header}
    for row in reader:
        if not row:
            continue
        where = f"{name}:{reader.line_num}"
        if len(row) != len(header):
            yield Refused(where, f"expected {len(header)} columns, found {len(row)}")
            continue
        try:
            yield _bar(
                {column: row[place].strip() for column, place in places.items()}, instrument=instrument, where=where
            )
        except ValueError as error:
            yield Refused(where, str(error))


def bar_step(bar: DailyBar) -> Step:
    """Return the record of a bar, as it goes on the tick topic."""
    document: dict[str, object] = {"type": "bar", "instrument": bar.instrument, "session_date": format_date(bar.date)}
    if bar.traded:
        for column in PRICES:
            document[column] = format_decimal(getattr(bar, column))
    if bar.volume is not None:
        document["volume"] = format_decimal(bar.volume)
    if bar.no_split:
        document["split"] = False
    return Step("bar", 0, bar.instrument, orjson.dumps(document))


def whole_shares(volume: int, count: int) -> list[int]:
    """Divide a scaled volume into `count` parts of whole shares that add up to it; the last ones take the rest.

    >>> [part // SCALE for part in whole_shares(10 * SCALE, 4)]
    [2, 2, 3, 3]
    """
    shares, fraction = divmod(volume, SCALE)
    each, left = divmod(shares, count)
    parts = [(each + (index >= count - left)) * SCALE for index in range(count)]
    parts[-1] += fraction
    return parts


def _bar(fields: dict[str, str], *, instrument: str, where: str) -> DailyBar:
    day = _field(fields, "date", parse_date)
    volume = _field(fields, "volume", parse_decimal) if fields.get("volume") else None
    if volume is not None and volume < 0:
        raise ValueError(f"volume: expected zero or more, found {fields['volume']!r}")
    if volume == 0 and not any(fields[column] for column in PRICES):
        return DailyBar(instrument, day, 0, 0, 0, 0, 0, where)
    first, high, low, last = (_field(fields, column, parse_decimal) for column in PRICES)
    if low <= 0 or not low <= min(first, last) <= max(first, last) <= high:
        raise ValueError(
            "expected prices above zero with low <= open, close <= high, "
            f"found open {fields['open']}, high {fields['high']}, low {fields['low']}, close {fields['close']}"
        )
    return DailyBar(instrument, day, first, high, low, last, volume, where)


# Parses one field; a message of the parser is given the column's name.
def _field(fields: dict[str, str], column: str, parse: Callable[[str], int]) -> int:
    try:
        return parse(fields[column])
    except ValueError as error:
        raise ValueError(f"{column}: {error}") from None
