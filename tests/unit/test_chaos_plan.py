"""What chaos calls a success: a run that did what was planned, and controls that failed as they must."""

from __future__ import annotations

import itertools
from collections import Counter
from random import Random
from typing import Any, cast

import pytest

from streams.audit.comparison import Counts, Defect, Findings
from streams.audit.report import PartitionReport, Report
from streams.config import Config, Kafka
from streams.kafka.probe import AFTER_SNAPSHOT, DURING_REPLAY
from tests.chaos.__main__ import judge_control
from tests.chaos.carried import WITHIN_SNAPSHOT, planned
from tests.chaos.controls import CONTROLS
from tests.chaos.faults import Breaker
from tests.chaos.minimums import (
    FULL,
    SNAPSHOTS,
    Happened,
    direct_repeating_minimums,
    repeating_minimums,
    short_minimums,
)
from tests.chaos.plan import (
    RETRIES_MAX,
    TRIES_MAX,
    WORKER_APIS,
    Agenda,
    Task,
    all_frames,
    direct_points,
    direct_repeating_points,
    plan_of,
    points,
    repeating_plan,
)
from tests.chaos.proxy import KINDS
from tests.chaos.totals import Totals


def met() -> Happened:
    """Return what happens in a run that meets every minimum, and no more."""
    return Happened(
        crashes=Counter(points(40)),
        direct=Counter(points(160)),
        snapshots=Counter(SNAPSHOTS),
        kills=30,
        zombies=10,
        broker_restarts=5,
        rebalances=8,
        frames=Counter(itertools.product(WORKER_APIS, KINDS)),
    )


def without(counter: Counter[Any], name: Any) -> Counter[Any]:
    """Return a count without one name."""
    return Counter({other: count for other, count in counter.items() if other != name})


def test_run_that_meets_every_minimum_is_well() -> None:
    """The minimums can be met, and what is planned meets them when it happens."""
    plan = plan_of(short=False, random=Random(1))

    assert FULL.wrong(met()) == []
    assert len(plan.crashes) + 160 >= FULL.crashes
    assert len(plan.crashes) + plan.kills >= FULL.kills
    assert (plan.zombies, plan.broker_restarts, plan.rebalances) == (10, 5, 8)
    assert {(api, kind) for api, _, kind in plan.frames} == FULL.frames
    assert len(FULL.frames) == 75
    carrying = Counter(
        point for at in (plan.crashes, direct_points(short=False)) for point, is_so in planned(at) if is_so
    )
    assert all(carrying[point] > least for point, least in SNAPSHOTS.items())
    assert 3 * carrying[AFTER_SNAPSHOT] >= Counter([*plan.crashes, *direct_points(short=False)])[AFTER_SNAPSHOT]


@pytest.mark.parametrize(
    ("change", "line"),
    [
        ({"crashes": Counter(points(39))}, "expected at least 200 crash points, up to 160 of them direct, found 199"),
        ({"direct": Counter(points(159))}, "expected at least 200 crash points, up to 160 of them direct, found 199"),
        ({"kills": 29}, "expected at least 30 kill -9, found 29"),
        *(
            (
                {"snapshots": Counter(SNAPSHOTS) - Counter([point])},
                f"expected at least {least} crashes at {point} with a snapshot under way, found {least - 1}",
            )
            for point, least in SNAPSHOTS.items()
        ),
        ({"zombies": 9}, "expected at least 10 zombies, found 9"),
        ({"broker_restarts": 4}, "expected at least 5 broker restarts, found 4"),
        ({"rebalances": 7}, "expected at least 8 rebalances that moved partitions, found 7"),
        (
            {"frames": without(met().frames, ("EndTxn", "hold"))},
            "expected each of 75 frame faults at least once, found none of hold EndTxn",
        ),
        (
            {"frames": Counter({**met().frames, ("EndTxn", "hold"): 0})},
            "expected each of 75 frame faults at least once, found none of hold EndTxn",
        ),
    ],
)
def test_run_below_a_minimum_says_which(change: dict[str, Any], line: str) -> None:
    """One less of anything is said, with what was found."""
    happened = met()
    for name, value in change.items():
        setattr(happened, name, value)

    assert FULL.wrong(happened) == [line]


def test_direct_crashes_stand_for_so_many_and_no_more() -> None:
    """A thousand crashes without Faust do not stand for those of processes; a point that never came is named."""
    happened = met()
    happened.direct = Counter(points(1000))
    happened.crashes = Counter(points(10))

    assert FULL.wrong(happened) == ["expected at least 200 crash points, up to 160 of them direct, found 170"]
    assert FULL.of(["processes"]).wrong(happened) == [
        "expected at least 40 crash points, up to 0 of them direct, found 10"
    ]
    happened = met()
    happened.crashes, happened.direct = Counter({"during_commit": 40}), without(Counter(points(200)), DURING_REPLAY)
    assert FULL.wrong(happened) == ["expected every crash point at least once, found none of during_replay"]


def test_short_run_has_minimums_of_its_own() -> None:
    """One of each, and every frame fault that chance chose."""
    plan = plan_of(short=True, random=Random(52))
    minimums = short_minimums(plan)

    assert len(minimums.wrong(Happened())) == 9
    lives = Happened(direct=Counter(points(9)), snapshots=Counter([AFTER_SNAPSHOT, WITHIN_SNAPSHOT]))
    assert minimums.of(["direct"]).wrong(lives) == []
    lives.snapshots.clear()
    assert len(minimums.of(["direct"]).wrong(lives)) == 2
    happened = Happened(
        crashes=Counter(plan.crashes),
        direct=Counter(direct_points(short=True)),
        snapshots=Counter({AFTER_SNAPSHOT: 1, WITHIN_SNAPSHOT: 1}),
        kills=1,
        zombies=1,
        broker_restarts=1,
        rebalances=1,
        frames=Counter((api, kind) for api, _, kind in plan.frames),
    )
    assert minimums.wrong(happened) == []
    assert minimums.of(["controls"]).wrong(Happened()) == []


def test_workers_of_at_least_once_delivery_do_all_that_is_planned() -> None:
    """They have no minimums but their plan."""
    minimums = repeating_minimums(repeating_plan(short=False))
    torn = Counter({AFTER_SNAPSHOT: 1, WITHIN_SNAPSHOT: 2})

    assert minimums.wrong(Happened(crashes=Counter(points(11)), kills=6, snapshots=torn, refused=1)) == []
    assert len(minimums.wrong(Happened(crashes=Counter(points(10)), kills=5))) == 5


@pytest.mark.parametrize("short", [True, False])
def test_what_is_torn_without_transactions_must_be_refused(short: bool) -> None:
    """A crash between two records of a snapshot proves nothing when whoever comes next does not notice."""
    planned_points = direct_repeating_points(short=short)
    minimums = direct_repeating_minimums(planned_points)
    snapshots = Counter(point for point, carrying in planned(planned_points) if carrying)
    happened = Happened(direct=Counter(planned_points), snapshots=snapshots, refused=snapshots[WITHIN_SNAPSHOT])

    assert minimums.wrong(happened) == []
    happened.refused = 0
    assert [line.split(",")[0] for line in minimums.wrong(happened)] == [
        f"expected at least {minimums.refused} torn snapshots that were refused"
    ]


def agenda_of(count: int) -> Agenda:
    """Return an agenda of things that never happen."""

    async def act() -> bool:
        return False

    return Agenda([Task(f"task {number}", act) for number in range(count)])


def tries_of(agenda: Agenda) -> int:
    """Try all of an agenda, and return how often something was tried."""
    tries = 0
    for task in agenda:
        tries += 1
        agenda.miss(task)
    return tries


def test_what_did_not_happen_is_planned_again_a_bounded_number_of_times() -> None:
    """Each thing is tried so often, all of them together so often again; what is given up is named."""
    one, many = agenda_of(1), agenda_of(100)

    assert tries_of(one) == TRIES_MAX
    assert one.missed == ["task 0"]
    assert tries_of(many) == many.total == 100 + RETRIES_MAX
    assert len(many.missed) == 100


def test_worker_that_ended_by_itself_or_a_run_cut_short_is_wrong() -> None:
    """Whatever happened, these are failures."""
    made = Breaker(cast(Any, None), cast(Any, None), Random(1), met(), lambda _: None, lambda: None)

    assert made.wrong == []
    made.unclean = ["worker a ended with 1"]
    made.left_off = "left off after 3 of 20"
    assert made.wrong == ["worker a ended with 1", "left off after 3 of 20"]


def test_every_request_is_held_and_only_requests_are() -> None:
    """An answer that is held is one that is delayed, so a hold is on a request; members that leave are spoilt too."""
    frames = all_frames(Random(2))

    assert {side for _, side, kind in frames if kind == "hold"} == {"request"}
    assert ("LeaveGroup", "request", "hold") in frames


def test_outputs_may_repeat_without_transactions_and_with_them_may_not() -> None:
    """What repeats is counted apart where it is legal; what is lost or another is wrong under either delivery."""

    def totals(delivery: str, counts: Counts) -> Totals:
        found = Totals()
        report = Report([PartitionReport("state", 0, findings=[Findings("topic/0", counts, [])])])
        found.add("phase", Config(kafka=Kafka(delivery=delivery)), report, 1)
        return found

    assert totals("at_least_once", Counts(doubled=3, out_of_order=1)).is_well
    assert "repeated 4 " in totals("at_least_once", Counts(doubled=3, out_of_order=1)).lines()[0]
    assert not totals("exactly_once", Counts(doubled=1)).is_well
    for kind in ("lost", "different", "unexpected"):
        assert not totals("at_least_once", Counts(**{kind: 1})).is_well
        assert not totals("exactly_once", Counts(**{kind: 1})).is_well


@pytest.mark.parametrize("delivery", ["exactly_once", "at_least_once"])
def test_output_past_the_committed_positions_is_wrong(delivery: str) -> None:
    """Workers have ended in order by the time their outputs are judged: nothing is on its way any more."""
    totals = Totals()
    report = Report([PartitionReport("state", 0, findings=[Findings("topic/0", Counts(ahead=2), [])])])

    totals.add("phase", Config(kafka=Kafka(delivery=delivery)), report, 1)

    assert totals.wrong == ["phase: expected no output past the committed positions, found 2"]


@pytest.mark.parametrize("control", [control for control in CONTROLS if control.name], ids=lambda control: control.name)
def test_control_is_caught_by_its_own_difference_alone(control: Any) -> None:
    """A report that is not well for another reason does not show that the missing rule was noticed."""

    def wrong(counts: Counts, problem: str = "") -> list[str]:
        totals = Totals()
        findings = Findings("topic/0", counts, [Defect("lost", "topic/0", "record")])
        judge_control(control, Report([PartitionReport("state", 0, findings=[findings], problem=problem)]), totals)
        return totals.wrong

    assert wrong(Counts(unexpected=1))
    assert wrong(Counts(), "not judged")
    assert not wrong(Counts(**{control.kinds[0]: 1}))
