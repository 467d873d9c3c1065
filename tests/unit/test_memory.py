"""Bounds of what a worker holds in memory, whatever the number of its partitions."""

from __future__ import annotations

import pytest

from streams.config import Kafka
from streams.kafka.memory import FETCHED_BYTES_MAX, FETCHED_SETS, STATE_TOPICS, OutputBudget, fetch_bytes


@pytest.mark.parametrize("partitions", [1, 16, 17, 24, 64, 500])
def test_what_is_fetched_is_bounded_for_all_partitions_together(partitions: int) -> None:
    """Few partitions fetch what is configured; many share what there is."""
    kafka = Kafka(partitions=partitions)

    found = fetch_bytes(kafka)

    assert found * partitions * STATE_TOPICS * FETCHED_SETS <= FETCHED_BYTES_MAX
    assert (found == kafka.fetch_bytes) == (partitions <= 16)


def test_budget_is_spent_by_all_together_and_returned_by_each() -> None:
    """What one holds is said anew each time; who is forgotten holds nothing."""
    budget = OutputBudget(100)

    budget.hold("a", 60)
    budget.hold("b", 30)
    budget.hold("a", 69)
    assert not budget.is_spent
    budget.hold("b", 31)
    assert budget.is_spent
    budget.hold("a", 0)
    budget.hold("a", 68)
    assert not budget.is_spent
