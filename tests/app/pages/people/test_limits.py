"""Limits of people: set by admins, seen on one's account, refused in words."""

from typing import Any

import pytest
from fastapi import FastAPI

from tests.app.conftest import AskedEngine
from tests.app.people import browser, script
from worker.contract.errors import TooMuch
from worker.contract.limits import Limits
from worker.contract.spec import parse_spec
from worker.store.acting import Acting


def test_an_admin_sets_limits_and_sees_what_is_taken(
    shared: FastAPI, engine: AskedEngine, spec: dict[str, Any]
) -> None:
    with browser(shared, engine.store, "ada") as client:
        form = {"whom": "person:", "waiting": "2", "running": "", "daily": "4h", "storage": "20GB"}
        assert client.post("/limits", data=form, follow_redirects=False).status_code == 303
        assert engine.store.limits_of("max") == Limits(
            waiting=2, device_seconds=4 * 3600.0, storage=20 * 10**9
        )
        page = client.get("/limits?whom=person:max").text
        assert "2 waiting, 4h a day, 20GB of files" in page
        assert '<option value="person:max" selected' in page
        shown = client.get("/limits").text
        assert 'value="20GB"' in shown and 'value="4h"' in shown
        wrong = client.post("/limits", data={**form, "waiting": "some", "storage": "20"})
        assert wrong.status_code == 422
        assert "is no number of runs" in wrong.text and "is no size" in wrong.text
        assert 'value="some"' in wrong.text, "what was typed stays"
        for nobody in ("person:nobody", "project:nothing", "else"):
            assert client.get(f"/limits?whom={nobody}").status_code == 404
            assert client.post("/limits", data={**form, "whom": nobody}).status_code == 404
    entry = engine.store.audit()[0]
    told = (entry.person, entry.what, entry.about)
    assert told == ("ada", "set limits", "everybody: 2 waiting, 4h a day, 20GB of files")
    with browser(shared, engine.store, "max") as client:
        account = client.get("/account").text
        assert "What your runs take" in account and "of 2</span>" in account
        assert client.get("/limits").status_code == 403


def test_what_is_submitted_beyond_a_limit_is_refused_with_what_is_used(
    shared: FastAPI, engine: AskedEngine, spec: dict[str, Any]
) -> None:
    engine.store.set_limits("max", Limits(waiting=1))
    client = script(shared, engine.store, "max")
    headers = {"Idempotency-Key": "once"}
    first = client.post("/api/runs", json=spec, headers=headers)
    assert first.status_code == 201
    refused = client.post("/api/runs", json=spec)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "30")
    assert "1 of your runs wait, and 1 at once" in refused.json()["detail"][0]["message"]
    again = client.post("/api/runs", json=spec, headers=headers)
    assert again.json()["id"] == first.json()["id"], "what was queued before is no second run"
    assert script(shared, engine.store, "mia").post("/api/runs", json=spec).status_code == 201
    engine.store.set_limits("max", Limits(storage=0))
    full = client.post("/api/runs", json=spec)
    assert full.status_code == 429 and "Retry-After" not in full.headers


def test_an_admin_sets_a_project_s_limits_and_its_members_see_them(
    shared: FastAPI, engine: AskedEngine, spec: dict[str, Any]
) -> None:
    sports = engine.store.make_project("Sports", "max").id
    with browser(shared, engine.store, "ada") as client:
        form = {"whom": "project:", "waiting": "", "running": "2", "daily": "", "storage": ""}
        client.post("/limits", data=form)
        assert engine.store.audit()[0].about == "every project: 2 at once"
        client.post("/limits", data={**form, "whom": f"project:{sports}", "waiting": "1"})
        assert engine.store.audit()[0].about == f"project {sports} (Sports): 1 waiting, 2 at once"
        page = client.get(f"/limits?whom=project:{sports}").text
        assert "Every project: 2 at once." in page and "Set the limits of Sports" in page
        assert f'<option value="project:{sports}" selected>Sports</option>' in page
        assert "of 1</span>" in page
    with browser(shared, engine.store, "max") as client:
        page = client.get(f"/projects/{sports}").text
        assert "What its runs take" in page and "of 1</span>" in page
    client = script(shared, engine.store, "max")
    assert client.post(f"/api/runs?project={sports}", json=spec).status_code == 201
    refused = client.post(f"/api/runs?project={sports}", json=spec)
    assert (refused.status_code, refused.headers["Retry-After"]) == (429, "30")
    assert "1 of the runs of the project 'Sports' wait" in refused.json()["detail"][0]["message"]
    assert client.post("/api/runs", json=spec).status_code == 201, "a private one is not its"


def test_what_is_made_of_a_project_s_runs_counts_for_it_too(
    shared: FastAPI, engine: AskedEngine, spec: dict[str, Any]
) -> None:
    sports = engine.store.make_project("Sports", "max").id
    client = script(shared, engine.store, "max")
    first = client.post(f"/api/runs?project={sports}", json=spec).json()["id"]
    engine.store.set_project_limits(sports, Limits(waiting=1))
    of_max = engine.of_session("", Acting("max", may_all=False))
    with pytest.raises(TooMuch, match="the project 'Sports'"):
        of_max.submit(parse_spec(spec), parents=[first])
    assert of_max.submit(parse_spec(spec))
