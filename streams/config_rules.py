"""What the keys of the section `rules` mean, and their bounds.

The engine's rules are the core's own type, which knows nothing of configuration: their keys are described here. The
type checks its ranges itself; a test holds the bounds below equal to what it takes.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from streams.config_values import Key
from streams.core.layout import FAMILY_NAMES
from streams.core.rules import LOOKBACK_FAMILY, TRIGGER_ELIGIBILITIES

RULE_KEYS: Final[Mapping[str, Key]] = {
    "lookback": Key(
        "The window of the 52-week families: calendar days (`364d`), the same date last year (`1y`) "
        "or trading sessions (`252s`).",
        pattern=r"[1-9]\d{0,3}[ds]|1y",
        grammar="days ('364d'), sessions ('252s') or '1y'",
    ),
    "equality": Key(
        "`strict`: a breakout is beyond the level. `match`: reaching the level is enough.", choices=("strict", "match")
    ),
    "coverage_min": Key(
        "Least share of the window's sessions whose bars must be known before a breakout can fire.",
        minimum=0.0,
        maximum=1.0,
    ),
    "recent_sessions": Key("None of this many latest sessions may be missing from the window.", minimum=0, maximum=250),
    "hysteresis_ticks": Key(
        "A breakout fails when the price is this many ticks back beyond its level; the widest hysteresis holds.",
        minimum=0,
        maximum=10_000,
    ),
    "hysteresis_bps": Key("The same in basis points of the level (50 is 0.5 %).", minimum=0, maximum=9_999),
    "hysteresis_atr": Key("The same in average true ranges of 14 sessions.", minimum=0.0, maximum=100.0),
    "tick_size": Key(
        "Minimum price increment, as decimal text in quotes.",
        pattern=r"[0-9]{1,12}(\.[0-9]{1,8})?",
        grammar="a decimal above zero in quotes, such as '0.01'",
    ),
    "max_triggers": Key(
        "Most breakouts of one side in one session: after a failure, a new extreme of the day may trigger again.",
        minimum=1,
        maximum=4,
    ),
    "fresh_sessions": Key(
        "A breakout is `fresh` when none of this many sessions before it had one on its side.", minimum=1, maximum=250
    ),
    "conflate_ms": Key(
        "New extremes within this many milliseconds of event time of the last one sent are held, "
        "and the newest of them is sent.",
        minimum=0,
        maximum=3_600_000,
    ),
    "close_grace_s": Key(
        "Seconds after the bell until a session is closed: the closing auction prints after the bell.",
        minimum=0,
        maximum=3_600,
    ),
    "skew_s": Key(
        "A record whose time is more than this many seconds ahead of the log's own goes to the dead-letter topic.",
        minimum=0,
        maximum=3_600,
    ),
    "max_entries": Key("Most entries of one momentum measure and side in one session.", minimum=1, maximum=100),
    "families": Key(
        "The families of signals that are sent. Those of a look-back of your own have the levels of their own window; "
        "at most two look-backs besides the first.",
        choices=FAMILY_NAMES,
        pattern=LOOKBACK_FAMILY.pattern,
        grammar="of a look-back of your own such as high_126s or low_90d",
    ),
    "thresholds": Key(
        "Enter and exit per measure: returns as fractions (`0.05` is 5 %), for proximity the ratio to the level. "
        "The lower side mirrors the upper one; `gap` has no exit. Measures that are not named keep their defaults."
    ),
    "trigger_eligibility": Key(
        "`high_low`: every trade that may set the day's high or low may trigger. `high_low_and_last`: late and derived "
        "trades move the extremes and trigger nothing.",
        choices=TRIGGER_ELIGIBILITIES,
    ),
    "split_guard": Key(
        "Withhold what an instrument says whose first trade of a session looks like a split that no action announced."
    ),
    "bad_print_band": Key(
        "A trade that would be a new extreme of the session and is further than this share from the median of its last "
        "twenty trades is held until it is confirmed; 0 holds nothing.",
        minimum=0.0,
        maximum=1.0,
    ),
    "bad_print_trades": Key(
        "As many trades out there, within the band of each other, confirm each other; one of another venue always "
        "does.",
        minimum=2,
        maximum=5,
    ),
    "extended": Key(
        "Watch the extended hours too: `high_52w` and `low_52w` of a scope of their own, in which trades outside "
        "regular hours count. The signals of regular hours stay as they are. Every trade costs as much again."
    ),
    "band": Key(
        "Skip the machines for ticks that cannot move them. It changes speed and nothing else; off only to check that."
    ),
}
