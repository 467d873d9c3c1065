"""What a trade may update, from its sale conditions: high and low, last, volume.

A condition means what its tape says: `B` is an average price on tapes A and B and a bunched trade on tape C. So the
tables of `conditions.csv` are keyed by profile (`cta` for tapes A and B, `utp` for tape C, `hkex` for Hong Kong) and
code, and name the version of the specification they were taken from. Of several codes the strictest answer wins; where
none says no, the conditions of all must hold (only trade of the day, of the listing market, before the end of
eligibility), which only the session can answer. A code that the table does not know, or that its specification leaves
undecided, makes the trade ineligible for everything: no signal beats a false one. A market without a profile takes
every trade.
"""

from __future__ import annotations

import csv
from collections.abc import Sequence
from functools import cache
from pathlib import Path
from typing import Final

import numpy as np
import numpy.typing as npt

from streams.core.compiled import inlined, njit
from streams.core.layout import (
    ELIGIBLE_BY_CONDITION,
    ELIGIBLE_CLOSE,
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
    VENUE_CHARACTERS,
    VENUE_MASK,
)
from streams.core.words import pointer_to

PROFILE_NONE: Final = 0
PROFILE_CTA: Final = 1
PROFILE_UTP: Final = 2
PROFILE_HKEX: Final = 3
PROFILE_NAMES: Final = ("none", "cta", "utp", "hkex")
CODE_UNKNOWN: Final = 32  # A bit beside the ELIGIBLE ones: the table cannot judge this code.
CODES: Final = 256
TAPES: Final = {"A": PROFILE_CTA, "B": PROFILE_CTA, "C": PROFILE_UTP}

_PROFILES_OF_MARKETS: Final = {
    "XNYS": PROFILE_CTA,
    "XASE": PROFILE_CTA,
    "ARCX": PROFILE_CTA,
    "BATS": PROFILE_CTA,
    "XNAS": PROFILE_UTP,
    "XHKG": PROFILE_HKEX,
}
# How the consolidated tapes call the exchange that a market's instruments are listed on.
LISTING_LETTERS: Final = {"XNYS": "N", "XASE": "A", "ARCX": "P", "BATS": "Z", "XNAS": "Q"}
_LAST_CONDITIONS: Final = {
    "only_of_the_day": LAST_ONLY_OF_THE_DAY,
    "listing_market": LAST_LISTING_MARKET,
    "until_end_of_eligibility": LAST_UNTIL_END,
}
_MARKS: Final = {
    "O": ELIGIBLE_OPENING,
    "5": ELIGIBLE_REOPENING,
    "M": ELIGIBLE_CLOSE_OFFICIAL,
    "9": ELIGIBLE_CLOSE_CORRECTED,
}
_ALL_MARKS: Final = (
    ELIGIBLE_OPENING
    | ELIGIBLE_REOPENING
    | ELIGIBLE_CLOSE_OFFICIAL
    | ELIGIBLE_CLOSE_CORRECTED
    | ELIGIBLE_LATE
    | LAST_CONDITIONAL
    | CODE_UNKNOWN
)
_TAPE_PROFILES: Final = ("cta", "utp")  # A mark is a code's on these: M is an off-exchange trade in Hong Kong.
_EXTENDED_CODES: Final = ("T", "U")
_EXTENDED_ON_TIME: Final = "T"
_TABLE = Path(__file__).with_name("conditions.csv")


@cache
def condition_table() -> npt.NDArray[np.int16]:
    """Return the ELIGIBLE and CODE bits of every profile and code, at CODES times the profile plus the code."""
    table = np.full((len(PROFILE_NAMES), CODES), CODE_UNKNOWN, np.int16)
    table[PROFILE_NONE] = ELIGIBLE_PLAIN | ELIGIBLE_EXTENDED
    with _TABLE.open(encoding="ascii", newline="") as file:
        for line in csv.DictReader(file):
            table[PROFILE_NAMES.index(line["profile"]), ord(line["code"])] = _bits(line)
    flat = table.reshape(-1)
    flat.flags.writeable = False
    return flat


@cache
def source_versions() -> tuple[str, ...]:
    """Return the specifications that the tables were taken from, for the provenance of signals."""
    with _TABLE.open(encoding="ascii", newline="") as file:
        return tuple(dict.fromkeys(line["source_version"] for line in csv.DictReader(file)))


def profile_of(mic: str, tape: str | None = None) -> int:
    """Return the profile by which a trade's conditions are read: its tape's, else its market's."""
    if tape is not None:
        return TAPES[tape]
    return _PROFILES_OF_MARKETS.get(mic, PROFILE_NONE)


def eligible(mic: str, tape: str | None, conditions: Sequence[str] | None) -> int:
    """Return the ELIGIBLE bits of a trade; without conditions it is a plain one.

    >>> eligible("XNYS", None, ["B"]) & ELIGIBLE_HIGH_LOW, eligible("XNAS", None, ["B"]) & ELIGIBLE_HIGH_LOW
    (0, 1)
    """
    codes = np.array([ord(code) for code in conditions or ()], np.int64)
    return int(combined(condition_table(), profile_of(mic, tape), codes)) & ~CODE_UNKNOWN


@njit
def combined(table: npt.NDArray[np.int16], profile: int, codes: npt.NDArray[np.int64]) -> int:
    """Return what `combine` says of all codes of an array."""
    return combine(pointer_to(table), profile, pointer_to(codes), np.int64(0), np.int64(codes.size))


@inlined
def combine(table: npt.NDArray[np.int16], profile: int, codes: npt.NDArray[np.int64], first: int, count: int) -> int:
    """Return the ELIGIBLE bits of `count` codes from `first` on together, and CODE_UNKNOWN where one cannot be judged.

    `table` and `codes` are pointers to arrays.
    """
    if count == 0:
        return ELIGIBLE_PLAIN
    allowed = ELIGIBLE_PLAIN | ELIGIBLE_EXTENDED
    marks = ELIGIBLE_BY_CONDITION
    for index in range(first, first + count):
        bits = int(table[profile * CODES + int(codes[index])])
        allowed &= bits
        marks |= bits & _ALL_MARKS
    if allowed & ELIGIBLE_LAST == 0:
        marks &= ~LAST_CONDITIONAL
    elif marks & LAST_CONDITIONAL:
        allowed &= ~ELIGIBLE_LAST
    if allowed & ELIGIBLE_HIGH_LOW:
        allowed &= ~ELIGIBLE_EXTENDED
    return allowed | marks


@njit
def set_extended_hours(eligible: npt.NDArray[np.int16]) -> None:
    """Change the ELIGIBLE bits of trades in place to what they are in the extended scope.

    What is not eligible only because it was made outside regular hours is eligible there, for last too unless it is
    late or derived. Its session has no auction after its end, and no official close is its own.
    """
    for index in range(len(eligible)):
        bits = np.int64(eligible[index])
        if bits & (ELIGIBLE_HIGH_LOW | ELIGIBLE_EXTENDED) == ELIGIBLE_EXTENDED:
            bits |= ELIGIBLE_HIGH_LOW if bits & ELIGIBLE_LATE != 0 else ELIGIBLE_HIGH_LOW | ELIGIBLE_LAST
        eligible[index] = bits & ~(ELIGIBLE_CLOSE | ELIGIBLE_BY_CONDITION)


def venue_number(venue: str | None) -> int:
    """Return the number that stands for a venue: the bytes of its first characters, 0 without one.

    >>> venue_number("N"), venue_number(None)
    (78, 0)
    """
    return int.from_bytes((venue or "").encode()[:VENUE_CHARACTERS], "little") & VENUE_MASK


# A conditional yes counts as one until all codes have been asked; what holds is decided when the trade is folded. A
# trade made outside regular hours is eligible for nothing but volume, unless its hours are asked for.
def _bits(line: dict[str, str]) -> int:
    answers = (line["high_low"], line["last"], line["volume"])
    if "undecided" in answers:
        return CODE_UNKNOWN
    is_of_tape = line["profile"] in _TAPE_PROFILES
    bits = _MARKS.get(line["code"], 0) if is_of_tape else 0
    bits |= _LAST_CONDITIONS.get(line["last"], 0)
    for answer, bit in zip(answers, (ELIGIBLE_HIGH_LOW, ELIGIBLE_LAST, ELIGIBLE_VOLUME), strict=True):
        bits |= bit if answer == "yes" else 0
    if bits & LAST_CONDITIONAL:
        bits |= ELIGIBLE_LAST
    if bits & ELIGIBLE_HIGH_LOW or (is_of_tape and line["code"] in _EXTENDED_CODES):
        bits |= ELIGIBLE_EXTENDED
        bits |= 0 if line["last"] == "yes" or line["code"] == _EXTENDED_ON_TIME else ELIGIBLE_LATE
    return bits
