from typing import Any

import pytest
from sqlalchemy.exc import OperationalError
from starlette.testclient import TestClient

from app.access.attempts import FREE

TOKEN = "a-token-for-tests"


def test_the_printed_address_signs_in_and_leaves_no_token_behind(stranger: TestClient) -> None:
    answer = stranger.get(f"/facts?set=sports&token={TOKEN}", follow_redirects=False)
    assert answer.status_code == 303
    assert answer.headers["location"] == "/facts?set=sports"
    cookie = answer.headers["set-cookie"].lower()
    assert "httponly" in cookie
    assert "samesite=lax" in cookie
    assert stranger.get("/facts").status_code == 200


def test_a_wrong_token_leads_to_the_login_page(stranger: TestClient) -> None:
    answer = stranger.get("/runs?token=wrong&kind=localize")
    assert answer.url.path == "/login"
    assert "Sign in" in answer.text
    refused = stranger.post("/login", data={"token": "wrong", "next": "/runs"})
    assert refused.status_code == 401
    assert "not the token of this server" in refused.text
    assert 'aria-invalid="true"' in refused.text


def test_the_login_page_goes_on_to_the_page_that_was_wanted(stranger: TestClient) -> None:
    answer = stranger.post(
        "/login", data={"token": TOKEN, "next": "/runs?kind=localize"}, follow_redirects=False
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/runs?kind=localize")


@pytest.mark.parametrize("following", ["//[", "http://[x", "/" + "x" * 5000, "/\t/[", "\\"])
def test_an_address_that_is_none_goes_on_to_the_home_page(
    stranger: TestClient, following: str
) -> None:
    assert stranger.get("/login", params={"next": following}).status_code == 200
    answer = stranger.post(
        "/login", data={"token": TOKEN, "next": following}, follow_redirects=False
    )
    assert (answer.status_code, answer.headers["location"]) == (303, "/")


def test_the_login_page_never_leads_to_another_host(stranger: TestClient) -> None:
    for elsewhere in ("https://evil.example/", "//evil.example", "/\\evil.example", "javascript:x"):
        answer = stranger.post(
            "/login", data={"token": TOKEN, "next": elsewhere}, follow_redirects=False
        )
        assert answer.headers["location"] == "/"


def test_the_api_wants_the_bearer_token(stranger: TestClient) -> None:
    refused = stranger.get("/api/runs")
    assert refused.status_code == 401
    assert "Authorization: Bearer" in refused.json()["detail"][0]["message"]
    for header in ("Bearer wrong", "Basic abc", "Bearer", f"Bearer {TOKEN}é".encode("latin-1")):
        assert stranger.get("/api/runs", headers={"Authorization": header}).status_code == 401
    allowed = stranger.get("/api/runs", headers={"Authorization": f"Bearer {TOKEN}"})
    assert allowed.status_code == 200


def test_health_needs_no_login(stranger: TestClient) -> None:
    answer = stranger.get("/healthz")
    assert answer.status_code == 200
    assert answer.json()["worker_alive"] is True


def test_a_forged_or_broken_cookie_is_no_session(stranger: TestClient) -> None:
    for value in ("", "1.2.3", "9999999999.abc..deadbeef", "x" * 5000, "....", "1.x.y.z"):
        stranger.cookies.set("lethe-session-http", value)
        assert stranger.get("/runs", follow_redirects=False).status_code == 303
        stranger.cookies.clear()


def test_another_host_name_is_refused(client: TestClient) -> None:
    answer = client.get("/", headers={"Host": "attacker.example"})
    assert answer.status_code == 421
    assert "attacker.example" in answer.text
    for host in ("localhost:8420", "127.0.0.1:1", "[::1]:8420"):
        assert client.get("/healthz", headers={"Host": host}).status_code == 200


@pytest.mark.parametrize(("scheme", "is_told"), [("https", True), ("http", False)])
def test_what_came_by_https_is_to_come_by_it_from_then_on(
    stranger: TestClient, scheme: str, is_told: bool
) -> None:
    for path in ("/login", "/healthz", "/api/runs", "/static/lethe.css"):
        answer = stranger.get(f"{scheme}://127.0.0.1{path}", headers={"X-Forwarded-Proto": "https"})
        assert ("Strict-Transport-Security" in answer.headers) == is_told, path


def test_a_post_from_another_page_does_nothing(client: TestClient, spec: dict[str, object]) -> None:
    foreign = client.post("/api/runs", json=spec, headers={"Origin": "http://evil.example"})
    assert foreign.status_code == 403
    null = client.post("/api/runs", json=spec, headers={"Origin": "null"})
    assert null.status_code == 403
    own = {"Origin": "http://127.0.0.1"}
    stale = client.post("/api/runs", json=spec, headers={**own, "X-CSRF-Token": "stale"})
    assert stale.status_code == 403
    assert "Reload the page" in stale.json()["detail"][0]["message"]
    assert client.get("/api/runs").json()["total"] == 0
    assert client.post("/api/runs", json=spec, headers=own).status_code == 201


def test_a_form_without_a_script_carries_its_token(client: TestClient) -> None:
    token = client.headers.pop("X-CSRF-Token")
    form = {"set": "sports", "split": "few", "rule": "first", "n": "3"}
    assert client.post("/facts/splits", data=form).status_code == 403
    done = client.post("/facts/splits", data={**form, "csrf": token}, follow_redirects=False)
    assert done.status_code == 303


def test_every_answer_carries_a_policy_that_names_no_other_host(client: TestClient) -> None:
    for path in ("/", "/nowhere", "/healthz", "/login", "/api/runs", "/static/lethe.css"):
        policy = client.get(path).headers["content-security-policy"]
        assert "default-src 'self'" in policy
        assert "http" not in policy
        assert "unsafe-eval" not in policy
        assert "script-src 'self';" in policy


def test_htmx_is_sent_to_the_login_page(stranger: TestClient) -> None:
    answer = stranger.get("/runs", headers={"HX-Request": "true"})
    assert answer.status_code == 401
    assert answer.headers["hx-redirect"].startswith("/login?next=")


def test_a_nul_in_an_address_is_refused_in_words(client: TestClient) -> None:
    for path in ("/runs/a%00b", "/runs?search=%00", "/facts?set=%00"):
        answer = client.get(path)
        assert answer.status_code == 400
        assert "NUL" in answer.text


def test_leaving_ends_the_session_wherever_its_cookie_is(client: TestClient) -> None:
    kept = dict(client.cookies)
    assert "Sign out" in client.get("/runs").text
    client.post("/logout")
    assert client.get("/runs").url.path == "/login"
    client.cookies.update(kept)
    assert client.get("/runs").url.path == "/login"
    assert client.get("/api/runs").status_code == 401


def test_leaving_ends_one_session_and_no_other(client: TestClient) -> None:
    first, csrf = dict(client.cookies), client.headers["X-CSRF-Token"]
    client.cookies.clear()
    other = client.get(f"/?token={TOKEN}", follow_redirects=False)
    assert other.status_code == 303
    second = dict(client.cookies)
    client.cookies.clear()
    client.cookies.update(first)
    assert client.post("/logout", headers={"X-CSRF-Token": csrf}).status_code == 200
    client.cookies.clear()
    client.cookies.update(second)
    assert client.get("/runs").url.path == "/runs"


@pytest.mark.parametrize("way", ["form", "address", "header"])
def test_wrong_tokens_are_slowed_down_and_then_not_looked_at(
    stranger: TestClient, way: str
) -> None:
    def attempt(token: str) -> Any:
        if way == "form":
            return stranger.post("/login", data={"token": token}, follow_redirects=False)
        if way == "address":
            return stranger.get(f"/runs?token={token}", follow_redirects=False)
        return stranger.get("/api/runs", headers={"Authorization": f"Bearer {token}"})

    answers = [attempt(f"guess-{n}") for n in range(FREE)]
    assert {answer.status_code for answer in answers} == {303 if way == "address" else 401}
    refused = attempt(TOKEN)
    assert refused.status_code == 429, "a right guess must not be told from a wrong one"
    assert 1 <= int(refused.headers["retry-after"]) <= 2
    assert "Too many wrong tokens" in refused.text
    assert stranger.get("/healthz").status_code == 200


def test_who_is_signed_in_is_not_stopped_by_others_wrong_tokens(client: TestClient) -> None:
    kept = dict(client.cookies)
    client.cookies.clear()
    for n in range(FREE + 1):
        client.post("/login", data={"token": f"guess-{n}"})
    client.cookies.update(kept)
    assert client.get("/runs").url.path == "/runs"


def test_a_very_long_address_is_not_carried_through_the_login(stranger: TestClient) -> None:
    answer = stranger.get(f"/runs?search={'x' * 9000}", follow_redirects=False)
    assert answer.headers["location"] == "/login?next=%2F"


def test_what_the_api_is_refused_before_a_route_has_its_form(client: TestClient) -> None:
    for answer, code in (
        (client.get("/api/runs", headers={"Host": "attacker.example"}), 421),
        (client.get("/api/runs?search=%00"), 400),
    ):
        assert answer.status_code == code
        assert [set(one) for one in answer.json()["detail"]] == [{"field", "message"}]


def test_without_the_database_nobody_is_let_in(
    client: TestClient, engine: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    def gone(nonce: str) -> bool:
        raise OperationalError("SELECT", {}, Exception("disk I/O error"))

    monkeypatch.setattr(engine.store, "is_ended", gone)
    answer = client.get("/runs")
    assert (answer.status_code, answer.headers["retry-after"]) == (503, "5")
