"""Every route of pages and API against the table of rights, for everybody who may come."""

from collections.abc import Iterator
from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy import func, inspect, select, text
from starlette.testclient import TestClient

from app import discovery
from app.access.rights import may
from app.access.session import VISITOR, Identity
from app.access.table import GUESTS, RIGHTS, VISITORS
from tests.app.conftest import AskedEngine
from tests.app.people import PEOPLE, browser, take_in


def routes(app: FastAPI) -> Iterator[str]:
    for route in discovery.routes(app):
        for method in set(getattr(route, "methods", None) or ()) - {"HEAD"}:
            yield f"{method} {route.path}"


def filled(path: str) -> str:
    """The path with a name in each place that nothing has."""
    parts = path.replace("{name:path}", "{name}").split("/")
    return "/".join("nothing" + p.partition("}")[2] if p.startswith("{") else p for p in parts)


def rows(engine: AskedEngine) -> dict[str, int]:
    """How many rows each table has."""
    names = inspect(engine.store.database.reader).get_table_names()
    with engine.store.database.read() as session:
        counted = (
            (name, session.scalar(select(func.count()).select_from(text(f'"{name}"'))))
            for name in names
        )
        return {name: n or 0 for name, n in counted}


def ask(client: TestClient, route: str) -> Any:
    method, _, path = route.partition(" ")
    return client.request(method, filled(path), follow_redirects=False)


def test_every_route_has_a_row_and_every_row_a_route(shared: FastAPI) -> None:
    found = list(routes(shared))
    assert len(found) > 150
    assert set(found) == set(RIGHTS)
    mounted = [route.path for route in discovery.routes(shared) if not hasattr(route, "methods")]
    assert mounted == ["/static"]


def test_what_changes_something_says_what_and_what_is_read_does_not() -> None:
    for route, right in RIGHTS.items():
        if route == "GET /login/provider/back":  # a provider leads a browser back by a link
            assert right.change
            continue
        assert not (right.change and route.startswith("GET ")), route
        looks = ("/form", "/preflight", "/check", "/editor", "/dictionary.json", "/{view}")
        is_change = not route.startswith("GET ") and not route.endswith(looks)
        assert bool(right.change) == is_change, route


def test_what_guests_may_ask_has_a_row_and_changes_little() -> None:
    assert set(RIGHTS) > GUESTS
    changes = {route for route in GUESTS if RIGHTS[route].change}
    words = {RIGHTS[route].change for route in changes}
    assert words == {
        "answered in a lesson", "cancelled a run", "changed a run", "queued a lesson's runs",
        "queued a run", "queued runs", "signed out",
    }  # fmt: skip
    assert not {route for route in GUESTS if RIGHTS[route].least == "admin"}


def test_what_visitors_may_ask_has_a_row_and_changes_at_most_their_own_answer() -> None:
    assert set(RIGHTS) > VISITORS
    changes = {route for route in VISITORS if RIGHTS[route].change}
    assert changes == {"POST /lessons/{name}/{number}"}
    assert {RIGHTS[route].least for route in VISITORS} == {"viewer"}


def test_an_open_house_holds_open_what_visitors_may_ask_and_nothing_else(
    house: FastAPI, visitor: TestClient, engine: AskedEngine
) -> None:
    visitor.headers["X-Forwarded-For"] = "203.0.113.7"  # believed of proxies alone
    before = rows(engine)
    for route in RIGHTS:
        answer = ask(visitor, route)
        if may(VISITOR, route):
            is_login = route == "POST /login"
            assert answer.status_code not in (401, 403) or is_login, (route, answer.text[:300])
            assert not answer.headers.get("location", "").startswith("/login?"), route
        else:
            assert answer.status_code == 403, (route, answer.status_code)
            assert "make serve" in answer.text, route
    assert rows(engine) == before
    wrong = {"Authorization": "Bearer wrong"}
    refused = visitor.get("/runs", headers=wrong, follow_redirects=False)
    assert refused.headers["location"].startswith("/login?")


@pytest.mark.parametrize("name", ["", *PEOPLE, "guest"])
def test_everybody_may_ask_what_the_table_says_and_nothing_else(
    shared: FastAPI, engine: AskedEngine, name: str
) -> None:
    role = PEOPLE.get(name, "guest")
    name = take_in(engine.store).name if role == "guest" and name else name
    identity = Identity(name, role) if name else None
    order = sorted(RIGHTS, key=lambda route: (route == "POST /logout", route))
    with browser(shared, engine.store, name) as client:
        for route in order:
            answer = ask(client, route)
            if may(identity, route):
                assert answer.status_code not in (401, 403) or route == "POST /login", route
                assert not answer.headers.get("location", "").startswith("/login?"), route
            elif name:
                assert answer.status_code == 403, (route, answer.status_code)
            elif "/api/" in route:
                assert answer.status_code == 401, (route, answer.status_code)
            else:
                assert answer.status_code == 303, (route, answer.status_code)
                assert answer.headers["location"].startswith("/login?"), route
