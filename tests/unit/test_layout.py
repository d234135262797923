"""The house rules that a machine can check (DESIGN §2, STYLE)."""

import ast
from collections.abc import Iterator
from pathlib import Path

import pytest

SOURCE = Path(__file__).parents[2] / "src" / "postroom"
MODULES = sorted(SOURCE.rglob("*.py"))
MOST_LINES = 450
MOST_LINES_OF_A_FUNCTION = 60
VAGUE = {"utils", "util", "helpers", "common", "base", "core", "manager", "misc"}


def name_of(path: Path) -> str:
    return str(path.relative_to(SOURCE))


def nodes(path: Path) -> Iterator[ast.AST]:
    return ast.walk(ast.parse(path.read_text()))


def test_there_are_modules_to_check() -> None:
    assert len(MODULES) > 40


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_a_module_has_one_job_and_says_it(path: Path) -> None:
    assert path.stem not in VAGUE
    assert ast.get_docstring(ast.parse(path.read_text())), "the first line of a module says its one job"
    lines = path.read_text().count("\n")
    assert lines <= MOST_LINES, f"{lines} lines: is there a second room inside?"


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_functions_are_short(path: Path) -> None:
    long = [
        f"{node.name}: {(node.end_lineno or 0) - node.lineno + 1} lines"
        for node in nodes(path)
        if isinstance(node, ast.FunctionDef | ast.AsyncFunctionDef)
        and (node.end_lineno or 0) - node.lineno + 1 > MOST_LINES_OF_A_FUNCTION
    ]
    assert not long


@pytest.mark.parametrize("path", MODULES, ids=name_of)
def test_no_error_is_swallowed_in_silence(path: Path) -> None:
    lines = path.read_text().splitlines()
    silent = [
        node.lineno
        for node in nodes(path)
        if isinstance(node, ast.ExceptHandler)
        and (node.type is None or (isinstance(node.body[0], ast.Pass) and "#" not in lines[node.body[0].lineno - 1]))
    ]
    assert not silent, f"lines {silent}: handle it, or say beside the pass why there is nothing to do"


def test_only_storage_opens_databases() -> None:
    """DESIGN §2: nobody below row 8 imports a database driver; never both apsw and sqlite3 in one process."""
    offenders = []
    for path in MODULES:
        for node in nodes(path):
            names = [alias.name for alias in node.names] if isinstance(node, ast.Import) else []
            if isinstance(node, ast.ImportFrom):
                names = [node.module or ""]
            for name in names:
                driver = name.split(".")[0]
                if driver == "sqlite3" or (driver in {"apsw", "asyncpg"} and "storage" not in path.parts):
                    offenders.append(f"{name_of(path)}: {name}")
    assert not offenders
