import numpy as np
import pytest
import torch

from tests.worker.core.localization.planted import CARRY, FACTS, STORE, make_planted
from tests.worker.core.models.families import make_model
from worker.contract.progress import Quiet
from worker.core.findings import Job
from worker.core.localization import attribution_patching
from worker.core.localization._qk_fix import attention_with_parts, run_clean
from worker.core.localization.atp_star import Options, localize
from worker.core.models.projections import PARTS
from worker.core.patching.cases import prepare
from worker.core.patching.corruption import corrupt
from worker.core.patching.pairing import make_pairs

ANY = {"min_probability": 0.0, "corruption": "random_tokens"}


def star(model, facts, **options):
    return localize(model, facts, Options(**options), Job(0, Quiet()))


@pytest.mark.parametrize("grad_drop", [False, True])
def test_the_planted_circuit_is_found_first(grad_drop):
    found = star(make_planted(), FACTS, grad_drop=grad_drop)
    assert found.summary["components.top_mlp"] == STORE
    assert found.summary["components.top_head"] == CARRY
    assert np.unravel_index(np.abs(found.arrays["nodes.v"].values).argmax(), (4, 2)) == (2, 0)


def test_without_its_mends_it_is_attribution_patching():
    model = make_model("llama")
    ours = star(model, FACTS[:2], grad_drop=False, qk_fix=False, **ANY)
    options = attribution_patching.Options(**ANY)
    theirs = attribution_patching.localize(model, FACTS[:2], options, Job(0, Quiet()))
    np.testing.assert_allclose(
        ours.arrays["components"].values, theirs.arrays["components"].values, atol=1e-5
    )


@pytest.mark.parametrize("family", ["gpt2", "neox", "phi3", "llama"])
def test_attention_of_clean_inputs_part_by_part_is_recomputed_exactly(family):
    """In the first layer, clean q, k and v together are the clean attention."""
    model = make_model(family)
    prepared = prepare(model, FACTS[:2], 0.0, False)
    items = corrupt(model, prepared, "random_tokens", samples=1, noise_level=3.0, seed=0)
    pairs = make_pairs(model, items)
    projected, clean = run_clean(model, pairs)
    same = type(pairs)(**{**pairs.__dict__, "corrupted": pairs.clean})
    mixed = attention_with_parts(model, same, projected)
    for part in PARTS:
        for layer in range(model.n_layers):
            assert torch.allclose(mixed[part, layer], clean["z"][layer], atol=1e-5)
    other = attention_with_parts(model, pairs, projected)
    assert not torch.allclose(other["q", 1], clean["z"][1], atol=1e-3)
    assert not torch.allclose(other["q", 1], other["k", 1], atol=1e-3)
