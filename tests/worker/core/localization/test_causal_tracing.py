import copy

import numpy as np
import pytest
import torch
from transformer_lens import patching
from transformer_lens.model_bridge.sources._bridge_builder import build_bridge_from_module

from tests.worker.core.localization.planted import CARRY, FACTS, STORE, make_planted
from tests.worker.core.models.families import make_model
from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.progress import Quiet
from worker.core.findings import Job
from worker.core.localization.causal_tracing import Options, localize
from worker.core.models.base_run import embed
from worker.core.models.intercept import replaced_forwards, seeing_output
from worker.core.models.prompts import encode_fact
from worker.core.models.restart import Patch
from worker.core.models.sites import module_at
from worker.core.models.tokens import pad
from worker.core.patching.bench import make_bench
from worker.core.patching.cases import prepare
from worker.core.patching.corruption import corrupt
from worker.core.patching.tracing import patch_grid

ANY = {"min_probability": 0.0, "keep_raised": True}


def fact(id, subject, target="ball", edit="golf"):
    return Fact(id=id, subject=subject, prompt="So {} is at", target=target, edit_target=edit)


def trace(model, facts, job=None, **options):
    return localize(model, facts, Options(**(ANY | options)), job or Job(0, Quiet()))


def full_forward(model, prompt, embeds, replacements):
    with replaced_forwards(replacements), torch.no_grad():
        out = model.hf(inputs_embeds=embeds, attention_mask=pad(model, [prompt]).mask)
    return out.logits[0, -1].softmax(-1)


def naive_trace(model, one, samples, layers_at):
    """ROME's loop: one full forward per sample, layer and position, nothing shared."""
    prepared = prepare(model, [one], 0.0, False)
    (item,) = corrupt(model, prepared, "noise", samples=samples, noise_level=3.0, seed=0)
    prompt, answer = item.case.prompt, item.case.answer
    clean_embeds = embed(model, torch.tensor([prompt.ids])).detach()
    kept = {}

    def keep(key):
        return seeing_output(lambda activation: kept.update({key: activation.clone()}))

    for site in ("resid_post", "mlp", "attn"):
        modules = {module_at(model, site, k): keep((site, k)) for k in range(model.n_layers)}
        full_forward(model, prompt, clean_embeds, modules)
    scores = {}
    corrupted = [
        full_forward(model, prompt, noisy[None].detach(), {})[answer] for noisy in item.embeds
    ]
    for site in ("resid_post", "mlp", "attn"):
        grid = np.zeros((model.n_layers, len(prompt.ids)))
        for layer in range(model.n_layers):
            for t in range(len(prompt.ids)):
                for noisy, p0 in zip(item.embeds, corrupted, strict=True):

                    def put(k, t=t, site=site):
                        def see(activation):
                            instead = activation.clone()
                            instead[0, t] = kept[(site, k)][0, t]
                            return instead

                        return seeing_output(see)

                    patched = {module_at(model, site, k): put(k) for k in layers_at(site, layer)}
                    p = full_forward(model, prompt, noisy[None].detach(), patched)[answer]
                    grid[layer, t] += float(p - p0) / samples
        scores[site] = grid
    return scores


def test_scores_equal_a_naive_loop_of_full_forwards():
    model = make_model("llama")
    one = fact("a", "Ann")

    def layers_at(site, layer):  # window of two: [layer - 1, layer + 1)
        return [layer] if site == "resid_post" else range(max(0, layer - 1), layer + 1)

    expected = naive_trace(model, one, samples=2, layers_at=layers_at)
    found = trace(model, [one], samples=2, window=2)
    for name, site in (("resid", "resid_post"), ("mlp", "mlp"), ("attn", "attn")):
        grid = found.arrays[f"grid.{name}"].values[0]
        np.testing.assert_allclose(grid, expected[site], atol=1e-5)
        assert np.abs(grid).max() > 1e-4


@pytest.mark.parametrize("side", ["left", "right"])
def test_facts_of_different_lengths_score_together_as_they_do_alone(side, monkeypatch):
    model = make_model("gemma2")
    monkeypatch.setattr(model.tokenizer, "padding_side", side)  # a user's tokenizer has either
    facts = [fact("a", "Ann Lee"), fact("b", "Bo", "golf", "ball"), fact("c", "Cyd Re")]
    subjects_std = trace(model, facts, corruption="random_tokens", samples=3, heads=True)
    for i, one in enumerate(facts):
        alone = trace(model, [one], corruption="random_tokens", samples=3, heads=True)
        n = alone.arrays["grid.mlp"].values.shape[-1]
        for name in ("grid.resid", "grid.mlp", "grid.attn"):
            both = subjects_std.arrays[name].values[i]
            np.testing.assert_allclose(both[:, :n], alone.arrays[name].values[0], atol=1e-5)
            assert np.isnan(both[:, n:]).all()
        scores = subjects_std.arrays["components.facts"].values[i]
        np.testing.assert_allclose(scores, alone.arrays["components"].values, atol=1e-5)


@pytest.mark.parametrize(
    ("corruption", "metric"),
    [
        ("noise", "probability"),
        ("noise", "logit_diff"),
        ("random_tokens", "kl"),
        ("other_subject", "logit_diff"),
        ("mean", "probability"),
    ],
)
def test_the_planted_store_is_found_first(corruption, metric):
    found = trace(
        make_planted(), FACTS, corruption=corruption, metric=metric, heads=True, min_probability=0.5
    )
    assert found.summary["components.top_mlp"] == STORE
    assert found.summary["components.top_head"] == CARRY
    if corruption != "mean":
        roles = found.arrays["roles.mlp"].values
        assert np.unravel_index(np.nanargmax(np.abs(roles)), roles.shape) == (1, 2)


def test_restoring_a_clean_prompts_own_states_changes_nothing_before_the_subject():
    found = trace(make_model("gpt2"), [fact("a", "Ann")])
    start = found.attribution.facts[0].subject[0]
    grid = found.arrays["grid.resid"].values[0]
    assert start > 0 and (grid[:, :start] == 0).all() and (grid[:, start] != 0).any()


def test_the_last_residual_at_the_last_token_restores_the_clean_metric_exactly():
    found = trace(make_model("neox"), [fact("a", "Ann"), fact("b", "Bob")])
    for i, one in enumerate(found.attribution.facts):
        total = found.arrays["grid.resid"].values[i, -1, len(one.tokens) - 1]
        assert total == pytest.approx(one.clean - one.corrupted, abs=1e-6)


def test_rows_of_the_heatmap_arrive_while_it_runs():
    events = []
    found = trace(make_model("llama"), [fact("a", "Ann")], Job(0, Quiet(events.append)))
    rows = [event.data for event in events if event.type == "partial"]
    first, n = rows[0]["subject"][0], len(rows[0]["tokens"])
    assert [(row["position"], row["site"]) for row in rows] == [
        (position, site)
        for position in reversed(range(first, n))
        for site in ("resid", "mlp", "attn")
    ], "what takes least comes first"
    grids = {site: found.arrays[f"grid.{site}"].values[0] for site in ("resid", "mlp", "attn")}
    for row in rows:
        np.testing.assert_allclose(row["values"], grids[row["site"]][:, row["position"]], rtol=1e-5)
    fractions = [event.fraction for event in events if event.type == "progress"]
    assert fractions == sorted(fractions)


def test_facts_that_cannot_be_traced_are_listed_with_their_reasons():
    model = make_planted()
    same = Fact(id="same", subject="xA", prompt="{} is at", target="ball", edit_target="ball")
    unknown = Fact(id="unknown", subject="xA", prompt="{} is at", target="go", edit_target="ball")
    merged = Fact(id="merged", subject="b", prompt="xA is {}all", target="ball", edit_target="go")
    found = trace(
        model,
        [*FACTS[:2], same, unknown, merged],
        metric="logit_diff",
        min_probability=0.5,
    )
    reasons = {out.id: out.reason for out in found.left_out}
    assert set(reasons) >= {"same", "unknown", "merged"}
    assert "shares a token" in reasons["merged"]
    assert "same token" in reasons["same"] and "expected at least 0.5" in reasons["unknown"]
    assert found.summary["facts.traced"] + found.summary["facts.left_out"] == 5


def test_a_run_in_which_no_fact_can_be_traced_says_why():
    with pytest.raises(UserError, match=r"None of the 1 facts can be traced. a: The model gives"):
        trace(make_model("llama"), [fact("a", "Ann")], min_probability=0.9)


def test_the_same_seed_gives_the_same_scores_and_another_seed_others():
    model, one = make_model("llama"), [fact("a", "Ann")]
    first, again = trace(model, one), trace(model, one)
    other = trace(model, one, Job(1, Quiet()))
    for name in ("grid.resid", "components"):
        assert (first.arrays[name].values == again.arrays[name].values).all()
        assert (first.arrays[name].values != other.arrays[name].values).any()


def test_patches_agree_with_transformer_lens_functions():
    model = make_model("gpt2")
    facts = [fact("a", "Ann"), fact("b", "Bob", "golf", "ball")]
    prepared = prepare(model, facts, 0.0, True)
    items = corrupt(model, prepared, "random_tokens", samples=1, noise_level=3.0, seed=0)
    bench = make_bench(model, items[:1], "logit_diff", ["attn", "mlp"])
    case = items[0].case
    table = model.hf.get_input_embeddings().weight
    corrupted = (items[0].embeds[0][:, None] == table[None]).all(-1).int().argmax(-1)[None]
    clean = torch.tensor([case.prompt.ids])
    bridge = build_bridge_from_module(
        copy.deepcopy(model.hf), "GPT2LMHeadModel", hf_config=model.hf.config
    )
    _, cache = bridge.run_with_cache(clean)

    def metric(logits):
        return logits[0, -1, case.answer] - logits[0, -1, case.foil]

    theirs = {
        "resid_pre": patching.get_act_patch_resid_pre(bridge, corrupted, cache, metric),
        "mlp": patching.get_act_patch_mlp_out(bridge, corrupted, cache, metric),
        "attn": patching.get_act_patch_attn_out(bridge, corrupted, cache, metric),
    }
    for site, expected in theirs.items():
        patches = [Patch(site, layer) for layer in range(model.n_layers)]
        ours = patch_grid(bench, patches, lambda share: None)[0] + bench.corrupted[0]
        np.testing.assert_allclose(ours, expected.detach().numpy(), atol=1e-4)
    assert encode_fact(model, facts[0]).subject == case.prompt.subject


def test_a_fact_whose_metric_the_corruption_does_not_change_is_left_out_and_said():
    model = make_model.__wrapped__("llama")  # not the shared one: its weights are changed
    with torch.no_grad():
        model.hf.lm_head.weight.zero_()
    with pytest.raises(UserError, match="the same for 'Ann' and its corrupted prompt"):
        trace(model, [fact("a", "Ann")])
