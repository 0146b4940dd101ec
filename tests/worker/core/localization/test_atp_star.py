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
from worker.core.models.sites import module_at
from worker.core.patching.cases import prepare
from worker.core.patching.corruption import corrupt
from worker.core.patching.pairing import make_pairs

ANY = {"min_probability": 0.0, "keep_raised": True, "corruption": "random_tokens"}


def star(model, facts, **options):
    return localize(model, facts, Options(**options), Job(0, Quiet()))


@pytest.mark.parametrize("grad_drop", [False, True])
def test_the_planted_circuit_is_found_first(grad_drop):
    found = star(make_planted(), FACTS, grad_drop=grad_drop)
    assert found.summary["components.top_mlp"] == STORE
    assert found.summary["components.top_head"] == CARRY
    values = found.arrays["nodes.v"]
    assert np.unravel_index(np.abs(values.values).argmax(), (4, 2)) == (2, 0)
    assert values.signed is not grad_drop


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


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "neox"])
def test_what_nothing_reads_scores_its_plain_estimate(family):
    """No path leads on from the last layer's MLP, so all cuts but its own leave it one estimate:
    its absolute value, L − 1 times over L − 1."""
    model = make_model(family)
    dropped = star(model, FACTS[:2], qk_fix=False, **ANY)
    plain = star(model, FACTS[:2], grad_drop=False, qk_fix=False, **ANY)
    last = f"blocks.{model.n_layers - 1}.mlp"
    for fact in range(2):
        assert of(dropped, last, fact) == pytest.approx(abs(of(plain, last, fact)), rel=1e-5)
        assert of(plain, last, fact) != 0


@pytest.mark.parametrize("family", ["llama", "gpt2", "opt"])
def test_cut_layers_agree_with_a_run_in_which_they_are_constants(family):
    """Every MLP by hand: with a layer's writes detached, a difference in what an MLP writes
    meets the gradient of a vector added there; a layer's own MLP scores nothing when it is cut."""
    model = make_model(family)
    asked = {"metric": "probability", "corruption": "noise", "samples": 2}
    found = star(model, FACTS[:1], qk_fix=False, min_probability=0.0, keep_raised=True, **asked)
    prepared = prepare(model, FACTS[:1], 0.0, False)
    (item,) = corrupt(model, prepared, "noise", samples=2, noise_level=3.0, seed=0)
    pairs = make_pairs(model, [item])
    with torch.no_grad():
        writes = [run_with(model, pairs, e)[1] for e in (pairs.clean, pairs.corrupted)]
    expected = np.zeros(model.n_layers)
    for cut in range(model.n_layers):
        added = [torch.zeros_like(w, requires_grad=True) for w in writes[1]]
        logits, _ = run_with(model, pairs, pairs.corrupted, added, cut)
        metric = pairs.measure("probability", logits, logits).sum()
        slopes = torch.autograd.grad(metric, added, allow_unused=True)
        for layer, slope in enumerate(slopes):
            if layer != cut:
                change = (writes[0][layer] - writes[1][layer]) * slope
                rows = change.reshape(len(pairs.clean), -1).sum(1)
                expected[layer] += float(rows.abs().mean()) / (model.n_layers - 1)
    ours = [of(found, f"blocks.{layer}.mlp", 0) for layer in range(model.n_layers)]
    np.testing.assert_allclose(ours, expected, rtol=1e-4)


def of(found, name: str, fact: int) -> float:
    array = found.arrays["components.facts"]
    return float(array.values[fact, array.axes[1].labels.index(name)])


def run_with(model, pairs, embeds, added=None, cut=None):
    """Run plain hooks: collect what MLPs write, add to it, and cut a layer out of the gradient."""
    writes, handles = [], []

    def write(layer, is_mlp):
        def hook(module, args, output):
            first = output[0] if isinstance(output, tuple) else output
            if is_mlp:
                writes.append(first)
            changed = first if added is None or not is_mlp else first + added[layer]
            changed = changed.detach() if layer == cut else changed
            return (changed, *output[1:]) if isinstance(output, tuple) else changed

        return hook

    for layer in range(model.n_layers):
        for site in ("attn_write", "mlp_write"):
            module = module_at(model, site, layer)
            handles.append(module.register_forward_hook(write(layer, site == "mlp_write")))
    try:
        logits = model.hf(inputs_embeds=embeds, use_cache=False).logits[:, -1].float()
    finally:
        for handle in handles:
            handle.remove()
    return logits, writes
