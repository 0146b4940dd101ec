"""Finds pages and API resources: one file in the folder, or in a room of it, is one of them.

The plugins' folders `pages/` and `api/` are searched after Lethe's own.
"""

import importlib
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from types import ModuleType
from typing import Any

from fastapi import APIRouter

from worker.contract.errors import UserError
from worker.contract.plugins import public_modules

MENU = (
    ("/", "/lessons", "/handbook", "/explore"),
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
    ("/runs", "/projects", "/bundles", "/workers"),
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
    """Import every public module of `package` and of its rooms: its own by name, then plugins'."""
    folder = importlib.import_module(package)
    imported: list[ModuleType] = []
    for module in public_modules(folder, package.removeprefix("app.").replace(".", "/")):
        name = f"{package}.{module.name}"
        imported += modules(name) if module.ispkg else [importlib.import_module(name)]
    return imported


def pages(*, is_shared: bool) -> list[ModuleType]:
    """Every page; those of people, which say `SHARED = True`, on a shared server alone."""
    return _of_server("app.pages", is_shared)


def resources(*, is_shared: bool) -> list[ModuleType]:
    """Every resource of the API, as `pages` gives the pages."""
    return _of_server("app.api", is_shared)


def _of_server(package: str, is_shared: bool) -> list[ModuleType]:
    return [one for one in modules(package) if is_shared or not getattr(one, "SHARED", False)]


def router(module: ModuleType) -> APIRouter:
    """The module's `router`; raise TypeError for a file that has none."""
    found = getattr(module, "router", None)
    if not isinstance(found, APIRouter):
        raise TypeError(f"{module.__file__} has no `router`; every page and API file needs one")
    return found


def routes(of: Any) -> Iterator[Any]:
    """Every route of a router, and of those that it includes."""
    for route in of.routes:
        nested = getattr(route, "original_router", None)
        yield from routes(nested) if nested is not None else [route]


def refuse_twice(modules: Iterable[ModuleType]) -> None:
    """Raise UserError where two modules answer the same address: one would never be asked."""
    first: dict[tuple[str, str], ModuleType] = {}
    for module in modules:
        for route in routes(router(module)):
            for verb in sorted(route.methods):
                before = first.setdefault((verb, route.path), module)
                if before is not module:
                    raise UserError(
                        f"{module.__file__} answers {verb} {route.path}, as {before.__file__} does "
                        f"already; expected another address."
                    )


def nav(pages: list[ModuleType]) -> tuple[NavItem, ...]:
    """The menu's entries, from the `NAV` of those pages that have one, in the menu's order."""
    found = [NavItem(*page.NAV) for page in pages if hasattr(page, "NAV")]
    return tuple(sorted(found, key=lambda item: (item.place, item.title)))
