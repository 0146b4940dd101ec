"""What is said of the pins' known weaknesses: those that are there fail, silence does not."""

import importlib.util
import json
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest

ROOT = Path(__file__).parents[2]


@pytest.fixture(scope="module")
def audit() -> ModuleType:
    spec = importlib.util.spec_from_file_location("docker_audit", ROOT / "docker" / "audit.py")
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


def report(*dependencies: dict[str, Any]) -> str:
    return json.dumps({"dependencies": dependencies, "fixes": []})


GOOD = {"name": "jinja2", "version": "3.1.6", "vulns": []}
WEAK = {
    "name": "jinja2",
    "version": "2.10",
    "vulns": [{"id": "PYSEC-2019-217", "fix_versions": ["2.10.1"], "aliases": []}],
}
UNKNOWN = {"name": "lethe", "skip_reason": "Dependency not found on PyPI"}


def test_a_known_weakness_fails_and_says_what_mends_it(audit: ModuleType) -> None:
    status, words = audit.judged(report(GOOD, WEAK, UNKNOWN), "")
    assert status == 1 and "jinja2 2.10: PYSEC-2019-217, mended in 2.10.1" in words


def test_pins_without_one_are_counted(audit: ModuleType) -> None:
    status, words = audit.judged(report(GOOD, UNKNOWN), "")
    assert (status, words) == (0, "No known weakness in 1 pins; 1 are unknown to the index.")


@pytest.mark.parametrize(
    ("text", "said", "reason"),
    [
        ("", "WARNING\nERROR:pip_audit: connection refused", "connection refused"),
        ("", "", "it said nothing"),
        (report(UNKNOWN), "", "knows no advisories"),
    ],
)
def test_an_index_that_cannot_be_asked_is_said_and_fails_nothing(
    audit: ModuleType, text: str, said: str, reason: str
) -> None:
    status, words = audit.judged(text, said)
    assert status == 0 and "were not held against" in words and reason in words


def test_make_check_asks(audit: ModuleType) -> None:
    recipe = (ROOT / "Makefile").read_text("utf-8").partition("\ncheck:")[2].partition("\n\n")[0]
    assert "docker/audit.py" in recipe
    assert set(audit.FOLDER.glob("*.txt")) >= {audit.FOLDER / "web.txt", audit.FOLDER / "dev.txt"}
