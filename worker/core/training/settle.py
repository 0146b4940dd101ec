"""The first stage of a trained edit: find its settings, or take the ones that were given."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass
from typing import Any, Generic, TypeVar

import numpy as np

from worker.contract.errors import Diverged, NotFinite
from worker.contract.progress import Within
from worker.contract.result import Axis, Table
from worker.contract.selection import Selection
from worker.core.asking.kept import measured_once
from worker.core.editing.check import Objective
from worker.core.editing.parts import Parts
from worker.core.findings import Array, Findings, Job
from worker.core.models.model import Model
from worker.core.training.auto import (
    MOST_TRIALS,
    Tried,
    best_of,
    is_asked,
    lost,
    search,
    starting_point,
)
from worker.core.training.judge import Judge, least_retained
from worker.core.training.material import Material, gather
from worker.core.training.options import Training
from worker.core.training.rehearsal import Rehearsal, in_trials, rehearse_on

Chosen = TypeVar("Chosen", bound=Training)
SHARE = 0.7
"""Of a run's progress, where settings are searched: a trial takes a third of the edit's time."""
Train = Callable[[Material, Chosen, tuple[float, float], Job], Any]
"""Trains on a material and leaves the edit in the model."""


@dataclass(frozen=True)
class Settled(Generic[Chosen]):
    """The settings to train with, and how they were found."""

    options: Chosen
    tried: tuple[Tried[Chosen], ...] = ()
    words: str = ""
    took: bool = False
    """Whether the trials were run now, and not kept from an earlier run."""

    @property
    def share(self) -> tuple[float, float]:
        """What is left of the run's progress for its own training."""
        return (SHARE, 1.0) if self.took else (0.0, 1.0)

    def tell(self, findings: Findings) -> None:
        """Add every trial, the curves over rates, and what was chosen."""
        if self.words:
            findings.caption = f"{findings.caption} {self.words}".strip()
        if not self.tried:
            return
        findings.tables["settings"] = _table(self.tried)
        findings.arrays |= _curves(self.tried, self.options)
        findings.summary |= {
            "settings.trials": len(self.tried),
            "settings.learning_rate": self.options.learning_rate,
            "settings.forget_weight": self.options.forget_weight,
            "settings.steps": self.options.steps,
        }


def settle(
    model: Model,
    selection: Selection,
    parts: Parts,
    layer: int,
    options: Chosen,
    job: Job,
    objective: Objective,
    train: Train[Chosen],
) -> Settled[Chosen]:
    """Search the settings where that is asked; the model and the parts are left as they were."""
    if not is_asked(model, options):
        return Settled(options)
    start = starting_point(model, options)
    stage = rehearse_on(model, selection, options, objective, job)
    if stage is None:
        return Settled(
            start,
            words=f"Too few retain facts may be trained on to search for settings, so the rate "
            f"{start.learning_rate:g} comes from the model's width alone.",
        )
    stand = _Stand(model, stage, parts, layer, job, objective, train)
    key = settings_key(model, stage, parts.n_parameters, options, objective)
    ran: list[Tried[Chosen]] = []

    def find() -> tuple[Tried[Chosen], ...]:
        ran.extend(search(start, stand.attempt, options.model_fields_set))
        return tuple(ran)

    tried = measured_once(key, find)
    best = best_of(list(tried))
    words = _words(best, len(tried), len(stage.selection.forget))
    return Settled(best.options, tried, words, took=bool(ran))


class _Stand(Generic[Chosen]):
    """Runs trials, each from the same start."""

    def __init__(
        self,
        model: Model,
        stage: Rehearsal,
        parts: Parts,
        layer: int,
        job: Job,
        objective: Objective,
        train: Train[Chosen],
    ) -> None:
        self._model, self._stage, self._parts, self._layer = model, stage, parts, layer
        self._job, self._objective, self._train = job, objective, train
        self._start = parts.copy()
        self._best = -math.inf
        self._judge: Judge | None = None
        self._material: Material | None = None

    def attempt(self, options: Chosen, number: int) -> Tried[Chosen]:
        """Train with these options, judge, and put the start back."""
        share = (SHARE * number / MOST_TRIALS, SHARE * (number + 1) / MOST_TRIALS)
        words = f"Settings, trial {number + 1} (rate {options.learning_rate:.2g})"
        job = Job(self._job.seed, Within(self._job.report, share, words), self._job.pool)
        used = in_trials(options, self._stage.general_text, least_retained(self._best))
        material, judge = self._ready(used)
        try:
            trial = self._train(material, used, (0.0, 1.0), job)
            found = Tried(options, judge.measure(), str(getattr(trial, "ended", "")))
        except (Diverged, NotFinite) as error:
            found = lost(options, error)
        finally:
            self._parts.load(self._start)
        if found.judged is not None:
            self._best = max(found.score, self._best)
        self._job.report.partial("settings", _row(found))
        return found

    def _ready(self, options: Chosen) -> tuple[Material, Judge]:
        if self._material is None or self._judge is None:
            self._material = gather(
                self._model,
                self._stage.selection,
                self._parts,
                self._layer,
                options,
                self._job,
                self._objective,
            )
            self._judge = Judge(
                self._model, self._material, self._objective, list(self._stage.passages)
            )
        return self._material, self._judge


def settings_key(
    model: Model, stage: Rehearsal, n_parameters: int, options: Training, objective: Objective
) -> str:
    """Name a search by model, method, mask size and options, and by which facts stand in."""
    facts = ",".join(sorted(fact.id for fact in stage.selection.forget))
    method = type(options).__module__
    return (
        f"settings {model.state_hash} {model.device} {model.dtype} {method} {n_parameters} "
        f"{objective} {options.model_dump_json()} {facts}"
    )


def _row(one: Tried[Chosen]) -> tuple[float | int | str | None, ...]:
    judged, options = one.judged, one.options
    measured = (judged.score, judged.goal, judged.retain, judged.divergence) if judged else ()
    return (
        options.learning_rate,
        options.forget_weight,
        options.steps,
        *(measured or (None,) * 4),
        one.ended,
    )


def _table(tried: tuple[Tried[Chosen], ...]) -> Table:
    columns = ("learning rate", "forget weight", "steps", "score", "goal", "retain share",
               "divergence (nats)", "how it ended")  # fmt: skip
    return Table(title="Search for settings", columns=columns, rows=tuple(map(_row, tried)))


def _curves(tried: tuple[Tried[Chosen], ...], best: Training) -> dict[str, Array]:
    """What each rate did, at the first weight and number of steps."""
    first = tried[0].options
    rates = sorted(
        (
            one
            for one in tried
            if (one.options.forget_weight, one.options.steps) == (first.forget_weight, first.steps)
        ),
        key=lambda one: one.options.learning_rate,
    )
    axis = (Axis(name="rate", labels=tuple(f"{one.options.learning_rate:g}" for one in rates)),)
    titles = {
        "goal": ("probability", "Goal on facts that stand in"),
        "retain": ("share", "Watched retain facts, share left"),
        "divergence": ("nats", "Divergence on ordinary text"),
    }
    return {
        f"settings.{name}": Array(
            np.array([np.nan if o.judged is None else getattr(o.judged, name) for o in rates]),
            axis,
            unit,
            title,
            gaps="trials that were lost",
        )
        for name, (unit, title) in titles.items()
    }


def _words(best: Tried[Chosen], n: int, facts: int) -> str:
    judged, options = best.judged, best.options
    assert judged is not None
    return (
        f"Its settings come from {n} trials on {facts} other facts: at the rate "
        f"{options.learning_rate:g}, forget weight {options.forget_weight:g} and {options.steps} "
        f"steps the goal reached {judged.goal:.2f} there, {judged.retain:.0%} of the watched "
        f"facts' probability was left, and ordinary text diverged by {judged.divergence:.3f} nats."
    )
