"""The worker's log: one line a batch or a state change at most, an event's constant name and its fields."""

from __future__ import annotations

import json
import logging
import sys
import traceback
from datetime import UTC, datetime
from typing import Any, Final

LIBRARIES: Final = ("aiokafka", "faust", "mode", "asyncio", "streams.kafka.app", "streams.kafka.transport")
"""Their news is ours to tell; their warnings are let through. The two modules of ours hold Faust's subclasses only."""

SPARING: Final = "aiokafka"
SPARING_SECONDS: Final = 10.0
TOLD_ELSEWHERE: Final = "Unexpected error in sender routine"


def note(logger: logging.Logger, level: int, event: str, **fields: object) -> None:
    """Log an event with its fields. Event names are constant snake_case; what varies is a field."""
    if logger.isEnabledFor(level):
        logger.log(level, event, extra={"fields": fields})


def note_failure(logger: logging.Logger, event: str, error: BaseException, *, with_trace: bool) -> None:
    """Log what ended something; with its trace where it is a bug of ours."""
    fields = {"fields": {"error": f"{type(error).__name__}: {error}"}}
    logger.error(event, exc_info=error if with_trace else None, extra=fields)


class JsonLines(logging.Formatter):
    """One JSON object a line, for machines."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        line: dict[str, Any] = {
            "time": datetime.fromtimestamp(record.created, UTC).strftime("%Y-%m-%dT%H:%M:%S.%fZ"),
            "level": record.levelname.lower(),
            "logger": record.name,
            "event": record.getMessage(),
            **getattr(record, "fields", {}),
        }
        if record.exc_info and record.exc_info[0] is not None:
            line["trace"] = "".join(traceback.format_exception(*record.exc_info)).rstrip()
        return json.dumps(line, default=str, ensure_ascii=False)


class TextLines(logging.Formatter):
    """One readable line, for people."""

    def format(self, record: logging.LogRecord) -> str:
        """Return the line of a record."""
        time = datetime.fromtimestamp(record.created).astimezone().strftime("%H:%M:%S.%f")[:-3]
        fields = " ".join(f"{name}={value}" for name, value in getattr(record, "fields", {}).items())
        line = f"{time} {record.levelname.lower():7} {record.getMessage()} {fields}".rstrip()
        if record.exc_info and record.exc_info[0] is not None:
            line += "\n" + "".join(traceback.format_exception(*record.exc_info)).rstrip()
        return line


class Sparing(logging.Filter):
    """Lets a library say the same thing once in a while: an absent broker is told of with every attempt to reach it.

    What ends a producer is told by the partition that owned it, with its reason.
    """

    def __init__(self) -> None:
        super().__init__()
        self._said: dict[tuple[str, str], float] = {}

    def filter(self, record: logging.LogRecord) -> bool:
        """Tell whether a record is to be written."""
        if not record.name.startswith(SPARING):
            return True
        if str(record.msg).startswith(TOLD_ELSEWHERE):
            return False
        said = self._said.get((record.name, str(record.msg)))
        if said is not None and record.created - said < SPARING_SECONDS:
            return False
        self._said[record.name, str(record.msg)] = record.created
        return True


def configure(level: str, form: str) -> None:
    """Send the log of this process to standard error. Called once, by the command line's worker.

    Args:
        level: Least severity: debug, info, warning or error.
        form: `json` or `text`.
    """
    handler = logging.StreamHandler(sys.stderr)
    handler.setFormatter(JsonLines() if form == "json" else TextLines())
    handler.addFilter(Sparing())
    root = logging.getLogger()
    root.handlers[:] = [handler]
    root.setLevel(level.upper())
    for name in LIBRARIES:
        logging.getLogger(name).setLevel(max(logging.WARNING, root.level))
