"""/readyz says whether the server can serve, and in words why not."""

import shutil

from starlette.testclient import TestClient

from tests.app.conftest import WORKER, AskedEngine
from worker.contract.settings import Settings


def test_a_server_that_can_serve_is_ready_whether_or_not_anybody_computes(
    stranger: TestClient, engine: AskedEngine
) -> None:
    assert stranger.get("/readyz").json() == {"status": "ready"}
    engine.store.release_worker(WORKER, "g")
    assert stranger.get("/readyz").status_code == 200


def test_what_hinders_is_answered_with_503_and_passes(
    stranger: TestClient, settings: Settings
) -> None:
    artifacts = settings.data / "artifacts"
    shutil.rmtree(artifacts, ignore_errors=True)
    artifacts.write_text("")
    answer = stranger.get("/readyz")
    assert answer.status_code == 503 and int(answer.headers["Retry-After"]) > 0
    (problem,) = answer.json()["detail"]
    assert problem["field"] == "artifacts" and "cannot be written" in problem["message"]
    assert stranger.get("/healthz").status_code == 200, "it lives all the same"
    artifacts.unlink()
    assert stranger.get("/readyz").status_code == 200


def test_a_database_that_is_taken_away_is_said(
    stranger: TestClient, engine: AskedEngine, settings: Settings
) -> None:
    (settings.data / "lethe.sqlite").rename(settings.data / "away")
    answer = stranger.get("/readyz")
    assert answer.status_code == 503
    assert "cannot be opened" in answer.json()["detail"][0]["message"]
    (settings.data / "away").rename(settings.data / "lethe.sqlite")
    assert stranger.get("/readyz").status_code == 200
