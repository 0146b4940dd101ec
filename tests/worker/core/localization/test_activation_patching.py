import numpy as np
import pytest

from tests.worker.core.localization.planted import CARRY, FACTS, STORE, make_planted
from tests.worker.core.models.families import make_model
from worker.contract.progress import Quiet
from worker.core.findings import Job
from worker.core.localization.activation_patching import Options, localize
from worker.core.patching.cases import Prepared, prepare
from worker.core.patching.outcome import Traced
from worker.core.patching.shares import difference_weights, leave_out_tiny

ANY = {"min_probability": 0.0, "keep_raised": True, "corruption": "random_tokens"}


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


def test_heads_are_patched_at_every_position():
    found = patch(make_planted(), FACTS[:2], sites=("head",))
    heads = found.arrays["positions.head"]
    labels = heads.axes[1].labels
    assert len(labels) == 16 and not [name for name in found.arrays if name.startswith("grid.")]
    fact, head, position = np.unravel_index(np.nanargmax(np.abs(heads.values)), heads.values.shape)
    assert labels[head] == CARRY
    assert position == len(found.attribution.facts[fact].tokens) - 1
    assert heads.values[fact, head, position] == pytest.approx(1, abs=0.1)


def test_means_weigh_facts_by_the_size_of_their_difference():
    case = prepare(make_planted(), FACTS[:1], 0.0, False).cases[0]
    big = Traced(case, 10.0, 0.0, components={"blocks.0.mlp": 0.5})
    small = Traced(case, 1.0, 0.9, components={"blocks.0.mlp": 40.0})
    weights = difference_weights([big, small])
    assert weights.tolist() == pytest.approx([100 / 101, 1 / 101])
    prepared = Prepared()
    traced = {"big": big, "small": small}
    leave_out_tiny(traced, prepared, "logit_diff", 0.05)
    assert list(traced) == ["big"]
    assert prepared.left_out[0].id == FACTS[0].id
    assert "1 on the clean prompt and 0.9 on the corrupted one" in prepared.left_out[0].reason
    assert "Choose another corruption" in prepared.left_out[0].reason


def test_a_fact_without_another_subject_of_its_length_is_named():
    found = patch(make_model("llama"), FACTS[:1], min_probability=0.0, keep_raised=True)
    assert found.summary["corruption.random_instead"] == 1
    assert found.tables["corruption"].rows[0][0] == FACTS[0].id
    assert "Random tokens stand in" in found.tables["corruption"].rows[0][1]


def test_whole_components_come_without_a_heatmap():
    found = patch(make_model("llama"), FACTS[:2], places="whole", **ANY)
    assert not [name for name in found.arrays if name.startswith("grid.")]
    assert np.isfinite(found.arrays["components"].values).all()
