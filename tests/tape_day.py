"""A day of one market's trades with the mix of conditions of a real consolidated tape, and its official statistics.

Where the shares come from:

- Odd lots: 55 in 100 trades. Clearpool counted 45 to 55 percent of trades on most venues in 2020, with about 12 percent
  of the volume; by the SEC's figures they passed half of all trades in 2019.
- Out of hours: 11 in 100 shares, as NYSE measured in January 2025 (over 1.7 billion shares a day), more than half of
  them before the open. They are fewer of the trades: 5 in 100 here.
- Sweeps: two fifths of the round lots in regular hours, our assumption.
- Average prices, qualified contingent trades, derivatively priced, prior reference price, out of sequence: a few in a
  thousand together, our assumption, each with prices off the market, for that is what they are.
- Cancels and corrections: no public count was found. 2 in 10,000 trades are cancelled here and 1 in 10,000 corrected,
  our assumption. Most busted trades are priced away from the market, which is why they are busted, so each would have
  been an extreme of its day.

The generator gives every trade a part to play and keeps the statistics by that part, as the exchange does; it knows no
table of conditions. Volume is that of the regular session with the prints that follow its bell.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Any

SECOND = 1_000_000_000
CENTS = 100


@dataclass(frozen=True)
class Part:
    """What a trade is on the tape: its codes, how often it comes, how far its price is off, and what it updates."""

    codes: tuple[str, ...]
    share: int
    size_max: int
    off_bps: int
    high_low: bool
    last: bool
    volume: bool


# Shares are in ten thousand trades of the regular session.
PARTS = (
    Part(("@",), 1_800, 900, 0, True, True, True),
    Part((), 400, 900, 0, True, True, True),
    Part(("F",), 1_400, 500, 0, True, True, True),
    Part(("@", "F"), 700, 500, 0, True, True, True),
    Part(("I",), 3_700, 99, 60, False, False, True),
    Part(("F", "I"), 1_800, 99, 60, False, False, True),
    Part(("X",), 60, 5_000, 0, True, True, True),
    Part(("W",), 20, 9_000, 300, False, False, True),
    Part(("7",), 25, 20_000, 300, False, False, True),
    Part(("V",), 10, 9_000, 300, False, False, True),
    Part(("4",), 25, 500, 40, True, False, True),
    Part(("P",), 10, 500, 40, True, False, True),
    Part(("Z",), 30, 500, 40, True, False, True),
    Part(("C",), 5, 500, 300, False, False, True),
    Part(("?",), 5, 500, 300, False, False, False),
)
OPENING = Part(("O",), 1, 90_000, 0, True, True, True)
CLOSING = Part(("6",), 1, 200_000, 0, True, True, True)
OFFICIAL_OPEN = Part(("Q",), 1, 90_000, 0, False, False, False)
OFFICIAL_CLOSE = Part(("M",), 1, 200_000, 0, False, False, False)
CORRECTED_CLOSE = Part(("9",), 1, 0, 0, True, True, False)
FORM_T = Part(("T",), 1, 2_000, 400, False, False, False)
OUT_OF_SEQUENCE_T = Part(("U",), 1, 2_000, 400, False, False, False)
BUSTED = Part(("@",), 1, 300, 0, True, True, True)

OUT_OF_HOURS_PERCENT = 5
CANCELLED_PER_TEN_THOUSAND = 2
CORRECTED_PER_TEN_THOUSAND = 1


@dataclass
class Official:
    """The statistics of one instrument's day, as its exchange would publish them."""

    high: int | None = None
    low: int | None = None
    close: int | None = None
    volume: int = 0

    def count(self, part: Part, price: int, size: int) -> None:
        """Count a trade by what it updates."""
        if part.high_low:
            self.high = price if self.high is None else max(self.high, price)
            self.low = price if self.low is None else min(self.low, price)
        if part.last:
            self.close = price
        if part.volume:
            self.volume += size


@dataclass
class Tape:
    """A day's records in the order of the log, and the official statistics by instrument; prices in cents."""

    records: list[dict[str, Any]] = field(default_factory=list)
    official: dict[str, Official] = field(default_factory=dict)
    parts: dict[tuple[str, ...], int] = field(default_factory=dict)
    cancelled: int = 0
    corrected: int = 0


def tape_day(seed: int, mic: str, instruments: int, trades: int, open_ns: int, close_ns: int) -> Tape:
    """Return a day of so many trades of each of so many instruments that are listed on tape C."""
    random, tape = Random(seed), Tape()
    streams = []
    for number in range(instruments):
        name = f"{mic}:T{number:03}"
        tape.official[name] = Official()
        streams += list(_stream(random, tape, name, trades, open_ns, close_ns))
    # In the order of time, except that what was sent first stays first.
    streams.sort(key=lambda timed: timed[0])
    tape.records = [record for _, record in streams]
    return tape


def _stream(
    random: Random, tape: Tape, name: str, trades: int, open_ns: int, close_ns: int
) -> Iterator[tuple[int, dict[str, Any]]]:
    official, number = tape.official[name], 0
    price = random.randint(5 * CENTS, 400 * CENTS)
    span = close_ns - open_ns

    def trade(part: Part, time_ns: int, price: int, size: int) -> dict[str, Any]:
        nonlocal number
        number += 1
        official.count(part, price, size)
        tape.parts[part.codes] = tape.parts.get(part.codes, 0) + 1
        record = {"instrument": name, "time": time_ns, "price": _text(price), "size": str(size), "tape": "C"}
        record["trade_id"] = f"{number}"
        return {**record, "venue": random.choice("QPZDK"), **({"conditions": list(part.codes)} if part.codes else {})}

    outside = trades * OUT_OF_HOURS_PERCENT // 100
    for place in range(outside * 55 // 100):
        time_ns = open_ns - (5 * 3600 - 60 * place % 17_000) * SECOND
        yield time_ns, trade(FORM_T, time_ns, _off(random, price, FORM_T), random.randint(1, FORM_T.size_max))
    yield open_ns, trade(OFFICIAL_OPEN, open_ns, price, 10_000)
    yield open_ns, trade(OPENING, open_ns, price, random.randint(1_000, OPENING.size_max))
    shares = [part.share for part in PARTS]
    for place in range(trades):
        time_ns = open_ns + SECOND + (span - 2 * SECOND) * place // trades
        price = max(2 * CENTS, price + random.choice((-3, -1, -1, 0, 0, 0, 1, 1, 3)))
        luck = random.randrange(10_000)
        if luck < CANCELLED_PER_TEN_THOUSAND:
            yield from _busted(random, tape, name, time_ns, price, place)
        elif luck < CANCELLED_PER_TEN_THOUSAND + CORRECTED_PER_TEN_THOUSAND:
            yield from _corrected(random, tape, name, time_ns, price, place)
        part = random.choices(PARTS, shares)[0]
        yield time_ns, trade(part, time_ns, _off(random, price, part), random.randint(1, part.size_max))
    yield close_ns + SECOND, trade(CLOSING, close_ns + SECOND, price, random.randint(10_000, CLOSING.size_max))
    late = Part(("Z",), 1, 500, 40, True, False, True)
    yield close_ns + 5 * SECOND, trade(late, close_ns + 5 * SECOND, _off(random, price, late), 100)
    how = random.randrange(4)
    if how < 3:
        # The listing market states its close, which is seldom the last trade anybody saw.
        stated = price + random.choice((-2, 0, 0, 1))
        record = trade(OFFICIAL_CLOSE, close_ns + 6 * SECOND, stated, 100_000)
        official.close = stated
        yield close_ns + 6 * SECOND, {**record, "venue": "Q"}
        # Every market states a close of its own; only the listing market's is the official one.
        other = trade(OFFICIAL_CLOSE, close_ns + 7 * SECOND, stated + 9, 100_000)
        yield close_ns + 7 * SECOND, {**other, "venue": "P"}
    if how == 3 or random.randrange(20) == 0:
        yield close_ns + 600 * SECOND, trade(CORRECTED_CLOSE, close_ns + 600 * SECOND, price + 1, 0)
    for place in range(outside - outside * 55 // 100):
        part = OUT_OF_SEQUENCE_T if place % 9 == 0 else FORM_T
        time_ns = close_ns + (20 + 100 * place % 14_000) * SECOND
        yield time_ns, trade(part, time_ns, _off(random, price, part), random.randint(1, part.size_max))


def _busted(
    random: Random, tape: Tape, name: str, time_ns: int, price: int, place: int
) -> Iterator[tuple[int, dict[str, Any]]]:
    # A trade far off, and seconds to minutes later the word that it never was: it counts for nothing.
    tape.cancelled += 1
    record = _raw(name, time_ns, _away(random, price), 200, f"B{place}")
    yield time_ns, record
    yield time_ns + random.choice((1, 40, 600)) * SECOND, {"type": "cancel", **record}


def _corrected(
    random: Random, tape: Tape, name: str, time_ns: int, price: int, place: int
) -> Iterator[tuple[int, dict[str, Any]]]:
    # A price mistyped, and then as it should have been: that one counts, and trades after it are the last price.
    tape.corrected += 1
    record = _raw(name, time_ns, _away(random, price), 200, f"C{place}")
    tape.official[name].count(Part((), 0, 0, 0, True, False, True), price, 300)
    yield time_ns, record
    right = {"price": _text(price), "size": "300"}
    yield time_ns + random.choice((1, 40, 600)) * SECOND, {"type": "correct", **record, "corrected": right}


def _raw(name: str, time_ns: int, price: int, size: int, trade_id: str) -> dict[str, Any]:
    record = {"instrument": name, "time": time_ns, "price": _text(price), "size": str(size), "tape": "C"}
    return {**record, "trade_id": trade_id, "venue": "D", "conditions": ["@"]}


def _away(random: Random, price: int) -> int:
    return price * random.choice((95, 96, 104, 105)) // 100


def _off(random: Random, price: int, part: Part) -> int:
    # What is not eligible is priced off the market, and so would be the day's extreme if anybody believed it.
    spread = price * part.off_bps // 10_000
    return max(1, price + random.randint(-spread, spread))


def _text(cents: int) -> str:
    return f"{cents // CENTS}.{cents % CENTS:02d}"
