"""Commits and snapshots take no more than their share of the worker's time."""

from __future__ import annotations

from streams.kafka.pacing import COMMIT_CPU_SECONDS, CommitPace, SnapshotPace


def test_commits_begin_at_once_until_their_share_of_the_second_is_spent() -> None:
    """A tenth of a second of commits may begin at once; when the oldest is a second old there is room again."""
    pace = CommitPace(0.1)
    begun = 0
    while pace.may_begin(10.0 + begun / 1000):
        pace.begun(10.0 + begun / 1000)
        begun += 1

    assert 0.1 - COMMIT_CPU_SECONDS <= begun * COMMIT_CPU_SECONDS <= 0.1 + COMMIT_CPU_SECONDS
    assert not pace.may_begin(10.9)
    assert pace.may_begin(11.001)


def test_no_share_means_that_no_commit_begins_at_once() -> None:
    """Zero is a share too: then every signal waits for a free moment or its longest delay."""
    assert not CommitPace(0.0).may_begin(1.0)


def test_snapshot_that_took_long_is_followed_by_a_longer_rest() -> None:
    """A twentieth of the time: half a second of a snapshot is paid for with nine and a half without one."""
    pace = SnapshotPace(0.05)
    assert pace.is_free(0.0)

    pace.spent(100.0, 0.5)

    assert not pace.is_free(109.4)
    assert pace.is_free(109.5)
