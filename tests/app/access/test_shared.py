"""The guard of a shared server: who is let in, by what, and until when."""

import os
import re
import subprocess
import sys
from pathlib import Path

import httpx
import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from app.__main__ import _say_who_is_first
from app.access import attempts
from app.main import create_app
from app.opening import Opening
from tests.app.conftest import TOKEN, AskedEngine
from tests.app.people import GOOD, browser, script
from worker.contract.settings import Settings
from worker.store.store import Store

ROOT = Path(__file__).parents[3]


@pytest.fixture
def store(engine: AskedEngine) -> Store:
    return engine.store


def sign_in(client: TestClient, name: str, password: str = GOOD, next: str = "/runs") -> object:
    form = {"name": name, "password": password, "next": next}
    return client.post("/login", data=form, follow_redirects=False)


def test_a_person_signs_in_by_password_and_out_for_good(shared: FastAPI, store: Store) -> None:
    with browser(shared, store) as client:
        page = client.get("/runs")
        assert page.url.path == "/login" and "Password" in page.text and "token=" not in page.text
        done = sign_in(client, " Max ")
        assert (done.status_code, done.headers["location"]) == (303, "/runs")
        cookie = done.headers["set-cookie"]
        assert "strict-transport-security" not in done.headers
        assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Secure" not in cookie
        listed = client.get("/runs")
        assert listed.url.path == "/runs" and ">max</a>, member" in listed.text
        (signed,) = store.sign_ins("max")
        assert signed.address == "testclient"
        kept = dict(client.cookies)
        token = re.search(r'name="csrf" value="([^"]+)"', listed.text)
        assert token and client.post("/logout").status_code == 403
        client.post("/logout", data={"csrf": token[1]})
        client.cookies.update(kept)
        assert client.get("/runs").url.path == "/login"
        assert store.sign_ins("max") == []


def test_cookies_are_secure_where_people_come_by_https(
    settings: Settings, engine: AskedEngine, shared: FastAPI
) -> None:
    public = {"shared": True, "public_url": "https://lethe.example.org"}
    app = create_app(settings.model_copy(update=public), engine)
    for base in ("http://lethe.example.org", "http://127.0.0.1"):
        client = TestClient(app, base_url=base)
        done = sign_in(client, "ada")
        assert "Secure" in done.headers["set-cookie"]
        assert done.headers["strict-transport-security"] == "max-age=31536000"
    foreign = TestClient(app, base_url="http://attacker.example").get("/login")
    assert foreign.status_code == 421
    assert "answers to https://lethe.example.org alone" in foreign.text


def test_the_login_token_opens_nothing(
    settings: Settings, engine: AskedEngine, shared: FastAPI
) -> None:
    app = create_app(settings.model_copy(update={"shared": True}), engine)
    assert app.state.sessions.token == TOKEN
    client = TestClient(app, base_url="http://127.0.0.1")
    assert client.get(f"/?token={TOKEN}").url.path == "/login"
    assert client.post("/login", data={"token": TOKEN}).status_code == 401
    refused = client.get("/api/runs", headers={"Authorization": f"Bearer {TOKEN}"})
    assert refused.status_code == 401
    assert "personal token" in refused.json()["detail"][0]["message"]


def test_wrong_passwords_are_followed_by_pauses_for_the_name_wherever_they_come_from(
    shared: FastAPI, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "FIRST", 60.0)
    with browser(shared, store) as client:
        codes = [sign_in(client, "max", "wrong password").status_code for _ in range(7)]
        assert codes == [401] * 5 + [429] * 2
        locked = sign_in(client, "max")
        assert locked.status_code == 429 and int(locked.headers["retry-after"]) > 50
        assert "Too many wrong passwords" in locked.text
    other = TestClient(shared, base_url="http://127.0.0.1", client=("10.1.2.3", 5))
    assert sign_in(other, "max").status_code == 429
    assert sign_in(other, "mia").status_code == 303


def test_who_is_shut_out_is_out_at_once(shared: FastAPI, store: Store) -> None:
    with browser(shared, store, "max") as client:
        of_script = script(shared, store, "max")
        assert client.get("/api/runs").status_code == of_script.get("/api/runs").status_code == 200
        store.set_disabled("max", True)
        assert client.get("/runs").url.path == "/login"
        assert client.get("/api/runs").status_code == of_script.get("/api/runs").status_code == 401
        refused = sign_in(client, "max")
        assert refused.status_code == 401 and "the account is shut" in refused.text


def test_a_wrong_token_is_looked_at_a_few_times_only(
    shared: FastAPI, store: Store, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(attempts, "FIRST", 60.0)
    client = script(shared, store, "max")
    good = client.headers["Authorization"]
    client.headers["Authorization"] = "Bearer lethe_wrong"
    codes = [client.get("/api/runs").status_code for _ in range(6)]
    assert codes == [401] * 5 + [429]
    assert client.get("/api/runs", headers={"Authorization": good}).status_code == 429


def test_a_role_that_changes_is_in_force_from_the_next_request_on(
    shared: FastAPI, store: Store
) -> None:
    with browser(shared, store, "vera") as client:
        assert "/people" not in client.get("/").text
        refused = client.get("/people")
        assert refused.status_code == 403 and "signed in as &#39;vera&#39;" in refused.text
        store.set_role("vera", "admin")
        assert client.get("/people").status_code == 200
        assert 'href="/people"' in client.get("/").text


def test_a_page_of_another_host_cannot_post_in_a_persons_name(
    shared: FastAPI, store: Store
) -> None:
    with browser(shared, store, "max") as client:
        del client.headers["X-CSRF-Token"]
        assert client.post("/account/tokens", data={"name": "x", "days": "7"}).status_code == 403
        assert store.tokens("max") == []


def test_a_shared_server_prints_an_address_without_a_token(shared: FastAPI, store: Store) -> None:
    data = store.database.url.database
    assert data is not None
    own = {"LETHE_SHARED": "1", "LETHE_DATA": str(Path(data).parent), "LETHE_PORT": "0"}
    command = [sys.executable, "-m", "app"]
    with subprocess.Popen(
        command, cwd=ROOT, env=os.environ | own, stdout=subprocess.PIPE, text=True
    ) as server:
        try:
            assert server.stdout is not None
            line = server.stdout.readline()
            found = re.fullmatch(r"Lethe is at (http://\S+/) \(sign in with your account\)\n", line)
            assert found, line
            with httpx.Client(base_url=found[1]) as client:
                form = {"name": "mia", "password": GOOD}
                assert client.post("/login", data=form).status_code == 303
                assert client.get("/api/runs").json()["total"] == 0
                assert client.get("/people").status_code == 403
        finally:
            server.terminate()


def test_a_server_without_people_says_how_the_first_account_is_made(
    empty_engine: AskedEngine, settings: Settings, capsys: pytest.CaptureFixture[str]
) -> None:
    opening = Opening(settings, empty_engine)
    _say_who_is_first(opening)
    assert "lethe user add NAME --role admin" in capsys.readouterr().err
    empty_engine.store.add_person("ada", GOOD, "admin")
    _say_who_is_first(opening)
    _say_who_is_first(Opening(settings))
    assert capsys.readouterr().err == ""
