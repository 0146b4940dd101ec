"""ROME, MEMIT and AlphaEdit: their equations hold on real models of three families."""

import pytest
import torch

from worker.contract.errors import UserError
from worker.contract.mask import Mask
from worker.contract.progress import Quiet
from worker.contract.selection import Selection
from worker.core.closed_form import memory
from worker.core.closed_form.layers import least_squares, regularized
from worker.core.closed_form.memory import (
    ask_behind,
    halved,
    keys,
    matrix,
    openings,
    parameter_name,
    projection,
    second_moments,
)
from worker.core.closed_form.spread import residual_after
from worker.core.closed_form.values import find_values
from worker.core.demo.paths import GENERAL
from worker.core.findings import Job
from worker.core.kept import Kept
from worker.core.models.deltas import checksum, restored
from worker.core.unlearning import alphaedit, memit, rome

JOB = Job(seed=0, report=Quiet())
FAST = {"covariance_tokens": 400, "contexts": 2}
MLPS = Mask(components=("blocks.1.mlp", "blocks.2.mlp"))


def apply(model, delta):
    with torch.no_grad():
        for name, value in delta.items():
            dict(model.hf.named_parameters())[name].copy_(value)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2", "opt"])
def test_rome_gives_the_wanted_value_for_the_key(build_model, facts, family) -> None:
    model, options = build_model(family), rome.Options(layer=2, **FAST)
    selection = Selection(forget=facts[:1], retain=facts[1:])
    before = openings(model, 2, 0)
    values = find_values(model, facts[:1], 2, before, options, JOB)
    found = rome.unlearn(model, selection, MLPS, options, JOB)
    assert list(found.delta) == [parameter_name(model, 2)]
    assert found.receipt.outside_unchanged and found.receipt.base_restored
    asked = ask_behind(model, facts[:1], [facts[0].edit_target], [""])
    with restored(model):
        apply(model, found.delta)
        key = keys(model, asked, [2], 1)[2][0]
        bias = getattr(projection(model, 2), "bias", None)
        given = matrix(model, 2).double() @ key + (0 if bias is None else bias.double())
    torch.testing.assert_close(given, values.wanted[0], atol=1e-4, rtol=1e-4)


def test_memit_with_one_fact_and_one_layer_is_romes_least_squares_form() -> None:
    generator = torch.Generator().manual_seed(1)
    samples = torch.randn(50, 6, generator=generator, dtype=torch.float64)
    moments = samples.T @ samples / 50
    key = torch.randn(1, 6, generator=generator, dtype=torch.float64)
    residue = torch.randn(1, 4, generator=generator, dtype=torch.float64)
    u = torch.linalg.solve(regularized(moments), key[0])
    for weight in (1e-9, 0.5):
        change = least_squares(key, residue, moments, weight)
        # Sherman-Morrison: the change is ROME's direction, shortened where λ is not 0.
        by_hand = torch.outer(residue[0], u) / (weight + u @ key[0])
        torch.testing.assert_close(change, by_hand, atol=1e-5, rtol=1e-5)
    wanted = rome.rank_one(torch.zeros(4, 6).double(), key[0], residue[0], u)
    torch.testing.assert_close(
        least_squares(key, residue, moments, 1e-9), wanted, atol=1e-5, rtol=1e-5
    )


# A tiny model answers from anywhere, so values are let go as far as they must.
FAR = {
    "value_decay": 0.0,
    "kl_weight": 0.0,
    "clamp": 50.0,
    "protect_retain": False,
    "covariance_tokens": 400,
    "contexts": 2,
    # Its tokenizer was made from a few short words: of long passages it reads single letters.
    "general_text": "\n".join(GENERAL.read_text(encoding="utf-8").splitlines()[:2000]),
}
SOLVERS = [
    (rome, {"layer": 0}),
    (memit, {"moment_weight": 1e-3}),
    (alphaedit, {"ridge": 1e-4, "threshold": 0.05}),
]


@pytest.mark.parametrize(("method", "more"), SOLVERS)
def test_new_answers_are_written_and_the_base_is_put_back(model, facts, method, more) -> None:
    before = checksum(model)
    selection = Selection(forget=facts[:2], retain=facts[2:])
    mask = Mask(components=("blocks.0.mlp", "blocks.1.mlp"))
    found = method.unlearn(model, selection, mask, method.Options(**FAR | more), JOB)
    assert found.summary["quick.edit_probability.before"] < 0.02
    assert found.summary["quick.edit_probability.after"] > 0.15
    assert found.summary["quick.forget_probability.after"] < 0.75
    assert found.receipt.outside_unchanged and found.receipt.base_restored
    assert checksum(model) == before


@pytest.mark.parametrize("method", [memit, alphaedit])
def test_transposed_projections_are_changed_layer_by_layer(build_model, facts, method) -> None:
    model = build_model("gpt2")
    more = {"ridge": 1e-4, "threshold": 0.05} if method is alphaedit else {"moment_weight": 1e-6}
    options = method.Options(**FAR | {"contexts": 1} | more)
    selection = Selection(forget=facts[:2], retain=facts[2:])
    layers = Mask(components=("blocks.1.mlp",))
    asked = ask_behind(model, facts[:2], [f.edit_target for f in facts[:2]], [""])
    values = find_values(model, facts[:2], 1, [""], options, JOB)
    wanted = residual_after(model, asked, 1) + values.delta
    found = method.unlearn(model, selection, layers, options, JOB)
    assert list(found.delta) == [parameter_name(model, 1)]
    with restored(model):
        apply(model, found.delta)
        torch.testing.assert_close(residual_after(model, asked, 1), wanted, atol=0.05, rtol=0.05)


def test_alphaedit_leaves_the_keys_it_protects_alone() -> None:
    generator = torch.Generator().manual_seed(2)
    others = torch.zeros(30, 6, dtype=torch.float64)
    others[:, :3] = torch.randn(30, 3, generator=generator, dtype=torch.float64)
    projector = alphaedit.null_space(others.T @ others / 30, 0.02)
    new = torch.randn(2, 6, generator=generator, dtype=torch.float64)
    residue = torch.randn(2, 4, generator=generator, dtype=torch.float64)
    change = alphaedit.solve_inside(new, residue, projector, 1e-9)
    torch.testing.assert_close(change @ others.T, torch.zeros(4, 30).double(), atol=1e-9, rtol=0)
    torch.testing.assert_close(change @ new.T, residue.T, atol=1e-5, rtol=1e-5)


@pytest.mark.parametrize("scale", [1.0, 1e-6, 1e6])
@pytest.mark.parametrize(
    ("threshold", "unused"), [(0.0101, [0]), (0.0299, [0]), (0.0301, [0, 1]), (0.1, [0, 1, 2])]
)
def test_alphaedit_takes_the_directions_that_together_carry_least(threshold, unused, scale) -> None:
    """Of eigenvalues 1, 2, 3 and 94, in a turned basis, at any scale of the model."""
    turn, _ = torch.linalg.qr(
        torch.randn(4, 4, generator=torch.Generator().manual_seed(1)).double()
    )
    moments = scale * turn @ torch.diag(torch.tensor([1.0, 2.0, 3.0, 94.0]).double()) @ turn.T
    found = alphaedit.null_space(moments, threshold)
    torch.testing.assert_close(found, turn[:, unused] @ turn[:, unused].T)


def test_alphaedit_says_where_no_direction_is_unused() -> None:
    with pytest.raises(UserError, match="Raise the threshold"):
        alphaedit.null_space(torch.eye(4).double(), 0.02)


@pytest.mark.parametrize("family", ["llama", "gpt2"])
@pytest.mark.parametrize("residual", [False, True])
def test_values_are_those_of_a_plain_loop_over_the_loss(build_model, facts, family, residual):
    """One fact at a time, by a hook on the whole model: ROME's v is the projection's output,
    MEMIT's the residual after the layer; n steps are n − 1 updates."""
    model, before = build_model(family), ["", "Once it rained. "]
    options = rome.Options(value_steps=6, value_decay=40.0, kl_weight=0.5, clamp=0.3, contexts=2)
    size = None
    if residual:
        asked = ask_behind(model, facts[:1], [facts[0].edit_target], [""])
        size = residual_after(model, asked, 1).norm(dim=-1).float()
    found = find_values(model, facts[:1], 1, before, options, JOB, size=size)
    delta, loss, clamped = by_hand(model, facts[0], 1, before, options, residual)
    assert clamped, "the bound is reached, so that the test sees it"
    torch.testing.assert_close(found.delta[0], delta.double(), atol=1e-4, rtol=1e-3)
    assert float(found.losses[0]) == pytest.approx(loss, rel=1e-4)


def by_hand(model, fact, layer, before, options, residual):
    """Follow the authors' loop with nothing shared, batched or cut short."""
    encoded = lambda text: model.tokenizer(text, return_tensors="pt").input_ids  # noqa: E731
    ends = lambda text: encoded(text[: text.index(fact.subject) + len(fact.subject)])  # noqa: E731
    module = projection(model, layer) if not residual else model.blocks[layer]
    delta = torch.zeros(model.d_model, requires_grad=True)
    optimizer, seen, clamped = torch.optim.Adam([delta], lr=options.value_rate), [], False
    place = 0

    def add(module, args, output):
        hidden = output[0] if isinstance(output, tuple) else output
        seen.append(hidden[0, place].detach().clone())
        where = torch.nn.functional.one_hot(torch.tensor(place), hidden.shape[1])[:, None]
        changed = hidden + where * delta
        return (changed, *output[1:]) if isinstance(output, tuple) else changed

    def run(text, ids):
        nonlocal place
        place = ends(text).shape[1] - 1
        handle = module.register_forward_hook(add)
        try:
            return model.hf(ids).logits[0].log_softmax(-1)
        finally:
            handle.remove()

    drift = f"{fact.subject} is a"
    for step in range(options.value_steps):
        nll = 0.0
        for opening in before:
            text = opening + fact.text
            ids, n = encoded(f"{text} {fact.edit_target}"), encoded(text).shape[1]
            log_probs = run(text, ids)
            own = log_probs[n - 1 : -1].gather(-1, ids[0, n:, None])
            nll = nll - own.mean() / len(before)
        if step == 0:
            size = seen[0].norm()
        now = run(drift, encoded(drift))[-1]
        if step == 0:
            first = now.detach()
        kl = (now.exp() * (now - first)).sum()
        loss = nll + options.value_decay * delta.norm() / size**2 + options.kl_weight * kl
        if loss < 0.05 or step == options.value_steps - 1:
            break
        optimizer.zero_grad()
        loss.backward()
        optimizer.step()
        with torch.no_grad():
            if delta.norm() > options.clamp * size:
                delta.mul_(options.clamp * size / delta.norm())
                clamped = True
    return delta.detach(), float(loss.detach()), clamped


def test_memits_keys_count_the_bare_prompt_a_half(model, facts) -> None:
    before = openings(model, 4, 0)
    each = [
        keys(model, ask_behind(model, facts[:2], ["chess", "chess"], [o]), [1], 2)[1]
        for o in before
    ]
    asked = ask_behind(model, facts[:2], ["chess", "chess"], before)
    found = keys(model, asked, [1], 2, halved(4))[1]
    expected = each[0] / 2 + sum(each[1:]) / 6
    torch.testing.assert_close(found, expected, atol=1e-5, rtol=1e-4)
    torch.testing.assert_close(keys(model, asked, [1], 2)[1], sum(each) / 4, atol=1e-5, rtol=1e-4)


def test_values_of_a_batch_are_those_of_each_fact_alone(model, facts) -> None:
    options = rome.Options(value_steps=5, **FAST)
    before = openings(model, 2, 0)
    together = find_values(model, facts[:3], 1, before, options, JOB)
    for i in range(3):
        alone = find_values(model, facts[i : i + 1], 1, before, options, JOB)
        torch.testing.assert_close(together.delta[i], alone.delta[0], atol=1e-3, rtol=1e-3)


def test_second_moments_of_all_layers_are_collected_in_one_pass(model) -> None:
    seen = []
    hook = model.blocks[0].register_forward_hook(lambda *a: seen.append(1))
    try:
        moments = second_moments(model, [0, 1, 2, 3], JOB, 300)
        passes = len(seen)
        again = second_moments(model, [2], JOB, 300)
    finally:
        hook.remove()
    assert passes == 1 and len(seen) == 1
    assert set(moments) == {0, 1, 2, 3} and torch.equal(again[2], moments[2])
    assert torch.linalg.eigvalsh(moments[1])[0] > -1e-9


def test_second_moments_are_kept_up_to_a_bound_in_bytes(model, monkeypatch) -> None:
    size = 8 * 48 * 48 + 64  # and the seconds that it took
    kept = Kept(3 * size)
    monkeypatch.setattr(memory, "_kept", kept)
    first = second_moments(model, [0, 1], JOB, 300)
    second_moments(model, [0, 1], JOB, 299)
    assert kept.size == 3 * size, "the layer used longest ago was let go"
    again = second_moments(model, [0, 1], JOB, 300)
    assert again[1] is first[1] and again[0] is not first[0]
    monkeypatch.setattr(memory, "_kept", Kept(size - 1))
    torch.testing.assert_close(second_moments(model, [0], JOB, 300)[0], first[0])
    assert memory._kept.size == 0, "one that is larger than the bound is not kept"


def test_a_mask_with_attention_is_refused_in_words(model, selection) -> None:
    mask = Mask(components=("blocks.1.mlp", "blocks.1.attn"))
    for method in (rome, memit, alphaedit):
        with pytest.raises(UserError, match="edits only MLPs' output projections"):
            method.unlearn(model, selection, mask, method.Options(), JOB)
    with pytest.raises(UserError, match="Layer 3 is not in the mask"):
        rome.unlearn(model, selection, MLPS, rome.Options(layer=3), JOB)


def test_models_that_norm_an_mlps_output_are_refused_by_memit(build_model, selection) -> None:
    with pytest.raises(UserError, match="norms an MLP's output"):
        memit.unlearn(build_model("gemma2"), selection, MLPS, memit.Options(), JOB)
