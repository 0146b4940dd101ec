"""The real model, for every test that wants one: SmolLM2-135M-Instruct, made once per machine.

`real_folder` is its Hugging Face folder, `real_root` the folder that holds it (for
`LETHE_MODEL_ROOTS`), `real_model` the loaded model, shared by the whole session: a test leaves it
as it found it. It lies under LETHE_TEST_CACHE, by default ~/.cache/lethe. Tests that ask for any of
these carry the mark `real`; without a network and without a cache they are skipped, each with what
it would have shown.

`plugins` is a folder of plugins for one test.

In a run on several processes a file is computed by one of them, the browser folder too, whose
application is then started once; what takes long begins first, so that they end together.
"""

import gc
import os
import sys
from collections import Counter
from collections.abc import Callable, Iterator, Mapping
from functools import cache
from pathlib import Path
from typing import Any

import pytest

from worker.contract.errors import UserError

NAME = "smollm2"
TOGETHER = "tests/browser/"
FIXTURES = {"real_folder", "real_root", "real_model"}
SECONDS = 360
"""What the tests on the real model may take of the suite, on two cores."""
_took: dict[str, float] = {}
"""Test -> seconds, of those on the real model."""


def cache_root() -> Path:
    """Where the real model is kept between sessions."""
    return Path(os.environ.get("LETHE_TEST_CACHE") or Path.home() / ".cache/lethe") / "models"


@cache
def make_real() -> str:
    """Make the real model where it is not yet; return why there is none, else an empty text."""
    from worker.core.models.making import add_recipe

    try:
        info = add_recipe(NAME, cache_root())
    except UserError as error:
        return error.message
    return info.problem


@pytest.fixture(scope="session")
def real_root() -> Path:
    if problem := make_real():
        pytest.skip(problem)
    return cache_root()


@pytest.fixture(scope="session")
def real_folder(real_root: Path) -> Path:
    return real_root / NAME


@pytest.fixture(scope="session")
def real_model(real_root: Path) -> Any:
    from worker.core.models.load import load_model

    model = load_model(NAME, roots=[real_root])
    assert model.digests, "read while nothing has changed a weight, as a worker's cache does"
    return model


@pytest.fixture
def plugins(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Write a folder of plugins, given as place -> source; after the test it was never there."""
    from app import templating
    from app.drawing import find
    from worker.contract.settings import settings

    folder = (tmp_path / "plugins").resolve()
    caches = (settings, find.figures, templating.environment)

    def write(sources: Mapping[str, str]) -> Path:
        for place, source in sources.items():
            (folder / place).parent.mkdir(parents=True, exist_ok=True)
            (folder / place).write_text(source)
        monkeypatch.setenv("LETHE_PLUGINS", str(folder))
        for kept in caches:
            kept.cache_clear()
        return folder

    yield write
    monkeypatch.undo()
    for name, module in list(sys.modules.items()):
        if str(getattr(module, "__file__", None)).startswith(str(folder)):
            del sys.modules[name]
        elif name.startswith(("app.", "worker.")) and hasattr(module, "__path__"):
            module.__path__[:] = [p for p in module.__path__ if not p.startswith(str(folder))]
    for kept in caches:
        kept.cache_clear()


def unit_of(test: str) -> str:
    """What one process computes together with a test, given by its id."""
    return TOGETHER if test.startswith(TOGETHER) else test.partition("::")[0]


@pytest.hookimpl(optionalhook=True)
def pytest_xdist_make_scheduler(config: pytest.Config, log: Any) -> Any:
    from xdist.scheduler import LoadScopeScheduling

    if config.getvalue("dist") != "loadfile":
        return None
    config.option.loadscopereorder = False  # it would begin with what has most tests

    class Units(LoadScopeScheduling):
        def _split_scope(self, nodeid: str) -> str:
            return unit_of(nodeid)

    return Units(config, log)


def longest_first(items: list[pytest.Item]) -> None:
    """Order tests by their unit: the browser's, then those with most that take long, the rest.

    Long take the tests marked slow, and those that start supervisors and wait for what these do.
    """
    slow = Counter(
        unit_of(i.nodeid)
        for i in items
        if i.get_closest_marker("slow") or "fleet" in getattr(i, "fixturenames", ())
    )
    slow[TOGETHER] = len(items)
    items.sort(key=lambda item: -slow[unit_of(item.nodeid)])


def pytest_collection_modifyitems(config: pytest.Config, items: list[pytest.Item]) -> None:
    if hasattr(config, "workerinput"):
        longest_first(items)
    for item in items:
        if FIXTURES & set(getattr(item, "fixturenames", ())):
            item.add_marker("real")
        if item.get_closest_marker("real"):
            _took[item.nodeid] = 0.0


def pytest_collection_finish() -> None:
    """Leave what is imported out of later collections of garbage: models that go collect a lot."""
    gc.collect()
    gc.freeze()


def pytest_runtest_setup(item: pytest.Item) -> None:
    if item.get_closest_marker("real") and (problem := make_real()):
        sentence = item.name.removeprefix("test_").replace("_", " ")
        pytest.skip(f"{problem} It would have shown: {sentence}.")


def pytest_runtest_logreport(report: pytest.TestReport) -> None:
    if report.nodeid in _took:
        _took[report.nodeid] += report.duration


def pytest_terminal_summary(terminalreporter: pytest.TerminalReporter) -> None:
    if any(_took.values()):
        terminalreporter.write_line(
            f"{len(_took)} tests on the real model took {sum(_took.values()):.0f} of at most "
            f"{SECONDS} s"
        )
