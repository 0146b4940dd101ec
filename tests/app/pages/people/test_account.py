import re

from fastapi import FastAPI

from app.pages.people.account import browser_words
from tests.app.conftest import AskedEngine
from tests.app.people import GOOD, browser, form_token, script


def test_a_token_is_shown_once_and_is_worth_nothing_once_revoked(
    shared: FastAPI, engine: AskedEngine
) -> None:
    with browser(shared, engine.store, "max") as client:
        made = client.post("/account/tokens", data={"name": "laptop", "days": "30"})
        assert made.headers["cache-control"] == "no-store"
        (token,) = re.findall(r"lethe_[\w-]{20,}", made.text)
        assert token not in client.get("/account").text
        (kept,) = engine.store.tokens("max")
        assert round((kept.expires - kept.created).total_seconds()) == 30 * 24 * 3600
        assert client.get("/account").text.count("laptop") >= 2
        headers = {"Authorization": f"Bearer {token}"}
        assert client.get("/api/runs", headers=headers).status_code == 200
        client.post(f"/account/tokens/{kept.id}/revoke")
        assert client.get("/api/runs", headers=headers).status_code == 401
        assert engine.store.audit()[0].about == "laptop"


def test_a_token_that_cannot_be_made_is_refused_beside_its_field(
    shared: FastAPI, engine: AskedEngine
) -> None:
    with browser(shared, engine.store, "max") as client:
        nameless = client.post("/account/tokens", data={"name": " ", "days": "30"})
        assert nameless.status_code == 422 and "no name for a token" in nameless.text
        forever = client.post("/account/tokens", data={"name": "x", "days": "9999"})
        assert forever.status_code == 422 and 'id="f-days-error"' in forever.text
    assert engine.store.tokens("max") == []


def test_a_person_sees_and_ends_their_own_sessions_and_nobody_elses(
    shared: FastAPI, engine: AskedEngine
) -> None:
    with (
        browser(shared, engine.store, "max") as client,
        browser(shared, engine.store, "max") as other,
        browser(shared, engine.store, "mia") as mia,
    ):
        page = client.get("/account").text
        assert page.count("a test&#39;s browser") == 4 and page.count("this one") == 1
        signed = engine.store.signed_in(other.cookies["lethe-session-http"])
        assert signed is not None and signed[1].id in page
        address = f"/account/sessions/{signed[1].id}/end"
        assert mia.post(address).status_code == 404
        client.post(address)
        assert client.get("/account").url.path == "/account"
        assert other.get("/account").url.path == "/login"
        assert mia.get("/account").url.path == "/account"


def test_a_new_password_needs_the_old_one_and_ends_the_other_sessions(
    shared: FastAPI, engine: AskedEngine
) -> None:
    new = f"another {GOOD}"
    form = {"old": "wrong one here", "password": new, "again": new}
    with (
        browser(shared, engine.store, "max") as client,
        browser(shared, engine.store, "max") as other,
    ):
        refused = client.post("/account/password", data=form)
        assert refused.status_code == 422 and "not your present password" in refused.text
        differing = client.post("/account/password", data={**form, "old": GOOD, "again": "x"})
        assert differing.status_code == 422 and "passwords differ" in differing.text
        weak = {"old": GOOD, "password": "short", "again": "short"}
        assert "has 5 characters" in client.post("/account/password", data=weak).text
        assert engine.store.check_password("max", GOOD) is not None
        client.post("/account/password", data={**form, "old": GOOD})
        assert engine.store.check_password("max", new) is not None
        assert client.get("/account").url.path == "/account"
        assert other.get("/account").url.path == "/login"


def test_a_script_has_no_forms_and_reads_its_persons_account(
    shared: FastAPI, engine: AskedEngine
) -> None:
    page = script(shared, engine.store, "max").get("/account")
    assert page.status_code == 200 and "max" in page.text and "this one" not in page.text
    with browser(shared, engine.store, "max") as client:
        assert form_token(client.get("/account").text)


def test_a_browser_is_called_what_its_reader_calls_it() -> None:
    chrome = "Mozilla/5.0 (X11; Linux x86_64) AppleWebKit/537.36 (KHTML, like Gecko) Chrome/140.0"
    assert browser_words(f"{chrome} Safari/537.36") == "Chrome on Linux"
    assert browser_words(f"{chrome} Safari/537.36 Edg/140.0") == "Edge on Linux"
    assert browser_words("Mozilla/5.0 (Windows NT 10.0; rv:150.0) Firefox/150.0") == (
        "Firefox on Windows"
    )
    assert browser_words("curl/8.5") == "curl/8.5" and browser_words("") == "unknown"
