"""Brokers that are not there are waited for; what says no is no broker that is away."""

from __future__ import annotations

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager

import pytest
from aiokafka.errors import KafkaConnectionError, TopicAuthorizationFailedError

from streams.config import Kafka
from streams.kafka import reaching
from streams.kafka.embedded import find_free_port
from streams.kafka.reaching import REFUSALS_MAX, shut_out, wait_for_brokers
from streams.kafka.topics import BrokersUnreachable

Serve = Callable[[asyncio.StreamReader, asyncio.StreamWriter], Awaitable[None]]


async def hang_up(_: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """End a connection at once, as a broker does that is about to end."""
    writer.close()


async def speak_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
    """Answer whatever comes with what is no handshake."""
    await reader.read(1)
    writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
    writer.close()


@asynccontextmanager
async def listening(serve: Serve, protocol: str = "PLAINTEXT") -> AsyncIterator[Kafka]:
    """Listen on a port, and return how it would be reached."""
    server = await asyncio.start_server(serve, "127.0.0.1", 0)
    port = server.sockets[0].getsockname()[1]
    async with server:
        yield Kafka(bootstrap_servers=f"127.0.0.1:{port}", security_protocol=protocol)


def nobody() -> Kafka:
    """Return an address where nobody listens."""
    return Kafka(bootstrap_servers=f"127.0.0.1:{find_free_port()}")


@pytest.fixture(autouse=True)
def impatient(monkeypatch: pytest.MonkeyPatch) -> None:
    """Ask again at once."""
    monkeypatch.setattr(reaching, "AGAIN_SECONDS", 0.0)


def test_brokers_that_are_away_are_asked_until_they_answer() -> None:
    """However often that is; what is waited for is told each time, and that it is over once."""
    told: list[str | None] = []
    errors: list[Exception] = [
        BrokersUnreachable("expected a broker, found none"),
        KafkaConnectionError("cut"),
        TimeoutError(),
        *(ConnectionResetError("gone") for _ in range(20)),
    ]

    async def ask() -> str:
        if errors:
            raise errors.pop(0)
        return "here"

    assert asyncio.run(wait_for_brokers(ask, nobody(), tell=told.append)) == "here"

    assert len(told) == 24
    assert told[-1] is None
    assert told[0] == "no broker has answered for 0 s: expected a broker, found none"
    assert all(told[:-1])


def test_what_is_refused_is_asked_again_a_few_times_and_raised() -> None:
    """Rights that are missing do not come by waiting; a broker that is away in between begins the count anew."""
    asked = 0

    async def ask() -> None:
        nonlocal asked
        asked += 1
        raise ConnectionResetError("gone") if asked == 2 else TopicAuthorizationFailedError("topic")

    with pytest.raises(TopicAuthorizationFailedError):
        asyncio.run(wait_for_brokers(ask, nobody(), tell=lambda _: None))

    assert asked == 2 + REFUSALS_MAX


def test_address_where_nobody_listens_shuts_nobody_out() -> None:
    """A port that is closed, and a connection that ends at once, are brokers that are away."""

    async def work() -> list[str]:
        async with listening(hang_up) as plain, listening(hang_up, "SSL") as secure:
            return [await shut_out(kafka) for kafka in (nobody(), plain, secure)]

    assert asyncio.run(work()) == ["", "", ""]


def test_port_that_speaks_no_tls_shuts_out_who_expects_it() -> None:
    """The first of several addresses that says no is named, with what to check."""

    async def work() -> tuple[str, str]:
        async with listening(speak_plainly, "SSL") as kafka:
            servers = f"{nobody().bootstrap_servers},{kafka.bootstrap_servers}"
            found = await shut_out(Kafka(bootstrap_servers=servers, security_protocol="SSL"))
            return found, kafka.bootstrap_servers

    found, address = asyncio.run(work())

    assert found.startswith(f"expected the broker at {address} to let us in over SSL, found SSLError: ")
    assert found.endswith("check kafka.bootstrap_servers, kafka.security_protocol and kafka.ssl_cafile")
