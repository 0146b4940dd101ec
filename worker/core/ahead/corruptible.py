"""What a localization's corruption will make impossible, seen before it is queued.

Every fact is corrupted once, as the run will do it, and measured clean and corrupted: two forwards
per fact. Facts without a corrupted prompt of the same length, and facts whose metric the corruption
does not change, are left out with the reasons that the run itself would give; so are those whose
metric it raises, where one draw is all that the run makes.
"""

from __future__ import annotations

import torch

from worker.contract.base import Options
from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.core.models.batches import in_batches
from worker.core.models.gradients import activations
from worker.core.models.model import Model
from worker.core.patching.cases import Prepared
from worker.core.patching.corruption import Corrupted, corrupt
from worker.core.patching.pairing import make_pairs, raised_metric, zero_metric

BATCH_SIZE = 64


def look_ahead(
    model: Model,
    prepared: Prepared,
    options: Options,
    *,
    method: str,
    seed: int,
    pool: tuple[Fact, ...],
) -> None:
    """Leave out of `prepared` what the run would leave out; options without corruption have none.

    A first draw decides for noise, whose every draw differs.
    """
    corruption, metric = getattr(options, "corruption", None), getattr(options, "metric", None)
    if corruption is None or metric is None or not prepared.cases:
        return
    try:
        items = corrupt(
            model,
            prepared,
            corruption,
            samples=1,
            noise_level=getattr(options, "noise_level", 3.0),
            seed=seed,
            pool=pool,
            or_random=method != "causal_tracing",
        )
    except UserError:  # none is left; each fact's own reason stands in `prepared`
        return

    one_draw = corruption == "mean" or getattr(options, "samples", 1) == 1
    drops_raised = one_draw and not getattr(options, "keep_raised", True)

    def run(batch: list[Corrupted]) -> None:
        pairs = make_pairs(model, batch)
        with torch.no_grad():
            clean = activations(model, pairs.batch, pairs.clean, []).logits
            corrupted = activations(model, pairs.batch, pairs.corrupted, []).logits
        changes = pairs.changes(metric, clean, corrupted, model.dtype)
        for item, change in zip(batch, changes, strict=True):
            if change.is_none:
                prepared.leave_out(item.case.fact, zero_metric(item, metric))
            elif change.is_raised and drops_raised:
                prepared.leave_out(item.case.fact, raised_metric(item, metric, change))

    in_batches(model, "ahead", sorted(items, key=lambda item: item.case.length), BATCH_SIZE, run)
    gone = {out.id for out in prepared.left_out}
    prepared.cases = [case for case in prepared.cases if case.fact.id not in gone]
