"""Fine-tuning as an attack: what each step's loss is, and steps as a plain loop takes them."""

import itertools
import math

import pytest
import torch
from torch import nn

from tests.worker.core.models.families import make_model
from worker.contract.errors import Diverged
from worker.core.models.model import Model
from worker.core.training.attack import CLIP, Feed, Together, fine_tune
from worker.core.training.losses import IGNORED
from worker.core.training.pool import Row

NONE = IGNORED
FACTS = [Row((0, 5, 6), (NONE, NONE, 9)), Row((0, 7), (NONE, 3)), Row((0, 8, 9), (NONE, NONE, 4))]
TEXT = [Row((0, 11, 12, 13), (11, 12, 13, 14))]


def fresh() -> tuple[Model, nn.Parameter]:
    """A model that may be changed, and one matrix of it that is trained."""
    model = make_model.__wrapped__("llama")
    place = model.blocks[2].mlp.down_proj.weight
    place.requires_grad_(True)
    return model, place


def loss_of(model: Model, rows: list[Row]) -> torch.Tensor:
    """Average over all labels of the rows, each row run by itself."""
    losses = []
    for row in rows:
        found = model.hf(torch.tensor([row.ids])).logits[0].log_softmax(-1)
        losses += [-found[i, label] for i, label in enumerate(row.labels) if label != NONE]
    return torch.stack(losses).mean()


def test_each_feeds_loss_is_the_mean_over_its_own_labels() -> None:
    model, _ = fresh()
    with torch.no_grad():
        found = Together(model, [(FACTS, 3), (TEXT, 4)]).losses(torch.Generator())
        expected = [loss_of(model, FACTS), loss_of(model, TEXT)]
    assert found.tolist() == pytest.approx([float(one) for one in expected], abs=1e-4)


def test_rows_are_drawn_from_each_feed_as_many_as_asked_and_in_turn() -> None:
    model, _ = fresh()
    other = [Row((0, 15 + i), (NONE, 20 + i)) for i in range(4)]
    together, generator = Together(model, [(FACTS, 1), (other, 2)]), torch.Generator()
    each = [loss_of(model, [row]).item() for row in FACTS]
    pairs = [loss_of(model, list(two)).item() for two in itertools.pairwise(other)]
    assert len(set(each)) == 3 and len(pairs) == 3
    seen, rest = [], []
    with torch.no_grad():
        for _ in range(6):
            first, second = together.losses(generator).tolist()
            seen.append(min(range(3), key=lambda i: abs(each[i] - first)))
            assert min(abs(one - first) for one in each) < 1e-4
            rest.append(second)
    assert sorted(seen[:3]) == sorted(seen[3:]) == [0, 1, 2]
    # Two and two make all four rows, whichever they are.
    whole = loss_of(model, other).item()
    assert [sum(rest[i : i + 2]) / 2 for i in (0, 2, 4)] == pytest.approx([whole] * 3, abs=1e-4)


@pytest.mark.parametrize("steps", [1, 3])
def test_steps_are_adams_under_a_cosine_on_the_sum_of_the_feeds_losses(steps: int) -> None:
    model, place = fresh()
    twin, other = fresh()
    told: list[int] = []
    groups: list[list[Feed]] = [[(FACTS, 8)], [([], 4), (TEXT, 4)]]
    fine_tune(
        model, [place], groups, steps=steps, learning_rate=0.01, seed=0, each_step=told.append
    )
    start = other.detach().clone()
    first, second = torch.zeros_like(other), torch.zeros_like(other)
    for step in range(steps):
        (gradient,) = torch.autograd.grad(loss_of(twin, FACTS) + loss_of(twin, TEXT), other)
        gradient = gradient * min(1.0, CLIP / float(gradient.norm()))
        first, second = 0.9 * first + 0.1 * gradient, 0.999 * second + 0.001 * gradient.square()
        rate = 0.01 * (1 + math.cos(math.pi * step / steps)) / 2
        mean, square = first / (1 - 0.9 ** (step + 1)), second / (1 - 0.999 ** (step + 1))
        with torch.no_grad():
            other -= rate * mean / (square.sqrt() + 1e-8)
    assert told == list(range(steps + 1))
    moved = other.detach() - start
    assert moved.abs().max() > 5e-3
    # Adam's first step is the gradient's sign: where that is next to nought, rounding decides it.
    off = (place.detach() - other.detach()).abs()
    assert float(off.mean()) < 0.01 * float(moved.abs().mean())


def test_the_gradient_is_clipped_to_a_norm_of_one_before_a_step() -> None:
    model, place = fresh()
    norms: list[float] = []
    own = torch.nn.utils.clip_grad_norm_
    torch.nn.utils.clip_grad_norm_ = lambda p, clip: norms.append(clip) or own(p, clip)
    try:
        fine_tune(
            model, [place], [[(FACTS, 8)]], steps=1, learning_rate=0.01, seed=0,
            each_step=lambda n: None,
        )  # fmt: skip
    finally:
        torch.nn.utils.clip_grad_norm_ = own
    assert norms == [1.0]


def test_the_seed_decides_which_rows_come_when() -> None:
    def trained(seed: int) -> torch.Tensor:
        model, place = fresh()
        fine_tune(
            model, [place], [[(FACTS, 1)]], steps=2, learning_rate=0.01, seed=seed,
            each_step=lambda n: None,
        )  # fmt: skip
        return place.detach().clone()

    assert trained(1).equal(trained(1))
    assert len({trained(seed).sum().item() for seed in range(6)}) > 1


def test_logits_that_are_no_numbers_end_it_with_place_step_and_rate() -> None:
    model, place = fresh()
    told: list[int] = []

    def spoil(step: int) -> None:
        told.append(step)
        if step == 1:
            with torch.no_grad():
                place[0, 0] = math.inf

    with pytest.raises(Diverged, match=r"at step 2: .*blocks\.2\.mlp.* rate \(0\.25\)"):
        fine_tune(
            model, [place], [[(TEXT, 4)]], steps=5, learning_rate=0.25, seed=0, each_step=spoil
        )
    assert told == [0, 1]


@pytest.mark.parametrize("scale", [math.nan, math.inf])
def test_a_loss_that_is_no_number_ends_it_with_loss_and_gradient(
    scale: float, monkeypatch: pytest.MonkeyPatch
) -> None:
    model, place = fresh()
    before = place.detach().clone()
    monkeypatch.setattr(Together, "losses", lambda own, generator: place.abs().sum()[None] * scale)
    with pytest.raises(
        Diverged, match=f"at step 1: the loss is {scale}, the gradient {scale}. The"
    ):
        fine_tune(
            model, [place], [[(TEXT, 4)]], steps=5, learning_rate=0.25, seed=0,
            each_step=lambda n: None,
        )  # fmt: skip
    assert place.detach().equal(before), "such a step is not taken"
