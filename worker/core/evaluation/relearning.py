"""Trains on half of the forgotten facts and asks for the other half: what returns was not gone.

1. Cut the forget facts in two by the seed. One half, true answers, is trained on, with as many
   retain facts and general text: by LoRA adapters on every linear map, or by full fine-tuning; or
   on retain facts and text alone (unrelated).
2. Every few steps ask for the half that was not trained on, and for retain facts that were not.
3. Take the adapters off, or put the weights back bit for bit.
4. Attack the base in the same way: what the same training does to facts that were never edited
   stands before what it does after the edit, on forget and on retain facts.

Source: Guo et al. 2024 (arXiv 2410.12949) after Deeb & Roger 2024 (2410.08827): LoRA of rank 512,
AdamW 2e-4, cosine, 20 steps. Departures: true answers always (the paper's own CounterFact runs
relearned the edit targets); retain facts stand beside every point, because a low probability with
retain facts lost as well says nothing; the rate goes with the model's width, or a small model does
not even learn back what it is trained on; a rank above the width is cut to it, which changes
neither what adapters can express nor how far a step goes (see `_adapters`); no dropout unless asked
for (of .05: two edits of the bundled model, three seeds, facts not trained on within .02 at every
step, retain facts within .04), and then what the rows of a batch begin with draws it once. Limits:
20 steps bound what an attacker could do from below.
"""

import numpy as np
from pydantic import Field

from worker.contract.errors import UserError
from worker.contract.result import Axis, Comparison, Direction, Evaluation
from worker.contract.selection import Selection
from worker.core.asking.before_after import BeforeAfter, State
from worker.core.asking.per_fact import Rows, per_fact
from worker.core.asking.rows import compare_columns
from worker.core.asking.statistics import summarize
from worker.core.findings import Array, Findings, Job
from worker.core.models.model import Model
from worker.core.training.attack_memory import attack_bytes
from worker.core.training.relearn import (
    TAUGHT,
    Mode,
    Parts,
    Relearned,
    RelearnOptions,
    relearn_once,
    split_facts,
)

TITLE = "Relearning"
PAPER = "Deeb & Roger 2024, Do Unlearning Methods Remove Information, arXiv 2410.08827"
CHECKS_FIRST = True
GROUPS: dict[str, tuple[str, Direction]] = {
    "held_out": ("forget facts not trained on", "lower"),
    "relearned": ("forget facts trained on", "none"),
    "retain": ("retain facts not trained on", "higher"),
}
TRAINED: dict[Mode, str] = {
    "lora": "step of LoRA",
    "full": "step of full fine-tuning",
    "unrelated": "step on unrelated facts",
}
LOST = 0.5
"""Share of its start below which the retain facts' probability says that the attack broke them."""


class Options(RelearnOptions):
    """Options of relearning."""

    modes: tuple[Mode, ...] = Field(
        ("lora", "unrelated"),
        min_length=1,
        description="lora: adapters on half of the facts; full: all block weights on the same; "
        "unrelated: adapters on retain facts and text alone.",
    )
    attack_base: bool = Field(
        True, description="Also train the base in the same way, to compare with; once per study."
    )


Found = dict[State, dict[Mode, Relearned]]


def memory_beside(model: Model, options: Options, n_facts: int) -> int:
    """Bytes of the largest attack beside the weights."""
    return attack_bytes(model, options.modes, options)


def evaluate(models: BeforeAfter, selection: Selection, options: Options, job: Job) -> Findings:
    """Relearn the base and the edited model, and measure over steps."""
    parts = split_facts(selection, options.retain_facts, job.seed)
    if not parts.retain:
        raise UserError(
            f"Of {len(selection.retain)} retain facts none is left that nothing was trained on, to "
            f"show what the attack itself breaks; expected at least 2. Forget fewer facts.",
            field="facts.forget",
        )
    states = models.names if options.attack_base else models.names[-1:]
    n = len(states) * len(options.modes)

    def measure(model: Model, state: State) -> dict[Mode, Relearned]:
        if state not in states:
            return {}
        first = states.index(state) * len(options.modes)
        shares = [((first + i) / n, (first + i + 1) / n) for i in range(len(options.modes))]
        return {
            mode: relearn_once(models, state, model, parts, mode, options, job, share)
            for mode, share in zip(options.modes, shares, strict=True)
        }

    measured = models.measure(measure)
    found: Found = {state: of for state, of in measured.items() if of}
    aggregates = [one for mode in options.modes for one in _aggregates(mode, found, job.seed)]
    arrays = {k: v for mode in options.modes for k, v in _curves(mode, found).items()}
    caption = " ".join(_say(mode, list(found.values())[-1][mode]) for mode in options.modes)
    return Findings(
        arrays=arrays,
        summary=dict(summarize(aggregates)),
        caption=caption,
        evaluation=Evaluation(
            name="relearning",
            title=TITLE,
            caption=caption,
            aggregates=tuple(aggregates),
            facts=per_fact(
                "Every fact at the end of each attack",
                [row for mode in options.modes for row in _rows(mode, found, parts)],
            ),
        ),
    )


def _aggregates(mode: Mode, found: Found, seed: int) -> list[Comparison]:
    """Compare base and edited model at the attack's end, and before its first step."""
    made = []
    for group, (_, better) in GROUPS.items():
        words = _words(mode, group)
        for quantity, at, when in (
            ("target_probability", -1, "after the attack"),
            ("start_probability", 0, "without it"),
        ):
            columns = {state: getattr(of[mode], group)[at] for state, of in found.items()}
            name = f"relearning.{mode}.{group}.{quantity}"
            title = f"{mode}: target on {words}, {when}"
            made.append(compare_columns(name, title, better, columns, seed))
    return made


def _words(mode: Mode, group: str) -> str:
    if mode == "unrelated" and group == "relearned":
        return "the other half of the forget facts"
    return GROUPS[group][0]


def _curves(mode: Mode, found: Found) -> dict[str, Array]:
    last = list(found)[-1]
    arrays = {}
    for state, of in reversed(found.items()):
        one = of[mode]
        axis = Axis(name=TRAINED[mode], labels=tuple(str(step) for step in one.steps))
        for group in GROUPS:
            name, words = f"relearning.{mode}.{group}", _words(mode, group)
            title = words if state == last else f"{words}, base"
            values = np.asarray(getattr(one, group)).mean(1)
            arrays[name if state == last else f"{name}.base"] = Array(
                values, (axis,), "probability", title[:1].upper() + title[1:]
            )
    return arrays


def _rows(mode: Mode, found: Found, parts: Parts) -> list[Rows]:
    return [
        Rows(
            facts=getattr(parts, group),
            group="retain" if group == "retain" else "forget",
            format=mode,
            note=_words(mode, group),
            values={
                words: {state: getattr(of[mode], group)[at] for state, of in found.items()}
                for words, at in (("target probability", -1), ("target probability at step 0", 0))
            },
        )
        for group in GROUPS
    ]


def _say(mode: Mode, one: Relearned) -> str:
    start, end = one.retain[0].mean(), one.retain[-1].mean()
    lost = " Retain facts were lost too, so this says little." if end < LOST * start else ""
    taught = one.relearned[-1].mean()
    if mode != "unrelated" and taught < TAUGHT:
        lost += (
            f" Of the half trained on only {taught:.2f} came back, so the attack was too weak to "
            f"say much: raise its rate or its steps."
        )
    return (
        f"{mode}: in {one.steps[-1]} steps the facts not trained on went from "
        f"{one.held_out[0].mean():.2f} to {one.held_out[-1].mean():.2f}, retain facts from "
        f"{start:.2f} to {end:.2f}.{lost}"
    )
