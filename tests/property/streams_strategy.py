"""Logs of several sessions and instruments for property tests, aimed at the prices and times where something happens.

A log is drawn record by record while the oracle folds it. So each price can be drawn from the very thresholds of its
instrument at that moment, and each time from its deadlines, one unit before, on, or one unit after: random prices and
times hit none of them.
"""

from __future__ import annotations

from collections.abc import Callable, Sequence
from datetime import timedelta
from fractions import Fraction
from functools import cache
from random import Random
from typing import Any, TypeVar

from hypothesis import strategies as st

from tests.oracle import Oracle, Rules, Session
from tests.oracle.breakout import Breakout
from tests.oracle.rules import CLOSES, FAMILIES
from tests.property import streams_extended as wide
from tests.property import streams_rare as rare
from tests.property.streams_markets import HOUR, MARKETS, MINUTE, SECOND, Log
from tests.property.streams_rare import FEATURES, PRICE_MAX, UNIT, as_text

T = TypeVar("T")

CENT = Fraction(1, 100)
PRICES = (*[Fraction(text) for text in ("99.87654321", "5.01", "100", "1234.5")] * 6, 7 * UNIT, Fraction(7_900_000))

LONG = ("364d", "1y", "252s")
# Short look-backs most often, so that windows fill quickly.
RULES: dict[str, tuple[Any, ...]] = {
    "lookback": ("10s", "14d", "20s", "10s", "14d", "20s", *LONG),
    "equality": ("strict", "match"),
    "coverage_min": (0.95, 0.9, 0.5),
    "recent_sessions": (20, 3, 0),
    "hysteresis_ticks": (2, 0, 50),
    "hysteresis_bps": (50, 0, 7, 0, 200),
    "hysteresis_atr": (0.0, 0.25, 0.1, 0.33),
    "max_triggers": (2, 1, 4, 3),
    "fresh_sessions": (20, 1, 3),
    "conflate_ms": (1000, 60_000, 1, 0, 1000),
    "max_entries": (3, 1, 2),
    "families": (FAMILIES, FAMILIES, FAMILIES, FAMILIES[1:9], FAMILIES[:4], FAMILIES[4:]),
    "trigger_eligibility": ("high_low", "high_low", "high_low_and_last"),
    "split_guard": (True, True, True, False),
    "bad_print_band": (0.10, 0.02, 0.005, 0.0),
    "bad_print_trades": (3, 2, 5),
}
MORE_FAMILIES = ((), (), (), tuple(CLOSES.values()), ("high_15s", "low_7s", "low_15s"), (*CLOSES.values(), "low_12d"))

# Codes that differ in what they allow: regular, odd lot, late, derived, average or bunched, closing, opening, unknown.
CONDITIONS: tuple[tuple[str, ...], ...] = (
    *((),) * 9,
    *((" ",), ("@",), ("6",), ("O", "X")) * 2,
    *(("F", "I"), ("Z",), ("4", "F"), ("B",), ("M",), ("?",), ("L",), ("5",), ("T",), ("9",)),
    *(("D",), ("U",)),
)

# Where the band ends, what is near to what is past it, and what is near to nothing.
FAR = tuple(Fraction(percent, 100) for percent in (90, 110, 120, 121, 81, 98, 102, 132, 300, 900, 40))

_NUMBERS = cache(lambda last: st.integers(0, last))


class _Writer:
    """Draws a log and folds it at the same time; `number` draws from 0 to its argument."""

    def __init__(self, number: Callable[[int], int], features: Sequence[str]) -> None:
        self.number = number
        self.features = features if number(4) else ()
        self.rules = {name: self.pick(choices) for name, choices in RULES.items()}
        self.rules["families"] += self.pick(MORE_FAMILIES)
        self.rules["extended"] = "extended" in self.features
        mics = self.pick((("XTST",), ("XBRK",), ("XTST", "XBRK"), ("XNYS", "XHKG"), ("XHKG",), ("XNYS",), ("XRND",)))
        if "XRND" in mics and self.rules["lookback"] in LONG:
            self.rules["lookback"] = "14d"
        names = self.pick((("A",), ("A",), ("A",), ("AB", "A"), ("B.A", "B", "B-A")))
        self.instruments = [f"{mics[index % len(mics)]}:{name}" for index, name in enumerate(names)]
        self.sessions = {mic: MARKETS[mic]() for mic in mics}
        self.market = self.sessions[mics[0]]
        self.oracle = Oracle(self.sessions, Rules(**self.rules))
        self.wanted = self.pick(("replay", "live", "none"))
        self.records: list[dict[str, Any]] = []
        self.last: dict[str, Fraction] = {}
        early = self.number(5) == 5
        usual = (270 if self.rules["lookback"] in LONG else 80) + self.number(40)
        self.index = self.pick((1, 5, 20, 60, 250)) if early else usual
        self.now_ns = self.market[self.index].open_ns - HOUR
        self.index -= 1

    @property
    def mode(self) -> str:
        """The partition's mode once a clock has decided it, else the one that is wanted."""
        return self.oracle.mode or self.wanted

    def pick(self, choices: Sequence[T]) -> T:
        """Draw one of some choices."""
        return choices[self.number(len(choices) - 1)]

    def write(self, record: dict[str, Any]) -> None:
        """Add a record, with an append time where the mode needs one."""
        if self.wanted == "live":
            record["append_time"] = self.now_ns + self.pick((0, 0, 0, 0, 0, 0, 5 * MINUTE, -4 * SECOND))
        self.records.append(record)
        self.oracle.records([record])

    def write_history(self, instrument: str, kinds: Sequence[str]) -> None:
        """Write an instrument's daily bars: all, none, only the old or the late ones, or with holes."""
        kind = self.pick(kinds)
        random = Random(self.number(99_999))
        self.last[instrument] = random.choice(PRICES)
        long = self.rules["lookback"] in LONG
        count = random.choice((255, 262, 270)) if long else random.choice((30, 64, 80))
        past = [session for session in self.sessions[instrument[:4]] if session.close_ns <= self.now_ns][-count:]
        if kind == "none":
            return
        if kind == "late":
            past = past[-random.randrange(3, 20) :]
        if kind == "old":
            past = past[: -random.choice((1, 1, 2))]
        missing = random.sample(past[-25:], min(len(past), random.choice((1, 1, 2, 3)))) if kind == "holes" else []
        if kind == "start":
            calendar = self.oracle.calendars[instrument[:4]]
            missing = calendar.window(self.index + 1, self.rules["lookback"])[:1]
        bars = [self._bar(instrument, session, random) for session in past if session not in missing]
        if self.pick((False, False, True)):
            random.shuffle(bars)
        for bar in bars:
            self.write(bar)

    def write_session(self, steps_max: int) -> None:
        """Write one session, from about its open to about its end, with everything that can go wrong."""
        self.index = min(self.index + self.pick((1,) * 12 + (2, 4)), len(self.market) - 1)
        session = self.market[self.index]
        for instrument in self.instruments:
            if instrument not in self.oracle.rows and self.number(2) == 0:
                self.write_history(instrument, ("old", "full"))
        if "extended" in self.features:
            wide.before_the_bell(self, session)
        self.now_ns = max(self.now_ns, session.open_ns + self.pick((0, 0, SECOND, SECOND, HOUR, -1)))
        if "actions" in self.features:
            rare.jump(self, self.market[max(0, self.index - 1)].date)
        if self.mode != "none" and self.number(9) == 0:
            self.advance_to(self.pick(self._bounds()) + self.pick((0, 0, -1)))
            return
        if self.mode != "replay" and self.number(9) == 0:
            self._bar_before_its_ticks(session)
        if self.mode == "replay" or (self.mode == "live" and self.pick((True, False))):
            self._clock()
        if "guard" in self.features and self.number(3) == 0:
            self._to_now()
            self.write(rare.unannounced(self))
        steps = _STEPS + tuple(step for feature in self.features for step in _RARE_STEPS[feature])
        for _ in range(5 + self.number(steps_max)):
            getattr(self, f"_{self.pick(steps)}")()
        ending = self.pick(("verdict", "verdict", "bar", "open", "late"))
        if ending == "open":
            return
        for instrument in self.instruments if ending == "bar" else ():
            self.advance_to(session.close_ns)
            self.write(self._closing_bar(instrument, session))
        if self.mode != "none":
            self.advance_to(session.close_ns + self.oracle.rules.grace_ns + self.pick((0, 0, -1, 1)))
        if "extended" in self.features and ending != "late":
            wide.after_the_bell(self, session)
        if ending == "late":
            unknown = [instrument for instrument in self.instruments if instrument not in self.oracle.rows]
            instrument = self.pick(unknown or self.instruments)
            self._write_tick(instrument, session.open_ns + self.pick((SECOND, 2 * HOUR)))

    def _bar_before_its_ticks(self, session: Session) -> None:
        # A log that was written after the day: its official bar stands before its trades.
        self.now_ns = max(self.now_ns, session.close_ns)
        for instrument in self.instruments:
            self.write(self._closing_bar(instrument, session))
            self._write_tick(instrument, session.open_ns + SECOND)
            self._write_tick(instrument, session.open_ns + SECOND)

    def advance_to(self, time_ns: int) -> None:
        """Let time pass, with a clock where the mode has one."""
        self.now_ns = max(self.now_ns, time_ns)
        if self.mode == "replay" or (self.mode == "live" and self.pick((True, True, False))):
            self._clock()

    def _deadlines(self, instrument: str) -> list[int]:
        # Times about which something changes: bounds of the session and its break, the end of the grace, held extremes.
        session = self.market[self.index]
        if self.pick((True, True, False)):
            held = [breakout.held_until_ns for breakout in self._breakouts(instrument) if breakout.held_until_ns]
            return (
                [*held, session.break_start_ns, session.break_end_ns] if session.break_end_ns else held or [self.now_ns]
            )
        return self._bounds()

    def _bounds(self) -> list[int]:
        session = self.market[self.index]
        return [session.open_ns, session.close_ns, session.close_ns + self.oracle.rules.grace_ns]

    def _breakouts(self, instrument: str) -> list[Breakout]:
        row = self.oracle.rows.get(instrument)
        return list(row.breakouts) if row else []

    def _tick(self) -> None:
        self.now_ns += self.pick((0, 1, SECOND // 2, SECOND, 3 * SECOND, 7 * MINUTE))
        if self.mode == "replay" and self.now_ns > self.oracle.clock_ns + 4 * SECOND:
            self._clock()
        back = self.pick((0, 0, 0, 0, 0, 0, 1, SECOND, self.rules["conflate_ms"] * 1_000_000 + 1))
        self._write_tick(self.pick(self.instruments), self.now_ns - back)

    def _edge_tick(self) -> None:
        # At a deadline, or one nanosecond beside it; time goes on to it unless that is far away.
        instrument = self.pick(self.instruments)
        time_ns = self.pick(self._deadlines(instrument)) + self.pick((0, 0, -1, 1))
        if self.now_ns < time_ns < self.now_ns + 8 * HOUR and self.number(7):
            self.now_ns = time_ns
            if self.mode == "replay":
                self._clock()
        self._write_tick(instrument, time_ns)

    def _aimed_tick(self) -> None:
        # At what a running breakout hangs on: its extreme or its failure price, at the end of what is held or about it.
        instrument = self.pick(self.instruments)
        running = [breakout for breakout in self._breakouts(instrument) if breakout.live]
        breakout = self.pick(running) if running else None
        extreme, line = (breakout.extreme, breakout.failure_price()) if breakout else (None, None)
        if breakout is None or breakout.live is None or extreme is None or line is None:
            self._tick()
            return
        beyond = UNIT if breakout.side == "up" else -UNIT
        held = breakout.held_until_ns
        time_ns = self.pick((self.now_ns, held, held - 1, held + 1, held - SECOND, breakout.live.trigger.tick.time_ns))
        price = self.pick((*[extreme + beyond] * 3, extreme, line, line + beyond, line - beyond))
        if time_ns > self.now_ns:
            self.advance_to(time_ns)
        self._write_tick(instrument, time_ns, price)

    def _odd_tick(self) -> None:
        # Of an earlier session, or at the limit of what is taken for the future.
        shift = self.pick((-24 * HOUR, -72 * HOUR, -2 * HOUR, 5 * SECOND, 5 * SECOND + 1))
        self._write_tick(self.pick(self.instruments), self.now_ns + shift)

    def _clock(self) -> None:
        mode = "live" if self.mode == "live" else "replay"
        self.write({"type": "clock", "time": self.now_ns, "mode": mode})

    def _edge_clock(self) -> None:
        if self.mode == "none":
            return
        time_ns = self.pick(self._deadlines(self.pick(self.instruments))) + self.pick((0, 0, -1, 1))
        if time_ns < self.now_ns + 8 * HOUR:
            self.now_ns = max(self.now_ns, time_ns)
        self._clock()

    def _odd_clock(self) -> None:
        # Older than the newest, equal to it, ahead of the append time, or of the other mode.
        if self.mode == "none" and self.number(3):
            self._tick()
            return
        mode = self.pick(("live", "replay", self.mode)) if self.mode != "none" else "replay"
        shift = self.pick((-HOUR, -1, 0, 5 * SECOND, 5 * SECOND + 1))
        self.write({"type": "clock", "time": self.now_ns + shift, "mode": mode})

    def _odd_bar(self) -> None:
        # In the middle of things: of a session past, of this one, of one to come, or of no session at all.
        instrument = self.pick(self.instruments)
        sessions = self.sessions[instrument[:4]]
        opened = sum(session.open_ns <= self.now_ns for session in sessions)
        session = sessions[max(0, min(len(sessions) - 1, opened - self.pick((1, 2, 2, 3, 5, 0))))]
        bar = self._closing_bar(instrument, session)
        if self.number(9) == 0:
            bar["session_date"] = (session.date + timedelta(days=1)).isoformat()
        self.write(bar)

    def _cancel(self) -> None:
        original = rare.cancelled(self)
        if original is not None:
            self.write({"type": "cancel", **original})

    def _correct(self) -> None:
        original = rare.cancelled(self)
        if original is not None:
            self.write({"type": "correct", **original, "corrected": rare.corrected(self, original)})

    def _repeat(self) -> None:
        # Delivered a second time, as it was.
        again = [record for record in self.records[-70:] if record.get("type") is None and "trade_id" in record]
        if again:
            self.write({name: value for name, value in self.pick(again).items() if name != "append_time"})

    def _burst(self) -> None:
        # Enough trades for a median, and then one that is far from it.
        instrument = self.pick(self.instruments)
        if instrument not in self.last:
            return
        self._to_now()
        steady = self.last[instrument]
        for _ in range(18 + self.number(6)):
            self.now_ns += SECOND // 100
            self._write_tick(instrument, self.now_ns, steady + self.pick((UNIT * 0, CENT, -CENT, UNIT)))
        for _ in range(self.number(6)):
            share = self.pick(FAR)
            self._write_tick(instrument, self.now_ns, steady * share + self.pick((UNIT * 0, UNIT, -UNIT)))

    def _action(self) -> None:
        self.write(rare.action(self))

    def _status(self) -> None:
        self._to_now()
        self.write(rare.status(self))

    def _accept(self) -> None:
        self.write(rare.accept(self))

    def _no_split_bar(self) -> None:
        instrument = self.pick(self.instruments)
        if instrument in self.last:
            self.write({**self._closing_bar(instrument, self.market[self.index]), "split": False})

    def _instrument(self) -> None:
        self.write(rare.instrument(self))

    def _stated_close(self) -> None:
        self._to_now()
        self.write(rare.stated_close(self))

    def _session(self) -> None:
        self.write(rare.session(self))

    def _to_now(self) -> None:
        if self.mode == "replay" and self.now_ns > self.oracle.clock_ns + 4 * SECOND:
            self._clock()

    def price_text(self, instrument: str, time_ns: int) -> str:
        """Draw a price from the instrument's thresholds, as text."""
        return as_text(self._price(instrument, time_ns))

    def _write_tick(self, instrument: str, time_ns: int, price: Fraction | None = None) -> None:
        record: dict[str, Any] = {"instrument": instrument, "time": time_ns, "size": "100"}
        aimed = self._price(instrument, time_ns) if price is None else min(max(_to_unit(price, UNIT), UNIT), PRICE_MAX)
        record["price"] = as_text(aimed)
        conditions = self.pick(CONDITIONS)
        if conditions:
            record["conditions"] = list(conditions)
        if self.number(7) == 0:
            record["tape"] = self.pick(("A", "C"))
        if self.number(1):
            record["trade_id"] = f"T{len(self.records)}"
        if venue := self.pick(rare.VENUES) if self.features else None:
            record["venue"] = venue
        self.write(record)

    def _price(self, instrument: str, time_ns: int) -> Fraction:
        last = self.last[instrument]
        breakout, measures = self.oracle.prices(instrument, time_ns)
        anywhere = [last * Fraction(share, 100) for share in (100, 99, 101, 95, 106, 70, 140)]
        aims = self.pick((breakout, breakout, breakout, measures, anywhere)) or anywhere
        price = _to_unit(self.pick(aims), UNIT) + self.pick((0, 0, -1, 1, 1, -2, 2)) * self.pick((UNIT, UNIT, CENT))
        price = min(max(price, UNIT), PRICE_MAX)
        self.last[instrument] = price
        return price

    def _closing_bar(self, instrument: str, session: Session) -> dict[str, Any]:
        # A bar whose close and extremes are aimed as prices are.
        last = self.last[instrument]
        bar = self._bar(instrument, session, Random(self.number(999)))
        if "volume" not in bar and self.number(1):
            prices = sorted(self._price(instrument, self.now_ns) for _ in range(2))
            bar.update(
                zip(("low", "open", "close", "high"), map(as_text, (prices[0], *prices, prices[1])), strict=True)
            )
        self.last[instrument] = last
        return bar

    def _bar(self, instrument: str, session: Session, random: Random) -> dict[str, Any]:
        # The next step of a walk in cents, in whole units or in the smallest unit.
        bar: dict[str, Any] = {"type": "bar", "instrument": instrument, "session_date": session.date.isoformat()}
        if random.random() < 0.04:
            return {**bar, "open": "1", "high": "1", "low": "1", "close": "1", "volume": "0"}
        last = self.last[instrument]
        move = 1 + Fraction(random.choice((-300, -120, -35, 0, 0, 20, 70, 250)), 10_000)
        unit = random.choice((CENT, CENT, UNIT, Fraction(1))) if last > 1 else UNIT
        close = min(max(_to_unit(last * move, unit), unit), PRICE_MAX)
        span = _to_unit(abs(close - last) / 3 + unit * random.randrange(0, 2), UNIT)
        high, low = min(max(close, last) + span, PRICE_MAX), max(min(close, last) - span, UNIT)
        self.last[instrument] = close
        prices = {"open": last, "high": high, "low": low, "close": close}
        return {**bar, **{name: as_text(price) for name, price in prices.items()}}


_STEPS = (
    ("tick",) * 12
    + ("aimed_tick",) * 6
    + ("edge_tick",) * 4
    + ("edge_clock",) * 2
    + ("odd_tick", "clock", "odd_clock", "odd_bar")
)
_RARE_STEPS: dict[str, tuple[str, ...]] = {
    "cancels": ("cancel",) * 6 + ("correct",) * 3 + ("repeat",),
    "actions": ("action",) * 2 + ("instrument",),
    "guard": ("accept", "no_split_bar"),
    "statements": ("status", "stated_close", "burst"),
    "sessions": ("session",),
    "extended": ("tick",),
}


@st.composite
def logs(draw: st.DrawFn, steps_max: int = 30, features: Sequence[str] = FEATURES) -> Log:
    """Draw a log of one to five sessions of one to three instruments, with what the oracle says to it."""
    return _written(lambda last: draw(_NUMBERS(last)), steps_max, features)


def seeded_log(seed: int, steps_max: int = 30, features: Sequence[str] = FEATURES) -> Log:
    """Return the log of a seed: many of them differ more from each other, and cost less, than as many drawn ones."""
    random = Random(seed)
    return _written(lambda last: random.randint(0, last), steps_max, features)


def cuts(log: Log) -> st.SearchStrategy[list[int]]:
    """Draw where a log is cut into batches."""
    return st.lists(st.integers(0, len(log.records)), max_size=12).map(sorted)


def _written(number: Callable[[int], int], steps_max: int, features: Sequence[str]) -> Log:
    writer = _Writer(number, features)
    for position, instrument in enumerate(writer.instruments):
        kinds = (*("full",) * 8, "holes", "holes", "start", "late", "none")
        writer.write_history(instrument, kinds if position == 0 else ("full", "none"))
    for _ in range(1 + writer.number(4)):
        writer.write_session(steps_max)
    oracle = writer.oracle
    sessions = {mic: list(listed) for mic, listed in writer.sessions.items()}
    return Log(writer.rules, sessions, writer.records, oracle.documents, oracle.refused, dict(oracle.totals()))


def _to_unit(value: Fraction, unit: Fraction) -> Fraction:
    return value // unit * unit
