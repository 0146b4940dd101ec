"""Finds pages and API resources: one file in the folder, or in a room of it, is one of them."""

import importlib
import pkgutil
from dataclasses import dataclass
from types import ModuleType

from fastapi import APIRouter

MENU = (
    ("/",),
    (
        "/models",
        "/facts",
        "/localize",
        "/masks",
        "/unlearn",
        "/probes",
        "/rewrite",
        "/stacks",
        "/studies",
        "/compare",
        "/dossier",
        "/gallery",
    ),
    ("/runs", "/bundles", "/workers"),
)
"""The menu's order, in groups with a gap between them; a page that is not named comes last."""


@dataclass(frozen=True)
class NavItem:
    """One entry of the menu."""

    title: str
    path: str

    @property
    def place(self) -> tuple[int, int]:
        """Which group of the menu it is in, and where in the group."""
        for group, paths in enumerate(MENU):
            if self.path in paths:
                return group, paths.index(self.path)
        return len(MENU), 0


def modules(package: str) -> list[ModuleType]:
    """Import every public module of `package` and of its rooms, in the order of their names."""
    folder = importlib.import_module(package)
    found = [m for m in pkgutil.iter_modules(folder.__path__) if not m.name.startswith("_")]
    imported: list[ModuleType] = []
    for module in sorted(found, key=lambda m: m.name):
        name = f"{package}.{module.name}"
        imported += modules(name) if module.ispkg else [importlib.import_module(name)]
    return imported


def router(module: ModuleType) -> APIRouter:
    """The module's `router`; raise TypeError for a file that has none."""
    found = getattr(module, "router", None)
    if not isinstance(found, APIRouter):
        raise TypeError(f"{module.__file__} has no `router`; every page and API file needs one")
    return found


def nav(pages: list[ModuleType]) -> tuple[NavItem, ...]:
    """The menu's entries, from the `NAV` of those pages that have one, in the menu's order."""
    found = [NavItem(*page.NAV) for page in pages if hasattr(page, "NAV")]
    return tuple(sorted(found, key=lambda item: (item.place, item.title)))
