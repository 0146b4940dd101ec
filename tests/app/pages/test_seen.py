"""Every page and resource that is read, asked by everybody, for things that ever more may see.

What somebody may not see answers as what is not there; what they may see answers as it does to its
owner. A new address with an id in it fails here until it is said what its id names.
"""

from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.access.opened import OPENED
from app.access.rights import may
from app.access.session import Identity
from tests.app.conftest import AskedEngine
from tests.app.pages.conftest import begin
from tests.app.pages.things import (
    ROLES,
    SECRET,
    Things,
    filled,
    gets,
    own,
    share,
    thing_of,
)
from tests.app.people import browser
from worker.contract.projects import VISIBILITIES, Visibility

SEES: dict[Visibility, set[str]] = {
    "private": {"max", "ada"},
    "project": {"max", "ada", "paul", "gus"},
    "server": {"max", "ada", "paul", "olga", "mia", "vera"},
    "anybody": {"max", "ada", "paul", "olga", "mia", "vera", ""},
}
"""Who sees what is max', in his project, and visible to these."""
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
