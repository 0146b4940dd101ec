"""The only door from the engine to core: announce, run a spec, answer a quick question.

Loaded only in the compute process and by `lethe run`, because it imports torch.
"""

from collections.abc import Hashable
from functools import partial
from pathlib import Path

import torch

from worker.contract.base import Contract
from worker.contract.facts import FactSet
from worker.contract.inputs import (
    AskExplore,
    AskFactTokens,
    AskPreflight,
    AskReadFacts,
    Inputs,
    KeptElsewhere,
    Question,
)
from worker.contract.menu import Announcement, FactSetInfo, Preflight
from worker.contract.pace import ASKING, Pace
from worker.contract.progress import Quiet, Report
from worker.contract.result import Result
from worker.contract.settings import Settings, settings
from worker.contract.spec import (
    AddSpec,
    Spec,
    StudySpec,
)
from worker.core.ahead.able import refuse_unable
from worker.core.ahead.asked_first import asked_first
from worker.core.ahead.estimate import Part, estimate_parts, estimate_seconds
from worker.core.ahead.placed import describe_loading, refuse_away
from worker.core.ahead.preflight import preflight
from worker.core.ahead.timing import Timed
from worker.core.ahead.tokenization import look_at_tokens
from worker.core.asking.about import Resolved, resolve_facts
from worker.core.asking.formats import format_infos
from worker.core.asking.kept import kept_keys, known_elsewhere
from worker.core.border import FiniteReport
from worker.core.computing import check, compute
from worker.core.facts.reading import bundled_fact_sets, file_formats, read_facts
from worker.core.findings import Findings
from worker.core.machine import Spending, memory_of, name_device, read_versions
from worker.core.models.batches import scaled
from worker.core.models.cache import ModelCache
from worker.core.models.describe import list_models
from worker.core.models.folder import look as look_under
from worker.core.models.making import add_recipe
from worker.core.models.model import Model
from worker.core.models.recipe import recipe_infos
from worker.core.record import write_result
from worker.core.registry import all_methods

__all__ = ["announce", "answer", "bundled_fact_sets", "check", "kept", "look", "open_models", "run"]


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


def look(settings: Settings) -> Hashable:
    """What lies where models are looked for: another value where they are to be announced anew."""
    return look_under(settings.roots)


def run(spec: Spec, inputs: Inputs, report: Report, models: ModelCache) -> Result:
    """Compute a spec and write its arrays, delta and result.json into `inputs.out`.

    Raises UserError for what cannot be done, Cancelled when the report says so. Whatever happens,
    the loaded base is as it was: a model whose checksum differs afterwards is dropped.
    """
    options = check(spec)
    with Spending(models.device, _held(spec, models)) as spent:
        model, found = _found(spec, inputs, options, FiniteReport(report), models)
        return write_result(spec, inputs, model, found, spent, options)


def _held(spec: Spec, models: ModelCache) -> int:
    """Bytes of the run's own model that are in memory before it begins."""
    if isinstance(spec, AddSpec):
        return 0
    return models.size_of(spec.base, spec.load_in, spec.dtype)


def _found(
    spec: Spec, inputs: Inputs, options: dict[str, Contract], report: Report, models: ModelCache
) -> tuple[Model, Findings]:
    """Load the spec's model and compute; the model is put back whatever happens."""
    if isinstance(spec, AddSpec):
        return _add(spec, report, models)
    if not _held(spec, models):
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
            asked, paces = _resolved(spec, inputs, model, report)
            timed = _timed(asked.spec, asked.inputs, model, report)
            found = compute(asked.spec, asked.inputs, options, model, report, timed)
            asked.note(found)
            found.paces = (*paces, *timed.paces)
    finally:
        full = settings().verify == "all"
        restored = models.verify(spec.base, spec.load_in, spec.dtype, full)
    if found.receipt is not None:
        found.receipt = found.receipt.model_copy(update={"base_restored": restored})
    return model, found


def _resolved(
    spec: Spec, inputs: Inputs, model: Model, report: Report
) -> tuple[Resolved, list[Pace]]:
    """Ask the model which facts it knows, where the run is about these; and what that took."""
    first = asked_first(spec, inputs, model)
    timed = _timed(spec, inputs, model, report, first) if first else Timed((), {}, "")
    with timed.part(ASKING):
        asked = resolve_facts(spec, inputs, model, lambda share: _ask(report, share))
    for sentence in asked.about.notes if asked.about else ():
        report.log(sentence)
    return asked, timed.paces


def _timed(
    spec: Spec, inputs: Inputs, model: Model, report: Report, first: Part | None = None
) -> Timed:
    """Say how long the run is likely to take, with what is asked `first`; and time its parts."""
    parts = ([first] if first else []) + estimate_parts(spec, inputs, model)
    seconds = estimate_seconds(parts, inputs.paces)
    if seconds is not None:
        report.expect(seconds)
    return Timed(parts, inputs.paces, name_device(model.device))


def _ask(report: Report, share: float) -> None:
    report.progress(0.0, f"asking the model which facts it knows: {share:.0%}")


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
    kept = question.inputs.kept
    told = {} if kept is None else kept.weights
    look = partial(models.sizes, told=told) if question.brief else partial(models.get, tell=tell)
    model = look(asked.base, load_in=asked.load_in, dtype=asked.dtype)
    with known_elsewhere(None if kept is None else kept.keys):
        return preflight(asked, question.inputs, model, question.brief)


def kept(models: ModelCache) -> KeptElsewhere:
    """Say what this process keeps of its bases, so that others tell what a run will find again."""
    return KeptElsewhere(keys=kept_keys(), weights=models.weights)


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
