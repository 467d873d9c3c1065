"""Corporate actions from files: what a line may say, what it becomes, and what is refused."""

from __future__ import annotations

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.core.instruments import Instruments
from streams.core.units import parse_date
from streams.feeds.actions import ACTIONS, Action, Told, action_step, parse_actions, read_actions
from streams.feeds.history import HistoryError, Refused
from streams.feeds.tables import Source

HEADER = "instrument,action_id,action,ex_date,ratio,numerator,denominator,operation,symbol,announced_at"
INSTRUMENTS = Instruments(["XNAS", "XNYS"])


def parse(*lines: str, header: str = HEADER) -> list[Action | Refused]:
    source = Source("actions.csv", data="\n".join([header, *lines]).encode())
    return list(parse_actions(source, {}, INSTRUMENTS))


def document(line: str, header: str = HEADER) -> dict[str, Any]:
    (action,) = parse(line, header=header)
    assert isinstance(action, Action), action
    found: dict[str, Any] = json.loads(action_step(action).value)
    return found


def test_split_becomes_a_record_of_the_tick_topic() -> None:
    """Four new for one old are numerator 4 and denominator 1; an id is made where the file has none."""
    assert document("XNAS:AAPL,split,2020-08-31,4:1", "instrument,action,ex_date,ratio") == {
        "type": "action",
        "instrument": "XNAS:AAPL",
        "action_id": "split-2020-08-31",
        "action": "split",
        "ex_date": "2020-08-31",
        "numerator": 4,
        "denominator": 1,
    }


def test_action_is_keyed_by_its_instrument() -> None:
    """It goes to the partition of the ticks that it changes."""
    (action,) = parse("XNAS:AAPL,a-1,split,2020-08-31,,4,1,,,")

    assert isinstance(action, Action)
    assert (action_step(action).kind, action_step(action).key) == ("action", "XNAS:AAPL")


@pytest.mark.parametrize(
    ("line", "expected"),
    [
        ("XNYS:A,x,split,2025-06-10,1/10,,,,,", {"numerator": 1, "denominator": 10}),
        ("XNYS:A,x,stock_dividend,2025-06-10,,105,100,,,", {"numerator": 105, "denominator": 100}),
        ("XNYS:A,x,cash_dividend,20250610,,,,,,", {"ex_date": "2025-06-10", "numerator": 1, "denominator": 1}),
        ("XNYS:A,x,symbol_change,2025-06-10,,,,,B.A,", {"symbol": "B.A"}),
        ("XNYS:A,x,delisting,2025-06-10,,,,create,,2025-05-01T12:00:00Z", {"announced_at": "2025-05-01T12:00:00Z"}),
    ],
)
def test_kinds_of_actions_carry_what_they_need(line: str, expected: dict[str, Any]) -> None:
    """Ratios as one column or two; none where prices do not change."""
    assert expected.items() <= document(line).items()


def test_withdrawal_names_the_action_and_nothing_else() -> None:
    """What is withdrawn is known by its id."""
    assert document("XNYS:A,x,split,2025-06-10,,,,withdraw,,") == {
        "type": "action",
        "instrument": "XNYS:A",
        "action_id": "x",
        "operation": "withdraw",
    }


@pytest.mark.parametrize(
    ("line", "said"),
    [
        ("NYSE,x,split,2025-06-10,4:1,,,,,", "instrument: expected an instrument id"),
        ("XLON:A,x,split,2025-06-10,4:1,,,,,", "instrument: expected an instrument of XNAS, XNYS"),
        ("XNYS:A,x,merger,2025-06-10,4:1,,,,,", f"action: expected {', '.join(ACTIONS)}, found 'merger'"),
        ("XNYS:A,x,split,06/10/2025,4:1,,,,,", "ex_date: expected a date like"),
        ("XNYS:A,x,split,2025-06-31,4:1,,,,,", "ex_date: expected a day of the calendar"),
        ("XNYS:A,x,split,2025-06-10,,,,,,", "ratio: expected a ratio such as 4:1 (new for old), or numerator and"),
        ("XNYS:A,x,split,2025-06-10,4:1,4,1,,,", "found ratio, numerator, denominator"),
        ("XNYS:A,x,split,2025-06-10,4,,,,,", "ratio: expected whole numbers from 1 to 1,000,000"),
        ("XNYS:A,x,split,2025-06-10,0:1,,,,,", "ratio: expected whole numbers"),
        ("XNYS:A,x,split,2025-06-10,,1000001,1,,,", "ratio: expected whole numbers"),
        ("XNYS:A,x,split,2025-06-10,,4.0,1,,,", "ratio: expected whole numbers"),
        ("XNYS:A,x,split,2025-06-10,1:1,,,,,", "expected other than 1:1 with a split"),
        ("XNYS:A,x,cash_dividend,2025-06-10,2:1,,,,,", "expected 1:1 or none with cash_dividend"),
        (f"XNYS:A,{'x' * 41},split,2025-06-10,4:1,,,,,", "action_id: expected at most 40 printable"),
        ("XNYS:A,é,split,2025-06-10,4:1,,,,,", "action_id: expected at most 40 printable"),
        ("XNYS:A,x,symbol_change,2025-06-10,,,,,,", "symbol: expected the new symbol"),
        ("XNYS:A,x,split,2025-06-10,4:1,,,,B,", "symbol: expected the new symbol with a symbol_change and none else"),
        ("XNYS:A,x,symbol_change,2025-06-10,,,,,b c,", "symbol: expected 1 to 16 of A-Z"),
        ("XNYS:A,x,split,2025-06-10,4:1,,,undo,,", "operation: expected create, withdraw, found 'undo'"),
        ("XNYS:A,x,split,2025-06-10,4:1,,,,,2025-05-01", "announced_at: expected an RFC 3339 time"),
        ("XNYS:A,x,split,2025-06-10,4:1", "expected 10 columns, found 5"),
    ],
)
def test_wrong_line_is_named_and_the_next_one_still_counts(line: str, said: str) -> None:
    """A line that cannot be used is refused with file, line and reason; the others are not affected."""
    refused, action = parse(line, "XNYS:B,y,split,2025-06-10,4:1,,,,,")

    assert isinstance(refused, Refused)
    assert refused.where == "actions.csv:2"
    assert said in refused.message
    assert isinstance(action, Action)


def test_id_that_comes_twice_is_refused() -> None:
    """The second would replace the first in the engine, and nobody would know which was meant."""
    first, second = parse("XNYS:A,x,split,2025-06-10,4:1,,,,,", "XNYS:A,x,split,2025-06-11,4:1,,,,,")

    assert isinstance(first, Action)
    assert isinstance(second, Refused)
    assert "found 'x' also at actions.csv:2" in second.message


def test_one_split_under_two_ids_is_refused() -> None:
    """Two vendors name the same split: taken twice it would be 16:1. Withdrawn, or moved, it makes room."""
    lines = b"""instrument,action,ex_date,ratio,action_id,operation
XNAS:AAPL,split,2020-08-31,4:1,a1,
XNAS:AAPL,split,2020-08-31,4:1,b7,
XNAS:AAPL,split,2020-08-31,,a1,withdraw
XNAS:AAPL,split,2020-08-31,4:1,b8,
XNAS:AAPL,stock_dividend,2020-08-31,21:20,b9,
"""
    told = Told()

    found = list(parse_actions(Source("one.csv", data=lines), {}, INSTRUMENTS, told))
    more = list(parse_actions(Source("two.csv", data=lines.replace(b"b8", b"c1")), {}, INSTRUMENTS, told))

    refused = [str(each) for each in found if isinstance(each, Refused)]
    assert len(refused) == 1
    assert refused[0].startswith(
        "one.csv:3: ex_date: expected one split of XNAS:AAPL on 2020-08-31, found 'a1' also at"
    )
    assert [each.where for each in more if isinstance(each, Refused)][:2] == ["two.csv:2", "two.csv:3"]


def test_split_that_an_id_no_longer_means_makes_room() -> None:
    """The same id with another date moves its action."""
    first = b"instrument,action,ex_date,ratio,action_id\nXNAS:AAPL,split,2020-08-31,4:1,a1\n"
    second = b"instrument,action,ex_date,ratio,action_id\nXNAS:AAPL,split,2020-09-01,4:1,a1\n"
    told = Told()

    found = [
        each
        for name, data in (("1.csv", first), ("2.csv", second), ("3.csv", first.replace(b"a1", b"b1")))
        for each in parse_actions(Source(name, data=data), {}, INSTRUMENTS, told)
    ]

    assert [isinstance(each, Action) for each in found] == [True, True, True]


def test_file_of_actions_read_whole_must_be_right() -> None:
    """Prices that are turned back with half the actions would be wrong."""
    source = Source("actions.csv", data=f"{HEADER}\nXNYS:A,x,split,2025-06-10,,,,,,".encode())

    with pytest.raises(HistoryError, match=r"actions\.csv:2: ratio: "):
        read_actions([source], {}, Instruments(["XNYS"]))


def test_withdrawn_action_does_not_hold() -> None:
    """What a later line takes back is not applied; the others stand in order of their dates."""
    lines = [
        "XNYS:A,x,split,2025-06-10,4:1,,,,,",
        "XNYS:A,y,split,2025-06-12,2:1,,,,,",
        "XNYS:A,z,split,2024-06-12,2:1,,,,,",
        "XNYS:A,x,split,2025-06-10,,,,withdraw,,",
    ]
    source = Source("actions.csv", data="\n".join([HEADER, *lines]).encode())

    held = read_actions([source], {}, Instruments(["XNYS"]))

    assert [action.ex_date for action in held["XNYS:A"]] == [parse_date("2024-06-12"), parse_date("2025-06-12")]


FIELDS = st.one_of(
    st.sampled_from(
        ["XNYS:A", "x", "split", "2025-06-10", "4:1", "1", "withdraw", "create", "B", "", "0:0", "symbol_change"]
    ),
    st.text(max_size=12),
)


@settings(deadline=None)
@given(st.lists(st.lists(FIELDS, min_size=10, max_size=10).map(",".join), max_size=6))
def test_whatever_a_file_holds_it_is_read_or_refused(lines: list[str]) -> None:
    """No text crashes the reader, and what it believes is within bounds."""
    data = "\n".join([HEADER, *lines]).encode("utf-8", "surrogatepass")
    for entry in parse_actions(Source("actions.csv", data=data), {}, Instruments(["XNYS"])):
        if isinstance(entry, Refused):
            continue
        assert entry.action in ACTIONS
        assert entry.instrument.startswith("XNYS:")
        assert 1 <= entry.numerator <= 1_000_000
        assert 1 <= entry.denominator <= 1_000_000
        assert 1 <= len(entry.action_id) <= 40
        json.loads(action_step(entry).value)
