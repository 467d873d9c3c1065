"""Amounts as vendors write them, to integers scaled by 1e-8, and back to the price that was once rounded.

Files carry prices that have been through a float: 181.33999633789062 is what is left of 181.34 after four bytes. The
price that was meant is taken to be the shortest decimal within the error that the writing allows. A price with at most
eight decimals is taken as it stands: it is exact.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation
from fractions import Fraction
from typing import Final

from streams.core.units import DECIMALS, SCALE

TEXT_MAX: Final = 48  # The longest that a float prints, and then some.
EXPONENT_MAX: Final = 20

SINGLE_ERROR: Final = Fraction(1, 1 << 24)
"""How far, relative to its value, a number is from what was meant after one rounding to a four-byte float."""

_PLAIN: Final = re.compile(r"(-?)([0-9]{1,12})(?:\.([0-9]{1,8}))?")


@dataclass(frozen=True, slots=True)
class Amount:
    """A number as a file has it.

    Attributes:
        value: Exactly what is written.
        decimals: How many decimals are written.
    """

    value: Fraction
    decimals: int

    def error(self, decimals: int) -> Fraction:
        """Return how far it may be from what was meant.

        It is half of the last digit, or, with more digits than a price has, what a four-byte float rounds away.

        Args:
            decimals: How many decimals its source writes: many leave out zeros at the end.
        """
        written = Fraction(1, 2 * 10**decimals)
        return max(written, abs(self.value) * SINGLE_ERROR) if decimals > DECIMALS else written


def parse_amount(text: str) -> Amount:
    """Return a number as it is written.

    Raises:
        ValueError: The text is no finite decimal number.
    """
    try:
        number = Decimal(text) if len(text) <= TEXT_MAX else Decimal("NaN")
    except InvalidOperation:
        number = Decimal("NaN")
    if not number.is_finite() or abs(number.adjusted()) > EXPONENT_MAX or "_" in text:
        raise ValueError(f"expected a number like 179.90, found {text[:TEXT_MAX]!r}")
    exponent = number.as_tuple().exponent
    assert isinstance(exponent, int), "a finite number has an exponent"
    return Amount(Fraction(number), max(0, -exponent))


def scaled(text: str) -> int:
    """Return a number scaled by 1e-8: exactly where it has at most eight decimals, else what was meant.

    >>> scaled("179.90"), scaled("181.33999633789062"), scaled("2.15763e+07")
    (17990000000, 18134000000, 2157630000000000)

    Raises:
        ValueError: The text is no finite decimal number.
    """
    match = _PLAIN.fullmatch(text)
    if match is not None:
        value = int(match[2]) * SCALE + int((match[3] or "").ljust(DECIMALS, "0"))
        return -value if match[1] else value
    amount = parse_amount(text)
    if amount.decimals <= DECIMALS:
        return int(amount.value * SCALE)
    return shortest(amount.value, amount.error(amount.decimals))


def shortest(value: Fraction, error: Fraction) -> int:
    """Return the decimal with the fewest digits after the point within `error` of a value, scaled by 1e-8.

    Where there is none of eight, it is the nearest of eight.

    >>> shortest(Fraction(99_999_999, 1_000_000), Fraction(3, 2_000_000))
    10000000000
    """
    for decimals in range(DECIMALS):
        step: int = 10**decimals
        near = round(value * step)
        if abs(Fraction(near, step) - value) <= error:
            missing: int = 10 ** (DECIMALS - decimals)
            return near * missing
    return round(value * SCALE)
