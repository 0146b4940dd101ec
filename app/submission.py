"""From a spec to a queued run: every check that can be made before queueing, for pages and API.

1. The spec's own shape (contract). 2. Its names against what workers announced. 3. Its options
against the methods' schemas. 4. Whether one live worker has its model, methods and memory all
together. 5. Its facts, mask and edits against the store. 6. The preflight of such a worker. Only
then is it written and queued, in one transaction.
"""

import hashlib
import json
from contextlib import suppress
from typing import Any

from app.forms import SUBMISSION
from app.schema import Problems, check_options
from worker.contract.ability import why_nobody
from worker.contract.base import unknown
from worker.contract.errors import UserError
from worker.contract.facts import FactSet
from worker.contract.inputs import AskPreflight, Inputs
from worker.contract.menu import Announcement, MethodInfo, MethodKind, Preflight
from worker.contract.named import methods_of, study_problems, unable
from worker.contract.selection import select
from worker.contract.spec import (
    AddSpec,
    EvaluateSpec,
    Spec,
    SpecWithoutFacts,
    StudySpec,
    parse_spec,
)
from worker.engine.announced import announced
from worker.engine.client import Engine, NoWorker, Unreachable, WorkerBusy
from worker.engine.resolve import resolve
from worker.engine.study.search import check_search_facts
from worker.store.describe import title_of

MOMENT, GLANCE, PATIENCE = 0.3, 5.0, 30.0
"""Seconds for which a worker is asked: about what is submitted, for which a person waits; briefly
about what is looked at, where a machine that computes much else answers late and asking once more
would only begin anew; and with the model's own answers.
"""
SPEC_LIMIT = 500_000
"""Characters of a spec as JSON; a mask that names every head of a large model has fewer."""


def submit(
    engine: Engine,
    data: Any,
    *,
    owner: str = "",
    title: str = "",
    tags: tuple[str, ...] = (),
    key: str = "",
) -> str:
    """Check a spec and queue it; the run's id, or UserError with a sentence for each field.

    What was sent before under the same `key` is queued no second time: that run's id is given.
    """
    refuse_odd_text({"title": title, "tags": list(tags), "key": key})
    refuse_odd_text(data)
    spec = parse_spec(data)
    if key and (made := engine.store.submitted(owner, key, spec)):
        return made
    announcement = admit(engine, spec)
    title = title or title_of(spec, {one.name: one.title for one in announcement.methods})
    return engine.submit(spec, owner=owner, title=title[:200], tags=tags, key=key)


def key_of_form(form: Any, *about: Any) -> str:
    """The key of a submission from a page: the form's own, and what is asked with it.

    A form that is sent twice asks the same; one that was changed after going back asks anew.
    """
    given = form.get(SUBMISSION)
    if not isinstance(given, str) or not given:
        return ""
    return f"form {given[:100]} {hashlib.sha256(json.dumps(about).encode()).hexdigest()}"


def check(engine: Engine, data: Any, *, brief: bool = False) -> tuple[Spec, Preflight | None]:
    """Check a spec; the preflight is None where no worker is alive to make it.

    A brief one asks nothing of the model, which is not even loaded. A worker that starts or is
    busy raises WorkerBusy, so that a page can ask again; one that lives and cannot be reached
    raises Unreachable.
    """
    refuse_odd_text(data)
    spec = parse_spec(data)
    _, inputs = _look_at(engine, spec)
    if inputs is None:
        return spec, None
    return spec, _preflight(engine, spec, inputs, brief, GLANCE if brief else PATIENCE)


def _look_at(engine: Engine, spec: Spec) -> tuple[Announcement, Inputs | None]:
    """Check what needs no worker's word; what the spec names, None where it names nothing."""
    engine.store.refuse_outside_class(spec)
    said = engine.store.menus()
    announcement = announced(engine.store, said)
    if isinstance(spec, AddSpec):
        _check_recipe(spec, announcement)
        return announcement, None
    _check_names(spec, announcement)
    if problems := why_nobody(spec, said):
        raise UserError(problems=problems)
    inputs = resolve(spec, engine.store, announcement, out="")
    _check_facts(spec, inputs)
    return announcement, inputs


def admit(engine: Engine, spec: Spec) -> Announcement:
    """Check a spec that is to be queued; what it was checked against.

    It waits for no worker: what none could say in a moment ends the run. Specs that differ only by
    a seed which chooses nothing are asked about once.
    """
    announcement, inputs = _look_at(engine, spec)
    if inputs is not None:
        question = AskPreflight(spec=spec, inputs=inputs, brief=True)
        with suppress(NoWorker):
            engine.told.of(
                _as_asked(spec, inputs, announcement, engine),
                lambda: engine.ask(question, MOMENT),
            )
    return announcement


def _as_asked(spec: Spec, inputs: Inputs, announcement: Announcement, engine: Engine) -> str:
    """All that a preflight's answer depends on."""
    data = spec.model_dump(mode="json")
    text = json.dumps({name: value for name, value in data.items() if name != "seed"})
    seed = data.get("seed") if isinstance(spec, StudySpec) or "random" in text else None
    facts = "" if isinstance(spec, SpecWithoutFacts) else spec.facts.set
    hashes = (
        engine.store.fact_set_hash(facts) if facts else "",
        *(info.weights_hash for info in announcement.models if info.id == spec.base),
        *sorted(inputs.texts.values()),
    )
    return json.dumps([text, seed, hashes])


def _preflight(
    engine: Engine, spec: Spec, inputs: Inputs, brief: bool, timeout: float
) -> Preflight | None:
    question = AskPreflight(spec=spec, inputs=inputs, brief=brief)
    try:
        answer = engine.ask(question, timeout)
    except (WorkerBusy, Unreachable):
        raise
    except NoWorker:
        return None
    return Preflight.model_validate(answer)


def _check_names(spec: Spec, announcement: Announcement) -> None:
    problems = _model_problems(spec, announcement)
    for kind, name, field, options, prefix in methods_of(spec):
        method = method_named(announcement, kind, name)
        if method is None:
            known = [m.name for m in announcement.methods if m.kind == kind]
            what = kind if kind == "evaluation" else f"{kind} method"
            problems.append((field, unknown(what, name, known).message))
        else:
            problems += check_options(method.options, options, prefix)
    if isinstance(spec, EvaluateSpec | StudySpec):
        problems += _stray_options(spec)
    if isinstance(spec, StudySpec):
        models = {info.id: info for info in announcement.models}
        if spec.base in models and not models[spec.base].problem:
            problems += study_problems(spec, frozenset(models[spec.base].component_parameters))
    if problems:
        raise UserError(problems=problems)


def _check_recipe(spec: AddSpec, announcement: Announcement) -> None:
    """Refuse a recipe that no worker has, or whose model is there already."""
    known = [recipe.name for recipe in announcement.recipes]
    if spec.base not in known:
        raise unknown("recipe", spec.base, known, "model")
    if spec.base in {info.id for info in announcement.models}:
        raise UserError(
            f"The model {spec.base!r} is there already. To make it anew, take it out first with "
            f"`lethe model remove {spec.base}`.",
            field="model",
        )


def method_named(announcement: Announcement, kind: MethodKind, name: str) -> MethodInfo | None:
    """The announced method of this kind and name, if there is one."""
    found = (m for m in announcement.methods if m.kind == kind and m.name == name)
    return next(found, None)


def _model_problems(spec: Spec, announcement: Announcement) -> Problems:
    by_id = {info.id: info for info in announcement.models}
    if spec.base not in by_id:
        return [("model", unknown("model", spec.base, list(by_id)).message)]
    if problem := by_id[spec.base].problem:
        return [("model", f"The model {spec.base!r} cannot be loaded: {problem}")]
    needs = {(method.kind, method.name): method.needs for method in announcement.methods}
    return unable(spec, needs, by_id[spec.base].lacks)


def _stray_options(spec: EvaluateSpec | StudySpec) -> Problems:
    if not spec.evaluations:
        return [("evaluations", "evaluations is empty; expected at least one evaluation's name.")]
    return [
        (f"options.{name}", unknown("chosen evaluation", name, list(spec.evaluations)).message)
        for name in spec.options
        if name not in spec.evaluations
    ]


def _check_facts(spec: Spec, inputs: Inputs) -> None:
    if isinstance(spec, SpecWithoutFacts):
        return
    fact_set: FactSet | None = inputs.fact_set
    assert fact_set is not None
    if not select(fact_set, spec.facts.forget, spec.seed).forget:
        raise UserError(
            f"{spec.facts.forget!r} selects none of the {len(fact_set.facts)} facts of "
            f"{fact_set.name!r}; expected at least one.",
            field="facts.forget",
        )
    if isinstance(spec, StudySpec):
        check_search_facts(spec, fact_set)
        _check_mask_facts(spec, fact_set)


def _check_mask_facts(spec: StudySpec, fact_set: FactSet) -> None:
    """Refuse a selection of a study's mask that selects nothing, beside its own field."""
    for name, mask in spec.masks.items():
        if mask.localization is None or mask.localization.forget is None:
            continue
        field = f"masks.{name}.localization.forget"
        try:
            chosen = select(fact_set, mask.localization.forget, spec.seed).forget
        except UserError as error:
            raise UserError(error.message, field=field) from None
        if not chosen:
            raise UserError(
                f"{mask.localization.forget!r} selects none of the facts of {fact_set.name!r}; "
                f"expected at least one.",
                field=field,
            )


def refuse_odd_text(data: Any) -> None:
    """Refuse what no database can keep: NUL, lone surrogates, and specs without measure."""
    try:
        text = json.dumps(data, ensure_ascii=False, allow_nan=False)
        text.encode("utf-8")
    except UnicodeEncodeError as error:
        bad = f"U+{ord(error.object[error.start]):04X}"
        raise UserError(
            f"The text holds {bad}, half of a character; expected whole Unicode characters.",
            field="spec",
        ) from None
    except (ValueError, RecursionError):
        raise UserError(
            "The spec holds NaN, an infinity or too many levels; expected plain JSON.", field="spec"
        ) from None
    if "\\u0000" in text:
        raise UserError("The text holds a NUL character; take it out.", field="spec")
    if len(text) > SPEC_LIMIT:
        raise UserError(
            f"The spec has {len(text)} characters; expected at most {SPEC_LIMIT}. Name a split or "
            f"a stored mask instead of listing what it holds.",
            field="spec",
        )
