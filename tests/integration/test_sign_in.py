"""Signing in to a real broker with a user name and a password."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from dataclasses import replace

import pytest

from streams.config import Config, Kafka
from streams.kafka.embedded import find_free_port
from streams.kafka.topics import BrokersUnreachable, apply
from streams.kafka.worker import Worker
from tests.integration.apache import SETTINGS, ApacheBroker, ApacheUnavailable
from tests.needs import require

# A second door beside the plain one, which readiness and the broker itself use.
DOOR = """\
listeners=PLAINTEXT://127.0.0.1:{{port}},CONTROLLER://127.0.0.1:{{controller_port}},SIGNED://127.0.0.1:{signed_port}
advertised.listeners=PLAINTEXT://127.0.0.1:{{port}},SIGNED://127.0.0.1:{signed_port}
listener.security.protocol.map=PLAINTEXT:PLAINTEXT,CONTROLLER:PLAINTEXT,SIGNED:SASL_PLAINTEXT
listener.name.signed.sasl.enabled.mechanisms=PLAIN
listener.name.signed.plain.sasl.jaas.config=org.apache.kafka.common.security.plain.PlainLoginModule required \
user_trader="right";
"""


@pytest.fixture(scope="module")
def signed_port() -> Iterator[int]:
    port = find_free_port()
    replaced = ("listeners=", "advertised.listeners=", "listener.security.protocol.map=")
    kept = [line for line in SETTINGS.splitlines(keepends=True) if not line.startswith(replaced)]
    try:
        broker = ApacheBroker(settings="".join(kept) + DOOR.format(signed_port=port))
    except ApacheUnavailable as error:
        require("REQUIRE_KAFKA", str(error))
    with broker:
        yield port


def configured(port: int, password: str) -> Config:
    kafka = Kafka(
        bootstrap_servers=f"127.0.0.1:{port}",
        security_protocol="SASL_PLAINTEXT",
        sasl_mechanism="PLAIN",
        sasl_username="trader",
        sasl_password=password,
    )
    return Config(kafka=kafka)


async def started(config: Config) -> None:
    """Start a worker, within a time."""
    async with asyncio.timeout(60):
        await Worker(config).start()


def test_the_right_password_gets_in(signed_port: int) -> None:
    """Topics are made and checked through the door that asks for a password."""
    applied = asyncio.run(apply(configured(signed_port, "right")))

    assert applied.problems == ()


def test_a_wrong_password_is_told_without_the_password(signed_port: int) -> None:
    """The refusal names the broker, the protocol and the cause, and keeps the secret."""
    with pytest.raises(BrokersUnreachable) as refused:
        asyncio.run(apply(configured(signed_port, "wrong-and-secret")))

    text = str(refused.value)
    assert f"127.0.0.1:{signed_port} over SASL_PLAINTEXT" in text
    assert "kafka.sasl_password" in text
    assert "wrong-and-secret" not in text


def test_worker_does_not_wait_for_a_broker_that_refuses_its_password(signed_port: int) -> None:
    """A broker that is there and says no is no broker that is away: the worker ends, and says what to check."""
    with pytest.raises(BrokersUnreachable) as refused:
        asyncio.run(started(configured(signed_port, "wrong-and-secret")))

    text = str(refused.value)
    assert f"the broker at 127.0.0.1:{signed_port} to let us in over SASL_PLAINTEXT" in text
    assert "SaslAuthenticationFailed" in text
    assert "kafka.sasl_password" in text
    assert "wrong-and-secret" not in text


def test_worker_does_not_wait_for_a_broker_without_its_way_to_sign_in(signed_port: int) -> None:
    """Nor for one that knows the user by other means than the configured one."""
    config = configured(signed_port, "right")
    config = replace(config, kafka=replace(config.kafka, sasl_mechanism="SCRAM-SHA-256"))

    with pytest.raises(BrokersUnreachable, match=r"UnsupportedSaslMechanism.*kafka\.sasl_mechanism"):
        asyncio.run(started(config))
