"""How long a run would take: its own method is begun, watched for about a second, and stopped.

1. Begin the method on the run's own facts with a report that notes the time of every progress.
2. Stop it, as a cancelled run is stopped, once the budget is spent; whatever it changed is put
back, as always. 3. Extrapolate from the last pace. What the method refuses is thereby said before
the run is queued.

Limits: as exact as the method's progress is even; on a busy machine the pace is the busy one.
"""

import time
from collections import OrderedDict
from collections.abc import Callable
from pathlib import Path

import psutil
import torch

from worker.contract.errors import Cancelled, Diverged
from worker.contract.facts import Fact, Selection, select
from worker.contract.inputs import Inputs
from worker.contract.mask import Mask
from worker.contract.spec import EvaluateSpec, LocalizeSpec, Spec, StudySpec, UnlearnSpec
from worker.core.asking.before_after import BeforeAfter
from worker.core.findings import Job
from worker.core.models.batches import is_out_of_memory
from worker.core.models.deltas import edited
from worker.core.models.model import Model
from worker.core.registry import method

BUDGET = 1.2
"""Seconds that a run is watched."""
PATIENCE = 6.0
"""Seconds after which a run that reports no progress is stopped, and nothing is known."""
MOST_FACTS = 256
"""Facts that a watched localization is begun with; for more, the time is scaled."""
TRAINING_COPIES = 6
"""Copies of the weights that a training may hold; without room for them none is begun."""
_KEPT = 64
_estimates: OrderedDict[tuple[str, ...], float | None] = OrderedDict()


class _Watch:
    """A Report that notes how far a run is, and ends it when the budget is spent."""

    def __init__(self, budget: float) -> None:
        self._budget, self._started = budget, time.perf_counter()
        self._points: list[tuple[float, float]] = [(0.0, 0.0)]

    def progress(self, fraction: float, message: str) -> None:
        now = time.perf_counter() - self._started
        if fraction > self._points[-1][1]:
            self._points.append((now, min(fraction, 1.0)))
        if now > PATIENCE or (now > self._budget and len(self._points) > 2):
            raise Cancelled("enough was seen")

    def partial(self, name: str, data: object) -> None:
        """Nobody looks at what is only watched."""

    def log(self, message: str) -> None:
        """Nobody reads what is only watched."""

    def seconds(self) -> float | None:
        """The whole run's time at the pace after the first progress; None without a pace.

        The first progress comes after the preparations, whose time is taken as it was.
        """
        if len(self._points) < 3:
            return None
        (_, _), (begun, first), *_ = self._points
        now, done = self._points[-1]
        return begun + (1.0 - first) * (now - begun) / (done - first)


def watch(run: Callable[[_Watch], object], budget: float) -> float | None:
    """Begin a run, stop it within about `budget` seconds, and say how long all of it takes.

    None where no pace was seen, also for want of memory: the run itself begins again with smaller
    batches. One that diverges ends there, and takes as long.
    """
    report = _Watch(budget)
    started = time.perf_counter()
    try:
        run(report)
    except Cancelled:
        return report.seconds()
    except Diverged:
        return time.perf_counter() - started
    except (torch.OutOfMemoryError, RuntimeError) as error:
        if not is_out_of_memory(error):
            raise
        return None
    return time.perf_counter() - started


def estimate_seconds(
    spec: Spec, inputs: Inputs, model: Model, usable: tuple[Fact, ...]
) -> float | None:
    """Estimate a run's time in seconds; None where it cannot be known beforehand.

    `usable` are the facts that a localization does not leave out. Raises UserError for what the
    method refuses. The answer for the same question is remembered.
    """
    facts = inputs.fact_set
    assert facts is not None, "only runs on facts are estimated"
    asked = (model.weights_hash, facts.hash, spec.model_dump_json(), ",".join(inputs.deltas))
    if asked not in _estimates:
        _estimates[asked] = _estimate(spec, inputs, model, usable)
        while len(_estimates) > _KEPT:
            _estimates.popitem(last=False)
    return _estimates[asked]


def _estimate(spec: Spec, inputs: Inputs, model: Model, usable: tuple[Fact, ...]) -> float | None:
    if isinstance(spec, LocalizeSpec):
        return _localization(spec, inputs, model, usable)
    if isinstance(spec, UnlearnSpec):
        return _unlearning(spec, spec.method, spec.options, inputs.mask, inputs, model, BUDGET)
    if isinstance(spec, EvaluateSpec):
        return _evaluations(spec, inputs, model)
    return _study(spec, inputs, model) if isinstance(spec, StudySpec) else None


def _localization(
    spec: LocalizeSpec, inputs: Inputs, model: Model, usable: tuple[Fact, ...]
) -> float | None:
    found = method("localization", spec.method)
    options, taken = found.options.model_validate(spec.options), usable[:MOST_FACTS]
    with edited(model, _deltas(inputs)):
        seconds = watch(
            lambda report: found.function(model, taken, options, _job(spec, inputs, report)), BUDGET
        )
    return None if seconds is None else seconds * len(usable) / len(taken)


def _unlearning(
    spec: Spec,
    name: str,
    given: dict[str, object],
    mask: Mask | None,
    inputs: Inputs,
    model: Model,
    budget: float,
) -> float | None:
    if not _has_room(model):
        return None
    found = method("unlearning", name)
    options = found.options.model_validate(given)
    with edited(model, _deltas(inputs)):
        return watch(
            lambda report: found.function(
                model, _selection(spec, inputs), mask, options, _job(spec, inputs, report)
            ),
            budget,
        )


def _evaluations(
    spec: EvaluateSpec | StudySpec, inputs: Inputs, model: Model, deltas: bool = True
) -> float | None:
    """The sum over the evaluations, each watched for its share of the budget."""
    models = BeforeAfter(model, tuple(_deltas(inputs)) if deltas else ())
    total = 0.0
    for name in spec.evaluations:
        found = method("evaluation", name)
        options = found.options.model_validate(spec.options.get(name, {}))

        def run(report: _Watch) -> object:
            job = _job(spec, inputs, report)
            return found.function(models, _selection(spec, inputs), options, job)  # noqa: B023

        seconds = watch(run, BUDGET / len(spec.evaluations))
        if seconds is None:
            return None
        total += seconds
    return total


def _study(spec: StudySpec, inputs: Inputs, model: Model) -> float | None:
    """Every method once for each mask and seed, and evaluations before and after each."""
    total = 0.0
    evaluations = _evaluations(spec, inputs, model, deltas=False)
    for chosen in spec.methods.values():
        budget = BUDGET / len(spec.methods)
        once = _unlearning(spec, chosen.method, chosen.options, None, inputs, model, budget)
        if once is None or evaluations is None:
            return None
        trials = 1
        for values in chosen.search.values():
            trials *= max(1, len(values))
        total += trials * once + 2 * evaluations
    return total * len(spec.masks) * len(spec.seeds)


def _selection(spec: Spec, inputs: Inputs) -> Selection:
    assert inputs.fact_set is not None
    return select(inputs.fact_set, spec.facts.forget, spec.seed)  # type: ignore[union-attr]


def _job(spec: Spec, inputs: Inputs, report: _Watch) -> Job:
    facts = inputs.fact_set
    return Job(
        seed=spec.seed,
        report=report,
        pool=facts.facts if facts else (),
        texts=inputs.texts,
        edited=inputs.edited,
        stacked=inputs.stacked,
    )


def _deltas(inputs: Inputs) -> list[Path]:
    return [Path(path) for path in inputs.deltas]


def _has_room(model: Model) -> bool:
    weights = sum(p.numel() * p.element_size() for p in model.hf.parameters())
    free = psutil.virtual_memory().available
    if model.device.type == "cuda":
        free = torch.cuda.mem_get_info(model.device)[0]
    return TRAINING_COPIES * weights < free
