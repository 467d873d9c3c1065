"""A set that takes long is read in parts of whole batches, and nothing of it is missed."""

from __future__ import annotations

from struct import pack_into

from aiokafka.record.default_records import DefaultRecordBatchBuilder

from streams.kafka.fetched import Fetched
from streams.kafka.slices import SLICE_SECONDS, slices


def fetched(batches: int, view: bool = False) -> Fetched:
    """Return a set of batches of two records each, and two offsets after them that were aborted."""
    parts = []
    for number in range(batches):
        builder = DefaultRecordBatchBuilder(
            magic=2, compression_type=0, is_transactional=False, producer_id=-1, producer_epoch=-1, base_sequence=-1,
            batch_size=1 << 20,
        )  # fmt: skip
        for index in range(2):
            builder.append(index, timestamp=0, key=None, value=b"x" * 100, headers=[])
        batch = bytearray(builder.build())
        pack_into(">q", batch, 0, 2 * number)
        parts.append(bytes(batch))
    data = b"".join(parts)
    return Fetched("t", 0, 1, 2 * batches + 2, 100, memoryview(data) if view else data)


def test_slow_set_is_read_in_parts_that_add_up_to_it() -> None:
    """Every batch is in one part, each part begins where the one before ended, and the last ends where the set does."""
    for view in (False, True):
        whole = fetched(10, view)
        parts = slices(whole, SLICE_SECONDS / len(whole.data) * 5)

        assert 4 <= len(parts) <= 10
        assert b"".join(bytes(part.data) for part in parts) == bytes(whole.data)
        assert [part.position for part in parts] == [1, *(part.next_offset for part in parts[:-1])]
        assert parts[-1].next_offset == whole.next_offset
        assert {part.end_offset for part in parts} == {100}


def test_quick_set_stays_whole() -> None:
    """Trades are read in one go, and what has not been measured yet too."""
    whole = fetched(3)

    assert slices(whole, 0.0) == [whole]
    assert slices(whole, SLICE_SECONDS / len(whole.data)) == [whole]
    assert slices(Fetched("t", 0, 5, 9, 9, b""), 1.0) == [Fetched("t", 0, 5, 9, 9, b"")]
