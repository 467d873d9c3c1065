"""Breakouts on both sides with a year of history in a bare confluent-kafka loop: dicts, and no commits."""

from __future__ import annotations

import datetime
from typing import Any

import orjson
from client import Output, messages
from report import Report, arguments

LOOKBACK_DAYS = 364


class Levels:
    """Both levels of one session, and whether they were passed."""

    __slots__ = ("broken_down", "broken_up", "high", "high_date", "low", "low_date")

    def __init__(self, bars: list[tuple[str, float, float]], oldest: str) -> None:
        self.high, self.high_date = float("-inf"), ""
        self.low, self.low_date = float("inf"), ""
        self.broken_up = self.broken_down = False
        for date, high, low in bars:
            if date < oldest:
                continue
            if high >= self.high:
                self.high, self.high_date = high, date
            if low <= self.low:
                self.low, self.low_date = low, date


def main() -> None:
    options = arguments()
    session, opens, closes = options.session
    oldest = str(datetime.date.fromisoformat(session) - datetime.timedelta(LOOKBACK_DAYS))
    report = Report(options.history, options.records)
    output = Output(options)
    bars: dict[str, list[tuple[str, float, float]]] = {}
    levels: dict[str, Levels] = {}
    for value in messages(options):
        tick = orjson.loads(value)
        kind = tick.get("type")
        if kind is None:
            # Times are text in one format, so that text compares as time does.
            if opens <= tick["time"] < closes:
                fold(tick, bars, levels, oldest, output)
            report.record()
        elif kind == "bar":
            row = (tick["session_date"], float(tick["high"]), float(tick["low"]))
            bars.setdefault(tick["instrument"], []).append(row)
            report.history_record()
        else:
            report.record()


def fold(
    tick: dict[str, Any],
    bars: dict[str, list[tuple[str, float, float]]],
    levels: dict[str, Levels],
    oldest: str,
    output: Output,
) -> None:
    """Send what one trade breaks."""
    instrument = tick["instrument"]
    price = float(tick["price"])
    level = levels.get(instrument)
    if level is None:
        level = levels[instrument] = Levels(bars.get(instrument, []), oldest)
    if price > level.high and not level.broken_up:
        level.broken_up = True
        send(output, tick, "up", level.high, level.high_date)
    if price < level.low and not level.broken_down:
        level.broken_down = True
        send(output, tick, "down", level.low, level.low_date)


def send(output: Output, tick: dict[str, Any], side: str, level: float, date: str) -> None:
    """Send one breakout."""
    breakout = {
        "instrument": tick["instrument"],
        "side": side,
        "price": tick["price"],
        "time": tick["time"],
        "level": str(level),
        "level_date": date,
    }
    output.send(tick["instrument"], orjson.dumps(breakout))


if __name__ == "__main__":
    main()
