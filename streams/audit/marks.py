"""What is compared of a record, and what it is called: one rule for records expected and records found.

Compared are the key, the value and all headers in their order, except those in which tracing systems hand their context
on: they say who was looking, not what was said.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b
from typing import Final

import msgspec

from streams.audit.comparison import Mark

DIGEST_BYTES: Final = 16
TRACE_HEADERS: Final = frozenset({"traceparent", "tracestate", "baggage", "b3", "uber-trace-id", "x-amzn-trace-id"})

Headers = Iterable[tuple[str, bytes | None]]


def signal_mark(key: bytes | None, value: bytes | None, headers: Headers, where: str) -> Mark:
    """Return what is compared of a signal; its event id names it."""
    known = dict(headers)
    name = _text(known.get("ce_id"))
    what = f"{_text(known.get('ce_type'))} {_text(key)} {_text(known.get('ce_time'))}"
    return Mark(name, digest(key, value, headers), body(value), f"{where}: {what} id {name or 'none'}")


def letter_mark(key: bytes | None, value: bytes | None, headers: Headers, where: str) -> Mark:
    """Return what is compared of a dead letter; the offset that it is about names it."""
    # The last header of a name is ours: what came with the record stands before it.
    known = dict(headers)
    parts = [_text(known.get(f"dlq.{name}")) for name in ("topic", "partition", "offset")]
    name = "/".join(parts) if all(parts) else ""
    what = f"{_text(known.get('dlq.error-class'))} for {name or 'no record'}"
    return Mark(name, digest(key, value, headers), body(value), f"{where}: {what}")


def copy_mark(key: bytes | None, value: bytes | None, headers: Headers, where: str) -> Mark:
    """Return what is compared of an article's copy; its content names it."""
    found = digest(key, value, headers)
    return Mark(found.hex(), found, body(value), f"{where}: copy {_article(value)}for {_text(key)}")


def digest(key: bytes | None, value: bytes | None, headers: Headers) -> bytes:
    """Return a digest of all that is compared. Lengths are part of it, so that nothing can move between the parts."""
    hashed = blake2b(digest_size=DIGEST_BYTES)
    for part in (key, value, *(each for header in headers for each in _compared(*header))):
        hashed.update(b"\xff" if part is None else len(part).to_bytes(8, "little"))
        hashed.update(part or b"")
    return hashed.digest()


def body(value: bytes | None) -> bytes:
    """Return a digest of a value alone."""
    return blake2b(value or b"", digest_size=DIGEST_BYTES).digest()


class _Copy(msgspec.Struct):
    article_id: str
    version: int


_copies: Final = msgspec.json.Decoder(_Copy)


# Empty for what is no copy any more.
def _article(value: bytes | None) -> str:
    try:
        copy = _copies.decode(value or b"")
    except msgspec.MsgspecError:
        return ""
    return f"of {copy.article_id} version {copy.version} "


def _compared(name: str, value: bytes | None) -> tuple[bytes | None, ...]:
    lower = name.lower()
    if lower in TRACE_HEADERS or lower.startswith("x-b3-"):
        return ()
    return name.encode(), value


def _text(value: bytes | None) -> str:
    return (value or b"").decode("utf-8", "backslashreplace")
