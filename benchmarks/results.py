"""What came out: a line a run, one table over all rounds, and the same as JSON and as a picture."""

from __future__ import annotations

import json
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from benchmarks.answers import Verdict
from benchmarks.chart import Group, bars_svg
from benchmarks.contest import Timing
from benchmarks.contestants import BREAKOUTS, RUNNING_MAXIMUM, Contestant
from benchmarks.stages import WorkerCost
from streams.core.compiled import cache_folder

OURS: Final = "Fiftytwo"
TITLES: Final = {
    BREAKOUTS: "52-week breakouts on both sides, a year of history",
    RUNNING_MAXIMUM: "Running maximum of each instrument",
}


@dataclass(frozen=True, slots=True)
class Result:
    """One contestant in one round."""

    name: str
    job: str
    number: int
    timing: Timing | None
    verdict: Verdict | None
    reason: str = ""
    is_missing: bool = False
    """It is not installed here, which is no failure."""

    @property
    def rate(self) -> float:
        """Return records a second."""
        return self.timing.records / max(self.timing.wall_seconds, 1e-9) if self.timing else 0.0

    @property
    def cpu_rate(self) -> float:
        """Return records a CPU second."""
        return self.timing.records / max(self.timing.cpu_seconds, 1e-9) if self.timing else 0.0


def measured(contestant: Contestant, number: int, timing: Timing, verdict: Verdict) -> Result:
    """Return the result of a run that came to its end."""
    return Result(contestant.name, contestant.job, number, timing, verdict)


def not_run(contestant: Contestant, number: int, reason: str, *, is_missing: bool = False) -> Result:
    """Return the result of a contestant that is not installed, or failed."""
    return Result(contestant.name, contestant.job, number, None, None, reason, is_missing)


def load(file: Path, ticks: int, instruments: int) -> list[Result]:
    """Return the runs of a report that came to their end; none where it is about other ticks or code, or not there."""
    if not file.exists():
        return []
    report = json.loads(file.read_text())
    if (report["ticks"], report["instruments"], report.get("sources")) != (ticks, instruments, cache_folder().name):
        return []
    return [
        Result(run["name"], run["job"], run["number"], Timing(**run["timing"]), Verdict(**run["verdict"]))
        for run in report["runs"]
        if run["timing"] is not None
    ]


def line(result: Result) -> str:
    """Return one line about one run."""
    if result.timing is None:
        return f"  {result.name}, {result.job}: not run: {result.reason}"
    return (
        f"  {result.name}, {result.job}: "
        f"{result.rate:,.0f}/s, {result.cpu_rate:,.0f} a CPU second, "
        f"{result.timing.memory_bytes_max / 1e6:,.0f} MB, ready after {result.timing.startup_seconds:.1f} s, "
        f"correct: {result.verdict}"
    )


def summary(
    found: Sequence[Result], chosen: Sequence[Contestant], ticks: int, instruments: int, machine: str
) -> dict[str, Any]:
    """Return everything about the comparison, as JSON takes it. Rates are medians over the rounds."""
    rows = []
    for contestant in chosen:
        runs = [result for result in found if (result.name, result.job) == (contestant.name, contestant.job)]
        done = [run for run in runs if run.timing is not None and run.verdict is not None]
        wrong = [str(run.verdict) for run in done if run.verdict is not None and not run.verdict.is_correct]
        rows.append(
            {
                "name": contestant.name,
                "job": contestant.job,
                "durability": contestant.durability,
                "note": contestant.note,
                "ticks": min(contestant.ticks_max or ticks, ticks),
                "one_core": contestant.one_core,
                "rate": round(_median([run.rate for run in done])),
                "rates": [round(run.rate) for run in done],
                "cpu_rate": round(_median([run.cpu_rate for run in done])),
                "memory_bytes_max": max((run.timing.memory_bytes_max for run in done if run.timing), default=0),
                "startup_seconds": round(_median([run.timing.startup_seconds for run in done if run.timing]), 1),
                "outputs": done[0].verdict.expected if done and done[0].verdict else 0,
                "correct": bool(done) and not wrong and len(done) == len(runs),
                "wrong": wrong or [f"no: {len(runs) - len(done)} of {len(runs)} rounds failed"],
                "is_missing": any(run.is_missing for run in runs),
                "not_run": "" if done else (runs[0].reason if runs else "never started"),
            }
        )
    rows.sort(key=lambda row: (row["job"] != BREAKOUTS, -float(str(row["rate"]))))
    kept = [asdict(result) for result in found]
    about = {"machine": machine, "ticks": ticks, "instruments": instruments, "sources": cache_folder().name}
    return {**about, "rows": rows, "runs": kept}


def table(report: dict[str, Any]) -> str:
    """Return the table as text that is Markdown too. Who gave a wrong answer is struck out."""
    lines = []
    for job in dict.fromkeys(row["job"] for row in report["rows"]):
        lines += [
            "",
            f"{job}: {report['ticks']:,} ticks of {report['instruments']:,} instruments, or the first of them; "
            "median of the rounds",
            "",
            "| contestant | ticks read | ticks/s | ticks/CPU s | peak memory | durability | correct |",
            "|---|--:|--:|--:|--:|---|---|",
        ]
        lines += [_table_line(row) for row in report["rows"] if row["job"] == job]
    return "\n".join(lines)


def closing_line(report: dict[str, Any]) -> str:
    """Return the last line of a quick run."""
    ours = next(row for row in report["rows"] if row["name"] == OURS)
    peer = next(row for row in report["rows"] if row["name"] != OURS)
    ratio = ours["rate"] / peer["rate"] if peer["rate"] else 0.0
    correct = "yes" if ours["correct"] and peer["correct"] else "no"
    return f"bench: ours {ours['rate']}/s peer {peer['rate']}/s ratio {ratio:.1f} correct {correct}"


def worker_cost(found: Sequence[Result]) -> WorkerCost | None:
    """Return what the worker spent on a plain tick exactly once; None where it did not run."""
    ours = [run.timing for run in found if (run.name, run.job) == (OURS, BREAKOUTS)]
    timings = [timing for timing in ours if timing is not None and timing.fold_cpu_seconds]
    records = sum(timing.records for timing in timings)
    if not records:
        return None
    fold = sum(timing.fold_cpu_seconds for timing in timings) / records
    return WorkerCost(sum(timing.cpu_seconds for timing in timings) / records - fold, fold)


def targets(report: dict[str, Any]) -> list[str]:
    """Return what was aimed at and what came out, a line each; only of contestants that gave right answers."""
    rates = {(row["name"], row["job"]): row["rate"] for row in report["rows"] if row["correct"]}

    def rate_of(name: str, job: str = BREAKOUTS) -> float:
        return float(rates.get((name, job), 0.0))

    lines = []
    for label, name, least in (
        ("JSON ticks", OURS, 3_000_000),
        ("binary ticks", f"{OURS}, binary ticks", 5_000_000),
        ("ticks with conditions and trade ids", f"{OURS}, conditions and trade ids", 2_000_000),
    ):
        if rate_of(name):
            words = f"{label}, 52-week job, exactly once: {rate_of(name):,.0f}/s"
            lines.append(_target(words, f"{least:,}/s", rate_of(name) >= least))
    for ours, peer, job, least in (
        (OURS, "Kafka Streams, RocksDB, exactly once", BREAKOUTS, 10),
        (f"{OURS} (running maximum)", "Flink, RocksDB", RUNNING_MAXIMUM, 5),
    ):
        if rate_of(ours, job) and rate_of(peer, job):
            ratio = rate_of(ours, job) / rate_of(peer, job)
            lines.append(_target(f"{job}, beside {peer}: {ratio:.1f} times its rate", f"{least}", ratio >= least))
    return lines


def _target(found: str, least: str, is_met: bool) -> str:
    return f"- {found} (at least {least}: {'met' if is_met else 'NOT met'})"


def write(report: dict[str, Any], to_json: Path, to_chart: Path) -> None:
    """Write the report as JSON, and a picture of its rates."""
    for file in (to_json, to_chart):
        file.parent.mkdir(parents=True, exist_ok=True)
    to_json.write_text(json.dumps(report, indent=2) + "\n")
    to_chart.write_text(_picture(report))


# Who gave a wrong answer or did not run has no bar.
def _picture(report: dict[str, Any]) -> str:
    groups = [
        Group(
            TITLES.get(job, job),
            "ticks a second",
            [
                (row["name"], row["rate"], row["name"].startswith(OURS))
                for row in report["rows"]
                if row["job"] == job and row["correct"]
            ],
        )
        for job in dict.fromkeys(row["job"] for row in report["rows"])
    ]
    ticks = f"{report['ticks']:,} ticks, JSON but where it says binary, or the first of them"
    footer = f"{ticks}; {report['instruments']:,} instruments; {report['machine']}"
    return bars_svg(groups, footer)


def _table_line(row: dict[str, Any]) -> str:
    ticks = f"{row['ticks']:,}"
    if row["not_run"]:
        return f"| {row['name']} | {ticks} | not run: {row['not_run'].splitlines()[0]} | | | {row['durability']} | |"
    memory = f"{row['memory_bytes_max'] / 1e6:,.0f} MB"
    cells = [row["name"], ticks, f"{row['rate']:,}", f"{row['cpu_rate']:,}", memory, row["durability"]]
    if not row["correct"]:
        return "| " + " | ".join(f"~~{cell}~~" for cell in cells) + f" | {row['wrong'][0]} |"
    return "| " + " | ".join(cells) + " | yes |"


def _median(values: Sequence[float]) -> float:
    return statistics.median(values) if values else 0.0
