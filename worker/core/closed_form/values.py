"""Find the value that an MLP should give at the last subject token, for all facts in one batch.

Each fact has its own vector δ, added to the output of one layer's projection at the subject's last
token; what stands before that token is run once. Its loss, as in the authors' code, is

    mean over openings of the answer's NLL per token
    + decay · |δ| / |v|²
    + KL weight · KL(next token after "{subject} is a", with δ ‖ without)

where v is what the method writes into: ROME's is the projection's output (kmeng01/rome,
compute_v.py), MEMIT's and AlphaEdit's the residual after the layer (kmeng01/memit, compute_z.py),
both behind no opening. The decay is of the norm over the squared norm: the paper's squared form
stands commented out in the code. After each step δ is cut to the ball of radius clamp · |v|. Of n
steps the last only looks: it says the loss of the δ that is kept, which n − 1 updates made.

Adam works elementwise, so a batch of facts takes the very steps that each alone would take; a fact
whose loss is low enough stops by itself, and each δ is held to its own ball.

Departure: the divergence is taken after the whole prompt "{subject} is a", as the paper writes it;
the code takes it after the subject, so that δ is measured where it is added.
"""

from collections.abc import Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import Any

import torch
from jaxtyping import Float
from pydantic import Field
from torch import Tensor

from worker.contract.base import Options
from worker.contract.facts import Fact
from worker.core.closed_form.memory import Asked, ask_behind, projection
from worker.core.closed_form.tail import Tail
from worker.core.findings import Job
from worker.core.models.model import Model
from worker.core.models.tokens import encode
from worker.core.training import losses as _losses
from worker.core.training.forward import Reached, logits_at_answers, with_entering
from worker.core.training.pool import Pool, Row, pool

ENOUGH = 0.05
"""Nats: a fact whose loss is below this stops (ROME's)."""


class ValueOptions(Options):
    """How the wanted value is found."""

    value_steps: int = Field(
        50,
        ge=2,
        le=1000,
        description="Steps towards the wanted value; the last only looks (ROME 20, MEMIT 25).",
    )
    value_rate: float = Field(
        0.5, gt=0, le=10, description="Adam's learning rate for the value (ROME and MEMIT: 0.5)."
    )
    value_decay: float = Field(
        0.5, ge=0, le=100, description="Weight of |δ|/|v|² (ROME, MEMIT and AlphaEdit: 0.5)."
    )
    kl_weight: float = Field(
        0.0625, ge=0, le=100, description='Weight of the divergence on "{subject} is a" (0.0625).'
    )
    clamp: float = Field(
        50.0, gt=0, le=1000, description="Largest |δ| over |v| (ROME 4, MEMIT 0.75)."
    )
    contexts: int = Field(
        1,
        ge=1,
        le=64,
        description="Openings before the prompt over which keys and values hold, the first empty "
        "(ROME and MEMIT about 20; the bundled model was shown none in training).",
    )
    covariance_tokens: int = Field(
        4000,
        ge=100,
        le=10_000_000,
        description="Tokens of general text for the keys' second moment. The papers take 100,000 "
        "articles; a few times the MLP's width is enough for a full-rank estimate.",
    )
    general_text: str = Field(
        "",
        max_length=1_000_000,
        description="Your own ordinary text, one passage per line, for openings and the second "
        "moment; empty takes the project's English, or for the bundled model its own sentences.",
    )
    protect_retain: bool = Field(
        True,
        description="Take as many tokens of retain facts into the second moment, so that their "
        "keys count. The papers take Wikipedia alone.",
    )


@dataclass(frozen=True)
class Values:
    """What was found: per fact the projection's output before, δ, and the last loss."""

    before: Float[Tensor, "fact d_model"]
    delta: Float[Tensor, "fact d_model"]
    losses: Float[Tensor, " fact"]

    @property
    def wanted(self) -> Float[Tensor, "fact d_model"]:
        return self.before + self.delta


def find_values(
    model: Model,
    facts: Sequence[Fact],
    layer: int,
    before: Sequence[str],
    options: ValueOptions,
    job: Job,
    share: tuple[float, float] = (0.0, 1.0),
    size: Float[Tensor, " fact"] | None = None,
) -> Values:
    """Optimize every fact's δ at once, entering the model at `layer`.

    `size` is |v|; without it v is the projection's output.
    """
    asked = ask_behind(model, facts, [f.edit_target for f in facts], before)
    asked = Asked(with_entering(model, asked.pool, layer), asked.fact, asked.from_right)
    drift = _Drift(model, facts, layer)
    owners = torch.tensor(asked.fact, device=model.device)
    first = _outputs(model, asked, layer)[[asked.fact.index(i) for i in range(len(facts))]]
    size = first.norm(dim=-1) if size is None else size
    delta = torch.zeros_like(first, requires_grad=True)
    optimizer = torch.optim.Adam([delta], lr=options.value_rate)
    done = torch.zeros(len(facts), dtype=torch.bool, device=model.device)
    losses = torch.zeros(len(facts), device=model.device)
    tail = tail_of(model, asked.pool, layer, asked.from_right)
    for step in range(options.value_steps):
        with adding(model, layer, delta[owners], asked.from_right):
            each = _losses.mean_losses(tail.logits(), tail.batch.labels)
        nll = torch.zeros_like(losses).index_add(0, owners, each) / len(before)
        decay = options.value_decay * delta.norm(dim=-1) / size.square()
        loss = nll + decay + options.kl_weight * drift.measure(delta, step == 0)
        losses = torch.where(done, losses, loss.detach())
        done = done | (loss.detach() < ENOUGH)
        if bool(done.all()) or step == options.value_steps - 1:
            break
        held = delta.detach().clone()
        optimizer.zero_grad()
        loss[~done].sum().backward()
        optimizer.step()
        with torch.no_grad():
            delta[done] = held[done]
            delta.mul_((options.clamp * size / delta.norm(dim=-1)).clamp(max=1)[:, None])
        start, end = share
        job.report.progress(start + (end - start) * (step + 1) / options.value_steps, "Values")
    return Values(first.double(), delta.detach().double(), losses)


def tail_of(model: Model, rows: Pool, layer: int, from_right: Sequence[int]) -> Tail:
    """Take all rows from the first place counted from the right on."""
    return Tail(model, rows.batch(torch.arange(len(rows))), layer, max(from_right))


class _Drift:
    """How far the next-token distribution after "{subject} is a" has moved, per fact."""

    def __init__(self, model: Model, facts: Sequence[Fact], layer: int) -> None:
        rows, self.from_right = [], []
        for fact in facts:
            prompt = encode(model, f"{fact.subject} is a", fact.subject, 0)
            rows.append(Row(prompt.ids, (*[_losses.IGNORED] * (len(prompt.ids) - 1), 0)))
            self.from_right.append(len(prompt.ids) - prompt.subject[1] + 1)
        self.model, self.layer = model, layer
        made = with_entering(model, pool(model, rows), layer)
        self.tail = tail_of(model, made, layer, self.from_right)
        self.first = torch.zeros(0)

    def measure(self, delta: Float[Tensor, "fact d_model"], first: bool) -> Float[Tensor, " fact"]:
        """Compute KL(now ‖ before); the first call says what before is."""
        with adding(self.model, self.layer, delta, self.from_right):
            now = self.tail.logits()[:, -1].log_softmax(-1)
        if first:
            self.first = now.detach()
        return (now.exp() * (now - self.first)).sum(-1)


@contextmanager
def adding(  # type: ignore[no-untyped-def]
    model: Model, layer: int, delta: Float[Tensor, "row d_model"], from_right: Sequence[int]
):
    """Add a vector per row to the projection's output at a place counted from the right."""

    def add(module: Any, args: Any, output: Tensor) -> Tensor:
        rows = output.view(len(from_right), -1, output.shape[-1])  # OPT's come flattened
        places = torch.tensor([rows.shape[1] - r for r in from_right], device=output.device)
        where = torch.nn.functional.one_hot(places, rows.shape[1])[..., None]
        return (rows + (where * delta[:, None]).to(output.dtype)).view_as(output)

    hook = projection(model, layer).register_forward_hook(add)
    try:
        yield
    finally:
        hook.remove()


@torch.no_grad()
def _outputs(model: Model, asked: Asked, layer: int) -> Float[Tensor, "row d_model"]:
    """Compute the projection's output at each row's last subject token."""
    seen: list[Tensor] = []

    def keep(module: Any, args: Any, output: Tensor) -> None:
        seen.append(output)
        raise Reached(output)

    hook = projection(model, layer).register_forward_hook(keep)
    try:
        batch = asked.pool.batch(torch.arange(len(asked.pool)))
        with suppress(Reached):
            logits_at_answers(model, batch, layer, share=False)
    finally:
        hook.remove()
    rows = seen[0].view(len(asked.from_right), -1, seen[0].shape[-1])
    places = [rows.shape[1] - r for r in asked.from_right]
    return rows[torch.arange(len(places)), places].float()
