"""The button that fetches a real model: what it says, that it is asked once, and how it failed."""

import pytest
from starlette.testclient import TestClient

from tests.app.conftest import WORKER, announcement
from worker.contract.menu import ModelInfo, RecipeInfo
from worker.engine.client import Engine

RECIPE = RecipeInfo(
    name="small",
    title="Small Instruct",
    summary="A real one.",
    licence="apache-2.0",
    made_by="Somebody",
    note="Dequantized from <4> bits.",
    download_bytes=93_000_000,
    disk_bytes=540_000_000,
)


@pytest.fixture(autouse=True)
def offered(engine: Engine) -> None:
    engine.store.announce(WORKER, "g", announcement().model_copy(update={"recipes": (RECIPE,)}))


@pytest.mark.parametrize("page", ["/", "/models"])
def test_home_and_models_offer_it_with_one_button_and_its_size(
    page: str, client: TestClient
) -> None:
    text = client.get(page).text
    for words in ("Small Instruct", "Get it (93.0 MB)", "540 MB", "from &lt;4&gt; bits", "apache"):
        assert words in text, words


def test_pressing_twice_asks_once_and_shows_the_run(client: TestClient, engine: Engine) -> None:
    answers = [
        client.post("/models/add", data={"recipe": "small"}, follow_redirects=False)
        for _ in range(2)
    ]
    (run,) = engine.store.runs(kind="add")
    assert [a.headers["location"] for a in answers] == [f"/runs/{run.id}"] * 2
    assert run.title == "Add the model small" and run.spec["model"] == "small"
    for page in ("/", "/models"):
        text = client.get(page).text
        assert "It is being made" in text and "Get it" not in text
    assert client.get(f"/runs/{run.id}").status_code == 200


def test_a_failure_is_said_with_a_second_try(client: TestClient, engine: Engine) -> None:
    client.post("/models/add", data={"recipe": "small"})
    (run,) = engine.store.runs(kind="add")
    attempt = engine.store.begin_attempt(run.id, WORKER, "g")
    assert attempt is not None
    engine.store.finish(run.id, attempt.number, "failed", "The package index is not reached.")
    text = client.get("/models").text
    assert "The package index is not reached." in text and "Try again (93.0 MB)" in text
    client.post("/models/add", data={"recipe": "small"})
    assert len(engine.store.runs(kind="add")) == 2


def test_what_is_there_is_neither_offered_nor_made_again(
    client: TestClient, engine: Engine
) -> None:
    here = announcement().model_copy(
        update={"recipes": (RECIPE,), "models": (ModelInfo(id="small", title="Small"),)}
    )
    engine.store.announce(WORKER, "g", here)
    assert "Get it" not in client.get("/").text
    answer = client.post("/api/runs", json={"kind": "add", "model": "small"})
    assert answer.status_code == 422 and "is there already" in answer.text
    answer = client.post("/api/runs", json={"kind": "add", "model": "smal"})
    assert answer.status_code == 422 and "Did you mean 'small'?" in answer.text


def test_another_site_cannot_ask_for_it(client: TestClient, engine: Engine) -> None:
    client.headers["X-CSRF-Token"] = "wrong"
    assert client.post("/models/add", data={"recipe": "small"}).status_code == 403
    assert engine.store.runs(kind="add") == []
