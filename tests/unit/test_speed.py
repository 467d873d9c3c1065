"""The path is as fast as it was, relative to fixed loops of the same process: no time is absolute here."""

from __future__ import annotations

import pytest

from benchmarks.gate import LIMITS, measure, too_slow

ATTEMPTS = 3


@pytest.mark.compiled_only
def test_reading_folding_and_encoding_keep_their_ratios() -> None:
    """What a change costs is seen where it is made; a disturbed attempt is made again."""
    best: dict[str, float] = {}
    for _ in range(ATTEMPTS):
        ratios = measure()
        best = {name: min(ratio, best.get(name, ratio)) for name, ratio in ratios.items()}
        if not too_slow(best):
            break

    assert too_slow(best) == []


def test_a_slower_path_is_told_by_name() -> None:
    """The text names what is slow, its limit and what was found."""
    failures = too_slow({"ticks": LIMITS["ticks"] * 1.01, "signals": LIMITS["signals"] * 0.99})

    assert len(failures) == 1
    assert failures[0].startswith("ticks: expected at most")
