"""Clean and corrupted prompts side by side, for methods that take gradients."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float, Int
from torch import Tensor

from worker.core.models.base_run import embed
from worker.core.models.model import Model
from worker.core.models.tokens import Batch, pad
from worker.core.patching.change import Change
from worker.core.patching.corruption import Corrupted
from worker.core.patching.metric import Metric, answer_tensor, foil_tensor, measure, rounding


@dataclass(frozen=True)
class PairBatch:
    """One row per corrupted copy; its clean prompt lies in the same row of `clean`. Left-padded."""

    items: Sequence[Corrupted]
    batch: Batch
    clean: Float[Tensor, "row pos width"]
    corrupted: Float[Tensor, "row pos width"]
    fact_of_row: Int[Tensor, " row"]
    answers: Int[Tensor, " row"]
    foils: Int[Tensor, " row"] | None
    offsets: list[int]

    def measure(
        self, metric: Metric, logits: Float[Tensor, "row vocab"], clean: Tensor
    ) -> Float[Tensor, " row"]:
        """Measure each row against its own answer and foil, or its clean logits."""
        return measure(metric, logits, self.answers, self.foils, clean)

    def changes(
        self,
        metric: Metric,
        clean: Float[Tensor, "row vocab"],
        corrupted: Float[Tensor, "row vocab"],
        dtype: torch.dtype,
    ) -> list[Change]:
        """Compare each fact's clean and corrupted metric, computed by a model of this dtype."""
        measured = [self.measure(metric, logits, clean) for logits in (clean, corrupted)]
        bounds = [
            rounding(metric, logits, values, dtype)
            for logits, values in zip((clean, corrupted), measured, strict=True)
        ]
        columns = [self.by_fact(values) for values in (*measured, torch.maximum(*bounds))]
        return [Change(*map(float, fact)) for fact in zip(*columns, strict=True)]

    def by_fact(self, values: Float[Tensor, "row ..."]) -> np.ndarray:
        """Average rows of one fact."""
        values = values.float().cpu()
        fact = self.fact_of_row.cpu()
        sums = torch.zeros(len(self.items), *values.shape[1:]).index_add(0, fact, values)
        counts = torch.bincount(fact, minlength=len(self.items))
        return (sums / counts.view(-1, *[1] * (values.ndim - 1))).double().numpy()


def make_pairs(model: Model, items: Sequence[Corrupted]) -> PairBatch:
    """Lay facts and their corrupted copies out as rows."""
    fact = [i for i, item in enumerate(items) for _ in range(len(item.embeds))]
    cases = [items[i].case for i in fact]
    batch = pad(model, [case.prompt for case in cases])
    clean = embed(model, batch.ids).detach()
    corrupted, n_positions, row = clean.clone(), clean.shape[1], 0
    for item in items:
        rows = slice(row, row + len(item.embeds))
        corrupted[rows, n_positions - item.case.length :] = item.embeds
        row += len(item.embeds)
    return PairBatch(
        items=items,
        batch=batch,
        clean=clean,
        corrupted=corrupted,
        fact_of_row=torch.tensor(fact, device=clean.device),
        answers=answer_tensor(cases, clean.device),
        foils=foil_tensor(cases, clean.device),
        offsets=[n_positions - item.case.length for item in items],
    )


def zero_metric(item: Corrupted, metric: Metric) -> str:
    """Say that a fact's corrupted prompt measures the same as its clean one."""
    return (
        f"The metric {metric} is the same for {item.case.fact.subject!r} and its corrupted prompt, "
        f"so there is nothing to attribute. Choose another corruption or metric."
    )


def raised_metric(item: Corrupted, metric: Metric, change: Change) -> str:
    """Say that a fact's corrupted prompt measures higher than its clean one."""
    return (
        f"The metric {metric} is {change.clean:.3g} for {item.case.fact.subject!r} and "
        f"{change.corrupted:.3g} with its subject corrupted: the corruption raises it, so nothing "
        f"is lost that could be brought back. Choose another corruption or metric, or keep such "
        f"facts with keep_raised."
    )
