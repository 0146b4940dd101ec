"""Signing in by OpenID Connect, at a provider that runs in a process of its own."""

import re
import socket
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from hashlib import sha256
from typing import Any
from urllib.parse import parse_qs, quote, urlsplit

import httpx
import pytest
from fastapi import FastAPI
from pydantic import SecretStr
from starlette.testclient import TestClient

from app.access import provider
from app.access.provider import Arrived, Provider
from app.main import create_app
from tests.app.conftest import AskedEngine
from tests.app.people import GOOD, form_token, settle
from worker.contract.settings import Settings
from worker.store.identities import identity

UP_WITHIN = 60.0
GRACE = {"email": "grace@lab.example", "email_verified": True, "preferred_username": "Grace H."}


@pytest.fixture(scope="module")
def issuer() -> Iterator[str]:
    """A provider that lets in whoever is named."""
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    command = [sys.executable, "-W", "ignore", "-m", "oidc_provider_mock", "-p", str(port)]
    running = subprocess.Popen(
        [*command, "-n", "true"], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
    )
    address = f"http://localhost:{port}"
    try:
        deadline = time.monotonic() + UP_WITHIN
        while True:
            try:
                httpx.get(f"{address}/jwks")
                break
            except httpx.TransportError:
                assert running.poll() is None and time.monotonic() < deadline
                time.sleep(0.1)
        yield address
    finally:
        running.terminate()
        running.wait()


@pytest.fixture
def served(settings: Settings, engine: AskedEngine, issuer: str) -> Callable[..., FastAPI]:
    """A shared server with its people, at which the provider is known."""
    settle(engine.store)
    known: dict[str, Any] = {
        "shared": True,
        "token": None,
        "oidc_issuer": issuer,
        "oidc_client_id": "lethe",
        "oidc_client_secret": SecretStr("what the provider gave"),
    }

    def make(**more: Any) -> FastAPI:
        return create_app(settings.model_copy(update=known | more), engine)

    return make


@contextmanager
def browser(app: FastAPI) -> Iterator[TestClient]:
    with TestClient(app, base_url="http://127.0.0.1", follow_redirects=False) as client:
        yield client


def at_provider(issuer: str, address: str, subject: str, **claims: Any) -> str:
    """Let the provider know somebody, who says yes there; the address that they come back to."""
    httpx.put(f"{issuer}/users/{quote(subject)}", json=claims).raise_for_status()
    answer = httpx.post(address, data={"sub": subject})
    assert answer.is_redirect, answer.text[:2000]
    return answer.headers["location"]


def sign_in(
    client: TestClient, issuer: str, subject: str, ask: str = "", **claims: Any
) -> httpx.Response:
    begun = client.get(f"/login/provider{ask}")
    assert begun.status_code == 302, begun.text
    return client.get(at_provider(issuer, begun.headers["location"], subject, **claims))


def words(answer: httpx.Response) -> list[str]:
    """What a page says beside its fields."""
    return re.findall(r'<p[^>]* class="[^"]*error[^"]*"[^>]*>([^<]*)', answer.text)


def audited(engine: AskedEngine) -> list[tuple[str, str, str]]:
    return [(one.person, one.what, one.about) for one in engine.store.audit("", 50, 0)]


def test_who_is_invited_gets_an_account_and_comes_back_to_it_by_subject_alone(
    served: Callable[..., FastAPI], engine: AskedEngine, issuer: str
) -> None:
    app = served()
    secret = engine.store.invite("member", 600, "ada")
    with browser(app) as client:
        assert "Accept by localhost" in client.get(f"/invitation/{secret}").text
        answer = sign_in(client, issuer, "g1", f"?invitation={secret}", **GRACE)
        assert answer.status_code == 303, words(answer)
        assert answer.headers["location"] == "/"
        account = client.get("/account").text
        assert "<h1>grace-h</h1>" in account and "have no password here" in account
        assert "Change your password" not in account
    assert audited(engine)[0] == (
        "grace-h", "signed in by the provider", "grace-h as member, invited"
    )  # fmt: skip
    with browser(app) as later:
        # The provider knows her by another address by now.
        answer = sign_in(later, issuer, "g1", "?next=/runs", email="hopper@navy.example")
        assert answer.headers["location"] == "/runs"
        assert "<h1>grace-h</h1>" in later.get("/account").text
    with browser(app) as other:
        # Somebody else with her address is somebody else.
        assert sign_in(other, issuer, "g2", **GRACE).status_code == 403
    with browser(app) as again:
        used = sign_in(again, issuer, "g3", f"?invitation={secret}")
        assert used.status_code == 404 and "does not hold" in used.text


def test_the_flow_is_bound_to_its_browser_by_state_nonce_and_pkce(
    served: Callable[..., FastAPI], issuer: str
) -> None:
    app = served(oidc_admits="anyone")
    with browser(app) as client:
        begun = client.get("/login/provider")
        asked = {k: v[0] for k, v in parse_qs(urlsplit(begun.headers["location"]).query).items()}
        assert asked["code_challenge_method"] == "S256" and len(asked["code_challenge"]) == 43
        assert len(asked["state"]) >= 20 and len(asked["nonce"]) >= 20
        assert asked["response_type"] == "code"
        assert asked["redirect_uri"] == "http://127.0.0.1/login/provider/back"
        cookie = begun.headers["set-cookie"]
        assert "HttpOnly" in cookie and "SameSite=lax" in cookie and "Max-Age=600" in cookie
        way = at_provider(issuer, begun.headers["location"], "state", email="a@b.example")
        with browser(app) as thief:
            refused = thief.get(way)
            assert refused.status_code == 403 and "did not begin here" in refused.text
            thief.get("/login/provider")
            assert thief.get(way).status_code == 403
            assert thief.get("/account").status_code == 303
        forged = re.sub(r"state=[^&]+", "state=forged", way)
        assert client.get(forged).status_code == 403
        assert client.get("/account").headers["location"].startswith("/login")
        assert client.get(way).status_code == 303
        # Once.
        assert client.get(way).status_code == 403


def test_an_identity_with_another_nonce_is_refused(
    served: Callable[..., FastAPI], issuer: str
) -> None:
    with browser(served(oidc_admits="anyone")) as client:
        begun = client.get("/login/provider").headers["location"]
        other = re.sub(r"nonce=[^&]+", "nonce=of-another-browser", begun)
        answer = client.get(at_provider(issuer, other, "nonce", email="n@b.example"))
        assert answer.status_code == 403 and "not to be trusted" in answer.text
        assert client.get("/account").status_code == 303


@pytest.mark.parametrize(
    ("admits", "claims", "enters"),
    [
        ("invited", GRACE, False),
        ("anyone", {}, True),
        ("@other.example,@lab.example", GRACE, True),
        ("@lab.example", GRACE | {"email_verified": False}, False),
        ("@lab.example", {"email": "x@lab.example"}, False),
        ("@lab.example", {"email": "x@evil-lab.example", "email_verified": True}, False),
        ("@lab.example", {"email": "x@sub.lab.example", "email_verified": True}, False),
    ],
)
def test_who_has_no_account_enters_only_as_the_setting_admits(
    served: Callable[..., FastAPI],
    engine: AskedEngine,
    issuer: str,
    admits: str,
    claims: dict[str, Any],
    enters: bool,
) -> None:
    subject = f"new {admits} {sorted(claims.items())}"
    with browser(served(oidc_admits=admits)) as client:
        answer = sign_in(client, issuer, subject, **claims)
        assert answer.status_code == (303 if enters else 403)
        person = engine.store.person_of_identity(identity(issuer, subject))
        assert (person is not None and person.role == "viewer") is enters
        assert enters or "Ask an admin" in answer.text


def test_a_person_links_their_account_and_their_password_ends(
    served: Callable[..., FastAPI], engine: AskedEngine, issuer: str
) -> None:
    app = served()
    with browser(app) as client:
        client.post("/login", data={"name": "max", "password": GOOD})
        page = client.get("/account").text
        link = re.search(r'href="(/login/provider\?link=[^"]+)"', page)
        assert link
        assert client.get("/login/provider?link=forged").status_code == 403
        query = link[1].removeprefix("/login/provider")
        assert sign_in(client, issuer, "max at work", query).headers["location"] == "/account"
        assert "have no password here" in client.get("/account").text
    assert audited(engine)[0][2] == "linked max with localhost"
    assert engine.store.check_password("max", GOOD) is None
    with browser(app) as later:
        assert sign_in(later, issuer, "max at work").status_code == 303
        assert "<h1>max</h1>" in later.get("/account").text


def test_who_is_shut_out_stays_out(
    served: Callable[..., FastAPI], engine: AskedEngine, issuer: str
) -> None:
    engine.store.link("mia", identity(issuer, "mia at work"))
    engine.store.set_disabled("mia", True)
    with browser(served(oidc_admits="anyone")) as client:
        answer = sign_in(client, issuer, "mia at work")
        assert answer.status_code == 403 and "is shut" in answer.text
        assert client.get("/account").status_code == 303


def test_signing_out_here_offers_to_sign_out_there(
    served: Callable[..., FastAPI], issuer: str
) -> None:
    with browser(served(oidc_admits="anyone")) as client:
        sign_in(client, issuer, "leaves")
        client.headers["X-CSRF-Token"] = form_token(client.get("/account").text)
        left = client.post("/logout").headers["location"]
        assert "Sign out of localhost too" in client.get(left).text
        assert client.get("/account").status_code == 303
        away = client.get("/login/provider/leave").headers["location"]
        assert away.startswith(f"{issuer}/") and "client_id=lethe" in away


def test_a_provider_that_says_no_or_is_away_is_said_in_words(
    served: Callable[..., FastAPI], issuer: str
) -> None:
    with browser(served()) as client:
        begun = client.get("/login/provider").headers["location"]
        denied = httpx.post(begun, data={"sub": "x", "action": "deny"}).headers["location"]
        answer = client.get(denied)
        assert answer.status_code == 403 and "localhost did not let you in" in answer.text
    with socket.socket() as closed:
        closed.bind(("127.0.0.1", 0))
        nobody = f"http://localhost:{closed.getsockname()[1]}"
        with browser(served(oidc_issuer=nobody)) as client:
            answer = client.get("/login/provider")
            assert answer.status_code == 503 and "does not answer as it should" in answer.text
            assert "Password" in answer.text
    with browser(served(oidc_issuer=f"{issuer}/jwks/..")) as client:
        answer = client.get("/login/provider")
        assert answer.status_code == 503


def test_without_a_provider_nothing_of_it_is_there(shared: FastAPI, settings: Settings) -> None:
    with browser(shared) as client:
        assert "Sign in by" not in client.get("/login").text
        assert client.get("/login/provider").status_code == 404
        assert client.get("/login/provider/back").status_code == 404
    alone = settings.model_copy(update={"oidc_issuer": "https://a.example"})
    assert provider.of(alone) is None


def test_only_a_verified_address_has_a_domain(settings: Settings) -> None:
    changed = {"shared": True, "oidc_issuer": "https://a.example", "oidc_client_id": "lethe"}
    found = Provider(settings.model_copy(update=changed | {"oidc_admits": "@lab.example"}))
    whom = {"issuer": "", "subject": "s", "wish": "", "aim": {}}
    assert found.admits(Arrived(domain="@lab.example", **whom))
    assert not found.admits(Arrived(domain="", **whom))
    assert sha256(b"https://a.example\ns").hexdigest() in identity("https://a.example", "s")
