"""What every gradient method does around its own loss.

1. Check the facts, find the settings where none are given (`settle.py`), pad forget, retain and
   general rows into pools, keep what enters the lowest trained layer.
2. Train the mask's parts on the method's terms; in a search, once per trial from the same start.
3. Take the delta and the receipt, put the base back bit for bit, and prove it.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass
from functools import partial
from typing import Any

from worker.contract.mask import Mask
from worker.contract.result import Table
from worker.contract.selection import Selection
from worker.core.editing.check import Objective, check_selection
from worker.core.editing.edit import edit
from worker.core.editing.localize_each import locate, union
from worker.core.editing.parts import parts_of, slices_of
from worker.core.findings import Findings, Job
from worker.core.models.components import component_parameters
from worker.core.models.model import Model
from worker.core.training.curves import describe, trained_findings
from worker.core.training.material import Material, gather, goal_of, lowest_layer, partition
from worker.core.training.options import Training
from worker.core.training.search import Searched, Share, Trial, plan, try_each
from worker.core.training.settle import Settled, settle
from worker.core.training.shortfall import shortfall
from worker.core.training.trainer import Probe, Term, Trained, Trainer

TermsOf = Callable[[Material, Training], list[Term]]
Optimize = Callable[[Material, Training], dict[str, Any]]
"""Gives a trainer another optimizer and what it does after each step."""


def finetune(
    model: Model,
    selection: Selection,
    mask: Mask | None,
    options: Training,
    job: Job,
    terms_of: TermsOf,
    *,
    objective: Objective,
    optimize: Optimize | None = None,
    partitions: int = 1,
    localize_each: str = "",
) -> Findings:
    """Edit `model` by gradient through the mask's parts, take the delta, put the base back.

    With `localize_each`, a localization's name, each partition has a mask of its own, of as many
    parameters.
    """
    check_selection(selection, objective, options.retain_weight)
    groups = partition(selection.forget, partitions)

    trials = _Trials(terms_of, objective, optimize)

    def material(chosen: Mask | None) -> Material:
        parts, layer = parts_of(model, chosen), lowest_layer(model, chosen)
        return gather(model, selection, parts, layer, options, job, objective)

    def settled() -> Settled[Training]:
        parts, layer = parts_of(model, mask), lowest_layer(model, mask)
        return settle(model, selection, parts, layer, options, job, objective, trials.train)

    def change() -> Findings:
        found, shared = settled(), material(mask)
        materials = [shared.about(group) for group in groups]
        return _train_each(materials, found, trials, lambda i: materials[i], job)

    def change_each() -> Findings:
        # What enters a layer is not kept here: a later partition may train below an earlier one.
        found = settled()
        whole = gather(model, selection, parts_of(model, mask), 0, options, job, objective)
        asked = [whole.about(group) for group in groups]
        masks: list[Mask] = []

        def located(i: int) -> Material:
            masks.append(locate(model, groups[i], mask, localize_each, job, i, len(groups)))
            return material(masks[-1]).about(groups[i])

        findings = _train_each(asked, found, trials, located, job)
        findings.mask = union(masks, component_parameters(model))
        findings.tables["masks"] = _tabulate(masks)
        return findings

    if localize_each:
        return edit(model, slices_of(model, None), job, change_each)
    return edit(model, slices_of(model, mask), job, change)


def _tabulate(masks: Sequence[Mask]) -> Table:
    rows = tuple(
        (i + 1, ", ".join(mask.components), mask.n_parameters) for i, mask in enumerate(masks)
    )
    columns = ("partition", "components", "parameters")
    return Table(title="Each partition's own mask", columns=columns, rows=rows)


@dataclass(frozen=True)
class _Trials:
    terms_of: TermsOf
    objective: Objective
    optimize: Optimize | None

    def train(
        self, material: Material, options: Training, share: Share, job: Job
    ) -> Trial[Trained]:
        """Train once from where the model is."""
        terms = self.terms_of(material, options)
        probe = Probe(self.objective, material.forget, material.edit, material.watched)
        more: dict[str, Any] = self.optimize(material, options) if self.optimize else {}
        return trial_of(
            Trainer(
                material.model,
                material.parts,
                terms,
                probe,
                options,
                job,
                lowest_layer=material.layer,
                share=share,
                **more,
            ).train()
        )


def trial_of(trained: Trained) -> Trial[Trained]:
    """Say how a training went as a search compares it."""
    kept = trained.probes.get(trained.kept_step, {}).get("retain_probability")
    ended = trained.stopped or f"kept step {trained.kept_step}"
    return Trial(trained, trained.score, kept, ended)


def _train_each(
    asked: list[Material],
    settled: Settled[Training],
    trials: _Trials,
    prepare: Callable[[int], Material],
    job: Job,
) -> Findings:
    """Train on one partition after another; a search's choice on the first serves for all.

    `prepare` gives what a partition is trained on, when its turn has come; `asked` are all of
    them, as they are asked after each.
    """
    runs: list[Trained] = []
    between: list[list[float]] = []
    searched: Searched[Trained, Training] | None = None
    start, end = settled.share
    for i in range(len(asked)):
        share = tuple(start + (end - start) * n / len(asked) for n in (i, i + 1))
        tried = plan(settled.options) if searched is None else [searched.options]
        material = prepare(i)
        train = partial(_train_on, trials, material, job)
        found = try_each(tried, material.parts, train, (share[0], share[1]))
        searched = searched or found
        runs.append(found.outcome)
        between.append([goal_of(one, trials.objective) for one in asked])
    assert searched is not None
    findings = trained_findings(runs, trials.objective, between)
    findings.caption = describe(runs, trials.objective, searched.options)
    searched.tell(findings)
    settled.tell(findings)
    last = runs[-1]
    before, after = runs[0].probes[0], last.probes.get(last.kept_step, {})
    lacks = shortfall(before, after, trials.objective, settled.tried)
    findings.caption = f"{findings.caption} {lacks}".strip()
    return findings


def _train_on(
    trials: _Trials, material: Material, job: Job, options: Training, share: Share
) -> Trial[Trained]:
    return trials.train(material, options, share, job)
