"""Files of actions and of calendars, right but for something: taken as the worker takes them, or refused by name."""

from __future__ import annotations

from datetime import date, time, timedelta
from zoneinfo import ZoneInfo

import numpy as np
from hypothesis import given, settings
from hypothesis import strategies as st

from streams.calendar_hours import corrected, utc_ns, with_extended
from streams.calendar_tables import BadOverrides, parse_tables
from streams.core.actions import action_key
from streams.core.instruments import Instruments
from streams.core.layout import ACTION_NAMES
from streams.core.sessions import Sessions
from streams.feeds.actions import Action, action_step, parse_actions
from streams.feeds.history import HistoryError
from streams.feeds.tables import Source
from streams.wire.tick_records import Change, decode_value

HEADER = "instrument,action_id,action,ex_date,ratio,numerator,denominator,operation,symbol,announced_at"
RIGHT = [
    "XNYS:A,a1,split,2025-06-10,4:1,,,,,",
    "XNYS:B.A,,stock_dividend,2025-06-11,,105,100,,,2025-06-01T12:00:00Z",
    "XNYS:A,a2,symbol_change,2025-06-12,,,,,A.B,",
    "XNYS:C,a3,cash_dividend,2025-06-13,,,,,,",
    "XNYS:A,a1,split,2025-06-10,,,,withdraw,,",
]
# One field of a line, and what may stand there that is nearly right.
FIELDS = {
    0: ["XNYS:A", "XNYS:A B", "XLON:A", "A", "xnys:a", "XNYS:A" + "A" * 30],
    1: ["", "a", "a" * 40, "a" * 41, "a\u00e9", '"a,b"'],
    2: [*ACTION_NAMES, "Split", "splits"],
    3: ["2025-06-10", "20250610", "2025-02-30", "10/06/2025", "1899-12-31", "2199-12-31"],
    4: ["4:1", "4/1", "0:1", "1:0", "1000001:1", "1000000:1", "4", "1.5:1", "-4:1", "4:1:1", "\u0664:1"],
    5: ["", "4", "0", "1e1", "1000001"],
    6: ["", "1", "0", "1_0"],
    7: ["", "create", "withdraw", "delete"],
    8: ["", "B", "b", "B" * 16, "B" * 17, "B C"],
    9: ["", "2025-06-01T12:00:00Z", "2025-06-01", "2025-06-01T12:00:00", "yesterday"],
}


@st.composite
def lines(draw: st.DrawFn) -> str:
    fields = draw(st.sampled_from(RIGHT)).split(",")
    for _ in range(draw(st.integers(0, 4))):
        place = draw(st.sampled_from(sorted(FIELDS)))
        fields[place] = draw(st.one_of(st.sampled_from(FIELDS[place]), st.text(max_size=6)))
    return ",".join(fields)


def assert_worker_takes(action: Action) -> None:
    """The worker believes of an action's record what the file said, and nothing else."""
    taken = decode_value(action_step(action).value, Instruments(["XNYS"]))

    assert isinstance(taken, Change)
    assert taken.instrument == action.instrument
    assert taken.detail is not None
    said = dict(taken.detail)
    assert said.pop("key") == action_key(action.action_id)
    if action.operation == "withdraw":
        assert said == {"numerator": 1, "denominator": 1, "withdraw": 1}
        return
    if action.symbol is not None:
        assert said.pop("symbol") == action.symbol.encode()
    units = {"numerator": action.numerator, "denominator": action.denominator}
    assert said == {"code": ACTION_NAMES.index(action.action), "date": action.ex_date, **units}


def believed(data: bytes) -> list[Action]:
    """The actions of a file; what it refuses, whole or by the line, it names."""
    found, refused = [], []
    try:
        for entry in parse_actions(Source("actions.csv", data=data), {}, Instruments(["XNYS"])):
            if isinstance(entry, Action):
                found.append(entry)
            else:
                refused.append(str(entry))
    except HistoryError as error:
        refused.append(str(error))
    assert all("actions.csv" in text for text in refused)
    return found


@settings(deadline=None)
@given(st.lists(lines(), min_size=1, max_size=6))
def test_action_of_a_file_is_one_that_the_worker_takes(drawn: list[str]) -> None:
    """Whatever a line holds, it is an action that the worker takes as the file says it, or a refusal with its place."""
    for action in believed("\n".join([HEADER, *drawn]).encode("utf-8", "surrogatepass")):
        assert_worker_takes(action)


@settings(deadline=None)
@given(st.floats(0, 1, exclude_max=True), st.binary(max_size=3), st.integers(0, 3))
def test_damaged_file_of_actions_is_read_or_refused(place: float, damage: bytes, gone: int) -> None:
    """Bytes that are changed, put in or taken out anywhere crash nothing, and what is read is what a worker takes."""
    whole = "\n".join([HEADER, *RIGHT]).encode()
    at = int(place * len(whole))
    for action in believed(whole[:at] + damage + whole[at + gone :]):
        assert_worker_takes(action)


def test_right_file_of_actions_is_believed_whole() -> None:
    """Damage is done to a file of which every line is taken."""
    assert len(believed("\n".join([HEADER, *RIGHT]).encode())) == len(RIGHT)


ZONE = ZoneInfo("America/New_York")
FIRST = (date(2025, 10, 27) - date(1970, 1, 1)).days
# Two weeks about the end of summer time, with a break and an early close.
DAYS = [FIRST + 7 * week + day for week in range(2) for day in range(5)]
COLUMNS = [
    np.array(DAYS, np.int32),
    np.array([utc_ns(day, time(9, 30), ZONE) for day in DAYS]),
    np.array([utc_ns(day, time(13 if day % 5 == 0 else 16), ZONE) for day in DAYS]),
    np.array([utc_ns(day, time(12), ZONE) if day % 3 == 0 else 0 for day in DAYS]),
    np.array([utc_ns(day, time(12, 45), ZONE) if day % 3 == 0 else 0 for day in DAYS]),
]
CLOCKS = ("04:00:00", "09:30:00", "09:30:01", "12:00:00", "12:30:00", "12:45:00", "13:00:00", "16:00:00", "20:00:00")
HOURS = ("pre_open", "regular_close", "post_close", "early_post_close", "trade_date_end")


@st.composite
def tables(draw: st.DrawFn) -> bytes:
    entries = []
    for _ in range(draw(st.integers(0, 4))):
        day = date(1970, 1, 1) + timedelta(days=FIRST + draw(st.integers(-1, 13)))
        kinds = draw(st.sets(st.sampled_from(["closed", "early_close", "late_open"]), min_size=1, max_size=2))
        told = [f"{kind} = {'true' if kind == 'closed' else draw(st.sampled_from(CLOCKS))}" for kind in sorted(kinds)]
        entries.append("\n".join(["[[override]]", 'mic = "XNYS"', f"date = {day}", *told]))
    if draw(st.booleans()):
        clocks = draw(st.lists(st.sampled_from(CLOCKS), min_size=5, max_size=5))
        clocks = draw(st.sampled_from([clocks, ["04:00:00", "16:00:00", "20:00:00", "17:00:00", "20:00:00"]]))
        entries.append("\n".join(["[extended.XNYS]", *map("{} = {}".format, HOURS, clocks)]))
    return "\n".join(entries).encode()


@settings(deadline=None)
@given(tables(), st.booleans())
def test_calendar_with_corrections_is_in_order_or_refused(data: bytes, strict: bool) -> None:
    """Sessions never overlap, hours stand around the bells, and days that the file does not name are as they were."""
    refusal = ""
    try:
        found = parse_tables(data, where="mine.toml")
        named = {day: override for (_, day), override in found.overrides.items()}
        wide = with_extended(corrected(COLUMNS, ZONE, named, strict=strict), ZONE, found.extended.get("XNYS"))
    except BadOverrides as error:
        refusal = str(error)
    if refusal:
        assert refusal.startswith("mine.toml: ")
        return
    sessions = Sessions("XNYS", *wide)
    dates, opens, closes, starts, ends, extended_opens, extended_closes, trade_date_ends = wide
    assert np.all(opens < closes)
    assert np.all((starts == 0) | ((opens < starts) & (starts < ends) & (ends < closes)))
    assert np.all(extended_opens <= opens)
    assert np.all(closes <= extended_closes)
    assert np.all(extended_closes <= trade_date_ends)
    assert np.all(extended_closes[:-1] <= extended_opens[1:])
    assert np.all(opens[1:] >= closes[:-1])
    assert set(dates.tolist()) >= set(DAYS) - {day for day, override in named.items() if override.closed}
    for index, day in enumerate(sessions.dates.tolist()):
        if day not in named:
            at = DAYS.index(day)
            assert [column[index] for column in wide[:5]] == [column[at] for column in COLUMNS]
