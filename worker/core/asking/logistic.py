"""Multinomial logistic regression for many problems at once: one per layer, one fit for all.

1. Change variables so that every problem's curvature is at most the identity: with L Lᵀ = C/2 · XᵀX
   and the penalty's, the loss in V = LᵀW curves no more than ½|V|² (Böhning 1992).
2. Minimize in V by L-BFGS with a history and a step length of each problem's own, so that none
   waits for another's; ten to twenty steps do.

Source of what is minimized: scikit-learn's LogisticRegression. Limits: float32 inside, so that
probabilities are right to about two digits where classes hardly differ.
"""

import torch
from jaxtyping import Float, Int
from torch import Tensor

from worker.core.rounding import rounding_at

PENALTY = 1.0
"""Inverse strength C of the L2 penalty, as in scikit-learn's default."""
TOLERANCE = 3e-5
"""Largest component of the gradient of the mean loss, in the new variables, at the end."""
HISTORY = 5
HALVINGS = 8


def fit(
    x: Float[Tensor, "problem n d"],
    y: Int[Tensor, "problem n"],
    n_classes: int,
    steps: int = 300,
    penalty: float = PENALTY,
) -> Float[Tensor, "problem d_plus_1 n_classes"]:
    """Minimize ½|W|² + C · Σ cross entropy for every problem, in at most `steps` steps.

    The last row of each solution is the intercept, which is not penalized. In float64.
    """
    wide = _with_one(x.float())
    own = torch.ones(wide.shape[2], device=wide.device)
    own[-1] = 1e-6  # keeps the intercept's row of the curvature from vanishing
    curvature = 0.5 * penalty * wide.transpose(1, 2) @ wide + torch.diag(own)
    lower = torch.linalg.cholesky(curvature)
    turned = torch.linalg.solve_triangular(lower, wide.transpose(1, 2), upper=False)
    wanted = torch.nn.functional.one_hot(y, n_classes).float()
    v = _minimize(turned.transpose(1, 2).contiguous(), turned, wanted, steps, penalty)
    weights: Tensor = torch.linalg.solve_triangular(lower.transpose(1, 2), v, upper=True)
    return weights.double()


def _minimize(
    x: Float[Tensor, "problem n d"],
    x_turned: Float[Tensor, "problem d n"],
    wanted: Float[Tensor, "problem n n_classes"],
    steps: int,
    penalty: float,
) -> Float[Tensor, "problem d n_classes"]:
    """Take L-BFGS steps until every problem's gradient is small."""
    n = x.shape[1]
    v = x.new_zeros(x.shape[0], x.shape[2], wanted.shape[2])
    loss, gradient = _loss(x, x_turned, wanted, v, penalty)
    past: list[tuple[Tensor, Tensor, Tensor]] = []
    for _ in range(steps):
        is_open = gradient.abs().amax((1, 2), keepdim=True) >= TOLERANCE * n
        if not is_open.any():
            break
        direction = -_newton(gradient, past)
        slope = _dot(gradient, direction)
        length = is_open.to(slope.dtype)  # a problem that is done stays where it is
        for _ in range(HALVINGS):
            new_loss, new_gradient = _loss(x, x_turned, wanted, v + length * direction, penalty)
            # The last term is float32's noise in a sum of n losses.
            allowed = loss + 1e-4 * length * slope + 1e-5 * loss.abs()
            too_far = new_loss > allowed
            if not too_far.any():
                break
            length = torch.where(too_far, 0.5 * length, length)
        step, change = length * direction, new_gradient - gradient
        curved = _dot(step, change)
        weight = torch.where(curved > 1e-10, 1 / curved.clamp(min=1e-10), 0.0)
        past = [*past, (step, change, weight)][-HISTORY:]
        v, loss, gradient = v + step, new_loss, new_gradient
    return v


def _loss(
    x: Float[Tensor, "problem n d"],
    x_turned: Float[Tensor, "problem d n"],
    wanted: Float[Tensor, "problem n n_classes"],
    v: Float[Tensor, "problem d n_classes"],
    penalty: float,
) -> tuple[Float[Tensor, "problem 1 1"], Float[Tensor, "problem d n_classes"]]:
    """Give every problem's loss and gradient; the penalty on W is ½|V|² − C/4 · |XV|²."""
    z = x @ v
    total = z.logsumexp(-1, keepdim=True)
    fit_part = (total[..., 0] - (z * wanted).sum(-1)).sum(1)
    kept_part = 0.5 * v.square().sum((1, 2)) - 0.25 * penalty * z.square().sum((1, 2))
    gradient = v + penalty * (x_turned @ ((z - total).exp() - wanted - 0.5 * z))
    return (penalty * fit_part + kept_part)[:, None, None], gradient


def _newton(gradient: Tensor, past: list[tuple[Tensor, Tensor, Tensor]]) -> Tensor:
    """Apply L-BFGS' estimate of the inverse curvature: the two loops over the last steps."""
    found, shares = gradient, []
    for step, change, weight in reversed(past):
        shares.append(weight * _dot(step, found))
        found = found - shares[-1] * change
    if past:
        step, change, _ = past[-1]
        scale = _dot(step, change) / _dot(change, change).clamp(min=1e-12)
        found = found * torch.where(scale > 0, scale, 1.0)
    for (step, change, weight), share in zip(past, reversed(shares), strict=True):
        found = found + step * (share - weight * _dot(change, found))
    return found


def _dot(a: Tensor, b: Tensor) -> Float[Tensor, "problem 1 1"]:
    return (a * b).sum((1, 2), keepdim=True)


def predict(
    weights: Float[Tensor, "problem d_plus_1 n_classes"], x: Float[Tensor, "problem n d"]
) -> Float[Tensor, "problem n n_classes"]:
    """Give each problem's class probabilities."""
    return (_with_one(x.double()) @ weights).softmax(-1)


def standardize(
    x: Float[Tensor, "problem n d"], *others: Float[Tensor, "problem m d"]
) -> list[Float[Tensor, "problem k d"]]:
    """Center and scale every feature by the first sample's mean and deviation, where it has one."""
    mean, std = x.double().mean(1, keepdim=True), x.double().std(1, keepdim=True)
    std = torch.where(std > rounding_at(mean.abs(), x.dtype), std, torch.ones_like(std))
    return [(each.double() - mean) / std for each in (x, *others)]


def _with_one(x: Float[Tensor, "problem n d"]) -> Float[Tensor, "problem n d_plus_1"]:
    return torch.cat([x, torch.ones_like(x[..., :1])], -1)
