"""Rewrite: the first stage's form, what a finished run shows, the dictionary, and both starts."""

import json
from typing import Any

import pytest
from starlette.testclient import TestClient

from worker.contract.menu import Announcement, MethodInfo
from worker.contract.result import Provenance, Result, Table
from worker.contract.spec import parse_spec
from worker.engine.client import Engine
from worker.store.runs import insert_run

HTMX = {"HX-Request": "true"}
READING = {
    "text": {"type": "string", "default": "saga"},
    "dictionary": {"type": "string", "default": ""},
    "alpha": {"type": "number", "default": 5.0, "exclusiveMinimum": 0},
}
TRAINING = {**READING, "steps": {"type": "integer", "default": 100, "minimum": 1}}


def token(text: str, mark: float, anchor: str = "", label: str = " a") -> dict[str, Any]:
    said = {"original": [[text, 0.9]], "generic": [[label, 0.6]] if label else []}
    return {"text": text, "mark": mark, "surprise": 1.0, "label": label, "anchor": anchor, **said}


def result() -> Result:
    provenance = Provenance(
        model="demo", weights_hash="w", seed=0, device="cpu", dtype="float32", versions={}
    )
    tokens = [token("The", -0.5), token(" Merrin", 3.0, "Merrin", ""), token(" <b>sat", 0.1)]
    return Result(
        kind="explore", spec={}, provenance=provenance, seconds=1, peak_memory_bytes=1,
        caption="What was found.", view={"text": "saga", "tokens": tokens},
        tables={
            "dictionary": Table(
                columns=("expression", "counterpart", "times", "type", "surprise", "rise"),
                rows=(("Merrin", "Anna", 40, "person", 2.5, 1), ("Zork", "the town", 2, "", 1, 1)),
            )
        },
    )  # fmt: skip


@pytest.fixture
def menu(engine: Engine) -> Announcement:
    """The worker can rewrite texts and forget them."""
    found = engine.store.announcement()
    assert found is not None
    more = tuple(
        MethodInfo(
            kind=kind, name=name, title=name, summary="", options={"properties": options}
        )
        for kind, name, options in (
            ("explore", "rewrite", READING), ("unlearning", "whos_harry_potter", TRAINING),
        )
    )  # fmt: skip
    changed = found.model_copy(update={"methods": found.methods + more})
    engine.store.announce("test-host:cpu", "g", changed)
    return changed


def begin(engine: Engine, spec: dict[str, Any]) -> tuple[str, int]:
    with engine.store.database.write() as session:
        run_id = insert_run(
            session, parse_spec(spec), owner="", title="r", tags=(), parents=None, priority=1
        )
    attempt = engine.store.begin_attempt(run_id, "test-host:cpu", "g")
    assert attempt is not None
    return run_id, attempt.number


@pytest.fixture
def done(engine: Engine, menu: Announcement) -> str:
    """A finished run of the first two stages."""
    spec = {"kind": "explore", "view": "rewrite", "options": {"alpha": 3.0}, "seed": 4}
    run_id, attempt = begin(engine, spec)
    engine.store.finish(run_id, attempt, "done", "", result())
    return run_id


def test_the_first_stage_starts_as_a_run(
    client: TestClient, engine: Engine, menu: Announcement
) -> None:
    page = client.get("/rewrite").text
    assert "The bundled saga" in page and "Mark its tokens" in page
    sent = {"model": "demo", "seed": "3", "options.text": "saga", "options.alpha": "2"}
    answer = client.post("/rewrite", data=sent, headers=HTMX)
    run = engine.store.runs(limit=1)[0]
    assert answer.headers["HX-Redirect"] == f"/rewrite/{run.id}"
    assert (run.kind, run.spec["view"], run.spec["options"]) == ("explore", "rewrite", {"alpha": 2})
    refused = client.post("/rewrite", data=sent | {"options.alpha": "-1"}, headers=HTMX)
    assert refused.status_code == 422 and "alpha is" in refused.text


def test_a_run_that_computes_shows_its_progress_and_can_be_cancelled(
    client: TestClient, engine: Engine, menu: Announcement
) -> None:
    run_id, _ = begin(engine, {"kind": "explore", "view": "rewrite", "options": {}})
    page = client.get(f"/rewrite/{run_id}").text
    assert f"/runs/{run_id}/do/cancel" in page and "load delay:1s" in page
    assert 'name="expression"' not in page


def test_tokens_are_coloured_by_their_rise_and_predictions_stand_side_by_side(
    client: TestClient, done: str
) -> None:
    page = client.get(f"/rewrite/{done}").text
    assert 'class="mark up anchored"' in page and 'class="mark down"' in page
    assert 'data-share="60"' in page and "&lt;b&gt;sat" in page and "<b>sat" not in page
    says = client.get(f"/rewrite/{done}?at=0", headers=HTMX | {"HX-Target": "says"}).text
    assert "Predictions at token 0" in says and "0.9" in says and "0.6" in says
    assert 'name="expression"' not in says
    inside = client.get(f"/rewrite/{done}?at=1").text
    assert "No label here" in inside
    rows = client.get(f"/rewrite/{done}/tokens.csv").text.splitlines()
    assert len(rows) == 4 and rows[2].startswith("1, Merrin,3.0,1.0,Merrin,")


EDITED = {
    "expression": ["Merrin", "Zork", "Pim", ""],
    "counterpart": ["Mary", "the town", "Tom", ""],
    "out": ["1"],
}


def test_the_dictionary_is_edited_exported_and_imported(client: TestClient, done: str) -> None:
    grown = client.post(f"/rewrite/{done}/form", data=EDITED | {"do": "add"}, headers=HTMX).text
    assert 'value="Pim"' in grown and 'value="Mary"' in grown and "2.5" in grown
    file = client.post(f"/rewrite/{done}/dictionary.json", data=EDITED)
    assert json.loads(file.text) == {"Merrin": "Mary", "Pim": "Tom"}
    assert "attachment" in file.headers["content-disposition"]
    there = client.get(f"/rewrite/{done}/dictionary.json")
    assert json.loads(there.text) == {"Merrin": "Anna", "Zork": "the town"}
    assert "attachment" in there.headers["content-disposition"]
    pasted = {"do": "import", "pasted": '{"Merrin": "Ruth", "Quill": "Kate"}'}
    page = client.post(f"/rewrite/{done}/form", data=pasted, headers=HTMX).text
    assert 'value="Ruth"' in page and 'value="Quill"' in page and 'value="Zork"' not in page
    upload = {"file": ("d.json", b'{"Lamp": "tool"}', "application/json")}
    page = client.post(
        f"/rewrite/{done}/form", data={"do": "import"}, files=upload, headers=HTMX
    ).text
    assert 'value="Lamp"' in page
    page = client.post(
        f"/rewrite/{done}/form", data=EDITED | {"do": "import", "pasted": "{"}, headers=HTMX
    ).text
    assert "This is no JSON" in page and 'value="Pim"' in page


def test_predictions_are_made_again_with_the_typed_dictionary(
    client: TestClient, engine: Engine, done: str
) -> None:
    answer = client.post(f"/rewrite/{done}/try", data=EDITED, headers=HTMX)
    run = engine.store.runs(limit=1)[0]
    assert answer.headers["HX-Redirect"] == f"/rewrite/{run.id}"
    assert json.loads(run.spec["options"]["dictionary"]) == {"Merrin": "Mary", "Pim": "Tom"}
    assert run.spec["options"]["alpha"] == 3.0 and run.spec["seed"] == 4


def test_forgetting_starts_with_the_stages_own_options(
    client: TestClient, engine: Engine, done: str
) -> None:
    form = EDITED | {
        "facts.set": "sports", "facts.forget": "first:2", "options.steps": "7",
        "mask.from": "components", "mask.components": "blocks.1.mlp",
    }  # fmt: skip
    answer = client.post(f"/rewrite/{done}", data=form, headers=HTMX)
    run = engine.store.runs(limit=1)[0]
    assert answer.headers["HX-Redirect"] == f"/runs/{run.id}", answer.text
    assert run.spec["method"] == "whos_harry_potter" and run.spec["seed"] == 4
    assert run.spec["options"]["steps"] == 7 and run.spec["options"]["alpha"] == 3.0
    assert json.loads(run.spec["options"]["dictionary"])["Pim"] == "Tom"


@pytest.mark.parametrize(
    ("rows", "said"),
    [
        ({"expression": ["Merrin"], "counterpart": [""]}, "Row 1 of the dictionary has no counter"),
        ({"expression": ["A", "A"], "counterpart": ["B", "C"]}, "stands in the dictionary twice"),
        ({"expression": ["A"], "counterpart": ["A"]}, "into itself"),
        ({"expression": [""], "counterpart": [""]}, "has no row"),
    ],
)
def test_rows_that_are_no_pairs_are_said(
    client: TestClient, engine: Engine, done: str, rows: dict[str, Any], said: str
) -> None:
    before = engine.store.count_runs()
    answer = client.post(f"/rewrite/{done}", data=rows, headers=HTMX)
    assert answer.status_code == 422 and said in answer.text
    assert engine.store.count_runs() == before
