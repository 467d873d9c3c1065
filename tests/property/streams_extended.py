"""Drawing what happens outside regular hours: before the bell, after it, and at the ends of the extended session."""

from __future__ import annotations

from typing import Any, Protocol

from tests.oracle import Session
from tests.property.streams_markets import HOUR, MINUTE, SECOND
from tests.property.streams_rare import Writer, as_text, to_price

# Made outside regular hours: on time, out of sequence, swept, an odd lot, late; and regular ones, there too.
CONDITIONS: tuple[tuple[str, ...], ...] = (
    *(("T",),) * 6,
    *(("U",), ("F", "T"), ("T", "I"), ("T", "Z"), ("@",), ("Z",), ("T", "U"), ("?", "T"), ()),
)
TAPES = ("A", "A", "A", "C", None)


class Hours(Writer, Protocol):
    """What drawing outside regular hours needs of the writer of a log."""

    def advance_to(self, time_ns: int) -> None:
        """Let time pass, with a clock where the mode has one."""


def before_the_bell(writer: Hours, session: Session) -> None:
    """Write trades from the extended open on."""
    _between(writer, session.extended_open_ns, session.open_ns)


def after_the_bell(writer: Hours, session: Session) -> None:
    """Write trades up to the extended close, and about it; then its verdict, if time has come so far."""
    if not session.extended_close_ns:
        return
    _between(writer, session.close_ns, session.extended_close_ns)
    for shift in (-1, 0):
        if writer.number(3) == 0:
            writer.advance_to(session.extended_close_ns + shift)
            _trade(writer, session.extended_close_ns + shift)
    if writer.number(2):
        grace_ns = writer.oracle.rules.grace_ns
        writer.advance_to(session.extended_close_ns + grace_ns + writer.pick((0, 0, -1)))


def _between(writer: Hours, start_ns: int, stop_ns: int) -> None:
    time_ns = start_ns + writer.pick((0, 0, -1, MINUTE, HOUR))
    for _ in range(writer.number(6)):
        if not start_ns or time_ns >= stop_ns:
            return
        if time_ns >= writer.now_ns:
            writer.advance_to(time_ns)
            _trade(writer, time_ns - writer.pick((0, 0, 0, 0, 1, SECOND)))
        time_ns += writer.pick((1, SECOND, MINUTE, MINUTE, 20 * MINUTE))


def _trade(writer: Hours, time_ns: int) -> None:
    instrument = writer.pick(writer.instruments)
    tick: dict[str, Any] = {"instrument": instrument, "time": time_ns, "size": "100"}
    tick["price"] = _price(writer, instrument, time_ns)
    if conditions := writer.pick(CONDITIONS):
        tick["conditions"] = list(conditions)
    if tape := writer.pick(TAPES):
        tick["tape"] = tape
    if writer.number(1):
        tick["trade_id"] = f"T{len(writer.records)}"
    writer.write(tick)


def _price(writer: Hours, instrument: str, time_ns: int) -> str:
    # From the thresholds of the scope itself most often.
    wide = writer.oracle.extended
    if wide is None or writer.number(3) == 0:
        return writer.price_text(instrument, time_ns)
    breakouts, _ = wide.prices(instrument, time_ns)
    if not breakouts:
        return writer.price_text(instrument, time_ns)
    price = to_price(writer.pick(breakouts), writer.pick((0, 0, -1, 1, 1, 100_000)))
    writer.last[instrument] = price
    return as_text(price)
