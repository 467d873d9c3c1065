"""Files of daily bars of any vendor: which columns, whose bars, raw or adjusted; checked as a whole, told with places.

A file in our own layout holds raw prices, and its name says whose. Of any other file that must be stated: a file of
prices adjusted for a split looks exactly like one of raw prices, until the next split falsifies a year of levels. What
is stated is then held against the file's own split days.

A file is read whole before anything of it is sent, 56 bytes a bar: an instrument whose bars contradict what is stated
of them is refused as a whole.
"""

from __future__ import annotations

from array import array
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass, field
from fractions import Fraction
from itertools import pairwise
from pathlib import Path
from typing import Final, TypeVar

import numpy as np

from streams.core.instruments import Instruments
from streams.core.sessions import Markets
from streams.core.units import PRICE_MAX, SCALE, SIZE_MAX, format_date, format_decimal, parse_date
from streams.feeds.actions import Action
from streams.feeds.adjustment import Holds, looks_split, objection, witnesses
from streams.feeds.amounts import Amount, parse_amount, scaled
from streams.feeds.history import COLUMNS, PRICES, DailyBar, HistoryError, Refused, bar_step, instrument_of
from streams.feeds.steps import Step
from streams.feeds.tables import Row, Source, date_text, header_of, rows_of
from streams.feeds.turning import turn_back

BAR_COLUMNS: Final = (*COLUMNS, "instrument", "symbol", "split", "adj_close")
SUFFIXES: Final = (".csv", ".parquet", ".pq")
GAP_DATES_SHOWN: Final = 5
ROWS_BETWEEN: Final = 20_000  # Rows between two words on how far the reading is: a tenth of a second.

_SERIES: Final = np.dtype([("date", "i8"), *((name, "i8") for name in (*PRICES, "volume", "line"))])
_NO_VOLUME: Final = -1

Value = TypeVar("Value")


class AskedWrongly(ValueError):
    """The files cannot be read as asked; the text says what to state."""


@dataclass(frozen=True, slots=True)
class Note:
    """Something about an instrument's bars that a person should know; they are sent all the same."""

    where: str
    message: str

    def __str__(self) -> str:
        return f"{self.where}: {self.message}"


@dataclass(frozen=True, slots=True)
class RowsRead:
    """How far the reading of a file is; nothing of it has been sent yet."""

    count: int


@dataclass(frozen=True, slots=True)
class Reading:
    """How files of bars are to be read.

    Attributes:
        holds: Whether the prices are raw or adjusted for splits; None where a file's own layout must say it.
        columns: What the files call the columns, by our names.
        instrument: Whose bars they are, where neither a column nor the file's name says.
        mic: The market of plain symbols.
        actions: By instrument; None where no file of actions was given.
        adjusted_to: The date that adjusted prices are adjusted to; None for each file's last bar.
    """

    holds: Holds | None = None
    columns: Mapping[str, str] = field(default_factory=dict)
    instrument: str | None = None
    mic: str | None = None
    actions: Mapping[str, Sequence[Action]] | None = None
    adjusted_to: int | None = None


@dataclass(slots=True)
class _Series:
    # The bars of one instrument as they stand in a file, adjusted or not.
    instrument: str
    values: array[int] = field(default_factory=lambda: array("q"))
    # Decimals written and the texts' errors matter only where prices must be turned back.
    exact: list[tuple[Amount, ...]] = field(default_factory=list)
    splits: dict[int, Fraction] = field(default_factory=dict)
    no_splits: set[int] = field(default_factory=set)
    adjusted_closes: list[tuple[int, float]] = field(default_factory=list)

    def bars(self) -> np.ndarray:
        return np.frombuffer(self.values, np.int64).view(_SERIES) if self.values else np.zeros(0, _SERIES)


def sources_of(paths: Iterable[Path]) -> list[Source]:
    """Return the files of bars that paths name; of a folder those in it and below, by name.

    Raises:
        AskedWrongly: A folder has none.
    """
    found: list[Source] = []
    for path in paths:
        if not path.is_dir():
            found.append(Source(str(path), path))
            continue
        inside = sorted(each for each in path.rglob("*") if each.suffix.lower() in SUFFIXES and each.is_file())
        if not inside:
            raise AskedWrongly(f"{path}: expected files that end in {', '.join(SUFFIXES)}, found none in this folder")
        found += [Source(str(each), each) for each in inside]
    return found


def check_asked(sources: Iterable[Source], reading: Reading) -> None:
    """Refuse files of which something must be stated that is not.

    Raises:
        AskedWrongly: It is not stated whether the prices are raw or adjusted, or whose they are.
        HistoryError: A file cannot be read as what its name says.
        OSError: A file cannot be read.
    """
    for source in sources:
        header = header_of(source)
        has_splits = "split" in reading.columns or "split" in {name.lower() for name in header}
        if reading.holds == "adjusted" and reading.actions is None and not has_splits:
            raise AskedWrongly(
                f"{source.name}: expected the actions that the prices are adjusted for, found none: "
                "give --actions FILE, or name the column of splits with --columns split=..."
            )
        if reading.holds is None and not is_own_layout(header, reading):
            raise AskedWrongly(
                f"{source.name}: expected to be told what the prices are, since the file has not our own layout "
                f"({', '.join(COLUMNS)}): say --raw if they are as traded, --adjusted if they are adjusted for splits"
            )
        by_id, by_symbol = _instrument_columns(header, reading)
        if by_id is None and by_symbol is None:
            _instrument_of_file(source, reading)
        elif by_id is None and reading.mic is None:
            raise AskedWrongly(
                f"{source.name}: expected --mic MIC with a column of symbols, found none: say which market they are of"
            )


def is_own_layout(header: Sequence[str], reading: Reading) -> bool:
    """Return whether a file has exactly our own columns, under our own names: then its prices are raw."""
    return not reading.columns and set(COLUMNS[:5]) <= set(header) <= set(COLUMNS)


def bars_of(source: Source, reading: Reading, markets: Markets) -> Iterator[Step | Refused | Note | RowsRead]:
    """Yield the bars of a file as records, in date order by instrument, and what is to be told of them.

    Raises:
        AskedWrongly: See `check_asked`.
        HistoryError: The file cannot be read as what its name says, or lacks a column.
        OSError: It cannot be read.
    """
    check_asked([source], reading)
    series: dict[str, _Series] = {}
    yield from _gather(source, reading, markets, series)
    for each in series.values():
        if each.values:
            yield from _finished(each, source, reading, markets)


def _gather(
    source: Source, reading: Reading, markets: Markets, series: dict[str, _Series]
) -> Iterator[Refused | RowsRead]:
    instruments = Instruments(markets.mics)
    by_id, by_symbol = _instrument_columns(header_of(source), reading)
    whole_file = _instrument_of_file(source, reading) if by_id is None and by_symbol is None else None
    for count, row in enumerate(rows_of(source, BAR_COLUMNS, reading.columns, required=COLUMNS[:5]), 1):
        if count % ROWS_BETWEEN == 0:
            yield RowsRead(count)
        if isinstance(row, Refused):
            yield row
            continue
        fields = dict(zip(BAR_COLUMNS, row.values, strict=True))
        try:
            name = whole_file or _instrument_of_row(fields, reading)
            found = series.get(name)
            if found is None:
                instruments.market_of(name)
                found = series[name] = _Series(name)
            _take(found, fields, row, keep_exact=reading.holds == "adjusted")
        except ValueError as error:
            yield Refused(row.where, str(error))


def _take(series: _Series, fields: Mapping[str, str], row: Row, *, keep_exact: bool) -> None:
    day = _named("date", date_text(fields["date"]), parse_date)
    volume = _named("volume", fields["volume"], scaled) if fields["volume"] else None
    if volume is not None and not 0 <= volume <= SIZE_MAX:
        raise ValueError(f"volume: expected 0 to {SIZE_MAX // SCALE:,}, found {fields['volume']!r}")
    texts = [fields[name] for name in PRICES]
    prices = [0, 0, 0, 0]
    if volume != 0 or any(texts):
        prices = [_named(name, fields[name], scaled) for name in PRICES]
        first, high, low, last = prices
        if low <= 0 or not low <= min(first, last) <= max(first, last) <= high <= PRICE_MAX:
            raise ValueError(
                "expected prices above zero with low <= open, close <= high, found "
                f"{', '.join(f'{name} {text}' for name, text in zip(PRICES, texts, strict=True))}: "
                "is one of the columns adjusted and another not?"
            )
    if fields["split"]:
        factor = _named("split", fields["split"], _split_factor)
        if factor != 1:
            series.splits[day] = factor
        else:
            series.no_splits.add(day)
    if fields["adj_close"] and prices[3]:
        adjusted = _named("adj_close", fields["adj_close"], scaled)
        series.adjusted_closes.append((day, adjusted / prices[3]))
    line = int(row.where.rpartition(":")[2].removeprefix("row "))
    series.values.extend((day, *prices, _NO_VOLUME if volume is None else volume, line))
    if keep_exact:
        series.exact.append(tuple(parse_amount(text) for text in texts) if prices[0] else ())


def _finished(series: _Series, source: Source, reading: Reading, markets: Markets) -> Iterator[Step | Refused | Note]:
    bars = series.bars()
    order = np.argsort(bars["date"], kind="stable")
    bars = bars[order]
    name = f"{source.name}: {series.instrument}"
    if refused := _refused_whole(bars, series, reading):
        yield Refused(name, f"{refused}. None of its {len(bars):,} bars is sent")
        return
    factors = _known_factors(series, reading)
    is_session = np.isin(bars["date"], markets.sessions_of(series.instrument[:4])["date"])
    for bar in bars[~is_session]:
        yield Refused(f"{source.name}:{int(bar['line'])}", _no_session(int(bar["date"]), series.instrument, markets))
    kept = is_session
    if reading.holds == "adjusted" and factors:
        exact = [series.exact[index] for index in order.tolist()]
        adjusted_to = reading.adjusted_to if reading.adjusted_to is not None else int(bars[-1]["date"])
        for index, message in turn_back(bars, exact, factors, adjusted_to):
            if kept[index]:
                yield Refused(f"{source.name}:{int(bars[index]['line'])}", message)
                kept[index] = False
    bars = bars[kept]
    for message in (*_gaps(bars, series.instrument, markets), *_likely_splits(bars, factors)):
        yield Note(name, message)
    for day, first, high, low, last, volume, _ in bars.tolist():
        known = None if volume == _NO_VOLUME else volume
        no_split = day in series.no_splits and day not in factors
        yield bar_step(DailyBar(series.instrument, day, first, high, low, last, known, "", no_split))


def _no_session(day: int, instrument: str, markets: Markets) -> str:
    mic, dates = instrument[:4], markets.sessions_of(instrument[:4])["date"]
    found = f"date: expected a session of {mic}, found {format_date(day)}"
    if not dates[0] <= day <= dates[-1]:
        bounds = f"{format_date(int(dates[0]))} to {format_date(int(dates[-1]))}"
        return f"{found}, outside its calendar, {bounds}: leave out what no window reaches"
    return f"{found}, when it was closed: check the date, or the calendar with markets.overrides"


# Why nothing of an instrument can be used.
def _refused_whole(bars: np.ndarray, series: _Series, reading: Reading) -> str | None:
    same = np.flatnonzero(np.diff(bars["date"]) == 0)
    if len(same):
        first, second = bars[same[0]], bars[same[0] + 1]
        return (
            f"expected one bar a session, found {format_date(int(first['date']))} in lines {int(first['line'])} and "
            f"{int(second['line'])}"
        )
    known = _known_factors(series, reading)
    stated: Holds = reading.holds or "raw"
    traded = bars[bars["volume"] != 0]
    if refused := objection(witnesses(traded, {**_steps_of(series.adjusted_closes), **known}), stated):
        return refused
    if stated == "raw":
        return None
    if reading.actions is not None:
        listed = {action.ex_date for action in reading.actions.get(series.instrument, ())}
        if unlisted := sorted(set(series.splits) - listed):
            return (
                f"expected an action for every split of the column split, found none on {format_date(unlisted[0])}: "
                "add it to the file of actions"
            )
    last = int(bars[-1]["date"])
    later = [day for day in known if day > last]
    if later and reading.adjusted_to is None:
        return (
            f"expected to be told the date that the prices are adjusted to, since a split follows on "
            f"{format_date(min(later))} and the last bar is of {format_date(last)}: give --adjusted-to DATE"
        )
    return None


def _known_factors(series: _Series, reading: Reading) -> dict[int, Fraction]:
    if reading.actions is None:
        return series.splits
    found: dict[int, Fraction] = {} if series.instrument in reading.actions else dict(series.splits)
    for action in reading.actions.get(series.instrument, ()):
        if action.price_factor != 1:
            found[action.ex_date] = found.get(action.ex_date, Fraction(1)) * action.price_factor
    return found


# A close beside its adjusted one shows a split as a step between two days; a dividend's step is too small to witness.
def _steps_of(closes: Sequence[tuple[int, float]]) -> dict[int, Fraction]:
    ordered = sorted(closes)
    return {
        day: Fraction(before / ratio).limit_denominator(1_000)
        for (_, before), (day, ratio) in pairwise(ordered)
        if ratio > 0 and before > 0
    }


def _gaps(bars: np.ndarray, instrument: str, markets: Markets) -> list[str]:
    if len(bars) == 0:
        return []
    dates = markets.sessions_of(instrument[:4])["date"]
    expected = dates[(dates >= bars["date"][0]) & (dates <= bars["date"][-1])]
    missing = np.setdiff1d(expected, bars["date"])
    if len(missing) == 0:
        return []
    shown = ", ".join(format_date(day) for day in missing[:GAP_DATES_SHOWN].tolist())
    more = f" and {len(missing) - GAP_DATES_SHOWN:,} more" if len(missing) > GAP_DATES_SHOWN else ""
    return [f"{len(missing):,} of {len(expected):,} sessions missing: {shown}{more}"]


def _likely_splits(bars: np.ndarray, factors: Mapping[int, Fraction]) -> list[str]:
    return [
        f"{format_decimal(close)} to {format_decimal(opened)} on {format_date(day)} looks like a split, and no action "
        "names it: publish the action if it is one"
        for day, close, opened in looks_split(bars[bars["volume"] != 0], factors)
    ]


def _instrument_columns(header: Sequence[str], reading: Reading) -> tuple[str | None, str | None]:
    names = {name.lower() for name in header}
    by_id = "instrument" if "instrument" in reading.columns or "instrument" in names else None
    by_symbol = "symbol" if "symbol" in reading.columns or (reading.mic and "symbol" in names) else None
    return by_id, by_symbol


def _instrument_of_row(fields: Mapping[str, str], reading: Reading) -> str:
    if fields["instrument"]:
        return fields["instrument"]
    if fields["symbol"] and reading.mic:
        return f"{reading.mic}:{fields['symbol']}"
    raise ValueError("instrument: expected an instrument, or a symbol and --mic, found neither")


def _instrument_of_file(source: Source, reading: Reading) -> str:
    if reading.instrument is not None:
        return reading.instrument
    if source.path is None:
        raise AskedWrongly(f"{source.name}: expected --instrument MIC:SYMBOL or a column that says whose bars they are")
    if reading.mic is not None:
        return f"{reading.mic}:{source.path.stem}"
    try:
        return instrument_of(source.path.with_suffix(".csv"))
    except HistoryError:
        raise AskedWrongly(
            f"{source.name}: expected to be told whose bars they are, found neither a column instrument nor a name "
            "such as XNYS_BABA.csv: give --instrument MIC:SYMBOL, --mic MIC, or --columns symbol=... with --mic"
        ) from None


# `4`, `4.0`, `4:1` or `4/1` are four new for one old; 0 is what some vendors write for none.
def _split_factor(text: str) -> Fraction:
    new, separator, old = text.replace("/", ":").partition(":")
    ratio = parse_amount(new.strip()).value / (parse_amount(old.strip()).value if separator else 1)
    if ratio < 0:
        raise ValueError(f"expected a ratio such as 4 or 4:1, found {text!r}")
    return 1 / ratio if ratio else Fraction(1)


def _named(name: str, text: str, parse: Callable[[str], Value]) -> Value:
    try:
        return parse(text)
    except (ValueError, ZeroDivisionError) as error:
        raise ValueError(f"{name}: {error}") from None
