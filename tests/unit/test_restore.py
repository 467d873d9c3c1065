"""Where a partition begins: the newest snapshot that fits, an older one, the log, or not at all."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from typing import Any

import pytest

from streams.core.join import JoinRules
from streams.core.rules import Rules
from streams.kafka.restore import PositionsRefused, Start, StateLost, find_start
from streams.kafka.terms import Terms
from streams.kafka.topics import Topics
from streams.wire.positions import ROUTER, STATE, committed_record, read_committed
from streams.wire.snapshot_writer import SnapshotWriter
from streams.wire.snapshots import LATEST, MANIFEST, Positions, SnapshotRefused, collect
from tests.property.test_band import LOOKBACK, markets
from tests.snapshot_example import IDENTITY, JOIN_RULES, RULES, Partition, example

TOPICS = Topics()
TICKS, NEWS = TOPICS.ticks, TOPICS.news
TERMS = Terms(markets(), RULES, JOIN_RULES)
LOGS = {TICKS: (0, 1000), NEWS: (0, 100)}
Records = dict[bytes, bytes]


def at(ticks: int, news: int) -> dict[str, int]:
    return {TICKS: ticks, NEWS: news}


def with_snapshot(
    records: Mapping[bytes, bytes],
    positions: tuple[int, int],
    *,
    series: str = LATEST,
    partition: Partition | None = None,
) -> Records:
    partition = partition or example(60)
    written = SnapshotWriter(IDENTITY, series=series).write(
        partition.engine, partition.join, positions=Positions(*positions)
    )
    return collect([*records.items(), *written.records])


def with_committed(records: Mapping[bytes, bytes], positions: dict[str, int]) -> Records:
    return collect([*records.items(), committed_record(IDENTITY, STATE, positions, delivery="exactly_once")])


def with_terms(
    records: Mapping[bytes, bytes], number: int, positions: tuple[int, int], rules: Rules = RULES
) -> Records:
    return with_snapshot(records, positions, series=f"rules-{number}", partition=Partition(rules))


def start(records: Mapping[bytes, bytes], **changes: Any) -> Start:
    options: dict[str, Any] = {
        "group": {TICKS: None, NEWS: None}, "bounds": LOGS, "configured": TERMS, "exactly_once": True, **changes
    }  # fmt: skip
    return find_start(records, IDENTITY, TOPICS, **options)


def torn(records: Records) -> Records:
    """The same without one record of the latest snapshot."""
    return {key: value for key, value in records.items() if b"/latest/hot/" not in key}


def test_nothing_at_all_begins_with_the_log() -> None:
    """A fresh application starts at the oldest records, under what is configured, and is live at once."""
    found = start({}, bounds={TICKS: (7, 1000), NEWS: (3, 100)})

    assert (found.positions, found.committed) == (at(7, 3), at(7, 3))
    assert found.snapshot is None
    assert found.terms is TERMS
    assert [waypoint.positions for waypoint in found.waypoints] == [at(7, 3)]


def test_newest_snapshot_is_replayed_to_the_committed_positions() -> None:
    """State from the snapshot, its positions and rules; then the log up to our own committed positions."""
    records = with_committed(with_snapshot({}, (500, 50)), at(600, 60))

    found = start(records, group=at(599, 60))

    assert (found.positions, found.committed) == (at(500, 50), at(600, 60))
    assert found.snapshot is not None
    assert found.terms.is_same(TERMS)
    assert found.waypoints[-1].terms is TERMS


def test_group_is_asked_where_there_is_no_record_of_our_own() -> None:
    """A worker that wrote no state topic has left its positions with the group."""
    found = start({}, group=at(600, 60))

    assert (found.positions, found.committed) == (at(0, 0), at(600, 60))


@pytest.mark.parametrize("group", [at(600, 60), at(300, 60), at(300, 30)])
@pytest.mark.parametrize("oldest", [at(500, 40), at(500, 0), at(0, 40)])
def test_lost_state_topic_and_a_log_that_was_cut_are_refused(group: dict[str, int], oldest: dict[str, int]) -> None:
    """Where the group says that something was read and nothing says what, the log alone must have everything."""
    bounds = {TICKS: (oldest[TICKS], 1000), NEWS: (oldest[NEWS], 100)}

    with pytest.raises(StateLost, match="the state topic holds no snapshot"):
        start({}, group=group, bounds=bounds)


def test_torn_snapshot_gives_way_to_an_older_one_and_that_to_the_log() -> None:
    """What cannot be believed is told, and the next best is used."""
    records = with_committed(with_terms({}, 1, (0, 0)), at(600, 60))
    records = with_snapshot(with_snapshot(records, (300, 30), series="base-20260101"), (500, 50))

    base = start(torn(records))
    log = start({key: value for key, value in torn(records).items() if b"/base-" not in key})

    assert base.positions == at(300, 30)
    assert [refused.reason for refused in base.refused] == ["missing"]
    assert (log.positions, log.snapshot) == (at(0, 0), None)
    assert [refused.reason for refused in log.refused] == ["missing"]


def test_nothing_that_reaches_back_is_refused_with_what_to_do() -> None:
    """A log whose beginning is gone does not rebuild a state, and neither does a snapshot that cannot be believed."""
    records = with_committed(with_snapshot(with_terms({}, 1, (0, 0)), (500, 50)), at(600, 60))
    gone = {TICKS: (10, 1000), NEWS: (0, 100)}

    with pytest.raises(StateLost, match=r"found neither: the logs begin at .*hot/0/0 .*found none.* Use another"):
        start(torn(records), bounds=gone)
    assert start(records, bounds=gone).positions == at(500, 50)


def test_log_that_begins_where_the_application_began_reaches_back() -> None:
    """An application that was started on an old topic has lost nothing that it ever knew."""
    records = with_committed(with_terms({}, 1, (10, 0)), at(600, 60))

    found = start(records, bounds={TICKS: (10, 1000), NEWS: (0, 100)})

    assert found.positions == at(10, 0)


def test_snapshot_past_the_committed_positions_is_not_used() -> None:
    """Positions that were set back want an older state; without transactions a snapshot may run a little ahead."""
    records = with_committed(with_snapshot(with_terms({}, 1, (0, 0)), (500, 50)), at(400, 60))

    back = start(records)
    ahead = start(records, exactly_once=False)

    assert (back.positions, back.committed) == (at(0, 0), at(400, 60))
    assert [refused.reason for refused in back.refused] == ["ahead"]
    assert (ahead.positions, ahead.committed) == (at(500, 50), at(500, 60))


def test_snapshot_whose_log_is_gone_is_used_only_where_it_needs_none() -> None:
    """Between snapshot and committed position nothing may be missing; at the committed position nothing is needed."""
    bounds = {TICKS: (550, 1000), NEWS: (0, 100)}
    records = with_snapshot(with_terms({}, 1, (0, 0)), (500, 50))

    with pytest.raises(StateLost, match=r"to hold what follows snapshot 'latest' .*from offset 500 on, found 550"):
        start(with_committed(records, at(600, 60)), bounds=bounds)
    clean = start(with_committed(records, at(500, 50)), bounds=bounds)

    assert clean.positions == at(550, 50)
    assert [(lost.topic, lost.committed, lost.oldest) for lost in clean.lost] == [(TICKS, 500, 550)]


def test_replay_changes_terms_where_they_changed() -> None:
    """Recorded terms between the start and the committed positions are waypoints; the configured ones are the last."""
    changed = replace(RULES, max_triggers=3)
    records = with_terms(with_terms({}, 1, (0, 0)), 2, (200, 20), changed)
    records = with_committed(with_snapshot(records, (100, 10), series="base-20260101"), at(600, 60))

    found = start(records)
    rebuilt = start({key: value for key, value in records.items() if b"/base-" not in key})

    for one, positions in ((found, at(100, 10)), (rebuilt, at(0, 0))):
        assert one.positions == positions
        assert one.terms.rules == RULES
        assert [waypoint.positions for waypoint in one.waypoints] == [at(200, 20), at(600, 60)]
        assert one.waypoints[0].terms is not None
        assert one.waypoints[0].terms.rules == changed


def test_committed_position_past_the_end_of_the_log_is_refused() -> None:
    """A topic that was made again is not the one whose records were read."""
    with pytest.raises(PositionsRefused, match="to reach the committed offset 2000, found its end at 1000"):
        start(with_committed({}, at(2000, 60)))


def test_damaged_positions_are_refused_and_never_guessed() -> None:
    """Our own record of what is committed decides what is sent again: it is believed as it is, or not."""
    records = with_committed({}, at(600, 60))
    ((key, value),) = records.items()

    assert read_committed(records, IDENTITY, ROUTER) is None
    with pytest.raises(SnapshotRefused, match=r"with checksum .* set the positions with `fiftytwo rewind`"):
        start({key: value[:-1] + b"]"})


def test_terms_are_the_same_only_where_signals_are() -> None:
    """Any option, the calendar's name and its hours count."""
    assert TERMS.is_same(Terms(markets(), RULES, JOIN_RULES))
    for other in (
        Terms(markets(), replace(RULES, hysteresis_bps=1), JOIN_RULES),
        Terms(markets(), RULES, JoinRules()),
        Terms(markets(), RULES, JOIN_RULES, "another version"),
    ):
        assert not TERMS.is_same(other)
    assert TERMS.markets.lookback == LOOKBACK


def test_manifest_without_its_snapshot_is_told() -> None:
    """A manifest alone is no snapshot."""
    records = with_committed(with_snapshot(with_terms({}, 1, (0, 0)), (500, 50)), at(600, 60))
    alone = {k: v for k, v in records.items() if b"/latest/" not in k or k == IDENTITY.key(LATEST, MANIFEST)}

    assert [refused.reason for refused in start(alone).refused] == ["missing"]
