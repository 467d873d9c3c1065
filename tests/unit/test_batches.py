"""Record batches become frames that agree with aiokafka's own reader, and broken ones are refused."""

from __future__ import annotations

import struct
from collections.abc import Sequence

import crc32c
import pytest
from aiokafka.record.default_records import DefaultRecordBatch, DefaultRecordBatchBuilder
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.units import TIME_MAX_NS
from streams.wire.batches import CorruptBatch, Frames, frame_values, read_batches

NONE, GZIP, SNAPPY, LZ4, ZSTD = range(5)
CONTROL, TRANSACTIONAL = 0x20, 0x10
Record = tuple[bytes | None, bytes | None, list[tuple[str, bytes | None]]]

TICK: Record = (b"XNYS:BABA", b'{"price":"1"}', [])


def build_batch(
    records: Sequence[Record],
    *,
    base_offset: int = 0,
    codec: int = NONE,
    append_ms: int = 1_759_152_600_000,
    attributes: int = 0,
    last_offset_delta: int | None = None,
    deltas: Sequence[int] | None = None,
    producer_id: int = -1,
) -> bytes:
    """Build a batch as the broker would store it."""
    builder = DefaultRecordBatchBuilder(2, codec, 0, producer_id, 0, 0, 1 << 30)
    for index, (key, value, headers) in enumerate(records):
        builder.append(deltas[index] if deltas else index, append_ms - len(records) + index, key, value, headers)
    batch = bytearray(builder.build())
    found = struct.unpack_from(">h", batch, 21)[0]
    struct.pack_into(">q", batch, 0, base_offset)
    struct.pack_into(">h", batch, 21, found | attributes)
    if last_offset_delta is not None:
        struct.pack_into(">i", batch, 23, last_offset_delta)
    struct.pack_into(">q", batch, 35, append_ms)
    return sealed(batch)


def sealed(batch: bytearray) -> bytes:
    """Write the CRC of a batch that was changed."""
    struct.pack_into(">I", batch, 17, crc32c.crc32c(bytes(batch[21:])))
    return bytes(batch)


def contents(frames: Frames) -> list[tuple[int, bytes | None, bytes | None, list[tuple[str, bytes | None]]]]:
    offsets = frames.frames["offset"].tolist()
    return [(offset, frames.key(i), frames.value(i), frames.headers(i)) for i, offset in enumerate(offsets)]


spans = st.none() | st.binary(max_size=200)
headers = st.lists(st.tuples(st.text(max_size=10), spans), max_size=3)
record_lists = st.lists(st.tuples(spans, spans, headers), min_size=1, max_size=8)


@settings(max_examples=150, deadline=None)
@given(st.lists(st.tuples(record_lists, st.integers(NONE, ZSTD)), min_size=1, max_size=4), st.integers(0, 40))
def test_frames_agree_with_the_client_library(batches: list[tuple[list[Record], int]], skip_before: int) -> None:
    """Any batches, of any mixture of codecs, give the records that aiokafka's own reader gives."""
    data = b""
    expected = []
    offset = 5
    for records, codec in batches:
        batch = build_batch(records, base_offset=offset, codec=codec)
        data += batch
        expected += [
            (record.offset, record.key, record.value, list(record.headers)) for record in DefaultRecordBatch(batch)
        ]
        offset += len(records)

    frames = read_batches(data, skip_before=skip_before)

    assert contents(frames) == [record for record in expected if record[0] >= skip_before]
    assert frames.next_offset == max(offset, skip_before)
    assert not frames.buffer.flags.writeable


@settings(max_examples=100, deadline=None)
@given(st.data())
def test_changed_bytes_never_reach_outside(data: st.DataObject) -> None:
    """A batch with any bytes changed, CRC unchecked, is refused or gives spans inside the buffer."""
    batch = bytearray(build_batch([TICK, (None, None, [("name", b"value")]), TICK]))
    for _ in range(data.draw(st.integers(1, 3))):
        batch[data.draw(st.integers(0, len(batch) - 1))] = data.draw(st.integers(0, 255))

    try:
        frames = read_batches(bytes(batch), check_crc=False)
    except CorruptBatch:
        return

    for part in ("key", "value", "headers"):
        starts, lengths = frames.frames[f"{part}_start"], frames.frames[f"{part}_length"]
        assert (starts >= 0).all()
        assert (starts + lengths.clip(0) <= len(frames.buffer)).all()


def test_partial_trailing_batch_is_ignored() -> None:
    """A fetch that ends within a batch gives the complete ones; the rest is fetched again."""
    first, second = build_batch([TICK, TICK]), build_batch([TICK], base_offset=2)

    for cut in range(len(second)):
        frames = read_batches(first + second[:cut])
        assert (len(frames), frames.next_offset) == (2, 2)

    assert read_batches(first + second).next_offset == 3


def test_empty_fetch_stays_where_it_is() -> None:
    """Without a complete batch the next offset is the one that was asked for."""
    frames = read_batches(b"", skip_before=7)

    assert (len(frames), frames.next_offset, frames.append_ns) == (0, 7, 0)


def test_offset_moves_past_compacted_batches() -> None:
    """A batch that compaction emptied or thinned still moves the position to its end."""
    empty = bytearray(build_batch([TICK], base_offset=10, last_offset_delta=9)[:61])
    struct.pack_into(">i", empty, 8, 49)
    struct.pack_into(">i", empty, 57, 0)
    thinned = build_batch([TICK, TICK], base_offset=20, deltas=[3, 5], last_offset_delta=7)

    frames = read_batches(sealed(empty) + thinned)

    assert frames.frames["offset"].tolist() == [23, 25]
    assert frames.next_offset == 28
    assert read_batches(sealed(empty)).next_offset == 20


def test_control_batches_are_skipped() -> None:
    """A transaction marker is no record, but the position moves past it."""
    marker = build_batch([(b"\0\0\0\1", b"", [])], base_offset=1, attributes=CONTROL | TRANSACTIONAL)

    frames = read_batches(build_batch([TICK]) + marker + build_batch([TICK], base_offset=2))

    assert frames.frames["offset"].tolist() == [0, 2]
    assert read_batches(marker).next_offset == 2


def test_aborted_transactions_are_skipped_up_to_their_marker() -> None:
    """Records of an aborted transaction are dropped; the same producer's later ones, and others', are kept."""
    data = (
        build_batch([TICK], base_offset=0, attributes=TRANSACTIONAL, producer_id=7)
        + build_batch([TICK], base_offset=1, attributes=TRANSACTIONAL, producer_id=8)
        + build_batch([TICK], base_offset=2)
        + build_batch([(b"\0\0\0\0", b"", [])], base_offset=3, attributes=CONTROL | TRANSACTIONAL, producer_id=7)
        + build_batch([TICK], base_offset=4, attributes=TRANSACTIONAL, producer_id=7)
    )

    assert read_batches(data, aborted=[(7, 0)]).frames["offset"].tolist() == [1, 2, 4]
    assert read_batches(data).frames["offset"].tolist() == [0, 1, 2, 4]


def test_append_time_is_that_of_the_batch() -> None:
    """Every record carries the batch's newest timestamp, not the producer's own clock, and it is bounded."""
    data = build_batch([TICK, TICK], append_ms=1_000) + build_batch([TICK], base_offset=2, append_ms=2_000)
    wild = build_batch([TICK], append_ms=2**62)

    frames = read_batches(data)

    assert frames.frames["append_ns"].tolist() == [10**9, 10**9, 2 * 10**9]
    assert frames.append_ns == 2 * 10**9
    assert read_batches(wild).append_ns == TIME_MAX_NS // 10**6 * 10**6


def test_wrong_crc_is_refused() -> None:
    """One changed bit is found by the CRC, and is let through only where the check is turned off."""
    batch = bytearray(build_batch([TICK]))
    batch[-5] ^= 1

    with pytest.raises(CorruptBatch, match="expected a batch with CRC"):
        read_batches(bytes(batch))
    assert len(read_batches(bytes(batch), check_crc=False)) == 1


@pytest.mark.parametrize(
    ("at", "form", "value", "message"),
    [
        (8, ">i", 48, "expected a batch length of at least 49 bytes, found 48"),
        (8, ">i", -1, "expected a batch length of at least 49 bytes, found -1"),
        (16, ">b", 1, "expected record batch format 2, found 1"),
        (57, ">i", -1, "expected a record count"),
        (57, ">i", 2**31 - 1, "expected a record count"),
        (57, ">i", 1, "expected records whose lengths add up"),
        (61, ">b", 126, "expected records whose lengths add up"),
        (21, ">h", 7, "expected a compression codec from 0 to 4 at offset 0, found 7"),
        (21, ">h", GZIP, "expected gzip data"),
        (21, ">h", SNAPPY, "expected snappy data"),
        (21, ">h", LZ4, "expected lz4 data"),
        (21, ">h", ZSTD, "expected zstd data"),
    ],
)
def test_broken_batch_is_refused_in_words(at: int, form: str, value: int, message: str) -> None:
    """A header or payload that cannot be is refused with what was expected and what was found."""
    batch = bytearray(build_batch([TICK, TICK]))
    struct.pack_into(form, batch, at, value)

    with pytest.raises(CorruptBatch, match=message):
        read_batches(bytes(batch), check_crc=False)


def test_impossible_record_count_takes_no_memory() -> None:
    """A count that the bytes cannot hold is refused before anything is allocated for it."""
    batch = bytearray(build_batch([TICK], last_offset_delta=2**31 - 1))
    struct.pack_into(">i", batch, 57, 2**31 - 1)

    with pytest.raises(CorruptBatch, match="expected records of at least 7 bytes, found 2147483647"):
        read_batches(sealed(batch))


def test_many_small_batches_are_walked() -> None:
    """A fetch of more batches than the table first holds is read whole."""
    data = b"".join(build_batch([TICK], base_offset=offset) for offset in range(100))

    assert read_batches(data).frames["offset"].tolist() == list(range(100))


def test_values_are_framed_without_a_log() -> None:
    """Values from a file or a notebook become frames with offsets and keys of their own."""
    frames = frame_values([b"one", None, b""], keys=[b"k", None, None], first_offset=5, append_ns=9)

    assert contents(frames) == [(5, b"k", b"one", []), (6, None, None, []), (7, None, b"", [])]
    assert frames.next_offset == 8
