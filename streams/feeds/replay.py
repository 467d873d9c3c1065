"""Daily bars played again as a market: history as bars, later sessions as ticks and clock records.

A daily bar says what the four prices were, and nothing about when. A replayed session has four ticks: the open at the
opening bell, then whichever of high and low lies nearer to the open (the high, when both are as near) after a third
of the session, the other after two thirds, and the close one second before the closing bell; a lunch break is skipped
over. The nearer extreme first is the shorter way through the four prices, so it is the likelier one; no order can be
right for every day. The bar's volume is spread over its ticks in whole shares.

Clock records come before event time enters a new second, and at the open, the close and 15 minutes after the close of
each session, when its verdict is due.

Articles come at their own time among them: a worker joins an article by what its news log said before, so whoever
writes a replay waits until each is fanned out before time goes on.
"""

from __future__ import annotations

import heapq
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from pathlib import Path
from typing import Final

import numpy as np

from streams.core.news import Article
from streams.core.sessions import Markets
from streams.core.units import NS, format_date, format_decimal, format_time
from streams.feeds.articles import read_articles
from streams.feeds.history import DailyBar, HistoryError, bar_step, instrument_of, read_bars, whole_shares
from streams.feeds.steps import Step, article_step, clock_step, tick_step, with_clocks
from streams.wire.articles import RecordRefused

CLOSE_GRACE_NS: Final = 15 * 60 * NS  # The verdict on a session comes when its clock passes this, by default.
LAST_BEFORE_CLOSE_NS: Final = NS

# At one instant the clock comes first, then ticks by instrument.
_ORDER: Final = {"clock": 0, "tick": 1, "article": 2}


class NothingPlayed(HistoryError):
    """No session of the files is as late as the first that was to be played; the text names their last date."""


@dataclass(frozen=True, slots=True)
class Replay:
    """What a replay writes.

    Attributes:
        steps: In their order; they can be gone through once.
        begins_ns: The time of the first clock: none must have been later where it is written.
    """

    steps: Iterator[Step]
    begins_ns: int

    def __iter__(self) -> Iterator[Step]:
        return self.steps


def replay_files(
    paths: Sequence[Path],
    *,
    from_date: int,
    markets: Markets,
    instrument: str | None = None,
    articles: Sequence[Article] = (),
) -> Replay:
    """Return what a replay of several files writes: all history first, then the sessions of all files merged by time.

    Args:
        paths: CSV files of daily bars, one instrument each.
        from_date: Bars of earlier sessions are history; this session and later ones are played. Days since 1970.
        markets: The sessions of the instruments' markets.
        instrument: Whose bars the file holds, where its name does not say; only with one file.
        articles: News that comes at its own time.

    Raises:
        HistoryError: A file is not right, or has a date that is no session of its market.
        NothingPlayed: Every bar is history.
    """
    files = [read_bars(path, instrument=instrument or instrument_of(path)) for path in paths]
    for bars in files:
        check_sessions(bars, markets)
    played_bars = [[bar for bar in bars if bar.date >= from_date] for bars in files]
    if not any(played_bars):
        raise _nothing_played(files, from_date)
    streams = [session_steps(bars, markets) for bars in played_bars]
    news = sorted((article_step(article) for article in articles), key=lambda step: step.time_ns)
    timed = with_clocks(merge([*streams, iter(news)]))
    first = next(timed)  # A clock: nothing that has a time comes before one.
    history = history_steps((bar for bars in files for bar in bars), before=from_date)
    return Replay(chain(history, [first], timed), first.time_ns)


def _nothing_played(files: Sequence[Sequence[DailyBar]], from_date: int) -> NothingPlayed:
    last = max((bar.date for bars in files for bar in bars), default=None)
    found = "no bar at all" if last is None else f"{format_date(last)} as the last date"
    return NothingPlayed(
        f"expected a session on {format_date(from_date)} or later, found {found} of the files: name an earlier one "
        "with --from. Nothing was sent"
    )


def read_news(paths: Iterable[Path], zones: Mapping[str, str] | None = None) -> list[Article]:
    """Return the articles of files, as text or JSON lines; one that does not say when it came, came when published.

    Raises:
        HistoryError: A file holds something else.
    """
    articles: list[Article] = []
    for path in paths:
        for line, found in read_articles(path.read_bytes(), None, zones):
            if isinstance(found, RecordRefused):
                raise HistoryError(f"{path.name}:{line}: {found.message}")
            articles.append(found)
    return articles


def check_sessions(bars: Iterable[DailyBar], markets: Markets) -> None:
    """Check that every bar belongs to a session.

    Raises:
        HistoryError: The market is unknown or was closed on the date.
    """
    for bar in bars:
        mic = bar.instrument.partition(":")[0]
        if mic not in markets.mics:
            raise HistoryError(
                f"{bar.where}: expected a market among {', '.join(markets.mics)}, found {mic!r}: add it to markets.mics"
            )
        if markets.session_on(mic, bar.date) is None:
            raise HistoryError(
                f"{bar.where}: expected a session of {mic}, found {format_date(bar.date)}, when the market was closed"
            )


def history_steps(bars: Iterable[DailyBar], *, before: int) -> Iterator[Step]:
    """Yield the bars of sessions before a date as bar records."""
    return (bar_step(bar) for bar in bars if bar.date < before)


def session_steps(bars: Sequence[DailyBar], markets: Markets) -> Iterator[Step]:
    """Yield one instrument's sessions as ticks and clock records in order of time, four ticks a session."""
    for bar in bars:
        session = markets.session_on(bar.instrument.partition(":")[0], bar.date)
        assert session is not None, "checked by check_sessions"
        yield from played(bar_ticks(bar, session), session)


def played(ticks: Iterable[Step], session: np.void) -> Iterator[Step]:
    """Yield one session: the clock of its open, its ticks, and the clocks of its close and of its verdict."""
    yield clock_step(int(session["open_ns"]))
    yield from ticks
    yield clock_step(int(session["close_ns"]))
    yield clock_step(int(session["close_ns"]) + CLOSE_GRACE_NS)


def bar_ticks(bar: DailyBar, session: np.void) -> list[Step]:
    """Return the four ticks that a bar is played as; none when the session had no trade."""
    if not bar.traded:
        return []
    high_first = bar.high - bar.open <= bar.open - bar.low
    prices = (bar.open, bar.high, bar.low, bar.close) if high_first else (bar.open, bar.low, bar.high, bar.close)
    sizes = whole_shares(bar.volume or 0, len(prices))
    return [
        trade_step(bar.instrument, time_ns, price, size)
        for time_ns, price, size in zip(spread(session), prices, sizes, strict=True)
    ]


def spread(session: np.void) -> tuple[int, int, int, int]:
    """Return the times of a played session's four ticks, nanoseconds since 1970."""
    open_ns, close_ns = int(session["open_ns"]), int(session["close_ns"])
    break_start_ns, break_ns = (
        int(session["break_start_ns"]),
        int(session["break_end_ns"]) - int(session["break_start_ns"]),
    )
    traded_ns = close_ns - open_ns - break_ns
    thirds = [open_ns + traded_ns * third // 3 for third in (1, 2)]
    first, second = (time_ns + break_ns if break_ns and time_ns >= break_start_ns else time_ns for time_ns in thirds)
    return open_ns, first, second, close_ns - LAST_BEFORE_CLOSE_NS


def trade_step(instrument: str, time_ns: int, price: int, size: int) -> Step:
    """Return the tick of one trade."""
    document = {
        "instrument": instrument,
        "time": format_time(time_ns),
        "price": format_decimal(price),
        "size": format_decimal(size),
    }
    return tick_step(instrument, time_ns, price, document)


def merge(streams: Iterable[Iterator[Step]]) -> Iterator[Step]:
    """Merge streams that are each in order of time."""
    return heapq.merge(*streams, key=lambda step: (step.time_ns, _ORDER[step.kind], step.key))
