"""What is known about calendars beyond the library: days on which it is wrong, and hours outside the regular session.

Both stand in TOML files, one of the product and, where `markets.overrides` names it, one of the user. They are data
because an exchange closes for a storm on a morning, and nobody can wait for a release then. A file that says something
doubtful is refused as a whole: a correction that does not hold is worse than none, because everybody believes that it
does.
"""

from __future__ import annotations

import hashlib
import re
import tomllib
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from datetime import date, datetime, time
from functools import cache
from pathlib import Path
from typing import Final

from streams.core.units import format_date, parse_date

PRODUCT_FILE: Final = Path(__file__).parent / "data" / "calendars.toml"
BYTES_MAX: Final = 1 << 20  # Every exchange's storms of a century fit ten times.
DATE_MIN: Final = "1990-01-01"
DATE_MAX: Final = "2040-12-31"

_MIC: Final = re.compile("[A-Z0-9]{4}")
_HOURS: Final = ("pre_open", "regular_close", "post_close", "early_post_close", "trade_date_end")
_KINDS: Final = ("closed", "early_close", "late_open")


class BadOverrides(ValueError):
    """A file of calendar corrections cannot be used; the text says where, what was expected and what was found."""


@dataclass(frozen=True, slots=True)
class Override:
    """What holds on one date of one market, in place of what the library says.

    Attributes:
        mic: Market identifier code.
        session_date: Days since 1970.
        closed: There was no session.
        early_close: Local time of the close, None for the library's.
        late_open: Local time of the open, None for the library's.
        where: File and entry, for messages.
    """

    mic: str
    session_date: int
    closed: bool
    early_close: time | None
    late_open: time | None
    where: str


@dataclass(frozen=True, slots=True)
class ExtendedHours:
    """The hours of a market outside its regular session, local times of the session's date.

    Attributes:
        pre_open: When the pre-market begins.
        regular_close: The usual close; a session that closes before it has an early close.
        post_close: When the post-market ends.
        early_post_close: When it ends after an early close.
        trade_date_end: From here on trades belong to the next session.
    """

    pre_open: time
    regular_close: time
    post_close: time
    early_post_close: time
    trade_date_end: time


@dataclass(frozen=True, slots=True)
class CalendarTables:
    """What a file says.

    Attributes:
        revision: The product's file counts its changes; 0 in a user's.
        overrides: By market and session date.
        extended: By market.
        digest: Eight hexadecimal digits of what the file says.
    """

    revision: int
    overrides: Mapping[tuple[str, int], Override]
    extended: Mapping[str, ExtendedHours]
    digest: str


@cache
def product_tables() -> CalendarTables:
    """Return what the product itself knows."""
    return parse_tables(PRODUCT_FILE.read_bytes(), where=PRODUCT_FILE.name)


def read_tables(path: Path) -> CalendarTables:
    """Return what a user's file says.

    Raises:
        BadOverrides: It cannot be read, or says something that cannot be.
    """
    try:
        with path.open("rb") as file:
            data = file.read(BYTES_MAX + 1)
    except OSError as error:
        raise BadOverrides(
            f"{path}: expected a readable file of calendar overrides, found: {error.strerror}: check markets.overrides"
        ) from None
    return parse_tables(data, where=str(path))


def parse_tables(data: bytes, *, where: str) -> CalendarTables:
    """Return what a file of calendar corrections says.

    Args:
        data: TOML: `[[override]]` entries of `mic`, `date` and one or two of `closed`, `early_close` and `late_open`,
            with a `reason` if there is one; tables `[extended.<MIC>]`; `revision`.
        where: The file's name, for messages.

    Raises:
        BadOverrides: It says something else.
    """
    if len(data) > BYTES_MAX:
        raise BadOverrides(f"{where}: expected at most {BYTES_MAX:,} bytes, found more: is it the right file?")
    try:
        document = tomllib.loads(data.decode("utf-8"))
    except (tomllib.TOMLDecodeError, UnicodeDecodeError, ValueError, RecursionError) as error:
        raise BadOverrides(f"{where}: expected TOML in UTF-8, found: {error}") from None
    _known(document, ("revision", "override", "extended"), where)
    revision = document.get("revision", 0)
    if type(revision) is not int or not 0 <= revision <= 1_000_000:
        raise BadOverrides(f"{where}: revision: expected a count of changes, found {_shown(revision)}")
    overrides = dict(_overrides(document.get("override", []), where))
    extended = dict(_extended(document.get("extended", {}), where))
    said = [(each.mic, each.session_date, each.closed, each.early_close, each.late_open) for each in overrides.values()]
    digest = hashlib.sha256(repr((sorted(said, key=repr), sorted(extended.items(), key=repr))).encode()).hexdigest()
    return CalendarTables(revision, overrides, extended, digest[:8])


def _overrides(entries: object, where: str) -> Iterator[tuple[tuple[str, int], Override]]:
    if not isinstance(entries, list):
        raise BadOverrides(f"{where}: override: expected entries that begin with [[override]], found another value")
    seen: dict[tuple[str, int], int] = {}
    for number, entry in enumerate(entries, 1):
        found = _override(entry, f"{where}: override {number}")
        key = (found.mic, found.session_date)
        if key in seen:
            raise BadOverrides(
                f"{found.where}: expected one entry for a market and date, found another in override {seen[key]}: "
                "say both in one entry, or remove one"
            )
        seen[key] = number
        yield key, found


def _override(entry: object, where: str) -> Override:
    if not isinstance(entry, dict):
        raise BadOverrides(f"{where}: expected an entry that begins with [[override]], found {_shown(entry)}")
    _known(entry, ("mic", "date", "reason", *_KINDS), where)
    mic = entry.get("mic")
    if not isinstance(mic, str) or _MIC.fullmatch(mic) is None:
        raise BadOverrides(f"{where}: mic: expected the code (ISO 10383) of a market such as XHKG, found {_shown(mic)}")
    day = _date(entry.get("date"), f"{where} ({mic})")
    where = f"{where} ({mic} {format_date(day)})"
    closed = entry.get("closed", False)
    if not isinstance(closed, bool):
        raise BadOverrides(f"{where}: closed: expected true or false, found {_shown(closed)}")
    if not isinstance(entry.get("reason", ""), str):
        raise BadOverrides(f"{where}: reason: expected a text in quotes, found {_shown(entry['reason'])}")
    early, late = (_time(entry[name], f"{where}: {name}") if name in entry else None for name in _KINDS[1:])
    if closed is (early is not None or late is not None):
        raise BadOverrides(
            f"{where}: expected closed = true, or early_close or late_open as a local time, found "
            f"{'closed and a time' if closed else 'none of them'}"
        )
    if early is not None and late is not None and late >= early:
        raise BadOverrides(f"{where}: expected late_open before early_close, found {late} and {early}")
    return Override(mic, day, closed, early, late, where)


def _extended(tables: object, where: str) -> Iterator[tuple[str, ExtendedHours]]:
    if not isinstance(tables, dict):
        raise BadOverrides(f"{where}: extended: expected tables such as [extended.XNYS], found {_shown(tables)}")
    for mic, table in tables.items():
        here = f"{where}: extended.{mic}"
        if _MIC.fullmatch(mic) is None or not isinstance(table, dict):
            raise BadOverrides(f"{here}: expected a table such as [extended.XNYS], found another name or value")
        _known(table, _HOURS, here)
        missing = [name for name in _HOURS if name not in table]
        if missing:
            raise BadOverrides(f"{here}: expected {', '.join(_HOURS)} as local times, found no {missing[0]}")
        hours = ExtendedHours(*(_time(table[name], f"{here}.{name}") for name in _HOURS))
        if not (
            hours.pre_open < hours.regular_close <= hours.early_post_close <= hours.post_close <= hours.trade_date_end
        ):
            raise BadOverrides(
                f"{here}: expected pre_open < regular_close <= early_post_close <= post_close <= trade_date_end, "
                f"found {', '.join(str(getattr(hours, name)) for name in _HOURS)}"
            )
        yield mic, hours


def _known(table: Mapping[str, object], names: tuple[str, ...], where: str) -> None:
    for name in table:
        if name not in names:
            raise BadOverrides(f"{where}: expected {', '.join(names)}, found {_shown(name)}")


def _date(value: object, where: str) -> int:
    if isinstance(value, date) and not isinstance(value, datetime):
        value = value.isoformat()
    if isinstance(value, str):
        try:
            day = parse_date(value)
        except ValueError as error:
            raise BadOverrides(f"{where}: date: {error}") from None
        if parse_date(DATE_MIN) <= day <= parse_date(DATE_MAX):
            return day
    raise BadOverrides(f"{where}: date: expected a date from {DATE_MIN} to {DATE_MAX}, found {_shown(value)}")


def _time(value: object, where: str) -> time:
    if isinstance(value, time) and not value.microsecond:
        return value
    raise BadOverrides(f"{where}: expected a local time such as 13:30:00 without quotes, found {_shown(value)}")


def _shown(value: object) -> str:
    text = value.isoformat() if isinstance(value, date | time) else repr(value)
    return text if len(text) <= 60 else f"{text[:60]}..."
