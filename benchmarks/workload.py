"""A trading day of many instruments, after a year of history: the records that every measurement feeds.

Prices walk at random from the close before, two percent a day, so that each instrument crosses a level only now and
then, as a market does.
Everything follows from the seed: two runs feed the same bytes.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Final

import numpy as np

from streams.core.sessions import Markets
from streams.core.units import format_date, format_time, parse_date

MIC: Final = "XNYS"
SESSION_DATE: Final = "2025-09-29"
DAILY_DEVIATION: Final = 0.02
SETTLED_DEVIATION: Final = 0.0005
SETTLED_EDGES: Final = (0.003, 0.004, 0.005, 0.006)  # as many best prices as are kept
SETTLED_OPENING: Final = tuple(side * edge for edge in SETTLED_EDGES for side in (1, -1))
CHUNK: Final = 100_000  # records generated at once, a bound for memory
NS_SECOND: Final = 1_000_000_000
BINARY: Final = np.dtype(
    [("head", "u1", (4,)), ("conditions", "u1", (4,)), ("time_ns", "<i8"), ("price", "<i8"), ("size", "<i8")]
)


@dataclass(frozen=True, slots=True, kw_only=True)
class Workload:
    """What to generate.

    Attributes:
        instruments: Number of instruments.
        ticks: Number of trades in the session.
        first: Generate only so many of them, the first ones, in whole hundred thousands; 0 for all.
        history_sessions: Number of daily bars of each instrument before the session.
        clock_seconds: Distance of two clock records, in event time.
        full: Trades name their conditions, tape, venue and trade id too.
        binary: Trades are fixed-width, 32 bytes each, as `schemas/` describes them.
        crowded: Nine trades of ten are in one instrument of twenty, as at a market's open.
        settled: The first trades of each instrument are its best prices of the day; what follows stays between them, as
            it mostly does in the middle of a session.
        breakout_every: Each so many trades one is a first breakout of an instrument; 0 leaves it to chance.
        seed: Of all random draws.
    """

    instruments: int = 2_000
    ticks: int = 4_000_000
    first: int = 0
    history_sessions: int = 262
    clock_seconds: int = 60
    full: bool = False
    binary: bool = False
    crowded: bool = False
    settled: bool = False
    breakout_every: int = 0
    seed: int = 42

    @property
    def bars(self) -> int:
        """Return the number of bar records."""
        return self.instruments * self.history_sessions

    def names(self) -> list[str]:
        """Return the instruments' ids."""
        return [f"{MIC}:S{number:04d}" for number in range(1, self.instruments + 1)]


@dataclass(frozen=True, slots=True)
class Chunk:
    """Some records in the order of their log."""

    keys: list[bytes]
    values: list[bytes]
    said: list[bytes] | None = None
    """The same records in JSON, where `values` are not."""


def bars(workload: Workload, markets: Markets) -> Iterator[Chunk]:
    """Yield the daily history, one session after the other."""
    names = workload.names()
    keys = [name.encode() for name in names]
    path = _history(workload)
    dates = _history_dates(workload, markets)
    for index, day in enumerate(dates):
        opens, highs, lows, closes = (_prices(column) for column in path[:, index])
        yield Chunk(
            keys,
            [
                f'{{"type":"bar","instrument":"{name}","session_date":"{day}","open":"{first}","high":"{high}",'
                f'"low":"{low}","close":"{close}","volume":"1000000"}}'.encode()
                for name, first, high, low, close in zip(names, opens, highs, lows, closes, strict=True)
            ],
        )


def ticks(workload: Workload, markets: Markets) -> Iterator[Chunk]:
    """Yield the session's trades in time order, spread evenly between open and close."""
    session = markets.session_on(MIC, parse_date(SESSION_DATE))
    assert session is not None, f"expected {SESSION_DATE} to be a session of {MIC}"
    open_ns = int(session["open_ns"])
    span_ns = int(session["close_ns"]) - open_ns
    seconds = [format_time(open_ns + second * NS_SECOND)[:-1] for second in range(span_ns // NS_SECOND)]
    names = workload.names()
    keys = [name.encode() for name in names]
    instrument, cents, times = _walk(workload, span_ns)
    sizes = np.random.default_rng(workload.seed + 2).integers(1, 20, workload.ticks) * 100
    for start in range(0, workload.first or workload.ticks, CHUNK):
        part = slice(start, start + CHUNK)
        second, nanosecond = np.divmod(times[part], NS_SECOND)
        columns = zip(
            instrument[part].tolist(),
            second.tolist(),
            nanosecond.tolist(),
            _prices(cents[part]),
            sizes[part].tolist(),
            strict=True,
        )
        if workload.full:
            values = [
                f'{{"instrument":"{names[row]}","time":"{seconds[at]}.{fraction:09d}Z","price":"{price}","size":"{size}",'
                f'"conditions":["@"],"tape":"A","venue":"XNYS","trade_id":"{start + number}"}}'.encode()
                for number, (row, at, fraction, price, size) in enumerate(columns)
            ]
        else:
            values = [
                f'{{"instrument":"{names[row]}","time":"{seconds[at]}.{fraction:09d}Z","price":"{price}","size":"{size}"}}'.encode()
                for row, at, fraction, price, size in columns
            ]
        said = values
        if workload.binary:
            values = _binary(open_ns + times[part], cents[part], sizes[part])
        yield Chunk([keys[row] for row in instrument[part].tolist()], values, said)


def clocks(workload: Workload, markets: Markets) -> list[tuple[int, bytes]]:
    """Return the clock records of the session: the number of trades before each, and its value."""
    session = markets.session_on(MIC, parse_date(SESSION_DATE))
    assert session is not None, f"expected {SESSION_DATE} to be a session of {MIC}"
    open_ns, close_ns = int(session["open_ns"]), int(session["close_ns"])
    found = []
    for time_ns in range(open_ns, close_ns, workload.clock_seconds * NS_SECOND):
        before = (time_ns - open_ns) * workload.ticks // (close_ns - open_ns)
        found.append((before, _clock(time_ns)))
    found.append((workload.ticks, _clock(close_ns + 16 * 60 * NS_SECOND)))
    return found


# Live, so that the broker's stamp is the reference for the future: a replayed clock each minute would refuse the trades
# of the minute after it.
def _clock(time_ns: int) -> bytes:
    return f'{{"type":"clock","time":"{format_time(time_ns)}","mode":"live"}}'.encode()


def _history_dates(workload: Workload, markets: Markets) -> list[str]:
    dates = markets.sessions_of(MIC)["date"]
    end = int(np.searchsorted(dates, parse_date(SESSION_DATE)))
    assert end >= workload.history_sessions, "expected a calendar that reaches back as far as the history"
    return [format_date(int(day)) for day in dates[end - workload.history_sessions : end]]


# Open, high, low and close in cents: shape (4, sessions, instruments).
def _history(workload: Workload) -> np.ndarray:
    random = np.random.default_rng(workload.seed)
    shape = (workload.history_sessions, workload.instruments)
    start = np.log(random.uniform(20, 400, workload.instruments))
    closes = start + np.cumsum(random.normal(0, DAILY_DEVIATION, shape), axis=0)
    opens = np.vstack([start, closes[:-1]]) + random.normal(0, DAILY_DEVIATION / 4, shape)
    highs = np.maximum(opens, closes) + np.abs(random.normal(0, DAILY_DEVIATION / 3, shape))
    lows = np.minimum(opens, closes) - np.abs(random.normal(0, DAILY_DEVIATION / 3, shape))
    return np.maximum(np.rint(np.exp(np.stack([opens, highs, lows, closes])) * 100), 1).astype(np.int64)


# Instrument, price in cents and time after the open of every trade, in time order.
def _walk(workload: Workload, span_ns: int) -> tuple[np.ndarray, np.ndarray, np.ndarray]:
    random = np.random.default_rng(workload.seed + 1)
    instrument = _traded(workload, random)
    times = np.sort(random.integers(0, span_ns, workload.ticks))
    order = np.argsort(instrument, kind="stable")
    grouped = instrument[order]
    steps = random.normal(0, DAILY_DEVIATION * np.sqrt(workload.instruments / workload.ticks), workload.ticks)
    total = np.cumsum(steps)
    first = np.searchsorted(grouped, np.arange(workload.instruments))
    before = np.concatenate([[0.0], total])[first]
    history = _history(workload)
    last_close = np.log(history[3, -1])
    cents = np.empty(workload.ticks, np.int64)
    cents[order] = np.maximum(np.rint(np.exp(last_close[grouped] + total - before[grouped])), 1)
    if workload.settled:
        cents = _settled(workload, instrument, history[3, -1])
    if workload.breakout_every:
        breakouts = slice(None, None, workload.breakout_every)
        cents[breakouts] = history[1].max(axis=0)[instrument[breakouts]] + 1
    return instrument, cents, times


# Prices of a session whose best prices came first.
def _settled(workload: Workload, instrument: np.ndarray, last_close: np.ndarray) -> np.ndarray:
    random = np.random.default_rng(workload.seed + 3)
    moves = np.clip(random.normal(0, SETTLED_DEVIATION, workload.ticks), -SETTLED_EDGES[0], SETTLED_EDGES[0])
    moves[: workload.instruments * len(SETTLED_OPENING)] = np.repeat(SETTLED_OPENING, workload.instruments)
    return np.maximum(np.rint(last_close[instrument] * (1 + moves)), 1).astype(np.int64)


# The instrument of every trade.
def _traded(workload: Workload, random: np.random.Generator) -> np.ndarray:
    instrument = random.integers(0, workload.instruments, workload.ticks, dtype=np.int32)
    if workload.crowded:
        few = max(1, workload.instruments // 20)
        is_crowd = random.random(workload.ticks) < 0.9
        instrument[is_crowd] = random.integers(0, few, int(is_crowd.sum()), dtype=np.int32)
    if workload.settled:
        opening = workload.instruments * len(SETTLED_OPENING)
        assert opening <= workload.ticks, "expected trades enough for every instrument's best prices"
        instrument[:opening] = np.tile(np.arange(workload.instruments), len(SETTLED_OPENING))
    if workload.breakout_every:
        count = len(range(0, workload.ticks, workload.breakout_every))
        assert count <= workload.instruments, "expected an instrument for each breakout: it has one a session and side"
        instrument[:: workload.breakout_every] = np.arange(count)
    return instrument


# Written from the layout's description, as a producer of another language would.
def _binary(times_ns: np.ndarray, cents: np.ndarray, sizes: np.ndarray) -> list[bytes]:
    rows = np.zeros(len(cents), BINARY)
    rows["head"] = (0xF5, 1, 1, BINARY.itemsize)
    rows["time_ns"], rows["price"], rows["size"] = times_ns, cents * 10**6, sizes * 10**8
    whole = rows.tobytes()
    return [whole[start : start + BINARY.itemsize] for start in range(0, len(whole), BINARY.itemsize)]


def _prices(cents: np.ndarray) -> list[str]:
    return [f"{cent // 100}.{cent % 100:02d}" for cent in cents.tolist()]
