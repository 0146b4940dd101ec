"""Fine-tune a model for a few steps to see what comes back, as relearning does."""

from collections.abc import Callable, Sequence

import torch
from jaxtyping import Float
from torch import Tensor, nn

from worker.contract.errors import Diverged, NotFinite
from worker.core.models.model import Model
from worker.core.training.forward import logits_at_answers
from worker.core.training.loop import Draw, Loop, Losses, Step
from worker.core.training.losses import IGNORED
from worker.core.training.pool import Row, pool

Feed = tuple[Sequence[Row], int]
"""Rows, and how many of them a step takes."""
CLIP = 1.0


class Together:
    """Rows of several feeds in one pool, so that a step runs them in one forward pass."""

    def __init__(self, model: Model, feeds: Sequence[Feed]) -> None:
        self.model = model
        self.pool = pool(model, [row for rows, _ in feeds for row in rows])
        self.draws = [Draw(len(rows), size) for rows, size in feeds]

    def losses(self, generator: torch.Generator) -> Float[Tensor, " feed"]:
        """Draw from each feed and average the negative log likelihood over its labels."""
        drawn, first = [], 0
        for draw in self.draws:
            drawn.append([first + place for place in draw.take(generator)])
            first += draw.n_rows
        batch = self.pool.batch(torch.tensor([place for places in drawn for place in places]))
        logits, sizes = logits_at_answers(self.model, batch), list(map(len, drawn))
        means = [
            nn.functional.cross_entropy(own.flatten(0, 1), wanted.flatten(), ignore_index=IGNORED)
            for own, wanted in zip(logits.split(sizes), batch.labels.split(sizes), strict=True)
        ]
        return torch.stack(means)


def fine_tune(
    model: Model,
    parameters: Sequence[nn.Parameter],
    groups: Sequence[Sequence[Feed]],
    *,
    steps: int,
    learning_rate: float,
    seed: int,
    each_step: Callable[[int], None],
) -> None:
    """Train `parameters` with AdamW and a cosine; each feed gives its loss a weight of 1.

    The feeds of a group share a forward pass: put those together whose rows have as many labels.
    `each_step(n)` is called before the first step (0) and after each. Raises Diverged where logits,
    a loss or a gradient are not finite.
    """
    generator = torch.Generator().manual_seed(seed)
    fed = [[feed for feed in feeds if feed[0]] for feeds in groups]
    together = [Together(model, feeds) for feeds in fed if feeds]

    def pull() -> Losses:
        loss = torch.cat([one.losses(generator) for one in together]).sum()
        loss.backward()
        return {"loss": float(loss.detach())}

    def tell(step: Step) -> None:
        if not step.is_finite:
            told = f"the loss is {step.losses['loss']:g}, the gradient {step.norm:g}."
            raise Diverged(_lost(step.number, told, learning_rate))
        each_step(step.number)

    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=0.0, fused=True)
    loop = Loop(parameters, optimizer, steps=steps, clip=CLIP)
    each_step(0)
    try:
        loop.run(pull, tell)
    except NotFinite as error:
        raise Diverged(_lost(loop.at, error.message, learning_rate)) from error


def _lost(step: int, why: str, learning_rate: float) -> str:
    return (
        f"The fine-tuning lost its way at step {step}: {why} The model is put back. Lower the "
        f"learning rate ({learning_rate:g})."
    )
