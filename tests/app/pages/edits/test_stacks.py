"""Stacks: a model's edits listed, ordered, taken out, measured and put together."""

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.pages.edits import _stack
from tests.app.asking import asked_of
from worker.contract.mask import Mask
from worker.contract.menu import Announcement, MethodInfo
from worker.contract.result import Provenance, Receipt, Result
from worker.contract.spec import parse_spec
from worker.engine.client import Engine
from worker.store.runs import insert_run

HTMX = {"HX-Request": "true"}
NONE: dict[str, Any] = {"properties": {}}


@pytest.fixture
def menu(engine: Engine) -> Announcement:
    """The worker can stack edits and measure their interference."""
    found = engine.store.announcement()
    assert found is not None
    more = (
        MethodInfo(
            kind="unlearning", name="stack_edits", title="Stack", summary="",
            options={"properties": {"edits": {"type": "array", "items": {"type": "string"}}}},
        ),
        MethodInfo(
            kind="evaluation", name="interference", title="I", summary="", options=NONE
        ),
    )  # fmt: skip
    changed = found.model_copy(update={"methods": found.methods + more})
    engine.store.announce("test-host:cpu", "g", changed)
    return changed


def edit(
    engine: Engine,
    before: str,
    after: str,
    below: tuple[str, ...],
    forget: str,
    edit_to: str = "",
) -> str:
    """Store a finished edit with its delta."""
    component = f"blocks.{len(below)}.mlp"
    spec = {
        "kind": "unlearn", "model": {"base": "demo", "edits": list(below)} if below else "demo",
        "facts": {"set": "sports", "forget": forget, "edit_to": edit_to},
        "mask": {"components": [component]},
    }  # fmt: skip
    with engine.store.database.write() as session:
        run_id = insert_run(
            session, parse_spec(spec), owner="", title=after, tags=(), parents=None, priority=1
        )
    attempt = engine.store.begin_attempt(run_id, "test-host:cpu", "g")
    assert attempt is not None
    receipt = Receipt(
        tensors=(), n_parameters=1, n_changed=1, hash_before=before, hash_after=after,
        outside_unchanged=True, n_outside_checked=1, base_restored=True,
    )  # fmt: skip
    provenance = Provenance(
        model="demo", weights_hash="w", seed=0, device="cpu", dtype="float32", versions={}
    )
    result = Result(
        kind="unlearn", spec=spec, provenance=provenance, seconds=1, peak_memory_bytes=1,
        receipt=receipt, mask=Mask(components=(component,)), files={"delta": "delta.safetensors"},
    )  # fmt: skip
    engine.store.artifacts.put_bytes(f"runs/{run_id}/delta.safetensors", b"-")
    engine.store.finish(run_id, attempt.number, "done", "", result)
    return run_id


@pytest.fixture
def edits(engine: Engine, menu: Announcement) -> tuple[str, str]:
    """One edit on the base and one on top of it."""
    low = edit(engine, "base0000", "low11111", (), "first:2")
    return low, edit(engine, "low11111", "high2222", (low,), "ids:fact-5,fact-6")


def asked(*ids: str) -> dict[str, Any]:
    return {"model": "demo", "edit": list(ids)} | {f"place.{x}": i for i, x in enumerate(ids, 1)}


def test_edits_are_listed_with_what_they_were_made_on(
    client: TestClient, edits: tuple[str, str]
) -> None:
    page = client.get("/stacks").text
    assert all(f'value="{one}"' in page for one in edits)
    assert "the base" in page and "high2222" in page
    assert "has no finished edit yet" in client.get("/stacks?model=broken").text


def test_many_edits_are_listed_with_as_many_questions_as_few(
    client: TestClient, engine: Engine, edits: tuple[str, str], monkeypatch: pytest.MonkeyPatch
) -> None:
    client.get("/stacks")
    with asked_of(engine.store.database) as few:
        client.get("/stacks")
    for number in range(6):
        edit(engine, "base0000", f"more{number}", (), "first:2")
    with asked_of(engine.store.database) as many:
        page = client.get("/stacks").text
    assert len(many) == len(few) and "more5" in page
    monkeypatch.setattr(_stack, "LISTED", 2)
    page = client.get("/stacks", params=asked(*edits)).text
    assert "more5" in page and "more3" not in page
    assert all(f'name="edit" value="{one}" checked' in page for one in edits)


def test_a_stack_in_its_own_order_is_exact_and_its_revert_is_told_by_checksum(
    client: TestClient, edits: tuple[str, str]
) -> None:
    page = client.get("/stacks", params=asked(*edits)).text
    assert "the very weights that were measured: high2222" in page
    assert "Reverting is exact: without its top edit the stack has checksum low11111" in page
    swapped = client.get("/stacks", params=asked(*reversed(edits))).text
    assert "put on by the difference" in swapped and "the very weights" not in swapped


def test_interference_of_an_exact_stack_is_an_evaluation(
    client: TestClient, engine: Engine, edits: tuple[str, str]
) -> None:
    answer = client.post("/stacks/evaluate", data=asked(*edits), headers=HTMX)
    run = engine.store.runs(limit=1)[0]
    assert answer.headers["HX-Redirect"] == f"/runs/{run.id}", answer.text
    assert run.kind == "evaluate" and run.spec["evaluations"] == ["interference"]
    assert run.spec["model"] == {"base": "demo", "edits": list(edits)}


def test_another_order_becomes_an_edit_of_its_own(
    client: TestClient, engine: Engine, edits: tuple[str, str]
) -> None:
    client.post("/stacks/evaluate", data=asked(*reversed(edits)), headers=HTMX)
    run = engine.store.runs(limit=1)[0]
    assert run.spec["method"] == "stack_edits" and run.spec["model"] == "demo"
    assert run.spec["options"] == {"edits": list(reversed(edits))}
    assert run.spec["mask"]["components"] == ["blocks.0.mlp", "blocks.1.mlp"]
    ids = json.loads(run.spec["facts"]["forget"].removeprefix("ids:"))
    assert set(ids) == {"fact-0", "fact-1", "fact-5", "fact-6"}
    assert set(run.parents) == set(edits)


def test_a_stack_of_edits_to_one_answer_keeps_that_answer_and_of_several_is_refused(
    client: TestClient, engine: Engine, menu: Announcement
) -> None:
    golf, tennis, more = (
        edit(engine, "base0000", f"after{i}", (), f"ids:fact-{i}", answer)
        for i, answer in enumerate(("golf", "tennis", "golf"))
    )
    client.post("/stacks/evaluate", data=asked(golf, more), headers=HTMX)
    assert engine.store.runs(limit=1)[0].spec["facts"]["edit_to"] == "golf"
    refused = client.post("/stacks/evaluate", data=asked(golf, tennis), headers=HTMX)
    assert refused.status_code == 422 and "put different answers in" in refused.text


def test_the_engine_resolves_the_facts_and_deltas_of_a_stack(
    engine: Engine, menu: Announcement, edits: tuple[str, str]
) -> None:
    from worker.engine.resolve import resolve

    facts = {"set": "sports", "forget": "first:4"}
    on_top = parse_spec(
        {
            "kind": "evaluate", "facts": facts, "evaluations": ["interference"],
            "model": {"base": "demo", "edits": list(edits)},
        }
    )  # fmt: skip
    found = resolve(on_top, engine.store, menu, "")
    assert [[f.id for f in group] for group in found.edited] == [
        ["fact-0", "fact-1"],
        ["fact-5", "fact-6"],
    ]
    moved = parse_spec(
        {
            "kind": "unlearn", "facts": facts, "mask": {"components": ["blocks.1.mlp"]},
            "method": "stack_edits", "options": {"edits": [edits[1]]},
        }
    )  # fmt: skip
    stacked = resolve(moved, engine.store, menu, "").stacked[edits[1]]
    assert len(stacked.deltas) == 2 and [f.id for f in stacked.facts] == ["fact-5", "fact-6"]


@pytest.mark.parametrize(
    ("params", "said"),
    [
        ({"edit": "gone"}, "There is no run"),
        ({"edit": "LOW", "place.LOW": "first"}, "expected a whole number"),
    ],
)
def test_what_is_no_stack_is_said(
    client: TestClient, edits: tuple[str, str], params: dict[str, str], said: str
) -> None:
    low = {k.replace("LOW", edits[0]): v.replace("LOW", edits[0]) for k, v in params.items()}
    answer = client.get("/stacks", params=low)
    assert answer.status_code == 422 and said in answer.text
    none = client.post("/stacks/evaluate", data={"model": "demo"})
    assert none.status_code == 422 and "No edit is chosen" in none.text
