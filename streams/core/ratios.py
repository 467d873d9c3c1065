"""The ratios that signals carry, of a whole batch at once: a breakout has eight, half a microsecond each in Python."""

from __future__ import annotations

from typing import Final

import numpy as np

from streams.core.compiled import njit
from streams.core.layout import MEASURE_COUNT
from streams.core.units import PRICE_MAX

RATIO_DIGITS: Final = 6
RATIO_ONE: Final[int] = 10**RATIO_DIGITS
DISTANCE: Final = 0  # columns: of the level, and after them the return over the base of every measure
NEARNESS: Final = 1
FIRST_RETURN: Final = 2
_THOUSAND: Final = 1000  # A rest, less than PRICE_MAX, times this stays below 2**63; twice makes the six digits.
_WHOLE_MAX: Final = 2**53 // RATIO_ONE - 1  # With six digits more it is a float without loss.


def ratio(numerator: int, denominator: int) -> float | None:
    """Return numerator / denominator rounded half-even to six decimals, exactly; None when the denominator is 0."""
    if denominator == 0:
        return None
    scaled = numerator * RATIO_ONE
    quotient = scaled // denominator
    twice_rest = 2 * (scaled - quotient * denominator)
    if twice_rest > denominator or (twice_rest == denominator and quotient % 2):
        quotient += 1
    return quotient / RATIO_ONE


def ratios_of(outputs: np.ndarray) -> np.ndarray:
    """Return distance, nearness and all returns of every output: what `ratio` says, or NaN where it must be asked.

    Args:
        outputs: `OUT`.
    """
    found = np.empty((len(outputs), FIRST_RETURN + MEASURE_COUNT))
    _fill(np.ascontiguousarray(outputs), found)
    return found


@njit
def _fill(outputs: np.ndarray, found: np.ndarray) -> None:
    for index in range(len(outputs)):
        output = outputs[index]
        price, level = output["price"], output["level"]
        found[index, DISTANCE] = _ratio(price - level, level)
        found[index, NEARNESS] = _ratio(price, level)
        for number in range(MEASURE_COUNT):
            base = output["base"][number]
            found[index, FIRST_RETURN + number] = _ratio(price - base, base)


@njit
def _ratio(numerator: int, denominator: int) -> float:
    if denominator <= 0 or denominator > np.int64(PRICE_MAX):
        return np.nan
    whole = numerator // denominator
    if whole > np.int64(_WHOLE_MAX) or whole < -np.int64(_WHOLE_MAX):
        return np.nan
    rest = (numerator - whole * denominator) * _THOUSAND
    upper = rest // denominator
    rest = (rest - upper * denominator) * _THOUSAND
    lower = rest // denominator
    twice_rest = 2 * (rest - lower * denominator)
    quotient = whole * RATIO_ONE + upper * _THOUSAND + lower
    if twice_rest > denominator or (twice_rest == denominator and quotient % 2 == 1):
        quotient += 1
    return quotient / RATIO_ONE
