"""Exact products of a price and a ratio, in integers that cannot overflow: split the price before multiplying."""

from __future__ import annotations

from typing import Final

import numpy as np

from streams.core.compiled import njit
from streams.core.units import PRICE_MAX

PARTS_MAX: Final = 2**30  # Parts of a ratio: a rest times a part, doubled, stays below 2**62.


@njit
def scaled_floor(value: int, numerator: int, denominator: int) -> int:
    """Return floor(value x numerator / denominator) for value >= 0; exact while the result fits 63 bits."""
    return (value // denominator) * numerator + (value % denominator) * numerator // denominator


@njit
def scaled_ceil(value: int, numerator: int, denominator: int) -> int:
    """Return ceil(value x numerator / denominator) for value >= 0; exact while the result fits 63 bits."""
    return (value // denominator) * numerator + ((value % denominator) * numerator + denominator - 1) // denominator


@njit
def scaled_nearest(value: int, numerator: int, denominator: int) -> int:
    """Return value x numerator / denominator rounded half up, for value >= 0 and parts up to PARTS_MAX."""
    rest = (value % denominator) * numerator
    return (value // denominator) * numerator + (2 * rest + denominator) // (2 * denominator)


@njit
def scaled_fits(value: int, numerator: int, denominator: int) -> bool:
    """Return whether value x numerator / denominator is a price from 1 unit to PRICE_MAX; false for parts of 0."""
    if numerator == 0 or denominator == 0:
        return False
    if (value // denominator) > np.int64(PRICE_MAX) // numerator:
        return False
    is_some = scaled_floor(value, numerator, denominator) > 0
    return is_some and scaled_ceil(value, numerator, denominator) <= np.int64(PRICE_MAX)


@njit
def reduced_product(numerator: int, denominator: int, by: int, over: int) -> tuple[int, int]:
    """Return numerator / denominator x by / over in lowest terms; 0, 0 where a part would pass PARTS_MAX."""
    if numerator == 0:
        return np.int64(0), np.int64(0)
    first = _common(numerator, over)
    second = _common(by, denominator)
    top = (numerator // first) * (by // second)
    bottom = (denominator // second) * (over // first)
    common = _common(top, bottom)
    top //= common
    bottom //= common
    if top > np.int64(PARTS_MAX) or bottom > np.int64(PARTS_MAX):
        return np.int64(0), np.int64(0)
    return top, bottom


@njit
def _common(one: int, other: int) -> int:
    while other != 0:
        one, other = other, one % other
    return one
