"""What a compute process may do to its supervisor's threads: nothing that goes unheard."""

import sys
import threading
from collections.abc import Sequence
from pathlib import Path
from typing import Any

import pytest

from worker.engine import child as children
from worker.engine.child import Child

ANSWER = '{"say": "answered", "job": "a", "answer": {}}'


def start(monkeypatch: pytest.MonkeyPatch, code: str, log: Path, **hear: Any) -> Child:
    began = children._start

    def python(command: Sequence[str]) -> Any:
        return began([sys.executable, "-c", code])

    monkeypatch.setattr(children, "_start", python)
    heard = {"on_message": lambda child, message: None, "on_death": lambda child: None, **hear}
    return Child([], log, **heard)


@pytest.mark.parametrize("line", ["no JSON at all", '{"say": "sung"}', ANSWER])
def test_a_message_that_cannot_be_passed_on_ends_the_process_and_is_told_as_a_death(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path, line: str
) -> None:
    deaths = threading.Event()

    def fail(child: Child, message: Any) -> None:
        raise KeyError("a bug in who listens")

    code = f"import time; print({line!r}, flush=True); time.sleep(600)"
    child = start(
        monkeypatch, code, tmp_path / "log", on_message=fail, on_death=lambda child: deaths.set()
    )
    assert child.dead.wait(timeout=60) and deaths.is_set()


def test_a_log_that_cannot_be_written_stops_nobody(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    (tmp_path / "logs").write_text("no folder")
    code = "import sys; sys.stderr.write('words\\n' * 100_000)"
    child = start(monkeypatch, code, tmp_path / "logs/runs.log")
    assert child.dead.wait(timeout=60)
    assert child.fate() == "it ended with code 0" and child.tail()[-1] == "words"
