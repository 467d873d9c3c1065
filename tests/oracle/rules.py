"""The options of the signals and their defaults, as the specification lists them (section 8.5)."""

from __future__ import annotations

import re
from dataclasses import dataclass
from fractions import Fraction
from typing import Literal

Side = Literal["up", "down"]
SIDES: tuple[Side, Side] = ("up", "down")

BREAKOUTS: dict[Side, str] = {"up": "high_52w", "down": "low_52w"}
CLOSES: dict[Side, str] = {"up": "close_high_52w", "down": "close_low_52w"}

# Every measure in the order in which one trade moves them: enter and exit on the upper side (section 3).
# Returns are mirrored below; nearness is a ratio to the level and has one side only (kernel rules, "Breakouts").
RETURNS: dict[str, tuple[str, str | None]] = {
    "session_return": ("0.05", "0.04"),
    "gap": ("0.03", None),
    "mtd": ("0.10", "0.08"),
    "ytd": ("0.25", "0.20"),
    "roc_5": ("0.10", "0.08"),
    "roc_20": ("0.20", "0.15"),
    "roc_60": ("0.30", "0.25"),
}
NEARNESS: dict[str, tuple[Side, str, str]] = {
    "proximity_high_52w": ("up", "0.98", "0.97"),
    "proximity_low_52w": ("down", "1.02", "1.03"),
}
MEASURES: tuple[str, ...] = (*NEARNESS, *RETURNS)
FAMILIES: tuple[str, ...] = (*BREAKOUTS.values(), *MEASURES, "suspected_split", "held_print")


_CUSTOM = re.compile(r"(high|low)_([1-9]\d*[sd])")


@dataclass(frozen=True)
class Family:
    """A family of intraday breakouts: its side, and the window whose level it watches."""

    name: str
    side: Side
    lookback: str


@dataclass(frozen=True, kw_only=True)
class Rules:
    """Options, named as in the configuration."""

    lookback: str = "364d"
    equality: str = "strict"
    coverage_min: float = 0.95
    recent_sessions: int = 20
    hysteresis_ticks: int = 2
    hysteresis_bps: int = 50
    hysteresis_atr: float = 0.0
    tick_size: str = "0.01"
    max_triggers: int = 1
    fresh_sessions: int = 20
    conflate_ms: int = 1000
    close_grace_s: int = 900
    skew_s: int = 5
    max_entries: int = 3
    trigger_eligibility: str = "high_low"
    split_guard: bool = True
    bad_print_band: float = 0.10
    bad_print_trades: int = 3
    extended: bool = False
    families: tuple[str, ...] = FAMILIES

    @property
    def conflate_ns(self) -> int:
        """Event time within which further extremes are held."""
        return self.conflate_ms * 1_000_000

    @property
    def grace_ns(self) -> int:
        """Time after the bell at which a session has its verdict."""
        return self.close_grace_s * 1_000_000_000

    @property
    def skew_ns(self) -> int:
        """How far a record may be ahead of the reference time."""
        return self.skew_s * 1_000_000_000

    @property
    def coverage(self) -> Fraction:
        """The least share of known sessions, as written and not as a binary float."""
        return Fraction(str(self.coverage_min))


def breakouts(rules: Rules) -> list[Family]:
    """Return the families of intraday breakouts in their order: the two of a year, then those of other look-backs.

    Of each other look-back both sides exist, whichever of them is sent.
    """
    families = [Family(BREAKOUTS[side], side, rules.lookback) for side in SIDES]
    custom = (match[2] for match in map(_CUSTOM.fullmatch, rules.families) if match is not None)
    for lookback in dict.fromkeys(custom):
        families += [Family(f"high_{lookback}", "up", lookback), Family(f"low_{lookback}", "down", lookback)]
    return families


def further(side: Side, price: Fraction, other: Fraction) -> bool:
    """Say whether a price lies strictly beyond another, seen from a side: above it for up, below it for down."""
    return price > other if side == "up" else price < other


def at_least(side: Side, price: Fraction, other: Fraction) -> bool:
    """Say whether a price reaches another, seen from a side."""
    return price == other or further(side, price, other)
