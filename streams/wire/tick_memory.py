"""What the compiled readers of ticks remember from record to record, and the values of the one being read.

One array holds all of it, so that helpers take one pointer. The first words are those of `plain_values.read_time`; the
shape of the record before lies behind, where only `tick_reader` looks.
"""

from __future__ import annotations

from typing import Final

from streams.core.compiled import inlined
from streams.core.layout import CONDITION_COUNT
from streams.wire.plain_values import DATE_WORDS, Integers

# What became of a record.
STATUS_NULL: Final = 0
STATUS_PLAIN: Final = 1
STATUS_OTHER: Final = 2  # not plain: to be decoded the thorough way
STATUS_UNKNOWN: Final = 3  # plain so far, but its instrument has no row yet

SEGMENTS: Final = DATE_WORDS  # how many segments the remembered shape has; 0 without one
UNKNOWN_CODES: Final = DATE_WORDS + 1  # running count of trades with a sale condition that the table cannot judge
SLOT_MASK: Final = DATE_WORDS + 2  # the size of the instruments' hash table less one
KEY_LENGTH: Final = DATE_WORDS + 3
ROW: Final = DATE_WORDS + 4
TIME: Final = DATE_WORDS + 5
PRICE_VALUE: Final = DATE_WORDS + 6
SIZE_VALUE: Final = DATE_WORDS + 7
PROFILE: Final = DATE_WORDS + 8  # by tape, -1 without one
TRADE_ID_START: Final = DATE_WORDS + 9
TRADE_ID_LENGTH: Final = DATE_WORDS + 10
CODE_COUNT: Final = DATE_WORDS + 11
VENUE_NUMBER: Final = DATE_WORDS + 12  # 0 without one
CODES: Final = DATE_WORDS + 13
VALUES_END: Final = CODES + CONDITION_COUNT


@inlined
def clear(memory: Integers) -> None:
    """Leave what an optional field has when it is absent."""
    memory[CODE_COUNT] = 0
    memory[PROFILE] = -1
    memory[VENUE_NUMBER] = 0
    memory[TRADE_ID_START] = 0
    memory[TRADE_ID_LENGTH] = 0
