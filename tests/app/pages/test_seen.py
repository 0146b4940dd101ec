"""Every page and resource that is read, asked by everybody, for things that ever more may see.

What somebody may not see answers as what is not there; what they may see answers as it does to its
owner. A new address with an id in it fails here until it is said what its id names.
"""

import re
from collections.abc import Callable
from dataclasses import dataclass
from types import ModuleType
from typing import Any
from urllib.parse import quote

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app import discovery
from app.access.opened import OPENED
from app.access.rights import may
from app.access.session import Identity
from app.drawing.drawing import Source
from app.main import create_app
from tests.app.conftest import AskedEngine
from tests.app.pages.conftest import begin
from tests.app.people import PEOPLE, browser
from worker.contract.facts import Fact, FactSet
from worker.contract.limits import Limits
from worker.contract.mask import Mask
from worker.contract.people import Role
from worker.contract.projects import VISIBILITIES, Visibility
from worker.contract.settings import Settings
from worker.store.acting import Acting
from worker.store.people_tables import PersonRow
from worker.store.sharing import MADE
from worker.store.store import Store

OTHERS: dict[str, Role] = {"paul": "member", "olga": "member"}
"""Paul is in the project of what is made, as a viewer of it; Olga is in another."""
GUESTS: dict[str, Role] = {"gus": "guest", "gil": "guest"}
"""Gus is a guest of max' class, Gil of another."""
ROLES: dict[str, Role | None] = {"": None, **PEOPLE, **OTHERS, **GUESTS}
SEES: dict[Visibility, set[str]] = {
    "private": {"max", "ada"},
    "project": {"max", "ada", "paul", "gus"},
    "server": {"max", "ada", "paul", "olga", "mia", "vera"},
    "anybody": {"max", "ada", "paul", "olga", "mia", "vera", ""},
}
"""Who sees what is max', in his project, and visible to these."""
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
STREAMS = ("/stream", "/events")


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


@pytest.fixture
def open_app(settings: Settings, shared: FastAPI, engine: AskedEngine) -> FastAPI:
    """A shared server on which things may be shared with anybody."""
    with engine.store.database.write() as session:
        hashed = session.get_one(PersonRow, "max").password
        for name, role in OTHERS.items():
            made = {"disabled": False, "created": 1.0, "password": hashed}
            session.add(PersonRow(name=name, role=role, **made))
    told = {"shared": True, "anybody": True, "token": None}
    return create_app(settings.model_copy(update=told), engine)


@pytest.fixture
def things(
    open_app: FastAPI, engine: AskedEngine, put: Callable[[str, Source], str], made: ModuleType
) -> Things:
    store = engine.store.acting_for(Acting("max", may_all=False, may_open=True))
    rules: dict[str, Any] = {"seats": 9, "lasts": 3600.0, "limits": Limits()}
    held, link = store.make_class("Of max", "demo", ["localization/causal_tracing"], **rules)
    store.set_member(held.project, "paul", "viewer")
    olga = engine.store.acting_for(Acting("olga", may_all=False))
    _, another = olga.make_class("Another", "demo", [], **rules)
    logins = {"gus": store.join(link, "Gus").name, "gil": store.join(another, "Gil").name}
    run = put("localize", made.localization_source())
    engine.store.update_run(run, title=SECRET, tags=["x"])
    own(engine.store, run)
    fact = Fact(id="f1", subject=SECRET, prompt="{} is", target="a", edit_target="b")
    facts = store.save_fact_set(FactSet(name="set-of-max", title=SECRET, facts=(fact,)))
    mask = store.save_mask(SECRET, "demo", Mask(components=("blocks.1.mlp",)), localization=run)
    text = store.save_text("text-of-max", f"{SECRET} is a text to forget.")
    circuit = store.save_circuit("circuit-of-max", "view=circuit&prompt=" + SECRET)
    return Things(
        {
            "run": run,
            "fact set": facts.name,
            "mask": mask.id,
            "text": text.name,
            "circuit": circuit.name,
            "project": held.project,
            "class": held.id,
        },
        logins,
    )


def own(store: Store, run: str) -> None:
    """Let a run be max'."""
    from worker.store.tables import Run

    with store.database.write() as session:
        session.get_one(Run, run).owner = "max"


def share(store: Store, things: Things, visibility: Visibility) -> None:
    acting = store.acting_for(Acting("max", may_all=False, may_open=True))
    for what in MADE:
        acting.share(what, things.ids[what], visibility, things.ids["project"])


ROWS: tuple[tuple[str, Visibility], ...] = (
    ("", "server"),
    ("", "anybody"),
    ("vera", "private"),
    ("vera", "server"),
    ("mia", "private"),
    ("olga", "project"),
    ("paul", "private"),
    ("paul", "project"),
    ("max", "private"),
    ("ada", "private"),
    ("gus", "private"),
    ("gus", "project"),
    ("gus", "server"),
    ("gil", "project"),
)
"""Who asks, and what who may see: on both sides of every border, and who is on none."""


def test_every_person_and_every_visibility_is_asked_for() -> None:
    assert {person for person, _ in ROWS} == set(ROLES)
    assert {visibility for _, visibility in ROWS} == set(VISIBILITIES) == set(SEES)
    sides = {(visibility, person in SEES[visibility]) for person, visibility in ROWS}
    assert sides >= {(one, True) for one in VISIBILITIES}


def answer(client: TestClient, address: str) -> tuple[int, str]:
    found = client.get(address, follow_redirects=False)
    return found.status_code, found.text


@pytest.mark.parametrize(("person", "visibility"), ROWS)
def test_everybody_reads_what_they_may_see_and_nothing_else(
    open_app: FastAPI, engine: AskedEngine, things: Things, person: str, visibility: Visibility
) -> None:
    engine.is_alive = False
    share(engine.store, things, visibility)
    sees = person in SEES[visibility]
    role = ROLES[person]
    me = Identity(person, role) if role else None
    with (
        browser(open_app, engine.store, things.logins.get(person, person)) as client,
        browser(open_app, engine.store, "max") as owner,
    ):
        for path in gets(open_app):
            route = f"GET {path}"
            is_open = route in OPENED and role != "guest"
            if not may(me, route) and not is_open:
                continue
            thing = thing_of(path)
            if thing is None and person in ("max", "ada"):
                continue  # who sees everything reads lists in their own tests
            if thing is None:
                check_list(client, path, things, sees, is_login=me is None)
                continue
            part, what = thing
            id = things.ids[what]
            address = filled(path, part, id)
            code, text = answer(client, address)
            is_seen = person in SEES["project"] if what in ("project", "class") else sees
            if is_seen:
                assert code == answer(owner, address)[0], (address, code)
                continue
            assert SECRET not in text, address
            if me is None:
                assert code in (303, 401), (address, code)
                continue
            other = "0123456789ab"
            missing, said = answer(client, filled(path, part, other))
            # 422 is of a question that lacks a part, before anything is looked for.
            assert code == missing and code in (404, 422), (address, code, missing)
            shown, expected = (main_of(one) for one in (text, said))
            assert shown.replace(id, other) == expected, address


def check_list(
    client: TestClient, path: str, things: Things, sees: bool, *, is_login: bool
) -> None:
    """A page that is of nothing by itself says nothing of what may not be seen, however asked."""
    if "{" in path or path in ("/audit.csv", "/people", "/audit"):
        return
    for address in (path, f"{path}?{things.asked()}"):
        code, text = answer(client, address)
        assert code < 500 or code == 503, (address, code)
        if not sees:
            assert SECRET not in text, address
        elif is_login and path not in ("/facts", "/facts/texts/show"):
            assert SECRET not in text and code in (200, 303, 401, 404), (address, code)


def main_of(page: str) -> str:
    """What a page says, without what differs between any two."""
    return page.partition("<main")[2] or page


def test_what_was_shared_with_anybody_is_closed_where_an_admin_no_longer_allows_it(
    open_app: FastAPI, shared: FastAPI, engine: AskedEngine, things: Things
) -> None:
    share(engine.store, things, "anybody")
    address = f"/runs/{things.ids['run']}"
    with browser(open_app, engine.store) as client:
        page = client.get(address)
        assert page.status_code == 200 and SECRET in page.text
        assert "<form" not in page.text.partition("<main")[2].partition("</main>")[0]
        assert client.get("/runs", follow_redirects=False).status_code == 303
        assert client.post(f"{address}/again", follow_redirects=False).status_code == 303
        share(engine.store, things, "server")
        assert client.get(address, follow_redirects=False).status_code == 303
    share(engine.store, things, "anybody")
    with browser(shared, engine.store) as client:
        assert client.get(address, follow_redirects=False).status_code == 303


def test_explore_asks_no_worker_about_what_may_not_be_seen(
    open_app: FastAPI, engine: AskedEngine, things: Things
) -> None:
    edit, attempt = begin(engine, "unlearn")
    engine.store.finish(edit, attempt, "failed", "x")
    own(engine.store, edit)
    engine.store.share("run", edit, "private")
    body: dict[str, Any] = {
        "model": {"base": "demo", "edits": [edit]},
        "options": {"prompt": "Fact: x"},
    }
    with (
        browser(open_app, engine.store, "mia") as mia,
        browser(open_app, engine.store, "max") as max_,
    ):
        hidden = mia.post("/api/explore/lens", json=body)
        assert hidden.status_code == 404 and f"no run &#39;{edit}" in hidden.text.replace(
            "'", "&#39;"
        )
        assert max_.post("/api/explore/lens", json=body).status_code != 404
