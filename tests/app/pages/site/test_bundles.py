"""Bundles over page and API: a run goes to another server, is repeated there and compared."""

import io
import json
import shutil
import zipfile
from collections.abc import Callable, Iterator, Mapping
from pathlib import Path
from types import ModuleType
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from app.drawing.drawing import Source
from app.main import create_app
from worker.contract.mask import Mask
from worker.contract.progress import FINAL_STATES
from worker.contract.settings import Settings
from worker.engine.client import Engine

Put = Callable[[str, Source], str]
WORKER = "test-host:cpu"
TOKEN = "a-token-for-tests"


@pytest.fixture
def recorded(put: Put, made: ModuleType, engine: Engine) -> str:
    """A finished edit whose facts and mask are those of this server."""
    source = made.edit_source()
    result = source.result
    fact_set = engine.store.fact_set("sports")
    provenance = result.provenance.model_copy(
        update={"fact_set": "sports", "fact_set_hash": fact_set.hash}
    )
    mask = Mask(components=("blocks.1.mlp",), n_parameters=100, source="chosen by hand")
    update = {"files": {"delta": "delta.safetensors"}, "mask": mask, "provenance": provenance}
    run_id = put("unlearn", Source(result.model_copy(update=update), source.open))
    engine.store.artifacts.put_bytes(f"runs/{run_id}/delta.safetensors", b"delta")
    return run_id


@pytest.fixture
def probed(recorded: str, engine: Engine, script: TestClient, made: ModuleType) -> str:
    """A finished evaluation of that edit."""
    spec = {
        "kind": "evaluate",
        "model": {"base": "demo", "edits": [recorded]},
        "facts": {"set": "sports", "forget": "first:2"},
    }
    run_id = script.post("/api/runs", json=spec).json()["id"]
    source = made.evaluation_source()
    provenance = source.result.provenance.model_copy(
        update={"fact_set_hash": engine.store.fact_set("sports").hash}
    )
    result = source.result.model_copy(update={"provenance": provenance})
    end(engine, run_id, result, source)
    return run_id


def end(engine: Engine, run_id: str, result: Any, source: Source) -> None:
    attempt = engine.store.begin_attempt(run_id, WORKER, "g")
    assert attempt is not None
    data = source.open("arrays.npz").read()
    engine.store.artifacts.put_bytes(f"runs/{run_id}/arrays.npz", data)
    engine.store.finish(run_id, attempt.number, "done", "", result)


@pytest.fixture
def elsewhere(
    engine: Engine, prepared: Path, tmp_path: Path
) -> Iterator[tuple[TestClient, Engine]]:
    """Another server, which has the model and a fact set of its own under the same name."""
    shutil.copytree(prepared, tmp_path / "elsewhere")
    chosen = Settings(data=tmp_path / "elsewhere", token=TOKEN, host="127.0.0.1", port=0)
    other = type(engine).open(chosen)
    menu = engine.store.announcement()
    assert menu is not None
    other.store.claim_worker(WORKER, "g", {}, "cpu", 1e9, lambda holder: True)
    other.store.announce(WORKER, "g", menu)
    changed = engine.store.fact_set("sports")
    other.store.save_fact_set(changed.model_copy(update={"facts": changed.facts[:5]}))
    with TestClient(create_app(chosen, other), base_url="http://127.0.0.1") as client:
        client.headers["Authorization"] = f"Bearer {TOKEN}"
        yield client, other
    other.close()


def bring(client: TestClient, data: bytes, name: str = "run.zip") -> Any:
    return client.post("/api/bundles", files={"file": (name, data, "application/zip")})


def test_a_run_goes_to_another_server_with_its_facts_mask_and_edits(
    script: TestClient, engine: Engine, probed: str, recorded: str, elsewhere: Any
) -> None:
    client, other = elsewhere
    packed = script.get(f"/api/runs/{probed}/bundle.zip")
    assert packed.status_code == 200, packed.text
    assert int(packed.headers["content-length"]) == len(packed.content)
    brought = bring(client, packed.content)
    assert brought.status_code == 201, brought.text
    record = brought.json()
    assert record["state"] == "done" and record["tags"] == ["imported"]
    facts = record["spec"]["facts"]["set"]
    assert facts != "sports", "another set of that name is here, with other facts"
    assert other.store.fact_set(facts).hash == engine.store.fact_set("sports").hash
    (edit,) = record["spec"]["model"]["edits"]
    assert record["parents"] == [edit]
    assert other.store.artifacts.open(f"runs/{edit}/delta.safetensors").read() == b"delta"
    assert other.store.result(edit).receipt == engine.store.result(recorded).receipt
    assert other.store.result(record["id"]).summary == engine.store.result(probed).summary
    name = "probes.probe.target.after"
    taken = client.get(f"/api/runs/{record['id']}/arrays/{name}?format=npz").content
    assert np.load(io.BytesIO(taken))[name].shape == (3, 3)
    assert client.get(f"/runs/{record['id']}/result").status_code == 200
    assert client.get(f"/dossier/{edit}").status_code == 200
    again = bring(client, packed.content).json()
    assert again["spec"]["facts"]["set"] == facts and again["id"] != record["id"]


def test_an_edit_that_is_here_already_is_not_brought_twice(
    script: TestClient, probed: str, recorded: str
) -> None:
    packed = script.get(f"/api/runs/{probed}/bundle.zip").content
    record = bring(script, packed).json()
    assert record["spec"]["model"]["edits"] == [recorded]
    assert record["spec"]["facts"]["set"] == "sports"


def test_a_repetition_is_queued_and_its_numbers_are_compared(
    script: TestClient, recorded: str, elsewhere: Any, made: ModuleType
) -> None:
    client, other = elsewhere
    run_id = bring(client, script.get(f"/api/runs/{recorded}/bundle.zip").content).json()["id"]
    page = client.get(f"/bundles/{run_id}").text
    assert "It has not been repeated here yet" in page and "blocks.1.mlp" not in page
    repeated = client.post(f"/api/bundles/{run_id}/repeat")
    assert repeated.status_code == 201, repeated.text
    record = repeated.json()
    assert record["state"] not in FINAL_STATES and run_id in record["parents"]
    assert record["spec"]["mask"]["components"] == ["blocks.1.mlp"]
    assert 'hx-trigger="every 2s"' in client.get(f"/bundles/{run_id}").text
    source = made.edit_source()
    result = other.store.result(run_id)
    end(other, record["id"], result, source)
    (found,) = client.get(f"/api/bundles/{run_id}").json()["repetitions"]
    assert found["n_differing"] == 0 and len(found["numbers"]) >= 2
    page = client.get(f"/bundles/{run_id}").text
    assert "recorded numbers agree" in page and "every 2s" not in page
    third = client.post(f"/api/bundles/{run_id}/repeat").json()
    other_numbers = result.model_copy(update={"summary": {"quick.edit_probability.after": 0.5}})
    end(other, third["id"], other_numbers, source)
    newest = client.get(f"/api/bundles/{run_id}").json()["repetitions"][0]
    assert newest["n_differing"] == 1
    page = client.get(f"/bundles/{run_id}").text
    assert "recorded numbers differ" in page and "0.970" in page


def test_a_bundle_for_a_model_that_is_not_here_is_read_and_said(
    script: TestClient, recorded: str, elsewhere: Any
) -> None:
    client, other = elsewhere
    menu = other.store.announcement()
    without = menu.model_copy(update={"models": menu.models[1:]})
    other.store.announce(WORKER, "g", without)
    run_id = bring(client, script.get(f"/api/runs/{recorded}/bundle.zip").content).json()["id"]
    assert "No worker here has the model demo" in client.get(f"/bundles/{run_id}").text
    answer = client.post(f"/api/bundles/{run_id}/repeat")
    assert answer.status_code == 422
    assert "No model" in answer.json()["detail"][0]["message"]


def test_the_page_takes_a_bundle_in(client: TestClient, recorded: str) -> None:
    packed = client.get(f"/api/runs/{recorded}/bundle.zip").content
    files = {"file": ("run.zip", packed, "application/zip")}
    answer = client.post("/bundles", files=files, follow_redirects=False)
    assert answer.status_code == 303
    page = client.get(answer.headers["location"]).text
    assert "Repeat it here" in page and "What was found, in words." in page
    assert "Brought so far" in client.get("/bundles").text
    address = f"{answer.headers['location']}/repeat"
    assert client.post(address, follow_redirects=False).status_code == 303


def test_a_run_whose_facts_changed_since_is_not_bundled(
    script: TestClient, recorded: str, engine: Engine
) -> None:
    changed = engine.store.fact_set("sports")
    engine.store.save_fact_set(
        changed.model_copy(update={"facts": changed.facts[:20]}), bundled=True
    )
    answer = script.get(f"/api/runs/{recorded}/bundle.zip")
    assert answer.status_code == 422
    assert "has changed since the run" in answer.json()["detail"][0]["message"]


def rewritten(packed: bytes, files: Mapping[str, bytes]) -> bytes:
    """The bundle with some files put in the place of its own, or beside them."""
    out = io.BytesIO()
    with (
        zipfile.ZipFile(io.BytesIO(packed)) as old,
        zipfile.ZipFile(out, "w", zipfile.ZIP_DEFLATED) as new,
    ):
        for name in dict.fromkeys((*old.namelist(), *files)):
            new.writestr(name, files[name] if name in files else old.read(name))
    return out.getvalue()


def with_text(packed: bytes, name: str, text: bytes) -> bytes:
    """The bundle of a run whose options name a text."""
    with zipfile.ZipFile(io.BytesIO(packed)) as old:
        spec, inputs = (json.loads(old.read(one)) for one in ("spec.json", "inputs.json"))
    spec["options"]["text"] = name
    inputs["texts"] = {name: "files/9.txt"}
    files = {"spec.json": spec, "inputs.json": inputs}
    return rewritten(
        packed,
        {one: json.dumps(data).encode() for one, data in files.items()} | {"files/9.txt": text},
    )


def test_a_run_brings_the_text_that_it_forgot(
    script: TestClient, recorded: str, elsewhere: Any
) -> None:
    client, other = elsewhere
    story = "Zoë went home to the mill, and the river sang. " * 12
    other.store.save_text("story", "Other words.")
    bundle = script.get(f"/api/runs/{recorded}/bundle.zip").content
    for wrong in (b"few words", story.encode() + b"\x00", b"\xff" * 900):
        answer = bring(client, with_text(bundle, "story", wrong))
        assert answer.status_code == 422, answer.text
    assert [one.name for one in other.store.texts()] == ["story"]
    assert other.store.runs(archived=None) == []
    packed = with_text(bundle, "story", story.strip().encode())
    brought = bring(client, packed)
    assert brought.status_code == 201, brought.text
    name = brought.json()["spec"]["options"]["text"]
    assert name.startswith("story ") and other.store.text(name) == story.strip()
    assert bring(client, packed).json()["spec"]["options"]["text"] == name
    from_folder = with_text(bundle, "/home/ann/tales/tale.txt", b"Once there was a wolf. " * 9)
    assert bring(client, from_folder).json()["spec"]["options"]["text"] == "tale.txt"


def npz(head: bytes) -> bytes:
    """A file of arrays whose only array is these bytes."""
    out = io.BytesIO()
    with zipfile.ZipFile(out, "w") as packed:
        for name in ("curve.loss", "curve.forget", "components"):
            packed.writestr(f"{name}.npy", head)
    return out.getvalue()


def test_what_is_no_bundle_is_said_in_words_and_leaves_nothing(
    script: TestClient, engine: Engine, probed: str
) -> None:
    packed = script.get(f"/api/runs/{probed}/bundle.zip").content
    before = (engine.store.count_runs(archived=None), len(engine.store.fact_sets()))
    huge = io.BytesIO()
    np.lib.format.write_array_header_1_0(
        huge, {"descr": "<f8", "fortran_order": False, "shape": (2**40,)}
    )
    wrong = {
        "empty": b"",
        "text": b"not a zip",
        "half": packed[: len(packed) // 2],
        "no arrays": rewritten(packed, {"result/arrays.npz": b"PK"}),
        "huge header": rewritten(packed, {"result/arrays.npz": npz(huge.getvalue())}),
        "no result": rewritten(packed, {"result/result.json": b"{}"}),
        "no facts": rewritten(packed, {"inputs.json": b"{}"}),
        "html": rewritten(packed, {"spec.json": b"<html>"}),
        "deep": rewritten(packed, {"edits.json": b"[" * 200_000}),
        "surrogate": rewritten(packed, {"spec.json": b'{"kind": "\\ud800"}'}),
    }
    for what, data in wrong.items():
        answer = bring(script, data)
        assert answer.status_code == 422, (what, answer.text)
        assert len(answer.json()["detail"][0]["message"]) > 20, what
    page = script.post("/bundles", files={"file": ("x.zip", b"no", "application/zip")})
    assert page.status_code == 422 and "is no bundle of a run" in page.text
    assert (engine.store.count_runs(archived=None), len(engine.store.fact_sets())) == before
