"""Folds a log with the engine, in this process or, as a script, in one whose code is not compiled."""

from __future__ import annotations

import dataclasses
import json
import sys
from collections.abc import Sequence
from datetime import date
from typing import Any

import numpy as np

from streams.core.processor import Processor
from streams.core.rules import Rules
from streams.core.sessions import Markets, Sessions
from streams.wire.signals import encode
from tests.oracle import Session
from tests.property.streams_markets import Log

EPOCH = date(1970, 1, 1)
EXTENDED = ("extended_open_ns", "extended_close_ns")


@dataclasses.dataclass(frozen=True)
class Outcome:
    """What the engine said to a log."""

    values: list[bytes]
    refused: list[tuple[int, str]]
    counters: dict[str, int]


def fold(log: Log, cuts: Sequence[int] = (), **options: Any) -> Outcome:
    """Fold a log in batches; `options` go to the processor, but `band` to its rules."""
    band = {"band": options.pop("band")} if "band" in options else {}
    processor = Processor(markets_of(log), Rules(**log.rules, **band), **options)
    values = []
    for start, stop in zip([0, *cuts], [*cuts, len(log.records)], strict=True):
        processor.records(log.records[start:stop])
        values += [encode(signal, source="/fiftytwo/test").value for signal in processor.signals()]
    return Outcome(values, list(processor.refused), processor.engine.counters())


def json_documents(outcome: Outcome) -> list[dict[str, Any]]:
    """Return the documents as another consumer reads them."""
    return [json.loads(value) for value in outcome.values]


def markets_of(log: Log) -> Markets:
    """Return the calendars of a log as the engine takes them."""
    listed = [sessions_of(mic, sessions) for mic, sessions in log.sessions.items()]
    return Markets(listed, lookback=log.rules["lookback"])


def sessions_of(mic: str, listed: Sequence[Session]) -> Sessions:
    """Return a market's plain list of sessions as the engine takes it."""
    names = ("open_ns", "close_ns", "break_start_ns", "break_end_ns")
    columns = {name: np.array([getattr(session, name) for session in listed], np.int64) for name in (*names, *EXTENDED)}
    dates = np.array([(session.date - EPOCH).days for session in listed], np.int32)
    regular = Sessions(mic, dates, *(columns[name] for name in names))
    if not any(columns["extended_close_ns"]):
        return regular
    opens, closes = (columns[name] for name in EXTENDED)
    return dataclasses.replace(regular, extended_opens_ns=opens, extended_closes_ns=closes)


def dumped(log: Log) -> dict[str, Any]:
    """Return a log as JSON-shaped data, for another process."""
    sessions = {
        mic: [[day.date.toordinal(), *dataclasses.astuple(day)[1:]] for day in listed]
        for mic, listed in log.sessions.items()
    }
    return {"rules": log.rules, "sessions": sessions, "records": log.records}


def loaded(data: dict[str, Any]) -> Log:
    """Return the log that `dumped` wrote."""
    sessions = {
        mic: [Session(date.fromordinal(day), *bounds) for day, *bounds in listed]
        for mic, listed in data["sessions"].items()
    }
    return Log({**data["rules"], "families": tuple(data["rules"]["families"])}, sessions, data["records"])


def main() -> None:
    """Read logs, one a line, and write the values of each, one line a log."""
    for line in sys.stdin:
        values = [value.decode() for value in fold(loaded(json.loads(line))).values]
        sys.stdout.write(json.dumps(values) + "\n")


if __name__ == "__main__":
    main()
