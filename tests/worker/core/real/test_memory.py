"""The memory that is told of runs on the real model, beside what they are then seen to take."""

from pathlib import Path
from typing import Any

import pytest

from worker.contract.inputs import Inputs
from worker.contract.mask import Mask
from worker.contract.progress import Quiet
from worker.contract.spec import parse_spec
from worker.core.ahead.preflight import preflight
from worker.core.facts.continents import fact_set
from worker.core.models.cache import ModelCache
from worker.core.models.components import component_parameters
from worker.core.models.model import Model
from worker.run import run

ONE_STEP = {"learning_rate": 1e-4, "steps": 1, "keep": "last", "retain_floor": 0.0}


pytestmark = [
    pytest.mark.slow,
    pytest.mark.skipif(
        not Path("/proc/self/clear_refs").exists(), reason="only Linux forgets a process's peak"
    ),
]


@pytest.mark.parametrize(
    ("method", "options", "lowest"),
    [("npo", ONE_STEP, 24), ("rome", {"value_steps": 2}, 2)],
)
def test_an_edit_takes_what_was_said_to_within_a_fifth(
    real_model: Model, tmp_path: Path, method: str, options: dict[str, Any], lowest: int
) -> None:
    counts = component_parameters(real_model)
    names = tuple(f"blocks.{layer}.mlp" for layer in range(lowest, lowest + 3))
    mask = Mask(components=names, n_parameters=sum(counts[name] for name in names))
    spec = {"kind": "unlearn", "mask": {"components": names}, "method": method, "options": options}
    told, used = told_and_used(real_model, tmp_path, spec, mask)
    assert 0.8 < told / used < 1.2, f"{told / 1e9:.3g} GB told, {used / 1e9:.3g} GB used"


@pytest.mark.parametrize("method", ["direct_logit_attribution", "logit_lens", "eap"])
def test_a_localization_takes_what_was_said_to_within_a_fifth(
    real_model: Model, tmp_path: Path, method: str
) -> None:
    told, used = told_and_used(real_model, tmp_path, {"kind": "localize", "method": method})
    assert 0.8 < told / used < 1.2, f"{told / 1e9:.3g} GB told, {used / 1e9:.3g} GB used"


def told_and_used(
    model: Model, folder: Path, spec: dict[str, Any], mask: Mask | None = None
) -> tuple[int, int]:
    """Bytes told of a run on eight facts, and its peak."""
    models = ModelCache()
    models._models[model.id] = model
    asked = {"set": "continents", "forget": "first:8", "known": {"probability": 0}}
    run_spec = parse_spec({**spec, "model": model.id, "facts": asked})
    inputs = Inputs(out=str(folder), fact_set=fact_set(), mask=mask)
    told = preflight(run_spec, inputs, model, brief=True).memory_bytes
    return told, run(run_spec, inputs, Quiet(), models).peak_memory_bytes
