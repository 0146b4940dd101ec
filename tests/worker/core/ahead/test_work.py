"""The work that formulas count, held against the operations that torch counts of the same run."""

from dataclasses import replace
from types import SimpleNamespace
from typing import Any

import pytest
from torch.utils.flop_counter import FlopCounterMode

from worker.contract.facts import Fact
from worker.contract.mask import Mask
from worker.contract.progress import Quiet
from worker.contract.selection import Selection
from worker.core.ahead.estimate import FORMULAS
from worker.core.ahead.scene import look
from worker.core.asking.before_after import BeforeAfter
from worker.core.findings import Job
from worker.core.models.components import component_parameters
from worker.core.models.model import Model
from worker.core.registry import methods

FEW: dict[str, Any] = {
    "steps": 3, "value_steps": 3, "reinforce_steps": 2, "bootstrap": 10, "covariance_tokens": 200,
    "general_sentences": 16, "draws": 1, "sentences": 8, "min_probability": 0.0, "keep": "last",
    "keep_raised": True, "retain_floor": 0.0, "stop_goal": 0.0, "generate": False,
    "formats": ("statement", "question"), "modes": ("lora",), "search": "off",
}  # fmt: skip
"""Options of the counted runs, where a method has them: short, and nothing left out by chance."""
NOT_ALONE = {
    "stack_edits", "interference", "patch_back", "verdict", "language_tasks", "familiarity",
    "whos_harry_potter", "latent_probes", "weight_masking", "task_vector", "ripple",
    "multiple_choice", "truth_ratio", "faithfulness", "fact_lookup", "side_effects",
}  # fmt: skip
"""Methods that need an edit, a text, a harness, or more and other facts than a tiny model's."""


@pytest.mark.parametrize("kind", FORMULAS)
def test_every_method_has_a_formula_of_its_work(kind: str) -> None:
    assert set(FORMULAS[kind]) == set(methods(kind))  # type: ignore[arg-type]


@pytest.mark.parametrize(
    ("kind", "name"),
    [(kind, name) for kind, of in FORMULAS.items() for name in of if name not in NOT_ALONE],
)
def test_a_formula_counts_what_torch_counts(
    kind: str, name: str, model: Model, facts: tuple[Fact, ...]
) -> None:
    found = methods(kind)[name]  # type: ignore[index]
    given = {key: value for key, value in FEW.items() if key in found.options.model_fields}
    options = found.options.model_validate(given)
    names = ("blocks.1.mlp", "blocks.2.mlp")
    mask = Mask(components=names, n_parameters=sum(component_parameters(model)[n] for n in names))
    half = len(facts) // 2
    chosen = Selection(forget=facts[:half], retain=facts[half:])
    job = replace(Job(seed=0, report=Quiet(), pool=facts), mask=mask)
    scene = look(model, chosen.forget, retain=len(chosen.retain), mask=mask)
    told = FORMULAS[kind][name](scene, options).operations
    with _counting() as counter:
        if kind == "localization":
            found.function(model, chosen.forget, options, job)
        elif kind == "unlearning":
            found.function(model, chosen, mask, options, job)
        else:
            found.function(BeforeAfter(model), chosen, options, job)
    assert 0.4 < told / counter.get_total_flops() < 2.5, f"{told:.3g} told"


def _counting() -> FlopCounterMode:
    """A counter that does not follow modules: its hooks on them keep gradients from leaves."""
    counter = FlopCounterMode(display=False)
    counter.mod_tracker = SimpleNamespace(
        parents={"Global"}, __enter__=lambda: None, __exit__=lambda *error: None
    )
    return counter
