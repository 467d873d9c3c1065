"""The compiled reader and the thorough way say the same of every record, whatever its bytes."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import example, given, settings
from hypothesis import strategies as st

from streams.core.instruments import Instruments
from streams.core.layout import KIND_BAR, KIND_TICK, RECORD
from streams.core.units import format_decimal
from streams.wire.batches import frame_values
from streams.wire.binary_ticks import encode_tick
from streams.wire.ticks import Decoded, TickDecoder

MICS = ["XNYS", "XNAS", "XHKG"]
Value = bytes | None


def decode(
    values: list[Value], keys: list[Value], *, read_plain: bool, splits: list[int]
) -> tuple[list[Any], Instruments]:
    """Decode values in the given splits; return what each became, without where its trade id happens to lie."""
    instruments = Instruments(MICS)
    decoder = TickDecoder(instruments, read_plain=read_plain)
    outcomes: list[Any] = []
    for start, stop in zip([0, *splits], [*splits, len(values)], strict=True):
        frames = frame_values(values[start:stop], keys=keys[start:stop], first_offset=start, append_ns=7)
        outcomes += described(decoder.decode(frames))
    return outcomes, instruments


def described(decoded: Decoded) -> list[Any]:
    """Return every column of every record, its trade id and bar, and its refusal."""
    outcomes: list[Any] = []
    refused = {rejected.index: rejected for rejected in decoded.rejected}
    for index, record in enumerate(decoded.records):
        start, length = int(record["trade_id_start"]), int(record["trade_id_length"])
        columns = [record[name].tolist() for name in RECORD.names or () if name not in ("trade_id_start", "extra")]
        trade_id = decoded.buffer[start : start + length].tobytes()
        rejected = replace(refused[index], index=0) if index in refused else None
        outcomes.append((columns, trade_id, rejected))
    return [*outcomes, decoded.bars.tolist(), decoded.nulls, decoded.unknown_conditions]


def assert_both_ways_agree(values: list[Value], keys: list[Value]) -> None:
    """Decode both ways and compare, rows included."""
    plain, plain_instruments = decode(values, keys, read_plain=True, splits=[])
    thorough, thorough_instruments = decode(values, keys, read_plain=False, splits=[])

    assert plain == thorough
    assert [plain_instruments.id(row) for row in range(len(plain_instruments))] == [
        thorough_instruments.id(row) for row in range(len(thorough_instruments))
    ]


instruments = st.sampled_from(
    ["XNYS:BABA", "XNAS:AAPL", "XHKG:9988", "XNYS:BRK.B", "XNYS:" + "A" * 27]
) | st.sampled_from(
    ["XLON:VOD", "BABA", "", "xnys:BABA", "XNYS:BABA ", "XNYS:" + "A" * 28, "XNYS:BÉ", 'XNYS:"', "XNYS:A\\B", 5, None]
)
clock_times = st.builds(
    "{:04d}-{:02d}-{:02d}T{:02d}:{:02d}:{:02d}{}{}".format,
    st.sampled_from([1899, 1900, 1970, 2024, 2025, 2199, 2200]),
    st.integers(0, 13),
    st.integers(0, 32),
    st.integers(0, 25),
    st.integers(0, 61),
    st.integers(0, 61),
    st.sampled_from(["", ".", ".5", ".123", ".123456", ".12345678", ".123456789", ".1234567890", ".00000000a"]),
    st.sampled_from(["Z", "", "+00:00", "-04:00", "+24:00", "+05:60", "z", "-4:00", "Z "]),
)
times = (
    st.sampled_from(["2025-09-29T13:30:00.005750123Z", "2025-09-29T13:30:01Z", "2024-02-29T00:00:00.5-05:00"])
    | clock_times
    | st.integers(-(2**70), 2**70)
    | st.sampled_from(
        [1759152600005750123, 10**17, 10**17 - 1, 7258118399999999999, 7258118400000000000, True, None, 1.5]
    )
)
decimal_texts = st.from_regex(r"[-+]?[0-9]{0,13}(\.[0-9]{0,10})?([eE][-+]?[0-9]{1,3})?", fullmatch=True)
amounts: st.SearchStrategy[Any] = (
    st.sampled_from(
        ["179.90", "100", "0", "0.00000001", "8000000", "8000000.00000001", "9000000000", "NaN", "-1", "1e3", ""]
    )
    | decimal_texts
    | st.integers(-10, 10**11)
    | st.floats(allow_nan=False, allow_infinity=False)
    | st.sampled_from([None, True, [], {}])
)
conditions = st.lists(
    st.sampled_from(["@", "F", "I", "T", " ", "?", "é", '"', "\\", "", "FI", 5, None]), max_size=5
) | (st.none() | st.sampled_from(["@", 1, {}]))
labels = st.sampled_from(
    ["A", "B", "C", "D", "", "12345", "A" * 24, "A" * 25, 'quo"te', "é", "\n", "sl/ash", None, 7, ["A"]]
)
kinds = st.sampled_from(["tick", "bar", "clock", "cancel", "Tick", "", 1, None])
extras = st.sampled_from([1, "x", None, {"a": [1, {"b": "\\"}]}, "é", 1.5e300])
likely = st.fixed_dictionaries(
    {
        "instrument": st.sampled_from(["XNYS:BABA", "XNAS:AAPL", "XNYS:NEW", "XHKG:9988"]),
        "time": st.sampled_from(["2025-09-29T13:30:00.005750123Z", "2025-09-30T13:30:00Z", 1759152600005750123]),
        "price": st.sampled_from(["179.90", "0.5", "8000000"]) | st.integers(1, 8_000_000),
        "size": st.sampled_from(["100", "0", "0.5"]) | st.integers(0, 10**9),
    },
    optional={
        "conditions": st.lists(st.sampled_from("@FIT OB?"), max_size=4),
        "tape": st.sampled_from("ABC"),
        "venue": st.sampled_from(["", "XNYS", "D"]),
        "trade_id": st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=24),
        "type": st.just("tick"),
    },
)
likely_bars = st.builds(
    lambda opened, closed, over, under, rest: {
        "type": "bar",
        "instrument": rest["instrument"],
        "session_date": rest["session_date"],
        "open": rest["spell"](opened),
        "high": rest["spell"](max(opened, closed) + over),
        "low": rest["spell"](min(opened, closed) - under),
        "close": rest["spell"](closed),
        **rest["volume"],
    },
    st.integers(10_000, 799_999_900),
    st.integers(10_000, 799_999_900),
    st.integers(-1, 100),
    st.integers(-1, 10_000),
    st.fixed_dictionaries(
        {
            "instrument": st.sampled_from(["XNYS:BABA", "XNAS:AAPL", "XNYS:NEW", "XHKG:9988"]),
            "session_date": st.sampled_from(["2025-09-29", "2024-02-29", "1900-01-01", "2199-12-31", "1970-01-02"]),
            "spell": st.sampled_from([lambda cents: f"{cents / 100:.2f}", lambda cents: cents // 100]),
            "volume": st.sampled_from([{}, {"volume": "1000000"}, {"volume": 5}, {"volume": "0"}, {"volume": None}]),
        }
    ),
)
binaries = st.builds(
    encode_tick,
    time=st.integers(10**17, 7_258_118_399_999_999_999) | st.sampled_from([0, -1, 10**17 - 1, 2**63 - 1]),
    price=st.integers(1, 8 * 10**14) | st.sampled_from([0, -1, 8 * 10**14 + 1, 2**63 - 1]),
    size=st.integers(0, 9 * 10**17) | st.sampled_from([-1, 9 * 10**17 + 1, -(2**63)]),
    conditions=st.lists(st.sampled_from("@FIT OB?~"), max_size=4),
    tape=st.sampled_from([None, "A", "B", "C"]),
    venue=st.sampled_from([None, "", "D", "XNYS", "ARCX 1"]),
    trade_id=st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=24),
)
unlikely = st.fixed_dictionaries(
    {},
    optional={
        "instrument": instruments,
        "time": times,
        "price": amounts,
        "size": amounts,
        "conditions": conditions,
        "tape": labels,
        "venue": labels,
        "trade_id": labels,
        "type": kinds,
        "mode": st.sampled_from(["live", "replay", "fast", 1]),
        "session_date": st.sampled_from(["2025-09-29", "2025-02-30", "20250929", 5]),
        "volume": amounts,
        "open": amounts,
        "extra": extras,
    },
)


@st.composite
def values(draw: st.DrawFn) -> Value:
    """Draw one value: plausible JSON, spelled in one of many ways, and sometimes damaged."""
    if draw(st.integers(0, 30)) == 0:
        return draw(
            st.none() | st.binary(max_size=20) | st.sampled_from([b"[]", b"1", b"null", b"\0\0\0\0\5{}", b"{}"])
        )
    damage = draw(st.integers(0, 3)) == 0
    if draw(st.integers(0, 4)) == 0:
        binary = draw(binaries)
        return damaged(draw, binary + draw(st.sampled_from([b"", b"later"]))) if damage else binary
    fields = draw(likely | likely_bars)
    if damage:
        unusual = draw(unlikely)
        chosen = draw(st.lists(st.sampled_from(sorted(unusual)), max_size=2)) if unusual else []
        fields.update({name: unusual[name] for name in chosen})
        for name in draw(st.lists(st.sampled_from(sorted(fields)), max_size=1)):
            del fields[name]
    text = spelled(fields, random.Random(draw(st.integers(0, 2**32))), damage=damage)
    return damaged(draw, text.encode()) if damage else text.encode()


def spelled(fields: dict[str, Any], chance: random.Random, *, damage: bool) -> str:
    """Write the fields as JSON: any order, spaces, numbers as numbers or text, sometimes a key twice or an escape."""
    names = list(fields)
    if chance.random() < 0.3:
        chance.shuffle(names)
    if damage and names and chance.random() < 0.3:
        names.append(chance.choice(names))
    comma, colon = chance.choice([(",", ":"), (", ", ": "), (",", ":"), (" ,\n\t", " :\r ")])
    parts = []
    for name in names:
        key, value = json.dumps(name), json.dumps(fields[name], ensure_ascii=chance.random() < 0.5)
        if damage and chance.random() < 0.1:
            key = key.replace("e", "\\u0065", 1)
        if damage and chance.random() < 0.1:
            value = value.replace("0", "\\u0030", 1).replace("/", "\\/")
        if damage and isinstance(fields[name], str) and chance.random() < 0.3:
            value = fields[name]
        parts.append(f"{key}{colon}{value}")
    edge = chance.choice(["", "", "", " ", "\n"])
    return f"{edge}{{{edge}{comma.join(parts)}{edge}}}{edge}"


def damaged(draw: st.DrawFn, value: bytes) -> bytes:
    """Cut, change, insert or append bytes."""
    how = draw(st.integers(0, 5))
    at = draw(st.integers(0, max(len(value) - 1, 0)))
    garbage = draw(
        st.binary(min_size=1, max_size=2) | st.sampled_from([b'"', b"\\", b"}", b",", b"\0", b" ", b"0", b"\xc3"])
    )
    if how == 0:
        return value[:at]
    if how == 1:
        return value[:at] + garbage + value[at + 1 :]
    if how == 2:
        return value[:at] + garbage + value[at:]
    if how == 3:
        return value + garbage
    return value


tick = b'{"instrument":"XNYS:BABA","time":"2025-09-29T13:30:00.005750123Z","price":"179.90","size":"100"}'


bar = (
    b'{"type":"bar","instrument":"XNYS:BABA","session_date":"2025-09-29","open":"174.43","high":"181.344",'
    b'"low":"173.5","close":"179.90","volume":"1000000"}'
)


@settings(max_examples=600, deadline=None)
@given(st.lists(st.tuples(values(), st.sampled_from([None, b"XNYS:BABA", b"XNAS:AAPL", b"", b"k" * 40])), max_size=8))
@example([(tick, None), (tick.replace(b"2025-09-29T", b"\0" * 11), None)])
@example([(tick.replace(b"2025-09-29T", b"\0" * 11), None)])
@example([(tick.replace(b"2025-09-29T", b"\xff" * 8 + b"\0" * 3), None)])
@example([(tick.replace(b"BABA", b'A","B'), b"XNYS:A"), (tick.replace(b"BABA", b"A"), b'XNYS:A","B')])
@example([(tick, None), (tick[:-1] + b',"price":"1"}', None), (tick, None)])
@example([(bar, None), (tick, None), (bar, None), (bar.replace(b"BABA", b"NEW"), None), (bar, None)])
@example([(bar.replace(b'"bar"', b'"tick"'), None), (bar.replace(b"BABA", b"A"), b"XNYS:A"), (bar, None)])
@example([(bar, None), (bar.replace(b'"low":"173.5"', b'"low":"174.44"'), None), (bar, None)])
@example([(bar, None), (bar.replace(b"2025-09-29", b"1970-01-01"), None)])
@example([(b'{"price":"1"}', None), (b"{}", None), (b" ", None), (b'{"a":1}', None)])
def test_both_ways_say_the_same(records: list[tuple[Value, Value]]) -> None:
    """Any mixture of records gives the same columns, rows and refusals with and without the compiled reader."""
    assert_both_ways_agree([value for value, _ in records], [key for _, key in records])


# Valid records whose every byte matters: bounds of dates and times, of amounts, of lengths, and every kind of field.
EDGES = (
    tick,
    b'{"instrument":"XNYS:BABA","time":"2024-02-29T20:59:59.999999999Z","price":"8000000","size":"0"}',
    b'{"instrument":"XNYS:BABA","time":"1900-03-01T00:00:00Z","price":"0.00000001","size":"9000000000"}',
    b'{"instrument":"XNYS:BABA","time":"2199-12-31T20:30:00.5-03:20","price":"0000000001.5","size":"12345678"}',
    b'{"time": 1759152600005750123, "instrument": "XNYS:BABA", "size": 10, "price": 179.9}',
    b'{"time":7258118399999999999,"instrument":"XNYS:BABA","size":123456789.12345678,"price":7999999.99999999}',
    b'{"time":100000000000000000,"instrument":"XNYS:BABA","size":0,"price":0.5}',
    bar,
    b'{"close": 12.5, "low": 12, "open": 12, "high": 13, "session_date": "2024-02-29", "instrument": "XNYS:BABA", '
    b'"type": "bar", "volume": 9000000000}',
    bar.replace(b',"volume":"1000000"', b""),
    encode_tick(time=1759152600005750123, price="179.90", size="100"),
    encode_tick(time=10**17, price=1, size=0, conditions=["@", "F", " ", "~"], tape="C", venue="D"),
    encode_tick(
        time=7258118399999999999, price="8000000", size="9000000000", tape="A", trade_id="52983525029461abcdefghij"
    ),
    tick[:-1] + b',"conditions":["@","F"],"tape":"A","venue":"XNYS","trade_id":"52983525029461abcdefghij"}',
    tick[:-1] + b', "type": "tick", "conditions": ["@", "T", "I", " "], "trade_id": ""}',
    tick[:-1] + b',"conditions":[],"tape":"C","venue":"~ "}',
)
BYTES = [bytes([byte]) for byte in b'\0\t\n\x1f !"+,-./0123456789:;ABCDTXZ[\\]ez{}~\x7f\x80\xc3\xff']


@pytest.mark.parametrize("edge", EDGES)
def test_every_change_of_one_byte_is_seen_by_both(edge: bytes) -> None:
    """Whatever byte of a record is replaced, inserted or removed, both ways agree; good records around it stay good."""
    changed: list[Value] = []
    for at in range(len(edge) + 1):
        changed.append(edge[:at] + edge[at + 1 :])
        for byte in BYTES:
            changed += [edge[:at] + byte + edge[at + 1 :], edge, edge[:at] + byte + edge[at:]]

    assert_both_ways_agree(changed, [b"XNYS:BABA"] * len(changed))


@settings(max_examples=100, deadline=None)
@given(st.lists(values(), min_size=1, max_size=10), st.data())
def test_any_split_gives_the_same(records: list[Value], data: st.DataObject) -> None:
    """How a log is cut into fetches changes neither columns nor rows."""
    splits = sorted(data.draw(st.sets(st.integers(0, len(records)))))
    keys: list[Value] = [None] * len(records)

    whole, instruments_of_whole = decode(records, keys, read_plain=True, splits=[])
    parts, instruments_of_parts = decode(records, keys, read_plain=True, splits=splits)

    rows = [outcome for outcome in whole if isinstance(outcome, tuple)]
    assert [outcome for outcome in parts if isinstance(outcome, tuple)] == rows
    assert len(instruments_of_whole) == len(instruments_of_parts)


@settings(max_examples=100, deadline=None)
@given(st.lists(likely, min_size=1, max_size=5))
def test_likely_records_are_read_plain(fields: list[dict[str, Any]]) -> None:
    """What an ordinary producer writes is taken by the compiled reader once its instrument is known."""
    chance = random.Random(0)
    frames = frame_values([spelled(one, chance, damage=False).encode() for one in fields])
    decoder = TickDecoder(Instruments(MICS))
    decoder.decode(frames)

    decoded = decoder.decode(frames)

    escaped = sum(json.dumps(one.get("trade_id", "")).count("\\") > 0 for one in fields)
    assert decoded.records["kind"].tolist() == [KIND_TICK] * len(fields)
    assert decoded.thorough == escaped


@settings(max_examples=50, deadline=None)
@given(st.lists(likely_bars, min_size=1, max_size=5))
def test_likely_bars_are_read_plain(fields: list[dict[str, Any]]) -> None:
    """Bars of sessions with trades, spelled as an ordinary producer spells them, take the compiled reader."""
    chance = random.Random(0)
    frames = frame_values([spelled(one, chance, damage=False).encode() for one in fields])
    decoder = TickDecoder(Instruments(MICS))
    decoder.decode(frames)

    decoded = decoder.decode(frames)

    left = len(decoded.rejected)
    left += sum(str(one.get("volume", "1")) == "0" or ("volume" in one and one["volume"] is None) for one in fields)
    assert decoded.thorough <= left
    assert (decoded.records["kind"] == KIND_BAR).sum() == len(fields) - len(decoded.rejected)


@settings(max_examples=200, deadline=None)
@given(
    st.integers(10**17, 7_258_118_399_999_999_999),
    st.integers(1, 8 * 10**14),
    st.integers(0, 9 * 10**17),
    st.lists(st.sampled_from("@FIT OB?~"), max_size=4),
    st.sampled_from([None, "A", "B", "C"]),
    st.sampled_from([None, "D", "XNYS"]),
    st.text(st.characters(min_codepoint=32, max_codepoint=126), max_size=24),
    st.booleans(),
)
def test_binary_and_json_of_a_tick_give_the_same_columns(
    time_ns: int,
    price: int,
    size: int,
    codes: list[str],
    tape: str | None,
    venue: str | None,
    trade_id: str,
    read_plain: bool,
) -> None:
    """The form of a tick changes nothing but its size on the wire."""
    optional = {"conditions": codes, "tape": tape, "venue": venue, "trade_id": trade_id}
    fields = {"instrument": "XNYS:BABA", "time": time_ns, "price": format_decimal(price), "size": format_decimal(size)}
    text = json.dumps(fields | optional).encode()
    binary = encode_tick(
        time=time_ns, price=price, size=size, conditions=codes, tape=tape, venue=venue, trade_id=trade_id
    )

    outcomes, _ = decode([text, binary], [b"XNYS:BABA"] * 2, read_plain=read_plain, splits=[1])

    tick_of_text, tick_of_binary = (outcome for outcome in outcomes if isinstance(outcome, tuple))
    offset = list(RECORD.names or ()).index("offset")
    assert tick_of_text[0].pop(offset) + 1 == tick_of_binary[0].pop(offset)
    assert tick_of_text == tick_of_binary
    assert tick_of_text[1:] == (trade_id.encode(), None)
