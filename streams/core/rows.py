"""The state of a partition: a hot row, a warm row and a ring of bars an instrument, and one row for itself.

The hot row is one cache line and all that a tick inside the band touches. The dtypes are the layout of the state: there
is no other. Dates are stored, never session indices, so that a changed calendar cannot shift the past.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from streams.core.layout import CONDITION_COUNT, FAMILY_NAMES, MEASURE_COUNT, TRADE_ID_BYTES

NEVER_NS: Final = 2**62  # A deadline that no clock reaches.
UNBORN: Final = -1  # The date of a row whose instrument has had no accepted record yet.
PRICE_NEVER: Final = 2**62  # An upper threshold that no price reaches; its lower twin is 0, since prices are positive.
VOLUME_MAX: Final = 4 * 10**18  # A session's volume stops here instead of wrapping: 40 thousand million units.

# States of a breakout side.
BREAKOUT_OFF: Final = 0  # no full window
BREAKOUT_ARMED: Final = 1
BREAKOUT_ACTIVE: Final = 2
BREAKOUT_FAILED: Final = 3

# States of a measure's side.
MEASURE_UNDEFINED: Final = 0
MEASURE_WARMING: Final = 1  # defined, not yet evaluated: an entry now is old news and stays silent
MEASURE_OUT: Final = 2
MEASURE_IN: Final = 3
MEASURE_SILENT: Final = 4  # in since warm-up: leaves as silently as it came

HOT = np.dtype(
    [
        ("segment_open_ns", "i8"),  # bounds of the running part of the session, between bell and break
        ("segment_close_ns", "i8"),
        ("band_low", "i8"),  # a price strictly between the two moves no machine
        ("band_high", "i8"),
        ("last", "i8"),
        ("volume", "i8"),
        ("deadline_ns", "i8"),  # the first clock time at which the row has something to do
        ("date", "i4"),  # the current session, 0 before the first, UNBORN before the first record
        ("market", "i4"),
    ],
    align=True,
)
assert HOT.itemsize == 64

WARM = np.dtype(
    [
        # The session.
        ("open_ns", "i8"),
        ("close_ns", "i8"),
        ("break_start_ns", "i8"),
        ("break_end_ns", "i8"),
        ("next_open_ns", "i8"),
        ("session", "i4"),  # index of the current session, relative to its market's first: derived from the date
        ("bar_count", "i4"),
        ("closed", "i1"),  # past the close's grace: the verdict is given
        ("from_start", "i1"),  # the row entered the session before its close
        ("traded", "i1"),  # a trade eligible for high and low was seen
        ("last_seen", "i1"),  # a trade eligible for last was seen
        ("window_status", "i1"),
        ("spare", "i1", (3,)),
        ("open", "i8"),
        ("high", "i8"),
        ("low", "i8"),
        ("latest", "i8"),  # price of the latest trade eligible for high and low
        # The window, as of the session's first trade.
        ("window_start", "i4"),
        ("window_end", "i4"),
        ("sessions", "i4"),
        ("sessions_expected", "i4"),
        ("atr", "f8"),
        ("level", "i8", (2,)),
        ("level_date", "i4", (2,)),
        ("level_age", "i4", (2,)),
        ("fresh", "i4", (2,)),
        ("streak", "i4", (2,)),
        # The breakout machine of each side and its latest signal.
        ("state", "i8", (2,)),
        ("ordinal", "i8", (2,)),
        ("revision", "i8", (2,)),
        ("failed", "i8", (2,)),
        ("gap", "i8", (2,)),
        ("kind", "i8", (2,)),
        ("threshold", "i8", (2,)),  # the first price that triggers
        ("fail_line", "i8", (2,)),
        ("signal_level", "i8", (2,)),
        ("signal_level_date", "i4", (2,)),
        ("signal_level_age", "i4", (2,)),
        ("trigger_ns", "i8", (2,)),
        ("trigger_price", "i8", (2,)),
        ("conflated_until_ns", "i8", (2,)),
        ("pending", "i8", (2,)),
        ("pending_ns", "i8", (2,)),
        ("pending_price", "i8", (2,)),
        ("trigger_id", "u1", (2, TRADE_ID_BYTES)),
        ("trigger_conditions", "u1", (2, CONDITION_COUNT)),
        # The measures. For proximity the base is the level.
        ("base", "i8", (MEASURE_COUNT,)),
        ("base_date", "i4", (MEASURE_COUNT,)),
        ("enter", "i8", (MEASURE_COUNT, 2)),  # the first price that enters
        ("exit", "i8", (MEASURE_COUNT, 2)),  # the first price that exits
        ("measure_state", "i1", (MEASURE_COUNT, 2)),
        ("entries", "i1", (MEASURE_COUNT, 2)),
        ("entry_ordinal", "i1", (MEASURE_COUNT, 2)),
        ("entry_date", "i4", (MEASURE_COUNT, 2)),
        ("entry_ns", "i8", (MEASURE_COUNT, 2)),
        ("entry_price", "i8", (MEASURE_COUNT, 2)),
        ("entry_id", "u1", (MEASURE_COUNT, 2, TRADE_ID_BYTES)),
        ("entry_conditions", "u1", (MEASURE_COUNT, 2, CONDITION_COUNT)),
    ],
    align=True,
)

# What concerns the whole partition, and the running totals of what it has seen.
PARTITION = np.dtype(
    [
        ("mode", "i8"),
        ("clock_ns", "i8"),
        ("deadline_ns", "i8"),  # the earliest deadline of any row
        ("ticks", "i8"),
        ("ticks_out_of_session", "i8"),
        ("ticks_late", "i8"),
        ("ticks_ineligible", "i8"),
        ("bars", "i8"),
        ("bars_too_old", "i8"),
        ("clocks", "i8"),
        ("clocks_backward", "i8"),
    ],
    align=True,
)
COUNTERS: Final = PARTITION.names[3:] if PARTITION.names else ()

# One transition, complete: whoever encodes it never looks at a row, which has moved on by then.
OUT = np.dtype(
    [
        ("record", "i4"),  # index of the record that caused it
        ("row", "i4"),
        ("family", "i4"),
        ("side", "i4"),
        ("transition", "i4"),
        ("ordinal", "i4"),
        ("revision", "i4"),
        ("session_date", "i4"),
        ("event_ns", "i8"),
        ("price", "i8"),  # 0 where the transition has none
        ("trigger_ns", "i8"),  # the trigger of a breakout, the entry of a measure
        ("trigger_price", "i8"),
        ("trigger_id", "u1", (TRADE_ID_BYTES,)),
        ("trigger_conditions", "u1", (CONDITION_COUNT,)),
        ("kind", "i4"),
        ("gap", "i1"),
        ("fresh", "i1"),
        ("failed", "i1"),
        ("recovered", "i1"),
        ("close_source", "i1"),
        ("window_status", "i1"),
        ("spare", "i1", (2,)),
        ("streak", "i4"),
        ("level", "i8"),
        ("base_level", "i8"),
        ("level_date", "i4"),
        ("level_age", "i4"),
        ("window_start", "i4"),
        ("window_end", "i4"),
        ("sessions", "i4"),
        ("sessions_expected", "i4"),
        ("atr", "f8"),
        ("base", "i8", (MEASURE_COUNT,)),
        ("base_date", "i4", (MEASURE_COUNT,)),
    ],
    align=True,
)

# The most transitions of one record of one row: a roll (per side a held extreme and a verdict, then every measure
# expires), the derivation (every measure expires), the trade (per side three; per measure and side an exit and an
# entry).
EMITTED_MAX: Final = 4 + 2 * MEASURE_COUNT + 2 * MEASURE_COUNT + 6 + 4 * MEASURE_COUNT

assert len(FAMILY_NAMES) == MEASURE_COUNT + 2
