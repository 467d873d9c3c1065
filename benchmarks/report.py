"""Writes what was measured into the documentation and the README: `make bench-report`.

It takes the JSON that the measurements left, and replaces what stands between two marks; what was not measured stays
out. So no figure is ever typed.
"""

from __future__ import annotations

import argparse
import json
import shutil
import sys
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Final

from benchmarks import results
from benchmarks.contestants import BREAKOUTS
from benchmarks.latency import TABLE_HEAD
from benchmarks.latency import Row as LatencyRow
from benchmarks.latency import line as latency_line
from benchmarks.shapes import Point, by_direction, targets
from benchmarks.stages import profile_text

ROOT: Final = Path(__file__).parent.parent
BEGIN: Final = "<!-- measured: begin -->"
END: Final = "<!-- measured: end -->"
PICTURE: Final = "docs/benchmarks.svg"
SHAPES_PICTURE: Final = "docs/benchmark-shapes.svg"


def main() -> int:
    """Write the sections for which there is JSON."""
    parser = argparse.ArgumentParser(prog="python -m benchmarks.report", description=(__doc__ or "").splitlines()[0])
    parser.add_argument("--folder", type=Path, default=ROOT / ".cache/bench")
    folder: Path = parser.parse_args().folder
    sections = []
    compared = next((name for name in ("bench", "quick") if (folder / f"{name}.json").exists()), None)
    if compared is not None:
        report = _read(folder / f"{compared}.json")
        sections.append(comparison(report))
        shutil.copy(folder / f"{compared}.svg", ROOT / PICTURE)
        replace_measured(ROOT / "README.md", short(report))
    if (report := _read(folder / "latency.json")) is not None:
        sections.append(latency([LatencyRow(**row) for row in report["rows"]], report["machine"]))
    if (report := _read(folder / "cost.json")) is not None:
        sections.append(cost(report))
    if (report := _read(folder / "shapes.json")) is not None:
        sections.append(growth([Point(**point) for point in report["points"]], report["machine"]))
        shutil.copy(folder / "shapes.svg", ROOT / SHAPES_PICTURE)
    if not sections:
        print(f"expected measurements in {folder}, found none: run make bench first", file=sys.stderr)
        return 1
    replace_measured(ROOT / "docs/benchmarks.md", "\n\n".join(sections))
    return 0


def comparison(report: dict[str, Any]) -> str:
    """Return the whole table of a comparison."""
    rounds = max(len(row["rates"]) for row in report["rows"])
    head = ["### Beside the peers", "", f"{report['machine']}; rounds: {rounds}.", ""]
    lines = [*head, "![Ticks a second](benchmarks.svg)", results.table(report), "", *results.targets(report)]
    if "profile" in report:
        text = profile_text([(stage, cost) for stage, cost in report["profile"]])
        lines += ["", "### Where the time goes", "", "```text", text, "```"]
    return "\n".join(lines)


def short(report: dict[str, Any]) -> str:
    """Return a few lines of a comparison: the 52-week job, and the best of every peer on the other."""
    rows = report["rows"]
    lines: list[str] = []
    for title, some in (
        ("52-week job", [row for row in rows if row["job"] == BREAKOUTS]),
        ("running maximum", [row for row in rows if row["job"] != BREAKOUTS]),
    ):
        if some:
            lines += [f"| {title} | ticks/s | durability |", "|---|--:|---|", *map(_short_line, some), ""]
    ticks = f"{report['ticks']:,} ticks of {report['instruments']:,} instruments, the slower ones the first of them"
    note = f"{ticks}; {report['machine']}."
    return "\n".join([f"![Ticks a second]({PICTURE})", "", *lines, note])


def latency(rows: Sequence[LatencyRow], machine: str) -> str:
    """Return the table of latencies."""
    return "\n".join(
        ["### From tick to signal", "", f"{machine}.", "", *TABLE_HEAD, *(latency_line(row) for row in rows)]
    )


def cost(report: dict[str, Any]) -> str:
    """Return what exactly once costs, a line a figure."""
    lines = [f"- {line[0].upper()}{line[1:]}." for line in report["summary"]]
    return "\n".join(["### What exactly once costs", "", f"{report['machine']}.", "", *lines])


def growth(points: Sequence[Point], machine: str) -> str:
    """Return a table for every direction."""
    picture = "![Nanoseconds a tick](benchmark-shapes.svg)"
    lines = ["### How the cost of a tick grows", "", f"{machine}.", "", picture]
    for direction, some in by_direction(points).items():
        lines += [
            "",
            f"| {direction} | ns a tick | ticks/s | signals | peak memory | correct |",
            "|---|--:|--:|--:|--:|---|",
        ]
        lines += [
            f"| {point.label} | {point.cpu_ns:,.0f} | {point.rate:,} | {point.signals:,} | "
            f"{point.memory_bytes_max / 1e6:,.0f} MB | {point.correct} |"
            for point in some
            if point.measured
        ]
    return "\n".join([*lines, "", *targets(points)])


def replace_measured(file: Path, text: str) -> None:
    """Replace what stands between the marks of a file.

    Raises:
        ValueError: The marks are not there.
    """
    whole = file.read_text()
    head, begin, rest = whole.partition(BEGIN)
    _, end, tail = rest.partition(END)
    if not begin or not end:
        raise ValueError(f"expected {BEGIN} and {END} in {file}, found none: put them where the figures belong")
    file.write_text(f"{head}{begin}\n{text.strip()}\n{end}{tail}")


def _short_line(row: dict[str, Any]) -> str:
    if row["not_run"]:
        return f"| {row['name']} | not run | {row['durability']} |"
    if not row["correct"]:
        return f"| ~~{row['name']}~~ | ~~{row['rate']:,}~~ | {row['wrong'][0]} |"
    return f"| {row['name']} | {row['rate']:,} | {row['durability']} |"


def _read(file: Path) -> Any:  # noqa: ANN401  a JSON file may hold anything
    return json.loads(file.read_text()) if file.exists() else None


if __name__ == "__main__":
    sys.exit(main())
