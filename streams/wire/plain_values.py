"""Plain JSON values to integers, in compiled code: decimals, times, condition codes and the length of a string.

A function takes the buffer, a position and the record's end, and returns a value and the position after it, which is
-1 for anything that is not plain. Digits are checked and joined eight at a time: subtracting the text of zeros leaves
one digit a byte, and an addition then sets the high bit of every byte above nine. Signed words are as good as unsigned
ones here: whatever passes the check is positive.
"""

from __future__ import annotations

from typing import Final

import numpy as np
import numpy.typing as npt

from streams.core.compiled import inlined, njit
from streams.core.layout import CONDITION_COUNT
from streams.core.units import DAY_NS, NS, SCALE, TIME_MAX_NS, TIME_MIN_NS, YEAR_MAX, YEAR_MIN
from streams.core.words import Bytes, first_bytes, trailing_zeros, word_at

Integers = npt.NDArray[np.int64]

# The memory of `read_time`: the last date's text as two words, and its start.
DATE_WORDS: Final = 3
_DATE_FIRST: Final = 0
_DATE_SECOND: Final = 1
_DATE_NS: Final = 2

_QUOTE: Final = 0x22
_POWERS: Final = np.array([10**exponent for exponent in range(10)], np.int64)
_MONTH_DAYS: Final = np.array([31, 28, 31, 30, 31, 30, 31, 31, 30, 31, 30, 31], np.int64)
_WHOLE_DIGITS_MAX: Final = 10  # as many as the largest size has; more are left to the thorough way
_HIGH_BITS: Final = -0x7F7F_7F7F_7F7F_7F80  # 0x80 in every byte
_EIGHT_ZEROS: Final = 0x3030_3030_3030_3030
_ABOVE_NINE: Final = 0x7676_7676_7676_7676
_SEVEN_HIGH: Final = 0x80_8080_8080_8080
_SEVEN_LOW: Final = 0x7F_7F7F_7F7F_7F7F
_SEVEN_ONES: Final = 0x01_0101_0101_0101  # added to a byte, sets its high bit from 0x7F on
_SEVEN_SPACES: Final = 0x60_6060_6060_6060  # added to a byte, sets its high bit from 0x20 on
_SEVEN_QUOTES: Final = 0x22_2222_2222_2222
_SEVEN_BACKSLASHES: Final = 0x5C_5C5C_5C5C_5C5C
_CLOCK_ZEROS: Final = 0x3030_3A30_303A_3030  # "00:00:00"
_ABOVE_CLOCK: Final = 0x7676_7F76_767F_7676
_DATE_TAIL: Final = 0xFF_FFFF  # "29T": what a date has beyond its first eight bytes


def new_memory(words: int) -> Integers:
    """Return a memory of so many words whose first are those of `read_time`, without a date yet."""
    memory = np.zeros(words, np.int64)
    memory[_DATE_SECOND] = -1  # no text equals it: only three bytes of that word are ever compared
    return memory


@inlined
def string_length(buffer: Bytes, at: int, end: int) -> int:
    """Return the length of a string of printable ASCII without escapes, up to its closing quote; -1 for any other."""
    length = 0
    while at + length < end:
        # Seven bytes at a time: so their sums stay positive. A byte's high bit marks what ends a plain string.
        word = word_at(buffer, at + length, end)
        low = word & _SEVEN_LOW
        plain = (low + _SEVEN_SPACES) & ((low ^ _SEVEN_QUOTES) + _SEVEN_LOW) & ((low ^ _SEVEN_BACKSLASHES) + _SEVEN_LOW)
        special = (~plain | (low + _SEVEN_ONES) | word) & _SEVEN_HIGH
        if special != 0:
            length += trailing_zeros(special) >> 3
            return length if at + length < end and buffer[at + length] == _QUOTE else -1
        length += 7
    return -1


@inlined
def read_digits(buffer: Bytes, at: int, end: int) -> tuple[int, int]:
    """Return the number that the digits from `at` on make, and how many there are; it stops after eight."""
    digits = word_at(buffer, at, end) ^ _EIGHT_ZEROS
    others = (digits | (digits + _ABOVE_NINE)) & _HIGH_BITS
    count = 8
    if others != 0:
        count = trailing_zeros(others) >> 3
        if count == 0:
            return 0, 0
        digits = (digits & first_bytes(count)) << (8 * (8 - count))
    digits = (digits * 10 + (digits >> 8)) & 0x00FF_00FF_00FF_00FF
    digits = (digits * 100 + (digits >> 16)) & 0x0000_FFFF_0000_FFFF
    return (digits * 10_000 + (digits >> 32)) & 0xFFFF_FFFF, count


@inlined
def read_decimal(buffer: Bytes, at: int, end: int) -> tuple[int, int]:
    """Read an unsigned decimal of at most ten digits before and eight after the point, scaled by 1e-8."""
    value, count = read_digits(buffer, at, end)
    if count == 0:
        return 0, -1
    at += count
    if count == 8:
        more, count = read_digits(buffer, at, end)
        if count > _WHOLE_DIGITS_MAX - 8:
            return 0, -1
        value = value * int(_POWERS[count]) + more
        at += count
    if at >= end or buffer[at] != 0x2E:
        return value * SCALE, at
    fraction, count = read_digits(buffer, at + 1, end)
    if count == 0:
        return 0, -1
    return value * SCALE + fraction * int(_POWERS[8 - count]), at + 1 + count


@njit
def read_integer_time(buffer: Bytes, at: int, end: int) -> tuple[int, int]:
    """Read integer nanoseconds since 1970: 18 digits, or 19 up to the year 2199."""
    first, first_count = read_digits(buffer, at, end)
    second, second_count = read_digits(buffer, at + 8, end)
    third, third_count = read_digits(buffer, at + 16, end)
    if first_count != 8 or second_count != 8 or third_count < 2 or third_count > 3 or buffer[at] == 0x30:
        return 0, -1
    if third_count == 3 and first > 80_000_000:
        return 0, -1
    value = (first * 100_000_000 + second) * int(_POWERS[third_count]) + third
    return value, (at + 16 + third_count if value <= TIME_MAX_NS else -1)


@inlined
def read_time(buffer: Bytes, at: int, end: int, memory: Integers) -> tuple[int, int]:
    """Read an RFC 3339 time; the date of the time before is not parsed again."""
    if at + 20 > end:
        return 0, -1
    first = word_at(buffer, at, end)
    second = word_at(buffer, at + 8, end) & _DATE_TAIL
    if first != memory[_DATE_FIRST] or second != memory[_DATE_SECOND]:
        date_ns = _date_ns(buffer, at)
        if date_ns == 0:
            return 0, -1
        memory[_DATE_FIRST] = first
        memory[_DATE_SECOND] = second
        memory[_DATE_NS] = date_ns
    clock = word_at(buffer, at + 11, end) - _CLOCK_ZEROS
    if (clock | (clock + _ABOVE_CLOCK)) & _HIGH_BITS != 0:
        return 0, -1
    pairs = clock * 10 + (clock >> 8)
    hour, minute, second = pairs & 0xFF, (pairs >> 24) & 0xFF, (pairs >> 48) & 0xFF
    if hour > 23 or minute > 59 or second > 59:
        return 0, -1
    value = int(memory[_DATE_NS]) + (hour * 3600 + minute * 60 + second) * NS
    at += 19
    if buffer[at] == 0x2E:
        fraction, at = _read_fraction(buffer, at + 1, end)
        value += fraction
    if at < 0 or at >= end:
        return 0, -1
    if buffer[at] != 0x5A:
        offset_ns, at = _read_offset(buffer, at, end)
        value -= offset_ns
        if value < TIME_MIN_NS or value > TIME_MAX_NS:
            return 0, -1
        return value, at
    return value, at + 1


@njit
def read_conditions(buffer: Bytes, at: int, end: int, codes: Integers, first: int) -> tuple[int, int]:
    """Read a list of at most four one-character strings into `codes` from `first` on; return how many."""
    if at + 1 >= end or buffer[at] != 0x5B:
        return 0, -1
    if buffer[at + 1] == 0x5D:
        return 0, at + 2
    at += 1
    count = 0
    while count < CONDITION_COUNT and at + 4 <= end:
        code = int(buffer[at + 1])
        if (
            buffer[at] != _QUOTE
            or code < 0x20
            or code > 0x7E
            or code == _QUOTE
            or code == 0x5C
            or buffer[at + 2] != _QUOTE
        ):
            return 0, -1
        codes[first + count] = code
        count += 1
        at += 4
        if buffer[at - 1] == 0x5D:
            return count, at
        if buffer[at - 1] != 0x2C:
            return 0, -1
        while at < end and buffer[at] == 0x20:
            at += 1
    return 0, -1


# The start of the day written at `at` with the T after it, in nanoseconds, or 0; 1970-01-01 is left to the other way.
@njit
def _date_ns(buffer: Bytes, at: int) -> int:
    return date_days(buffer, at) * DAY_NS if buffer[at + 10] == 0x54 else 0


@njit
def date_days(buffer: Bytes, at: int) -> int:
    """Return the date in the ten bytes from `at`, in days since 1970; 0 where it is none, or that very day."""
    if buffer[at + 4] != 0x2D or buffer[at + 7] != 0x2D:
        return 0
    year = _digits(buffer, at, np.int64(4))
    month = _digits(buffer, at + 5, np.int64(2))
    day = _digits(buffer, at + 8, np.int64(2))
    if year < YEAR_MIN or year > YEAR_MAX or month < 1 or month > 12 or day < 1:
        return 0
    leap = year % 4 == 0 and (year % 100 != 0 or year % 400 == 0)
    if day > _MONTH_DAYS[month - 1] + (1 if leap and month == 2 else 0):
        return 0
    if month <= 2:
        year -= 1
        month += 12
    # Years run from March, so that the leap day is the last of its year; the same calendar as units.days_since_1970.
    return year * 365 + year // 4 - year // 100 + year // 400 + (153 * (month - 3) + 2) // 5 + day - 1 - 719_468


# A decimal number of exactly `count` digits; -1 for any other.
@njit
def _digits(buffer: Bytes, at: int, count: int) -> int:
    value = 0
    for index in range(count):
        digit = int(buffer[at + index]) - 0x30
        if digit < 0 or digit > 9:
            return -1
        value = value * 10 + digit
    return value


# One to nine digits of a second, in nanoseconds.
@inlined
def _read_fraction(buffer: Bytes, at: int, end: int) -> tuple[int, int]:
    value, count = read_digits(buffer, at, end)
    if count == 8 and at + 8 < end:
        ninth = int(buffer[at + 8]) - 0x30
        if 0 <= ninth <= 9:
            return value * 10 + ninth, at + 9
    return value * int(_POWERS[9 - count]), (at + count if count > 0 else -1)


@njit
def _read_offset(buffer: Bytes, at: int, end: int) -> tuple[int, int]:
    if at + 6 > end or (buffer[at] != 0x2B and buffer[at] != 0x2D) or buffer[at + 3] != 0x3A:
        return 0, -1
    hour = _digits(buffer, at + 1, np.int64(2))
    minute = _digits(buffer, at + 4, np.int64(2))
    if hour < 0 or hour > 23 or minute < 0 or minute > 59:
        return 0, -1
    offset_ns = (hour * 3600 + minute * 60) * NS
    return (offset_ns if buffer[at] == 0x2B else -offset_ns), at + 6
