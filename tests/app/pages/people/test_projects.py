"""Projects on pages and API: made, joined, left; a run in one is seen by its members alone."""

from collections.abc import Iterator
from contextlib import ExitStack
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from tests.app.conftest import AskedEngine
from tests.app.people import FORM, PEOPLE, browser

Browsers = dict[str, TestClient]


@pytest.fixture
def people(shared: FastAPI, engine: AskedEngine) -> Iterator[Browsers]:
    """Everybody at a browser of their own."""
    with ExitStack() as stack:
        yield {name: stack.enter_context(browser(shared, engine.store, name)) for name in PEOPLE}


def make_project(client: TestClient, title: str = "Sports") -> str:
    made = client.post("/projects", data={"title": title}, follow_redirects=False)
    assert made.status_code == 303, made.text
    return str(made.headers["location"]).rpartition("/")[2]


def test_a_run_in_a_project_is_seen_by_its_members_and_by_nobody_else(
    people: Browsers, engine: AskedEngine
) -> None:
    max_, mia, vera, ada = (people[name] for name in ("max", "mia", "vera", "ada"))
    project = make_project(max_)
    taken = max_.post(f"/projects/{project}/members", data={"person": "vera", "role": "viewer"})
    assert taken.status_code == 200 and ">vera" in taken.text
    assert 'value="' + project in max_.get("/localize").text
    assert "Who sees it" not in mia.get("/localize").text
    started = max_.post("/localize", data={**FORM, "project": project}, follow_redirects=False)
    assert started.status_code == 303, started.text
    page = started.headers["location"]
    run_id = page.rpartition("/")[2]
    for client in (max_, vera, ada):
        assert "The members of Sports, and admins." in client.get(page).text
        assert run_id in client.get("/runs").text
        assert run_id in client.get(f"/runs?project={project}").text
        assert client.get("/api/runs").json()["total"] == 1
        assert page in client.get(f"/projects/{project}").text
    assert "Share it with" not in vera.get(page).text
    missing = mia.get("/runs/0123456789ab")
    hidden = mia.get(page)
    assert hidden.status_code == missing.status_code == 404
    said = hidden.text.partition("<main")[2]
    assert said.replace(run_id, "0123456789ab") == missing.text.partition("<main")[2]
    for address in ("/", "/runs", "/runs?show=all", f"/runs?project={project}", "/compare"):
        answer = mia.get(address).text
        assert run_id not in answer.replace(f"project={project}", ""), address
    assert mia.get("/api/runs").json()["total"] == 0
    assert mia.get(f"/projects/{project}").status_code == 404
    assert mia.get("/api/projects").json() == []
    changes = [(one.person, one.what) for one in engine.store.audit()]
    assert ("max", "made a project") in changes
    assert ("max", "changed a project's members") in changes


def test_a_member_adds_an_owner_changes_and_everybody_leaves(people: Browsers) -> None:
    max_, mia = people["max"], people["mia"]
    project = make_project(max_)
    added = max_.put(f"/api/projects/{project}/members/mia", json={"role": "member"})
    assert [one["person"] for one in added.json()["members"]] == ["max", "mia"]
    mine = mia.get("/api/projects").json()
    assert [(one["id"], one["title"]) for one in mine] == [(project, "Sports")]
    refused = mia.post(f"/projects/{project}", data={"title": "Other"})
    assert refused.status_code == 403 and "Only its owners and admins" in refused.text
    unknown = max_.post(f"/projects/{project}/members", data={"person": "who", "role": "member"})
    assert unknown.status_code == 404 and "no person &#39;who&#39;" in unknown.text
    alone = max_.post(f"/projects/{project}/members/max/remove")
    assert alone.status_code == 409 and "only owner" in alone.text
    renamed = max_.post(f"/projects/{project}", data={"title": " New  title "})
    assert renamed.status_code == 200 and "<h1>New title</h1>" in renamed.text
    archived = max_.post(f"/projects/{project}", data={"do": "archive"})
    assert ">archived<" in archived.text
    late = max_.post("/localize", data={**FORM, "project": project})
    assert late.status_code == 422 and "is archived, so nothing is added" in late.text
    left = mia.post(f"/projects/{project}/members/mia/remove", follow_redirects=False)
    assert left.headers["location"] == "/projects"
    assert mia.get(f"/api/projects/{project}").status_code == 404
    assert max_.post("/projects", data={"title": "  "}).status_code == 422


def test_an_owner_shares_by_link_and_takes_it_back(
    people: Browsers, engine: AskedEngine, spec: dict[str, Any]
) -> None:
    max_, mia = people["max"], people["mia"]
    run_id = max_.post("/api/runs", json=spec).json()["id"]
    page = f"/runs/{run_id}"
    assert mia.get(page).status_code == 404
    assert '<option value="anybody"' not in max_.get(page).text
    form = {"what": "run", "id": run_id, "back": page}
    shared = max_.post("/sharing", data={**form, "seen": "server"}, follow_redirects=False)
    assert (shared.status_code, shared.headers["location"]) == (303, page)
    assert mia.get(page).status_code == 200
    assert mia.post("/sharing", data={**form, "seen": "private"}).status_code == 403
    away = max_.post(
        "/sharing", data={**form, "seen": "private", "back": "//x"}, follow_redirects=False
    )
    assert away.headers["location"] == "/"
    assert mia.get(page).status_code == 404
    for given in ("anybody", "project:none", "public"):
        assert max_.post("/sharing", data={**form, "seen": given}).status_code in (404, 422), given
    entry = engine.store.audit("max")[0]
    assert (entry.what, entry.about) == ("shared something", f"run {run_id}: private")


def test_a_script_chooses_the_project_and_what_follows_goes_there(
    people: Browsers, engine: AskedEngine, spec: dict[str, Any]
) -> None:
    max_, mia = people["max"], people["mia"]
    project = max_.post("/api/projects", json={"title": "P"}).json()["id"]
    made = max_.post(f"/api/runs?project={project}", json=spec)
    assert made.status_code == 201
    assert (made.json()["project"], made.json()["visibility"]) == (project, "project")
    assert mia.post(f"/api/runs?project={project}", json=spec).status_code == 404
    listed = max_.get(f"/api/runs?project={project}").json()
    assert [run["id"] for run in listed["runs"]] == [made.json()["id"]]
    body = {"what": "run", "id": made.json()["id"], "visibility": "server"}
    assert max_.post("/api/sharing", json=body).status_code == 204
    assert mia.get(f"/api/runs/{made.json()['id']}").status_code == 200


def test_there_are_no_projects_on_a_server_of_one_reader(client: TestClient) -> None:
    for address in ("/projects", "/api/projects"):
        assert client.get(address).status_code == 404
    page = client.get("/localize").text
    assert "Who sees it" not in page and "/projects" not in page
    assert "/api/projects" not in client.get("/api/openapi.json").json()["paths"]
