"""The frame proxy: it passes frames on as they are, and does to one what it was told to do."""

from __future__ import annotations

import asyncio
import contextlib
import struct
from collections.abc import AsyncIterator, Coroutine
from contextlib import asynccontextmanager
from typing import Any

import pytest

from streams.kafka.embedded import find_free_port
from tests.chaos.proxy import APIS, Fault, FrameProxy, broker_settings, correlation_id

Streams = tuple[asyncio.StreamReader, asyncio.StreamWriter]


def run(work: Coroutine[Any, Any, None]) -> None:
    """Run a test's coroutine, for a bounded time."""
    asyncio.run(asyncio.wait_for(work, 20))


@asynccontextmanager
async def proxied() -> AsyncIterator[tuple[FrameProxy, Streams, list[int]]]:
    """Run a server that answers every request with its correlation id behind a proxy, and connect to that."""
    arrived: list[int] = []

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        with contextlib.suppress(asyncio.IncompleteReadError, ConnectionError):
            while True:
                (length,) = struct.unpack(">i", await reader.readexactly(4))
                _, _, correlation = struct.unpack_from(">hhi", await reader.readexactly(length))
                arrived.append(correlation)
                writer.write(struct.pack(">ii", 4, correlation))
        writer.close()
        with contextlib.suppress(ConnectionError):
            await writer.wait_closed()

    server = await asyncio.start_server(answer, "127.0.0.1", 0)
    upstream = server.sockets[0].getsockname()[1]
    async with FrameProxy(find_free_port(), upstream) as proxy:
        client = await asyncio.open_connection("127.0.0.1", proxy.port)
        yield proxy, client, arrived
        client[1].close()
        with contextlib.suppress(ConnectionError):
            await client[1].wait_closed()
    server.close()


def request(client: Streams, api: str, correlation: int) -> None:
    """Send one request."""
    client[1].write(struct.pack(">ihhi", 8, APIS[api], 0, correlation))


async def response(client: Streams) -> int:
    """Return the correlation id of the next answer."""
    (length,) = struct.unpack(">i", await client[0].readexactly(4))
    return correlation_id(await client[0].readexactly(length))


def test_frames_pass_as_they_are() -> None:
    """Without a fault every request is answered, in order, and counted by its API."""

    async def work() -> None:
        async with proxied() as (proxy, client, arrived):
            for number, api in enumerate(APIS):
                request(client, api, number)

            assert [await response(client) for _ in APIS] == list(range(len(APIS)))
            assert arrived == list(range(len(APIS)))
            assert proxy.seen["EndTxn"] == 1

    run(work())


def test_held_request_is_delivered_late_although_its_sender_has_gone() -> None:
    """What follows a held frame goes on; the frame arrives when it is released, and is counted then alone."""

    async def work() -> None:
        async with proxied() as (proxy, client, arrived):
            fault = proxy.arm(Fault("EndTxn", "hold", seconds=60.0))
            request(client, "EndTxn", 1)
            request(client, "Produce", 2)
            assert await response(client) == 2
            assert arrived == [2]
            client[1].close()
            assert fault.hit.is_set()
            assert not proxy.done

            fault.release()

            assert correlation_id(await fault.answer) == 1
            assert arrived == [2, 1]
            assert fault.done.is_set()
            assert proxy.done == {("EndTxn", "hold"): 1}

    run(work())


def test_held_request_is_delivered_although_an_answer_finds_no_client() -> None:
    """Answers that nobody waits for any longer do not end what is held."""

    async def work() -> None:
        async with proxied() as (proxy, client, arrived):
            held = proxy.arm(Fault("EndTxn", "hold", seconds=60.0))
            late = proxy.arm(Fault("Produce", "delay", "response", seconds=60.0))
            request(client, "EndTxn", 1)
            request(client, "Produce", 2)
            request(client, "Fetch", 3)
            await late.hit.wait()
            client[1].transport.abort()
            with contextlib.suppress(ConnectionError):
                await client[1].wait_closed()
            while not client[0].at_eof():
                await client[0].read()

            late.release()
            await late.done.wait()
            held.release()

            assert correlation_id(await held.answer) == 1
            assert arrived == [2, 3, 1]

    run(work())


def test_dropped_request_never_arrives_and_dropped_answer_never_returns() -> None:
    """A drop takes one frame and no other."""

    async def work() -> None:
        async with proxied() as (proxy, client, arrived):
            proxy.arm(Fault("Fetch", "drop"))
            proxy.arm(Fault("Metadata", "drop", "response"))
            for number, api in enumerate(("Fetch", "Metadata", "Fetch")):
                request(client, api, number)

            assert await response(client) == 2
            assert arrived == [1, 2]
            assert proxy.done == {("Fetch", "drop"): 1, ("Metadata", "drop"): 1}

    run(work())


def test_doubled_request_arrives_twice_and_is_answered_once() -> None:
    """The client sees one answer to a request that was delivered twice."""

    async def work() -> None:
        async with proxied() as (proxy, client, arrived):
            proxy.arm(Fault("Produce", "duplicate"))
            request(client, "Produce", 1)
            request(client, "Produce", 2)

            assert [await response(client), await response(client)] == [1, 2]
            assert arrived == [1, 1, 2]
            assert proxy.done == {("Produce", "duplicate"): 1}

    run(work())


def test_delay_keeps_the_order() -> None:
    """What follows a delayed frame waits behind it."""

    async def work() -> None:
        async with proxied() as (proxy, client, arrived):
            proxy.arm(Fault("Heartbeat", "delay", seconds=0.2))
            request(client, "Heartbeat", 1)
            request(client, "Fetch", 2)

            assert [await response(client), await response(client)] == [1, 2]
            assert arrived == [1, 2]

    run(work())


@pytest.mark.parametrize(("side", "carried_out"), [("request", []), ("response", [1])])
def test_reset_breaks_the_connection_before_or_after_the_request_is_carried_out(side: Any, carried_out: Any) -> None:
    """The client loses its connection; whether its request arrived depends on the side."""

    async def work() -> None:
        async with proxied() as (proxy, client, arrived):
            proxy.arm(Fault("EndTxn", "reset", side))
            request(client, "EndTxn", 1)

            with pytest.raises((asyncio.IncompleteReadError, ConnectionError)):
                await response(client)
            assert arrived == carried_out
            assert proxy.done == {("EndTxn", "reset"): 1}

    run(work())


def test_broker_advertises_the_proxy_to_those_who_come_through_it() -> None:
    """Each proxy has a listener of its own, whose advertised address is the proxy's."""
    settings = broker_settings(
        "listeners=PLAINTEXT://127.0.0.1:1\nadvertised.listeners=PLAINTEXT://127.0.0.1:1\n"
        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT\nnode.id=1\n",
        {"A": (2, 3)},
    )

    assert settings.splitlines() == [
        "listeners=PLAINTEXT://127.0.0.1:1,A://127.0.0.1:2",
        "advertised.listeners=PLAINTEXT://127.0.0.1:1,A://127.0.0.1:3",
        "listener.security.protocol.map=PLAINTEXT:PLAINTEXT,A:PLAINTEXT",
        "node.id=1",
    ]
