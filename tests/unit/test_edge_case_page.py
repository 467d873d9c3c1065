"""docs/edge-cases.md lists every case of the matrix, and names a test that is there and bears the case's id."""

from __future__ import annotations

import re
from pathlib import Path

ROOT = Path(__file__).resolve().parents[2]
ROW = re.compile(r"^\| (T-[A-Z]\d+) \| (\S.*\S) \| `(test_\w+)` \|$", re.MULTILINE)

# The matrix, by letter. Cases of alerts have no alerts yet; two of momentum are about indicators that are not built.
MATRIX = {
    "W": (1, 2, 3, 4, 5, 6),
    "C": (1, 2, 3, 4, 5, 6, 7, 8),
    "X": (1, 2, 3, 4, 5),
    "S": (1, 2, 3, 4),
    "B": (1, 2, 3, 4, 5, 6, 7),
    "D": (1, 2, 3, 4, 5),
    "M": (2, 4),
    "N": (1, 2, 3, 4, 5, 6, 7, 8, 9),
    "K": (1, 2, 3, 4, 5),
}


def page() -> list[tuple[str, str, str]]:
    return ROW.findall((ROOT / "docs" / "edge-cases.md").read_text(encoding="utf-8"))


def named_tests() -> dict[str, set[str]]:
    # Every test whose name bears ids, with those ids.
    found = {}
    for path in sorted((ROOT / "tests").rglob("test_*.py")):
        for name in re.findall(r"^(?:async )?def (test_T_\w+)", path.read_text(encoding="utf-8"), re.MULTILINE):
            found[name] = {f"T-{letter}{number}" for letter, number in re.findall(r"T_([A-Z])(\d+)", name)}
    return found


def test_page_lists_every_case_of_the_matrix_once() -> None:
    """No row is missing, none is there twice, and none is invented."""
    listed = [case for case, _, _ in page()]

    assert listed == [f"T-{letter}{number}" for letter, numbers in MATRIX.items() for number in numbers]


def test_every_test_on_the_page_exists_and_bears_the_id() -> None:
    """The page names functions that run, under the id of their row."""
    known = named_tests()

    assert [(case, name) for case, _, name in page() if case not in known.get(name, set())] == []


def test_every_id_in_a_test_is_on_the_page() -> None:
    """A test with an id that the page does not list would be a claim that nobody reads."""
    listed = {case for case, _, _ in page()}

    assert {name: ids - listed for name, ids in named_tests().items() if ids - listed} == {}
