import numpy as np
import pytest
import torch
from sklearn.linear_model import LogisticRegression

from tests.worker.core.localization import lookup, planted
from worker.contract.errors import UserError
from worker.contract.progress import Quiet
from worker.core.findings import Job
from worker.core.localization._climb import choose_layers, climb
from worker.core.localization._probe import cross_validate, fit, split
from worker.core.localization.fact_lookup import Options, localize


def find(model, facts, pool=(), **options):
    job = Job(0, Quiet(), pool=tuple(pool))
    return localize(
        model, facts, Options(**({"min_probability": 0.0, "keep_raised": True} | options)), job
    )


def test_the_layer_in_which_the_answer_is_looked_up_is_suggested_by_the_probe():
    found = find(lookup.make_lookup(), lookup.FACTS[:4], lookup.FACTS)
    curve = found.arrays["probe.full_prompt"].values
    assert curve[lookup.LOOKUP_LAYER - 1] < 0.75 and curve[lookup.LOOKUP_LAYER] > 0.95
    assert found.attribution.suggested.components == (f"blocks.{lookup.LOOKUP_LAYER}.mlp",)
    assert found.summary["components.top_mlp"] == f"blocks.{lookup.LOOKUP_LAYER}.mlp"
    assert found.summary["lookup.by"] == "probe"
    assert found.arrays["probe.confidence"].values[lookup.LOOKUP_LAYER] > 0.9
    assert found.summary["lookup.confidence"] > 0.5
    for name in ("probe.full_prompt", "probe.bare_name", "probe.control"):
        assert found.arrays[name].values.shape == (4,)


def test_the_planted_store_is_found_by_path_patching():
    model = planted.make_planted()
    found = find(model, planted.FACTS[:4], by="path_patching", top_heads=1, corruption="mean")
    assert found.summary["lookup.first_extraction_layer"] == 2
    assert found.summary["lookup.extraction_heads"] == "2.0"
    assert found.attribution.suggested.components == (planted.STORE,)
    assert found.arrays["path.heads"].values.shape == (4, 4)


def test_facts_of_many_answers_are_looked_up_by_path_patching():
    model = planted.make_planted()
    assert find(model, planted.FACTS[:4], top_heads=1).summary["lookup.by"] == "path_patching"
    with pytest.raises(UserError, match="at least 10 facts each"):
        find(model, planted.FACTS[:4], by="probe")


def test_the_climb_runs_from_the_control_to_the_plateau():
    # Chance .33; embeddings .36, then .74, .84, .93 after layers 0, 1 and 2, and a plateau.
    curve = np.array([0.36, 0.74, 0.84, 0.93, 0.93, 0.94, 0.93, 0.94, 0.93])
    assert climb(curve, 0.33) == (0, 2)
    flat = np.full(9, 0.35)
    assert climb(flat, 0.33) is None
    assert choose_layers([flat, flat], 0.33, 8) == ()
    later = np.array([0.33, 0.33, 0.34, 0.34, 0.57, 0.65, 0.97, 1.0, 1.0])
    assert climb(later, 0.33) == (3, 5)
    assert choose_layers([curve, later], 0.33, 8) == (0, 1, 2, 3, 4, 5)


def test_a_long_climb_is_narrowed_to_the_layers_that_gain_most():
    slow = np.array([0.33, 0.38, 0.45, 0.65, 0.85, 0.90, 0.95, 1.0, 1.0])
    assert climb(slow, 0.33) == (1, 6)
    assert choose_layers([slow], 0.33, 8) == (1, 2, 3, 4, 5, 6)
    assert choose_layers([slow], 0.33, 3) == (1, 2, 3)
    assert choose_layers([slow], 0.33, 2) == (2, 3)
    even = np.linspace(0.3, 1.0, 9)
    assert choose_layers([even], 0.3, 3) == (0, 1, 2)


def test_what_the_embeddings_already_tell_is_no_lookup():
    assert climb(np.array([0.95, 0.96, 0.95, 0.97]), 0.33) is None


def test_probes_agree_with_scikit_learn():
    generator = torch.Generator().manual_seed(0)
    features = torch.randn(3, 90, 6, generator=generator)
    labels = features[1, :, :3].argmax(-1)
    weight, bias = fit(features, labels, 3)
    for layer in range(3):
        theirs = LogisticRegression(C=1.0, max_iter=500).fit(features[layer].numpy(), labels)
        ours = (features[layer] @ weight[layer] + bias[layer]).softmax(-1).numpy()
        expected = theirs.predict_proba(features[layer].numpy())
        np.testing.assert_allclose(ours, expected, atol=0.01)


def test_probes_are_judged_on_facts_they_never_saw():
    labels = torch.arange(60) % 3
    noise = torch.randn(2, 60, 80, generator=torch.Generator().manual_seed(0))
    assert cross_validate(noise, labels, folds=5, seed=0).float().mean() < 0.6
    parts = split(labels, 5, seed=0)
    assert sorted(torch.cat(parts).tolist()) == list(range(60))
    assert all((labels[part].bincount() == 4).all() for part in parts)
