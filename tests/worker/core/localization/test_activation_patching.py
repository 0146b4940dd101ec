import numpy as np
import pytest

from tests.worker.core.localization.planted import CARRY, FACTS, STORE, make_planted
from tests.worker.core.models.families import make_model
from worker.contract.progress import Quiet
from worker.core.findings import Job
from worker.core.localization.activation_patching import Options, localize

ANY = {"min_probability": 0.0, "corruption": "random_tokens"}


def patch(model, facts, **options):
    return localize(model, facts, Options(**options), Job(0, Quiet()))


@pytest.mark.parametrize("direction", ["denoising", "noising"])
def test_the_planted_store_is_sufficient_and_necessary(direction):
    found = patch(make_planted(), FACTS[:6], direction=direction)
    assert found.summary["components.top_mlp"] == STORE
    assert found.summary["components.top_head"] == CARRY
    assert found.summary["components.top_mlp_score"] == pytest.approx(1, abs=0.1)


@pytest.mark.parametrize("direction", ["denoising", "noising"])
def test_the_last_residual_at_the_last_token_is_everything(direction):
    found = patch(make_model("gemma3"), FACTS[:2], direction=direction, **ANY)
    for i, fact in enumerate(found.attribution.facts):
        total = found.arrays["grid.resid"].values[i, -1, len(fact.tokens) - 1]
        assert total == pytest.approx(1, abs=1e-4)


def test_whole_components_come_without_a_heatmap():
    found = patch(make_model("llama"), FACTS[:2], places="whole", **ANY)
    assert not [name for name in found.arrays if name.startswith("grid.")]
    assert np.isfinite(found.arrays["components"].values).all()
