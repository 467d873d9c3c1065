"""Names and numbers of signals."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from random import Random
from uuid import uuid5

import numpy as np
import pytest

from streams.core.ratios import FIRST_RETURN, ratio, ratios_of
from streams.core.rows import OUT
from streams.core.signals import NAMESPACE, content_id, event_id, signal_id
from streams.core.units import PRICE_MAX


def test_names_come_from_content_alone() -> None:
    """The published example of a signal's name and of two of its transitions' names."""
    name = signal_id("XNYS:BABA", "high_52w", "up", "2025-09-30", 1)

    assert name == "231763b8-495c-5329-a4b7-54ff0f22cee0"
    assert event_id(name, "triggered", 1) == "8fb53bcd-f579-51e7-aed3-68b7d8375a77"
    assert event_id(name, "confirmed", 2) == "b44e6711-c900-5477-82cd-8e658aa04164"


@pytest.mark.parametrize(
    ("numerator", "denominator"),
    [(1, 3), (-1, 3), (1, 2_000_000), (3, 2_000_000), (-1, 2_000_000), (-3, 2_000_000), (17990 - 8479, 8479), (5, 1)],
)
def test_ratios_round_half_even_on_exact_integers(numerator: int, denominator: int) -> None:
    """Six decimals, ties to even, for either sign; held against the decimal library."""
    exact = (Decimal(numerator) / Decimal(denominator)).quantize(Decimal("0.000001"), ROUND_HALF_EVEN)

    assert ratio(numerator, denominator) == float(exact)


def test_the_ratios_of_a_batch_are_those_of_single_signals() -> None:
    """What the compiled loop works out is exact to the last bit; what it cannot, it leaves open."""
    random = Random(52)
    pairs = [(1, 2_000_000), (3, 2_000_000), (PRICE_MAX, 1), (PRICE_MAX, PRICE_MAX), (1, PRICE_MAX), (5, 0), (0, 7)]
    pairs += [(random.randrange(1, 10 ** random.randint(1, 14)), random.randrange(1, PRICE_MAX)) for _ in range(2_000)]
    pairs += [(2 * base * 10**6 + base, 2 * 10**6) for base in range(1, 200)]
    outputs = np.zeros(len(pairs), OUT)
    outputs["price"], outputs["level"] = np.transpose(pairs)
    outputs["base"][:, 2] = outputs["level"]

    found = ratios_of(outputs)

    expected = [(ratio(price - level, level), ratio(price, level)) for price, level in pairs]
    open_ = [not np.isfinite(row[:2]).all() for row in found]
    assert [pair for pair, is_open in zip(pairs, open_, strict=True) if is_open] == [(PRICE_MAX, 1), (5, 0)]
    told = [(row[0], row[1], row[FIRST_RETURN + 2]) for row, is_open in zip(found, open_, strict=True) if not is_open]
    right = [(one, other, one) for (one, other), is_open in zip(expected, open_, strict=True) if not is_open]
    assert told == right


def test_a_ratio_to_nothing_is_absent() -> None:
    """An unknown base gives no number."""
    assert ratio(1, 0) is None


@pytest.mark.parametrize("content", ["", "XNYS:BABA|high_52w|up|intraday|regular|2025-09-30|1", "é" * 100, "a/b/1"])
def test_ids_are_version_five_uuids_of_their_content(content: str) -> None:
    """Whoever knows the namespace and the content can name a signal with any UUID library."""
    assert content_id(content) == str(uuid5(NAMESPACE, content))
