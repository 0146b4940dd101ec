"""No page offers what its reader may not do: each form and button against the table of rights."""

import re
from html.parser import HTMLParser
from urllib.parse import urlsplit

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app import discovery
from app.access.rights import may, route_of
from app.access.session import VISITOR, Identity
from app.access.table import RIGHTS
from app.templating import TEMPLATES
from tests.app.conftest import AskedEngine
from tests.app.pages.things import ROLES, Things, filled, gets, share, thing_of
from tests.app.people import browser
from worker.contract.projects import Visibility

METHODS = ("post", "put", "patch", "delete")


class Offers(HTMLParser):
    """What a reader can send from a page: its buttons, and what asks as soon as it is changed."""

    def __init__(self, page: str) -> None:
        super().__init__()
        self._forms: dict[str, tuple[str, str]] = {}
        self._form = ""
        self._pressed: list[str] = []
        self._asked: list[tuple[str, str]] = []
        self.feed(page)

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        given = {name: value or "" for name, value in attrs}
        if tag == "form":
            self._form = given.get("id") or f"#{len(self._forms)}"
            address = (given.get("method", "get").upper(), given.get("action", ""))
            self._forms[self._form] = address
            return
        if "disabled" in given:
            return
        asked = [(m.upper(), given[f"hx-{m}"]) for m in METHODS if f"hx-{m}" in given]
        if "formaction" in given:
            asked.append((self._forms[self._form][0], given["formaction"]))
        elif tag == "button" and given.get("type", "submit") == "submit" and not asked:
            self._pressed.append(given.get("form") or self._form)
        self._asked += asked

    def handle_endtag(self, tag: str) -> None:
        if tag == "form":
            self._form = ""

    def all(self) -> list[tuple[str, str]]:
        """Method and address of each, but for what only reads."""
        sent = [self._forms[form] for form in self._pressed if form]
        changing = [method.upper() for method in METHODS]
        return [one for one in sent + self._asked if one[0] in changing]


def pages(client: TestClient, app: FastAPI, things: Things) -> dict[str, str]:
    """Every page that answers, as address -> text, bare and about each thing that there is."""
    found = {}
    for path in gets(app):
        addresses = [path, f"{path}?{things.asked()}"]
        if (thing := thing_of(path)) is not None:
            addresses = [filled(path, thing[0], things.ids[thing[1]])]
        for address in addresses:
            if "{" in address:
                continue
            answer = client.get(address, follow_redirects=False)
            if answer.status_code == 200 and "html" in answer.headers["content-type"]:
                found[address] = answer.text
    return found


@pytest.mark.parametrize(
    ("person", "visibility", "least"),
    [("", "anybody", 4), ("gus", "project", 15), ("vera", "server", 25), ("mia", "server", 25)],
)
def test_no_page_offers_what_its_reader_may_not_do(
    open_app: FastAPI,
    engine: AskedEngine,
    things: Things,
    person: str,
    visibility: Visibility,
    least: int,
) -> None:
    engine.is_alive = False
    share(engine.store, things, visibility)
    role = ROLES[person]
    with browser(open_app, engine.store, things.logins.get(person, person)) as client:
        read = pages(client, open_app, things)
    assert len(read) >= least
    assert not refused(open_app, Identity(person, role) if role else None, read)


def test_an_open_house_offers_its_visitors_what_they_may_do_alone(
    house: FastAPI, visitor: TestClient, engine: AskedEngine
) -> None:
    engine.is_alive = False
    shipped = next(one.id for one in engine.store.runs() if one.kind == "unlearn")
    nothing = dict.fromkeys(("fact set", "mask", "text", "circuit", "project", "class"), "nothing")
    read = pages(visitor, house, Things({**nothing, "run": shipped}, {}))
    assert f"/runs/{shipped}" in read and f"/dossier/{shipped}" in read
    assert {"/", "/gallery", "/lessons", "/handbook"} <= read.keys()
    assert not refused(house, VISITOR, read)


def refused(app: FastAPI, me: Identity | None, read: dict[str, str]) -> list[str]:
    """What pages offer and the table of rights refuses to their reader."""
    routes, found = list(discovery.routes(app)), set()
    for address, page in read.items():
        for method, asked in Offers(page).all():
            path = urlsplit(asked).path or urlsplit(address).path
            scope = {"type": "http", "method": method, "path": path, "root_path": ""}
            route = route_of(routes, scope | {"headers": []})
            assert route, f"{address} asks {method} {path}, where nothing is"
            if not may(me, route[0]):
                found.add(f"{urlsplit(address).path} offers {route[0]}")
    return sorted(found)


def test_every_route_that_a_template_asks_for_has_a_row() -> None:
    asked = {
        route
        for template in TEMPLATES.rglob("*.html")
        for route in re.findall(r"(?:may_ask|refusal)\('([A-Z]+ /[^']+)'\)", template.read_text())
    }
    assert len(asked) > 15 and asked <= RIGHTS.keys(), asked - RIGHTS.keys()


def test_a_viewer_reads_on_a_form_who_may_send_it(open_app: FastAPI, engine: AskedEngine) -> None:
    with browser(open_app, engine.store, "vera") as vera:
        page = vera.get("/localize").text
    assert "Start the run" not in page
    assert "You are signed in as &#39;vera&#39;, a viewer; this is for members and admins." in page
    with browser(open_app, engine.store, "mia") as mia:
        page = mia.get("/localize").text
    assert "Start the run" in page and "You are signed in as" not in page
