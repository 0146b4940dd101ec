import json
from pathlib import Path
from typing import Any

import numpy as np
import pytest
from starlette.testclient import TestClient

from app.api import runs
from worker.contract.errors import UserError
from worker.contract.progress import Event
from worker.contract.result import ArrayInfo, Axis, Provenance, Result
from worker.contract.spec import parse_spec
from worker.engine.client import Engine

WORKER = "test-host:cpu"


def refused(client: TestClient, spec: Any, field: str, *words: str) -> None:
    """The spec is answered by 422 at `field` with a sentence of these words; nothing is queued."""
    answer = client.post("/api/runs", json=spec)
    assert answer.status_code == 422, answer.text
    found = {p["field"]: p["message"] for p in answer.json()["detail"]}
    assert field in found, found
    for word in words:
        assert word in found[field]
    assert client.get("/api/runs").json()["total"] == 0


def finish(engine: Engine, run_id: str, **more: Any) -> None:
    """Compute a run by hand: two log lines, progress, a result with an array."""
    store = engine.store
    attempt = store.begin_attempt(run_id, WORKER, "g")
    assert attempt is not None
    events = [
        Event(type="state", state="running"),
        Event(type="log", message="first line"),
        Event(type="progress", fraction=0.5, message="half"),
    ]
    store.append(run_id, attempt.number, events)
    file = Path(str(store.database.url.database)).parent / "arrays.npz"
    np.savez(file, grid=np.array([[1.0, np.nan], [0.25, 2.0]]))
    store.artifacts.put(f"runs/{run_id}/arrays.npz", file)
    result = Result(
        kind="localize",
        spec=store.run(run_id).spec,
        provenance=Provenance(
            model="demo", weights_hash="ab", seed=0, device="cpu", dtype="float32", versions={}
        ),
        seconds=1.5,
        peak_memory_bytes=1000,
        arrays={
            "grid": ArrayInfo(
                file="arrays.npz",
                axes=(Axis(name="layer"), Axis(name="role", labels=("first", "last"))),
                unit="probability",
            )
        },
        caption="Found.",
        **more,
    )
    store.finish(run_id, attempt.number, "done", result=result)


def test_a_spec_becomes_a_queued_run(script: TestClient, spec: dict[str, Any]) -> None:
    answer = script.post("/api/runs", json=spec)
    assert answer.status_code == 201
    record = answer.json()
    assert answer.headers["location"] == f"/api/runs/{record['id']}"
    assert (record["state"], record["kind"], record["spec"]["options"]) == (
        "queued",
        "localize",
        {"n_noises": 5},
    )
    assert script.get(f"/api/runs/{record['id']}").json()["id"] == record["id"]


@pytest.mark.parametrize(
    ("change", "field", "words"),
    [
        ({"kind": "localise"}, "kind", ["localise", "Did you mean 'localize'"]),
        ({"model": "dmeo"}, "model", ["'dmeo'", "Did you mean 'demo'", "broken"]),
        ({"model": "broken"}, "model", ["pickle"]),
        ({"facts": {"set": "sport"}}, "", ["sport"]),
        ({"method": "causal_tracin"}, "method", ["Did you mean 'causal_tracing'"]),
        ({"options": {"n_noise": 3}}, "options.n_noise", ["Did you mean 'n_noises'"]),
        ({"options": {"n_noises": 0}}, "options.n_noises", ["is 0", "from 1 to 100"]),
        ({"options": {"n_noises": "x"}}, "options.n_noises", ['"x"', "whole number"]),
        ({"options": {"n_noises": 2.5}}, "options.n_noises", ["2.5"]),
        ({"options": {"n_noises": True}}, "options.n_noises", ["true"]),
        ({"options": {"scale": 0}}, "options.scale", ["above 0"]),
        ({"options": {"corruption": "zero"}}, "options.corruption", ["noise, mean"]),
        ({"options": {"sites": []}}, "options.sites", ["some of resid, mlp, attn"]),
        ({"options": {"sites": "mlp"}}, "options.sites", ["some of"]),
        ({"options": {"is_exact": 1}}, "options.is_exact", ["true or false"]),
        ({"facts": {"set": "sports", "forget": "first:0"}}, "facts.forget", ["first:0"]),
        ({"facts": {"set": "sports", "forget": "first:41"}}, "facts.forget", ["40"]),
        ({"facts": {"set": "sports", "forget": "group:rugby"}}, "facts.forget", ["football"]),
        ({"facts": {"set": "sports", "forget": "ids:fact-99"}}, "facts.forget", ["fact-99"]),
        ({"facts": {"set": "sports", "forget": "some"}}, "facts.forget", ["'some'"]),
        ({"facts": {"set": "sports", "edit_to": "baseball"}}, "facts.edit_to", ["8 of the 16"]),
        ({"seed": -1}, "localize.seed", ["-1"]),
        ({"extra": 1}, "localize.extra", ["extra"]),
        ({"options": {"n_noises": "a\u0000b"}}, "spec", ["NUL"]),
        ({"method": "\ud800"}, "spec", ["U+D800"]),
        ({"options": {"n_noises": "x" * 600_000}}, "spec", ["600"]),
        ({"kind": "evaluate", "evaluations": []}, "evaluate.method", ["method"]),
    ],
)
def test_a_spec_that_cannot_be_done_is_refused_beside_its_field(
    script: TestClient, spec: dict[str, Any], change: dict[str, Any], field: str, words: list[str]
) -> None:
    body = json.dumps({**spec, **change})
    answer = script.post("/api/runs", content=body)
    assert answer.status_code in (404, 422), answer.text
    problems = answer.json()["detail"]
    messages = [p["message"] for p in problems if field.split(".")[-1] in p["field"]] or [
        p["message"] for p in problems
    ]
    for word in words:
        assert any(word in message for message in messages), problems
    assert script.get("/api/runs").json()["total"] == 0


def test_what_a_mask_cannot_be_is_refused(script: TestClient) -> None:
    base = {"kind": "unlearn", "model": "demo", "facts": {"set": "sports"}}
    for mask, word in (
        ({"components": []}, "no component"),
        ({"components": ["blocks.9.mlp"]}, "blocks.9.mlp"),
        ({"components": ["mlp.1"]}, "blocks.LAYER.mlp"),
        ({}, "exactly one of"),
        ({"id": "nope"}, "nope"),
        ({"localization": "nope", "rule": {"top": 3}}, "nope"),
        ({"localization": "nope"}, "belong together"),
        ({"control": {"kind": "random"}}, "parameters"),
    ):
        answer = script.post("/api/runs", json={**base, "mask": mask})
        assert answer.status_code in (404, 422), answer.text
        assert word in answer.text
    assert script.get("/api/runs").json()["total"] == 0


def test_an_edit_that_is_none_is_refused(script: TestClient, spec: dict[str, Any]) -> None:
    run_id = script.post("/api/runs", json=spec).json()["id"]
    for edits in (["nope"], [run_id]):
        body = {
            "kind": "evaluate",
            "model": {"base": "demo", "edits": edits},
            "facts": {"set": "sports"},
        }
        answer = script.post("/api/runs", json=body)
        assert answer.status_code in (404, 422)
        assert edits[0] in answer.text
    assert script.get("/api/runs").json()["total"] == 1


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b"{",
        b"[1]",
        b'"text"',
        b"\xff\xfe",
        b'{"kind": NaN}',
        b'{"seed": ' + b"9" * 6000 + b"}",
        b"[" * 100_000,
        b'{"kind": {"a": 1}}',
        b'{"kind": "localize", "facts": []}',
        b'{"kind": "localize", "model": {"base": 3}, "facts": {"set": 1}, "method": []}',
    ],
)
def test_a_body_that_is_no_spec_is_answered_in_words(script: TestClient, body: bytes) -> None:
    answer = script.post("/api/runs", content=body)
    assert answer.status_code == 422
    assert all(len(p["message"]) > 20 for p in answer.json()["detail"])


def test_a_body_without_measure_is_refused_while_it_comes(script: TestClient) -> None:
    answer = script.post("/api/runs", content=b"x" * 3_000_000)
    assert answer.status_code == 413
    assert "too large" in answer.json()["detail"][0]["message"]


def test_what_the_preflight_says_passes_through(
    script: TestClient, engine: Any, spec: dict[str, Any]
) -> None:
    engine.refusal = UserError("'Bob' merges with its neighbour.", field="facts.forget")
    refused(script, spec, "facts.forget", "merges")


def test_without_a_live_worker_the_run_waits(
    script: TestClient, engine: Any, spec: dict[str, Any]
) -> None:
    engine.is_alive = False
    assert script.post("/api/runs", json=spec).status_code == 201


def test_a_check_queues_nothing(script: TestClient, spec: dict[str, Any]) -> None:
    answer = script.post("/api/runs/check", json=spec).json()
    assert answer["preflight"]["n_facts"] == 16
    assert answer["spec"]["facts"] == {"set": "sports", "forget": "first:16", "edit_to": ""}
    assert script.get("/api/runs").json()["total"] == 0


def test_runs_are_listed_by_filters(
    script: TestClient, engine: Engine, spec: dict[str, Any]
) -> None:
    first = script.post("/api/runs", json=spec).json()["id"]
    engine.store.update_run(first, tags=["paper"], starred=True)
    script.post("/api/runs", json={**spec, "seed": 7})
    assert script.get("/api/runs").json()["total"] == 2
    for query in ("tag=paper", "starred=true"):
        assert [r["id"] for r in script.get(f"/api/runs?{query}").json()["runs"]] == [first]
    assert script.get("/api/runs?kind=unlearn").json()["total"] == 0
    for query in ("kind=x", "limit=0", "limit=x", "state=odd", "after=x", "offset=x"):
        assert script.get(f"/api/runs?{query}").status_code == 422


def test_runs_are_listed_a_page_at_a_time(
    script: TestClient, spec: dict[str, Any], monkeypatch: pytest.MonkeyPatch
) -> None:
    made = [script.post("/api/runs", json={**spec, "seed": n}).json()["id"] for n in range(5)]
    monkeypatch.setattr(runs, "COUNTED", 3)
    found, asked, said = [], "", []
    while asked is not None:
        page = script.get("/api/runs", params={"limit": 2, "after": asked}).json()
        found += [run["id"] for run in page["runs"]]
        said.append((page["total"], page["is_more"]))
        asked = page["next"]
    assert found == made[::-1]
    assert said == [(3, True), (3, False), (1, False)]
    refused = script.get("/api/runs?offset=2")
    assert refused.status_code == 422 and "offset is 2; expected none" in refused.text
    assert "after=" in refused.text


def test_a_result_and_its_arrays_can_be_had(
    script: TestClient, engine: Engine, spec: dict[str, Any], tmp_path: Path
) -> None:
    run_id = script.post("/api/runs", json=spec).json()["id"]
    early = script.get(f"/api/runs/{run_id}/result")
    assert (early.status_code, "queued" in early.text) == (404, True)
    finish(engine, run_id)
    assert script.get(f"/api/runs/{run_id}/result").json()["caption"] == "Found."
    assert script.get(f"/api/runs/{run_id}/log").json() == ["first line"]
    text = script.get(f"/api/runs/{run_id}/arrays/grid?format=csv").text
    assert text.splitlines() == [
        "layer,role,value (probability)",
        "0,first,1.0",
        "0,last,",
        "1,first,0.25",
        "1,last,2.0",
    ]
    packed = script.get(f"/api/runs/{run_id}/arrays/grid").content
    (tmp_path / "x.npz").write_bytes(packed)
    with np.load(tmp_path / "x.npz", allow_pickle=False) as arrays:
        assert arrays["grid"][1, 1] == 2.0
    unknown = script.get(f"/api/runs/{run_id}/arrays/gird")
    assert (unknown.status_code, "Did you mean 'grid'" in unknown.text) == (404, True)
    assert script.get(f"/api/runs/{run_id}/arrays/grid?format=xls").status_code == 422


def events_of(text: str) -> list[tuple[int, str, dict[str, Any]]]:
    found = []
    for block in text.split("\n\n"):
        lines = dict(line.split(": ", 1) for line in block.splitlines() if line[0] != ":")
        if "data" in lines:
            found.append((int(lines["id"]), lines["event"], json.loads(lines["data"])))
    return found


def test_events_are_numbered_and_end_with_the_final_state(
    script: TestClient, engine: Engine, spec: dict[str, Any]
) -> None:
    run_id = script.post("/api/runs", json=spec).json()["id"]
    finish(engine, run_id)
    answer = script.get(f"/api/runs/{run_id}/events")
    assert answer.headers["content-type"].startswith("text/event-stream")
    events = events_of(answer.text)
    assert [offset for offset, _, _ in events] == list(range(len(events)))
    assert events[0][2]["state"] == "queued"
    assert events[-1][2]["state"] == "done"
    later = script.get(f"/api/runs/{run_id}/events", headers={"Last-Event-ID": "2"})
    assert [offset for offset, _, _ in events_of(later.text)] == list(range(3, len(events)))
    assert script.get("/api/runs/nope/events").status_code == 404


def test_a_run_is_cancelled_and_deleted(
    script: TestClient, engine: Engine, spec: dict[str, Any]
) -> None:
    run_id = script.post("/api/runs", json=spec).json()["id"]
    early = script.delete(f"/api/runs/{run_id}")
    assert (early.status_code, "cancel it" in early.text) == (409, True)
    assert script.post(f"/api/runs/{run_id}/cancel").json()["state"] == "cancelled"
    assert script.post(f"/api/runs/{run_id}/cancel").json()["state"] == "cancelled"
    assert script.delete(f"/api/runs/{run_id}").status_code == 204
    assert script.delete(f"/api/runs/{run_id}").status_code == 404
    assert script.post(f"/api/runs/{run_id}/cancel").status_code == 404


def test_a_bug_is_answered_with_an_incident(
    script: TestClient, engine: Engine, monkeypatch: pytest.MonkeyPatch, caplog: Any
) -> None:
    def broken(*args: Any, **kwargs: Any) -> None:
        raise ZeroDivisionError("a secret detail")

    monkeypatch.setattr(engine.store, "runs_page", broken)
    answer = script.get("/api/runs")
    assert answer.status_code == 500
    sentence = answer.json()["detail"][0]["message"]
    incident = sentence.split("incident ")[1].split(")")[0]
    assert "secret" not in answer.text
    assert any(incident in r.getMessage() and r.exc_info for r in caplog.records)
    page = script.get("/runs")
    assert page.status_code == 500
    assert "incident" in page.text
    assert "Traceback" not in page.text
    assert "default-src 'self'" in page.headers["content-security-policy"]


def test_a_stored_spec_can_be_parsed_again(script: TestClient, spec: dict[str, Any]) -> None:
    record = script.post("/api/runs", json=spec).json()
    assert parse_spec(record["spec"]).kind == "localize"


def test_8_bits_are_for_localizations_of_a_base_alone(
    script: TestClient, spec: dict[str, Any]
) -> None:
    refused(
        script,
        {"kind": "unlearn", "facts": spec["facts"], "mask": {"components": ["blocks.0.mlp"]},
         "load_in": "8bit"},
        "load_in", "only a localization",
    )  # fmt: skip
    edited = {**spec, "load_in": "8bit", "model": {"base": "demo", "edits": ["a"]}}
    refused(script, edited, "load_in", "without edits")
    assert script.post("/api/runs", json={**spec, "load_in": "8bit"}).status_code == 201
