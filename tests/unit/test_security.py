"""Signing in: every client of ours gets the same settings from one configuration."""

from __future__ import annotations

import ssl

import pytest
from faust.transport.drivers.aiokafka import credentials_to_aiokafka_auth

from streams.config import Kafka
from streams.kafka.security import client_settings, faust_brokers, faust_credentials


def with_sasl(protocol: str, mechanism: str) -> Kafka:
    return Kafka(security_protocol=protocol, sasl_mechanism=mechanism, sasl_username="trader", sasl_password="secret")


@pytest.mark.parametrize(
    "kafka",
    [
        Kafka(),
        Kafka(security_protocol="SSL"),
        with_sasl("SASL_PLAINTEXT", "SCRAM-SHA-512"),
        with_sasl("SASL_SSL", "SCRAM-SHA-512"),
        with_sasl("SASL_PLAINTEXT", "PLAIN"),
    ],
    ids=lambda kafka: f"{kafka.security_protocol}-{kafka.sasl_mechanism}",
)
def test_faust_and_our_own_clients_sign_in_alike(kafka: Kafka) -> None:
    """What Faust hands to aiokafka equals what we hand to it."""
    ours = client_settings(kafka)
    fausts = dict(credentials_to_aiokafka_auth(faust_credentials(kafka)))

    assert ours.pop("bootstrap_servers") == "127.0.0.1:9092"
    assert isinstance(ours.pop("ssl_context", None), ssl.SSLContext) == kafka.security_protocol.endswith("SSL")
    assert isinstance(fausts.pop("ssl_context", None), ssl.SSLContext) == kafka.security_protocol.endswith("SSL")
    assert fausts == ours


def test_tls_checks_the_brokers_name_and_certificate() -> None:
    """There is no way to switch the checks off."""
    context = client_settings(Kafka(security_protocol="SSL"))["ssl_context"]

    assert context.check_hostname
    assert context.verify_mode == ssl.CERT_REQUIRED


def test_every_broker_gets_an_address_for_faust() -> None:
    """Several brokers are several addresses."""
    kafka = Kafka(bootstrap_servers="a:9092,b:9093")

    assert faust_brokers(kafka) == ["kafka://a:9092", "kafka://b:9093"]
