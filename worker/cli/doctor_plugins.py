"""What the plugins' folder holds, and what nothing will find there."""

from pathlib import Path

from worker.cli.finding import Finding
from worker.contract.plugins import FOLDERS, TEMPLATES
from worker.contract.settings import Settings


def look_at_plugins(settings: Settings) -> Finding:
    """List the plugins by folder; a folder that is not searched is a mistake."""
    folder = settings.plugins
    if folder is None:
        return Finding(True, "plugins: none")
    if not folder.is_dir():
        return Finding(False, f"plugins: {folder} is no folder", "Mend LETHE_PLUGINS.")
    if odd := _not_searched(folder):
        return Finding(
            False,
            f"plugins: nothing looks into {odd[0]}",
            f"Name it as one of {', '.join((*FOLDERS, TEMPLATES))}, or begin its name with _.",
        )
    found = {name: sorted(one.stem for one in (folder / name).glob("[!_]*.py")) for name in FOLDERS}
    said = "; ".join(f"{name}: {', '.join(files)}" for name, files in found.items() if files)
    return Finding(True, f"plugins: {folder} ({said or 'none in it'})")


def _not_searched(folder: Path) -> list[Path]:
    searched = {name.partition("/")[0] for name in (*FOLDERS, TEMPLATES)}
    inside = [one for one in sorted(folder.iterdir()) if one.is_dir() and one.name[0] not in "._"]
    return [one for one in inside if one.name not in searched]
