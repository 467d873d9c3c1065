"""Times as publishers print them, `09/30/2025, 07:45:02 EDT`: US date order and a zone abbreviation.

Only abbreviations with one meaning are known here. `CST` is China Standard Time or US Central Time, thirteen or
fourteen hours apart; guessing would move an article to another session, so an ambiguous one is refused until the
configuration says what it means for this reader.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass
from datetime import UTC, datetime, timedelta, timezone, tzinfo
from typing import Final

from streams.core.news import ANOMALY_SEASON
from streams.core.units import NS, parse_time

_HOUR: Final = timedelta(hours=1)
ZONES: Final[Mapping[str, tzinfo]] = {
    "EDT": timezone(-4 * _HOUR),
    "EST": timezone(-5 * _HOUR),
    "UTC": UTC,
    "GMT": UTC,
    "Z": UTC,
    "HKT": timezone(8 * _HOUR),
    "JST": timezone(9 * _HOUR),
}
AMBIGUOUS: Final[Mapping[str, str]] = {
    "CST": "China Standard Time (+08:00) or US Central Standard Time (-06:00)",
    "BST": "British Summer Time (+01:00) or Bangladesh Standard Time (+06:00)",
    "IST": "India (+05:30), Irish (+01:00) or Israel Standard Time (+02:00)",
}

# Months in which US Eastern Time is certainly the other one; in March and November it depends on the day.
_EASTERN_SUMMER: Final = range(4, 11)
_EASTERN_WINTER: Final = (12, 1, 2)

_PRINTED: Final = re.compile(
    r"(?P<month>\d{1,2})/(?P<day>\d{1,2})/(?P<year>\d{4}),?\s+"
    r"(?P<hour>\d{1,2}):(?P<minute>\d{2})(?::(?P<second>\d{2}))?(?:\s*(?P<half>[AaPp])\.?[Mm]\.?)?"
    r"(?:\s*(?P<zone>[A-Za-z]{1,5}|[+-]\d{2}:?\d{2}))?"
)
_OFFSET: Final = re.compile(r"([+-])(\d{2}):?(\d{2})")


class TimeRefused(ValueError):
    """A printed time that is no instant, with the reason as a label."""

    def __init__(self, reason: str, message: str) -> None:
        super().__init__(message)
        self.reason = reason


@dataclass(frozen=True, slots=True)
class Published:
    """An instant read from print, and what was odd about it (a time anomaly, or None)."""

    time_ns: int
    anomaly: str | None


def parse_published(text: str, zones: Mapping[str, tzinfo] | None = None) -> Published:
    """Return the instant of a printed time, or of an RFC 3339 one.

    Args:
        text: The time as printed.
        zones: What abbreviations mean for this reader, by abbreviation in capitals; they win over the known ones.

    Raises:
        TimeRefused: The text is no time, or its zone is missing, ambiguous or unknown.

    >>> from streams.core.units import format_time
    >>> format_time(parse_published("09/30/2025, 07:45:02 EDT").time_ns)
    '2025-09-30T11:45:02Z'
    """
    text = " ".join(text.split())
    match = _PRINTED.fullmatch(text)
    if match is None:
        return Published(_parse_standard(text), None)
    if match["zone"] is None:
        raise TimeRefused(
            "time_without_zone", f"expected a zone after the time, found {text!r}; add one, for example EDT"
        )
    zone = match["zone"].upper()
    try:
        local = datetime(
            int(match["year"]),
            int(match["month"]),
            int(match["day"]),
            _hour(int(match["hour"]), match["half"]),
            int(match["minute"]),
            int(match["second"] or 0),
            tzinfo=_zone(zone, zones or {}),
        )
    except TimeRefused:
        raise
    except ValueError as error:
        raise TimeRefused("invalid_time", f"expected MM/DD/YYYY, HH:MM:SS ZONE, found {text!r}: {error}") from None
    seconds = (local - datetime(1970, 1, 1, tzinfo=UTC)) // timedelta(seconds=1)
    return Published(seconds * NS, _season_anomaly(zone, local.month))


def parse_offset(text: str) -> tzinfo | None:
    """Return the zone of an offset such as `+08:00`, or None when the text is no offset."""
    match = _OFFSET.fullmatch(text)
    if match is None or int(match[2]) > 23 or int(match[3]) > 59:
        return None
    offset = timedelta(hours=int(match[2]), minutes=int(match[3]))
    return timezone(-offset if match[1] == "-" else offset)


def _parse_standard(text: str) -> int:
    try:
        return parse_time(text)
    except ValueError as error:
        reason = "time_without_zone" if "no zone" in str(error) else "invalid_time"
        raise TimeRefused(reason, f"expected MM/DD/YYYY, HH:MM:SS ZONE or RFC 3339, found {text!r}") from None


def _hour(hour: int, half: str | None) -> int:
    if half is None:
        return hour
    if not 1 <= hour <= 12:
        raise ValueError(f"hour {hour} has no morning or afternoon")
    return hour % 12 + (12 if half in "Pp" else 0)


def _zone(zone: str, zones: Mapping[str, tzinfo]) -> tzinfo:
    found = zones.get(zone) or ZONES.get(zone) or parse_offset(zone)
    if found is not None:
        return found
    if zone in AMBIGUOUS:
        meanings = AMBIGUOUS[zone]
        raise TimeRefused(
            "ambiguous_zone", f"expected a zone with one meaning, found {zone}: {meanings}; say which in [news] zones"
        )
    known = ", ".join(ZONES)
    raise TimeRefused("unknown_zone", f"expected one of {known} or an offset, found {zone}; name it in [news] zones")


def _season_anomaly(zone: str, month: int) -> str | None:
    odd = (zone == "EST" and month in _EASTERN_SUMMER) or (zone == "EDT" and month in _EASTERN_WINTER)
    return ANOMALY_SEASON if odd else None
