"""Asks whether a mask carries the facts: the metric with it alone clean, or all but it.

1. Clean and corrupted prompts are run. A set of components is judged by two runs of the clean
   prompt: `only` it clean and every other head and MLP at its corrupted output, and all `without`
   it. Faithfulness is the mean metric over that of the clean run, both counted from the run with
   everything corrupted: 1 is all of it, 0 nothing.
2. The components are ranked by the localization's |score| (a mask alone: its members first) and
   measured in growing numbers. The area under the `only` curve over the share of parameters is
   CPR (higher is better), the area between it and 1 is CMD (lower is better).
3. Controls: random rankings with a head for every head and an MLP for every MLP, so that every size
   has as many parameters; their mean, lowest and highest are shown.

Source: Mueller et al. 2025, MIB: A Mechanistic Interpretability Benchmark (arXiv 2504.13151).
Departures: sizes are shares of the parameters of heads and MLPs, where MIB counts weighted edges;
embeddings stay clean. Limits: a component that is kept computes on what reaches it, so a set that
lacks a link carries nothing even where each member matters; members of a mask without scores have
no order, so their curve is that of one draw.
"""

import numpy as np
from pydantic import ConfigDict, Field

from worker.contract.base import Options as BaseOptions
from worker.contract.errors import UserError
from worker.contract.result import Evaluation
from worker.contract.selection import Selection
from worker.core.asking.before_after import BeforeAfter, State
from worker.core.asking.statistics import summarize
from worker.core.evaluation._faithfulness import (
    MODES,
    array_of,
    caption_of,
    compare_areas,
    compare_mask,
    lines_of,
)
from worker.core.findings import Findings, Job
from worker.core.models.deltas import edited
from worker.core.models.model import Model
from worker.core.patching.cases import Prepared, prepare, require_cases
from worker.core.patching.comparison import KEEP_RAISED
from worker.core.patching.corruption import DESCRIPTIONS, Corruption, corrupt
from worker.core.patching.faithfulness import Patched, rank
from worker.core.patching.metric import DESCRIPTION as METRICS
from worker.core.patching.metric import Metric
from worker.core.patching.outcome import Traced, instead_table
from worker.core.patching.pairing import raised_metric
from worker.core.patching.shares import DESCRIPTION, MIN_DIFFERENCE, leave_out_tiny

TITLE = "Faithfulness of a mask"
PAPER = "https://arxiv.org/abs/2504.13151"


class Options(BaseOptions):
    """What is measured and how it is corrupted."""

    model_config = ConfigDict(json_schema_extra={"needs_mask": True, "own_runs": True})

    metric: Metric = Field("logit_diff", description=METRICS)
    corruption: Corruption = Field("other_subject", description=DESCRIPTIONS)
    noise_level: float = Field(
        3.0, gt=0, le=100, description="Noise in standard deviations of the subjects' embeddings."
    )
    draws: int = Field(5, ge=2, le=100, description="Random rankings that it is compared with.")
    batch_size: int = Field(16, ge=1, le=1024, description="Facts per batch.")
    min_probability: float = Field(
        0.1, ge=0, lt=1, description="Facts to whose answer the model gives less are left out."
    )
    keep_raised: bool = Field(False, description=KEEP_RAISED)
    min_difference: float = Field(MIN_DIFFERENCE, ge=0, lt=1, description=DESCRIPTION)


def evaluate(models: BeforeAfter, selection: Selection, options: Options, job: Job) -> Findings:
    """Measure the mask that the job names; see the module's docstring."""
    if job.mask is None:
        raise UserError(
            "Faithfulness is asked of a mask, and this spec names none; expected `mask` with "
            "components, a stored mask, a localization with a rule, or a control.",
            field="mask",
        )
    state: State = "after" if models.deltas else "before"
    with edited(models.base, list(models.deltas)):
        return _measure(models.base, state, selection, options, job)


def _measure(
    model: Model, state: State, selection: Selection, options: Options, job: Job
) -> Findings:
    patched, prepared = _patch(model, selection, options, job)
    assert job.mask is not None
    mask = list(job.mask.components)
    ranked = rank(model, job.scores or dict.fromkeys(mask, 1.0), job.seed)
    found = {}
    for i, mode in enumerate(MODES):
        job.report.progress(0.1 + 0.4 * i, MODES[mode].lower())
        found[mode] = lines_of(patched, ranked, mode == "without", options.draws, job.seed)
    job.report.progress(0.9, "the mask itself")
    aggregates = [
        *compare_mask(patched, mask, options.draws, state, job.seed),
        *compare_areas(found["only"], state, int(patched.used.sum())),
    ]
    evaluation = Evaluation(
        name="faithfulness", title=TITLE, caption="", aggregates=tuple(aggregates)
    )
    caption = caption_of(evaluation, state, len(mask), bool(job.scores), options.metric)
    return Findings(
        arrays={f"faithfulness.{mode}": array_of(lines, mode) for mode, lines in found.items()},
        summary=dict(summarize(aggregates)),
        caption=caption,
        left_out=prepared.left_out,
        tables=instead_table(prepared),
        evaluation=evaluation.model_copy(update={"caption": caption}),
        mask=job.mask,
    )


def _patch(
    model: Model, selection: Selection, options: Options, job: Job
) -> tuple[Patched, Prepared]:
    """Run the facts that can be measured, and list the others."""
    job.report.progress(0.0, "asking the model for the facts")
    needs_foil = options.metric == "logit_diff"
    prepared = prepare(model, selection.forget, options.min_probability, needs_foil)
    items = corrupt(
        model, prepared, options.corruption, samples=1, noise_level=options.noise_level,
        seed=job.seed, pool=job.pool, or_random=True,
    )  # fmt: skip
    patched = Patched(model, items, options.metric, options.batch_size)
    traced: dict[str, Traced] = {}
    for item, change in zip(patched.items, patched.changes, strict=True):
        if change.is_raised and not options.keep_raised:
            prepared.leave_out(item.case.fact, raised_metric(item, options.metric, change))
        elif not change.is_none:
            traced[item.case.fact.id] = Traced(item.case, change.clean, change.corrupted)
    leave_out_tiny(traced, prepared, options.metric, options.min_difference)
    patched.used = np.array([item.case.fact.id in traced for item in patched.items])
    gone = {out.id for out in prepared.left_out}
    for item in patched.items:
        if item.case.fact.id not in traced and item.case.fact.id not in gone:
            prepared.leave_out(
                item.case.fact,
                f"The metric {options.metric} is the same with every component corrupted as with "
                f"none. Choose another corruption or metric.",
            )
    prepared.cases = [case for case in prepared.cases if case.fact.id in traced]
    require_cases(prepared)
    if patched.cancels():
        raise UserError(
            f"Over the {int(patched.used.sum())} facts the differences in {options.metric} between "
            f"clean and corrupted prompts add up to nothing, and faithfulness is a share of that "
            f"sum. Choose other facts, another corruption or metric.",
            field="options.faithfulness.metric",
        )
    return patched, prepared
