import numpy as np
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
from tests.worker.core.models.families import make_model
from worker.contract.errors import UserError


def through_final_norm(model, written, final):
    """A write divided by the norm's scale at the final residual, times its gain."""
    norm, family = part(model, "norm"), type(model.hf).__name__
    if hasattr(norm, "bias"):
        centred = written - written.mean(-1, keepdim=True)
        return (
            centred / (final.var(-1, unbiased=False, keepdim=True) + norm.eps).sqrt() * norm.weight
        )
    eps = getattr(norm, "variance_epsilon", None) or norm.eps
    gain = 1 + norm.weight if family.startswith("Gemma") else norm.weight
    return written / (final.pow(2).mean(-1, keepdim=True) + eps).sqrt() * gain


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("which", ["clean", "corrupted"])
def test_parts_are_those_of_plain_hooks_and_add_up_to_the_logit(family, which):
    model, prompts = model_of(family), prompts_of(family)
    found = look_at("decomposition", model, **prompts, which=which)
    seen = forward(model, ids_of(model, prompts["prompt" if which == "clean" else "corrupted"]))
    unembedding, final = part(model, "head").weight, seen.post[model.n_layers - 1][0, -1]
    for name in ("target", "distractor"):
        token = found.view[name]["ids"][0]
        array = found.arrays[f"decomposition.{name}"]
        parts = dict(zip(array.axes[0].labels, array.values.tolist(), strict=True))
        writes = {"embed": seen.pre[0][0, -1]}
        for layer in range(model.n_layers):
            writes[f"{layer}.attn"] = seen.attn[layer][0, -1]
            writes[f"{layer}.mlp"] = seen.mlp[layer][0, -1]
        for label, write in writes.items():
            expected = float(through_final_norm(model, write, final) @ unembedding[token])
            assert parts[label] == pytest.approx(expected, abs=1e-4, rel=1e-4), label
        logit = float(seen.logits[0, -1, token])
        assert sum(parts.values()) == pytest.approx(logit, abs=1e-4)
        assert abs(parts["rest"]) < 1e-4 * max(1, *map(abs, parts.values()))
        sums = found.view["sums"][name]
        assert sums["logit"] == pytest.approx(sums["sum"] + sums["rest"])
    difference = found.arrays["decomposition.difference"].values
    target, distractor = (
        found.arrays[f"decomposition.{n}"].values for n in ("target", "distractor")
    )
    np.testing.assert_allclose(difference, target - distractor)


def test_constants_and_soft_caps_have_parts_of_their_own():
    labels = {
        family: look_at("decomposition", model_of(family), **prompts_of(family))
        .arrays["decomposition.target"]
        .axes[0]
        .labels[-2:]
        for family in ("gpt2", "gemma2", "llama")
    }
    assert labels == {
        "gpt2": ("norm bias", "rest"), "gemma2": ("soft cap", "rest"), "llama": ("2.mlp", "rest"),
    }  # fmt: skip


def test_an_answer_of_several_tokens_is_split_over_all_of_them():
    model = model_of("llama")
    asked = {"prompt": "ab cd is at", "target": "xy"}
    whole = look_at("decomposition", model, **asked).view["sums"]["target"]["logit"]
    ids = model.tokenizer("ab cd is at xy")["input_ids"]
    logits = forward(model, torch.tensor([ids])).logits[0]
    expected = sum(float(logits[len(ids) - 4 + i, ids[len(ids) - 3 + i]]) for i in range(3))
    assert whole == pytest.approx(expected, abs=1e-4)


def test_a_stream_that_is_no_sum_cannot_be_split():
    with pytest.raises(UserError, match="not the sum of what its components write"):
        look_at("decomposition", make_model("opt_post_norm"), prompt="ab cd is at")


def test_without_a_corrupted_prompt_there_is_none_to_split():
    with pytest.raises(UserError, match="no corrupted prompt"):
        look_at("decomposition", model_of("llama"), prompt="ab", which="corrupted")
