"""A snapshot of an older layout becomes one of the present: fields by their names, the rest by a migration."""

from __future__ import annotations

import json
from typing import Any

import numpy as np
import pytest
from crc32c import crc32c

from streams.core.layout import BAR
from streams.core.rows import HOT, PARTITION, WARM
from streams.core.snapshot import LAYOUT_NUMBER, EngineState
from streams.wire.layouts import Before, converted, describe, described, dtype_of, layout_of, nothing_more, present
from streams.wire.snapshot_writer import SnapshotWriter
from streams.wire.snapshots import FRAME, SnapshotRefused, collect, content_of, read_snapshot
from tests.snapshot_example import IDENTITY, MANIFEST_KEY, POSITIONS, Partition, example, key, written

OLDER = LAYOUT_NUMBER - 1


def framed(name: bytes, payload: bytes | memoryview) -> bytes:
    """Return a value of the first snapshot in the older layout."""
    head = FRAME.pack(b"52wk", 0, OLDER, 1, *POSITIONS)
    checksum = crc32c(payload, crc32c(head[8:], crc32c(name)))
    return head[:4] + checksum.to_bytes(4, "little") + head[8:] + bytes(payload)


def older_type() -> np.dtype:
    """The hot row with its fields the other way round, and without its volume."""
    assert HOT.names is not None
    assert HOT.fields is not None
    names = [name for name in reversed(HOT.names) if name != "volume"]
    return np.dtype([(name, HOT.fields[name][0]) for name in names])


def as_older(topic: dict[bytes, bytes]) -> dict[bytes, bytes]:
    """Return a snapshot as a version of the older layout would have written it."""
    manifest: dict[str, Any] = json.loads(topic[MANIFEST_KEY][FRAME.size :])
    older: dict[bytes, bytes] = {}
    for name, parts in manifest["pieces"].items():
        for number, part in enumerate(parts):
            part_key = key(f"{name}/{number}")
            payload: bytes | memoryview = content_of(part_key, topic[part_key])
            if name.startswith("hot/"):
                payload = converted(np.frombuffer(payload, HOT), older_type()).tobytes()
            older[part_key] = framed(part_key, payload)
            part[:] = [int.from_bytes(older[part_key][4:8], "little"), 1, len(older[part_key])]
    types = {**described()["types"], "hot": describe(older_type())}
    manifest |= {"layout": "older", "layout_number": OLDER, "described": {**described(), "types": types}}
    older[MANIFEST_KEY] = framed(MANIFEST_KEY, json.dumps(manifest).encode())
    return older


def test_fields_go_to_the_fields_of_their_names() -> None:
    """Whatever their order was, equal names hold equal values; what is new is zero, and the rest is as it was."""
    partition = example()
    topic = as_older(written(partition))

    snapshot = read_snapshot(topic, IDENTITY, migrations={OLDER: nothing_more})

    assert snapshot is not None
    assert snapshot.is_migrated
    expected = partition.engine.export()
    for name in HOT.names or ():
        assert np.array_equal(snapshot.engine.hot[name], expected.hot[name] * (name != "volume")), name
    assert snapshot.engine.warm.tobytes() == expected.warm.tobytes()
    assert snapshot.engine.rings.tobytes() == expected.rings.tobytes()


def test_a_migration_sees_the_older_rows_and_changes_the_new_ones() -> None:
    """Where zero is not right, the step between the layouts says what is."""
    topic = as_older(written(example()))

    def migrate(before: Before, state: EngineState) -> None:
        assert before.hot.dtype == older_type()
        state.hot["volume"] = np.arange(len(before.hot)) + before.partition["clocks"]

    snapshot = read_snapshot(topic, IDENTITY, migrations={OLDER: migrate})

    assert snapshot is not None
    clocks = snapshot.engine.partition[0]["clocks"]
    assert snapshot.engine.hot["volume"].tolist() == [clocks + row for row in range(len(snapshot.engine.hot))]


def test_a_migrated_snapshot_is_written_whole_and_nothing_of_the_old_one_stays() -> None:
    """The next snapshot is of the present layout alone, with a number that goes on."""
    topic = as_older(written(example()))
    stale = key("warm/99/0")
    topic[stale] = framed(stale, b"left behind")
    snapshot = read_snapshot(topic, IDENTITY, migrations={OLDER: nothing_more})
    assert snapshot is not None
    partition = Partition.restored(snapshot)
    writer = SnapshotWriter(IDENTITY)
    writer.resume(snapshot, partition.engine, partition.join)

    topic = collect([*topic.items(), *writer.write(partition.engine, partition.join, positions=POSITIONS).records])

    again = read_snapshot(topic, IDENTITY, migrations={})
    assert again is not None
    assert (again.is_migrated, again.orphans, again.manifest.snapshot) == (False, (), 2)
    assert stale not in topic


def test_an_older_layout_without_a_migration_is_refused() -> None:
    """Nothing is guessed: without a step from its layout on, a snapshot is not read."""
    with pytest.raises(SnapshotRefused, match=f"there is no migration from layout {OLDER}") as caught:
        read_snapshot(as_older(written(example())), IDENTITY, migrations={})

    assert caught.value.reason == "other_layout"


def test_every_type_is_described_as_it_is() -> None:
    """A description leads back to the same type, nested arrays and gaps and all."""
    for dtype in (HOT, WARM, BAR, PARTITION):
        assert dtype_of(json.loads(json.dumps(describe(dtype)))) == dtype


def test_the_first_layout_is_described_by_its_file() -> None:
    """Manifests of layout 1 may lack a description; the file beside the module has it."""
    layout = layout_of(1, {})

    assert layout.types["hot"].itemsize == 64
    assert layout.rows == {"instruments": 4096, "hot": 4096, "warm": 64}
    if present().number == 1:
        assert layout.types == present().types
    with pytest.raises(ValueError, match="layout 99 is not described"):
        layout_of(99, {})
