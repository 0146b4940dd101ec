"""Every kind of run hashes the tensors that it can have changed, and no other ones.

The slow twin, a full pass over all weights, finds the same checksums after them all.
"""

from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
import torch

from worker.contract.facts import FactSet
from worker.contract.inputs import AskPreflight, Inputs
from worker.contract.mask import Mask
from worker.contract.progress import Quiet
from worker.contract.selection import select
from worker.contract.spec import Spec, parse_spec
from worker.core.facts.reading import bundled_fact_sets
from worker.core.models import delta_files, digests, hashed, stored_values
from worker.core.models.cache import ModelCache
from worker.core.models.components import component_parameters
from worker.core.models.deltas import parameter_checksums
from worker.run import answer, run

FACTS = {"set": "athletes", "forget": "first:2"}
COMPONENTS = ("blocks.1.mlp", "blocks.2.mlp")
EDIT = {
    "kind": "unlearn",
    "facts": {**FACTS, "edit_to": "golf"},
    "mask": {"components": list(COMPONENTS)},
    "method": "memit",
    "options": {"value_steps": 2, "covariance_tokens": 1000},
}
TRAINED = {
    **EDIT,
    "method": "localized_finetuning",
    "options": {"steps": 1, "keep": "last", "learning_rate": 0.001, "retain_floor": 0.0},
}
LOCALIZE = {"kind": "localize", "facts": FACTS, "method": "attribution_patching"}
EVALUATE = {
    "kind": "evaluate",
    "facts": FACTS,
    "evaluations": ["probes"],
    "options": {"probes": {"generate": False}},
}
MOST = 3
"""Times that a tensor of the mask is hashed: changed, written down, and put back."""


@pytest.fixture(scope="module")
def models() -> ModelCache:
    return ModelCache(device="cpu")


@pytest.fixture(scope="module")
def facts() -> FactSet:
    return next(one for one in bundled_fact_sets() if one.name == "athletes")


@pytest.fixture(scope="module")
def delta(models: ModelCache, facts: FactSet, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The delta of an edit, after which every parameter of the base has been hashed once."""
    out = tmp_path_factory.mktemp("edit")
    run(parse_spec(TRAINED), inputs(models, facts, out), Quiet(), models)
    return out / "delta.safetensors"


@pytest.fixture
def seen(delta: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[list[tuple[int, ...]]]:
    """Shapes of the tensors that are hashed while the test runs."""
    found: list[tuple[int, ...]] = []
    digest = digests.digest

    def count(tensor: torch.Tensor) -> str:
        found.append(tuple(tensor.shape))
        return digest(tensor)

    for module in (digests, hashed, delta_files, stored_values):
        monkeypatch.setattr(module, "digest", count)
    yield found


def inputs(models: ModelCache, facts: FactSet, out: Path, *deltas: Path) -> Inputs:
    counts = component_parameters(models.get("demo"))
    mask = Mask(components=COMPONENTS, n_parameters=sum(counts[name] for name in COMPONENTS))
    edited = tuple(select(facts, "first:2").forget for _ in deltas)
    return Inputs(
        out=str(out), fact_set=facts, mask=mask, deltas=tuple(map(str, deltas)), edited=edited
    )


def hashed_by(
    seen: list[tuple[int, ...]], models: ModelCache, spec: Spec, given: Inputs
) -> dict[str, list[tuple[int, ...]]]:
    """Shapes hashed by the look before a run, by its preflight, and by the run."""
    found = {}
    for name, brief in (("look", True), ("preflight", False)):
        seen.clear()
        answer(AskPreflight(spec=spec, inputs=given, brief=brief), models)
        found[name] = list(seen)
    seen.clear()
    run(spec, given, Quiet(), models)
    found["run"] = list(seen)
    return found


def inside(models: ModelCache) -> list[tuple[int, ...]]:
    named = models.get("demo").hf.named_parameters()
    blocks = [name.replace("blocks.", "layers.") + "." for name in COMPONENTS]
    return [tuple(p.shape) for name, p in named if any(block in name for block in blocks)]


@pytest.mark.parametrize("data", [EDIT, TRAINED], ids=["memit", "trained"])
def test_an_edit_hashes_its_mask_and_what_is_asked_before_hashes_nothing(
    data: dict[str, Any],
    seen: list[tuple[int, ...]],
    models: ModelCache,
    facts: FactSet,
    tmp_path: Path,
) -> None:
    given = inputs(models, facts, tmp_path)
    found = hashed_by(seen, models, parse_spec(data), given)
    assert found["look"] == found["preflight"] == []
    tensors = inside(models)
    assert set(found["run"]) <= set(tensors)
    assert 0 < len(found["run"]) <= MOST * len(tensors)
    assert models.verify("demo", full=True)


def test_a_localization_and_what_is_asked_before_hash_nothing(
    seen: list[tuple[int, ...]], models: ModelCache, facts: FactSet, tmp_path: Path
) -> None:
    found = hashed_by(seen, models, parse_spec(LOCALIZE), inputs(models, facts, tmp_path))
    assert found == {"look": [], "preflight": [], "run": []}


def test_an_evaluation_of_an_edit_hashes_what_the_edit_changed(
    seen: list[tuple[int, ...]], models: ModelCache, facts: FactSet, tmp_path: Path, delta: Path
) -> None:
    spec = parse_spec({**EVALUATE, "model": {"base": "demo", "edits": ["one"]}})
    found = hashed_by(seen, models, spec, inputs(models, facts, tmp_path, delta))
    tensors = inside(models)
    assert found["look"] == []
    for name in ("preflight", "run"):
        assert set(found[name]) <= set(tensors) and len(found[name]) <= MOST * len(tensors), name
    assert parameter_checksums(models.get("demo"), full=True) == models.get("demo").digests
