"""What is known of the trades of one session of one instrument: as much as the engine promises to remember."""

from __future__ import annotations

from dataclasses import dataclass, field
from fractions import Fraction

from tests.oracle.history import UNIT, Bar
from tests.oracle.ladder import Ladder
from tests.oracle.records import Tick
from tests.oracle.rules import SIDES, Side

# Trades that may set the last price, the newest last, so that a cancelled one can be stepped back over.
LASTS_MAX = 32
# The median that bad prints are measured by.
MEDIAN_OF = 20


@dataclass(frozen=True)
class Trade:
    """A trade as it was taken: its place in the log, what it is to a trigger, whether it set the last price."""

    tick: Tick
    order: int
    kind: str
    last: bool

    def is_of(self, cancelled: Tick) -> bool:
        """Say whether a cancel speaks of this trade."""
        tick = self.tick
        named = tick.trade_id is not None and cancelled.trade_id is not None
        same = tick.trade_id == cancelled.trade_id if named else tick.time_ns == cancelled.time_ns
        return same and tick.price == cancelled.price


@dataclass
class Day:
    """One session's trades, or what is remembered of them."""

    ladders: dict[Side, Ladder] = field(default_factory=lambda: {side: Ladder(side) for side in SIDES})
    lasts: list[Trade] = field(default_factory=list)
    volume: Fraction = Fraction(0)
    traded: bool = False
    extreme_only: Fraction | None = None
    stated: tuple[Fraction, str] | None = None

    @property
    def last(self) -> Fraction | None:
        """Return the price of the latest trade that may set it."""
        return self.lasts[-1].tick.price if self.lasts else None

    @property
    def unknown(self) -> set[Side]:
        """Return the sides whose extreme was lost with cancelled trades."""
        return {side for side, ladder in self.ladders.items() if ladder.lost}

    def extreme(self, side: Side) -> Fraction | None:
        """Return today's extreme of a side."""
        return self.ladders[side].best

    def may_be_last(self, tick: Tick, bell_ns: int) -> bool:
        """Say whether a trade sets the last price, for those that do so only sometimes (section 1.3, n1 to n3)."""
        newest = self.lasts[-1].tick.venue if self.lasts else None
        holds = {
            "only": not self.lasts,
            "listing": not self.lasts or tick.of_listing_market or (tick.venue is not None and tick.venue == newest),
            "early": tick.time_ns < bell_ns,
        }
        return tick.last and all(holds[condition] for condition in tick.sometimes)

    def see(self, trade: Trade) -> None:
        """Take an eligible trade."""
        self.traded = True
        self.take(trade)
        if trade.last:
            self.lasts = [*self.lasts, trade][-LASTS_MAX:]

    def take(self, trade: Trade) -> None:
        """Take a trade into the extremes, and remember the latest of those that can be nothing more."""
        self.widen(trade.tick)
        if not trade.last:
            self.extreme_only = trade.tick.price

    def widen(self, tick: Tick) -> None:
        """Take a price into the extremes alone."""
        for ladder in self.ladders.values():
            ladder.see(tick)

    def amend(self, tick: Tick) -> None:
        """Take a trade that comes too late to move more than the extremes and the volume."""
        if tick.volume:
            self.volume += tick.size
        if tick.high_low:
            self.widen(tick)

    def renew(self, bar: Bar) -> None:
        """Let our own bar of a session that is over follow what is known of its trades now."""
        if bar.official:
            return
        high, low = self.extreme("up"), self.extreme("down")
        bar.unknown |= self.unknown
        if high is None or low is None:
            bar.traded = False
            return
        bar.high, bar.low = high, low
        if not bar.traded:
            bar.traded, bar.close = True, high

    def knows(self, tick: Tick) -> bool:
        """Say whether the id of a trade is kept with one of the best prices."""
        return any(ladder.knows(tick) for ladder in self.ladders.values())

    def denies(self, tick: Tick) -> bool:
        """Say whether a cancelled trade cannot have been."""
        return tick.high_low and any(ladder.denies(tick) for ladder in self.ladders.values())

    def unsee(self, tick: Tick) -> Trade | None:
        """Take a trade back; return it as it was among the last trades, None if it was not."""
        self.reduce(tick)
        for ladder in self.ladders.values() if tick.high_low else ():
            ladder.unsee(tick)
        known = next((trade for trade in reversed(self.lasts) if trade.is_of(tick)), None)
        if known is not None:
            self.lasts.remove(known)
        return known

    def put_back(self, trade: Trade) -> None:
        """Put a corrected trade among the last trades, where the original was."""
        self.lasts = sorted([*self.lasts, trade], key=lambda each: each.order)

    def reduce(self, tick: Tick) -> None:
        """Take a trade's size out of the volume."""
        if tick.volume:
            self.volume = max(self.volume - tick.size, Fraction(0))

    def median(self) -> Fraction | None:
        """Return the median of the latest last prices, once there are enough of them."""
        if len(self.lasts) < MEDIAN_OF:
            return None
        middle = sorted(trade.tick.price for trade in self.lasts[-MEDIAN_OF:])[MEDIAN_OF // 2 - 1 : MEDIAN_OF // 2 + 1]
        return sum(middle, Fraction(0)) / 2 // UNIT * UNIT

    def forget_ids(self) -> None:
        """Keep prices and counts alone: what is left of a session when the next one has begun."""
        for ladder in self.ladders.values():
            for rung in ladder.rungs:
                rung.ids = []
            ladder.nameless = True
