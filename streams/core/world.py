"""What the helpers of the step share: where they write, what they read, and the row that they work on."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np


class World(NamedTuple):
    """What all rows share while a record is folded.

    Attributes:
        outputs: `OUT`, where transitions go.
        cursor: Three integers: how many transitions were written, the index of the record, and the transition from
            which on those of a suspected row are withheld.
        partition: One element of `PARTITION`.
        sessions: `SESSION`, of all markets.
        rules: One element of `RULES`.
        trade: One element of `TRADE`, the trade that the machines are told.
        spare: Another, to put it aside.
        withheld: `OUT`, transitions of rows whose split is suspected.
    """

    outputs: np.ndarray
    cursor: np.ndarray
    partition: np.void
    sessions: np.ndarray
    rules: np.void
    trade: np.void
    spare: np.void
    withheld: np.ndarray


class Row(NamedTuple):
    """One instrument.

    Attributes:
        number: Its row.
        hot: Its element of `HOT`.
        warm: Its element of `WARM`.
        cold: Its element of `COLD`.
        tape: Its element of `TAPE`.
        ring: Its bars.
        market: Its market's element of `MARKET`.
    """

    number: int
    hot: np.void
    warm: np.void
    cold: np.void
    tape: np.void
    ring: np.ndarray
    market: np.void


class Rows(NamedTuple):
    """All instruments.

    Attributes:
        hot: `HOT`, a row an instrument.
        warm: `WARM`, a row an instrument.
        cold: `COLD`, a row an instrument.
        tape: `TAPE`, a row an instrument.
        ring: `BAR`, shape (rows, RING_BARS).
        order: Row numbers sorted by instrument id.
        markets: `MARKET`.
    """

    hot: np.ndarray
    warm: np.ndarray
    cold: np.ndarray
    tape: np.ndarray
    ring: np.ndarray
    order: np.ndarray
    markets: np.ndarray
