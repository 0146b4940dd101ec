"""A package's modules by name, and those that a folder of plugins adds."""

import sys
from collections.abc import Callable, Iterator
from importlib import import_module
from pathlib import Path
from types import ModuleType

import pytest

from worker.contract import plugins
from worker.contract.errors import UserError
from worker.contract.plugins import FOLDERS, plugins_folder, public_modules
from worker.contract.settings import settings


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[ModuleType]:
    """A package of two public modules and a private one."""
    folder = tmp_path / "own" / "a_package_of_the_test"
    folder.mkdir(parents=True)
    for name in ("__init__", "second", "first", "_private"):
        (folder / f"{name}.py").touch()
    monkeypatch.syspath_prepend(str(folder.parent))
    yield import_module(folder.name)
    sys.modules.pop(folder.name)


@pytest.fixture
def bring(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Callable[..., Path]]:
    """Make a folder of plugins of these files, and name it."""

    def make(*files: str) -> Path:
        for file in files:
            (tmp_path / "plugins" / file).parent.mkdir(parents=True, exist_ok=True)
            (tmp_path / "plugins" / file).touch()
        monkeypatch.setenv("LETHE_PLUGINS", str(tmp_path / "plugins"))
        settings.cache_clear()
        return tmp_path / "plugins"

    yield make
    settings.cache_clear()


def names(package: ModuleType) -> list[str]:
    return [module.name for module in public_modules(package, "facts")]


def test_without_plugins_a_package_has_its_own_public_modules_by_name(own: ModuleType) -> None:
    settings.cache_clear()
    assert plugins_folder() is None
    assert names(own) == ["first", "second"]


def test_a_plugins_public_modules_come_after_a_packages_own_and_are_imported_from_there(
    own: ModuleType, bring: Callable[..., Path]
) -> None:
    folder = bring("facts/another.py", "facts/_hidden.py", "pages/elsewhere.py")
    assert plugins_folder() == folder
    assert names(own) == ["first", "second", "another"]
    assert names(own) == ["first", "second", "another"], "a second look finds nothing twice"
    assert own.__path__[1:] == [str(folder / "facts")]
    assert import_module(f"{own.__name__}.another").__file__ == str(folder / "facts/another.py")
    sys.modules.pop(f"{own.__name__}.another")


@pytest.mark.parametrize("name", ["second", "_private"])
def test_a_plugin_with_the_name_of_an_own_file_is_refused_and_not_added(
    own: ModuleType, bring: Callable[..., Path], name: str
) -> None:
    bring(f"facts/{name}.py")
    with pytest.raises(UserError, match=f"'{name}' in .*facts has the name of a file of Lethe's"):
        names(own)
    assert len(own.__path__) == 1


def test_a_plugins_folder_that_is_none_is_said_with_what_it_may_hold(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("LETHE_PLUGINS", str(tmp_path / "nowhere"))
    settings.cache_clear()
    with pytest.raises(UserError, match=r"nowhere', which is no folder") as refused:
        plugins_folder()
    assert all(folder in refused.value.message for folder in (*FOLDERS, "templates"))
    settings.cache_clear()


def test_plugins_go_into_the_folders_that_lethe_has_itself() -> None:
    root = Path(plugins.__file__).parents[2]
    for folder in FOLDERS:
        assert (root / "worker/core" / folder).is_dir() or (root / "app" / folder).is_dir(), folder
    assert len(set(FOLDERS)) == 9
