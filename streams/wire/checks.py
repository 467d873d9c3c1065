"""What every field of a JSON record is held against, and the refusal that names its reason."""

from __future__ import annotations

from typing import Any, Final

import msgspec

from streams.core import news
from streams.core.units import TIME_MAX_NS, TIME_MIN_NS, parse_time

RECORD_BYTES_MAX: Final = 1_048_576  # The default largest record of a broker.
VERSION_MAX: Final = 2**63 - 1
# First bytes of a schema registry's framing: an id of four bytes follows the first, a GUID of sixteen the second.
_REGISTRY_MAGIC: Final = (0x00, 0x01)


class RecordRefused(ValueError):
    """A record that breaks a rule: `stage` and `reason` are labels of the dead-letter topic, the text is for people."""

    def __init__(self, stage: str, reason: str, message: str) -> None:
        super().__init__(message)
        self.stage = stage
        self.reason = reason
        self.message = message


def decode(decoder: msgspec.json.Decoder[Any], value: bytes) -> Any:
    """Return what a decoder makes of a record; refuse what is too large, framed, or not JSON of the right shape."""
    if len(value) > RECORD_BYTES_MAX:
        raise RecordRefused(
            "deserialize",
            "article_too_large",
            f"expected at most {RECORD_BYTES_MAX} bytes, found {len(value)}; cut the body",
        )
    if value[:1] and value[0] in _REGISTRY_MAGIC:
        raise RecordRefused(
            "deserialize",
            "registry_framed",
            f"expected plain JSON, found a registry's framing (first byte {value[0]:#04x}); serialise without it",
        )
    try:
        value.decode("utf-8")
        return decoder.decode(value)
    except UnicodeDecodeError as error:
        raise RecordRefused(
            "deserialize", "invalid_utf8", f"expected UTF-8, found {error.reason} at byte {error.start}"
        ) from None
    except msgspec.ValidationError as error:
        raise refused(*_validation_reason(str(error))) from None
    except (msgspec.DecodeError, RecursionError) as error:
        raise RecordRefused("deserialize", "invalid_json", f"expected a JSON object, found: {error}") from None


def _validation_reason(message: str) -> tuple[str, str]:
    if "missing required field" in message:
        return "missing_field", message
    if message.startswith("Expected `object`") and " - at " not in message:
        return "not_an_object", message
    return "wrong_type", message


def refused(reason: str, message: str) -> RecordRefused:
    """Return the refusal of a record that is JSON and breaks a rule."""
    return RecordRefused("validate", reason, message)


def whole(name: str, value: float) -> int:
    """Return a whole number; producers without integers write 1.0 or 1.759e18, which is one by JSON Schema too."""
    if isinstance(value, float) and not value.is_integer():
        raise refused("wrong_type", f"expected {name} to be a whole number, found {value}")
    return int(value)


def time(name: str, value: str | float) -> int:
    """Return a time in nanoseconds, from RFC 3339 with a zone or from nanoseconds."""
    if not isinstance(value, str):
        value = whole(name, value)
        if not TIME_MIN_NS <= value <= TIME_MAX_NS:
            raise refused("invalid_time", f"{name}: expected nanoseconds in the years 1900 to 2199, found {value}")
        return value
    try:
        return parse_time(value)
    except ValueError as error:
        reason = "time_without_zone" if "has no zone" in str(error) else "invalid_time"
        raise refused(reason, f"{name}: {error}") from None


def version(value: float) -> int:
    """Return a version that fits 63 bits."""
    value = whole("version", value)
    if not 0 <= value <= VERSION_MAX:
        raise refused("invalid_version", f"expected a version from 0 to 2^63 - 1, found {str(value)[:60]}")
    return value


def text(name: str, value: str, characters_max: int) -> str:
    """Return a text that is there and not too long."""
    if not value.strip():
        raise refused("missing_field", f"expected {name}, found an empty text")
    return limited(name, value, characters_max)


def limited(name: str, value: str, characters_max: int) -> str:
    """Return a text that is not too long."""
    if len(value) > characters_max:
        raise refused(
            "article_too_large", f"expected {name} of at most {characters_max} characters, found {len(value)}"
        )
    return value


def ratio(name: str, value: float | None) -> float | None:
    """Return a number from 0 to 1, or None where it is absent."""
    if value is not None and not 0.0 <= value <= 1.0:
        raise refused("out_of_range", f"expected {name} from 0 to 1, found {value}")
    return value


def instrument(name: str, value: str) -> None:
    """Refuse what is no `MIC:SYMBOL`."""
    if not news.is_instrument(value):
        raise refused("invalid_instrument", f"{name}: expected MIC:SYMBOL such as XNYS:BABA, found {value[:60]!r}")


def choice(name: str, value: str, choices: tuple[str, ...], reason: str) -> None:
    """Refuse what is none of the choices, for the given reason."""
    if value not in choices:
        raise refused(reason, f"expected {name} to be one of {', '.join(choices)}; found {value[:60]!r}")
