"""`fiftytwo signals` and `fiftytwo dlq` read what is on the topics of a real broker, and nothing else."""

from __future__ import annotations

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Sequence
from contextlib import aclosing
from pathlib import Path
from typing import Any

import pytest
from aiokafka import AIOKafkaConsumer, AIOKafkaProducer, TopicPartition

from streams.cli import run
from streams.config import Config, Kafka
from streams.kafka.embedded import EmbeddedBroker
from streams.kafka.follow import RecordMissing, TopicMissing, follow, read_one
from streams.kafka.topics import Topics, apply
from tests.integration.apache import ApacheBroker

SCHEMAS = Path(__file__).parents[2] / "schemas"
SECONDS_MAX = 30.0

Record = tuple[str, int, bytes | None, bytes | None, list[tuple[str, bytes]]]


@pytest.fixture
def config(broker: EmbeddedBroker | ApacheBroker, prefix: str) -> Config:
    made = Config(kafka=Kafka(bootstrap_servers=broker.bootstrap, prefix=prefix, partitions=2))
    asyncio.run(apply(made))
    return made


@pytest.fixture
def fiftytwo(config: Config, monkeypatch: pytest.MonkeyPatch) -> Callable[..., int]:
    """Run a command line on the broker of this test."""
    monkeypatch.setenv("FIFTYTWO_KAFKA_BOOTSTRAP_SERVERS", config.kafka.bootstrap_servers)
    monkeypatch.setenv("FIFTYTWO_KAFKA_PREFIX", config.kafka.prefix)
    return lambda *arguments: run(arguments)


def write(config: Config, records: Sequence[Record], *, commit: bool = True) -> None:
    """Write records in one transaction, and return when a reader of committed records is told that it is over.

    The broker acknowledges a transaction before its markers stand in the topics.
    """

    async def send() -> None:
        producer: Any = AIOKafkaProducer(
            bootstrap_servers=config.kafka.bootstrap_servers, transactional_id=f"{config.kafka.prefix}writer"
        )
        await producer.start()
        try:
            await producer.begin_transaction()
            for topic, partition, key, value, headers in records:
                await producer.send(topic, value, key=key, partition=partition, headers=headers)
            await (producer.commit_transaction() if commit else producer.abort_transaction())
        finally:
            await producer.stop()

    async def ends(isolation_level: str) -> dict[TopicPartition, int]:
        places = {TopicPartition(topic, partition) for topic, partition, *_ in records}
        consumer: Any = AIOKafkaConsumer(
            bootstrap_servers=config.kafka.bootstrap_servers, isolation_level=isolation_level
        )
        await consumer.start()
        try:
            return dict(await consumer.end_offsets(places))
        finally:
            await consumer.stop()

    async def over() -> None:
        async with asyncio.timeout(SECONDS_MAX):
            written = await ends("read_uncommitted")
            while any(end < written[place] for place, end in (await ends("read_committed")).items()):
                pass

    asyncio.run(send())
    asyncio.run(over())


def example(name: str, instrument: str = "XNYS:BABA") -> bytes:
    shown = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))["examples"][0]
    return json.dumps({**shown, "instrument": {**shown["instrument"], "id": instrument}}).encode()


def test_clock_check_says_whether_the_time_is_written(
    fiftytwo: Callable[..., int], config: Config, capsys: pytest.CaptureFixture[str]
) -> None:
    """It ends with 1 without a clock, with one of a replay, and with an old one; with 0 while one is written."""
    news = Topics(config.kafka.prefix).news

    def told(time_ns: int, mode: str) -> tuple[int, str]:
        value = json.dumps({"type": "clock", "time": time_ns, "mode": mode}).encode()
        write(config, [(news, partition, None, value, []) for partition in range(2)])
        return fiftytwo("clock", "--check"), "".join(capsys.readouterr())

    now = time.time_ns()

    assert (fiftytwo("clock", "--check"), "found none" in capsys.readouterr().err) == (1, True)
    assert told(now, "replay")[0] == 1
    code, text = told(now - 60_000_000_000, "live")
    assert (code, "found a live one of" in text) == (1, True)
    code, text = told(time.time_ns(), "live")
    assert (code, " s ago" in text) == (0, True)


def signals(config: Config) -> list[Record]:
    names = Topics(config.kafka.prefix)
    return [
        (names.breakouts, 0, b"XNYS:BABA", example("breakout-signal"), []),
        (names.breakouts, 1, b"XNAS:ABCD", example("proximity-signal", "XNAS:ABCD"), []),
        (names.momentum, 0, b"XNYS:BABA", example("momentum-signal"), []),
    ]


def test_signals_prints_one_line_each_and_stops_at_the_end(
    config: Config, fiftytwo: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """From the beginning until the end, every committed signal of every partition is one line."""
    write(config, signals(config))

    assert fiftytwo("signals", "--from-beginning", "--until-end") == 0

    lines = capsys.readouterr().out.splitlines()
    assert len(lines) == 3
    assert any("52-week high 180.16 of 2025-09-24: broken at" in line for line in lines)


def test_signals_of_an_aborted_transaction_are_not_read(
    config: Config, fiftytwo: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """What was never committed was never said; a transaction's marker at the end keeps nobody waiting."""
    write(config, signals(config)[:1])
    write(config, signals(config), commit=False)

    assert fiftytwo("signals", "--from-beginning", "--until-end") == 0

    assert len(capsys.readouterr().out.splitlines()) == 1


@pytest.mark.parametrize(
    ("flags", "count"),
    [
        (["--family", "high_52w"], 1),
        (["--family", "high_52w", "--family", "session_return"], 2),
        (["--instrument", "XNAS:ABCD"], 1),
        (["--topic", "breakouts"], 2),
        (["--topic", "momentum", "--family", "high_52w"], 0),
        (["-n", "2"], 2),
    ],
)
def test_signals_are_filtered(
    config: Config,
    fiftytwo: Callable[..., int],
    capsys: pytest.CaptureFixture[str],
    flags: list[str],
    count: int,
) -> None:
    """Filters of one kind add up, filters of several kinds must all hold; -n ends it."""
    write(config, signals(config))

    assert fiftytwo("signals", "--from-beginning", "--until-end", *flags) == 0

    assert len(capsys.readouterr().out.splitlines()) == count


def test_json_is_the_value_as_it_is(
    config: Config, fiftytwo: Callable[..., int], capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """With --json a line is the record's very bytes, for programs."""
    write(config, signals(config)[:1])

    assert fiftytwo("signals", "--from-beginning", "--until-end", "--json") == 0

    assert capsysbinary.readouterr().out == example("breakout-signal") + b"\n"


def test_record_that_is_no_signal_is_named_and_left_out(
    config: Config, fiftytwo: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """Somebody else's record on the topic does not stop the reader."""
    names = Topics(config.kafka.prefix)
    write(config, [(names.breakouts, 0, b"k", b"\xff{", []), (names.momentum, 0, b"k", None, []), *signals(config)[:1]])

    assert fiftytwo("signals", "--from-beginning", "--until-end") == 0

    shown = capsys.readouterr()
    assert len(shown.out.splitlines()) == 1
    assert f"{names.breakouts}/0/0 holds no signal, left out" in shown.err


def test_follower_sees_only_what_comes_later(config: Config) -> None:
    """Without --from-beginning a reader starts at the end, and gets the next record."""
    write(config, signals(config))
    names = Topics(config.kafka.prefix)

    async def next_value() -> bytes | None:
        async with aclosing(follow(config.kafka, [names.breakouts])) as records, asyncio.timeout(SECONDS_MAX):
            waiting = asyncio.ensure_future(anext(records))
            # Written again until the reader, which finds the end in its own time, has seen one.
            while not waiting.done():
                await asyncio.to_thread(write, config, [(names.breakouts, 1, b"k", b"later", [])])
                await asyncio.wait({waiting}, timeout=0.2)
            return (await waiting).value

    assert asyncio.run(next_value()) == b"later"


def test_interrupted_follower_ends_with_130(config: Config) -> None:
    """Ctrl-C ends a follower without a traceback or a word from the libraries."""
    write(config, signals(config)[:1])
    environment = {**os.environ, "FIFTYTWO_KAFKA_BOOTSTRAP_SERVERS": config.kafka.bootstrap_servers}
    command = [sys.executable, "-m", "streams.cli", "signals", "--from-beginning", "--prefix", config.kafka.prefix]
    follower = subprocess.Popen(command, env=environment, stdout=subprocess.PIPE, stderr=subprocess.PIPE, text=True)
    try:
        assert follower.stdout is not None
        assert follower.stdout.readline()
        follower.send_signal(signal.SIGINT)
        _, errors = follower.communicate(timeout=SECONDS_MAX)
    finally:
        follower.kill()
        follower.communicate()

    assert follower.returncode == 130
    assert errors.strip() == ""


def letters(config: Config) -> list[Record]:
    names = Topics(config.kafka.prefix)

    def headers(topic: str, reason: str, message: str) -> list[tuple[str, bytes]]:
        fields = {
            "topic": topic,
            "partition": "1",
            "offset": "7",
            "timestamp": "1759239000000",
            "error-class": reason,
            "stage": "validate",
            "error-message": message,
        }
        return [("origin", b"feed-1"), *((f"dlq.{name}", text.encode()) for name, text in fields.items())]

    ticks = headers(names.ticks, "invalid_price", "price: expected a price above zero,\nfound -1")
    news = headers(names.articles, "invalid_json", "expected JSON, found a stop")
    return [
        (names.dlq(names.ticks), 1, b"XNYS:BABA", b'{"price":"-1"}\x00\xff', ticks),
        (names.dlq(names.articles), 0, None, b"{", news),
    ]


def test_dlq_list_names_each_letter_with_its_reason(
    config: Config, fiftytwo: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """A dead letter is one line: its name, its reason and the message."""
    write(config, letters(config))

    assert fiftytwo("dlq", "list") == 0

    shown = capsys.readouterr()
    (tick,) = (line for line in shown.out.splitlines() if line.startswith("ticks/1/0 "))
    assert "invalid_price" in tick
    assert "XNYS:BABA" in tick
    assert "price: expected a price above zero, found -1" in tick
    assert any(line.startswith("articles/0/0 ") for line in shown.out.splitlines())
    assert "2 dead letters" in shown.err


def test_dlq_list_keeps_to_one_input_and_to_the_newest(
    config: Config, fiftytwo: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """--topic chooses the input, -n the newest letters."""
    write(config, letters(config) + letters(config)[:1])

    assert fiftytwo("dlq", "list", "--topic", "ticks", "-n", "1") == 0

    (line,) = capsys.readouterr().out.splitlines()
    assert line.startswith("ticks/1/1 ")


def test_dlq_show_prints_reason_headers_and_bytes(
    config: Config, fiftytwo: Callable[..., int], capsys: pytest.CaptureFixture[str]
) -> None:
    """One letter is shown with why it is there, where it came from, its own headers, and its bytes."""
    write(config, letters(config))

    assert fiftytwo("dlq", "show", "ticks/1/0") == 0

    shown = capsys.readouterr().out
    assert "error-class      invalid_price\n" in shown
    assert f"topic            {config.kafka.prefix}market.ticks.v1\n" in shown
    assert "timestamp        2025-09-30 13:30:00Z\n" in shown
    assert "header           origin: feed-1\n" in shown
    assert "key              XNYS:BABA\n" in shown
    assert "value            16 bytes\n" in shown
    assert '00000000  7b 22 70 72 69 63 65 22 3a 22 2d 31 22 7d 00 ff  {"price":"-1"}..\n' in shown


def test_dlq_show_raw_writes_the_very_bytes(
    config: Config, fiftytwo: Callable[..., int], capsysbinary: pytest.CaptureFixture[bytes]
) -> None:
    """The bytes can be piped into another program."""
    write(config, letters(config))

    assert fiftytwo("dlq", "show", "ticks/1/0", "--raw") == 0

    assert capsysbinary.readouterr().out == b'{"price":"-1"}\x00\xff'


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("ticks/5/0", "expected a partition from 0 to 1"),
        ("ticks/1/99", "found 99: it holds 0 to"),
        ("news/0/0", "found 0: it holds none"),
    ],
)
def test_dlq_show_of_what_is_not_there_says_what_is(
    config: Config, fiftytwo: Callable[..., int], capsys: pytest.CaptureFixture[str], name: str, said: str
) -> None:
    """A name that leads nowhere ends with 1 and the range that there is."""
    write(config, letters(config))

    assert fiftytwo("dlq", "show", name) == 1

    assert said in capsys.readouterr().err


def test_offset_of_a_transaction_marker_is_no_record(config: Config) -> None:
    """The marker of a commit takes an offset and holds nothing."""
    write(config, letters(config))
    names = Topics(config.kafka.prefix)

    with pytest.raises(RecordMissing, match="expected a record at offset 1"):
        asyncio.run(read_one(config.kafka, names.dlq(names.ticks), 1, 1))


def test_missing_topic_names_the_prefix_that_is_there(config: Config) -> None:
    """The usual mistake is another prefix; the message shows the topic that is there."""
    other = Kafka(bootstrap_servers=config.kafka.bootstrap_servers, prefix=f"{config.kafka.prefix[:-1]}x.")

    async def read() -> None:
        async for _ in follow(other, [Topics(other.prefix).breakouts], until_end=True):
            pass

    with pytest.raises(TopicMissing, match=f"there is {config.kafka.prefix}signals.breakouts.v1; check --prefix"):
        asyncio.run(read())
