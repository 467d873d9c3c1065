"""The days that Alibaba broke out: real daily bars, two of them with a generated path through their four real prices.

Bars of 2024-08-01 to 2025-09-10 are history. The sessions from 2025-09-11 to 2025-10-02 are played as
`streams.feeds.replay` plays them, except Monday 2025-09-29 and Tuesday 2025-09-30: daily bars do not say what
happened within a day, so those two have a made-up walk of some thousands of trades between a few turning points. It
meets the day's open, high, low and close exactly, trades the day's volume, never leaves the range from low to high,
and comes from a seed: the same seed gives the same trades on every machine. The walk uses integers alone, because the
last digit of a logarithm or a sine is the platform's choice.
"""

from __future__ import annotations

import importlib.resources
from bisect import bisect_left
from collections.abc import Sequence
from dataclasses import dataclass
from itertools import pairwise
from random import Random
from typing import Final

import numpy as np

from streams.core.news import Article
from streams.core.sessions import Markets
from streams.core.units import NS, SCALE, format_decimal, format_time, parse_date, parse_decimal
from streams.feeds.articles import parse_text
from streams.feeds.history import DailyBar, bar_step, parse_bars
from streams.feeds.replay import LAST_BEFORE_CLOSE_NS, bar_ticks, check_sessions, played
from streams.feeds.steps import Step, article_step, tick_step, with_clocks

INSTRUMENT: Final = "XNYS:BABA"
BARS_FILE: Final = "XNYS_BABA_daily.csv"
ARTICLE_FILE: Final = "article_alibaba.txt"
HISTORY_FROM: Final = parse_date("2024-08-01")
PLAYED_FROM: Final = parse_date("2025-09-11")
MONDAY: Final = parse_date("2025-09-29")
TUESDAY: Final = parse_date("2025-09-30")
PLAYED_TO: Final = parse_date("2025-10-02")

SEED: Final = 52
TRADES: Final = 3_900  # One every six seconds of a session of six and a half hours.
CENT: Final = SCALE // 100
STEP_CENTS: Final = (
    3  # A trade lies at most this far from the one before it, apart from the drift to the next turning point.
)
OPENING_SHARE: Final = 50  # One fiftieth of the day's volume trades in the opening print.
CLOSING_SHARE: Final = 12  # One twelfth trades in the closing print.


@dataclass(frozen=True, slots=True)
class Turn:
    """A point that a generated path goes through, and the range it keeps to on the way there; prices as text."""

    minute: int
    price: str
    low: str
    high: str


# Monday: a start four dollars higher, a dip, the old high of 180.16 passed half an hour in, a fall back below it that
# stays above the failure line (180.16 less 50 basis points is 179.2592), the day's high after noon, and a close just
# under the level.
MONDAY_TURNS: Final = (
    Turn(0, "178.08", "178.08", "178.08"),
    Turn(7, "177.59", "177.60", "178.40"),
    Turn(18, "179.31", "177.62", "179.60"),
    Turn(33, "180.17", "178.80", "180.15"),
    Turn(62, "180.84", "179.95", "180.95"),
    Turn(118, "179.62", "179.45", "180.90"),
    Turn(171, "180.55", "179.50", "180.70"),
    Turn(236, "181.344", "180.20", "181.33"),
    Turn(286, "180.36", "180.10", "181.30"),
    Turn(341, "180.52", "179.85", "180.85"),
    Turn(390, "179.90", "179.60", "180.60"),
)

# Tuesday: a gap over Monday's high, a little more, then down through the failure line (181.344 less 50 basis points
# is 180.4373) to the day's low.
TUESDAY_TURNS: Final = (
    Turn(0, "181.66", "181.66", "181.66"),
    Turn(9, "181.41", "181.25", "181.80"),
    Turn(24, "182.15", "181.30", "182.14"),
    Turn(61, "180.98", "180.80", "182.10"),
    Turn(83, "180.43", "180.45", "181.30"),
    Turn(149, "178.40", "178.10", "180.50"),
    Turn(208, "177.10", "177.11", "178.60"),
    Turn(280, "178.30", "177.15", "178.50"),
    Turn(335, "177.95", "177.60", "178.80"),
    Turn(390, "178.73", "177.70", "179.00"),
)

GENERATED: Final = {MONDAY: MONDAY_TURNS, TUESDAY: TUESDAY_TURNS}


@dataclass(frozen=True, slots=True)
class Chapter:
    """One session of the story.

    Attributes:
        bar: The real daily bar.
        open_ns: Opening bell.
        close_ns: Closing bell.
        steps: What to write, in order, with its clock records.
        generated: The path within the day is made up; otherwise it has four ticks, the bar's own prices.
    """

    bar: DailyBar
    open_ns: int
    close_ns: int
    steps: tuple[Step, ...]
    generated: bool


@dataclass(frozen=True, slots=True)
class Scenario:
    """The whole story, ready to be written.

    Attributes:
        history: The bars before the first session that is played.
        chapters: The sessions that are played.
        article: What came over the wire on Tuesday before the open.
    """

    history: tuple[DailyBar, ...]
    chapters: tuple[Chapter, ...]
    article: Article

    def history_steps(self) -> list[Step]:
        """Return the bar records that come before the first session."""
        return [bar_step(bar) for bar in self.history]

    def article_steps(self) -> list[Step]:
        """Return the article with the clock records of its own time, which lies between two sessions."""
        return list(with_clocks([article_step(self.article)]))


def build(markets: Markets, *, seed: int = SEED) -> Scenario:
    """Return the Alibaba days.

    Args:
        markets: Must include XNYS.
        seed: Of the generated paths.

    Raises:
        HistoryError: The packaged bars do not fit the calendar.
    """
    bars = [bar for bar in load_bars() if HISTORY_FROM <= bar.date <= PLAYED_TO]
    check_sessions(bars, markets)
    chapters = []
    for bar in bars:
        if bar.date < PLAYED_FROM:
            continue
        session = markets.session_on("XNYS", bar.date)
        assert session is not None, "checked by check_sessions"
        turns = GENERATED.get(bar.date)
        ticks = (
            bar_ticks(bar, session) if turns is None else intraday_ticks(bar, session, turns, Random(seed + bar.date))
        )
        steps = tuple(with_clocks(played(ticks, session)))
        chapters.append(Chapter(bar, int(session["open_ns"]), int(session["close_ns"]), steps, turns is not None))
    history = tuple(bar for bar in bars if bar.date < PLAYED_FROM)
    return Scenario(history, tuple(chapters), parse_text(_packaged(ARTICLE_FILE)))


def load_bars() -> list[DailyBar]:
    """Return all packaged bars of Alibaba's shares in New York."""
    lines = _packaged(BARS_FILE).splitlines()
    return [bar for bar in parse_bars(lines, name=BARS_FILE, instrument=INSTRUMENT) if isinstance(bar, DailyBar)]


def intraday_ticks(
    bar: DailyBar, session: np.void, turns: Sequence[Turn], random: Random, *, count: int = TRADES
) -> list[Step]:
    """Return a made-up session through its turning points, and with the bar's volume."""
    times = trade_times(int(session["open_ns"]), int(session["close_ns"]), count, random)
    prices = walk(times, turns, random)
    sizes = trade_sizes((bar.volume or 0) // SCALE, count, random)
    ticks = []
    for number, (time_ns, price, shares) in enumerate(zip(times, prices, sizes, strict=True), start=1):
        document = {
            "instrument": bar.instrument,
            "time": format_time(time_ns),
            "price": format_decimal(price),
            "size": str(shares),
            "tape": "A",
            "trade_id": str(number),
        }
        ticks.append(tick_step(bar.instrument, time_ns, price, document))
    return ticks


def trade_times(open_ns: int, close_ns: int, count: int, random: Random) -> list[int]:
    """Return distinct times in order, from the open to a second before the close, more near the bells than at noon."""
    last_ns = close_ns - LAST_BEFORE_CLOSE_NS
    length_us = (last_ns - open_ns) // 1_000
    inner: set[int] = set()
    while len(inner) < count - 2:
        share = random.randrange(1, SCALE)
        # Half uniform, half the smooth step 3u² - 2u³: twice the mean rate at both ends, four fifths of it in the
        # middle.
        bent = (3 * share**2 * SCALE - 2 * share**3) // SCALE**2
        inner.add(max(1, (share + bent) * length_us // (2 * SCALE)))
    return [open_ns, *(open_ns + offset * 1_000 for offset in sorted(inner)), last_ns]


def walk(times: Sequence[int], turns: Sequence[Turn], random: Random) -> list[int]:
    """Return a scaled price for each trade: a walk tied to its turning points and folded into each stretch's range."""
    open_ns = times[0]
    places = [bisect_left(times, open_ns + turn.minute * 60 * NS) for turn in turns[:-1]] + [len(times) - 1]
    prices = [parse_decimal(turns[0].price)]
    for (start, before), (end, turn) in pairwise(zip(places, turns, strict=True)):
        prices.extend(_stretch(parse_decimal(before.price), turn, end - start, random))
    return prices


def trade_sizes(shares: int, count: int, random: Random) -> list[int]:
    """Return whole numbers of shares that add up to the day's volume, each at least one where there are enough."""
    opening, closing = shares // OPENING_SHARE, shares // CLOSING_SHARE
    weights = [random.randint(1, 12) * random.randint(1, 12) for _ in range(count - 2)]
    total = sum(weights)
    inner = [(shares - opening - closing) * weight // total for weight in weights]
    return [opening, *inner, shares - opening - sum(inner)]


def _packaged(name: str) -> str:
    return importlib.resources.files("streams.feeds").joinpath("data", name).read_text(encoding="utf-8")


# A bridge: the straight line to the turning point plus a random walk whose own end is taken off in proportion.
def _stretch(start: int, turn: Turn, count: int, random: Random) -> list[int]:
    low, high, end = parse_decimal(turn.low), parse_decimal(turn.high), parse_decimal(turn.price)
    walked = [0]
    for _ in range(count):
        walked.append(walked[-1] + random.randint(-STEP_CENTS, STEP_CENTS))
    prices = []
    for place in range(1, count):
        cents = walked[place] - walked[count] * place // count
        price = start + (end - start) * place // count
        prices.append(_fold(price - price % CENT + cents * CENT, low, high))
    return [*prices, end]


# Reflects a price at the edges of its range until it lies within, then goes to the cent.
def _fold(price: int, low: int, high: int) -> int:
    span = high - low
    place = (price - low) % (2 * span)
    folded = low + (place if place <= span else 2 * span - place)
    return folded - folded % CENT
