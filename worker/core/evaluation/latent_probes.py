"""Reads the answer from hidden states, layer by layer, whether or not the model says it.

1. Read the residual of each statement at one position (last token, or last subject token) at every
   depth, in the model as it is.
2. Fit a multinomial logistic regression per depth on retain facts (true answers), all depths in
   one batched fit; retain facts that no edit trained on, about 20 %, say how well a probe works.
3. Ask the probes about the forget facts: the share read as the target, and as the edit target.
4. Control: the same with shuffled answers, four times, which must be at chance.
5. Logit lens: the probability that the final norm and unembedding give target and edit target.

Source: Guo et al. 2024 (arXiv 2410.12949), latent probes; Hewitt & Liang 2019 (1909.03368), control
tasks. Departures: features are standardized; the regularization is scikit-learn's default. Limits:
only answers that occur among the retain facts can be read; that a probe reads an answer does not
say that the model uses it.
"""

import numpy as np
from pydantic import Field

from worker.contract.base import Options as BaseOptions
from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.result import Axis, Direction, Evaluation, LeftOut
from worker.contract.selection import Selection
from worker.core.asking.before_after import BeforeAfter, State
from worker.core.asking.per_fact import Rows, per_fact
from worker.core.asking.readers import Read, read, readable
from worker.core.asking.rows import compare_columns
from worker.core.asking.states import Position, depths
from worker.core.asking.statistics import summarize
from worker.core.findings import Array, Findings, Job
from worker.core.models.model import Model

TITLE = "Latent probes and logit lens"
PAPER = "Guo et al. 2024, Mechanistic Unlearning, arXiv 2410.12949"
CHECKS_FIRST = True


class Options(BaseOptions):
    """Options of latent probes."""

    position: Position = Field(
        "last", description="Token that is read: the prompt's last, or the subject's last."
    )
    retain_facts: int = Field(
        400, ge=10, le=100_000, description="Retain facts the probes are trained and tested on."
    )


def evaluate(models: BeforeAfter, selection: Selection, options: Options, job: Job) -> Findings:
    """Train probes on retain facts and ask them about forget facts, before and after."""
    known = readable(selection, options.retain_facts, job.seed)
    forget = tuple(f for f in selection.forget if f.target in known.classes)
    left = [
        LeftOut(id=f.id, reason=f"no retain fact has the answer {f.target!r}, so no probe reads it")
        for f in selection.forget
        if f.target not in known.classes
    ]
    if not forget:
        raise UserError(
            "No forget fact's answer occurs among the retain facts; a probe can read only answers "
            "that it was trained on. Forget fewer facts of each answer.",
            field="facts.forget",
        )

    def measure(model: Model, state: State) -> Read:
        job.report.progress(0.5 * (state == "after"), f"Reading hidden states {state}")
        return read(model, forget, known, options.position, job.seed)

    found = models.measure(measure, of=(forget, known, options.position, job.seed))
    return _findings(found, forget, depths(models.base), len(known.classes), left, job.seed)


def _findings(
    found: dict[State, Read],
    forget: tuple[Fact, ...],
    names: tuple[str, ...],
    n_classes: int,
    left: list[LeftOut],
    seed: int,
) -> Findings:
    quantities: dict[str, tuple[str, str, Direction]] = {
        "retain.accuracy": ("test", "Held-out retain facts read right", "higher"),
        "retain.shuffled": ("shuffled", "The same with shuffled answers (control)", "none"),
        "forget.target_read": ("target", "Forget facts read as the target", "lower"),
        "forget.edit_read": ("edit", "Forget facts read as the edit target", "higher"),
        "forget.lens_target": ("lens_target", "Logit lens: target's probability", "lower"),
        "forget.lens_edit": ("lens_edit", "Logit lens: edit target's probability", "higher"),
    }
    arrays, aggregates = {}, []
    axis = Axis(name="layer", labels=names)
    deep = len(names) - 1
    for name, (field, title, better) in quantities.items():
        columns = {state: getattr(one, field) for state, one in found.items()}
        if np.isnan(columns["before"]).all():
            continue
        for state, values in columns.items():
            arrays[f"latent.{name}.{state}"] = Array(
                np.nanmean(values, 1), (axis,), "share of facts", f"{title}, {state}"
            )
        # The aggregate stands at the last depth, before the answer is said.
        last = {state: values[deep] for state, values in columns.items()}
        aggregates.append(
            compare_columns(
                f"latent_probes.last.{name}", f"{title}, last layer", better, last, seed
            )
        )
        mean = {state: np.nanmean(values[1:], 0) for state, values in columns.items()}
        aggregates.append(
            compare_columns(
                f"latent_probes.mean.{name}", f"{title}, mean of layers", better, mean, seed
            )
        )
    last_read = found.get("after", found["before"])
    best = float(np.nanmean(last_read.target, 1).max())
    where = names[int(np.nanmean(last_read.target, 1).argmax())]
    control = float(last_read.control.mean(-1).max(-1).mean())
    caption = (
        f"Probes trained on retain facts read the target of at most {best:.2f} of the "
        f"{len(forget)} forget facts ({where}); chance is {1 / n_classes:.2f}, and probes "
        f"fitted to shuffled answers read at most {control:.2f}."
    )
    summary = dict(summarize(aggregates))
    for state, one in found.items():
        summary[f"latent_probes.max.forget.target_read.{state}"] = float(one.target.mean(1).max())
    return Findings(
        arrays=arrays,
        summary=summary,
        caption=caption,
        left_out=left,
        evaluation=Evaluation(
            name="latent_probes",
            title=TITLE,
            caption=caption,
            aggregates=tuple(aggregates),
            facts=per_fact("What is read of every forget fact", [_rows(found, forget)]),
        ),
    )


def _rows(found: dict[State, Read], forget: tuple[Fact, ...]) -> Rows:
    """The share of the depths after a block at which each fact is read, and the lens at the end."""
    return Rows(
        forget,
        "forget",
        "hidden states",
        {
            "share of layers read as target": {s: r.target[1:].mean(0) for s, r in found.items()},
            "share of layers read as edit target": {
                s: r.edit[1:].mean(0) for s, r in found.items()
            },
            "lens: target probability": {s: r.lens_target[-1] for s, r in found.items()},
        },
    )
