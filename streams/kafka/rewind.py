"""Setting positions back: an application says again what it has said since a moment, or another one begins there.

The state at the new position is rebuilt as at any start: from a snapshot that is not past it, or from the log. What
lies past it is taken out of the state topic in the same transaction that sets the position, and the transaction fences
whoever still believes to own the partition. Outputs are not taken back: what is said again carries equal ids.
"""

from __future__ import annotations

import asyncio
import dataclasses
import time
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Final

from aiokafka import AIOKafkaConsumer, TopicPartition
from aiokafka.structs import OffsetAndMetadata

from streams.config import Config
from streams.kafka.app import SESSION_SECONDS, terms_of_config, transactional_id
from streams.kafka.effects import Effects, Output, Place
from streams.kafka.owner import Seat
from streams.kafka.probe import passed
from streams.kafka.producer import AtLeastOnce, Committer, ExactlyOnce
from streams.kafka.restore import BASE, RULES, StateLost, find_start
from streams.kafka.restorer import StateTopic
from streams.kafka.security import client_settings
from streams.kafka.topics import Topics, connect
from streams.wire.positions import ROUTER, STATE, committed_record, read_committed
from streams.wire.snapshots import LATEST, Identity, SnapshotRefused, read_manifest, series_keys

PATIENCE_SECONDS: Final = SESSION_SECONDS + 5.0
POLL_SECONDS: Final = 0.5
UNREADABLE: Final = frozenset({"damaged", "foreign", "missing"})
"""Why a manifest is refused by every version and configuration."""


class RewindRefused(RuntimeError):
    """Positions cannot be set; the text says why, and what to do."""


@dataclass(frozen=True, slots=True)
class Step:
    """What happens to one partition.

    Attributes:
        seat: Which.
        committed: Where it is now, by topic: what a worker's start would go by. Without an entry it is nowhere.
        target: Where it is going to be.
        again: How many records lie between; up to the end where it is nowhere.
        start: Where its state will come from; empty for the router, which has none.
        gone: Keys of records of the state topic that lie past the target, or that nobody can read.
        notes: What people should know of it.
    """

    seat: Seat
    committed: Mapping[str, int]
    target: Mapping[str, int]
    again: int
    start: str
    gone: tuple[bytes, ...]
    notes: tuple[str, ...] = ()


async def plan(config: Config, *, since_ms: int | None, patience_seconds: float = PATIENCE_SECONDS) -> list[Step]:
    """Return what would happen, partition by partition.

    Args:
        config: Of the application whose positions are to be set.
        since_ms: The broker's time of the first record that is to be read again; None is the oldest record.
        patience_seconds: How long workers that have ended may still count as members.

    Raises:
        RewindRefused: Workers run, the moment lies ahead of what is committed, or nothing reaches back to it.
        BrokersUnreachable: No broker answered.
    """
    kafka, topics = config.kafka, Topics(config.kafka.prefix)
    numbers = range(kafka.partitions)
    seats = [
        *(Seat(STATE, number, (topics.ticks, topics.news)) for number in numbers),
        *(Seat(ROUTER, number, (topics.articles,)) for number in numbers),
    ]
    places = [(topic, seat.number) for seat in seats for topic in seat.topics]
    committed = await _committed_by_an_idle_group(config, patience_seconds)
    consumer = _consumer(config, group=None)
    await consumer.start()
    try:
        wanted = [TopicPartition(*place) for place in places]
        first, last = await consumer.beginning_offsets(wanted), await consumer.end_offsets(wanted)
        bounds: dict[Place, tuple[int, int]] = {(tp.topic, tp.partition): (first[tp], last[tp]) for tp in wanted}
        targets = {place: oldest for place, (oldest, _) in bounds.items()}
        if since_ms is not None:
            found = await consumer.offsets_for_times(dict.fromkeys(wanted, since_ms))
            targets = {
                (tp.topic, tp.partition): bounds[tp.topic, tp.partition][1] if at is None else at.offset
                for tp, at in found.items()
            }
    finally:
        await consumer.stop()
    state = StateTopic(kafka, topics.state)
    return [await _step(config, state, seat, committed, targets, bounds) for seat in seats]


async def apply(config: Config, steps: list[Step]) -> None:
    """Do what was planned, each partition in a transaction of its own.

    Raises:
        RewindRefused: Workers have started meanwhile.
        aiokafka.errors.KafkaError: The broker refused; partitions before this one are done.
    """
    await _committed_by_an_idle_group(config, 0.0)
    consumer = _consumer(config, group=config.kafka.group)
    await consumer.start()
    try:
        for step in steps:
            await _set(config, consumer, step)
    finally:
        await consumer.stop()


async def _step(
    config: Config,
    state: StateTopic,
    seat: Seat,
    committed: Mapping[Place, int],
    targets: Mapping[Place, int],
    bounds: Mapping[Place, tuple[int, int]],
) -> Step:
    kafka, topics = config.kafka, Topics(config.kafka.prefix)
    number = seat.number
    identity = Identity(kafka.application_id, number, kafka.partitions)
    records, _ = await state.read(number)
    group = {topic: committed[topic, number] for topic in seat.topics if (topic, number) in committed}
    oldest = {topic: bounds[topic, number][0] for topic in seat.topics}
    target = {topic: targets[topic, number] for topic in seat.topics}
    here, notes = _committed(records, identity, seat, group, is_oldest=target == oldest)
    for topic, at in here.items():
        if target[topic] > at:
            # Between the two nothing was said yet, and skipping it is no rewind.
            target[topic] = at
    again = sum(here.get(topic, bounds[topic, number][1]) - at for topic, at in target.items())
    if seat.kind == ROUTER:
        return Step(seat, here, target, again, "", (), tuple(notes))
    gone = _gone(records, identity, topics, target, notes)
    left = {key: value for key, value in records.items() if key not in gone}
    record = committed_record(identity, STATE, target, delivery=kafka.delivery)
    assert record.value is not None
    left[record.key] = record.value
    try:
        start = find_start(
            left,
            identity,
            topics,
            group=dict(target),
            bounds={topic: bounds[topic, number] for topic in seat.topics},
            configured=terms_of_config(config),
            exactly_once=kafka.delivery == "exactly_once",
        )
    except StateLost as error:
        raise RewindRefused(f"{error} Or name a later time") from error
    series = f"snapshot {start.snapshot.manifest.series}" if start.snapshot is not None else "the log"
    state_from = f"{series} at {dict(start.positions)}"
    return Step(seat, here, target, again, state_from, tuple(sorted(gone)), tuple(notes))


# Where a worker's start would begin: its own record goes before the group's positions, which expire.
def _committed(
    records: Mapping[bytes, bytes], identity: Identity, seat: Seat, group: Mapping[str, int], *, is_oldest: bool
) -> tuple[dict[str, int], list[str]]:
    try:
        own = read_committed(records, identity, seat.kind)
    except SnapshotRefused as error:
        lacking = [topic for topic in seat.topics if topic not in group]
        if lacking and not is_oldest:
            raise RewindRefused(
                f"expected to know where {seat.kind} {seat.number} is, found its committed positions {error.reason} "
                f"({error}) and none of the group for {', '.join(lacking)}: only `oldest` is sure to skip nothing"
            ) from error
        return dict(group), [f"its committed positions are {error.reason} and are written anew"]
    if own is None:
        return dict(group), []
    here = {topic: own.positions[topic] for topic in seat.topics if topic in own.positions}
    notes = [
        f"the group says {group.get(topic, 'none')} for {topic}, the state topic {at}, which holds"
        for topic, at in here.items()
        if group.get(topic) != at
    ]
    return here, notes


# Snapshots and recorded terms of what is to be read again: they would be believed, or refused at every start. What is
# damaged can tell no position and is refused for ever.
def _gone(
    records: Mapping[bytes, bytes], identity: Identity, topics: Topics, target: Mapping[str, int], notes: list[str]
) -> set[bytes]:
    gone: set[bytes] = set()
    for series, keys in series_keys(records, identity).items():
        if series != LATEST and not series.startswith((BASE, RULES)):
            continue
        try:
            positions = read_manifest(records, identity, series).positions
        except SnapshotRefused as error:
            if error.reason not in UNREADABLE:
                raise RewindRefused(
                    f"expected to know how far snapshot {series!r} of partition {identity.partition} has come, found "
                    f"{error}. Or rewind with the version and the configuration that wrote it"
                ) from error
            notes.append(f"snapshot {series} is {error.reason} and is taken out")
            gone.update(keys)
            continue
        at = {topics.ticks: positions.ticks, topics.news: positions.news}
        if any(at[topic] > target[topic] for topic in at):
            gone.update(keys)
    return gone


async def _set(config: Config, consumer: Any, step: Step) -> None:
    kafka, topics = config.kafka, Topics(config.kafka.prefix)
    identity = Identity(kafka.application_id, step.seat.number, kafka.partitions)
    record = committed_record(identity, step.seat.kind, step.target, delivery=kafka.delivery)
    rows = [(key, None) for key in step.gone] + [(record.key, record.value)]
    effects = Effects(
        positions={(topic, step.seat.number): at for topic, at in step.target.items()},
        state=[Output(topics.state, step.seat.number, key, value, []) for key, value in rows],
    )
    committer = _committer(config, consumer, step.seat)
    await committer.start()
    finished = False
    try:
        await committer.commit(effects)
        finished = True
    finally:
        await committer.close(finished=finished)


def _committer(config: Config, consumer: Any, seat: Seat) -> Committer:
    kafka = config.kafka
    if kafka.delivery == "exactly_once":
        name = transactional_id(kafka.group, seat)
        return ExactlyOnce(kafka, name, timeout_seconds=config.commits.timeout_s, probe=passed)

    async def commit_positions(positions: Mapping[Any, int]) -> None:
        await consumer.commit({TopicPartition(*place): OffsetAndMetadata(at, "") for place, at in positions.items()})

    return AtLeastOnce(kafka, commit_positions, probe=passed)


# A worker that ends keeps its place in the group until its session ends, so that it may come back to its partitions.
async def _committed_by_an_idle_group(config: Config, patience_seconds: float) -> dict[Place, int]:
    group = config.kafka.group
    deadline = time.monotonic() + patience_seconds
    async with connect(config.kafka) as admin:
        while members := await _members(admin, group):
            if time.monotonic() > deadline:
                raise RewindRefused(
                    f"expected no worker of {group!r}, found {members}: end them first, and wait {SESSION_SECONDS:g} s "
                    "until the group has forgotten them"
                )
            await asyncio.sleep(POLL_SECONDS)
        offsets = await admin.list_consumer_group_offsets(group)
    return {(tp.topic, tp.partition): entry.offset for tp, entry in offsets.items() if entry.offset >= 0}


async def _members(admin: Any, group: str) -> int:
    (response,) = await admin.describe_consumer_groups([group])
    return sum(len(members) for _, _, _, _, _, members, *_ in response.groups)


def _consumer(config: Config, *, group: str | None) -> Any:
    return AIOKafkaConsumer(
        client_id="fiftytwo-rewind",
        group_id=group,
        enable_auto_commit=False,
        isolation_level="read_committed",
        **client_settings(config.kafka),
    )


def under(config: Config, application_id: str) -> Config:
    """Return the configuration of another application over the same topics."""
    return dataclasses.replace(config, kafka=dataclasses.replace(config.kafka, application_id=application_id))
