"""Trains on half of the forgotten facts and asks for the other half: what returns was not gone.

1. Cut the forget facts in two by the seed. One half, true answers, is trained on, with as many
   retain facts and general text: by LoRA adapters on every linear map, or by full fine-tuning; or
   on retain facts and text alone (unrelated).
2. Every few steps ask for the half that was not trained on, and for retain facts that were not.
3. Take the adapters off, or put the weights back bit for bit.

Source: Guo et al. 2024 (arXiv 2410.12949) after Deeb & Roger 2024 (2410.08827): LoRA of rank 512,
AdamW 2e-4, cosine, 20 steps. Departures: true answers always (the paper's own CounterFact runs
relearned the edit targets); retain facts stand beside every point, because a low probability with
retain facts lost as well says nothing. Limits: 20 steps bound what an attacker could do from below.
"""

import numpy as np
from pydantic import Field

from worker.contract.facts import Selection
from worker.contract.result import Axis, Comparison, Evaluation
from worker.core.evaluation._models import BeforeAfter, State
from worker.core.evaluation._relearn import Mode, Relearned, RelearnOptions, relearn
from worker.core.evaluation._statistics import compare, summarize
from worker.core.findings import Array, Findings, Job
from worker.core.models.model import Model

TITLE = "Relearning"
PAPER = "Deeb & Roger 2024, Do Unlearning Methods Remove Information, arXiv 2410.08827"


class Options(RelearnOptions):
    """Options of relearning."""

    modes: tuple[Mode, ...] = Field(
        ("lora", "unrelated"),
        min_length=1,
        description="lora: adapters on half of the facts; full: all block weights on the same; "
        "unrelated: adapters on retain facts and text alone.",
    )


def evaluate(models: BeforeAfter, selection: Selection, options: Options, job: Job) -> Findings:
    """Relearn the edited model (the base, where there is no edit) and measure over steps."""
    attacked = models.names[-1]

    def measure(model: Model, state: State) -> dict[Mode, Relearned]:
        if state != attacked:
            return {}
        return {mode: relearn(model, selection, mode, options, job) for mode in options.modes}

    found = models.measure(measure)[attacked]
    arrays: dict[str, Array] = {}
    aggregates: list[Comparison] = []
    for mode, one in found.items():
        arrays |= _curves(mode, one)
        for group, better in (("held_out", "lower"), ("relearned", "none"), ("retain", "higher")):
            values = getattr(one, group)
            aggregates.append(
                compare(
                    f"relearning.{mode}.{group}.target_probability",
                    f"{mode}: target on {_WORDS[group]}, before the attack and after it",
                    better,  # type: ignore[arg-type]
                    values[0],
                    values[-1],
                    seed=job.seed,
                )
            )
    caption = " ".join(_say(mode, one) for mode, one in found.items())
    return Findings(
        arrays=arrays,
        summary=dict(summarize(aggregates)),
        caption=caption,
        evaluation=Evaluation(
            name="relearning", title=TITLE, caption=caption, aggregates=tuple(aggregates)
        ),
    )


_WORDS = {
    "held_out": "forget facts not trained on",
    "relearned": "forget facts trained on",
    "retain": "retain facts not trained on",
}


def _curves(mode: Mode, one: Relearned) -> dict[str, Array]:
    axis = Axis(name="step", labels=tuple(str(step) for step in one.steps))
    return {
        f"relearning.{mode}.{group}": Array(
            np.asarray(getattr(one, group)).mean(1), (axis,), "probability", f"{mode}: {words}"
        )
        for group, words in _WORDS.items()
    }


def _say(mode: Mode, one: Relearned) -> str:
    return (
        f"{mode}: in {one.steps[-1]} steps the facts not trained on went from "
        f"{one.held_out[0].mean():.2f} to {one.held_out[-1].mean():.2f}, retain facts from "
        f"{one.retain[0].mean():.2f} to {one.retain[-1].mean():.2f}."
    )
