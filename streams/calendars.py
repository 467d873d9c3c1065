"""The exchanges' calendars as plain arrays, from exchange_calendars and tables of what it does not know.

A calendar is built with fixed bounds: the library's own default bounds move with today's date, and the same log must
see the same sessions on any day. Building one takes 0.2 s (some take 3 s) on top of half a second of imports, so the
arrays are kept in the user's cache folder under a name that carries everything they depend on. A file there that cannot
be read is built anew; a folder that cannot be written costs only time.
"""

from __future__ import annotations

import difflib
import hashlib
import os
import re
import tempfile
import warnings
import zipfile
from collections.abc import Iterable, Mapping, Sequence
from datetime import tzinfo
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Any, Final

import numpy as np

from streams.calendar_hours import Columns, corrected, with_extended
from streams.calendar_tables import (
    DATE_MAX,
    DATE_MIN,
    BadOverrides,
    CalendarTables,
    ExtendedHours,
    Override,
    product_tables,
    read_tables,
)
from streams.core.sessions import Markets, Sessions

FIRST_DATE: Final = DATE_MIN
LAST_DATE: Final = DATE_MAX
"""Far enough for any release of the library to be replaced by a newer one, and within what its rules can work out."""

# Markets that keep another's hours; exchange_calendars has no calendar of their own.
SAME_HOURS: Final = {
    "XNAS": "XNYS",
    "XASE": "XNYS",
    "ARCX": "XNYS",
    "BATS": "XNYS",
    "IEXG": "XNYS",
    "OOTC": "XNYS",
    "OTCM": "XNYS",
    "XTSX": "XTSE",
}

# Counts changes of what is stored, so that a file of another shape is not read.
_CACHE_SHAPE: Final = 2
_MIC: Final = re.compile("[A-Z0-9]{4}")
_COLUMNS: Final = (
    "dates",
    "opens_ns",
    "closes_ns",
    "break_starts_ns",
    "break_ends_ns",
    "extended_opens_ns",
    "extended_closes_ns",
    "trade_date_ends_ns",
)


class UnknownCalendar(ValueError):
    """No calendar is known for a market; the text says which names are."""


def calendar_version(overrides: str | Path = "") -> str:
    """Return what the calendars are made of, as every signal carries it.

    It is the library with its version, the revision of the product's corrections, and eight hexadecimal digits of the
    user's own, if there are any.

    Raises:
        BadOverrides: The user's file cannot be used.
    """
    return _version(_tables(overrides))


def load_markets(mics: Sequence[str], *, lookback: str = "364d", overrides: str | Path = "") -> Markets:
    """Return the sessions of some markets, ready for the engine.

    Takes a few milliseconds a market once its calendar has been built on this machine.

    Args:
        mics: Market identifier codes (ISO 10383).
        lookback: The window of the 52-week families, see `Rules.lookback`.
        overrides: The user's own file of corrections, see `streams.calendar_tables`; empty for none.

    Raises:
        UnknownCalendar: A market is not known, or its calendar cannot be built.
        BadOverrides: The user's file cannot be used.
        ValueError: The look-back is malformed, or longer than the engine holds.

    >>> markets = load_markets(["XNYS"])
    >>> len(markets.sessions_of("XNYS")) > 10_000
    True
    """
    own = _tables(overrides)
    if own is not None:
        _check_markets(own, mics, str(overrides))
    return Markets([_load(mic, own) for mic in mics], lookback=lookback, version=_version(own))


def load_sessions(mic: str, *, overrides: str | Path = "") -> Sessions:
    """Return one market's sessions, from the cache where they are in it.

    Raises:
        UnknownCalendar: The market is not known, or its calendar cannot be built.
        BadOverrides: The user's file cannot be used.
    """
    return _load(mic, _tables(overrides))


def _load(mic: str, own: CalendarTables | None) -> Sessions:
    name = SAME_HOURS.get(mic, mic)
    known, given = _overrides(product_tables(), mic), _overrides(own, mic)
    hours = (_extended(own, mic) if own is not None else None) or _extended(product_tables(), mic)
    path = _cache_file(name, (known, given, hours))
    columns = _read(path)
    if columns is not None:
        try:
            return Sessions(mic, *columns)
        except ValueError:
            pass  # Readable, but no calendar: built anew below.
    listed, zone = _build(mic, name)
    # What the user says of a date stands in place of what the product says of it.
    known = {day: override for day, override in known.items() if day not in given}
    listed = corrected(corrected(listed, zone, known, strict=False), zone, given, strict=True)
    columns = with_extended(listed, zone, hours)
    sessions = Sessions(mic, *columns)
    _write(path, columns)
    return sessions


def _tables(overrides: str | Path) -> CalendarTables | None:
    return read_tables(Path(overrides)) if overrides else None


def _version(own: CalendarTables | None) -> str:
    suffix = f".{own.digest}" if own is not None and (own.overrides or own.extended) else ""
    return f"{_library()}+ovr{product_tables().revision}{suffix}"


@cache
def _library() -> str:
    return f"exchange_calendars {installed_version('exchange_calendars')}"


# By session date. A market takes the corrections of the one whose hours it keeps, and its own go before them.
def _overrides(tables: CalendarTables | None, mic: str) -> dict[int, Override]:
    if tables is None:
        return {}
    found: dict[int, Override] = {}
    for name in dict.fromkeys((SAME_HOURS.get(mic, mic), mic)):
        found.update({day: each for (market, day), each in tables.overrides.items() if market == name})
    return found


def _extended(tables: CalendarTables, mic: str) -> ExtendedHours | None:
    return tables.extended.get(mic) or tables.extended.get(SAME_HOURS.get(mic, mic))


# A correction of a market that nobody knows would never hold, and nobody would notice.
def _check_markets(own: CalendarTables, mics: Sequence[str], where: str) -> None:
    named = {mic for mic, _ in own.overrides} | set(own.extended)
    if others := sorted(named - set(mics) - {SAME_HOURS.get(mic, mic) for mic in mics}):
        known = {*_known_names(), *SAME_HOURS}
        for mic in others:
            if mic not in known:
                raise BadOverrides(f"{where}: expected a market with a calendar, found {mic!r}{_near(mic, known)}")


def cache_folder() -> Path:
    """Return the folder of built calendars, beside that of the compiled code.

    Its parent is `FIFTYTWO_CACHE_DIR` where that is set, else `NUMBA_CACHE_DIR`, else `fiftytwo` in the user's cache
    folder.
    """
    for variable in ("FIFTYTWO_CACHE_DIR", "NUMBA_CACHE_DIR"):
        if root := os.environ.get(variable):
            return Path(root) / "calendars"
    try:
        return Path(os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache") / "fiftytwo" / "calendars"
    except RuntimeError:
        # A user without a home has no cache: nothing can be read from or written below a device.
        return Path(os.devnull) / "calendars"


def _cache_file(name: str, tables: tuple[Mapping[int, Override], Mapping[int, Override], ExtendedHours | None]) -> Path:
    try:
        zones = installed_version("tzdata")
    except PackageNotFoundError:
        zones = "none"
    known, given, hours = tables
    said = [
        (day, each.closed, each.early_close, each.late_open) for part in (known, given) for day, each in part.items()
    ]
    parts = (_CACHE_SHAPE, _library(), zones, FIRST_DATE, LAST_DATE, said, len(known), hours)
    return cache_folder() / f"{name}-{hashlib.sha256(repr(parts).encode()).hexdigest()[:16]}.npz"


def _read(path: Path) -> list[np.ndarray] | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as stored:
            return [stored[column] for column in _COLUMNS]
    except (OSError, EOFError, KeyError, ValueError, zipfile.BadZipFile):
        return None


def _write(path: Path, columns: Sequence[np.ndarray]) -> None:
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        # Written under another name and then renamed: a second process never reads half a file.
        with tempfile.NamedTemporaryFile(dir=path.parent, suffix=".part", delete=False) as file:
            part = Path(file.name)
            try:
                arrays: dict[str, Any] = dict(zip(_COLUMNS, columns, strict=True))
                np.savez(file, **arrays)
                file.close()
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
    except OSError:
        return


def _build(mic: str, name: str) -> tuple[Columns, tzinfo]:
    with warnings.catch_warnings():
        # The library and pandas speak to each other about releases to come; no one else can act on it.
        warnings.simplefilter("ignore")
        import exchange_calendars
        import pandas

        known = _known_names()
        if name not in known:
            hint = _near(mic, [*known, *SAME_HOURS])
            raise UnknownCalendar(f"expected the code (ISO 10383) of a market with a calendar, found {mic!r}{hint}")
        try:
            # Each calendar has bounds of its own; only an instance tells its class.
            bounds = type(exchange_calendars.get_calendar(name))
            start = max(pandas.Timestamp(FIRST_DATE), bounds.bound_min() or pandas.Timestamp(FIRST_DATE))
            end = min(pandas.Timestamp(LAST_DATE), bounds.bound_max() or pandas.Timestamp(LAST_DATE))
            calendar = exchange_calendars.get_calendar(name, start=start, end=end)
        except (NotImplementedError, ValueError) as error:
            # Some calendars of the library fail with some releases of pandas.
            raise UnknownCalendar(
                f"expected {_library()} to build the calendar of {mic}, found: {str(error)[:200]}; "
                "leave the market out, or try another release of exchange_calendars or pandas"
            ) from None
        dates = calendar.sessions.to_numpy("datetime64[D]").astype(np.int32)
        times = [calendar.opens, calendar.closes, calendar.break_starts, calendar.break_ends]
        return [dates, *(_nanoseconds(column.to_numpy("datetime64[ns]")) for column in times)], calendar.tz


def _known_names() -> list[str]:
    import exchange_calendars

    # Other names it knows are no codes of markets: `NYSE`, `24/7`, `us_futures`.
    return [each for each in exchange_calendars.get_calendar_names(include_aliases=False) if _MIC.fullmatch(each)]


def _near(mic: str, known: Iterable[str]) -> str:
    near = difflib.get_close_matches(mic, known, n=1, cutoff=0.5)
    return f": did you mean {near[0]}?" if near else f": known are {', '.join(sorted(known))}"


def _nanoseconds(times: np.ndarray) -> np.ndarray:
    return np.where(np.isnat(times), 0, times.astype(np.int64))
