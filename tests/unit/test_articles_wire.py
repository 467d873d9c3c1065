"""Articles on the wire: what is taken, what is refused and why, and what goes out."""

from __future__ import annotations

import json
from dataclasses import replace
from pathlib import Path
from typing import Any
from uuid import UUID, uuid5

import pytest
from jsonschema import Draft202012Validator

from streams.core.join import Join
from streams.core.news import Link, NewsClock, Tag
from streams.core.routing import copies
from streams.core.signals import NAMESPACE
from streams.feeds.articles import parse_text
from streams.wire.articles import (
    RecordRefused,
    copy_key,
    decode_article,
    decode_copy,
    encode_article,
    encode_copy,
    encode_enriched,
)
from tests.news_examples import PUBLISHED_NS, ExampleSignal, article, article_copy, page

SCHEMAS = Path(__file__).parents[2] / "schemas"
LEAST: dict[str, Any] = {
    "article_id": "1",
    "source": "Example Wire",
    "title": "Alibaba rises",
    "published_at": "2025-09-30T11:45:02Z",
}


def schema(name: str) -> dict[str, Any]:
    loaded: dict[str, Any] = json.loads((SCHEMAS / f"{name}.schema.json").read_text(encoding="utf-8"))
    return loaded


def validator(name: str) -> Draft202012Validator:
    return Draft202012Validator(schema(name))


def record(**changes: object) -> bytes:
    return json.dumps({name: value for name, value in {**LEAST, **changes}.items() if value != "absent"}).encode()


def test_an_article_needs_little() -> None:
    """Identifier, source, title and time are enough; the broker's append time is the receipt."""
    decoded = decode_article(record(), received_ns=PUBLISHED_NS + 5)

    assert decoded == article(version=0, received_ns=PUBLISHED_NS + 5)


def test_everything_an_article_may_carry_is_kept() -> None:
    """What is encoded decodes to the same article, and the schema accepts it."""
    full = article(
        provider="Provider",
        summary="Summary",
        body="Body",
        url="https://example.org/1",
        language="en",
        region="Greater China",
        region_codes=("CN", "HK", "MO", "TW"),
        published_raw="09/30/2025, 07:45:02 EDT",
        updated_ns=PUBLISHED_NS + 1,
        tags=(Tag("Alibaba", "alibaba"), Tag("AI", "ai", "medtop", "20000763")),
        instruments=(Link("XNYS:BABA", "NYSE:BABA", "exchange", 1.0, 0.5), Link("XHKG:9988", "9988", "provider")),
        story_id="s",
        novelty=0.25,
    )

    value = encode_article(full)

    assert decode_article(value) == full
    validator("article").validate(json.loads(value))


def test_unknown_fields_are_ignored_and_the_last_of_a_doubled_one_wins() -> None:
    """A producer may add fields of its own."""
    value = record(extra={"a": [1]})[:-1] + b',"title":"Second"}'

    assert decode_article(value).title == "Second"


def test_tags_and_instruments_may_be_plain_texts() -> None:
    """Providers that only list symbols and keywords need no objects."""
    decoded = decode_article(record(tags=["AI", " ai ", "Cloud"], instruments=["XNYS:BABA"]))

    assert decoded.tags == (Tag("AI", "ai"), Tag("Cloud", "cloud"))
    assert decoded.instruments == (Link("XNYS:BABA", "XNYS:BABA", "provider"),)


def test_instruments_that_are_absent_are_unknown_and_an_empty_list_says_none() -> None:
    """Only an article whose producer says nothing is searched for tickers."""
    assert decode_article(record()).instruments is None
    assert decode_article(record(instruments=[])).instruments == ()


def test_T_N2_a_time_in_the_future_is_flagged_and_not_refused() -> None:
    """Published more than five minutes after the receipt: `published_in_future`; exactly five minutes is believed."""
    late = decode_article(record(received_at="2025-09-30T10:45:09Z"))
    edge = decode_article(record(received_at="2025-09-30T11:40:02Z"))

    assert (late.time_anomaly, edge.time_anomaly) == ("published_in_future", None)
    assert copies(replace(late, instruments=(Link("XNYS:BABA", "", "provider", 1.0),)))[0].join_ns == late.received_ns


def test_a_new_article_older_than_a_week_is_flagged() -> None:
    """A back-fill is not fresh news, and says so."""
    assert decode_article(record(received_at="2025-10-08T11:45:02Z")).time_anomaly == "stale_on_arrival"


def test_a_version_may_be_the_time_of_its_update() -> None:
    """Producers that number nothing are ordered by `updated_at`."""
    assert decode_article(record(updated_at="2025-09-30T11:45:02.000000005Z")).version == PUBLISHED_NS + 5


def test_a_deletion_needs_no_title_and_no_time() -> None:
    """Who deletes a story may no longer have it."""
    value = record(action="deleted", version=3, title="absent", published_at="absent")

    decoded = decode_article(value, received_ns=PUBLISHED_NS)

    assert (decoded.action, decoded.version, decoded.published_ns) == ("deleted", 3, PUBLISHED_NS)
    validator("article").validate(json.loads(value))


@pytest.mark.parametrize(
    "value, reason",
    [
        (b'{"article_id":"\xff"}', "invalid_utf8"),
        (b"", "invalid_json"),
        (b"{", "invalid_json"),
        (b'{"novelty":NaN}', "invalid_json"),
        (b'{"title":"\\ud800"}', "invalid_json"),
        (b'{"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}", "invalid_json"),
        (b"\x00\x00\x00\x00\x07{}", "registry_framed"),
        (b"\x01" + bytes(16) + b"{}", "registry_framed"),
        (b"x" * 1_048_577, "article_too_large"),
        (b"x" * 1_048_576, "invalid_json"),
        (b"[]", "not_an_object"),
        (b'"text"', "not_an_object"),
        (b"{}", "missing_field"),
        (record(title="absent"), "missing_field"),
        (record(title=" "), "missing_field"),
        (record(published_at="absent"), "missing_field"),
        (record(article_id=""), "missing_field"),
        (record(action="updated"), "missing_field"),
        (record(title=7), "wrong_type"),
        (record(version=1.5), "wrong_type"),
        (record(tags=[1]), "wrong_type"),
        (record(published_at=True), "wrong_type"),
        (record(instruments=[{"instrument_id": "XNYS:BABA", "relevance": "1"}]), "wrong_type"),
        (record(published_at="2025-09-30T11:45:02"), "time_without_zone"),
        (record(published_at="yesterday"), "invalid_time"),
        (record(published_at=2**63), "invalid_time"),
        (record(received_at="2025-02-30T00:00:00Z"), "invalid_time"),
        (record(instruments=["BABA"]), "invalid_instrument"),
        (record(instruments=["XNYS:baba"]), "invalid_instrument"),
        (record(instruments=["XNYS:" + "A" * 28]), "invalid_instrument"),
        (record(instruments=[{"instrument_id": "XNYS:BABA", "relevance": 1.5}]), "out_of_range"),
        (record(instruments=[{"instrument_id": "XNYS:BABA", "sentiment": -2}]), "out_of_range"),
        (record(instruments=[{"instrument_id": "XNYS:BABA", "method": "guess"}]), "invalid_method"),
        (record(novelty=-0.1), "out_of_range"),
        (record(action="retracted"), "invalid_action"),
        (record(time_anomaly="odd"), "invalid_time_anomaly"),
        (record(version=-1), "invalid_version"),
        (record(version=2**63), "invalid_version"),
        (record(title="x" * 1_001), "article_too_large"),
        (record(tags=["x" * 201]), "article_too_large"),
        (record(tags=[str(number) for number in range(101)]), "article_too_large"),
        (record(instruments=[f"XNYS:A{number}" for number in range(101)]), "article_too_large"),
    ],
    ids=lambda value: value if isinstance(value, str) else repr(value[:40]),
)
def test_what_is_no_article_is_refused_with_its_reason(value: bytes, reason: str) -> None:
    """Bad input is data: the reason is a label, the message tells people what was expected and found."""
    with pytest.raises(RecordRefused) as refused:
        decode_article(value)

    assert refused.value.reason == reason
    assert refused.value.stage in {"deserialize", "validate"}
    assert len(refused.value.message) < 400


def test_the_schema_refuses_what_the_wire_refuses() -> None:
    """The documentation of the format and the decoder agree on what is missing or malformed."""
    check = validator("article")
    for changes in (
        {"title": "absent"},
        {"title": " "},
        {"published_at": "absent"},
        {"published_at": "2025-09-30T11:45:02"},
        {"article_id": ""},
        {"action": "retracted"},
        {"action": "updated"},
        {"action": "deleted"},
        {"version": -1},
        {"novelty": 2},
        {"instruments": ["BABA"]},
        {"tags": [1]},
    ):
        value = record(**changes)
        assert not check.is_valid(json.loads(value)), changes
        with pytest.raises(RecordRefused):
            decode_article(value)


def test_copies_survive_the_wire() -> None:
    """What the router writes is what the join reads, key and schema included."""
    for copy in (article_copy(), article_copy(instrument=None, named=(), relevance=0.0, version=2, action="deleted")):
        value = encode_copy(copy)
        assert decode_copy(value) == copy
        validator("article-copy").validate(json.loads(value))
    assert copy_key(article_copy()) == b"XNYS:BABA"


def test_clock_records_share_the_topic_of_the_copies() -> None:
    """The join's log carries its own time."""
    decoded = decode_copy(b'{"type":"clock","time":"2025-09-30T11:45:02Z","mode":"replay"}')

    assert decoded == NewsClock(PUBLISHED_NS, "replay")


@pytest.mark.parametrize(
    "value, reason",
    [
        (b'{"type":"tick"}', "unknown_type"),
        (b'{"time":"2025-09-30T11:45:02Z"}', "missing_field"),
        (b'{"type":"clock","time":"2025-09-30T11:45:02Z","mode":"fast"}', "invalid_mode"),
        (b'{"type":"clock","time":"2025-09-30T11:45:02","mode":"live"}', "time_without_zone"),
        (b'{"type":"article"}', "missing_field"),
        (encode_copy(article_copy(named=("XNAS:BIDU",))), "invalid_instrument"),
    ],
)
def test_what_is_neither_copy_nor_clock_is_refused(value: bytes, reason: str) -> None:
    """The topic is ours, but anyone may write to it."""
    with pytest.raises(RecordRefused) as refused:
        decode_copy(value)

    assert refused.value.reason == reason


def test_a_created_article_goes_to_the_instruments_it_names() -> None:
    """One copy an instrument, with its relevance; every copy knows all that are named."""
    routed = copies(parse_text(page()))

    assert {copy.instrument: copy.relevance for copy in routed} == {
        "XNYS:BABA": 1.0,
        "XNAS:GOOGL": 0.4,
        "XNAS:GOOG": 0.4,
        "OTCM:TCEHY": 0.4,
    }
    assert {copy.named for copy in routed} == {("XNYS:BABA", "XNAS:GOOGL", "XNAS:GOOG", "OTCM:TCEHY")}


@pytest.mark.parametrize("action", ["updated", "corrected"])
def test_a_later_version_is_also_told_to_every_partition(action: str) -> None:
    """The router keeps no state: who was named before is known only where it was linked."""
    routed = copies(article(version=2, action=action, instruments=(Link("XNYS:BABA", "", "provider", 1.0),)))

    assert [(copy.instrument, copy.named) for copy in routed] == [
        ("XNYS:BABA", ("XNYS:BABA",)),
        (None, ("XNYS:BABA",)),
    ]


def test_a_deletion_is_told_to_every_partition_and_names_nobody() -> None:
    """Whatever instruments the deleting record still lists, none stays linked."""
    routed = copies(article(version=2, action="deleted", instruments=(Link("XNYS:BABA", "", "provider", 1.0),)))

    assert [(copy.instrument, copy.named) for copy in routed] == [(None, ())]


def test_an_enriched_signal_embeds_the_signal_byte_for_byte() -> None:
    """The value validates, the headers are CloudEvents, and the embedded signal is the one on its own topic."""
    signal = schema("breakout-signal")["examples"][0]
    document = json.dumps(signal).encode()
    join = Join()
    for copy in copies(parse_text(page())):
        join.article(copy)
    enriched = join.open(ExampleSignal(signal_id=signal["signal_id"]), document)

    encoded = encode_enriched(enriched, source="/fiftytwo/test")
    value = json.loads(encoded.value)

    validator("enriched-signal").validate(value)
    assert document in encoded.value
    assert value["tags"] == [
        "Alibaba",
        "Artificial Intelligence",
        "Cloud Computing",
        "AI Models",
        "Chinese Tech Stocks",
    ]
    (entry,) = value["articles"]
    assert (entry["score"], entry["delta_seconds"], entry["relation"]) == (0.985219, -6298.0, "preceding")
    assert (encoded.topic, encoded.key) == ("signals.enriched.v1", b"XNYS:BABA")
    headers = dict(encoded.headers)
    assert headers["ce_id"].decode() == str(uuid5(NAMESPACE, f"{signal['signal_id']}/open/2"))
    assert headers["ce_type"] == b"fiftytwo.enriched.open.v1"
    assert headers["ce_time"] == b"2025-09-30T13:30:00Z"
    assert headers["ce_sequence"] == b"0000000002"
    assert headers["ce_dataschema"] == b"urn:fiftytwo:schema:enriched-signal:v1"


def test_the_identifier_of_a_page_is_made_of_its_content() -> None:
    """Reading the same page again names the same story."""
    first, second = parse_text(page(), PUBLISHED_NS), parse_text(page(), PUBLISHED_NS + 1)

    assert UUID(first.article_id).version == 5
    assert first.article_id == second.article_id


def test_copies_leave_the_text_behind() -> None:
    """An article is multiplied by its instruments; its body is not."""
    routed = copies(article(body="x" * 100_000, instruments=(Link("XNYS:BABA", "", "provider", 1.0),)))

    assert len(encode_copy(routed[0])) < 1_000


@pytest.mark.parametrize(
    "changes",
    [
        {"updated_at": "0001-01-01T00:00:00Z"},
        {"updated_at": "1899-12-31T23:59:59Z"},
        {"updated_at": "1900-01-01T00:00:00Z"},
        {"published_at": "2199-12-31T23:59:59.999999999Z"},
        {"published_at": "2200-01-01T00:00:00Z"},
        {"published_at": 1.759e18},
        {"published_at": 1759232702000000000},
        {"published_at": 1759232702000000000.0},
        {"published_at": 1.5},
        {"received_at": 1e300},
        {"received_at": None, "updated_at": None},
        {"version": 1.0},
        {"version": 1.5},
        {"version": -1.0},
        {"version": 2.0**63},
        {"version": 2**63 - 1},
        {"source": "\U0001f600" * 256},
        {"source": "\U0001f600" * 257},
        {"article_id": "\U0001f600" * 257},
        {"title": "\U0001f600" * 1000},
        {"title": " " + "a" * 1000},
        {"tags": [" " + "a" * 200]},
        {"tags": [{"raw": "a" * 201}]},
    ],
    ids=lambda changes: repr(changes)[:60],
)
def test_the_schema_accepts_exactly_what_is_taken(changes: dict[str, object]) -> None:
    """An article from any producer that validates is taken, however its numbers and its text are written."""
    value = record(**changes)

    try:
        decode_article(value, received_ns=PUBLISHED_NS)
        taken = True
    except RecordRefused:
        taken = False

    assert validator("article").is_valid(json.loads(value)) == taken


def test_whole_numbers_may_be_written_as_floats() -> None:
    """A producer whose language has only doubles writes 1.0 and 1.759e18."""
    decoded = decode_article(record(version=2.0, published_at=1.759e18))

    assert (decoded.version, decoded.published_ns) == (2, 1_759_000_000_000_000_000)
    assert (type(decoded.version), type(decoded.published_ns)) == (int, int)


def test_a_day_that_does_not_exist_is_refused_with_its_reason() -> None:
    """A schema's pattern cannot know leap years; its description says that the day must exist."""
    with pytest.raises(RecordRefused, match="found '2025-02-30', which does not exist") as refused:
        decode_article(record(published_at="2025-02-30T00:00:00Z"))

    assert refused.value.reason == "invalid_time"
    assert "of a day that exists" in schema("article")["properties"]["published_at"]["description"]
