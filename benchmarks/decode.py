"""What a tick costs on its way from fetched bytes to columns: nanoseconds of CPU a record, printed, never asserted.

Run it as `python benchmarks/decode.py`. Figures depend on the machine; compare them within one run only.
"""

from __future__ import annotations

import argparse
import random
import struct
import time
from collections.abc import Callable

import crc32c
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from streams.core.instruments import Instruments
from streams.core.units import format_time, parse_time
from streams.wire.batches import read_batches
from streams.wire.ticks import TickDecoder

INSTRUMENTS = 2_000
BATCH_BYTES = 16_384  # a producer's batch
FETCH_BYTES = 4 << 20
START_NS = parse_time("2025-09-29T13:30:00.005750123Z")


def plain(random_: random.Random, number: int) -> tuple[bytes, bytes]:
    """Return key and value of a tick as our own feeds write it."""
    instrument = f"XNYS:S{random_.randrange(INSTRUMENTS):04d}"
    price = f"{random_.randrange(9_000, 11_000) / 100:.2f}"
    at = format_time(START_NS + number * 23_000_007)
    value = f'{{"instrument":"{instrument}","time":"{at}","price":"{price}","size":"{random_.randrange(1, 400)}"}}'
    return instrument.encode(), value.encode()


def spaced(random_: random.Random, number: int) -> tuple[bytes, bytes]:
    """Return a tick as Python's json writes it, with spaces and numbers."""
    key, value = plain(random_, number)
    text = value.decode().replace('":', '": ').replace('","', '", "')
    head, _, tail = text.partition('"price": "')
    price, _, size = tail.partition('", "size": "')
    return key, f'{head}"price": {price}, "size": {size[:-2]}}}'.encode()


def full(random_: random.Random, number: int) -> tuple[bytes, bytes]:
    """Return a tick with every field."""
    key, value = plain(random_, number)
    codes = random_.choice(['["@"]', '["@","F"]', '["F","I"]', '["@","T","I"]'])
    rest = f',"conditions":{codes},"tape":"A","venue":"XNYS","trade_id":"{52_983_525_000_000 + number}"}}'
    return key, value[:-1] + rest.encode()


def mixed(random_: random.Random, number: int) -> tuple[bytes, bytes]:
    """Return one of the shapes above at random."""
    return random_.choice([plain, spaced, full])(random_, number)


SHAPES: dict[str, Callable[[random.Random, int], tuple[bytes, bytes]]] = {
    "plain": plain,
    "spaced": spaced,
    "full": full,
    "mixed": mixed,
}


def fetches(shape: str, records: int) -> list[bytes]:
    """Return what a broker would send for so many records."""
    random_ = random.Random(52)
    batches: list[bytes] = []
    parts: list[bytes] = []
    size = offset = 0
    builder = DefaultRecordBatchBuilder(2, 0, 0, -1, 0, 0, BATCH_BYTES)
    for number in range(records + 1):
        key, value = SHAPES[shape](random_, number)
        if number < records and builder.append(number - offset, START_NS // 10**6, key, value, []):
            continue
        batch = bytearray(builder.build())
        struct.pack_into(">q", batch, 0, offset)
        struct.pack_into(">I", batch, 17, crc32c.crc32c(bytes(batch[21:])))
        parts.append(bytes(batch))
        size += len(batch)
        offset = number
        builder = DefaultRecordBatchBuilder(2, 0, 0, -1, 0, 0, BATCH_BYTES)
        builder.append(0, START_NS // 10**6, key, value, [])
        if size >= FETCH_BYTES or number == records:
            batches.append(b"".join(parts))
            parts, size = [], 0
    return batches


def run(shape: str, records: int, rounds: int) -> None:
    """Print the best of several rounds for one shape."""
    data = fetches(shape, records)
    decoder = TickDecoder(Instruments(["XNYS"]))
    best_read = best_decode = float("inf")
    count = 0
    for _ in range(rounds + 1):
        count = 0
        read_s = decode_s = 0.0
        for fetch in data:
            began = time.thread_time()
            frames = read_batches(fetch)
            framed = time.thread_time()
            decoded = decoder.decode(frames)
            done = time.thread_time()
            if decoded.rejected:
                raise SystemExit(f"a record of the benchmark was refused: {decoded.rejected[0]}")
            read_s += framed - began
            decode_s += done - framed
            count += len(frames)
        best_read, best_decode = min(best_read, read_s), min(best_decode, decode_s)
    size = sum(len(fetch) for fetch in data) / count
    print(
        f"{shape:8} {size:6.1f} bytes  read_batches {best_read / count * 1e9:6.1f} ns  "
        f"decode {best_decode / count * 1e9:6.1f} ns a record"
    )


def main() -> None:
    """Parse the arguments and run every shape."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--records", type=int, default=1_000_000)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("shapes", nargs="*", default=[*SHAPES], help="plain, spaced, full or mixed")
    arguments = parser.parse_args()
    for shape in arguments.shapes:
        run(shape, arguments.records, arguments.rounds)


if __name__ == "__main__":
    main()
