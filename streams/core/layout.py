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
RING_BARS: Final = 264  # A 24/5 calendar has 260 sessions in 364 days; one more bar must reach back past the window.

# Kinds of input records.
KIND_SKIP: Final = 0  # A null value, or a record that decoding refused.
KIND_TICK: Final = 1
KIND_CANCEL: Final = 2
KIND_CORRECT: Final = 3
KIND_STATUS: Final = 4
KIND_ACTION: Final = 5
KIND_BAR: Final = 6
KIND_CLOCK: Final = 7

# What a trade may update, decided from its sale conditions when it is decoded.
ELIGIBLE_HIGH_LOW: Final = 1
ELIGIBLE_LAST: Final = 2
ELIGIBLE_VOLUME: Final = 4
ELIGIBLE_BY_CONDITION: Final = (
    8  # Set when the trade named its conditions, so that a closing print after the bell counts.
)
ELIGIBLE_OPENING: Final = 16  # The trade is an opening or reopening print.
ELIGIBLE_PLAIN: Final = ELIGIBLE_HIGH_LOW | ELIGIBLE_LAST | ELIGIBLE_VOLUME

MODE_UNKNOWN: Final = 0
MODE_LIVE: Final = 1
MODE_REPLAY: Final = 2

# One record of the tick topic, one cache line.
RECORD = np.dtype(
    [
        ("kind", "i1"),
        ("eligible", "i1"),
        ("trade_id_length", "i1"),
        ("mode", "i1"),  # clock records only
        ("row", "i4"),  # instrument row; -1 for clock records
        ("time_ns", "i8"),
        ("price", "i8"),
        ("size", "i8"),
        ("append_ns", "i8"),  # the broker's append time of the record's batch
        ("offset", "i8"),
        ("trade_id_start", "i4"),  # into the buffer given with the records
        ("extra", "i4"),  # bar records: index into the bars given with the records
        ("conditions", "u1", (CONDITION_COUNT,)),  # one-character codes, 0 where absent
        ("spare", "u1", (4,)),
    ],
    align=True,
)
assert RECORD.itemsize == 64

BAR_OFFICIAL: Final = 1  # came as a bar record, not from our own ticks
BAR_TRADED: Final = 2  # at least one trade; without it the session is known to have had none
BAR_TRIGGERED_UP: Final = 4  # our machine triggered in this session
BAR_TRIGGERED_DOWN: Final = 8
BAR_BROKE_UP: Final = 16  # the bar's own high passed the level before it
BAR_BROKE_DOWN: Final = 32

# A daily bar, on input and in the ring.
BAR = np.dtype(
    [
        ("date", "i4"),
        ("flags", "i2"),
        ("spare", "i2"),
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
    ],
    align=True,
)

# Where a market's sessions lie in the one array of sessions.
MARKET = np.dtype([("first", "i4"), ("count", "i4")], align=True)

# Sides.
UP: Final = 0
DOWN: Final = 1
SIDE_NAMES: Final = ("up", "down")

# Families. Measures are families from PROXIMITY_HIGH on; their index in state arrays is family - FIRST_MEASURE.
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
)
FIRST_MEASURE: Final = FAMILY_PROXIMITY_HIGH
MEASURE_COUNT: Final = len(FAMILY_NAMES) - FIRST_MEASURE

TRANSITION_TRIGGERED: Final = 0
TRANSITION_NEW_EXTREME: Final = 1
TRANSITION_FAILED: Final = 2
TRANSITION_CONFIRMED: Final = 3
TRANSITION_UNCONFIRMED: Final = 4
TRANSITION_ENTERED: Final = 5
TRANSITION_EXITED: Final = 6
TRANSITION_EXPIRED: Final = 7
TRANSITION_NAMES: Final = (
    "triggered",
    "new_extreme",
    "failed",
    "confirmed",
    "unconfirmed",
    "entered",
    "exited",
    "expired",
)

WINDOW_PARTIAL: Final = 0  # the history does not reach back to the window's start
WINDOW_DEGRADED: Final = 1  # it reaches back, but sessions are missing
WINDOW_FULL: Final = 2
WINDOW_NAMES: Final = ("partial", "degraded", "full")

TRIGGER_CONTINUOUS: Final = 0
TRIGGER_LATE_OR_DERIVED: Final = 1
TRIGGER_NAMES: Final = ("continuous", "late_or_derived")

CLOSE_NONE: Final = 0
CLOSE_CONSOLIDATED: Final = 1
CLOSE_OFFICIAL: Final = 2
CLOSE_NAMES: Final = (None, "consolidated", "official")

# Why `step` refuses a record that decoded well: it depends on the state.
REJECT_FUTURE_TIME: Final = 0
REJECT_SESSION_NOT_CLOSED: Final = 1
REJECT_NOT_A_SESSION: Final = 2
REJECT_CLOCK_MODE: Final = 3
REJECT_NAMES: Final = ("future_time", "session_not_closed", "not_a_session", "clock_mode")

REJECT = np.dtype([("record", "i4"), ("reason", "i4"), ("reference_ns", "i8")], align=True)
