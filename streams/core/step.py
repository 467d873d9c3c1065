"""`step`: one pass over records of one partition, in log order. Everything the product says is decided here.

A plain scalar loop. A tick inside its row's band (strictly between the nearest prices at which any machine moves), in
the running part of the session and fully eligible, touches the hot row only. Whatever else goes the full way: session,
roll, levels, machines, and a new band. That the band changes no output is a property that the tests hold.

The loop returns before a record for which `outputs` might be too small, and the caller drains and calls again. A clock
record touches every row; when it stops half way the same record runs again, and rows already told stay as they are.
"""

from __future__ import annotations

import numpy as np

from streams.core.breakout import fold_breakout
from streams.core.compiled import njit
from streams.core.layout import (
    DOWN,
    ELIGIBLE_BY_CONDITION,
    ELIGIBLE_HIGH_LOW,
    ELIGIBLE_LAST,
    ELIGIBLE_PLAIN,
    ELIGIBLE_VOLUME,
    KIND_BAR,
    KIND_CLOCK,
    KIND_TICK,
    MODE_REPLAY,
    MODE_UNKNOWN,
    REJECT_CLOCK_MODE,
    REJECT_FUTURE_TIME,
    REJECT_NOT_A_SESSION,
    REJECT_SESSION_NOT_CLOSED,
    UP,
)
from streams.core.momentum import band_of_measures, fold_measures
from streams.core.roll import derive_session, roll, set_deadline, store_official_bar, tell_clock
from streams.core.rows import (
    BREAKOUT_ACTIVE,
    BREAKOUT_ARMED,
    EMITTED_MAX,
    NEVER_NS,
    PRICE_NEVER,
    UNBORN,
    VOLUME_MAX,
)
from streams.core.sessions import session_dated, session_opened


@njit
def step(
    partitions: np.ndarray,
    hot_rows: np.ndarray,
    warm_rows: np.ndarray,
    rings: np.ndarray,
    order: np.ndarray,
    records: np.ndarray,
    bars: np.ndarray,
    buffer: np.ndarray,
    start: int,
    markets: np.ndarray,
    sessions: np.ndarray,
    rules_in_force: np.ndarray,
    outputs: np.ndarray,
    rejects: np.ndarray,
) -> tuple[int, int, int]:
    """Fold records from `start` on into the state.

    Args:
        partitions: One element of `PARTITION`.
        hot_rows: `HOT`, a row an instrument.
        warm_rows: `WARM`, a row an instrument.
        rings: `BAR`, shape (rows, RING_BARS).
        order: Row numbers sorted by instrument id: the order in which a clock passes.
        records: `RECORD`.
        bars: `BAR`, the bars that bar records refer to.
        buffer: Bytes that trade ids refer to.
        start: Index of the first record to fold.
        markets: `MARKET`.
        sessions: `SESSION`.
        rules_in_force: One element of `RULES`.
        outputs: `OUT`, at least `EMITTED_MAX` entries.
        rejects: `REJECT`.

    Returns:
        How far it came (index of the first record not folded), and the numbers of outputs and rejects written.
    """
    partition = partitions[0]
    rules = rules_in_force[0]
    emitted = np.int64(0)
    refused = np.int64(0)
    ticks = np.int64(0)
    skew_ns = np.int64(rules["skew_ns"])
    is_replay = partition["mode"] == MODE_REPLAY
    index = start
    while index < len(records) and emitted + EMITTED_MAX <= len(outputs) and refused < len(rejects):
        record = records[index]
        kind = record["kind"]
        if kind == KIND_TICK:
            row = np.int64(record["row"])
            hot = hot_rows[row]
            time_ns = np.int64(record["time_ns"])
            price = np.int64(record["price"])
            reference_ns = np.int64(partition["clock_ns"]) if is_replay else np.int64(record["append_ns"])
            if time_ns > reference_ns + skew_ns:
                refused = _refuse(rejects, refused, index, np.int64(REJECT_FUTURE_TIME), reference_ns)
            elif (
                hot["band_low"] < price < hot["band_high"]
                and hot["segment_open_ns"] <= time_ns < hot["segment_close_ns"]
                and record["eligible"] & ELIGIBLE_PLAIN == ELIGIBLE_PLAIN
            ):
                hot["last"] = price
                hot["volume"] = min(np.int64(hot["volume"]) + np.int64(record["size"]), np.int64(VOLUME_MAX))
                ticks += 1
            else:
                warm = warm_rows[row]
                emitted = _fold_tick(
                    outputs, emitted, index, record, partition, hot, warm, rings[row], markets, sessions, rules, buffer
                )
                ticks += 1
        elif kind == KIND_CLOCK:
            reason = _clock_refusal(partition, record, skew_ns)
            if reason >= 0:
                refused = _refuse(rejects, refused, index, reason, np.int64(record["append_ns"]))
            else:
                is_replay = record["mode"] == MODE_REPLAY
                emitted, done = _fold_clock(
                    outputs,
                    emitted,
                    index,
                    record,
                    partition,
                    hot_rows,
                    warm_rows,
                    rings,
                    order,
                    markets,
                    sessions,
                    rules,
                )
                if not done:
                    break
        elif kind == KIND_BAR:
            row = np.int64(record["row"])
            reference_ns = np.int64(partition["clock_ns"]) if is_replay else np.int64(record["append_ns"])
            bar = bars[record["extra"]]
            reason = _fold_bar(
                bar, reference_ns, partition, hot_rows[row], warm_rows[row], rings[row], markets, sessions, rules
            )
            if reason >= 0:
                refused = _refuse(rejects, refused, index, reason, reference_ns)
        index += 1
    partition["ticks"] += ticks
    return index, emitted, refused


@njit
def _refuse(rejects: np.ndarray, refused: int, index: int, reason: int, reference_ns: int) -> int:
    rejects[refused]["record"] = index
    rejects[refused]["reason"] = reason
    rejects[refused]["reference_ns"] = reference_ns
    return refused + 1


# A tick that the hot row alone could not settle.
@njit
def _fold_tick(
    outputs: np.ndarray,
    emitted: int,
    index: int,
    record: np.void,
    partition: np.void,
    hot: np.void,
    warm: np.void,
    ring: np.ndarray,
    markets: np.ndarray,
    sessions: np.ndarray,
    rules: np.void,
    buffer: np.ndarray,
) -> int:
    _bear(partition, hot)
    row = np.int64(record["row"])
    market = markets[hot["market"]]
    first = np.int64(market["first"])
    count = np.int64(market["count"])
    if hot["segment_open_ns"] <= record["time_ns"] < hot["segment_close_ns"]:
        session = np.int64(warm["session"])
    else:
        session = session_opened(sessions, first, count, np.int64(record["time_ns"]))
    if session < 0 or not _belongs(record, sessions[first + session], rules):
        partition["ticks_out_of_session"] += 1
        return emitted
    date = np.int64(sessions[first + session]["date"])
    is_over = partition["clock_ns"] >= sessions[first + session]["close_ns"] + rules["grace_ns"]
    if is_over or date < hot["date"] or (date == hot["date"] and warm["closed"] != 0):
        partition["ticks_late"] += 1
        return emitted
    time_ns = np.int64(record["time_ns"])
    if date > hot["date"]:
        emitted = roll(
            outputs,
            emitted,
            index,
            row,
            hot,
            warm,
            ring,
            sessions,
            first,
            count,
            session,
            time_ns,
            np.int64(partition["clock_ns"]),
            rules,
        )
    if record["eligible"] & ELIGIBLE_VOLUME != 0:
        hot["volume"] = min(np.int64(hot["volume"]) + np.int64(record["size"]), np.int64(VOLUME_MAX))
    if record["eligible"] & ELIGIBLE_HIGH_LOW == 0:
        partition["ticks_ineligible"] += 1
    else:
        if warm["traded"] == 0:
            emitted = derive_session(outputs, emitted, index, row, hot, warm, ring, sessions, first, rules)
        emitted = _fold_trade(outputs, emitted, index, record, row, hot, warm, rules, buffer)
        _set_segment(hot, warm, time_ns)
        _set_band(hot, warm, rules)
    deadline = set_deadline(hot, warm, rules)
    if deadline < partition["deadline_ns"]:
        partition["deadline_ns"] = deadline
    return emitted


# A row begins with its first accepted record, not when decoding met its name: a clock before that record must not see
# it, however the log is cut into batches.
@njit
def _bear(partition: np.void, hot: np.void) -> None:
    if hot["date"] == UNBORN:
        hot["date"] = 0
        partition["deadline_ns"] = 0


# Whether a trade is part of a session's regular scope: between the bells and outside the break, or, where its own
# conditions say that it counts, within the grace after the bell, when the closing auction prints.
@njit
def _belongs(record: np.void, session: np.void, rules: np.void) -> bool:
    time_ns = np.int64(record["time_ns"])
    if time_ns < session["close_ns"]:
        return not session["break_start_ns"] <= time_ns < session["break_end_ns"]
    wanted = ELIGIBLE_BY_CONDITION | ELIGIBLE_HIGH_LOW
    return record["eligible"] & wanted == wanted and time_ns < session["close_ns"] + rules["grace_ns"]


@njit
def _fold_trade(
    outputs: np.ndarray,
    emitted: int,
    index: int,
    record: np.void,
    row: int,
    hot: np.void,
    warm: np.void,
    rules: np.void,
    buffer: np.ndarray,
) -> int:
    price = np.int64(record["price"])
    date = np.int64(hot["date"])
    is_last = record["eligible"] & ELIGIBLE_LAST != 0
    high = np.int64(warm["high"])
    low = np.int64(warm["low"])
    if warm["traded"] == 0:
        warm["traded"] = 1
        warm["open"] = price
        warm["high"] = price
        warm["low"] = price
        high = np.int64(0)
        low = np.int64(0)
    else:
        warm["high"] = max(high, price)
        warm["low"] = min(low, price)
    warm["latest"] = price
    emitted = fold_breakout(outputs, emitted, index, record, date, row, warm, rules, buffer, np.int64(UP), high)
    emitted = fold_breakout(outputs, emitted, index, record, date, row, warm, rules, buffer, np.int64(DOWN), low)
    if is_last:
        is_first = warm["last_seen"] == 0
        warm["last_seen"] = 1
        hot["last"] = price
        emitted = fold_measures(outputs, emitted, index, record, date, row, warm, rules, buffer, is_first)
    return emitted


# The bounds between which a tick's time needs no second look.
@njit
def _set_segment(hot: np.void, warm: np.void, time_ns: int) -> None:
    start = np.int64(warm["open_ns"])
    end = np.int64(warm["close_ns"])
    if warm["break_start_ns"] > 0:
        if time_ns < warm["break_start_ns"]:
            end = np.int64(warm["break_start_ns"])
        else:
            start = np.int64(warm["break_end_ns"])
    hot["segment_open_ns"] = start
    hot["segment_close_ns"] = end


# The nearest prices at which anything moves. Without a trade eligible for last the measures have not been evaluated: no
# band.
@njit
def _set_band(hot: np.void, warm: np.void, rules: np.void) -> None:
    if warm["last_seen"] == 0 or rules["band"] == 0:
        hot["band_low"] = PRICE_NEVER
        hot["band_high"] = 0
        return
    high = np.int64(warm["high"]) + 1
    low = np.int64(warm["low"]) - 1
    if warm["state"][UP] == BREAKOUT_ARMED:
        high = min(high, np.int64(warm["threshold"][UP]))
    elif warm["state"][UP] == BREAKOUT_ACTIVE:
        low = max(low, np.int64(warm["fail_line"][UP]))
    if warm["state"][DOWN] == BREAKOUT_ARMED:
        low = max(low, np.int64(warm["threshold"][DOWN]))
    elif warm["state"][DOWN] == BREAKOUT_ACTIVE:
        high = min(high, np.int64(warm["fail_line"][DOWN]))
    low, high = band_of_measures(warm, rules, low, high)
    hot["band_low"] = low
    hot["band_high"] = high


# Why a clock record is refused, or -1: a partition lives in real time or in a replay, never in both.
@njit
def _clock_refusal(partition: np.void, record: np.void, skew_ns: int) -> int:
    if partition["mode"] != MODE_UNKNOWN and partition["mode"] != record["mode"]:
        return np.int64(REJECT_CLOCK_MODE)
    if record["mode"] != MODE_REPLAY and record["time_ns"] > record["append_ns"] + skew_ns:
        return np.int64(REJECT_FUTURE_TIME)
    return np.int64(-1)


# A clock passes over every row that has something to do by then. False when `outputs` filled up on the way.
@njit
def _fold_clock(
    outputs: np.ndarray,
    emitted: int,
    index: int,
    record: np.void,
    partition: np.void,
    hot_rows: np.ndarray,
    warm_rows: np.ndarray,
    rings: np.ndarray,
    order: np.ndarray,
    markets: np.ndarray,
    sessions: np.ndarray,
    rules: np.void,
) -> tuple[int, bool]:
    clock_ns = np.int64(record["time_ns"])
    partition["mode"] = record["mode"]
    if clock_ns < partition["clock_ns"]:
        partition["clocks"] += 1
        partition["clocks_backward"] += 1
        return emitted, True
    if clock_ns >= partition["deadline_ns"]:
        earliest = np.int64(NEVER_NS)
        market = np.int64(-1)
        session = np.int64(-1)
        for position in range(len(order)):
            row = np.int64(order[position])
            hot = hot_rows[row]
            if hot["date"] == UNBORN:
                continue
            if clock_ns >= hot["deadline_ns"]:
                if emitted + EMITTED_MAX > len(outputs):
                    return emitted, False
                if hot["market"] != market:
                    market = np.int64(hot["market"])
                    session = session_opened(
                        sessions, np.int64(markets[market]["first"]), np.int64(markets[market]["count"]), clock_ns
                    )
                first = np.int64(markets[market]["first"])
                count = np.int64(markets[market]["count"])
                warm = warm_rows[row]
                emitted = tell_clock(
                    outputs,
                    emitted,
                    index,
                    row,
                    hot,
                    warm,
                    rings[row],
                    sessions,
                    first,
                    count,
                    session,
                    clock_ns,
                    rules,
                )
                if hot["date"] > 0:
                    set_deadline(hot, warm, rules)
            earliest = min(earliest, np.int64(hot["deadline_ns"]))
        partition["deadline_ns"] = earliest
    partition["clocks"] += 1
    partition["clock_ns"] = clock_ns
    return emitted, True


# A bar record: history, or the official bar of a session that has closed. Returns the reason of its refusal, or -1.
@njit
def _fold_bar(
    bar: np.void,
    reference_ns: int,
    partition: np.void,
    hot: np.void,
    warm: np.void,
    ring: np.ndarray,
    markets: np.ndarray,
    sessions: np.ndarray,
    rules: np.void,
) -> int:
    market = markets[hot["market"]]
    first = np.int64(market["first"])
    session = session_dated(sessions, first, np.int64(market["count"]), np.int64(bar["date"]))
    if session < 0:
        return np.int64(REJECT_NOT_A_SESSION)
    if sessions[first + session]["close_ns"] > reference_ns:
        return np.int64(REJECT_SESSION_NOT_CLOSED)
    _bear(partition, hot)
    if store_official_bar(warm, ring, bar, sessions, first, session, rules):
        partition["bars"] += 1
    else:
        partition["bars_too_old"] += 1
    return np.int64(-1)
