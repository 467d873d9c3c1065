"""`fiftytwo dlq`: records that could not be used, why, and their very bytes."""

from __future__ import annotations

import re
from collections.abc import Iterator
from datetime import UTC, datetime
from typing import TYPE_CHECKING, Final

import click

from streams.commands.options import Commands, Options, common_options, plural, run_async

if TYPE_CHECKING:
    from streams.kafka.follow import Followed

KINDS: Final = ("ticks", "articles", "news")
PREFIX: Final = "dlq."
SHOWN_BYTES: Final = 4096
_NAME: Final = re.compile(r"(ticks|articles|news)/(\d{1,6})/(\d{1,18})")


@click.group(cls=Commands)
def dlq() -> None:
    """List or show records that could not be used (dead letters).

    A record that cannot be used goes to the topic <input>.dlq as it was, with headers that say why; its neighbours are
    not affected.
    """


@dlq.command("list")
@click.option("--topic", "kinds", multiple=True, type=click.Choice(KINDS), help="Only this input. Repeatable.")
@click.option("-n", "count", type=click.IntRange(min=1), metavar="COUNT", help="Only this many, the newest.")
@common_options(hidden=True)
@click.pass_obj
def list_letters(options: Options, *, kinds: tuple[str, ...], count: int | None) -> None:
    """List the dead letters, oldest first: name, time, reason, key, message.

    The name is what `fiftytwo dlq show` takes.

    Examples:
      fiftytwo dlq list
      fiftytwo dlq list --topic ticks -n 20
    """
    from collections import deque

    config = options.config()

    async def read() -> list[tuple[str, Followed]]:
        from streams.kafka.follow import follow
        from streams.kafka.topics import Topics

        names = Topics(config.kafka.prefix)
        topics = {names.dlq(getattr(names, kind)): kind for kind in KINDS if not kinds or kind in kinds}
        newest: deque[tuple[str, Followed]] = deque(maxlen=count)
        async for record in follow(config.kafka, list(topics), from_beginning=True, until_end=True):
            newest.append((topics[record.topic], record))
        return sorted(newest, key=lambda entry: (entry[1].timestamp_ms, entry[0], entry[1].partition, entry[1].offset))

    letters = run_async(read())
    for kind, letter in letters:
        click.echo(_row(kind, letter))
    click.echo(plural(len(letters), "dead letter"), err=True)


@dlq.command("show")
@click.argument("name", metavar="NAME")
@click.option("--raw", is_flag=True, help="Write the record's bytes to standard output and nothing else.")
@common_options(hidden=True)
@click.pass_obj
def show(options: Options, *, name: str, raw: bool) -> None:
    """Show one dead letter: why it is there, its headers, and its bytes.

    NAME is input/partition/offset, as `fiftytwo dlq list` prints it.

    Examples:
      fiftytwo dlq show ticks/0/15
      fiftytwo dlq show ticks/0/15 --raw | xxd
    """
    match = _NAME.fullmatch(name)
    if match is None:
        raise click.BadParameter(
            f"expected a name such as ticks/0/15 (`fiftytwo dlq list` prints them), found {name!r}", param_hint="'NAME'"
        )
    config = options.config()

    async def read() -> Followed:
        from streams.kafka.follow import read_one
        from streams.kafka.topics import Topics

        names = Topics(config.kafka.prefix)
        return await read_one(config.kafka, names.dlq(getattr(names, match[1])), int(match[2]), int(match[3]))

    letter = run_async(read())
    if raw:
        click.echo(letter.value or b"", nl=False)
        return
    for line in _described(letter):
        click.echo(line)


def _row(kind: str, letter: Followed) -> str:
    name = f"{kind}/{letter.partition}/{letter.offset}"
    message = letter.header("dlq.error-message") or ""
    key = (letter.key or b"").decode("utf-8", "backslashreplace")
    reason = letter.header("dlq.error-class") or ""
    return f"{name:<16}  {_time(letter.timestamp_ms)}  {reason:<20}  {key[:32]:<12}  {_one_line(message, 160)}"


def _described(letter: Followed) -> Iterator[str]:
    own = {key: (value or b"").decode("utf-8", "replace") for key, value in letter.headers if key.startswith(PREFIX)}
    for key, text in own.items():
        shown = _time(int(text)) if key == "dlq.timestamp" and text.isdigit() else text
        yield f"{key.removeprefix(PREFIX):<16} {shown}"
    yield f"{'key':<16} {'none' if letter.key is None else letter.key.decode('utf-8', 'backslashreplace')}"
    for header, value in letter.headers:
        if not header.startswith(PREFIX):
            yield f"{'header':<16} {header}: {(value or b'').decode('utf-8', 'backslashreplace')}"
    body = letter.value or b""
    yield f"{'value':<16} {plural(len(body), 'byte')}"
    yield ""
    yield from _dump(body[:SHOWN_BYTES])
    if len(body) > SHOWN_BYTES:
        yield f"... {plural(len(body) - SHOWN_BYTES, 'byte')} more: --raw writes them all"


# Sixteen bytes a line, in hexadecimal and as text, as everybody knows it from xxd.
def _dump(data: bytes) -> Iterator[str]:
    for start in range(0, len(data), 16):
        part = data[start : start + 16]
        text = "".join(chr(byte) if 32 <= byte < 127 else "." for byte in part)
        yield f"{start:08x}  {part.hex(' '):<47}  {text}"


def _one_line(text: str, width: int) -> str:
    line = " ".join(text.split())
    return line if len(line) <= width else line[: width - 3] + "..."


def _time(milliseconds: int) -> str:
    return f"{datetime.fromtimestamp(milliseconds / 1000, UTC):%Y-%m-%d %H:%M:%S}Z"
