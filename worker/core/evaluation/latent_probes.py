"""Reads the answer from hidden states, layer by layer, whether or not the model says it.

1. Read the residual of each statement at one position (last token, or last subject token) at every
   depth, in the model as it is.
2. Fit a multinomial logistic regression per depth on 80 % of the retain facts (true answers), all
   depths in one batched fit; the other 20 % say how well a probe works at all.
3. Ask the probes about the forget facts: the share read as the target, and as the edit target.
4. Control: the same with shuffled answers, which must be at chance.
5. Logit lens: the probability that the final norm and unembedding give target and edit target.

Source: Guo et al. 2024 (arXiv 2410.12949), latent probes; Hewitt & Liang 2019 (1909.03368), control
tasks. Departures: features are standardized; the regularization is scikit-learn's default. Limits:
only answers that occur among the retain facts can be read; that a probe reads an answer does not
say that the model uses it.
"""

import random
from collections import Counter
from dataclasses import dataclass

import numpy as np
import torch
from jaxtyping import Float
from pydantic import Field

from worker.contract.base import Options as BaseOptions
from worker.contract.errors import UserError
from worker.contract.facts import Fact, Selection
from worker.contract.result import Axis, Evaluation, LeftOut
from worker.core.evaluation._latent import Position, all_states, depths, hidden_states, lens
from worker.core.evaluation._logistic import fit, predict, standardize
from worker.core.evaluation._models import BeforeAfter, State
from worker.core.evaluation._rows import compare_columns
from worker.core.evaluation._statistics import summarize
from worker.core.findings import Array, Findings, Job
from worker.core.models.model import Model
from worker.core.models.tokens import answer_ids, encode_fact, pad

TITLE = "Latent probes and logit lens"
PAPER = "Guo et al. 2024, Mechanistic Unlearning, arXiv 2410.12949"
MIN_PER_CLASS = 3


class Options(BaseOptions):
    """Options of latent probes."""

    position: Position = Field(
        "last", description="Token that is read: the prompt's last, or the subject's last."
    )
    retain_facts: int = Field(
        400, ge=10, le=100_000, description="Retain facts the probes are trained and tested on."
    )


@dataclass(frozen=True)
class Read:
    """What probes read in one model."""

    test: Float[np.ndarray, "depth fact"]
    """Is a held-out retain fact read right?"""
    shuffled: Float[np.ndarray, "depth fact"]
    target: Float[np.ndarray, "depth fact"]
    """Is a forget fact read as its target?"""
    edit: Float[np.ndarray, "depth fact"]
    lens_target: Float[np.ndarray, "depth fact"]
    lens_edit: Float[np.ndarray, "depth fact"]


def evaluate(models: BeforeAfter, selection: Selection, options: Options, job: Job) -> Findings:
    """Train probes on retain facts and ask them about forget facts, before and after."""
    classes, known = _classes(selection, options.retain_facts, job.seed)
    forget = tuple(f for f in selection.forget if f.target in classes)
    left = [
        LeftOut(id=f.id, reason=f"no retain fact has the answer {f.target!r}, so no probe reads it")
        for f in selection.forget
        if f.target not in classes
    ]
    if not forget:
        raise UserError(
            "No forget fact's answer occurs among the retain facts; a probe can read only answers "
            "that it was trained on. Forget fewer facts of each answer.",
            field="facts.forget",
        )

    def measure(model: Model, state: State) -> Read:
        job.report.progress(0.5 * (state == "after"), f"Reading hidden states {state}")
        return read(model, forget, known, classes, options.position, job.seed)

    found = models.measure(measure)
    return _findings(found, forget, depths(models.base), len(classes), left, job.seed)


def read(
    model: Model,
    forget: tuple[Fact, ...],
    known: tuple[Fact, ...],
    classes: dict[str, int],
    position: Position,
    seed: int,
) -> Read:
    """Fit true and shuffled probes of all depths in one batch and ask them."""
    cut = len(known) * 4 // 5
    answers = torch.tensor([classes[f.target] for f in known])
    shuffled = answers[torch.randperm(cut, generator=torch.Generator().manual_seed(seed))]
    train = hidden_states(model, known[:cut], position)
    test = hidden_states(model, known[cut:], position)
    asked = hidden_states(model, forget, position)
    x, x_test, x_asked = standardize(train.cpu(), test.cpu(), asked.cpu())
    n = len(x)
    both = torch.cat([answers[:cut].expand(n, -1), shuffled.expand(n, -1)])
    weights = fit(torch.cat([x, x]), both, len(classes))
    said = predict(weights[:n], x_asked).argmax(-1)
    right = predict(weights[:n], x_test).argmax(-1) == answers[cut:]
    control = predict(weights[n:], x_test).argmax(-1) == answers[cut:]
    targets = torch.tensor([classes[f.target] for f in forget])
    edits = torch.tensor([classes.get(f.edit_target, -1) for f in forget])
    lens_target, lens_edit = _lens(model, forget)
    edited = np.where((edits == -1).numpy(), np.nan, (said == edits).double().numpy())
    return Read(
        test=right.double().numpy(),
        shuffled=control.double().numpy(),
        target=(said == targets).double().numpy(),
        edit=edited,
        lens_target=lens_target,
        lens_edit=lens_edit,
    )


def _lens(model: Model, forget: tuple[Fact, ...]) -> tuple[np.ndarray, np.ndarray]:
    prompts = [encode_fact(model, fact) for fact in forget]
    batch = pad(model, prompts)
    log_probs = lens(model, batch, all_states(model, batch)).cpu()
    rows = torch.arange(len(forget))
    first = lambda answers: torch.tensor(  # noqa: E731
        [answer_ids(model, f.text, a)[0] for f, a in zip(forget, answers, strict=True)]
    )
    targets = first([f.target for f in forget])
    edits = first([f.edit_target or f.target for f in forget])
    without = np.array([not f.edit_target for f in forget])
    edit = np.where(without, np.nan, log_probs[:, rows, edits].exp().numpy())
    return log_probs[:, rows, targets].exp().numpy(), edit


def _classes(selection: Selection, n: int, seed: int) -> tuple[dict[str, int], tuple[Fact, ...]]:
    """Name the answers that enough retain facts have, and draw the facts that have them."""
    counts = Counter(fact.target for fact in selection.retain)
    wanted = {f.target for f in selection.forget} | {f.edit_target for f in selection.forget}
    common = sorted(a for a, c in counts.items() if c >= MIN_PER_CLASS and a in wanted)
    facts = [f for f in selection.retain if f.target in common]
    if len(common) < 2 or len(facts) < 10:
        raise UserError(
            f"The retain facts give {len(common)} answers with at least {MIN_PER_CLASS} facts that "
            f"the forget facts share, and {len(facts)} facts; a probe needs 2 answers and 10 "
            f"facts. Choose a fact set with more facts of the same relation.",
            field="facts",
        )
    random.Random(seed).shuffle(facts)
    return {answer: i for i, answer in enumerate(common)}, tuple(facts[:n])


def _findings(
    found: dict[State, Read],
    forget: tuple[Fact, ...],
    names: tuple[str, ...],
    n_classes: int,
    left: list[LeftOut],
    seed: int,
) -> Findings:
    quantities = {
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
    caption = (
        f"Probes trained on retain facts read the target of at most {best:.2f} of the "
        f"{len(forget)} forget facts ({where}); chance is {1 / n_classes:.2f}, and shuffled "
        f"answers give {float(last_read.shuffled.mean()):.2f}."
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
            name="latent_probes", title=TITLE, caption=caption, aggregates=tuple(aggregates)
        ),
    )
