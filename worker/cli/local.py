"""Inputs for a run without a server: bundled or given facts, and edits from earlier folders."""

from pathlib import Path
from typing import Any

import numpy as np

from worker.cli.server import find_fact_set, find_mask, find_run
from worker.contract.base import unknown
from worker.contract.choose import choose, control, mask_of, suggested_mask
from worker.contract.errors import UserError
from worker.contract.facts import Fact, FactSet
from worker.contract.inputs import Inputs, StackedEdit
from worker.contract.mask import Mask, MaskSpec
from worker.contract.menu import ModelInfo
from worker.contract.result import Result
from worker.contract.selection import retarget
from worker.contract.settings import settings
from worker.contract.shots import forgotten
from worker.contract.spec import (
    EvaluateSpec,
    ExportSpec,
    Spec,
    SpecWithoutFacts,
    UnlearnSpec,
    parse_spec,
)
from worker.core.facts.reading import bundled_fact_sets, read_facts
from worker.core.models.describe import list_models


def prepare(
    data: Any, out: Path, edits: list[Path], facts: Path | None = None
) -> tuple[Spec, Inputs]:
    """Parse a spec and resolve its names against this machine and folders of earlier runs.

    In a spec for `lethe run`, `mask.localization` and `model.edits` name folders that earlier
    runs wrote, or finished runs of the server whose data folder LETHE_DATA is, whose own fact sets
    and masks are found too; an option `text` may name a file; `edits` are put on a model that the
    spec names without edits.
    """
    spec = parse_spec(data)
    if edits:
        spec = parse_spec({**data, "model": {"base": spec.base, "edits": [str(e) for e in edits]}})
    fact_set = None
    if not isinstance(spec, SpecWithoutFacts):
        fact_set = retarget(_fact_set(spec.facts.set, facts), spec.facts, spec.seed)
    mask = None
    if isinstance(spec, UnlearnSpec) or (isinstance(spec, EvaluateSpec) and spec.mask):
        mask = _mask(spec)
    scores = _scores(spec.mask) if isinstance(spec, EvaluateSpec) and spec.mask else {}
    deltas = tuple(str(_delta(Path(folder))) for folder in spec.edits)
    known = (*spec.edits, *spec.results) if isinstance(spec, ExportSpec) else ()
    results = tuple(read_result(Path(folder)) for folder in known)
    return spec, Inputs(
        out=str(out),
        fact_set=fact_set,
        mask=mask,
        scores=scores,
        deltas=deltas,
        results=results,
        texts=_texts(spec),
        edited=tuple(_facts_of(Path(folder)) for folder in spec.edits),
        stacked=_stacked(spec),
    )


def _stacked(spec: Spec) -> dict[str, StackedEdit]:
    """What the folders hold that a stack of edits names."""
    if not isinstance(spec, UnlearnSpec) or spec.method != "stack_edits":
        return {}
    return {
        folder: StackedEdit(
            deltas=tuple(str(path) for path in delta_paths(Path(folder))),
            facts=_facts_of(Path(folder)),
        )
        for folder in map(str, spec.options.get("edits", ()))
    }


def _facts_of(folder: Path) -> tuple[Fact, ...]:
    """The facts that an earlier edit changed; none where its set is not here."""
    result = read_result(folder)
    spec = parse_spec(result.spec)
    if not isinstance(spec, UnlearnSpec):
        return ()
    try:
        fact_set = _fact_set(spec.facts.set, None)
    except UserError:
        return ()
    return forgotten(fact_set, spec.facts, spec.seed, result.provenance)


def _texts(spec: Spec) -> dict[str, str]:
    """The file that an option `text` names, where there is one."""
    name = spec.options.get("text") if isinstance(spec, UnlearnSpec) else None
    return {name: name} if isinstance(name, str) and Path(name).is_file() else {}


def read_result(folder: Path) -> Result:
    """Read the result.json of an earlier run's folder."""
    path = find_run(folder) / "result.json"
    return Result.model_validate_json(path.read_text(encoding="utf-8"))


def delta_paths(folder: Path) -> list[Path]:
    """The deltas of an unlearn run's folder: those under its model, in order, then its own."""
    below = read_result(folder).provenance.edits
    return [*(_delta(Path(edit)) for edit in below), _delta(folder)]


def _fact_set(name: str, file: Path | None) -> FactSet:
    if file is not None:
        if not file.is_file():
            raise UserError(f"There is no file {str(file)!r}.", field="facts.set")
        return FactSet(name=name, facts=read_facts(file, file.name, {}).facts)
    known = {fact_set.name: fact_set for fact_set in bundled_fact_sets()}
    return find_fact_set(name, known)


def _delta(folder: Path) -> Path:
    result = read_result(folder)
    if "delta" not in result.files:
        raise UserError(
            f"{str(folder)!r} holds a {result.kind} run and no edit.", field="model.edits"
        )
    return find_run(folder) / result.files["delta"]


def _scores(mask: MaskSpec) -> dict[str, float]:
    """The scores that an evaluated mask is chosen by."""
    if mask.localization is None or (mask.rule is not None and mask.rule.suggested):
        return {}
    folder = Path(mask.localization)
    result = read_result(folder)
    info = result.arrays.get("components")
    if info is None or info.axes[0].labels is None:
        why = result.attribution.no_choice if result.attribution else ""
        raise UserError(
            f"{str(folder)!r} has no component scores. {why}".strip(), field="mask.localization"
        )
    values = np.load(find_run(folder) / info.file, allow_pickle=False)["components"].tolist()
    return dict(zip(info.axes[0].labels, values, strict=True))


def _mask(spec: UnlearnSpec | EvaluateSpec) -> Mask:
    parameters = _model(spec.base).component_parameters
    asked = spec.mask
    assert asked is not None
    if asked.id is not None:
        components, source = find_mask(asked.id, spec.base)
        return mask_of(components, parameters, source)
    if asked.localization is not None and asked.rule is not None:
        source = f"run {asked.localization}"
        if asked.rule.suggested:
            attribution = read_result(Path(asked.localization)).attribution
            return suggested_mask(attribution, parameters, source)
        return choose(_scores(asked), parameters, asked.rule, source)
    if asked.control is not None:
        return control(asked.control.kind, parameters, asked.control.parameters, spec.seed)
    return mask_of(list(asked.components or ()), parameters, "chosen by hand")


def component_parameters(model: str) -> dict[str, int]:
    """The parameters of every component of a model of this machine."""
    return _model(model).component_parameters


def _model(name: str) -> ModelInfo:
    models = {info.id: info for info in list_models(settings().roots)}
    if name not in models:
        raise unknown("model", name, list(models), "model")
    return models[name]
