"""The file that lets a verification go on where it was interrupted."""

from __future__ import annotations

import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

import msgspec

from streams.audit.report import PartitionReport
from streams.config import Config
from streams.kafka.effects import Place

FORM: Final = 1
"""Raised when the file's form changes; a file of another form is refused."""


class StoreRefused(ValueError):
    """The file is not one of this verification; the text says what to do."""


class _Content(msgspec.Struct):
    form: int
    subject: str
    positions: list[tuple[str, int, int]] = []
    reports: list[PartitionReport] = []


class FileStore:
    """Keeps what is finished in one JSON file, replaced as a whole.

    Args:
        path: The file; it need not exist.
        config: What is verified: a file of another cluster, application or configuration is refused.

    Raises:
        StoreRefused: The file is there and is not of this verification.
    """

    def __init__(self, path: Path, config: Config) -> None:
        self._path = path
        subject = repr((config.kafka.bootstrap_servers, config.kafka.prefix, config.kafka.application_id, config.rules))
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
        """Return the committed positions of the first run, these when there was none."""
        if not self._content.positions:
            self._content.positions = [(*place, offset) for place, offset in positions.items()]
        return {(topic, partition): offset for topic, partition, offset in self._content.positions}

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
        partial = self._path.with_name(self._path.name + ".partial")
        partial.write_bytes(msgspec.json.encode(self._content))
        os.replace(partial, self._path)

    def done(self) -> None:
        """Remove the file: the verification has come to its end."""
        self._path.unlink(missing_ok=True)
