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


def test_a_death_is_told_when_the_process_is_gone_with_what_ended_it(
    monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    gone: list[bool] = []

    def on_death(child: Child) -> None:
        gone.append(child._process.returncode is not None)

    silent = "import os, time; os.close(1); time.sleep(0.05)"
    child = start(monkeypatch, silent, tmp_path / "log", on_death=on_death)
    assert child.dead.wait(timeout=60) and gone == [True]
    assert (child.signal, child.fate()) == (0, "it ended with code 0")
    child = start(monkeypatch, "import time; time.sleep(600)", tmp_path / "log")
    assert child.signal == 0, "it lives"
    child.kill()
    assert child.dead.wait(timeout=60)
    assert (child.signal, child.fate()) == (9, "it was ended by SIGKILL")
    child.kill()
