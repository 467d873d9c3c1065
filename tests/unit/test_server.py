"""The worker's web server: what it answers, where it listens, and what "ready" means."""

from __future__ import annotations

import asyncio
import socket
from collections.abc import Awaitable, Callable
from typing import Any, TypeVar

import aiohttp
import pytest
from prometheus_client import CollectorRegistry, Gauge

from streams.web.metrics import Metrics
from streams.web.server import UNASSIGNED_SECONDS_MAX, Health, WebServer, WebUnavailable

Answer = TypeVar("Answer")


def with_server(health: Health, ask: Callable[[aiohttp.ClientSession, WebServer], Awaitable[Answer]]) -> Answer:
    async def run() -> Answer:
        registry = CollectorRegistry()
        Metrics(registry, version="1.2.3").records_consumed("market.ticks.v1", 5)
        server = WebServer(registry, health, host="127.0.0.1", port=0)
        await server.start()
        try:
            async with aiohttp.ClientSession(server.url) as session:
                return await ask(session, server)
        finally:
            await server.stop()

    return asyncio.run(run())


def status(health: Health, path: str) -> tuple[int, Any]:
    async def ask(session: aiohttp.ClientSession, server: WebServer) -> tuple[int, Any]:
        async with session.get(path) as response:
            return response.status, await response.json()

    return with_server(health, ask)


def test_worker_without_an_assignment_is_alive_and_not_ready() -> None:
    """Waiting for the group is no reason to restart, and none to send traffic."""
    health = Health()

    assert status(health, "/health/live") == (200, {"live": True, "reasons": []})
    assert status(health, "/health/ready") == (
        503,
        {"ready": False, "reasons": ["the group has not assigned partitions yet"]},
    )


def test_worker_is_ready_when_every_assigned_partition_is_live() -> None:
    """One partition that replays keeps the worker out, by name."""
    health = Health()
    health.assigned([0, 3])
    health.became_live(0)
    assert status(health, "/health/ready") == (
        503,
        {"ready": False, "reasons": ["partition 3 is replaying its log"]},
    )

    health.became_live(3)

    assert status(health, "/health/ready") == (200, {"ready": True, "reasons": []})
    assert (health.live, health.replaying) == (2, 0)


def test_kept_partitions_stay_live_through_a_new_assignment() -> None:
    """Only what is new replays; what is gone cannot become live."""
    health = Health()
    health.assigned([0, 1])
    health.became_live(0)
    health.became_live(1)

    health.assigned([1, 2])
    health.became_live(0)

    assert health.not_ready() == ["partition 2 is replaying its log"]
    assert (health.live, health.replaying) == (1, 1)


def test_restarted_partition_is_not_ready_until_it_has_replayed() -> None:
    """Dropping a partition's state takes the worker out until it is back."""
    health = Health()
    health.assigned([0])
    health.became_live(0)

    health.restarted(0)

    assert health.not_ready() == ["partition 0 is replaying its log"]


def test_spare_worker_without_partitions_is_ready() -> None:
    """More workers than partitions is a way to run, not a fault."""
    health = Health()

    health.assigned([])

    assert health.not_ready() == []


def test_worker_whose_partitions_were_taken_back_is_not_ready_until_the_next_assignment() -> None:
    """Between two assignments nothing is read, whatever was live before."""
    health = Health()
    health.assigned([0])
    health.became_live(0)

    health.unassigned()

    assert (health.live, health.replaying) == (0, 0)
    assert health.not_ready() == ["the group has not assigned partitions yet"]

    health.assigned([0])
    health.became_live(0)

    assert health.not_ready() == []


def test_worker_that_the_group_has_forgotten_is_not_live() -> None:
    """An assignment that is ten times overdue does not come any more; a restart joins the group anew."""
    now = [1_000.0]
    health = Health(now=lambda: now[0])
    health.unassigned()
    now[0] += UNASSIGNED_SECONDS_MAX - 1
    health.unassigned()
    assert health.failures() == []

    now[0] += 1

    assert health.failures() == ["the group has not assigned partitions for 300 s: a restart joins it anew"]

    health.assigned([])

    assert health.failures() == []


def test_failure_makes_the_worker_neither_live_nor_ready() -> None:
    """What only a restart can mend is said with its reason on both pages."""
    health = Health()
    health.assigned([])
    health.failed("partition 0 stopped: a bug")

    assert status(health, "/health/live") == (503, {"live": False, "reasons": ["partition 0 stopped: a bug"]})
    assert status(health, "/health/ready") == (503, {"ready": False, "reasons": ["partition 0 stopped: a bug"]})


@pytest.mark.parametrize(
    "accept, kind, last",
    [
        ("", "text/plain", ""),
        ("application/openmetrics-text; version=1.0.0", "application/openmetrics-text", "# EOF"),
    ],
)
def test_metrics_are_served_in_the_format_that_is_asked_for(accept: str, kind: str, last: str) -> None:
    """Prometheus asks for OpenMetrics, a person's curl gets plain text."""

    async def ask(session: aiohttp.ClientSession, server: WebServer) -> tuple[str, str]:
        async with session.get("/metrics", headers={"Accept": accept}) as response:
            return response.headers["Content-Type"], await response.text()

    content_type, text = with_server(Health(), ask)

    assert content_type.startswith(kind)
    assert 'fiftytwo_records_consumed_total{topic="market.ticks.v1"} 5.0' in text
    assert text.rstrip().endswith(last)


def test_index_names_the_pages_and_others_are_not_found() -> None:
    """Whoever opens the port sees what is there."""

    async def ask(session: aiohttp.ClientSession, server: WebServer) -> tuple[str, int]:
        async with session.get("/") as index, session.get("/state") as other:
            return await index.text(), other.status

    text, other = with_server(Health(), ask)

    assert [page for page in ("/metrics", "/health/live", "/health/ready") if page not in text] == []
    assert other == 404


def test_taken_port_is_refused_with_the_setting_to_change() -> None:
    """The second worker on one machine is told what to set."""

    async def ask(session: aiohttp.ClientSession, server: WebServer) -> str:
        second = WebServer(CollectorRegistry(), Health(), host="127.0.0.1", port=server.port)
        with pytest.raises(WebUnavailable) as refused:
            await second.start()
        return str(refused.value)

    text = with_server(Health(), ask)

    assert "expected to listen on 127.0.0.1:" in text
    assert "web.port" in text


def test_answer_that_nobody_takes_is_given_up() -> None:
    """A scraper that asks and never reads loses its connection; who reads is answered meanwhile."""

    async def run() -> None:
        registry = CollectorRegistry()
        # More than the kernel's buffers of both sides hold.
        Gauge("large", "x" * (32 << 20), registry=registry)
        server = WebServer(registry, Health(), host="127.0.0.1", port=0, answer_seconds_max=0.5)
        await server.start()
        with socket.create_connection(("127.0.0.1", server.port)) as hanging:
            hanging.sendall(b"GET /metrics HTTP/1.1\r\nHost: worker\r\n\r\n")
            async with aiohttp.ClientSession(server.url) as session, session.get("/health/live") as answer:
                assert answer.status == 200
            while server.connections:
                await asyncio.sleep(0.05)
        await server.stop()

    asyncio.run(asyncio.wait_for(run(), 30))
