"""Who takes part, how each is started, and what it promises while it runs.

Each is written the way its documentation advises, and all of them fetch up to 4 MiB a partition and wait 10 ms for it.
"""

from __future__ import annotations

import sys
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from benchmarks import toolchain

RUNNING_MAXIMUM: Final = "running-maximum"
BREAKOUTS: Final = "52-week"
PLAIN: Final = "plain"
FULL: Final = "full"
BINARY: Final = "binary"
JVM: Final = ("-Xmx3g", "-Dorg.slf4j.simpleLogger.defaultLogLevel=error")
# The first ticks that the slower ones read, so that a round takes each half a minute at most: all of them would take
# stock Faust half an hour. It is still the rate they hold: none of them is faster later.
SLOWER_TICKS: Final = 6_000_000
SLOW_TICKS: Final = 3_000_000
SLOWEST_TICKS: Final = 1_000_000
FAUST_TICKS: Final = 200_000
EXACTLY_ONCE: Final = "exactly_once_v2"
AT_LEAST_ONCE: Final = "at_least_once"

# Flink reaches into the JDK; its own start script opens the same modules.
FLINK_OPENS: Final = tuple(
    f"--add-opens=java.base/{package}=ALL-UNNAMED"
    for package in (
        "java.io",
        "java.lang",
        "java.lang.reflect",
        "java.net",
        "java.nio",
        "java.text",
        "java.time",
        "java.util",
        "java.util.concurrent",
        "java.util.concurrent.atomic",
        "java.util.concurrent.locks",
        "sun.nio.ch",
    )
)


@dataclass(frozen=True, slots=True)
class Entry:
    """What a contestant is asked to do in one run."""

    bootstrap: str
    topic: str
    output: str
    group: str
    folder: Path
    partitions: int
    history: int
    records: int
    session: tuple[str, str, str]
    """Date, open and close of the session that the trades belong to."""


Command = Callable[[Entry], tuple[list[str], dict[str, str]]]
"""Gives command line and environment; makes what it needs at first use, or raises `toolchain.Unavailable`."""


@dataclass(frozen=True, slots=True)
class Contestant:
    """One row of the table.

    Attributes:
        name: Its name in the table.
        job: Which of the two jobs it does.
        durability: What would survive a crash of this run.
        note: How it is written and tuned.
        command: How it is started; None for the product's worker.
        ticks_max: Reads the first so many ticks only.
        one_core: Whether it is held to one core; the others may use all.
        shape: What its ticks are like: plain JSON for all but some rows of our own.
        settings: Of the product's worker, by their names in the environment.
    """

    name: str
    job: str
    durability: str
    note: str
    command: Command | None
    ticks_max: int | None = None
    one_core: bool = False
    shape: str = PLAIN
    settings: tuple[tuple[str, str], ...] = ()


def kafka_streams(main: str, store: str, guarantee: str, threads: int = 1) -> Command:
    """Return how a Kafka Streams contestant is started."""

    def command(entry: Entry) -> tuple[list[str], dict[str, str]]:
        path = toolchain.kafka_streams_classpath()
        arguments = [entry.bootstrap, entry.topic, entry.output, entry.group, store, guarantee, str(entry.folder)]
        numbers = [str(threads), str(entry.history), str(entry.records)]
        return [toolchain.java(), *JVM, "-cp", path, main, *arguments, *numbers, *entry.session], {}

    return command


def flink(store: str) -> Command:
    """Return how a Flink contestant is started."""

    def command(entry: Entry) -> tuple[list[str], dict[str, str]]:
        path = toolchain.flink_classpath()
        arguments = [entry.bootstrap, entry.topic, entry.output, entry.group, store, str(entry.folder)]
        return [toolchain.java(), *JVM, *FLINK_OPENS, "-cp", path, "RunningMaximum", *arguments, str(entry.records)], {}

    return command


def python(peer: str, script: str, store: str = "memory") -> Command:
    """Return how a Python contestant is started, in an environment of its own."""

    def command(entry: Entry) -> tuple[list[str], dict[str, str]]:
        program = [str(toolchain.python_of(peer)), str(toolchain.PEERS / peer / script)]
        return [*program, *_arguments(entry), "--store", store], {"PYTHONPATH": str(toolchain.PEERS / "shared")}

    return command


def ours(entry: Entry) -> tuple[list[str], dict[str, str]]:
    """Return how our running maximum is started."""
    return [sys.executable, "-m", "benchmarks.running_maximum", *_arguments(entry)], {}


def _arguments(entry: Entry) -> list[str]:
    places: Mapping[str, str] = {
        "bootstrap": entry.bootstrap,
        "topic": entry.topic,
        "output": entry.output,
        "group": entry.group,
        "folder": str(entry.folder),
        "history": str(entry.history),
        "records": str(entry.records),
    }
    found = [word for name, value in places.items() for word in (f"--{name}", value)]
    return [*found, "--session", *entry.session]


_STREAMS: Final = "Processor API, one thread, cached store, Jackson; polls and buffers of 5,000 records"
_NO_STATE: Final = "none: state in memory"

CONTESTANTS: Final = (
    Contestant(
        "Fiftytwo (running maximum)",
        RUNNING_MAXIMUM,
        "output exactly once, 100 ms; state by reading the log again",
        "the product's transport and decoder, a compiled fold",
        ours,
        one_core=True,
    ),
    Contestant(
        "confluent-kafka loop",
        RUNNING_MAXIMUM,
        _NO_STATE,
        "consume(5000), orjson, a dict; librdkafka's queues at a million records",
        python("confluent", "running_maximum.py"),
    ),
    Contestant(
        "csp",
        RUNNING_MAXIMUM,
        _NO_STATE,
        "KafkaAdapterManager, bursts, a Struct mapper, one node with a dict, unroll to publish",
        python("csp", "running_maximum.py"),
    ),
    Contestant(
        "Flink, heap",
        RUNNING_MAXIMUM,
        "none: no checkpoints",
        "DataStream in Java, parallelism 1, keyed process function, object reuse",
        flink("heap"),
    ),
    Contestant(
        "Flink, RocksDB",
        RUNNING_MAXIMUM,
        "state exactly once, output at least once, 1 s",
        "as on the heap, incremental checkpoints each second",
        flink("rocksdb"),
        ticks_max=SLOWER_TICKS,
    ),
    Contestant(
        "Kafka Streams, memory",
        RUNNING_MAXIMUM,
        "at least once, 30 s",
        _STREAMS,
        kafka_streams("RunningMaximum", "memory", AT_LEAST_ONCE),
    ),
    Contestant(
        "Kafka Streams, RocksDB",
        RUNNING_MAXIMUM,
        "at least once, 30 s",
        _STREAMS,
        kafka_streams("RunningMaximum", "rocksdb", AT_LEAST_ONCE),
        ticks_max=SLOWER_TICKS,
    ),
    Contestant(
        "Kafka Streams, RocksDB, exactly once",
        RUNNING_MAXIMUM,
        "exactly once, 100 ms",
        f"{_STREAMS}; exactly_once_v2",
        kafka_streams("RunningMaximum", "rocksdb", EXACTLY_ONCE),
        ticks_max=SLOWER_TICKS,
    ),
    Contestant(
        "Bytewax",
        RUNNING_MAXIMUM,
        _NO_STATE,
        "Kafka operators, batches of 5,000, stateful_flat_map by key; no recovery store",
        python("bytewax", "running_maximum.py"),
        ticks_max=SLOW_TICKS,
    ),
    Contestant(
        "Quix Streams, memory",
        RUNNING_MAXIMUM,
        _NO_STATE,
        "dataframe, apply over a dict; librdkafka's queues at a million records",
        python("quix", "running_maximum.py"),
        ticks_max=SLOWEST_TICKS,
    ),
    Contestant(
        "Quix Streams, RocksDB",
        RUNNING_MAXIMUM,
        "at least once, 5 s",
        "dataframe, apply(stateful=True), changelog topic",
        python("quix", "running_maximum.py", "rocksdb"),
        ticks_max=SLOWEST_TICKS,
    ),
    Contestant(
        "Faust",
        RUNNING_MAXIMUM,
        "at least once",
        "an agent over a Table in memory with its changelog; orjson, uvloop, its C extensions",
        python("faust", "running_maximum.py"),
        ticks_max=FAUST_TICKS,
    ),
    Contestant(
        "Fiftytwo",
        BREAKOUTS,
        "exactly once, 100 ms",
        "the worker itself, all families on, one partition runtime a partition",
        None,
        one_core=True,
    ),
    Contestant(
        "Fiftytwo, at least once",
        BREAKOUTS,
        "at least once, 100 ms",
        "the same with delivery at_least_once",
        None,
        one_core=True,
        settings=(("KAFKA_DELIVERY", "at_least_once"),),
    ),
    Contestant(
        "Fiftytwo, conditions and trade ids",
        BREAKOUTS,
        "exactly once, 100 ms",
        "the same on longer ticks: 162 bytes each",
        None,
        one_core=True,
        shape=FULL,
    ),
    Contestant(
        "Fiftytwo, binary ticks",
        BREAKOUTS,
        "exactly once, 100 ms",
        "the same on fixed-width ticks: 32 bytes each",
        None,
        one_core=True,
        shape=BINARY,
    ),
    Contestant(
        "Kafka Streams, RocksDB, exactly once",
        BREAKOUTS,
        "exactly once, 100 ms",
        f"{_STREAMS}; exactly_once_v2; bars in a store of their own, levels in a small row",
        kafka_streams("Breakouts", "rocksdb", EXACTLY_ONCE),
    ),
    Contestant(
        "Kafka Streams, memory",
        BREAKOUTS,
        "at least once, 30 s",
        f"{_STREAMS}; bars in a store of their own, levels in a small row",
        kafka_streams("Breakouts", "memory", AT_LEAST_ONCE),
    ),
    Contestant(
        "confluent-kafka loop",
        BREAKOUTS,
        _NO_STATE,
        "consume(5000), orjson, dicts of bars and levels",
        python("confluent", "breakouts.py"),
    ),
)
