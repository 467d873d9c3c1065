"""Whether bars are raw or adjusted, as their own split days say; and adjusted bars turned back to raw ones.

On the day of a 4:1 split a raw price falls to a quarter overnight, an adjusted one does not. So every split that lies
within a file is a witness for what the file holds around it, and a file whose witnesses disagree mixes the two: built
into a window it would give false levels for a year. Raw prices are what the log keeps, because an action that is
withdrawn, or becomes known late, can then still be taken back.
"""

from __future__ import annotations

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final, Literal

import numpy as np

from streams.core.units import format_date, format_decimal

Holds = Literal["raw", "adjusted"]

WITNESS_MIN: Final = Fraction(6, 5)
"""A split that moves the price by less than a fifth cannot be told from a day's trading: it witnesses nothing."""

WITNESS_DAYS_MAX: Final = 10
"""Prices of two sessions further apart than this say nothing about what happened on one morning."""

SPLIT_BAND: Final = 0.06
SPLIT_RATIOS: Final = tuple(sorted({*range(2, 21), *(1 / n for n in range(2, 21)), 1.5, 2 / 3}))
"""Ratios of the prices of two sessions that look like a split, as the engine's own guard has them."""


@dataclass(frozen=True, slots=True)
class Witness:
    """What one split day says of the bars around it.

    Attributes:
        date: The ex-date.
        before: Date and scaled close of the last session before it.
        after: Date and scaled open of the first session from it on.
        factor: What the split makes of a price.
        holds: Whether the prices are raw or adjusted there.
    """

    date: int
    before: tuple[int, int]
    after: tuple[int, int]
    factor: Fraction
    holds: Holds

    def __str__(self) -> str:
        moved = "with the split" if self.holds == "raw" else "without the split's step"
        return (
            f"{format_date(self.date)} ({self.factor.denominator}:{self.factor.numerator}): "
            f"{format_decimal(self.before[1])} to {format_decimal(self.after[1])}, {moved}"
        )


def witnesses(bars: np.ndarray, factors: Mapping[int, Fraction]) -> list[Witness]:
    """Return what the splits within a series say of it.

    Args:
        bars: `BAR`-like, in date order, traded sessions only.
        factors: Price factors by ex-date.
    """
    found = []
    for day, factor in sorted(factors.items()):
        index = int(np.searchsorted(bars["date"], day))
        if not 0 < index < len(bars) or max(factor, 1 / factor) < WITNESS_MIN:
            continue
        before, after = bars[index - 1], bars[index]
        if int(after["date"]) - int(before["date"]) > WITNESS_DAYS_MAX:
            continue
        step = math.log(int(after["open"]) / int(before["close"]))
        raw = abs(step - math.log(factor)) < abs(step)
        found.append(
            Witness(
                day,
                (int(before["date"]), int(before["close"])),
                (int(after["date"]), int(after["open"])),
                factor,
                "raw" if raw else "adjusted",
            )
        )
    return found


def objection(found: Sequence[Witness], stated: Holds) -> str | None:
    """Return why a series is not what it is said to be, None when no witness speaks against it."""
    against = [each for each in found if each.holds != stated]
    if not against:
        return None
    if len(against) < len(found):
        others = next(each for each in found if each.holds == stated)
        return (
            f"expected {stated} prices throughout, found raw and adjusted ones mixed: {against[0]}; {others}: "
            "get the whole series from one source"
        )
    return (
        f"expected {stated} prices, found {against[0].holds} ones: {against[0]}: say --{against[0].holds} if they are"
    )


def looks_split(bars: np.ndarray, factors: Mapping[int, Fraction]) -> list[tuple[int, int, int]]:
    """Return the steps of a raw series that look like a split nobody announced: date, close before, open.

    Args:
        bars: As for `witnesses`.
        factors: The splits that are known.
    """
    if len(bars) < 2:
        return []
    steps = bars["open"][1:] / bars["close"][:-1]
    near = np.zeros(len(steps), np.bool_)
    for ratio in SPLIT_RATIOS:
        near |= np.abs(steps / ratio - 1.0) <= SPLIT_BAND
    found = []
    for index in np.flatnonzero(near).tolist():
        before, after = bars[index], bars[index + 1]
        if not any(int(before["date"]) < day <= int(after["date"]) for day in factors):
            found.append((int(after["date"]), int(before["close"]), int(after["open"])))
    return found


def factor_after(day: int, factors: Mapping[int, Fraction], adjusted_to: int) -> Fraction:
    """Return what the adjustment has multiplied a price of a date with: the splits after it, up to a date."""
    product = Fraction(1)
    for ex_date, factor in factors.items():
        if day < ex_date <= adjusted_to:
            product *= factor
    return product
