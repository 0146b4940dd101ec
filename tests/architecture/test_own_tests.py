"""Every module of these rooms has a test of its own name, which fails when the module is wrong."""

import ast
from pathlib import Path

from tests.architecture.test_walls import ROOT

ROOMS = (
    "worker/engine",
    "worker/store",
    "worker/contract",
    "worker/core/patching",
    "worker/core/training",
    "app/access",
    "app/figures",
)
ALONE = {
    "worker/contract/records.py": "fields and their defaults, and no function",
    "worker/contract/tokens.py": "fields and their defaults, and no function",
    "worker/engine/study/outcome.py": "fields and their defaults, and no function",
    "worker/store/project_tables.py": "columns, held against the migrations, and no function",
    "worker/store/class_tables.py": "columns, held against the migrations, and no function",
    "worker/store/fact_tables.py": "columns, held against the migrations, and no function",
    "worker/store/lesson_tables.py": "columns, held against the migrations, and no function",
    "worker/store/people_tables.py": "columns, held against the migrations, and no function",
}
"""Modules that need no test of their own, and why."""


def modules() -> list[Path]:
    found = (path for room in ROOMS for path in (ROOT / room).rglob("*.py"))
    return [one for one in found if one.name != "__init__.py" and "migrations" not in one.parts]


def own_test(module: Path) -> Path:
    folder = ROOT / "tests" / module.parent.relative_to(ROOT)
    return folder / f"test_{module.stem.lstrip('_')}.py"


def functions(path: Path) -> list[ast.FunctionDef | ast.AsyncFunctionDef]:
    tree = ast.parse(path.read_text(encoding="utf-8"))
    kinds = ast.FunctionDef | ast.AsyncFunctionDef
    return [node for node in ast.walk(tree) if isinstance(node, kinds)]


def asserts(test: ast.AST) -> bool:
    """Whether a test has an `assert` or wants something raised."""
    return any(
        isinstance(node, ast.Assert) or (isinstance(node, ast.Attribute) and node.attr == "raises")
        for node in ast.walk(test)
    )


def test_every_module_has_a_test_of_its_name() -> None:
    without = {str(m.relative_to(ROOT)) for m in modules() if not own_test(m).exists()}
    assert without == set(ALONE)


def test_a_module_without_a_test_does_nothing_that_could_be_wrong() -> None:
    assert [name for name in ALONE if functions(ROOT / name)] == []


def test_a_test_of_a_modules_name_asserts_something_itself() -> None:
    silent = []
    for test in filter(Path.exists, map(own_test, modules())):
        tests = [one for one in functions(test) if one.name.startswith("test_")]
        if not any(map(asserts, tests)):
            silent.append(str(test.relative_to(ROOT)))
    assert silent == []
