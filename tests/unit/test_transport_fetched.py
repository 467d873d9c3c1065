"""Fetch responses are cut into sets of complete batches."""

from __future__ import annotations

from struct import pack_into

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from streams.kafka.fetched import RawRecords, UnsupportedBatch, select_batches
from streams.wire.batches import read_batches

SIZE_ANY = 1 << 20


def batch(base: int, count: int = 3, *, producer: int = -1, control: int | None = None) -> bytes:
    """Return a record batch: plain, of a producer's transaction, or a marker (0 aborts, 1 commits)."""
    builder = DefaultRecordBatchBuilder(
        magic=2,
        compression_type=0,
        is_transactional=producer >= 0,
        producer_id=producer,
        producer_epoch=0,
        base_sequence=0,
        batch_size=SIZE_ANY,
    )
    for index in range(count):
        key = b"key" if control is None else bytes((0, 0, 0, control))
        builder.append(index, timestamp=1, key=key, value=b"value %02d" % (base + index), headers=[])
    data = bytearray(builder.build())
    pack_into(">q", data, 0, base)
    if control is not None:
        data[22] |= 0x20
    return bytes(data)


def offsets(sets: list[tuple[bytes | memoryview, int]]) -> list[int]:
    """Return the offsets of the records in sets; checksums do not cover what `batch` changes but the marker bit."""
    return [int(offset) for data, _ in sets for offset in read_batches(data, check_crc=False).frames["offset"]]


def test_batch_cut_short_is_left_for_the_next_fetch() -> None:
    """The next offset is that of the first batch that is not complete."""
    whole, cut = batch(10), batch(13)

    sets = select_batches(whole + cut[:-1], 10, SIZE_ANY)

    assert [next_offset for _, next_offset in sets] == [13]
    assert bytes(sets[0][0]) == whole


@pytest.mark.parametrize("size", [0, 5, 12, 60])
def test_without_a_complete_batch_there_is_no_set(size: int) -> None:
    """Less than a batch gives nothing, however little it is."""
    assert select_batches(batch(0)[:size], 0, SIZE_ANY) == []
    assert not RawRecords(batch(0)[:size]).has_next()
    assert RawRecords(batch(0)[:size]).size_in_bytes() == size


def test_raw_records_have_one_when_a_batch_is_complete() -> None:
    """Aiokafka asks for it before it takes a response for data."""
    assert RawRecords(batch(0)).has_next()
    assert not RawRecords(batch(0)[:-1]).has_next()
    assert RawRecords(None).size_in_bytes() == 0


def test_large_response_is_cut_into_sets() -> None:
    """A broker that sends more than was asked for does not make larger batches; a batch is never cut."""
    batches = [batch(number * 3) for number in range(10)]
    size = len(batches[0])

    sets = select_batches(b"".join(batches), 0, 3 * size)

    assert [next_offset for _, next_offset in sets] == [9, 18, 27, 30]
    assert offsets(sets) == list(range(30))
    assert [next_offset for _, next_offset in select_batches(b"".join(batches), 0, 1)] == list(range(3, 33, 3))


def test_aborted_transactions_are_left_out() -> None:
    """Only batches of the aborted producer between its first offset and its marker are dropped."""
    log = [
        batch(0),
        batch(3, producer=7),
        batch(6, producer=8),
        batch(9, 1, producer=7, control=0),
        batch(10, 1, producer=8, control=1),
        batch(11, producer=7),
        batch(14, 1, producer=7, control=1),
    ]

    sets = select_batches(b"".join(log), 0, SIZE_ANY, aborted=[(7, 3)])

    assert offsets(sets) == [0, 1, 2, 6, 7, 8, 11, 12, 13]
    assert sets[-1][1] == 15


def test_only_aborted_records_still_move_the_position() -> None:
    """A set may be empty: its offsets are passed all the same."""
    log = batch(3, producer=7)

    sets = select_batches(log, 3, SIZE_ANY, aborted=[(7, 3)])

    assert [(bytes(data), next_offset) for data, next_offset in sets] == [(b"", 6)]


def test_old_format_is_refused() -> None:
    """A log from before Kafka 0.11 is refused with its format and its offset."""
    old = bytearray(batch(5))
    old[16] = 1

    with pytest.raises(UnsupportedBatch, match="found format 1 at offset 5"):
        select_batches(bytes(old), 5, SIZE_ANY)


def test_raw_records_hold_what_was_taken_no_longer() -> None:
    """What aiokafka keeps around them is freed late: it must not keep a response of many MiB with it."""
    records = RawRecords(batch(0))

    assert records.take() == batch(0)
    assert records.size_in_bytes() == 0
    assert not records.has_next()
