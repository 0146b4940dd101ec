"""What a checked spec's methods find on a loaded model; `worker.run` loads it and puts it back."""

from collections.abc import Callable
from dataclasses import replace
from pathlib import Path

from worker.contract.base import Contract, parse, unknown
from worker.contract.errors import UserError
from worker.contract.facts import FactSet
from worker.contract.inputs import Inputs
from worker.contract.interventions import under
from worker.contract.menu import MethodKind
from worker.contract.pace import work_name
from worker.contract.progress import Report
from worker.contract.selection import Selection, select
from worker.contract.spec import (
    AddSpec,
    EvaluateSpec,
    ExploreSpec,
    ExportSpec,
    LocalizeSpec,
    Spec,
    UnlearnSpec,
)
from worker.core.ahead.timing import Timed
from worker.core.asking.before_after import BeforeAfter
from worker.core.asking.intervening import changes_on
from worker.core.border import check_findings
from worker.core.export import pack_folder
from worker.core.findings import Findings, Job, job_of
from worker.core.models.delta_files import save_delta
from worker.core.models.deltas import edited
from worker.core.models.model import Model
from worker.core.registry import method


def check(spec: Spec) -> dict[str, Contract]:
    """Validate a spec's method and options; return the options with their defaults filled in."""
    if isinstance(spec, ExportSpec | AddSpec):
        return {}
    if isinstance(spec, EvaluateSpec):
        stray = sorted(set(spec.options) - set(spec.evaluations))
        if stray:
            raise unknown("evaluation in this spec", stray[0], list(spec.evaluations), "options")
        if not spec.evaluations:
            raise UserError("The spec names no evaluation.", field="evaluations")
        return {
            name: parse(
                method("evaluation", name, "evaluations").options,
                spec.options.get(name, {}),
                f"options.{name}",
            )
            for name in spec.evaluations
        }
    kind, name, field = _method_of(spec)
    return {name: parse(method(kind, name, field).options, spec.options, "options")}


def _method_of(spec: Spec) -> tuple[MethodKind, str, str]:
    if isinstance(spec, LocalizeSpec):
        return "localization", spec.method, "method"
    if isinstance(spec, UnlearnSpec):
        return "unlearning", spec.method, "method"
    if isinstance(spec, ExploreSpec):
        return "explore", spec.view, "view"
    raise UserError(
        f"A {spec.kind} is made of child runs and is not computed as one.", field="kind"
    )


def compute(
    spec: Spec,
    inputs: Inputs,
    options: dict[str, Contract],
    model: Model,
    report: Report,
    timed: Timed,
) -> Findings:
    """Call the spec's method or evaluations on the model with its edits; write an edit's delta.

    Raises UserError for what cannot be done, and Cancelled when the report says so.
    """
    facts = inputs.fact_set
    job = job_of(spec.seed, inputs, report)
    deltas = [Path(path) for path in inputs.deltas]
    if isinstance(spec, EvaluateSpec):
        return _evaluate(spec, model, deltas, _selected(spec, facts), options, job, timed)
    if isinstance(spec, ExportSpec):
        return pack_folder(model, deltas, Path(inputs.out), inputs.results, report)
    kind, name, _ = _method_of(spec)
    function: Callable[..., Findings] = method(kind, name).function
    with timed.part(work_name(kind, name)), edited(model, deltas):
        before = model.state_hash
        if isinstance(spec, LocalizeSpec):
            return function(model, _selected(spec, facts).forget, options[name], job)
        if isinstance(spec, UnlearnSpec):
            found = function(model, _selected(spec, facts), inputs.mask, options[name], job)
            check_findings(found)
            if found.delta is not None and found.receipt is not None:
                path = Path(inputs.out) / "delta.safetensors"
                path.parent.mkdir(parents=True, exist_ok=True)
                save_delta(
                    path,
                    found.delta,
                    model=model,
                    before_hash=before,
                    after_hash=found.receipt.hash_after,
                )
            return found
        return function(model, options[name], job)


def _selected(spec: LocalizeSpec | UnlearnSpec | EvaluateSpec, facts: FactSet | None) -> Selection:
    if facts is None:
        raise UserError(f"The fact set {spec.facts.set!r} was not given.", field="facts.set")
    return select(facts, spec.facts.forget, spec.seed)


def _evaluate(
    spec: EvaluateSpec,
    model: Model,
    deltas: list[Path],
    selection: Selection,
    options: dict[str, Contract],
    job: Job,
    timed: Timed,
) -> Findings:
    """Run each evaluation over the base and the edited model; gather them under their names."""
    gathered = Findings()
    evaluations = {}
    on = under(spec.interventions)
    facts = job.pool or (*selection.forget, *selection.retain)
    changes = changes_on(model, spec.interventions, deltas, facts, spec.seed)
    works = [work_name("evaluation", name) for name in spec.evaluations]
    start = 0.0
    for name, work, share in zip(spec.evaluations, works, timed.shares(works), strict=True):
        part = replace(job, report=_Part(job.report, start, share, name))
        start += share
        models = BeforeAfter(model, tuple(deltas), changes)
        with timed.part(work):
            found: Findings = method("evaluation", name).function(
                models, selection, options[name], part
            )
        for key, array in found.arrays.items():
            gathered.arrays[key if key.startswith(f"{name}.") else f"{name}.{key}"] = array
        gathered.summary |= found.summary
        gathered.left_out += found.left_out
        gathered.tables |= {f"{name}.{key}": table for key, table in found.tables.items()}
        gathered.caption = f"{gathered.caption} {found.caption}".strip()
        if found.evaluation is not None:
            evaluations[name] = found.evaluation
    gathered.evaluations = {
        name: one.model_copy(update={"caption": f"{one.caption} {on}".strip()})
        for name, one in evaluations.items()
    }
    gathered.caption = f"{gathered.caption} {on}".strip()
    return gathered


class _Part:
    """One of several evaluations' share of a run's progress."""

    def __init__(self, report: Report, start: float, share: float, name: str) -> None:
        self._report, self._start, self._share, self._name = report, start, share, name

    def progress(self, fraction: float, message: str) -> None:
        done = min(1.0, self._start + self._share * fraction)
        self._report.progress(done, f"{self._name}: {message}")

    def expect(self, seconds: float) -> None:
        """Nothing: the run's time was said before its parts began."""

    def partial(self, name: str, data: object) -> None:
        self._report.partial(name, data)

    def log(self, message: str) -> None:
        self._report.log(message)
