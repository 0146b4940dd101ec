"""Asks whether a mask carries the facts: the metric with it alone clean, or all but it.

1. Clean and corrupted prompts are run. A set of components is judged by two runs of the clean
   prompt: `only` it clean and every other head and MLP at its corrupted output, and all `without`
   it. Faithfulness is the mean metric over that of the clean run, both counted from the run with
   everything corrupted: 1 is all of it, 0 nothing.
2. The components are ranked by the localization's |score| (a mask alone: its members first) and
   measured in growing numbers. The area under the `only` curve over the share of parameters is
   CPR (higher is better), the area between it and 1 is CMD (lower is better).
3. Controls: random rankings with a head for every head and an MLP for every MLP, so that every size
   has as many parameters; their mean, lowest and highest are shown.

Source: Mueller et al. 2025, MIB: A Mechanistic Interpretability Benchmark (arXiv 2504.13151).
Departures: sizes are shares of the parameters of heads and MLPs, where MIB counts weighted edges;
embeddings stay clean. Limits: a component that is kept computes on what reaches it, so a set that
lacks a link carries nothing even where each member matters; members of a mask without scores have
no order, so their curve is that of one draw.
"""

from collections.abc import Sequence
from dataclasses import dataclass

import numpy as np
from pydantic import ConfigDict, Field

from worker.contract.base import Options as BaseOptions
from worker.contract.errors import UserError
from worker.contract.facts import Selection
from worker.contract.result import Axis, Comparison, Direction, Estimate, Evaluation, LeftOut
from worker.core.evaluation._models import BeforeAfter, State
from worker.core.evaluation._statistics import summarize
from worker.core.findings import Array, Findings, Job
from worker.core.localization._cases import prepare, require_cases
from worker.core.localization._corruption import DESCRIPTIONS, Corruption, corrupt
from worker.core.localization._faithfulness import (
    Curve,
    Patched,
    prefixes,
    random_like,
    rank,
    sizes,
)
from worker.core.localization._metric import DESCRIPTION as METRICS
from worker.core.localization._metric import Metric
from worker.core.localization._outcome import Traced
from worker.core.localization._shares import DESCRIPTION, MIN_DIFFERENCE, leave_out_tiny
from worker.core.models.deltas import edited
from worker.core.models.model import Model

TITLE = "Faithfulness of a mask"
PAPER = "https://arxiv.org/abs/2504.13151"
MODES = {"only": "Only the mask is clean", "without": "All but the mask is clean"}


class Options(BaseOptions):
    """What is measured and how it is corrupted."""

    model_config = ConfigDict(json_schema_extra={"needs_mask": True})

    metric: Metric = Field("logit_diff", description=METRICS)
    corruption: Corruption = Field("other_subject", description=DESCRIPTIONS)
    noise_level: float = Field(
        3.0, gt=0, le=100, description="Noise in standard deviations of the subjects' embeddings."
    )
    draws: int = Field(5, ge=2, le=100, description="Random rankings that it is compared with.")
    batch_size: int = Field(16, ge=1, le=1024, description="Facts per batch.")
    min_probability: float = Field(
        0.1, ge=0, lt=1, description="Facts to whose answer the model gives less are left out."
    )
    min_difference: float = Field(MIN_DIFFERENCE, ge=0, lt=1, description=DESCRIPTION)


@dataclass(frozen=True)
class Lines:
    """Curves of one mode: the ranking's with its interval over facts, and every draw's."""

    ranked: Curve
    low: tuple[float, ...]
    high: tuple[float, ...]
    draws: tuple[Curve, ...]


def evaluate(models: BeforeAfter, selection: Selection, options: Options, job: Job) -> Findings:
    """Measure the mask that the job names; see the module's docstring."""
    if job.mask is None:
        raise UserError(
            "Faithfulness is asked of a mask, and this spec names none; expected `mask` with "
            "components, a stored mask, a localization with a rule, or a control.",
            field="mask",
        )
    state: State = "after" if models.deltas else "before"
    with edited(models.base, list(models.deltas)):
        return _measure(models.base, state, selection, options, job)


def _measure(
    model: Model, state: State, selection: Selection, options: Options, job: Job
) -> Findings:
    patched, left_out = _patch(model, selection, options, job)
    assert job.mask is not None
    mask = list(job.mask.components)
    ranked = rank(model, job.scores or dict.fromkeys(mask, 1.0), job.seed)
    found = {}
    for i, mode in enumerate(MODES):
        job.report.progress(0.1 + 0.4 * i, MODES[mode].lower())
        found[mode] = _lines(patched, ranked, mode == "without", options.draws, job)
    job.report.progress(0.9, "the mask itself")
    aggregates = [
        *_of_mask(patched, mask, options.draws, state, job.seed),
        *_areas(found["only"], state, int(patched.used.sum())),
    ]
    evaluation = Evaluation(
        name="faithfulness", title=TITLE, caption="", aggregates=tuple(aggregates)
    )
    caption = _caption(evaluation, state, len(mask), bool(job.scores), options)
    return Findings(
        arrays={f"faithfulness.{mode}": _array(lines, mode) for mode, lines in found.items()},
        summary=dict(summarize(aggregates)),
        caption=caption,
        left_out=left_out,
        evaluation=evaluation.model_copy(update={"caption": caption}),
        mask=job.mask,
    )


def _patch(
    model: Model, selection: Selection, options: Options, job: Job
) -> tuple[Patched, list[LeftOut]]:
    """Run the facts that can be measured, and list the others."""
    job.report.progress(0.0, "asking the model for the facts")
    needs_foil = options.metric == "logit_diff"
    prepared = prepare(model, selection.forget, options.min_probability, needs_foil)
    items = corrupt(
        model, prepared, options.corruption, samples=1, noise_level=options.noise_level,
        seed=job.seed, pool=job.pool, or_random=True,
    )  # fmt: skip
    patched = Patched(model, items, options.metric, options.batch_size)
    traced = {
        item.case.fact.id: Traced(item.case, clean, zero)
        for item, clean, zero in zip(
            patched.items, patched.clean.tolist(), patched.zero.tolist(), strict=True
        )
        if abs(clean - zero) > 0
    }
    leave_out_tiny(traced, prepared, options.metric, options.min_difference)
    patched.used = np.array([item.case.fact.id in traced for item in patched.items])
    gone = {out.id for out in prepared.left_out}
    for item in patched.items:
        if item.case.fact.id not in traced and item.case.fact.id not in gone:
            prepared.leave_out(
                item.case.fact,
                f"The metric {options.metric} is the same with every component corrupted as with "
                f"none. Choose another corruption or metric.",
            )
    prepared.cases = [case for case in prepared.cases if case.fact.id in traced]
    require_cases(prepared)
    return patched, prepared.left_out


def _lines(patched: Patched, ranked: list[str], without: bool, draws: int, job: Job) -> Lines:
    counts = prefixes(len(ranked))
    places = sizes(patched.model, ranked, counts)

    def measure(order: Sequence[str]) -> list[np.ndarray]:
        return [patched.values(order[:k], without) for k in counts]

    def curve(values: list[np.ndarray]) -> Curve:
        return Curve(places, tuple(patched.faithfulness(one) for one in values))

    own = measure(ranked)
    bounds = [patched.interval(one, job.seed) for one in own]
    return Lines(
        curve(own),
        tuple(low for low, _ in bounds),
        tuple(high for _, high in bounds),
        tuple(
            curve(measure(random_like(patched.model, ranked, job.seed + draw)))
            for draw in range(draws)
        ),
    )


def _of_mask(
    patched: Patched, mask: list[str], draws: int, state: State, seed: int
) -> list[Comparison]:
    """Measure the mask, and random components of the same kinds and number."""
    n, model = int(patched.used.sum()), patched.model
    members = set(mask)
    ranked = sorted(
        patched.names, key=lambda k: not (k in members or k.split(".head.")[0] in members)
    )
    size = sum(k in members or k.split(".head.")[0] in members for k in patched.names)
    found = []
    for mode in MODES:
        without = mode == "without"
        values = patched.values(mask, without)
        low, high = patched.interval(values, seed)
        mean = patched.faithfulness(values)
        others = [
            patched.faithfulness(
                patched.values(random_like(model, ranked, seed + d)[:size], without)
            )
            for d in range(draws)
        ]
        better: Direction = "lower" if without else "higher"
        found += [
            _compare(f"mask.{mode}", f"{MODES[mode]}: faithfulness", better, state,
                     _estimate(mean, low, high, n)),
            _compare(f"random.{mode}", f"{MODES[mode]}: random ones of the same size", "none",
                     state, _spread(others)),
        ]  # fmt: skip
    return found


def _areas(lines: Lines, state: State, n: int) -> list[Comparison]:
    found = []
    for name, words, better in (
        ("cpr", "CPR: area under the curve", "higher"),
        ("cmd", "CMD: area between the curve and 1", "lower"),
    ):
        own = getattr(lines.ranked, name)
        bounds = [getattr(Curve(lines.ranked.sizes, b), name) for b in (lines.low, lines.high)]
        others = [getattr(curve, name) for curve in lines.draws]
        found += [
            _compare(name, words, better, state, _estimate(own, min(bounds), max(bounds), n)),  # type: ignore[arg-type]
            _compare(f"random.{name}", f"{words}, random rankings", "none", state, _spread(others)),
        ]
    return found


def _compare(name: str, title: str, better: Direction, state: State, found: Estimate) -> Comparison:
    both = {"before": found} if state == "before" else {"after": found}
    return Comparison(name=f"faithfulness.{name}", title=title, better=better, **both)  # type: ignore[arg-type]


def _estimate(mean: float, low: float, high: float, n: int) -> Estimate:
    return Estimate(mean=mean, low=min(low, mean), high=max(high, mean), n=n)


def _spread(values: list[float]) -> Estimate:
    """The mean of draws, between the lowest and the highest."""
    return Estimate(mean=float(np.mean(values)), low=min(values), high=max(values), n=len(values))


def _array(lines: Lines, mode: str) -> Array:
    rows = [lines.ranked.values, lines.low, lines.high, *(curve.values for curve in lines.draws)]
    names = ("ranked", "low", "high", *(f"random {i}" for i in range(len(lines.draws))))
    places = tuple(f"{size:.6g}" for size in lines.ranked.sizes)
    axes = (Axis(name="line", labels=names), Axis(name="size", labels=places))
    return Array(np.array(rows), axes, "faithfulness", MODES[mode], signed=True)


def _caption(
    found: Evaluation, state: State, n_components: int, has_scores: bool, options: Options
) -> str:
    values = {c.name.removeprefix("faithfulness."): getattr(c, state) for c in found.aggregates}
    only, chance = values["mask.only"], values["random.only"]
    rest, chance_rest = values["mask.without"], values["random.without"]
    order = "the localization's scores" if has_scores else "the mask first, else chance"
    return (
        f"The mask's {n_components} components alone bring back {only.mean:.0%} of the difference "
        f"in {options.metric} ({only.low:.0%} to {only.high:.0%} over {only.n} facts); random ones "
        f"of the same size {chance.mean:.0%} ({chance.low:.0%} to {chance.high:.0%} in {chance.n} "
        f"draws). Without them {rest.mean:.0%} is left, without random ones "
        f"{chance_rest.mean:.0%}. Ranked by {order}, CPR is {values['cpr'].mean:.2f}, against "
        f"{values['random.cpr'].mean:.2f} for random rankings."
    )
