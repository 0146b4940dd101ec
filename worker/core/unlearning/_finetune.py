"""What every gradient method does around its own loss.

1. Check the facts, pad forget, retain and general rows into pools, keep what enters the lowest
   trained layer.
2. Train the mask's parts on the method's terms; in a search, once per trial from the same start.
3. Take the delta and the receipt, put the base back bit for bit, and prove it.
"""

import itertools
import random
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from typing import Any

from torch import Tensor

from worker.contract.components import parse_component
from worker.contract.errors import Diverged, UserError
from worker.contract.facts import Fact, Selection
from worker.contract.mask import Mask
from worker.contract.result import Table
from worker.core.demo.paths import GENERAL
from worker.core.findings import Findings, Job
from worker.core.models.model import Model
from worker.core.unlearning._check import check_selection
from worker.core.unlearning._curves import describe, trained_findings
from worker.core.unlearning._edit import edit
from worker.core.unlearning._forward import with_entering
from worker.core.unlearning._options import Objective, Training
from worker.core.unlearning._parts import Parts, components_of, parts_of, slices_of
from worker.core.unlearning._pool import Pool, Row, fact_rows, pool, text_rows
from worker.core.unlearning._trainer import Probe, Term, Trained, Trainer


@dataclass(frozen=True)
class Material:
    """What a method makes its terms from: the model before the edit, and pools of rows."""

    model: Model
    facts: tuple[Fact, ...]
    """The forget facts, in the order of the rows of `forget` and `edit`."""
    forget: Pool
    edit: Pool | None
    retain: Pool | None
    general: Pool | None
    parts: Parts
    layer: int
    """The lowest trained layer: what enters it is kept with the pools' rows."""
    seed: int

    def pool(self, rows: Sequence[Row]) -> Pool:
        """Pad rows of a method's own and keep what enters the lowest trained layer."""
        return with_entering(self.model, pool(self.model, rows), self.layer)

    def about(self, facts: Sequence[Fact]) -> "Material":
        """Narrow the forget facts to some of them; everything else is shared."""
        if tuple(facts) == self.facts:
            return self
        edits = [f.edit_target for f in facts]
        return replace(
            self,
            facts=tuple(facts),
            forget=self.pool(fact_rows(self.model, facts, [f.target for f in facts])),
            edit=self.pool(fact_rows(self.model, facts, edits)) if self.edit else None,
        )


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

    def train(self, options: Training, material: Material, share: tuple[float, float]) -> Trained:
        """Train once from where the model is."""
        terms = self.terms_of(material, options)
        probe = Probe(self.objective, material.forget, material.edit, material.retain)
        more: dict[str, Any] = self.optimize(material, options) if self.optimize else {}
        return Trainer(
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


def _train_each(materials: list[Material], options: Training, trials: _Trials) -> Findings:
    """Train on one partition after another; a search's choice on the first serves for all."""
    runs: list[Trained] = []
    between: list[list[float]] = []
    table: Table | None = None
    for i, material in enumerate(materials):
        share = (i / len(materials), (i + 1) / len(materials))
        plan = _plan(options) if i == 0 else [options]
        trained, options, tried = _try_each(plan, material, trials, share)
        table = table or tried
        runs.append(trained)
        between.append([goal_of(one, trials.objective) for one in materials])
    findings = trained_findings(runs, trials.objective, between)
    findings.caption = describe(runs, trials.objective, options)
    if table:
        findings.tables["search"] = table
        findings.summary["search.learning_rate"] = options.learning_rate
        findings.summary["search.forget_weight"] = options.forget_weight
    return findings


def gather(
    model: Model,
    selection: Selection,
    parts: Parts,
    layer: int,
    options: Training,
    job: Job,
    objective: Objective,
) -> Material:
    """Make the pools: all forget facts, and as many retain facts and sentences as options allow."""
    forget = selection.forget
    rng = random.Random(job.seed)
    retain = _sample(selection.retain, options.retain_facts, rng)
    sentences = _sample(general_sentences(), options.general_sentences, rng)
    made = lambda rows: with_entering(model, pool(model, rows), layer) if rows else None  # noqa: E731
    edited = forget if objective == "edit" else ()
    known = made(fact_rows(model, forget, [f.target for f in forget]))
    assert known is not None
    return Material(
        model=model,
        facts=forget,
        forget=known,
        edit=made(fact_rows(model, edited, [f.edit_target for f in edited])),
        retain=made(fact_rows(model, retain, [f.target for f in retain])),
        general=made(text_rows(model, sentences, options.context)),
        parts=parts,
        layer=layer,
        seed=job.seed,
    )


def goal_of(material: Material, objective: Objective) -> float:
    """Measure the goal's mean probability on a material's forget facts, as the model is now."""
    probe = Probe(objective, material.forget, material.edit, None)
    return probe.goal(probe.measure(material.model, material.layer))


def general_sentences() -> list[str]:
    """Read the general text that must not be harmed: the project's own everyday sentences.

    The paper takes the Pile, which is not fetched here; these are the bundled model's training
    sentences, and side effects are measured on others that were held out.
    """
    return [line for line in GENERAL.read_text(encoding="utf-8").splitlines() if line.strip()]


def lowest_layer(model: Model, mask: Mask | None) -> int:
    """Return the lowest layer that the mask touches: below it nothing changes."""
    return min(parse_component(name).layer for name in components_of(model, mask))


def partition(facts: Sequence[Fact], n: int) -> list[Sequence[Fact]]:
    """Cut the facts, in order, into `n` groups whose sizes differ by one at most."""
    if n > len(facts):
        raise UserError(
            f"{n} partitions are asked of {len(facts)} forget facts; expected at most one each.",
            field="options.partitions",
        )
    bounds = [round(i * len(facts) / n) for i in range(n + 1)]
    return [facts[a:b] for a, b in itertools.pairwise(bounds)]


def _sample(values: Sequence, n: int, rng: random.Random) -> list:  # type: ignore[type-arg]
    return list(values) if len(values) <= n else rng.sample(list(values), n)


def _plan(options: Training) -> list[Training]:
    if options.search == "off":
        return [options]
    rate, weight = options.learning_rate, options.forget_weight
    pairs = [(rate * r, weight * w) for r in (1 / 3, 1.0, 3.0) for w in (0.4, 2.5)]
    pairs.insert(0, (rate, weight))
    return [options.model_copy(update={"learning_rate": r, "forget_weight": w}) for r, w in pairs]


def _try_each(
    plan: list[Training], material: Material, trials: _Trials, share: tuple[float, float]
) -> tuple[Trained, Training, Table | None]:
    """Train once per trial from the same start; leave the best trial's values in the model."""
    start, rows = material.parts.copy(), []
    best: tuple[Trained, Training, list[Tensor]] | None = None
    width = (share[1] - share[0]) / len(plan)
    for i, options in enumerate(plan):
        material.parts.load(start)
        here = (share[0] + i * width, share[0] + (i + 1) * width)
        try:
            trained = trials.train(options, material, here)
        except Diverged as error:
            if len(plan) == 1:
                raise
            rows.append((options.learning_rate, options.forget_weight, None, None, str(error)))
            continue
        kept = trained.probes.get(trained.kept_step, {}).get("retain_probability")
        ended = trained.stopped or f"kept step {trained.kept_step}"
        rows.append((options.learning_rate, options.forget_weight, trained.score, kept, ended))
        if best is None or trained.score > best[0].score:
            best = (trained, options, material.parts.copy())
    if best is None:
        raise Diverged(f"All {len(plan)} trials of the search diverged; the first: {rows[0][-1]}")
    material.parts.load(best[2])
    columns = ("learning rate", "forget weight", "score", "retain probability", "how it ended")
    table = Table(title="Search", columns=columns, rows=tuple(rows)) if len(plan) > 1 else None
    return best[0], best[1], table
