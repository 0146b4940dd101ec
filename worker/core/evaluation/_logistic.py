"""Multinomial logistic regression for many problems at once: one per layer, one fit for all."""

import torch
from jaxtyping import Float, Int
from torch import Tensor

PENALTY = 1.0
"""Inverse strength C of the L2 penalty, as in scikit-learn's default."""


def fit(
    x: Float[Tensor, "problem n d"],
    y: Int[Tensor, "problem n"],
    n_classes: int,
    steps: int = 300,
    penalty: float = PENALTY,
) -> Float[Tensor, "problem d_plus_1 n_classes"]:
    """Minimize ½|W|² + C · Σ cross entropy for every problem by L-BFGS on their sum, in float64.

    The last row of each solution is the intercept, which is not penalized.
    """
    x = _with_one(x.double())
    weights = torch.zeros(
        x.shape[0], x.shape[2], n_classes, dtype=torch.float64, device=x.device, requires_grad=True
    )
    optimizer = torch.optim.LBFGS(
        [weights], max_iter=steps, history_size=20, line_search_fn="strong_wolfe",
        tolerance_grad=1e-5, tolerance_change=1e-9,
    )  # fmt: skip

    def closure() -> Tensor:
        optimizer.zero_grad()
        with torch.enable_grad():
            losses = torch.nn.functional.cross_entropy(
                (x @ weights).flatten(0, 1), y.flatten(), reduction="sum"
            )
            loss = 0.5 * weights[:, :-1].square().sum() + penalty * losses
            loss.backward()
        return loss

    optimizer.step(closure)
    return weights.detach()


def predict(
    weights: Float[Tensor, "problem d_plus_1 n_classes"], x: Float[Tensor, "problem n d"]
) -> Float[Tensor, "problem n n_classes"]:
    """Give each problem's class probabilities."""
    return (_with_one(x.double()) @ weights).softmax(-1)


def standardize(
    x: Float[Tensor, "problem n d"], *others: Float[Tensor, "problem m d"]
) -> list[Float[Tensor, "problem k d"]]:
    """Center and scale every feature by the first sample's mean and deviation."""
    mean, std = x.double().mean(1, keepdim=True), x.double().std(1, keepdim=True).clamp(min=1e-6)
    return [(each.double() - mean) / std for each in (x, *others)]


def _with_one(x: Float[Tensor, "problem n d"]) -> Float[Tensor, "problem n d_plus_1"]:
    return torch.cat([x, torch.ones_like(x[..., :1])], -1)
