"""Rows of CSV and Parquet files as text, under the names that we use, whatever the file calls its columns.

Both kinds of file give the same rows: a number of a Parquet file becomes the shortest text that reads as that number
again. A row that cannot be read is told with its place, and the next one is read.
"""

from __future__ import annotations

import csv
import io
import math
import re
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from datetime import date, datetime
from decimal import Decimal
from pathlib import Path
from typing import Any, Final

from streams.feeds.history import HistoryError, Refused

PARQUET_ROWS: Final = 65_536  # Rows made to Python objects at a time.
COLUMNS_SHOWN: Final = 30

_MIDNIGHT: Final = re.compile(r"(\d{4}-\d{2}-\d{2})[ T]00:00(?::00(?:\.0+)?)?(?:Z|[+-]\d{2}:?\d{2})?")
_COMPACT: Final = re.compile(r"(\d{4})(\d{2})(\d{2})")


@dataclass(frozen=True, slots=True)
class Source:
    """A file, or what came on standard input.

    Attributes:
        name: For messages.
        path: Where it is, None for standard input.
        data: What came on standard input.
    """

    name: str
    path: Path | None = None
    data: bytes = field(default=b"", repr=False)

    @property
    def is_parquet(self) -> bool:
        """Return whether it is a Parquet file, by its name or, on standard input, by its first bytes."""
        if self.path is not None:
            return self.path.suffix.lower() in {".parquet", ".pq"}
        return self.data.startswith(b"PAR1")

    @property
    def bytes_total(self) -> int:
        """Return its size."""
        return self.path.stat().st_size if self.path is not None else len(self.data)


@dataclass(frozen=True, slots=True)
class Row:
    """One row.

    Attributes:
        where: File and line, for messages.
        values: Texts of the columns asked for, in that order; empty where the file has none.
    """

    where: str
    values: tuple[str, ...]


def parse_columns(text: str, known: Sequence[str]) -> dict[str, str]:
    """Return what a mapping of columns says: our names, and what the file calls them.

    Args:
        text: `date=Date,close=Adj Close`.
        known: Our names.

    Raises:
        ValueError: A pair is malformed, or names a column of ours that does not exist.

    >>> parse_columns("date=Date,close=Adj Close", ["date", "close"])
    {'date': 'Date', 'close': 'Adj Close'}
    """
    found: dict[str, str] = {}
    for part in filter(None, (each.strip() for each in text.split(","))):
        ours, separator, theirs = (each.strip() for each in part.partition("="))
        if not separator or not theirs:
            raise ValueError(f"expected pairs such as date=Date,open=Open, found {part!r}")
        if ours not in known:
            raise ValueError(f"expected one of {', '.join(known)} before '=', found {ours!r}")
        if ours in found:
            raise ValueError(f"expected each column once, found {ours!r} twice")
        found[ours] = theirs
    return found


def header_of(source: Source) -> tuple[str, ...]:
    """Return the names of a file's columns.

    Raises:
        HistoryError: The file is empty, or no Parquet file although it is called one.
        OSError: It cannot be read.
    """
    if source.is_parquet:
        with _parquet(source) as file:
            return tuple(file.schema_arrow.names)
    with _text(source) as lines:
        return tuple(name.strip() for name in _header(lines))


def rows_of(
    source: Source, wanted: Sequence[str], columns: Mapping[str, str], *, required: Iterable[str] = ()
) -> Iterator[Row | Refused]:
    """Yield the rows of a file.

    Args:
        source: The file.
        wanted: Our names of the columns to return.
        columns: What the file calls them, where it is not our name in small or capital letters.
        required: Those without which there is nothing to read.

    Raises:
        HistoryError: The file has not the columns, or cannot be read as what its name says.
        OSError: It cannot be read.
    """
    header = header_of(source)
    places = [_place(header, name, columns.get(name)) for name in wanted]
    for name, place in zip(wanted, places, strict=True):
        if place is None and (name in columns or name in required):
            shown = ", ".join(header[:COLUMNS_SHOWN]) or "none"
            raise HistoryError(
                f"{source.name}: expected a column {columns.get(name, name)!r}, found {shown}: "
                f"name it with --columns {name}=..."
            )
    return _parquet_rows(source, header, places) if source.is_parquet else _csv_rows(source, len(header), places)


def date_text(text: str) -> str:
    """Return a date as it is written, in our form where it is `20250929` or a midnight with or without a zone.

    >>> date_text("2025-09-29 00:00:00-04:00"), date_text("20250929"), date_text("09/29/2025")
    ('2025-09-29', '2025-09-29', '09/29/2025')
    """
    if match := _MIDNIGHT.fullmatch(text):
        return match[1]
    if match := _COMPACT.fullmatch(text):
        return "-".join(match.groups())
    return text


def _place(header: Sequence[str], ours: str, theirs: str | None) -> int | None:
    if theirs is not None:
        return header.index(theirs) if theirs in header else None
    return next((place for place, name in enumerate(header) if name.lower() == ours), None)


def _csv_rows(source: Source, width: int, places: Sequence[int | None]) -> Iterator[Row | Refused]:
    with _text(source) as lines:
        reader = csv.reader(lines)
        next(reader, None)
        while True:
            try:
                row = next(reader, None)
            except csv.Error as error:
                yield Refused(f"{source.name}:{reader.line_num}", f"expected a line of CSV, found: {error}")
                continue
            if row is None:
                return
            if not row:
                continue
            where = f"{source.name}:{reader.line_num}"
            if len(row) != width:
                yield Refused(where, f"expected {width} columns, found {len(row)}")
                continue
            yield Row(where, tuple("" if place is None else row[place].strip() for place in places))


def _parquet_rows(source: Source, header: Sequence[str], places: Sequence[int | None]) -> Iterator[Row | Refused]:
    number = 0
    used = [header[place] for place in places if place is not None]
    with _parquet(source) as file:
        try:
            for batch in file.iter_batches(PARQUET_ROWS, columns=list(dict.fromkeys(used))):
                texts = {name: _texts(batch.column(name)) for name in used}
                columns = [None if place is None else texts[header[place]] for place in places]
                for index in range(batch.num_rows):
                    number += 1
                    values = tuple("" if column is None else column[index] for column in columns)
                    yield Row(f"{source.name}:row {number}", values)
        except (OSError, ValueError) as error:
            raise _broken(source, error) from None


def _texts(column: Any) -> list[str]:  # noqa: ANN401 - pyarrow publishes no types.
    import pyarrow

    if pyarrow.types.is_float32(column.type):
        # As text of four bytes: through eight, 181.34 would come out as 181.33999633789062.
        return [_text_of(value) for value in column.to_numpy(zero_copy_only=False)]
    return [_text_of(value) for value in column.to_pylist()]


def _text_of(value: object) -> str:
    if value is None or (isinstance(value, float) and math.isnan(value)):
        return ""
    if isinstance(value, datetime):
        return date_text(value.isoformat(sep=" "))
    if isinstance(value, date):
        return value.isoformat()
    if isinstance(value, Decimal):
        return f"{value:f}"
    text = str(value).strip()
    return "" if text == "nan" else text


def _parquet(source: Source) -> Any:  # noqa: ANN401 - pyarrow publishes no types.
    try:
        from pyarrow import parquet
    except ImportError:
        raise HistoryError(
            f"{source.name}: expected the library that reads Parquet, found none: pip install 'fiftytwo[parquet]'"
        ) from None
    try:
        return parquet.ParquetFile(source.path if source.path is not None else io.BytesIO(source.data))
    except (OSError, ValueError) as error:
        if isinstance(error, OSError) and error.errno is not None:
            raise  # The file cannot be opened; its name is in the error.
        raise _broken(source, error) from None


# The reader says of a broken file whatever its part that stumbles says: pyarrow's errors are values or of the system.
def _broken(source: Source, error: Exception) -> HistoryError:
    said = " ".join(str(error).split())[:200]
    return HistoryError(f"{source.name}: expected a Parquet file, found one that cannot be read: {said}")


def _text(source: Source) -> io.TextIOWrapper:
    raw = source.path.open("rb") if source.path is not None else io.BytesIO(source.data)
    return io.TextIOWrapper(raw, encoding="utf-8-sig", errors="replace", newline="")


def _header(lines: Iterable[str]) -> list[str]:
    try:
        return next(csv.reader(lines), [])
    except csv.Error:
        return []
