"""The page of the workers: who takes runs, and where one that waits goes."""

from typing import Any

import pytest
from fastapi import FastAPI
from starlette.testclient import TestClient

from tests.app.conftest import WORKER, AskedEngine, announcement
from tests.app.people import browser
from worker.contract.spec import parse_spec


@pytest.fixture
def run_id(engine: AskedEngine, spec: dict[str, Any]) -> str:
    return engine.submit(parse_spec(spec), owner="max", title="Max's tracing")


def told(engine: AskedEngine) -> tuple[str, str, str]:
    entry = engine.store.audit()[0]
    return entry.person, entry.what, entry.about


def test_an_admin_pauses_drains_and_resumes_a_worker_and_the_page_says_who(
    shared: FastAPI, engine: AskedEngine, run_id: str
) -> None:
    form = {"worker": WORKER}
    with browser(shared, engine.store, "ada") as client:
        page = client.get("/workers").text
        assert f'aria-label="Pause {WORKER}"' in page and f'aria-label="Drain {WORKER}"' in page
        assert f'aria-label="Resume {WORKER}"' not in page
        answer = client.post("/workers/pause", data=form, follow_redirects=False)
        assert (answer.status_code, answer.headers["location"]) == (303, "/workers")
        assert told(engine) == ("ada", "paused a worker", f"worker {WORKER}")
        page = client.get("/workers").text
        assert "<strong>Paused</strong> by ada, <time datetime=" in page
        assert '<span class="badge queued">paused</span>' in page
        assert (
            f'aria-label="Resume {WORKER}"' in page and f'aria-label="Pause {WORKER}"' not in page
        )
        run = client.get(f"/runs/{run_id}").text
        assert f"{WORKER} is paused by ada. The run waits and nothing of it is lost." in run
        client.post("/workers/drain", data=form)
        assert "its process ends when its present run is done" in client.get("/workers").text
        client.post("/workers/resume", data=form)
        assert engine.store.halts() == {}
        assert told(engine) == ("ada", "resumed a worker", f"worker {WORKER}")
        wrong = client.post("/workers/pause", data={"worker": "nobody"})
        assert wrong.status_code == 404 and "No worker &#39;nobody&#39;" in wrong.text
    assert [one.what for one in engine.store.audit()].count("paused a worker") == 1


def test_an_admin_moves_and_cancels_anybody_s_run_that_waits(
    shared: FastAPI, engine: AskedEngine, run_id: str
) -> None:
    engine.store.claim_worker("w2", "g", {}, "cpu", 1e9, lambda holder: True)
    engine.store.announce("w2", "g", announcement())
    with browser(shared, engine.store, "ada") as client:
        page = client.get("/workers").text
        assert "Runs that wait" in page and 'aria-label="Move Max&#39;s tracing"' in page
        client.post("/workers/move", data={"run": run_id, "worker": "w2"})
        assert engine.store.run(run_id).moved_to == "w2"
        assert told(engine) == ("ada", "moved a run", f"run {run_id} to w2")
        assert '<option value="w2" selected>' in client.get("/workers").text
        assert "Queued for w2, next in line" in client.get(f"/runs/{run_id}").text
        refused = client.post("/workers/move", data={"run": run_id, "worker": "w9"})
        assert refused.status_code == 422 and "alive and ready &#39;w9&#39;" in refused.text
        client.post("/workers/cancel", data={"run": run_id})
        assert told(engine) == ("ada", "cancelled a run", f"run {run_id}")
        late = client.post("/workers/move", data={"run": run_id, "worker": ""})
        assert late.status_code == 409 and "is cancelled; expected one that waits" in late.text
    assert engine.store.run(run_id).state == "cancelled"


@pytest.mark.parametrize("name", ["max", "vera"])
def test_who_is_no_admin_sees_no_orders_and_may_give_none(
    shared: FastAPI, engine: AskedEngine, run_id: str, name: str
) -> None:
    engine.store.halt(WORKER, "paused", "ada")
    with browser(shared, engine.store, name) as client:
        page = client.get("/workers").text
        assert "<strong>Paused</strong> by ada" in page
        assert "/workers/resume" not in page and "Runs that wait" not in page
        for doing in ("pause", "drain", "resume", "move", "cancel"):
            form = {"worker": WORKER, "run": run_id}
            assert client.post(f"/workers/{doing}", data=form).status_code == 403
    assert engine.store.run(run_id).state == "queued" and set(engine.store.halts()) == {WORKER}


def test_the_owner_of_a_server_of_one_reader_does_all_of_it(
    client: TestClient, engine: AskedEngine, run_id: str
) -> None:
    client.post("/workers/pause", data={"worker": WORKER})
    assert "<strong>Paused</strong> by the owner of this server" in client.get("/workers").text
    client.post("/workers/resume", data={"worker": WORKER})
    client.post("/workers/move", data={"run": run_id, "worker": WORKER})
    assert engine.store.run(run_id).moved_to == WORKER
    client.post("/workers/cancel", data={"run": run_id})
    assert engine.store.run(run_id).state == "cancelled"
