"""A snapshot is believed as a whole, or refused with its reason."""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import replace
from typing import Any

import pytest

from streams.core.join import Join
from streams.core.snapshot import LAYOUT_NUMBER
from streams.wire.snapshot_pieces import layout_name
from streams.wire.snapshot_writer import SnapshotWriter
from streams.wire.snapshots import (
    CONTENT_BYTES_MAX,
    FRAME,
    Identity,
    SnapshotRefused,
    collect,
    compress,
    frame,
    read_snapshot,
)
from tests.property.test_band import FIRST_DAY, markets, stream
from tests.snapshot_example import IDENTITY, MANIFEST_KEY, POSITIONS, RULES, example, key, snapshot_of, written


def refusal(topic: dict[bytes, bytes], identity: Identity = IDENTITY) -> SnapshotRefused:
    with pytest.raises(SnapshotRefused) as caught:
        read_snapshot(topic, identity)
    return caught.value


def edited(topic: dict[bytes, bytes], change: Callable[[dict[str, Any]], None]) -> dict[bytes, bytes]:
    """The same records with another manifest, whole and with a checksum that is right."""
    manifest = json.loads(topic[MANIFEST_KEY][FRAME.size :])
    change(manifest)
    value, _ = frame(MANIFEST_KEY, manifest["snapshot"], POSITIONS, json.dumps(manifest).encode())
    return {**topic, MANIFEST_KEY: value}


@pytest.mark.parametrize("name", ["instruments/0", "hot/0", "warm/0", "stories/0", "versions/0", "signals/0"])
def test_a_missing_record_is_refused_by_its_name(name: str) -> None:
    """A part that the manifest lists and the topic lacks makes the snapshot unbelievable."""
    topic = written(example())
    del topic[key(f"{name}/0")]

    refused = refusal(topic)

    assert refused.reason == "missing"
    assert f"expected record example/1/latest/{name}/0 of snapshot 1, found none" in refused.message


@pytest.mark.parametrize(
    ("content", "found"),
    [
        (b"", "found: "),
        (b"\x05\x00\x00\x00\x00", "found: 0 bytes instead of 5"),
        (CONTENT_BYTES_MAX.to_bytes(4, "little") + compress(b"one")[4:], "found: 3 bytes instead of 512000"),
        ((CONTENT_BYTES_MAX + 1).to_bytes(4, "little") + compress(b"one")[4:], "found: a length of 512001"),
    ],
)
def test_a_part_that_is_not_compressed_as_it_says_is_refused(content: bytes, found: str) -> None:
    """A checksum that holds says that nothing was damaged on the way, and not that what was written makes sense."""
    topic = written(example())
    value, checksum = frame(key("hot/0/0"), 1, POSITIONS, content)

    def listed(manifest: dict[str, Any]) -> None:
        manifest["pieces"]["hot/0"] = [[checksum, 1, len(value)]]

    refused = refusal(edited({**topic, key("hot/0/0"): value}, listed))

    assert refused.reason == "damaged"
    assert "in record example/1/latest/hot/0/0, found" in refused.message
    assert found in refused.message


def test_every_record_is_needed_and_covered() -> None:
    """Whichever record is dropped, cut short, or given another's value: refused, never believed."""
    topic = written(example())
    keys = sorted(topic)

    for index, name in enumerate(keys):
        dropped = {other: value for other, value in topic.items() if other != name}
        assert refusal(dropped).reason == "missing"
        assert refusal({**topic, name: topic[name][:-1]}).reason == "damaged"
        assert refusal({**topic, name: topic[keys[index - 1]]}).reason == "damaged"
        assert refusal({**topic, name: topic[name][:20]}).reason == "foreign"
        assert refusal({**topic, name: b"{}"}).reason == "foreign"


def test_parts_of_two_snapshots_are_told_apart_by_their_numbers() -> None:
    """A set from which a transaction is missing is refused, with the numbers that do not fit."""
    partition, writer = example(300), SnapshotWriter(IDENTITY)
    first = written(partition, writer)
    partition.processor.records(stream(1, markets())[300:400])
    second = written(partition, writer, first)

    older_part = refusal({**second, key("hot/0/0"): first[key("hot/0/0")]})
    older_manifest = refusal({**second, MANIFEST_KEY: first[MANIFEST_KEY]})

    assert (older_part.reason, older_manifest.reason) == ("torn", "torn")
    assert "of snapshot 2, as snapshot 2 lists it; found that of snapshot 1" in older_part.message
    assert "as snapshot 1 lists it; found that of snapshot 2" in older_manifest.message


def test_parts_of_two_lives_are_told_apart_by_their_checksums() -> None:
    """A partition that began anew counts from one again: equal numbers alone prove nothing."""
    first, second = written(example(300)), written(example(400))

    refused = refusal({**second, key("hot/0/0"): first[key("hot/0/0")]})

    assert refused.reason == "torn"


def test_another_applications_snapshot_is_refused() -> None:
    """State of another application is not ours, however whole it is; found beside our own it does not matter."""
    topic = written(example())
    other = replace(IDENTITY, application="other")

    refused = refusal(topic, other)
    claimed = refusal(edited(topic, lambda manifest: manifest.update(application="other")))

    assert refused.reason == "other_application"
    assert "expected a snapshot of application 'other', found only those of example" in refused.message
    assert claimed.reason == "other_application"
    beside = collect(SnapshotWriter(other).write(example(9).engine, Join(), positions=POSITIONS).records)
    assert read_snapshot({**topic, **beside}, IDENTITY) is not None


def test_another_number_of_partitions_is_refused() -> None:
    """With more partitions an instrument lies elsewhere: its state here would be left behind."""
    refused = refusal(written(example()), replace(IDENTITY, partitions=8))

    assert refused.reason == "other_partition_count"
    assert "with 8 partitions, found one of 4" in refused.message


def test_another_layout_is_refused() -> None:
    """Bytes are never read as another layout than theirs, be it only a field that moved."""
    topic = written(example())

    renamed = refusal(edited(topic, lambda manifest: manifest.update(layout="0" * 16)))
    numbered = refusal(edited(topic, lambda manifest: manifest.update(layout_number=LAYOUT_NUMBER + 1)))
    shaped = refusal(edited(topic, lambda manifest: manifest.pop("pieces")))

    assert {renamed.reason, numbered.reason, shaped.reason} == {"other_layout"}
    assert f"in layout {LAYOUT_NUMBER} ({layout_name()}), found layout {LAYOUT_NUMBER} (0000000000000000)" in str(
        renamed
    )


def test_rules_of_a_later_version_are_refused() -> None:
    """An option that this version does not know might have changed what was said."""
    topic = written(example())

    unknown = refusal(edited(topic, lambda manifest: manifest["rules"].update(hysteresis_moons=1)))
    invalid = refusal(edited(topic, lambda manifest: manifest["rules"].update(max_triggers=9)))

    assert (unknown.reason, invalid.reason) == ("other_rules", "other_rules")
    assert "unknown option 'hysteresis_moons'" in unknown.message


def test_an_option_from_before_its_time_has_its_default() -> None:
    """A snapshot from before an option came does not name it."""
    topic = edited(written(example()), lambda manifest: manifest["rules"].pop("max_entries"))

    assert snapshot_of(topic).rules == RULES


def test_pieces_that_do_not_fit_together_are_refused() -> None:
    """Whole records whose numbers contradict each other are a bug, and not believed either."""
    topic = written(example())

    rows = refusal(edited(topic, lambda manifest: manifest.update(rows=9)))
    bars = refusal(edited(topic, lambda manifest: manifest["pieces"].pop(f"bars/0/{FIRST_DAY >> 4}")))
    warm = refusal(edited(topic, lambda manifest: manifest["pieces"].pop("warm/0")))

    assert (rows.reason, bars.reason, warm.reason) == ("damaged", "damaged", "damaged")
