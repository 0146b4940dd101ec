"""The plugins' folder: what Lethe finds in a package of its own, it finds there too."""

import pkgutil
from collections.abc import Iterable
from pathlib import Path
from types import ModuleType

from worker.contract.errors import UserError
from worker.contract.settings import settings

FOLDERS = (
    *("localization", "unlearning", "evaluation", "explore", "facts", "models/recipes"),
    *("pages", "api", "figures"),
)
"""Folders of the plugins whose modules are found, as in `worker.core` and `app`."""
TEMPLATES = "templates"
"""Folder of the plugins that holds what their pages are rendered from."""


def plugins_folder() -> Path | None:
    """The folder that `LETHE_PLUGINS` names; raise UserError where there is none."""
    named = settings().plugins
    if named is not None and not named.is_dir():
        raise UserError(
            f"LETHE_PLUGINS names {str(named)!r}, which is no folder; expected one that holds "
            f"{', '.join(FOLDERS)} or {TEMPLATES}."
        )
    return named.resolve() if named else None


def public_modules(package: ModuleType, folder: str) -> list[pkgutil.ModuleInfo]:
    """Public modules of a package: its own by name, then those of the plugins' `folder`.

    Raises UserError for a plugin that has the name of one of the package's own.
    """
    plugins = plugins_folder()
    brought = str(plugins / folder) if plugins else ""
    own = _by_name(place for place in package.__path__ if place != brought)
    if not brought:
        return _public(own)
    added = _by_name([brought])
    if twice := sorted(set(own) & set(added)):
        raise UserError(
            f"The plugin {twice[0]!r} in {brought} has the name of a file of Lethe's; expected "
            f"another name."
        )
    if brought not in package.__path__:
        package.__path__.append(brought)
    return [*_public(own), *_public(added)]


def _by_name(places: Iterable[str]) -> dict[str, pkgutil.ModuleInfo]:
    found = sorted(pkgutil.iter_modules(list(places)), key=lambda module: module.name)
    return {module.name: module for module in found}


def _public(modules: dict[str, pkgutil.ModuleInfo]) -> list[pkgutil.ModuleInfo]:
    return [module for name, module in modules.items() if not name.startswith("_")]
