"""Layouts of snapshots: how the present one is described, and how an older one becomes it.

A manifest describes its own layout: the fields of every row type, by name and place, and how many rows a piece has. A
snapshot of an older layout is therefore read with the types that it names, and each field goes to the field of the same
name. What has no such field yet is zero; where zero is not right, or a field changed its meaning, the step from one
layout to the next has a function in `MIGRATIONS`. A layout that was released before manifests described themselves is
described by a file beside this module.
"""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import cache
from importlib import resources
from typing import Any, Final

import numpy as np

from streams.core.layout import BAR, CLOSE_CONSOLIDATED, CLOSE_NONE
from streams.core.rows import (
    COLD,
    HOT,
    OUT,
    OVERRIDE,
    OVERRIDES_MAX,
    PARTITION,
    PRICE_NEVER,
    TAPE,
    WARM,
)
from streams.core.snapshot import BAR_GROUP_ROWS, BAR_PERIOD_BITS, ID, LAYOUT_NUMBER, EngineState

Description = dict[str, Any]
"""What a manifest says of its layout: `types` by name, `rows` of a piece by name."""

ROWS: Final[Mapping[str, int]] = {
    "instruments": 4096,
    "hot": 4096,
    "warm": 64,
    "cold": 64,
    "tape": 256,
    "withheld": 64,
    "overrides": OVERRIDES_MAX,
}
"""Rows of a piece."""

_TYPES: Final = {
    "instruments": ID,
    "hot": HOT,
    "warm": WARM,
    "cold": COLD,
    "tape": TAPE,
    "withheld": OUT,
    "overrides": OVERRIDE,
    "bars": BAR,
    "partition": PARTITION,
}
_FIELDS: Final = "fields"
_ITEM_BYTES: Final = "item_bytes"


@dataclass(frozen=True, slots=True)
class Layout:
    """The row types of one layout, and how many rows a piece has."""

    number: int
    types: Mapping[str, np.dtype]
    rows: Mapping[str, int]


@dataclass(frozen=True, slots=True)
class Before:
    """The state as an older layout holds it, for migrations that look at it.

    Attributes:
        partition: What concerned the whole engine, by the names of that layout.
        hot: Its hot rows, of its type.
        warm: Its warm rows, of its type.
    """

    partition: Mapping[str, int]
    hot: np.ndarray
    warm: np.ndarray


Migration = Callable[[Before, EngineState], None]
"""Changes a state in place, whose fields hold what the older fields of their names held; the others are zero."""


def nothing_more(before: Before, state: EngineState) -> None:
    """Leave a state as it is: the migration of a layout where zero is right for what is new."""


def to_tape_and_best_prices(before: Before, state: EngineState) -> None:
    """Layout 1 knew of each session its extremes and its last price, and of each signal its trigger, and no more.

    What it did not know stays unknown: below the extremes is a floor, and there may have been more trades beyond a
    level. Bars were as raw as they are, so every level is its own source.
    """
    hot, warm = state.hot, state.warm
    traded = before.warm["traded"] != 0
    for side, name in enumerate(("high", "low")):
        price = np.where(traded, before.warm[name], 0)
        warm["best"][:, side, 0] = warm["floor"][:, side] = price
        warm["best_trades"][:, side, 0] = warm["best_count"][:, side] = traded
    seen = before.warm["last_seen"] != 0
    hot["prints"] = seen
    state.tape["print"]["price"][:, 0] = np.where(seen, before.hot["last"], 0)
    judged = seen & (before.warm["closed"] != 0)
    warm["judged_close"] = np.where(judged, before.hot["last"], 0)
    warm["judged_source"] = np.where(judged, CLOSE_CONSOLIDATED, CLOSE_NONE)
    for name in ("window_start", "window_end", "sessions", "sessions_expected", "window_status"):
        warm[name][:, 0] = before.warm[name]
    for kind in ("level", "signal"):
        warm[f"{kind}_raw"] = warm["level" if kind == "level" else "signal_level"]
        warm[f"{kind}_numerator"] = warm[f"{kind}_denominator"] = 1
    warm["standing"] = warm["ordinal"]
    warm["of_window"] = warm["ordinal"] <= 1
    warm["reach"][:, :2] = before.warm["signal_level"] + np.array([1, -1])
    first = state.cold["first"][:, :2, 0]
    for name, source in (("time_ns", "trigger_ns"), ("price", "trigger_price"), ("kind", "kind")):
        first[name] = before.warm[source]
    first["trade_id"], first["conditions"] = before.warm["trigger_id"], before.warm["trigger_conditions"]
    state.cold["firsts"][:, :2] = state.cold["firsts_full"][:, :2] = before.warm["ordinal"] > 0
    warm["rule_low"] = hot["band_low"] = PRICE_NEVER
    warm["rule_high"] = hot["band_high"] = 0


MIGRATIONS: Final[dict[int, Migration]] = {1: to_tape_and_best_prices}
"""From each layout's number to the step to the next one, which works on the present layout. A layout whose fields only
came, went or moved has an entry that does nothing: without an entry an older snapshot is refused."""


@cache
def present() -> Layout:
    """Return the layout that this version writes."""
    return Layout(LAYOUT_NUMBER, _TYPES, ROWS)


@cache
def described() -> Description:
    """Return the description of the present layout for a manifest."""
    return {
        "types": {name: describe(dtype) for name, dtype in _TYPES.items()},
        "rows": dict(ROWS),
        "bar_group_rows": BAR_GROUP_ROWS,
        "bar_period_bits": BAR_PERIOD_BITS,
    }


def layout_of(number: int, description: Description) -> Layout:
    """Return a layout from its description, or from the file of a layout that had none.

    Raises:
        ValueError: It is not described, or its bars are grouped in another way.
    """
    if not description:
        file = resources.files("streams.wire").joinpath(f"layout-{number}.json")
        if not file.is_file():
            raise ValueError(f"layout {number} is not described")
        description = json.loads(file.read_text(encoding="utf-8"))
    grouping = (description["bar_group_rows"], description["bar_period_bits"])
    if grouping != (BAR_GROUP_ROWS, BAR_PERIOD_BITS):
        raise ValueError(f"bars are grouped by {grouping}, not by {(BAR_GROUP_ROWS, BAR_PERIOD_BITS)}")
    types = {name: dtype_of(entry) for name, entry in description["types"].items()}
    return Layout(number, types, description["rows"])


def describe(dtype: np.dtype) -> Any:
    """Return a type as plain values: its text, or its fields with name, place, type and shape.

    >>> describe(np.dtype("<i8"))
    '<i8'
    """
    if dtype.names is None:
        return dtype.str
    rows = []
    places: Mapping[str, Any] = dtype.fields or {}
    for name in dtype.names:
        kind, place = places[name][:2]
        inner, shape = kind.subdtype or (kind, ())
        rows.append([name, place, describe(inner), list(shape)])
    return {_ITEM_BYTES: dtype.itemsize, _FIELDS: rows}


def dtype_of(description: Any) -> np.dtype:
    """Return the type that `describe` described.

    >>> dtype_of(describe(HOT)) == HOT
    True
    """
    if isinstance(description, str):
        return np.dtype(description)
    fields = description[_FIELDS]
    return np.dtype(
        {
            "names": [name for name, *_ in fields],
            "formats": [(dtype_of(kind), tuple(shape)) if shape else dtype_of(kind) for _, _, kind, shape in fields],
            "offsets": [place for _, place, *_ in fields],
            "itemsize": description[_ITEM_BYTES],
        }
    )


def converted(array: np.ndarray, dtype: np.dtype) -> np.ndarray:
    """Return an array as another type: fields by their names, of arrays in them what both have room for, zeros else."""
    found = np.zeros(array.shape, dtype)
    _copy(array, found)
    return found


def _copy(source: np.ndarray, target: np.ndarray) -> None:
    if source.ndim != target.ndim:
        return
    shared = tuple(slice(min(sizes)) for sizes in zip(source.shape, target.shape, strict=True))
    source, target = source[shared], target[shared]
    if source.dtype.names is None and target.dtype.names is None:
        np.copyto(target, source, casting="same_kind")
    elif source.dtype.names is not None and target.dtype.names is not None:
        for name in target.dtype.names:
            if name in source.dtype.names:
                _copy(source[name], target[name])
