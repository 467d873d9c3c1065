"""Exact numbers at the edge of the core: decimals as integers scaled by 1e-8, times in nanoseconds, dates in days.

Nothing here ever passes through a float or a `datetime`, which would lose the last digits of a price or a time.
"""

from __future__ import annotations

import re
from functools import lru_cache
from typing import Final

DECIMALS: Final = 8  # Cryptocurrencies and Japanese funds are quoted to eight decimals; no market we know of uses more.
SCALE: Final = 10**DECIMALS
PRICE_MAX: Final = 8_000_000 * SCALE  # A price times 10,500 basis points must stay inside 63 bits.
SIZE_MAX: Final = 9_000_000_000 * SCALE  # The largest size that fits 63 bits with a digit to spare.

NS: Final = 1_000_000_000
DAY_NS: Final = 86_400 * NS
YEAR_MIN: Final = 1900
YEAR_MAX: Final = 2199  # Nanoseconds since 1970 leave 63 bits in 2262.
TIME_MIN_NS: Final = -25_567 * DAY_NS  # 1900-01-01
TIME_MAX_NS: Final = 84_006 * DAY_NS - 1  # the last nanosecond of 2199

_DECIMAL = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,8}))?")
_TIME = re.compile(
    r"([0-9]{4}-[0-9]{2}-[0-9]{2})T([0-9]{2}):([0-9]{2}):([0-9]{2})(?:\.([0-9]{1,9}))?(Z|([+-])([0-9]{2}):([0-9]{2}))?"
)
_DATE = re.compile(r"([0-9]{4})-([0-9]{2})-([0-9]{2})")
_MONTH_DAYS: Final = (31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31)


def parse_decimal(text: str) -> int:
    """Return a decimal as an integer scaled by 1e-8.

    >>> parse_decimal("179.90")
    17990000000

    Raises:
        ValueError: The text is not a plain decimal of at most 12 digits before and 8 after the point.
    """
    match = _DECIMAL.fullmatch(text)
    if match is None:
        raise ValueError(
            f"expected a plain decimal like 179.90 (at most 12 digits before and {DECIMALS} after the point), "
            f"found {_shortened(text)}"
        )
    sign, whole, fraction = match.groups()
    value = int(whole) * SCALE + int((fraction or "").ljust(DECIMALS, "0"))
    return -value if sign else value


@lru_cache(maxsize=16_384)  # A signal repeats the prices of those before it: its level, what that was built on.
def format_decimal(value: int) -> str:
    """Return the shortest decimal of an integer scaled by 1e-8.

    >>> format_decimal(17990000000), format_decimal(18000000000)
    ('179.9', '180')
    """
    whole, fraction = divmod(abs(value), SCALE)
    sign = "-" if value < 0 else ""
    if fraction == 0:
        return f"{sign}{whole}"
    return f"{sign}{whole}.{fraction:08d}".rstrip("0")


def parse_time(text: str) -> int:
    """Return an RFC 3339 time as integer nanoseconds since 1970.

    >>> parse_time("2025-09-30T07:45:02.000000001-04:00")
    1759232702000000001

    Raises:
        ValueError: The text is not such a time, names no zone, or lies outside the years 1900 to 2199.
    """
    match = _TIME.fullmatch(text)
    if match is None:
        raise ValueError(f"expected an RFC 3339 time like 2025-09-29T13:30:00.005Z, found {_shortened(text)}")
    date, hour, minute, second, fraction, zone, sign, zone_hour, zone_minute = match.groups()
    if zone is None:
        raise ValueError(f"the time {text} has no zone; add Z for UTC, or an offset like -04:00")
    if int(hour) > 23 or int(minute) > 59 or int(second) > 59:
        raise ValueError(f"expected a time of day up to 23:59:59, found {_shortened(text)}")
    seconds = int(hour) * 3600 + int(minute) * 60 + int(second)
    if sign is not None:
        if int(zone_hour) > 23 or int(zone_minute) > 59:
            raise ValueError(f"expected a zone up to 23:59, found {_shortened(text)}")
        offset = int(zone_hour) * 3600 + int(zone_minute) * 60
        seconds += offset if sign == "-" else -offset
    time_ns = parse_date(date) * DAY_NS + seconds * NS + int((fraction or "").ljust(9, "0"))
    if not TIME_MIN_NS <= time_ns <= TIME_MAX_NS:
        raise ValueError(f"expected a time in the years {YEAR_MIN} to {YEAR_MAX}, found {_shortened(text)}")
    return time_ns


@lru_cache(maxsize=4_096)  # A signal writes its time twice, and that of its trigger in each of its transitions.
def format_time(time_ns: int) -> str:
    """Return nanoseconds since 1970 as an RFC 3339 time in UTC: nine digits of fraction, or none for a whole second.

    >>> format_time(1759152600000000000), format_time(1759152600005750123)
    ('2025-09-29T13:30:00Z', '2025-09-29T13:30:00.005750123Z')
    """
    second, fraction = divmod(time_ns, NS)
    return f"{_format_second(second)}.{fraction:09d}Z" if fraction else f"{_format_second(second)}Z"


@lru_cache(maxsize=1024)  # A process sees few dates, each very often: the sessions of a year or two.
def parse_date(text: str) -> int:
    """Return a calendar date as days since 1970.

    >>> parse_date("2025-09-29")
    20360

    Raises:
        ValueError: The text is not a date of the years 1900 to 2199.
    """
    match = _DATE.fullmatch(text)
    if match is None:
        raise ValueError(f"expected a date like 2025-09-29, found {_shortened(text)}")
    year, month, day = (int(part) for part in match.groups())
    if not YEAR_MIN <= year <= YEAR_MAX:
        raise ValueError(f"expected a date in the years {YEAR_MIN} to {YEAR_MAX}, found {_shortened(text)}")
    if not 1 <= month <= 12 or not 1 <= day <= _month_days(year, month):
        raise ValueError(f"expected a day of the calendar, found {_shortened(text)}, which does not exist")
    return days_since_1970(year, month, day)


@lru_cache(maxsize=1024)
def format_date(date: int) -> str:
    """Return days since 1970 as a calendar date.

    >>> format_date(20360)
    '2025-09-29'
    """
    # The inverse of days_since_1970: years run from March, so that the leap day is the last of its year.
    era, day_of_era = divmod(date + 719_468, 146_097)
    year_of_era = (day_of_era - day_of_era // 1_460 + day_of_era // 36_524 - day_of_era // 146_096) // 365
    day_of_year = day_of_era - (365 * year_of_era + year_of_era // 4 - year_of_era // 100)
    month_from_march = (5 * day_of_year + 2) // 153
    day = day_of_year - (153 * month_from_march + 2) // 5 + 1
    month = month_from_march + 3 if month_from_march < 10 else month_from_march - 9
    year = year_of_era + 400 * era + (1 if month <= 2 else 0)
    return f"{year:04d}-{month:02d}-{day:02d}"


def days_since_1970(year: int, month: int, day: int) -> int:
    """Return the days from 1970-01-01 to a date of the Gregorian calendar (Howard Hinnant's days_from_civil)."""
    year_from_march = year - 1 if month <= 2 else year
    era, year_of_era = divmod(year_from_march, 400)
    day_of_year = (153 * (month - 3 if month > 2 else month + 9) + 2) // 5 + day - 1
    day_of_era = year_of_era * 365 + year_of_era // 4 - year_of_era // 100 + day_of_year
    return era * 146_097 + day_of_era - 719_468


@lru_cache(maxsize=1024)  # Signals come close together.
def _format_second(second: int) -> str:
    date, in_day = divmod(second, 86_400)
    minutes, second = divmod(in_day, 60)
    hour, minute = divmod(minutes, 60)
    return f"{format_date(date)}T{hour:02d}:{minute:02d}:{second:02d}"


def _month_days(year: int, month: int) -> int:
    leap = month == 2 and year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    return _MONTH_DAYS[month - 1] + (1 if leap else 0)


def _shortened(text: str) -> str:
    return repr(text) if len(text) <= 60 else f"{text[:60]!r}..."
