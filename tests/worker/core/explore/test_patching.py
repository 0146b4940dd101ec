import numpy as np
import pytest
import torch

from tests.worker.core.explore.plain import (
    FAMILIES,
    ids_of,
    look_at,
    model_of,
    part,
    prompts_of,
)
from worker.contract.errors import UserError
from worker.contract.progress import Quiet
from worker.core.findings import Job
from worker.core.registry import method

METRICS = ("probability", "logit", "logit_diff")


def plain_patch(model, ids, other, site, layer, token=None, head=None):
    """Logits of `ids` with one activation as in the run of `other`."""
    source = raw(model, other, site, layer)
    places = slice(None) if token is None else slice(token, token + 1)
    columns = slice(None) if head is None else slice(head * model.d_head, (head + 1) * model.d_head)

    def put(x):
        x[:, places, columns] = source[:, places, columns]
        return x

    return patched(model, ids, site, layer, put)


def module_of(model, site, layer):
    name = {"post": "block", "attn": "attn", "mlp": "mlp", "z": "o"}[site]
    return part(model, name, layer)


@torch.no_grad()
def raw(model, ids, site, layer):
    """What a module itself gives (before a post-norm), or the heads' outputs side by side."""
    seen = []

    def keep(_, args, output=None):
        found = args[0] if output is None else output
        seen.append(found[0] if isinstance(found, tuple) else found)

    module = module_of(model, site, layer)
    hook = module.register_forward_pre_hook if site == "z" else module.register_forward_hook
    handle = hook(keep)
    try:
        model.hf(input_ids=ids, use_cache=False)
    finally:
        handle.remove()
    return seen[0]


@torch.no_grad()
def patched(model, ids, site, layer, put):
    def before(_, args):
        return (put(args[0].clone()), *args[1:])

    def after(_, __, output):
        if isinstance(output, tuple):
            return (put(output[0].clone()), *output[1:])
        return put(output.clone())

    module = module_of(model, site, layer)
    handle = (
        module.register_forward_pre_hook(before)
        if site == "z"
        else module.register_forward_hook(after)
    )
    try:
        return model.hf(input_ids=ids, use_cache=False).logits[0, -1]
    finally:
        handle.remove()


def measured(logits, target, distractor):
    return {
        "probability": float(logits.softmax(-1)[target]),
        "logit": float(logits[target]),
        "logit_diff": float(logits[target] - logits[distractor]),
    }


@pytest.mark.parametrize("family", FAMILIES)
@pytest.mark.parametrize("direction", ["denoising", "noising"])
def test_every_map_agrees_with_plain_hooks(family, direction):
    model, prompts = model_of(family), prompts_of(family)
    found = look_at(
        "patching", model, **prompts, direction=direction, sites=("resid", "attn", "mlp", "head")
    )
    ids = [ids_of(model, text) for text in prompts.values()]
    source, into = ids if direction == "denoising" else ids[::-1]
    answers = found.view["target"]["ids"][0], found.view["distractor"]["ids"][0]
    n, n_layers = ids[0].shape[1], model.n_layers
    tokens, layers = (found.view["first"], n - 3, n - 1), (0, 1, n_layers - 1)
    for site, name in (("post", "resid"), ("attn", "attn"), ("mlp", "mlp")):
        for layer in layers:
            for token in tokens:
                logits = plain_patch(model, into, source, site, layer, token)
                for metric, value in measured(logits, *answers).items():
                    cell = found.arrays[f"patch.{name}.{metric}"].values[layer, token]
                    assert cell == pytest.approx(value, abs=1e-4), (name, layer, token, metric)
    for layer in layers:
        for head in range(model.n_heads):
            logits = plain_patch(model, into, source, "z", layer, head=head)
            value = measured(logits, *answers)["logit_diff"]
            cell = found.arrays["patch.head.logit_diff"].values[layer, head]
            assert cell == pytest.approx(value, abs=1e-4), (layer, head)


def test_shares_run_from_the_patched_run_to_the_other():
    model, prompts = model_of("demo"), prompts_of("demo")
    found = look_at("patching", model, **prompts)
    share = found.arrays["patch.resid.logit_diff.share"].values
    first = found.view["first"]
    assert share[:, :first] == pytest.approx(0)
    assert share[-1, -1] == pytest.approx(1, abs=1e-4), "the last state is the whole answer"
    metrics = found.view["metrics"]["logit_diff"]
    raw_values = found.arrays["patch.resid.logit_diff"].values
    assert raw_values[-1, -1] == pytest.approx(metrics["clean"], abs=1e-3)
    assert raw_values[0, 0] == pytest.approx(metrics["corrupted"], abs=1e-6)


@pytest.mark.parametrize("family", ["llama", "gemma2"])
def test_answers_of_several_tokens_are_measured_whole(family):
    model, prompts = model_of(family), prompts_of(family)
    asked = {"target": "xy", "distractor": "ball"}
    found = look_at("patching", model, **prompts, **asked, sites=("resid", "head"))
    clean, corrupted = (model.tokenizer(text)["input_ids"] for text in prompts.values())
    n = len(clean)

    def log_prob(answer, layer, token):
        ids = [torch.tensor([[*prompt, *answer]]) for prompt in (clean, corrupted)]
        source = raw(model, ids[0], "post", layer)

        def put(x):
            x[:, token] = source[:, token]
            return x

        with torch.no_grad():
            module = module_of(model, "post", layer)
            handle = module.register_forward_hook(
                lambda _, __, out: (
                    put(out.clone())
                    if not isinstance(out, tuple)
                    else (put(out[0].clone()), *out[1:])
                )
            )
            logits = model.hf(input_ids=ids[1], use_cache=False).logits[0].log_softmax(-1)
            handle.remove()
        return sum(float(logits[n - 1 + i, t]) for i, t in enumerate(answer))

    target, distractor = found.view["target"]["ids"], found.view["distractor"]["ids"]
    assert len(target) == 3 and len(distractor) == 1
    for layer, token in ((0, 4), (1, n - 2), (2, n - 1)):
        expected = log_prob(target, layer, token) - log_prob(distractor, layer, token)
        cell = found.arrays["patch.resid.logit_diff"].values[layer, token]
        assert cell == pytest.approx(expected, abs=1e-4)


def test_rows_are_told_as_they_are_computed_the_last_first():
    told = []
    found = method("explore", "patching")
    options = found.options(**prompts_of("llama"), sites=("resid", "head"), metric="logit")
    result = found.function(model_of("llama"), options, Job(0, Quiet(told.append)))
    rows = [event.data for event in told if event.type == "partial" and event.name == "patch.resid"]
    assert [row["position"] for row in rows] == list(range(4, 12))[::-1]
    grid = result.arrays["patch.resid.logit"].values
    for row in rows:
        np.testing.assert_allclose(row["values"], grid[:, row["position"]])
    heads = [event.data for event in told if event.type == "partial" and event.name == "patch.head"]
    assert [row["layer"] for row in heads] == [2, 1, 0]


def test_a_window_of_the_map_is_the_same_part_of_it():
    model, prompts = model_of("gemma2"), prompts_of("gemma2")
    whole = look_at("patching", model, **prompts)
    tile = look_at("patching", model, **prompts, positions=(2, 8))
    for name, array in tile.arrays.items():
        np.testing.assert_allclose(array.values, whole.arrays[name].values[:, 2:8], atol=1e-4)


def test_noise_is_patched_away():
    asked = {"prompt": "ab cd is at", "noise": True, "subject": "cd"}
    found = look_at("patching", model_of("llama"), **asked)
    assert found.arrays["patch.resid.logit.share"].values[-1, -1] == pytest.approx(1, abs=1e-4)


@pytest.mark.parametrize(
    ("asked", "field", "words"),
    [
        ({"prompt": "ab"}, "options.corrupted", "There is one prompt"),
        ({"prompt": "ab", "corrupted": "abc"}, "options.corrupted", "expected as many"),
        ({"prompt": "ab", "corrupted": "ab"}, "options.corrupted", "same tokens"),
    ],
)
@pytest.mark.parametrize("view", ["patching", "patch"])
def test_what_cannot_be_swapped_is_said_in_a_sentence(view, asked, field, words):
    cells = {"cells": [{"layer": 0, "token": 0}]} if view == "patch" else {}
    with pytest.raises(UserError, match=words) as refused:
        look_at(view, model_of("llama"), **asked, **cells)
    assert refused.value.problems[0][0] == field
