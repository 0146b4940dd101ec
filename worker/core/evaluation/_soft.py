"""Free vectors before a prompt: trained on some facts, from several starts at once, and asked."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from worker.contract.base import Options as BaseOptions
from worker.contract.facts import Fact
from worker.core.evaluation._before_prompts import log_probs
from worker.core.findings import Job
from worker.core.models.model import Model
from worker.core.training.pool import Row, fact_rows

Groups = Mapping[str, Sequence[Fact]]
ASKED = 64
"""Facts per forward pass when the vectors are asked."""
ROWS = 64
"""Facts times starts that are trained in one batch."""
LEARNED = 0.01
"""Loss in nats below which a start has nothing left to bring out; a base that knows its facts is
there from the first step on."""


class SoftOptions(BaseOptions):
    """How the vectors are searched."""

    n_vectors: int = Field(8, ge=1, le=256, description="Free vectors before the prompt.")
    restarts: int = Field(
        4, ge=4, le=64, description="Starts from other random vectors, at least 4 (paper: 4)."
    )
    steps: int = Field(40, ge=1, le=5000, description="Steps of AdamW per start (paper: 128).")
    learning_rate: float = Field(
        1e-2, gt=0, le=10, description="AdamW's rate, in units of an embedding's mean norm."
    )
    norm: float = Field(
        2.0, gt=0, le=100, description="Largest norm of a vector over an embedding's mean norm."
    )


@dataclass(frozen=True)
class Attacked:
    """Probabilities of the true answers by group of facts, without and with the best vectors."""

    plain: dict[str, Float[np.ndarray, " fact"]]
    attacked: dict[str, Float[np.ndarray, " fact"]]
    losses: Float[np.ndarray, "restart step"]


def attack(
    model: Model,
    taught: Sequence[Fact],
    groups: Groups,
    options: SoftOptions,
    job: Job,
    share: tuple[float, float] = (0.0, 1.0),
) -> Attacked:
    """Train vectors from every start and ask with those whose loss is least at the end."""
    rows = fact_rows(model, taught)
    at_once = max(1, ROWS // len(rows))
    starts = [
        range(first, min(first + at_once, options.restarts))
        for first in range(0, options.restarts, at_once)
    ]
    vectors, losses = [], []
    for i, chosen in enumerate(starts):
        part = [share[0] + (share[1] - share[0]) * k / len(starts) for k in (i, i + 1)]
        trained, of = _train(model, rows, chosen, options, job, (part[0], part[1]))
        vectors.append(trained)
        losses.append(of)
    everyone = torch.cat(vectors)
    with torch.no_grad():
        ends = [-float(log_probs(model, rows, one[None]).mean()) for one in everyone]
    best = everyone[int(np.argmin(ends))]
    return Attacked(
        plain={name: _ask(model, facts, best[:0]) for name, facts in groups.items()},
        attacked={name: _ask(model, facts, best) for name, facts in groups.items()},
        losses=np.concatenate(losses),
    )


def _train(
    model: Model,
    rows: Sequence[Row],
    restarts: range,
    options: SoftOptions,
    job: Job,
    share: tuple[float, float],
) -> tuple[Float[Tensor, "restart vector d_model"], Float[np.ndarray, "restart step"]]:
    """Train the vectors of some starts in one batch; AdamW is elementwise, so none sees another.

    They stop together where every start's loss is below LEARNED, and keep their last loss.
    """
    unit = _unit(model)
    vectors = torch.stack([_start(model, options, job.seed * 1000 + r) for r in restarts])
    vectors = (unit * vectors).to(model.device).requires_grad_(True)
    optimizer = torch.optim.AdamW([vectors], lr=options.learning_rate * unit, weight_decay=0.0)
    losses = np.zeros((len(restarts), options.steps))
    for step in range(options.steps):
        done = share[0] + (share[1] - share[0]) * step / options.steps
        job.report.progress(done, f"Starts {restarts[0] + 1} to {restarts[-1] + 1}, step {step}")
        optimizer.zero_grad()
        each = -log_probs(model, rows, vectors).mean(1)
        each.sum().backward()
        optimizer.step()
        with torch.no_grad():
            limit = options.norm * unit
            vectors.mul_((limit / vectors.norm(dim=-1, keepdim=True)).clamp(max=1))
        losses[:, step:] = each.detach().cpu().numpy()[:, None]
        if (losses[:, step] < LEARNED).all():
            break
    return vectors.detach(), losses


def _start(model: Model, options: SoftOptions, seed: int) -> Float[Tensor, "vector d_model"]:
    generator = torch.Generator().manual_seed(seed)
    drawn = torch.randn(options.n_vectors, model.d_model, generator=generator)
    return torch.div(drawn, drawn.norm(dim=1, keepdim=True))


def _unit(model: Model) -> float:
    """The mean norm of a token's embedding."""
    embeddings = model.hf.get_input_embeddings().weight
    assert isinstance(embeddings, Tensor)
    return float(embeddings.detach().float().norm(dim=1).mean())


@torch.no_grad()
def _ask(
    model: Model, facts: Sequence[Fact], vectors: Float[Tensor, "vector d_model"]
) -> Float[np.ndarray, " fact"]:
    """Score the facts' answers, in batches of facts with as many tokens."""
    rows = fact_rows(model, facts)
    found = np.zeros(len(rows))
    order = sorted(range(len(rows)), key=lambda i: len(rows[i].ids))
    for start in range(0, len(order), ASKED):
        chosen = order[start : start + ASKED]
        scores = log_probs(model, [rows[i] for i in chosen], vectors[None])[0]
        found[chosen] = scores.exp().cpu().double().numpy()
    return found
