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
from tests.worker.core.explore.test_decomposition import through_final_norm
from tests.worker.core.models.families import make_model
from worker.contract.errors import UserError
from worker.core.models.digests import digest_values

SUBJECT = {"demo": "LeBron James"}


def asked(family):
    return prompts_of(family) | {"subject": SUBJECT.get(family, "cd")}


@torch.no_grad()
def write_of_head(model, seen, layer, head, position=-1):
    """The output projection of one head alone, through the post-norm at the whole's scale."""
    o, z = part(model, "o", layer), seen.z[layer][0, position]
    alone = torch.zeros_like(z)
    own = slice(head * model.d_head, (head + 1) * model.d_head)
    alone[own] = z[own]
    written = o(alone) - o(torch.zeros_like(z))
    if type(model.hf).__name__.startswith("Gemma2"):
        whole = o(z)
        written = written * (seen.attn[layer][0, position] / whole)
    return written


@pytest.mark.parametrize("family", FAMILIES)
def test_direct_contributions_are_those_of_each_heads_own_output(family):
    model = model_of(family)
    found = look_at("heads", model, **asked(family))
    seen = forward(model, ids_of(model, prompts_of(family)["prompt"]))
    final = seen.post[model.n_layers - 1][0, -1]
    reader = part(model, "head").weight[found.view["target"]["ids"][0]]
    reader = reader - part(model, "head").weight[found.view["distractor"]["ids"][0]]
    for layer in range(0, model.n_layers, 2):
        for head in range(model.n_heads):
            written = write_of_head(model, seen, layer, head)
            expected = float(through_final_norm(model, written, final) @ reader)
            value = found.arrays["heads.direct"].values[layer, head]
            assert value == pytest.approx(expected, abs=1e-4, rel=1e-4)


@pytest.mark.parametrize("family", FAMILIES)
def test_patterns_times_values_are_the_heads_outputs(family):
    model = model_of(family)
    how = model.hf.config._attn_implementation
    found = look_at("head", model, **asked(family), layer=1, head=3)
    assert model.hf.config._attn_implementation == how
    pattern = found.arrays["head.pattern.clean"].values
    np.testing.assert_allclose(pattern.sum(-1), 1, atol=1e-5)
    assert np.triu(pattern, 1).max() == 0
    ids = ids_of(model, prompts_of(family)["prompt"])
    seen = forward(model, ids)
    with torch.no_grad():
        past = model.hf(input_ids=ids, use_cache=True).past_key_values
    values = past.layers[1].values[0, 3 // (model.n_heads // model.n_kv_heads)]
    own = slice(3 * model.d_head, 4 * model.d_head)
    if family != "gemma2":  # whose cache keeps a window only
        expected = torch.tensor(pattern).float() @ values
        torch.testing.assert_close(seen.z[1][0][:, own], expected, atol=1e-4, rtol=1e-4)
        np.testing.assert_allclose(
            found.arrays["head.weighted.clean"].values,
            pattern * values.norm(dim=-1).numpy(),
            atol=1e-4,
        )


@pytest.mark.parametrize("family", FAMILIES)
def test_sources_add_up_to_what_the_head_adds(family):
    model = model_of(family)
    grids = look_at("heads", model, **asked(family)).arrays
    view = look_at("head", model, **asked(family), layer=1, head=2)
    sources = view.arrays["head.sources.clean"].values
    direct = grids["heads.direct"].values[1, 2]
    assert sources.sum() == pytest.approx(direct, abs=1e-4, rel=1e-4)
    scores = view.view["scores"]
    start, stop = view.view["prompts"][0]["subject"]
    assert scores["mover"] == pytest.approx(sources[start:stop].sum())
    for name in ("attention", "mover", "previous", "duplicate", "induction"):
        assert scores[name] == pytest.approx(grids[f"heads.{name}"].values[1, 2], abs=1e-5)
    pattern = view.arrays["head.pattern.clean"].values
    assert scores["attention"] == pytest.approx(pattern[-1, start:stop].sum(), abs=1e-6)


@pytest.mark.parametrize("family", FAMILIES)
def test_promoted_tokens_are_the_unembedded_output(family):
    model = model_of(family)
    n = ids_of(model, prompts_of(family)["prompt"]).shape[1]
    for token in (n - 1, n - 3):
        view = look_at("head", model, **asked(family), layer=0, head=1, token=token).view
        seen = forward(model, ids_of(model, prompts_of(family)["prompt"]))
        final = seen.post[model.n_layers - 1][0, token]
        written = write_of_head(model, seen, 0, 1, token)
        logits = part(model, "head").weight @ through_final_norm(model, written, final)
        for row in [*view["promoted"], *view["suppressed"]]:
            assert row["logit"] == pytest.approx(float(logits[row["id"]]), abs=1e-4, rel=1e-4)
        best, worst = logits.max(), logits.min()
        assert view["promoted"][0]["logit"] == pytest.approx(float(best), abs=1e-4, rel=1e-4)
        assert view["suppressed"][0]["logit"] == pytest.approx(float(worst), abs=1e-4, rel=1e-4)


def test_habits_are_the_mean_attention_to_the_places_that_name_them():
    """A head that looks one token back whatever it reads is scored as that, and as no other."""
    model = make_model.__wrapped__("gpt2")  # another one: its weights are changed here
    attention, places = model.blocks[0].attn.c_attn, model.hf.transformer.wpe
    query, key = slice(0, model.d_head), slice(model.d_model, model.d_model + model.d_head)
    generator = torch.Generator().manual_seed(0)
    with torch.no_grad():
        code = torch.randn(places.weight.shape, generator=generator)
        places.weight.copy_(100 * torch.nn.functional.normalize(code, dim=-1))
        hidden = model.blocks[0].ln_1(places.weight)[: model.d_model + 9]
        keys = torch.randn(len(hidden), model.d_head, generator=generator) * 8
        # Head 0's query at a place is the key of the place before.
        for columns, wanted in ((query, torch.cat([keys[:1], keys[:-1]])), (key, keys)):
            attention.weight[:, columns] = torch.linalg.lstsq(hidden, wanted).solution
            attention.bias[columns] = 0
    scores = look_at("head", model, **asked("gpt2"), layer=0, head=0).view["scores"]
    assert scores["previous"] > 0.5
    assert scores["duplicate"] < 0.1 and scores["induction"] < 0.1


def test_habits_are_read_anew_when_the_weights_are_others():
    model = make_model.__wrapped__("llama")
    before = look_at("heads", model, **asked("llama")).arrays["heads.previous"].values
    weight = model.blocks[0].self_attn.q_proj.weight
    with torch.no_grad():
        weight.mul_(3)
    model.changed["model.layers.0.self_attn.q_proj.weight"] = digest_values(weight)
    after = look_at("heads", model, **asked("llama")).arrays["heads.previous"].values
    assert np.abs(after[0] - before[0]).max() > 1e-3


def test_heads_that_share_keys_and_values_are_told():
    view = look_at("head", model_of("llama"), **asked("llama"), layer=0, head=2).view
    assert "shares its keys and values with head 3" in view["sharing"]
    assert look_at("heads", model_of("llama"), **asked("llama")).view["groups"] == [[0, 1], [2, 3]]
    assert look_at("head", model_of("gpt2"), **asked("gpt2")).view["sharing"] == ""


def test_without_a_subject_there_is_no_attention_to_it():
    found = look_at("heads", model_of("llama"), **prompts_of("llama"))
    assert "heads.attention" not in found.arrays and "heads.mover" not in found.arrays
    view = look_at("head", model_of("llama"), **prompts_of("llama")).view
    assert view["scores"]["attention"] is None and view["scores"]["mover"] is None


def test_answers_of_several_tokens_have_no_single_place_to_come_from():
    found = look_at("heads", model_of("llama"), **asked("llama"), target="xy")
    assert "heads.mover" not in found.arrays and "heads.direct" in found.arrays
    view = look_at("head", model_of("llama"), **asked("llama"), target="xy").view
    assert view["scores"]["direct"] is None


@pytest.mark.parametrize(
    ("where", "words"),
    [
        ({"layer": 3}, "layers 0 to 2"),
        ({"head": 4}, "heads 0 to 3"),
        ({"token": 99}, "tokens 0 to"),
    ],
)
def test_a_head_that_is_not_there_is_named(where, words):
    with pytest.raises(UserError, match=words):
        look_at("head", model_of("llama"), **prompts_of("llama"), **where)
