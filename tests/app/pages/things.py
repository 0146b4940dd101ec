"""What one person made on a shared server, for the tests that ask every address for it."""

import re
from dataclasses import dataclass
from urllib.parse import quote

from fastapi import FastAPI

from app import discovery
from tests.app.people import PEOPLE
from worker.contract.people import Role
from worker.contract.projects import Visibility
from worker.store.acting import Acting
from worker.store.sharing import MADE
from worker.store.store import Store
from worker.store.tables import Run

OTHERS: dict[str, Role] = {"paul": "member", "olga": "member"}
"""Paul is in the project of what is made, as a viewer of it; Olga is in another."""
GUESTS: dict[str, Role] = {"gus": "guest", "gil": "guest"}
"""Gus is a guest of max' class, Gil of another."""
ROLES: dict[str, Role | None] = {"": None, **PEOPLE, **OTHERS, **GUESTS}
SECRET = "Zebrasecret"
"""Stands in the title and content of everything of max'."""
NAMES: dict[str, str] = {"run_id": "run", "mask_id": "mask", "id": "project"}
"""Part of an address -> what it names."""
NAMED: dict[str, tuple[str, str]] = {
    "/classes/": ("id", "class"),
    "/api/facts/": ("name", "fact set"),
    "/api/texts/": ("name", "text"),
}
NAMELESS = (
    "/gallery/",
    "/lessons/",
    "/studies/built-in/",
    "/invitation/",
    "/join/",
    "/facts/upload/",
    "/explore/answers/",
    "/explore/circuits/drawn",
    "/explore/figures/",
    "/explore/rows/",
    "/explore/views/",
    "/compare/figures/",
    "/masks/overlap",
)
"""Addresses whose parts name nothing of a person's."""


@dataclass(frozen=True)
class Things:
    """What max made."""

    ids: dict[str, str]
    logins: dict[str, str]
    """Guest -> the name that the server has for them."""

    def asked(self) -> str:
        """A query in which each thing is named in every way that a page may read."""
        run, mask, facts, text, circuit, project = (
            quote(self.ids[what])
            for what in ("run", "mask", "fact set", "text", "circuit", "project")
        )
        return (
            f"run={run}&run={run}&from={run}&of={run}&edit={run}&study={run}&localization={run}"
            f"&mask={mask}&mask={mask}&a={mask}&b={mask}&set={facts}&facts.set={facts}"
            f"&model=edit:{run}&name={text}&text={text}&circuit={circuit}&project={project}"
        )


def gets(app: FastAPI) -> list[str]:
    found = (
        route for route in discovery.routes(app) if "GET" in (getattr(route, "methods", ()) or ())
    )
    return sorted({route.path for route in found})


def thing_of(path: str) -> tuple[str, str] | None:
    """The part of an address that names a thing, and which; None where no part does."""
    for start, named in NAMED.items():
        if path.startswith(start):
            return named
    parts = re.findall(r"\{(\w+)", path)
    known = [part for part in parts if part in NAMES]
    if known:
        return known[0], NAMES[known[0]]
    assert not parts or path.startswith(NAMELESS), f"{path}: say here what its parts name"
    return None


def filled(path: str, part: str, id: str) -> str:
    other = {"ending": "csv", "figure": "components", "name": "components", "what": "delta"}
    for name, value in (other | {part: quote(id, safe="")}).items():
        path = path.replace("{" + name + "}", value).replace("{" + name + ":path}", value)
    assert "{" not in path, f"{path}: say here what its part stands for"
    return path


def own(store: Store, run: str) -> None:
    """Let a run be max'."""
    with store.database.write() as session:
        session.get_one(Run, run).owner = "max"


def share(store: Store, things: Things, visibility: Visibility) -> None:
    acting = store.acting_for(Acting("max", may_all=False, may_open=True))
    for what in MADE:
        acting.share(what, things.ids[what], visibility, things.ids["project"])
