"""The paper's method on tiny models: what changes, what does not, and that it repeats."""

import numpy as np
import pytest
import torch

from worker.contract.errors import Cancelled, Diverged, UserError
from worker.contract.mask import Mask
from worker.contract.progress import Event, Quiet
from worker.contract.retain import divide
from worker.contract.selection import Selection
from worker.core.asking.rows import statement_probabilities
from worker.core.findings import Job
from worker.core.models.deltas import checksum, restored
from worker.core.training import trainer as _trainer
from worker.core.unlearning import localized_finetuning as method

JOB = Job(seed=0, report=Quiet())
FAST = {
    "steps": 60,
    "learning_rate": 1e-2,
    "general_sentences": 8,
    "context": 16,
    "general_batch": 2,
}
MLPS = Mask(components=("blocks.1.mlp", "blocks.2.mlp"))


LAST = {"keep": "last", "retain_floor": 0}
"""So small a model learned its facts by heart: those not trained on go with the first steps."""


def trained(model, selection, found) -> float:
    """Ask the edited model for the retain facts that it was trained on."""
    with restored(model, found.delta), torch.no_grad():
        for name, value in found.delta.items():
            model.hf.get_parameter(name).copy_(value)
        return statement_probabilities(model, divide(selection.retain).trained)[0].mean()


def edit(model, selection, mask=MLPS, job=JOB, **options):
    return method.unlearn(model, selection, mask, method.Options(**FAST | options), job)


def test_an_edit_puts_the_edit_target_in_and_keeps_the_rest(model, selection) -> None:
    before = checksum(model)
    found = edit(model, selection, **LAST)
    assert found.summary["quick.edit_probability.after"] > 0.9
    assert found.summary["quick.forget_probability.after"] < 0.1
    assert trained(model, selection, found) > 0.8
    assert checksum(model) == before
    assert found.receipt.base_restored and found.receipt.outside_unchanged
    assert {name.split(".mlp.")[0] for name in found.delta} == {"model.layers.1", "model.layers.2"}
    assert found.receipt.n_parameters == 2 * 3 * 32 * 48
    assert 0 < found.receipt.n_changed <= found.receipt.n_parameters
    assert found.receipt.hash_after != found.receipt.hash_before == before


def test_unlearning_lowers_the_target_and_keeps_the_rest(model, selection) -> None:
    found = edit(model, selection, objective="unlearn", forget_weight=2, steps=90, **LAST)
    assert found.summary["quick.forget_probability.after"] < 0.2
    assert trained(model, selection, found) > 0.65


def test_the_same_seed_gives_the_same_weights_and_another_seed_others(model, selection) -> None:
    small = {"retain_batch": 2, "steps": 8, "probe_every": 4}
    one, two = edit(model, selection, **small), edit(model, selection, **small)
    other = edit(model, selection, job=Job(seed=1, report=Quiet()), **small)
    assert all(torch.equal(one.delta[name], two.delta[name]) for name in one.delta)
    assert any(not torch.equal(one.delta[name], other.delta[name]) for name in one.delta)


@pytest.mark.parametrize("family", ["llama", "gpt2", "gemma2"])
@pytest.mark.parametrize("component", ["blocks.2.attn.head.1", "blocks.1.mlp", "blocks.0.attn"])
def test_nothing_outside_the_mask_changes_by_a_bit_under_weight_decay(
    build_model, selection, family, component
) -> None:
    model = build_model(family)
    before = checksum(model)
    found = edit(
        model,
        selection,
        Mask(components=(component,)),
        steps=3,
        weight_decay=0.5,
        keep="last",
        retain_floor=0,
    )
    receipt = found.receipt
    assert receipt.outside_unchanged and receipt.base_restored
    assert receipt.n_changed > 0.9 * receipt.n_parameters > 0
    assert receipt.n_outside_checked + receipt.n_parameters == sum(
        p.numel() for p in model.hf.parameters()
    )
    assert checksum(model) == before


def test_heads_of_one_group_share_their_keys_and_values_once(build_model, selection) -> None:
    model = build_model("llama")
    heads = Mask(components=("blocks.1.attn.head.0", "blocks.1.attn.head.1"))
    found = edit(model, selection, heads, steps=2, keep="last", retain_floor=0)
    assert found.receipt.n_parameters == 2 * (2 * 8 * 32) + 2 * (8 * 32)
    keys = found.delta["model.layers.1.self_attn.k_proj.weight"]
    untouched = dict(model.hf.named_parameters())["model.layers.1.self_attn.k_proj.weight"]
    assert torch.equal(keys[8:], untouched[8:]) and not torch.equal(keys[:8], untouched[:8])


def test_kept_hidden_states_give_the_training_that_the_whole_model_gives(
    model, selection, monkeypatch
) -> None:
    top = Mask(components=("blocks.3.mlp",))
    kept = edit(model, selection, top, steps=4, keep="last", retain_floor=0)
    monkeypatch.setattr("worker.core.training.forward.CACHE_BYTES", 0)
    whole = edit(model, selection, top, steps=4, keep="last", retain_floor=0)
    for name in whole.delta:
        torch.testing.assert_close(kept.delta[name], whole.delta[name], atol=2e-5, rtol=1e-3)


def test_text_run_in_pieces_gives_the_training_that_whole_batches_give(
    model, selection, monkeypatch
) -> None:
    options = {"steps": 5, "probe_every": 5, "keep": "last", "general_batch": 6}
    whole = edit(model, selection, **options)
    monkeypatch.setattr(_trainer, "PIECE_BYTES", 4 * model.d_vocab * 20)
    pieces = edit(model, selection, **options)
    assert pieces.arrays["curve.general_loss"].values == pytest.approx(
        whole.arrays["curve.general_loss"].values, abs=1e-5
    )
    for name, values in whole.delta.items():
        assert torch.allclose(values, pieces.delta[name], atol=1e-4)


def test_half_precision_is_trained_through_float32_masters(build_model, selection) -> None:
    model = build_model("llama", torch.bfloat16)
    found = edit(model, selection, steps=20, learning_rate=1e-5, keep="last", retain_floor=0)
    assert all(value.dtype == torch.bfloat16 for value in found.delta.values())
    assert found.receipt.outside_unchanged and found.receipt.base_restored
    assert found.receipt.n_changed > 0


def test_a_cancelled_edit_leaves_the_base_exact(model, selection) -> None:
    def cancel(event: Event) -> None:
        if event.type == "partial" and event.data["step"] == 3:
            raise Cancelled("stop")

    before = checksum(model)
    with pytest.raises(Cancelled):
        edit(model, selection, job=Job(seed=0, report=Quiet(cancel)))
    assert checksum(model) == before
    assert not any(p.requires_grad for p in model.hf.parameters())
    assert not any("forward" in vars(block) for block in model.blocks)


def test_a_crash_inside_the_loss_leaves_the_base_exact(model, selection, monkeypatch) -> None:
    def crash(*args):
        raise ZeroDivisionError

    before = checksum(model)
    monkeypatch.setattr("worker.core.training.losses.cross_entropy", crash)
    with pytest.raises(ZeroDivisionError):
        edit(model, selection)
    assert checksum(model) == before


def test_a_loss_that_is_not_finite_is_said_to_have_diverged(model, selection, monkeypatch) -> None:
    before = checksum(model)
    monkeypatch.setattr(
        "worker.core.training.losses.cross_entropy", lambda logits, labels: logits.sum() * np.nan
    )
    with pytest.raises(Diverged, match=r"not finite at step 1.*untouched; lower the learning rate"):
        edit(model, selection)
    assert checksum(model) == before


def test_retain_facts_that_are_lost_stop_the_training_at_the_last_good_state(
    model, selection
) -> None:
    found = edit(
        model, selection, retain_weight=0.0, general_weight=0.0, probe_every=1, retain_floor=0.9
    )
    assert "retain probability fell" in found.summary["training.stopped"]
    assert 0 < found.summary["training.kept_step"] <= found.summary["training.steps"] < 60
    with pytest.raises(Diverged, match=r"retain probability fell.*forget weight"):
        edit(
            model, selection, retain_weight=0.0, general_weight=0.0, objective="unlearn",
            learning_rate=1.0, probe_every=1,
        )  # fmt: skip


def test_curves_hold_one_loss_per_step_and_one_probe_per_probed_step(model, selection) -> None:
    told: list[Event] = []
    found = edit(
        model, selection, job=Job(seed=0, report=Quiet(told.append)), steps=20, probe_every=10
    )
    assert found.arrays["curve.forget_loss"].values.shape == (20,)
    assert found.arrays["curve.edit_probability"].axes[0].labels == ("0", "10", "20")
    assert (
        found.arrays["curve.forget_loss"].values[-1] < found.arrays["curve.forget_loss"].values[0]
    )
    points = [event.data for event in told if event.type == "partial"]
    assert {"step", "forget_loss", "retain_loss", "general_loss"} <= set(points[5])
    assert points[0]["edit_probability"] < points[-1]["edit_probability"]
    assert np.isfinite(found.arrays["curve.retain_probability"].values).all()


def test_the_best_checkpoint_is_kept_and_training_stops_at_the_goal(model, selection) -> None:
    found = edit(model, selection, steps=200, probe_every=5, stop_goal=0.8, retain_floor=0)
    assert "was reached" in found.summary["training.stopped"]
    assert found.summary["training.steps"] < 200
    probed = found.arrays["curve.edit_probability"]
    kept = probed.axes[0].labels.index(str(found.summary["training.kept_step"]))
    assert probed.values[kept] == found.summary["quick.edit_probability.after"]


def test_partitions_are_edited_one_after_another(model, facts) -> None:
    selection = Selection(forget=facts[:4], retain=facts[4:])
    found = edit(model, selection, partitions=2)
    assert found.summary["training.partitions"] == 2
    assert found.summary["training.steps"] == 120
    assert found.arrays["curve.forget_loss"].values.shape == (120,)
    matrix = found.arrays["interference"].values
    assert matrix.shape == (2, 2)
    assert matrix[0, 0] > 0.8 and matrix[1, 1] > 0.8 and matrix[0, 1] < 0.5


def test_each_partition_may_have_a_mask_of_its_own_located_anew(model, facts) -> None:
    selection = Selection(forget=facts[:4], retain=facts[4:])
    before = checksum(model)
    one = Mask(components=("blocks.1.mlp",))
    options = {"partitions": 2, "localize_each": "direct_logit_attribution", "steps": 8}
    found = edit(model, selection, one, **options, keep="last", retain_floor=0)
    rows = found.tables["masks"].rows
    assert [row[2] for row in rows] == [3 * 32 * 48] * 2
    own = {name for row in rows for name in row[1].split(", ")}
    assert set(found.mask.components) == own and all(name.endswith(".mlp") for name in own)
    changed = {name.removeprefix("model.layers.").split(".mlp.")[0] for name in found.delta}
    assert changed == {name.split(".")[1] for name in own}
    assert found.receipt.outside_unchanged and found.receipt.base_restored
    assert found.receipt.n_parameters == len(own) * 3 * 32 * 48
    assert checksum(model) == before
    with pytest.raises(UserError, match="No localization method 'nowhere'"):
        edit(model, selection, one, localize_each="nowhere")


def test_a_search_reports_every_trial_and_keeps_the_best(model, selection) -> None:
    found = edit(model, selection, search="small", steps=10)
    trials = found.tables["search"].rows
    assert len(trials) == 7
    scores = [row[2] for row in trials if row[2] is not None]
    assert found.summary["training.score"] == max(scores)


def test_facts_that_cannot_be_edited_are_refused_in_words(model, facts) -> None:
    cases = {
        "no edit target": facts[0].model_copy(update={"edit_target": ""}),
        "its target itself": facts[0].model_copy(update={"edit_target": facts[0].target}),
    }
    for said, fact in cases.items():
        with pytest.raises(UserError, match=said):
            edit(model, Selection(forget=(fact,), retain=facts[2:]))
    twin = facts[0].model_copy(update={"id": "twin"})
    with pytest.raises(UserError, match="expected sets that do not meet"):
        edit(model, Selection(forget=facts[:1], retain=(twin,)))
    with pytest.raises(UserError, match="retain weight to 0"):
        edit(model, Selection(forget=facts, retain=()))
    with pytest.raises(UserError, match="5 partitions"):
        edit(model, Selection(forget=facts[:2], retain=facts[2:]), partitions=5)
