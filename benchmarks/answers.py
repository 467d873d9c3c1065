"""What a contestant must have said, worked out from the very records that were published, and whether it did.

Written apart from the product: dictionaries, decimals and the two definitions, one pass over the records. The rules are
those of the jobs, so a contestant that loses, doubles or alters one output is struck out.
"""

from __future__ import annotations

import datetime
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass
from decimal import Decimal
from typing import Any, Final, Protocol

import orjson

LOOKBACK_DAYS: Final = 364
TRADE_ENDS: Final = {"up": "high_52w", "down": "low_52w"}

Answer = tuple[Any, ...]
"""One output, in a form that does not depend on how its contestant writes it."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """How a contestant's outputs compare with the right ones."""

    expected: int
    found: int
    missing: int
    wrong: int
    is_ordered: bool = True

    @property
    def is_correct(self) -> bool:
        """Return whether every output is right, and none is too many."""
        return self.missing == 0 and self.wrong == 0 and self.is_ordered

    def __str__(self) -> str:
        """Return a short text for a table."""
        if self.is_correct:
            return "yes"
        if self.missing == 0 and self.wrong == 0:
            return "no: out of order"
        return f"no: {self.missing:,} missing, {self.wrong:,} wrong or doubled"


class Oracle(Protocol):
    """Works out the right outputs of a job."""

    @property
    def expected(self) -> list[Answer]:
        """Return the right outputs."""

    def observe(self, value: bytes) -> None:
        """Take the value of a published record."""

    def read(self, key: bytes | None, value: bytes) -> Answer | None:
        """Return the answer in an output record, or None where it is about something else."""


class RunningMaximum:
    """Every new maximum of an instrument, in order."""

    def __init__(self) -> None:
        self.expected: list[Answer] = []
        self._best: dict[str, Decimal] = {}

    def observe(self, value: bytes) -> None:
        """Take a trade."""
        tick = orjson.loads(value)
        instrument, price = tick["instrument"], Decimal(tick["price"])
        best = self._best.get(instrument)
        if best is None or price > best:
            self._best[instrument] = price
            self.expected.append((instrument, price))

    def read(self, _key: bytes | None, value: bytes) -> Answer | None:
        """Return instrument and price of an output."""
        found = orjson.loads(value)
        return found["instrument"], Decimal(found["price"])


class Breakouts:
    """The first trade of a session beyond the highest high, and below the lowest low, of the 364 days before it.

    Args:
        session_date: The session that the trades belong to.
    """

    def __init__(self, session_date: str) -> None:
        self.expected: list[Answer] = []
        self._session = session_date
        self._oldest = str(datetime.date.fromisoformat(session_date) - datetime.timedelta(LOOKBACK_DAYS))
        self._highs: dict[str, tuple[Decimal, str]] = {}
        self._lows: dict[str, tuple[Decimal, str]] = {}
        self._broken: set[tuple[str, str]] = set()

    def observe(self, value: bytes) -> None:
        """Take a bar or a trade."""
        record = orjson.loads(value)
        if record.get("type") == "bar":
            self._bar(record)
            return
        instrument, price = record["instrument"], Decimal(record["price"])
        high = self._highs.get(instrument)
        if high is not None and price > high[0]:
            self._break("up", record, high)
        low = self._lows.get(instrument)
        if low is not None and price < low[0]:
            self._break("down", record, low)

    def read(self, _key: bytes | None, value: bytes) -> Answer | None:
        """Return the answer in a peer's output, or in a signal of our own."""
        found = orjson.loads(value)
        if "side" in found and "family" not in found:
            level = (Decimal(found["level"]), found["level_date"])
            return (found["instrument"], found["side"], Decimal(found["price"]), _time(found["time"]), *level)
        if found.get("transition") != "triggered" or TRADE_ENDS.get(found["side"]) != found["family"]:
            return None
        level = (Decimal(found["level"]["price"]), found["level"]["session_date"])
        trigger = found["trigger"]
        return (found["instrument"]["id"], found["side"], Decimal(trigger["price"]), _time(trigger["time"]), *level)

    # Bars come in the order of their dates; of equal prices the latest session counts.
    def _bar(self, record: dict[str, Any]) -> None:
        date, instrument = record["session_date"], record["instrument"]
        if not self._oldest <= date < self._session:
            return
        high, low = Decimal(record["high"]), Decimal(record["low"])
        if instrument not in self._highs or high >= self._highs[instrument][0]:
            self._highs[instrument] = (high, date)
        if instrument not in self._lows or low <= self._lows[instrument][0]:
            self._lows[instrument] = (low, date)

    def _break(self, side: str, record: dict[str, Any], level: tuple[Decimal, str]) -> None:
        if (record["instrument"], side) in self._broken:
            return
        self._broken.add((record["instrument"], side))
        price = Decimal(record["price"])
        self.expected.append((record["instrument"], side, price, _time(record["time"]), *level))


def judge(expected: Iterable[Answer], found: Iterable[Answer]) -> Verdict:
    """Compare outputs with the right ones: the same ones, as often, and those of an instrument in the same order."""
    right, said = list(expected), list(found)
    wanted, given = Counter(right), Counter(said)
    missing, wrong = sum((wanted - given).values()), sum((given - wanted).values())
    return Verdict(len(right), len(said), missing, wrong, _by_instrument(right) == _by_instrument(said))


def _by_instrument(answers: list[Answer]) -> dict[str, list[Answer]]:
    found: dict[str, list[Answer]] = {}
    for answer in answers:
        found.setdefault(answer[0], []).append(answer)
    return found


# Text of one time differs only in the zeros at its end.
def _time(text: str) -> str:
    whole, _, fraction = text.rstrip("Z").partition(".")
    fraction = fraction.rstrip("0")
    return f"{whole}.{fraction}Z" if fraction else f"{whole}Z"
