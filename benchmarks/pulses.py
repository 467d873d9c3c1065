"""Record batches encoded before they are needed, so that a generator costs next to nothing while it measures.

One record of every batch has a fixed place: it can be replaced by a probe (the trade that must make a signal) in a few
microseconds, because instrument, time and price have fixed widths. The checksum is worked out again.
"""

from __future__ import annotations

import random
import struct
from typing import Any, Final

import crc32c
from aiokafka.partitioner import murmur2
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from benchmarks.workload import MIC
from streams.core.units import NS, format_time

CHECKSUM: Final = struct.Struct(">I")
CHECKSUM_START: Final = 17
CHECKED_START: Final = 21
BATCH_BYTES: Final = 8 << 20
STAMP_MS: Final = 1_790_000_000_000  # any time after the sessions: the broker puts its own stamp there
PLACEHOLDER: Final = f"{MIC}:B0000"
BASE: Final = 20_000  # cents: every price has three digits before the point
SPREAD: Final = 200  # a year of bars reaches from 198.00 to 202.00
QUIET: Final = 100  # background trades stay between 199.00 and 201.00, where nothing happens


def value_of(instrument: str, time_ns: int, cents: int) -> bytes:
    """Return a trade whose length is always the same."""
    second, nanosecond = divmod(time_ns, NS)
    at = f"{format_time(second * NS)[:-1]}.{nanosecond:09d}Z"
    price = f"{cents // 100}.{cents % 100:02d}"
    return f'{{"instrument":"{instrument}","time":"{at}","price":"{price}","size":"100"}}'.encode()


def bar_of(instrument: str, date: str) -> bytes:
    """Return a daily bar: every day is the same, and the last one sets the levels."""
    return (
        f'{{"type":"bar","instrument":"{instrument}","session_date":"{date}","open":"200.00","high":"202.00",'
        f'"low":"198.00","close":"200.00","volume":"1000000"}}'
    ).encode()


def names(letter: str, partition: int, partitions: int, count: int) -> list[str]:
    """Return instruments that belong into a partition."""
    found: list[str] = []
    for number in range(1, 10_000):
        name = f"{MIC}:{letter}{number:04d}"
        if partition_of(name, partitions) == partition:
            found.append(name)
        if len(found) == count:
            return found
    raise ValueError(f"expected {count} instruments of four digits in partition {partition}, found {len(found)}")


def partition_of(instrument: str, partitions: int) -> int:
    """Return the partition of an instrument, as Java's producer chooses it."""
    return int(murmur2(instrument.encode()) & 0x7FFFFFFF) % partitions


class Pulse:
    """A batch of background trades of one partition, with a place for a probe.

    Args:
        instruments: Who trades in the background.
        records: How many trades, the one at the probe's place included.
        open_ns: Open of the session.
        random_: Draws instruments, prices and times.
    """

    def __init__(self, instruments: list[str], records: int, open_ns: int, random_: random.Random) -> None:
        builder: Any = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, BATCH_BYTES)
        quiet = value_of(PLACEHOLDER, open_ns + 1, BASE)
        for index in range(records):
            name = random_.choice(instruments)
            cents = BASE + random_.randint(-QUIET, QUIET)
            value = value_of(name, open_ns + 3600 * NS + random_.randrange(1, NS), cents)
            if index == records // 2:
                name, value = PLACEHOLDER, quiet
            fits = builder.append(index, STAMP_MS, name.encode(), value, [])
            assert fits is not None, "expected a batch that holds its records"
        self.records = records
        self._batch = bytearray(builder.build())
        self._value = self._batch.index(quiet)
        self._key = self._batch.rindex(PLACEHOLDER.encode(), 0, self._value)
        # The placeholder must be quiet under the name of an instrument that is there.
        self._write(instruments[0], quiet.replace(PLACEHOLDER.encode(), instruments[0].encode()))
        self._quiet = bytes(self._batch)

    def quiet(self) -> bytes:
        """Return the batch without a probe."""
        return self._quiet

    def probing(self, instrument: str, time_ns: int, cents: int) -> bytes:
        """Return the batch with a probe in it."""
        self._write(instrument, value_of(instrument, time_ns, cents))
        return bytes(self._batch)

    def _write(self, instrument: str, value: bytes) -> None:
        batch = self._batch
        batch[self._key : self._key + len(instrument)] = instrument.encode()
        batch[self._value : self._value + len(value)] = value
        checksum = crc32c.crc32c(memoryview(batch)[CHECKED_START:])
        CHECKSUM.pack_into(batch, CHECKSUM_START, checksum)


def batch_of(records: list[tuple[bytes, bytes]]) -> bytes:
    """Return one batch of some records."""
    builder: Any = DefaultRecordBatchBuilder(2, 0, 0, -1, -1, -1, BATCH_BYTES)
    for index, (key, value) in enumerate(records):
        fits = builder.append(index, STAMP_MS, key, value, [])
        assert fits is not None, "expected a batch that holds its records"
    return bytes(builder.build())
