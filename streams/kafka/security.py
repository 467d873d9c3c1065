"""How every client of ours gets into Kafka: one translation from the configuration to aiokafka's and Faust's settings.

TLS contexts come from aiokafka's helper (host names are always checked): Faust's own `SSLCredentials(cafile=)` raises
in the pinned version.
"""

from __future__ import annotations

import ssl
from typing import Any

from aiokafka.helpers import create_ssl_context
from faust import auth

from streams.config import Kafka


def client_settings(kafka: Kafka) -> dict[str, Any]:
    """Return the keyword arguments that every aiokafka client takes: where the brokers are and how to sign in."""
    settings: dict[str, Any] = {
        "bootstrap_servers": kafka.bootstrap_servers,
        "security_protocol": kafka.security_protocol,
    }
    context = tls_context(kafka)
    if context is not None:
        settings["ssl_context"] = context
    if kafka.security_protocol.startswith("SASL"):
        settings["sasl_mechanism"] = kafka.sasl_mechanism
        settings["sasl_plain_username"] = kafka.sasl_username
        settings["sasl_plain_password"] = kafka.sasl_password
    return settings


def faust_credentials(kafka: Kafka) -> auth.Credentials | None:
    """Return what Faust's `broker_credentials` takes; None means plain text without a sign-in."""
    context = tls_context(kafka)
    if kafka.security_protocol.startswith("SASL"):
        # With a context Faust speaks SASL_SSL, without one SASL_PLAINTEXT.
        return auth.SASLCredentials(
            username=kafka.sasl_username,
            password=kafka.sasl_password,
            mechanism=kafka.sasl_mechanism,
            ssl_context=context,
        )
    if context is not None:
        return auth.SSLCredentials(context)
    return None


def faust_brokers(kafka: Kafka) -> list[str]:
    """Return the brokers as the addresses that Faust's `broker` takes."""
    return [f"kafka://{server}" for server in kafka.bootstrap_servers.split(",")]


def tls_context(kafka: Kafka) -> ssl.SSLContext | None:
    """Return the TLS context of the configuration, or None where the protocol has no TLS."""
    if not kafka.security_protocol.endswith("SSL"):
        return None
    context: ssl.SSLContext = create_ssl_context(
        cafile=kafka.ssl_cafile or None, certfile=kafka.ssl_certfile or None, keyfile=kafka.ssl_keyfile or None
    )
    return context
