"""What a trade may update, from its sale conditions: high and low, last, volume.

A condition means what its tape says: `B` is an average price on tapes A and B and a bunched trade on tape C. So the
tables of `conditions.csv` are keyed by profile (`cta` for tapes A and B, `utp` for tape C) and code, and name the
version of the specification they were taken from. Of several codes the strictest answer wins. A code that the table
does not know, or that its specification leaves undecided, makes the trade ineligible for everything: no signal beats a
false one. A market without a profile takes every trade.
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
    ELIGIBLE_HIGH_LOW,
    ELIGIBLE_LAST,
    ELIGIBLE_OPENING,
    ELIGIBLE_PLAIN,
    ELIGIBLE_VOLUME,
)
from streams.core.words import pointer_to

PROFILE_NONE: Final = 0
PROFILE_CTA: Final = 1
PROFILE_UTP: Final = 2
PROFILE_NAMES: Final = ("none", "cta", "utp")
CODE_UNKNOWN: Final = 32  # A bit beside the ELIGIBLE ones: the table cannot judge this code.
CODES: Final = 256
TAPES: Final = {"A": PROFILE_CTA, "B": PROFILE_CTA, "C": PROFILE_UTP}

_PROFILES_OF_MARKETS: Final = {
    "XNYS": PROFILE_CTA,
    "XASE": PROFILE_CTA,
    "ARCX": PROFILE_CTA,
    "BATS": PROFILE_CTA,
    "XNAS": PROFILE_UTP,
}
_OPENING_CODES: Final = ("O", "5")
_TABLE = Path(__file__).with_name("conditions.csv")


@cache
def condition_table() -> npt.NDArray[np.int8]:
    """Return the ELIGIBLE and CODE bits of every profile and code, at CODES times the profile plus the code."""
    table = np.full((len(PROFILE_NAMES), CODES), CODE_UNKNOWN, np.int8)
    table[PROFILE_NONE] = ELIGIBLE_PLAIN
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
def combined(table: npt.NDArray[np.int8], profile: int, codes: npt.NDArray[np.int64]) -> int:
    """Return what `combine` says of all codes of an array."""
    return combine(pointer_to(table), profile, pointer_to(codes), np.int64(0), np.int64(codes.size))


@inlined
def combine(table: npt.NDArray[np.int8], profile: int, codes: npt.NDArray[np.int64], first: int, count: int) -> int:
    """Return the ELIGIBLE bits of `count` codes from `first` on together, and CODE_UNKNOWN where one cannot be judged.

    `table` and `codes` are pointers to arrays.
    """
    if count == 0:
        return ELIGIBLE_PLAIN
    allowed = ELIGIBLE_PLAIN
    marks = ELIGIBLE_BY_CONDITION
    for index in range(first, first + count):
        bits = int(table[profile * CODES + int(codes[index])])
        allowed &= bits
        marks |= bits & (ELIGIBLE_OPENING | CODE_UNKNOWN)
    return allowed | marks


# Only an unconditional yes makes a trade eligible for last: the conditional ones depend on the day's other trades.
def _bits(line: dict[str, str]) -> int:
    answers = (line["high_low"], line["last"], line["volume"])
    bits = CODE_UNKNOWN if "undecided" in answers else 0
    if not bits:
        for answer, bit in zip(answers, (ELIGIBLE_HIGH_LOW, ELIGIBLE_LAST, ELIGIBLE_VOLUME), strict=True):
            bits |= bit if answer == "yes" else 0
    if line["code"] in _OPENING_CODES:
        bits |= ELIGIBLE_OPENING
    return bits
