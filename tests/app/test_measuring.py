"""/metrics as Prometheus reads it: by its own parser, and without a label that grows."""

from collections.abc import Iterator
from typing import Any

import pytest
from prometheus_client.parser import text_string_to_metric_families
from starlette.testclient import TestClient

from app.main import create_app
from tests.app.conftest import TOKEN, AskedEngine, announcement
from worker.contract.settings import Settings


@pytest.fixture
def measured(settings: Settings, engine: AskedEngine) -> Iterator[TestClient]:
    app = create_app(settings.model_copy(update={"metrics": True}), engine)
    with TestClient(app, base_url="http://127.0.0.1", raise_server_exceptions=False) as client:
        yield client


def samples(client: TestClient) -> dict[tuple[str, ...], float]:
    """Every number, by its name and its labels' values."""
    answer = client.get("/metrics")
    assert answer.status_code == 200 and answer.headers["content-type"].startswith("text/plain")
    return {
        (one.name, *one.labels.values()): one.value
        for family in text_string_to_metric_families(answer.text)
        for one in family.samples
    }


def test_there_is_no_such_page_where_it_was_not_asked_for(
    stranger: TestClient, client: TestClient
) -> None:
    for who in (stranger, client):
        answer = who.get("/metrics", follow_redirects=False)
        assert answer.status_code == 404 and "LETHE_METRICS=1" in answer.text
        assert "Content-Security-Policy" in answer.headers


def test_a_monitor_reads_the_queue_the_runs_and_the_workers_without_a_session(
    measured: TestClient, engine: AskedEngine, spec: dict[str, Any]
) -> None:
    script = {"Authorization": f"Bearer {TOKEN}"}
    assert measured.post("/api/runs", json=spec, headers=script).status_code == 201
    found = samples(measured)
    assert found["lethe_database_up",] == 1
    assert found["lethe_queue_runs", "localize"] == 1
    assert found["lethe_queue_oldest_seconds", "localize"] >= 0
    assert found["lethe_runs", "queued"] == 1
    assert found["lethe_workers", "ready"] == found["lethe_workers", "alive"] == 1
    assert found["lethe_workers", "paused"] == 0
    assert found["lethe_device_memory_bytes", "cpu"] == 8_000_000_000
    engine.store.claim_worker("w2", "g", {}, "cpu", 1e9, lambda holder: True)
    engine.store.announce("w2", "g", announcement())
    assert samples(measured)["lethe_device_memory_bytes", "cpu"] == 16_000_000_000


def test_routes_are_named_by_their_templates_and_nothing_that_is_asked_makes_a_new_one(
    measured: TestClient,
) -> None:
    script = {"Authorization": f"Bearer {TOKEN}"}
    for name in ("one", "two", "three"):
        measured.get(f"/api/runs/{name}", headers=script)
        measured.get(f"/nothing/{name}", headers=script)
        measured.request(name.upper(), f"/{name}", headers=script)
        measured.get(f"/api/runs/{name}")
    found = samples(measured)
    counted = {
        key[1:]: n for key, n in found.items() if key[0] == "lethe_http_answer_seconds_count"
    }
    assert counted["GET", "/api/runs/{run_id}"] == 3
    assert set(counted) == {("GET", "/api/runs/{run_id}"), ("GET", "other"), ("other", "other")}


def test_errors_are_counted_also_those_that_nobody_expected(
    measured: TestClient, engine: AskedEngine, monkeypatch: pytest.MonkeyPatch
) -> None:
    def broken(*given: Any, **named: Any) -> None:
        raise RuntimeError("a bug")

    monkeypatch.setattr(engine.store, "workers", broken)
    assert measured.get("/healthz").status_code == 500
    assert samples(measured)["lethe_http_errors_total", "GET", "/healthz", "500"] == 1


def test_a_database_that_is_away_is_a_number_too(
    measured: TestClient, engine: AskedEngine, settings: Settings
) -> None:
    (settings.data / "lethe.sqlite").rename(settings.data / "away")
    found = samples(measured)
    assert found["lethe_database_up",] == 0
    assert not any(key[0] == "lethe_runs" for key in found)
    (settings.data / "away").rename(settings.data / "lethe.sqlite")
    assert samples(measured)["lethe_database_up",] == 1
