"""What chaos calls a success: a run that did what was planned, and controls that failed as they must."""

from __future__ import annotations

from random import Random
from typing import Any, cast

import pytest

from streams.audit.comparison import Counts, Defect, Findings
from streams.audit.report import PartitionReport, Report
from streams.config import Config, Kafka
from tests.chaos.__main__ import judge_control
from tests.chaos.controls import CONTROLS
from tests.chaos.faults import Breaker, all_frames
from tests.chaos.totals import Totals


def breaker(*, planned: int, missed: int = 0, unclean: int = 0, left_off: str = "") -> Breaker:
    """Return a breaker as it is at the end of a run."""
    made = Breaker(cast(Any, None), cast(Any, None), Random(1), lambda _: None, lambda: None)
    made.planned, made.left_off = planned, left_off
    made.missed = ["crash during_commit"] * missed
    made.unclean = ["worker a ended with 1"] * unclean
    return made


def test_run_that_did_less_than_planned_is_wrong() -> None:
    """Missed faults past a tenth, workers that ended by themselves and a run cut short are failures."""
    assert breaker(planned=20, missed=2).wrong == []
    assert len(breaker(planned=20, missed=3).wrong) == 1
    assert breaker(planned=20, unclean=1).wrong == ["worker a ended with 1"]
    assert breaker(planned=20, left_off="left off after 3 of 20").wrong == ["left off after 3 of 20"]


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
