"""A model that knows a text better, by a low-rank adapter that can be switched off.

Switched off, the very same object is the baseline, bit for bit, so that no second model is held.
Leaving the context takes the adapter off; no weight of the model was ever changed.
"""

from collections.abc import Iterator, Sequence
from contextlib import ExitStack, contextmanager
from typing import Any

import torch
from jaxtyping import Float
from torch import Tensor

from worker.contract.errors import Diverged, NotFinite
from worker.core.findings import Job
from worker.core.models.model import Model
from worker.core.texts.blocks import Block, predict
from worker.core.texts.options import ReadingOptions
from worker.core.training.adapters import adapted, adapters_of
from worker.core.training.forward import logits_at_answers
from worker.core.training.loop import Draw, Loop, Losses, Step
from worker.core.training.losses import cross_entropy
from worker.core.training.pool import pool, running_row

CLIP = 1.0
"""Gradient norm above which gradients are scaled down."""


class Reinforced:
    """A model with its adapter; both opinions of a row of tokens."""

    def __init__(self, model: Model, wrapped: Any, losses: list[float]) -> None:
        self.model, self._wrapped, self.losses = model, wrapped, losses

    def baseline(self, ids: Sequence[int]) -> Float[Tensor, "pos vocab"]:
        """Predict with the adapter off."""
        with self._wrapped.disable_adapter():
            return predict(self.model, ids)

    def reinforced(self, ids: Sequence[int]) -> Float[Tensor, "pos vocab"]:
        """Predict with the adapter on."""
        return predict(self.model, ids)


@contextmanager
def reinforcing(
    model: Model,
    blocks: Sequence[Block],
    options: ReadingOptions,
    job: Job,
    share: tuple[float, float],
) -> Iterator[Reinforced]:
    """Train an adapter on a text; `share` is its part of the run's progress, from and to.

    Raises Diverged where logits or a loss are not finite.
    """
    rank = options.reinforce_rank
    with ExitStack() as stack:
        with torch.random.fork_rng():
            torch.manual_seed(job.seed)  # peft draws the adapter from the global generator
            wrapped = stack.enter_context(adapted(model, rank, 2 * rank))
        parameters = adapters_of(wrapped)
        for parameter in parameters:
            parameter.requires_grad_(True)
        losses = _train(model, blocks, parameters, options, job, share)
        yield Reinforced(model, wrapped, losses)


def _train(
    model: Model,
    blocks: Sequence[Block],
    parameters: list[torch.nn.Parameter],
    options: ReadingOptions,
    job: Job,
    share: tuple[float, float],
) -> list[float]:
    rows = pool(model, [running_row(block.ids) for block in blocks])
    draw = Draw(len(blocks), options.reinforce_batch)
    generator = torch.Generator().manual_seed(job.seed)
    losses: list[float] = []

    def pull() -> Losses:
        batch = rows.batch(torch.tensor(draw.take(generator)))
        loss = cross_entropy(logits_at_answers(model, batch), batch.labels)
        loss.backward()
        losses.append(float(loss.detach()))
        return {"loss": losses[-1]}

    def tell(step: Step) -> None:
        if not step.is_finite:
            raise Diverged(lost(f"{step.number}: the loss is {losses[-1]:g}."))
        done = share[0] + (share[1] - share[0]) * step.number / options.reinforce_steps
        job.report.progress(done, f"Stage 1: reinforcing, step {step.number}")

    def lost(where: str) -> str:
        return (
            f"Reinforcing the text lost its way at step {where} The model is untouched. Lower "
            f"reinforce_rate ({options.reinforce_rate:g})."
        )

    optimizer = torch.optim.AdamW(parameters, lr=options.reinforce_rate, weight_decay=0.0)
    loop = Loop(parameters, optimizer, steps=options.reinforce_steps, clip=CLIP, cosine=False)
    try:
        loop.run(pull, tell)
    except NotFinite as error:
        raise Diverged(lost(f"{loop.at}: {error.message}")) from error
    return losses
