"""Every loss, and its gradient, against a reference written out by hand in plain float64."""

import math

import pytest
import torch
from torch import Tensor

from worker.core.training import losses as _losses

IGNORED = _losses.IGNORED
LABELS = torch.tensor([[IGNORED, 3, 1], [IGNORED, IGNORED, 4], [2, 0, 3]])


def random_logits(seed: int = 0) -> Tensor:
    generator = torch.Generator().manual_seed(seed)
    return torch.randn(3, 3, 6, generator=generator).requires_grad_()


def softmax(row: list[float]) -> list[float]:
    total = sum(math.exp(x) for x in row)
    return [math.exp(x) / total for x in row]


def row_log_probs(logits: Tensor) -> list[list[float]]:
    rows = []
    for b in range(3):
        used = [i for i in range(3) if LABELS[b, i] != IGNORED]
        rows.append([math.log(softmax(logits[b, i].tolist())[int(LABELS[b, i])]) for i in used])
    return rows


def numeric_gradient(loss, logits: Tensor) -> Tensor:
    """Central differences in float64 of a loss of plain numbers."""
    base = logits.detach().double()
    gradient = torch.zeros_like(base)
    for place in range(base.numel()):
        moved = []
        for step in (1e-4, -1e-4):
            shifted = base.clone()
            shifted.view(-1)[place] += step
            moved.append(loss(shifted))
        gradient.view(-1)[place] = (moved[0] - moved[1]) / 2e-4
    return gradient.float()


def sigmoid_loss(margins: list[float], beta: float) -> float:
    return sum(2 / beta * math.log(1 + math.exp(-beta * m)) for m in margins) / len(margins)


REFERENCE = [-1.0, -2.5, -4.0]


def by_hand_cross_entropy(logits: Tensor) -> float:
    flat = [x for row in row_log_probs(logits) for x in row]
    return -sum(flat) / len(flat)


def by_hand_unlikelihood(logits: Tensor) -> float:
    return -sum(math.log(1 - math.exp(row[0])) for row in row_log_probs(logits)) / 3


def by_hand_npo(logits: Tensor) -> float:
    log_probs = [sum(row) for row in row_log_probs(logits)]
    return sigmoid_loss([r - p for r, p in zip(REFERENCE, log_probs, strict=True)], 0.1)


def by_hand_simnpo(logits: Tensor) -> float:
    return sigmoid_loss([-sum(row) / len(row) - 0.5 for row in row_log_probs(logits)], 4.5)


def by_hand_dpo(logits: Tensor) -> float:
    log_probs = [sum(row) for row in row_log_probs(logits)]
    return sigmoid_loss([-1.0 - (p - r) for r, p in zip(REFERENCE, log_probs, strict=True)], 0.1)


REFERENCE_LOGITS = random_logits(7).detach()


def by_hand_undial(logits: Tensor) -> float:
    losses = []
    for b in range(3):
        for i in range(3):
            if LABELS[b, i] == IGNORED:
                continue
            lowered = REFERENCE_LOGITS[b, i].tolist()
            lowered[int(LABELS[b, i])] -= 10
            here = [math.log(p) for p in softmax(logits[b, i].tolist())]
            losses.append(-sum(q * p for q, p in zip(softmax(lowered), here, strict=True)))
    return sum(losses) / len(losses)


def npo(logits: Tensor) -> Tensor:
    log_probs = _losses.answer_log_probs(logits, LABELS)
    return _losses.npo(log_probs, torch.tensor(REFERENCE), 0.1)


def dpo(logits: Tensor) -> Tensor:
    rejected = _losses.answer_log_probs(logits, LABELS)
    chosen, reference = torch.full((3,), -3.0), torch.full((3,), -2.0)
    return _losses.dpo(chosen, reference, rejected, torch.tensor(REFERENCE), 0.1)


CASES = {
    "cross entropy": (lambda x: _losses.cross_entropy(x, LABELS), by_hand_cross_entropy),
    "-log(1-p)": (lambda x: _losses.unlikelihood(x, LABELS), by_hand_unlikelihood),
    "npo": (npo, by_hand_npo),
    "simnpo": (
        lambda x: _losses.simnpo(_losses.mean_losses(x, LABELS), 0.5, 4.5),
        by_hand_simnpo,
    ),
    "dpo": (dpo, by_hand_dpo),
    "undial": (lambda x: _losses.undial(x, REFERENCE_LOGITS, LABELS, 10.0), by_hand_undial),
}


@pytest.mark.parametrize("name", CASES)
def test_a_loss_and_its_gradient_are_those_written_by_hand(name: str) -> None:
    loss, by_hand = CASES[name]
    logits = random_logits()
    value = loss(logits)
    value.backward()
    assert value.item() == pytest.approx(by_hand(logits), abs=1e-5)
    torch.testing.assert_close(logits.grad, numeric_gradient(by_hand, logits), atol=1e-5, rtol=1e-3)


def test_unlikelihood_is_exact_where_p_is_nearly_one() -> None:
    logits = torch.tensor([[[30.0, 0.0, 0.0]]], requires_grad=True)
    loss = _losses.unlikelihood(logits, torch.tensor([[0]]))
    loss.backward()
    assert loss.item() == pytest.approx(30 - math.log(2), abs=1e-4)
    assert torch.isfinite(logits.grad).all()
    assert logits.grad[0, 0, 0].item() == pytest.approx(1.0, abs=1e-4)


def test_unlikelihood_leaves_forgotten_rows_alone() -> None:
    logits = torch.tensor([[[-6.0, 0.0]], [[1.0, 0.0]]], requires_grad=True)
    loss = _losses.unlikelihood(logits, torch.tensor([[0], [0]]))
    loss.backward()
    assert torch.equal(logits.grad[0], torch.zeros(1, 2))
    assert logits.grad[1, 0, 0] > 0
    assert loss.item() == pytest.approx(-math.log(1 - 1 / (1 + math.exp(-1))) / 2, abs=1e-5)
    alone = torch.tensor([[[-6.0, 0.0]]])
    assert _losses.unlikelihood(alone, torch.tensor([[0]])).item() == 0
    below = math.log(1 - 1 / (1 + math.exp(-6)))  # log p = -6.0025, by hand
    pulled = _losses.unlikelihood(alone, torch.tensor([[0]]), floor=below - 0.01)
    assert pulled.item() == pytest.approx(-math.log(1 - math.exp(below)), abs=1e-6)


def test_steer_averages_over_used_positions_only() -> None:
    hidden = torch.tensor([[[1.0, 3.0], [100.0, 100.0]]], requires_grad=True)
    used = torch.tensor([[True, False]])
    loss = _losses.steer(hidden, torch.tensor([0.0, 1.0]), used)
    loss.backward()
    assert loss.item() == pytest.approx((1 + 4) / 2)
    assert torch.equal(hidden.grad, torch.tensor([[[1.0, 2.0], [0.0, 0.0]]]))


def test_losses_of_half_precision_logits_are_computed_in_float32() -> None:
    logits = random_logits().detach().bfloat16()
    for loss, _ in CASES.values():
        assert loss(logits).dtype == torch.float32


def test_the_divergence_is_the_mean_over_used_places_of_what_the_base_expects_to_lose() -> None:
    now, base = random_logits(), random_logits(1).detach()
    found = _losses.divergence(now.detach(), base, LABELS)
    expected, n = 0.0, 0
    for b in range(3):
        for i in (i for i in range(3) if LABELS[b, i] != IGNORED):
            was, said = softmax(base[b, i].tolist()), softmax(now[b, i].tolist())
            expected += sum(p * math.log(p / q) for p, q in zip(was, said, strict=True))
            n += 1
    assert float(found) == pytest.approx(expected / n, rel=1e-5)
    assert float(_losses.divergence(base, base, LABELS)) == pytest.approx(0, abs=1e-7)
