"""The rules in force: every option that decides which signals come out, and their form for the compiled step."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from fractions import Fraction
from typing import Final

import numpy as np

from streams.core.layout import (
    FAMILIES_DEFAULT,
    FAMILIES_EXTENDED,
    FAMILY_CLOSE_HIGH,
    FAMILY_HIGH,
    FAMILY_NAMES,
    FIRST_CLOSE,
    FIRST_LOOKBACK,
    FIRST_MEASURE,
    MACHINES,
    MEASURE_COUNT,
    WINDOWS_MAX,
)
from streams.core.units import NS, parse_decimal

RULES_VERSION: Final = "fiftytwo-rules-2"

# Thresholds are compared as close x RATIO / RATIO_ONE in exact integers.
RATIO_ONE: Final = 10_000

# Enter and exit per measure, as signed returns; the lower side mirrors the upper one. Nearness is a ratio to the level.
DEFAULT_THRESHOLDS: Final[Mapping[str, tuple[str, str]]] = {
    "proximity_high_52w": ("0.98", "0.97"),
    "proximity_low_52w": ("1.02", "1.03"),
    "session_return": ("0.05", "0.04"),
    "gap": ("0.03", ""),
    "mtd": ("0.10", "0.08"),
    "ytd": ("0.25", "0.20"),
    "roc_5": ("0.10", "0.08"),
    "roc_20": ("0.20", "0.15"),
    "roc_60": ("0.30", "0.25"),
}

TRIGGER_ELIGIBILITIES: Final = ("high_low", "high_low_and_last")
LOOKBACK_FAMILY: Final = re.compile(r"(high|low)_([1-9]\d{0,3}[sd])")
_SIDES: Final = ("high", "low")

RULES = np.dtype(
    [
        ("equality_match", "i8"),
        ("coverage_ppm", "i8"),
        ("recent_sessions", "i8"),
        ("hysteresis_ticks", "i8"),
        ("tick", "i8"),
        ("hysteresis_bps", "i8"),
        ("hysteresis_atr", "f8"),
        ("max_triggers", "i8"),
        ("fresh_sessions", "i8"),
        ("conflate_ns", "i8"),
        ("grace_ns", "i8"),
        ("skew_ns", "i8"),
        ("max_entries", "i8"),
        ("band", "i8"),
        ("trigger_last", "i8"),  # late and derived trades never trigger
        ("split_guard", "i8"),
        ("bad_print_bps", "i8"),
        ("bad_print_trades", "i8"),
        ("extended", "i8"),  # whether these are the rules of the extended scope
        ("windows", "i8"),
        ("machine", "i8", (MACHINES,)),  # whether a breakout machine is on
        ("enabled", "i8", (len(FAMILY_NAMES),)),
        ("enter", "i8", (MEASURE_COUNT, 2)),
        ("exit", "i8", (MEASURE_COUNT, 2)),
    ],
    align=True,
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Rules:
    """Options of the engine. Equal rules and an equal log give equal signals.

    Attributes:
        lookback: The window: `364d` (52 weeks), `1y` or a number of sessions such as `252s`.
        equality: `strict` (beyond the level) or `match` (made or matched it).
        coverage_min: Least share of a window's sessions that must be known.
        recent_sessions: None of this many latest sessions may be missing.
        hysteresis_ticks: Least distance of the failure line from the level, in ticks.
        hysteresis_bps: Least distance of the failure line from the level, in basis points of the level.
        hysteresis_atr: Least distance of the failure line from the level, in average true ranges (14).
        tick_size: Minimum price increment, as a decimal string.
        max_triggers: Most triggers of one side in one session, 1 to 4.
        fresh_sessions: A trigger is fresh when this many sessions before it had none on its side.
        conflate_ms: New extremes within this event time of the last one sent are held, and the newest is sent.
        close_grace_s: A session is closed this long after its bell.
        skew_s: A record further ahead of the reference time than this is refused.
        max_entries: Most entries of one momentum measure and side in one session.
        families: The families that are emitted. Besides the named ones, those of other look-backs, `high_126s` or
            `low_90d`, of at most two look-backs.
        thresholds: Enter and exit per measure, as returns (`0.05`) or, for proximity, ratios to the level (`0.98`).
        trigger_eligibility: `high_low` (every trade that may set the day's high may trigger) or `high_low_and_last`
            (late and derived trades move the extremes and trigger nothing).
        split_guard: Withhold what an instrument says whose first trade looks like a split that nobody announced.
        bad_print_band: A new extreme further than this share from the median of the session's last twenty trades is
            held until it is confirmed; 0 holds nothing.
        bad_print_trades: As many trades out there, within the band of each other, confirm each other; one of another
            venue always does.
        extended: Watch the extended hours too, as a scope of its own with its own highs, lows and signals.
        band: Skip the machines for ticks that cannot move them. Off only to check that it changes nothing.

    Raises:
        ValueError: An option is out of its range; the text names it.
    """

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
    families: tuple[str, ...] = FAMILIES_DEFAULT
    thresholds: Mapping[str, tuple[str, str]] = field(default_factory=lambda: dict(DEFAULT_THRESHOLDS))
    trigger_eligibility: str = "high_low"
    split_guard: bool = True
    bad_print_band: float = 0.1
    bad_print_trades: int = 3
    extended: bool = False
    band: bool = True

    def __post_init__(self) -> None:
        if self.equality not in ("strict", "match"):
            raise ValueError(f"rules.equality: expected 'strict' or 'match', found {self.equality!r}")
        if self.trigger_eligibility not in TRIGGER_ELIGIBILITIES:
            raise ValueError(
                f"rules.trigger_eligibility: expected {' or '.join(map(repr, TRIGGER_ELIGIBILITIES))}, "
                f"found {self.trigger_eligibility!r}"
            )
        for name, low, high in _RANGES:
            value = getattr(self, name)
            if not low <= value <= high:
                raise ValueError(f"rules.{name}: expected {low} to {high}, found {value}")
        known = set(FAMILY_NAMES)
        if unknown := sorted(name for name in set(self.families) - known if not LOOKBACK_FAMILY.fullmatch(name)):
            raise ValueError(
                f"rules.families: expected names among {', '.join(FAMILY_NAMES)} or of a look-back such as high_126s; "
                f"found {unknown[0]!r}"
            )
        if len(self.lookbacks) >= WINDOWS_MAX:
            raise ValueError(
                f"rules.families: expected families of at most {WINDOWS_MAX - 1} look-backs of your own, "
                f"found {', '.join(self.lookbacks)}"
            )
        if unknown := sorted(set(self.thresholds) - set(DEFAULT_THRESHOLDS)):
            raise ValueError(
                f"rules.thresholds: expected names among {', '.join(DEFAULT_THRESHOLDS)}; found {unknown[0]!r}"
            )
        if parse_decimal(self.tick_size) <= 0:
            raise ValueError(f"rules.tick_size: expected a price above zero, found {self.tick_size!r}")
        for name in DEFAULT_THRESHOLDS:
            _check_threshold(name, *self.threshold(name))

    def threshold(self, family: str) -> tuple[str, str]:
        """Return the enter and exit thresholds of a measure as written; the exit is empty where it has none."""
        return self.thresholds.get(family, DEFAULT_THRESHOLDS[family])

    @property
    def lookbacks(self) -> tuple[str, ...]:
        """The look-backs of families other than the named ones, in the order of `families`."""
        found = (LOOKBACK_FAMILY.fullmatch(name) for name in self.families)
        return tuple(dict.fromkeys(match[2] for match in found if match))

    def family_name(self, number: int) -> str:
        """Return the name of a family by the number that outputs carry."""
        if number < FIRST_LOOKBACK:
            return FAMILY_NAMES[number]
        window, side = divmod(number - FIRST_LOOKBACK, 2)
        return f"{_SIDES[side]}_{self.lookbacks[window]}"

    def family_lookback(self, number: int) -> str:
        """Return the look-back of a breakout family by its number."""
        return self.lookback if number < FIRST_LOOKBACK else self.lookbacks[(number - FIRST_LOOKBACK) // 2]

    def of_extended_scope(self) -> Rules:
        """Return the rules of the extended scope: these, without the families that are of regular hours alone."""
        return replace(self, families=tuple(name for name in self.families if name in FAMILIES_EXTENDED))

    def array(self) -> np.ndarray:
        """Return the rules as one element of `RULES`: integers of nanoseconds, price units and ratios of 1/10,000."""
        array = np.zeros(1, RULES)
        rules = array[0]
        rules["equality_match"] = self.equality == "match"
        rules["coverage_ppm"] = round(self.coverage_min * 1_000_000)
        rules["recent_sessions"] = self.recent_sessions
        rules["hysteresis_ticks"] = self.hysteresis_ticks
        rules["tick"] = parse_decimal(self.tick_size)
        rules["hysteresis_bps"] = self.hysteresis_bps
        rules["hysteresis_atr"] = self.hysteresis_atr
        rules["max_triggers"] = self.max_triggers
        rules["fresh_sessions"] = self.fresh_sessions
        rules["conflate_ns"] = self.conflate_ms * 1_000_000
        rules["grace_ns"] = self.close_grace_s * NS
        rules["skew_ns"] = self.skew_s * NS
        rules["max_entries"] = self.max_entries
        rules["band"] = self.band
        rules["trigger_last"] = self.trigger_eligibility == "high_low_and_last"
        rules["split_guard"] = self.split_guard
        rules["bad_print_bps"] = round(self.bad_print_band * 10_000)
        rules["bad_print_trades"] = self.bad_print_trades
        rules["windows"] = 1 + len(self.lookbacks)
        for side in range(2):
            rules["machine"][FIRST_CLOSE + side] = FAMILY_NAMES[FAMILY_CLOSE_HIGH + side] in self.families
            # What is fresh of closes is known from the breakouts of their side, which run unsaid for that.
            is_on = FAMILY_NAMES[FAMILY_HIGH + side] in self.families
            rules["machine"][side] = is_on or rules["machine"][FIRST_CLOSE + side] != 0
        for machine in range(2, 2 + 2 * len(self.lookbacks)):
            rules["machine"][machine] = self.family_name(FIRST_LOOKBACK + machine - 2) in self.families
        for index, family in enumerate(FAMILY_NAMES):
            rules["enabled"][index] = family in self.families
            if not FIRST_MEASURE <= index < FIRST_MEASURE + MEASURE_COUNT:
                continue
            measure = index - FIRST_MEASURE
            enter, leave = self.threshold(family)
            mirror = family.startswith("proximity")
            for column, text in (("enter", enter), ("exit", leave)):
                ratio = Fraction(text or "0")
                rules[column][measure] = (
                    _ratio(ratio if mirror else 1 + ratio),
                    _ratio(ratio if mirror else 1 - ratio),
                )
        return array


_RANGES: Final = (
    ("coverage_min", 0.0, 1.0),
    ("recent_sessions", 0, 250),
    ("hysteresis_ticks", 0, 10_000),
    ("hysteresis_bps", 0, 9_999),
    ("hysteresis_atr", 0.0, 100.0),
    ("max_triggers", 1, 4),
    ("fresh_sessions", 1, 250),
    ("conflate_ms", 0, 3_600_000),
    ("close_grace_s", 0, 3_600),
    ("skew_s", 0, 3_600),
    ("max_entries", 1, 100),
    ("bad_print_band", 0.0, 1.0),
    ("bad_print_trades", 2, 5),
)


def _check_threshold(family: str, enter: str, leave: str) -> None:
    try:
        ratios = [Fraction(text) for text in (enter, leave) if text]
    except ValueError:
        raise ValueError(
            f"rules.thresholds.{family}: expected decimal fractions such as '0.05', found {enter!r}, {leave!r}"
        ) from None
    if not ratios or any(ratio <= 0 or ratio >= 5 or (ratio * RATIO_ONE).denominator != 1 for ratio in ratios):
        raise ValueError(
            f"rules.thresholds.{family}: expected fractions above 0 and below 5 in steps of 0.0001, "
            f"found {enter!r}, {leave!r}"
        )
    if not enter or (not leave and family != "gap"):
        raise ValueError(
            f"rules.thresholds.{family}: expected an entry and an exit, found only {enter or leave!r}; "
            "gap alone has no exit"
        )
    if not family.startswith("proximity") and ratios[0] >= 1:
        raise ValueError(f"rules.thresholds.{family}: expected a return below 1, found {enter!r}")
    if len(ratios) == 2 and (ratios[1] > ratios[0]) != (family == "proximity_low_52w"):
        raise ValueError(
            f"rules.thresholds.{family}: expected the exit nearer to no signal than the entry, "
            f"found {enter!r}, {leave!r}"
        )


def _ratio(value: Fraction) -> int:
    return int(value * RATIO_ONE)
