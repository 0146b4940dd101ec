"""From a spec's names to what they stand for: fact sets, masks and deltas, read from the store."""

import io
from collections.abc import Mapping
from pathlib import Path

import numpy as np

from worker.contract.choose import choose, control, mask_of, suggested_mask
from worker.contract.errors import NotFound, UserError
from worker.contract.facts import FactSet
from worker.contract.inputs import Inputs
from worker.contract.known import BUNDLED_MODEL, Asked, Recalled
from worker.contract.mask import Mask, MaskSpec
from worker.contract.menu import Announcement, ModelInfo
from worker.contract.named import methods_of
from worker.contract.pace import ASKING, work_name
from worker.contract.recalled import recalled_of
from worker.contract.result import Result
from worker.contract.selection import retarget
from worker.contract.spec import (
    EvaluateSpec,
    ExploreSpec,
    ExportSpec,
    LocalizeSpec,
    Spec,
    SpecWithoutFacts,
    StudySpec,
    UnlearnSpec,
)
from worker.contract.texts import BUNDLED
from worker.engine.stacks import facts_of_edits, stacked_edits
from worker.store.store import Store


def resolve(
    spec: Spec,
    store: Store,
    announcement: Announcement,
    out: str,
    hold: Path | None = None,
) -> Inputs:
    """Read from the store all that `spec` names; raise UserError for what is not there.

    Files that are fetched from afar stay as long as the folder `hold`; without one they may go
    when others are fetched.
    """

    def file(name: str) -> str:
        held = store.artifacts.local(name) if hold is None else store.artifacts.held(name, hold)
        return str(held)

    return Inputs(
        out=out,
        fact_set=_fact_set(spec, store),
        mask=_mask(spec, store, announcement),
        scores=_mask_scores(spec, store),
        deltas=tuple(file(_delta(run_id, spec.base, store)) for run_id in spec.edits),
        results=tuple(_result(run_id, store) for run_id in (*spec.edits, *spec.results))
        if isinstance(spec, ExportSpec)
        else (),
        texts={name: file(text) for name, text in _texts(spec, store).items()},
        edited=facts_of_edits(spec.edits, store),
        stacked=stacked_edits(spec, store, lambda run_id: file(_delta(run_id, spec.base, store))),
        recalled=_recalled(spec, store, announcement),
    )


def paces_of(spec: Spec, store: Store, announcement: Announcement) -> dict[str, float]:
    """What this device's finished runs say of how long the spec's parts take."""
    works = [work_name(kind, name) for kind, name, *_ in methods_of(spec)]
    if not isinstance(spec, SpecWithoutFacts) and _asks_knowledge(spec):
        works.append(ASKING)
    return store.paces(announcement.device_name, spec.base, works) if works else {}


def _recalled(
    spec: Spec, store: Store, announcement: Announcement
) -> dict[Asked, dict[str, Recalled]]:
    """How the base answers the set's facts, where that was measured on these very weights."""
    if isinstance(spec, SpecWithoutFacts) or not _asks_knowledge(spec):
        return {}
    weights = next((m.weights_hash for m in announcement.models if m.id == spec.base), "")
    if not weights:
        return {}
    chosen = store.fact_set_hash(spec.facts.set)
    run_id = store.knowledge_run(chosen, (), weights_hash=weights)
    try:
        result = store.result(run_id) if run_id else None
    except NotFound:
        return {}
    if result is None or result.provenance.fact_set_hash != chosen:
        return {}
    return recalled_of(result) if result.provenance.weights_hash == weights else {}


def _asks_knowledge(
    spec: LocalizeSpec | UnlearnSpec | EvaluateSpec | StudySpec,
) -> bool:
    """Whether a run takes only facts that its base knows, to forget or to retain."""
    if spec.facts.known is not None or spec.facts.shot == "best":
        return True
    return not isinstance(spec, LocalizeSpec) and spec.base != BUNDLED_MODEL


def _mask(spec: Spec, store: Store, announcement: Announcement) -> Mask | None:
    if isinstance(spec, UnlearnSpec) or (isinstance(spec, EvaluateSpec) and spec.mask):
        return resolve_mask(spec, store, announcement)
    return None


def _mask_scores(spec: Spec, store: Store) -> dict[str, float]:
    """The scores that an evaluated mask was chosen by; none where its localization is gone."""
    if not isinstance(spec, EvaluateSpec) or spec.mask is None:
        return {}
    run_id = spec.mask.localization
    if spec.mask.id is not None:
        run_id = store.mask(spec.mask.id).localization
    try:
        result = store.result(run_id) if run_id else None
    except NotFound:
        return {}
    has_scores = result is not None and "components" in result.arrays
    return component_scores(result, str(run_id), store) if has_scores else {}


def resolve_mask(
    spec: UnlearnSpec | EvaluateSpec, store: Store, announcement: Announcement
) -> Mask:
    """Resolve a mask's source: names, a stored mask, a localization with a rule, or a control."""
    parameters = model_info(spec.base, announcement).component_parameters
    mask = spec.mask
    assert mask is not None
    if mask.id is not None:
        record = store.mask(mask.id)
        if record.model != spec.base:
            raise UserError(
                f"The mask {record.name!r} belongs to model {record.model!r}, not {spec.base!r}.",
                field="mask.id",
            )
        return mask_of(list(record.components), parameters, f"{record.name} v{record.version}")
    if mask.localization is not None:
        result = store.result(mask.localization)
        assert mask.rule is not None
        if result is not None and result.provenance.model != spec.base:
            raise UserError(
                f"The localization {mask.localization!r} was made on {result.provenance.model!r}, "
                f"not {spec.base!r}.",
                field="mask.localization",
            )
        source = f"{mask.rule.model_dump(exclude_defaults=True)} of run {mask.localization}"
        if mask.rule.suggested:
            attribution = result.attribution if result else None
            source = f"the method's own choice in run {mask.localization}"
            return suggested_mask(attribution, parameters, source)
        scores = component_scores(result, mask.localization, store)
        return choose(scores, parameters, mask.rule, source)
    return _named(mask, parameters, spec.seed)


def component_scores(result: Result | None, run_id: str, store: Store) -> dict[str, float]:
    """The aggregated score of every component of a finished localization."""
    info = result.arrays.get("components") if result is not None else None
    if info is None or info.axes[0].labels is None:
        why = result.attribution.no_choice if result is not None and result.attribution else ""
        raise UserError(
            f"The run {run_id!r} has no component scores; expected a finished localization "
            f"that gives them. {why}".strip(),
            field="mask.localization",
        )
    with store.artifacts.open(f"runs/{run_id}/{info.file}") as file:
        values = np.load(io.BytesIO(file.read()), allow_pickle=False)["components"]
    return dict(zip(info.axes[0].labels, (float(v) for v in values), strict=True))


def model_info(model: str, announcement: Announcement) -> ModelInfo:
    """What the worker announced of a model."""
    for info in announcement.models:
        if info.id == model:
            return info
    known = ", ".join(info.id for info in announcement.models) or "none"
    raise UserError(f"No model {model!r}. There are: {known}.", field="model")


def _named(mask: MaskSpec, parameters: Mapping[str, int], seed: int) -> Mask:
    if mask.control is not None:
        return control(mask.control.kind, parameters, mask.control.parameters, seed)
    return mask_of(list(mask.components or ()), parameters, "chosen by hand")


def _fact_set(spec: Spec, store: Store) -> FactSet | None:
    if isinstance(spec, SpecWithoutFacts):
        return None
    return retarget(store.fact_set(spec.facts.set), spec.facts, spec.seed)


def _texts(spec: Spec, store: Store) -> dict[str, str]:
    """The stored text that the options name; a view's `text` may also be words to look at."""
    options = getattr(spec, "options", {})
    name = options.get("text") if isinstance(options, dict) else None
    if not isinstance(name, str) or name in ("", BUNDLED):
        return {}
    is_stored = any(info.name == name for info in store.texts())
    if not is_stored and isinstance(spec, ExploreSpec):
        return {}
    return {name: store.text_file(name)}


def _result(run_id: str, store: Store) -> Result:
    found = store.result(run_id)
    if found is None:
        raise UserError(
            f"The run {run_id!r} is {store.run(run_id).state} and has no result; expected a "
            f"finished one.",
            field="results",
        )
    return found


def _delta(run_id: str, base: str, store: Store) -> str:
    record, result = store.run(run_id), store.result(run_id)
    if record.state != "done" or result is None or "delta" not in result.files:
        raise UserError(
            f"The run {run_id!r} is {record.state} and gives no edit; expected a finished "
            f"unlearn run.",
            field="model.edits",
        )
    if result.provenance.model != base:
        raise UserError(
            f"The edit {run_id!r} was made on {result.provenance.model!r}, not {base!r}.",
            field="model.edits",
        )
    return f"runs/{run_id}/{result.files['delta']}"
