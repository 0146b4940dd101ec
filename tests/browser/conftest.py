"""The whole application as a reader has it: web server, supervisor, demo model, real browser.

`served` is one such application for all tests of this folder, which the suite computes in one
process; `fresh` starts one of its own for a test that counts what is there. `page` is a signed-in
browser tab that fails its test on an error in the console, an exception in a script, or a request
to another host. All end with the folder's last test: Playwright keeps an event loop running in the
main thread, which would forbid `asyncio.run` to the tests after it.
"""

import json
import os
import subprocess
import sys
import time
import urllib.request
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any
from urllib.parse import urlsplit

import pytest
from playwright.sync_api import (
    Browser,
    BrowserContext,
    Page,
    Playwright,
    Request,
    expect,
    sync_playwright,
)

from tests.browser.browsers import find_browser

ROOT = Path(__file__).resolve().parents[2]
ARGUMENTS = [
    "--headless",
    "--no-sandbox",
    "--disable-quic",
    "--disable-background-networking",
]
ANSWERS_WITHIN = 60.0
READY_WITHIN = 120.0
PATIENCE_MS = 120_000
"""How long a page may take for what a test waits for; the first answer of all waits until the model
is loaded, on a machine that computes other tests beside it. A test that passes never waits it out.
"""


@dataclass
class Served:
    """A running application."""

    data: Path
    environment: dict[str, str]
    web: subprocess.Popen[str] | None = None
    worker: subprocess.Popen[str] | None = None
    address: str = ""
    """The printed address, with the token."""
    seconds: float = 0.0
    """From the start of the web server's process to its first answer."""
    problems: list[str] = field(default_factory=list)

    @property
    def base(self) -> str:
        """The address without path and token."""
        return self.address.partition("/?")[0].rstrip("/")

    @property
    def token(self) -> str:
        """The token for the API."""
        return self.address.partition("token=")[2]

    def start_web(self) -> None:
        """Start the web server and wait until it says where it is; it keeps its port."""
        if self.address:
            self.environment["LETHE_PORT"] = str(urlsplit(self.base).port)
        self.data.parent.mkdir(parents=True, exist_ok=True)
        begun = time.monotonic()
        self.web = self._start("app")
        assert self.web.stdout is not None
        said = self.web.stdout.readline()
        self.address = said.partition("Lethe is at ")[2].partition(" ")[0].strip()
        assert self.address, f"the web server ended with {self.web.wait()}"
        with urllib.request.urlopen(f"{self.base}/healthz", timeout=ANSWERS_WITHIN):
            self.seconds = time.monotonic() - begun

    def start_worker(self) -> None:
        """Start the supervisor and wait until it can compute."""
        self.worker = self._start("worker.engine.supervisor")
        deadline = time.monotonic() + READY_WITHIN
        while not self.health()["workers_ready"]:
            assert self.worker.poll() is None, f"the worker ended with {self.worker.returncode}"
            assert time.monotonic() < deadline, f"no worker is ready after {READY_WITHIN} s"
            time.sleep(0.2)

    def health(self) -> Any:
        """What /healthz says."""
        with urllib.request.urlopen(f"{self.base}/healthz", timeout=ANSWERS_WITHIN) as answer:
            return json.loads(answer.read())

    def api(self, path: str, body: Any = None, method: str = "") -> Any:
        """Ask the API; the answer's JSON."""
        request = urllib.request.Request(
            f"{self.base}{path}",
            data=None if body is None else json.dumps(body).encode(),
            method=method or ("GET" if body is None else "POST"),
            headers={"Authorization": f"Bearer {self.token}", "Content-Type": "application/json"},
        )
        with urllib.request.urlopen(request, timeout=ANSWERS_WITHIN) as answer:
            return json.loads(answer.read() or "null")

    def stop(self) -> None:
        """Stop both processes, by force if they do not go by themselves."""
        for process in (self.worker, self.web):
            if process is None:
                continue
            process.terminate()
            try:
                process.wait(timeout=20)
            except subprocess.TimeoutExpired:
                process.kill()
                process.wait()
            if process.stdout is not None:
                process.stdout.close()

    def _start(self, module: str) -> subprocess.Popen[str]:
        log = (self.data.parent / f"{module}.log").open("a")
        with log:
            return subprocess.Popen(
                [sys.executable, "-m", module],
                cwd=ROOT,
                env=self.environment,
                stdout=subprocess.PIPE if module == "app" else log,
                stderr=log,
                text=True,
            )


def serve(folder: Path, with_worker: bool = True, **settings: str) -> Served:
    """Start an application in a fresh data folder; the caller stops it."""
    environment = {k: v for k, v in os.environ.items() if not k.startswith("LETHE_")}
    environment |= {
        "LETHE_DATA": str(folder / "data"),
        "LETHE_PORT": "0",
        "LETHE_DEVICE": "cpu",
        # Two threads beside another process of the suite, on two cores, spin for each other.
        "OMP_NUM_THREADS": "1",
        **settings,
    }
    served = Served(folder / "data", environment)
    try:
        served.start_web()
        if with_worker:
            served.start_worker()
    except BaseException:
        served.stop()
        raise
    return served


@pytest.fixture(scope="package")
def served(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Served]:
    """One application for the folder; tests on it must not count on being the first."""
    application = serve(tmp_path_factory.mktemp("served"))
    yield application
    application.stop()


@pytest.fixture
def fresh(tmp_path: Path) -> Iterator[Callable[..., Served]]:
    """Start an application of this test's own: `fresh()` or `fresh(with_worker=False)`."""
    started: list[Served] = []

    def start(with_worker: bool = True, **settings: str) -> Served:
        started.append(serve(tmp_path / f"fresh-{len(started)}", with_worker, **settings))
        return started[-1]

    yield start
    for application in started:
        application.stop()


@pytest.fixture(scope="package")
def path_of_browser() -> str:
    """Found before Playwright's event loop runs: finding asks Playwright too."""
    return find_browser()


@pytest.fixture(scope="package")
def playwright() -> Iterator[Playwright]:
    expect.set_options(timeout=PATIENCE_MS)
    with sync_playwright() as started:
        yield started


@pytest.fixture(scope="package")
def browser(path_of_browser: str, playwright: Playwright) -> Iterator[Browser]:
    """A browser; a machine without one fails here."""
    assert path_of_browser, (
        "There is no browser; `make test` installs one, or `apt-get install chromium`"
    )
    started = playwright.chromium.launch(executable_path=path_of_browser, args=ARGUMENTS)
    yield started
    started.close()


@dataclass
class Watch:
    """What went wrong in a tab."""

    host: str
    found: list[str] = field(default_factory=list)
    allowed: list[str] = field(default_factory=list)
    """Parts of messages that this test brings about on purpose."""

    def tab(self, page: Page) -> None:
        """Listen to a tab."""
        page.on("console", lambda m: self.say(f"console: {m.text}") if m.type == "error" else None)
        page.on("pageerror", lambda error: self.say(f"script: {error}"))
        page.on("request", self.request)

    def request(self, request: Request) -> None:
        """Refuse what goes to another host."""
        parts = urlsplit(request.url)
        if parts.scheme in ("http", "https", "ws", "wss") and parts.netloc != self.host:
            self.say(f"another host was asked: {request.url}")

    def say(self, words: str) -> None:
        """Note a problem, unless the test expects it."""
        if not any(part in words for part in self.allowed):
            self.found.append(words)


@pytest.fixture
def open_tab(browser: Browser, fresh: Callable[..., Served]) -> Iterator[Callable[..., Page]]:
    """Open a signed-in tab: `open_tab(served, width=390, dark=True)`; `tab.watch` is its Watch.

    Tabs close before the applications of `fresh` stop, which an open page would hear.
    """
    opened: list[tuple[BrowserContext, Watch]] = []

    def start(application: Served, width: int = 1280, dark: bool = False) -> Page:
        context = browser.new_context(
            viewport={"width": width, "height": 900},
            color_scheme="dark" if dark else "light",
            reduced_motion="reduce",
        )
        watch = Watch(urlsplit(application.base).netloc)
        opened.append((context, watch))
        context.set_default_timeout(PATIENCE_MS)
        context.on("page", watch.tab)
        tab = context.new_page()
        tab.watch = watch  # type: ignore[attr-defined]
        tab.goto(application.address)
        return tab

    yield start
    for context, _ in opened:
        context.close()
    problems = [problem for _, watch in opened for problem in watch.found]
    assert not problems, problems


@pytest.fixture
def page(open_tab: Callable[..., Page], served: Served) -> Page:
    """A signed-in tab of the folder's application, 1280 px wide and light."""
    return open_tab(served)
