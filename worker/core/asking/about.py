"""What a run is about, before it begins: its spec and inputs with the facts that it really takes.

Methods, evaluations and estimates select from the set by the spec's rule. Where the model's own
knowledge decides, the rule becomes the chosen ids, and the set what is forgotten and retained.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass

from worker.contract.errors import UserError
from worker.contract.inputs import Inputs
from worker.contract.shots import named_ids, with_shots
from worker.contract.spec import EvaluateSpec, Spec, SpecWithoutFacts, StudySpec, UnlearnSpec
from worker.core.asking.asked_before import Asking, asked_before
from worker.core.asking.known import About, choose_known
from worker.core.findings import Findings
from worker.core.models.model import Model

KNOWLEDGE = "knowledge"
"""The evaluation that measures what is known, of every fact of the set."""


@dataclass(frozen=True)
class Resolved:
    """A spec and its inputs as they are computed."""

    spec: Spec
    inputs: Inputs
    about: About | None = None
    later: int = 0
    """Facts that would have to be asked first, and were not."""

    def note(self, found: Findings) -> None:
        """Write into a run's findings which facts it took."""
        if self.about is not None:
            found.forget, found.shot = self.about.forget, self.about.shot
            found.left_out += self.about.left_out


def resolve_facts(
    spec: Spec,
    inputs: Inputs,
    model: Model,
    tell: Callable[[float], None] = lambda share: None,
    most: int | None = None,
) -> Resolved:
    """Let the model say which facts it knows, where the spec or the retain facts ask for it.

    With `most`, a model that would have to be asked for more facts than that is not asked. Raises
    UserError where no known fact is left to be forgotten.
    """
    if isinstance(spec, SpecWithoutFacts) or inputs.fact_set is None:
        return Resolved(spec, inputs)
    if most is not None:
        n = sum(len(one.facts) for one in askings(spec, inputs, model, retains=False))
        if n > most:
            return Resolved(*_after_shots(spec, inputs), later=n)
    about = choose_known(
        model,
        inputs.fact_set,
        spec.facts,
        spec.seed,
        retains=most is None and _retains(spec),
        measured=inputs.recalled,
        tell=tell,
    )
    if isinstance(spec, UnlearnSpec) and about.left_out and not about.selection.retain:
        raise UserError(
            f"No fact is left to be retained: {about.left_out[0].reason}. What a model does not "
            f"know it cannot keep. Choose a set that it knows, or say facts.known with a "
            f"probability of 0 to take all facts as they are.",
            field="facts.known",
        )
    if not about.shot and not about.left_out and spec.facts.known is None:
        return Resolved(spec, inputs)
    chosen = about.selection
    kept = {fact.id for fact in (*chosen.forget, *chosen.retain)}
    facts = tuple(fact for fact in about.fact_set.facts if fact.id in kept)
    rule = f"ids:{json.dumps(about.forget, ensure_ascii=False)}"
    named = spec.facts.model_copy(update={"forget": rule, "known": None, "shot": "none"})
    return Resolved(
        spec.model_copy(update={"facts": named}),
        inputs.model_copy(update={"fact_set": about.fact_set.model_copy(update={"facts": facts})}),
        about,
    )


def _after_shots(spec: Spec, inputs: Inputs) -> tuple[Spec, Inputs]:
    """Put a shot before every prompt where the spec says so whatever the model knows."""
    assert not isinstance(spec, SpecWithoutFacts) and inputs.fact_set is not None
    if spec.facts.shot != "one":
        return spec, inputs
    named = named_ids(inputs.fact_set, spec.facts, spec.seed)
    shown = with_shots(inputs.fact_set, named)
    bare = spec.facts.model_copy(update={"shot": "none"})
    return (
        spec.model_copy(update={"facts": bare}),
        inputs.model_copy(update={"fact_set": shown}),
    )


def askings(
    spec: Spec, inputs: Inputs, model: Model, *, retains: bool | None = None
) -> list[Asking]:
    """List what a run asks the model first; `retains` says whether retain facts are used at all,
    None whether this run does."""
    if isinstance(spec, SpecWithoutFacts) or inputs.fact_set is None:
        return []
    return asked_before(
        model,
        inputs.fact_set,
        spec.facts,
        spec.seed,
        retains=_retains(spec) if retains is None else retains,
        measured=inputs.recalled,
    )


def _retains(spec: Spec) -> bool:
    """Whether a run uses retain facts, so that the model must know them."""
    return isinstance(spec, UnlearnSpec | StudySpec) or (
        isinstance(spec, EvaluateSpec) and spec.evaluations != (KNOWLEDGE,)
    )
