"""Unlearn: where the mask comes from, and the edited models that can be chosen afterwards."""

from types import ModuleType
from typing import Any

import pytest
from starlette.testclient import TestClient

from app.drawing.drawing import Source
from tests.app.pages.runs.test_results import Put
from worker.contract.mask import Mask
from worker.engine.client import Engine

HTMX = {"HX-Request": "true"}
FORM = {
    "model": "demo",
    "facts.set": "sports",
    "facts.how": "first",
    "facts.n": "16",
    "seed": "0",
    "method": "localized_finetuning",
    "options.of": "localized_finetuning",
    "options.sites": "mlp",
}
LOW = {"mask.from": "components"}


def mask_sent(client: TestClient, engine: Engine, **fields: str) -> dict[str, Any]:
    answer = client.post("/unlearn", data=FORM | fields, headers=HTMX)
    assert answer.status_code == 200, answer.text
    mask = engine.store.runs(limit=1)[0].spec["mask"]
    return {k: v for k, v in mask.items() if v is not None}


def test_components_are_typed_in_any_separation(client: TestClient, engine: Engine) -> None:
    typed = {
        "mask.from": "components",
        "mask.components": "blocks.1.mlp, blocks.2.mlp\nblocks.3.attn",
    }
    assert mask_sent(client, engine, **typed) == {
        "components": ["blocks.1.mlp", "blocks.2.mlp", "blocks.3.attn"]
    }


def test_a_stored_mask_is_sent_by_its_id(client: TestClient, engine: Engine) -> None:
    stored = engine.store.save_mask("m", "demo", Mask(components=("blocks.1.mlp",), n_parameters=1))
    assert mask_sent(client, engine, **{"mask.from": "id", "mask.id": stored.id}) == {
        "id": stored.id
    }


def test_a_control_is_sent_with_its_budget(client: TestClient, engine: Engine) -> None:
    typed = {
        "mask.from": "control",
        "mask.control.kind": "random",
        "mask.control.parameters": "200",
    }
    assert mask_sent(client, engine, **typed)["control"] == {"kind": "random", "parameters": 200}


def test_a_localizations_own_choice_is_sent_as_a_rule(
    client: TestClient, put: Put, made: ModuleType, engine: Engine
) -> None:
    source = made.localization_source()
    assert source.result.attribution is not None
    suggested = Mask(components=("blocks.0.mlp",), n_parameters=100)
    attribution = source.result.attribution.model_copy(update={"suggested": suggested})
    result = source.result.model_copy(update={"attribution": attribution})
    typed = {
        "mask.from": "localization",
        "mask.localization": put("localize", Source(result, source.open)),
        "mask.rule.kind": "suggested",
    }
    rule = mask_sent(client, engine, **typed)["rule"]
    assert {k: v for k, v in rule.items() if v not in (None, False)} == {
        "suggested": True,
        "only": "all",
    }
    none = result.model_copy(
        update={
            "attribution": attribution.model_copy(
                update={"suggested": None, "no_choice": "No rise found: noise."}
            )
        }
    )
    typed["mask.localization"] = put("localize", Source(none, source.open))
    refused = client.post("/unlearn", data=FORM | typed, headers=HTMX)
    assert refused.status_code == 422 and "No rise found: noise." in refused.text


@pytest.mark.parametrize(
    ("fields", "said"),
    [
        ({"mask.from": "components", "mask.components": ""}, "Nothing is chosen"),
        ({"mask.from": "components", "mask.components": "layer 3"}, "is no component"),
        (
            {"mask.from": "components", "mask.components": "blocks.9.mlp"},
            "no component &#39;blocks.9.mlp&#39;",
        ),
        ({"mask.from": "id", "mask.id": "gone"}, "There is no mask &#39;gone&#39;"),
        (
            {"mask.from": "localization", "mask.localization": "", "mask.rule.value": "3"},
            "Nothing is chosen",
        ),
        ({"mask.from": "control", "mask.control.kind": "random"}, "needs a number of parameters"),
        ({"mask.from": "control", "mask.control.parameters": "many"}, "expected a whole number"),
        ({"mask.from": "elsewhere"}, "is no source of a mask"),
    ],
)
def test_a_mask_that_cannot_be_is_said(
    client: TestClient, engine: Engine, fields: dict[str, str], said: str
) -> None:
    answer = client.post("/unlearn", data=FORM | fields, headers=HTMX)
    assert answer.status_code == 422
    assert said in answer.text
    assert engine.store.count_runs() == 0


def test_the_form_asks_only_for_what_the_mask_needs(client: TestClient) -> None:
    page = client.post("/unlearn/form", data=FORM | {"mask.from": "control"}, headers=HTMX).text
    assert 'name="mask.control.kind"' in page
    assert 'name="mask.components"' not in page


def test_probes_name_the_whole_stack_of_edits(client: TestClient, engine: Engine) -> None:
    mask_sent(client, engine, **{"mask.from": "components", "mask.components": "blocks.1.mlp"})
    edit = engine.store.runs(limit=1)[0]
    page = client.post(
        "/probes", data=FORM | {"model": f"edit:{edit.id}", "evaluations": "probes"}, headers=HTMX
    )
    assert page.status_code == 422
    assert "is queued and gives no edit" in page.text


def test_an_evaluation_must_be_chosen(client: TestClient) -> None:
    answer = client.post("/probes", data=FORM | {"evaluations.asked": "1"}, headers=HTMX)
    assert answer.status_code == 422
    assert "expected at least one evaluation" in answer.text
