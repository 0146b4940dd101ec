"""What who has no account may read: one thing at its own address, where it is shared so."""

from typing import Any

from fastapi import FastAPI

from app.access.opened import OPENED
from app.access.table import RIGHTS
from app.main import create_app
from tests.app.conftest import AskedEngine
from tests.app.people import browser
from worker.contract.settings import Settings
from worker.store.acting import Acting
from worker.store.sharing import MADE


def test_every_route_that_is_opened_to_anybody_is_read_and_names_one_thing() -> None:
    for route, (what, part) in OPENED.items():
        assert route in RIGHTS and route.startswith("GET ") and what in MADE
        assert part in route or route in ("GET /facts", "GET /facts/texts/show")


def test_a_mask_is_opened_at_its_address_and_no_list_is(
    settings: Settings, shared: FastAPI, engine: AskedEngine
) -> None:
    told = {"shared": True, "anybody": True, "token": None}
    app = create_app(settings.model_copy(update=told), engine)
    mask: dict[str, Any] = {"name": "m", "model": "demo", "components": ["blocks.1.mlp"]}
    with browser(shared, engine.store, "max") as client:
        id = client.post("/api/masks", json=mask).json()["id"]
    with browser(app, engine.store) as client:
        assert client.get(f"/api/masks/{id}").status_code == 401
        allowed = engine.store.acting_for(Acting("max", may_all=False, may_open=True))
        allowed.share("mask", id, "anybody")
        assert client.get(f"/api/masks/{id}").json()["name"] == "m"
        assert client.get("/api/masks").status_code == 401
        assert client.delete(f"/api/masks/{id}").status_code == 401
        engine.store.share("mask", id, "server")
        assert client.get(f"/api/masks/{id}").status_code == 401
