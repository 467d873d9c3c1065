"""A trading day written down by hand, told to the oracle or to the engine: hand-derived examples judge both alike."""

from __future__ import annotations

from collections.abc import Mapping
from datetime import UTC, date, datetime
from typing import Any
from zoneinfo import ZoneInfo

from tests.oracle import Oracle, Rules, Session
from tests.property.engine_run import fold, json_documents
from tests.property.streams_markets import Log, exchange

ZONES = {"XNYS": ZoneInfo("America/New_York"), "XNAS": ZoneInfo("America/New_York"), "XHKG": ZoneInfo("Asia/Hong_Kong")}


class Script:
    """Builds one instrument's log and asks a judge, `oracle` or `engine`, what it says to it.

    Args:
        judge: Who is asked.
        day: The session that the times of ticks and clocks belong to.
        instrument: `MIC:SYMBOL`.
        rules: Options that differ from the defaults.
    """

    def __init__(self, judge: str, day: str, instrument: str = "XNYS:BABA", **rules: Any) -> None:
        self.judge = judge
        self.day = date.fromisoformat(day)
        self.instrument = instrument
        self.rules = {"lookback": "364d", **rules}
        self.sessions = list(exchange(instrument[:4]))
        self.records: list[dict[str, Any]] = []

    def index(self) -> int:
        """Return which session the day is."""
        return [session.date for session in self.sessions].index(self.day)

    def before(self, count: int) -> list[Session]:
        """Return the sessions before the day, the nearest last."""
        return self.sessions[self.index() - count : self.index()]

    def history(
        self,
        count: int = 260,
        *,
        high: str = "99",
        low: str = "50",
        close: str = "90",
        days: Mapping[str, str] | None = None,
    ) -> None:
        """Add equal daily bars up to the day; `days` has the high, low and close of those that differ."""
        for session in self.before(count):
            day = session.date.isoformat()
            high_there, low_there, close_there = (days or {}).get(day, f"{high} {low} {close}").split()
            self.bar(day, high_there, low_there, close_there)

    def bar(self, day: str, high: str, low: str, close: str) -> None:
        """Add one daily bar."""
        prices = {"open": close, "high": high, "low": low, "close": close}
        self.records.append({"type": "bar", "instrument": self.instrument, "session_date": day, **prices})

    def tick(self, time: str, price: str, *conditions: str, **fields: Any) -> None:
        """Add a trade at a local time of the day, or at a full time."""
        tick = {"instrument": self.instrument, "time": self.time(time), "price": price, "size": "100", **fields}
        self.records.append({**tick, "conditions": list(conditions)} if conditions else tick)

    def cancel(self, time: str, price: str, *conditions: str, **fields: Any) -> None:
        """Take back the trade that `tick` added with the same arguments."""
        self.tick(time, price, *conditions, **fields)
        self.records[-1]["type"] = "cancel"

    def correct(self, time: str, price: str, corrected: Mapping[str, Any], **fields: Any) -> None:
        """Replace a trade by what it should have been."""
        self.tick(time, price, **fields)
        self.records[-1] |= {"type": "correct", "corrected": {"size": "100", **corrected}}

    def action(self, ex_date: str, new: int, old: int, *, action_id: str = "a1", **fields: Any) -> None:
        """Add a split of so many new shares for so many old, or another action."""
        record = {"type": "action", "instrument": self.instrument, "action_id": action_id, "action": "split"}
        self.records.append({**record, "ex_date": ex_date, "numerator": new, "denominator": old, **fields})

    def say(self, kind: str, **fields: Any) -> None:
        """Add any other record about the instrument."""
        self.records.append({"type": kind, "instrument": self.instrument, **fields})

    def clock(self, time: str) -> None:
        """Let time pass."""
        self.records.append({"type": "clock", "time": self.time(time), "mode": "replay"})

    def time(self, text: str) -> str:
        """Return a local time of the day as the wire writes it; a full time stays as it is."""
        if "T" in text:
            return text
        local = datetime.fromisoformat(f"{self.day}T{text}").replace(tzinfo=ZONES[self.instrument[:4]])
        return local.astimezone(UTC).isoformat().replace("+00:00", "Z")

    def documents(self, *families: str) -> list[dict[str, Any]]:
        """Return what the judge says, of some families only where any are named."""
        sessions = {self.instrument[:4]: self.sessions}
        if self.judge == "oracle":
            said = Oracle(sessions, Rules(**self.rules)).records(self.records)
        else:
            said = json_documents(fold(Log(self.rules, sessions, self.records)))
        return [document for document in said if not families or document["family"] in families]

    def told(self, *families: str) -> list[str]:
        """Return transitions in short: `triggered 1 100.01`, the ordinal and the price."""
        return [
            f"{document['transition']} {document['ordinal']} {document['price']}"
            for document in self.documents(*families)
        ]


BREAKOUTS = ("high_52w", "low_52w")
JUDGES = ("oracle", "engine")
