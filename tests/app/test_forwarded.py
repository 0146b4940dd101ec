"""What is said of a request by a proxy is believed of those that LETHE_PROXIES names."""

import pytest
from starlette.testclient import TestClient

from app.main import create_app
from tests.app.conftest import TOKEN, AskedEngine
from worker.contract.settings import Settings

TOLD = {
    "X-Forwarded-Proto": "https",
    "X-Forwarded-Host": "evil.example, lethe.example.org",
    "X-Forwarded-For": "203.0.113.9",
}


@pytest.mark.parametrize(
    ("proxies", "peer", "is_believed"),
    [
        ("10.0.0.7", "10.0.0.7", True),
        ("10.0.0.0/24", "10.0.0.7", True),
        ("10.0.0.8", "10.0.0.7", False),
        ("", "127.0.0.1", False),
    ],
)
def test_scheme_and_host_are_a_known_proxys_to_say(
    settings: Settings, engine: AskedEngine, proxies: str, peer: str, is_believed: bool
) -> None:
    changed = {"proxies": proxies, "hosts": ("lethe.example.org",)}
    app = create_app(settings.model_copy(update=changed), engine)
    with TestClient(
        app, base_url="http://127.0.0.1", client=(peer, 5000), headers=TOLD, follow_redirects=False
    ) as client:
        entered = client.get(f"/?token={TOKEN}")
        cookie = entered.headers["set-cookie"]
        assert ("Secure" in cookie) is is_believed
        assert ("Strict-Transport-Security" in entered.headers) is is_believed
        # The name under which the server was asked: cookies of two ports differ.
        client.cookies.clear()
        client.headers["Host"] = "127.0.0.1:8420"
        cookie = client.get(f"/?token={TOKEN}").headers["set-cookie"]
        assert cookie.startswith("lethe-session-https=" if is_believed else "lethe-session-8420=")


def test_a_foreign_name_is_refused_whoever_says_it(settings: Settings, engine: AskedEngine) -> None:
    app = create_app(settings.model_copy(update={"proxies": "10.0.0.7"}), engine)
    told = {"X-Forwarded-Host": "evil.example"}
    with TestClient(app, base_url="http://127.0.0.1", client=("10.0.0.7", 1)) as client:
        assert client.get("/login", headers=told).status_code == 421
    with TestClient(app, base_url="http://127.0.0.1", client=("10.0.0.9", 1)) as client:
        assert client.get("/login", headers=told).status_code == 200
