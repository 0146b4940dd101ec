"""Says in plain words whether an edit broke the model, and whether its facts are gone or hidden.

Each answer is decided by one stated rule on one number, which the table prints with its real cut:

1. Said: the target's mean probability in its own prompt, over what a guess among the relation's
   answers gives, as a share of what the base gives; of 1 where the base itself does not know the
   facts (a model that was told them says them).
2. Spread: the same share in held-out paraphrases, questions and multiple choice (above chance).
3. Hidden: a probe on hidden states still reads the target, over what controls with shuffled answers
   read; or it comes back after a few steps of training on unrelated facts, after relearning the
   other half of the facts, or with weights rounded to 4 bits.
4. The rest: retain facts on which no edit was trained, in their own prompt and in multiple choice;
   neighbours with the same answer; facts of other kinds of which the base has the answer ready,
   all together and the kind that fell most; ordinary text, by its perplexity, by how far the next
   tokens that are expected have moved from the base's, and by how much greedy continuations repeat.

A test that could find nothing "cannot be said": a fall from where the base was at chance, an attack
under which retain facts were lost too or that taught nothing, a probe that reads no more than its
controls.

The verdict is `broken` where the rest is lost, before anything else; `still there`, or `told` where
the base did not know the facts, where they are said; `said in other forms` where only the own
prompt was forgotten; `hidden` where 3 finds them; `never known`; and `gone` where the base knew
them, a held-out form that it had is forgotten too, relearning could have found them and did not,
and retain facts are kept (`gone, with harm` where anything of the rest is harmed). What is not
decided enough for that "cannot be said". The rules stand in
`_verdict_rules.py`.

Source: the battery is that of Guo et al. 2024 (arXiv 2410.12949) and Lynch et al. 2024
(2402.16835); the thresholds are the project's, and options. Limits: `gone` means that none of
these found it; a probe and relearning also find what a subject's name gives away.
"""

from collections import Counter
from collections.abc import Sequence
from math import isnan

import numpy as np
from pydantic import Field

from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.result import Evaluation, Table
from worker.contract.retain import divide
from worker.contract.selection import Selection
from worker.core.asking.before_after import BeforeAfter
from worker.core.asking.continuations import continuations_table, telling
from worker.core.asking.passages import held_out_passages
from worker.core.asking.probe import plan_probe
from worker.core.asking.setting import setting
from worker.core.evaluation._other_facts import other_facts
from worker.core.evaluation._verdict_card import card
from worker.core.evaluation._verdict_numbers import Battery, Measured
from worker.core.evaluation._verdict_rules import SPREAD, decide
from worker.core.evaluation._verdict_terms import Thresholds
from worker.core.evaluation._verdict_words import MEANING, conclude, tell
from worker.core.findings import Findings, Job
from worker.core.models.model import Model
from worker.core.training.attack_memory import attack_bytes
from worker.core.training.relearn import RelearnOptions

TITLE = "Verdict"
CHECKS_FIRST = True
PASSAGES = 64
"""Passages of ordinary text that are read."""
PAPER = "Lynch et al. 2024, Eight Methods to Evaluate Robust Unlearning, arXiv 2402.16835"


class Options(Thresholds):
    """The thresholds of the rules, how hard the attacks try, and what text is read."""

    relearn_steps: int = Field(20, ge=1, le=1000, description="Steps of relearning (paper: 20).")
    retain_facts: int = Field(
        32,
        ge=4,
        le=100_000,
        description="Retain facts asked, at most; none was trained on.",
    )
    general_text: str = Field(
        "",
        max_length=1_000_000,
        description="Your own ordinary text, one passage per line; empty takes the project's "
        "English, or for the bundled model sentences held out of its training.",
    )


def memory_beside(model: Model, options: Options, n_facts: int) -> int:
    """Bytes of the largest attack beside the weights."""
    return attack_bytes(model, ("lora", "unrelated"), RelearnOptions())


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
    lines = held_out_passages(models.base, options.general_text)[:PASSAGES]
    others = other_facts(models.base, selection)
    battery = Battery(
        models, selection, plan, lines, others, options.relearn_steps, options.retain_facts, job
    )
    before, after = models.measure_against(
        lambda model: battery.ask(model, None),
        lambda model, base: battery.attack(model, battery.ask(model, base)),
        of=("verdict", plan, lines, others, job.seed),
    )
    assert after is not None
    return _findings(before, after[0], selection, options)


def _findings(
    before: Measured, after: Measured, selection: Selection, options: Options
) -> Findings:
    numbers = {f"{k}.before": v for k, v in before.numbers.items()}
    numbers |= {f"{k}.after": v for k, v in after.numbers.items()}
    numbers |= {"chance": chance_of(selection, selection.forget)}
    numbers |= {"chance.retain": chance_of(selection, divide(selection.retain).tested)}
    answers, left = decide(numbers, options, after.unasked)
    verdict = conclude(answers)
    caption = tell(verdict, answers)
    if verdict == "broken":
        caption = f"{caption} {telling(before.spoken, after.spoken)}".rstrip()
    columns = ("question", "answer", "number", "value", "rule")
    table = Table(title="Verdict", columns=columns, rows=tuple(a.row for a in answers))
    spoken = continuations_table(before.spoken, after.spoken)
    summary: dict[str, float | int | bool | str | None] = {"verdict": verdict}
    summary |= {
        f"verdict.{name}": None if isnan(value) else value for name, value in numbers.items()
    }
    return Findings(
        summary=summary,
        caption=caption,
        left_out=left,
        evaluation=Evaluation(
            name="verdict",
            title=TITLE,
            caption=caption,
            aggregates=(),
            tables={
                "card": card(answers, MEANING[verdict]),
                "verdict": table,
                "continuations": spoken,
            },
        ),
    )


def chance_of(selection: Selection, facts: Sequence[Fact]) -> float:
    """How often a guess by the retain facts' answers of the same relation is right."""
    answers: dict[str, Counter[str]] = {}
    for fact in selection.retain:
        answers.setdefault(fact.relation, Counter())[fact.target] += 1
    shares = [
        answers[f.relation][f.target] / answers[f.relation].total() if f.relation in answers else 0
        for f in facts
    ]
    return float(np.mean(shares)) if shares else 0.0
