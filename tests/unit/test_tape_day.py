"""A day of generated trades with the mix of a real tape gives the official high, low, close and volume."""

from __future__ import annotations

from datetime import date
from fractions import Fraction

import pytest

from streams.core.processor import Processor
from streams.core.rules import Rules
from streams.core.sessions import Markets
from streams.core.units import format_time
from tests.oracle import Oracle, Session
from tests.property.engine_run import sessions_of
from tests.property.streams_markets import exchange
from tests.tape_day import CENTS, PARTS, Official, tape_day

MIC = "XNAS"
DAY = date(2025, 9, 30)
GRACE_NS = 900_000_000_000


def sessions() -> list[Session]:
    return list(exchange("XNYS"))


def today() -> Session:
    return next(session for session in sessions() if session.date == DAY)


@pytest.mark.parametrize("seed", range(3))
def test_engine_reproduces_the_official_day(seed: int) -> None:
    """High, low, close and volume of every instrument are those of its exchange, whatever else was on the tape."""
    session = today()
    tape = tape_day(seed, MIC, 25, 1_000, session.open_ns, session.close_ns)
    processor = Processor(Markets([sessions_of(MIC, sessions())]), Rules())

    for start in range(0, len(tape.records), 4_000):
        processor.records(tape.records[start : start + 4_000])
    processor.records([clock(session.close_ns + GRACE_NS), clock(session.close_ns + 24 * 3600 * 1_000_000_000)])

    assert not processor.refused
    assert {name: stored(processor, name) for name in tape.official} == {
        name: figures(official) for name, official in tape.official.items()
    }


def test_oracle_reproduces_the_official_day() -> None:
    """The referee, who shares no table with the generator either, says the same of a smaller day."""
    session = today()
    tape = tape_day(7, MIC, 4, 500, session.open_ns, session.close_ns)
    oracle = Oracle({MIC: sessions()})

    oracle.records(tape.records)

    for name, official in tape.official.items():
        row = oracle.rows[name]
        found = (row.day.extreme("up"), row.day.extreme("down"), row.closing_price(), row.day.volume)
        assert found == figures(official)


def test_generated_tape_has_the_shares_that_it_names() -> None:
    """More than half of the trades are odd lots; some are out of hours, cancelled and corrected."""
    session = today()
    tape = tape_day(0, MIC, 25, 2_000, session.open_ns, session.close_ns)

    trades = sum(tape.parts.values())
    odd_lots = sum(count for codes, count in tape.parts.items() if "I" in codes)
    outside = tape.parts["T",] + tape.parts["U",]

    assert 0.50 < odd_lots / trades < 0.60
    assert 0.04 < outside / trades < 0.06
    assert tape.cancelled > 0
    assert tape.corrected > 0
    assert all(tape.parts[part.codes] for part in PARTS)


def clock(time_ns: int) -> dict[str, str]:
    return {"type": "clock", "time": format_time(time_ns), "mode": "replay"}


def figures(official: Official) -> tuple[Fraction | None, ...]:
    prices = [
        None if cents is None else Fraction(cents, CENTS) for cents in (official.high, official.low, official.close)
    ]
    return (*prices, Fraction(official.volume))


def stored(processor: Processor, name: str) -> tuple[Fraction | None, ...]:
    state = processor.engine.export()
    row = state.ids.tolist().index(name.encode())
    bar = state.rings[row][int(state.warm[row]["bar_count"]) - 1]
    return tuple(Fraction(int(bar[column]), 100_000_000) for column in ("high", "low", "close", "volume"))
