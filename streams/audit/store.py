"""The file that lets a verification go on where it was interrupted."""

from __future__ import annotations

import os
import time
from collections.abc import Mapping
from pathlib import Path
from typing import Final, TypeVar

import msgspec

from streams import __version__
from streams.audit.comparison import OrderedComparison
from streams.audit.copies import FanoutComparison
from streams.audit.report import PartitionReport
from streams.audit.revisions import RevisionComparison
from streams.config import Config
from streams.core.rules import RULES_VERSION
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


class _Half(msgspec.Struct, array_like=True):
    form: int
    subject: str
    content: msgspec.Raw


_Unfinished = TypeVar("_Unfinished", Partial, FanoutPartial)


class FileStore:
    """Keeps what is finished in one JSON file, and what is not in files beside it.

    Where the file is not there those beside it are of nothing that goes on, and are removed.

    Args:
        path: The file; it need not exist.
        config: What is verified: files of another cluster, application, configuration or version are refused.
        interval_seconds: How often a partition that is not finished is kept.

    Raises:
        StoreRefused: A file is there and is damaged, or not of this verification.
    """

    def __init__(self, path: Path, config: Config, *, interval_seconds: float = 60.0) -> None:
        self._path = path
        self._partial_path = path.with_name(path.name + ".partition")
        self._fanout_path = path.with_name(path.name + ".articles")
        self._interval_seconds = interval_seconds
        self._kept_at = time.monotonic()
        subject = _subject(config)
        self._config = config
        self._content = _Content(FORM, subject)
        if not path.exists():
            for beside in (self._partial_path, self._fanout_path):
                beside.unlink(missing_ok=True)
            return
        try:
            content = msgspec.json.decode(path.read_bytes(), type=_Content)
        except (OSError, msgspec.MsgspecError) as error:
            raise StoreRefused(
                f"expected {path} to be a file of an earlier verification, found {error}; remove it, or name another"
            ) from error
        self._check(path, content.form, content.subject)
        self._content = content
        # Here, and not after hours of reading.
        self._read(self._partial_path, Partial)
        self._read(self._fanout_path, FanoutPartial)

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
        kept = self._read(self._partial_path, Partial)
        return kept if kept is not None and kept.partition == partition else None

    def keep(self, partial: Partial) -> None:
        """Keep a partition that is not finished."""
        self._save()
        self._write(self._partial_path, partial)
        self._kept_at = time.monotonic()

    def fanout(self) -> FanoutPartial | None:
        """Return what was kept of the copies of articles."""
        return self._read(self._fanout_path, FanoutPartial)

    def keep_fanout(self, partial: FanoutPartial) -> None:
        """Keep how far the copies of articles are verified."""
        self._save()
        self._write(self._fanout_path, partial)
        self._kept_at = time.monotonic()

    def done(self) -> None:
        """Remove the files: the verification has come to its end."""
        for path in (self._path, self._partial_path, self._fanout_path):
            path.unlink(missing_ok=True)

    def _save(self) -> None:
        _replace(self._path, msgspec.json.encode(self._content))

    def _write(self, path: Path, content: Partial | FanoutPartial) -> None:
        half = _Half(FORM, self._content.subject, msgspec.Raw(msgspec.msgpack.encode(content)))
        _replace(path, msgspec.msgpack.encode(half))

    def _read(self, path: Path, kind: type[_Unfinished]) -> _Unfinished | None:
        if not path.exists():
            return None
        try:
            half = msgspec.msgpack.decode(path.read_bytes(), type=_Half)
            self._check(path, half.form, half.subject)
            return msgspec.msgpack.decode(half.content, type=kind)
        except (OSError, msgspec.MsgspecError) as error:
            raise StoreRefused(
                f"expected {path} to be a file of an interrupted verification, found {error}; remove it: what it held "
                "is verified again"
            ) from error

    def _check(self, path: Path, form: int, subject: str) -> None:
        if (form, subject) == (FORM, self._content.subject):
            return
        kafka = self._config.kafka
        found = f"one of form {form}" if form != FORM else "one of another"
        raise StoreRefused(
            f"expected {path} to be of form {FORM}, of {kafka.application_id!r} with prefix {kafka.prefix!r} at "
            f"{kafka.bootstrap_servers} under this configuration, and of version {__version__}, found {found}; remove "
            "it, or name another"
        )


# All that decides what is expected. A file that was begun under anything else would be half of one and half of another.
def _subject(config: Config) -> str:
    kafka = config.kafka
    where = kafka.bootstrap_servers, kafka.prefix, kafka.application_id, kafka.partitions
    return repr((where, config.rules, config.markets, config.news, __version__, RULES_VERSION))


# As a whole: who is interrupted while writing has the file of before.
def _replace(path: Path, data: bytes) -> None:
    partial = path.with_name(path.name + ".new")
    partial.write_bytes(data)
    os.replace(partial, path)
