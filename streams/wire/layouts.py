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

from streams.core.layout import BAR
from streams.core.rows import HOT, PARTITION, WARM
from streams.core.snapshot import BAR_GROUP_ROWS, BAR_PERIOD_BITS, ID, LAYOUT_NUMBER, EngineState

Description = dict[str, Any]
"""What a manifest says of its layout: `types` by name, `rows` of a piece by name."""

ROWS: Final[Mapping[str, int]] = {"instruments": 4096, "hot": 4096, "warm": 64}
"""Rows of a piece."""

_TYPES: Final = {"instruments": ID, "hot": HOT, "warm": WARM, "bars": BAR, "partition": PARTITION}
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

MIGRATIONS: Final[dict[int, Migration]] = {}
"""From each layout's number to the step to the next one, which works on the present layout. A layout whose fields only
came, went or moved has an entry that does nothing: without an entry an older snapshot is refused."""


def nothing_more(before: Before, state: EngineState) -> None:
    """Leave a state as it is: the migration of a layout where zero is right for what is new."""


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
