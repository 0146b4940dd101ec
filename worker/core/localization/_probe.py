"""Linear probes by regularized least squares, for all layers and many labellings at once.

1. Features are standardized over all facts, without a look at their answers.
2. Every answer is a column of zeros and ones less its mean; ridge regression with the penalty
   `PENALTY · d_model` predicts the columns, and the largest prediction is the answer.
3. Facts are held out in turn. The solution is linear in the labels, so that shuffled answers cost
   one multiplication each: the control is a whole distribution and not one draw.

Source: scikit-learn's Ridge, on columns of zeros and ones, gives the same predictions. On a real
model's states it was as accurate as logistic regression with C = 1. Where there are more facts than
dimensions this form (one row and column per fact) costs more than it needs to.
"""

from __future__ import annotations

import torch
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worker.core.rounding import rounding_at

PENALTY = 1.0


def kernels(
    features: Float[Tensor, "depth fact d_model"],
) -> list[Float[Tensor, "fact fact"]]:
    """Multiply the standardized features of every two facts, per depth."""
    return [_kernel(one) for one in features]


def _kernel(features: Float[Tensor, "fact d_model"]) -> Float[Tensor, "fact fact"]:
    rounded_as, features = features.dtype, features.float()
    mean, std = features.mean(0), features.std(0)
    varies = std > rounding_at(mean.abs(), rounded_as)
    scaled = torch.where(varies, (features - mean) / torch.where(varies, std, 1.0), 0.0)
    return scaled @ scaled.T / features.shape[-1]


def held_out(
    by_depth: list[Float[Tensor, "fact fact"]],
    labels: Int[Tensor, "labelling fact"],
    folds: int,
    seed: int,
) -> Bool[Tensor, "labelling depth fact"]:
    """Say whether a probe that never saw the fact gets its answer right, under every labelling.

    The folds are dealt by the first labelling, each with its share of every answer.
    """
    n_classes = int(labels.max()) + 1
    wanted = torch.nn.functional.one_hot(labels, n_classes).float()
    right = torch.zeros(len(labels), len(by_depth), labels.shape[1], dtype=torch.bool)
    for part in split(labels[0], folds, seed):
        kept = torch.ones(labels.shape[1], dtype=torch.bool)
        kept[part] = False
        mean = wanted[:, kept].mean(1, keepdim=True)
        centred = (wanted[:, kept] - mean).permute(1, 0, 2).flatten(1)
        for depth, kernel in enumerate(by_depth):
            trained = kernel[kept][:, kept]
            trained = trained + PENALTY * torch.eye(len(trained), device=trained.device)
            solved = torch.cholesky_solve(centred.to(kernel.device), torch.linalg.cholesky(trained))
            scores = (kernel[part][:, kept] @ solved).cpu()
            scores = scores.unflatten(1, (len(labels), n_classes)).permute(1, 0, 2) + mean
            right[:, depth, part] = scores.argmax(-1) == labels[:, part]
    return right


def split(labels: Int[Tensor, " fact"], folds: int, seed: int) -> list[Int[Tensor, " part"]]:
    """Deal facts into folds at random, each with its share of every answer."""
    generator = torch.Generator().manual_seed(seed)
    parts: list[list[int]] = [[] for _ in range(folds)]
    turn = 0
    for label in labels.unique().tolist():
        members = torch.nonzero(labels == label).flatten()
        for i in members[torch.randperm(len(members), generator=generator)].tolist():
            parts[turn % folds].append(i)
            turn += 1
    return [torch.tensor(sorted(part)) for part in parts if part]


def shuffled(labels: Int[Tensor, " fact"], times: int, seed: int) -> Int[Tensor, "labelling fact"]:
    """Give the answers to other facts at random, as many times."""
    generator = torch.Generator().manual_seed(seed)
    return torch.stack(
        [labels[torch.randperm(len(labels), generator=generator)] for _ in range(times)]
    )
