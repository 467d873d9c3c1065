"""What the README shows is what happens."""

from __future__ import annotations

import doctest
import json
import re
from pathlib import Path
from typing import Final

import pytest

ROOT: Final = Path(__file__).resolve().parents[2]
PAGES: Final = sorted([*ROOT.glob("*.md"), *(ROOT / "docs").rglob("*.md"), *(ROOT / "schemas").rglob("*.md")])
LINK: Final = re.compile(r"\]\(([^)#\s]+)[^)]*\)")


def test_readme_examples_run() -> None:
    """The notebook example gives the signals that the text says."""
    failed, attempted = doctest.testfile(str(ROOT / "README.md"), module_relative=False)

    assert (failed, attempted > 5) == (0, True)


@pytest.mark.parametrize("page", PAGES, ids=lambda page: page.relative_to(ROOT).as_posix())
def test_links_lead_somewhere(page: Path) -> None:
    """A link into the project names a file or folder that is there."""
    targets = [target for target in LINK.findall(page.read_text(encoding="utf-8")) if "://" not in target]

    missing = [target for target in targets if not (page.parent / target).exists()]

    assert missing == []


def test_readme_records_are_json() -> None:
    """Every line that the README shows as JSON can be copied."""
    blocks = re.findall(r"```json\n(.*?)```", (ROOT / "README.md").read_text(encoding="utf-8"), re.DOTALL)

    records = [json.loads(line) for block in blocks for line in block.splitlines()]

    assert [record.get("type", "tick") for record in records] == ["tick", "bar", "clock"]
