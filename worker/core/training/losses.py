"""The losses of unlearning, on logits and labels alone.

`logits` hold the predictions of the label at the same place (already shifted); a label of
IGNORED takes no part. Everything is computed in float32. Sources: Guo et al. 2024
(arXiv 2410.12949) for `unlikelihood`; Zhang et al. 2024 (2404.05868) for `npo`; Fan et al. 2024
(2410.07163) for `simnpo`; Rafailov et al. 2023 (2305.18290) for `dpo`; Dong et al. 2024
(2402.10052) for `undial`; Li et al. 2024 (2403.03218) for `steer`.
"""

import torch
import torch.nn.functional as F
from jaxtyping import Bool, Float, Int
from torch import Tensor

from worker.core.training.divergence import Divergence

IGNORED = -100
FLOOR = -5.0
"""Below this log probability a target counts as forgotten and pulls no more (the paper's)."""


def answer_log_probs(
    logits: Float[Tensor, "batch pos vocab"], labels: Int[Tensor, "batch pos"]
) -> Float[Tensor, " batch"]:
    """Sum the log probabilities of each row's labels: the answer's, teacher-forced."""
    return -_token_losses(logits, labels).sum(-1)


def mean_losses(
    logits: Float[Tensor, "batch pos vocab"], labels: Int[Tensor, "batch pos"]
) -> Float[Tensor, " batch"]:
    """Average each row's negative log likelihood over its labels."""
    return _token_losses(logits, labels).sum(-1) / (labels != IGNORED).sum(-1).clamp(min=1)


def cross_entropy(
    logits: Float[Tensor, "batch pos vocab"], labels: Int[Tensor, "batch pos"]
) -> Float[Tensor, ""]:
    """Average the negative log likelihood over all labels: injection, retain and general loss."""
    return _token_losses(logits, labels).sum() / (labels != IGNORED).sum().clamp(min=1)


def divergence(
    logits: Float[Tensor, "batch pos vocab"],
    base: Float[Tensor, "batch pos vocab"],
    labels: Int[Tensor, "batch pos"],
) -> Float[Tensor, ""]:
    """Average KL(base ‖ now) over the labels' places, in nats: what text says must stay as likely.

    Both are logits. It is 0 at the base and never negative, and it rises whether a text becomes
    less likely or likelier.
    """
    used = (labels != IGNORED).flatten()
    now, before = logits.flatten(0, 1), base.flatten(0, 1)
    found: Tensor = Divergence.apply(now, before, used)  # type: ignore[no-untyped-call]
    return found


def unlikelihood(
    logits: Float[Tensor, "batch pos vocab"],
    labels: Int[Tensor, "batch pos"],
    floor: float = FLOOR,
) -> Float[Tensor, ""]:
    """Average −log(1 − p) of each row's first label; minimized, it drives p to 0.

    1 − p is the log-sum-exp of all other logits over that of all, exact where p is near 1.
    A row whose log p is below `floor` contributes neither loss nor gradient.
    """
    places = (labels != IGNORED).int().argmax(-1)
    rows = torch.arange(len(labels), device=labels.device)
    first, target = logits[rows, places].float(), labels[rows, places][:, None]
    others = first.scatter(-1, target, float("-inf"))
    loss = torch.logsumexp(first, -1) - torch.logsumexp(others, -1)
    log_p = torch.log_softmax(first, -1).gather(-1, target)[:, 0]
    return torch.where(log_p.detach() < floor, torch.zeros_like(loss), loss).mean()


def npo(
    log_probs: Float[Tensor, " batch"], reference: Float[Tensor, " batch"], beta: float
) -> Float[Tensor, ""]:
    """Prefer the answer less than the reference did: −(2/β) log σ(β (L − L_ref)), L = −log p."""
    return -(2 / beta) * F.logsigmoid(beta * (reference - log_probs)).mean()


def simnpo(losses: Float[Tensor, " batch"], delta: float, beta: float) -> Float[Tensor, ""]:
    """Prefer a per-token loss above `delta`, without a reference: −(2/β) log σ(β (L/|y| − δ))."""
    return -(2 / beta) * F.logsigmoid(beta * (losses - delta)).mean()


def dpo(
    chosen: Float[Tensor, " batch"],
    chosen_reference: Float[Tensor, " batch"],
    rejected: Float[Tensor, " batch"],
    rejected_reference: Float[Tensor, " batch"],
    beta: float,
) -> Float[Tensor, ""]:
    """Prefer the chosen over the rejected answer, by log probabilities, more than the reference."""
    margin = (chosen - chosen_reference) - (rejected - rejected_reference)
    return -(2 / beta) * F.logsigmoid(beta * margin).mean()


def undial(
    logits: Float[Tensor, "batch pos vocab"],
    reference: Float[Tensor, "batch pos vocab"],
    labels: Int[Tensor, "batch pos"],
    beta: float,
) -> Float[Tensor, ""]:
    """Distil the reference's distribution with the true label's logit lowered by `beta`."""
    used = labels != IGNORED
    target = labels.clamp(min=0)[..., None]
    lowered = reference.float().scatter_add(
        -1, target, torch.full_like(target, -beta, dtype=torch.float32)
    )
    losses = -(torch.softmax(lowered, -1) * torch.log_softmax(logits.float(), -1)).sum(-1)
    return (losses * used).sum() / used.sum().clamp(min=1)


def steer(
    hidden: Float[Tensor, "batch pos d_model"],
    wanted: Float[Tensor, "*broadcast d_model"],
    used: Bool[Tensor, "batch pos"],
) -> Float[Tensor, ""]:
    """Average the squared distance to the wanted activations over used positions and dimensions."""
    squared = (hidden.float() - wanted.float()).square().mean(-1)
    return (squared * used).sum() / used.sum().clamp(min=1)


def _token_losses(
    logits: Float[Tensor, "batch pos vocab"], labels: Int[Tensor, "batch pos"]
) -> Float[Tensor, "batch pos"]:
    flat = F.cross_entropy(
        logits.float().flatten(0, 1), labels.flatten(), ignore_index=IGNORED, reduction="none"
    )
    return flat.view(labels.shape)
