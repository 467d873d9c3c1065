"""A picture of a comparison: a horizontal bar a contestant, drawn as SVG without any library."""

from __future__ import annotations

from html import escape
from typing import Any, Final

ROW: Final = 26
LEFT: Final = 300
WIDTH: Final = 900
BAR: Final = WIDTH - LEFT - 150
HEAD: Final = 44
OURS_COLOUR: Final = "#0b7285"
PEER_COLOUR: Final = "#adb5bd"
TITLES: Final = {
    "52-week": "52-week breakouts on both sides, a year of history",
    "running-maximum": "Running maximum of each instrument",
}


def bars_svg(report: dict[str, Any]) -> str:
    """Return the rates of a report as SVG; who gave a wrong answer or did not run has no bar."""
    parts: list[str] = []
    top = 10
    for job in dict.fromkeys(row["job"] for row in report["rows"]):
        rows = [row for row in report["rows"] if row["job"] == job and row["correct"] and row["rate"]]
        greatest = max((row["rate"] for row in rows), default=1)
        parts.append(_text(16, top + 22, TITLES.get(job, job), size=15, weight="bold"))
        parts.append(_text(WIDTH - 16, top + 22, "ticks a second", size=12, anchor="end", colour="#495057"))
        top += HEAD
        for row in rows:
            parts += _bar(row, top, greatest)
            top += ROW
        top += 14
    machine = f"{report['ticks']:,} JSON ticks, {report['instruments']:,} instruments; {report['machine']}"
    parts.append(_text(16, top + 10, machine, size=11, colour="#495057"))
    height = top + 24
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    style = 'font-family="system-ui, sans-serif" role="img" aria-label="Ticks a second of each contestant"'
    ground = f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'
    return "\n".join([f"{head} {style}>", ground, *parts, "</svg>", ""])


def _bar(row: dict[str, Any], top: int, greatest: int) -> list[str]:
    length = max(2, round(BAR * row["rate"] / greatest))
    ours = row["name"].startswith("Fiftytwo")
    colour = OURS_COLOUR if ours else PEER_COLOUR
    return [
        _text(LEFT - 10, top + 15, row["name"], anchor="end", weight="bold" if ours else "normal"),
        f'<rect x="{LEFT}" y="{top}" width="{length}" height="{ROW - 8}" rx="2" fill="{colour}"/>',
        _text(LEFT + length + 8, top + 14, f"{row['rate']:,}"),
    ]


def _text(
    x: int, y: int, text: str, *, size: int = 13, anchor: str = "start", weight: str = "normal", colour: str = "#212529"
) -> str:
    place = f'x="{x}" y="{y}" font-size="{size}" text-anchor="{anchor}" font-weight="{weight}" fill="{colour}"'
    return f"<text {place}>{escape(text)}</text>"
