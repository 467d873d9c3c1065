"""Which requests chaos spoils: a partition's own, not those of the checks that a worker makes before it has any."""

from __future__ import annotations

import asyncio
from typing import Any

import pytest
from aiokafka.protocol.api import RequestHeader_v1
from aiokafka.protocol.coordination import FindCoordinatorRequest_v0, FindCoordinatorRequest_v1
from aiokafka.protocol.metadata import MetadataRequest_v1
from aiokafka.protocol.transaction import InitProducerIdRequest_v0

from streams.kafka.app import transactional_id
from streams.kafka.owner import Seat
from streams.wire.positions import STATE
from tests.chaos.faults import _fault
from tests.chaos.proxy import Fault, FrameProxy
from tests.chaos.requests import is_of_partition

GROUP = "demo.worker"
PARTITION = transactional_id(GROUP, Seat(STATE, 3, ("news", "ticks")))
WORKER = "fiftytwo-worker"


def frame(request: Any, client: str = WORKER) -> bytes:
    """Return a request as it travels."""
    return bytes(RequestHeader_v1(request, 7, client).encode() + request.encode())


def begin(name: str | None) -> bytes:
    """Return a request to begin with transactions under a name."""
    return frame(InitProducerIdRequest_v0(transactional_id=name, transaction_timeout_ms=1000))


def find(name: str, kind: int) -> bytes:
    """Return a request for a coordinator."""
    return frame(FindCoordinatorRequest_v1(coordinator_key=name, coordinator_type=kind))


@pytest.mark.parametrize(
    ("request_", "is_own"),
    [
        (begin(PARTITION), True),
        (begin(f"{GROUP}-check"), False),
        (begin(None), False),
        (find(PARTITION, 1), True),
        (find(f"{GROUP}-check", 1), False),
        (find(GROUP, 0), False),
        (frame(FindCoordinatorRequest_v0(consumer_group=GROUP)), False),
        (frame(MetadataRequest_v1([])), True),
        (frame(MetadataRequest_v1([]), f"{WORKER}-state"), True),
        (frame(MetadataRequest_v1([]), "fiftytwo-topics"), False),
        (frame(MetadataRequest_v1([]), "fiftytwo-start"), False),
    ],
)
def test_checks_of_a_start_are_told_from_partitions(request_: bytes, is_own: bool) -> None:
    """By the name of the transactions, by the kind of coordinator, by the client's name."""
    assert is_of_partition(request_) is is_own


@pytest.mark.parametrize("side", ["request", "response"])
def test_fault_passes_over_what_is_not_of_a_partition(side: Any) -> None:
    """A check under the same API leaves the fault armed, whatever its answer; the partition's own takes it."""

    async def work() -> Fault | None:
        proxy = FrameProxy(1, 2)
        fault = proxy.arm(_fault("InitProducerId", side, "drop"))
        group = bytes([0, 14, 0, 0]) + bytes(6)  # SyncGroup
        assert proxy.take(begin(PARTITION), side) is None  # the life before asks late
        proxy.see(group)
        assert proxy.take(begin(f"{GROUP}-check"), side) is None
        assert not fault.hit.is_set()
        return proxy.take(begin(PARTITION), side)

    fault = asyncio.run(work())

    assert fault is not None
    assert fault.hit.is_set()


def test_fault_of_other_requests_takes_the_first() -> None:
    """What no check sends is spoilt as it comes."""

    async def work() -> bool:
        fault = _fault("EndTxn", "request", "drop")
        return fault.wanted(b"") and not fault.after

    assert asyncio.run(work())
