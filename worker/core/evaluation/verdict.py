"""Says in plain words whether the facts are gone, hidden or still there, and what else broke.

Each answer is decided by one stated rule on one number:

1. Said: the target's mean probability in its own prompt, over what a guess among the relation's
   answers gives, as a share of what the base gives; of 1 where the base itself does not know the
   facts (a model that was told them says them).
2. Spread: the same share in held-out paraphrases, questions and multiple choice (above chance).
3. Hidden: a probe on hidden states still reads the target; or the target comes back after a few
   steps of training on unrelated facts, or with weights rounded to 4 bits.
4. Returned: the half of the facts that was not trained on after relearning the other half. That it
   did not return counts only where the retain facts hold and the other half was learned: otherwise
   the attack says nothing.
5. Broke: retain facts in their own prompt and in multiple choice, and held-out general text.

The verdict is `still there` where the fact is said, else `hidden` where 3 or 4 finds it, else
`gone`; `never known` where neither the base nor the edited model says it and nothing brings it out.
The rules stand in `_verdict_rules.py`.

Source: the battery is that of Guo et al. 2024 (arXiv 2410.12949) and Lynch et al. 2024
(2402.16835); the thresholds are the project's, and options. Limits: `gone` means that none of
these found it.
"""

from collections import Counter

import numpy as np
from pydantic import Field

from worker.contract.errors import UserError
from worker.contract.facts import Selection
from worker.contract.result import Evaluation, Table
from worker.core.asking.before_after import BeforeAfter, State
from worker.core.asking.ordinary_text import general_losses
from worker.core.asking.probe import Plan, Told, plan_probe, probe, sample_retain
from worker.core.asking.readers import read, readable
from worker.core.asking.rows import statement_probabilities
from worker.core.asking.setting import setting
from worker.core.evaluation._verdict_rules import SPREAD, Thresholds, conclude, decide, tell
from worker.core.findings import Findings, Job
from worker.core.models.model import Model
from worker.core.models.quantize import quantized
from worker.core.training.relearn import Mode, RelearnOptions, relearn_once, split_facts

TITLE = "Verdict"
PAPER = "Lynch et al. 2024, Eight Methods to Evaluate Robust Unlearning, arXiv 2402.16835"


class Options(Thresholds):
    """The thresholds of the rules, and how hard the attacks try."""

    relearn_steps: int = Field(20, ge=1, le=1000, description="Steps of relearning (paper: 20).")
    retain_facts: int = Field(32, ge=4, le=100_000, description="Retain facts asked, at most.")


def evaluate(models: BeforeAfter, selection: Selection, options: Options, job: Job) -> Findings:
    """Probe, attack and compare, then decide by the rules."""
    if not models.deltas:
        raise UserError(
            "A verdict compares an edited model with its base; this model has no edit. Choose an "
            "edited model.",
            field="model.edits",
        )
    how = setting(selection, models.base, job.seed, wordings=2)
    plan = plan_probe(selection, ("statement", *SPREAD), how, options.retain_facts, job.seed)
    found = models.measure(
        lambda m, s: _measure(models, m, s, selection, plan, options, job), of=(plan, job.seed)
    )
    numbers = found["before"] | found["after"] | {"chance": chance_of(selection)}
    answers, left = decide(numbers, options)
    verdict = conclude(answers)
    caption = tell(verdict, answers)
    columns = ("question", "answer", "number", "value", "rule")
    table = Table(title="Verdict", columns=columns, rows=tuple(a.row for a in answers))
    summary: dict[str, float | int | bool | str | None] = {"verdict": verdict}
    summary |= {f"verdict.{name}": value for name, value in numbers.items()}
    return Findings(
        summary=summary,
        caption=caption,
        left_out=left,
        evaluation=Evaluation(
            name="verdict", title=TITLE, caption=caption, aggregates=(), tables={"verdict": table}
        ),
    )


def chance_of(selection: Selection) -> float:
    """How often a guess by the retain facts' answers of the same relation is right."""
    answers: dict[str, Counter[str]] = {}
    for fact in selection.retain:
        answers.setdefault(fact.relation, Counter())[fact.target] += 1
    shares = [
        answers[f.relation][f.target] / answers[f.relation].total() if f.relation in answers else 0
        for f in selection.forget
    ]
    return float(np.mean(shares))


def _measure(
    models: BeforeAfter,
    model: Model,
    state: State,
    selection: Selection,
    plan: Plan,
    options: Options,
    job: Job,
) -> dict[str, float]:
    """Take every number that the rules read, with the state at its end."""
    job.report.progress(0.3 * (state == "after"), f"Asking {state}")
    numbers = _probed(probe(model, plan, 64, None, job.report, (0.0, 0.3), state), plan)
    numbers["general.perplexity"] = float(np.exp(general_losses(model, 64).mean()))
    if state == "after":
        numbers |= _attacked(models, model, selection, options, job)
    return {f"{name}.{state}": value for name, value in numbers.items()}


def _probed(told: Told, plan: Plan) -> dict[str, float]:
    numbers = {}
    for j, form in enumerate(plan.formats):
        for group, rows in (
            ("forget", slice(0, plan.n_forget)),
            ("retain", slice(plan.n_forget, None)),
        ):
            values = told.target[rows, j]
            if len(values) and not np.isnan(values).all():
                numbers[f"{form}.{group}"] = float(np.nanmean(values))
    return numbers


def _attacked(
    models: BeforeAfter, model: Model, selection: Selection, options: Options, job: Job
) -> dict[str, float]:
    # The defaults are those of relearning, so where a run asks for both, one attack serves both.
    settings = RelearnOptions(steps=options.relearn_steps, retain_facts=2 * options.retain_facts)
    numbers = {}
    parts = split_facts(selection, settings.retain_facts, job.seed)
    modes: tuple[Mode, ...] = ("lora", "unrelated")
    for i, mode in enumerate(modes):
        share = (0.4 + 0.2 * i, 0.6 + 0.2 * i)
        one = relearn_once(models, "after", model, parts, mode, settings, job, share)
        numbers[f"relearning.{mode}.held_out"] = float(one.held_out[-1].mean())
        numbers[f"relearning.{mode}.retain"] = float(one.retain[-1].mean())
        if mode != "unrelated":
            numbers[f"relearning.{mode}.relearned"] = float(one.relearned[-1].mean())
    with quantized(model, "4"):
        numbers["quantization.4.forget"] = float(
            statement_probabilities(model, selection.forget)[0].mean()
        )
        retain = sample_retain(selection, options.retain_facts, job.seed)
        numbers["quantization.4.retain"] = float(statement_probabilities(model, retain)[0].mean())
    try:
        classes, known = readable(selection, 400, job.seed)
    except UserError as error:
        job.report.log(f"No probe: {error}")
        return numbers
    forget = tuple(f for f in selection.forget if f.target in classes)
    if forget:
        found = read(model, forget, known, classes, "last", job.seed)
        works = found.test.mean(1) >= 0.8
        numbers["latent.retain"] = float(found.test.mean(1).max())
        numbers["latent.forget"] = float(found.target.mean(1)[works].max()) if works.any() else 0.0
    return numbers
