"""Sale conditions decide what a trade may update, by tape and code."""

from __future__ import annotations

import pytest

from streams.core.eligibility import (
    CODE_UNKNOWN,
    CODES,
    PROFILE_CTA,
    PROFILE_NONE,
    PROFILE_UTP,
    condition_table,
    eligible,
    profile_of,
    source_versions,
)
from streams.core.layout import (
    ELIGIBLE_BY_CONDITION,
    ELIGIBLE_HIGH_LOW,
    ELIGIBLE_LAST,
    ELIGIBLE_OPENING,
    ELIGIBLE_PLAIN,
    ELIGIBLE_VOLUME,
)


def test_trade_without_conditions_is_plain() -> None:
    """A trade that names no condition may update everything, and cannot count after the bell."""
    assert eligible("XNYS", None, None) == ELIGIBLE_PLAIN
    assert eligible("XNYS", None, []) == ELIGIBLE_PLAIN


@pytest.mark.parametrize(("mic", "code"), [("XNYS", " "), ("XNYS", "@"), ("XNAS", "@"), ("XNAS", " "), ("XHKG", "Y")])
def test_regular_sale_updates_everything(mic: str, code: str) -> None:
    """A regular sale is fully eligible, whichever code a feed writes; so is everything where there is no profile."""
    assert eligible(mic, None, [code]) == ELIGIBLE_PLAIN | ELIGIBLE_BY_CONDITION


def test_T_C1_odd_lot_counts_for_volume_alone() -> None:
    """An odd lot moves neither high, low nor last, and adds to volume."""
    for mic in ("XNYS", "XNAS"):
        assert eligible(mic, None, ["I"]) == ELIGIBLE_VOLUME | ELIGIBLE_BY_CONDITION


def test_T_C2_the_tape_decides_what_a_code_means() -> None:
    """B is an average price on tape A and a bunched trade on tape C; the tape stands above the market."""
    assert not eligible("XNYS", None, ["B"]) & ELIGIBLE_HIGH_LOW
    assert eligible("XNAS", None, ["B"]) & ELIGIBLE_HIGH_LOW
    assert eligible("XNYS", "C", ["B"]) & ELIGIBLE_HIGH_LOW
    assert not eligible("XNAS", "A", ["B"]) & ELIGIBLE_HIGH_LOW


def test_T_C3_one_no_wins() -> None:
    """A sweep that is also an odd lot is an odd lot."""
    assert eligible("XNYS", None, ["F", "I"]) == ELIGIBLE_VOLUME | ELIGIBLE_BY_CONDITION


@pytest.mark.parametrize(
    ("mic", "code"), [(mic, code) for mic in ("XNYS", "XNAS") for code in "ZP4L"] + [("XNAS", "G")]
)
def test_T_C4_late_and_derived_prices_set_extremes_but_not_last(mic: str, code: str) -> None:
    """A price reported late may be the day's high; it never becomes the last."""
    assert eligible(mic, None, [code]) == ELIGIBLE_HIGH_LOW | ELIGIBLE_VOLUME | ELIGIBLE_BY_CONDITION


@pytest.mark.parametrize(("mic", "code"), [("XNYS", "?"), ("XNAS", "?"), ("XNAS", "E"), ("XNAS", "8"), ("XNYS", "N")])
def test_T_C6_unknown_or_undecided_code_is_never_eligible(mic: str, code: str) -> None:
    """A code that cannot be judged makes the trade ineligible for everything, and is marked in the table."""
    assert eligible(mic, None, [code]) == ELIGIBLE_BY_CONDITION
    assert eligible(mic, None, ["@", code]) == ELIGIBLE_BY_CONDITION
    assert condition_table()[profile_of(mic) * CODES + ord(code)] & CODE_UNKNOWN


def test_T_C8_official_prices_update_nothing() -> None:
    """The official open and close repeat what was traded: neither extremes nor volume."""
    for code in "MQ":
        assert eligible("XNYS", None, [code]) == ELIGIBLE_BY_CONDITION


def test_corrected_close_has_no_volume() -> None:
    """A corrected consolidated close is a price without a trade of its own."""
    assert eligible("XNYS", None, ["9"]) == ELIGIBLE_HIGH_LOW | ELIGIBLE_LAST | ELIGIBLE_BY_CONDITION


def test_opening_prints_are_marked() -> None:
    """Openings and reopenings carry a mark of their own, and only they."""
    table = condition_table()

    for profile in (PROFILE_CTA, PROFILE_UTP):
        marked = [chr(code) for code in range(256) if table[profile * CODES + code] & ELIGIBLE_OPENING]
        assert marked == ["5", "O"]
    assert eligible("XNYS", None, ["O"]) == ELIGIBLE_PLAIN | ELIGIBLE_BY_CONDITION | ELIGIBLE_OPENING


def test_profile_is_that_of_the_tape_or_market() -> None:
    """Tapes A and B follow one specification and tape C another; a market that is neither has none."""
    assert [profile_of("XHKG", tape) for tape in ("A", "B", "C", None)] == [
        PROFILE_CTA,
        PROFILE_CTA,
        PROFILE_UTP,
        PROFILE_NONE,
    ]


def test_tables_name_their_source() -> None:
    """Every row names the version of the specification it was taken from."""
    assert source_versions() == ("CTS 2.11b (2026-01-29)", "house rule", "UTP 4.1 (2026-09)")
