"""The state of a partition: three rows an instrument, its tape and its ring of bars, and one row for itself.

The hot row is one cache line; with the tape it is all that a tick inside the band touches. The warm row changes when a
machine moves or an extreme is near, the cold one seldom. The dtypes are the layout of the state: there is no other.
Dates are stored, never session indices, so that a changed calendar cannot shift the past.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from streams.core.layout import (
    CONDITION_COUNT,
    FAMILY_NAMES,
    MACHINES,
    MEASURE_COUNT,
    SYMBOL_BYTES,
    TRADE_ID_BYTES,
    WINDOWS_MAX,
)

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

KEPT_PRICES: Final = 4  # Best prices of a side: nobody has seen all four best of a day cancelled.
KEPT_IDS: Final = 2  # of each of them
FIRSTS: Final = 4  # Trades beyond a signal's level that may take its trigger's place.
PRINTS: Final = 32  # Latest trades eligible for last: what the median of twenty and a few cancels need; a power of two.
RECENT_IDS: Final = 64  # Feeds deliver twice when a line fails over; the copies are a few trades apart. A power of two.
ACTIONS_MAX: Final = 16  # Price-changing actions of an instrument within a year: seldom two.
HELD_PRINTS_MAX: Final = 8  # Four a side, as many as may wait for the fifth that confirms them.
WITHHELD_MAX: Final = 64  # Transitions of one suspected instrument.
WITHHELD_TOTAL: Final = 2048  # Transitions of all suspected instruments of a partition, thirty-two full ones.
OVERRIDES_MAX: Final = 16  # Sessions that exchanges cancelled or shortened during the day and that calendars may lack.

HOT = np.dtype(
    [
        ("segment_open_ns", "i8"),  # bounds of the running part of the session, between bell and break
        ("segment_close_ns", "i8"),
        ("band_low", "i8"),  # a price strictly between the two moves nothing but the tape and the volume
        ("band_high", "i8"),
        ("prints", "i8"),  # trades eligible for last of this session; the newest is at this less one in the tape
        ("volume", "i8"),
        ("deadline_ns", "i8"),  # the first clock time at which the row has something to do
        ("date", "i4"),  # the current session, 0 before the first, UNBORN before the first record
        ("market", "i4"),
    ],
    align=True,
)
assert HOT.itemsize == 64

# One trade eligible for last.
PRINT = np.dtype([("price", "i8"), ("key", "i8"), ("time_ns", "i8"), ("venue", "i4"), ("spare", "i4")], align=True)

# The latest trades of this session, at their number modulo PRINTS, and the ids of the latest that were taken. Marks are
# the low bits of the ids: a look at 64 of them costs two cache lines, not eight.
TAPE = np.dtype(
    [
        ("print", PRINT, (PRINTS,)),
        ("mark", "i2", (RECENT_IDS,)),
        ("id", "i8", (RECENT_IDS,)),
        ("ids", "i8"),  # how many were taken
        ("spare", "i8", (7,)),
    ],
    align=True,
)
assert TAPE.itemsize % 64 == 0

# A trade as the machines see it, whether it comes from a record, a correction or the held prints.
TRADE = np.dtype(
    [
        ("time_ns", "i8"),
        ("price", "i8"),
        ("size", "i8"),
        ("key", "i8"),  # what its id is known by, 0 without one
        ("venue", "i4"),
        ("eligible", "i2"),
        ("kind", "i1"),  # what it makes the trigger of a signal
        ("is_last", "i1"),  # eligible for last, all conditions considered
        ("trade_id", "u1", (TRADE_ID_BYTES,)),
        ("conditions", "u1", (CONDITION_COUNT,)),
        ("side", "i2"),  # of a held print
        ("ordinal", "i2"),
    ],
    align=True,
)

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
        ("traded", "i1"),  # a trade eligible for high and low was seen: the levels are derived
        ("halt", "i1"),
        ("reopening", "i1"),  # the next trade eligible for last is the first after a halt
        ("guarded", "i1"),  # a split is suspected: what the row says is withheld; 2 where the print was taken back
        ("cancelled", "i1"),  # the exchange cancelled the session
        ("spare", "i1"),
        ("open", "i8"),
        ("latest", "i8"),  # price of the latest trade that counts for high and low alone, 0 without one
        ("prints_from", "i8"),  # number of the oldest print that is kept
        ("stated_close", "i8"),  # by an official or corrected closing report, 0 without one
        ("stated_source", "i8"),
        ("judged_close", "i8"),  # the close of the verdict
        ("judged_source", "i8"),  # and where it came from
        ("rule_low", "i8"),  # a price strictly between the two moves no machine
        ("rule_high", "i8"),
        # The best prices of each side, best first.
        ("best", "i8", (2, KEPT_PRICES)),
        ("best_trades", "i8", (2, KEPT_PRICES)),
        ("best_keys", "i8", (2, KEPT_PRICES, KEPT_IDS)),
        ("best_count", "i8", (2,)),
        ("floor", "i8", (2,)),  # where knowledge ends, 0 where it does not
        ("extreme_unknown", "i8", (2,)),
        # The windows, as of the session's first trade.
        ("window_start", "i4", (WINDOWS_MAX,)),
        ("window_end", "i4", (WINDOWS_MAX,)),
        ("sessions", "i4", (WINDOWS_MAX,)),
        ("sessions_expected", "i4", (WINDOWS_MAX,)),
        ("window_status", "i1", (WINDOWS_MAX,)),
        ("history_from", "i4"),  # bars before it are another instrument's: a delisting or the listing
        ("atr", "f8"),
        ("tick", "i8"),  # the instrument's own tick size, 0 where it is not known
        ("level", "i8", (MACHINES,)),
        ("level_raw", "i8", (MACHINES,)),
        ("level_numerator", "i8", (MACHINES,)),
        ("level_denominator", "i8", (MACHINES,)),
        ("level_date", "i4", (MACHINES,)),
        ("level_age", "i4", (MACHINES,)),
        ("level_unknown", "i8", (MACHINES,)),
        ("fresh", "i4", (MACHINES,)),
        ("streak", "i4", (MACHINES,)),
        # The breakout machines and the latest signal of each.
        ("state", "i8", (MACHINES,)),
        ("ordinal", "i8", (MACHINES,)),
        ("standing", "i8", (MACHINES,)),  # triggers of this session that were not retracted
        ("revision", "i8", (MACHINES,)),
        ("failed", "i8", (MACHINES,)),
        ("verdict", "i8", (MACHINES,)),
        ("gap", "i8", (MACHINES,)),
        ("kind", "i8", (MACHINES,)),
        ("threshold", "i8", (MACHINES,)),  # the first price that triggers
        ("reach", "i8", (MACHINES,)),  # the first price that broke the signal's level
        ("fail_line", "i8", (MACHINES,)),
        ("of_window", "i8", (MACHINES,)),  # the signal's level is the window's, not an extreme of today
        ("signal_level", "i8", (MACHINES,)),
        ("signal_raw", "i8", (MACHINES,)),
        ("signal_numerator", "i8", (MACHINES,)),
        ("signal_denominator", "i8", (MACHINES,)),
        ("signal_level_date", "i4", (MACHINES,)),
        ("signal_level_age", "i4", (MACHINES,)),
        ("signal_unknown", "i8", (MACHINES,)),
        ("degraded", "i8", (MACHINES,)),
        ("trigger_ns", "i8", (MACHINES,)),
        ("trigger_price", "i8", (MACHINES,)),
        ("trigger_print", "i8", (MACHINES,)),  # number of the first print after it
        ("conflated_until_ns", "i8", (MACHINES,)),
        ("pending", "i8", (MACHINES,)),
        ("pending_ns", "i8", (MACHINES,)),
        ("pending_price", "i8", (MACHINES,)),
        ("pending_key", "i8", (MACHINES,)),
        ("fail_ns", "i8", (MACHINES,)),
        ("fail_price", "i8", (MACHINES,)),
        ("fail_key", "i8", (MACHINES,)),
        ("trigger_id", "u1", (MACHINES, TRADE_ID_BYTES)),
        ("trigger_conditions", "u1", (MACHINES, CONDITION_COUNT)),
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

ACTION = np.dtype(
    [
        ("key", "i8"),
        ("numerator", "i8"),
        ("denominator", "i8"),
        ("ex_date", "i4"),
        ("code", "i4"),
        ("symbol", "u1", (SYMBOL_BYTES,)),
    ],
    align=True,
)

COLD = np.dtype(
    [
        ("action", ACTION, (ACTIONS_MAX,)),
        ("actions", "i4"),
        ("listing_date", "i4"),
        ("symbol", "u1", (SYMBOL_BYTES,)),  # the display symbol, empty where it is the id's own
        # The first trades beyond the level of each machine's latest signal.
        ("first", TRADE, (MACHINES, FIRSTS)),
        ("firsts", "i8", (MACHINES,)),
        ("firsts_full", "i8", (MACHINES,)),  # there were as many as are kept, and perhaps more
        # The best prices of the session before, while its bar may still be amended.
        ("before_date", "i4"),
        ("held_prints", "i4"),
        ("held_ordinal", "i8"),
        ("before_best", "i8", (2, KEPT_PRICES)),
        ("before_trades", "i8", (2, KEPT_PRICES)),
        ("before_count", "i8", (2,)),
        ("before_floor", "i8", (2,)),
        ("held_print", TRADE, (HELD_PRINTS_MAX,)),
        # The suspected split.
        ("suspect_date", "i4"),
        ("suspect_close_date", "i4"),
        ("suspect_ns", "i8"),
        ("suspect_price", "i8"),
        ("suspect_close", "i8"),
        ("suspect_new", "i8"),
        ("suspect_old", "i8"),
        ("withheld", "i8"),
        ("withheld_lost", "i8"),
        # The measures as they were before it.
        ("measure_state", "i1", (MEASURE_COUNT, 2)),
        ("entry_ordinal", "i1", (MEASURE_COUNT, 2)),
        ("entry_date", "i4", (MEASURE_COUNT, 2)),
        ("entry_ns", "i8", (MEASURE_COUNT, 2)),
        ("entry_price", "i8", (MEASURE_COUNT, 2)),
        ("entry_id", "u1", (MEASURE_COUNT, 2, TRADE_ID_BYTES)),
        ("entry_conditions", "u1", (MEASURE_COUNT, 2, CONDITION_COUNT)),
        ("base", "i8", (MEASURE_COUNT,)),
        ("base_date", "i4", (MEASURE_COUNT,)),
    ],
    align=True,
)

# A session that an exchange cancelled or shortened. The market's code is its four letters as a number, since its index
# may change with the configuration.
OVERRIDE = np.dtype([("market", "i4"), ("date", "i4"), ("close_ns", "i8")], align=True)

# What concerns the whole partition, and the running totals of what it has seen.
PARTITION = np.dtype(
    [
        ("mode", "i8"),
        ("clock_ns", "i8"),
        ("deadline_ns", "i8"),  # the earliest deadline of any row
        ("withheld", "i8"),  # how many withheld transitions there are
        ("overrides", "i8"),
        ("ticks", "i8"),
        ("ticks_out_of_session", "i8"),
        ("ticks_late", "i8"),
        ("ticks_late_amended", "i8"),
        ("ticks_ineligible", "i8"),
        ("ticks_duplicate", "i8"),
        ("cancels", "i8"),
        ("corrections", "i8"),
        ("cancels_unknown", "i8"),
        ("cancels_duplicate", "i8"),
        ("cancels_late", "i8"),
        ("statuses", "i8"),
        ("actions", "i8"),
        ("actions_unknown", "i8"),
        ("instruments", "i8"),
        ("accepts", "i8"),
        ("session_changes", "i8"),
        ("restated_after_verdict", "i8"),
        ("splits_suspected", "i8"),
        ("splits_released", "i8"),
        ("splits_discarded", "i8"),
        ("withheld_lost", "i8"),
        ("prints_held", "i8"),
        ("prints_believed", "i8"),
        ("prints_rejected", "i8"),
        ("bars", "i8"),
        ("bars_too_old", "i8"),
        ("clocks", "i8"),
        ("clocks_backward", "i8"),
    ],
    align=True,
)
COUNTERS: Final = PARTITION.names[5:] if PARTITION.names else ()

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
        ("reason", "i1"),
        ("held", "i1"),
        ("halt", "i1"),
        ("degraded", "i1"),
        ("verdict", "i1"),
        ("level_unknown", "i1"),
        ("extended", "i1"),
        ("spare", "i1", (3,)),
        ("streak", "i4"),
        ("level", "i8"),  # of a suspected split: the last close
        ("level_raw", "i8"),
        ("level_numerator", "i8"),  # of a suspected split: new units
        ("level_denominator", "i8"),  # and old ones
        ("base_level", "i8"),
        ("level_date", "i4"),
        ("level_age", "i4"),
        ("window_start", "i4"),
        ("window_end", "i4"),
        ("sessions", "i4"),  # of a suspected split: transitions withheld
        ("sessions_expected", "i4"),  # and lost
        ("atr", "f8"),
        ("base", "i8", (MEASURE_COUNT,)),
        ("base_date", "i4", (MEASURE_COUNT,)),
        ("symbol", "u1", (SYMBOL_BYTES,)),
    ],
    align=True,
)

# The most transitions of one trade: suspect; per machine a held extreme, a failure or trigger and an extreme; per
# measure and side an exit and an entry.
_TRADE_MAX: Final = 1 + 3 * MACHINES + 4 * MEASURE_COUNT
# Of one record of one row: a roll (held prints, per machine a held extreme and a verdict, every measure expires), the
# derivation (per machine a held extreme and an amendment, every measure expires), what was withheld with its
# settlement, what a cancel takes back (per machine a held extreme, a trigger and a failure or a corrected close), and
# the trades: its own and the held prints that it confirms.
EMITTED_MAX: Final = (
    HELD_PRINTS_MAX
    + 2 * MACHINES
    + 2 * MEASURE_COUNT
    + 2 * MACHINES
    + 2 * MEASURE_COUNT
    + WITHHELD_MAX
    + 1
    + 3 * MACHINES
    + (1 + HELD_PRINTS_MAX // 2) * (_TRADE_MAX + 1)
)

assert len(FAMILY_NAMES) == MEASURE_COUNT + 6
