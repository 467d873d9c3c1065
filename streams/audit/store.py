"""The file that lets a verification go on where it was interrupted."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from streams.audit.comparison import OrderedComparison
from streams.audit.copies import FanoutComparison
from streams.audit.report import PartitionReport
from streams.audit.revisions import RevisionComparison
from streams.config import Config
from streams.kafka.effects import Place

FORM: Final = 4
"""Raised when the file's form changes; a file of another form is refused."""


class StoreRefused(ValueError):
    """The file is not one of this verification; the text says what to do."""


class _Content(msgspec.Struct):
    form: int
    subject: str
    positions: list[tuple[str, int, int]] = []
    reports: list[PartitionReport] = []


class Partial(msgspec.Struct):
    """A partition of which a part is verified.

    Attributes:
        start: Where it began, for people.
        inputs: Input records read.
        positions: How far the logs were read, by topic.
        found: How far the outputs were read, by topic.
        ordered: Comparisons of outputs, by topic.
        revisions: Comparisons of enriched signals, by topic.
        state: The state there, as the records of a snapshot.
    """

    partition: int
    start: str
    inputs: int
    positions: dict[str, int]
    found: dict[str, int]
    ordered: dict[str, OrderedComparison]
    revisions: dict[str, RevisionComparison]
    state: list[tuple[bytes, bytes | None]]


class SourcePartial(msgspec.Struct):
    """A partition of the articles topic of which a part is verified.

    Attributes:
        start: Where it began.
        position: How far its articles were read.
        inputs: How many up to the committed position.
        letters: The comparison of its dead letters.
    """

    start: int
    position: int
    inputs: int
    letters: OrderedComparison


class FanoutPartial(msgspec.Struct):
    """How far the copies of articles are verified.

    Attributes:
        sources: By partition of the articles topic.
        copies: By partition of the news by instrument.
        found: How far what came of the articles was read: by topic, then by partition.
    """

    sources: list[SourcePartial]
    copies: list[FanoutComparison]
    found: dict[str, list[int]]


class FileStore:
    """Keeps what is finished in one JSON file, and what is not in files beside it.

    Args:
        path: The file; it need not exist.
        config: What is verified: a file of another cluster, application or configuration is refused.
        interval_seconds: How often a partition that is not finished is kept.

    Raises:
        StoreRefused: The file is there and is not of this verification.
    """

    def __init__(self, path: Path, config: Config, *, interval_seconds: float = 60.0) -> None:
        self._path = path
        self._partial_path = path.with_name(path.name + ".partition")
        self._fanout_path = path.with_name(path.name + ".articles")
        self._interval_seconds = interval_seconds
        self._kept_at = time.monotonic()
        subject = _subject(config)
        self._content = _Content(FORM, subject)
        if not path.exists():
            return
        try:
            content = msgspec.json.decode(path.read_bytes(), type=_Content)
        except (OSError, msgspec.MsgspecError) as error:
            raise StoreRefused(
                f"expected {path} to be a file of an earlier verification, found {error}; remove it, or name another"
            ) from error
        if (content.form, content.subject) != (FORM, subject):
            raise StoreRefused(
                f"expected {path} to be of {config.kafka.application_id!r} at {config.kafka.bootstrap_servers} under "
                "this configuration and version, found another; remove it, or name another"
            )
        self._content = content

    def positions(self, positions: Mapping[Place, int]) -> Mapping[Place, int]:
        """Return all positions that were kept before, and these where there were none."""
        kept = {(topic, partition): offset for topic, partition, offset in self._content.positions}
        kept = {**positions, **kept}
        self._content.positions = [(*place, offset) for place, offset in kept.items()]
        return kept

    def report(self, kind: str, partition: int) -> PartitionReport | None:
        """Return the report of a partition that was finished before."""
        for report in self._content.reports:
            if (report.kind, report.partition) == (kind, partition):
                return report
        return None

    def finished(self, report: PartitionReport) -> None:
        """Keep the report of a partition."""
        if report not in self._content.reports:
            self._content.reports.append(report)
        self._save()
        self._partial_path.unlink(missing_ok=True)

    def is_due(self) -> bool:
        """Tell whether a partition that is not finished should be kept now."""
        return time.monotonic() - self._kept_at >= self._interval_seconds

    def partial(self, partition: int) -> Partial | None:
        """Return what was kept of a partition that was not finished."""
        if not self._partial_path.exists():
            return None
        kept = msgspec.msgpack.decode(self._partial_path.read_bytes(), type=Partial)
        return kept if kept.partition == partition else None

    def keep(self, partial: Partial) -> None:
        """Keep a partition that is not finished."""
        self._save()
        _replace(self._partial_path, msgspec.msgpack.encode(partial))
        self._kept_at = time.monotonic()

    def fanout(self) -> FanoutPartial | None:
        """Return what was kept of the copies of articles."""
        if not self._fanout_path.exists():
            return None
        return msgspec.msgpack.decode(self._fanout_path.read_bytes(), type=FanoutPartial)

    def keep_fanout(self, partial: FanoutPartial) -> None:
        """Keep how far the copies of articles are verified."""
        self._save()
        _replace(self._fanout_path, msgspec.msgpack.encode(partial))
        self._kept_at = time.monotonic()

    def done(self) -> None:
        """Remove the files: the verification has come to its end."""
        for path in (self._path, self._partial_path, self._fanout_path):
            path.unlink(missing_ok=True)

    def _save(self) -> None:
        _replace(self._path, msgspec.json.encode(self._content))


# All that decides what is expected. A file that was begun under anything else would be half of one and half of another.
def _subject(config: Config) -> str:
    kafka = config.kafka
    where = kafka.bootstrap_servers, kafka.prefix, kafka.application_id, kafka.partitions
    return repr((where, config.rules, config.markets, config.news))


# As a whole: who is interrupted while writing has the file of before.
def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(path.name + ".new")
    partial.write_bytes(data)
    os.replace(partial, path)
