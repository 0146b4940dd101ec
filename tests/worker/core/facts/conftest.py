"""A folder of plugins that bring fact formats, gone again after the test."""

import sys
from collections.abc import Callable, Iterator
from pathlib import Path

import pytest

from worker.contract.settings import settings
from worker.core import facts


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., None]]:
    """Write modules into the plugins' `facts/`, given as name -> source."""
    folder = tmp_path / "plugins" / "facts"
    folder.mkdir(parents=True)
    monkeypatch.setenv("LETHE_PLUGINS", str(folder.parent))
    settings.cache_clear()
    before = set(sys.modules)

    def write(**sources: str) -> None:
        for name, source in sources.items():
            (folder / f"{name}.py").write_text(source)

    yield write
    facts.__path__.remove(str(folder))
    for name in set(sys.modules) - before:
        if name.startswith("worker.core.facts."):
            del sys.modules[name]
    monkeypatch.undo()
    settings.cache_clear()
