"""What every gradient method does around its own loss.

1. Check the facts, pad forget, retain and general rows into pools, keep what enters the lowest
   trained layer.
2. Train the mask's parts on the method's terms; in a search, once per trial from the same start.
3. Take the delta and the receipt, put the base back bit for bit, and prove it.
"""

from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import Any

from worker.contract.facts import Selection
from worker.contract.mask import Mask
from worker.core.findings import Findings, Job
from worker.core.models.model import Model
from worker.core.unlearning._check import check_selection
from worker.core.unlearning._curves import describe, trained_findings
from worker.core.unlearning._edit import edit
from worker.core.unlearning._material import Material, gather, goal_of, lowest_layer, partition
from worker.core.unlearning._options import Objective, Training
from worker.core.unlearning._parts import parts_of, slices_of
from worker.core.unlearning._search import Searched, Share, Trial, plan, try_each
from worker.core.unlearning._trainer import Probe, Term, Trained, Trainer

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
) -> Findings:
    """Edit `model` by gradient through the mask's parts, take the delta, put the base back."""
    check_selection(selection, objective, options.retain_weight)
    groups = partition(selection.forget, partitions)

    def change() -> Findings:
        parts, layer = parts_of(model, mask), lowest_layer(model, mask)
        everything = gather(model, selection, parts, layer, options, job, objective)
        materials = [everything.about(group) for group in groups]
        trainer = _Trials(terms_of, objective, optimize, job)
        return _train_each(materials, options, trainer)

    return edit(model, slices_of(model, mask), job, change)


@dataclass(frozen=True)
class _Trials:
    terms_of: TermsOf
    objective: Objective
    optimize: Optimize | None
    job: Job

    def train(self, options: Training, material: Material, share: Share) -> Trial[Trained]:
        """Train once from where the model is."""
        terms = self.terms_of(material, options)
        probe = Probe(self.objective, material.forget, material.edit, material.retain)
        more: dict[str, Any] = self.optimize(material, options) if self.optimize else {}
        return trial_of(
            Trainer(
                material.model,
                material.parts,
                terms,
                probe,
                options,
                self.job,
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


def _train_each(materials: list[Material], options: Training, trials: _Trials) -> Findings:
    """Train on one partition after another; a search's choice on the first serves for all."""
    runs: list[Trained] = []
    between: list[list[float]] = []
    searched: Searched[Trained, Training] | None = None
    for i, material in enumerate(materials):
        share = (i / len(materials), (i + 1) / len(materials))
        asked = plan(options) if searched is None else [searched.options]
        train = partial(_train_on, trials, material)
        found = try_each(asked, material.parts, train, share)
        searched = searched or found
        runs.append(found.outcome)
        between.append([goal_of(one, trials.objective) for one in materials])
    assert searched is not None
    findings = trained_findings(runs, trials.objective, between)
    findings.caption = describe(runs, trials.objective, searched.options)
    searched.tell(findings)
    return findings


def _train_on(
    trials: _Trials, material: Material, options: Training, share: Share
) -> Trial[Trained]:
    return trials.train(options, material, share)
