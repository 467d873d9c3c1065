"""The runtime of a partition: silent until both logs have caught up, then live; bad records aside; bugs loudly."""

from __future__ import annotations

import json
from collections.abc import Sequence
from struct import pack_into
from typing import Any

import pytest
from aiokafka.record.default_records import DefaultRecordBatchBuilder

from streams.calendars import load_markets
from streams.core.engine import Engine
from streams.core.join import Join, JoinRules
from streams.core.rules import Rules
from streams.core.units import NS, format_date, format_time
from streams.kafka.dlq import DeadLetters
from streams.kafka.effects import Effects, Outbox, Output
from streams.kafka.fetched import Fetched
from streams.kafka.partition import PartitionBroken, PartitionRuntime, PartitionSettings
from streams.kafka.router import RouterRuntime
from streams.kafka.terms import Terms, Waypoint
from streams.kafka.topics import Topics, expected_partition

TOPICS = Topics()
TICKS, NEWS, ARTICLES = TOPICS.ticks, TOPICS.news, TOPICS.articles
APPEND_MS = 1_790_000_000_000
INSTRUMENT = "XNYS:AAA"
MARKETS = load_markets(["XNYS"])
SESSIONS = [session for session in MARKETS.sessions_of("XNYS") if format_date(int(session["date"])) < "2025-06-03"]
OPEN_NS = int(SESSIONS[-1]["open_ns"])
TERMS = Terms(MARKETS, Rules(), JoinRules())
SETTINGS = PartitionSettings(
    topics=TOPICS,
    partitions=1,
    source="/fiftytwo/test",
    skew_ns=5 * NS,
    letters={topic: DeadLetters(topic, "test", 1 << 20) for topic in TOPICS.inputs},
)


def fetched(topic: str, values: Sequence[bytes | None], first: int = 0) -> Fetched:
    """Return values as one record batch of a topic."""
    builder = DefaultRecordBatchBuilder(
        magic=2, compression_type=0, is_transactional=False, producer_id=-1, producer_epoch=-1, base_sequence=-1,
        batch_size=1 << 24,
    )  # fmt: skip
    for index, value in enumerate(values):
        builder.append(index, timestamp=APPEND_MS, key=b"k", value=value, headers=[])
    data = bytearray(builder.build())
    pack_into(">q", data, 0, first)
    end = first + len(values)
    return Fetched(topic, 0, first, end, end, bytes(data))


def runtime(
    committed_ticks: int = 0, committed_news: int = 0, *, waypoints: Sequence[Waypoint] = ()
) -> PartitionRuntime:
    """Return a runtime that begins at the beginning."""
    engine = Engine(TERMS.markets, TERMS.rules)
    return PartitionRuntime(
        0,
        SETTINGS,
        engine=engine,
        join=Join(),
        terms=TERMS,
        positions={TICKS: 0, NEWS: 0},
        waypoints=[*waypoints, Waypoint({TICKS: committed_ticks, NEWS: committed_news})],
    )


def encoded(value: Any) -> bytes:
    """Return a JSON value."""
    return json.dumps(value).encode()


def history() -> list[bytes]:
    """Return a year of bars between 90 and 100."""
    prices = {"open": "95", "high": "100", "low": "90", "close": "95", "volume": "1"}
    return [
        encoded({"type": "bar", "instrument": INSTRUMENT, "session_date": format_date(int(session["date"])), **prices})
        for session in SESSIONS[-261:-1]
    ]


def clock(time_ns: int) -> bytes:
    """Return a clock record."""
    return encoded({"type": "clock", "mode": "replay", "time": format_time(time_ns)})


def tick(seconds: int, price: str) -> bytes:
    """Return a tick this long after the open."""
    time = format_time(OPEN_NS + seconds * NS)
    return encoded({"instrument": INSTRUMENT, "time": time, "price": price, "size": "1"})


def article(number: int, version: int = 0) -> bytes:
    """Return a copy of an article as the router writes it."""
    time = format_time(OPEN_NS)
    return encoded(
        {
            "type": "article", "instrument": INSTRUMENT, "relevance": 1.0, "named": [INSTRUMENT],
            "article_id": f"a{number}", "source": "wire", "version": version,
            "action": "updated" if version else "created", "title": "A story",
            "published_at": time, "received_at": time, "tags": [],
        }
    )  # fmt: skip


# Four outputs follow from the last tick: it passes the high, so proximity, return and enrichment come with it.
LOG = [*history(), clock(OPEN_NS + 600 * NS), tick(1, "95"), tick(2, "100.5")]


def families(effects: Effects) -> list[str]:
    """Return the families of the signals among outputs."""
    return [output.labels[0] for output in effects.outputs if output.labels]


def test_fresh_partition_is_live_at_once() -> None:
    """Where nothing was committed, everything in the log is new."""
    partition = runtime()

    effects = partition.read(fetched(TICKS, LOG))

    assert partition.is_live
    assert "high_52w" in families(effects)
    assert [output.topic for output in effects.outputs if output.replaces] == [TOPICS.enriched] * 2
    assert effects.positions == {(TICKS, 0): len(LOG)}
    assert all(output.partition == 0 for output in effects.outputs)


def test_replay_says_nothing_until_both_logs_are_at_their_committed_positions() -> None:
    """What was written before is not written again; nothing past a committed position is read before both are there."""
    partition = runtime(committed_ticks=len(LOG) - 1, committed_news=1)
    ticks, news = fetched(TICKS, LOG), fetched(NEWS, [clock(OPEN_NS), article(1)])

    replayed = partition.read(ticks)

    assert (replayed.outputs, replayed.positions) == ([], {})
    assert partition.position(TICKS) == len(LOG) - 1
    assert (partition.is_live, partition.wants(TICKS), partition.wants(NEWS)) == (False, False, True)
    assert partition.choose({TICKS}, {NEWS}) is None
    assert partition.choose({TICKS, NEWS}, set()) == NEWS

    assert partition.read(news).outputs == []
    assert partition.position(NEWS) == 1
    assert partition.is_live

    assert partition.read(news).positions == {(NEWS, 0): 2}
    last = partition.read(ticks)
    assert "high_52w" in families(last)
    assert last.records == 1
    assert b"a1" in next(output.value or b"" for output in last.outputs if output.replaces)


@pytest.mark.parametrize("cut", [0, 1, 200, len(LOG) - 2, len(LOG) - 1, len(LOG)])
def test_restart_anywhere_gives_what_no_restart_gives(cut: int) -> None:
    """What was said before a cut and what is said after it are what one run says."""
    whole = runtime().read(fetched(TICKS, LOG)).outputs
    before = runtime().read(fetched(TICKS, LOG[:cut])).outputs if cut else []

    second = runtime(committed_ticks=cut)
    log = fetched(TICKS, LOG)
    after = second.read(log).outputs
    while second.position(TICKS) < log.next_offset:
        after += second.read(log).outputs

    assert before + after == whole
    assert whole


def test_log_whose_clock_is_behind_is_read_first() -> None:
    """While both logs hold records the later one waits, also for records that are not at hand yet."""
    partition = runtime()
    assert partition.choose({TICKS, NEWS}, set()) == NEWS

    partition.read(fetched(NEWS, [clock(OPEN_NS)]))
    assert partition.choose({TICKS, NEWS}, set()) == TICKS
    assert partition.choose({NEWS}, {TICKS}) is None
    assert partition.choose({NEWS}, set()) == NEWS

    partition.read(fetched(TICKS, [clock(OPEN_NS + NS)]))
    assert partition.choose({TICKS, NEWS}, set()) == NEWS


def test_bad_record_is_put_aside_alone() -> None:
    """Letters come in the log's order, whoever refused the record, and its neighbours are folded."""
    late = encoded({"instrument": INSTRUMENT, "time": "2099-01-01T00:00:00Z", "price": "1", "size": "1"})
    partition = runtime()

    effects = partition.read(fetched(TICKS, [*LOG[:-1], late, b"{", None, LOG[-1]]))

    letters = [(output.reason, dict(output.headers)["dlq.offset"]) for output in effects.outputs if output.reason]
    first = len(LOG) - 1
    assert letters == [("future_time", b"%d" % first), ("invalid_json", b"%d" % (first + 1))]
    assert effects.nulls == 1
    assert "high_52w" in families(effects)


def test_clock_of_the_other_mode_is_refused_in_the_news_too() -> None:
    """A partition that has seen replay clocks puts live ones aside."""
    partition = runtime()
    live = encoded({"type": "clock", "mode": "live", "time": format_time(OPEN_NS)})

    effects = partition.read(fetched(NEWS, [clock(OPEN_NS), live]))

    assert [output.reason for output in effects.outputs] == ["clock_mode"]


def test_bug_names_topic_partition_and_offsets(monkeypatch: pytest.MonkeyPatch) -> None:
    """What no record may cause stops the partition, says where, and passes no position."""
    partition = runtime()
    partition.read(fetched(TICKS, LOG[:5]))

    def fail(*_: object) -> None:
        raise ZeroDivisionError("a bug")

    monkeypatch.setattr(Engine, "fold", fail)
    with pytest.raises(
        PartitionBroken, match=r"market\.ticks\.v1 partition 0 .*offset 5 to 9, found ZeroDivisionError"
    ):
        partition.read(fetched(TICKS, LOG[5:9], 5))

    assert partition.position(TICKS) == 5


def test_T_K1_instrument_in_the_wrong_partition_is_told_once() -> None:
    """A producer with another partitioner is noticed by the first record of an instrument."""
    engine = Engine(MARKETS, Rules())
    wrong = 1 - expected_partition(INSTRUMENT.encode(), 2)
    settings = PartitionSettings(
        topics=TOPICS, partitions=2, source="", skew_ns=NS, letters=SETTINGS.letters, check_crc=False
    )
    partition = PartitionRuntime(
        wrong, settings, engine=engine, join=Join(), terms=TERMS,
        positions={TICKS: 0, NEWS: 0}, waypoints=[],
    )  # fmt: skip

    assert partition.read(fetched(TICKS, LOG[:2])).misrouted == [INSTRUMENT]
    assert partition.read(fetched(TICKS, LOG[2:4], 2)).misrouted == []


def test_router_writes_a_copy_to_each_instrument_and_a_notice_to_all() -> None:
    """A created article goes to its instruments' partitions; an updated one also, as a notice, to every partition."""
    settings = PartitionSettings(topics=TOPICS, partitions=4, source="", skew_ns=NS, letters=SETTINGS.letters)
    router = RouterRuntime(0, settings, position=0)
    story = {
        "article_id": "a", "source": "wire", "title": "T", "published_at": "2025-06-02T13:30:00Z",
        "instruments": [{"instrument_id": name, "relevance": 1.0} for name in ("XNYS:AAA", "XNYS:BBB")],
    }  # fmt: skip
    values = [encoded(story), encoded({**story, "action": "updated", "version": 2}), b"{}", None]

    effects = router.read(fetched(ARTICLES, values))

    expected = [expected_partition(name.encode(), 4) for name in ("XNYS:AAA", "XNYS:BBB")]
    copies = [output.partition for output in effects.outputs if output.topic == NEWS]
    assert copies == [*expected, *expected, 0, 1, 2, 3]
    assert [output.reason for output in effects.outputs if output.reason] == ["missing_field"]
    assert (effects.nulls, effects.positions) == (1, {(ARTICLES, 0): 4})


def test_outbox_keeps_only_the_newest_of_what_replaces_each_other() -> None:
    """Between two commits an enriched signal is written once, in its newest revision; everything else in order."""
    outbox = Outbox()

    def output(value: bytes, replaces: str = "") -> Output:
        return Output("t", 0, b"k", value, [], replaces=replaces)

    outbox.add(Effects([output(b"1"), output(b"a1", "a"), output(b"b1", "b")], {("t", 0): 1}))
    outbox.add(Effects([output(b"2"), output(b"a2", "a")], {("t", 0): 2}))

    assert len(outbox) == 4
    taken = outbox.take()
    assert [output.value for output in taken.outputs] == [b"1", b"2", b"b1", b"a2"]
    assert taken.positions == {("t", 0): 2}
    assert outbox.is_empty
    assert outbox.bytes == 0


def test_changed_rules_hold_from_their_point_of_the_log_on() -> None:
    """A point where rules change is reached by both logs before either goes past it; what is there stays."""
    changed = Terms(MARKETS, Rules(families=("low_52w",)), JoinRules(articles_max=3))
    partition = runtime(waypoints=[Waypoint({TICKS: len(LOG) - 1, NEWS: 1}, changed)])
    ticks, news = fetched(TICKS, LOG), fetched(NEWS, [clock(OPEN_NS), article(1)])
    before = runtime()
    before.read(fetched(TICKS, LOG[:-1]))

    assert partition.read(ticks).outputs == []
    assert partition.terms is TERMS
    partition.read(news)

    assert partition.terms is changed
    assert partition.is_live
    assert partition.live_from == {TICKS: len(LOG) - 1, NEWS: 1}
    assert partition.engine.rules == changed.rules
    assert partition.join.rules == changed.join_rules
    assert partition.engine.export().rings.tobytes() == before.engine.export().rings.tobytes()


def test_market_that_is_taken_away_keeps_its_instruments() -> None:
    """A market that is no longer configured costs no instrument its history."""
    other = Terms(load_markets(["XHKG"]), Rules(), JoinRules())
    partition = runtime(waypoints=[Waypoint({TICKS: len(LOG), NEWS: 0}, other)])

    partition.read(fetched(TICKS, LOG))

    assert partition.is_live
    assert partition.terms.markets.mics == ("XHKG", "XNYS")
    assert partition.engine.instruments.id(0) == INSTRUMENT
    assert partition.windows() == {"partial": 0, "degraded": 0, "full": 1}
