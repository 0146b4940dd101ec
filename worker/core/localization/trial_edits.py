"""Edits each fact by itself in layer after layer, and sets what tracing found there beside it.

1. Trace: in a corrupted run, the MLPs of a window of layers get their clean outputs back at every
   token; the effect is what that brings back of the metric (see causal tracing).
2. Edit: in the same window a fact alone is trained to its edit target, by AdamW on its own prompt
   with nothing that holds the rest, and the model is put back. Windows have equal parameters, steps
   and rates.
3. Ask the edited model: the edit target in the fact's own words, and in words that were not
   trained; the true answers of its neighbours, or of other facts of its relation. A trial's score
   is the harmonic mean of the three, after the score of ROME (Meng et al. 2022).
4. Compare: the correlation of effect and score over windows and, among facts, inside each window;
   the share of the score's variance that the window alone explains, what the effect adds to it, and
   what another fact's effect adds, as a control. Intervals are bootstrapped over facts.
5. A component's score is the mean score of the windows that hold it.

Paper: Hase et al. 2023, Does Localization Inform Editing?, arXiv 2301.04213.

Departures: constrained fine-tuning of whole MLPs in windows stands for their five editing methods;
the effect is of restoring at every token where theirs is at the subject's last; neighbours count in
the score as much as the answer.

Limits: what the score favours depends on steps and rate, and on how like the neighbours' prompts
are to the fact's own; a correlation over a model's few windows is a description, no test.
"""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TypeVar

import numpy as np
from jaxtyping import Float
from pydantic import Field

from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.mask import Mask
from worker.contract.result import Axis
from worker.core.asking.ask import listen
from worker.core.asking.setting import Ask, ask_joined, ask_own
from worker.core.editing.parts import Parts, parts_of, slices_of
from worker.core.findings import Array, Findings, Job
from worker.core.localization._trial_statistics import MEASURES, compared, scored
from worker.core.models.deltas import restored
from worker.core.models.model import Model
from worker.core.models.restart import Patch
from worker.core.patching.bench import facts_per_batch, make_bench
from worker.core.patching.comparison import Comparison, ComparisonOptions
from worker.core.patching.corruption import DESCRIPTIONS, Corrupted, Corruption
from worker.core.patching.metric import CHANGES, DESCRIPTION, Metric
from worker.core.patching.outcome import Traced
from worker.core.patching.tracing import needed_sites, patch_whole
from worker.core.training.attack import fine_tune
from worker.core.training.pool import Row, fact_rows

TITLE = "Trial edits"
PAPER = "https://arxiv.org/abs/2301.04213"
WORDINGS = 4
"""Wordings that are not trained, and neighbours, of each fact at most."""
KNOWN = 0.1
"""A neighbour to whose answer the model gives less cannot be harmed, and is not asked."""
Trials = Float[np.ndarray, "fact window"]
T = TypeVar("T")


class Options(ComparisonOptions):
    """The trace's defaults are ROME's; an edit's were measured to suit the bundled model."""

    window: int = Field(
        1, ge=1, le=200, description="Layers whose MLPs are restored, and edited, together."
    )
    steps: int = Field(20, ge=1, le=1000, description="Steps of each edit.")
    learning_rate: float = Field(
        3e-3, gt=0, le=1, description="Peak rate of each edit, falling to 0 by a cosine."
    )
    metric: Metric = Field("probability", description=DESCRIPTION)
    corruption: Corruption = Field("noise", description=DESCRIPTIONS)
    samples: int = Field(
        10, ge=1, le=100, description="Corrupted copies of each prompt (ROME: 10)."
    )


def localize(model: Model, facts: Sequence[Fact], options: Options, job: Job) -> Findings:
    """Trace and edit every fact in every window; see the module's docstring."""
    if any(not fact.edit_target.strip() for fact in facts):
        missing = next(fact.id for fact in facts if not fact.edit_target.strip())
        raise UserError(
            f"The fact {missing!r} has no edit target; expected one for every fact, because each "
            f"is edited. Give it one, or choose causal tracing.",
            field="facts.forget",
        )
    if options.window > model.n_layers:
        raise UserError(
            f"The window is {options.window} layers, and {model.id!r} has {model.n_layers}; "
            f"expected at most as many.",
            field="options.window",
        )
    facing = Comparison(model, facts, options, job)
    windows = [range(at, at + options.window) for at in range(model.n_layers - options.window + 1)]
    patches = [Patch("mlp", window.start, stop=window.stop) for window in windows]
    effects: dict[str, np.ndarray] = {}

    def trace(items: list[Corrupted]) -> None:
        bench = make_bench(model, items, options.metric, needed_sites(patches))
        facing.operations += bench.base.operations
        for i, (item, own) in enumerate(zip(items, patch_whole(bench, patches), strict=True)):
            if facing.keep(item, bench.changes[i]) is not None:
                effects[item.case.fact.id] = own

    facing.run("tracing", facts_per_batch(model, facing.items, len(patches)), trace)
    traced = facing.settle()
    asked = [_asked(model, one.case.fact, job.pool) for one in traced]
    measured = _edit(model, traced, asked, windows, options, job)
    effect = np.stack([effects[one.case.fact.id] for one in traced])
    score = scored(measured)
    for row, one in enumerate(traced):
        one.components = _by_component(score[row], windows, model.n_layers)
    findings = facing.findings(
        "trial_edits",
        "How well a fact is edited through this MLP alone, from 0 to 1; not what is there.",
        unit="share",
    )
    findings.arrays |= _arrays(traced, windows, effect, measured, score, CHANGES[options.metric])
    findings.summary |= compared(effect, score, job.seed) | {"trial.window": options.window}
    findings.caption = _caption(findings, len(traced), windows, options)
    return findings


@dataclass(frozen=True)
class _Asked:
    """What one fact's edited model is asked, by measure; and how sure the base is of each."""

    own: list[Ask]
    reworded: list[Ask]
    kept: list[Ask]
    before: Float[np.ndarray, " kept"]


def _asked(model: Model, fact: Fact, pool: Sequence[Fact]) -> _Asked:
    reworded = [
        ask_joined(one.replace("{}", fact.subject), fact.target, fact.edit_target, fact.join)
        for one in _spread(fact.paraphrases)
    ]
    kept = [ask_joined(one, fact.target, "", fact.join) for one in fact.neighbourhood[:WORDINGS]]
    if not kept:
        others = [one for one in pool if one.relation == fact.relation and one.id != fact.id]
        kept = [ask_own(one) for one in _spread(others)]
    before = np.array([heard.target for heard in listen(model, kept)])
    known = before >= KNOWN
    sure = [ask for ask, is_known in zip(kept, known, strict=True) if is_known]
    return _Asked([ask_own(fact)], reworded, sure, before[known] if len(kept) else before)


def _spread(found: Sequence[T]) -> list[T]:
    n = min(WORDINGS, len(found))
    return [found[i * len(found) // n] for i in range(n)]


def _edit(
    model: Model,
    traced: Sequence[Traced],
    asked: Sequence[_Asked],
    windows: Sequence[range],
    options: Options,
    job: Job,
) -> dict[str, Trials]:
    """Edit every fact in every window and ask; the model is put back after each."""
    measured = {name: np.full((len(traced), len(windows)), np.nan) for name in MEASURES}
    names = [[f"blocks.{layer}.mlp" for layer in window] for window in windows]
    masks = [Mask(components=tuple(own)) for own in names]
    n, done = len(traced) * len(windows), 0
    for column, mask in enumerate(masks):
        with restored(model, dict(slices_of(model, mask))):
            parts = parts_of(model, mask)
            before = parts.copy()
            for row, (one, questions) in enumerate(zip(traced, asked, strict=True)):
                fact = one.case.fact
                _train(model, parts, fact_rows(model, [fact], [fact.edit_target]), options, job)
                for name, value in _heard(model, questions).items():
                    measured[name][row, column] = value
                parts.load(before)
                done += 1
                job.report.progress(done / n, f"{done} of {n} edits tried")
    return measured


def _train(model: Model, parts: Parts, rows: Sequence[Row], options: Options, job: Job) -> None:
    with parts.trainable(model):
        fine_tune(
            model,
            parts.masters,
            [[(rows, 1)]],
            steps=options.steps,
            learning_rate=options.learning_rate,
            seed=job.seed,
            each_step=lambda _: parts.write(),
        )


def _heard(model: Model, asked: _Asked) -> dict[str, float]:
    """What an edited model says: probabilities of the edit target, and what neighbours keep."""
    heard = listen(model, [*asked.own, *asked.reworded, *asked.kept])
    own, last = heard[0], 1 + len(asked.reworded)
    reworded, kept = heard[1:last], heard[last:]
    shares = [min(1.0, now.target / was) for now, was in zip(kept, asked.before, strict=True)]
    return {
        "own": own.edit,
        "reworded": float(np.mean([one.edit for one in reworded])) if reworded else np.nan,
        "kept": float(np.mean(shares)) if shares else np.nan,
    }


def _by_component(
    score: Float[np.ndarray, " window"], windows: Sequence[range], n_layers: int
) -> dict[str, float]:
    return {
        f"blocks.{layer}.mlp": float(np.mean([s for s, w in zip(score, windows, strict=True)
                                              if layer in w]))
        for layer in range(n_layers)
    }  # fmt: skip


def _arrays(
    traced: Sequence[Traced],
    windows: Sequence[range],
    effect: Trials,
    measured: dict[str, Trials],
    score: Trials,
    unit: str,
) -> dict[str, Array]:
    labels = tuple(_words(window) for window in windows)
    facts = Axis(name="fact", labels=tuple(one.case.fact.subject for one in traced))
    axes = (facts, Axis(name="layer", labels=labels))
    made = {"trial.effect": Array(effect, axes, unit, "Tracing's effect", signed=True)}
    for name, title in MEASURES.items():
        if not np.isnan(measured[name]).all():
            gaps = "facts that nothing of the kind can be asked of"
            made[f"trial.{name}"] = Array(measured[name], axes, "probability", title, gaps=gaps)
    made["trial.score"] = Array(score, axes, "share", "Score of the edit")
    return made


def _words(window: range) -> str:
    return f"{window.start}" if len(window) == 1 else f"{window.start}–{window.stop - 1}"


def _caption(findings: Findings, n: int, windows: Sequence[range], options: Options) -> str:
    found = findings.summary
    best, traced = (windows[int(str(found[f"trial.best.{one}"]))] for one in ("score", "effect"))
    together = found["trial.correlation"]
    correlated = "" if together is None else (
        f" Over the places, effect and score have a correlation of {together:.2f}."
    )  # fmt: skip
    return (
        f"{n} facts, each edited by itself in {len(windows)} places ({options.steps} steps at a "
        f"peak rate of {options.learning_rate:g}). Edits score highest in the MLPs of layer "
        f"{_words(best)} (a share of {found['trial.score.best']:.2f}); tracing's effect is largest "
        f"in layer {_words(traced)}, where they score {found['trial.score.traced']:.2f}."
        f"{correlated}"
    )
