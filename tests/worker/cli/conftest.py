"""`lethe …` in this process, on a data folder of the test's own."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from worker.cli.main import main
from worker.contract.settings import settings

Call = Callable[..., tuple[int, str, str]]
"""Gives the exit code, and what was written to standard output and error."""


@pytest.fixture
def lethe(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> Iterator[Call]:
    monkeypatch.setenv("LETHE_DATA", str(tmp_path))
    settings.cache_clear()

    def call(*arguments: str) -> tuple[int, str, str]:
        monkeypatch.setattr(sys, "argv", ["lethe", *arguments])
        with pytest.raises(SystemExit) as ended:
            main()
        return (int(ended.value.code or 0), *capsys.readouterr())

    yield call
    settings.cache_clear()
