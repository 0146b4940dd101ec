import copy

import numpy as np
import pytest
import torch
from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module

from tests.worker.core.localization.planted import CARRY, FACTS, STORE, make_planted
from tests.worker.core.models.families import FAMILIES, make_model
from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.progress import Quiet
from worker.core.findings import Job
from worker.core.localization.attribution_patching import Options, localize
from worker.core.models.restart import Patch
from worker.core.patching.bench import make_bench
from worker.core.patching.cases import prepare
from worker.core.patching.corruption import corrupt
from worker.core.patching.tracing import patch_grid


def fact(id, subject, target="ball", edit="golf"):
    return Fact(id=id, subject=subject, prompt="So {} is at", target=target, edit_target=edit)


def attribute(model, facts, **options):
    return localize(
        model,
        facts,
        Options(**({"min_probability": 0.0, "keep_raised": True} | options)),
        Job(0, Quiet()),
    )


@pytest.mark.parametrize("direction", ["clean", "corrupted"])
@pytest.mark.parametrize("family", ["gpt2", "llama"])
def test_scores_equal_transformer_lens_activations_times_gradients(family, direction):
    model = make_model(family)
    facts = [fact("a", "Ann"), fact("b", "Bob", "golf", "ball")]
    prepared = prepare(model, facts, 0.0, True)
    item = corrupt(model, prepared, "other_subject", samples=1, noise_level=3.0, seed=0)[0]
    case = item.case
    bridge = build_bridge_from_module(
        copy.deepcopy(model.hf), type(model.hf).__name__, hf_config=model.hf.config
    )
    table = model.hf.get_input_embeddings().weight
    rows = {
        "clean": torch.tensor([case.prompt.ids]),
        "corrupted": (item.embeds[0][:, None] == table[None]).all(-1).int().argmax(-1)[None],
    }
    bridge.requires_grad_(True)
    kinds = {"resid": "hook_resid_post", "mlp": "hook_mlp_out", "attn": "hook_attn_out"}
    names = {(site, k): f"blocks.{k}.{kind}" for site, kind in kinds.items() for k in range(3)}
    kept, slopes = {}, {}

    def keep(into, key):
        return lambda value, hook: into.update({key: value.detach()})

    for run, ids in rows.items():
        forward = [(name, keep(kept, (run, *key))) for key, name in names.items()]
        backward = [(name, keep(slopes, (run, *key))) for key, name in names.items()]
        with bridge.hooks(fwd_hooks=forward, bwd_hooks=backward):
            logits = bridge(ids)[0, -1]
            (logits[case.answer] - logits[case.foil]).backward()
    found = attribute(model, facts, direction=direction)
    for site, layer in names:
        change = kept["clean", site, layer] - kept["corrupted", site, layer]
        expected = (change * slopes[direction, site, layer]).sum(-1)[0]
        ours = found.arrays[f"grid.{site}"].values[0, layer]
        np.testing.assert_allclose(ours, expected.numpy(), atol=1e-4)


def test_estimates_meet_real_interventions_when_the_change_is_small():
    model = make_model("llama")
    facts = [fact("a", "Ann"), fact("b", "Bob", "golf", "ball")]
    found = attribute(model, facts, corruption="noise", noise_level=1e-3)
    prepared = prepare(model, facts, 0.0, True)
    items = corrupt(model, prepared, "noise", samples=1, noise_level=1e-3, seed=0)
    bench = make_bench(model, items, "logit_diff", ["attn", "mlp"])
    for site, name in (("resid_post", "resid"), ("mlp", "mlp"), ("attn", "attn")):
        patches = [Patch(site, layer) for layer in range(model.n_layers)]
        real = patch_grid(bench, patches, lambda share: None)
        estimate = found.arrays[f"grid.{name}"].values
        np.testing.assert_allclose(estimate, real, atol=0.02 * np.nanmax(np.abs(real)))


@pytest.mark.parametrize("direction", ["clean", "corrupted"])
@pytest.mark.parametrize("corruption", ["other_subject", "random_tokens", "noise", "mean"])
def test_the_planted_store_is_found_first(corruption, direction):
    found = attribute(
        make_planted(), FACTS, corruption=corruption, direction=direction, min_probability=0.5
    )
    assert found.summary["components.top_mlp"] == STORE
    assert found.summary["components.top_head"] == CARRY


@pytest.mark.parametrize("family", FAMILIES)
def test_a_left_padded_batch_scores_as_its_facts_do_alone(family):
    model = make_model(family)
    facts = [fact("a", "Ann Lee"), fact("b", "Bo", "golf", "ball"), fact("c", "Cyd Re")]
    both = attribute(model, facts, corruption="random_tokens")
    for i, one in enumerate(facts):
        alone = attribute(model, [one], corruption="random_tokens")
        n = alone.arrays["grid.mlp"].values.shape[-1]
        for name in ("grid.resid", "grid.mlp", "grid.attn"):
            ours, theirs = both.arrays[name].values[i], alone.arrays[name].values[0]
            np.testing.assert_allclose(ours[:, :n], theirs, atol=1e-4, rtol=1e-4)
            assert np.isnan(ours[:, n:]).all()


def test_heads_sum_to_their_attention():
    found = attribute(make_model("llama"), [fact("a", "Ann")], corruption="random_tokens")
    labels = found.arrays["components"].axes[0].labels
    scores = dict(zip(labels, found.arrays["components"].values, strict=True))
    for layer in range(3):
        heads = sum(scores[f"blocks.{layer}.attn.head.{head}"] for head in range(4))
        assert heads == pytest.approx(scores[f"blocks.{layer}.attn"], abs=1e-4)


def test_weights_get_no_gradients():
    model = make_model("llama")
    attribute(model, [fact("a", "Ann")], corruption="random_tokens")
    assert all(p.grad is None and not p.requires_grad for p in model.hf.parameters())


def test_a_divergence_on_the_clean_run_is_refused_because_its_gradient_is_zero():
    with pytest.raises(UserError, match="gradient zero"):
        attribute(make_model("llama"), [fact("a", "Ann")], metric="kl", direction="clean")


@pytest.mark.parametrize("metric", ["probability", "logit_diff", "kl"])
@pytest.mark.parametrize("noise_level", [1e-9, 1e-6])
def test_a_metric_that_the_corruption_changes_by_rounding_alone_is_left_out(metric, noise_level):
    options = {"corruption": "noise", "noise_level": noise_level, "metric": metric}
    with pytest.raises(UserError, match="nothing to attribute"):
        attribute(make_model("llama"), [fact("a", "Ann")], **options)
