"""A run's result on its page, and the figures' addresses."""

import csv
import importlib.util
import io
import secrets
from collections.abc import Callable
from pathlib import Path
from types import ModuleType
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.figures._drawing import Source
from worker.contract.progress import Event
from worker.contract.spec import parse_spec
from worker.engine.client import Engine
from worker.store.runs import insert_run

WORKER = "test-host:cpu"
FACTS = {"set": "sports", "forget": "first:16"}
SPECS: dict[str, dict[str, Any]] = {
    "localize": {"kind": "localize", "facts": FACTS, "method": "causal_tracing"},
    "unlearn": {"kind": "unlearn", "facts": FACTS, "mask": {"components": ["blocks.1.mlp"]}},
    "evaluate": {"kind": "evaluate", "facts": FACTS, "evaluations": ["probes"]},
}


@pytest.fixture(scope="module")
def made() -> ModuleType:
    """The hand-made results of the figures' tests."""
    path = Path(__file__).parents[1] / "figures" / "conftest.py"
    spec = importlib.util.spec_from_file_location("made_results", path)
    assert spec and spec.loader
    module = importlib.util.module_from_spec(spec)
    spec.loader.exec_module(module)
    return module


Put = Callable[[str, Source], str]


@pytest.fixture
def put(engine: Engine) -> Put:
    """Store a result as a finished run."""

    def finish(kind: str, source: Source) -> str:
        run_id, attempt = begin(engine, kind)
        data = source.open("arrays.npz").read()
        engine.store.artifacts.put_bytes(f"runs/{run_id}/arrays.npz", data)
        engine.store.finish(run_id, attempt, "done", "", source.result)
        return run_id

    return finish


def begin(engine: Engine, kind: str) -> tuple[str, int]:
    with engine.store.database.write() as session:
        run_id = insert_run(
            session,
            parse_spec(SPECS[kind]),
            owner="",
            title=secrets.token_hex(3),
            tags=(),
            parents=None,
            priority=1,
        )
    attempt = engine.store.begin_attempt(run_id, WORKER, "g")
    assert attempt is not None
    return run_id, attempt.number


def test_a_localization_shows_its_figures_and_a_mask_editor(
    client: TestClient, put: Put, made: ModuleType
) -> None:
    run_id = put("localize", made.localization_source())
    page = client.get(f"/runs/{run_id}/result").text
    assert "What was found, in words." in page
    for figure in ("prompt_heatmap", "roles_heatmap", "components_heatmap"):
        assert f'data-figure="/runs/{run_id}/figures/{figure}"' in page
    assert page.count('figures/components_heatmap"') == 1
    assert 'value="blocks.3.mlp" aria-label="blocks.3.mlp" autocomplete="off" checked' in page
    assert "Babe &lt;b&gt;Babe&lt;/b&gt;" in page


def test_an_edit_shows_its_receipt(client: TestClient, put: Put, made: ModuleType) -> None:
    run_id = put("unlearn", made.edit_source())
    page = client.get(f"/runs/{run_id}/result").text
    assert "Nothing outside the mask moved" in page
    assert "The base was restored" in page
    assert "b" * 64 in page
    assert f"/probes?model=edit:{run_id}" in page


def test_an_edit_that_moved_more_than_its_mask_says_so(
    client: TestClient, put: Put, made: ModuleType
) -> None:
    source = made.edit_source()
    receipt = source.result.receipt.model_copy(update={"outside_unchanged": False})
    result = source.result.model_copy(update={"receipt": receipt})
    run_id = put("unlearn", Source(result, source.open))
    assert "do not trust this edit" in client.get(f"/runs/{run_id}/result").text


def test_an_evaluation_lists_every_fact_coloured_by_what_was_wanted(
    client: TestClient, put: Put, made: ModuleType
) -> None:
    run_id = put("evaluate", made.evaluation_source())
    assert "0.850 – 0.950" in client.get(f"/runs/{run_id}/result").text
    address = f"/runs/{run_id}/facts?evaluation=probes"
    forget = client.get(f"{address}&set=forget&format=statement").text
    assert forget.count("tone good-3") == 4
    assert "Serena" not in forget
    retain = client.get(f"{address}&set=retain&format=choice").text
    assert "tone bad-2" in retain and "tone good" not in retain
    assert "No fact matches" in client.get(f"{address}&search=nobody").text


def test_a_figure_answers_as_json_csv_and_table(
    client: TestClient, put: Put, made: ModuleType
) -> None:
    run_id = put("localize", made.localization_source())
    address = f"/runs/{run_id}/figures/components_heatmap"
    drawn = client.get(f"{address}.json").json()
    rows = list(csv.DictReader(io.StringIO(client.get(f"{address}.csv").text)))
    score = next(r for r in rows if r["component"] == "blocks.3.mlp")
    assert float(score["Δ probability"]) == -0.6 == drawn["data"][0]["z"][3][0]
    assert "−0.600" in client.get(f"{address}.html").text


def test_a_figure_that_there_is_not_is_said_in_words(
    client: TestClient, put: Put, made: ModuleType
) -> None:
    run_id = put("localize", made.localization_source())
    answer = client.get(f"/runs/{run_id}/figures/prompt_heatmap.json?fact=nobody")
    assert answer.status_code == 422
    assert "'nobody'" in answer.json()["detail"][0]["message"]
    assert client.get(f"/runs/{run_id}/figures/nothing.json").status_code == 422
    assert client.get("/runs/nowhere/figures/nothing.json").status_code == 404
    assert client.get("/runs/nowhere/result").status_code == 404


def test_a_running_localization_is_drawn_from_what_has_come(
    client: TestClient, engine: Engine
) -> None:
    run_id, attempt = begin(engine, "localize")
    assert 'data-figure-live="partial"' in client.get(f"/runs/{run_id}/result").text
    address = f"/runs/{run_id}/figures/live_grid.json"
    assert client.get(address).status_code == 204
    row = {"fact": "f", "site": "mlp", "layer": 1, "values": [0.5], "tokens": ["x"]}
    event = Event(type="partial", name="grid", data={**row, "subject": [0, 1]})
    engine.store.append(run_id, attempt, [event])
    assert client.get(address).json()["data"][0]["z"] == [[None, 0.5, None, None]]
