"""Pictures of measurements: horizontal bars in groups, drawn as SVG without any library."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from html import escape
from typing import Final

ROW: Final = 26
LEFT: Final = 300
WIDTH: Final = 900
BAR: Final = WIDTH - LEFT - 150
HEAD: Final = 44
OURS_COLOUR: Final = "#0b7285"
PEER_COLOUR: Final = "#adb5bd"
FAINT: Final = "#495057"


@dataclass(frozen=True, slots=True)
class Group:
    """Bars that are compared with each other.

    Attributes:
        title: What they show.
        unit: What their lengths mean.
        bars: Label, value, and whether it stands out.
    """

    title: str
    unit: str
    bars: Sequence[tuple[str, float, bool]]


def bars_svg(groups: Sequence[Group], footer: str) -> str:
    """Return the groups as SVG, each with a scale of its own that begins at zero."""
    parts: list[str] = []
    top = 10
    for group in groups:
        greatest = max((value for _, value, _ in group.bars), default=1) or 1
        parts.append(_text(16, top + 22, group.title, size=15, weight="bold"))
        parts.append(_text(WIDTH - 16, top + 22, group.unit, size=12, anchor="end", colour=FAINT))
        top += HEAD
        for label, value, stands_out in group.bars:
            parts += _bar(label, value, greatest, top, stands_out=stands_out)
            top += ROW
        top += 14
    parts.append(_text(16, top + 10, footer, size=11, colour=FAINT))
    height = top + 24
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {WIDTH} {height}" width="{WIDTH}" height="{height}"'
    style = 'font-family="system-ui, sans-serif" role="img" aria-label="Bars of each measurement"'
    ground = f'<rect width="{WIDTH}" height="{height}" fill="#ffffff"/>'
    return "\n".join([f"{head} {style}>", ground, *parts, "</svg>", ""])


def _bar(label: str, value: float, greatest: float, top: int, *, stands_out: bool) -> list[str]:
    length = max(2, round(BAR * value / greatest))
    colour = OURS_COLOUR if stands_out else PEER_COLOUR
    return [
        _text(LEFT - 10, top + 15, label, anchor="end", weight="bold" if stands_out else "normal"),
        f'<rect x="{LEFT}" y="{top}" width="{length}" height="{ROW - 8}" rx="2" fill="{colour}"/>',
        _text(LEFT + length + 8, top + 14, f"{value:,.0f}"),
    ]


def _text(
    x: int, y: int, text: str, *, size: int = 13, anchor: str = "start", weight: str = "normal", colour: str = "#212529"
) -> str:
    place = f'x="{x}" y="{y}" font-size="{size}" text-anchor="{anchor}" font-weight="{weight}" fill="{colour}"'
    return f"<text {place}>{escape(text)}</text>"
