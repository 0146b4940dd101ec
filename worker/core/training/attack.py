"""Fine-tune a model for a few steps to see what comes back: the loop that relearning uses."""

from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

import torch
from jaxtyping import Float
from torch import Tensor, nn
from torch.autograd.graph import increment_version

from worker.contract.facts import Fact
from worker.core.models.model import Model
from worker.core.models.prefix import logits_sharing
from worker.core.models.tokens import answer_ids, encode, pad, passage_ids, tokenized

IGNORED = -100


@dataclass(frozen=True)
class Row:
    """Tokens put in, and the label that each predicts."""

    ids: tuple[int, ...]
    labels: tuple[int, ...]


Pool = tuple[Sequence[Row], int]
"""Rows, and how many of them a step takes."""


def fact_rows(model: Model, facts: Sequence[Fact]) -> list[Row]:
    """Make the rows in which each fact's true answer is asked."""
    rows = []
    texts = [text for f in facts for text in (f.text, f.text + f.follows(f.target))]
    with tokenized(model, texts):
        for fact in facts:
            asked = encode(model, fact.text, None).ids
            answer = answer_ids(model, fact.text, fact.follows(fact.target))
            rows.append(Row(asked + answer[:-1], (IGNORED,) * (len(asked) - 1) + answer))
    return rows


def text_rows(model: Model, lines: Sequence[str], context: int) -> list[Row]:
    """Make rows of running text, cut at `context` tokens."""
    with tokenized(model, lines):
        ids = [passage_ids(model, line, context + 1) for line in lines]
    return [Row(row[:-1], row[1:]) for row in ids if len(row) > 1]


def rows_loss(model: Model, rows: Sequence[Row]) -> Float[Tensor, ""]:
    """Average the negative log likelihood over all labels of the rows."""
    return part_losses(model, [rows])[0]


def part_losses(model: Model, parts: Sequence[Sequence[Row]]) -> Float[Tensor, " part"]:
    """Average the negative log likelihood over the labels of each part, all in one forward pass."""
    rows = [row for part in parts for row in part]
    batch = pad(model, [row.ids for row in rows], side="left")
    keep = max(sum(label != IGNORED for label in row.labels) for row in rows)
    labels = torch.tensor(
        [([IGNORED] * keep + list(row.labels))[-keep:] for row in rows], device=model.device
    )
    logits = logits_sharing(model, batch.ids, batch.mask, batch.position_ids, keep)
    sizes = [len(part) for part in parts]
    means = [
        nn.functional.cross_entropy(own.flatten(0, 1), wanted.flatten(), ignore_index=IGNORED)
        for own, wanted in zip(logits.split(sizes), labels.split(sizes), strict=True)
    ]
    return torch.stack(means)


def draw(rows: Sequence[Row], n: int, generator: torch.Generator) -> Iterator[list[Row]]:
    """Draw batches of at most `n` rows for ever; every row once before any comes twice."""
    if not rows:
        while True:
            yield []
    order: list[int] = []
    while True:
        while len(order) < min(n, len(rows)):
            order += torch.randperm(len(rows), generator=generator).tolist()
        chosen, order = order[: min(n, len(rows))], order[min(n, len(rows)) :]
        yield [rows[i] for i in chosen]


def fine_tune(
    model: Model,
    parameters: Sequence[nn.Parameter],
    groups: Sequence[Sequence[Pool]],
    *,
    steps: int,
    learning_rate: float,
    seed: int,
    each_step: Callable[[int], None],
) -> None:
    """Train `parameters` with AdamW and a cosine; each pool gives its loss a weight of 1.

    The pools of a group share a forward pass: put those together whose rows have as many labels.
    `each_step(n)` is called before the first step (0) and after each.
    """
    generator = torch.Generator().manual_seed(seed)
    drawn = [[draw(rows, n, generator) for rows, n in pools if rows] for pools in groups]
    batches = [pools for pools in drawn if pools]
    optimizer = torch.optim.AdamW(parameters, lr=learning_rate, weight_decay=0.0, fused=True)
    schedule = torch.optim.lr_scheduler.CosineAnnealingLR(optimizer, steps)
    each_step(0)
    for step in range(1, steps + 1):
        optimizer.zero_grad(set_to_none=True)
        with torch.enable_grad():
            losses = [part_losses(model, [next(pool) for pool in pools]) for pools in batches]
            torch.cat(losses).sum().backward()
        nn.utils.clip_grad_norm_(parameters, 1.0)
        optimizer.step()
        # The fused kernel writes without counting, and checksums are taken anew by the count.
        increment_version(parameters)
        schedule.step()
        each_step(step)
