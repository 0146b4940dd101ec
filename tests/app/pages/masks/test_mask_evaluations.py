"""Evaluations that ask about a mask: the form shows its choice, and the spec names it."""

import pytest
from starlette.testclient import TestClient

from worker.contract.mask import Mask
from worker.contract.menu import MethodInfo
from worker.contract.spec import parse_spec
from worker.engine.client import Engine
from worker.engine.resolve import resolve

HTMX = {"HX-Request": "true"}
FORM = {
    "model": "demo",
    "facts.set": "sports",
    "facts.how": "first",
    "facts.n": "16",
    "seed": "0",
    "evaluations.asked": "1",
}


@pytest.fixture
def asks(engine: Engine) -> Engine:
    """A worker that can ask about masks."""
    menu = engine.store.announcement()
    assert menu is not None
    faithfulness = MethodInfo(
        kind="evaluation",
        name="faithfulness",
        title="Faithfulness of a mask",
        summary="Asks whether a mask carries the facts.",
        options={"type": "object", "properties": {}, "needs_mask": True},
    )
    more = menu.model_copy(update={"methods": (*menu.methods, faithfulness)})
    engine.store.announce("test-host:cpu", "g", more)
    return engine


def test_the_mask_is_asked_for_only_where_it_is_needed(client: TestClient, asks: Engine) -> None:
    plain = client.post("/probes/form", data=FORM | {"evaluations": "probes"}, headers=HTMX).text
    asked = client.post("/probes/form", data=FORM | {"evaluations": "faithfulness"}, headers=HTMX)
    assert "Of which mask" not in plain
    assert "Of which mask" in asked.text and 'name="mask.from"' in asked.text


def test_the_spec_names_the_mask_and_it_is_resolved(client: TestClient, asks: Engine) -> None:
    stored = asks.store.save_mask("m", "demo", Mask(components=("blocks.1.mlp",), n_parameters=1))
    fields = {"evaluations": "faithfulness", "mask.from": "id", "mask.id": stored.id}
    answer = client.post("/probes", data=FORM | fields, headers=HTMX)
    assert answer.status_code == 200, answer.text
    record = asks.store.runs(limit=1)[0]
    assert record.spec["mask"]["id"] == stored.id
    menu, spec = asks.store.announcement(), parse_spec(record.spec)
    assert menu is not None
    inputs = resolve(spec, asks.store, menu, out="")
    assert inputs.mask is not None and inputs.mask.components == ("blocks.1.mlp",)
    assert inputs.scores == {}


def test_a_mask_that_is_not_chosen_is_said_beside_its_field(
    client: TestClient, asks: Engine
) -> None:
    fields = {"evaluations": "faithfulness", "mask.from": "components", "mask.components": ""}
    answer = client.post("/probes", data=FORM | fields, headers=HTMX)
    assert answer.status_code == 422
    assert "expected names such as blocks.1.mlp" in answer.text
