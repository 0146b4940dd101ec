"""Finds pages and API resources: one file in the folder is one of them."""

import importlib
import pkgutil
from dataclasses import dataclass
from types import ModuleType

from fastapi import APIRouter


@dataclass(frozen=True, order=True)
class NavItem:
    """One entry of the menu; entries are sorted by `order`."""

    order: int
    title: str
    path: str


def modules(package: str) -> list[ModuleType]:
    """Import every public module of `package` that has routes, in the order of their names."""
    folder = importlib.import_module(package)
    names = [m.name for m in pkgutil.iter_modules(folder.__path__) if not m.name.startswith("_")]
    return [importlib.import_module(f"{package}.{name}") for name in sorted(names)]


def router(module: ModuleType) -> APIRouter:
    """The module's `router`; raise TypeError for a file that has none."""
    found = getattr(module, "router", None)
    if not isinstance(found, APIRouter):
        raise TypeError(f"{module.__file__} has no `router`; every page and API file needs one")
    return found


def nav(pages: list[ModuleType]) -> tuple[NavItem, ...]:
    """The menu's entries, from the `NAV` of those pages that have one."""
    return tuple(sorted(NavItem(*page.NAV) for page in pages if hasattr(page, "NAV")))
