"""The router: articles, as they were published, to one copy for each instrument that they concern.

It keeps no state, so it begins where it committed, and a copy that is written twice is recognised by its version. A
version that updates, corrects or deletes goes to every partition: only there it is known what an earlier one named.
"""

from __future__ import annotations

from collections.abc import Mapping, Set

from streams.core.news import ArticleCopy
from streams.core.routing import copies
from streams.kafka.dlq import Reason
from streams.kafka.effects import Effects, Output
from streams.kafka.fetched import Fetched
from streams.kafka.partition import PartitionBroken, PartitionSettings
from streams.kafka.topics import expected_partition
from streams.wire.articles import copy_key, decode_article, encode_copy
from streams.wire.batches import Frames, read_batches
from streams.wire.checks import RecordRefused


class RouterRuntime:
    """Fans out the articles of one partition of the articles topic.

    Args:
        partition: Its number.
        settings: What all partitions share.
        position: Where reading begins: where it was committed.
    """

    is_live = True

    def __init__(self, partition: int, settings: PartitionSettings, *, position: int) -> None:
        self.partition = partition
        self.topics: tuple[str, ...] = (settings.topics.articles,)
        self._settings = settings
        self._position = position

    def position(self, topic: str) -> int:
        """Return the offset to read next."""
        return self._position

    def wants(self, topic: str) -> bool:
        """Tell that more may always be read."""
        return True

    def choose(self, held: Set[str], behind: Set[str]) -> str | None:
        """Return the only topic, when it holds records."""
        return next(iter(held), None)

    def read(self, fetched: Fetched) -> Effects:
        """Fan out what was fetched.

        Raises:
            PartitionBroken: A bug, or broken bytes; no record may cause it.
        """
        try:
            frames = read_batches(fetched.data, skip_before=self._position, check_crc=self._settings.check_crc)
            effects = self.articles(frames)
        except Exception as error:
            raise PartitionBroken(
                f"expected {fetched.topic} partition {self.partition} to be readable from offset {self._position} to "
                f"{fetched.next_offset}, found {type(error).__name__}: {error}. Nothing was committed past it; "
                "keep the records and report this as a bug"
            ) from error
        self._position = max(frames.next_offset, fetched.next_offset)
        effects.positions[(fetched.topic, self.partition)] = self._position
        return effects

    def articles(self, frames: Frames) -> Effects:
        """Return the copies of every article, and letters for what is none."""
        effects = Effects(records=len(frames), append_ns=frames.append_ns)
        letters = self._settings.letters[self._settings.topics.articles]
        for index in range(len(frames)):
            value = frames.value(index)
            if value is None:
                effects.nulls += 1
                continue
            append_ns = int(frames.frames[index]["append_ns"])
            try:
                article = decode_article(value, received_ns=append_ns)
            except RecordRefused as refused:
                reason = Reason(refused.stage, refused.reason, str(refused))
                effects.outputs.append(letters.letter(self.partition, frames, index, reason))
                continue
            for copy in copies(article):
                effects.outputs += self._outputs(copy, append_ns)
        return effects

    def totals(self) -> Mapping[str, int]:
        """Return nothing: the router counts nothing of its own."""
        return {}

    def windows(self) -> Mapping[str, int]:
        """Return nothing, as `totals`."""
        return {}

    def open_breakouts(self) -> Mapping[str, int]:
        """Return nothing, as `totals`."""
        return {}

    def _outputs(self, copy: ArticleCopy, append_ns: int) -> list[Output]:
        key, value = copy_key(copy), encode_copy(copy)
        count = self._settings.partitions
        partitions = range(count) if copy.instrument is None else (expected_partition(key, count),)
        topic = self._settings.topics.news
        return [Output(topic, partition, key, value, [], append_ns=append_ns) for partition in partitions]
