"""What is fed in: real sessions of one stock, and around them whatever the market and its reporters could do wrong.

Everything comes from a seed. Prices of the other instruments walk around their 52-week levels, so that breakouts
trigger, fail, recover and are confirmed all the time; news comes before and after them, is updated, corrected and
deleted; and a part of everything is rubbish.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from random import Random
from typing import Any, Final

from streams.calendars import load_markets
from streams.config import Config
from streams.core.units import format_date, format_time
from streams.feeds.scenario import INSTRUMENT, PLAYED_FROM, build
from streams.feeds.steps import Step
from streams.kafka.topics import Topics, expected_partition
from tests.integration.feeding import NS, Input

MINUTE_NS: Final = 60 * NS
HOUR_NS: Final = 60 * MINUTE_NS
HISTORY: Final = 252
SETTLE_NS: Final = 15 * MINUTE_NS
LEVEL_CENTS: Final = 10_000

GARBAGE: Final = (
    b"",
    b"{",
    b"null",
    b"\xff\xfe\x00",
    b"\x00\x00\x00\x00\x05{}",
    b'{"type":"nothing"}',
    b'{"instrument":"XNYS:C00","time":"2025-09-11T14:00:00Z","price":"NaN","size":"1"}',
    b'{"instrument":"XNYS:C00","time":"2025-09-11T14:00:00","price":"1","size":"1"}',
    b'{"instrument":"XNYS:C00","time":"2025-09-11T14:00:00Z","price":"-1","size":"1"}',
    b'{"instrument":"XXXX:C00","time":"2025-09-11T14:00:00Z","price":"1","size":"1"}',
    b'{"instrument":"XNYS:C00","time":"2039-01-01T00:00:00Z","price":"100","size":"1"}',
    b'{"type":"clock","time":"2025-09-11T14:00:00Z","mode":"live"}',
    b'{"type":"article","instrument":"XNYS:C00"}',
    b'{"article_id":"a","source":"s"}',
    b"x" * 5_000,
)


class Story:
    """An endless feed. Equal seeds give equal stories.

    Args:
        config: Prefix and partitions.
        seed: Of everything that is random.
        instruments: How many made-up instruments there are beside the real one.
        step_minutes: Event time between two clock records.
    """

    def __init__(self, config: Config, *, seed: int, instruments: int = 12, step_minutes: int = 5) -> None:
        self._config = config
        self._topics = Topics(config.kafka.prefix)
        self._random = Random(seed)
        self._step_ns = step_minutes * MINUTE_NS
        self._names = [f"XNYS:C{number:02d}" for number in range(instruments)]
        self._cents = dict.fromkeys(self._names, LEVEL_CENTS - 100)
        self._markets = load_markets(["XNYS"])
        self._articles: dict[str, int] = {}
        self._trades = 0
        scenario = build(self._markets)
        self._history = scenario.history_steps()
        self._chapters = {chapter.bar.date: chapter.steps for chapter in scenario.chapters}
        self._story_article = scenario.article_steps()

    def history(self) -> list[Input]:
        """Return a year of bars: the real one's own, and flat ones below the level for the others."""
        sessions = self._markets.sessions_of("XNYS")
        before = [session for session in sessions if int(session["date"]) < PLAYED_FROM][-HISTORY:]
        records = [self._step(step) for step in self._history]
        for session in before:
            bar = {
                "type": "bar",
                "session_date": format_date(int(session["date"])),
                "open": "98",
                "high": str(LEVEL_CENTS // 100),
                "low": "90",
                "close": "99",
                "volume": "1000",
            }
            records += [[self._keyed({**bar, "instrument": name})] for name in self._names]
        return [record for step in records for record in step]

    def __iter__(self) -> Iterator[list[Input]]:
        """Yield what comes in one step of event time, session after session."""
        for session in self._markets.sessions_of("XNYS"):
            date, open_ns, close_ns = int(session["date"]), int(session["open_ns"]), int(session["close_ns"])
            if date < PLAYED_FROM:
                continue
            real = [step for step in self._chapters.get(date, ()) if step.kind == "tick"]
            if self._story_article:
                real = [*(step for step in self._story_article if step.kind == "article"), *real]
                self._story_article = []
            at_ns = open_ns - self._step_ns
            while at_ns <= close_ns + SETTLE_NS:
                due = [step for step in real if step.time_ns <= at_ns]
                real = real[len(due) :]
                yield self._moment(at_ns, due, trading=open_ns <= at_ns < close_ns)
                at_ns += self._step_ns

    def _moment(self, at_ns: int, real: list[Step], *, trading: bool) -> list[Input]:
        random = self._random
        records = self._clock(at_ns)
        records += [record for step in real for record in self._step(step)]
        for name in self._names:
            if trading and random.random() < 0.7:
                records.append(self._tick(name, at_ns + random.randrange(NS)))
        if random.random() < 0.25:
            records.append(self._article(at_ns))
        if random.random() < 0.3:
            topic = random.choice(self._topics.inputs)
            partition = random.randrange(self._config.kafka.partitions)
            value = random.choice([*GARBAGE, None])
            key = b"XNYS:C00" if value is None else random.choice([None, b"XNYS:C00", b"\xff"])
            records.append(Input(topic, partition, key, value))
        if random.random() < 0.02:
            name = random.choice(self._names)
            date = format_date(at_ns // (24 * HOUR_NS) - random.randrange(1, 9))
            low, high = random.randrange(85, 99), random.randrange(99, 104)
            records.append(
                self._keyed(
                    {
                        "type": "bar",
                        "instrument": name,
                        "session_date": date,
                        "open": str(low),
                        "high": str(high),
                        "low": str(low),
                        "close": str(high),
                        "volume": str(random.randrange(3)),
                    }
                )
            )
        # Producers do not agree on an order within a moment, but a clock is never behind what it admits.
        tail = records[2 * self._config.kafka.partitions :]
        random.shuffle(tail)
        return [*records[: 2 * self._config.kafka.partitions], *tail]

    # A walk that is drawn back to the level, with a jump now and then; some trades are late, odd or far off.
    def _tick(self, name: str, time_ns: int) -> Input:
        random = self._random
        cents = self._cents[name]
        pull = (LEVEL_CENTS - cents) // 40
        cents += pull + random.randrange(-40, 41) + (random.choice((-600, 600)) if random.random() < 0.01 else 0)
        self._cents[name] = max(cents, 100)
        self._trades += 1
        fields: dict[str, Any] = {
            "instrument": name,
            "time": format_time(time_ns - (random.randrange(6 * HOUR_NS) if random.random() < 0.03 else 0)),
            "price": f"{self._cents[name] // 100}.{self._cents[name] % 100:02d}",
            "size": str(random.randrange(1, 500)),
        }
        if random.random() < 0.2:
            fields["trade_id"] = str(self._trades)
            fields["tape"] = random.choice("ABC")
            fields["conditions"] = random.choice([["@"], ["I"], ["Z"], ["T"], ["F", "I"], ["?"], []])
        if random.random() < 0.01:
            fields["price"] = random.choice(["1e3", "0", "99999999", "100.000000001", 100.5])
        return self._keyed(fields)

    # New stories, and later versions, corrections and deletions of known ones; out of order now and then.
    def _article(self, at_ns: int) -> Input:
        random = self._random
        known = random.choice(sorted(self._articles)) if self._articles and random.random() < 0.4 else ""
        name = known or f"story-{len(self._articles)}"
        version = self._articles.get(name, 0) + (1 if random.random() < 0.8 else -1)
        self._articles[name] = max(version, self._articles.get(name, 0))
        action = random.choice(["updated", "corrected", "deleted"]) if known else "created"
        shift_ns = random.choice([0, -1, -HOUR_NS, -71 * HOUR_NS, -73 * HOUR_NS, MINUTE_NS, 7 * MINUTE_NS])
        about = random.sample([*self._names, INSTRUMENT], random.randrange(1, 4))
        value = {
            "article_id": name,
            "source": random.choice(["wire", "press"]) if not known else "wire",
            "action": action,
            "version": max(version, 0),
            "title": f"{name} version {version}",
            "published_at": format_time(at_ns + shift_ns),
            "received_at": format_time(at_ns),
            "tags": random.sample(["Cloud Computing", "Earnings", "Chips", "Energy"], 2),
            "instruments": [{"instrument_id": each, "relevance": random.choice([0.4, 0.5, 1.0])} for each in about],
        }
        key = name.encode()
        partition = expected_partition(key, self._config.kafka.partitions)
        return Input(self._topics.articles, partition, key, json.dumps(value).encode())

    def _clock(self, time_ns: int) -> list[Input]:
        value = json.dumps({"type": "clock", "time": format_time(time_ns), "mode": "replay"}).encode()
        count = self._config.kafka.partitions
        return [Input(topic, p, None, value) for topic in (self._topics.ticks, self._topics.news) for p in range(count)]

    def _step(self, step: Step) -> list[Input]:
        if step.kind == "clock":
            return self._clock(step.time_ns)
        key = step.key.encode()
        topic = self._topics.articles if step.kind == "article" else self._topics.ticks
        return [Input(topic, expected_partition(key, self._config.kafka.partitions), key, step.value)]

    def _keyed(self, fields: dict[str, Any]) -> Input:
        key = fields["instrument"].encode()
        partition = expected_partition(key, self._config.kafka.partitions)
        return Input(self._topics.ticks, partition, key, json.dumps(fields, separators=(",", ":")).encode())
