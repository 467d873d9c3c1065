"""Adjusted bars turned back to raw ones, exactly or not at all.

A vendor divides by the split and rounds; multiplying gives the raw price up to that rounding. The price that was traded
is the shortest decimal within it. Where the rounding leaves more than half a cent open, it is not known what was
traded, and a level that is a guess is worse than none.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping, Sequence
from fractions import Fraction
from typing import Final

import numpy as np

from streams.core.units import PRICE_MAX, SCALE, SIZE_MAX, format_decimal
from streams.feeds.adjustment import factor_after
from streams.feeds.amounts import Amount, shortest
from streams.feeds.history import PRICES

TICK: Final = Fraction(1, 100)
"""Adjusted prices that leave open by more than half of this what the raw price was are refused."""


def turn_back(
    bars: np.ndarray, exact: Sequence[tuple[Amount, ...]], factors: Mapping[int, Fraction], adjusted_to: int
) -> Iterator[tuple[int, str]]:
    """Turn adjusted bars back to raw ones in place; yield the index of each that cannot be, and why.

    Args:
        bars: Dates, prices and volumes as in a file, in date order.
        exact: The prices as written, open to close; empty for a session without trades.
        factors: Price factors by ex-date.
        adjusted_to: The date that the prices are adjusted to.
    """
    # Many vendors leave out zeros at the end: the longest price says how many decimals all of them are rounded to.
    decimals = max((amount.decimals for amounts in exact for amount in amounts), default=0)
    for index, amounts in enumerate(exact):
        factor = factor_after(int(bars[index]["date"]), factors, adjusted_to)
        if factor != 1 and amounts:
            try:
                _turn_bar_back(bars[index], amounts, factor, decimals)
            except ValueError as error:
                yield index, str(error)


def _turn_bar_back(bar: np.void, exact: Sequence[Amount], factor: Fraction, decimals: int) -> None:
    prices = []
    for name, amount in zip(PRICES, exact, strict=True):
        error = amount.error(decimals) / factor
        if error > TICK / 2:
            raise ValueError(
                f"{name}: expected enough decimals to know the raw price to the cent, found "
                f"{format_decimal(int(amount.value * SCALE))}, which may be {float(error):.3f} off after the split: "
                "take raw bars, or a file with more decimals"
            )
        prices.append(shortest(amount.value / factor, error))
    first, high, low, last = prices
    if not 0 < low <= min(first, last) <= max(first, last) <= high <= PRICE_MAX:
        raise ValueError(
            f"expected raw prices above 0 and up to {PRICE_MAX // SCALE:,}, found "
            f"{', '.join(format_decimal(price) for price in prices)} after the splits since then: check the actions"
        )
    for name, price in zip(PRICES, prices, strict=True):
        bar[name] = price
    if int(bar["volume"]) > 0:
        volume = round(Fraction(int(bar["volume"]), SCALE) * factor) * SCALE
        if not 0 < volume <= SIZE_MAX:
            raise ValueError(
                f"volume: expected one in its range after the splits since then, found {volume // SCALE:,}"
            )
        bar["volume"] = volume
