"""Behind a proxy under a prefix: nothing that goes out forgets it, no route knows of it."""

import re
from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.main import create_app
from app.prefix import ATTRIBUTES, under, within
from app.templating import STATIC, TEMPLATES
from tests.app.conftest import ROOT, TOKEN, AskedEngine
from tests.app.pages.test_prefixed import Addresses
from tests.app.people import browser, settle
from worker.contract.errors import UserError
from worker.contract.settings import Settings

COOKIE = f"Path={ROOT};"


def test_no_template_holds_an_address_in_an_attribute_that_the_prefix_does_not_reach() -> None:
    held: dict[str, set[str]] = {}
    for file in TEMPLATES.rglob("*.html"):
        text = file.read_text(encoding="utf-8")
        # As HTML has them, and as a dictionary of attributes for `xmlattr` has them.
        for one in re.findall(r"""([\w:-]+)=["']/|["']([\w:-]+)["']: ["']/""", text):
            held.setdefault(one[0] or one[1], set()).add(file.name)
    # `address` is what figures and others are given, which write it as an attribute.
    assert set(held) - {"address"} <= set(ATTRIBUTES), held
    assert {"href", "action", "hx-get", "data-view"} <= set(held)


def test_no_script_holds_an_address_that_ignores_the_prefix() -> None:
    literal = re.compile(r"""["'`]/[A-Za-z$]""")
    ours = sorted(STATIC.glob("*.js"))
    assert len(ours) > 5
    assert not {f.name for f in ours if literal.search(f.read_text(encoding="utf-8"))}
    assert literal.search("""fetch(`/masks?${a}`)""") and not literal.search("a / b")
    assert 'url("/' not in (STATIC / "lethe.css").read_text(encoding="utf-8")


def test_a_form_sent_there_leads_on_there(inside: TestClient, spec: dict[str, Any]) -> None:
    made = inside.post(f"{ROOT}/api/runs", json=spec)
    assert made.status_code == 201
    run = made.json()["id"]
    assert made.headers["location"] == f"{ROOT}/api/runs/{run}"
    renamed = {"title": "Mine", "tags": ""}
    plain = inside.post(f"{ROOT}/runs/{run}/rename", data=renamed, follow_redirects=False)
    assert (plain.status_code, plain.headers["location"]) == (303, f"{ROOT}/runs/{run}")
    asked = {"HX-Request": "true"}
    again = inside.post(f"{ROOT}/runs/{run}/again", headers=asked)
    assert again.headers["hx-redirect"].startswith(f"{ROOT}/runs/")
    form = inside.post(f"{ROOT}/localize/form", data={"model": "demo"}, headers=asked)
    assert form.headers["hx-replace-url"].startswith(f"{ROOT}/localize?")


def test_who_is_not_signed_in_is_asked_there_and_comes_back_there(lying: FastAPI) -> None:
    with TestClient(lying, base_url="http://127.0.0.1", follow_redirects=False) as client:
        asked = client.get(f"{ROOT}/runs?state=done")
        assert asked.headers["location"] == f"{ROOT}/login?next=%2Fruns%3Fstate%3Ddone"
        page = client.get(asked.headers["location"])
        assert f'action="{ROOT}/login"' in page.text and 'value="/runs?state=done"' in page.text
        sent = {"token": TOKEN, "next": "/runs?state=done"}
        entered = client.post(f"{ROOT}/login", data=sent)
        assert entered.headers["location"] == f"{ROOT}/runs?state=done"
        assert COOKIE in entered.headers["set-cookie"]


def test_what_lies_outside_the_prefix_says_where_the_server_is(lying: FastAPI) -> None:
    with TestClient(lying, base_url="http://127.0.0.1", follow_redirects=False) as client:
        for path in ("/", ROOT):
            assert client.get(path).headers["location"] == f"{ROOT}/"
        for path in ("/runs", "/lethe2/runs", "/api/openapi.json", "/static/lethe.css"):
            answer = client.get(path)
            assert answer.status_code == 404 and "under /lethe/" in answer.text
            assert "Content-Security-Policy" in answer.headers
        for path in ("/healthz", "/readyz"):
            assert client.get(path).status_code == 200 == client.get(ROOT + path).status_code
        assert client.get(f"{ROOT}/static/lethe.css").status_code == 200


def test_the_description_says_under_which_address_the_api_is(
    inside: TestClient, settings: Settings, engine: AskedEngine
) -> None:
    described = inside.get(f"{ROOT}/api/openapi.json").json()
    assert described["servers"] == [{"url": ROOT}] and "/api/runs" in described["paths"]
    assert create_app(settings, engine).openapi()["servers"] == [{"url": "/"}]


def test_an_invitation_leads_there(settings: Settings, engine: AskedEngine) -> None:
    settle(engine.store)
    changed = {"shared": True, "token": None, "root_path": ROOT}
    app = create_app(settings.model_copy(update=changed), engine)
    with TestClient(app, base_url="http://127.0.0.1") as client:
        client.cookies.set("lethe-session-http", engine.store.sign_in("ada", 600, "", ""))
        page = client.get(f"{ROOT}/people").text
        client.headers["X-CSRF-Token"] = page.split('"X-CSRF-Token": "')[1].split('"')[0]
        shown = client.post(f"{ROOT}/people/invitations", data={"role": "viewer"}).text
        for path in ("/account", "/people", "/audit", "/runs"):
            found = Addresses(client.get(ROOT + path).text).found
            assert len(found) > 10 and all(one.startswith(f"{ROOT}/") for _, one in found), path
        link = re.findall(r"http://127\.0\.0\.1/lethe/invitation/[\w-]+", shown)[0]
        client.cookies.clear()
        assert "You are invited" in client.get(link).text
        gone = client.post(f"{ROOT}/logout", follow_redirects=False)
        assert gone.headers["location"].startswith(f"{ROOT}/login")


@pytest.mark.parametrize("root", ["/runs", "/static", "/api/runs"])
def test_a_prefix_that_is_a_pages_path_is_refused(
    settings: Settings, engine: AskedEngine, root: str
) -> None:
    with pytest.raises(UserError, match=f"pages of this server lie at {root}"):
        create_app(settings.model_copy(update={"root_path": root}), engine)
    create_app(settings.model_copy(update={"root_path": "/run"}), engine)


def test_without_a_prefix_nothing_is_put_before(shared: FastAPI, engine: AskedEngine) -> None:
    assert within('<a href="/runs">') == '<a href="/runs">'
    assert under("/runs") == "/runs"
    with browser(shared, engine.store, "vera") as vera:
        assert ' href="/runs"' in vera.get("/").text
