"""Every array the engine reads or writes: the documented layout of records, state rows and outputs.

Prices and sizes are integers scaled by 1e-8, times are integer nanoseconds since 1970 (UTC), dates are days since 1970.
Fields that take part in arithmetic are signed: compiled and uncompiled code differ on small unsigned integers.
Unsigned bytes hold identifiers only.
"""

from __future__ import annotations

from typing import Final

import numpy as np

TRADE_ID_BYTES: Final = 24  # An exchange's trade id has at most 20 characters.
CONDITION_COUNT: Final = 4  # The consolidated tape's sale condition is a four-position field.
SYMBOL_BYTES: Final = 16
RING_BARS: Final = 264  # A 24/5 calendar has 260 sessions in 364 days; one more bar must reach back past the window.

WINDOWS_MAX: Final = 3  # The one of the 52-week families, then the configured look-backs.

# Kinds of input records.
KIND_SKIP: Final = 0  # A null value, or a record that decoding refused.
KIND_TICK: Final = 1
KIND_CANCEL: Final = 2
KIND_CORRECT: Final = 3
KIND_STATUS: Final = 4
KIND_ACTION: Final = 5
KIND_BAR: Final = 6
KIND_CLOCK: Final = 7
KIND_INSTRUMENT: Final = 8
KIND_ACCEPT: Final = 9
KIND_SESSION: Final = 10

# What a trade may update, decided from its sale conditions when it is decoded.
ELIGIBLE_HIGH_LOW: Final = 1
ELIGIBLE_LAST: Final = 2
ELIGIBLE_VOLUME: Final = 4
ELIGIBLE_BY_CONDITION: Final = (
    8  # Set when the trade named its conditions, so that a closing print after the bell counts.
)
ELIGIBLE_OPENING: Final = 16  # an opening print
# 32 is CODE_UNKNOWN of `eligibility`, which no record carries.
ELIGIBLE_REOPENING: Final = 64  # the first print after a halt
ELIGIBLE_CLOSE_OFFICIAL: Final = 128  # states the official close of its market
ELIGIBLE_CLOSE_CORRECTED: Final = 256  # states a corrected consolidated close
# Eligible for last on a condition that only the session's other trades can answer; all of them must hold.
LAST_ONLY_OF_THE_DAY: Final = 512
LAST_LISTING_MARKET: Final = 1024
LAST_UNTIL_END: Final = 2048
ELIGIBLE_EXTENDED: Final = 4096  # not eligible only because it was made outside regular hours
ELIGIBLE_LATE: Final = 8192  # a code says late, out of sequence or derived: never the last price of extended hours
LAST_CONDITIONAL: Final = LAST_ONLY_OF_THE_DAY | LAST_LISTING_MARKET | LAST_UNTIL_END
ELIGIBLE_PLAIN: Final = ELIGIBLE_HIGH_LOW | ELIGIBLE_LAST | ELIGIBLE_VOLUME
ELIGIBLE_CLOSE: Final = ELIGIBLE_CLOSE_OFFICIAL | ELIGIBLE_CLOSE_CORRECTED
LAST_END_NS: Final = 10_000_000_000  # A trade sold last counts until ten seconds after the bell.
VENUE_CHARACTERS: Final = 4
VENUE_MASK: Final = 0x7FFF_FFFF

MODE_UNKNOWN: Final = 0
MODE_LIVE: Final = 1
MODE_REPLAY: Final = 2

# One record of the tick topic, one cache line.
RECORD = np.dtype(
    [
        ("kind", "i1"),
        ("trade_id_length", "i1"),
        ("eligible", "i2"),
        ("row", "i4"),  # instrument row; -1 for clock records
        ("time_ns", "i8"),
        ("price", "i8"),
        ("size", "i8"),
        ("append_ns", "i8"),  # the broker's append time of the record's batch
        ("offset", "i8"),
        ("trade_id_start", "i4"),  # into the buffer given with the records
        ("extra", "i4"),  # trades: the venue's number; bars: index into the bars; other kinds: into the details
        ("conditions", "u1", (CONDITION_COUNT,)),  # one-character codes, 0 where absent
        ("mode", "i1"),  # clock records only
        ("spare", "u1", (3,)),
    ],
    align=True,
)
assert RECORD.itemsize == 64

# What a trade that replaces another says, and what records say that are no trades. A `correct` record is the trade that
# is taken back; its detail is the trade that takes its place.
DETAIL = np.dtype(
    [
        ("time_ns", "i8"),
        ("price", "i8"),  # of an instrument: its tick size
        ("size", "i8"),
        ("numerator", "i8"),
        ("denominator", "i8"),
        ("key", "i8"),  # of an action: what its id is known by
        ("date", "i4"),  # ex-date, session date or listing date
        ("market", "i4"),
        ("venue", "i4"),
        ("trade_id_start", "i4"),
        ("eligible", "i2"),
        ("trade_id_length", "i1"),
        ("code", "i1"),  # which action, status of an instrument or status of a session
        ("withdraw", "i1"),
        ("spare", "u1", (3,)),
        ("conditions", "u1", (CONDITION_COUNT,)),
        ("symbol", "u1", (SYMBOL_BYTES,)),
    ],
    align=True,
)

ACTION_NAMES: Final = (
    "split",
    "stock_dividend",
    "ratio_change",
    "rights",
    "spin_off",
    "cash_dividend",
    "symbol_change",
    "delisting",
)
ACTION_SYMBOL_CHANGE: Final = 6
ACTION_DELISTING: Final = 7
ACTIONS_WITHOUT_FACTOR: Final = ("cash_dividend", "symbol_change", "delisting")
ACTION_PARTS_MAX: Final = 1_000_000

HALT_NAMES: Final = ("none", "halted", "paused_luld", "limit_state")
HALT_NONE: Final = 0
HALT_HALTED: Final = 1
HALT_PAUSED: Final = 2
HALT_LIMIT_STATE: Final = 3
STATUS_CODES: Final = {
    "trading": HALT_NONE,
    "halted": HALT_HALTED,
    "paused_luld": HALT_PAUSED,
    "limit_state": HALT_LIMIT_STATE,
    "resumed": HALT_NONE,
    "closed": HALT_NONE,
}
SESSION_CANCELLED: Final = 0
SESSION_EARLY_CLOSE: Final = 1
SESSION_STATUS_CODES: Final = {"cancelled": SESSION_CANCELLED, "early_close": SESSION_EARLY_CLOSE}

BAR_OFFICIAL: Final = 1  # came as a bar record, not from our own ticks
BAR_TRADED: Final = 2  # at least one trade; without it the session is known to have had none
BAR_TRIGGERED_UP: Final = 4  # our machine triggered in this session
BAR_TRIGGERED_DOWN: Final = 8
BAR_BROKE_UP: Final = 16  # the bar's own high passed the level before it
BAR_BROKE_DOWN: Final = 32
BAR_UNKNOWN_UP: Final = 64  # more of its best prices were cancelled than are kept: its high may have been another
BAR_UNKNOWN_DOWN: Final = 128
BAR_NO_SPLIT: Final = 256  # on input: states that the session had no split
BAR_OWN: Final = 512  # in the extended scope: its own trades are kept beside the bar that came as a record

# A daily bar, on input and in the ring. In the ring of the extended scope a bar marked BAR_OWN has the highest and the
# lowest price of that scope's own trades as its open and volume, which no rule reads: see `own_trades`.
BAR = np.dtype(
    [
        ("date", "i4"),
        ("flags", "i2"),
        ("marks", "i2"),  # breakouts of the configured look-backs: per window two bits triggered, two bits broke
        ("open", "i8"),
        ("high", "i8"),
        ("low", "i8"),
        ("close", "i8"),
        ("volume", "i8"),
    ],
    align=True,
)
assert BAR.itemsize == 48

# One trading session of a market. Bounds derived from rules (window, bases) are indices relative to the market's first
# session.
SESSION = np.dtype(
    [
        ("open_ns", "i8"),
        ("close_ns", "i8"),
        ("break_start_ns", "i8"),  # 0 where the session has no break
        ("break_end_ns", "i8"),
        ("date", "i4"),
        ("window_first", "i4"),  # first session of the look-back window that ends the session before this one
        ("month_base", "i4"),  # last session of the previous month, -1 before the calendar begins
        ("year_base", "i4"),  # last session of the previous year, -1 before the calendar begins
        ("extended_open_ns", "i8"),  # the extended session's bounds, the regular ones where a market has none
        ("extended_close_ns", "i8"),
        ("trade_date_end_ns", "i8"),  # what trades from here on belongs to the next session
        ("regular_open_ns", "i8"),  # the bells, which are open and close but for the extended scope
        ("regular_close_ns", "i8"),
        ("spare", "i4"),
        ("windows_first", "i4", (WINDOWS_MAX,)),  # the same as `window_first` of every window; the first is that
    ],
    align=True,
)

# Where a market's sessions lie in the one array of sessions, and how its own trades name their venue.
MARKET = np.dtype([("first", "i4"), ("count", "i4"), ("venue", "i4"), ("venue_letter", "i4")], align=True)

SCOPE_NAMES: Final = ("regular", "extended")

# Sides.
UP: Final = 0
DOWN: Final = 1
SIDE_NAMES: Final = ("up", "down")

# A breakout machine is a window and a side: machine = 2 x window + side. The last two are those of the closes.
CLOSE_WINDOW: Final = WINDOWS_MAX
MACHINES: Final = 2 * WINDOWS_MAX + 2
FIRST_CLOSE: Final = 2 * CLOSE_WINDOW

# Families. Measures stand together; their index in state arrays is family - FIRST_MEASURE. The configured look-backs
# have numbers past the names: FIRST_LOOKBACK + machine - 2.
FAMILY_HIGH: Final = 0
FAMILY_LOW: Final = 1
FAMILY_PROXIMITY_HIGH: Final = 2
FAMILY_PROXIMITY_LOW: Final = 3
FAMILY_SESSION_RETURN: Final = 4
FAMILY_GAP: Final = 5
FAMILY_MTD: Final = 6
FAMILY_YTD: Final = 7
FAMILY_ROC_5: Final = 8
FAMILY_ROC_20: Final = 9
FAMILY_ROC_60: Final = 10
FAMILY_SUSPECTED_SPLIT: Final = 11
FAMILY_HELD_PRINT: Final = 12
FAMILY_CLOSE_HIGH: Final = 13
FAMILY_CLOSE_LOW: Final = 14
FAMILY_NAMES: Final = (
    "high_52w",
    "low_52w",
    "proximity_high_52w",
    "proximity_low_52w",
    "session_return",
    "gap",
    "mtd",
    "ytd",
    "roc_5",
    "roc_20",
    "roc_60",
    "suspected_split",
    "held_print",
    "close_high_52w",
    "close_low_52w",
)
FIRST_MEASURE: Final = FAMILY_PROXIMITY_HIGH
MEASURE_COUNT: Final = FAMILY_SUSPECTED_SPLIT - FIRST_MEASURE
FAMILIES_DEFAULT: Final = FAMILY_NAMES[:FAMILY_CLOSE_HIGH]
FAMILIES_EXTENDED: Final = ("high_52w", "low_52w", "suspected_split", "held_print")
FIRST_LOOKBACK: Final = len(FAMILY_NAMES)

TRANSITION_TRIGGERED: Final = 0
TRANSITION_NEW_EXTREME: Final = 1
TRANSITION_FAILED: Final = 2
TRANSITION_CONFIRMED: Final = 3
TRANSITION_UNCONFIRMED: Final = 4
TRANSITION_ENTERED: Final = 5
TRANSITION_EXITED: Final = 6
TRANSITION_EXPIRED: Final = 7
TRANSITION_AMENDED: Final = 8
TRANSITION_RETRACTED: Final = 9
TRANSITION_SUSPECT: Final = 10
TRANSITION_RELEASED: Final = 11
TRANSITION_DISCARDED: Final = 12
TRANSITION_HELD: Final = 13
TRANSITION_BELIEVED: Final = 14
TRANSITION_REJECTED: Final = 15
TRANSITION_NAMES: Final = (
    "triggered",
    "new_extreme",
    "failed",
    "confirmed",
    "unconfirmed",
    "entered",
    "exited",
    "expired",
    "amended",
    "retracted",
    "suspect",
    "released",
    "discarded",
    "held",
    "believed",
    "rejected",
)

REASON_NONE: Final = 0
REASON_TRIGGER_CHANGED: Final = 1
REASON_FAILURE_WITHDRAWN: Final = 2
REASON_LEVEL_RESTATED: Final = 3
REASON_CLOSE_CORRECTED: Final = 4
REASON_CANCELLED: Final = 5
REASON_SESSION_CANCELLED: Final = 6
REASON_NAMES: Final = (
    None,
    "trigger_changed",
    "failure_withdrawn",
    "level_restated",
    "close_corrected",
    "cancelled",
    "session_cancelled",
)

VERDICT_NONE: Final = 0
VERDICT_CONFIRMED: Final = 1
VERDICT_UNCONFIRMED: Final = 2
VERDICT_NAMES: Final = (None, "confirmed", "unconfirmed")

WINDOW_PARTIAL: Final = 0  # the history does not reach back to the window's start
WINDOW_DEGRADED: Final = 1  # it reaches back, but sessions are missing
WINDOW_FULL: Final = 2
WINDOW_NAMES: Final = ("partial", "degraded", "full")

TRIGGER_CONTINUOUS: Final = 0
TRIGGER_LATE_OR_DERIVED: Final = 1
TRIGGER_OPENING: Final = 2
TRIGGER_REOPEN_GAP: Final = 3
TRIGGER_NAMES: Final = ("continuous", "late_or_derived", "opening", "reopen_gap")

CLOSE_NONE: Final = 0
CLOSE_CONSOLIDATED: Final = 1
CLOSE_OFFICIAL: Final = 2
CLOSE_CORRECTED: Final = 3
CLOSE_NAMES: Final = (None, "consolidated", "official", "corrected")

# Why `step` refuses a record that decoded well: it depends on the state.
REJECT_FUTURE_TIME: Final = 0
REJECT_SESSION_NOT_CLOSED: Final = 1
REJECT_NOT_A_SESSION: Final = 2
REJECT_CLOCK_MODE: Final = 3
REJECT_TOO_MANY_ACTIONS: Final = 4
REJECT_NAMES: Final = ("future_time", "session_not_closed", "not_a_session", "clock_mode", "too_many_actions")

REJECT = np.dtype([("record", "i4"), ("reason", "i4"), ("reference_ns", "i8")], align=True)
