"""The runtime of one partition: its state, its two logs, and how far into each the state has come.

State is a fold of two logs, ticks and news by instrument, so it is rebuilt by reading both again. Until both have
reached their committed positions nothing is emitted, because it was emitted before, and nothing past those positions is
read; then the partition is live. On the way there may be points where options or the calendar changed: both logs come
to such a point before either goes past it. A runtime knows no Kafka client, no coroutine and no clock: bytes come in,
effects go out.

While both logs hold records, the one whose clock is behind is read first. What is linked does not depend on that; how
much is held in memory does.
"""

from __future__ import annotations

from collections.abc import Mapping, Sequence, Set
from dataclasses import dataclass, replace
from typing import Protocol

from streams.core.engine import Engine
from streams.core.enrichment import Enriched
from streams.core.join import Join, newest_revisions, opens_enrichment
from streams.core.layout import REJECT_CLOCK_MODE, REJECT_FUTURE_TIME, REJECT_NAMES
from streams.core.news import NewsClock
from streams.core.signals import Signal, signals_of
from streams.kafka.dlq import DeadLetters, Reason
from streams.kafka.effects import Effects, Output
from streams.kafka.fetched import Fetched
from streams.kafka.terms import Terms, Waypoint, adopt
from streams.kafka.topics import Topics, expected_partition
from streams.wire.articles import decode_copy, encode_enriched
from streams.wire.batches import Frames, read_batches
from streams.wire.checks import RecordRefused
from streams.wire.signals import Encoded, encode
from streams.wire.ticks import STATE, TickDecoder, reason_message, rejected_by_state


class PartitionBroken(RuntimeError):
    """Reading a batch raised what no record may cause: a bug, or bytes that are not what the broker sent."""


class Runtime(Protocol):
    """State of one partition number and the topics it reads."""

    @property
    def partition(self) -> int:
        """Return the partition's number."""

    @property
    def topics(self) -> tuple[str, ...]:
        """Return the topics it reads."""

    @property
    def is_live(self) -> bool:
        """Tell whether the state has reached the committed positions, so that what it says is new."""

    def position(self, topic: str) -> int:
        """Return the offset of the first record of a topic that the state does not know yet."""

    def wants(self, topic: str) -> bool:
        """Tell whether records of a topic may be read now."""

    def choose(self, held: Set[str], behind: Set[str]) -> str | None:
        """Return the topic to read next.

        Args:
            held: Topics of which records are at hand.
            behind: Topics whose log has more, not at hand yet.

        Returns:
            One of `held`, or None when it is better to wait for one of `behind`.
        """

    def read(self, fetched: Fetched) -> Effects:
        """Read what was fetched, as far as is allowed now, and return what follows from it."""

    def totals(self) -> Mapping[str, int]:
        """Return running totals, by name."""

    def windows(self) -> Mapping[str, int]:
        """Return the number of instruments by the coverage of their window."""

    def open_breakouts(self) -> Mapping[str, int]:
        """Return the number of open breakouts by family."""


@dataclass(frozen=True, slots=True, kw_only=True)
class PartitionSettings:
    """What all partitions of a worker share.

    Attributes:
        partitions: How many partitions the topics have.
        source: Who says it, for `ce_source`.
        skew_ns: How far past the broker's stamp a live clock of the news log may be.
        letters: Writers of dead letters, by topic.
        check_crc: Whether record batches are held against their checksums.
    """

    topics: Topics
    partitions: int
    source: str
    skew_ns: int
    letters: Mapping[str, DeadLetters]
    check_crc: bool = True


class PartitionRuntime:
    """Engine, join and positions of one partition number.

    Args:
        partition: The number.
        settings: What all partitions share.
        engine: Its state is that of `positions`.
        join: As `engine`.
        terms: The terms under which both read.
        positions: Where reading begins, by topic.
        waypoints: Where terms change; the last one is where the outputs of this state end that were written before.
        news_mode: Clock mode that the news log has shown.

    Attributes:
        live_from: Where it became live, by topic; what was said before was said under other terms, or earlier.
    """

    def __init__(
        self,
        partition: int,
        settings: PartitionSettings,
        *,
        engine: Engine,
        join: Join,
        terms: Terms,
        positions: Mapping[str, int],
        waypoints: Sequence[Waypoint],
        news_mode: str = "",
    ) -> None:
        self.partition = partition
        # News first where the clocks agree: a signal then carries what was known when it was made.
        self.topics: tuple[str, ...] = (settings.topics.news, settings.topics.ticks)
        self._settings = settings
        self.engine = engine
        self.join = join
        self.terms = terms
        self.news_mode = news_mode
        self.live_from: dict[str, int] = {}
        self._decoder = TickDecoder(engine.instruments)
        self._positions = {topic: positions[topic] for topic in self.topics}
        self._waypoints = list(waypoints)
        self._instruments = len(engine.instruments)
        self._arrive()

    @property
    def is_live(self) -> bool:
        """Tell whether the state has reached the committed positions, so that what it says is new."""
        return not self._waypoints

    def position(self, topic: str) -> int:
        """Return the offset of the first record of a topic that the state does not know yet."""
        return self._positions[topic]

    def wants(self, topic: str) -> bool:
        """Tell whether records of a topic may be read now: before going live, none past the committed position."""
        return self.is_live or self._positions[topic] < self._waypoints[0].positions[topic]

    def choose(self, held: Set[str], behind: Set[str]) -> str | None:
        """Return the topic to read next: of those that hold records, the one whose clock is behind."""
        candidates = [topic for topic in self.topics if self.wants(topic) and (topic in held or topic in behind)]
        if not candidates:
            return None
        first = min(candidates, key=self._clock_ns)
        return first if first in held else None

    def read(self, fetched: Fetched) -> Effects:
        """Read what was fetched, as far as is allowed now, and return what follows from it.

        Raises:
            PartitionBroken: A bug, or broken bytes; no record may cause it.
        """
        topic = fetched.topic
        try:
            frames = self._frames(fetched)
            effects = self.ticks(frames) if topic == self._settings.topics.ticks else self.news(frames)
        except Exception as error:
            raise PartitionBroken(
                f"expected {topic} partition {self.partition} to be readable from offset {self._positions[topic]} to "
                f"{fetched.next_offset}, found {type(error).__name__}: {error}. Nothing was committed past it; "
                "keep the records and report this as a bug"
            ) from error
        self._positions[topic] = frames.next_offset
        if self.is_live:
            effects.positions[(topic, self.partition)] = frames.next_offset
        else:
            effects = Effects(records=effects.records, append_ns=effects.append_ns)
            self._arrive()
        return effects

    def ticks(self, frames: Frames) -> Effects:
        """Fold records of the tick log."""
        topic = self._settings.topics.ticks
        decoded = self._decoder.decode(frames)
        folded = self.engine.fold(decoded.records, decoded.bars, decoded.buffer, decoded.details)
        effects = Effects(records=len(frames), nulls=decoded.nulls, append_ns=frames.append_ns)
        effects.misrouted = self._misrouted()
        letters = self._settings.letters[topic]
        rejected = [*decoded.rejected, *rejected_by_state(decoded, folded.rejects)]
        for one in sorted(rejected, key=lambda one: one.index):
            reason = Reason(one.stage, one.reason, one.message)
            effects.outputs.append(letters.letter(self.partition, frames, one.index, reason))
        for signal in signals_of(folded, self.engine):
            effects.outputs += self._signal(signal, int(decoded.records[signal.record]["append_ns"]))
        if self.engine.clock_ns > self.join.tick_clock_ns:
            self.join.tick_clock(self.engine.clock_ns)
        return effects

    def news(self, frames: Frames) -> Effects:
        """Join records of the news log."""
        effects = Effects(records=len(frames), append_ns=frames.append_ns)
        letters = self._settings.letters[self._settings.topics.news]
        for index in range(len(frames)):
            value = frames.value(index)
            if value is None:
                effects.nulls += 1
                continue
            append_ns = int(frames.frames[index]["append_ns"])
            try:
                record = decode_copy(value)
                if isinstance(record, NewsClock):
                    self._check_clock(record, append_ns)
                    changed = self.join.news_clock(record.time_ns)
                else:
                    changed = self.join.article(record)
            except RecordRefused as refused:
                reason = Reason(refused.stage, refused.reason, str(refused))
                effects.outputs.append(letters.letter(self.partition, frames, index, reason))
                continue
            effects.outputs += [self._enriched(revision, append_ns) for revision in newest_revisions(changed)]
        return effects

    def totals(self) -> dict[str, int]:
        """Return the running totals of the engine and of the join, by name."""
        return {**self.engine.counters(), **self.join.counters()}

    def windows(self) -> dict[str, int]:
        """Return the number of instruments by the coverage of their window."""
        return self.engine.windows()

    def open_breakouts(self) -> dict[str, int]:
        """Return the number of open breakouts by family."""
        return self.engine.open_breakouts()

    # Both logs have come to a point where terms change, or to several at once.
    def _arrive(self) -> None:
        while self._waypoints and all(
            self._positions[topic] >= self._waypoints[0].positions[topic] for topic in self.topics
        ):
            terms = self._waypoints.pop(0).terms
            if terms is not None:
                self._adopt(terms.keeping(self.engine))
        if self.is_live:
            self.live_from = dict(self._positions)

    def _adopt(self, terms: Terms) -> None:
        if terms.is_same(self.terms):
            return
        self.engine, self.join = adopt(terms, self.engine, self.join)
        self.terms = terms
        self._decoder = TickDecoder(self.engine.instruments)

    def _clock_ns(self, topic: str) -> int:
        return self.engine.clock_ns if topic == self._settings.topics.ticks else self.join.news_clock_ns

    # The records that may be read now: from the state's position, and until live only up to the committed one.
    def _frames(self, fetched: Fetched) -> Frames:
        position = self._positions[fetched.topic]
        frames = read_batches(fetched.data, skip_before=position, check_crc=self._settings.check_crc)
        # The transport left out what was aborted at the end, so the fetch knows the next offset better than its bytes.
        frames = replace(frames, next_offset=max(frames.next_offset, fetched.next_offset))
        if self.is_live:
            return frames
        committed = self._waypoints[0].positions[fetched.topic]
        if frames.next_offset <= committed:
            return frames
        count = int(frames.frames["offset"].searchsorted(committed))
        return replace(frames, frames=frames.frames[:count], next_offset=committed)

    def _signal(self, signal: Signal, append_ns: int) -> list[Output]:
        opens = opens_enrichment(family=signal.family, transition=signal.transition)
        if not (opens or self.is_live):
            return []
        encoded = encode(signal, source=self._settings.source)
        outputs = [self._output(encoded, append_ns, labels=(signal.family, signal.scope, signal.transition))]
        if opens:
            outputs.append(self._enriched(self.join.open(signal, encoded.value), append_ns))
        return outputs

    def _enriched(self, enriched: Enriched, append_ns: int) -> Output:
        encoded = encode_enriched(enriched, source=self._settings.source)
        return self._output(encoded, append_ns, replaces=enriched.signal_id)

    def _output(self, encoded: Encoded, append_ns: int, *, replaces: str = "", labels: tuple[str, ...] = ()) -> Output:
        topic = self._settings.topics.prefix + encoded.topic
        headers: list[tuple[str, bytes | None]] = [*encoded.headers]
        return Output(
            topic,
            self.partition,
            encoded.key,
            encoded.value,
            headers,
            replaces=replaces,
            labels=labels,
            append_ns=append_ns,
        )

    # The first record of an instrument tells whether its producer partitions as we do; checking every record would cost
    # more than decoding it.
    def _misrouted(self) -> list[str]:
        instruments = self.engine.instruments
        fresh = [instruments.id(row) for row in range(self._instruments, len(instruments))]
        self._instruments = len(instruments)
        count = self._settings.partitions
        return [name for name in fresh if expected_partition(name.encode(), count) != self.partition]

    def _check_clock(self, clock: NewsClock, append_ns: int) -> None:
        if self.news_mode not in ("", clock.mode):
            raise _refused(REJECT_CLOCK_MODE)
        if clock.mode == "live" and clock.time_ns > append_ns + self._settings.skew_ns:
            raise _refused(REJECT_FUTURE_TIME, time_ns=clock.time_ns, reference_ns=append_ns)
        self.news_mode = clock.mode


def _refused(reason: int, *, time_ns: int = 0, reference_ns: int = 0) -> RecordRefused:
    message = reason_message(reason, time_ns=time_ns, reference_ns=reference_ns)
    return RecordRefused(STATE, REJECT_NAMES[reason], message)
