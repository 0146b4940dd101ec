import pytest
import torch

from tests.worker.core.explore.plain import (
    FAMILIES,
    forward,
    ids_of,
    look_at,
    model_of,
    part,
    prompts_of,
)
from tests.worker.core.explore.test_decomposition import through_final_norm
from worker.contract.errors import UserError


def output_of(model, seen, layer, token, neuron):
    """What one neuron's activation alone adds to the residual, at the post-norm's own scale."""
    down, act = part(model, "down", layer), seen.act[layer][0, token]
    alone = torch.zeros_like(act)
    alone[neuron] = act[neuron]
    written = down(alone) - down(torch.zeros_like(act))
    if type(model.hf).__name__.startswith("Gemma2"):
        written = written * (seen.mlp[layer][0, token] / down(act))
    return written


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("back", [1, 3])
@torch.no_grad()
def test_effects_of_neurons_are_those_of_plain_hooks(family, back):
    model, ids = model_of(family), ids_of(model_of(family), prompts_of(family)["prompt"])
    token, layer = ids.shape[1] - back, 1
    view = look_at("neurons", model, **prompts_of(family), layer=layer, token=token, k=6).view
    target, distractor = view["target"]["ids"][0], view["distractor"]["ids"][0]
    seen = forward(model, ids)
    final, weight = seen.post[model.n_layers - 1][0, token], part(model, "head").weight
    for one in view["neurons"]:
        neuron = one["neuron"]
        assert one["activation"] == pytest.approx(
            float(seen.act[layer][0, token, neuron]), abs=1e-4
        )
        written = output_of(model, seen, layer, token, neuron)
        logits = weight @ through_final_norm(model, written, final)
        direct = float(logits[target] - logits[distractor])
        assert one["direct"] == pytest.approx(direct, abs=1e-4, rel=1e-4)
        for row in [*one["promoted"], *one["suppressed"]]:
            assert row["logit"] == pytest.approx(float(logits[row["id"]]), abs=1e-4, rel=1e-4)

        def zero(act, neuron=neuron):
            act[:, token, neuron] = 0
            return act

        after = forward(model, ids, {("act", layer): zero}).logits[0, -1]
        before = seen.logits[0, -1]
        change = (after[target] - after[distractor]) - (before[target] - before[distractor])
        assert one["zeroed"] == pytest.approx(float(change), abs=1e-4)


@pytest.mark.parametrize("family", ["gpt2", "gemma2"])
def test_an_attribution_is_the_slope_times_the_activation(family):
    """Against the change that a thousandth less of each neuron makes, in float64."""
    model, layer = model_of(family), 1
    ids = ids_of(model, prompts_of(family)["prompt"])
    view = look_at("neurons", model, **prompts_of(family), layer=layer, k=4).view
    target, distractor = view["target"]["ids"][0], view["distractor"]["ids"][0]
    model.hf.double()
    try:
        for one in view["neurons"]:
            ends = []
            for share in (-1e-3, 1e-3):

                def scale(act, neuron=one["neuron"], share=share):
                    act[:, -1, neuron] *= 1 + share
                    return act

                logits = forward(model, ids, {("act", layer): scale}).logits[0, -1]
                ends.append(float(logits[target] - logits[distractor]))
            slope = (ends[1] - ends[0]) / 2e-3
            assert one["attribution"] == pytest.approx(slope, abs=1e-4, rel=1e-3)
    finally:
        model.hf.float()


def test_the_largest_attributions_come_first():
    view = look_at("neurons", model_of("llama"), **prompts_of("llama"), layer=1, k=10).view
    sizes = [abs(one["attribution"]) for one in view["neurons"]]
    assert sizes == sorted(sizes, reverse=True) and sizes[-1] > 0


def test_where_nothing_reaches_the_end_direct_effects_choose():
    """What the last MLP writes before the last token, no later token reads."""
    view = look_at("neurons", model_of("llama"), **prompts_of("llama"), layer=2, token=4).view
    # Neurons are zeroed several at once and the base is run alone: other shapes, other rounding.
    assert all(one["attribution"] == 0 and abs(one["zeroed"]) < 1e-5 for one in view["neurons"])
    sizes = [abs(one["direct"]) for one in view["neurons"]]
    assert sizes == sorted(sizes, reverse=True) and sizes[0] > 0


def test_answers_of_several_tokens_are_measured_whole():
    model = model_of("llama")
    asked = {"prompt": "ab cd is at", "target": "xy", "distractor": "ball"}
    view = look_at("neurons", model, **asked, layer=0, token=5, k=3).view
    prompt = model.tokenizer("ab cd is at")["input_ids"]
    for one in view["neurons"]:

        def log_prob(answer, neuron):
            def zero(act):
                act[:, 5, neuron] = 0
                return act

            puts = {} if neuron is None else {("act", 0): zero}
            ids = torch.tensor([[*prompt, *answer]])
            logits = forward(model, ids, puts).logits[0].log_softmax(-1)
            return sum(float(logits[len(prompt) - 1 + i, t]) for i, t in enumerate(answer))

        target, distractor = view["target"]["ids"], view["distractor"]["ids"]
        ends = [log_prob(target, n) - log_prob(distractor, n) for n in (None, one["neuron"])]
        assert one["zeroed"] == pytest.approx(ends[1] - ends[0], abs=1e-4)


@pytest.mark.parametrize(
    ("where", "words"), [({"layer": 3}, "layers 0 to 2"), ({"token": 99}, "tokens 0 to")]
)
def test_an_mlp_that_is_not_there_is_named(where, words):
    with pytest.raises(UserError, match=words):
        look_at("neurons", model_of("llama"), **prompts_of("llama"), **where)
