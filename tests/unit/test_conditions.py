"""Sale conditions decide what a trade may update, by tape and code."""

from __future__ import annotations

import pytest

from streams.core.eligibility import (
    CODE_UNKNOWN,
    CODES,
    PROFILE_CTA,
    PROFILE_HKEX,
    PROFILE_NONE,
    PROFILE_UTP,
    condition_table,
    eligible,
    profile_of,
    source_versions,
)
from streams.core.layout import (
    ELIGIBLE_BY_CONDITION,
    ELIGIBLE_CLOSE_CORRECTED,
    ELIGIBLE_CLOSE_OFFICIAL,
    ELIGIBLE_EXTENDED,
    ELIGIBLE_HIGH_LOW,
    ELIGIBLE_LAST,
    ELIGIBLE_LATE,
    ELIGIBLE_OPENING,
    ELIGIBLE_PLAIN,
    ELIGIBLE_REOPENING,
    ELIGIBLE_VOLUME,
    LAST_CONDITIONAL,
    LAST_LISTING_MARKET,
    LAST_ONLY_OF_THE_DAY,
    LAST_UNTIL_END,
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
    ("mic", "code", "condition"),
    [
        *((mic, code, LAST_ONLY_OF_THE_DAY) for mic in ("XNYS", "XNAS") for code in "ZP4"),
        ("XNAS", "G", LAST_ONLY_OF_THE_DAY),
        ("XNYS", "L", LAST_LISTING_MARKET),
        ("XNAS", "L", LAST_UNTIL_END),
    ],
)
def test_T_C4_late_and_derived_prices_set_extremes_and_are_last_on_a_condition(
    mic: str, code: str, condition: int
) -> None:
    """A price reported late may be the day's high; whether it is the last one the session decides."""
    plain = ELIGIBLE_HIGH_LOW | ELIGIBLE_VOLUME | ELIGIBLE_BY_CONDITION | ELIGIBLE_LATE
    assert eligible(mic, None, [code]) == plain | condition
    assert eligible(mic, None, ["@", code]) == plain | condition
    assert eligible(mic, None, [code, "I"]) & (ELIGIBLE_LAST | LAST_CONDITIONAL) == 0


def test_conditions_on_last_add_up() -> None:
    """A trade with two conditional codes is the last one only where both say so."""
    both = LAST_ONLY_OF_THE_DAY | LAST_UNTIL_END

    assert eligible("XNAS", None, ["Z", "L"]) & LAST_CONDITIONAL == both


@pytest.mark.parametrize(("mic", "code"), [("XNYS", "?"), ("XNAS", "?"), ("XNAS", "E"), ("XNAS", "8"), ("XNYS", "N")])
def test_T_C6_unknown_or_undecided_code_is_never_eligible(mic: str, code: str) -> None:
    """A code that cannot be judged makes the trade ineligible for everything, and is marked in the table."""
    assert eligible(mic, None, [code]) == ELIGIBLE_BY_CONDITION
    assert eligible(mic, None, ["@", code]) == ELIGIBLE_BY_CONDITION
    assert condition_table()[profile_of(mic) * CODES + ord(code)] & CODE_UNKNOWN


def test_T_C8_official_prices_update_nothing() -> None:
    """The official open and close repeat what was traded: neither extremes nor volume; the close is marked."""
    assert eligible("XNYS", None, ["Q"]) == ELIGIBLE_BY_CONDITION
    assert eligible("XNYS", None, ["M"]) == ELIGIBLE_BY_CONDITION | ELIGIBLE_CLOSE_OFFICIAL


def test_corrected_close_has_no_volume() -> None:
    """A corrected consolidated close is a price without a trade of its own."""
    sets = ELIGIBLE_HIGH_LOW | ELIGIBLE_LAST | ELIGIBLE_BY_CONDITION
    assert eligible("XNYS", None, ["9"]) == sets | ELIGIBLE_CLOSE_CORRECTED


def test_trade_outside_hours_is_marked_unless_something_else_excludes_it() -> None:
    """Form T alone is a trade of the extended session; an odd lot of those hours is an odd lot."""
    assert eligible("XNYS", None, ["@", "T"]) == ELIGIBLE_VOLUME | ELIGIBLE_BY_CONDITION | ELIGIBLE_EXTENDED
    assert not eligible("XNYS", None, ["T", "I"]) & ELIGIBLE_EXTENDED
    assert not eligible("XNYS", None, ["@"]) & ELIGIBLE_EXTENDED


def test_opening_prints_are_marked() -> None:
    """Openings and reopenings carry a mark of their own, and only they."""
    table = condition_table()

    for profile in (PROFILE_CTA, PROFILE_UTP):
        marked = [chr(code) for code in range(256) if table[profile * CODES + code] & ELIGIBLE_OPENING]
        again = [chr(code) for code in range(256) if table[profile * CODES + code] & ELIGIBLE_REOPENING]
        assert (marked, again) == (["O"], ["5"])
    assert eligible("XNYS", None, ["O"]) == ELIGIBLE_PLAIN | ELIGIBLE_BY_CONDITION | ELIGIBLE_OPENING


def test_profile_is_that_of_the_tape_or_market() -> None:
    """Tapes A and B follow one specification and tape C another, Hong Kong its own; another market has none."""
    assert [profile_of("XHKG", tape) for tape in ("A", "B", "C", None)] == [
        PROFILE_CTA,
        PROFILE_CTA,
        PROFILE_UTP,
        PROFILE_HKEX,
    ]
    assert profile_of("XTKS") == PROFILE_NONE


def test_codes_of_hong_kong_have_no_marks_of_the_tapes() -> None:
    """M is an off-exchange trade there and states no close; U is an auction and not out of hours."""
    assert eligible("XHKG", None, ["M"]) == ELIGIBLE_VOLUME | ELIGIBLE_BY_CONDITION
    assert eligible("XHKG", None, ["U"]) == ELIGIBLE_PLAIN | ELIGIBLE_BY_CONDITION
    assert eligible("XHKG", None, ["P"]) == ELIGIBLE_BY_CONDITION


def test_tables_name_their_source() -> None:
    """Every row names the version of the specification it was taken from."""
    assert source_versions() == (
        "CTS 2.11b (2026-01-29)",
        "house rule",
        "UTP 4.1 (2026-09)",
        "OMD-C 1.32 (2020-04)",
    )
