"""Asks in multiple choice with every option at every letter, and says what the letters alone tell.

1. Render forget facts and a bounded number of retain facts as questions with four lettered
   options, in the 4 rotations of their order, by which every option stands at every letter once
   (or in all 24 orders), in each wording.
2. Share the probability among the four letters; average the target's and the edit target's over
   orders, so that a liking for a letter or a place cancels: a model without the fact is at 1/4.
3. Report the share of orders in which the target is the likeliest letter, and the bias: the mean
   probability of each letter over all orders.

Source: Guo et al. 2024 (arXiv 2410.12949) for the format; Pezeshkpour & Hruschka 2024 (2308.11483)
for permuting. The retain facts stand beside, because general damage also lowers multiple choice.
Limits: a model that does not follow the format is near 1/4 whatever it knows.
"""

import numpy as np
from jaxtyping import Float
from pydantic import Field

from worker.contract.base import Options as BaseOptions
from worker.contract.errors import UserError
from worker.contract.result import Axis, Direction, Evaluation
from worker.contract.selection import Selection
from worker.core.asking.before_after import BeforeAfter
from worker.core.asking.fact_table import fact_table, heatmaps
from worker.core.asking.formats import CHOICES
from worker.core.asking.probe import Plan, plan_probe, probe
from worker.core.asking.rows import compare_columns
from worker.core.asking.setting import Orders, setting
from worker.core.asking.statistics import summarize
from worker.core.demo.formats import LETTERS
from worker.core.findings import Array, Findings, Job

TITLE = "Multiple choice, permuted"
PAPER = "Guo et al. 2024, Mechanistic Unlearning, arXiv 2410.12949"
CHECKS_FIRST = True


class Options(BaseOptions):
    """Options of multiple choice."""

    orders: Orders = Field(
        "rotations",
        description="Orders of the options: the 4 rotations, in which every option stands at every "
        "letter once, or all 24, in which it also has every neighbour (6 times slower).",
    )
    wordings: int = Field(1, ge=1, le=8, description="Wordings per format, at most.")
    retain_facts: int = Field(32, ge=0, le=100_000, description="Retain facts asked, at most.")
    batch_size: int = Field(64, ge=1, le=4096, description="Prompts per forward pass.")


def evaluate(models: BeforeAfter, selection: Selection, options: Options, job: Job) -> Findings:
    """Ask every fact in multiple choice, before and after."""
    how = setting(
        selection, models.base, job.seed, wordings=options.wordings, orders=options.orders
    )
    plan = plan_probe(selection, CHOICES, how, options.retain_facts, job.seed)
    if not plan.asks:
        reason = plan.left_out[0].reason if plan.left_out else "there is no fact"
        raise UserError(
            f"No fact can be asked in multiple choice: {reason}. Give the facts of one relation "
            f"at least four different answers between them.",
            field="evaluations",
        )
    told = models.measure(
        lambda model, state: probe(model, plan, options.batch_size, None, job.report, state=state),
        of=(plan, options),
    )
    aggregates = []
    for j, form in enumerate(plan.formats):
        for group, rows in (
            ("forget", slice(0, plan.n_forget)),
            ("retain", slice(plan.n_forget, None)),
        ):
            target = {s: t.target[rows, j] for s, t in told.items()}
            edit = {s: t.edit[rows, j] for s, t in told.items()}
            right = {s: t.best[rows, j] for s, t in told.items()}
            if np.isnan(target["before"]).all():
                continue
            wanted: Direction = "lower" if group == "forget" else "higher"
            other: Direction = "higher" if group == "forget" else "lower"
            name = f"multiple_choice.{form}.{group}"
            made = (
                ("target_probability", "target among the letters", wanted, target),
                ("edit_probability", "edit target among the letters", other, edit),
                ("accuracy", "target is the likeliest letter", wanted, right),
            )
            aggregates += [
                compare_columns(f"{name}.{q}", f"{form}, {group}: {words}", better, c, job.seed)
                for q, words, better, c in made
                if not np.isnan(c["before"]).all()
            ]
    caption = (
        "Probability shared among four letters, averaged over the options' orders; a model that "
        "knows nothing is at 0.25. A fall on retain facts is general damage, not forgetting."
    )
    return Findings(
        arrays={
            **{
                f"choice.{name.removeprefix('probe.')}": a
                for name, a in heatmaps(plan, told).items()
            },
            **{f"choice.letters.{state}": _bias(plan, t.letters) for state, t in told.items()},
        },
        summary=dict(summarize(aggregates)),
        caption=caption,
        left_out=list(plan.left_out),
        evaluation=Evaluation(
            name="multiple_choice",
            title=TITLE,
            caption=caption,
            aggregates=tuple(aggregates),
            facts=fact_table(plan, told),
        ),
    )


def _bias(plan: Plan, letters: Float[np.ndarray, "format letter"]) -> Array:
    axes = (Axis(name="format", labels=plan.formats), Axis(name="letter", labels=LETTERS))
    return Array(
        letters,
        axes,
        "probability",
        "Mean share of each letter over all orders",
        gaps="no fact can be asked in this format",
    )
