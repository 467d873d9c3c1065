"""The metrics: all documented, none with labels that grow without bound, counters that survive a partition moving."""

from __future__ import annotations

import re
from pathlib import Path

import numpy as np
import pytest
from prometheus_client import CollectorRegistry

from streams.core.engine import TOTALS
from streams.core.join import COUNTERS as JOIN_COUNTERS
from streams.core.sessions import Markets, Sessions
from streams.web.metrics import ENGINE_COUNTERS, Metrics, is_open

DOCS = Path(__file__).resolve().parents[2] / "docs" / "metrics.md"
ROW = re.compile(r"\| `(fiftytwo_\w+)` \| (counter|gauge|histogram) \| ([^|]*)\|")
HOUR_NS = 3_600 * 1_000_000_000


@pytest.fixture
def registry() -> CollectorRegistry:
    return CollectorRegistry()


@pytest.fixture
def metrics(registry: CollectorRegistry) -> Metrics:
    return Metrics(registry, version="1.2.3")


def documented() -> dict[str, tuple[str, tuple[str, ...]]]:
    found = {}
    for name, kind, labels in ROW.findall(DOCS.read_text(encoding="utf-8")):
        found[name] = (kind, tuple(re.findall(r"`(\w+)`", labels)))
    return found


# The families do not keep the names of their labels; the metric objects behind the registry do.
def registered(registry: CollectorRegistry) -> dict[str, tuple[str, tuple[str, ...]]]:
    found = {}
    for collector in {id(entry): entry for entry in registry._names_to_collectors.values()}.values():
        for family in collector.collect():
            if family.name.startswith("fiftytwo_"):
                suffix = "_total" if family.type == "counter" else ""
                found[family.name + suffix] = (family.type, tuple(getattr(collector, "_labelnames", ())))
    return found


def test_every_metric_is_documented_with_its_type_and_labels(metrics: Metrics, registry: CollectorRegistry) -> None:
    """docs/metrics.md lists exactly the metrics there are."""
    assert documented() == registered(registry)


def test_every_total_of_the_engine_has_a_counter() -> None:
    """A counter that is added to the engine must be told to its operators."""
    assert set(ENGINE_COUNTERS) == set(TOTALS)


def test_every_event_of_the_join_is_documented() -> None:
    """The values of the label `event` are listed."""
    text = DOCS.read_text(encoding="utf-8")

    assert [event for event in JOIN_COUNTERS if f"`{event}`" not in text] == []


def test_units_are_seconds_and_records_and_counters_end_in_total(metrics: Metrics, registry: CollectorRegistry) -> None:
    """Names carry base units: no milliseconds, no counts in gauges that only grow, no instruments in labels."""
    for name, (kind, labels) in registered(registry).items():
        assert name.endswith("_total") == (kind == "counter"), name
        assert not re.search(r"_(ms|ns|us|millis|micros|mb|kb)(_|$)", name), name
        assert not {"instrument", "symbol", "ticker", "mic"} & set(labels), name
        if kind == "histogram":
            assert name.endswith(("_seconds", "_records", "_bytes")), name


def test_what_happened_is_counted_by_topic_and_reason(metrics: Metrics, registry: CollectorRegistry) -> None:
    """Each method moves its own series."""
    metrics.records_consumed("market.ticks.v1", 500)
    metrics.records_produced("signals.breakouts.v1", 2)
    metrics.record_rejected("market.ticks.v1", "invalid_price", 3)
    metrics.nulls_skipped("market.ticks.v1", 4)
    metrics.keys_misrouted("market.ticks.v1")
    metrics.signals_produced("high_52w", "regular", "triggered")
    metrics.lag_measured("market.ticks.v1", 3, records=70, seconds=1.5)

    ticks = {"topic": "market.ticks.v1"}
    value = registry.get_sample_value
    assert value("fiftytwo_records_consumed_total", ticks) == 500
    assert value("fiftytwo_records_produced_total", {"topic": "signals.breakouts.v1"}) == 2
    assert value("fiftytwo_records_rejected_total", {**ticks, "reason": "invalid_price"}) == 3
    assert value("fiftytwo_records_null_total", ticks) == 4
    assert value("fiftytwo_keys_misrouted_total", ticks) == 1
    assert value("fiftytwo_signals_total", {"family": "high_52w", "scope": "regular", "transition": "triggered"}) == 1
    assert value("fiftytwo_lag_records", {**ticks, "partition": "3"}) == 70
    assert value("fiftytwo_lag_seconds", {**ticks, "partition": "3"}) == 1.5


def test_durations_and_sizes_are_observed(metrics: Metrics, registry: CollectorRegistry) -> None:
    """Histograms keep sum and count, and a value lands at or below its bound."""
    metrics.batch_folded(30, 0.0004)
    metrics.signal_acknowledged(0.02)
    metrics.commit_finished(0.004)

    value = registry.get_sample_value
    assert value("fiftytwo_batch_records_sum") == 30
    assert value("fiftytwo_step_seconds_bucket", {"le": "0.0005"}) == 1
    assert value("fiftytwo_step_seconds_bucket", {"le": "0.0001"}) == 0
    assert value("fiftytwo_tick_to_signal_seconds_count") == 1
    assert value("fiftytwo_commit_seconds_sum") == pytest.approx(0.004, abs=1e-12)


def test_totals_of_partitions_add_up_and_never_go_back(metrics: Metrics, registry: CollectorRegistry) -> None:
    """The engine's totals are a state's, a counter is a process's: the counter takes each growth once."""
    metrics.engine_counted(0, {"ticks": 10, "links_made": 1})
    metrics.engine_counted(1, {"ticks": 5, "links_made": 0})
    metrics.engine_counted(0, {"ticks": 25, "links_made": 1})
    # Partition 1 was built again from nothing: its first 3 ticks are new to this process.
    metrics.engine_counted(1, {"ticks": 3, "links_made": 0})

    assert registry.get_sample_value("fiftytwo_ticks_total") == 10 + 5 + 15 + 3
    assert registry.get_sample_value("fiftytwo_join_events_total", {"event": "links_made"}) == 1


def test_restored_totals_are_not_counted_again(metrics: Metrics, registry: CollectorRegistry) -> None:
    """A partition that comes with a past adds only what happens here."""
    metrics.engine_restored(0, {"ticks": 1_000_000})
    metrics.engine_counted(0, {"ticks": 1_000_007})

    assert registry.get_sample_value("fiftytwo_ticks_total") == 7


def test_gauges_sum_over_partitions_and_forget_the_revoked(metrics: Metrics, registry: CollectorRegistry) -> None:
    """What another worker has now is no longer ours to report."""
    value = registry.get_sample_value
    metrics.engine_measured(0, windows={"full": 5, "partial": 1}, open_breakouts={"high_52w": 2})
    metrics.engine_measured(1, windows={"full": 7, "degraded": 2}, open_breakouts={"high_52w": 1})
    metrics.lag_measured("market.ticks.v1", 1, records=5, seconds=2)
    assert value("fiftytwo_windows", {"coverage": "full"}) == 12
    assert value("fiftytwo_open_breakouts", {"family": "high_52w"}) == 3

    metrics.partition_revoked(1, ["market.ticks.v1"])

    assert value("fiftytwo_windows", {"coverage": "full"}) == 5
    assert value("fiftytwo_windows", {"coverage": "degraded"}) == 0
    assert value("fiftytwo_open_breakouts", {"family": "high_52w"}) == 2
    assert value("fiftytwo_lag_records", {"topic": "market.ticks.v1", "partition": "1"}) is None


def test_revoking_a_partition_that_was_never_measured_is_fine(metrics: Metrics) -> None:
    """An assignment may be taken away before its first batch."""
    metrics.partition_revoked(9, ["market.ticks.v1"])


def test_series_that_can_be_named_are_there_before_their_first_event(
    metrics: Metrics, registry: CollectorRegistry
) -> None:
    """A series that appears with its first event hides that event from `rate` and `increase`."""
    metrics.topics_known(inputs=["market.ticks.v1"], outputs=["signals.breakouts.v1"])

    value = registry.get_sample_value
    ticks = {"topic": "market.ticks.v1"}
    assert value("fiftytwo_records_consumed_total", ticks) == 0
    assert value("fiftytwo_records_null_total", ticks) == 0
    assert value("fiftytwo_keys_misrouted_total", ticks) == 0
    assert value("fiftytwo_records_produced_total", {"topic": "signals.breakouts.v1"}) == 0
    assert value("fiftytwo_join_events_total", {"event": "articles_late"}) == 0
    assert value("fiftytwo_windows", {"coverage": "partial"}) == 0


def test_two_workers_in_one_process_do_not_meet() -> None:
    """Metrics belong to a registry, not to the module."""
    first, second = CollectorRegistry(), CollectorRegistry()
    Metrics(first, version="1").records_consumed("t", 1)
    Metrics(second, version="1")

    assert second.get_sample_value("fiftytwo_records_consumed_total", {"topic": "t"}) is None


def test_market_is_open_from_its_open_to_before_its_close_but_for_lunch() -> None:
    """Open <= t < close, outside the break; a market is closed before its first session and after its last."""
    one = Sessions(
        mic="XHKG",
        dates=np.array([1, 2], np.int32),
        opens_ns=np.array([24 * HOUR_NS, 48 * HOUR_NS]),
        closes_ns=np.array([30 * HOUR_NS, 54 * HOUR_NS]),
        break_starts_ns=np.array([26 * HOUR_NS, 0]),
        break_ends_ns=np.array([27 * HOUR_NS, 0]),
    )
    markets = Markets([one])

    hours = [23, 24, 26, 27, 29, 30, 47, 48, 53, 54, 90]
    assert [is_open(markets, "XHKG", hour * HOUR_NS) for hour in hours] == [
        *(False, True, False, True, True, False),
        *(False, True, True, False, False),
    ]


def test_market_gauge_follows_the_clock_at_each_scrape(metrics: Metrics, registry: CollectorRegistry) -> None:
    """Nothing has to happen for a market to open: the scrape asks the clock."""
    one = Sessions(
        mic="XNYS",
        dates=np.array([1], np.int32),
        opens_ns=np.array([24 * HOUR_NS]),
        closes_ns=np.array([30 * HOUR_NS]),
        break_starts_ns=np.array([0]),
        break_ends_ns=np.array([0]),
    )
    now = [23 * HOUR_NS]
    metrics.watch_markets(Markets([one]), lambda: now[0])

    assert registry.get_sample_value("fiftytwo_market_open", {"market": "XNYS"}) == 0
    now[0] = 25 * HOUR_NS
    assert registry.get_sample_value("fiftytwo_market_open", {"market": "XNYS"}) == 1
