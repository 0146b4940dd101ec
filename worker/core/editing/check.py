"""Refuse facts that an edit cannot mean, before anything is computed."""

from collections.abc import Sequence
from typing import Literal

from worker.contract.errors import UserError
from worker.contract.facts import Fact
from worker.contract.selection import Selection

Objective = Literal["edit", "unlearn"]


def check_selection(selection: Selection, objective: Objective, retain_weight: float = 1.0) -> None:
    """Raise UserError where forget is empty, meets retain, or has no edit target that differs."""
    if not selection.forget:
        raise UserError(
            "The selection forgets no fact; expected at least one.", field="facts.forget"
        )
    asked = {fact.text: fact for fact in selection.retain}
    for fact in selection.forget:
        twin = asked.get(fact.text)
        if twin is not None:
            raise UserError(
                f"Fact {fact.id!r} is to be forgotten, and {twin.id!r} with the same prompt "
                f"({fact.text[-60:]!r}) is to be retained; expected sets that do not meet. "
                f"Select both, or remove one.",
                field="facts.forget",
            )
    if retain_weight > 0 and not selection.retain:
        raise UserError(
            "No retain fact is left: every fact is to be forgotten. Forget fewer, or set the "
            "retain weight to 0.",
            field="options.retain_weight",
        )
    if objective == "edit":
        check_edit_targets(selection.forget)


def check_edit_targets(facts: Sequence[Fact]) -> None:
    """Raise UserError for a fact whose edit target is missing or is its target."""
    for fact in facts:
        if not fact.edit_target.strip():
            raise UserError(
                f"Fact {fact.id!r} has no edit target; expected the answer to be put in the place "
                f"of {fact.target!r}. Add one, or choose the objective unlearn.",
                field="options.objective",
            )
        if fact.edit_target.strip() == fact.target.strip():
            raise UserError(
                f"The edit target of fact {fact.id!r} is {fact.edit_target!r}, its target itself; "
                f"expected another answer.",
                field="facts.forget",
            )
