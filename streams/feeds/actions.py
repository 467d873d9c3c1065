"""Corporate actions from CSV and Parquet files: splits and whatever else changes what a price means.

An action has an id of its own, so that it can be sent again, corrected or withdrawn. A file without ids gets them from
kind and ex-date: one instrument has at most one action of a kind on a day.
"""

from __future__ import annotations

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from fractions import Fraction
from typing import Final

import orjson

from streams.core.instruments import Instruments
from streams.core.units import format_date, parse_date, parse_time
from streams.feeds.history import HistoryError, Refused
from streams.feeds.steps import Step
from streams.feeds.tables import Row, Source, date_text, rows_of

ACTION_COLUMNS: Final = (
    "instrument",
    "action_id",
    "action",
    "ex_date",
    "ratio",
    "numerator",
    "denominator",
    "operation",
    "symbol",
    "announced_at",
)
REQUIRED: Final = ("instrument", "action", "ex_date")

WITH_RATIO: Final = ("split", "stock_dividend", "ratio_change", "rights", "spin_off")
WITHOUT_RATIO: Final = ("cash_dividend", "symbol_change", "delisting")
ACTIONS: Final = (*WITH_RATIO, *WITHOUT_RATIO)
OPERATIONS: Final = ("create", "withdraw")

UNITS_MAX: Final = 1_000_000
ID_MAX: Final = 40

_RATIO: Final = re.compile(r"([0-9]{1,7})\s*[:/]\s*([0-9]{1,7})")
_ID: Final = re.compile(rf"[!-~]{{1,{ID_MAX}}}")
_SYMBOL: Final = re.compile(r"[A-Z0-9.\-/]{1,16}")


@dataclass(frozen=True, slots=True)
class Action:
    """One corporate action.

    Attributes:
        instrument: Whose, by its lasting id.
        action_id: Its own id.
        action: One of `ACTIONS`.
        ex_date: First session in the new units, days since 1970.
        numerator: New units for `denominator` old ones: 4 of a 4:1 split.
        denominator: 1 of a 4:1 split.
        operation: `create`, or `withdraw` for one that does not take place.
        symbol: The new symbol of a symbol change.
        announced_at: When it was announced, RFC 3339; None where the file does not say.
        where: File and line, for messages.
    """

    instrument: str
    action_id: str
    action: str
    ex_date: int
    numerator: int
    denominator: int
    operation: str
    symbol: str | None
    announced_at: str | None
    where: str

    @property
    def price_factor(self) -> Fraction:
        """Return what a price before the ex-date is multiplied with."""
        return Fraction(self.denominator, self.numerator)


class Told:
    """What files have said so far, so that one split under two ids is not taken for two."""

    def __init__(self) -> None:
        self._ids: dict[tuple[str, str, str, str], str] = {}
        self._of_day: dict[tuple[str, str, int], tuple[str, str]] = {}
        self._days: dict[tuple[str, str], tuple[str, str, int]] = {}

    def objection(self, source: Source, action: Action) -> str | None:
        """Return why an action cannot be meant after those before it, None where it can; it counts from now on."""
        key = (source.name, action.instrument, action.action_id, action.operation)
        before = self._ids.setdefault(key, action.where)
        if before != action.where:
            return (
                f"action_id: expected each id once for {action.instrument}, found {action.action_id!r} also at "
                f"{before}: give the two actions ids of their own, or remove one"
            )
        self._forget(action)
        if action.operation == "withdraw" or action.action not in WITH_RATIO:
            return None
        day = (action.instrument, action.action, action.ex_date)
        if day in self._of_day:
            known, where = self._of_day[day]
            return (
                f"ex_date: expected one {action.action} of {action.instrument} on {format_date(action.ex_date)}, found "
                f"{known!r} also at {where}: both would count; remove one, or withdraw it first"
            )
        self._of_day[day] = (action.action_id, action.where)
        self._days[action.instrument, action.action_id] = day
        return None

    # The latest word on an id holds.
    def _forget(self, action: Action) -> None:
        day = self._days.pop((action.instrument, action.action_id), None)
        if day is not None:
            del self._of_day[day]


def parse_actions(
    source: Source, columns: Mapping[str, str], instruments: Instruments, told: Told | None = None
) -> Iterator[Action | Refused]:
    """Yield the actions of a file, or why a line has none.

    Args:
        source: The file.
        columns: What it calls its columns, see `rows_of`.
        instruments: Knows the configured markets.
        told: What files before it said.

    Raises:
        HistoryError: The file has not the columns, or cannot be read.
        OSError: It cannot be read.
    """
    told = told if told is not None else Told()
    for row in rows_of(source, ACTION_COLUMNS, columns, required=REQUIRED):
        if isinstance(row, Refused):
            yield row
            continue
        try:
            action = _action(row, instruments)
        except ValueError as error:
            yield Refused(row.where, str(error))
            continue
        refused = told.objection(source, action)
        yield action if refused is None else Refused(row.where, refused)


def read_actions(
    sources: Sequence[Source], columns: Mapping[str, str], instruments: Instruments
) -> dict[str, list[Action]]:
    """Return the actions that hold after whole files, by instrument and ex-date. Every line must be right.

    Raises:
        HistoryError: A line is wrong, or a file cannot be read.
        OSError: A file cannot be read.
    """
    held: dict[tuple[str, str], Action] = {}
    told = Told()
    for source in sources:
        for action in parse_actions(source, columns, instruments, told):
            if isinstance(action, Refused):
                raise HistoryError(str(action))
            key = (action.instrument, action.action_id)
            if action.operation == "withdraw":
                held.pop(key, None)
            else:
                held[key] = action
    found: dict[str, list[Action]] = {}
    for action in sorted(held.values(), key=lambda each: (each.instrument, each.ex_date, each.action_id)):
        found.setdefault(action.instrument, []).append(action)
    return found


def action_step(action: Action) -> Step:
    """Return the record of an action, as it goes on the tick topic."""
    document: dict[str, object] = {
        "type": "action",
        "instrument": action.instrument,
        "action_id": action.action_id,
    }
    if action.operation == "withdraw":
        document["operation"] = action.operation
        return Step("action", 0, action.instrument, orjson.dumps(document))
    document["action"] = action.action
    document["ex_date"] = format_date(action.ex_date)
    document["numerator"] = action.numerator
    document["denominator"] = action.denominator
    if action.symbol is not None:
        document["symbol"] = action.symbol
    if action.announced_at is not None:
        document["announced_at"] = action.announced_at
    return Step("action", 0, action.instrument, orjson.dumps(document))


def _action(row: Row, instruments: Instruments) -> Action:
    fields = dict(zip(ACTION_COLUMNS, row.values, strict=True))
    try:
        instruments.market_of(fields["instrument"])
    except ValueError as error:
        raise ValueError(f"instrument: {error}") from None
    action = _choice(fields, "action", ACTIONS)
    operation = _choice({"operation": fields["operation"] or "create"}, "operation", OPERATIONS)
    try:
        ex_date = parse_date(date_text(fields["ex_date"]))
    except ValueError as error:
        raise ValueError(f"ex_date: {error}") from None
    numerator, denominator = (1, 1) if operation == "withdraw" else _units(fields, action)
    action_id = fields["action_id"] or f"{action}-{format_date(ex_date)}"
    if _ID.fullmatch(action_id) is None:
        raise ValueError(f"action_id: expected at most {ID_MAX} printable ASCII characters, found {action_id[:60]!r}")
    symbol = fields["symbol"] or None
    if (action == "symbol_change") is (symbol is None):
        found = "none" if symbol is None else repr(symbol[:60])
        raise ValueError(f"symbol: expected the new symbol with a symbol_change and none else, found {found}")
    if symbol is not None and _SYMBOL.fullmatch(symbol) is None:
        raise ValueError(f"symbol: expected 1 to 16 of A-Z 0-9 . - /, found {symbol[:60]!r}")
    announced = fields["announced_at"] or None
    if announced is not None:
        try:
            parse_time(announced)
        except ValueError as error:
            raise ValueError(f"announced_at: {error}") from None
    return Action(
        fields["instrument"],
        action_id,
        action,
        ex_date,
        numerator,
        denominator,
        operation,
        symbol,
        announced,
        row.where,
    )


def _choice(fields: Mapping[str, str], name: str, choices: Sequence[str]) -> str:
    if fields[name] not in choices:
        raise ValueError(f"{name}: expected {', '.join(choices)}, found {fields[name][:60]!r}")
    return fields[name]


# New and old units, from one column `ratio` or from two.
def _units(fields: Mapping[str, str], action: str) -> tuple[int, int]:
    given = {name: fields[name] for name in ("ratio", "numerator", "denominator") if fields[name]}
    if not given and action in WITHOUT_RATIO:
        return 1, 1
    if set(given) == {"ratio"}:
        match = _RATIO.fullmatch(given["ratio"])
        pair = match.groups() if match is not None else ("", "")
    elif set(given) == {"numerator", "denominator"}:
        pair = (given["numerator"], given["denominator"])
    else:
        raise ValueError(
            f"ratio: expected a ratio such as 4:1 (new for old), or numerator and denominator, "
            f"found {', '.join(given) or 'neither'}"
        )
    numerator, denominator = (int(text) if text.isascii() and text.isdigit() else 0 for text in pair)
    if not (0 < numerator <= UNITS_MAX and 0 < denominator <= UNITS_MAX):
        raise ValueError(
            f"ratio: expected whole numbers from 1 to {UNITS_MAX:,}, new for old, such as 4:1, "
            f"found {' and '.join(repr(text[:40]) for text in given.values())}"
        )
    if action in WITHOUT_RATIO and numerator != denominator:
        raise ValueError(f"ratio: expected 1:1 or none with {action}, found {numerator}:{denominator}")
    if action == "split" and numerator == denominator:
        raise ValueError("ratio: expected other than 1:1 with a split, found 1:1")
    return numerator, denominator
