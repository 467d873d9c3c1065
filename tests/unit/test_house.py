"""The rules of the house that no linter checks for us."""

from __future__ import annotations

import ast
import re
import sys
import tomllib
from collections.abc import Iterator
from pathlib import Path
from typing import Final

ROOT: Final = Path(__file__).resolve().parents[2]
FOLDERS: Final = ("streams", "tests", "benchmarks", "deploy", "docs", "schemas", ".ci")
LINES_MAX: Final = 500
FUNCTION_LINES_MAX: Final = 80  # without signature and docstring

# What the core may import besides itself and the standard library; llvmlite is numba's own.
CORE_LIBRARIES: Final = {"numpy", "numba", "llvmlite"}
# Standard modules that bring in a clock, chance, the network, the disk or a log. The replacement is an argument.
CORE_BANNED: Final = {
    "asyncio",
    "http",
    "json",
    "logging",
    "multiprocessing",
    "os",
    "random",
    "secrets",
    "selectors",
    "shutil",
    "socket",
    "sqlite3",
    "subprocess",
    "tempfile",
    "threading",
    "time",
    "urllib",
}
# The folder of the compiled code is chosen before anything runs, and the environment may name it.
CORE_IMPORT_EXCEPTIONS: Final = {("compiled.py", "os")}
# Code that would run what it reads.
UNSAFE: Final = {"pickle", "marshal", "shelve", "dill", "cloudpickle"}

DEVELOPER_PATH: Final = re.compile(r"(?<![\w.])/(?:root|home/\w+|Users/\w+|wor[k]|workspace)/")
UNFINISHED: Final = re.compile(r"\b(?:TO[D]O|FIX[M]E|XX[X])\b")
WAIVER: Final = re.compile(
    r"#\s*(?:noqa(?P<noqa>[^#\n]*)|type:\s*ignore(?P<ignore>[^#\n]*)|pragma:(?P<pragma>[^#\n]*))(?P<rest>.*)"
)


def text_files() -> list[Path]:
    files = [
        path
        for path in ROOT.glob("*")
        if path.suffix in {".md", ".toml", ".yml", ".yaml"} or path.name in {"Makefile", "Dockerfile"}
    ]
    for folder in FOLDERS:
        files += [path for path in (ROOT / folder).rglob("*") if path.is_file() and "__pycache__" not in path.parts]
    return sorted(path for path in files if b"\0" not in path.read_bytes())


def python_files(*folders: str) -> list[Path]:
    return sorted(path for folder in folders for path in (ROOT / folder).rglob("*.py"))


def parsed(path: Path) -> ast.Module:
    return ast.parse(path.read_text(encoding="utf-8"), filename=str(path))


def name(path: Path) -> str:
    return path.relative_to(ROOT).as_posix()


def imported_modules(tree: ast.Module) -> Iterator[str]:
    for node in ast.walk(tree):
        if isinstance(node, ast.Import):
            yield from (alias.name for alias in node.names)
        elif isinstance(node, ast.ImportFrom) and node.module:
            yield node.module


def functions(tree: ast.Module) -> Iterator[ast.FunctionDef | ast.AsyncFunctionDef]:
    return (node for node in ast.walk(tree) if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef))


def body_lines(function: ast.FunctionDef | ast.AsyncFunctionDef) -> int:
    body = function.body[1:] if ast.get_docstring(function) else function.body
    return (function.end_lineno or 0) - body[0].lineno + 1 if body else 0


def test_no_file_names_a_developers_folder() -> None:
    """Nothing in the project depends on where one developer keeps it."""
    found = [
        f"{name(path)}:{number}: {line.strip()}"
        for path in text_files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if DEVELOPER_PATH.search(line)
    ]

    assert found == []


def test_nothing_unfinished_is_left_in_comments() -> None:
    """Unfinished work is an issue, not a comment."""
    found = [
        f"{name(path)}:{number}: {line.strip()}"
        for path in text_files()
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1)
        if UNFINISHED.search(line)
    ]

    assert found == []


def test_files_stay_short() -> None:
    """A file has one concept; one that outgrows the limit has two."""
    lengths = {
        name(path): len(path.read_text(encoding="utf-8").splitlines())
        for path in python_files("streams", "tests", "benchmarks")
    }

    assert {file: lines for file, lines in lengths.items() if lines > LINES_MAX} == {}


def test_functions_stay_short() -> None:
    """A function has one idea; one that outgrows the limit has two."""
    found = {
        f"{name(path)}:{function.lineno} {function.name}": body_lines(function)
        for path in python_files("streams", "tests", "benchmarks")
        for function in functions(parsed(path))
    }

    assert {function: lines for function, lines in found.items() if lines > FUNCTION_LINES_MAX} == {}


def test_core_imports_only_numpy_numba_and_harmless_standard_modules() -> None:
    """The core knows no clock, no chance, no disk, no network and no log: what it needs of them is an argument."""
    found = []
    for path in python_files("streams/core"):
        for module in imported_modules(parsed(path)):
            top = module.split(".")[0]
            allowed = (
                module.startswith("streams.core")
                or top in CORE_LIBRARIES
                or (top in sys.stdlib_module_names - CORE_BANNED)
            )
            if not allowed and (path.name, top) not in CORE_IMPORT_EXCEPTIONS:
                found.append(f"{name(path)} imports {module}")

    assert found == []


def test_core_and_wire_neither_print_nor_open() -> None:
    """Core and wire are functions of their arguments: what goes to a terminal or a disk goes through the shell."""
    found = [
        f"{name(path)}:{node.lineno}: {node.func.id}()"
        for path in python_files("streams/core", "streams/wire")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Call)
        and isinstance(node.func, ast.Name)
        and node.func.id in {"print", "open", "input", "eval", "exec"}
    ]

    assert found == []


def test_core_and_wire_never_ask_what_time_it_is() -> None:
    """Dates may be computed; only the shell reads a clock, and hands over what it read."""
    found = [
        f"{name(path)}:{node.lineno}: {node.attr}"
        for path in python_files("streams/core", "streams/wire")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.Attribute) and node.attr in {"now", "utcnow", "today"}
    ]

    assert found == []


def test_nothing_unpickles() -> None:
    """No input can reach a decoder that runs what it reads."""
    found = [
        f"{name(path)} imports {module}"
        for path in python_files("streams")
        for module in imported_modules(parsed(path))
        if module.split(".")[0] in UNSAFE
    ]

    assert found == []


def test_blind_except_only_at_the_kafka_boundary() -> None:
    """Only the shell may catch whatever comes, count it and crash in order; elsewhere a bug is raised again."""
    found = [
        f"{name(path)}:{node.lineno}"
        for path in python_files("streams")
        if not name(path).startswith("streams/kafka/")
        for node in ast.walk(parsed(path))
        if isinstance(node, ast.ExceptHandler)
        and not isinstance(node.body[-1], ast.Raise)
        and (node.type is None or (isinstance(node.type, ast.Name) and node.type.id in {"Exception", "BaseException"}))
    ]

    assert found == []


def test_every_waiver_names_its_code_and_its_reason() -> None:
    """A waiver without a reason cannot be judged when the reason is gone."""
    found = []
    for path in python_files("streams", "tests", "benchmarks"):
        if path == Path(__file__).resolve():
            continue
        for number, line in enumerate(path.read_text(encoding="utf-8").splitlines(), 1):
            match = WAIVER.search(line)
            if match and not re.search(r"[A-Za-z]{3,}.*\s[A-Za-z]{2,}", _reason(match)):
                found.append(f"{name(path)}:{number}: {line.strip()}")

    assert found == []


def _reason(match: re.Match[str]) -> str:
    waiver = match["noqa"] or match["ignore"] or match["pragma"] or ""
    return re.sub(r"^\s*(?:\[[\w, -]+\]|:\s*[A-Z]+\d+(?:\s*,\s*[A-Z]+\d+)*|no cover)", "", waiver) + match["rest"]


def test_every_test_states_its_rule() -> None:
    """A test's name is a claim and its docstring the rule behind it."""
    found = [
        f"{name(path)}:{function.lineno} {function.name}"
        for path in python_files("tests")
        for function in functions(parsed(path))
        if function.name.startswith("test_") and not ast.get_docstring(function)
    ]

    assert found == []


def test_every_dependency_has_its_reason() -> None:
    """A dependency stands below a comment that says why it is there."""
    text = (ROOT / "pyproject.toml").read_text(encoding="utf-8")
    project = tomllib.loads(text)["project"]
    lines = [line.strip() for line in text.splitlines()]
    groups = [project["dependencies"], *project["optional-dependencies"].values()]

    unexplained = [
        entry for group in groups for entry in group if not lines[lines.index(f'"{entry}",') - 1].startswith("#")
    ]

    assert unexplained == []
