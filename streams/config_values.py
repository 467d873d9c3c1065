"""Values of the configuration: from TOML or text to a checked Python value, and back to TOML.

Text comes from the environment and the command line: lists are separated by commas (`XNYS,XNAS`), tables are
`name=value` pairs separated by commas (`CST=Asia/Shanghai`), and a pair of thresholds is separated by a slash
(`roc_5=0.10/0.08`).
"""

from __future__ import annotations

import difflib
import json
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, TypeVar, cast
from zoneinfo import ZoneInfo

_INTEGER: Final = re.compile(r"[+-]?\d+(_\d+)*")
_FLOAT: Final = re.compile(r"[+-]?\d+(\.\d+)?")
_OFFSET: Final = re.compile(r"[+-](0\d|1[0-4]):[0-5]\d")
_BARE_KEY: Final = re.compile(r"[A-Za-z0-9_-]+")

SECRET_SHOWN: Final = "********"

PAIRS: Final = Mapping[str, tuple[str, str]]
TABLE: Final = Mapping[str, str]
LIST: Final = tuple[str, ...]

Value = TypeVar("Value")


class ConfigError(ValueError):
    """The configuration cannot be used; the text says where, what was expected, what was found and what to do."""


@dataclass(frozen=True, slots=True)
class Key:
    """What a key means and what it may be.

    Attributes:
        description: A sentence or two for the documentation.
        minimum: Least value, or least length of a list.
        maximum: Greatest value, or greatest length of a list.
        choices: The texts that are allowed, for a list: that its items may be.
        pattern: What a text, or each item of a list, must match as a whole if it is none of the choices.
        grammar: The pattern in words.
        path: The text is the path of a file that must be there.
        zone: The table's values are time zones.
        secret: The value is never shown.
    """

    description: str
    minimum: float | None = None
    maximum: float | None = None
    choices: tuple[str, ...] = ()
    pattern: str = ""
    grammar: str = ""
    path: bool = False
    zone: bool = False
    secret: bool = False


def key(default: Value, key: Key) -> Value:
    """Return a dataclass field that carries its own description and bounds."""
    metadata = {"key": key}
    made: object
    if isinstance(default, dict):
        made = field(default_factory=lambda: dict(default), metadata=metadata)
    else:
        made = field(default=default, metadata=metadata, repr=not key.secret)
    # As with dataclasses.field: the declared type is the value's, what stands in the class body is its description.
    return cast(Value, made)


def from_toml(kind: object, bounds: Key, value: object, where: str) -> object:
    """Return a value of a TOML file as its key's type.

    Raises:
        ConfigError: It has another type, or is out of bounds.
    """
    if kind is float and isinstance(value, int) and not isinstance(value, bool):
        value = float(value)
    if kind in (str, int, float, bool):
        if type(value) is not kind:
            raise ConfigError(
                f"{where}: expected {describe_kind(kind, bounds)}, found {_shown(value)}{_quotes(kind, value)}"
            )
        return _checked(kind, bounds, value, where)
    if kind == LIST:
        if not isinstance(value, list) or any(not isinstance(item, str) for item in value):
            raise ConfigError(f'{where}: expected a list of texts such as ["XNYS", "XNAS"], found {_shown(value)}')
        return _checked(kind, bounds, tuple(value), where)
    if not isinstance(value, dict):
        raise ConfigError(f"{where}: expected a table of names and values, found {_shown(value)}")
    entries = {name: _entry(kind, entry, f"{where}.{name}") for name, entry in value.items()}
    return _checked(kind, bounds, entries, where)


def from_text(kind: object, bounds: Key, text: str, where: str) -> object:
    """Return a value of the environment or the command line as its key's type.

    Raises:
        ConfigError: It does not read as that type, or is out of bounds.
    """
    value: object = text
    if kind in (int, float, bool):
        value = _scalar(kind, text.strip())
        if value is None:
            raise ConfigError(f"{where}: expected {describe_kind(kind, bounds)}, found {_shown(text)}")
    elif kind == LIST:
        value = tuple(part.strip() for part in text.split(",") if part.strip())
    elif kind in (TABLE, PAIRS):
        pairs = [part.strip().partition("=") for part in text.split(",") if part.strip()]
        if any(not separator for _, separator, _ in pairs):
            raise ConfigError(f"{where}: expected name=value pairs separated by commas, found {_shown(text)}")
        entries = {name.strip(): item.strip() for name, _, item in pairs}
        value = {name: _pair(item.partition("/")) if kind == PAIRS else item for name, item in entries.items()}
    return _checked(kind, bounds, value, where)


def to_toml(value: object) -> str:
    """Return a value as it is written in a TOML file.

    >>> to_toml(("XNYS", "XNAS")), to_toml({"gap": ("0.03", "")}), to_toml(True)
    ('["XNYS", "XNAS"]', '{ gap = ["0.03", ""] }', 'true')
    """
    if isinstance(value, bool):
        return "true" if value else "false"
    if isinstance(value, int | float):
        return repr(value)
    if isinstance(value, str):
        # A JSON string is a TOML basic string, but for the delete character, which JSON leaves as it is.
        return json.dumps(value, ensure_ascii=False).replace("\x7f", "\\u007f")
    if isinstance(value, Mapping):
        pairs = ", ".join(
            f"{name if _BARE_KEY.fullmatch(name) else to_toml(name)} = {to_toml(entry)}"
            for name, entry in value.items()
        )
        return f"{{ {pairs} }}" if pairs else "{}"
    if isinstance(value, tuple | list):
        return f"[{', '.join(to_toml(item) for item in value)}]"
    raise TypeError(f"expected a value of the configuration, found {value!r}")


def describe_kind(kind: object, bounds: Key) -> str:
    """Return a key's type and bounds in words, for errors and the documentation."""
    if bounds.choices:
        names = ", ".join(choice or '""' for choice in bounds.choices)
        more = f", or {bounds.grammar}" if bounds.grammar else ""
        return f"names among {names}{more}" if kind == LIST else f"one of {names}"
    if bounds.grammar:
        return bounds.grammar
    if kind in (int, float):
        noun = "a whole number" if kind is int else "a number"
        if bounds.minimum is None or bounds.maximum is None:
            return noun
        return f"{noun} from {_plain(bounds.minimum)} to {_plain(bounds.maximum)}"
    if bounds.path:
        return "the path of a file"
    if bounds.zone:
        return "a table of abbreviations and zones"
    if kind == PAIRS:
        return "a table of names and pairs of decimal texts"
    plain = {str: "text", bool: "true or false"}
    return next(
        (words for known, words in plain.items() if kind is known), "a list of texts" if kind == LIST else "a table"
    )


def _scalar(kind: object, text: str) -> int | float | bool | None:
    if kind is int:
        return int(text) if _INTEGER.fullmatch(text) else None
    if kind is float:
        return float(text) if _FLOAT.fullmatch(text) else None
    return {"true": True, "false": False}.get(text.lower())


def _entry(kind: object, value: object, where: str) -> object:
    if kind == TABLE:
        if not isinstance(value, str):
            raise ConfigError(f"{where}: expected text, found {_shown(value)}{_quotes(str, value)}")
        return value
    items = [value] if isinstance(value, str) else value
    if not isinstance(items, list) or not 1 <= len(items) <= 2 or any(not isinstance(item, str) for item in items):
        expected = 'enter and exit as texts, such as ["0.10", "0.08"]'
        raise ConfigError(f"{where}: expected {expected}, found {_shown(value)}: in quotes a decimal stays exact")
    return (items[0], items[1] if len(items) == 2 else "")


def _pair(parts: tuple[str, str, str]) -> tuple[str, str]:
    return (parts[0].strip(), parts[2].strip())


def _checked(kind: object, bounds: Key, value: object, where: str) -> object:
    complaint = f"{where}: expected {describe_kind(kind, bounds)}, found"
    if isinstance(value, int | float | tuple):
        size = len(value) if isinstance(value, tuple) else value
        low = bounds.minimum is not None and size < bounds.minimum
        if low or (bounds.maximum is not None and size > bounds.maximum):
            raise ConfigError(f"{complaint} {_shown(value)}")
    for item in value if isinstance(value, tuple) else (value,):
        if item in bounds.choices or (bounds.pattern and re.fullmatch(bounds.pattern, str(item))):
            continue
        if bounds.choices or bounds.pattern:
            raise ConfigError(f"{complaint} {_shown(item)}{nearest(str(item), bounds.choices)}")
    if isinstance(value, tuple) and len(set(value)) != len(value):
        raise ConfigError(f"{where}: expected each name once, found {_shown(value)}")
    if bounds.path and value and not Path(str(value)).is_file():
        raise ConfigError(f"{complaint} none at {value}")
    if bounds.zone and isinstance(value, Mapping):
        for name, zone in value.items():
            if not _OFFSET.fullmatch(zone) and not _is_zone(zone):
                expected = "an IANA zone such as Asia/Shanghai or an offset such as +08:00"
                raise ConfigError(f"{where}.{name}: expected {expected}, found {_shown(zone)}")
    return value


def nearest(name: str, known: Iterable[str]) -> str:
    """Return a hint at the known name that is most like a misspelt one, or nothing when none is."""
    near = difflib.get_close_matches(name, list(known), n=1, cutoff=0.6)
    return f": did you mean {near[0]}?" if near else ""


def _is_zone(name: str) -> bool:
    try:
        ZoneInfo(name)
    except (KeyError, OSError, ValueError):  # No such zone; or a folder or an impossible path where zones are kept.
        return False
    return True


def _plain(number: float) -> str:
    return str(int(number)) if number == int(number) else str(number)


def _shown(value: object) -> str:
    text = repr(value)
    return text if len(text) <= 80 else text[:77] + "..."


def _quotes(kind: object, value: object) -> str:
    if kind is str and isinstance(value, int | float):
        return ": write it in quotes"
    if kind in (int, float, bool) and isinstance(value, str):
        return ": write it without quotes"
    return ""
