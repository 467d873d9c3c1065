"""Names and numbers of signals."""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Decimal
from uuid import uuid5

import pytest

from streams.core.signals import NAMESPACE, content_id, event_id, ratio, signal_id


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


def test_a_ratio_to_nothing_is_absent() -> None:
    """An unknown base gives no number."""
    assert ratio(1, 0) is None


@pytest.mark.parametrize("content", ["", "XNYS:BABA|high_52w|up|intraday|regular|2025-09-30|1", "é" * 100, "a/b/1"])
def test_ids_are_version_five_uuids_of_their_content(content: str) -> None:
    """Whoever knows the namespace and the content can name a signal with any UUID library."""
    assert content_id(content) == str(uuid5(NAMESPACE, content))
