"""What the doctor says of the plugins' folder."""

from pathlib import Path

from worker.cli.doctor_plugins import look_at_plugins
from worker.contract.settings import Settings


def test_plugins_are_listed_by_folder(tmp_path: Path) -> None:
    for place in ("figures/bars.py", "pages/b.py", "pages/a.py", "pages/_own.py", "_x/y.py"):
        (tmp_path / place).parent.mkdir(exist_ok=True)
        (tmp_path / place).touch()
    found = look_at_plugins(Settings(plugins=tmp_path))
    assert (found.ok, found.what) == (True, f"plugins: {tmp_path} (pages: a, b; figures: bars)")
    assert look_at_plugins(Settings(plugins=None)).what == "plugins: none"


def test_a_folder_that_nothing_searches_is_named_with_those_that_are(tmp_path: Path) -> None:
    (tmp_path / "figure").mkdir()
    found = look_at_plugins(Settings(plugins=tmp_path))
    assert (found.ok, found.what) == (False, f"plugins: nothing looks into {tmp_path}/figure")
    assert "figures" in found.cure and "templates" in found.cure
    missing = look_at_plugins(Settings(plugins=tmp_path / "no"))
    assert (missing.ok, missing.what) == (False, f"plugins: {tmp_path}/no is no folder")
