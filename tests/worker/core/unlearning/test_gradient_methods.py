"""Every gradient method on a tiny model that knows the facts: forget falls, retain stays."""

from contextlib import contextmanager

import pytest
import torch

from worker.contract.errors import UserError
from worker.contract.mask import Mask
from worker.contract.progress import Quiet
from worker.contract.retain import divide
from worker.core.asking.rows import statement_probabilities
from worker.core.findings import Job
from worker.core.models.deltas import checksum, restored
from worker.core.registry import method
from worker.core.training.pool import Batch
from worker.core.unlearning import rmu

JOB = Job(seed=0, report=Quiet())
MLPS = Mask(components=("blocks.0.mlp", "blocks.1.mlp", "blocks.2.mlp"))
SMALL = {
    "steps": 40,
    "general_sentences": 8,
    "context": 16,
    "general_batch": 2,
    "learning_rate": 1e-2,
}
LAST = {"keep": "last", "retain_floor": 0}
"""A model of 50,000 parameters learned its facts by heart: what is not trained on goes with the
first steps, and the best checkpoint by it would be the beginning."""
# Trained retain facts stay above this; ascent and the task vector alone hold nothing fast.
METHODS = {
    "gradient_ascent": ({"learning_rate": 2e-3, "probe_every": 1}, 0.4),
    "grad_diff": ({"retain_weight": 1.0} | LAST, 0.7),
    "npo": (LAST, 0.7),
    "simnpo": ({"forget_weight": 1.0} | LAST, 0.6),
    "idk_dpo": ({"forget_weight": 5.0} | LAST, 0.6),
    "undial": (LAST, 0.7),
    "rmu": ({"forget_weight": 1.0} | LAST, 0.5),
    "ft_l": ({"epsilon": 0.05, "probe_every": 1}, 0.3),
    "task_vector": ({"steps": 10, "scales": (0.5, 1.0, 2.0, 4.0)}, 0.0),
    "weight_masking": ({"beta": 0.1, "general_loss": "cross_entropy"}, 0.3),
}
# A mask only removes, and of so few weights none that leave what is said of other text as it was.


def run(name: str, model, selection, mask=MLPS, **options):
    found = method("unlearning", name)
    return found.function(model, selection, mask, found.options(**SMALL | options), JOB)


@contextmanager
def edited_by(model, found):
    """Put a method's delta on the model for a while."""
    with restored(model, found.delta), torch.no_grad():
        for name, value in found.delta.items():
            model.hf.get_parameter(name).copy_(value)
        yield


@pytest.mark.parametrize("name", METHODS)
def test_forget_falls_retain_stays_and_nothing_else_changes(name, model, selection) -> None:
    options, tolerance = METHODS[name]
    if name == "task_vector":  # two retain facts: none is watched, and forgetting alone chooses
        selection = selection.model_copy(update={"retain": selection.retain[:2]})
    before = checksum(model)
    found = run(name, model, selection, **options)
    summary = found.summary
    assert (
        summary["quick.forget_probability.after"] < 0.6 * summary["quick.forget_probability.before"]
    )
    with edited_by(model, found):
        trained = statement_probabilities(model, divide(selection.retain).trained)[0]
    assert trained.mean() > tolerance
    assert found.receipt.outside_unchanged and found.receipt.base_restored
    assert found.receipt.n_changed > 0
    assert checksum(model) == before


def test_a_position_of_huge_activations_is_retained_no_harder_than_others() -> None:
    reference = torch.ones(1, 4, 8)
    reference[:, 0], reference[:, 2], reference[:, 3] = 200, 0.5, 0
    shown = torch.tensor([[1, 1, 1, 0]])
    batch = Batch(shown, shown, shown, shown, torch.tensor([0]))
    loss, losses = rmu._stay(reference, torch.tensor(1.0)), []
    for position in range(4):
        moved = reference.clone()
        moved[:, position] = moved[:, position] * 1.1 + (position == 3)
        losses.append(float(loss(moved, batch)))
    assert losses[:3] == pytest.approx([0.01 / 3, 0.01 / 3, 0.25 * 0.01 / 3], rel=1e-4)
    assert losses[3] == 0, "padding"


@pytest.mark.parametrize("name", METHODS)
def test_a_run_repeated_with_its_seed_gives_the_same_weights(name, model, selection) -> None:
    small = {"steps": 3, "keep": "last", "retain_floor": 0}
    if name in ("task_vector", "weight_masking"):
        small = {"steps": 10}
    one, two = (run(name, model, selection, **METHODS[name][0] | small) for _ in range(2))
    assert one.delta and all(torch.equal(one.delta[k], two.delta[k]) for k in one.delta)


def test_masked_weights_are_zero_and_all_others_untouched(model, selection) -> None:
    found = run("weight_masking", model, selection, beta=0.1, points=6)
    base = dict(model.hf.named_parameters())
    zeroed = 0
    for name, value in found.delta.items():
        changed = value != base[name]
        assert (value[changed] == 0).all()
        zeroed += int(changed.sum())
    assert zeroed == found.summary["weight_masking.edited_weights"] > 0
    assert found.arrays["masked.forget_probability"].axes[0].labels[0] == "0"


@pytest.mark.parametrize("name", ["task_vector", "weight_masking"])
def test_a_search_reports_every_trial_and_keeps_the_best(name, model, selection) -> None:
    options = METHODS[name][0] | {"steps": 6, "search": "small"}
    found = run(name, model, selection, **options)
    trials = found.tables["search"].rows
    assert len(trials) == (3 if name == "task_vector" else 7)
    best = max((row for row in trials if row[2] is not None), key=lambda row: row[2])
    assert found.summary["search.learning_rate"] == best[0]
    assert found.summary["quick.retain_probability.after"] == best[3]


def test_the_published_optimizer_has_its_own_rate_and_no_search(model, selection) -> None:
    options = {"optimizer": "published", "beta": 0.1, "steps": 3, "edited_weights": 5}
    one, two = (
        run("weight_masking", model, selection, **options | {"learning_rate": rate})
        for rate in (1e-2, 1e-5)
    )
    assert all(torch.equal(one.delta[k], two.delta[k]) for k in one.delta)
    with pytest.raises(UserError, match="The published optimizer has one rate"):
        run("weight_masking", model, selection, **options | {"search": "small"})


def test_rmu_refuses_a_layer_below_the_mask(model, selection) -> None:
    with pytest.raises(UserError, match="mask reaches layer 2"):
        run("rmu", model, selection, layer=1)


def test_rmu_trains_nothing_above_its_layer_and_computes_nothing_there(model, selection) -> None:
    reached = []
    hooks = [
        block.register_forward_hook(lambda *a, i=i: reached.append(i))
        for i, block in enumerate(model.blocks)
    ]
    try:
        from worker.core.training.forward import hidden_before
        from worker.core.training.pool import fact_rows, pool

        rows = pool(model, fact_rows(model, selection.forget, ["chess", "chess"]))
        hidden_before(model, rows.batch(torch.arange(2)), 2)
    finally:
        for hook in hooks:
            hook.remove()
    assert reached == [0, 1]
    assert rmu.Options(layer=2).layer == 2
