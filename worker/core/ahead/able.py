"""Refuse what a method cannot do with a model's architecture or with the chosen facts, before
anything is computed."""

from collections.abc import Callable, Sequence
from pathlib import Path
from typing import NoReturn

from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.inputs import Inputs
from worker.contract.named import methods_of, unable
from worker.contract.progress import Quiet
from worker.contract.selection import select
from worker.contract.spec import EvaluateSpec, Spec, UnlearnSpec
from worker.core.asking.before_after import BeforeAfter
from worker.core.closed_form.layers import layers_of
from worker.core.closed_form.layers import refuse_unread as refuse_unread_values
from worker.core.closed_form.values import ValueOptions
from worker.core.editing.check import Objective, check_selection
from worker.core.findings import job_of
from worker.core.models.abilities import lacks
from worker.core.models.changes import check_interventions
from worker.core.models.model import Model
from worker.core.registry import method


def refuse_unable(spec: Spec, model: Model) -> None:
    """Raise UserError, beside the method's field, where the architecture lacks what it needs."""
    needs = {
        (kind, name): method(kind, name, field).info.needs
        for kind, name, field, _, _ in methods_of(spec)
    }
    if isinstance(spec, EvaluateSpec):
        _refuse_own_runs(spec)
        check_interventions(model, spec.interventions)
    if problems := unable(spec, needs, lacks(model)):
        raise UserError(problems=problems)


def _refuse_own_runs(spec: EvaluateSpec) -> None:
    """Raise UserError where an evaluation runs models of its own, which no intervention reaches."""
    for name in spec.evaluations if spec.interventions else ():
        info = method("evaluation", name, "evaluations").info
        if info.options.get("own_runs"):
            raise UserError(
                f"{info.title} patches activations by itself, so it cannot be asked under "
                f"interventions. Take it out, or ask it of the model without them.",
                field="evaluations",
            )


def refuse_meaningless(spec: Spec, inputs: Inputs) -> None:
    """Raise UserError where an edit's facts cannot mean what it asks, as the edit itself would."""
    if not isinstance(spec, UnlearnSpec) or inputs.fact_set is None or spec.method == "stack_edits":
        return
    options = method("unlearning", spec.method).options.model_validate(spec.options)
    closed = not hasattr(options, "steps")
    objective: Objective = getattr(options, "objective", "edit" if closed else "unlearn")
    weight = 0.0 if closed else getattr(options, "retain_weight", 0.0)
    check_selection(select(inputs.fact_set, spec.facts.forget, spec.seed), objective, weight)


def refuse_unread(spec: Spec, inputs: Inputs, model: Model, usable: Sequence[Fact]) -> None:
    """Raise UserError where a closed form would write what no answer to these facts depends on."""
    if not isinstance(spec, UnlearnSpec):
        return
    options = method("unlearning", spec.method).options.model_validate(spec.options)
    if isinstance(options, ValueOptions):
        last = layers_of(model, inputs.mask, options)[-1]
        refuse_unread_values(model, usable, last)


def refuse_unmeasurable(spec: Spec, inputs: Inputs, model: Model) -> None:
    """Raise UserError where an evaluation would, having looked at facts and tokens alone."""
    facts = inputs.fact_set
    if not isinstance(spec, EvaluateSpec) or facts is None:
        return
    job = job_of(spec.seed, inputs, Quiet())
    ahead = _Ahead(model, tuple(map(Path, inputs.deltas)))
    selection = select(facts, spec.facts.forget, spec.seed)
    for name in spec.evaluations:
        found = method("evaluation", name)
        if found.checks_first:
            options = found.options.model_validate(spec.options.get(name, {}))
            try:
                found.function(ahead, selection, options, job)
            except _Asked:
                continue


class _Asked(Exception):
    """An evaluation has checked all that it refuses, and asks the model."""


class _Ahead(BeforeAfter):
    """Lets an evaluation go on until it asks the model for the first time."""

    def measure_against(self, *args: object, **named: object) -> NoReturn:
        raise _Asked

    def once(self, state: object, of: object, ask: Callable[[], object]) -> NoReturn:
        raise _Asked
