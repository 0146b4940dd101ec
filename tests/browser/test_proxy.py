"""A shared server behind Debian's nginx with TLS, under a path: README's own configuration."""

import re
import shutil
import socket
import ssl
import subprocess
import time
from collections.abc import Iterator
from dataclasses import dataclass
from pathlib import Path

import httpx
import pytest
from playwright.sync_api import Browser, expect

from tests.app.conftest import announcement, fact_set
from tests.browser.conftest import ROOT, Served, serve
from tests.suite import nginx
from worker.contract.settings import Settings
from worker.contract.spec import parse_spec
from worker.store.runs import insert_run
from worker.store.store import Store

pytestmark = pytest.mark.browser
GOOD = "a river of forgetting"
ABSENT = (
    "no nginx here: would have shown that people sign in, compute, download, follow a run's events "
    "as they come and sign out through nginx with TLS, under a path"
)
UP_WITHIN = 60.0


@dataclass
class Behind:
    """A proxy's address with the path, what trusts its certificate, and a run that is there."""

    address: str
    trust: ssl.SSLContext
    run: str

    def client(self) -> httpx.Client:
        """Somebody who asks over TLS and goes where they are sent."""
        return httpx.Client(
            base_url=self.address, verify=self.trust, follow_redirects=True, timeout=60.0
        )


def configured(folder: Path, port: int, web: str) -> Path:
    """README's part for nginx with this test's certificate and ports, in a whole configuration."""
    found = re.search(r"```nginx\n(.*?)```", (ROOT / "README.md").read_text("utf-8"), re.DOTALL)
    assert found
    part = found[1]
    for there, here in (
        ("listen 443 ssl", f"listen 127.0.0.1:{port} ssl"),
        ("/etc/ssl/lethe.pem", f"{folder}/cert.pem"),
        ("/etc/ssl/lethe.key", f"{folder}/key.pem"),
        ("http://127.0.0.1:8420", web),
    ):
        assert there in part
        part = part.replace(there, here)
    kinds = ("client_body", "proxy", "fastcgi", "uwsgi", "scgi")
    places = "".join(f"{kind}_temp_path {folder}/{kind};\n" for kind in kinds)
    whole = (
        f"daemon off; pid {folder}/pid; events {{}}\nhttp {{ access_log off;\n{places}{part}}}\n"
    )
    (folder / "nginx.conf").write_text(whole, "utf-8")
    return folder / "nginx.conf"


def certify(folder: Path) -> ssl.SSLContext:
    """Make a certificate that only this test trusts."""
    files = ("-keyout", str(folder / "key.pem"), "-out", str(folder / "cert.pem"))
    subject = ("-subj", "/CN=localhost", "-addext", "subjectAltName=DNS:localhost", "-days", "2")
    make = ("openssl", "req", "-x509", "-newkey", "rsa:2048", "-nodes")
    subprocess.run([*make, *files, *subject], check=True, capture_output=True)
    return ssl.create_default_context(cafile=str(folder / "cert.pem"))


def stored(application: Served) -> str:
    """Let ada and her queued run be there; the run's id."""
    store = Store.open(Settings(data=application.data))
    store.add_person("ada", GOOD, "admin")
    store.claim_worker("test:cpu", "g", {}, "cpu", 1e9, lambda holder: True)
    store.announce("test:cpu", "g", announcement())
    store.save_fact_set(fact_set(), bundled=True)
    facts = {"set": "sports", "forget": "first:2"}
    spec = parse_spec({"kind": "localize", "facts": facts, "method": "causal_tracing"})
    with store.database.write() as session:
        run = insert_run(
            session, spec, owner="ada", title="Mine", tags=(), parents=None, priority=1
        )
    store.close()
    return run


@pytest.fixture(scope="module")
def behind(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Behind]:
    program = nginx()
    if program is None or shutil.which("openssl") is None:
        pytest.skip(ABSENT)
    folder = tmp_path_factory.mktemp("nginx")
    trust = certify(folder)
    with socket.socket() as free:
        free.bind(("127.0.0.1", 0))
        port = free.getsockname()[1]
    settings = {"LETHE_SHARED": "1", "LETHE_ROOT_PATH": "/lethe", "LETHE_PROXIES": "127.0.0.1"}
    application = serve(folder, with_worker=False, **settings)
    file = configured(folder, port, application.base.removesuffix("/lethe"))
    log = folder / "error.log"
    proxy = subprocess.Popen([program, "-p", str(folder), "-c", str(file), "-e", str(log)])
    try:
        found = Behind(f"https://localhost:{port}/lethe/", trust, stored(application))
        wait_for(found, log)
        yield found
    finally:
        proxy.terminate()
        proxy.wait()
        application.stop()


def wait_for(behind: Behind, log: Path) -> None:
    """Wait until the proxy passes on what is asked."""
    deadline = time.monotonic() + UP_WITHIN
    with behind.client() as client:
        while True:
            try:
                assert client.get("healthz").status_code == 200
                return
            except httpx.TransportError:
                assert time.monotonic() < deadline, log.read_text("utf-8")
                time.sleep(0.1)


def signed_in(client: httpx.Client) -> httpx.Response:
    """Sign ada in; the page that she comes to."""
    return client.post("login", data={"name": "ada", "password": GOOD, "next": "/runs"})


def test_a_person_works_through_the_proxy_and_every_step_stays_under_the_path(
    behind: Behind,
) -> None:
    with behind.client() as client:
        asked = client.get("runs")
        assert asked.url.path == "/lethe/login" and "Sign in" in asked.text
        page = signed_in(client)
        assert page.status_code == 200 and page.url.path == "/lethe/runs" and "Mine" in page.text
        assert page.headers["strict-transport-security"]
        (cookie,) = client.cookies.jar
        assert cookie.secure and cookie.path == "/lethe"
        client.headers["X-CSRF-Token"] = page.text.split('"X-CSRF-Token": "')[1].split('"')[0]
        # Where it comes from, as a browser says it: the public address, not the server's own.
        client.headers["Origin"] = behind.address.removesuffix("/lethe/")
        again = client.post(f"runs/{behind.run}/again")
        assert again.status_code == 200 and again.url.path.startswith("/lethe/runs/"), again.text
        assert again.url.path != f"/lethe/runs/{behind.run}"
        href = page.text.split('rel="stylesheet" href="')[1].split('"')[0]
        style = client.get(page.url.join(href))
        assert style.status_code == 200 and style.url.path == "/lethe/static/lethe.css"
        spec = client.get(f"runs/{behind.run}/spec.json")
        assert spec.json()["method"] == "causal_tracing"
        invited = client.post("people/invitations", data={"role": "viewer"}).text
        assert f"{behind.address}invitation/" in invited
        left = client.post("logout")
        assert left.url.path == "/lethe/login"
        assert client.get("runs").url.path == "/lethe/login"


def test_events_come_through_as_they_happen(behind: Behind) -> None:
    with behind.client() as client:
        page = signed_in(client)
        client.headers["X-CSRF-Token"] = page.text.split('"X-CSRF-Token": "')[1].split('"')[0]
        with client.stream("GET", f"api/runs/{behind.run}/events") as events:
            assert events.headers["content-type"].startswith("text/event-stream")
            lines = events.iter_lines()
            # The stream stays open: what a proxy keeps back would not come before the run ends.
            assert next(lines) == ": open"
            assert "queued" in next(line for line in lines if line.startswith("data:"))
            with behind.client() as other:
                other.cookies, other.headers = client.cookies, client.headers
                assert other.post(f"runs/{behind.run}/do/cancel").status_code == 200
            told = next(line for line in lines if line.startswith("data:"))
            assert "cancel" in told


def test_a_browser_gets_styles_scripts_and_figures_under_the_path(
    behind: Behind, browser: Browser
) -> None:
    context = browser.new_context(ignore_https_errors=True)
    page, failed = context.new_page(), []
    page.on("response", lambda one: failed.append(one.url) if one.status >= 400 else None)
    page.on("console", lambda one: failed.append(one.text) if one.type == "error" else None)
    try:
        page.goto(f"{behind.address}login?next=/gallery/runs/trace")
        page.get_by_label("Name").fill("ada")
        page.get_by_label("Password").fill(GOOD)
        page.get_by_role("button", name="Sign in").click()
        figure = page.locator("[data-figure]").first
        figure.scroll_into_view_if_needed()
        expect(figure.locator(".main-svg").first).to_be_visible()
        assert page.evaluate("location.pathname").startswith("/lethe/runs/")
        page.get_by_role("button", name="Sign out").click()
        expect(page.get_by_role("heading", name="Sign in")).to_be_visible()
    finally:
        context.close()
    assert not failed
