"""Where the router begins: at its own record, whatever has become of the group's offsets."""

from __future__ import annotations

import asyncio
from collections.abc import Mapping
from importlib import metadata
from typing import Any

import pytest
from prometheus_client import CollectorRegistry

from streams.config import Config
from streams.kafka.app import build_ports
from streams.kafka.owner import Seat
from streams.kafka.restorer import KafkaRestorer
from streams.kafka.terms import Terms
from streams.kafka.topics import Topics
from streams.web.metrics import Metrics
from streams.wire.positions import ROUTER, committed_record
from streams.wire.snapshots import Identity, SnapshotRefused
from tests.property.test_band import markets
from tests.snapshot_example import JOIN_RULES, RULES

ARTICLES = Topics().articles
SEAT = Seat(ROUTER, 0, (ARTICLES,))
CONFIG = Config()
IDENTITY = Identity(CONFIG.kafka.application_id, 0, CONFIG.kafka.partitions)


class FakeStateTopic:
    """Holds some records, all of them before what is looked at first where it is told so."""

    def __init__(self, records: Mapping[bytes, bytes], *, is_old: bool = False) -> None:
        self.records = records
        self.is_old = is_old

    async def read(self, partition: int, *, last: int | None = None) -> tuple[Mapping[bytes, bytes], int]:
        """Return the records."""
        return {} if self.is_old and last is not None else self.records, 0


def begin(
    state: FakeStateTopic, *, group: int | None, oldest: int = 0, registry: CollectorRegistry | None = None
) -> int:
    """Return where the router begins to read a log of articles up to 100."""

    async def work() -> int:
        unused: Any = None
        metrics = Metrics(registry or CollectorRegistry(), version=metadata.version("fiftytwo"))
        metrics.topics_known(inputs=[ARTICLES], outputs=[])
        restorer: Any = build_ports(CONFIG, Terms(markets(), RULES, JOIN_RULES), unused, unused, metrics).restorer
        assert isinstance(restorer, KafkaRestorer)
        fake: Any = state
        restorer._state = fake
        restored = await restorer.restore(SEAT, {ARTICLES: group}, {ARTICLES: (oldest, 100)})
        return restored.runtime.position(ARTICLES)

    return asyncio.run(work())


def own(position: int) -> dict[bytes, bytes]:
    """Return the record that a router has written at a position."""
    record = committed_record(IDENTITY, ROUTER, {ARTICLES: position}, delivery="exactly_once")
    assert record.value is not None
    return {record.key: record.value}


@pytest.mark.parametrize("group", [0, 90, None])
@pytest.mark.parametrize("is_old", [False, True])
def test_router_goes_by_its_own_record(group: int | None, is_old: bool) -> None:
    """Setting the group's offsets moves nothing, back or forward, nor does their expiry; nor does the record's age."""
    assert begin(FakeStateTopic(own(40), is_old=is_old), group=group) == 40


@pytest.mark.parametrize(("group", "expected"), [(7, 7), (None, 0)])
def test_router_without_a_record_of_its_own_goes_by_the_group(group: int | None, expected: int) -> None:
    """A router from before there were such records is known by the group alone."""
    assert begin(FakeStateTopic({}), group=group) == expected


def test_damaged_record_of_the_router_is_refused_with_what_to_do() -> None:
    """Positions are believed as they are, or not at all."""
    ((key, value),) = own(40).items()

    with pytest.raises(SnapshotRefused, match=r"partition 0 \(router\).*`fiftytwo rewind`"):
        begin(FakeStateTopic({key: value[:-1] + b"!"}), group=40)


@pytest.mark.parametrize(("oldest", "lost"), [(40, 0), (43, 3)])
def test_input_that_nobody_read_in_time_is_counted(oldest: int, lost: int) -> None:
    """Retention that was faster than the workers is seen in the metrics, not in the log alone."""
    registry = CollectorRegistry()

    assert begin(FakeStateTopic(own(40)), group=40, oldest=oldest, registry=registry) == oldest

    assert registry.get_sample_value("fiftytwo_offsets_lost_total", {"topic": ARTICLES}) == lost
