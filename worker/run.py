"""The only door from the engine to core: announce, run a spec, answer a quick question.

Loaded only in the compute process and by `lethe run`, because it imports torch.
"""

from collections.abc import Callable
from dataclasses import replace
from functools import partial
from pathlib import Path

import torch

from worker.contract.base import Contract, parse, unknown
from worker.contract.errors import UserError
from worker.contract.facts import FactSet
from worker.contract.inputs import (
    AskExplore,
    AskFactTokens,
    AskPreflight,
    AskReadFacts,
    Inputs,
    Question,
)
from worker.contract.menu import Announcement, FactSetInfo, MethodKind, Preflight
from worker.contract.pace import work_name
from worker.contract.progress import Quiet, Report
from worker.contract.result import Result
from worker.contract.selection import Selection, select
from worker.contract.settings import Settings, settings
from worker.contract.spec import (
    AddSpec,
    EvaluateSpec,
    ExploreSpec,
    ExportSpec,
    LocalizeSpec,
    Spec,
    StudySpec,
    UnlearnSpec,
)
from worker.core.ahead.able import refuse_unable
from worker.core.ahead.estimate import estimate_parts, estimate_seconds
from worker.core.ahead.placed import describe_loading, refuse_away
from worker.core.ahead.preflight import preflight
from worker.core.ahead.timing import Timed
from worker.core.ahead.tokenization import look_at_tokens
from worker.core.asking.about import resolve_facts
from worker.core.asking.before_after import BeforeAfter
from worker.core.asking.formats import format_infos
from worker.core.border import FiniteReport, check_findings
from worker.core.export import pack_folder
from worker.core.facts.reading import bundled_fact_sets, file_formats, read_facts
from worker.core.findings import Findings, Job
from worker.core.machine import Spending, memory_of, name_device, read_versions
from worker.core.models.batches import scaled
from worker.core.models.cache import ModelCache
from worker.core.models.delta_files import save_delta
from worker.core.models.deltas import edited
from worker.core.models.describe import list_models
from worker.core.models.making import add_recipe
from worker.core.models.model import Model
from worker.core.models.recipe import recipe_infos
from worker.core.record import write_result
from worker.core.registry import all_methods, method

__all__ = ["announce", "answer", "bundled_fact_sets", "open_models", "run"]


def open_models(settings: Settings) -> ModelCache:
    """Make the cache of loaded models for this worker's device."""
    return ModelCache(device=settings.device, roots=settings.roots, bounds=settings.max_memory)


def announce(settings: Settings) -> Announcement:
    """Say what this worker can do."""
    models = open_models(settings)
    device = models.device
    return Announcement(
        methods=tuple(found.info for found in all_methods()),
        models=tuple(list_models(settings.roots, device, models.measure_room())),
        fact_sets=tuple(_info(fact_set) for fact_set in bundled_fact_sets()),
        formats=format_infos(),
        recipes=recipe_infos(),
        file_formats=file_formats(),
        device=", ".join(map(str, models.devices)),
        device_name=name_device(device),
        memory_bytes=memory_of(device),
        versions=read_versions(),
    )


def run(spec: Spec, inputs: Inputs, report: Report, models: ModelCache) -> Result:
    """Compute a spec and write its arrays, delta and result.json into `inputs.out`.

    Raises UserError for what cannot be done, Cancelled when the report says so. Whatever happens,
    the loaded base is as it was: a model whose checksum differs afterwards is dropped.
    """
    options = check(spec)
    with Spending(models.device) as spent:
        model, found = _found(spec, inputs, options, FiniteReport(report), models)
        return write_result(spec, inputs, model, found, spent, options)


def _found(
    spec: Spec, inputs: Inputs, options: dict[str, Contract], report: Report, models: ModelCache
) -> tuple[Model, Findings]:
    """Load the spec's model and compute; the model is put back whatever happens."""
    if isinstance(spec, AddSpec):
        return _add(spec, report, models)
    report.progress(0.0, f"loading model {spec.base}")
    model = models.get(
        spec.base, lambda words: report.progress(0.0, words), spec.load_in, spec.dtype
    )
    refuse_unable(spec, model)
    refuse_away(spec, inputs.mask, model)
    for sentence in describe_loading(spec, model):
        report.log(sentence)
    torch.manual_seed(spec.seed)
    try:
        with scaled(inputs.batch_scale):
            asked = resolve_facts(spec, inputs, model, lambda share: _ask(report, share))
            for sentence in asked.about.notes if asked.about else ():
                report.log(sentence)
            timed = _timed(asked.spec, asked.inputs, model, report)
            found = _compute(asked.spec, asked.inputs, options, model, report, timed)
            asked.note(found)
            found.paces = tuple(timed.paces)
    finally:
        full = settings().verify == "all"
        restored = models.verify(spec.base, spec.load_in, spec.dtype, full)
    if found.receipt is not None:
        found.receipt = found.receipt.model_copy(update={"base_restored": restored})
    return model, found


def _timed(spec: Spec, inputs: Inputs, model: Model, report: Report) -> Timed:
    """Say how long the run is likely to take, and time its parts."""
    parts = estimate_parts(spec, inputs, model)
    seconds = estimate_seconds(parts, inputs.paces)
    if seconds is not None:
        report.expect(seconds)
    return Timed(parts, inputs.paces, name_device(model.device))


def _ask(report: Report, share: float) -> None:
    report.progress(0.0, f"asking the model which facts it knows: {share:.0%}")


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


def answer(question: Question, models: ModelCache, report: Report | None = None) -> Contract:
    """Answer a quick question; raise UserError in words, and Cancelled when the report says so."""
    report = report or Quiet()
    tell = partial(report.progress, 0.0)
    if isinstance(question, AskReadFacts):
        return read_facts(Path(question.path), question.filename, question.mapping)
    if isinstance(question, AskExplore):
        return run(question.spec, question.inputs, report, models)
    if isinstance(question, AskFactTokens):
        assert question.inputs.fact_set is not None, "an evaluation's inputs hold its facts"
        return look_at_tokens(
            models.get(question.spec.base, tell, dtype=question.spec.dtype),
            question.inputs.fact_set.facts,
        )
    assert isinstance(question, AskPreflight)
    if isinstance(question.spec, AddSpec):
        return Preflight()
    if not isinstance(question.spec, StudySpec):
        check(question.spec)
    asked = question.spec
    look = models.sizes if question.brief else partial(models.get, tell=tell)
    model = look(asked.base, load_in=asked.load_in, dtype=asked.dtype)
    return preflight(asked, question.inputs, model, question.brief)


def _add(spec: AddSpec, report: Report, models: ModelCache) -> tuple[Model, Findings]:
    """Make a recipe's model under LETHE_DATA and load it, so that the next run starts at once."""
    info = add_recipe(spec.base, settings().own_models, tell=report.progress)
    model = models.get(spec.base, lambda words: report.progress(0.97, words))
    found = Findings(
        summary={"add.parameters": info.n_parameters, "add.layers": info.n_layers},
        caption=f"{info.title} is here as the model {spec.base!r}: {info.architecture}, "
        f"{info.n_layers} layers, {info.n_parameters / 1e6:.3g} million parameters, licence "
        f"{info.licence}. {info.note}".strip(),
    )
    return model, found


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


def _compute(
    spec: Spec,
    inputs: Inputs,
    options: dict[str, Contract],
    model: Model,
    report: Report,
    timed: Timed,
) -> Findings:
    facts = inputs.fact_set
    job = Job(
        seed=spec.seed,
        report=report,
        pool=facts.facts if facts else (),
        texts=inputs.texts,
        edited=inputs.edited,
        stacked=inputs.stacked,
    )
    deltas = [Path(path) for path in inputs.deltas]
    if isinstance(spec, EvaluateSpec):
        job = replace(job, mask=inputs.mask, scores=inputs.scores)
        return _evaluate(spec, model, deltas, _selected(spec, facts), options, job, timed)
    if isinstance(spec, ExportSpec):
        return pack_folder(model, deltas, Path(inputs.out), inputs.results, report)
    kind, name, _ = _method_of(spec)
    compute: Callable[..., Findings] = method(kind, name).function
    with timed.part(work_name(kind, name)), edited(model, deltas):
        before = model.state_hash
        if isinstance(spec, LocalizeSpec):
            return compute(model, _selected(spec, facts).forget, options[name], job)
        if isinstance(spec, UnlearnSpec):
            found = compute(model, _selected(spec, facts), inputs.mask, options[name], job)
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
        return compute(model, options[name], job)


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
    works = [work_name("evaluation", name) for name in spec.evaluations]
    start = 0.0
    for name, work, share in zip(spec.evaluations, works, timed.shares(works), strict=True):
        part = replace(job, report=_Part(job.report, start, share, name))
        start += share
        models = BeforeAfter(model, tuple(deltas))
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
    gathered.evaluations = evaluations
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


def _info(fact_set: FactSet) -> FactSetInfo:
    return FactSetInfo(
        name=fact_set.name,
        title=fact_set.title,
        description=fact_set.description,
        n_facts=len(fact_set.facts),
        groups=tuple(sorted({f.group for f in fact_set.facts})),
        splits=tuple(fact_set.splits),
        hash=fact_set.hash,
        bundled=True,
    )
