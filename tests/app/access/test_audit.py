"""What a request changed stands in the log, and nothing else does."""

from typing import Any

import pytest
from fastapi import FastAPI
from sqlalchemy.exc import OperationalError
from starlette.requests import Request

from app.access import audit
from app.access.session import Identity, Session
from tests.app.conftest import AskedEngine
from tests.app.people import GOOD, browser, script


def asked(session: Session | None) -> Request:
    state = {"session": session}
    return Request({"type": "http", "headers": [], "client": ("10.0.0.7", 1), "state": state})


def test_an_entry_says_who_what_about_what_and_from_where() -> None:
    request = asked(Session(Identity("max", "member"), "n"))
    assert audit.entry(request, 200) is None
    audit.begin(request, "deleted a run", {"run_id": "r1", "secret": "s"})
    assert audit.entry(request, 200) == ("max", "deleted a run", "r1", "10.0.0.7")
    assert audit.entry(request, 404) is None
    audit.tell(request, "run r1 of mia")
    audit.tell(request, "run r1 of mia")
    for status in (200, 422):
        told = ("max", "deleted a run", "run r1 of mia", "10.0.0.7")
        assert audit.entry(request, status) == told
    audit.begin(request, "", {})
    assert audit.entry(request, 200) is None
    stranger = asked(None)
    audit.tell(stranger, "outside of a shared server nothing is gathered")
    audit.begin(stranger, "signed in", {})
    audit.tell(stranger, "max", "max")
    assert audit.entry(stranger, 200) == ("max", "signed in", "max", "10.0.0.7")


def test_changes_are_logged_and_neither_looks_nor_refusals(
    shared: FastAPI, engine: AskedEngine
) -> None:
    store = engine.store
    with browser(shared, store) as client:
        client.post("/login", data={"name": "max", "password": "wrong"})
        client.post("/login", data={"name": "max", "password": GOOD})
    with browser(shared, store, "vera") as client:
        client.get("/runs")
        client.post("/facts/splits", data={"set": "sports", "split": "few", "n": "3"})
        client.post("/account/tokens", data={"name": "", "days": "7"})
    mask = {"name": "two", "model": "demo", "components": ["blocks.1.mlp"]}
    assert script(shared, store, "mia").post("/api/masks", json=mask).status_code == 201
    found = [(entry.person, entry.what, entry.address) for entry in store.audit()]
    assert found == [
        ("mia", "saved a mask", "testclient"),
        ("max", "signed in", "testclient"),
    ]


def test_an_invitations_secret_is_in_no_log(shared: FastAPI, engine: AskedEngine) -> None:
    secret = engine.store.invite("viewer", 60, "ada")
    form = {"name": "eva", "password": GOOD, "again": GOOD}
    with browser(shared, engine.store) as client:
        client.post(f"/invitation/{secret}", data=form)
    (entry,) = engine.store.audit()
    assert (entry.person, entry.what, entry.about) == (
        "eva",
        "accepted an invitation",
        "eva as viewer",
    )


def test_a_change_that_was_made_is_said_to_be_made_where_the_log_cannot_be_written(
    shared: FastAPI,
    engine: AskedEngine,
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
) -> None:
    def full(*entry: str) -> None:
        raise OperationalError("INSERT", {}, OSError("disk is full"))

    with browser(shared, engine.store, "max") as client:
        monkeypatch.setattr(type(engine.store), "note", staticmethod(full))
        made = client.post("/account/tokens", data={"name": "laptop", "days": "7"})
    assert made.status_code == 200 and len(engine.store.tokens("max")) == 1
    assert "the audit log lacks" in caplog.text and "made a token" in caplog.text


def test_of_many_runs_those_are_logged_that_were_changed_before_another_was_refused(
    shared: FastAPI, engine: AskedEngine, spec: dict[str, Any]
) -> None:
    with browser(shared, engine.store, "max") as client:
        mine = client.post("/api/runs", json=spec).json()["id"]
        others = script(shared, engine.store, "mia").post("/api/runs", json=spec).json()["id"]
        form = {"run": [mine, others], "do": "star"}
        assert client.post("/runs/many", data=form).status_code == 422
    entry = engine.store.audit()[0]
    assert (entry.person, entry.what, entry.about) == ("max", "changed runs", f"run {mine}")
