"""Looking up a right: for a token, for a route without a row, and from one role to the next."""

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app import discovery
from app.access.rights import may, right_of, route_of
from app.access.session import Identity
from app.access.table import RIGHTS
from tests.app.access.test_table import ask
from tests.app.conftest import AskedEngine
from tests.app.people import PEOPLE, browser, script


@pytest.mark.parametrize("name", PEOPLE)
def test_a_token_opens_what_its_person_may_ask(
    shared: FastAPI, engine: AskedEngine, name: str
) -> None:
    client = script(shared, engine.store, name)
    for route in sorted(route for route in RIGHTS if "/api/" in route):
        is_refused = ask(client, route).status_code in (401, 403)
        assert is_refused != may(Identity(name, PEOPLE[name]), route), route


def test_a_route_without_a_row_is_refused_to_everybody(
    shared: FastAPI, engine: AskedEngine
) -> None:

    def new_page() -> dict[str, str]:
        return {}

    shared.add_api_route("/new-page", new_page, methods=["GET"])
    with browser(shared, engine.store, "ada") as client:
        answer = client.get("/new-page")
        assert answer.status_code == 403
        assert "GET /new-page has no row in the table of rights" in answer.text
        assert client.get("/nowhere").status_code == 404
        assert client.put("/runs").status_code == 405
    with browser(shared, engine.store) as stranger:
        for path in ("/new-page", "/nowhere"):
            assert stranger.get(path).url.path == "/login"


def test_roles_hold_what_the_ones_below_them_hold(shared: FastAPI) -> None:
    asked = {"type": "http", "method": "HEAD", "path": "/api/openapi.json", "root_path": ""}
    found = route_of(discovery.routes(shared), {**asked, "headers": []})
    assert found == ("GET /api/openapi.json", {})
    anybody, viewer, least_member, admin = (
        "GET /login",
        "GET /runs",
        "POST /runs/many",
        "GET /audit",
    )
    assert may(None, anybody) and not may(None, viewer) and not may(Identity(), viewer)
    member = Identity("max", "member")
    assert may(member, viewer) and may(member, least_member) and not may(member, admin)
    guest = Identity("gus", "guest")
    assert may(guest, anybody) and may(guest, viewer)
    assert not may(guest, least_member) and not may(guest, "GET /account")
    assert may(member, "GET /runs")
    assert not may(member, "GET /people") and right_of("GET /new-page") is None


def test_on_a_server_of_one_reader_there_are_no_people(client: TestClient) -> None:
    for path in ("/account", "/people", "/audit", "/audit.csv", "/invitation/x"):
        assert client.get(path).status_code == 404
    page = client.get("/").text
    assert "/account" not in page and "/people" not in page
