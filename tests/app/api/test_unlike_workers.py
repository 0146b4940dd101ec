"""Two workers that can do different things: what is offered, refused, and whose turn it is."""

from typing import Any

import pytest
import sqlalchemy as sa
from starlette.testclient import TestClient

from app.main import create_app
from app.pages.site.models import best_state
from tests.app.conftest import TOKEN, WORKER, AskedEngine, announcement
from worker.contract.menu import Announcement, ModelInfo
from worker.contract.settings import Settings
from worker.engine.client import Unreachable

OTHER = "gpu-box:cuda"


@pytest.fixture
def other(engine: AskedEngine) -> Announcement:
    """A second worker: another model, of which the first can load nothing, and fewer methods."""
    known = announcement()
    big = ModelInfo(id="big", title="Big", n_layers=4, memory_bytes={"load": 20 * 10**9})
    said = known.model_copy(
        update={
            "models": (big,),
            "methods": tuple(m for m in known.methods if m.kind == "localization"),
            "device": "cuda",
            "memory_bytes": 80 * 10**9,
        }
    )
    engine.store.claim_worker(OTHER, "o", {}, "cuda", 1e9, lambda holder: True)
    engine.store.announce(OTHER, "o", said)
    return said


def test_what_either_can_do_is_offered_and_taken(
    script: TestClient, spec: dict[str, Any], other: Announcement
) -> None:
    models = {info["id"] for info in script.get("/api/models").json()}
    assert models == {"demo", "broken", "big"}
    for model in ("demo", "big"):
        assert script.post("/api/runs", json={**spec, "model": model}).status_code == 201


def test_what_neither_can_do_alone_is_refused_before_it_is_queued(
    script: TestClient, spec: dict[str, Any], other: Announcement, engine: AskedEngine
) -> None:
    asked = {"kind": "evaluate", "model": "big", "facts": spec["facts"], "evaluations": ["probes"]}
    for path in ("/api/runs", "/api/runs/check"):
        answer = script.post(path, json=asked)
        assert answer.status_code == 422
        [problem] = answer.json()["detail"]
        assert problem["field"] == "model"
        assert f"{WORKER} does not have the model 'big'" in problem["message"]
        assert f"{OTHER} does not have the evaluation 'probes'" in problem["message"]
    assert engine.store.count_runs() == 0


def test_a_model_that_is_too_large_for_every_worker_is_refused_with_its_size(
    script: TestClient, spec: dict[str, Any], other: Announcement, engine: AskedEngine
) -> None:
    engine.store.announce(OTHER, "o", other.model_copy(update={"memory_bytes": 8 * 10**9}))
    answer = script.post("/api/runs", json={**spec, "model": "big"})
    assert answer.status_code == 422
    assert f"{OTHER} has 8 GB of memory, and 'big' takes 20 GB" in answer.text


def test_a_worker_that_is_not_alive_any_more_is_not_counted_on(
    script: TestClient, spec: dict[str, Any], other: Announcement, engine: AskedEngine
) -> None:
    engine.store.release_worker(OTHER, "o")
    answer = script.post("/api/runs", json={**spec, "model": "big"})
    assert answer.status_code == 422 and "No model 'big'" in answer.text
    engine.store.release_worker(WORKER, "g")
    assert script.post("/api/runs", json={**spec, "model": "demo"}).status_code == 422, (
        "where nobody is alive, the last that announced is counted on, which was the other"
    )
    assert script.post("/api/runs", json={**spec, "model": "big"}).status_code == 201


def test_a_worker_that_cannot_be_asked_is_named_and_takes_runs_all_the_same(
    script: TestClient, spec: dict[str, Any], engine: AskedEngine
) -> None:
    engine.refusal = Unreachable("The worker w1 cannot be reached from here.")
    answer = script.post("/api/runs/check", json=spec)
    assert "w1 cannot be reached" in answer.text
    assert script.post("/api/runs", json=spec).status_code == 201


def test_the_models_page_measures_each_model_by_the_worker_that_has_it(
    client: TestClient, other: Announcement, engine: AskedEngine
) -> None:
    assert best_state("big", engine.store.menus()).state == "cold"
    engine.store.announce(OTHER, "o", other.model_copy(update={"memory_bytes": 10**9}))
    assert best_state("big", engine.store.menus()).state == "too large", "the other worker's 8 GB"
    assert best_state("broken", engine.store.menus()).state == "unsupported"
    assert "need more memory than the device has" in client.get("/models").text


def test_the_workers_page_names_the_address_at_which_nobody_answers(
    client: TestClient, engine: AskedEngine
) -> None:
    engine.store.beat(WORKER, "g", address="http://127.0.0.2:9", token="t")
    text = client.get("/workers").text
    assert "nobody answers at http://127.0.0.2:9" in text and "not reached" in text
    assert "set LETHE_WORKER_HOST" in text and "It computes runs all the same." in text
    engine.store.release_worker(WORKER, "g")


def test_every_browser_is_a_session_and_all_scripts_are_one(
    settings: Settings, engine: AskedEngine, spec: dict[str, Any]
) -> None:
    app = create_app(settings, engine)
    for _ in range(2):
        with TestClient(app, base_url="http://127.0.0.1") as browser:
            page = browser.get(f"/?token={TOKEN}")
            token = page.text.split('"X-CSRF-Token": "')[1].split('"')[0]
            for _ in range(2):
                sent = browser.post("/api/runs", json=spec, headers={"X-CSRF-Token": token})
                assert sent.status_code == 201
    for _ in range(2):
        with TestClient(app, base_url="http://127.0.0.1") as browser:
            header = {"Authorization": f"Bearer {TOKEN}"}
            assert browser.post("/api/runs", json=spec, headers=header).status_code == 201
    with engine.store.database.read() as rows:
        found = list(rows.execute(sa.text("SELECT session, count(*) FROM runs GROUP BY session")))
    assert sorted(n for _, n in found) == [2, 2, 2]
    assert ("", 2) in [tuple(row) for row in found]
