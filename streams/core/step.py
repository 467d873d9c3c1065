"""The step: one loop over the records of a batch, compiled.

A plain tick inside the band costs one comparison of two prices and two times; it moves the tape and the volume and
nothing else. Whatever else a record does is a rare case in a module of its own. The band is a short cut and no rule:
with it switched off the signals are the same.

The loop returns before a record for which `outputs` might be too small, and the caller drains and calls again. A clock
record touches every row; when it stops half way the same record runs again, and rows already told stay as they are.
"""

from __future__ import annotations

from typing import Final

import numpy as np

from streams.core.compiled import inlined, njit
from streams.core.corrections import fold_cancel, fold_corrected, session_of
from streams.core.extremes import extreme_of, is_kept, see_price
from streams.core.guard import withhold
from streams.core.held import far_out_side
from streams.core.late import fold_late
from streams.core.layout import (
    DOWN,
    ELIGIBLE_HIGH_LOW,
    ELIGIBLE_PLAIN,
    KIND_ACCEPT,
    KIND_ACTION,
    KIND_BAR,
    KIND_CANCEL,
    KIND_CLOCK,
    KIND_CORRECT,
    KIND_INSTRUMENT,
    KIND_SESSION,
    KIND_SKIP,
    KIND_STATUS,
    KIND_TICK,
    LAST_CONDITIONAL,
    MODE_REPLAY,
    MODE_UNKNOWN,
    REJECT_CLOCK_MODE,
    REJECT_FUTURE_TIME,
    REJECT_NOT_A_SESSION,
    UP,
)
from streams.core.recent import add_print, is_recent, remember_id, trade_key
from streams.core.records import bear, fold_accept, fold_action, fold_bar, fold_instrument, fold_status
from streams.core.roll import roll, set_deadline, tell_clock
from streams.core.rows import EMITTED_MAX, NEVER_NS, PRINT, PRINTS, UNBORN, VOLUME_MAX
from streams.core.session_changes import change_row, change_session, closes_at, keep_override
from streams.core.sessions import session_dated, session_opened
from streams.core.trades import (
    clear_bands,
    cut_band,
    fold_in_session,
    load_trade,
    set_bands,
    set_segment,
)
from streams.core.unsee import IGNORED
from streams.core.words import prefetch
from streams.core.world import Row, Rows, World


@njit
def step(
    partitions: np.ndarray,
    hot_rows: np.ndarray,
    warm_rows: np.ndarray,
    cold_rows: np.ndarray,
    tapes: np.ndarray,
    rings: np.ndarray,
    order: np.ndarray,
    records: np.ndarray,
    bars: np.ndarray,
    details: np.ndarray,
    buffer: np.ndarray,
    start: int,
    markets: np.ndarray,
    mics: np.ndarray,
    sessions: np.ndarray,
    rules_in_force: np.ndarray,
    overrides: np.ndarray,
    withheld: np.ndarray,
    trades: np.ndarray,
    cursor: np.ndarray,
    outputs: np.ndarray,
    rejects: np.ndarray,
) -> tuple[int, int, int]:
    """Fold records from `start` on into the state.

    Args:
        partitions: One element of `PARTITION`.
        hot_rows: `HOT`, a row an instrument.
        warm_rows: `WARM`, a row an instrument.
        cold_rows: `COLD`, a row an instrument.
        tapes: `TAPE`, a row an instrument.
        rings: `BAR`, shape (rows, RING_BARS).
        order: Row numbers sorted by instrument id: the order in which a clock passes.
        records: `RECORD`.
        bars: `BAR`, the bars that bar records refer to.
        details: `DETAIL`, what records of other kinds refer to.
        buffer: Bytes that trade ids refer to, at least eight.
        start: Index of the first record to fold.
        markets: `MARKET`.
        mics: The four letters of each market as a number.
        sessions: `SESSION`, this engine's own: the log may change them.
        rules_in_force: One element of `RULES`.
        overrides: `OVERRIDE`, the sessions that the log changed.
        withheld: `OUT`, transitions of rows whose split is suspected.
        trades: Two elements of `TRADE`, of no meaning between calls.
        cursor: Three integers, as `World.cursor`, of no meaning between calls.
        outputs: `OUT`, at least `EMITTED_MAX` entries.
        rejects: `REJECT`.

    Returns:
        How far it came (index of the first record not folded), and the numbers of outputs and rejects written.
    """
    partition = partitions[0]
    rules = rules_in_force[0]
    cursor[:] = 0
    world = World(outputs, cursor, partition, sessions, rules, trades[0], trades[1], withheld)
    rows = Rows(hot_rows, warm_rows, cold_rows, tapes, rings, order, markets)
    refused = np.int64(0)
    skew_ns = np.int64(rules["skew_ns"])
    bad_print_bps = np.int64(rules["bad_print_bps"])
    is_replay = partition["mode"] == MODE_REPLAY
    index = np.int64(start)
    last = np.int64(len(records)) - 1
    while index < len(records) and cursor[0] + EMITTED_MAX <= len(outputs) and refused < len(rejects):
        record = records[index]
        kind = record["kind"]
        # Rows lie all over memory and their tapes do not fit the cache: fetched ahead, a tick costs less than half.
        far = int(records[min(index + _FAR, last)]["row"])
        near = int(records[min(index + _NEAR, last)]["row"])
        far, near = max(far, 0), max(near, 0)
        prefetch(hot_rows, far, 0)
        slot = np.int64(hot_rows[near]["prints"]) & (PRINTS - 1)
        prefetch(tapes, near, slot * _PRINT_BYTES)
        prefetch(tapes, near, slot * _PRINT_BYTES + _PRINT_BYTES - 1)
        price = np.int64(records[min(index + _NEAR, last)]["price"])
        if price <= hot_rows[near]["band_low"] or price >= hot_rows[near]["band_high"]:
            for offset in range(_LATEST_START, _LATEST_END, _LINE_BYTES):
                prefetch(warm_rows, near, np.int64(offset))
        reference_ns = np.int64(partition["clock_ns"]) if is_replay else np.int64(record["append_ns"])
        reason = np.int64(-1)
        cursor[1] = index
        cursor[2] = cursor[0]
        if kind == KIND_TICK:
            number = np.int64(record["row"])
            hot = hot_rows[number]
            if record["time_ns"] > reference_ns + skew_ns:
                reason = np.int64(REJECT_FUTURE_TIME)
            elif _is_in_band(hot, record):
                _fold_in_band(partition, hot, tapes[number], record, buffer)
            elif _is_near_band(hot, warm_rows[number], tapes[number], record, bad_print_bps):
                _fold_near_band(partition, hot, warm_rows[number], tapes[number], record, buffer)
            else:
                _fold_tick(world, rows, number, record, buffer)
        elif kind == KIND_CLOCK:
            reason = _clock_refusal(partition, record, skew_ns)
            reference_ns = np.int64(record["append_ns"])
            if reason < 0:
                is_replay = record["mode"] == MODE_REPLAY
                if not _fold_clock(world, rows, record):
                    break
        elif kind == KIND_SESSION:
            reason = _fold_session(world, rows, details[record["extra"]], overrides, mics)
            if reason == _UNDONE:
                break
        elif kind != KIND_SKIP:
            reason = fold_other(world, rows, record, bars, details, buffer, reference_ns)
        if reason >= 0:
            rejects[refused]["record"] = index
            rejects[refused]["reason"] = reason
            rejects[refused]["reference_ns"] = reference_ns
            refused += 1
        index += 1
    return index, np.int64(cursor[0]), refused


_UNDONE: Final = -2
_FAR: Final = 32  # Records between the look at a row and its use: some hundred nanoseconds, what memory takes.
_NEAR: Final = 16
_PRINT_BYTES: Final = PRINT.itemsize
_LINE_BYTES: Final = 64
# What of a warm row a trade near the band reads: from the latest price to the counts of the best ones.
_LATEST_START: Final = 64
_LATEST_END: Final = 448


# Whether a tick moves nothing but the tape and the volume.
@inlined
def _is_in_band(hot: np.void, record: np.void) -> bool:
    return (
        hot["band_low"] < record["price"] < hot["band_high"]
        and hot["segment_open_ns"] <= record["time_ns"] < hot["segment_close_ns"]
        and record["eligible"] & (ELIGIBLE_PLAIN | LAST_CONDITIONAL) == ELIGIBLE_PLAIN
    )


@inlined
def _fold_in_band(partition: np.void, hot: np.void, tape: np.void, record: np.void, buffer: np.ndarray) -> None:
    partition["ticks"] += 1
    key = _key_of(hot, record, buffer)
    if key != 0 and is_recent(tape, key):
        partition["ticks_duplicate"] += 1
        return
    _take(hot, tape, record, key)


# What the trade's id is known by, 0 without one.
@inlined
def _key_of(hot: np.void, record: np.void, buffer: np.ndarray) -> int:
    key = np.int64(0)
    length = np.int64(record["trade_id_length"])
    if length > 0:
        key = trade_key(
            buffer,
            np.int64(record["trade_id_start"]),
            length,
            np.int64(record["extra"]),
            np.int64(hot["date"]),
        )
    return key


@inlined
def _take(hot: np.void, tape: np.void, record: np.void, key: int) -> None:
    if key != 0:
        remember_id(tape, key)
    add_print(hot, tape, np.int64(record["price"]), key, np.int64(record["time_ns"]), np.int64(record["extra"]))
    hot["volume"] = min(np.int64(hot["volume"]) + np.int64(record["size"]), np.int64(VOLUME_MAX))


# Whether a tick moves no machine, but may belong to the best prices of a side. A new extreme has to be believed, too.
@njit
def _is_near_band(hot: np.void, warm: np.void, tape: np.void, record: np.void, bad_print_bps: int) -> bool:
    price = np.int64(record["price"])
    if not warm["rule_low"] < price < warm["rule_high"]:
        return False
    if not hot["segment_open_ns"] <= record["time_ns"] < hot["segment_close_ns"]:
        return False
    if record["eligible"] & (ELIGIBLE_PLAIN | LAST_CONDITIONAL) != ELIGIBLE_PLAIN:
        return False
    if extreme_of(warm, np.int64(DOWN)) <= price <= extreme_of(warm, np.int64(UP)):
        return True
    return warm["guarded"] == 0 and far_out_side(hot, warm, tape, price, bad_print_bps) < 0


# As in the band, and the best prices, whose ids are known longer than those of the others. No row is handed on:
# counting references to its arrays costs more than this.
@njit
def _fold_near_band(
    partition: np.void, hot: np.void, warm: np.void, tape: np.void, record: np.void, buffer: np.ndarray
) -> None:
    partition["ticks"] += 1
    price = np.int64(record["price"])
    key = _key_of(hot, record, buffer)
    if key != 0 and (is_recent(tape, key) or is_kept(warm, price, key)):
        partition["ticks_duplicate"] += 1
        return
    _take(hot, tape, record, key)
    see_price(warm, np.int64(UP), price, key)
    see_price(warm, np.int64(DOWN), price, key)
    cut_band(hot, warm)


# What every record of a row ends with: bands and deadline for what comes, and silence while a split is suspected.
@njit
def _leave(world: World, row: Row) -> None:
    if row.hot["date"] > 0:
        set_bands(world, row)
        set_deadline(world, row)
    if row.warm["guarded"] != 0:
        withhold(world, row)


# A tick that the hot row alone could not settle.
@njit
def _fold_tick(world: World, rows: Rows, number: int, record: np.void, buffer: np.ndarray) -> None:
    hot = rows.hot[number]
    market = rows.markets[hot["market"]]
    row = Row(number, hot, rows.warm[number], rows.cold[number], rows.tape[number], rows.ring[number], market)
    world.partition["ticks"] += 1
    _place_tick(world, row, record, buffer)
    _leave(world, row)


@njit
def _place_tick(world: World, row: Row, record: np.void, buffer: np.ndarray) -> None:
    bear(world, row)
    hot = row.hot
    time_ns = np.int64(record["time_ns"])
    session = session_of(world, row, np.int64(record["eligible"]), time_ns)
    if session < 0:
        world.partition["ticks_out_of_session"] += 1
        return
    found = world.sessions[np.int64(row.market["first"]) + session]
    date = np.int64(found["date"])
    load_trade(
        world,
        row,
        np.int64(record["time_ns"]),
        np.int64(record["price"]),
        np.int64(record["size"]),
        np.int64(record["eligible"]),
        record["conditions"],
        np.int64(record["extra"]),
        date,
        np.int64(record["trade_id_start"]),
        np.int64(record["trade_id_length"]),
        buffer,
    )
    is_over = world.partition["clock_ns"] >= found["close_ns"] + world.rules["grace_ns"]
    if is_over or date < hot["date"] or (date == hot["date"] and row.warm["closed"] != 0):
        fold_late(world, row, date)
        return
    key = np.int64(world.trade["key"])
    if key != 0 and (is_recent(row.tape, key) or is_kept(row.warm, np.int64(record["price"]), key)):
        world.partition["ticks_duplicate"] += 1
        return
    if date > hot["date"]:
        roll(world, row, session, time_ns, np.int64(world.partition["clock_ns"]))
    fold_in_session(world, row)
    if record["eligible"] & ELIGIBLE_HIGH_LOW != 0:
        set_segment(row, time_ns)


@njit
def fold_other(
    world: World,
    rows: Rows,
    record: np.void,
    bars: np.ndarray,
    details: np.ndarray,
    buffer: np.ndarray,
    reference_ns: int,
) -> int:
    """Fold a record of a row that is neither a tick nor skipped. Returns the reason of its refusal, or -1."""
    number = np.int64(record["row"])
    hot = rows.hot[number]
    market = rows.markets[hot["market"]]
    row = Row(number, hot, rows.warm[number], rows.cold[number], rows.tape[number], rows.ring[number], market)
    reason = _fold_change(world, row, record, bars, details, buffer, reference_ns)
    if reason < 0:
        _leave(world, row)
    return reason


@njit
def _fold_change(
    world: World,
    row: Row,
    record: np.void,
    bars: np.ndarray,
    details: np.ndarray,
    buffer: np.ndarray,
    reference_ns: int,
) -> int:
    latest_ns = reference_ns + np.int64(world.rules["skew_ns"])
    kind = record["kind"]
    if kind == KIND_BAR:
        return fold_bar(world, row, bars[record["extra"]], reference_ns)
    if kind == KIND_ACTION:
        return fold_action(world, row, details[record["extra"]])
    if kind == KIND_INSTRUMENT:
        return fold_instrument(world, row, details[record["extra"]])
    if kind == KIND_ACCEPT:
        return fold_accept(world, row, details[record["extra"]])
    if record["time_ns"] > latest_ns:
        return np.int64(REJECT_FUTURE_TIME)
    if kind == KIND_STATUS:
        fold_status(world, row, np.int64(record["mode"]))
        return np.int64(-1)
    if kind == KIND_CANCEL:
        bear(world, row)
        fold_cancel(world, row, record, np.int64(record["extra"]), buffer)
        return np.int64(-1)
    if kind == KIND_CORRECT:
        detail = details[record["extra"]]
        if detail["time_ns"] > latest_ns:
            return np.int64(REJECT_FUTURE_TIME)
        bear(world, row)
        number = fold_cancel(world, row, record, np.int64(detail["market"]), buffer)
        if number != IGNORED:
            fold_corrected(world, row, detail, buffer, number)
    return np.int64(-1)


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
def _fold_clock(world: World, rows: Rows, record: np.void) -> bool:
    partition = world.partition
    clock_ns = np.int64(record["time_ns"])
    partition["mode"] = record["mode"]
    if clock_ns < partition["clock_ns"]:
        partition["clocks"] += 1
        partition["clocks_backward"] += 1
        return True
    if clock_ns >= partition["deadline_ns"]:
        earliest = np.int64(NEVER_NS)
        market = np.int64(-1)
        session = np.int64(-1)
        for position in range(len(rows.order)):
            number = np.int64(rows.order[position])
            hot = rows.hot[number]
            if hot["date"] == UNBORN:
                continue
            if clock_ns >= hot["deadline_ns"]:
                if world.cursor[0] + EMITTED_MAX > len(world.outputs):
                    return False
                if hot["market"] != market:
                    market = np.int64(hot["market"])
                    found = rows.markets[market]
                    session = np.int64(
                        session_opened(world.sessions, np.int64(found["first"]), np.int64(found["count"]), clock_ns)
                    )
                row = Row(
                    number,
                    hot,
                    rows.warm[number],
                    rows.cold[number],
                    rows.tape[number],
                    rows.ring[number],
                    rows.markets[market],
                )
                world.cursor[2] = world.cursor[0]
                tell_clock(world, row, session, clock_ns)
                _leave(world, row)
            earliest = min(earliest, np.int64(hot["deadline_ns"]))
        partition["deadline_ns"] = earliest
    partition["clocks"] += 1
    partition["clock_ns"] = clock_ns
    return True


# A session that its exchange changed: the calendar first, then every row that is in it. The reason of a refusal, -1, or
# _UNDONE when `outputs` filled up on the way.
@njit
def _fold_session(world: World, rows: Rows, detail: np.void, overrides: np.ndarray, mics: np.ndarray) -> int:
    market = np.int64(detail["market"])
    first = np.int64(rows.markets[market]["first"])
    date = np.int64(detail["date"])
    found = session_dated(world.sessions, first, np.int64(rows.markets[market]["count"]), date)
    if found < 0:
        return np.int64(REJECT_NOT_A_SESSION)
    session = world.sessions[first + found]
    close_ns = closes_at(session, np.int64(detail["code"]), np.int64(detail["time_ns"]))
    if close_ns >= 0:
        change_session(session, close_ns)
        keep_override(world.partition, overrides, np.int64(mics[market]), date, close_ns)
    for position in range(len(rows.order)):
        number = np.int64(rows.order[position])
        hot = rows.hot[number]
        if hot["market"] != market or hot["date"] != date:
            continue
        if world.cursor[0] + EMITTED_MAX > len(world.outputs):
            return np.int64(_UNDONE)
        there = rows.markets[market]
        row = Row(number, hot, rows.warm[number], rows.cold[number], rows.tape[number], rows.ring[number], there)
        world.cursor[2] = world.cursor[0]
        change_row(world, row, session)
        clear_bands(row)
        _leave(world, row)
    world.partition["session_changes"] += 1
    return np.int64(-1)
