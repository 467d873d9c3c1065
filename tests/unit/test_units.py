"""Decimals, times and dates at the edge of the core are exact, and what is not one is refused in words."""

from __future__ import annotations

import datetime
import decimal

import pytest
from hypothesis import given
from hypothesis import strategies as st

from streams.core.units import (
    DAY_NS,
    NS,
    PRICE_MAX,
    SCALE,
    TIME_MAX_NS,
    TIME_MIN_NS,
    format_date,
    format_decimal,
    format_time,
    parse_date,
    parse_decimal,
    parse_time,
)


@pytest.mark.parametrize(
    ("text", "value"),
    [
        ("179.90", 17_990_000_000),
        ("179.9", 17_990_000_000),
        ("0.00000001", 1),
        ("-0.5", -50_000_000),
        ("999999999999.99999999", 10**20 - 1),
        ("007", 7 * SCALE),
    ],
)
def test_decimal_is_scaled_exactly(text: str, value: int) -> None:
    """A decimal becomes an integer scaled by 1e-8 without ever being a float."""
    assert parse_decimal(text) == value


@pytest.mark.parametrize(
    "text", ["", "-", "1.", ".5", "+1", "1e2", "NaN", "inf", " 1", "1 ", "1,5", "0.123456789", "1234567890123", "١"]
)
def test_what_is_not_a_plain_decimal_is_refused(text: str) -> None:
    """Exponents, signs, spaces, foreign digits and a ninth decimal are refused with the expected shape in the text."""
    with pytest.raises(ValueError, match=r"expected a plain decimal like 179\.90"):
        parse_decimal(text)


@given(st.integers(min_value=-PRICE_MAX, max_value=PRICE_MAX))
def test_decimals_survive_the_round_trip(value: int) -> None:
    """Formatting gives the shortest decimal, which parses to the same integer."""
    text = format_decimal(value)

    assert parse_decimal(text) == value
    assert decimal.Decimal(text) == decimal.Decimal(value) / SCALE
    assert "." not in text or not text.endswith(("0", "."))


def test_time_keeps_nanoseconds_and_zone() -> None:
    """A time keeps nine digits, and its offset is taken away: 07:45:02 at -04:00 is 11:45:02 UTC."""
    assert parse_time("2025-09-30T07:45:02.000000001-04:00") == parse_time("2025-09-30T11:45:02Z") + 1
    assert parse_time("2025-09-29T13:30:00.005750123Z") == 1_759_152_600_005_750_123
    assert parse_time("1970-01-01T05:30:00.5+05:30") == NS // 2


@pytest.mark.parametrize(
    ("text", "message"),
    [
        ("2025-09-29T13:30:00", "has no zone"),
        ("2025-09-29 13:30:00Z", "expected an RFC 3339 time"),
        ("2025-09-29T13:30:00.0000000001Z", "expected an RFC 3339 time"),
        ("2025-09-29T24:00:00Z", "time of day"),
        ("2025-09-29T13:30:60Z", "time of day"),
        ("2025-09-29T13:30:00+24:00", "zone up to"),
        ("2025-02-29T13:30:00Z", "does not exist"),
        ("2025-13-01T13:30:00Z", "does not exist"),
        ("1899-12-31T23:59:59Z", "years 1900 to 2199"),
        ("2199-12-31T23:59:59-01:00", "years 1900 to 2199"),
    ],
)
def test_what_is_not_a_time_is_refused(text: str, message: str) -> None:
    """A time without zone, a day that does not exist and a year whose nanoseconds do not fit are refused."""
    with pytest.raises(ValueError, match=message):
        parse_time(text)


@given(st.integers(min_value=TIME_MIN_NS, max_value=TIME_MAX_NS))
def test_times_survive_the_round_trip(time_ns: int) -> None:
    """Formatting a time and parsing it gives the same nanosecond, and agrees with datetime to the microsecond."""
    text = format_time(time_ns)

    assert parse_time(text) == time_ns
    epoch = datetime.datetime(1970, 1, 1, tzinfo=datetime.UTC)
    expected = epoch + datetime.timedelta(microseconds=time_ns // 1000)
    assert text.startswith(expected.strftime("%Y-%m-%dT%H:%M:%S").rjust(19, "0"))


def test_every_date_agrees_with_the_calendar() -> None:
    """Dates and days since 1970 agree with the proleptic Gregorian calendar on every day of 1900 to 2199."""
    epoch = datetime.date(1970, 1, 1)
    for date in range(TIME_MIN_NS // DAY_NS, TIME_MAX_NS // DAY_NS + 1):
        text = (epoch + datetime.timedelta(days=date)).isoformat()

        assert format_date(date) == text
        assert parse_date(text) == date


@pytest.mark.parametrize(
    "text", ["2025-9-29", "20250929", "2025-09-31", "1900-02-29", "2200-01-01", "2025-09-29T00:00:00Z"]
)
def test_what_is_not_a_date_is_refused(text: str) -> None:
    """A date has the one form, exists in the calendar, and lies in the years 1900 to 2199."""
    with pytest.raises(ValueError, match="expected a d"):
        parse_date(text)
