import pytest
import torch

from tests.worker.core.localization.planted import CARRY, FACTS, STORE, make_planted
from tests.worker.core.models.families import make_model
from worker.contract.progress import Quiet
from worker.core.findings import Job
from worker.core.localization.learned_mask import Options, expected, localize, open_share, sample
from worker.core.patching.cases import prepare
from worker.core.patching.corruption import corrupt
from worker.core.patching.mix import Mixer, gate_names
from worker.core.patching.pairing import make_pairs


def make_mixer(model, facts, corruption="other_subject"):
    prepared = prepare(model, facts, 0.0, True)
    items = corrupt(model, prepared, corruption, samples=1, noise_level=3.0, seed=0)
    return Mixer(model, make_pairs(model, items))


def test_the_planted_circuit_is_what_stays_open():
    found = localize(make_planted(), FACTS, Options(sparsity=5), Job(0, Quiet()))
    stayed = set(found.attribution.suggested.components)
    assert {STORE, CARRY} <= stayed and len(stayed) <= 3  # of 20 gates; which third is chance
    assert found.summary["components.top_head"] == CARRY
    assert found.summary["mask.divergence"] < 0.1
    assert found.summary["components.top_mlp"] == STORE


def test_all_gates_open_is_the_clean_run_in_every_kind_of_block():
    for family in ("llama", "neox", "gemma2", "opt"):
        mixer = make_mixer(make_model(family), FACTS[:2], "random_tokens")
        gates = torch.ones(len(gate_names(mixer.model)))
        with torch.no_grad():
            assert torch.allclose(mixer.logits(gates), mixer.clean_logits, atol=1e-5)
            assert not torch.allclose(mixer.logits(gates * 0), mixer.clean_logits, atol=1e-2)


def test_gates_have_mass_at_exactly_zero_and_one():
    logits = torch.zeros(20_000)
    drawn = sample(logits, torch.Generator().manual_seed(0))
    assert 0.05 < float((drawn == 0).float().mean()) < 0.45
    assert 0.05 < float((drawn == 1).float().mean()) < 0.45
    assert float((drawn > 0).float().mean()) == pytest.approx(
        float(open_share(logits)[0]), abs=0.01
    )
    assert expected(torch.tensor([-9.0, 9.0])).tolist() == [0, 1]
