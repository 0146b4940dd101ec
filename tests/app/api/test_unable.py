"""What a method cannot do with an architecture is answered with 422, and no worker is asked."""

from typing import Any

from starlette.testclient import TestClient

from tests.app.conftest import WORKER, AskedEngine, announcement


def test_a_method_that_the_architecture_rules_out_is_refused_beside_its_field(
    script: TestClient, client: TestClient, engine: AskedEngine, spec: dict[str, Any]
) -> None:
    known = announcement()
    methods = tuple(
        m.model_copy(update={"needs": ("mlp_matrix",)}) if m.kind == "localization" else m
        for m in known.methods
    )
    models = tuple(
        m.model_copy(update={"lacks": {"mlp_matrix": "its MLPs are experts"}}) for m in known.models
    )
    engine.store.announce(
        WORKER, "g", known.model_copy(update={"methods": methods, "models": models})
    )
    engine.is_alive = False
    refused = script.post("/api/runs", json=spec)
    assert refused.status_code == 422
    (problem,) = refused.json()["detail"]
    assert problem["field"] == "method"
    assert "cannot be used on 'demo': its MLPs are experts" in problem["message"]
    page = client.get("/models").text
    assert "Not for Causal tracing: its MLPs are experts." in page
