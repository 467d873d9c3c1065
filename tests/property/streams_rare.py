"""Drawing the records that are rare on a tape: cancels, corrections, repeats, actions, halts and statements.

Each is aimed at what it can change at that moment: a cancel at the trade that a signal or a suspicion hangs on, an
action at the session it comes in the middle of, a jump at the ratio that the guard looks for.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import date, timedelta
from fractions import Fraction
from typing import Any, Protocol, TypeVar

from tests.oracle import Oracle, Session
from tests.oracle.breakout import Breakout
from tests.oracle.row import Row
from tests.property.streams_markets import HOUR, MINUTE, SECOND

T = TypeVar("T")

# New shares for old: forward and reverse, exact and inexact as decimals.
SPLITS = ((2, 1), (4, 1), (3, 1), (7, 11), (1, 10), (3, 2), (11, 7), (1, 1))
JUMPS = tuple(Fraction(old, new) for new, old in SPLITS[:-1])
KINDS = ("split", "split", "stock_dividend", "ratio_change", "rights", "spin_off")
SAME_UNITS = ("cash_dividend", "symbol_change", "delisting")
STATUSES = ("halted", "paused_luld", "limit_state", "resumed", "trading", "closed")
VENUES = (None, None, None, "N", "Q", "XNYS", "D")
ORIGINAL = ("instrument", "time", "price", "size", "conditions", "tape", "venue", "trade_id")

# What an engine has to know before a log may hold it.
FEATURES = ("cancels", "actions", "guard", "statements", "sessions")


class Writer(Protocol):
    """What drawing needs of the writer of a log."""

    number: Callable[[int], int]
    oracle: Oracle
    instruments: list[str]
    now_ns: int
    index: int
    market: tuple[Session, ...]
    last: dict[str, Fraction]
    records: list[dict[str, Any]]

    def pick(self, choices: Sequence[T]) -> T:
        """Draw one of some choices."""
        ...

    def write(self, record: dict[str, Any]) -> None:
        """Add a record."""

    def price_text(self, instrument: str, time_ns: int) -> str:
        """Draw a price from the instrument's thresholds."""
        ...


def cancelled(writer: Writer) -> dict[str, Any] | None:
    """Draw a trade to take back: one that something hangs on, a late or a past one, one that never was."""
    instrument = writer.pick(writer.instruments)
    wide = writer.oracle.extended
    rows = [oracle.rows[instrument] for oracle in (writer.oracle, wide) if oracle and instrument in oracle.rows]
    at = writer.index - min(writer.pick((0, 0, 0, 0, 0, 0, 1, 1, 1, 2)), writer.index)
    since, until = (
        session.open_ns if wide is None else min(session.open_ns, session.extended_open_ns or session.open_ns)
        for session in (writer.market[at], writer.market[at + 1])
    )
    gone = {each["trade_id"] for each in writer.records if each.get("type") in ("cancel", "correct")}
    ticks = [
        each
        for each in writer.records
        if each.get("type") is None
        and each["instrument"] == instrument
        and each.get("trade_id") not in {None, *gone}
        and since <= each["time"] < until
    ]
    if not ticks:
        return None
    aimed = [tick for tick in ticks if any(_hangs(row.breakouts, tick) or _is_suspect(row, tick) for row in rows)]
    how = writer.number(9)
    tick = writer.pick(aimed) if aimed and how < 6 else writer.pick(ticks[-8:] if how < 9 else ticks)
    original = {name: tick[name] for name in ORIGINAL if name in tick}
    if writer.number(11) == 0:
        original["trade_id"] = f"never{len(writer.records)}"
    return original


def corrected(writer: Writer, original: dict[str, Any]) -> dict[str, Any]:
    """Draw what a trade should have been."""
    correction: dict[str, Any] = {
        "price": writer.price_text(original["instrument"], writer.now_ns),
        "size": writer.pick(("100", "7", original["size"])),
    }
    if writer.number(4) == 0:
        correction["conditions"] = list(writer.pick((("@",), ("I",), ("Z",), ("F", "6"))))
    if writer.number(4) == 0:
        correction["trade_id"] = f"C{len(writer.records)}"
    if writer.number(11) == 0:
        correction["time"] = original["time"] + writer.pick((1, SECOND, -SECOND, -24 * HOUR))
    return correction


def action(writer: Writer) -> dict[str, Any]:
    """Draw an action: of a session to come, of this one, late, or taken back."""
    instrument = writer.pick(writer.instruments)
    row = writer.oracle.rows.get(instrument)
    known = sorted(row.history.actions) if row else []
    record: dict[str, Any] = {"type": "action", "instrument": instrument}
    if known and writer.number(3) == 0:
        return {**record, "action_id": writer.pick((*known, "never")), "operation": "withdraw"}
    ahead = writer.pick((1, 1, 0, 0, 0, -1, -2, 2, -6))
    day = writer.market[max(0, min(writer.index + ahead, len(writer.market) - 1))].date
    kind = writer.pick(KINDS * 3 + SAME_UNITS)
    new, old = writer.pick(SPLITS) if kind in KINDS else (1, 1)
    number = len(known) if writer.number(9) else 0
    record |= {"action_id": f"a{number}", "action": kind, "ex_date": str(day), "numerator": new, "denominator": old}
    if kind == "symbol_change":
        record["symbol"] = writer.pick(("NEW", "NEW.B"))
    return record


def jump(writer: Writer, ex_dates_after: date) -> None:
    """Take prices into the units of a new session, as its actions say; or as though one had been forgotten."""
    for instrument in writer.instruments:
        row = writer.oracle.rows.get(instrument)
        if row is None or instrument not in writer.last:
            continue
        today, factor = writer.market[writer.index].date, Fraction(1)
        for each in row.history.actions.values():
            if ex_dates_after < each.ex_date <= today and writer.number(9):
                factor *= each.factor
        moved = writer.last[instrument] * factor
        writer.last[instrument] = min(max(moved // UNIT * UNIT, UNIT), PRICE_MAX)


def unannounced(writer: Writer) -> dict[str, Any]:
    """Draw a session's first trade at a simple multiple of the last close, or just outside what counts as near."""
    instrument = writer.pick(writer.instruments)
    near = writer.pick((Fraction(1), Fraction(1), Fraction(106, 100), Fraction(94, 100), Fraction(107, 100)))
    moved = writer.last.get(instrument, Fraction(100)) * writer.pick(JUMPS) * near
    writer.last[instrument] = min(max(moved // UNIT * UNIT, UNIT), PRICE_MAX)
    return {
        "instrument": instrument,
        "time": writer.now_ns,
        "price": as_text(writer.last[instrument]),
        "size": "100",
    }


def status(writer: Writer) -> dict[str, Any]:
    """Draw a halt or its end."""
    instrument = writer.pick(writer.instruments)
    return {"type": "status", "instrument": instrument, "time": writer.now_ns, "status": writer.pick(STATUSES)}


def accept(writer: Writer) -> dict[str, Any]:
    """Draw an operator's word about a session that is in quarantine, or about another."""
    instrument = writer.pick(writer.instruments)
    row = writer.oracle.rows.get(instrument)
    day = writer.market[writer.index].date
    if row is not None and row.quarantine is not None:
        day = row.quarantine.day
    if writer.number(7) == 0:
        day -= timedelta(days=1)
    return {"type": "accept", "instrument": instrument, "session_date": str(day)}


def instrument(writer: Writer) -> dict[str, Any]:
    """Draw what is said of an instrument."""
    said: dict[str, Any] = {"type": "instrument", "instrument": writer.pick(writer.instruments)}
    if writer.number(1):
        said["tick_size"] = writer.pick(("0.01", "0.05", "1"))
    if writer.number(3) == 0:
        listed = writer.market[max(0, writer.index - writer.pick((3, 30, 400)))].date
        said["listing_date"] = str(listed)
    return said


def stated_close(writer: Writer) -> dict[str, Any]:
    """Draw the statement of an official or a corrected close, before or after the verdict."""
    name = writer.pick(writer.instruments)
    session = writer.market[writer.index]
    time_ns = writer.pick((session.close_ns, session.close_ns + 20 * MINUTE, writer.now_ns, session.close_ns + HOUR))
    return {
        "instrument": name,
        "time": min(time_ns, writer.now_ns),
        "price": writer.price_text(name, writer.now_ns),
        "size": "0",
        "conditions": [writer.pick(("M", "9"))],
        "tape": "A",
    }


def session(writer: Writer) -> dict[str, Any]:
    """Draw a session that the exchange shortens or takes back."""
    today = writer.market[writer.index]
    record: dict[str, Any] = {"type": "session", "mic": writer.instruments[0][:4], "time": writer.now_ns}
    if writer.number(1):
        close = today.open_ns + writer.pick((HOUR, 2 * HOUR, 3 * HOUR + SECOND, 99 * HOUR))
        return {**record, "session_date": str(today.date), "status": "early_close", "close": close}
    return {**record, "session_date": str(today.date), "status": "cancelled"}


def _hangs(breakouts: Sequence[Breakout], tick: dict[str, Any]) -> bool:
    signals = [breakout.live for breakout in breakouts if breakout.live is not None]
    trades = [trade for signal in signals for trade in (signal.trigger, signal.failing, *signal.beyond) if trade]
    trades += [breakout.pending for breakout in breakouts if breakout.pending is not None]
    return any(trade.tick.time_ns == tick["time"] and trade.tick.trade_id == tick.get("trade_id") for trade in trades)


def _is_suspect(row: Row, tick: dict[str, Any]) -> bool:
    return row.quarantine is not None and row.quarantine.tick.time_ns == tick["time"]


UNIT = Fraction(1, 100_000_000)
PRICE_MAX = Fraction(7_999_999)


def to_price(price: Fraction, units: int) -> Fraction:
    """Return a price of whole units, so many further, within what a price may be."""
    return min(max((price // UNIT + units) * UNIT, UNIT), PRICE_MAX)


def as_text(price: Fraction) -> str:
    """Write a price of whole units."""
    units = price / UNIT
    assert units.denominator == 1, price
    whole, rest = divmod(int(units), 100_000_000)
    return f"{whole}.{rest:08d}"
