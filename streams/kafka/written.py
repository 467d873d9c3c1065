"""What is counted and told of outputs once the brokers have them."""

from __future__ import annotations

import logging
import time

from streams.core.units import NS
from streams.kafka.effects import Effects
from streams.kafka.logs import note
from streams.web.metrics import Metrics

log = logging.getLogger(__name__)


def count_written(effects: Effects, partition: int, metrics: Metrics) -> None:
    """Count the outputs of a commit that ended well, and tell of the records that were put aside."""
    now = time.time()
    topics: dict[str, int] = {}
    rejected: dict[tuple[str, str], int] = {}
    signals: dict[tuple[str, ...], int] = {}
    for output in effects.outputs:
        topics[output.topic] = topics.get(output.topic, 0) + 1
        if output.reason:
            rejected[output.source, output.reason] = rejected.get((output.source, output.reason), 0) + 1
        if output.labels:
            signals[output.labels] = signals.get(output.labels, 0) + 1
            metrics.signal_acknowledged(max(0.0, now - output.append_ns / NS))
    for topic, count in topics.items():
        metrics.records_produced(topic, count)
    for labels, count in signals.items():
        metrics.signals_produced(*labels, count=count)
    for (topic, reason), count in rejected.items():
        metrics.record_rejected(topic, reason, count)
        fields = {"topic": topic, "partition": partition, "reason": reason, "count": count}
        note(log, logging.WARNING, "records_rejected", **fields)
