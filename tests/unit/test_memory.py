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

    held = [("a", 60), ("b", 30), ("a", 69), ("b", 31), ("a", 0), ("a", 68)]

    spent = []
    for owner, count in held:
        budget.hold(owner, count)
        spent.append(budget.is_spent)

    assert spent == [False, False, False, True, False, False]
