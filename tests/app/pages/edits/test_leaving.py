"""Everything that leaves a server, over the API and from a run's page."""

import csv
import io
import json
from collections.abc import Callable
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from app.drawing.drawing import Source
from worker.contract.mask import Mask
from worker.contract.result import Provenance, Result
from worker.engine.client import Engine

Put = Callable[[str, Source], str]


@pytest.fixture
def edit(put: Put, made: ModuleType, engine: Engine) -> str:
    """A finished edit with its delta and mask."""
    source = made.edit_source()
    mask = Mask(components=("blocks.1.mlp",), n_parameters=100, source="chosen by hand")
    update = {"files": {"delta": "delta.safetensors"}, "mask": mask}
    run_id = put("unlearn", Source(source.result.model_copy(update=update), source.open))
    data = b"d" * 3_000_000
    engine.store.artifacts.put_bytes(f"runs/{run_id}/delta.safetensors", data)
    return run_id


def finish(engine: Engine, run_id: str, result: Result, files: dict[str, bytes]) -> None:
    """End a queued run as its worker would."""
    attempt = engine.store.begin_attempt(run_id, "test-host:cpu", "g")
    assert attempt is not None
    for name, data in files.items():
        engine.store.artifacts.put_bytes(f"runs/{run_id}/{name}", data)
    engine.store.finish(run_id, attempt.number, "done", "", result)


def exported() -> Result:
    made = Provenance(
        model="demo", weights_hash="a", seed=0, device="cpu", dtype="float32", versions={}
    )
    return Result(
        kind="export",
        spec={},
        provenance=made,
        seconds=1,
        peak_memory_bytes=1,
        files={"model": "model.zip"},
    )


def test_everything_that_is_listed_can_be_taken(script: TestClient, edit: str) -> None:
    listed = script.get(f"/api/runs/{edit}/exports").json()
    links = [address for one in listed["exports"] for address in one["links"].values()]
    assert len(links) > 8
    for address in [*links, listed["bundle"]]:
        if address == f"/api/runs/{edit}/bundle.zip":
            continue
        answer = script.get(address)
        assert answer.status_code == 200, (address, answer.text[:200])
        assert answer.content


def test_a_delta_is_streamed_whole_with_its_length_and_name(script: TestClient, edit: str) -> None:
    answer = script.get(f"/api/runs/{edit}/files/delta")
    assert answer.content == b"d" * 3_000_000
    assert answer.headers["content-length"] == "3000000"
    assert answer.headers["content-disposition"].endswith(f'"{edit}-delta.safetensors"')
    missing = script.get(f"/api/runs/{edit}/files/model")
    assert missing.status_code == 404
    assert "There are: delta" in missing.json()["detail"][0]["message"]
    assert script.get(f"/api/runs/{edit}/files/..%2F..%2Flethe.sqlite").status_code == 404


def test_a_mask_that_left_comes_back_through_the_page_masks(client: TestClient, edit: str) -> None:
    taken = client.get(f"/api/runs/{edit}/mask.json")
    assert taken.json()["components"] == ["blocks.1.mlp"]
    files = {"file": ("mask.json", taken.content, "application/json")}
    assert client.post("/masks/import", files=files, follow_redirects=False).status_code == 303
    assert client.get("/api/masks").json()[0]["components"] == ["blocks.1.mlp"]


def test_a_mask_says_the_same_as_json_csv_and_npz(script: TestClient, edit: str) -> None:
    listed = script.get(f"/api/runs/{edit}/exports").json()["exports"]
    (links,) = (one["links"] for one in listed if one["title"] == "The mask")
    components = script.get(links["JSON"]).json()["components"]
    rows = list(csv.DictReader(io.StringIO(script.get(links["CSV"]).text)))
    packed = np.load(io.BytesIO(script.get(links["npz"]).content), allow_pickle=False)
    assert components == [row["component"] for row in rows] == packed["component"].tolist()
    assert components == ["blocks.1.mlp"]


def test_an_attribution_says_the_same_as_json_csv_and_npz(
    script: TestClient, put: Put, made: ModuleType
) -> None:
    run_id = put("localize", made.localization_source())
    address = f"/api/runs/{run_id}/arrays/components"
    as_json = script.get(f"{address}?format=json").json()
    as_npz = np.load(io.BytesIO(script.get(f"{address}?format=npz").content))["components"]
    as_csv = list(csv.reader(io.StringIO(script.get(f"{address}?format=csv").text)))[1:]
    assert as_json["axes"][0]["name"] == "component"
    assert as_json["axes"][0]["labels"] == [row[0] for row in as_csv]
    assert as_json["values"] == pytest.approx(as_npz.tolist(), nan_ok=True)
    assert [float(row[1]) for row in as_csv] == pytest.approx(as_npz.tolist())
    wrong = script.get(f"{address}?format=xls")
    assert wrong.status_code == 422 and "npz, csv, json" in wrong.json()["detail"][0]["message"]


def test_an_array_with_holes_is_json_all_the_same(
    script: TestClient, put: Put, made: ModuleType
) -> None:
    run_id = put("evaluate", made.evaluation_source())
    answer = script.get(f"/api/runs/{run_id}/arrays/probes.probe.target.before?format=json")
    values = json.loads(answer.text, parse_constant=lambda name: pytest.fail(name))["values"]
    assert values[1] == [0.95, 0.85, None]


def test_probes_say_the_same_as_json_csv_and_npz(
    script: TestClient, put: Put, made: ModuleType
) -> None:
    run_id = put("evaluate", made.evaluation_source())
    address = f"/api/runs/{run_id}/tables/probes.facts"
    rows = script.get(f"{address}?format=json").json()["rows"]
    as_csv = list(csv.DictReader(io.StringIO(script.get(f"{address}?format=csv").text)))
    as_npz = np.load(io.BytesIO(script.get(f"{address}?format=npz").content), allow_pickle=False)
    column = "target probability after"
    expected = [row[column] for row in rows]
    assert len(rows) == 8
    assert [float(row[column]) for row in as_csv] == expected == as_npz[column].tolist()
    assert as_npz["fact"].tolist() == [row["fact"] for row in rows]
    aggregates = script.get(f"/api/runs/{run_id}/tables/probes.aggregates").json()["rows"]
    assert aggregates[0]["after mean"] == 0.2 and aggregates[0]["after n"] == 16
    assert script.get(f"/api/runs/{run_id}/tables/probes.fact").status_code == 404


def test_the_edited_model_is_asked_for_made_once_and_streamed(
    script: TestClient, engine: Engine, edit: str
) -> None:
    address = f"/api/runs/{edit}/model"
    before = script.get(f"{address}.zip")
    assert before.status_code == 404 and "POST" in before.json()["detail"][0]["message"]
    asked = script.post(address)
    assert asked.status_code == 202
    record = asked.json()
    assert record["kind"] == "export" and record["parents"] == [edit]
    assert record["spec"]["model"] == {"base": "demo", "edits": [edit]}
    assert script.post(address).json()["id"] == record["id"], "it is not made twice"
    assert "queued" in script.get(f"{address}.zip").json()["detail"][0]["message"]
    finish(engine, record["id"], exported(), {"model.zip": b"PK" * 100})
    assert script.get(f"{address}.zip").content == b"PK" * 100
    assert script.get(f"/api/runs/{edit}/exports").json()["model_run"] == record["id"]


def test_a_model_made_after_it_was_measured_carries_the_measurements(
    script: TestClient, engine: Engine, edit: str, put: Put, made: ModuleType
) -> None:
    first = script.post(f"/api/runs/{edit}/model").json()["id"]
    spec = {
        "kind": "evaluate",
        "model": {"base": "demo", "edits": [edit]},
        "facts": {"set": "sports", "forget": "first:2"},
    }
    measured = script.post("/api/runs", json=spec).json()["id"]
    source = made.evaluation_source()
    finish(engine, measured, source.result, {"arrays.npz": source.open("arrays.npz").read()})
    second = script.post(f"/api/runs/{edit}/model").json()
    assert second["id"] != first and second["spec"]["results"] == [measured]
    of_evaluation = script.post(f"/api/runs/{measured}/model").json()
    assert of_evaluation["id"] == second["id"], "an evaluation of the edit gives the same model"


def test_a_run_without_an_edit_gives_no_model(
    script: TestClient, put: Put, made: ModuleType
) -> None:
    run_id = put("localize", made.localization_source())
    answer = script.post(f"/api/runs/{run_id}/model")
    assert answer.status_code == 422
    assert "expected a finished edit" in answer.json()["detail"][0]["message"]
    assert script.get(f"/api/runs/{run_id}/exports").json()["model"] is None


def test_a_spec_of_an_export_is_checked_like_any_other(script: TestClient, edit: str) -> None:
    spec: dict[str, Any] = {"kind": "export", "model": {"base": "demo", "edits": [edit]}}
    assert script.post("/api/runs", json=spec).status_code == 201
    for wrong, words in (
        ({"model": "demo"}, "no edit"),
        ({"model": {"base": "demo", "edits": ["nowhere"]}}, "nowhere"),
        ({"results": ["nowhere"]}, "nowhere"),
        ({"resluts": []}, "Did you mean"),
    ):
        answer = script.post("/api/runs", json=spec | wrong)
        assert answer.status_code in (404, 422), answer.text
        assert words in answer.json()["detail"][0]["message"]


def test_the_page_of_an_edit_offers_all_of_it(
    client: TestClient, engine: Engine, edit: str
) -> None:
    page = client.get(f"/runs/{edit}/result").text
    for words in ("Take it with you", "Make the model folder", "bundle.zip", "files/delta"):
        assert words in page
    assert "3.00 MB" in page
    answer = client.post(f"/runs/{edit}/model", follow_redirects=False)
    assert answer.status_code == 303
    made = answer.headers["location"].rpartition("/")[2]
    assert "It is being made: queued" in client.get(f"/dossier/{edit}").text
    finish(engine, made, exported(), {"model.zip": b"PK" * 100})
    assert f"/api/runs/{made}/files/model" in client.get(f"/dossier/{edit}").text
    assert f"/api/runs/{made}/files/model" in client.get(f"/runs/{made}/result").text
