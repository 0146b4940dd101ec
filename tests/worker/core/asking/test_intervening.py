"""Evaluations under interventions: a hunch from one prompt is measured on a whole fact set."""

import json
from pathlib import Path
from typing import Any

import pytest

from worker.contract.errors import UserError
from worker.contract.inputs import Inputs
from worker.contract.progress import Quiet
from worker.contract.result import Result
from worker.contract.settings import Settings
from worker.contract.spec import EvaluateSpec, parse_spec
from worker.core.facts.reading import bundled_fact_sets
from worker.core.models.cache import ModelCache
from worker.run import open_models, run

FACTS = {"set": "athletes", "forget": "first:3"}
PROBES = {"probes": {"formats": ["statement"], "generate": False, "retain_facts": 2}}
ALL_MLPS = [{"kind": "zero", "site": "mlp", "layer": layer} for layer in range(8)]


@pytest.fixture(scope="module")
def models() -> ModelCache:
    return open_models(Settings())


def evaluate(
    models: ModelCache, out: Path, interventions: list[dict[str, Any]], **more: Any
) -> Result:
    spec = parse_spec(
        {"kind": "evaluate", "facts": FACTS, "options": PROBES, "evaluations": ["probes"]}
        | {"interventions": interventions}
        | more
    )
    athletes = next(one for one in bundled_fact_sets() if one.name == "athletes")
    return run(spec, Inputs(out=str(out), fact_set=athletes), Quiet(), models)


def numbers(result: Result, state: str) -> dict[str, Any]:
    return {k: v for k, v in result.summary.items() if k.endswith(f".{state}")}


def test_an_evaluation_measures_without_and_under_interventions_and_says_so(
    models: ModelCache, tmp_path: Path
) -> None:
    model = models.get("demo")
    state = model.state_hash
    found = evaluate(models, tmp_path / "one", ALL_MLPS)
    key = "probes.statement.forget.target_probability"
    assert found.summary[f"{key}.before"] > 0.9
    assert found.summary[f"{key}.after"] < found.summary[f"{key}.before"] - 0.1
    assert found.provenance.interventions == tuple(
        f"the MLP of layer {layer} set to zero" for layer in range(8)
    )
    assert "Under the MLP of layer 0 set to zero" in found.caption
    assert "Under the MLP of layer 0" in found.evaluations["probes"].caption
    assert found.spec["interventions"][2]["layer"] == 2
    written = json.loads((tmp_path / "one" / "result.json").read_text())
    assert written["provenance"]["interventions"][0] == "the MLP of layer 0 set to zero"
    assert model.state_hash == state and not model.intervened
    plain = evaluate(models, tmp_path / "two", [])
    assert not numbers(plain, "after")
    assert "interventions" not in plain.spec and "Under" not in plain.caption
    first, second = numbers(found, "before"), numbers(plain, "before")
    assert first == pytest.approx(second, abs=1e-5)


def test_an_evaluation_is_what_plain_hooks_on_the_same_prompts_give(
    models: ModelCache, tmp_path: Path
) -> None:
    given = [{"kind": "scale", "site": "attn", "layer": 1, "factor": 0.2}]
    found = evaluate(models, tmp_path, given)
    model = models.get("demo")
    attention = model.blocks[1].get_submodule(model.layout.attn)
    hook = attention.register_forward_hook(lambda _, __, out: (out[0] * 0.2, *out[1:]))
    try:
        plain = evaluate(models, tmp_path, [])
    finally:
        hook.remove()
    # Weights are the same, so what was kept of the plain model must not be given for this one.
    assert numbers(found, "after") == pytest.approx(
        {f"{k.removesuffix('.before')}.after": v for k, v in numbers(plain, "before").items()},
        abs=1e-4,
    )


@pytest.mark.parametrize("kind", ["mean", "resample"])
def test_means_and_draws_are_those_of_the_fact_sets_prompts(
    kind: str, models: ModelCache, tmp_path: Path
) -> None:
    given = [{"kind": kind, "site": "head", "layer": layer, "head": 0} for layer in range(4)]
    one, two = (evaluate(models, tmp_path, given) for _ in range(2))
    assert numbers(one, "after") == numbers(two, "after"), "the seed decides"
    assert numbers(one, "after") != numbers(one, "before")


WRONG: list[tuple[str, dict[str, Any], str]] = [
    ("layers 0 to 7", {"kind": "zero", "site": "mlp", "layer": 80}, "interventions.0.layer"),
    ("fact set's prompts differ", {"kind": "zero", "site": "mlp", "layer": 0, "token": 2},
     "interventions.0.token"),
    ("corrupted prompt", {"kind": "patch", "site": "mlp", "layer": 0}, "interventions.0.kind"),
]  # fmt: skip


@pytest.mark.parametrize(("words", "given", "field"), WRONG)
def test_what_a_fact_set_cannot_be_asked_under_is_refused_at_its_field(
    words: str, given: dict[str, Any], field: str, models: ModelCache, tmp_path: Path
) -> None:
    with pytest.raises(UserError, match=words) as caught:
        evaluate(models, tmp_path, [given])
    assert [where for where, _ in caught.value.problems] == [field]


def test_an_evaluation_with_runs_of_its_own_is_refused_under_interventions(
    models: ModelCache, tmp_path: Path
) -> None:
    for name in ("faithfulness", "patch_back", "interference"):
        with pytest.raises(UserError, match="cannot be asked under interventions"):
            evaluate(models, tmp_path, ALL_MLPS, evaluations=[name], options={})


def test_side_effects_are_measured_under_interventions(models: ModelCache, tmp_path: Path) -> None:
    few = {"sentences": 2, "facts_per_relation": 2, "other_relations": False}
    found = evaluate(
        models, tmp_path, ALL_MLPS, evaluations=["side_effects"], options={"side_effects": few}
    )
    before, after = numbers(found, "before"), numbers(found, "after")
    assert after and len(after) == len(before)
    assert isinstance(parse_spec(found.spec), EvaluateSpec)
