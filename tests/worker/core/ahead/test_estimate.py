"""What a formula counts where a run is about other facts, or other prompts, than its spec's own."""

import pytest

from tests.worker.core.ahead import test_every_estimate as every
from tests.worker.core.test_every_method import FACTS
from worker.contract.inputs import Inputs
from worker.core.models.cache import ModelCache

MANY = FACTS.facts[:24]
models = every.models


def about_many(**given: object) -> Inputs:
    """Inputs of a run whose edits changed many facts."""
    plain = Inputs.model_validate(given)
    stacked = {name: one.model_copy(update={"facts": MANY}) for name, one in plain.stacked.items()}
    return plain.model_copy(update={"stacked": stacked, "edited": (MANY,) * len(plain.edited)})


@pytest.mark.parametrize(
    ("kind", "name", "below"),
    [("unlearning", "stack_edits", ("rome", "ft_l")), ("evaluation", "interference", ("rome",))],
)
def test_a_formula_of_a_stack_counts_its_edits_facts_whichever_the_run_chooses(
    kind: str,
    name: str,
    below: tuple[str, ...],
    models: ModelCache,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    made = tuple(every.edit(method, models) for method in below)
    monkeypatch.setattr(every, "Inputs", about_many)
    found = every.counted(kind, name, models, models.roots[0] / "many" / name, made)
    assert found.ratio < every.WITHIN, f"{found.told:.3g} told, {found.counted:.3g} counted"


def test_a_formula_counts_templates_of_ones_own(models: ModelCache) -> None:
    templates = ("we know that the man {} plays", "so {} plays")
    own = {"formats": ("statement",), "templates": templates, "generate": False}
    below = (every.edit("rome", models),)
    out = models.roots[0] / "templates"
    found = every.counted("evaluation", "probes", models, out, below, {"probes": own})
    assert found.ratio < every.WITHIN, f"{found.told:.3g} told, {found.counted:.3g} counted"
