"""The exchanges' calendars as plain arrays, from exchange_calendars and a table of its known errors.

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
from collections.abc import Sequence
from functools import cache
from importlib.metadata import PackageNotFoundError
from importlib.metadata import version as installed_version
from pathlib import Path
from typing import Final

import numpy as np

from streams.core.sessions import Markets, Sessions
from streams.core.units import parse_date

FIRST_DATE: Final = "1990-01-01"
LAST_DATE: Final = "2040-12-31"
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

# Sessions that exchange_calendars lists and that did not take place.
NOT_SESSIONS: Final = {
    # Typhoon Saola on the first, a black rainstorm on the eighth (its issue 600).
    "XHKG": ("2023-09-01", "2023-09-08"),
}

# Counts changes of what is stored, so that a file of another shape is not read.
_CACHE_SHAPE: Final = 1
_MIC: Final = re.compile("[A-Z0-9]{4}")
_COLUMNS: Final = ("dates", "opens_ns", "closes_ns", "break_starts_ns", "break_ends_ns")


class UnknownCalendar(ValueError):
    """No calendar is known for a market; the text says which names are."""


@cache
def calendar_version() -> str:
    """Return name and version of the calendars, as every signal carries it."""
    return f"exchange_calendars {installed_version('exchange_calendars')}"


def load_markets(mics: Sequence[str], *, lookback: str = "364d") -> Markets:
    """Return the sessions of some markets, ready for the engine.

    Takes a few milliseconds a market once its calendar has been built on this machine.

    Args:
        mics: Market identifier codes (ISO 10383).
        lookback: The window of the 52-week families, see `Rules.lookback`.

    Raises:
        UnknownCalendar: A market is not known, or its calendar cannot be built.
        ValueError: The look-back is malformed, or longer than the engine holds.

    >>> markets = load_markets(["XNYS"])
    >>> len(markets.sessions_of("XNYS")) > 10_000
    True
    """
    return Markets([load_sessions(mic) for mic in mics], lookback=lookback, version=calendar_version())


def load_sessions(mic: str) -> Sessions:
    """Return one market's sessions, from the cache where they are in it.

    Raises:
        UnknownCalendar: The market is not known, or its calendar cannot be built.
    """
    name = SAME_HOURS.get(mic, mic)
    path = _cache_file(name)
    columns = _read(path)
    if columns is not None:
        try:
            return Sessions(mic, *columns)
        except ValueError:
            pass  # Readable, but no calendar: built anew below.
    columns = _without_closures(name, _build(mic, name))
    sessions = Sessions(mic, *columns)
    _write(path, columns)
    return sessions


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


def _cache_file(name: str) -> Path:
    try:
        zones = installed_version("tzdata")
    except PackageNotFoundError:
        zones = "none"
    parts = (_CACHE_SHAPE, calendar_version(), zones, FIRST_DATE, LAST_DATE, NOT_SESSIONS.get(name, ()))
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
                dates, opens, closes, starts, ends = columns
                np.savez(
                    file, dates=dates, opens_ns=opens, closes_ns=closes, break_starts_ns=starts, break_ends_ns=ends
                )
                file.close()
                part.replace(path)
            finally:
                part.unlink(missing_ok=True)
    except OSError:
        return


def _build(mic: str, name: str) -> list[np.ndarray]:
    with warnings.catch_warnings():
        # The library and pandas speak to each other about releases to come; no one else can act on it.
        warnings.simplefilter("ignore")
        import exchange_calendars
        import pandas

        # Other names it knows are no codes of markets: `NYSE`, `24/7`, `us_futures`.
        known = [each for each in exchange_calendars.get_calendar_names(include_aliases=False) if _MIC.fullmatch(each)]
        if name not in known:
            near = difflib.get_close_matches(mic, [*known, *SAME_HOURS], n=1, cutoff=0.5)
            hint = f": did you mean {near[0]}?" if near else f": known are {', '.join(sorted([*known, *SAME_HOURS]))}"
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
                f"expected {calendar_version()} to build the calendar of {mic}, found: {str(error)[:200]}; "
                "leave the market out, or try another release of exchange_calendars or pandas"
            ) from None
        dates = calendar.sessions.to_numpy("datetime64[D]").astype(np.int32)
        times = [calendar.opens, calendar.closes, calendar.break_starts, calendar.break_ends]
        return [dates, *(_nanoseconds(column.to_numpy("datetime64[ns]")) for column in times)]


def _nanoseconds(times: np.ndarray) -> np.ndarray:
    return np.where(np.isnat(times), 0, times.astype(np.int64))


def _without_closures(name: str, columns: Sequence[np.ndarray]) -> list[np.ndarray]:
    closed = [parse_date(text) for text in NOT_SESSIONS.get(name, ())]
    kept = ~np.isin(columns[0], closed)
    return [column[kept] for column in columns]
