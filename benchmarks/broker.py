"""The broker that everything is measured on."""

from __future__ import annotations

from typing import Final

from tests.integration.apache import ApacheBroker

HEAP: Final = "3g"
JAVA_OPTIONS: Final = ("-XX:+UseG1GC", "-Xmn2g")
"""Kafka's documentation advises a heap of 6 GB. With one of 1 GB the collector stops the broker three times as often at
the same load, and whoever waits for it waits too: that is latency of nobody's product."""


def measured_broker() -> ApacheBroker:
    """Return a broker that is not started yet."""
    return ApacheBroker(heap=HEAP, java_options=JAVA_OPTIONS)
