"""What a page says when it cannot be shown, and whether it is worth another try."""

from typing import Any

import pytest
from starlette.testclient import TestClient

from app.main import create_app
from tests.app.conftest import TOKEN, WORKER, AskedEngine, announcement
from worker.contract.settings import Settings
from worker.store.store import Store


@pytest.fixture
def first(settings: Settings, empty_engine: AskedEngine) -> Any:
    """A browser at a server whose first worker has not announced anything yet."""
    app = create_app(settings, empty_engine)
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        assert client.get(f"/?token={TOKEN}").status_code == 200
        yield client


def start(store: Store) -> None:
    store.claim_worker(WORKER, "g", {}, "cpu", 1e9, lambda holder: True)


PAGES = ("/facts?set=continents", "/localize", "/explore", "/unlearn")


@pytest.mark.parametrize("path", PAGES)
def test_while_the_first_worker_starts_a_page_waits_for_it_by_itself(
    path: str, first: TestClient, empty_engine: AskedEngine
) -> None:
    start(empty_engine.store)
    answer = first.get(path)
    assert (answer.status_code, answer.headers["Retry-After"]) == (503, "5")
    assert "Not yet" in answer.text and "The worker is starting" in answer.text
    assert 'role="status" data-again' in answer.text
    part = first.get(path, headers={"HX-Request": "true"})
    assert part.status_code == 503 and "The worker is starting" in part.text
    assert "data-again" not in part.text, "only what is a whole page is loaded again"
    empty_engine.store.announce(WORKER, "g", announcement())
    later = first.get(path)
    assert "The worker is starting" not in later.text and "data-again" not in later.text


@pytest.mark.parametrize("path", PAGES)
def test_without_any_worker_a_page_says_how_to_start_one_and_is_not_asked_for_again(
    path: str, first: TestClient
) -> None:
    answer = first.get(path)
    assert answer.status_code == 503
    assert "No worker is alive to answer. Start one with `lethe worker`." in answer.text
    assert "data-again" not in answer.text


def test_a_worker_that_cannot_get_ready_is_said_with_what_keeps_it(
    first: TestClient, empty_engine: AskedEngine
) -> None:
    start(empty_engine.store)
    empty_engine.store.beat(WORKER, "g", problem="Its disk is full. Free some space.")
    answer = first.get("/localize")
    assert "The worker does not get ready. Its disk is full. Free some space." in answer.text
    assert "data-again" not in answer.text
