"""What is usual: the median of the latest trades, found by counting, and which prices are too far from it."""

from __future__ import annotations

import random
from fractions import Fraction
from typing import Any

import numpy as np
import pytest

from streams.core.compiled import njit
from streams.core.held import far_out_side
from streams.core.layout import DOWN, UP
from streams.core.recent import MEDIAN_PRINTS
from streams.core.rows import HOT, PRINTS, TAPE, WARM
from streams.core.units import PRICE_MAX

NOWHERE = -1


@njit
def side_of(hot: Any, warm: Any, tape: Any, price: Any, band: Any) -> int:
    return far_out_side(hot[0], warm[0], tape[0], price, band)


def rows(prices: list[int]) -> tuple[Any, Any, Any]:
    """Return a row that has seen these prices, the newest last."""
    hot, warm, tape = np.zeros(1, HOT), np.zeros(1, WARM), np.zeros(1, TAPE)
    hot["prints"] = len(prices)
    for number, price in enumerate(prices):
        tape["print"]["price"][0, number & (PRINTS - 1)] = price
    for side, price in ((UP, max(prices)), (DOWN, min(prices))):
        warm["best"][0, side, 0] = price
        warm["best_count"][0, side] = 1
    return hot, warm, tape


def expected_side(prices: list[int], price: int, band: int) -> int:
    """Say it as domain.md does: by the median, in fractions."""
    latest = sorted(prices[-MEDIAN_PRINTS:])
    if len(latest) < MEDIAN_PRINTS or band == 0:
        return NOWHERE
    usual = (latest[MEDIAN_PRINTS // 2 - 1] + latest[MEDIAN_PRINTS // 2]) // 2
    share = Fraction(band, 10_000)
    if price > max(prices) and price > usual * (1 + share):
        return UP
    return DOWN if price < min(prices) and price < usual * (1 - share) else NOWHERE


@pytest.mark.parametrize("seed", range(40))
def test_counting_agrees_with_the_median(seed: int) -> None:
    """Prices at the very edges, one unit to either side of them, with ties in the middle and without."""
    source = random.Random(seed)
    for _ in range(10):
        band = source.choice((0, 1, 500, 1_000, 9_999, 10_000))
        lowest = source.choice((1, 7, 99_999, 10**10, PRICE_MAX // 3))
        width = source.choice((1, 2, 5, max(1, lowest // 50)))
        count = source.choice((1, 19, 20, 21, 32, 33, 60))
        prices = [lowest + source.randint(0, width) for _ in range(count)]
        hot, warm, tape = rows(prices)
        latest = sorted(prices[-MEDIAN_PRINTS:])
        middle = (latest[len(latest) // 2 - 1] + latest[len(latest) // 2]) // 2
        edges = [middle * (10_000 + band) // 10_000, middle * (10_000 - band) // 10_000, max(prices), min(prices)]
        for edge in edges:
            for price in (edge - 1, edge, edge + 1):
                if 0 < price <= PRICE_MAX:
                    found = side_of(hot, warm, tape, np.int64(price), np.int64(band))
                    assert found == expected_side(prices, price, band), (prices, price, band)


def test_as_many_below_the_middle_as_above_it_leaves_the_mean_of_the_middle_two() -> None:
    """Ten trades at 100, ten at 111: 105.50 is usual, 116.05 is ten percent above it and 116.06 is more."""
    hot, warm, tape = rows([100_00] * 10 + [111_00] * 10)

    assert side_of(hot, warm, tape, np.int64(116_05), np.int64(1_000)) == NOWHERE
    assert side_of(hot, warm, tape, np.int64(116_06), np.int64(1_000)) == UP
