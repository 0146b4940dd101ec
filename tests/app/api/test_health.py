"""/healthz tells a monitor whether anybody computes, and why nobody does."""

from starlette.testclient import TestClient

from tests.app.conftest import WORKER, AskedEngine

DIED = "The computing process died: it ended with code 1. OSError: /srv/models/odd is unreadable"


def health(client: TestClient) -> dict[str, object]:
    answer = client.get("/healthz")
    assert answer.status_code == 200, "the server itself answers"
    found: dict[str, object] = answer.json()
    return found


def test_a_ready_worker_is_well(stranger: TestClient) -> None:
    assert health(stranger) == {
        "status": "ok",
        "worker_alive": True,
        "workers": 1,
        "workers_ready": 1,
        "workers_paused": 0,
        "problems": [],
    }


def test_a_paused_worker_is_counted_and_is_no_problem(
    stranger: TestClient, engine: AskedEngine
) -> None:
    engine.store.halt(WORKER, "paused", "ada")
    found = health(stranger)
    assert (found["status"], found["workers_ready"], found["workers_paused"]) == ("ok", 1, 1)
    engine.store.release_worker(WORKER, "g")
    assert health(stranger)["workers_paused"] == 0


def test_a_worker_that_never_gets_ready_is_told_with_the_reason(
    stranger: TestClient, engine: AskedEngine
) -> None:
    store = engine.store
    store.release_worker(WORKER, "g")
    assert health(stranger)["status"] == "no worker"
    store.claim_worker(WORKER, "h", {}, "cpu", 1e9, lambda holder: True)
    assert health(stranger)["status"] == "starting"
    store.beat(WORKER, "h", problem=DIED)
    found = health(stranger)
    assert (found["status"], found["workers"], found["workers_ready"]) == ("failing", 1, 0)
    assert found["problems"] == [f"{WORKER}: The computing process died: it ended with code 1."]
    assert "/srv" not in str(found), "a stranger reads no path"


def test_the_workers_page_says_all_of_it(client: TestClient, engine: AskedEngine) -> None:
    engine.store.beat(WORKER, "g", problem=DIED)
    assert "/srv/models/odd is unreadable" in client.get("/workers").text


def test_a_worker_that_was_ready_and_fails_now_is_not_counted_as_ready(
    stranger: TestClient, engine: AskedEngine
) -> None:
    engine.store.beat(WORKER, "g", problem=DIED)
    assert health(stranger)["status"] == "failing" and health(stranger)["workers_ready"] == 0


def test_the_pages_name_the_folder_that_cannot_be_used(client: TestClient) -> None:
    for page in ("/models", "/workers"):
        text = client.get(page).text
        assert "its weights are a pickle" in text and "/models/broken" in text
