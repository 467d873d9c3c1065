"""Exact products of a price and a ratio, in integers that cannot overflow: split the price before multiplying."""

from __future__ import annotations

from streams.core.compiled import njit


@njit
def scaled_floor(value: int, numerator: int, denominator: int) -> int:
    """Return floor(value x numerator / denominator) for value >= 0; exact while the result fits 63 bits."""
    return (value // denominator) * numerator + (value % denominator) * numerator // denominator


@njit
def scaled_ceil(value: int, numerator: int, denominator: int) -> int:
    """Return ceil(value x numerator / denominator) for value >= 0; exact while the result fits 63 bits."""
    return (value // denominator) * numerator + ((value % denominator) * numerator + denominator - 1) // denominator
