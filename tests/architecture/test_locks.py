"""What is installed for which use, as the locks in `docker/requirements/` pin it."""

import ast
import re
import subprocess
import sys
from importlib.metadata import packages_distributions
from pathlib import Path

import pytest

ROOT = Path(__file__).parents[2]
FOLDER = ROOT / "docker" / "requirements"
USES = ("web", "worker", "tasks", "dev")


def pinned(use: str) -> set[str]:
    lines = (FOLDER / f"{use}.txt").read_text(encoding="utf-8").splitlines()
    assert all(re.fullmatch(r"[A-Za-z0-9_.-]+==[A-Za-z0-9_.!-]+", line) for line in lines), use
    return {plain(line.partition("==")[0]) for line in lines}


def plain(name: str) -> str:
    return re.sub(r"[-_.]+", "-", name).lower()


def test_the_locks_are_what_is_installed() -> None:
    command = [sys.executable, "docker/lock.py", "--check"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stderr


def test_no_lock_puts_another_pip_in_place_of_a_machines_own() -> None:
    assert "pip-audit" in pinned("dev")
    assert not any("pip" in pinned(use) for use in USES)


def test_what_sends_metrics_is_an_extra_beside_the_web_server() -> None:
    extra = pinned("telemetry")
    assert {"opentelemetry-sdk", "opentelemetry-exporter-otlp-proto-http"} <= extra
    assert not extra & pinned("web")


def test_a_package_is_pinned_for_one_use_only() -> None:
    names = [name for use in USES for name in pinned(use)]
    assert sorted(names) == sorted(set(names))


@pytest.mark.parametrize("name", ["torch", "pandas", "scipy", "scikit-learn", "mypy", "ruff"])
def test_the_web_server_is_installed_without(name: str) -> None:
    assert name not in pinned("web")


def test_all_that_the_web_server_imports_is_in_its_lock() -> None:
    files = [*ROOT.glob("app/**/*.py")]
    files += [
        f for room in ("contract", "store", "engine") for f in ROOT.glob(f"worker/{room}/**/*.py")
    ]
    imported = {
        name.partition(".")[0]
        for file in files
        for node in ast.walk(ast.parse(file.read_text(encoding="utf-8")))
        for name in (
            [node.module or ""]
            if isinstance(node, ast.ImportFrom)
            else [alias.name for alias in node.names]
            if isinstance(node, ast.Import)
            else []
        )
    } - {"app", "worker", ""}
    owners = packages_distributions()
    missing = {
        name
        for name in imported - sys.stdlib_module_names
        if not {plain(owner) for owner in owners.get(name, [name])} & pinned("web")
    }
    assert missing == set()
